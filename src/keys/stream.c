#include "keys/stream.h"

#include <openssl/err.h>
#include <stdlib.h>

#include "keys/keys_priv.h"

struct cs_stream {
    EVP_MD_CTX *ctx; /* hashes; NULL: the message is held */
    cs_buf held;
    const cs_key_alg *alg;
    const cs_key *key;   /* signs */
    const uint8_t *spki; /* verifies */
    size_t spki_n;
};

void cs_stream_free(cs_stream *s) {
    if (s == NULL) return;
    EVP_MD_CTX_free(s->ctx);
    cs_buf_free(&s->held);
    free(s);
}

static cs_status begin(const cs_key *key, cs_view spki, cs_stream **ret, cs_err *err) {
    const cs_key_alg *alg = cs_key_alg_of(spki);
    if (alg == NULL) return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "nothing is signed here with such a key");
    cs_stream *s = calloc(1, sizeof *s);
    if (s == NULL) return CS_NOMEM_ERR(err);
    *s = (cs_stream){.held = cs_buf_of(CS_CRL_MAX), .alg = alg, .key = key, .spki = spki.p, .spki_n = spki.n};
    bool hashes = key != NULL ? cs_key_signs_hashes(key, alg) : alg->digest != NULL, ok = !hashes;
    EVP_MD *md = hashes ? EVP_MD_fetch(NULL, alg->digest, NULL) : NULL;
    if (md != NULL) {
        s->ctx = EVP_MD_CTX_new();
        ok = s->ctx != NULL && EVP_DigestInit_ex2(s->ctx, md, NULL) == 1;
        EVP_MD_free(md);
    }
    *ret = s;
    if (ok) return CS_OK;
    cs_stream_free(CS_TAKE(*ret));
    return CS_NOMEM_ERR(err);
}

cs_status cs_stream_sign_begin(const cs_key *k, cs_stream **ret, cs_err *err) {
    return begin(k, cs_key_spki(k), ret, err);
}

cs_status cs_stream_verify_begin(cs_view spki, cs_stream **ret, cs_err *err) {
    return begin(NULL, spki, ret, err);
}

cs_status cs_stream_add(cs_stream *s, cs_view piece, cs_err *err) {
    if (s->ctx == NULL) return cs_buf_add_view(&s->held, piece) ? CS_OK : cs_buf_ok(&s->held, "a message", err);
    return EVP_DigestUpdate(s->ctx, piece.p, piece.n) == 1 ? CS_OK : CS_NOMEM_ERR(err);
}

static bool finish(cs_stream *s, uint8_t hash[EVP_MAX_MD_SIZE], unsigned *n) {
    return EVP_DigestFinal_ex(s->ctx, hash, n) == 1;
}

cs_status cs_stream_sign_end(cs_stream *s, cs_buf *signature, cs_err *err) {
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (s->ctx == NULL) return cs_key_sign(s->key, cs_buf_view(&s->held), signature, err);
    if (!finish(s, hash, &n)) return CS_NOMEM_ERR(err);
    return cs_key_sign_hash(s->key, s->alg, cs_view_of(hash, n), signature, err);
}

cs_status cs_stream_verify_end(cs_stream *s, cs_view signature, cs_err *err) {
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    cs_view spki = cs_view_of(s->spki, s->spki_n);
    if (s->ctx == NULL) return cs_key_verify(spki, cs_buf_view(&s->held), signature, err);
    if (!finish(s, hash, &n)) return CS_NOMEM_ERR(err);
    return cs_key_verify_hash(spki, s->alg, cs_view_of(hash, n), signature, err);
}
