#include "x509/points.h"

#include "x509/cert_priv.h"

#define OID_AD_OCSP CS_OID_LIT("\x2b\x06\x01\x05\x05\x07\x30\x01")

/* The URIs of a GeneralNames. */
static size_t add_uris(cs_der *names, cs_view ret[CS_POINTS_MAX], size_t n) {
    while (cs_der_more(names)) {
        cs_san_type type;
        cs_view v = cs_general_name(names, &type, false);
        if (cs_der_ok(names) && type == CS_SAN_URI && n < CS_POINTS_MAX) ret[n++] = v;
    }
    return n;
}

static size_t of_points(cs_view extension, cs_view ret[CS_POINTS_MAX]) {
    cs_der_fault fault = {0};
    cs_der d = cs_der_of(extension, &fault), list = cs_der_in(&d, CS_DER_SEQUENCE);
    size_t n = 0;
    while (cs_der_more(&list)) {
        cs_der s = cs_der_in(&list, CS_DER_SEQUENCE), name, full;
        if (cs_der_in_opt(&s, CS_DER_CTX_CONS(0), &name) && cs_der_in_opt(&name, CS_DER_CTX_CONS(0), &full))
            n = add_uris(&full, ret, n);
    }
    return n;
}

static size_t of_access(cs_view extension, cs_view ret[CS_POINTS_MAX]) {
    cs_der_fault fault = {0};
    cs_der d = cs_der_of(extension, &fault), list = cs_der_in(&d, CS_DER_SEQUENCE);
    size_t n = 0;
    while (cs_der_more(&list)) {
        cs_der s = cs_der_in(&list, CS_DER_SEQUENCE);
        cs_view method = cs_der_oid(&s);
        if (cs_der_ok(&s) && cs_view_eq(method, OID_AD_OCSP)) n = add_uris(&s, ret, n);
    }
    return n;
}

size_t cs_cert_points(const cs_cert *c, cs_point kind, cs_view ret[CS_POINTS_MAX]) {
    const cs_cert_more *m = cs_cert_more_of(c);
    if (m->broken) return 0;
    if (kind == CS_POINT_OCSP) return m->ext[CS_EXT_AIA].present ? of_access(m->ext[CS_EXT_AIA].value, ret) : 0;
    const cs_ext *x = &m->ext[kind == CS_POINT_CRL ? CS_EXT_CRL_POINTS : CS_EXT_FRESHEST_CRL];
    return x->present ? of_points(x->value, ret) : 0;
}
