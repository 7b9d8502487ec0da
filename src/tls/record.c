/* Keys, and one record at a time. */
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include "base/secret.h"
#include "tls/record.h"
#include "tls/tls_priv.h"

enum { SUITES = 3, SLOTS = 128 };

static const tls_suite suites[SUITES] = {
    {0x1301, "TLS_AES_128_GCM_SHA256", "AES-128-GCM", "SHA256", 16, 32},
    {0x1302, "TLS_AES_256_GCM_SHA384", "AES-256-GCM", "SHA384", 32, 48},
    {0x1303, "TLS_CHACHA20_POLY1305_SHA256", "ChaCha20-Poly1305", "SHA256", 32, 32},
};

const tls_suite *tls_suite_of(unsigned id) {
    for (size_t i = 0; i < SUITES; i++)
        if (suites[i].id == id) return &suites[i];
    return NULL;
}

/* A context that has the key of `owner`, if it has one. */
typedef struct slot {
    const tls_half *owner;
    const tls_suite *suite;
    EVP_CIPHER_CTX *ctx;
} slot;

/* A thread's contexts. A connection borrows one while it is at work: making one is cheap, keeping one for each of ten
 * thousand idle connections is not. */
struct tls_ciphers {
    EVP_CIPHER *cipher[SUITES];
    EVP_KDF *kdf;
    slot at[SLOTS];
};

cs_status tls_ciphers_new(tls_ciphers **ret, cs_err *err) {
    CS_AUTO(tls_ciphers) c = calloc(1, sizeof *c);
    if (c == NULL) return CS_NOMEM_ERR(err);
    c->kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, NULL);
    bool ok = c->kdf != NULL;
    for (size_t i = 0; i < SUITES; i++) {
        c->cipher[i] = EVP_CIPHER_fetch(NULL, suites[i].cipher, NULL);
        ok = ok && c->cipher[i] != NULL;
    }
    if (!ok) return tls_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "ciphers of TLS 1.3");
    *ret = CS_TAKE(c);
    return CS_OK;
}

void tls_ciphers_free(tls_ciphers *c) {
    if (c == NULL) return;
    for (size_t i = 0; i < SLOTS; i++) EVP_CIPHER_CTX_free(c->at[i].ctx);
    for (size_t i = 0; i < SUITES; i++) EVP_CIPHER_free(c->cipher[i]);
    EVP_KDF_free(c->kdf);
    free(c);
}

static slot *slot_of(const tls_records *r, const tls_half *h) {
    uint64_t mixed = (uint64_t)(uintptr_t)h * 0x9e3779b97f4a7c15U;
    return &r->ciphers->at[mixed >> 57U];
}
_Static_assert(SLOTS == 1 << 7, "as many as the shift above leaves");

/* The schedule of the key is wiped with it. */
static void give_back(const tls_records *r, const tls_half *h) {
    slot *s = slot_of(r, h);
    if (s->owner != h) return;
    EVP_CIPHER_CTX_free(s->ctx);
    *s = (slot){.owner = NULL};
}

/* h's context, with its key and the nonce of its next record: 5.3. */
static EVP_CIPHER_CTX *begin(const tls_records *r, const tls_half *h) {
    uint8_t nonce[sizeof h->iv];
    memcpy(nonce, h->iv, sizeof nonce);
    for (unsigned i = 0; i < 8; i++) nonce[4 + i] ^= (uint8_t)(h->seq >> (56 - 8 * i));
    slot *s = slot_of(r, h);
    if (s->owner == h) return EVP_CipherInit_ex(s->ctx, NULL, NULL, NULL, nonce, h->seals) == 1 ? s->ctx : NULL;
    if (s->suite != r->suite) {
        EVP_CIPHER_CTX_free(s->ctx);
        *s = (slot){.suite = r->suite, .ctx = EVP_CIPHER_CTX_new()};
    }
    const EVP_CIPHER *cipher = r->ciphers->cipher[r->suite - suites];
    s->owner = NULL;
    if (s->ctx == NULL || EVP_CipherInit_ex(s->ctx, cipher, NULL, h->key, nonce, h->seals) != 1) return NULL;
    s->owner = h;
    return s->ctx;
}

/* HKDF-Expand-Label(secret, label, "", n): 7.1 */
static bool expand(const tls_records *r, const uint8_t *secret, const char *label, uint8_t *out, size_t n) {
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(r->ciphers->kdf);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)r->suite->digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret, r->suite->hash_n),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, (void *)(uintptr_t) "tls13 ", 6),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, (void *)(uintptr_t)label, strlen(label)),
        OSSL_PARAM_construct_end()};
    bool ok = ctx != NULL && EVP_KDF_derive(ctx, out, n, params) == 1;
    EVP_KDF_CTX_free(ctx);
    return ok;
}

static cs_status set_keys(tls_half *h, const tls_records *r, cs_err *err) {
    give_back(r, h);
    bool ok = expand(r, h->secret, "key", h->key, r->suite->key_n) && expand(r, h->secret, "iv", h->iv, sizeof h->iv);
    return ok ? CS_OK : tls_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "traffic keys");
}

cs_status tls_half_next(tls_half *h, const tls_records *r, cs_err *err) {
    uint8_t next[TLS_SECRET_MAX];
    if (!expand(r, h->secret, "traffic upd", next, r->suite->hash_n))
        return tls_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "traffic secrets");
    memcpy(h->secret, next, r->suite->hash_n);
    cs_wipe(next, sizeof next);
    h->seq = 0;
    return set_keys(h, r, err);
}

cs_status tls_records_init(tls_records *r, tls_ciphers *ciphers, const tls_records_plan *plan, cs_err *err) {
    *r = (tls_records){.ciphers = ciphers, .suite = plan->suite};
    memcpy(r->in.secret, plan->in, plan->suite->hash_n);
    memcpy(r->out.secret, plan->out, plan->suite->hash_n);
    r->in.seq = plan->in_seq;
    r->out.seq = plan->out_seq;
    r->out.seals = true;
    TRY(set_keys(&r->in, r, err));
    return set_keys(&r->out, r, err);
}

void tls_records_idle(tls_records *r) {
    give_back(r, &r->in);
    give_back(r, &r->out);
}

void tls_records_wipe(tls_records *r) {
    if (r->ciphers != NULL) tls_records_idle(r);
    cs_wipe(r, sizeof *r);
}

cs_status tls_record_seal(tls_records *r, enum tls_content type, cs_view content, size_t padding, cs_buf *out,
                          cs_err *err) {
    static const uint8_t zeros[256];
    size_t inner = content.n + 1 + padding, body = inner + TLS_TAG;
    uint8_t *p = cs_buf_reserve(out, TLS_RECORD_HEADER + body);
    if (p == NULL) return cs_buf_ok(out, "a connection's output", err);
    EVP_CIPHER_CTX *ctx = begin(r, &r->out);
    const uint8_t last = (uint8_t)type,
                  header[TLS_RECORD_HEADER] = {TLS_DATA, 3, 3, (uint8_t)(body >> 8), (uint8_t)body};
    int n = 0;
    uint8_t *at = p + TLS_RECORD_HEADER;
    memcpy(p, header, sizeof header);
    bool ok = ctx != NULL && EVP_EncryptUpdate(ctx, NULL, &n, header, sizeof header) == 1 &&
              (content.n == 0 || EVP_EncryptUpdate(ctx, at, &n, content.p, (int)content.n) == 1) &&
              EVP_EncryptUpdate(ctx, at + content.n, &n, &last, 1) == 1;
    at += content.n + 1;
    for (size_t left = padding; ok && left > 0;) {
        size_t some = left < sizeof zeros ? left : sizeof zeros;
        ok = EVP_EncryptUpdate(ctx, at, &n, zeros, (int)some) == 1;
        at += some;
        left -= some;
    }
    ok = ok && EVP_EncryptFinal_ex(ctx, at, &n) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TLS_TAG, at) == 1;
    if (!ok) return tls_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "a record");
    r->out.seq++;
    cs_buf_commit(out, TLS_RECORD_HEADER + body);
    return CS_OK;
}

bool tls_record_open(tls_records *r, const uint8_t *header, size_t body, uint8_t *plain) {
    const uint8_t *p = header + TLS_RECORD_HEADER;
    size_t n = body - TLS_TAG;
    uint8_t tag[TLS_TAG];
    int got = 0;
    memcpy(tag, p + n, sizeof tag);
    EVP_CIPHER_CTX *ctx = begin(r, &r->in);
    bool ok = ctx != NULL && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TLS_TAG, tag) == 1 &&
              EVP_DecryptUpdate(ctx, NULL, &got, header, TLS_RECORD_HEADER) == 1 &&
              EVP_DecryptUpdate(ctx, plain, &got, p, (int)n) == 1 && EVP_DecryptFinal_ex(ctx, plain + n, &got) == 1;
    r->in.seq++;
    if (ok) return true;
    ERR_clear_error();
    cs_wipe(plain, n);
    return false;
}
