/* Private keys: made and used. */
#include "keys/keys_priv.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>

struct cs_key {
    EVP_PKEY *pkey;
    uint8_t *spki;
    size_t spki_n;
    const cs_key_far *far; /* has the private half; NULL: pkey has it */
    void *far_self;
    EVP_MD_CTX *ready; /* atomic: begun once, copied for each signature; NULL: not yet, or such keys cannot be copied */
};

static const struct {
    const char *name;
    const char *type, *curve;
    size_t bits;
} specs[CS_KEYSPEC_COUNT] = {
    [CS_KEYSPEC_ECDSA_P256] = {"ecdsa-p256", "EC", "P-256", 0},
    [CS_KEYSPEC_ECDSA_P384] = {"ecdsa-p384", "EC", "P-384", 0},
    [CS_KEYSPEC_ED25519] = {"ed25519", "ED25519", NULL, 0},
    [CS_KEYSPEC_RSA_2048] = {"rsa-2048", "RSA", NULL, 2048},
    [CS_KEYSPEC_RSA_3072] = {"rsa-3072", "RSA", NULL, 3072},
    [CS_KEYSPEC_RSA_4096] = {"rsa-4096", "RSA", NULL, 4096},
    [CS_KEYSPEC_ML_DSA_44] = {"ml-dsa-44", "ML-DSA-44", NULL, 0},
    [CS_KEYSPEC_ML_DSA_65] = {"ml-dsa-65", "ML-DSA-65", NULL, 0},
    [CS_KEYSPEC_ML_DSA_87] = {"ml-dsa-87", "ML-DSA-87", NULL, 0},
};

const char *cs_key_spec_name(cs_key_spec spec) {
    return (size_t)spec < CS_KEYSPEC_COUNT ? specs[spec].name : "unknown";
}

cs_status cs_key_spec_parse(cs_view text, cs_key_spec *ret, cs_err *err) {
    for (size_t i = 0; i < CS_KEYSPEC_COUNT; i++) {
        if (cs_view_eq_nocase(text, cs_view_str(specs[i].name))) {
            *ret = (cs_key_spec)i;
            return CS_OK;
        }
    }
    return cs_fail(err, CS_REFUSED, CS_R_USAGE,
                   "key type \"%.*s\": use ecdsa-p256, ecdsa-p384, ed25519, rsa-2048, rsa-3072, rsa-4096, ml-dsa-44, "
                   "ml-dsa-65 or ml-dsa-87",
                   (int)(text.n > 64 ? 64 : text.n), (const char *)text.p);
}

bool cs_key_spec_of(cs_view spki, cs_key_spec *ret) {
    static const char *const texts[CS_KEYSPEC_COUNT] = {
        [CS_KEYSPEC_ECDSA_P256] = "ECDSA P-256", [CS_KEYSPEC_ECDSA_P384] = "ECDSA P-384",
        [CS_KEYSPEC_ED25519] = "Ed25519",        [CS_KEYSPEC_RSA_2048] = "RSA 2048",
        [CS_KEYSPEC_RSA_3072] = "RSA 3072",      [CS_KEYSPEC_RSA_4096] = "RSA 4096",
        [CS_KEYSPEC_ML_DSA_44] = "ML-DSA-44",    [CS_KEYSPEC_ML_DSA_65] = "ML-DSA-65",
        [CS_KEYSPEC_ML_DSA_87] = "ML-DSA-87"};
    char text[CS_KEY_TEXT_MAX];
    (void)cs_key_spki_text(spki, text);
    for (size_t i = 0; i < CS_KEYSPEC_COUNT; i++) {
        if (texts[i] == NULL || strcmp(text, texts[i]) != 0) continue;
        *ret = (cs_key_spec)i;
        return true;
    }
    return false;
}

void cs_key_free(cs_key *k) {
    if (!k) return;
    EVP_MD_CTX_free(k->ready);
    EVP_PKEY_free(k->pkey); /* wipes the private part with its last reference */
    OPENSSL_free(k->spki);
    if (k->far) k->far->free(k->far_self);
    free(k);
}

EVP_PKEY *cs_key_evp(const cs_key *k) {
    return k->pkey;
}

cs_view cs_key_spki(const cs_key *k) {
    return cs_view_of(k->spki, k->spki_n);
}

static cs_status key_wrap(EVP_PKEY *take_pkey, cs_key **ret, cs_err *err) {
    uint8_t *spki = NULL;
    char words[128];
    int n = i2d_PUBKEY(take_pkey, &spki);
    cs_key *k = n > 0 ? calloc(1, sizeof(*k)) : NULL;
    if (k) {
        *k = (cs_key){.pkey = take_pkey, .spki = spki, .spki_n = (size_t)n};
        *ret = k;
        return CS_OK;
    }
    EVP_PKEY_free(take_pkey);
    OPENSSL_free(spki);
    if (n > 0) return CS_NOMEM_ERR(err);
    return cs_fail(err, CS_REFUSED, CS_R_KEY_MALFORMED, "no public key: %s", cs_ossl_words(words));
}

/* May it be used, and do both halves belong together? */
static cs_status key_prove(const cs_key *k, const char *what, cs_err *err) {
    static const uint8_t probe[] = "do both halves belong together?";
    cs_view said = {probe, sizeof(probe) - 1};
    CS_SCOPED(cs_buf) sig = cs_buf_of(CS_SIGNATURE_MAX);
    if (cs_key_spki_check(cs_key_spki(k), err) != CS_OK) return cs_fail_in(err, "%s", what);
    cs_status status = cs_key_sign(k, said, &sig, err);
    if (status != CS_OK && err->reason == CS_R_KEY_UNAVAILABLE) return status;
    if (status != CS_OK || cs_key_verify(cs_key_spki(k), said, cs_buf_view(&sig), err) != CS_OK)
        return cs_fail(err, CS_REFUSED, CS_R_KEY_MALFORMED, "%s: its private and public halves do not belong together",
                       what);
    return CS_OK;
}

cs_status cs_key_of_evp(EVP_PKEY *take_pkey, const char *what, cs_key **ret, cs_err *err) {
    CS_AUTO(cs_key) k = NULL;
    if (key_wrap(take_pkey, &k, err) != CS_OK || !k) return cs_fail_in(err, "%s", what);
    TRY(key_prove(k, what, err));
    *ret = CS_TAKE(k);
    return CS_OK;
}

cs_status cs_key_of_far(const cs_key_far *how, void *take_self, cs_view spki, cs_key **ret, cs_err *err) {
    CS_AUTO(cs_key) k = NULL;
    EVP_PKEY *pkey = cs_key_public_evp(spki);
    if (!pkey) {
        how->free(take_self);
        return cs_fail(err, CS_REFUSED, CS_R_KEY_MALFORMED, "the token's public key");
    }
    cs_status status = key_wrap(pkey, &k, err);
    if (status != CS_OK) {
        how->free(take_self);
        return status;
    }
    k->far = how;
    k->far_self = take_self;
    TRY(key_prove(k, "the token's key", err));
    *ret = CS_TAKE(k);
    return CS_OK;
}

static EVP_PKEY *generate(cs_key_spec spec) {
    if (specs[spec].curve) return EVP_PKEY_Q_keygen(NULL, NULL, specs[spec].type, specs[spec].curve);
    if (specs[spec].bits) return EVP_PKEY_Q_keygen(NULL, NULL, specs[spec].type, specs[spec].bits);
    return EVP_PKEY_Q_keygen(NULL, NULL, specs[spec].type);
}

cs_status cs_key_generate(cs_key_spec spec, cs_key **ret, cs_err *err) {
    if ((size_t)spec >= CS_KEYSPEC_COUNT) return cs_fail(err, CS_REFUSED, CS_R_USAGE, "unknown key type");
    char words[128];
    if (specs[spec].bits == 0 && specs[spec].curve == NULL) TRY(cs_key_type_there(specs[spec].type, err));
    EVP_PKEY *pkey = generate(spec);
    if (!pkey)
        return cs_fail(err, CS_FAILED, CS_R_RANDOM_FAILED, "making a key of type %s: %s", specs[spec].name,
                       cs_ossl_words(words));
    return key_wrap(pkey, ret, err);
}

/* To begin takes a tenth of an ECDSA signature's time: algorithms are looked up. */
static EVP_MD_CTX *begin_signing(const cs_key *k, const cs_key_alg *alg) {
    cs_key *shared = (cs_key *)(uintptr_t)k;
    EVP_MD_CTX *ready = __atomic_load_n(&shared->ready, __ATOMIC_ACQUIRE), *none = NULL, *ctx = EVP_MD_CTX_new();
    if (ctx && ready && EVP_MD_CTX_copy_ex(ctx, ready) == 1) return ctx;
    if (!ctx || EVP_DigestSignInit_ex(ctx, NULL, alg->digest, NULL, NULL, k->pkey, NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        return NULL;
    }
    EVP_MD_CTX *kept = ready ? NULL : EVP_MD_CTX_new();
    bool ok = kept && EVP_MD_CTX_copy_ex(kept, ctx) == 1 &&
              __atomic_compare_exchange_n(&shared->ready, &none, kept, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    if (!ok) EVP_MD_CTX_free(kept); /* another thread was first, or it cannot be copied */
    return ctx;
}

cs_status cs_key_sign(const cs_key *k, cs_view tbs, cs_buf *signature, cs_err *err) {
    const cs_key_alg *alg = cs_key_alg_of(cs_key_spki(k));
    char words[128];
    if (!alg) return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "nothing is signed here with such a key");
    if (k->far) return k->far->sign(k->far_self, alg, tbs, signature, err);
    size_t n = (size_t)EVP_PKEY_get_size(k->pkey);
    uint8_t *out = cs_buf_reserve(signature, n);
    if (!out) return cs_buf_ok(signature, "signature", err);
    EVP_MD_CTX *ctx = begin_signing(k, alg);
    int good = ctx ? EVP_DigestSign(ctx, out, &n, tbs.p, tbs.n) : -1;
    EVP_MD_CTX_free(ctx);
    if (good != 1)
        return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "signing with %s: %s", alg->text, cs_ossl_words(words));
    cs_buf_commit(signature, n);
    return CS_OK;
}

/* ECDSA takes the hash; RSA says which one it is. */
static bool hash_is_signed(EVP_PKEY_CTX *ctx, const cs_key_alg *alg) {
    EVP_MD *md = EVP_MD_fetch(NULL, alg->digest, NULL);
    bool ok = md && EVP_PKEY_CTX_set_signature_md(ctx, md) == 1;
    if (ok && !alg->curve) ok = EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    EVP_MD_free(md);
    return ok;
}

bool cs_key_signs_hashes(const cs_key *k, const cs_key_alg *alg) {
    return alg->digest && (!k->far || k->far->sign_hash);
}

cs_status cs_key_sign_hash(const cs_key *k, const cs_key_alg *alg, cs_view hash, cs_buf *signature, cs_err *err) {
    char words[128];
    if (k->far) return k->far->sign_hash(k->far_self, alg, hash, signature, err);
    size_t n = (size_t)EVP_PKEY_get_size(k->pkey);
    uint8_t *out = cs_buf_reserve(signature, n);
    if (!out) return cs_buf_ok(signature, "signature", err);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
    bool good = ctx && EVP_PKEY_sign_init(ctx) == 1 && hash_is_signed(ctx, alg) &&
                EVP_PKEY_sign(ctx, out, &n, hash.p, hash.n) == 1;
    EVP_PKEY_CTX_free(ctx);
    if (!good)
        return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "signing with %s: %s", alg->text, cs_ossl_words(words));
    cs_buf_commit(signature, n);
    return CS_OK;
}

cs_status cs_key_verify_hash(cs_view spki, const cs_key_alg *alg, cs_view hash, cs_view signature, cs_err *err) {
    EVP_PKEY *pkey = cs_key_public_evp(spki);
    EVP_PKEY_CTX *ctx = pkey ? EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL) : NULL;
    bool good = ctx && EVP_PKEY_verify_init(ctx) == 1 && hash_is_signed(ctx, alg) &&
                EVP_PKEY_verify(ctx, signature.p, signature.n, hash.p, hash.n) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    if (good) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_SIGNATURE_INVALID, "%s signature", alg->text);
}

cs_status cs_key_match(const cs_key *k, cs_view spki, const char *what, cs_err *err) {
    if (cs_view_eq(cs_key_spki(k), spki)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_KEY_MISMATCH, "%s", what);
}
