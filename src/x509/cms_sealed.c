/* Sealed messages. @rfc 5652#6 */
#include "x509/cms_priv.h"

#include "x509/der.h"
#include "x509/der_write.h"

#include <openssl/err.h>
#include <openssl/provider.h>
#include <stdlib.h>

struct cs_cms_sealed {
    CMS_ContentInfo *cms;
    cs_cms_cipher cipher;
};

static const struct {
    cs_view oid;
    const char *name;
    bool weak;
} ciphers[] = {[CS_CMS_AES128] = {CS_OID_LIT("\x60\x86\x48\x01\x65\x03\x04\x01\x02"), "AES-128-CBC", false},
               [CS_CMS_AES192] = {CS_OID_LIT("\x60\x86\x48\x01\x65\x03\x04\x01\x16"), "AES-192-CBC", false},
               [CS_CMS_AES256] = {CS_OID_LIT("\x60\x86\x48\x01\x65\x03\x04\x01\x2a"), "AES-256-CBC", false},
               [CS_CMS_3DES] = {CS_OID_LIT("\x2a\x86\x48\x86\xf7\x0d\x03\x07"), "3DES-CBC", true},
               [CS_CMS_DES] = {CS_OID_LIT("\x2b\x0e\x03\x02\x07"), "DES-CBC", true}};

/* Set once, before threads, and never changed again. */
static OSSL_LIB_CTX *weak_ctx;

bool cs_cms_weak_load(void) {
    OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
    if (ctx != NULL && OSSL_PROVIDER_load(ctx, "default") != NULL && OSSL_PROVIDER_load(ctx, "legacy") != NULL)
        weak_ctx = CS_TAKE(ctx);
    OSSL_LIB_CTX_free(ctx);
    ERR_clear_error();
    return weak_ctx != NULL;
}

static const EVP_CIPHER *evp_of(cs_cms_cipher cipher) {
    switch (cipher) {
    case CS_CMS_AES192: return EVP_aes_192_cbc();
    case CS_CMS_AES256: return EVP_aes_256_cbc();
    case CS_CMS_DES:
    case CS_CMS_3DES: return EVP_des_ede3_cbc();
    case CS_CMS_AES128: break;
    }
    return EVP_aes_128_cbc();
}

const char *cs_cms_cipher_name(cs_cms_cipher cipher) {
    return ciphers[cipher].name;
}

void cs_cms_sealed_free(cs_cms_sealed *s) {
    if (s == NULL) return;
    CMS_ContentInfo_free(s->cms);
    free(s);
}

cs_cms_cipher cs_cms_sealed_cipher(const cs_cms_sealed *s) {
    return s->cipher;
}

static cs_status check_recipients(CMS_ContentInfo *cms, cs_err *err) {
    STACK_OF(CMS_RecipientInfo) *all = CMS_get0_RecipientInfos(cms);
    int n = all != NULL ? sk_CMS_RecipientInfo_num(all) : 0;
    bool ok = n >= 1 && n <= CS_CMS_RECIPIENTS_MAX;
    for (int i = 0; ok && i < n; i++)
        ok = CMS_RecipientInfo_type(sk_CMS_RecipientInfo_value(all, i)) == CMS_RECIPINFO_TRANS;
    if (ok) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "EnvelopedData: one to %d recipients with RSA are expected",
                   CS_CMS_RECIPIENTS_MAX);
}

/* libcrypto does not say by what the content is encrypted: read from the same, written as DER. */
static cs_status find_cipher(CMS_ContentInfo *cms, bool weak, cs_cms_cipher *ret, cs_err *err) {
    CS_SCOPED(cs_buf) der = cs_buf_of((size_t)2 * CS_CMS_MESSAGE_MAX);
    cs_der_fault fault = {.rule = NULL};
    cs_view skipped;
    char text[CS_OID_TEXT_MAX];
    TRY(cs_cms_encode(cms, &der, err));
    cs_der d = cs_der_of(cs_buf_view(&der), &fault), info = cs_der_in(&d, CS_DER_SEQUENCE);
    (void)cs_der_oid(&info);
    cs_der wrap = cs_der_in(&info, CS_DER_CTX_CONS(0)), env = cs_der_in(&wrap, CS_DER_SEQUENCE);
    (void)cs_der_uint(&env, 4);
    (void)cs_der_opt(&env, CS_DER_CTX_CONS(0), &skipped); /* originatorInfo */
    (void)cs_der_get(&env, CS_DER_SET);
    cs_der content = cs_der_in(&env, CS_DER_SEQUENCE);
    (void)cs_der_oid(&content);
    cs_der algorithm = cs_der_in(&content, CS_DER_SEQUENCE);
    cs_view oid = cs_der_oid(&algorithm);
    bool there = cs_der_peek(&content) == CS_DER_CTX(0);
    if (fault.rule != NULL || !there)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "EnvelopedData: %s",
                       fault.rule != NULL ? fault.rule : "nothing is in it");
    for (size_t i = 0; i < sizeof ciphers / sizeof *ciphers; i++) {
        if (!cs_view_eq(oid, ciphers[i].oid)) continue;
        if (ciphers[i].weak && !weak)
            return cs_fail(err, CS_REFUSED, CS_R_ALGORITHM_TOO_WEAK, "a message encrypted with %s", ciphers[i].name);
        *ret = (cs_cms_cipher)i;
        return CS_OK;
    }
    return cs_fail(err, CS_REFUSED, CS_R_ALGORITHM_UNSUPPORTED, "a message encrypted with %s", cs_oid_text(oid, text));
}

cs_status cs_cms_sealed_read(cs_view ber, bool weak, cs_cms_sealed **ret, cs_err *err) {
    CS_AUTO(cs_cms_sealed) s = calloc(1, sizeof *s);
    if (s == NULL) return CS_NOMEM_ERR(err);
    TRY(cs_cms_decode(ber, NID_pkcs7_enveloped, NULL, "EnvelopedData", &s->cms, err));
    TRY(check_recipients(s->cms, err));
    TRY(find_cipher(s->cms, weak, &s->cipher, err));
    if (s->cipher == CS_CMS_DES) {
        CMS_ContentInfo_free(CS_TAKE(s->cms));
        if (weak_ctx == NULL)
            return cs_fail(err, CS_REFUSED, CS_R_ALGORITHM_UNSUPPORTED, "DES: OpenSSL's legacy provider is not there");
        TRY(cs_cms_decode(ber, NID_pkcs7_enveloped, weak_ctx, "EnvelopedData", &s->cms, err));
    }
    *ret = CS_TAKE(s);
    return CS_OK;
}

bool cs_cms_sealed_is_to(const cs_cms_sealed *s, const cs_cert *cert) {
    STACK_OF(CMS_RecipientInfo) *all = CMS_get0_RecipientInfos(s->cms);
    X509 *x = cs_cms_x509(cert);
    bool found = false;
    for (int i = 0; x != NULL && !found && i < sk_CMS_RecipientInfo_num(all); i++)
        found = CMS_RecipientInfo_ktri_cert_cmp(sk_CMS_RecipientInfo_value(all, i), x) == 0;
    X509_free(x);
    return found;
}

/* No certificate is named to CMS_decrypt: it then tries every recipient, and goes on with a random key when none opens,
 * so that a padding that is wrong shows nowhere but in content that is nonsense. */
cs_status cs_cms_sealed_open(cs_cms_sealed *s, const cs_key *key, cs_buf *ret, cs_err *err) {
    ERR_clear_error();
    BIO *out = BIO_new(BIO_s_secmem());
    bool ok =
        out != NULL && CMS_decrypt(s->cms, cs_key_evp(key), NULL, NULL, out, CMS_BINARY) == 1 && cs_cms_take(out, ret);
    BIO_free(out);
    ERR_clear_error();
    if (ok && !ret->failed) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_ENVELOPE_UNREADABLE, "it does not decrypt");
}

cs_status cs_cms_seal(cs_view content, cs_cms_cipher cipher, const cs_cert *to, cs_buf *out, cs_err *err) {
    char words[128];
    ERR_clear_error();
    X509 *x = cs_cms_x509(to);
    EVP_PKEY *key = x != NULL ? X509_get0_pubkey(x) : NULL;
    if (key == NULL || EVP_PKEY_is_a(key, "RSA") != 1) {
        X509_free(x);
        ERR_clear_error();
        return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "only to an RSA key can be encrypted");
    }
    CMS_ContentInfo *cms = CMS_encrypt(NULL, NULL, evp_of(cipher), CMS_PARTIAL | CMS_BINARY);
    BIO *in = BIO_new_mem_buf(content.n > 0 ? (const void *)content.p : "", (int)content.n);
    bool ok = cms != NULL && in != NULL && CMS_add1_recipient_cert(cms, x, 0) != NULL &&
              CMS_final(cms, in, NULL, CMS_BINARY) == 1;
    cs_status status = ok ? cs_cms_encode(cms, out, err)
                          : cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "sealing CMS: %s", cs_ossl_words(words));
    BIO_free(in);
    CMS_ContentInfo_free(cms);
    X509_free(x);
    ERR_clear_error();
    return status;
}

/* libcrypto takes recipients as certificates: one that says nothing but the key and its identifier. */
static X509 *stand_in(cs_view spki, cs_view key_id) {
    static const uint8_t algorithm[] = {CS_DER_OID, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
    CS_SCOPED(cs_buf) b = cs_buf_of(CS_CERT_MAX);
    cs_der_mark cert = cs_der_open(&b, CS_DER_SEQUENCE), tbs = cs_der_open(&b, CS_DER_SEQUENCE);
    cs_der_mark version = cs_der_open(&b, CS_DER_CTX_CONS(0));
    cs_der_put_uint(&b, CS_DER_INTEGER, 2);
    cs_der_close(&b, version);
    cs_der_put_uint(&b, CS_DER_INTEGER, 1);
    cs_der_put(&b, CS_DER_SEQUENCE, cs_view_of(algorithm, sizeof algorithm));
    cs_der_put(&b, CS_DER_SEQUENCE, cs_view_of(NULL, 0));
    cs_der_mark validity = cs_der_open(&b, CS_DER_SEQUENCE);
    cs_der_put_time(&b, 0);
    cs_der_put_time(&b, 0);
    cs_der_close(&b, validity);
    cs_der_put(&b, CS_DER_SEQUENCE, cs_view_of(NULL, 0));
    (void)cs_buf_add_view(&b, spki);
    cs_der_mark outer = cs_der_open(&b, CS_DER_CTX_CONS(3)), list = cs_der_open(&b, CS_DER_SEQUENCE),
                ext = cs_der_open(&b, CS_DER_SEQUENCE);
    cs_der_put_oid(&b, CS_OID_LIT("\x55\x1d\x0e"));
    cs_der_mark value = cs_der_open(&b, CS_DER_OCTET_STRING);
    cs_der_put(&b, CS_DER_OCTET_STRING, key_id);
    cs_der_close(&b, value);
    cs_der_close(&b, ext);
    cs_der_close(&b, list);
    cs_der_close(&b, outer);
    cs_der_close(&b, tbs);
    cs_der_put(&b, CS_DER_SEQUENCE, cs_view_of(algorithm, sizeof algorithm));
    cs_der_put_bits(&b, cs_view_of((const uint8_t *)"", 1));
    cs_der_close(&b, cert);
    const unsigned char *p = b.p;
    return b.failed ? NULL : d2i_X509(NULL, &p, (long)b.n);
}

/* RSA by key transport; EC by key agreement, with SHA-256 instead of libcrypto's SHA-1. */
static bool add_recipient(CMS_ContentInfo *cms, X509 *x) {
    CMS_RecipientInfo *ri = CMS_add1_recipient_cert(cms, x, CMS_USE_KEYID | CMS_KEY_PARAM);
    EVP_PKEY_CTX *ctx = ri != NULL ? CMS_RecipientInfo_get0_pkey_ctx(ri) : NULL;
    bool agrees = ri != NULL && CMS_RecipientInfo_type(ri) == CMS_RECIPINFO_AGREE;
    return ri != NULL && (!agrees || (ctx != NULL && EVP_PKEY_CTX_set_ecdh_kdf_md(ctx, EVP_sha256()) == 1));
}

cs_status cs_cms_seal_to_key(cs_view content, cs_view spki, cs_view key_id, cs_buf *out, cs_err *err) {
    char words[128];
    ERR_clear_error();
    X509 *x = stand_in(spki, key_id);
    EVP_PKEY *key = x != NULL ? X509_get0_pubkey(x) : NULL;
    if (key == NULL || (EVP_PKEY_is_a(key, "RSA") != 1 && EVP_PKEY_is_a(key, "EC") != 1)) {
        X509_free(x);
        ERR_clear_error();
        return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "only to RSA and EC keys can be encrypted");
    }
    CMS_ContentInfo *cms = CMS_encrypt(NULL, NULL, EVP_aes_256_cbc(), CMS_PARTIAL | CMS_BINARY);
    BIO *in = BIO_new_mem_buf(content.n > 0 ? (const void *)content.p : "", (int)content.n);
    ASN1_OBJECT *signed_data = OBJ_nid2obj(NID_pkcs7_signed);
    bool ok = cms != NULL && in != NULL && add_recipient(cms, x) && CMS_set1_eContentType(cms, signed_data) == 1 &&
              CMS_final(cms, in, NULL, CMS_BINARY) == 1;
    cs_status status = ok ? cs_cms_encode(cms, out, err)
                          : cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "sealing CMS: %s", cs_ossl_words(words));
    BIO_free(in);
    CMS_ContentInfo_free(cms);
    X509_free(x);
    ERR_clear_error();
    return status;
}
