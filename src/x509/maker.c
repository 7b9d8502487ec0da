#include "x509/maker.h"

#include <string.h>

#include "base/text.h"
#include "x509/der.h"

#define OID_SERIAL_NUMBER CS_OID_LIT("\x55\x04\x05")
#define OID_PERMANENT_IDENTIFIER CS_OID_LIT("\x2b\x06\x01\x05\x05\x07\x08\x03")
#define OID_HARDWARE_MODULE_NAME CS_OID_LIT("\x2b\x06\x01\x05\x05\x07\x08\x04")

static bool visible(cs_view v) {
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] < ' ' || v.p[i] >= 0x7f) return false;
    return v.n > 0;
}

static bool as_text(cs_view v, char out[CS_MAKER_SERIAL_MAX + 1]) {
    if (v.n == 0) return false;
    if (visible(v)) {
        if (v.n > CS_MAKER_SERIAL_MAX) return false;
        memcpy(out, v.p, v.n);
        out[v.n] = '\0';
        return true;
    }
    if (v.n > CS_MAKER_SERIAL_MAX / 2) return false;
    (void)cs_hex(v, out);
    return true;
}

/* The last attribute of that type. */
static bool subject_serial(cs_view name, cs_view *ret) {
    cs_der_fault fault = {.rule = NULL};
    cs_der d = cs_der_of(name, &fault), rdns = cs_der_in(&d, CS_DER_SEQUENCE);
    bool found = false;
    while (cs_der_more(&rdns)) {
        cs_der set = cs_der_in(&rdns, CS_DER_SET);
        while (cs_der_more(&set)) {
            uint8_t tag = 0;
            cs_view whole;
            cs_der one = cs_der_in(&set, CS_DER_SEQUENCE);
            cs_view oid = cs_der_oid(&one), value = cs_der_any(&one, &tag, &whole);
            bool text = tag == CS_DER_PRINTABLE_STRING || tag == CS_DER_UTF8_STRING || tag == CS_DER_IA5_STRING;
            if (!text || !cs_view_eq(oid, OID_SERIAL_NUMBER)) continue;
            *ret = value;
            found = true;
        }
    }
    return found && fault.rule == NULL;
}

/* The value of the first otherName of that type: @rfc 5280#4.2.1.6 */
static bool other_name(const cs_cert *cert, cs_view wanted, cs_view *ret) {
    for (size_t i = 0; i < cert->san_count; i++) {
        cs_der_fault fault = {.rule = NULL};
        if (cert->sans[i].type != CS_SAN_OTHER) continue;
        cs_der d = cs_der_of(cert->sans[i].value, &fault);
        cs_view oid = cs_der_oid(&d), value = cs_der_get(&d, CS_DER_CTX_CONS(0));
        cs_der_end(&d);
        if (fault.rule != NULL || !cs_view_eq(oid, wanted)) continue;
        *ret = value;
        return true;
    }
    return false;
}

static bool module_serial(const cs_cert *cert, cs_view *ret) {
    cs_der_fault fault = {.rule = NULL};
    cs_view value;
    if (!other_name(cert, OID_HARDWARE_MODULE_NAME, &value)) return false;
    cs_der d = cs_der_of(value, &fault), seq = cs_der_in(&d, CS_DER_SEQUENCE);
    (void)cs_der_oid(&seq); /* hwType: the vendor's own word for the model */
    *ret = cs_der_get(&seq, CS_DER_OCTET_STRING);
    cs_der_end(&seq);
    cs_der_end(&d);
    return fault.rule == NULL;
}

static bool permanent(const cs_cert *cert, cs_view *ret) {
    cs_der_fault fault = {.rule = NULL};
    cs_view value;
    if (!other_name(cert, OID_PERMANENT_IDENTIFIER, &value)) return false;
    cs_der d = cs_der_of(value, &fault), seq = cs_der_in(&d, CS_DER_SEQUENCE);
    if (!cs_der_opt(&seq, CS_DER_UTF8_STRING, ret)) return false; /* then the subject says it */
    if (cs_der_more(&seq)) (void)cs_der_oid(&seq);
    cs_der_end(&seq);
    cs_der_end(&d);
    return fault.rule == NULL;
}

bool cs_maker_serial(const cs_cert *cert, cs_serial_at at, char out[CS_MAKER_SERIAL_MAX + 1]) {
    cs_view v = {NULL, 0};
    bool any = at == CS_SERIAL_AT_ANY;
    if ((any || at == CS_SERIAL_AT_MODULE) && module_serial(cert, &v)) return as_text(v, out);
    if ((any || at == CS_SERIAL_AT_SUBJECT) && subject_serial(cert->subject, &v)) return as_text(v, out);
    if ((any || at == CS_SERIAL_AT_PERMANENT) && permanent(cert, &v)) return as_text(v, out);
    return at == CS_SERIAL_AT_CN && cs_name_cn(cert->subject, &v) && as_text(v, out);
}
