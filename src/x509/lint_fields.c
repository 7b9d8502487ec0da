/* Rules about the fields of a certificate and about its subject. */
#include "x509/lint_priv.h"

#include "keys/keys.h"
#include "x509/exts_write.h"

const char *lint_form(const cs_cert *c) {
    const cs_cert_more *m = cs_cert_more_of(c);
    return m->flaw_any.reason != CS_R_NONE ? m->flaw_any.rule : NULL;
}

const char *lint_form_strict(const cs_cert *c) {
    const cs_cert_more *m = cs_cert_more_of(c);
    return m->flaw_strict.reason != CS_R_NONE ? m->flaw_strict.rule : NULL;
}

const char *lint_version(const cs_cert *c) {
    return cs_cert_more_of(c)->version == 3 ? NULL : "it is not 3";
}

const char *lint_serial(const cs_cert *c) {
    const cs_cert_more *m = cs_cert_more_of(c);
    return m->flaw_serial.reason != CS_R_NONE ? m->flaw_serial.rule : NULL;
}

const char *lint_serial_random(const cs_cert *c) {
    return c->serial.n >= 8 ? NULL : "it has less than 8 octets";
}

const char *lint_validity_order(const cs_cert *c) {
    return c->not_after > c->not_before ? NULL : "it ends before it begins";
}

const char *lint_validity_server(const cs_cert *c) {
    bool server = !c->is_ca && c->has_eku && (c->eku & CS_EKU_SERVER_AUTH);
    return server && c->not_after - c->not_before > 398 * CS_DAY + CS_DAY ? "browsers refuse it" : NULL;
}

const char *lint_algorithm(const cs_cert *c) {
    const cs_cert_more *m = cs_cert_more_of(c);
    if (m->alg.flaw.reason == CS_R_ALGORITHM_TOO_WEAK) return "MD5, SHA-1, or a hash of their kind";
    return m->alg.flaw.reason != CS_R_NONE ? m->alg.flaw.rule : NULL;
}

const char *lint_key(const cs_cert *c) {
    const cs_cert_more *m = cs_cert_more_of(c);
    cs_err why;
    if (m->flaw_key.reason != CS_R_NONE) return m->flaw_key.rule;
    if (m->key_type != CS_KEY_RSA && m->key_type != CS_KEY_EC) return NULL; /* nothing known to be weak */
    if (cs_key_spki_check(c->spki, &why) == CS_OK || why.reason == CS_R_KEY_UNSUPPORTED) return NULL;
    return why.reason == CS_R_KEY_TOO_WEAK ? "it is weak: size, exponent, or primes that can be found"
                                           : "it is no point of its curve, or not in DER's one form";
}

/* ---- the subject ---- */

const char *lint_ca_subject(const cs_cert *c) {
    return c->is_ca && cs_name_empty(c->subject) ? "it is empty" : NULL;
}

static size_t characters(uint8_t tag, cs_view v) {
    size_t n = 0;
    if (tag == CS_DER_BMP_STRING) return v.n / 2;
    if (tag == CS_DER_UNIVERSAL_STRING) return v.n / 4;
    if (tag != CS_DER_UTF8_STRING) return v.n;
    for (size_t i = 0; i < v.n; i++) n += (v.p[i] & 0xc0) != 0x80;
    return n;
}

/* The first value of those attributes that `bad` says yes to. */
static bool any_value(cs_view name, const cs_view oids[], size_t n, bool (*bad)(uint8_t tag, cs_view v)) {
    uint8_t tag;
    cs_view v;
    for (size_t i = 0; i < n; i++)
        for (size_t pos = 0; cs_name_attr(name, oids[i], &pos, &tag, &v);)
            if (bad(tag, v)) return true;
    return false;
}

static bool is_long(uint8_t tag, cs_view v) {
    return characters(tag, v) > 64;
}

static bool has_blanks(uint8_t tag, cs_view v) {
    if (tag == CS_DER_BMP_STRING || tag == CS_DER_UNIVERSAL_STRING || v.n == 0) return false;
    if (v.p[0] == ' ' || v.p[v.n - 1] == ' ') return true;
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] < 0x20 || v.p[i] == 0x7f) return true;
    return false;
}

static bool no_country(uint8_t tag, cs_view v) {
    if (tag != CS_DER_PRINTABLE_STRING || v.n != 2) return true;
    return v.p[0] < 'A' || v.p[0] > 'Z' || v.p[1] < 'A' || v.p[1] > 'Z';
}

const char *lint_subject_lengths(const cs_cert *c) {
    const cs_view oids[] = {CS_OID_CN, CS_OID_ORGANIZATION, CS_OID_UNIT};
    return any_value(c->subject, oids, 3, is_long) ? "one of them is longer" : NULL;
}

const char *lint_country(const cs_cert *c) {
    const cs_view oids[] = {CS_OID_COUNTRY};
    return any_value(c->subject, oids, 1, no_country) ? "it is not" : NULL;
}

const char *lint_blanks(const cs_cert *c) {
    const cs_view oids[] = {CS_OID_CN, CS_OID_ORGANIZATION, CS_OID_UNIT, CS_OID_SERIAL_NUMBER};
    return any_value(c->subject, oids, 4, has_blanks) ? "a value begins or ends with a blank, or holds a control"
                                                      : NULL;
}
