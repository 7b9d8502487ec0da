/* A certificate from outside: decoded, shown, verified against itself. */
#include <stdlib.h>
#include <string.h>

#include "verify/verify.h"
#include "x509/cert_priv.h"
#include "x509/identity.h"
#include "x509/maker.h"
#include "x509/points.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cs_err err;
    cs_cert *c = NULL;
    if (cs_cert_decode_noting(cs_view_of(data, size), &c, &err) != CS_OK) return 0;
    CS_SCOPED(cs_buf) b = cs_buf_of(1 << 20);
    (void)cs_name_add(&b, c->subject);
    (void)cs_name_add(&b, c->issuer);
    for (size_t i = 0; i < c->san_count; i++) (void)cs_san_add(&b, &c->sans[i]);
    for (int k = CS_SERIAL_AT_ANY; k <= CS_SERIAL_AT_PERMANENT; k++) {
        char serial[CS_MAKER_SERIAL_MAX + 1];
        if (cs_maker_serial(c, (cs_serial_at)k, serial) && strlen(serial) > CS_MAKER_SERIAL_MAX) abort();
    }
    for (int k = CS_POINT_OCSP; k <= CS_POINT_DELTA; k++) {
        cs_view urls[CS_POINTS_MAX];
        if (cs_cert_points(c, (cs_point)k, urls) > CS_POINTS_MAX) abort();
    }
    if (!cs_cert_more_of(c)->broken) {
        cs_certs bag = {&c, 1};
        cs_anchors *anchors = NULL;
        cs_verdict v;
        cs_identity id;
        cs_name_want name = {CS_SAN_DNS, "www.example.com"};
        cs_want want = {
            .purpose = size % 3, .at = c->not_before, .names = &name, .name_count = size % 2, .max_depth = -1};
        cs_identity_of_cert(c, &id);
        if (cs_anchors_new(&bag, &anchors, &err) == CS_OK) {
            if (cs_verify(anchors, c, &bag, &want, &v, &err) != CS_OK && v.accepted) abort();
            cs_verdict_free(&v);
        }
        cs_anchors_free(anchors);
    }
    cs_cert_free(c);
    return 0;
}
