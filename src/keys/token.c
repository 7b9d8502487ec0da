#include "keys/token.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <p11-kit/p11-kit.h>
#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "keys/keys_priv.h"

enum { VALUE_MAX = 2048, SLOTS_MAX = 64 };

typedef struct cs_token {
    pthread_mutex_t lock;
    P11KitUri *uri;
    CK_FUNCTION_LIST *module;
    bool initialized;
    CK_SESSION_HANDLE session; /* 0: none */
    CK_OBJECT_HANDLE key;
    cs_secret *pin; /* for the next login: tokens restart */
} cs_token;

static cs_status unavailable(cs_err *err, const char *what, CK_RV rv) {
    return cs_fail(err, CS_FAILED, CS_R_KEY_UNAVAILABLE, "%s: %s", what, p11_kit_strerror(rv));
}

bool cs_token_uri(cs_view text) {
    return cs_view_starts(text, cs_view_str("pkcs11:"));
}

static cs_status parse_uri(const char *text, P11KitUri **ret, cs_err *err) {
    P11KitUri *uri = p11_kit_uri_new();
    if (uri == NULL) return CS_NOMEM_ERR(err);
    int rc = p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, uri);
    const char *why = rc != P11_KIT_URI_OK                ? p11_kit_uri_message(rc)
                      : p11_kit_uri_any_unrecognized(uri) ? "an attribute that is not understood"
                      : p11_kit_uri_get_pin_value(uri) != NULL
                          ? "pin-value: a PIN belongs into a private file (pin-source)"
                      : p11_kit_uri_get_module_path(uri) == NULL   ? "module-path is missing"
                      : p11_kit_uri_get_module_path(uri)[0] != '/' ? "module-path is not absolute"
                                                                   : NULL;
    if (why == NULL) {
        *ret = uri;
        return CS_OK;
    }
    p11_kit_uri_free(uri);
    return cs_fail(err, CS_REFUSED, CS_R_URI_INVALID, "PKCS#11 URI: %s", why);
}

cs_status cs_token_pin_source(const char *text, char *out, size_t size, cs_err *err) {
    P11KitUri *uri = NULL;
    TRY(parse_uri(text, &uri, err));
    const char *source = p11_kit_uri_get_pin_source(uri);
    (void)snprintf(out, size, "%s", source != NULL ? source : "");
    p11_kit_uri_free(uri);
    return CS_OK;
}

/* ---- module, token, session ---- */

static void let_go(cs_token *t) {
    if (t->session != 0) (void)t->module->C_CloseSession(t->session);
    t->session = 0;
    t->key = 0;
}

static void unload(cs_token *t) {
    let_go(t);
    if (t->initialized) (void)p11_kit_module_finalize(t->module);
    t->initialized = false;
}

static void token_free(void *self) {
    cs_token *t = self;
    if (t->module != NULL) {
        unload(t);
        p11_kit_module_release(t->module);
    }
    if (t->uri != NULL) p11_kit_uri_free(t->uri);
    cs_secret_free(t->pin);
    (void)pthread_mutex_destroy(&t->lock);
    free(t);
}

static cs_status find_slot(cs_token *t, CK_SLOT_ID *ret, cs_err *err) {
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG n = SLOTS_MAX;
    size_t found = 0;
    CK_RV rv = t->module->C_GetSlotList(CK_TRUE, slots, &n);
    if (rv != CKR_OK) return unavailable(err, "slots", rv);
    for (CK_ULONG i = 0; i < n; i++) {
        CK_TOKEN_INFO info;
        if (p11_kit_uri_get_slot_id(t->uri) != (CK_SLOT_ID)-1 && p11_kit_uri_get_slot_id(t->uri) != slots[i]) continue;
        if (t->module->C_GetTokenInfo(slots[i], &info) != CKR_OK) continue;
        if (!p11_kit_uri_match_token_info(t->uri, &info)) continue;
        *ret = slots[i];
        found++;
    }
    if (found == 1) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_KEY_UNAVAILABLE, "%zu tokens are those of the URI, one is expected", found);
}

static cs_status log_in(cs_token *t, cs_err *err) {
    if (t->pin == NULL) return CS_OK;
    CK_RV rv = t->module->C_Login(t->session, CKU_USER, t->pin->p, t->pin->n);
    if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN) return CS_OK;
    if (rv == CKR_PIN_INCORRECT || rv == CKR_PIN_INVALID || rv == CKR_PIN_LEN_RANGE || rv == CKR_PIN_LOCKED)
        return cs_fail(err, CS_REFUSED, CS_R_PASSPHRASE_WRONG, "the token's PIN: %s", p11_kit_strerror(rv));
    return unavailable(err, "login", rv);
}

/* The one object of that class that the URI names. */
static cs_status find_object(cs_token *t, CK_OBJECT_CLASS class, CK_OBJECT_HANDLE *ret, cs_err *err) {
    CK_ATTRIBUTE want[3] = {{CKA_CLASS, &class, sizeof class}};
    CK_OBJECT_HANDLE found[2];
    CK_ULONG n = 1;
    static const CK_ATTRIBUTE_TYPE named[] = {CKA_LABEL, CKA_ID};
    for (size_t i = 0; i < 2; i++) {
        const CK_ATTRIBUTE *a = p11_kit_uri_get_attribute(t->uri, named[i]);
        if (a != NULL) want[n++] = *a;
    }
    CK_RV rv = t->module->C_FindObjectsInit(t->session, want, n);
    if (rv != CKR_OK) return unavailable(err, "search", rv);
    CK_ULONG count = 0;
    rv = t->module->C_FindObjects(t->session, found, 2, &count);
    (void)t->module->C_FindObjectsFinal(t->session);
    if (rv != CKR_OK) return unavailable(err, "search", rv);
    if (count != 1)
        return cs_fail(err, CS_FAILED, CS_R_KEY_UNAVAILABLE, "%s %s of the URI are in the token, one is expected",
                       count == 0 ? "no" : "several", class == CKO_PRIVATE_KEY ? "private keys" : "public keys");
    *ret = found[0];
    return CS_OK;
}

static cs_status connect_token(cs_token *t, cs_err *err) {
    CK_SLOT_ID slot = 0;
    if (!t->initialized) {
        CK_RV rv = p11_kit_module_initialize(t->module);
        if (rv != CKR_OK) return unavailable(err, p11_kit_uri_get_module_path(t->uri), rv);
        t->initialized = true;
    }
    TRY(find_slot(t, &slot, err));
    CK_RV rv = t->module->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &t->session);
    if (rv != CKR_OK) {
        t->session = 0;
        return unavailable(err, "session", rv);
    }
    TRY(log_in(t, err));
    return find_object(t, CKO_PRIVATE_KEY, &t->key, err);
}

/* ---- the public half ---- */

static bool read_value(cs_token *t, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type, cs_buf *b) {
    CK_ATTRIBUTE a = {type, NULL, 0};
    if (t->module->C_GetAttributeValue(t->session, o, &a, 1) != CKR_OK || a.ulValueLen > VALUE_MAX) return false;
    a.pValue = cs_buf_reserve(b, a.ulValueLen);
    if (a.pValue == NULL || t->module->C_GetAttributeValue(t->session, o, &a, 1) != CKR_OK) return false;
    cs_buf_commit(b, a.ulValueLen);
    return true;
}

/* The point stands in an OCTET STRING, in some tokens without. */
static bool spki_of_point(cs_token *t, CK_OBJECT_HANDLE o, cs_buf *spki) {
    CS_SCOPED(cs_buf) point = cs_buf_of(VALUE_MAX);
    if (!read_value(t, o, CKA_EC_POINT, &point) || point.n < 4) return false;
    cs_view v = cs_buf_view(&point);
    if (v.p[0] == 0x04 && v.p[1] < 0x80 && v.n == 2U + v.p[1])
        v = cs_view_of(v.p + 2, v.n - 2);
    else if (v.p[0] == 0x04 && v.p[1] == 0x81 && v.n == 3U + v.p[2])
        v = cs_view_of(v.p + 3, v.n - 3);
    return cs_key_alg_spki(v, spki);
}

static bool spki_of_rsa(cs_token *t, CK_OBJECT_HANDLE o, cs_buf *spki) {
    CS_SCOPED(cs_buf) n = cs_buf_of(VALUE_MAX), e = cs_buf_of(VALUE_MAX);
    uint8_t *der = NULL;
    EVP_PKEY *pkey = NULL;
    if (!read_value(t, o, CKA_MODULUS, &n) || !read_value(t, o, CKA_PUBLIC_EXPONENT, &e)) return false;
    BIGNUM *bn = BN_bin2bn(n.p, (int)n.n, NULL), *be = BN_bin2bn(e.p, (int)e.n, NULL);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM *params = NULL;
    if (bn && be && bld && ctx && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn) &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be))
        params = OSSL_PARAM_BLD_to_param(bld);
    if (params != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params);
    int len = pkey != NULL ? i2d_PUBKEY(pkey, &der) : -1;
    if (len > 0) (void)cs_buf_add(spki, der, (size_t)len);
    OPENSSL_free(der);
    EVP_PKEY_free(pkey);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    BN_free(bn);
    BN_free(be);
    return len > 0;
}

static cs_status read_spki(cs_token *t, cs_buf *spki, cs_err *err) {
    CK_OBJECT_HANDLE o = 0;
    CK_KEY_TYPE type = 0;
    CK_ATTRIBUTE a = {CKA_KEY_TYPE, &type, sizeof type};
    TRY(find_object(t, CKO_PUBLIC_KEY, &o, err));
    CK_RV rv = t->module->C_GetAttributeValue(t->session, o, &a, 1);
    if (rv != CKR_OK) return unavailable(err, "public key", rv);
    if (type == CKK_RSA ? spki_of_rsa(t, o, spki) : spki_of_point(t, o, spki)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "the token's key is neither ECDSA, Ed25519 nor RSA");
}

/* ---- signing ---- */

static bool ecdsa_as_der(const uint8_t *raw, size_t n, cs_buf *signature) {
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, (int)(n / 2), NULL), *s = BN_bin2bn(raw + n / 2, (int)(n / 2), NULL);
    uint8_t *der = NULL;
    int len = -1;
    if (sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL; /* the signature's now */
        len = i2d_ECDSA_SIG(sig, &der);
    }
    if (len > 0) (void)cs_buf_add(signature, der, (size_t)len);
    OPENSSL_free(der);
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return len > 0;
}

/* What goes to the token: a hash, or for Ed25519 the message. @rfc 8017#9.2 */
static bool prepare(const cs_key_alg *alg, cs_view what, cs_buf *input, CK_MECHANISM *how) {
    static const uint8_t sha256_info[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                          0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
    how->mechanism = alg->digest == NULL ? CKM_EDDSA : alg->curve != 0 ? CKM_ECDSA : CKM_RSA_PKCS;
    if (how->mechanism == CKM_RSA_PKCS) (void)cs_buf_add(input, sha256_info, sizeof sha256_info);
    return cs_buf_add_view(input, what);
}

static CK_RV sign_once(cs_token *t, CK_MECHANISM *how, const cs_buf *input, uint8_t out[VALUE_MAX], CK_ULONG *n) {
    *n = VALUE_MAX;
    if (t->session == 0) return CKR_SESSION_HANDLE_INVALID;
    CK_RV rv = t->module->C_SignInit(t->session, how, t->key);
    return rv == CKR_OK ? t->module->C_Sign(t->session, input->p, input->n, out, n) : rv;
}

/* A session that was lost is opened anew; a token or its daemon that was restarted needs the module started anew. */
static cs_status sign_healing(cs_token *t, CK_MECHANISM *how, const cs_buf *input, uint8_t out[VALUE_MAX], CK_ULONG *n,
                              cs_err *err) {
    CK_RV rv = sign_once(t, how, input, out, n);
    for (int attempt = 0; rv != CKR_OK && attempt < 2; attempt++) {
        let_go(t);
        if (attempt == 1) unload(t);
        if (connect_token(t, err) == CS_OK) rv = sign_once(t, how, input, out, n);
    }
    return rv == CKR_OK ? CS_OK : unavailable(err, "the token does not sign", rv);
}

static cs_status token_sign_hash(void *self, const cs_key_alg *alg, cs_view hash, cs_buf *signature, cs_err *err) {
    cs_token *t = self;
    CS_SCOPED(cs_buf) input = cs_buf_of(hash.n + 32);
    CK_MECHANISM how = {0, NULL, 0};
    uint8_t out[VALUE_MAX];
    CK_ULONG n = 0;
    if (!prepare(alg, hash, &input, &how)) return cs_buf_ok(&input, "what is to be signed", err);
    (void)pthread_mutex_lock(&t->lock);
    cs_status status = sign_healing(t, &how, &input, out, &n, err);
    (void)pthread_mutex_unlock(&t->lock);
    TRY(status);
    if (how.mechanism != CKM_ECDSA)
        return cs_buf_add(signature, out, n) ? CS_OK : cs_buf_ok(signature, "signature", err);
    if (n % 2 == 0 && n > 0 && ecdsa_as_der(out, n, signature)) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_KEY_UNAVAILABLE, "the token's signature has %lu octets", (unsigned long)n);
}

static cs_status token_sign(void *self, const cs_key_alg *alg, cs_view tbs, cs_buf *signature, cs_err *err) {
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (alg->digest == NULL) return token_sign_hash(self, alg, tbs, signature, err);
    EVP_MD *md = EVP_MD_fetch(NULL, alg->digest, NULL);
    bool ok = md != NULL && EVP_Digest(tbs.p, tbs.n, hash, &n, md, NULL) == 1;
    EVP_MD_free(md);
    return ok ? token_sign_hash(self, alg, cs_view_of(hash, n), signature, err) : CS_NOMEM_ERR(err);
}

/* ---- opened ---- */

static cs_status load(cs_token *t, const char *uri, const cs_secret *pin, cs_err *err) {
    TRY(parse_uri(uri, &t->uri, err));
    if (pin != NULL) {
        TRY(cs_secret_new(pin->n, &t->pin, err));
        memcpy(t->pin->p, pin->p, pin->n);
    }
    const char *path = p11_kit_uri_get_module_path(t->uri);
    t->module = p11_kit_module_load(path, P11_KIT_MODULE_CRITICAL);
    if (t->module == NULL) return cs_fail(err, CS_FAILED, CS_R_KEY_UNAVAILABLE, "%s: %s", path, p11_kit_message());
    return connect_token(t, err);
}

cs_status cs_key_open_token(const char *uri, const cs_secret *pin, cs_key **ret, cs_err *err) {
    static const cs_key_far far = {.sign = token_sign, .sign_hash = token_sign_hash, .free = token_free};
    CS_SCOPED(cs_buf) spki = cs_buf_of(2 * VALUE_MAX);
    cs_token *t = calloc(1, sizeof *t);
    if (t == NULL) return CS_NOMEM_ERR(err);
    (void)pthread_mutex_init(&t->lock, NULL);
    cs_status status = load(t, uri, pin, err);
    if (status == CS_OK) status = read_spki(t, &spki, err);
    if (status == CS_OK) return cs_key_of_far(&far, t, cs_buf_view(&spki), ret, err);
    token_free(t);
    return status;
}
