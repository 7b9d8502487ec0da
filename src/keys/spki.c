/* Public keys: which algorithms there are, and which keys are good enough. */
#include "keys/keys_priv.h"

#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <openssl/x509.h>
#include <stdio.h>

/* In static tables, a literal with its length. */
#define V(lit)                                                                                                         \
    { (const uint8_t *)(lit), sizeof(lit) - 1 }
#define EC_KEY "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
#define RSA_KEY "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
#define ECDSA_WITH "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03"

#define P256 "\x30\x13" EC_KEY "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
#define P384 "\x30\x10" EC_KEY "\x06\x05\x2b\x81\x04\x00\x22"
#define P521 "\x30\x10" EC_KEY "\x06\x05\x2b\x81\x04\x00\x23"
#define ED25519 "\x30\x05\x06\x03\x2b\x65\x70"
#define ML_DSA(last) "\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03" last
#define ML_DSA_HEAD(whole, last, bits) "\x30\x82" whole ML_DSA(last) "\x03\x82" bits "\x00"
#define RSA_NULL "\x30\x0d" RSA_KEY "\x05\x00"
#define RSA_SHA256 "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00"

/* @rfc 5480#2.1.1  @rfc 8410#3  @rfc 3279#2.3.1  @rfc 5758#3.2  @rfc 4055#5  @rfc 9881#2 */
static const cs_key_alg algs[] = {
    {"ECDSA P-256", V(P256), V("\x30\x59" P256 "\x03\x42\x00\x04"), 91, NID_X9_62_prime256v1, V(ECDSA_WITH "\x02"),
     "SHA256", NULL},
    {"ECDSA P-384", V(P384), V("\x30\x76" P384 "\x03\x62\x00\x04"), 120, NID_secp384r1, V(ECDSA_WITH "\x03"), "SHA384",
     NULL},
    {"ECDSA P-521", V(P521), V("\x30\x81\x9b" P521 "\x03\x81\x86\x00\x04"), 158, NID_secp521r1, V(ECDSA_WITH "\x04"),
     "SHA512", NULL},
    {"Ed25519", V(ED25519), V("\x30\x2a" ED25519 "\x03\x21\x00"), 44, 0, V(ED25519), NULL, "ED25519"},
    {"RSA", V(RSA_NULL), {NULL, 0}, 0, 0, V(RSA_SHA256), "SHA256", NULL},
    {"ML-DSA-44", V(ML_DSA("\x11")), V(ML_DSA_HEAD("\x05\x32", "\x11", "\x05\x21")), 1334, 0, V(ML_DSA("\x11")), NULL,
     "ML-DSA-44"},
    {"ML-DSA-65", V(ML_DSA("\x12")), V(ML_DSA_HEAD("\x07\xb2", "\x12", "\x07\xa1")), 1974, 0, V(ML_DSA("\x12")), NULL,
     "ML-DSA-65"},
    {"ML-DSA-87", V(ML_DSA("\x13")), V(ML_DSA_HEAD("\x0a\x32", "\x13", "\x0a\x21")), 2614, 0, V(ML_DSA("\x13")), NULL,
     "ML-DSA-87"},
};
enum { ALG_COUNT = sizeof(algs) / sizeof(algs[0]) };

const char *cs_ossl_words(char out[128]) {
    unsigned long code = ERR_peek_last_error();
    const char *words = code ? ERR_reason_error_string(code) : NULL;
    (void)snprintf(out, 128, "%s", words ? words : "libcrypto gives no reason");
    ERR_clear_error();
    return out;
}

/* The header of a SEQUENCE: its length in octets, or 0 when there is none. This room stands below x509 and its DER
 * reader; the exact form is proven by encoding again (spki_decode). */
static size_t sequence_header(cs_view v) {
    if (v.n < 2 || v.p[0] != 0x30) return 0;
    if (v.p[1] < 0x80) return 2;
    size_t octets = v.p[1] & 0x7fU;
    return octets >= 1 && octets <= 3 && v.n > 2 + octets ? 2 + octets : 0;
}

const cs_key_alg *cs_key_alg_of(cs_view spki) {
    size_t head = sequence_header(spki);
    if (head == 0) return NULL;
    cs_view rest = {spki.p + head, spki.n - head};
    for (size_t i = 0; i < ALG_COUNT; i++) {
        if (cs_view_starts(rest, algs[i].spki_algorithm)) return &algs[i];
    }
    return NULL;
}

bool cs_key_alg_spki(cs_view octets, cs_buf *spki) {
    for (size_t i = 0; i < ALG_COUNT; i++) {
        size_t head = algs[i].spki_head.n;
        if (algs[i].spki_len == 0) continue;
        if (algs[i].curve != 0) head--; /* it ends with the 04 of the point */
        if (octets.n == 0 || head + octets.n != algs[i].spki_len || (algs[i].curve != 0 && octets.p[0] != 4)) continue;
        (void)cs_buf_add(spki, algs[i].spki_head.p, head);
        return cs_buf_add_view(spki, octets);
    }
    return false;
}

cs_status cs_key_algorithm(cs_view spki, cs_view *ret, cs_err *err) {
    const cs_key_alg *alg = cs_key_alg_of(spki);
    if (!alg) return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "nothing is signed here with such a key");
    *ret = alg->sig_algorithm;
    return CS_OK;
}

/* ---- judged ---- */

/* The one canonical form only: what is not of a fixed form must encode to the same octets again. */
static cs_status spki_decode(const cs_key_alg *alg, cs_view spki, EVP_PKEY **ret, cs_err *err) {
    EVP_PKEY *pkey = cs_key_public_evp(spki);
    unsigned char *again = NULL;
    bool same = pkey && alg->spki_len != 0;
    int n = pkey && !same ? i2d_PUBKEY(pkey, &again) : -1;
    same = same || (n > 0 && cs_view_eq(spki, cs_view_of(again, (size_t)n)));
    OPENSSL_free(again);
    ERR_clear_error();
    if (same) {
        *ret = pkey;
        return CS_OK;
    }
    EVP_PKEY_free(pkey);
    return cs_fail(err, CS_REFUSED, CS_R_KEY_MALFORMED, "the public key is not in its one DER form");
}

static cs_status unsupported(cs_view spki, cs_err *err) {
    size_t head = sequence_header(spki);
    if (head == 0 || spki.n < head + 2 || spki.p[head] != 0x30)
        return cs_fail(err, CS_REFUSED, CS_R_KEY_MALFORMED, "not a SubjectPublicKeyInfo");
    cs_view algorithm = {spki.p + head + 2, spki.n - head - 2};
    if (cs_view_starts(algorithm, CS_VIEW_LIT(RSA_KEY)))
        return cs_fail(err, CS_REFUSED, CS_R_KEY_MALFORMED, "RSA parameters are not NULL");
    if (cs_view_starts(algorithm, CS_VIEW_LIT(EC_KEY)))
        return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "EC key on a curve other than P-256, P-384, P-521");
    if (spki.n > head + 3 && spki.p[head + 1] >= 0x80 && memmem(spki.p, spki.n < 40 ? spki.n : 40, EC_KEY, 9))
        return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "EC key with explicit curve parameters");
    return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "neither ECDSA, Ed25519, RSA nor ML-DSA");
}

cs_status cs_key_type_there(const char *type, cs_err *err) {
    EVP_KEYMGMT *there = EVP_KEYMGMT_fetch(NULL, type, NULL);
    EVP_KEYMGMT_free(there);
    ERR_clear_error();
    if (there != NULL) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "OpenSSL %s has no %s keys; 3.5 and later have",
                   OpenSSL_version(OPENSSL_VERSION_STRING), type);
}

/* The one form is fixed up to the point; libcrypto's decoder would cost ten times what this does. */
static cs_status check_fixed_form(const cs_key_alg *alg, cs_view spki, cs_err *err) {
    if (spki.n != alg->spki_len || !cs_view_starts(spki, alg->spki_head))
        return cs_fail(err, CS_REFUSED, CS_R_KEY_MALFORMED, "%s key is not in the uncompressed DER form", alg->text);
    if (alg->curve == 0) return spki.n > 1000 ? cs_key_type_there(alg->raw, err) : CS_OK; /* Ed25519 is everywhere */
    if (cs_key_point_ok(alg, spki)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_KEY_MALFORMED, "%s key is no point of its curve", alg->text);
}

cs_status cs_key_spki_check(cs_view spki, cs_err *err) {
    const cs_key_alg *alg = cs_key_alg_of(spki);
    EVP_PKEY *pkey = NULL;
    if (!alg) return unsupported(spki, err);
    if (alg->spki_len) return check_fixed_form(alg, spki, err);
    TRY(spki_decode(alg, spki, &pkey, err));
    cs_status status = cs_key_rsa_check(pkey, err);
    EVP_PKEY_free(pkey);
    return status;
}

const char *cs_key_spki_text(cs_view spki, char out[CS_KEY_TEXT_MAX]) {
    const cs_key_alg *alg = cs_key_alg_of(spki);
    (void)snprintf(out, CS_KEY_TEXT_MAX, "%s", alg ? alg->text : "unknown");
    if (alg && alg->spki_len == 0) {
        EVP_PKEY *pkey = cs_key_public_evp(spki);
        if (pkey) (void)snprintf(out, CS_KEY_TEXT_MAX, "RSA %d", EVP_PKEY_get_bits(pkey));
        EVP_PKEY_free(pkey);
        ERR_clear_error();
    }
    return out;
}

cs_status cs_key_verify_evp(const cs_key_alg *alg, EVP_PKEY *key, cs_view tbs, cs_view signature, cs_err *err) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int good = ctx ? EVP_DigestVerifyInit_ex(ctx, NULL, alg->digest, NULL, NULL, key, NULL) : -1;
    if (good == 1) good = EVP_DigestVerify(ctx, signature.p, signature.n, tbs.p, tbs.n);
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    if (!ctx) return CS_NOMEM_ERR(err);
    if (good != 1) return cs_fail(err, CS_REFUSED, CS_R_SIGNATURE_INVALID, "%s signature", alg->text);
    return CS_OK;
}

cs_status cs_key_verify(cs_view spki, cs_view tbs, cs_view signature, cs_err *err) {
    const cs_key_alg *alg = cs_key_alg_of(spki);
    EVP_PKEY *pkey = NULL;
    if (!alg) return unsupported(spki, err);
    TRY(spki_decode(alg, spki, &pkey, err));
    cs_status status = cs_key_verify_evp(alg, pkey, tbs, signature, err);
    EVP_PKEY_free(pkey);
    return status;
}
