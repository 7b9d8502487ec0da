/* Extensions of a certificate. @rfc 5280#4.2. Contents that verification walks later (names, policies) are checked for
 * form here, so that a malformed one is refused whether or not it is asked about. */
#include "x509/cert_priv.h"

#include <stdlib.h>

enum { EXTS_MAX = 64 }; /* real certificates stay below 20; duplicates are looked for pairwise */

typedef struct ext_row {
    const char *oid;
    uint8_t oid_n;
    int8_t critical; /* what RFC 5280 demands: 1 must be, 0 must not be, -1 either */
    const char *name;
} ext_row;
#define CE(last, critical, name)                                                                                       \
    { "\x55\x1d" last, 3, critical, name }
#define PE(last, critical, name)                                                                                       \
    { "\x2b\x06\x01\x05\x05\x07\x01" last, 8, critical, name }
static const ext_row ext_rows[CS_EXT_COUNT] = {
    [CS_EXT_SKI] = CE("\x0e", 0, "subjectKeyIdentifier"),
    [CS_EXT_KEY_USAGE] = CE("\x0f", -1, "keyUsage"),
    [CS_EXT_SAN] = CE("\x11", -1, "subjectAltName"),
    [CS_EXT_IAN] = CE("\x12", -1, "issuerAltName"),
    [CS_EXT_BASIC_CONSTRAINTS] = CE("\x13", -1, "basicConstraints"),
    [CS_EXT_NAME_CONSTRAINTS] = CE("\x1e", -1, "nameConstraints"),
    [CS_EXT_CRL_POINTS] = CE("\x1f", -1, "cRLDistributionPoints"),
    [CS_EXT_POLICIES] = CE("\x20", -1, "certificatePolicies"),
    [CS_EXT_POLICY_MAPPINGS] = CE("\x21", -1, "policyMappings"),
    [CS_EXT_AKI] = CE("\x23", 0, "authorityKeyIdentifier"),
    [CS_EXT_POLICY_CONSTRAINTS] = CE("\x24", 1, "policyConstraints"),
    [CS_EXT_EKU] = CE("\x25", -1, "extKeyUsage"),
    [CS_EXT_FRESHEST_CRL] = CE("\x2e", 0, "freshestCRL"),
    [CS_EXT_INHIBIT_ANY] = CE("\x36", 1, "inhibitAnyPolicy"),
    [CS_EXT_AIA] = PE("\x01", 0, "authorityInfoAccess"),
    [CS_EXT_SIA] = PE("\x0b", 0, "subjectInfoAccess"),
};

cs_ext_id cs_ext_of(cs_view oid) {
    for (int i = 0; i < CS_EXT_COUNT; i++) {
        if (cs_view_eq(oid, cs_view_of(ext_rows[i].oid, ext_rows[i].oid_n))) return (cs_ext_id)i;
    }
    return CS_EXT_UNKNOWN;
}

cs_view cs_general_name(cs_der *d, cs_san_type *ret_type, bool constraint) {
    uint8_t tag = 0;
    cs_view v = cs_der_any(d, &tag, NULL), none = {NULL, 0};
    if (!cs_der_ok(d)) return none;
    unsigned n = tag & 0x1f;
    bool constructed = tag & 0x20, wants = n == 0 || n == 3 || n == 4 || n == 5;
    if ((tag & 0xc0) != 0x80 || n > 8 || constructed != wants) return cs_der_bad(d, "no GeneralName"), none;
    *ret_type = (cs_san_type)n;
    if (n == CS_SAN_DIRNAME) { /* EXPLICIT, because Name is a CHOICE */
        cs_der in = cs_der_of(v, d->fault);
        v = cs_der_get_whole(&in, CS_DER_SEQUENCE);
        cs_der_end(&in);
        cs_name_check(v, d->fault, NULL);
    } else if (n == CS_SAN_IP) {
        bool right = constraint ? v.n == 8 || v.n == 32 : v.n == 4 || v.n == 16;
        if (!right) cs_der_bad(d, "an IP address of a wrong length");
    }
    return cs_der_ok(d) ? v : none;
}

/* What a strict reader refuses in an IA5String of names: anything but visible ASCII. */
static bool visible_ascii(cs_view v) {
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] <= 0x20 || v.p[i] >= 0x7f) return false;
    }
    return v.n > 0;
}

static void read_san(cs_cert *c, cs_der *d) {
    cs_cert_more *m = cs_cert_more_of(c);
    cs_der list = cs_der_in(d, CS_DER_SEQUENCE), count = list;
    size_t n = 0;
    cs_san_type type;
    if (cs_der_ok(d) && list.left == 0) cs_der_bad(d, "is empty");
    while (cs_der_more(&count)) cs_general_name(&count, &type, false), n++;
    if (!cs_der_ok(d)) return;
    if (n > CS_SAN_MAX) {
        cs_der_bad(d, "holds more than 1000 names");
        return;
    }
    c->sans = calloc(n, sizeof *c->sans);
    if (!c->sans) {
        cs_der_bad(d, "memory ran out");
        return;
    }
    while (cs_der_more(&list)) {
        cs_san *s = &c->sans[c->san_count++];
        s->value = cs_general_name(&list, &s->type, false);
        bool text = s->type == CS_SAN_EMAIL || s->type == CS_SAN_DNS || s->type == CS_SAN_URI;
        if (text && !visible_ascii(s->value))
            cs_flaw_note(&m->flaw_strict, CS_R_CERTIFICATE_MALFORMED, "subjectAltName",
                         "an empty name, or one with controls, blanks or other than ASCII");
    }
}

static void read_basic_constraints(cs_cert *c, cs_der *d) {
    cs_der s = cs_der_in(d, CS_DER_SEQUENCE);
    c->has_basic_constraints = true;
    /* DER leaves the default out; cA FALSE written out is widespread and harmless, so it is let pass. */
    if (cs_der_peek(&s) == CS_DER_BOOLEAN) c->is_ca = cs_der_bool(&s);
    if (cs_der_peek(&s) == CS_DER_INTEGER) {
        c->path_len = (int)cs_der_uint(&s, INT32_MAX);
        if (!c->is_ca)
            cs_flaw_note(&cs_cert_more_of(c)->flaw_strict, CS_R_CERTIFICATE_MALFORMED, "basicConstraints",
                         "pathLenConstraint without cA");
    }
    cs_der_end(&s);
}

static void read_key_usage(cs_cert *c, cs_der *d) {
    cs_cert_more *m = cs_cert_more_of(c);
    cs_view bits = cs_der_get(d, CS_DER_BIT_STRING);
    c->has_key_usage = true;
    c->key_usage = cs_der_named_bits_of(d, bits);
    if (cs_der_ok(d) && c->key_usage == 0) /* @rfc 5280#4.2.1.3 */
        cs_flaw_note(&m->flaw_strict, CS_R_CERTIFICATE_MALFORMED, "keyUsage", "has no bit set");
}

static void read_eku(cs_cert *c, cs_der *d) {
    static const struct {
        const char *oid;
        unsigned bit;
    } rows[] = {
        {"\x2b\x06\x01\x05\x05\x07\x03\x01", CS_EKU_SERVER_AUTH},
        {"\x2b\x06\x01\x05\x05\x07\x03\x02", CS_EKU_CLIENT_AUTH},
        {"\x2b\x06\x01\x05\x05\x07\x03\x03", CS_EKU_CODE_SIGNING},
        {"\x2b\x06\x01\x05\x05\x07\x03\x04", CS_EKU_EMAIL},
        {"\x2b\x06\x01\x05\x05\x07\x03\x08", CS_EKU_TIME_STAMPING},
        {"\x2b\x06\x01\x05\x05\x07\x03\x09", CS_EKU_OCSP_SIGNING},
        {"\x2b\x06\x01\x05\x05\x07\x03\x1c", CS_EKU_CMC_RA},
    };
    cs_der s = cs_der_in(d, CS_DER_SEQUENCE);
    c->has_eku = true;
    if (cs_der_ok(d) && s.left == 0) cs_der_bad(d, "is empty");
    while (cs_der_more(&s)) {
        cs_view oid = cs_der_oid(&s);
        if (cs_view_eq(oid, CS_OID_LIT("\x55\x1d\x25\x00"))) c->eku |= CS_EKU_ANY;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            if (cs_view_eq(oid, cs_view_str(rows[i].oid))) c->eku |= rows[i].bit;
        }
    }
}

/* @rfc 5280#4.2.1.1 */
static void read_aki(cs_cert *c, cs_der *d) {
    cs_cert_more *m = cs_cert_more_of(c);
    cs_view v;
    cs_san_type type;
    cs_der s = cs_der_in(d, CS_DER_SEQUENCE);
    if (cs_der_opt(&s, CS_DER_CTX(0), &c->akid) && c->akid.n == 0) cs_der_bad(&s, "an empty keyIdentifier");
    if (cs_der_opt(&s, CS_DER_CTX_CONS(1), &m->akid_issuer_names)) {
        cs_der names = cs_der_of(m->akid_issuer_names, d->fault);
        m->akid_issuer = true;
        if (names.left == 0) cs_der_bad(&s, "an empty authorityCertIssuer");
        while (cs_der_more(&names)) cs_general_name(&names, &type, false);
    }
    if (cs_der_opt(&s, CS_DER_CTX(2), &v)) {
        m->akid_serial = true;
        m->akid_sn = v;
        if (v.n == 0) cs_der_bad(&s, "an empty authorityCertSerialNumber");
    }
    if (m->akid_issuer != m->akid_serial)
        cs_flaw_note(&m->flaw_strict, CS_R_CERTIFICATE_MALFORMED, "authorityKeyIdentifier",
                     "issuer without serial number, or the other way round");
    cs_der_end(&s);
}

/* @rfc 5280#4.2.1.10: minimum 0 and no maximum. */
static void check_subtrees(cs_cert *c, cs_view list, cs_der_fault *fault) {
    cs_cert_more *m = cs_cert_more_of(c);
    cs_der d = cs_der_of(list, fault);
    cs_san_type type = CS_SAN_OTHER;
    cs_view v;
    if (d.left == 0) cs_der_bad(&d, "an empty list of subtrees");
    while (cs_der_more(&d)) {
        cs_der s = cs_der_in(&d, CS_DER_SEQUENCE);
        cs_view base = cs_general_name(&s, &type, true);
        if (cs_der_opt(&s, CS_DER_CTX(0), &v)) {
            if (cs_der_uint_of(&s, v, INT32_MAX) != 0)
                cs_der_bad(&s, "a minimum other than 0");
            else
                cs_flaw_note(&m->flaw_strict, CS_R_CERTIFICATE_MALFORMED, "nameConstraints",
                             "the default is written out");
        }
        if (cs_der_opt(&s, CS_DER_CTX(1), &v)) cs_der_bad(&s, "a maximum");
        cs_der_end(&s);
        if (type == CS_SAN_DNS && base.n && (base.p[0] == '.' || base.p[0] == '*' || !visible_ascii(base)))
            cs_flaw_note(&m->flaw_strict, CS_R_CERTIFICATE_MALFORMED, "nameConstraints",
                         "a dNSName that begins with a dot or a wildcard");
        if (type == CS_SAN_IP && base.n) { /* @rfc 4632#5.1: a mask is ones, then zeros */
            size_t half = base.n / 2, i = half * 8;
            bool seen_zero = false;
            for (; i < base.n * 8; i++) {
                bool bit = base.p[i / 8] >> (7 - i % 8) & 1;
                if (bit && seen_zero)
                    cs_flaw_note(&m->flaw_strict, CS_R_CERTIFICATE_MALFORMED, "nameConstraints",
                                 "an IP mask that is no prefix");
                seen_zero |= !bit;
            }
        }
    }
}

static void read_name_constraints(cs_cert *c, cs_der *d) {
    cs_view list;
    cs_der s = cs_der_in(d, CS_DER_SEQUENCE);
    if (cs_der_ok(d) && s.left == 0) cs_der_bad(d, "is empty");
    if (cs_der_opt(&s, CS_DER_CTX_CONS(0), &list)) check_subtrees(c, list, d->fault);
    if (cs_der_opt(&s, CS_DER_CTX_CONS(1), &list)) check_subtrees(c, list, d->fault);
    cs_der_end(&s);
}

/* @rfc 5280#4.2.1.4: no policy twice. */
static void check_policies(cs_der *d) {
    cs_der s = cs_der_in(d, CS_DER_SEQUENCE), seen;
    if (cs_der_ok(d) && s.left == 0) cs_der_bad(d, "is empty");
    const cs_der all = s;
    unsigned n = 0;
    while (cs_der_more(&s)) {
        cs_der p = cs_der_in(&s, CS_DER_SEQUENCE), q;
        cs_view oid = cs_der_oid(&p);
        if (cs_der_in_opt(&p, CS_DER_SEQUENCE, &q)) {
            if (cs_der_ok(&q) && q.left == 0) cs_der_bad(&q, "an empty list of qualifiers");
            while (cs_der_more(&q)) {
                cs_der one = cs_der_in(&q, CS_DER_SEQUENCE);
                cs_der_oid(&one);
            }
        }
        cs_der_end(&p);
        if (++n > 256) cs_der_bad(&s, "more than 256 policies");
        seen = all;
        for (unsigned i = 1; i < n && cs_der_ok(&s); i++) {
            cs_der e = cs_der_in(&seen, CS_DER_SEQUENCE);
            if (cs_view_eq(cs_der_oid(&e), oid)) cs_der_bad(&s, "a policy twice");
        }
    }
}

/* @rfc 5280#4.2.1.5 */
static void check_mappings(cs_der *d) {
    cs_der s = cs_der_in(d, CS_DER_SEQUENCE);
    unsigned n = 0;
    if (cs_der_ok(d) && s.left == 0) cs_der_bad(d, "is empty");
    while (cs_der_more(&s)) {
        cs_der p = cs_der_in(&s, CS_DER_SEQUENCE);
        cs_der_oid(&p);
        cs_der_oid(&p);
        cs_der_end(&p);
        if (++n > 256) cs_der_bad(&s, "more than 256 mappings");
    }
}

/* @rfc 5280#4.2.1.11 */
static void read_policy_constraints(cs_cert_more *m, cs_der *d) {
    cs_view v;
    cs_der s = cs_der_in(d, CS_DER_SEQUENCE);
    if (cs_der_ok(d) && s.left == 0) cs_der_bad(d, "is empty");
    if (cs_der_opt(&s, CS_DER_CTX(0), &v)) m->require_explicit = (int64_t)cs_der_uint_of(&s, v, INT32_MAX);
    if (cs_der_opt(&s, CS_DER_CTX(1), &v)) m->inhibit_map = (int64_t)cs_der_uint_of(&s, v, INT32_MAX);
    cs_der_end(&s);
}

/* @rfc 5280#4.2.1.13, and freshestCRL: the same syntax. */
static void check_points(cs_der *d) {
    cs_der s = cs_der_in(d, CS_DER_SEQUENCE), name;
    cs_view v;
    cs_san_type type;
    if (cs_der_ok(d) && s.left == 0) cs_der_bad(d, "is empty");
    while (cs_der_more(&s)) {
        cs_der p = cs_der_in(&s, CS_DER_SEQUENCE);
        if (cs_der_in_opt(&p, CS_DER_CTX_CONS(0), &name)) {
            if (cs_der_opt(&name, CS_DER_CTX_CONS(0), &v)) {
                cs_der full = cs_der_of(v, d->fault);
                if (full.left == 0) cs_der_bad(&full, "an empty name");
                while (cs_der_more(&full)) cs_general_name(&full, &type, false);
            } else {
                cs_der_get(&name, CS_DER_CTX_CONS(1));
            }
            cs_der_end(&name);
        }
        if (cs_der_opt(&p, CS_DER_CTX(1), &v)) cs_der_named_bits_of(&p, v);
        if (cs_der_opt(&p, CS_DER_CTX_CONS(2), &v)) {
            cs_der issuer = cs_der_of(v, d->fault);
            while (cs_der_more(&issuer)) cs_general_name(&issuer, &type, false);
        }
        cs_der_end(&p);
    }
}

/* @rfc 5280#4.2.2.1 */
static void check_access(cs_der *d) {
    cs_san_type type;
    cs_der s = cs_der_in(d, CS_DER_SEQUENCE);
    if (cs_der_ok(d) && s.left == 0) cs_der_bad(d, "is empty");
    while (cs_der_more(&s)) {
        cs_der a = cs_der_in(&s, CS_DER_SEQUENCE);
        cs_der_oid(&a);
        cs_general_name(&a, &type, false);
        cs_der_end(&a);
    }
}

static void check_general_names(cs_der *d) {
    cs_san_type type;
    cs_der s = cs_der_in(d, CS_DER_SEQUENCE);
    if (cs_der_ok(d) && s.left == 0) cs_der_bad(d, "is empty");
    while (cs_der_more(&s)) cs_general_name(&s, &type, false);
}

static void read_one(cs_cert *c, cs_ext_id id, cs_der *d) {
    cs_cert_more *m = cs_cert_more_of(c);
    switch (id) {
    case CS_EXT_SKI:
        c->skid = cs_der_get(d, CS_DER_OCTET_STRING);
        if (cs_der_ok(d) && c->skid.n == 0) cs_der_bad(d, "is empty");
        break;
    case CS_EXT_KEY_USAGE: read_key_usage(c, d); break;
    case CS_EXT_SAN: read_san(c, d); break;
    case CS_EXT_IAN: check_general_names(d); break;
    case CS_EXT_BASIC_CONSTRAINTS: read_basic_constraints(c, d); break;
    case CS_EXT_NAME_CONSTRAINTS: read_name_constraints(c, d); break;
    case CS_EXT_CRL_POINTS:
    case CS_EXT_FRESHEST_CRL: check_points(d); break;
    case CS_EXT_POLICIES: check_policies(d); break;
    case CS_EXT_POLICY_MAPPINGS: check_mappings(d); break;
    case CS_EXT_AKI: read_aki(c, d); break;
    case CS_EXT_POLICY_CONSTRAINTS: read_policy_constraints(m, d); break;
    case CS_EXT_EKU: read_eku(c, d); break;
    case CS_EXT_INHIBIT_ANY: m->inhibit_any = (int64_t)cs_der_uint(d, INT32_MAX); break;
    case CS_EXT_AIA:
    case CS_EXT_SIA: check_access(d); break;
    case CS_EXT_UNKNOWN:
    case CS_EXT_COUNT: break;
    }
    cs_der_end(d);
}

static void note_criticality(cs_cert_more *m, cs_ext_id id, bool critical) {
    const ext_row *r = &ext_rows[id];
    if (r->critical == 0 && critical)
        cs_flaw_note(&m->flaw_strict, CS_R_CERTIFICATE_MALFORMED, r->name, "must not be critical");
    if (r->critical == 1 && !critical)
        cs_flaw_note(&m->flaw_strict, CS_R_CERTIFICATE_MALFORMED, r->name, "must be critical");
}

void cs_exts_read(cs_cert *c, cs_view extensions, cs_der_fault *fault) {
    cs_cert_more *m = cs_cert_more_of(c);
    cs_view seen[EXTS_MAX];
    size_t n = 0;
    cs_der list = cs_der_of(extensions, fault);
    if (list.left == 0 && !fault->rule) cs_der_bad(&list, "an empty list");
    while (cs_der_more(&list)) {
        fault->field = "extensions";
        cs_der e = cs_der_in(&list, CS_DER_SEQUENCE);
        cs_view oid = cs_der_oid(&e);
        bool critical = false;
        if (cs_der_peek(&e) == CS_DER_BOOLEAN) {
            critical = cs_der_bool(&e);
            if (!critical)
                cs_flaw_note(&m->flaw_strict, CS_R_CERTIFICATE_MALFORMED, "extensions",
                             "critical FALSE is written out (BER, not DER)");
        }
        cs_view value = cs_der_get(&e, CS_DER_OCTET_STRING);
        cs_der_end(&e);
        for (size_t i = 0; i < n; i++) {
            if (cs_view_eq(seen[i], oid)) cs_der_bad(&list, "the same extension twice"); /* @rfc 5280#4.2 */
        }
        if (n == EXTS_MAX) cs_der_bad(&list, "more than 64 of them");
        if (!cs_der_ok(&list)) return;
        seen[n++] = oid;
        cs_ext_id id = cs_ext_of(oid);
        if (id == CS_EXT_UNKNOWN) {
            if (critical && m->flaw_critical.reason == CS_R_NONE)
                m->flaw_critical =
                    (cs_flaw){CS_R_CRITICAL_EXTENSION_UNKNOWN, "extensions", "critical and not understood", oid};
            continue;
        }
        m->ext[id] = (cs_ext){true, critical, value};
        note_criticality(m, id, critical);
        fault->field = ext_rows[id].name;
        cs_der d = cs_der_of(value, fault);
        read_one(c, id, &d);
    }
}
