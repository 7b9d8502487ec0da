/* Who may enroll, and for how long after its end a certificate may be renewed: by kind; and what holds at which door.
 */
#include "conf/conf_priv.h"

#define RETRY (60 * CS_SEC)

static conf_approval approval_of(const char *text) {
    if (strcmp(text, "unknown") == 0) return CONF_APPROVAL_UNKNOWN;
    return strcmp(text, "always") == 0 ? CONF_APPROVAL_ALWAYS : CONF_APPROVAL_NEVER;
}

static void fill_policy(conf_enroll *to, const file_enroll *from) {
    *to = (conf_enroll){.retry = RETRY, .supersede = from->supersede != NULL && *from->supersede};
    if (from->approval != NULL) to->approval = approval_of(from->approval);
    if (from->grace != NULL) (void)cs_duration_parse(cs_view_str(from->grace), &to->grace); /* judged already */
    if (from->retry != NULL) (void)cs_duration_parse(cs_view_str(from->retry), &to->retry);
}

static cs_status bad_door(const conf *c, const file_door *f, const char *what, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: enroll.doors: %s%s%.64s: %s", c->file, f->protocol,
                   f->label != NULL ? " " : "", f->label != NULL ? f->label : "", what);
}

static conf_protocol_door protocol_of(const char *text) {
    if (strcmp(text, "scep") == 0) return CONF_DOOR_SCEP;
    if (strcmp(text, "cmp") == 0) return CONF_DOOR_CMP;
    return strcmp(text, "acme") == 0 ? CONF_DOOR_ACME : CONF_DOOR_EST;
}

static bool has_site(const conf *c, const char *name) {
    for (unsigned i = 0; i < c->site_count; i++)
        if (strcmp(c->sites[i].name, name) == 0) return true;
    return false;
}

static cs_status check_door(const conf *c, const file_door *f, const conf_door *d, cs_err *err) {
    const cs_profile *profile = NULL;
    bool scep = d->protocol == CONF_DOOR_SCEP, plain = scep || d->protocol == CONF_DOOR_CMP;
    cs_err why;
    if (conf_door_find(c, d->protocol, cs_view_str(d->label)) != NULL) return bad_door(c, f, "it is there twice", err);
    if (strlen(d->label) > 64) return bad_door(c, f, "a label has at most 64 characters", err);
    if (d->profile != NULL && conf_profile_find(c, d->profile, CS_KIND_OTHER, &profile, &why) != CS_OK)
        return bad_door(c, f, why.detail, err);
    for (unsigned i = 0; i < d->sites.n; i++)
        if (!has_site(c, d->sites.at[i])) return bad_door(c, f, "sites: one of them is not among the sites", err);
    if (f->plain != NULL && *f->plain && !plain)
        return bad_door(c, f, "plain: only SCEP and CMP protect themselves", err);
    if (f->accounts != NULL && d->protocol != CONF_DOOR_ACME) return bad_door(c, f, "accounts is ACME's", err);
    if (f->channel_binding != NULL && d->protocol != CONF_DOOR_EST)
        return bad_door(c, f, "channel_binding is EST's", err);
    if ((f->legacy != NULL || f->ca_certificates != NULL) && !scep)
        return bad_door(c, f, "legacy and ca_certificates are SCEP's", err);
    return CS_OK;
}

static cs_status fill_door(conf *c, const file_door *f, cs_err *err) {
    conf_door d = {.protocol = protocol_of(f->protocol),
                   .label = f->label != NULL ? f->label : "",
                   .closed = f->serve != NULL && !*f->serve,
                   .plain = f->plain == NULL || *f->plain,
                   .profile = f->profile,
                   .has_approval = f->approval != NULL,
                   .legacy = f->legacy != NULL && *f->legacy};
    d.open_accounts = f->accounts != NULL && strcmp(f->accounts, "open") == 0;
    if (f->approval != NULL) d.approval = approval_of(f->approval);
    if (f->ca_certificates != NULL && strcmp(f->ca_certificates, "ra") == 0) d.ca_certificates = CONF_CHAIN_RA;
    if (f->ca_certificates != NULL && strcmp(f->ca_certificates, "chain") == 0) d.ca_certificates = CONF_CHAIN_NO_ROOT;
    if (f->channel_binding != NULL && strcmp(f->channel_binding, "required") == 0) d.binding = CONF_BINDING_REQUIRED;
    if (f->channel_binding != NULL && strcmp(f->channel_binding, "ignored") == 0) d.binding = CONF_BINDING_IGNORED;
    TRY(conf_texts_fill(c, f->sites, f->sites_count, &d.sites, err));
    TRY(check_door(c, f, &d, err));
    c->doors[c->door_count++] = d;
    return CS_OK;
}

static cs_status fill_acme(conf *c, const file_acme *f, cs_err *err) {
    conf_acme *a = &c->acme;
    a->url = f->url;
    if (f->url != NULL && f->url[strlen(f->url) - 1] == '/')
        a->url = conf_textf(c, "%.*s", (int)strlen(f->url) - 1, f->url);
    a->http_port = f->http_port != NULL ? *f->http_port : 80;
    a->tls_port = f->tls_port != NULL ? *f->tls_port : 443;
    if (a->http_port == 0 || a->http_port > 65535 || a->tls_port == 0 || a->tls_port > 65535)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: acme: a port is from 1 to 65535", c->file);
    TRY(conf_texts_fill(c, f->resolvers, f->resolvers_count, &a->resolvers, err));
    if (f->fetch_from_count == 0) return CS_OK;
    a->fetch_from = conf_alloc(c, f->fetch_from_count * sizeof *a->fetch_from);
    if (a->fetch_from == NULL) return CS_NOMEM_ERR(err);
    for (; a->fetch_from_count < f->fetch_from_count; a->fetch_from_count++)
        (void)addr_range_parse(f->fetch_from[a->fetch_from_count], &a->fetch_from[a->fetch_from_count]); /* judged */
    return CS_OK;
}

bool conf_texts_have(const conf_texts *t, const char *text) {
    for (unsigned i = 0; i < t->n; i++)
        if (strcmp(t->at[i], text) == 0) return true;
    return t->n == 0;
}

/* ---- makers of devices ---- */

static cs_status bad_vendor(const conf *c, const char *name, const char *what, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: enroll.vendors: %.64s: %s", c->file, name, what);
}

static cs_serial_at serial_at_of(const char *text) {
    static const char *const at[] = {"any", "subject", "common-name", "hardware-module", "permanent-identifier"};
    unsigned i = 0;
    while (text != NULL && i < sizeof at / sizeof *at && strcmp(at[i], text) != 0) i++;
    return (cs_serial_at)i; /* judged already */
}

static cs_status check_vendor(const conf *c, const conf_vendor *v, cs_err *err) {
    const cs_profile *profile = NULL;
    cs_err why;
    for (unsigned i = 0; i < c->vendor_count; i++)
        if (strcmp(c->vendors[i].name, v->name) == 0) return bad_vendor(c, v->name, "it is there twice", err);
    if (strlen(v->name) > 32) return bad_vendor(c, v->name, "a name has at most 32 characters", err);
    if (v->profile != NULL && conf_profile_find(c, v->profile, CS_KIND_DEVICE, &profile, &why) != CS_OK)
        return bad_vendor(c, v->name, why.detail, err);
    for (unsigned i = 0; i < v->sites.n; i++)
        if (!has_site(c, v->sites.at[i]))
            return bad_vendor(c, v->name, "sites: one of them is not among the sites", err);
    if (v->tpm && (v->sites.n > 0 || v->doors.n > 0 || v->again || v->profile != NULL))
        return bad_vendor(c, v->name, "sites, doors, use and profile are for idevid: a TPM attests over ACME", err);
    return CS_OK;
}

static cs_status fill_vendor(conf *c, const file_vendor *f, const char *folder, cs_err *err) {
    conf_vendor v = {.name = f->name,
                     .tpm = f->as != NULL && strcmp(f->as, "tpm") == 0,
                     .anchors = conf_file_path(c, folder, f->anchors),
                     .crl = conf_file_path(c, folder, f->crl),
                     .serial = serial_at_of(f->serial),
                     .identity = f->identity,
                     .listed = f->listed != NULL ? *f->listed : f->identity == NULL,
                     .profile = f->profile,
                     .again = f->use != NULL && strcmp(f->use, "again") == 0};
    if (!v.listed && v.identity == NULL)
        return bad_vendor(c, f->name, "listed: false needs identity, which says what its devices are called", err);
    TRY(conf_texts_fill(c, f->sites, f->sites_count, &v.sites, err));
    TRY(conf_texts_fill(c, f->doors, f->doors_count, &v.doors, err));
    TRY(check_vendor(c, &v, err));
    c->vendors[c->vendor_count++] = v;
    return CS_OK;
}

static cs_status fill_vendors(conf *c, const file_conf *f, const char *folder, cs_err *err) {
    c->listed_keys = f->enroll.listed_keys != NULL && *f->enroll.listed_keys;
    if (f->enroll.vendors_count == 0) return CS_OK;
    c->vendors = conf_alloc(c, f->enroll.vendors_count * sizeof *c->vendors);
    if (c->vendors == NULL) return CS_NOMEM_ERR(err);
    for (unsigned i = 0; i < f->enroll.vendors_count; i++) TRY(fill_vendor(c, &f->enroll.vendors[i], folder, err));
    return CS_OK;
}

cs_status conf_enroll_fill(conf *c, const file_conf *f, const char *folder, cs_err *err) {
    fill_policy(&c->enroll[CS_KIND_SERVER], &f->enroll.server);
    fill_policy(&c->enroll[CS_KIND_USER], &f->enroll.user);
    fill_policy(&c->enroll[CS_KIND_DEVICE], &f->enroll.device);
    c->enroll_trace = f->enroll.trace != NULL && *f->enroll.trace;
    TRY(fill_acme(c, &f->acme, err));
    TRY(fill_vendors(c, f, folder, err));
    if (f->enroll.doors_count == 0) return CS_OK;
    c->doors = conf_alloc(c, f->enroll.doors_count * sizeof *c->doors);
    if (c->doors == NULL) return CS_NOMEM_ERR(err);
    for (unsigned i = 0; i < f->enroll.doors_count; i++) TRY(fill_door(c, &f->enroll.doors[i], err));
    return CS_OK;
}

const conf_door *conf_door_find(const conf *c, conf_protocol_door protocol, cs_view label) {
    for (unsigned i = 0; i < c->door_count; i++)
        if (c->doors[i].protocol == protocol && cs_view_eq_str(label, c->doors[i].label)) return &c->doors[i];
    return NULL;
}

const conf_door *conf_door_at(const conf *c, conf_protocol_door protocol, cs_view label) {
    const conf_door *d = conf_door_find(c, protocol, label);
    return d != NULL ? d : conf_door_find(c, protocol, CS_VIEW_LIT(""));
}
