/* Public keys as libcrypto holds them. Its decoder asks each kind of key in turn whether the octets are its own, and
 * costs more than the signature that is then checked; where the form is fixed they are put in their place at once. */
#include "keys/keys_priv.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <pthread.h>

/* Made once, read by all threads, never freed: a key of parameters only, and the group, by the curve's size. */
typedef struct curve {
    int nid;
    const char *name;
    EVP_PKEY *parameters;
    EC_GROUP *group;
} curve;
static curve curves[] = {{NID_X9_62_prime256v1, "P-256", NULL, NULL},
                         {NID_secp384r1, "P-384", NULL, NULL},
                         {NID_secp521r1, "P-521", NULL, NULL}};
enum { CURVE_COUNT = sizeof curves / sizeof *curves };
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void make_curves(void) {
    for (size_t i = 0; i < CURVE_COUNT; i++) {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
        if (ctx != NULL && EVP_PKEY_paramgen_init(ctx) == 1 && EVP_PKEY_CTX_set_group_name(ctx, curves[i].name) == 1)
            (void)EVP_PKEY_paramgen(ctx, &curves[i].parameters);
        EVP_PKEY_CTX_free(ctx);
        curves[i].group = EC_GROUP_new_by_curve_name(curves[i].nid);
    }
}

static const curve *curve_of(int nid) {
    (void)pthread_once(&made, make_curves);
    for (size_t i = 0; i < CURVE_COUNT; i++)
        if (curves[i].nid == nid) return curves[i].parameters != NULL && curves[i].group != NULL ? &curves[i] : NULL;
    return NULL;
}

/* The octets of the point (from its 04 on), or of the Ed25519 or ML-DSA key; n == 0: not in the fixed form. */
static cs_view octets_of(const cs_key_alg *alg, cs_view spki) {
    size_t head = alg->spki_head.n - (alg->curve != 0 ? 1 : 0);
    if (alg->spki_len == 0 || spki.n != alg->spki_len || !cs_view_starts(spki, alg->spki_head))
        return cs_view_of(NULL, 0);
    return cs_view_of(spki.p + head, spki.n - head);
}

bool cs_key_point_ok(const cs_key_alg *alg, cs_view spki) {
    const curve *on = curve_of(alg->curve);
    cs_view octets = octets_of(alg, spki);
    EC_POINT *point = on != NULL && octets.n > 0 ? EC_POINT_new(on->group) : NULL;
    bool ok = point != NULL && EC_POINT_oct2point(on->group, point, octets.p, octets.n, NULL) == 1;
    EC_POINT_free(point);
    ERR_clear_error();
    return ok;
}

static EVP_PKEY *of_point(const curve *on, cs_view octets) {
    EVP_PKEY *pkey = EVP_PKEY_new();
    if (pkey != NULL && EVP_PKEY_copy_parameters(pkey, on->parameters) == 1 &&
        EVP_PKEY_set1_encoded_public_key(pkey, octets.p, octets.n) == 1)
        return pkey;
    EVP_PKEY_free(pkey);
    return NULL;
}

EVP_PKEY *cs_key_public_evp(cs_view spki) {
    const cs_key_alg *alg = cs_key_alg_of(spki);
    const uint8_t *p = spki.p;
    EVP_PKEY *pkey = NULL;
    cs_view octets = alg != NULL ? octets_of(alg, spki) : cs_view_of(NULL, 0);
    ERR_set_mark();
    if (octets.n > 0 && alg->curve != 0) {
        const curve *on = curve_of(alg->curve);
        if (on != NULL) pkey = of_point(on, octets);
    } else if (octets.n > 0) {
        pkey = EVP_PKEY_new_raw_public_key_ex(NULL, alg->raw, NULL, octets.p, octets.n);
    } else {
        pkey = d2i_PUBKEY(NULL, &p, (long)spki.n);
        if (pkey != NULL && p != spki.p + spki.n) {
            EVP_PKEY_free(pkey);
            pkey = NULL;
        }
    }
    ERR_pop_to_mark();
    return pkey;
}
