/* Plain sites, whose clients speak no TLS, and the tunnel of the command line, which is one of them alone. */
#include <stdio.h>
#include <string.h>

#include "conf/conf_priv.h"
#include "conf/value.h"

enum { PINS_MAX = 16 };

cs_status conf_plain_check(const conf *c, const conf_site *s, cs_err *err) {
    static const char *const here[] = {"unix:/", "127.", "[::1]:", "localhost:"};
    const char *file = c->file != NULL ? c->file : "command line";
    bool local = false;
    for (size_t i = 0; s->listen != NULL && i < sizeof here / sizeof here[0]; i++)
        local = local || strncmp(s->listen, here[i], strlen(here[i])) == 0;
    if (!s->plain && s->listen != NULL && strncmp(s->listen, "unix:", 5) == 0)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: site %s: listen: %s is for tls: off", file, s->name,
                       s->listen);
    if (!s->plain) return CS_OK;
    if (s->protocol != CONF_TCP)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: site %s: tls: off is for protocol: tcp", file,
                       s->name);
    if (!local)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                       "%s: site %s: listen: %s; who speaks without TLS must be on this machine, expected an address "
                       "of 127.0.0.0/8, [::1]:PORT or unix:/PATH",
                       file, s->name, s->listen != NULL ? s->listen : "none");
    if (s->allow_count > 0 || s->client_ca != NULL || s->starttls != CONF_STARTTLS_NONE || s->proxy_protocol)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                       "%s: site %s: allow, client_ca, starttls and proxy_protocol are about clients with certificates",
                       file, s->name);
    return CS_OK;
}

static cs_status bad(const char *option, const char *text, const char *expected, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_USAGE, "%s \"%.200s\", expected %s", option, text, expected);
}

static cs_status check(const conf_tunnel *t, cs_err *err) {
    bool stdio = strcmp(t->listen, "-") == 0;
    if (!stdio && !conf_value_ok(CONF_LISTEN, t->listen))
        return bad("LOCAL", t->listen, "ADDRESS:PORT, unix:/PATH or -", err);
    if (t->remote == NULL || strncmp(t->remote, "tls://", 6) != 0 || !conf_value_ok(CONF_SERVER, t->remote))
        return bad("REMOTE", t->remote != NULL ? t->remote : "", "HOST:PORT", err);
    if (t->alpn != NULL && !conf_value_ok(CONF_ALPN, t->alpn))
        return bad("--alpn", t->alpn, conf_value_expected(CONF_ALPN), err);
    if (t->starttls != NULL && !conf_value_ok(CONF_STARTTLS, t->starttls))
        return bad("--starttls", t->starttls, conf_value_expected(CONF_STARTTLS), err);
    if ((t->certificate == NULL) != (t->key == NULL))
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--cert and --key belong together, %s is missing",
                       t->key == NULL ? "--key" : "--cert");
    return CS_OK;
}

static cs_status fill_pins(conf *c, const char *text, conf_texts *to, cs_err *err) {
    if (text == NULL) return CS_OK;
    to->at = conf_alloc(c, PINS_MAX * sizeof *to->at);
    if (to->at == NULL) return CS_NOMEM_ERR(err);
    for (const char *p = text;; p++) {
        size_t n = strcspn(p, ",");
        if (to->n == PINS_MAX) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "--pin more than %d times", PINS_MAX);
        to->at[to->n] = conf_textf(c, "%.*s", (int)n, p);
        if (to->at[to->n++] == NULL) return CS_NOMEM_ERR(err);
        p += n;
        if (*p == '\0') return CS_OK;
    }
}

/* As they are found from anywhere: the sandbox goes by folders. */
static cs_status fill_files(conf *c, const conf_tunnel *t, conf_upstream *u, cs_err *err) {
    const struct {
        const char *from, **to;
    } all[] = {{t->ca, &u->ca}, {t->certificate, &u->certificate}, {t->key, &u->key}, {t->crl, &u->crl}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].from == NULL) continue;
        *all[i].to = conf_absolute(c, all[i].from, NULL);
        if (*all[i].to == NULL) return CS_NOMEM_ERR(err);
    }
    return CS_OK;
}

cs_status conf_tunnel_fill(conf *c, const conf_tunnel *t, cs_err *err) {
    TRY(check(t, err));
    conf_upstream *u = c->upstreams = conf_alloc(c, sizeof *u);
    conf_site *s = c->sites = conf_alloc(c, sizeof *s);
    if (u == NULL || s == NULL) return CS_NOMEM_ERR(err);
    u->servers.at = conf_alloc(c, sizeof *u->servers.at);
    if (u->servers.at == NULL) return CS_NOMEM_ERR(err);
    *s = (conf_site){.name = "tunnel",
                     .protocol = CONF_TCP,
                     .plain = true,
                     .client = CONF_CLIENT_OFF,
                     .enroll = CONF_NO,
                     .listen = t->listen,
                     .upstream = "remote"};
    u->name = "remote";
    u->servers.at[0] = t->remote;
    u->servers.n = 1;
    u->server_name = t->server_name;
    u->alpn = t->alpn;
    u->starttls = t->starttls != NULL ? CONF_STARTTLS_POSTGRES : CONF_STARTTLS_NONE;
    c->upstream_count = c->site_count = 1;
    c->http = "";
    c->own_records = true;
    TRY(fill_files(c, t, u, err));
    TRY(fill_pins(c, t->pins, &u->pins, err));
    return strcmp(t->listen, "-") == 0 ? CS_OK : conf_plain_check(c, s, err);
}
