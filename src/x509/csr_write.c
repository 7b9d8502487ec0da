/* Certificate requests, made. @rfc 2986#4 @rfc 4211#3 */
#include "x509/build.h"
#include "x509/csr.h"
#include "x509/exts_write.h"

static void put_extension_request(cs_buf *b, const cs_san *sans, size_t n, bool critical) {
    cs_der_mark attribute = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_oid(b, CS_OID_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e"));
    cs_der_mark values = cs_der_open(b, CS_DER_SET), list = cs_der_open(b, CS_DER_SEQUENCE);
    cs_ext_put_sans(b, critical, sans, n);
    cs_der_close(b, list);
    cs_der_close(b, values);
    cs_der_close(b, attribute);
}

static void put_challenge(cs_buf *b, cs_view challenge) {
    cs_der_mark attribute = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_oid(b, CS_OID_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07"));
    cs_der_mark values = cs_der_open(b, CS_DER_SET);
    cs_der_put(b, CS_DER_UTF8_STRING, challenge);
    cs_der_close(b, values);
    cs_der_close(b, attribute);
}

cs_status cs_csr_make(const cs_key *key, const char *cn, const cs_san *sans, size_t san_count, cs_buf *b, cs_err *err) {
    return cs_csr_make_asking(key, cn, sans, san_count, (cs_view){NULL, 0}, b, err);
}

cs_status cs_csr_make_asking(const cs_key *key, const char *cn, const cs_san *sans, size_t san_count, cs_view challenge,
                             cs_buf *b, cs_err *err) {
    CS_SCOPED(cs_buf) info = cs_buf_secret(CS_CSR_MAX);
    const cs_dn dn = {.common_name = cn};
    cs_der_mark outer = cs_der_open(&info, CS_DER_SEQUENCE);
    cs_der_put_uint(&info, CS_DER_INTEGER, 0);
    TRY(cs_dn_build(&dn, &info, err));
    (void)cs_buf_add_view(&info, cs_key_spki(key));
    cs_der_mark attributes = cs_der_open(&info, CS_DER_CTX_CONS(0)); /* present even when empty */
    if (san_count > 0) put_extension_request(&info, sans, san_count, !cn || !*cn);
    if (challenge.n > 0) put_challenge(&info, challenge);
    cs_der_close(&info, attributes);
    cs_der_close(&info, outer);
    TRY(cs_buf_ok(&info, "request", err));
    return cs_signed_make(key, cs_buf_view(&info), b, err);
}

/* ---- CRMF ---- */

/* regControl oldCertID: CertId ::= { issuer GeneralName, serialNumber }. @rfc 4211#6.5 */
static void put_old(cs_buf *b, const cs_cert *old) {
    cs_der_mark controls = cs_der_open(b, CS_DER_SEQUENCE), one = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_oid(b, CS_OID_LIT("\x2b\x06\x01\x05\x05\x07\x05\x01\x05"));
    cs_der_mark id = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put(b, CS_DER_CTX_CONS(4), old->issuer);
    cs_der_put(b, CS_DER_INTEGER, old->serial);
    cs_der_close(b, id);
    cs_der_close(b, one);
    cs_der_close(b, controls);
}

/* All of the template is IMPLICIT but the Names: the key's SEQUENCE is [6]. */
static void put_template(cs_buf *b, cs_view subject, cs_view spki, const cs_san *sans, size_t n) {
    bool nameless = subject.n == 2;
    cs_der_mark template = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put(b, CS_DER_CTX_CONS(5), subject);
    (void)cs_buf_add_byte(b, CS_DER_CTX_CONS(6));
    (void)cs_buf_add(b, spki.p + 1, spki.n - 1);
    if (n > 0) {
        cs_der_mark list = cs_der_open(b, CS_DER_CTX_CONS(9));
        cs_ext_put_sans(b, nameless, sans, n);
        cs_der_close(b, list);
    }
    cs_der_close(b, template);
}

cs_status cs_crmf_make(const cs_key *key, cs_view subject, const cs_san *sans, size_t san_count, const cs_cert *old,
                       cs_buf *b, cs_err *err) {
    CS_SCOPED(cs_buf) req = cs_buf_of(CS_CSR_MAX), sig = cs_buf_of(4096);
    cs_view algorithm;
    cs_der_mark whole = cs_der_open(&req, CS_DER_SEQUENCE);
    cs_der_put_uint(&req, CS_DER_INTEGER, 0);
    put_template(&req, subject, cs_key_spki(key), sans, san_count);
    if (old != NULL) put_old(&req, old);
    cs_der_close(&req, whole);
    TRY(cs_buf_ok(&req, "request", err));
    TRY(cs_key_algorithm(cs_key_spki(key), &algorithm, err));
    TRY(cs_key_sign(key, cs_buf_view(&req), &sig, err));
    cs_der_mark list = cs_der_open(b, CS_DER_SEQUENCE), one = cs_der_open(b, CS_DER_SEQUENCE);
    (void)cs_buf_add_view(b, cs_buf_view(&req));
    cs_der_mark popo = cs_der_open(b, CS_DER_CTX_CONS(1));
    (void)cs_buf_add_view(b, algorithm);
    cs_der_put_bits(b, cs_buf_view(&sig));
    cs_der_close(b, popo);
    cs_der_close(b, one);
    cs_der_close(b, list);
    return cs_buf_ok(b, "request", err);
}
