/* Name constraints: every name of a certificate against the subtrees of one CA above it. @rfc 5280#4.2.1.10
 * Permitted: a type that is constrained at all admits only what lies within one of its subtrees. Excluded wins.
 * The common name is never read as a host name. */
#include "verify/verify_priv.h"

#include <stdlib.h>

enum { NAME_LEN_MAX = 1024 };

typedef struct subject_name {
    cs_san_type type;
    cs_view value;
    uint8_t tag; /* of an emailAddress attribute */
} subject_name;

static bool ends_with_nocase(cs_view name, cs_view end) {
    return name.n >= end.n && cs_view_eq_nocase((cs_view){name.p + name.n - end.n, end.n}, end);
}

/* `host` equals `base` or lies below it. */
static bool host_within(cs_view host, cs_view base) {
    if (base.n == 0 || cs_view_eq_nocase(host, base)) return true;
    if (base.p[0] == '.') return host.n > base.n && ends_with_nocase(host, base);
    return host.n > base.n && host.p[host.n - base.n - 1] == '.' && ends_with_nocase(host, base);
}

/* A name that is written with a wildcard stands for many: it is excluded if one of them is, permitted if all are. */
static bool dns_within(cs_view name, cs_view base, bool excluded) {
    if (host_within(name, base)) return true;
    if (!excluded || name.n < 2 || name.p[0] != '*' || name.p[1] != '.') return false;
    cs_view parent = {name.p + 2, name.n - 2};
    const uint8_t *dot = base.n ? memchr(base.p, '.', base.n) : NULL;
    if (!dot) return false;
    size_t label = (size_t)(dot - base.p) + 1;
    return cs_view_eq_nocase(parent, (cs_view){base.p + label, base.n - label});
}

/* A mailbox, a host (".x": what lies below x). Local parts are compared as they are, hosts without case. */
static bool email_split(cs_view mail, cs_view *local, cs_view *host) {
    const uint8_t *at = mail.n ? memrchr(mail.p, '@', mail.n) : NULL;
    if (!at) return false;
    *local = (cs_view){mail.p, (size_t)(at - mail.p)};
    *host = (cs_view){at + 1, mail.n - local->n - 1};
    return true;
}

static bool email_within(cs_view mail, cs_view base) {
    cs_view local, host, base_local, base_host;
    if (!email_split(mail, &local, &host)) return false;
    if (email_split(base, &base_local, &base_host))
        return cs_view_eq(local, base_local) && cs_view_eq_nocase(host, base_host);
    if (base.n && base.p[0] == '.') return host.n > base.n && ends_with_nocase(host, base);
    return base.n == 0 || cs_view_eq_nocase(host, base);
}

static bool email_ok(cs_view mail) {
    cs_view local, host;
    if (!email_split(mail, &local, &host) || local.n == 0 || local.n > 64) return false;
    for (size_t i = 0; i < local.n; i++) {
        if (local.p[i] <= 0x20 || local.p[i] >= 0x7f || (local.p[i] == '@' && local.p[0] != '"')) return false;
    }
    return cs_dns_name_ok(host, false, true);
}

/* The host of a URI with an authority; false without one, or when it is an address. @rfc 3986#3.2 */
static bool uri_host(cs_view uri, cs_view *host) {
    const uint8_t *p = uri.p, *end = uri.p + uri.n;
    while (p < end && *p != ':' && *p != '/' && *p != '?' && *p != '#') p++;
    if (end - p < 3 || memcmp(p, "://", 3) != 0) return false;
    const uint8_t *start = p + 3, *stop = start;
    while (stop < end && *stop != '/' && *stop != '?' && *stop != '#') stop++;
    for (const uint8_t *q = start; q < stop; q++) {
        if (*q == '@') start = q + 1;
    }
    if (start < stop && *start == '[') return false;
    const uint8_t *colon = start;
    while (colon < stop && *colon != ':') colon++;
    *host = (cs_view){start, (size_t)(colon - start)};
    bool digits = true;
    for (size_t i = 0; i < host->n; i++) digits &= (host->p[i] >= '0' && host->p[i] <= '9') || host->p[i] == '.';
    return host->n > 0 && !digits;
}

static bool uri_within(cs_view uri, cs_view base) {
    cs_view host;
    if (!uri_host(uri, &host)) return false;
    if (base.n && base.p[0] == '.') return host.n > base.n && ends_with_nocase(host, base);
    return base.n == 0 || cs_view_eq_nocase(host, base);
}

static bool ip_within(cs_view ip, cs_view base) {
    if (base.n != 2 * ip.n) return false;
    for (size_t i = 0; i < ip.n; i++) {
        if ((ip.p[i] ^ base.p[i]) & base.p[ip.n + i]) return false;
    }
    return true;
}

static bool within(const subject_name *s, cs_view base, bool excluded) {
    switch (s->type) {
    case CS_SAN_DNS: return dns_within(s->value, base, excluded);
    case CS_SAN_EMAIL: return email_within(s->value, base);
    case CS_SAN_URI: return uri_within(s->value, base);
    case CS_SAN_IP: return ip_within(s->value, base);
    case CS_SAN_DIRNAME: return cs_name_within(s->value, base);
    default: return false;
    }
}

/* Can a name of that kind be compared at all? What cannot is refused wherever its kind is constrained. */
static bool comparable(const subject_name *s) {
    cs_view host;
    switch (s->type) {
    case CS_SAN_DNS: return cs_dns_name_ok(s->value, true, true);
    case CS_SAN_EMAIL: return email_ok(s->value);
    case CS_SAN_URI: return uri_host(s->value, &host);
    case CS_SAN_IP:
    case CS_SAN_DIRNAME: return true;
    default: return false;
    }
}

static bool refuse(const subject_name *s, size_t ca, size_t depth, const char *why, cs_refusal *r) {
    CS_SCOPED(cs_buf) b = cs_buf_of(2 * CS_NAME_TEXT_MAX);
    cs_san san = {s->type, s->value};
    cs_san_add(&b, &san);
    const char *text = cs_buf_cstr(&b);
    return cs_refuse(r, CS_R_NAME_CONSTRAINT_VIOLATED, (int)depth, "%.250s: %s the CA at depth %zu", text ? text : "",
                     why, ca);
}

typedef struct subtrees {
    cs_view list;
    bool excluded;
} subtrees;

/* One name against one list. */
static bool name_ok(cs_run *run, const subject_name *s, const subtrees *t, size_t ca, size_t depth, cs_refusal *r) {
    cs_der_fault fault = {0};
    cs_der d = cs_der_of(t->list, &fault);
    bool constrained = false, inside = false;
    while (cs_der_more(&d) && !inside) {
        cs_der one = cs_der_in(&d, CS_DER_SEQUENCE);
        cs_san_type type;
        cs_view base = cs_general_name(&one, &type, true);
        if (fault.rule || type != s->type) continue;
        if (run->names_left-- <= 0)
            return cs_refuse(r, CS_R_PATH_BUDGET_SPENT, (int)depth, "nameConstraints: too many names to compare");
        constrained = true;
        inside = comparable(s) && within(s, base, t->excluded);
    }
    if (!constrained) return true;
    if (!comparable(s)) return refuse(s, ca, depth, "cannot be compared with the name constraints of", r);
    if (t->excluded && inside) return refuse(s, ca, depth, "excluded by", r);
    if (!t->excluded && !inside) return refuse(s, ca, depth, "not within the names permitted by", r);
    return true;
}

static bool all_names_ok(cs_run *run, const cs_cert *c, const subtrees *t, size_t ca, size_t depth, cs_refusal *r) {
    subject_name s;
    if (!cs_name_empty(c->subject)) {
        s = (subject_name){CS_SAN_DIRNAME, c->subject, 0};
        if (!name_ok(run, &s, t, ca, depth, r)) return false;
    }
    for (size_t i = 0; i < c->san_count; i++) {
        s = (subject_name){c->sans[i].type, c->sans[i].value, 0};
        if (!name_ok(run, &s, t, ca, depth, r)) return false;
    }
    size_t pos = 0; /* emailAddress in the subject counts as an e-mail name */
    s = (subject_name){CS_SAN_EMAIL, {NULL, 0}, 0};
    while (cs_name_attr(c->subject, CS_OID_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"), &pos, &s.tag, &s.value)) {
        if (!name_ok(run, &s, t, ca, depth, r)) return false;
    }
    return true;
}

bool cs_constraints_ok(cs_run *run, const cs_path *path, size_t ca, size_t depth, cs_refusal *r) {
    cs_der_fault fault = {0};
    cs_der d = cs_der_of(cs_cert_more_of(path->at[ca])->ext[CS_EXT_NAME_CONSTRAINTS].value, &fault);
    cs_der s = cs_der_in(&d, CS_DER_SEQUENCE);
    subtrees permitted = {.excluded = false}, excluded = {.excluded = true};
    bool has_permitted = cs_der_opt(&s, CS_DER_CTX_CONS(0), &permitted.list);
    bool has_excluded = cs_der_opt(&s, CS_DER_CTX_CONS(1), &excluded.list);
    if (has_excluded && !all_names_ok(run, path->at[depth], &excluded, ca, depth, r)) return false;
    return !has_permitted || all_names_ok(run, path->at[depth], &permitted, ca, depth, r);
}

cs_status cs_constraints_check(const cs_cert *ca, const cs_cert *leaf, cs_err *err) {
    if (!cs_cert_more_of(ca)->ext[CS_EXT_NAME_CONSTRAINTS].present) return CS_OK;
    cs_run *run = calloc(1, sizeof *run);
    if (run == NULL) return CS_NOMEM_ERR(err);
    const cs_path path = {.at = {leaf, ca}, .n = 2};
    cs_refusal why = {.reason = CS_R_NONE};
    run->names_left = CS_WORK_NAMES;
    bool ok = cs_constraints_ok(run, &path, 1, 0, &why);
    free(run);
    return ok ? CS_OK : cs_fail(err, CS_REFUSED, why.reason, "%s", why.detail);
}
