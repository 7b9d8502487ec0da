/* Signed messages. @rfc 5652#5 */
#include "x509/cms_priv.h"

#include "x509/cert_priv.h"
#include "x509/der_write.h"

#include <openssl/err.h>

enum { CERTS_MAX = 16, OTHER_MAX = 64 * 1024 };

static const struct {
    int nid;
    const char *name;
    bool weak;
} digests[] = {[CS_CMS_SHA256] = {NID_sha256, "SHA-256", false},
               [CS_CMS_SHA384] = {NID_sha384, "SHA-384", false},
               [CS_CMS_SHA512] = {NID_sha512, "SHA-512", false},
               [CS_CMS_SHA1] = {NID_sha1, "SHA-1", true},
               [CS_CMS_MD5] = {NID_md5, "MD5", true}};

const char *cs_cms_digest_name(cs_cms_digest digest) {
    return digests[digest].name;
}

X509 *cs_cms_x509(const cs_cert *c) {
    const unsigned char *p = c->der.p;
    return d2i_X509(NULL, &p, (long)c->der.n);
}

bool cs_cms_take(BIO *from, cs_buf *to) {
    const char *p = NULL;
    long n = BIO_get_mem_data(from, &p);
    return n <= 0 || cs_buf_add(to, p, (size_t)n);
}

cs_status cs_cms_decode(cs_view ber, int type, OSSL_LIB_CTX *ctx, const char *what, CMS_ContentInfo **ret,
                        cs_err *err) {
    char words[128];
    if (ber.n > CS_CMS_MESSAGE_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s of %zu octets, at most %d", what, ber.n,
                       CS_CMS_MESSAGE_MAX);
    ERR_clear_error();
    const unsigned char *p = ber.p;
    CMS_ContentInfo *cms = CMS_ContentInfo_new_ex(ctx, NULL); /* freed by d2i when it fails */
    cms = cms != NULL && ber.n > 0 ? d2i_CMS_ContentInfo(&cms, &p, (long)ber.n) : (CMS_ContentInfo_free(cms), NULL);
    bool whole = cms != NULL && p == ber.p + ber.n;
    if (whole && OBJ_obj2nid(CMS_get0_type(cms)) == type) {
        *ret = cms;
        return CS_OK;
    }
    CMS_ContentInfo_free(cms);
    const char *why = cms == NULL ? cs_ossl_words(words) : whole ? "of another type" : "something stands behind it";
    return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "%s: %s", what, why);
}

cs_status cs_cms_encode(CMS_ContentInfo *cms, cs_buf *out, cs_err *err) {
    unsigned char *der = NULL;
    char words[128];
    int n = i2d_CMS_ContentInfo(cms, &der);
    if (n <= 0) return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "writing CMS: %s", cs_ossl_words(words));
    (void)cs_buf_add(out, der, (size_t)n);
    OPENSSL_free(der);
    return cs_buf_ok(out, "CMS", err);
}

/* ---- read ---- */

void cs_cms_signed_free(cs_cms_signed *s) {
    cs_buf_free(&s->content);
    cs_buf_free(&s->attr_octets);
    cs_cert_free(s->signer);
    s->signer = NULL;
    cs_certs_free(&s->certs);
}

static cs_status malformed(cs_err *err, const char *why) {
    return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "SignedData: %s", why);
}

static cs_status check_digest(const X509_ALGOR *alg, bool weak, cs_cms_digest *ret, cs_err *err) {
    int nid = OBJ_obj2nid(alg->algorithm);
    for (size_t i = 0; i < sizeof digests / sizeof *digests; i++) {
        if (digests[i].nid != nid) continue;
        if (digests[i].weak && !weak)
            return cs_fail(err, CS_REFUSED, CS_R_ALGORITHM_TOO_WEAK, "a message signed with %s", digests[i].name);
        *ret = (cs_cms_digest)i;
        return CS_OK;
    }
    return cs_fail(err, CS_REFUSED, CS_R_ALGORITHM_UNSUPPORTED, "a message signed with %s",
                   nid != NID_undef ? OBJ_nid2sn(nid) : "an unknown digest");
}

/* signatureAlgorithm may name a digest of its own, which must be the same. */
static cs_status check_signature_algorithm(const X509_ALGOR *alg, cs_cms_digest digest, cs_err *err) {
    int md = NID_undef, key = NID_undef, nid = OBJ_obj2nid(alg->algorithm);
    if (nid == NID_rsaEncryption) return CS_OK; /* @rfc 5754#3.2 */
    if (OBJ_find_sigid_algs(nid, &md, &key) == 1 && md == digests[digest].nid) return CS_OK;
    if (nid == NID_rsassaPss) return CS_OK; /* names its digest in parameters, which libcrypto compares */
    return cs_fail(err, CS_REFUSED, CS_R_ALGORITHM_UNSUPPORTED, "a message's signature algorithm %s",
                   nid != NID_undef ? OBJ_nid2sn(nid) : "is unknown");
}

/* Every certificate of it, and which is the signer's. */
static cs_status read_certs(CMS_ContentInfo *cms, CMS_SignerInfo *si, cs_cms_signed *ret, X509 **ret_signer,
                            cs_err *err) {
    STACK_OF(X509) *certs = CMS_get1_certs(cms);
    int n = certs != NULL ? sk_X509_num(certs) : 0;
    cs_status status = CS_OK;
    if (n > CERTS_MAX) status = malformed(err, "more than 16 certificates");
    for (int i = 0; i < n && status == CS_OK; i++) {
        X509 *x = sk_X509_value(certs, i);
        unsigned char *der = NULL;
        cs_cert *c = NULL;
        int len = i2d_X509(x, &der);
        status = len > 0 ? cs_cert_decode_noting(cs_view_of(der, (size_t)len), &c, err)
                         : malformed(err, "a certificate in it");
        OPENSSL_free(der);
        if (status == CS_OK) status = cs_certs_add(&ret->certs, c, err);
        if (status != CS_OK || ret->signer != NULL || CMS_SignerInfo_cert_cmp(si, x) != 0) continue;
        ret->signer = cs_cert_ref(c);
        (void)X509_up_ref(x);
        *ret_signer = x;
    }
    sk_X509_pop_free(certs, X509_free);
    if (status == CS_OK && ret->signer == NULL) return malformed(err, "the signer's certificate is not in it");
    return status;
}

static cs_status read_attr(X509_ATTRIBUTE *attr, cs_cms_signed *ret, size_t at[2], cs_err *err) {
    const ASN1_OBJECT *oid = X509_ATTRIBUTE_get0_object(attr);
    if (X509_ATTRIBUTE_count(attr) != 1) return malformed(err, "an attribute that has not one value");
    ASN1_TYPE *value = X509_ATTRIBUTE_get0_type(attr, 0);
    unsigned char *der = NULL;
    int n = i2d_ASN1_TYPE(value, &der);
    at[0] = ret->attr_octets.n;
    (void)cs_buf_add(&ret->attr_octets, OBJ_get0_data(oid), OBJ_length(oid));
    at[1] = ret->attr_octets.n;
    if (n > 0) (void)cs_buf_add(&ret->attr_octets, der, (size_t)n);
    OPENSSL_free(der);
    return n > 0 ? CS_OK : malformed(err, "an attribute's value");
}

static cs_status read_attrs(const CMS_SignerInfo *si, cs_cms_signed *ret, cs_err *err) {
    size_t at[CS_CMS_ATTRS_MAX][2];
    int n = CMS_signed_get_attr_count(si);
    if (n <= 0) return malformed(err, "no signed attributes");
    if (n > CS_CMS_ATTRS_MAX) return malformed(err, "too many signed attributes");
    ret->attr_octets = cs_buf_of(OTHER_MAX);
    for (int i = 0; i < n; i++) TRY(read_attr(CMS_signed_get_attr(si, i), ret, at[i], err));
    TRY(cs_buf_ok(&ret->attr_octets, "signed attributes", err));
    ret->attr_count = (size_t)n;
    for (size_t i = 0; i < ret->attr_count; i++) {
        const uint8_t *p = ret->attr_octets.p;
        size_t end = i + 1 < ret->attr_count ? at[i + 1][0] : ret->attr_octets.n;
        ret->attrs[i] =
            (cs_cms_attr){cs_view_of(p + at[i][0], at[i][1] - at[i][0]), cs_view_of(p + at[i][1], end - at[i][1])};
    }
    return CS_OK;
}

/* libcrypto compares the attribute messageDigest with the content, and the signature with the attributes. */
static cs_status verify(CMS_ContentInfo *cms, cs_cms_signed *ret, cs_err *err) {
    char words[128];
    ASN1_OCTET_STRING **content = CMS_get0_content(cms);
    ret->has_content = content != NULL && *content != NULL;
    ret->content = cs_buf_of(CS_CMS_MESSAGE_MAX);
    BIO *in = ret->has_content ? NULL : BIO_new_mem_buf("", 0), *out = BIO_new(BIO_s_mem());
    bool ok = out != NULL && (ret->has_content || in != NULL) &&
              CMS_verify(cms, NULL, NULL, in, out, CMS_NO_SIGNER_CERT_VERIFY | CMS_BINARY) == 1 &&
              cs_cms_take(out, &ret->content);
    BIO_free(in);
    BIO_free(out);
    if (ok) return cs_buf_ok(&ret->content, "content", err);
    return cs_fail(err, CS_REFUSED, CS_R_SIGNATURE_INVALID, "a message's signature: %s", cs_ossl_words(words));
}

static cs_status read(CMS_ContentInfo *cms, bool weak, cs_cms_signed *ret, cs_err *err) {
    STACK_OF(CMS_SignerInfo) *infos = CMS_get0_SignerInfos(cms);
    X509_ALGOR *digest = NULL, *signature = NULL;
    X509 *signer = NULL;
    if (infos == NULL || sk_CMS_SignerInfo_num(infos) != 1) return malformed(err, "it has not one signer");
    CMS_SignerInfo *si = sk_CMS_SignerInfo_value(infos, 0);
    CMS_SignerInfo_get0_algs(si, NULL, NULL, &digest, &signature);
    TRY(read_attrs(si, ret, err));
    TRY(check_digest(digest, weak, &ret->digest, err));
    TRY(check_signature_algorithm(signature, ret->digest, err));
    cs_status status = read_certs(cms, si, ret, &signer, err);
    if (status == CS_OK) status = cs_key_spki_check(ret->signer->spki, err);
    if (status == CS_OK) {
        CMS_SignerInfo_set1_signer_cert(si, signer);
        status = verify(cms, ret, err);
    }
    X509_free(signer);
    return status;
}

cs_status cs_cms_signed_read(cs_view ber, bool weak, cs_cms_signed *ret, cs_err *err) {
    CMS_ContentInfo *cms = NULL;
    *ret = (cs_cms_signed){.has_content = false};
    TRY(cs_cms_decode(ber, NID_pkcs7_signed, NULL, "SignedData", &cms, err));
    cs_status status = read(cms, weak, ret, err);
    CMS_ContentInfo_free(cms);
    return status;
}

cs_view cs_cms_attr_find(const cs_cms_signed *s, cs_view oid) {
    cs_view found = {NULL, 0};
    for (size_t i = 0; i < s->attr_count; i++) {
        if (!cs_view_eq(s->attrs[i].oid, oid)) continue;
        if (found.n > 0) return (cs_view){NULL, 0};
        found = s->attrs[i].value;
    }
    return found;
}

/* ---- written ---- */

static bool add_attr(CMS_SignerInfo *si, const cs_cms_attr *attr) {
    CS_SCOPED(cs_buf) der = cs_buf_of(256);
    cs_der_put_oid(&der, attr->oid);
    const unsigned char *p = der.p, *v = attr->value.p;
    ASN1_OBJECT *oid = der.failed ? NULL : d2i_ASN1_OBJECT(NULL, &p, (long)der.n);
    ASN1_TYPE *value = d2i_ASN1_TYPE(NULL, &v, (long)attr->value.n);
    X509_ATTRIBUTE *a = X509_ATTRIBUTE_new();
    bool ok = oid != NULL && value != NULL && a != NULL && X509_ATTRIBUTE_set1_object(a, oid) == 1 &&
              value->type != V_ASN1_BOOLEAN && X509_ATTRIBUTE_set1_data(a, value->type, value->value.ptr, -1) == 1 &&
              CMS_signed_add1_attr(si, a) == 1;
    X509_ATTRIBUTE_free(a);
    ASN1_TYPE_free(value);
    ASN1_OBJECT_free(oid);
    return ok;
}

static bool add_cert(CMS_ContentInfo *cms, const cs_cert *c) {
    X509 *x = cs_cms_x509(c);
    bool ok = x != NULL && CMS_add1_cert(cms, x) == 1;
    X509_free(x);
    return ok;
}

static bool sign(CMS_ContentInfo *cms, const cs_cms_sign_ask *ask) {
    const EVP_MD *md = EVP_get_digestbynid(digests[ask->digest].nid);
    X509 *signer = cs_cms_x509(ask->signer);
    unsigned flags = CMS_PARTIAL | CMS_BINARY | CMS_NOSMIMECAP | (ask->content == NULL ? CMS_DETACHED : 0U);
    CMS_SignerInfo *si = signer != NULL ? CMS_add1_signer(cms, signer, cs_key_evp(ask->key), md, flags) : NULL;
    bool ok = si != NULL;
    X509_free(signer);
    for (size_t i = 0; ok && i < ask->attr_count; i++) ok = add_attr(si, &ask->attrs[i]);
    for (size_t i = 0; ok && i < ask->more_count; i++)
        ok = cs_view_eq(ask->more[i]->der, ask->signer->der) || add_cert(cms, ask->more[i]);
    const cs_view content = ask->content != NULL ? *ask->content : (cs_view){(const uint8_t *)"", 0};
    if (ok && ask->type == CS_CMS_KEY_PACKAGE) {
        ASN1_OBJECT *type = OBJ_txt2obj("2.16.840.1.101.2.1.2.78.5", 1);
        ok = type != NULL && CMS_set1_eContentType(cms, type) == 1;
        ASN1_OBJECT_free(type);
    }
    BIO *in = ok ? BIO_new_mem_buf(content.n > 0 ? (const void *)content.p : "", (int)content.n) : NULL;
    ok = in != NULL && CMS_final(cms, in, NULL, flags) == 1;
    BIO_free(in);
    return ok;
}

cs_status cs_cms_sign(const cs_cms_sign_ask *ask, cs_buf *out, cs_err *err) {
    char words[128];
    unsigned flags = CMS_PARTIAL | CMS_BINARY | (ask->content == NULL ? CMS_DETACHED : 0U);
    ERR_clear_error();
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, flags);
    cs_status status = cms != NULL && sign(cms, ask)
                           ? cs_cms_encode(cms, out, err)
                           : cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "signing CMS: %s", cs_ossl_words(words));
    CMS_ContentInfo_free(cms);
    ERR_clear_error();
    return status;
}

/* ---- degenerate ---- */

/* ContentInfo { signedData, [0] { 1, {}, { data }, [0] certificates, [1] crls, {} } }               @rfc 5652#5.1 */
cs_status cs_cms_certs_make(const cs_cert *const certs[], size_t n, cs_view crl, cs_buf *out, cs_err *err) {
    cs_der_mark info = cs_der_open(out, CS_DER_SEQUENCE);
    cs_der_put_oid(out, CS_OID_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"));
    cs_der_mark wrap = cs_der_open(out, CS_DER_CTX_CONS(0)), signed_data = cs_der_open(out, CS_DER_SEQUENCE);
    cs_der_put_uint(out, CS_DER_INTEGER, 1);
    cs_der_put(out, CS_DER_SET, (cs_view){NULL, 0});
    cs_der_mark content = cs_der_open(out, CS_DER_SEQUENCE);
    cs_der_put_oid(out, CS_OID_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"));
    cs_der_close(out, content);
    if (n > 0) {
        cs_der_mark set = cs_der_open(out, CS_DER_CTX_CONS(0));
        for (size_t i = 0; i < n; i++) (void)cs_buf_add_view(out, certs[i]->der);
        cs_der_close(out, set);
    }
    if (crl.n > 0) cs_der_put(out, CS_DER_CTX_CONS(1), crl);
    cs_der_put(out, CS_DER_SET, (cs_view){NULL, 0});
    cs_der_close(out, signed_data);
    cs_der_close(out, wrap);
    cs_der_close(out, info);
    return cs_buf_ok(out, "the certificates", err);
}
