#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "gate/policy.h"
#include "io/files.h"

static cs_status below(const conf *c, const char *said, const char *name, char out[CONF_PATH_MAX], cs_err *err) {
    if (said == NULL) return conf_path(c, name, out, err);
    int n = snprintf(out, CONF_PATH_MAX, "%s", said);
    if (n < 0 || n >= CONF_PATH_MAX) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a path of %d bytes", n);
    return CS_OK;
}

static cs_status load_anchors(const conf *c, const conf_site *site, cs_buf *trust, cs_anchors **ret, cs_err *err) {
    char path[CONF_PATH_MAX];
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
    CS_SCOPED(cs_certs) certs = {NULL, 0};
    TRY(below(c, site->client_ca, "ca/root.crt", path, err));
    TRY(files_read(path, CS_PEM_FILE_MAX, &text, err));
    TRY(cs_certs_read(cs_buf_view(&text), path, &certs, err));
    for (size_t i = 0; i < certs.n; i++) (void)cs_buf_add(trust, certs.at[i]->sha256, 32);
    return cs_anchors_new(&certs, ret, err);
}

/* Our own clients may leave out the issuing CA: many browsers send nothing but the leaf. */
static cs_status load_issuers(const conf *c, const conf_site *site, cs_certs *ret, cs_err *err) {
    char path[CONF_PATH_MAX];
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
    TRY(conf_path(c, "ca/issuing.crt", path, err));
    if (site->client_ca != NULL || !files_exists(path)) return CS_OK;
    TRY(files_read(path, CS_PEM_FILE_MAX, &text, err));
    return cs_certs_read(cs_buf_view(&text), path, ret, err);
}

static cs_status load_crls(const conf_site *site, cs_buf *trust, cs_crls **ret, cs_err *err) {
    uint8_t digest[32];
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_CRL_MAX);
    CS_AUTO(cs_crls) crls = NULL;
    TRY(files_read(site->client_crl, CS_CRL_MAX, &text, err));
    TRY(cs_crls_new(&crls, err));
    TRY(cs_crls_read(crls, cs_buf_view(&text), site->client_crl, err));
    TRY(tls_digest(cs_buf_view(&text), digest, err));
    (void)cs_buf_add(trust, digest, sizeof digest);
    *ret = CS_TAKE(crls);
    return CS_OK;
}

static tls_client client_mode(conf_client c) {
    return c == CONF_CLIENT_OFF ? TLS_CLIENT_OFF : c == CONF_CLIENT_OPTIONAL ? TLS_CLIENT_OPTIONAL : TLS_CLIENT_REQUIRE;
}

static const char *alpn_of(const conf_site *c) {
    return c->alpn != NULL ? c->alpn : c->protocol == CONF_HTTP ? "http/1.1,http/1.0" : NULL;
}

static cs_status load_tls(const conf *c, gate_site *site, tls_tickets *tickets, const cs_clock *clock, tls_site **ret,
                          cs_err *err) {
    char crt[CONF_PATH_MAX], key[CONF_PATH_MAX];
    CS_SCOPED(cs_buf) crt_text = cs_buf_of(CS_PEM_FILE_MAX), key_text = cs_buf_secret(CS_KEY_FILE_MAX);
    CS_SCOPED(cs_buf) trust = cs_buf_of(CS_PEM_FILE_MAX);
    CS_AUTO(cs_anchors) anchors = NULL;
    CS_SCOPED(cs_certs) issuers = {NULL, 0};
    CS_AUTO(cs_crls) crls = NULL;
    TRY(below(c, site->conf->certificate, "gateway/server.crt", crt, err));
    TRY(below(c, site->conf->key, "gateway/server.key", key, err));
    TRY(files_read(crt, CS_PEM_FILE_MAX, &crt_text, err));
    TRY(files_read_private(key, CS_KEY_FILE_MAX, &key_text, err));
    if (site->conf->client != CONF_CLIENT_OFF) TRY(load_anchors(c, site->conf, &trust, &anchors, err));
    if (site->conf->client != CONF_CLIENT_OFF) TRY(load_issuers(c, site->conf, &issuers, err));
    (void)cs_buf_add_byte(&trust, 0);
    if (site->conf->client_crl != NULL) TRY(load_crls(site->conf, &trust, &crls, err));
    /* the same name at another address is another site: its sessions are worth nothing here */
    if (site->conf->listen != NULL) (void)cs_buf_add_vec16(&trust, cs_view_str(site->conf->listen));
    TRY(cs_buf_ok(&trust, "a site's trust", err));
    tls_site_plan plan = {.name = site->conf->name,
                          .certificate = cs_buf_view(&crt_text),
                          .key = cs_buf_view(&key_text),
                          .certificate_what = crt,
                          .key_what = key,
                          .client = client_mode(site->conf->client),
                          .only_13 = site->conf->min_tls == CONF_TLS_1_3,
                          .alpn = alpn_of(site->conf),
                          .anchors = anchors,
                          .crls = crls,
                          .issuers = &issuers,
                          .tickets = tickets,
                          .clock = clock,
                          .user = site};
    site->crls = crls != NULL ? cs_crls_ref(crls) : NULL;
    TRY(tls_digest(cs_buf_view(&trust), plan.trust, err));
    return tls_site_new(&plan, ret, err);
}

static cs_status upstream_of(const char *text, gate_upstream *ret, cs_err *err) {
    ret->text = text;
    return net_upstream_parse(text, &ret->at, err);
}

static int longest_first(const void *a, const void *b) {
    const gate_route *x = a, *y = b;
    return x->path.n > y->path.n ? -1 : x->path.n < y->path.n;
}

static cs_status load_routes(gate_site *site, cs_err *err) {
    const conf_site *c = site->conf;
    TRY(upstream_of(c->upstream, &site->upstream, err));
    site->route_count = c->route_count > 0 ? c->route_count : 1;
    site->routes = calloc(site->route_count, sizeof *site->routes);
    if (site->routes == NULL) return CS_NOMEM_ERR(err);
    if (c->route_count == 0)
        site->routes[0] = (gate_route){
            .path = CS_VIEW_LIT("/"), .allow = c->allow, .allow_count = c->allow_count, .upstream = site->upstream};
    for (unsigned i = 0; i < c->route_count; i++) {
        const conf_route *from = &c->routes[i];
        gate_route *to = &site->routes[i];
        *to = (gate_route){.path = cs_view_str(from->path), .allow = from->allow, .allow_count = from->allow_count};
        if (from->allow_count == 0) to->allow = c->allow, to->allow_count = c->allow_count;
        to->upstream = site->upstream;
        if (from->upstream != NULL) TRY(upstream_of(from->upstream, &to->upstream, err));
    }
    qsort(site->routes, site->route_count, sizeof *site->routes, longest_first);
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
    for (unsigned i = 0; i < p->site_count; i++) {
        const conf_site *c = p->sites[i].conf;
        if (strcmp(c->listen != NULL ? c->listen : p->conf->https, listen) != 0) continue;
        here[n++] = all[i];
        all[i] = NULL;
        streams += c->protocol == CONF_TCP;
        postgres += c->starttls == CONF_STARTTLS_POSTGRES;
    }
    *d = (gate_door){.listen = listen,
                     .protocol = streams == n ? CONF_TCP : CONF_HTTP,
                     .starttls = postgres > 0 ? CONF_STARTTLS_POSTGRES : CONF_STARTTLS_NONE};
    cs_status s = tls_front_new(here, n, strcmp(listen, p->conf->https) != 0, &d->front, err);
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

static cs_status load_sites(policy *p, tls_tickets *tickets, const cs_clock *clock, cs_err *err) {
    unsigned count = p->conf->site_count;
    tls_site **tls = calloc(count + 1, sizeof *tls);
    if (tls == NULL) return CS_NOMEM_ERR(err);
    cs_status s = CS_OK;
    for (unsigned i = 0; i < count && s == CS_OK; i++) {
        gate_site *site = &p->sites[i];
        site->conf = &p->conf->sites[i];
        p->site_count = i + 1;
        s = load_routes(site, err);
        if (s == CS_OK) s = load_tls(p->conf, site, tickets, clock, &tls[i], err);
        if (s != CS_OK) (void)cs_fail_in(err, "site %s", site->conf->name);
    }
    if (s == CS_OK) s = make_doors(p, tls, err);
    for (unsigned i = 0; i < count; i++) tls_site_free(tls[i]);
    free(tls);
    return s;
}

cs_status policy_load(const conf_overrides *said, tls_tickets *tickets, const cs_clock *clock, policy **ret,
                      cs_err *err) {
    char path[CONF_PATH_MAX];
    CS_AUTO(policy) p = calloc(1, sizeof *p);
    if (p == NULL) return CS_NOMEM_ERR(err);
    atomic_init(&p->refs, 1);
    TRY(conf_load(said, &p->conf, err));
    p->sites = calloc(p->conf->site_count, sizeof *p->sites);
    if (p->sites == NULL) return CS_NOMEM_ERR(err);
    TRY(load_sites(p, tickets, clock, err));
    TRY(conf_path(p->conf, "run/authority.sock", path, err));
    (void)snprintf(p->authority_url, sizeof p->authority_url, "unix:%s", path);
    TRY(upstream_of(p->authority_url, &p->authority, err));
    TRY(conf_path(p->conf, "ca", path, err));
    p->feed = files_exists(path);
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
        free(p->sites[i].routes);
        cs_crls_free(p->sites[i].crls);
    }
    free(p->sites);
    conf_free(p->conf);
    free(p);
}

/* The next octet, a percent-encoded one as what it stands for; the upstream will read it so. */
static uint8_t next_octet(cs_view *v) {
    uint8_t octet[1] = {v->p[0]};
    size_t used = 1, n = 0;
    if (v->p[0] == '%' && v->n >= 3 && cs_hex_decode(cs_view_of(v->p + 1, 2), octet, 1, &n)) used = 3;
    *v = cs_view_of(v->p + used, v->n - used);
    return octet[0];
}

/* "/api" leads "/api", "/%61pi" and "/api/x", not "/apix". */
static bool leads(cs_view route, cs_view path) {
    bool all = route.n == 1; /* "/": also "*" */
    uint8_t last = 0;
    while (!all && route.n > 0) {
        if (path.n == 0) return false;
        last = next_octet(&route);
        if (last != next_octet(&path)) return false;
    }
    return all || path.n == 0 || last == '/' || path.p[0] == '/';
}

const gate_route *policy_route(const gate_site *site, cs_view path) {
    for (unsigned i = 0; i < site->route_count; i++)
        if (leads(site->routes[i].path, path)) return &site->routes[i];
    return NULL;
}

/* '*' stands for any run of octets, also none. */
static bool fits(const char *pattern, const char *text) {
    const char *star = NULL, *mark = NULL;
    while (*text != '\0') {
        if (*pattern == '*')
            star = pattern++, mark = text;
        else if (*pattern == *text)
            pattern++, text++;
        else if (star != NULL)
            pattern = star + 1, text = ++mark;
        else
            return false;
    }
    while (*pattern == '*') pattern++;
    return *pattern == '\0';
}

bool policy_allows(const gate_route *route, const cs_identity *who) {
    if (route->allow_count == 0) return true;
    for (unsigned i = 0; who != NULL && i < route->allow_count; i++) {
        const conf_allow *a = &route->allow[i];
        if (a->kind != NULL && strcmp(a->kind, cs_kind_name(who->kind)) != 0) continue;
        if (a->name == NULL || fits(a->name, who->name)) return true;
    }
    return false;
}
