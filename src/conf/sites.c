#include <stdio.h>

#include "conf/conf_priv.h"
#include "conf/value.h"

const char *conf_file_path(conf *c, const char *folder, const char *name) {
    if (name == NULL || name[0] == '/') return name;
    return conf_textf(c, "%s/%s", folder, name);
}

/* As written, less a last '/': the gateway adds the request's own path. */
static const char *upstream_text(conf *c, const char *said) {
    size_t n = said != NULL ? strlen(said) : 0;
    if (n == 0) return NULL;
    bool cut = strstr(said, "://") != NULL && said[n - 1] == '/';
    return conf_textf(c, "%.*s", (int)(n - (cut ? 1 : 0)), said);
}

cs_status conf_texts_fill(conf *c, char *const *from, unsigned count, conf_texts *to, cs_err *err) {
    if (count == 0) return CS_OK;
    to->at = conf_alloc(c, count * sizeof *to->at);
    if (to->at == NULL) return CS_NOMEM_ERR(err);
    for (unsigned i = 0; i < count; i++) to->at[i] = from[i];
    to->n = count;
    return CS_OK;
}

static cs_status fill_allow(conf *c, const file_allow *from, unsigned count, const char *folder, conf_allow **ret,
                            unsigned *ret_count, cs_err *err) {
    if (count == 0) return CS_OK;
    conf_allow *to = conf_alloc(c, count * sizeof *to);
    if (to == NULL) return CS_NOMEM_ERR(err);
    for (unsigned i = 0; i < count; i++) {
        const file_allow *f = &from[i];
        to[i] = (conf_allow){.kind = f->kind,
                             .name = f->name,
                             .dns = f->dns,
                             .email = f->email,
                             .ip = f->ip,
                             .uri = f->uri,
                             .spiffe = f->spiffe,
                             .issuer = f->issuer,
                             .o = f->o,
                             .ou = f->ou,
                             .profile = f->profile,
                             .fingerprint = f->fingerprint,
                             .fingerprints = conf_file_path(c, folder, f->fingerprints)};
    }
    *ret = to;
    *ret_count = count;
    return CS_OK;
}

/* Do the two stand for the same requests? */
static bool same_route(const conf_route *a, const file_route *b) {
    bool same = strcmp(a->path, b->path) == 0 && a->methods.n == b->methods_count;
    same = same && (a->host == NULL) == (b->host == NULL) && (a->host == NULL || strcmp(a->host, b->host) == 0);
    for (unsigned i = 0; same && i < a->methods.n; i++) same = strcmp(a->methods.at[i], b->methods[i]) == 0;
    return same;
}

static cs_status fill_routes(conf *c, conf_site *site, const file_site *f, const char *folder, cs_err *err) {
    if (f->routes_count == 0) return CS_OK;
    site->routes = conf_alloc(c, f->routes_count * sizeof *site->routes);
    if (site->routes == NULL) return CS_NOMEM_ERR(err);
    for (unsigned i = 0; i < f->routes_count; i++) {
        const file_route *from = &f->routes[i];
        conf_route *to = &site->routes[i];
        for (unsigned k = 0; k < i; k++)
            if (same_route(&site->routes[k], from))
                return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: site %s: the route %s stands there twice",
                               c->file, site->name, from->path);
        to->path = from->path;
        to->host = from->host;
        to->upstream = upstream_text(c, from->upstream);
        TRY(conf_texts_fill(c, from->methods, from->methods_count, &to->methods, err));
        TRY(fill_allow(c, from->allow, from->allow_count, folder, &to->allow, &to->allow_count, err));
    }
    site->route_count = f->routes_count;
    return CS_OK;
}

static conf_client client_of(const char *text) {
    if (text != NULL && strcmp(text, "optional") == 0) return CONF_CLIENT_OPTIONAL;
    if (text != NULL && strcmp(text, "off") == 0) return CONF_CLIENT_OFF;
    return CONF_CLIENT_REQUIRE;
}

static cs_status bad_site(const conf *c, const conf_site *s, const char *what, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: site %s: %s", c->file, s->name, what);
}

static const conf_upstream *upstream_named(const conf *c, const char *name) {
    for (unsigned i = 0; i < c->upstream_count; i++)
        if (strcmp(c->upstreams[i].name, name) == 0) return &c->upstreams[i];
    return NULL;
}

static bool is_url(const char *text) {
    return strchr(text, ':') != NULL;
}

static bool for_streams(const char *url) {
    return strncmp(url, "tcp:", 4) == 0 || strncmp(url, "tls:", 4) == 0;
}

/* Does the upstream exist, and does it speak what the site needs? */
static cs_status check_upstream(const conf *c, const conf_site *s, const char *said, cs_err *err) {
    if (said == NULL) return CS_OK;
    const conf_upstream *named = is_url(said) ? NULL : upstream_named(c, said);
    if (named == NULL && !is_url(said))
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: site %s: upstream: no \"%s\" among upstreams",
                       c->file, s->name, said);
    const char *url = named != NULL ? named->servers.at[0] : said;
    if (strncmp(url, "unix:", 5) == 0 || for_streams(url) == (s->protocol == CONF_TCP)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: site %s: upstream: %s, expected %s", c->file, s->name,
                   url,
                   s->protocol == CONF_TCP ? "tcp://HOST:PORT, tls://HOST:PORT or unix:/PATH for protocol: tcp"
                                           : "http://, https://, h2c://, h2:// or unix:/PATH for protocol: http");
}

/* What one protocol has and the other has not. */
static cs_status check_protocol(const conf *c, const conf_site *s, cs_err *err) {
    bool tcp = s->protocol == CONF_TCP;
    TRY(conf_plain_check(c, s, err));
    TRY(check_upstream(c, s, s->upstream, err));
    for (unsigned i = 0; i < s->route_count; i++) TRY(check_upstream(c, s, s->routes[i].upstream, err));
    if (!tcp && s->proxy_protocol) return bad_site(c, s, "proxy_protocol is for protocol: tcp", err);
    if (!tcp && s->starttls != CONF_STARTTLS_NONE) return bad_site(c, s, "starttls is for protocol: tcp", err);
    if (tcp && s->enroll == CONF_YES) return bad_site(c, s, "enroll is for protocol: http", err);
    if (!tcp) return CS_OK;
    if (s->route_count > 0) return bad_site(c, s, "routes are for protocol: http; allow is what a stream has", err);
    if (s->upstream == NULL)
        return bad_site(c, s, "upstream: a stream needs one, expected tcp://HOST:PORT or unix:/PATH", err);
    if (s->starttls != CONF_STARTTLS_NONE && s->listen == NULL)
        return bad_site(c, s, "starttls needs a listen of its own, since no TLS is spoken there at first", err);
    return CS_OK;
}

static bool same_listen(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static cs_status fill_pairs(conf *c, conf_site *site, const file_site *f, const char *folder, cs_err *err) {
    if (f->certificates_count == 0) return CS_OK;
    site->more = conf_alloc(c, f->certificates_count * sizeof *site->more);
    if (site->more == NULL) return CS_NOMEM_ERR(err);
    for (unsigned i = 0; i < f->certificates_count; i++)
        site->more[i] = (conf_pair){conf_file_path(c, folder, f->certificates[i].certificate),
                                    conf_file_path(c, folder, f->certificates[i].key)};
    site->more_count = f->certificates_count;
    return CS_OK;
}

static bool same_scheme(const char *a, const char *b) {
    size_t n = strcspn(a, ":");
    return strncmp(a, b, n + 1) == 0;
}

static cs_status fill_upstream(conf *c, conf_upstream *u, const file_upstream *f, const char *folder, cs_err *err) {
    for (const conf_upstream *before = c->upstreams; before < u; before++)
        if (strcmp(before->name, f->name) == 0)
            return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: the upstream %s stands there twice", c->file,
                           f->name);
    if (f->servers_count == 0)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: upstream %s: servers are missing", c->file, f->name);
    for (unsigned i = 1; i < f->servers_count; i++)
        if (!same_scheme(f->servers[0], f->servers[i]))
            return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: upstream %s: servers of one scheme are expected",
                           c->file, f->name);
    if ((f->certificate == NULL) != (f->key == NULL))
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                       "%s: upstream %s: certificate and key belong together, %s is missing", c->file, f->name,
                       f->key == NULL ? "key" : "certificate");
    *u = (conf_upstream){.name = f->name,
                         .ca = conf_file_path(c, folder, f->ca),
                         .certificate = conf_file_path(c, folder, f->certificate),
                         .key = conf_file_path(c, folder, f->key),
                         .crl = conf_file_path(c, folder, f->crl),
                         .alpn = f->alpn,
                         .starttls = f->starttls != NULL ? CONF_STARTTLS_POSTGRES : CONF_STARTTLS_NONE,
                         .server_name = f->server_name,
                         .health = f->health};
    if ((f->alpn != NULL || f->starttls != NULL) && strncmp(f->servers[0], "tls:", 4) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                       "%s: upstream %s: alpn and starttls are for servers of tls://HOST:PORT", c->file, f->name);
    TRY(conf_texts_fill(c, f->pins, f->pins_count, &u->pins, err));
    if (f->interval != NULL) (void)cs_duration_parse(cs_view_str(f->interval), &u->interval);
    if (f->interval == NULL && (f->health != NULL || f->servers_count > 1)) u->interval = 5 * CS_SEC;
    if (f->starttls != NULL) u->interval = 0; /* asking takes more than a connection */
    TRY(conf_texts_fill(c, f->servers, f->servers_count, &u->servers, err));
    for (unsigned i = 0; i < u->servers.n; i++)
        if ((u->servers.at[i] = upstream_text(c, u->servers.at[i])) == NULL) return CS_NOMEM_ERR(err);
    return CS_OK;
}

static cs_status fill_upstreams(conf *c, const file_conf *f, const char *folder, cs_err *err) {
    c->upstreams = conf_alloc(c, (f->upstreams_count + 1) * sizeof *c->upstreams);
    if (c->upstreams == NULL) return CS_NOMEM_ERR(err);
    for (unsigned i = 0; i < f->upstreams_count; i++)
        TRY(fill_upstream(c, &c->upstreams[i], &f->upstreams[i], folder, err));
    c->upstream_count = f->upstreams_count;
    return CS_OK;
}

static cs_status fill_site(conf *c, conf_site *site, const file_site *f, const char *folder, cs_err *err) {
    bool is_default = strcmp(f->name, "*") == 0;
    for (const conf_site *s = c->sites; s < site; s++)
        if (cs_view_eq_nocase(cs_view_str(s->name), cs_view_str(f->name)) && same_listen(s->listen, f->listen))
            return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: the site %s stands there twice", c->file,
                           f->name);
    if ((f->certificate == NULL) != (f->key == NULL))
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                       "%s: site %s: certificate and key belong together, %s is missing", c->file, f->name,
                       f->key == NULL ? "key" : "certificate");
    *site = (conf_site){
        .name = f->name,
        .certificate = conf_file_path(c, folder, f->certificate),
        .key = conf_file_path(c, folder, f->key),
        .client_ca = conf_file_path(c, folder, f->client_ca),
        .client_crl = conf_file_path(c, folder, f->client_crl),
        .client = client_of(f->client),
        .min_tls = f->min_tls != NULL && strcmp(f->min_tls, "1.3") == 0 ? CONF_TLS_1_3 : CONF_TLS_1_2,
        .upstream = upstream_text(c, f->upstream),
        .protocol = f->protocol != NULL && strcmp(f->protocol, "tcp") == 0 ? CONF_TCP : CONF_HTTP,
        .starttls = f->starttls != NULL ? CONF_STARTTLS_POSTGRES : CONF_STARTTLS_NONE,
        .plain = f->tls != NULL && strcmp(f->tls, "off") == 0,
        .proxy_protocol = f->proxy_protocol != NULL && *f->proxy_protocol,
        .listen = f->listen,
        .alpn = f->alpn,
        .ocsp = conf_file_path(c, folder, f->ocsp),
        .groups = f->groups,
        .ca_names = f->ca_names,
    };
    bool named_cas = f->ca_names != NULL && strcmp(f->ca_names, "all") != 0 && strcmp(f->ca_names, "none") != 0;
    if (named_cas) site->ca_names = conf_file_path(c, folder, f->ca_names);
    if (f->certificates_count > 0 && f->certificate == NULL)
        return bad_site(c, site, "certificates are further ones beside certificate, which is missing", err);
    TRY(conf_texts_fill(c, f->pins, f->pins_count, &site->pins, err));
    TRY(fill_pairs(c, site, f, folder, err));
    site->authority = f->authority != NULL ? *f->authority : is_default && site->protocol == CONF_HTTP;
    site->enroll = f->enroll == NULL ? CONF_NOT_SAID : *f->enroll ? CONF_YES : CONF_NO;
    TRY(fill_allow(c, f->allow, f->allow_count, folder, &site->allow, &site->allow_count, err));
    TRY(fill_routes(c, site, f, folder, err));
    return check_protocol(c, site, err);
}

static conf_site *default_site(conf *c) {
    for (unsigned i = 0; i < c->site_count; i++)
        if (strcmp(c->sites[i].name, "*") == 0 && c->sites[i].listen == NULL) return &c->sites[i];
    return &c->sites[0];
}

cs_status conf_sites_fill(conf *c, const file_conf *f, const char *folder, const char *upstream_said, cs_err *err) {
    unsigned count = f->sites_count > 0 ? f->sites_count : 1;
    TRY(fill_upstreams(c, f, folder, err));
    if (f->ticket_keys != NULL)
        c->ticket_keys = strcmp(f->ticket_keys, "authority") == 0 ? "" : conf_file_path(c, folder, f->ticket_keys);
    c->own_records = f->tls_records == NULL || strcmp(f->tls_records, "own") == 0;
    c->sites = conf_alloc(c, count * sizeof *c->sites);
    if (c->sites == NULL) return CS_NOMEM_ERR(err);
    if (f->sites_count == 0) c->sites[0] = (conf_site){.name = "*", .authority = true};
    for (unsigned i = 0; i < f->sites_count; i++) TRY(fill_site(c, &c->sites[i], &f->sites[i], folder, err));
    c->site_count = count;
    /* the command line wins over the default site's own line */
    const char *fallback = upstream_said != NULL ? upstream_said : f->upstream;
    if (upstream_said != NULL) default_site(c)->upstream = upstream_text(c, upstream_said);
    for (unsigned i = 0; i < count; i++) {
        if (c->sites[i].upstream != NULL) continue;
        c->sites[i].upstream =
            fallback != NULL ? upstream_text(c, fallback) : conf_textf(c, "unix:%s/run/page.sock", c->state);
        if (c->sites[i].upstream == NULL) return CS_NOMEM_ERR(err);
    }
    return CS_OK;
}
