/* Which names a profile lets be certified, and the subject that it makes of them. */
#include "base/text.h"
#include "keys/keys.h"
#include "x509/build.h"
#include "x509/cert_priv.h"
#include "x509/exts_write.h"
#include "x509/profile_priv.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- patterns ---- */

/* '*' is any run of octets; one way back suffices, since the last star can take over what an earlier one took. */
static bool glob(const char *pattern, cs_view text) {
    const char *star = NULL;
    size_t i = 0, back = 0;
    while (i < text.n) {
        if (*pattern == '*') {
            star = ++pattern;
            back = i;
        } else if (*pattern != '\0' && (uint8_t)*pattern == text.p[i]) {
            pattern++;
            i++;
        } else if (star) {
            pattern = star;
            i = ++back;
        } else {
            return false;
        }
    }
    while (*pattern == '*') pattern++;
    return *pattern == '\0';
}

/* ADDRESS/BITS into its octets; 0: it is none. */
static size_t network_of(const char *text, uint8_t ret[16], unsigned *ret_bits) {
    char address[INET6_ADDRSTRLEN + 1];
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    char *end = NULL;
    if (n == 0 || n >= sizeof(address)) return 0;
    memcpy(address, text, n);
    address[n] = '\0';
    size_t octets = inet_pton(AF_INET, address, ret) == 1 ? 4 : inet_pton(AF_INET6, address, ret) == 1 ? 16 : 0;
    *ret_bits = (unsigned)octets * 8;
    if (!octets || !slash) return octets;
    unsigned long bits = strtoul(slash + 1, &end, 10);
    if (slash[1] < '0' || slash[1] > '9' || *end != '\0' || bits > octets * 8) return 0;
    *ret_bits = (unsigned)bits;
    return octets;
}

static bool in_network(const char *text, cs_view ip) {
    uint8_t net[16];
    unsigned bits = 0;
    if (network_of(text, net, &bits) != ip.n) return false;
    if (memcmp(net, ip.p, bits / 8) != 0) return false;
    if (bits % 8 == 0) return true;
    uint8_t mask = (uint8_t)(0xff << (8 - bits % 8));
    return (net[bits / 8] & mask) == (ip.p[bits / 8] & mask);
}

static bool fits(const cs_pattern *p, const cs_san *san) {
    if (p->type != san->type) return false;
    return p->type == CS_SAN_IP ? in_network(p->text, san->value) : glob(p->text, san->value);
}

static cs_status not_allowed(const cs_profile *p, const cs_san *san, const char *why, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(1024);
    (void)cs_san_add(&text, san);
    const char *name = cs_buf_cstr(&text);
    return cs_fail(err, CS_REFUSED, CS_R_NAME_NOT_ALLOWED, "%.200s: profile %s %s", name ? name : "a name", p->name,
                   why);
}

cs_status cs_profile_name_check(const cs_profile *p, const cs_san *san, cs_err *err) {
    bool about = false, allowed = false;
    if ((unsigned)san->type > CS_SAN_RID || !(p->san_types & (1U << san->type)))
        return not_allowed(p, san, "has no names of that type", err);
    for (size_t i = 0; i < p->denied_count; i++)
        if (fits(&p->denied[i], san)) return not_allowed(p, san, "denies it (deny_names)", err);
    for (size_t i = 0; i < p->allowed_count && !allowed; i++) {
        about = about || p->allowed[i].type == san->type;
        allowed = fits(&p->allowed[i], san);
    }
    return about && !allowed ? not_allowed(p, san, "allows no such name (names)", err) : CS_OK;
}

cs_status cs_profile_request_name_check(const cs_profile *p, const cs_san *san, cs_err *err) {
    if (p->names_from_request) return cs_profile_name_check(p, san, err);
    CS_SCOPED(cs_buf) text = cs_buf_of(1024);
    (void)cs_san_add(&text, san);
    const char *name = cs_buf_cstr(&text);
    return cs_fail(err, CS_REFUSED, CS_R_NAME_NOT_ALLOWED, "the request carries %s, which was not asked for",
                   name ? name : "a name");
}

/* ---- the subject ---- */

enum { FIELD_MAX = 64 }; /* X.520's upper bound */

static bool is_readable(uint8_t tag) {
    return tag == CS_DER_UTF8_STRING || tag == CS_DER_PRINTABLE_STRING || tag == CS_DER_IA5_STRING;
}

/* The request's value of that attribute; NULL when it has none, or one in a form of the last century. */
static cs_status from_request(cs_view name, cs_view oid, const char *what, char out[FIELD_MAX + 1], const char **ret,
                              cs_err *err) {
    size_t pos = 0;
    uint8_t tag = 0;
    cs_view v;
    if (name.n == 0 || !cs_name_attr(name, oid, &pos, &tag, &v) || !is_readable(tag)) return CS_OK;
    if (v.n > FIELD_MAX || memchr(v.p, 0, v.n))
        return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "the request's %s: %s", what,
                       v.n > FIELD_MAX ? "over 64 bytes" : "holds a NUL character");
    memcpy(out, v.p, v.n);
    out[v.n] = '\0';
    *ret = out;
    return CS_OK;
}

static cs_status field(const cs_field *f, const cs_profile_ask *ask, cs_view oid, const char *what,
                       char out[FIELD_MAX + 1], const char **ret, cs_err *err) {
    *ret = NULL;
    switch (f->from) {
    case CS_FROM_NOWHERE: return CS_OK;
    case CS_FROM_IDENTITY: /* where it does not fit, the SAN alone speaks */
        if (strlen(ask->who->name) <= FIELD_MAX) *ret = ask->who->name;
        return CS_OK;
    case CS_FROM_PROFILE: *ret = f->text; return CS_OK;
    case CS_FROM_REQUEST: return from_request(ask->subject, oid, what, out, ret, err);
    }
    return CS_OK;
}

/* A server's CN that clients of old may look at must be one of its names. */
static cs_status check_cn(const cs_profile *p, const char *cn, const cs_san sans[], size_t n, cs_err *err) {
    if (!cn || p->kind != CS_KIND_SERVER || p->subject.common_name.from != CS_FROM_REQUEST) return CS_OK;
    for (size_t i = 0; i < n; i++)
        if (cs_view_eq_nocase(sans[i].value, cs_view_str(cn))) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_NAME_NOT_ALLOWED, "the request's common name is none of the server's names");
}

cs_status cs_profile_subject(const cs_profile *p, const cs_profile_ask *ask, const cs_san sans[], size_t san_count,
                             cs_buf *b, cs_err *err) {
    char c[FIELD_MAX + 1], o[FIELD_MAX + 1], ou[FIELD_MAX + 1], cn[FIELD_MAX + 1], sn[FIELD_MAX + 1];
    cs_dn dn = {.country = NULL};
    TRY(field(&p->subject.country, ask, CS_OID_COUNTRY, "country", c, &dn.country, err));
    TRY(field(&p->subject.organization, ask, CS_OID_ORGANIZATION, "organization", o, &dn.organization, err));
    TRY(field(&p->subject.unit, ask, CS_OID_UNIT, "organizational unit", ou, &dn.unit, err));
    TRY(field(&p->subject.common_name, ask, CS_OID_CN, "common name", cn, &dn.common_name, err));
    TRY(field(&p->subject.serial_number, ask, CS_OID_SERIAL_NUMBER, "serial number", sn, &dn.serial_number, err));
    TRY(check_cn(p, dn.common_name, sans, san_count, err));
    return cs_dn_build(&dn, b, err);
}

/* ---- keys and doors ---- */

cs_status cs_profile_key_check(const cs_profile *p, cs_view spki, cs_err *err) {
    static const char *const names[] = {"ECDSA P-256", "ECDSA P-384", "ECDSA P-521", "Ed25519",
                                        "RSA",         "ML-DSA-44",   "ML-DSA-65",   "ML-DSA-87"};
    char text[CS_KEY_TEXT_MAX];
    if (p->key_types == 0 && p->rsa_bits_min == 0) return CS_OK;
    (void)cs_key_spki_text(spki, text);
    bool rsa = strncmp(text, "RSA ", 4) == 0;
    unsigned type = rsa ? CS_PROFILE_KEY_RSA : 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(text, names[i]) == 0) type = 1U << i;
    if (p->key_types && !(p->key_types & type))
        return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "profile %s takes no %s key", p->name, text);
    if (rsa && strtol(text + 4, NULL, 10) < p->rsa_bits_min)
        return cs_fail(err, CS_REFUSED, CS_R_KEY_TOO_WEAK, "%s: profile %s wants %d bits", text, p->name,
                       p->rsa_bits_min);
    return CS_OK;
}

cs_status cs_profile_door_check(const cs_profile *p, const char *door, cs_err *err) {
    for (size_t i = 0; i < p->ask_count; i++)
        if (strcmp(p->ask[i], door) == 0) return CS_OK;
    if (p->ask_count == 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "profile %s may not be asked for through %s (ask)", p->name,
                   door);
}

bool cs_profile_pattern_ok(const cs_pattern *p) {
    uint8_t net[16];
    unsigned bits = 0;
    if (p->type == CS_SAN_IP) return network_of(p->text, net, &bits) != 0;
    if (p->type != CS_SAN_DNS && p->type != CS_SAN_EMAIL && p->type != CS_SAN_URI) return false;
    size_t n = strlen(p->text);
    for (size_t i = 0; i < n; i++)
        if (p->text[i] <= 0x20 || p->text[i] >= 0x7f) return false;
    return n > 0 && n <= CS_IDENTITY_NAME_MAX;
}
