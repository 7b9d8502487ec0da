/* Extensions by OID, those that decoding does not know among them. */
#include "x509/cert_priv.h"

/* The contents of Extensions in a TBSCertificate that has been decoded before; n == 0: none. */
static cs_view extensions_of(const cs_cert *c) {
    static const cs_view none = {NULL, 0};
    cs_der_fault fault = {0};
    cs_der d = cs_der_of(c->tbs, &fault), t = cs_der_in(&d, CS_DER_SEQUENCE), list;
    uint8_t tag;
    while (cs_der_more(&t)) {
        if (cs_der_in_opt(&t, CS_DER_CTX_CONS(3), &list)) {
            cs_view exts = cs_der_get(&list, CS_DER_SEQUENCE);
            return cs_der_ok(&list) ? exts : none;
        }
        (void)cs_der_any(&t, &tag, NULL);
    }
    return none;
}

bool cs_cert_ext_next(const cs_cert *c, size_t *pos, cs_view *ret_oid, bool *ret_critical, cs_view *ret_value) {
    cs_der_fault fault = {0};
    cs_view all = extensions_of(c), whole, critical;
    if (*pos >= all.n) return false;
    cs_der d = cs_der_of(cs_view_of(all.p + *pos, all.n - *pos), &fault), peek = d;
    whole = cs_der_get_whole(&peek, CS_DER_SEQUENCE);
    cs_der one = cs_der_in(&d, CS_DER_SEQUENCE);
    *ret_oid = cs_der_oid(&one);
    *ret_critical = cs_der_opt(&one, CS_DER_BOOLEAN, &critical) && critical.n == 1 && critical.p[0] != 0;
    *ret_value = cs_der_get(&one, CS_DER_OCTET_STRING);
    *pos += whole.n;
    return cs_der_ok(&one) && whole.n > 0;
}

bool cs_cert_ext_find(const cs_cert *c, cs_view oid, bool *ret_critical, cs_view *ret_value) {
    size_t pos = 0;
    cs_view at;
    while (cs_cert_ext_next(c, &pos, &at, ret_critical, ret_value))
        if (cs_view_eq(at, oid)) return true;
    return false;
}
