#include "x509/cms.h"

#include "x509/cert_priv.h"

#define OID_SIGNED_DATA CS_OID_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02")

/* ContentInfo ::= SEQUENCE { contentType, [0] EXPLICIT content }. BER's indefinite length begins 30 80. */
bool cs_looks_cms(cs_view der) {
    cs_view oid = OID_SIGNED_DATA;
    size_t head = der.n < 2 ? 0 : der.p[1] <= 0x80 ? 2 : 2 + (size_t)(der.p[1] & 0x7f);
    if (head == 0 || head > 6 || der.p[0] != CS_DER_SEQUENCE || der.n < head + 2 + oid.n) return false;
    return der.p[head] == CS_DER_OID && der.p[head + 1] == oid.n && memcmp(der.p + head + 2, oid.p, oid.n) == 0;
}

static cs_status malformed(cs_view der, const char *what, const cs_der_fault *fault, cs_err *err) {
    if (der.n > 1 && der.p[1] == 0x80)
        return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED,
                       "%s: PKCS#7 in BER (indefinite length), expected DER: openssl pkcs7 -inform DER -print_certs "
                       "makes PEM of it",
                       what);
    return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "%s: PKCS#7, at octet %zu: %s", what,
                   (size_t)((fault->at ? fault->at : der.p) - der.p), fault->rule);
}

static cs_status add_all(cs_view set, cs_view der, const char *what, cs_certs *bag, cs_err *err) {
    cs_der_fault fault = {0};
    cs_der list = cs_der_of(set, &fault);
    for (unsigned n = 1; cs_der_more(&list); n++) {
        cs_cert *c = NULL;
        cs_view one = cs_der_get_whole(&list, CS_DER_SEQUENCE); /* the other choices are long obsolete */
        if (fault.rule) return malformed(der, what, &fault, err);
        if (n > CS_CMS_CERTS_MAX)
            return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s: more than %d certificates", what, CS_CMS_CERTS_MAX);
        cs_status s = cs_cert_decode_noting(one, &c, err);
        if (s != CS_OK) return cs_fail_in(err, "%s: certificate %u", what, n);
        TRY(cs_certs_add(bag, c, err));
    }
    return CS_OK;
}

cs_status cs_cms_certs_read(cs_view der, const char *what, cs_certs *bag, cs_err *err) {
    cs_der_fault fault = {0};
    if (der.n > CS_CMS_MAX) return cs_fail(err, CS_LIMIT, CS_R_FILE_TOO_LARGE, "%s: PKCS#7 of %zu bytes", what, der.n);
    cs_der d = cs_der_of(der, &fault), info = cs_der_in(&d, CS_DER_SEQUENCE), content;
    cs_view certs = {NULL, 0}, crls;
    cs_der_end(&d);
    if (!cs_view_eq(cs_der_oid(&info), OID_SIGNED_DATA)) cs_der_bad(&info, "not of the type signedData");
    cs_der wrap = cs_der_in(&info, CS_DER_CTX_CONS(0)), s = cs_der_in(&wrap, CS_DER_SEQUENCE);
    cs_der_end(&wrap);
    cs_der_end(&info);
    (void)cs_der_uint(&s, 5);
    (void)cs_der_get(&s, CS_DER_SET); /* digestAlgorithms */
    content = cs_der_in(&s, CS_DER_SEQUENCE);
    (void)cs_der_oid(&content);
    bool got = cs_der_opt(&s, CS_DER_CTX_CONS(0), &certs);
    (void)cs_der_opt(&s, CS_DER_CTX_CONS(1), &crls);
    (void)cs_der_get(&s, CS_DER_SET); /* signerInfos */
    cs_der_end(&s);
    if (fault.rule) return malformed(der, what, &fault, err);
    if (!got || certs.n == 0)
        return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s: PKCS#7 without a certificate in it", what);
    return add_all(certs, der, what, bag, err);
}

static bool issued_another(const cs_certs *bag, size_t i) {
    for (size_t k = 0; k < bag->n; k++)
        if (k != i && cs_name_eq(bag->at[k]->issuer, bag->at[i]->subject)) return true;
    return false;
}

cs_status cs_certs_leaf_first(cs_certs *bag, const char *what, cs_err *err) {
    size_t leaf = 0, found = 0;
    for (size_t i = 0; i < bag->n; i++) {
        if (issued_another(bag, i)) continue;
        leaf = i;
        found++;
    }
    if (found != 1)
        return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE,
                       "%s: %zu of its %zu certificates may be the leaf; give the leaf in a file of its own", what,
                       found, bag->n);
    cs_cert *c = bag->at[leaf];
    memmove(bag->at + 1, bag->at, leaf * sizeof bag->at[0]);
    bag->at[0] = c;
    return CS_OK;
}
