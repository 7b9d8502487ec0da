/* PEM, written; and one block of it read. */
#include "x509/pem.h"

#include "base/text.h"
#include "x509/cert_priv.h"

bool cs_pem_add_lines(cs_buf *b, cs_view der) {
    enum { OCTETS_A_LINE = 48 };
    for (size_t at = 0; at < der.n; at += OCTETS_A_LINE) {
        size_t n = der.n - at < OCTETS_A_LINE ? der.n - at : OCTETS_A_LINE;
        (void)cs_base64_add(b, cs_view_of(der.p + at, n));
        (void)cs_buf_add_byte(b, '\n');
    }
    return !b->failed;
}

bool cs_pem_add(cs_buf *b, const char *label, cs_view der) {
    (void)cs_buf_addf(b, "-----BEGIN %s-----\n", label);
    (void)cs_pem_add_lines(b, der);
    return cs_buf_addf(b, "-----END %s-----\n", label) && !b->failed;
}

cs_status cs_pem_to_der(cs_view text, const char *label, const char *what, cs_buf *b, cs_err *err) {
    if (text.n == 0) return cs_fail(err, CS_REFUSED, CS_R_FILE_EMPTY, "%s", what);
    if (cs_looks_der(text)) return cs_buf_add_view(b, text) ? CS_OK : cs_buf_ok(b, what, err);
    cs_pem pem = cs_pem_of(text, what);
    CS_SCOPED(cs_buf) der = cs_buf_of(b->max);
    cs_status status = CS_OK;
    while ((status = cs_pem_next(&pem, &der, err)) == CS_OK) {
        if (strcmp(pem.label, label) != 0) continue;
        return cs_buf_add_view(b, cs_buf_view(&der)) ? CS_OK : cs_buf_ok(b, what, err);
    }
    if (status != CS_AGAIN) return status;
    return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s: no %s in it", what, label);
}
