#include "proto/est/est_msg.h"

#include "base/text.h"
#include "x509/cms_message.h"
#include "x509/der_write.h"
#include "x509/pem.h"

enum { ANSWER_MAX = 1024 * 1024, LINE = 48 }; /* octets: 64 characters */

#define OID_EC_PUBLIC_KEY CS_OID_LIT("\x2a\x86\x48\xce\x3d\x02\x01")
#define OID_CHALLENGE CS_OID_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07")
#define OID_P256 CS_OID_LIT("\x2a\x86\x48\xce\x3d\x03\x01\x07")
#define OID_ECDSA_SHA256 CS_OID_LIT("\x2a\x86\x48\xce\x3d\x04\x03\x02")

cs_status est_path_read(cs_view rest, est_op *ret, char label[EST_LABEL_MAX + 1], cs_err *err) {
    static const struct {
        const char *name;
        est_op op;
    } ops[] = {{"cacerts", EST_CACERTS},           {"csrattrs", EST_CSRATTRS},
               {"simpleenroll", EST_SIMPLEENROLL}, {"simplereenroll", EST_SIMPLEREENROLL},
               {"serverkeygen", EST_SERVERKEYGEN}, {"fullcmc", EST_FULLCMC}};
    const uint8_t *slash = rest.n > 0 ? memchr(rest.p, '/', rest.n) : NULL;
    cs_view op = rest;
    label[0] = '\0';
    if (slash != NULL) {
        size_t n = (size_t)(slash - rest.p);
        op = cs_view_of(slash + 1, rest.n - n - 1);
        if (n == 0 || n > EST_LABEL_MAX || memchr(rest.p, '\0', n) != NULL)
            return cs_fail(err, CS_REFUSED, CS_R_ROUTE_UNKNOWN, "a label has 1 to %d characters", EST_LABEL_MAX);
        memcpy(label, rest.p, n);
        label[n] = '\0';
    }
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (!cs_view_eq_str(op, ops[i].name)) continue;
        *ret = ops[i].op;
        return CS_OK;
    }
    return cs_fail(err, CS_REFUSED, CS_R_ROUTE_UNKNOWN, "no operation of EST");
}

cs_status est_csr_read(cs_view body, cs_buf *der, cs_err *err) {
    cs_view text = cs_view_trim(body);
    if (text.n == 0) return cs_fail(err, CS_REFUSED, CS_R_CSR_MALFORMED, "the body is empty");
    bool as_it_is =
        body.p[0] == CS_DER_SEQUENCE && body.n > 1 && (body.p[1] & 0x80) != 0; /* no base64 has that octet */
    bool pem = cs_view_starts(text, CS_VIEW_LIT("-----BEGIN "));
    if (as_it_is || pem) {
        (void)cs_buf_add_view(der, body);
        return cs_buf_ok(der, "the request", err);
    }
    if (cs_base64_decode(text, true, der) && !der->failed) return CS_OK;
    TRY(cs_buf_ok(der, "the request", err));
    return cs_fail(err, CS_REFUSED, CS_R_CSR_MALFORMED, "the body is not base64 of a PKCS#10 request");
}

bool est_basic_read(cs_view header, cs_buf *decoded, cs_view *ret_user, cs_view *ret_password) {
    static const char scheme[] = "Basic ";
    size_t n = sizeof scheme - 1;
    if (header.n <= n || !cs_view_eq_nocase(cs_view_of(header.p, n), cs_view_str(scheme))) return false;
    if (!cs_base64_decode(cs_view_trim(cs_view_of(header.p + n, header.n - n)), true, decoded) || decoded->n == 0)
        return false;
    const uint8_t *colon = memchr(decoded->p, ':', decoded->n);
    if (colon == NULL) return false;
    size_t user = (size_t)(colon - decoded->p);
    *ret_user = cs_view_of(decoded->p, user);
    *ret_password = cs_view_of(colon + 1, decoded->n - user - 1);
    return true;
}

bool est_base64_add(cs_buf *b, cs_view der, bool lines) {
    for (size_t at = 0; lines && at + LINE < der.n; at += LINE) {
        (void)cs_base64_add(b, cs_view_of(der.p + at, LINE));
        (void)cs_buf_add_byte(b, '\n');
    }
    size_t done = lines && der.n > 0 ? (der.n - 1) / LINE * LINE : 0;
    return cs_base64_add(b, cs_view_of(der.p + done, der.n - done)) && cs_buf_add_byte(b, '\n');
}

cs_status est_certs_add(cs_buf *b, const cs_cert *const certs[], size_t n, bool lines, cs_err *err) {
    CS_SCOPED(cs_buf) der = cs_buf_of(ANSWER_MAX);
    TRY(cs_cms_certs_make(certs, n, (cs_view){NULL, 0}, &der, err));
    (void)est_base64_add(b, cs_buf_view(&der), lines);
    return cs_buf_ok(b, "the certificates", err);
}

cs_status est_csrattrs_add(cs_buf *b, bool bound, bool lines, cs_err *err) {
    CS_SCOPED(cs_buf) der = cs_buf_of(1024);
    cs_der_mark all = cs_der_open(&der, CS_DER_SEQUENCE);
    if (bound) cs_der_put_oid(&der, OID_CHALLENGE);
    cs_der_mark attribute = cs_der_open(&der, CS_DER_SEQUENCE);
    cs_der_put_oid(&der, OID_EC_PUBLIC_KEY);
    cs_der_mark values = cs_der_open(&der, CS_DER_SET);
    cs_der_put_oid(&der, OID_P256);
    cs_der_close(&der, values);
    cs_der_close(&der, attribute);
    cs_der_put_oid(&der, OID_ECDSA_SHA256);
    cs_der_close(&der, all);
    TRY(cs_buf_ok(&der, "csrattrs", err));
    (void)est_base64_add(b, cs_buf_view(&der), lines);
    return cs_buf_ok(b, "csrattrs", err);
}
