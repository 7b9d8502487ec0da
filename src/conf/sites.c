#include <stdio.h>

#include "conf/conf_priv.h"
#include "conf/value.h"

static const char *file_path(conf *c, const char *folder, const char *name) {
    if (name == NULL || name[0] == '/') return name;
    return conf_textf(c, "%s/%s", folder, name);
}

/* As written, less a last '/': the gateway adds the request's own path. */
static const char *upstream_text(conf *c, const char *said) {
    size_t n = said != NULL ? strlen(said) : 0;
    if (n == 0) return NULL;
    bool cut = strncmp(said, "http://", 7) == 0 && said[n - 1] == '/';
    return conf_textf(c, "%.*s", (int)(n - (cut ? 1 : 0)), said);
}

static cs_status fill_allow(conf *c, const file_allow *from, unsigned count, conf_allow **ret, unsigned *ret_count,
                            cs_err *err) {
    if (count == 0) return CS_OK;
    conf_allow *to = conf_alloc(c, count * sizeof *to);
    if (to == NULL) return CS_NOMEM_ERR(err);
    for (unsigned i = 0; i < count; i++) to[i] = (conf_allow){.kind = from[i].kind, .name = from[i].name};
    *ret = to;
    *ret_count = count;
    return CS_OK;
}

static cs_status fill_routes(conf *c, conf_site *site, const file_site *f, cs_err *err) {
    if (f->routes_count == 0) return CS_OK;
    site->routes = conf_alloc(c, f->routes_count * sizeof *site->routes);
    if (site->routes == NULL) return CS_NOMEM_ERR(err);
    for (unsigned i = 0; i < f->routes_count; i++) {
        const file_route *from = &f->routes[i];
        conf_route *to = &site->routes[i];
        for (unsigned k = 0; k < i; k++)
            if (strcmp(site->routes[k].path, from->path) == 0)
                return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: site %s: the route %s stands there twice",
                               c->file, site->name, from->path);
        to->path = from->path;
        to->upstream = upstream_text(c, from->upstream);
        TRY(fill_allow(c, from->allow, from->allow_count, &to->allow, &to->allow_count, err));
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

/* What one protocol has and the other has not. */
static cs_status check_protocol(const conf *c, const conf_site *s, cs_err *err) {
    const char *up = s->upstream;
    bool tcp = s->protocol == CONF_TCP;
    if (!tcp && s->proxy_protocol) return bad_site(c, s, "proxy_protocol is for protocol: tcp", err);
    if (!tcp && s->starttls != CONF_STARTTLS_NONE) return bad_site(c, s, "starttls is for protocol: tcp", err);
    if (!tcp && up != NULL && strncmp(up, "tcp:", 4) == 0)
        return bad_site(c, s, "upstream: tcp:// is for protocol: tcp, expected http:// or unix:/", err);
    if (!tcp) return CS_OK;
    if (s->route_count > 0) return bad_site(c, s, "routes are for protocol: http; allow is what a stream has", err);
    if (up == NULL || strncmp(up, "http:", 5) == 0)
        return bad_site(c, s, "upstream: a stream needs one, expected tcp://HOST:PORT or unix:/PATH", err);
    if (s->starttls != CONF_STARTTLS_NONE && s->listen == NULL)
        return bad_site(c, s, "starttls needs a listen of its own, since no TLS is spoken there at first", err);
    return CS_OK;
}

static bool same_listen(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
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
        .certificate = file_path(c, folder, f->certificate),
        .key = file_path(c, folder, f->key),
        .client_ca = file_path(c, folder, f->client_ca),
        .client_crl = file_path(c, folder, f->client_crl),
        .client = client_of(f->client),
        .min_tls = f->min_tls != NULL && strcmp(f->min_tls, "1.3") == 0 ? CONF_TLS_1_3 : CONF_TLS_1_2,
        .upstream = upstream_text(c, f->upstream),
        .protocol = f->protocol != NULL && strcmp(f->protocol, "tcp") == 0 ? CONF_TCP : CONF_HTTP,
        .starttls = f->starttls != NULL ? CONF_STARTTLS_POSTGRES : CONF_STARTTLS_NONE,
        .proxy_protocol = f->proxy_protocol != NULL && *f->proxy_protocol,
        .listen = f->listen,
        .alpn = f->alpn,
    };
    site->authority = f->authority != NULL ? *f->authority : is_default && site->protocol == CONF_HTTP;
    TRY(fill_allow(c, f->allow, f->allow_count, &site->allow, &site->allow_count, err));
    TRY(fill_routes(c, site, f, err));
    return check_protocol(c, site, err);
}

static conf_site *default_site(conf *c) {
    for (unsigned i = 0; i < c->site_count; i++)
        if (strcmp(c->sites[i].name, "*") == 0 && c->sites[i].listen == NULL) return &c->sites[i];
    return &c->sites[0];
}

cs_status conf_sites_fill(conf *c, const file_conf *f, const char *folder, const char *upstream_said, cs_err *err) {
    unsigned count = f->sites_count > 0 ? f->sites_count : 1;
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
