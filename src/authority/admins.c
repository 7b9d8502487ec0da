#include "authority/admins.h"

#include <stdio.h>

#include "authority/authority_priv.h"

static const char *const names[] = {"issuer", "approver", "auditor", "operator"};
enum { ROLES = sizeof names / sizeof *names };

static unsigned role_of(cs_view word) {
    for (unsigned i = 0; i < ROLES; i++)
        if (cs_view_eq_str(word, names[i])) return 1U << i;
    return cs_view_eq_str(word, "all") ? (unsigned)ROLE_ANY : 0;
}

cs_status admin_roles_parse(cs_view text, unsigned *ret, cs_err *err) {
    unsigned roles = 0;
    while (text.n > 0) {
        const uint8_t *comma = memchr(text.p, ',', text.n);
        size_t n = comma != NULL ? (size_t)(comma - text.p) : text.n;
        unsigned role = role_of(cs_view_trim(cs_view_of(text.p, n)));
        if (role == 0) break;
        roles |= role;
        n += comma != NULL;
        text = cs_view_of(text.p + n, text.n - n);
    }
    *ret = roles;
    if (roles != 0 && text.n == 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_USAGE, "role \"%.*s\": issuer, approver, auditor, operator or all",
                   (int)text.n, (const char *)text.p);
}

const char *admin_roles_text(unsigned roles, char out[ROLE_TEXT_MAX]) {
    size_t n = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < ROLES; i++)
        if ((roles & 1U << i) != 0)
            n += (size_t)snprintf(out + n, ROLE_TEXT_MAX - n, "%s%s", n > 0 ? "," : "", names[i]);
    return out;
}

typedef struct asking {
    const char *serial;
    const uint8_t *sha256;
    cs_time now;
    authority_who *who;
    unsigned roles;
} asking;

static cs_status look(void *cls, store *st, cs_err *err) {
    asking *q = cls;
    store_cert c;
    TRY(store_cert_by_serial(st, q->serial, &c, err));
    if (c.status == STORE_REVOKED || c.status == STORE_ABANDONED)
        return cs_fail(err, CS_REFUSED, CS_R_REVOKED, "serial %s", c.serial);
    if (c.status != STORE_ISSUED || memcmp(c.sha256, q->sha256, sizeof c.sha256) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "the caller's certificate is not of this authority");
    if (c.not_after < q->now) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_EXPIRED, "serial %s", c.serial);
    (void)snprintf(q->who->by, sizeof q->who->by, "%s %s", cs_kind_name(c.kind), c.name);
    (void)snprintf(q->who->serial, sizeof q->who->serial, "%s", c.serial);
    return store_admin_roles(st, c.kind, c.name, &q->roles, err);
}

cs_status admin_of_certificate(authority *a, const char *serial, const uint8_t sha256[32], authority_who *who,
                               unsigned *ret_roles, cs_err *err) {
    asking q = {.serial = serial, .sha256 = sha256, .now = cs_now(a->clock), .who = who};
    TRY(authority_read(a, look, &q, err));
    *ret_roles = q.roles;
    return CS_OK;
}

/* ---- changes: JOB_CHANGE runs them in the writer, within a transaction ---- */
typedef struct change {
    cs_identity id;
    unsigned give, take, left;
    const authority_who *by;
} change;

static cs_status apply(authority *a, store *st, void *cls, cs_err *err) {
    change *c = cls;
    unsigned had = 0;
    char roles[ROLE_TEXT_MAX], more[ROLE_TEXT_MAX + 8];
    TRY(store_admin_roles(st, c->id.kind, c->id.name, &had, err));
    if (c->take != 0 && (had & c->take) == 0)
        return cs_fail(err, CS_REFUSED, CS_R_ADMIN_UNKNOWN, "%s %s has no such role", cs_kind_name(c->id.kind),
                       c->id.name);
    c->left = (had | c->give) & ~c->take;
    TRY(store_admin_set(st, c->id.kind, c->id.name, c->left, cs_now(a->clock), c->by->by, err));
    store_cert about = {.kind = c->id.kind};
    (void)snprintf(about.name, sizeof about.name, "%s", c->id.name);
    (void)snprintf(more, sizeof more, "roles %s", admin_roles_text(c->left, roles));
    return audit(a, st, c->take != 0 ? "admin-removed" : "admin-added", c->by, &about, more, err);
}

static cs_status run(authority *a, cs_kind kind, cs_view name, change *c, unsigned *ret_roles, cs_err *err) {
    TRY(cs_identity_make(kind, name, &c->id, err));
    TRY(authority_change(a, apply, c, err));
    *ret_roles = c->left;
    return CS_OK;
}

cs_status admin_add(authority *a, cs_kind kind, cs_view name, unsigned roles, const authority_who *by,
                    unsigned *ret_roles, cs_err *err) {
    change c = {.give = roles, .by = by};
    return run(a, kind, name, &c, ret_roles, err);
}

cs_status admin_remove(authority *a, cs_kind kind, cs_view name, unsigned roles, const authority_who *by,
                       unsigned *ret_roles, cs_err *err) {
    change c = {.take = roles, .by = by};
    return run(a, kind, name, &c, ret_roles, err);
}
