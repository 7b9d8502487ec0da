/* Which files a configuration names: what a sandbox must let be read, and what is watched for changes. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "conf/conf.h"

typedef struct walk {
    conf_file_cb *cb;
    void *data;
} walk;

static void say(const walk *w, const char *path) {
    if (path != NULL && path[0] != '\0') w->cb(w->data, path);
}

static void say_allow(const walk *w, const conf_allow *a, unsigned count) {
    for (unsigned i = 0; i < count; i++) say(w, a[i].fingerprints);
}

static bool wants_system_cas(const char *url) {
    return url != NULL &&
           (strncmp(url, "https:", 6) == 0 || strncmp(url, "h2:", 3) == 0 || strncmp(url, "tls:", 4) == 0);
}

static void say_site(const walk *w, const conf_site *s) {
    bool named_cas = s->ca_names != NULL && strcmp(s->ca_names, "all") != 0 && strcmp(s->ca_names, "none") != 0;
    say(w, s->certificate);
    say(w, s->key);
    for (unsigned i = 0; i < s->more_count; i++) {
        say(w, s->more[i].certificate);
        say(w, s->more[i].key);
    }
    say(w, s->ocsp);
    say(w, s->client_ca);
    say(w, s->client_crl);
    if (named_cas) say(w, s->ca_names);
    if (wants_system_cas(s->upstream)) say(w, CONF_SYSTEM_CAS);
    say_allow(w, s->allow, s->allow_count);
    for (unsigned i = 0; i < s->route_count; i++) {
        say_allow(w, s->routes[i].allow, s->routes[i].allow_count);
        if (wants_system_cas(s->routes[i].upstream)) say(w, CONF_SYSTEM_CAS);
    }
}

void conf_each_file(const conf *c, conf_file_cb *cb, void *data) {
    const walk w = {cb, data};
    say(&w, c->file);
    say(&w, c->ticket_keys);
    for (unsigned i = 0; i < c->site_count; i++) say_site(&w, &c->sites[i]);
    for (unsigned i = 0; i < c->vendor_count; i++) {
        say(&w, c->vendors[i].anchors);
        say(&w, c->vendors[i].crl);
    }
    for (unsigned i = 0; i < c->upstream_count; i++) {
        const conf_upstream *u = &c->upstreams[i];
        say(&w, u->ca != NULL ? u->ca : wants_system_cas(u->servers.at[0]) ? CONF_SYSTEM_CAS : NULL);
        say(&w, u->certificate);
        say(&w, u->key);
        say(&w, u->crl);
    }
}

cs_status conf_staple_path(const conf *c, const uint8_t sha256[32], char out[CONF_PATH_MAX], cs_err *err) {
    char below[96], hex[2 * 16 + 1];
    (void)snprintf(below, sizeof below, "gateway/staples/%s.ocsp", cs_hex(cs_view_of(sha256, 16), hex));
    return conf_path(c, below, out, err);
}
