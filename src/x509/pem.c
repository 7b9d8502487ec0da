/* PEM, written. */
#include "x509/pem.h"

#include "base/text.h"

bool cs_pem_add(cs_buf *b, const char *label, cs_view der) {
    enum { OCTETS_A_LINE = 48 };
    (void)cs_buf_addf(b, "-----BEGIN %s-----\n", label);
    for (size_t at = 0; at < der.n; at += OCTETS_A_LINE) {
        size_t n = der.n - at < OCTETS_A_LINE ? der.n - at : OCTETS_A_LINE;
        (void)cs_base64_add(b, cs_view_of(der.p + at, n));
        (void)cs_buf_add_byte(b, '\n');
    }
    return cs_buf_addf(b, "-----END %s-----\n", label) && !b->failed;
}
