#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/text.h"
#include "conf/vendors.h"
#include "gate/policy.h"
#include "io/files.h"

static cs_status below(const conf *c, const char *said, const char *name, char out[CONF_PATH_MAX], cs_err *err) {
    if (said == NULL) return conf_path(c, name, out, err);
    int n = snprintf(out, CONF_PATH_MAX, "%s", said);
    if (n < 0 || n >= CONF_PATH_MAX) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a path of %d bytes", n);
    return CS_OK;
}

static cs_status load_anchors(const conf *c, const conf_site *site, cs_buf *trust, cs_certs *names, cs_anchors **ret,
                              cs_err *err) {
    char path[CONF_PATH_MAX];
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
    CS_SCOPED(cs_certs) certs = {NULL, 0};
    TRY(below(c, site->client_ca, "trust/ca.pem", path, err));
    if (site->client_ca == NULL && !files_exists(path)) TRY(conf_path(c, "ca/root.crt", path, err));
    TRY(files_read(path, CS_PEM_FILE_MAX, &text, err));
    TRY(cs_certs_read(cs_buf_view(&text), path, &certs, err));
    for (size_t i = 0; i < certs.n; i++) {
        (void)cs_buf_add(trust, certs.at[i]->sha256, 32);
        TRY(cs_certs_add(names, cs_cert_ref(certs.at[i]), err));
    }
    return cs_anchors_new(&certs, ret, err);
}

/* Our own clients may leave out the issuing CA: many browsers send nothing but the leaf. */
static cs_status load_issuers(const conf *c, const conf_site *site, cs_certs *ret, cs_err *err) {
    char path[CONF_PATH_MAX];
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
    TRY(conf_path(c, "trust/issuers.pem", path, err));
    if (!files_exists(path)) TRY(conf_path(c, "ca/issuing.crt", path, err));
    if (site->client_ca != NULL || !files_exists(path)) return CS_OK;
    TRY(files_read(path, CS_PEM_FILE_MAX, &text, err));
    return cs_certs_read(cs_buf_view(&text), path, ret, err);
}

cs_status policy_crls(const char *path, cs_crls **ret, cs_buf *trust, cs_err *err) {
    uint8_t digest[32];
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_CRL_MAX);
    CS_AUTO(cs_crls) crls = NULL;
    TRY(files_read(path, CS_CRL_MAX, &text, err));
    TRY(cs_crls_new(&crls, err));
    TRY(cs_crls_read(crls, cs_buf_view(&text), path, err));
    TRY(tls_digest(cs_buf_view(&text), digest, err));
    if (trust != NULL) (void)cs_buf_add(trust, digest, sizeof digest);
    *ret = CS_TAKE(crls);
    return CS_OK;
}

static tls_client client_mode(conf_client c) {
    return c == CONF_CLIENT_OFF ? TLS_CLIENT_OFF : c == CONF_CLIENT_OPTIONAL ? TLS_CLIENT_OPTIONAL : TLS_CLIENT_REQUIRE;
}

tls_client policy_client(const gate_site *site) {
    return client_mode(site->conf->client);
}

static const char *alpn_of(const conf_site *c) {
    return c->alpn != NULL ? c->alpn : c->protocol == CONF_HTTP ? "h2,http/1.1,http/1.0" : NULL;
}

/* What a site is made of; lives as long as it takes to make it. */
typedef struct parts {
    cs_buf crt[TLS_IDENTITIES_MAX], key[TLS_IDENTITIES_MAX], trust, staple;
    char names[2 * TLS_IDENTITIES_MAX][CONF_PATH_MAX];
    cs_anchors *anchors;
    cs_certs issuers, ca_names;
    cs_crls *crls;
    cs_vendors *vendors;
    cs_pins *pins;
} parts;

static void parts_free(parts *p) {
    for (unsigned i = 0; i < TLS_IDENTITIES_MAX; i++) {
        cs_buf_free(&p->crt[i]);
        cs_buf_free(&p->key[i]);
    }
    cs_buf_free(&p->trust);
    cs_buf_free(&p->staple);
    cs_anchors_free(p->anchors);
    cs_certs_free(&p->issuers);
    cs_certs_free(&p->ca_names);
    cs_crls_free(p->crls);
    cs_vendors_free(p->vendors);
    cs_pins_free(p->pins);
}

static cs_status load_identity(const conf *c, parts *p, unsigned at, const char *crt, const char *key,
                               tls_site_plan *plan, cs_err *err) {
    char *crt_path = p->names[2 * at], *key_path = p->names[2 * at + 1];
    p->crt[at] = cs_buf_of(CS_PEM_FILE_MAX);
    p->key[at] = cs_buf_secret(CS_KEY_FILE_MAX);
    TRY(below(c, crt, "gateway/server.crt", crt_path, err));
    TRY(below(c, key, "gateway/server.key", key_path, err));
    TRY(files_read(crt_path, CS_PEM_FILE_MAX, &p->crt[at], err));
    TRY(files_read_private(key_path, CS_KEY_FILE_MAX, &p->key[at], err));
    plan->ids[at] = (tls_identity){cs_buf_view(&p->crt[at]), cs_buf_view(&p->key[at]), crt_path, key_path};
    plan->id_count = at + 1;
    return CS_OK;
}

/* What was fetched for a certificate of ours; without it, or when it is bad, the site serves all the same. */
static void own_staple(const conf *c, parts *p, tls_site_plan *plan) {
    char path[CONF_PATH_MAX];
    cs_err ignored;
    CS_SCOPED(cs_certs) certs = {NULL, 0};
    if (cs_certs_read(plan->ids[0].certificate, plan->ids[0].certificate_what, &certs, &ignored) != CS_OK ||
        certs.n == 0 || conf_staple_path(c, certs.at[0]->sha256, path, &ignored) != CS_OK || !files_exists(path) ||
        files_read(path, CS_OCSP_MAX, &p->staple, &ignored) != CS_OK)
        return;
    plan->staple = cs_buf_view(&p->staple);
    plan->staple_optional = true;
}

static cs_status load_identities(const conf *c, const conf_site *s, parts *p, tls_site_plan *plan, cs_err *err) {
    TRY(load_identity(c, p, 0, s->certificate, s->key, plan, err));
    for (unsigned i = 0; i < s->more_count && i + 1 < TLS_IDENTITIES_MAX; i++)
        TRY(load_identity(c, p, i + 1, s->more[i].certificate, s->more[i].key, plan, err));
    p->staple = cs_buf_of(CS_OCSP_MAX);
    if (s->ocsp == NULL) {
        own_staple(c, p, plan);
        return CS_OK;
    }
    TRY(files_read(s->ocsp, CS_OCSP_MAX, &p->staple, err));
    plan->staple = cs_buf_view(&p->staple);
    return CS_OK;
}

static cs_status load_pins(const conf *c, const conf_site *s, parts *p, cs_err *err) {
    if (s->pins.n == 0) return CS_OK;
    TRY(cs_pins_new(&p->pins, err));
    for (unsigned i = 0; i < s->pins.n; i++) {
        TRY(cs_pins_add(p->pins, s->pins.at[i], c->file, err));
        (void)cs_buf_add_vec16(&p->trust, cs_view_str(s->pins.at[i]));
    }
    return CS_OK;
}

/* Told to clients so that people see the right certificates to choose from. */
static cs_status load_ca_names(const conf_site *s, parts *p, tls_site_plan *plan, cs_err *err) {
    plan->no_ca_names = s->ca_names != NULL && strcmp(s->ca_names, "none") == 0;
    plan->ca_names = &p->ca_names;
    if (s->ca_names == NULL || strcmp(s->ca_names, "all") == 0 || plan->no_ca_names) return CS_OK;
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
    cs_certs_free(&p->ca_names);
    p->ca_names = (cs_certs){NULL, 0};
    TRY(files_read(s->ca_names, CS_PEM_FILE_MAX, &text, err));
    return cs_certs_read(cs_buf_view(&text), s->ca_names, &p->ca_names, err);
}

static cs_status load_clients(const conf *c, gate_site *site, parts *p, tls_site_plan *plan, cs_err *err) {
    const conf_site *s = site->conf;
    if (s->client == CONF_CLIENT_OFF) return CS_OK;
    TRY(load_anchors(c, s, &p->trust, &p->ca_names, &p->anchors, err));
    TRY(load_issuers(c, s, &p->issuers, err));
    if (site->enroll) TRY(conf_vendors_load(c, false, s->name, &p->trust, &p->vendors, err));
    if (p->vendors != NULL) TRY(cs_vendors_anchors(p->vendors, &p->ca_names, err));
    TRY(load_ca_names(s, p, plan, err));
    return load_pins(c, s, p, err);
}

static cs_status make_tls(const conf *c, gate_site *site, parts *p, tls_tickets *tickets, const cs_clock *clock,
                          tls_site **ret, cs_err *err) {
    const conf_site *s = site->conf;
    tls_site_plan plan = {.name = s->name,
                          .client = client_mode(s->client),
                          .enroll = site->enroll,
                          .only_13 = s->min_tls == CONF_TLS_1_3,
                          .own_records = c->own_records,
                          .alpn = alpn_of(s),
                          .groups = s->groups,
                          .tickets = tickets,
                          .clock = clock,
                          .user = site};
    p->trust = cs_buf_of(CS_PEM_FILE_MAX);
    TRY(load_identities(c, s, p, &plan, err));
    TRY(load_clients(c, site, p, &plan, err));
    (void)cs_buf_add_byte(&p->trust, 0);
    if (s->client_crl != NULL) TRY(policy_crls(s->client_crl, &p->crls, &p->trust, err));
    /* the same name at another address is another site: its sessions are worth nothing here */
    if (s->listen != NULL) (void)cs_buf_add_vec16(&p->trust, cs_view_str(s->listen));
    TRY(cs_buf_ok(&p->trust, "a site's trust", err));
    plan.anchors = p->anchors, plan.vendors = p->vendors, plan.crls = p->crls, plan.pins = p->pins,
    plan.issuers = &p->issuers;
    site->crls = p->crls != NULL ? cs_crls_ref(p->crls) : NULL;
    TRY(tls_digest(cs_buf_view(&p->trust), plan.trust, err));
    return tls_site_new(&plan, ret, err);
}

static cs_status load_tls(const conf *c, gate_site *site, tls_tickets *tickets, const cs_clock *clock, tls_site **ret,
                          cs_err *err) {
    parts *p = calloc(1, sizeof *p);
    if (p == NULL) return CS_NOMEM_ERR(err);
    cs_status s = make_tls(c, site, p, tickets, clock, ret, err);
    parts_free(p);
    free(p);
    return s;
}

/* Longest path first; of one path, those that ask for more. */
static int most_exact_first(const void *a, const void *b) {
    const gate_route *x = a, *y = b;
    if (x->path.n != y->path.n) return x->path.n > y->path.n ? -1 : 1;
    int more_x = (x->conf->host != NULL ? 2 + (x->conf->host[0] != '*') : 0) * 2 + (x->conf->methods.n > 0);
    int more_y = (y->conf->host != NULL ? 2 + (y->conf->host[0] != '*') : 0) * 2 + (y->conf->methods.n > 0);
    return more_y - more_x;
}

static cs_status load_routes(policy *p, gate_site *site, cs_err *err) {
    const conf_site *c = site->conf;
    TRY(policy_group(p, c->upstream, &site->group, err));
    site->route_count = c->route_count > 0 ? c->route_count : 1;
    site->routes = calloc(site->route_count, sizeof *site->routes);
    if (site->routes == NULL) return CS_NOMEM_ERR(err);
    if (c->route_count == 0) {
        site->routes[0] = (gate_route){.path = CS_VIEW_LIT("/"), .allow_count = c->allow_count, .group = site->group};
        return gate_allows_load(c->allow, c->allow_count, &site->routes[0].allow, err);
    }
    for (unsigned i = 0; i < c->route_count; i++) {
        const conf_route *from = &c->routes[i];
        gate_route *to = &site->routes[i];
        bool own = from->allow_count > 0;
        *to = (gate_route){.conf = from, .path = cs_view_str(from->path), .group = site->group};
        to->allow_count = own ? from->allow_count : c->allow_count;
        TRY(gate_allows_load(own ? from->allow : c->allow, to->allow_count, &to->allow, err));
        if (from->upstream != NULL) TRY(policy_group(p, from->upstream, &to->group, err));
    }
    qsort(site->routes, site->route_count, sizeof *site->routes, most_exact_first);
    return CS_OK;
}

const gate_door *policy_door(const policy *p, const char *listen) {
    for (const gate_door *d = p->doors; d != NULL && d < p->doors + p->door_count; d++)
        if (d->listen != NULL && strcmp(d->listen, listen) == 0) return d;
    return NULL;
}

/* The sites at one address, which must agree on what is said before TLS. Takes the sites that it uses. */
static cs_status make_door(policy *p, const char *listen, tls_site **all, cs_err *err) {
    gate_door *d = &p->doors[p->door_count];
    tls_site **here = calloc(p->site_count, sizeof(tls_site *));
    if (here == NULL) return CS_NOMEM_ERR(err);
    unsigned n = 0, streams = 0, postgres = 0;
    const gate_site *plain = NULL;
    for (unsigned i = 0; i < p->site_count; i++) {
        const conf_site *c = p->sites[i].conf;
        if (strcmp(c->listen != NULL ? c->listen : p->conf->https, listen) != 0) continue;
        if (c->plain) plain = &p->sites[i];
        here[n++] = all[i];
        all[i] = NULL;
        streams += c->protocol == CONF_TCP;
        postgres += c->starttls == CONF_STARTTLS_POSTGRES;
    }
    *d = (gate_door){.listen = listen,
                     .protocol = streams == n ? CONF_TCP : CONF_HTTP,
                     .starttls = postgres > 0 ? CONF_STARTTLS_POSTGRES : CONF_STARTTLS_NONE,
                     .plain = plain};
    if (plain != NULL && n > 1) {
        for (unsigned i = 0; i < n; i++) tls_site_free(here[i]);
        free(here);
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: a site with tls: off is alone at its address",
                       listen);
    }
    cs_status s = plain != NULL ? CS_OK : tls_front_new(here, n, strcmp(listen, p->conf->https) != 0, &d->front, err);
    free(here);
    if (s != CS_OK) return cs_fail_in(err, "%s", listen);
    p->door_count++;
    if (postgres > 0 && postgres < n)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: starttls is for all sites that listen there", listen);
    return CS_OK;
}

static cs_status make_doors(policy *p, tls_site **all, cs_err *err) {
    p->doors = calloc(p->site_count + 1, sizeof *p->doors);
    if (p->doors == NULL) return CS_NOMEM_ERR(err);
    for (int own = 0; own < 2; own++) {
        for (unsigned i = 0; i < p->site_count; i++) {
            const char *at = p->sites[i].conf->listen != NULL ? p->sites[i].conf->listen : p->conf->https;
            if ((strcmp(at, p->conf->https) != 0) != own || policy_door(p, at) != NULL) continue;
            if (p->door_count == GATE_DOORS_MAX)
                return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "addresses to listen on: at most %d", GATE_DOORS_MAX);
            TRY(make_door(p, at, all, err));
        }
    }
    return CS_OK;
}

/* A stream has no doors: nobody comes in there but who may use it. */
static bool enrolls(const policy *p, const conf_site *c) {
    if (c->protocol != CONF_HTTP || c->enroll == CONF_NO) return false;
    return c->enroll == CONF_YES || (c->authority && p->feed);
}

static cs_status load_sites(policy *p, tls_tickets *tickets, const cs_clock *clock, cs_err *err) {
    unsigned count = p->conf->site_count;
    tls_site **tls = calloc(count + 1, sizeof *tls);
    if (tls == NULL) return CS_NOMEM_ERR(err);
    cs_status s = CS_OK;
    for (unsigned i = 0; i < count && s == CS_OK; i++) {
        gate_site *site = &p->sites[i];
        site->conf = &p->conf->sites[i];
        p->site_count = i + 1;
        site->enroll = enrolls(p, site->conf);
        s = load_routes(p, site, err);
        if (s == CS_OK && !site->conf->plain) s = load_tls(p->conf, site, tickets, clock, &tls[i], err);
        if (s != CS_OK) (void)cs_fail_in(err, "site %s", site->conf->name);
    }
    if (s == CS_OK) s = make_doors(p, tls, err);
    for (unsigned i = 0; i < count; i++) tls_site_free(tls[i]);
    free(tls);
    return s;
}

static cs_status load_ticket_keys(policy *p, cs_err *err) {
    const char *path = p->conf->ticket_keys;
    if (path == NULL) return CS_OK;
    if (path[0] == '\0' && !p->feed)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: ticket_keys: there is no authority in %s",
                       p->conf->file, p->conf->state);
    if (path[0] == '\0') return CS_OK;
    CS_SCOPED(cs_buf) text = cs_buf_secret(CS_KEY_FILE_MAX);
    TRY(files_read_private(path, CS_KEY_FILE_MAX, &text, err));
    p->ticket_keys = calloc(TLS_TICKET_KEYS_MAX, sizeof *p->ticket_keys);
    if (p->ticket_keys == NULL) return CS_NOMEM_ERR(err);
    return tls_ticket_keys_read(cs_buf_view(&text), path, p->ticket_keys, &p->ticket_key_count, err);
}

cs_status policy_load(const conf_overrides *said, tls_tickets *tickets, const cs_clock *clock, policy **ret,
                      cs_err *err) {
    char path[CONF_PATH_MAX];
    CS_AUTO(policy) p = calloc(1, sizeof *p);
    if (p == NULL) return CS_NOMEM_ERR(err);
    atomic_init(&p->refs, 1);
    TRY(conf_load(said, &p->conf, err));
    TRY(conf_path(p->conf, "ca", path, err));
    p->feed = !p->conf->tunnel && files_exists(path);
    TRY(load_ticket_keys(p, err));
    p->sites = calloc(p->conf->site_count, sizeof *p->sites);
    if (p->sites == NULL) return CS_NOMEM_ERR(err);
    p->clock = clock;
    TRY(load_sites(p, tickets, clock, err));
    if (!p->conf->tunnel) {
        TRY(conf_path(p->conf, "run/authority.sock", path, err));
        (void)snprintf(p->authority_url, sizeof p->authority_url, "unix:%s", path);
        TRY(policy_group(p, p->authority_url, &p->authority, err));
    }
    *ret = CS_TAKE(p);
    return CS_OK;
}

cs_status policy_follows(const policy *p, const policy *before, cs_err *err) {
    for (unsigned i = 0; i < p->site_count; i++) {
        const gate_site *site = &p->sites[i];
        for (unsigned k = 0; site->crls != NULL && k < before->site_count; k++) {
            const gate_site *was = &before->sites[k];
            bool same = was->conf->client_crl != NULL && strcmp(was->conf->client_crl, site->conf->client_crl) == 0;
            if (same) TRY(cs_crls_no_older(site->crls, was->crls, site->conf->client_crl, err));
        }
    }
    return CS_OK;
}

policy *policy_ref(policy *p) {
    (void)atomic_fetch_add(&p->refs, 1);
    return p;
}

void policy_free(policy *p) {
    if (p == NULL || atomic_fetch_sub(&p->refs, 1) != 1) return;
    for (unsigned i = 0; i < p->door_count; i++) tls_front_free(p->doors[i].front);
    free(p->doors);
    for (unsigned i = 0; i < p->site_count; i++) {
        for (unsigned k = 0; p->sites[i].routes != NULL && k < p->sites[i].route_count; k++)
            gate_allows_free(p->sites[i].routes[k].allow, p->sites[i].routes[k].allow_count);
        free(p->sites[i].routes);
        cs_crls_free(p->sites[i].crls);
    }
    policy_groups_free(p);
    if (p->ticket_keys != NULL) cs_wipe(p->ticket_keys, TLS_TICKET_KEYS_MAX * sizeof *p->ticket_keys);
    free(p->ticket_keys);
    free(p->sites);
    conf_free(p->conf);
    free(p);
}
