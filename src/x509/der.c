#include "x509/der.h"

#include <stdio.h>

bool cs_der_bad(cs_der *d, const char *rule) {
    if (!d->fault->rule) {
        d->fault->rule = rule;
        d->fault->in = d->fault->field;
        d->fault->at = d->p;
    }
    d->left = 0;
    return false;
}

int cs_der_peek(const cs_der *d) {
    return cs_der_more(d) ? d->p[0] : -1;
}

/* @rfc X.690#8.1.3 @rfc X.690#10.1: definite, minimal length, and all of it here. */
static bool header(cs_der *d, uint8_t *tag, size_t *head, size_t *len) {
    if (!cs_der_ok(d)) return false;
    if (d->left < 2) return cs_der_bad(d, "ends where an element is expected");
    *tag = d->p[0];
    if ((*tag & 0x1f) == 0x1f) return cs_der_bad(d, "a tag number over 30");
    uint8_t first = d->p[1];
    *head = 2;
    *len = first;
    if (first == 0x80) return cs_der_bad(d, "indefinite length (BER, not DER)");
    if (first > 0x80) {
        size_t octets = first & 0x7f;
        if (octets > 4) return cs_der_bad(d, "a length of more than 4 octets");
        if (d->left < 2 + octets) return cs_der_bad(d, "ends within a length");
        *len = 0;
        for (size_t i = 0; i < octets; i++) *len = *len << 8 | d->p[2 + i];
        *head += octets;
        if (d->p[2] == 0 || *len < 0x80) return cs_der_bad(d, "a length that is not minimal (BER, not DER)");
    }
    if (*len > d->left - *head) return cs_der_bad(d, "an element longer than what holds it");
    return true;
}

cs_view cs_der_any(cs_der *d, uint8_t *ret_tag, cs_view *ret_whole) {
    uint8_t tag = 0;
    size_t head = 0, len = 0;
    cs_view contents = {NULL, 0}, whole = {NULL, 0};
    if (header(d, &tag, &head, &len)) {
        contents = (cs_view){d->p + head, len};
        whole = (cs_view){d->p, head + len};
        d->p += whole.n;
        d->left -= whole.n;
    }
    if (ret_tag) *ret_tag = tag;
    if (ret_whole) *ret_whole = whole;
    return contents;
}

static bool expect(cs_der *d, uint8_t tag) {
    if (!cs_der_ok(d)) return false;
    if (d->left == 0) return cs_der_bad(d, "an element is missing");
    if (d->p[0] != tag) return cs_der_bad(d, "another element than expected");
    return true;
}

cs_view cs_der_get(cs_der *d, uint8_t tag) {
    if (!expect(d, tag)) return (cs_view){NULL, 0};
    return cs_der_any(d, NULL, NULL);
}

cs_view cs_der_get_whole(cs_der *d, uint8_t tag) {
    cs_view whole = {NULL, 0};
    if (expect(d, tag)) cs_der_any(d, NULL, &whole);
    return whole;
}

bool cs_der_opt(cs_der *d, uint8_t tag, cs_view *ret) {
    if (cs_der_peek(d) != tag) return false;
    *ret = cs_der_any(d, NULL, NULL);
    return cs_der_ok(d);
}

cs_der cs_der_in(cs_der *d, uint8_t tag) {
    return cs_der_of(cs_der_get(d, tag), d->fault);
}

bool cs_der_in_opt(cs_der *d, uint8_t tag, cs_der *ret) {
    cs_view contents;
    if (!cs_der_opt(d, tag, &contents)) return false;
    *ret = cs_der_of(contents, d->fault);
    return true;
}

void cs_der_end(cs_der *d) {
    if (cs_der_more(d)) cs_der_bad(d, "something left over at the end");
}

/* @rfc X.690#11.1 */
bool cs_der_bool(cs_der *d) {
    cs_view v = cs_der_get(d, CS_DER_BOOLEAN);
    if (!cs_der_ok(d)) return false;
    if (v.n != 1 || (v.p[0] != 0 && v.p[0] != 0xff)) return cs_der_bad(d, "a BOOLEAN that is neither 00 nor FF");
    return v.p[0] == 0xff;
}

/* @rfc X.690#8.3.2 */
static bool integer_is_minimal(cs_view v) {
    if (v.n == 0) return false;
    if (v.n == 1) return true;
    return !(v.p[0] == 0 && v.p[1] < 0x80) && !(v.p[0] == 0xff && v.p[1] >= 0x80);
}

cs_view cs_der_integer(cs_der *d) {
    cs_view v = cs_der_get(d, CS_DER_INTEGER);
    if (cs_der_ok(d) && !integer_is_minimal(v)) cs_der_bad(d, "an INTEGER that is empty or not minimal");
    return cs_der_ok(d) ? v : (cs_view){NULL, 0};
}

uint64_t cs_der_uint_of(cs_der *d, cs_view v, uint64_t max) {
    if (!cs_der_ok(d)) return 0;
    if (!integer_is_minimal(v)) return (uint64_t)cs_der_bad(d, "an INTEGER that is empty or not minimal");
    if (v.p[0] >= 0x80) return (uint64_t)cs_der_bad(d, "a negative INTEGER");
    if (v.n > 9 || (v.n == 9 && v.p[0] != 0)) return (uint64_t)cs_der_bad(d, "an INTEGER that is too large");
    uint64_t value = 0;
    for (size_t i = 0; i < v.n; i++) value = value << 8 | v.p[i];
    if (value > max) return (uint64_t)cs_der_bad(d, "an INTEGER that is too large");
    return value;
}

uint64_t cs_der_uint(cs_der *d, uint64_t max) {
    cs_view v = cs_der_get(d, CS_DER_INTEGER);
    return cs_der_uint_of(d, v, max);
}

/* @rfc X.690#8.19.2 */
cs_view cs_der_oid(cs_der *d) {
    cs_view v = cs_der_get(d, CS_DER_OID), none = {NULL, 0};
    if (!cs_der_ok(d)) return none;
    bool start = true;
    if (v.n == 0 || v.n > CS_DER_OID_MAX || v.p[v.n - 1] & 0x80)
        return cs_der_bad(d, "an object identifier that is empty, cut off or over 64 octets"), none;
    for (size_t i = 0; i < v.n; i++) {
        if (start && v.p[i] == 0x80) return cs_der_bad(d, "an object identifier that is not minimal"), none;
        start = !(v.p[i] & 0x80);
    }
    return v;
}

/* @rfc X.690#11.2.1 */
cs_view cs_der_bits_of(cs_der *d, cs_view v, unsigned *ret_unused) {
    cs_view none = {NULL, 0};
    if (!cs_der_ok(d)) return none;
    if (v.n == 0 || v.p[0] > 7 || (v.n == 1 && v.p[0] != 0))
        return cs_der_bad(d, "a BIT STRING with a wrong count of unused bits"), none;
    unsigned unused = v.p[0];
    if (unused && v.p[v.n - 1] & ((1U << unused) - 1)) {
        return cs_der_bad(d, "a BIT STRING whose unused bits are not zero"), none;
    }
    if (ret_unused) {
        *ret_unused = unused;
    } else if (unused) {
        return cs_der_bad(d, "a BIT STRING that is not whole octets"), none;
    }
    return (cs_view){v.p + 1, v.n - 1};
}

cs_view cs_der_bits(cs_der *d, unsigned *ret_unused) {
    cs_view v = cs_der_get(d, CS_DER_BIT_STRING);
    return cs_der_bits_of(d, v, ret_unused);
}

unsigned cs_der_named_bits_of(cs_der *d, cs_view contents) {
    unsigned unused = 0, mask = 0;
    cs_view v = cs_der_bits_of(d, contents, &unused);
    if (v.n > 2) return (unsigned)cs_der_bad(d, "more named bits than are defined");
    for (size_t i = 0; i < v.n * 8; i++) {
        if (v.p[i / 8] >> (7 - i % 8) & 1) mask |= 1U << i;
    }
    return mask;
}

static int digits(cs_view v, size_t at, size_t n) {
    int value = 0;
    for (size_t i = at; i < at + n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9') return -1;
        value = value * 10 + (v.p[i] - '0');
    }
    return value;
}

/* @rfc 5280#4.1.2.5.1 @rfc 5280#4.1.2.5.2: Zulu, seconds present, no fraction. */
cs_time cs_der_time(cs_der *d, uint8_t *ret_tag) {
    uint8_t tag = 0;
    cs_view v = cs_der_any(d, &tag, NULL);
    if (ret_tag) *ret_tag = tag;
    if (!cs_der_ok(d)) return 0;
    if (tag != CS_DER_UTC_TIME && tag != CS_DER_GENERALIZED_TIME)
        return cs_der_bad(d, "neither UTCTime nor GeneralizedTime");
    size_t y = tag == CS_DER_UTC_TIME ? 2 : 4;
    if (v.n != y + 11 || v.p[v.n - 1] != 'Z') return cs_der_bad(d, "a time that is not of the form YYMMDDHHMMSSZ");
    int year = digits(v, 0, y);
    if (year >= 0 && y == 2) year += year >= 50 ? 1900 : 2000;
    cs_time t = 0;
    if (year < 0 || !cs_time_of_civil(year, digits(v, y, 2), digits(v, y + 2, 2), digits(v, y + 4, 2),
                                      digits(v, y + 6, 2), digits(v, y + 8, 2), &t))
        return cs_der_bad(d, "a time with a field out of range");
    return t;
}

const char *cs_oid_text(cs_view oid, char out[CS_OID_TEXT_MAX]) {
    size_t n = 0;
    uint64_t sub = 0;
    bool first = true;
    out[0] = '\0';
    for (size_t i = 0; i < oid.n; i++) {
        if (sub >> 56) return "an object identifier with a huge number";
        sub = sub << 7 | (oid.p[i] & 0x7f);
        if (oid.p[i] & 0x80) continue;
        uint64_t top = sub < 80 ? sub / 40 : 2;
        int w = first ? snprintf(out + n, CS_OID_TEXT_MAX - n, "%u.%llu", (unsigned)top,
                                 (unsigned long long)(sub - top * 40))
                      : snprintf(out + n, CS_OID_TEXT_MAX - n, ".%llu", (unsigned long long)sub);
        if (w < 0 || n + (size_t)w + 4 > CS_OID_TEXT_MAX) {
            memcpy(out + (n < CS_OID_TEXT_MAX - 4 ? n : CS_OID_TEXT_MAX - 4), "...", 4);
            return out;
        }
        n += (size_t)w;
        first = false;
        sub = 0;
    }
    return out;
}
