/* An OCSP response from outside: decoded, every answer asked for with the certificates that it carries; and a request
 * for each of them. */
#include "x509/ocsp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cs_err err;
    cs_ocsp *o = NULL;
    cs_ocsp_single one;
    if (cs_ocsp_decode(cs_view_of(data, size), &o, &err) != CS_OK) return 0;
    for (size_t i = 0; i < o->certs.n; i++) {
        const cs_cert *c = o->certs.at[i], *next = o->certs.at[(i + 1) % o->certs.n];
        CS_SCOPED(cs_buf) b = cs_buf_of(4096);
        (void)cs_ocsp_is_by(o, c);
        (void)cs_cert_has_nocheck(c);
        (void)cs_ocsp_find(o, c, next, &one);
        (void)!cs_ocsp_request(c, next, o->nonce, &b, &err);
    }
    cs_ocsp_free(o);
    return 0;
}
