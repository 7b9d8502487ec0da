#include "keys/known.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "keys/keys_priv.h"

enum { MODULUS_LEN = 10, SPKI_LEN = 32, SHA1_LEN = 20, ENTRIES_MAX = 64 * 1024 * 1024 };

/* Hashes of one length, one behind the other. */
typedef struct hashes {
    size_t len, n, room;
    uint8_t *at;
} hashes;

struct cs_known_keys {
    hashes moduli, spkis;
};

cs_known_keys *cs_known_keys_new(void) {
    cs_known_keys *k = calloc(1, sizeof *k);
    if (k == NULL) return NULL;
    k->moduli.len = MODULUS_LEN;
    k->spkis.len = SPKI_LEN;
    return k;
}

void cs_known_keys_free(cs_known_keys *k) {
    if (k == NULL) return;
    free(k->moduli.at);
    free(k->spkis.at);
    free(k);
}

static cs_status add(hashes *h, cs_view hex, cs_err *err) {
    size_t n = 0;
    if (h->n == h->room) {
        size_t room = h->room > 0 ? 2 * h->room : 4096;
        uint8_t *at = room <= ENTRIES_MAX ? realloc(h->at, room * h->len) : NULL;
        if (at == NULL) return CS_NOMEM_ERR(err);
        h->at = at;
        h->room = room;
    }
    if (!cs_hex_decode(hex, h->at + h->n * h->len, h->len, &n) || n != h->len)
        return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "that is no hex");
    h->n++;
    return CS_OK;
}

static cs_status add_line(cs_known_keys *k, cs_view line, cs_err *err) {
    if (line.n == 0 || line.p[0] == '#') return CS_OK;
    if (line.n == 2 * MODULUS_LEN) return add(&k->moduli, line, err);
    if (line.n == 2 * SPKI_LEN) return add(&k->spkis, line, err);
    return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "%d or %d hex digits are expected, not %zu octets",
                   2 * MODULUS_LEN, 2 * SPKI_LEN, line.n);
}

cs_status cs_known_keys_add(cs_known_keys *k, cs_view text, const char *name, cs_err *err) {
    unsigned line = 1;
    for (size_t at = 0; at < text.n; line++) {
        const uint8_t *end = memchr(text.p + at, '\n', text.n - at);
        size_t n = end != NULL ? (size_t)(end - text.p) - at : text.n - at;
        if (add_line(k, cs_view_trim(cs_view_of(text.p + at, n)), err) != CS_OK)
            return cs_fail_in(err, "%s:%u", name, line);
        at += n + 1;
    }
    return CS_OK;
}

static int by_modulus(const void *a, const void *b) {
    return memcmp(a, b, MODULUS_LEN);
}

static int by_spki(const void *a, const void *b) {
    return memcmp(a, b, SPKI_LEN);
}

void cs_known_keys_sort(cs_known_keys *k) {
    if (k->moduli.n > 0) qsort(k->moduli.at, k->moduli.n, MODULUS_LEN, by_modulus);
    if (k->spkis.n > 0) qsort(k->spkis.at, k->spkis.n, SPKI_LEN, by_spki);
}

size_t cs_known_keys_count(const cs_known_keys *k) {
    return k->moduli.n + k->spkis.n;
}

/* False: it is no RSA key. */
static bool modulus_hash(cs_view spki, uint8_t out[SHA1_LEN]) {
    EVP_PKEY *pkey = cs_key_public_evp(spki);
    BIGNUM *n = NULL;
    CS_SCOPED(cs_buf) text = cs_buf_of(8 * 1024);
    char *hex = NULL;
    bool done = pkey != NULL && EVP_PKEY_is_a(pkey, "RSA") &&
                EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) == 1 && (hex = BN_bn2hex(n)) != NULL &&
                cs_buf_addf(&text, "Modulus=%s\n", hex + (hex[0] == '0' ? 1 : 0)) &&
                EVP_Digest(text.p, text.n, out, NULL, EVP_sha1(), NULL) == 1;
    OPENSSL_free(hex);
    BN_free(n);
    EVP_PKEY_free(pkey);
    return done;
}

cs_status cs_known_keys_check(const cs_known_keys *k, cs_view spki, const uint8_t spki_sha256[32], cs_err *err) {
    uint8_t sha1[SHA1_LEN];
    char hex[2 * SPKI_LEN + 1];
    bool known = false;
    if (k == NULL) return CS_OK;
    if (k->spkis.n > 0) known = bsearch(spki_sha256, k->spkis.at, k->spkis.n, SPKI_LEN, by_spki) != NULL;
    if (!known && k->moduli.n > 0 && modulus_hash(spki, sha1))
        known = bsearch(sha1 + SHA1_LEN - MODULUS_LEN, k->moduli.at, k->moduli.n, MODULUS_LEN, by_modulus) != NULL;
    if (!known) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_KEY_WEAK_KNOWN, "SHA-256 of its SPKI %s",
                   cs_hex(cs_view_of(spki_sha256, SPKI_LEN), hex));
}
