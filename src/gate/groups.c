/* Upstreams of a configuration: their servers' addresses, and what TLS to them takes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate/policy.h"
#include "io/files.h"

enum { ADDRESSES_MAX = 4 };

static bool starts(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* What is asked of its servers' certificates beside the anchors. */
static cs_status load_checks(const policy *p, const conf_upstream *u, cs_crls **crls, cs_pins **pins, cs_err *err) {
    if (u->crl != NULL) TRY(policy_crls(u->crl, crls, NULL, err));
    if (u->pins.n > 0) TRY(cs_pins_new(pins, err));
    for (unsigned i = 0; i < u->pins.n; i++)
        TRY(cs_pins_add(*pins, u->pins.at[i], p->conf->file != NULL ? p->conf->file : "--pin", err));
    return CS_OK;
}

static const char *alpn_of(const gate_group *g) {
    const char *url = g->servers[0].text;
    if (g->http2) return "h2";
    if (url != NULL && starts(url, "https:")) return "http/1.1";
    return g->conf != NULL ? g->conf->alpn : NULL;
}

static cs_status load_dialer(policy *p, gate_group *g, cs_err *err) {
    const conf_upstream *u = g->conf;
    const char *ca = u != NULL && u->ca != NULL ? u->ca : CONF_SYSTEM_CAS;
    CS_SCOPED(cs_buf)
    text = cs_buf_of(CS_PEM_FILE_MAX), crt = cs_buf_of(CS_PEM_FILE_MAX), key = cs_buf_secret(CS_KEY_FILE_MAX);
    CS_SCOPED(cs_certs) certs = {NULL, 0};
    CS_AUTO(cs_anchors) anchors = NULL;
    CS_AUTO(cs_crls) crls = NULL;
    CS_AUTO(cs_pins) pins = NULL;
    tls_dial_plan plan = {.clock = p->clock, .alpn = alpn_of(g)};
    TRY(files_read(ca, CS_PEM_FILE_MAX, &text, err));
    TRY(cs_certs_read(cs_buf_view(&text), ca, &certs, err));
    TRY(cs_anchors_new(&certs, &anchors, err));
    plan.anchors = anchors;
    if (u != NULL) TRY(load_checks(p, u, &crls, &pins, err));
    plan.crls = crls, plan.pins = pins;
    if (u != NULL && u->certificate != NULL) {
        TRY(files_read(u->certificate, CS_PEM_FILE_MAX, &crt, err));
        TRY(files_read_private(u->key, CS_KEY_FILE_MAX, &key, err));
        plan.certificate = cs_buf_view(&crt), plan.key = cs_buf_view(&key);
        plan.certificate_what = u->certificate, plan.key_what = u->key;
    }
    return tls_dialer_new(&plan, &g->dialer, err);
}

/* The host of SCHEME://HOST[:PORT]. */
static void host_of(const char *url, char out[256]) {
    const char *at = strstr(url, "://");
    out[0] = '\0';
    if (at == NULL) return;
    at += 3;
    bool bracket = *at == '[';
    if (bracket) at++;
    size_t n = strcspn(at, bracket ? "]" : ":/");
    if (n > 255) n = 255;
    memcpy(out, at, n);
    out[n] = '\0';
}

/* Its addresses: of a stream's server all that its name has, since one may not be reached from here. */
static cs_status add_server(gate_group *g, const char *url, cs_err *err) {
    static atomic_ullong ids = 1;
    net_addr at[ADDRESSES_MAX];
    unsigned count = 0;
    TRY(net_upstream_all(url, at, starts(url, "tls:") ? ADDRESSES_MAX : 1, &count, err));
    for (unsigned i = 0; i < count; i++) {
        gate_server *s = &g->servers[g->count++];
        s->text = url;
        s->at = at[i];
        s->id = atomic_fetch_add(&ids, 1);
        host_of(url, s->name);
        if (g->conf != NULL && g->conf->server_name != NULL)
            (void)snprintf(s->name, sizeof s->name, "%s", g->conf->server_name);
    }
    return CS_OK;
}

static cs_status fill(policy *p, gate_group *g, const char *const *urls, unsigned count, cs_err *err) {
    g->servers = calloc((size_t)count * ADDRESSES_MAX, sizeof *g->servers);
    if (g->servers == NULL) return CS_NOMEM_ERR(err);
    for (unsigned i = 0; i < count; i++) TRY(add_server(g, urls[i], err));
    g->starttls = g->conf != NULL ? g->conf->starttls : CONF_STARTTLS_NONE;
    g->http2 = starts(urls[0], "h2c:") || starts(urls[0], "h2:");
    g->tls = starts(urls[0], "https:") || starts(urls[0], "h2:") || starts(urls[0], "tls:");
    return g->tls ? load_dialer(p, g, err) : CS_OK;
}

cs_status policy_group(policy *p, const char *said, gate_group **ret, cs_err *err) {
    for (unsigned i = 0; i < p->group_count; i++)
        if (strcmp(p->groups[i]->name, said) == 0) {
            *ret = p->groups[i];
            return CS_OK;
        }
    gate_group **more = realloc(p->groups, (p->group_count + 1) * sizeof(gate_group *));
    if (more == NULL) return CS_NOMEM_ERR(err);
    p->groups = more;
    gate_group *g = calloc(1, sizeof *g);
    if (g == NULL) return CS_NOMEM_ERR(err);
    p->groups[p->group_count++] = g;
    g->name = said;
    for (unsigned i = 0; i < p->conf->upstream_count; i++)
        if (strcmp(p->conf->upstreams[i].name, said) == 0) g->conf = &p->conf->upstreams[i];
    *ret = g;
    if (g->conf == NULL) return fill(p, g, &said, 1, err);
    cs_status s = fill(p, g, g->conf->servers.at, g->conf->servers.n, err);
    return s == CS_OK ? CS_OK : cs_fail_in(err, "upstream %s", said), s;
}

void policy_groups_free(policy *p) {
    for (unsigned i = 0; i < p->group_count; i++) {
        tls_dialer_free(p->groups[i]->dialer);
        free(p->groups[i]->servers);
        free(p->groups[i]);
    }
    free(p->groups);
}
