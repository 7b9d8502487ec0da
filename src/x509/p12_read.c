/* Certificates and keys out of PKCS#12. libcrypto does DER and mathematics; what a file may cost is settled before.
 * @rfc 7292 */
#include "x509/p12.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include "keys/keys_evp.h"

enum { BAGS_MAX = 64, NESTING_MAX = 4 };

typedef struct reading {
    const char *what, *password;
    int password_n;
    cs_certs *bag; /* NULL: certificates are not wanted */
    EVP_PKEY *key; /* of the first key bag, when certificates are not wanted */
    size_t from;   /* where ours begin in the bag */
    unsigned seen;
    cs_err *err;
} reading;

static cs_status malformed(const reading *r, const char *why) {
    char words[128];
    (void)cs_ossl_words(words);
    return cs_fail(r->err, CS_REFUSED, CS_R_FILE_MALFORMED, "%s: PKCS#12: %s", r->what, why);
}

static cs_status rounds_ok(const reading *r, const ASN1_INTEGER *rounds) {
    int64_t n = 0;
    if (rounds == NULL) return CS_OK;
    if (ASN1_INTEGER_get_int64(&n, rounds) != 1 || n < 1 || n > CS_P12_ROUNDS_MAX)
        return cs_fail(r->err, CS_LIMIT, CS_R_LIMIT_REACHED,
                       "%s: PKCS#12 with more than %d rounds of its key derivation", r->what, CS_P12_ROUNDS_MAX);
    return CS_OK;
}

/* What opening would cost: PBES2 with PBKDF2, or the schemes of PKCS#12 itself. Others are not opened. */
static cs_status cost_ok(const reading *r, const X509_ALGOR *alg) {
    const ASN1_OBJECT *oid = NULL;
    const void *value = NULL;
    int type = 0;
    X509_ALGOR_get0(&oid, &type, &value, alg);
    if (type != V_ASN1_SEQUENCE) return malformed(r, "an encryption without parameters");
    cs_status s = CS_OK;
    if (OBJ_obj2nid(oid) != NID_pbes2) {
        PBEPARAM *p = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBEPARAM), alg->parameter);
        s = p ? rounds_ok(r, p->iter) : malformed(r, "the encryption's parameters");
        PBEPARAM_free(p);
        return s;
    }
    PBE2PARAM *two = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), alg->parameter);
    PBKDF2PARAM *kdf = two && OBJ_obj2nid(two->keyfunc->algorithm) == NID_id_pbkdf2
                           ? ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBKDF2PARAM), two->keyfunc->parameter)
                           : NULL;
    s = kdf ? rounds_ok(r, kdf->iter) : malformed(r, "a key derivation other than PBKDF2");
    PBKDF2PARAM_free(kdf);
    PBE2PARAM_free(two);
    return s;
}

static cs_status add_cert(reading *r, const PKCS12_SAFEBAG *bag) {
    if (PKCS12_SAFEBAG_get_bag_nid(bag) != NID_x509Certificate) return CS_OK;
    X509 *x = PKCS12_SAFEBAG_get1_cert(bag);
    unsigned char *der = NULL;
    int n = x ? i2d_X509(x, &der) : -1;
    X509_free(x);
    if (n <= 0) return malformed(r, "a certificate in it");
    cs_cert *c = NULL;
    cs_status s = cs_cert_decode_noting(cs_view_of(der, (size_t)n), &c, r->err);
    OPENSSL_free(der);
    if (s != CS_OK) return cs_fail_in(r->err, "%s", r->what);
    TRY(cs_certs_add(r->bag, c, r->err));
    if (PKCS12_SAFEBAG_get0_attr(bag, NID_localKeyID) == NULL) return CS_OK;
    memmove(r->bag->at + r->from + 1, r->bag->at + r->from, (r->bag->n - 1 - r->from) * sizeof r->bag->at[0]);
    r->bag->at[r->from] = c; /* the key's own */
    return CS_OK;
}

static cs_status take_key(reading *r, const PKCS12_SAFEBAG *bag) {
    PKCS8_PRIV_KEY_INFO *opened = NULL;
    const PKCS8_PRIV_KEY_INFO *plain = NULL;
    if (PKCS12_SAFEBAG_get_nid(bag) == NID_keyBag) {
        plain = PKCS12_SAFEBAG_get0_p8inf(bag);
    } else {
        const X509_ALGOR *alg = NULL;
        X509_SIG_get0(PKCS12_SAFEBAG_get0_pkcs8(bag), &alg, NULL);
        TRY(cost_ok(r, alg));
        plain = opened = PKCS12_decrypt_skey(bag, r->password, r->password_n);
    }
    r->key = plain ? EVP_PKCS82PKEY(plain) : NULL;
    PKCS8_PRIV_KEY_INFO_free(opened);
    return r->key ? CS_OK : malformed(r, "its key cannot be opened");
}

/* Either certificates are taken and keys stay shut, or the other way. */
static cs_status take_bags(reading *r, const STACK_OF(PKCS12_SAFEBAG) * bags, int depth) {
    for (int i = 0; i < sk_PKCS12_SAFEBAG_num(bags); i++) {
        const PKCS12_SAFEBAG *bag = sk_PKCS12_SAFEBAG_value(bags, i);
        if (++r->seen > BAGS_MAX || depth > NESTING_MAX) return malformed(r, "too many bags, or too deep");
        int nid = PKCS12_SAFEBAG_get_nid(bag);
        if (nid == NID_certBag && r->bag) TRY(add_cert(r, bag));
        bool key = nid == NID_keyBag || nid == NID_pkcs8ShroudedKeyBag;
        if (key && !r->bag && !r->key) TRY(take_key(r, bag));
        if (nid == NID_safeContentsBag) TRY(take_bags(r, PKCS12_SAFEBAG_get0_safes(bag), depth + 1));
    }
    return CS_OK;
}

static cs_status take_safe(reading *r, PKCS7 *safe) {
    STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    int nid = OBJ_obj2nid(safe->type);
    char words[128];
    if (nid == NID_pkcs7_data) {
        bags = PKCS12_unpack_p7data(safe);
        if (!bags) return malformed(r, "a part that is not encrypted");
    } else if (nid == NID_pkcs7_encrypted && safe->d.encrypted && safe->d.encrypted->enc_data) {
        TRY(cost_ok(r, safe->d.encrypted->enc_data->algorithm));
        bags = PKCS12_unpack_p7encdata(safe, r->password, r->password_n);
        if (!bags)
            return cs_fail(
                r->err, CS_REFUSED, CS_R_FILE_MALFORMED,
                "%s: PKCS#12 that could not be opened (%s); a file with RC2 is made anew by openssl pkcs12 -legacy",
                r->what, cs_ossl_words(words));
    } else {
        return CS_OK; /* for a public key: not ours */
    }
    cs_status s = take_bags(r, bags, 0);
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    return s;
}

static cs_status mac_ok(const reading *r, PKCS12 *p12) {
    const ASN1_INTEGER *rounds = NULL;
    char words[128];
    if (!PKCS12_mac_present(p12)) return malformed(r, "no MAC that the password could be checked by");
    PKCS12_get0_mac(NULL, NULL, NULL, &rounds, p12);
    TRY(rounds_ok(r, rounds));
    if (PKCS12_verify_mac(p12, r->password, r->password_n) == 1) return CS_OK;
    (void)cs_ossl_words(words);
    return cs_fail(r->err, CS_REFUSED, CS_R_PASSPHRASE_WRONG, "%s", r->what);
}

static cs_status take_all(reading *r, PKCS12 *p12) {
    TRY(mac_ok(r, p12));
    STACK_OF(PKCS7) *safes = PKCS12_unpack_authsafes(p12);
    if (!safes) return malformed(r, "its contents");
    cs_status s = CS_OK;
    for (int i = 0; s == CS_OK && i < sk_PKCS7_num(safes) && i < BAGS_MAX; i++)
        s = take_safe(r, sk_PKCS7_value(safes, i));
    sk_PKCS7_pop_free(safes, PKCS7_free);
    return s;
}

/* Opens it and takes what r wants. */
static cs_status read_all(reading *r, cs_view der, const cs_secret *password) {
    if (der.n > CS_P12_MAX)
        return cs_fail(r->err, CS_LIMIT, CS_R_FILE_TOO_LARGE, "%s: PKCS#12 of %zu bytes", r->what, der.n);
    if (password->n > CS_PASSPHRASE_MAX || (password->n && memchr(password->p, 0, password->n)))
        return cs_fail(r->err, CS_REFUSED, CS_R_PASSPHRASE_WRONG, "%s: it is too long or holds a NUL", r->what);
    CS_SCOPED(cs_buf) text = cs_buf_secret(CS_PASSPHRASE_MAX + 1);
    (void)cs_buf_add_view(&text, cs_secret_view(password));
    r->password = cs_buf_cstr(&text);
    r->password_n = (int)password->n;
    if (!r->password) return CS_NOMEM_ERR(r->err);
    ERR_clear_error();
    const unsigned char *p = der.p;
    PKCS12 *p12 = d2i_PKCS12(NULL, &p, (long)der.n);
    cs_status s = p12 && p == der.p + der.n ? take_all(r, p12) : malformed(r, "not of its form");
    PKCS12_free(p12);
    ERR_clear_error();
    return s;
}

cs_status cs_p12_certs_read(cs_view der, const cs_secret *password, const char *what, cs_certs *bag, cs_err *err) {
    reading r = {.what = what, .bag = bag, .from = bag->n, .err = err};
    TRY(read_all(&r, der, password));
    if (bag->n > r.from) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s: PKCS#12 without a certificate", what);
}

cs_status cs_p12_key_read(cs_view der, const cs_secret *password, const char *what, cs_key **ret, cs_err *err) {
    reading r = {.what = what, .err = err};
    cs_status s = read_all(&r, der, password);
    CS_SCOPED(cs_buf) pem = cs_buf_secret(CS_KEY_FILE_MAX);
    BIO *out = s == CS_OK && r.key ? BIO_new(BIO_s_secmem()) : NULL;
    if (out && PEM_write_bio_PKCS8PrivateKey(out, r.key, NULL, NULL, 0, NULL, NULL) == 1) {
        char *text = NULL;
        long n = BIO_get_mem_data(out, &text);
        (void)cs_buf_add(&pem, text, n > 0 ? (size_t)n : 0);
    }
    BIO_free(out);
    EVP_PKEY_free(r.key);
    if (s != CS_OK) return s;
    if (pem.n == 0) return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s: PKCS#12 without a key", what);
    return cs_key_read_pem(cs_buf_view(&pem), NULL, what, ret, err);
}

bool cs_looks_p12(cs_view der) {
    static const uint8_t version[] = {0x02, 0x01, 0x03, 0x30}; /* INTEGER 3, then authSafe */
    size_t head = der.n < 2 ? 0 : der.p[1] <= 0x80 ? 2 : 2 + (size_t)(der.p[1] & 0x7f);
    return head > 0 && head <= 6 && der.p[0] == 0x30 && der.n >= head + 4 && memcmp(der.p + head, version, 4) == 0;
}
