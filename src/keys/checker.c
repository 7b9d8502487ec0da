/* libcrypto makes its fixed-base tables for a curve's own generator only. A group whose generator is the key gets one
 * too (EC_GROUP_precompute_mult), and a check is then two multiplications by tables and an addition.
 * EC_GROUP_precompute_mult is deprecated for want of users, not of safety; where it is gone, libcrypto checks. */
#undef OPENSSL_NO_DEPRECATED
#define OPENSSL_SUPPRESS_DEPRECATED
#include "keys/checker.h"
#include "keys/keys_priv.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <stdlib.h>

/* All that a check by table needs; nothing here is secret. */
typedef struct table {
    EC_GROUP *curve, *of_key; /* P-256; and with the key for its generator */
    EC_POINT *a, *b;
    BN_CTX *numbers;
} table;

struct cs_checker {
    const cs_key_alg *alg;
    EVP_PKEY *key;
    unsigned checked;
    table *table; /* NULL: not yet, or none */
};

static void table_free(table *t) {
    if (t == NULL) return;
    EC_POINT_free(t->a);
    EC_POINT_free(t->b);
    EC_GROUP_free(t->curve);
    EC_GROUP_free(t->of_key);
    BN_CTX_free(t->numbers);
    free(t);
}

void cs_checker_free(cs_checker *c) {
    if (c == NULL) return;
    table_free(c->table);
    EVP_PKEY_free(c->key);
    free(c);
}

bool cs_checker_has_table(const cs_checker *c) {
    return c->table != NULL;
}

cs_status cs_checker_new(cs_view spki, cs_checker **ret, cs_err *err) {
    TRY(cs_key_spki_check(spki, err));
    CS_AUTO(cs_checker) c = calloc(1, sizeof *c);
    if (c == NULL) return CS_NOMEM_ERR(err);
    c->alg = cs_key_alg_of(spki);
    c->key = cs_key_public_evp(spki);
    if (c->key == NULL) return CS_NOMEM_ERR(err); /* it was judged to be a key */
    *ret = CS_TAKE(c);
    return CS_OK;
}

#ifndef OPENSSL_NO_DEPRECATED_3_0
static bool fill(table *t, EVP_PKEY *key) {
    uint8_t octets[65];
    size_t n = 0;
    t->curve = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    t->of_key = EC_GROUP_dup(t->curve);
    t->numbers = BN_CTX_new();
    if (t->curve == NULL || t->of_key == NULL || t->numbers == NULL) return false;
    t->a = EC_POINT_new(t->curve);
    t->b = EC_POINT_new(t->curve);
    return t->a != NULL && t->b != NULL &&
           EVP_PKEY_get_octet_string_param(key, "encoded-pub-key", octets, sizeof octets, &n) == 1 &&
           EC_POINT_oct2point(t->curve, t->a, octets, n, t->numbers) == 1 &&
           EC_GROUP_set_generator(t->of_key, t->a, EC_GROUP_get0_order(t->curve), BN_value_one()) == 1 &&
           EC_GROUP_precompute_mult(t->of_key, t->numbers) == 1;
}
#else
static bool fill(table *t, EVP_PKEY *key) {
    (void)t, (void)key;
    return false;
}
#endif

static table *make_table(EVP_PKEY *key) {
    table *t = calloc(1, sizeof *t);
    if (t != NULL && fill(t, key)) return t;
    table_free(t);
    return NULL;
}

/* In the one DER form only, as libcrypto wants it. */
static ECDSA_SIG *read_signature(cs_view signature) {
    const uint8_t *p = signature.p;
    uint8_t *again = NULL;
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)signature.n);
    int n = s != NULL ? i2d_ECDSA_SIG(s, &again) : -1;
    bool same = n > 0 && cs_view_eq(signature, cs_view_of(again, (size_t)n));
    OPENSSL_free(again);
    if (same) return s;
    ECDSA_SIG_free(s);
    return NULL;
}

static bool in_range(const BIGNUM *n, const BIGNUM *order) {
    return !BN_is_zero(n) && !BN_is_negative(n) && BN_ucmp(n, order) < 0;
}

/* SEC 1, 4.1.4: (e/s) G + (r/s) Q has the x coordinate r. */
static bool check_numbers(table *t, const BIGNUM *r, const BIGNUM *s, const uint8_t hash[32]) {
    const BIGNUM *order = EC_GROUP_get0_order(t->curve);
    BN_CTX *c = t->numbers;
    BIGNUM *w = BN_CTX_get(c), *u1 = BN_CTX_get(c), *u2 = BN_CTX_get(c), *x = BN_CTX_get(c);
    if (x == NULL || !in_range(r, order) || !in_range(s, order)) return false;
    return BN_bin2bn(hash, 32, x) != NULL && BN_mod_inverse(w, s, order, c) != NULL &&
           BN_mod_mul(u1, x, w, order, c) == 1 && BN_mod_mul(u2, r, w, order, c) == 1 &&
           EC_POINT_mul(t->curve, t->a, u1, NULL, NULL, c) == 1 &&
           EC_POINT_mul(t->of_key, t->b, u2, NULL, NULL, c) == 1 && EC_POINT_add(t->curve, t->a, t->a, t->b, c) == 1 &&
           EC_POINT_is_at_infinity(t->curve, t->a) == 0 &&
           EC_POINT_get_affine_coordinates(t->curve, t->a, x, NULL, c) == 1 && BN_nnmod(x, x, order, c) == 1 &&
           BN_ucmp(x, r) == 0;
}

static bool check_by_table(table *t, cs_view tbs, cs_view signature) {
    uint8_t hash[32];
    ERR_set_mark();
    ECDSA_SIG *s = read_signature(signature);
    bool good = s != NULL && EVP_Digest(tbs.p, tbs.n, hash, NULL, EVP_sha256(), NULL) == 1;
    BN_CTX_start(t->numbers);
    good = good && check_numbers(t, ECDSA_SIG_get0_r(s), ECDSA_SIG_get0_s(s), hash);
    BN_CTX_end(t->numbers);
    ECDSA_SIG_free(s);
    ERR_pop_to_mark();
    return good;
}

cs_status cs_checker_verify(cs_checker *c, cs_view tbs, cs_view signature, cs_err *err) {
    bool worth = c->alg->curve == NID_X9_62_prime256v1 && c->checked < CS_CHECKER_TABLE_AFTER;
    if (worth && ++c->checked == CS_CHECKER_TABLE_AFTER) c->table = make_table(c->key);
    if (c->table != NULL && check_by_table(c->table, tbs, signature)) return CS_OK;
    return cs_key_verify_evp(c->alg, c->key, tbs, signature, err); /* it has the last word on what is refused */
}
