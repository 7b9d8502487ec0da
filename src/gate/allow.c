/* Where a request leads, and who may go there. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "gate/policy.h"
#include "io/files.h"
#include "x509/profile.h"

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

/* "*.example" stands for one label more. */
static bool serves(const char *host, cs_view asked) {
    if (host == NULL) return true;
    if (asked.n > 0 && asked.p[asked.n - 1] == '.') asked.n--;
    if (host[0] != '*') return cs_view_eq_nocase(cs_view_str(host), asked);
    const uint8_t *dot = asked.n > 0 ? memchr(asked.p, '.', asked.n) : NULL;
    return dot != NULL && dot > asked.p &&
           cs_view_eq_nocase(cs_view_str(host + 1), cs_view_of(dot, asked.n - (size_t)(dot - asked.p)));
}

static bool takes(const conf_texts *methods, cs_view method) {
    for (unsigned i = 0; i < methods->n; i++)
        if (cs_view_eq_str(method, methods->at[i])) return true;
    return methods->n == 0;
}

const gate_route *policy_route(const gate_site *site, cs_view host, cs_view method, cs_view path) {
    for (unsigned i = 0; i < site->route_count; i++) {
        const gate_route *r = &site->routes[i];
        if (r->conf != NULL && (!serves(r->conf->host, host) || !takes(&r->conf->methods, method))) continue;
        if (leads(r->path, path)) return r;
    }
    return NULL;
}

/* ---- who may pass ---- */

static int by_digest(const void *a, const void *b) {
    return memcmp(a, b, 32);
}

/* "ab:cd:..." or "abcd...", in any case. */
static bool digest_of(cs_view line, uint8_t out[32]) {
    char hex[65];
    size_t n = 0, got = 0;
    for (size_t i = 0; i < line.n; i++) {
        if (line.p[i] == ':') continue;
        if (n == 64) return false;
        hex[n++] = (char)line.p[i];
    }
    return n == 64 && cs_hex_decode(cs_view_of(hex, n), out, 32, &got) && got == 32;
}

static cs_status read_prints(gate_allow *a, const char *path, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX), out = cs_buf_of(CS_PEM_FILE_MAX);
    TRY(files_read(path, CS_PEM_FILE_MAX, &text, err));
    cs_view rest = cs_buf_view(&text);
    for (unsigned line = 1; rest.n > 0; line++) {
        const uint8_t *end = memchr(rest.p, '\n', rest.n);
        size_t n = end != NULL ? (size_t)(end - rest.p) : rest.n, used = n + (end != NULL);
        cs_view one = cs_view_of(rest.p, n);
        const uint8_t *hash = n > 0 ? memchr(one.p, '#', one.n) : NULL;
        if (hash != NULL) one.n = (size_t)(hash - one.p);
        while (one.n > 0 && (one.p[one.n - 1] <= ' ')) one.n--;
        uint8_t digest[32];
        if (one.n > 0 && !digest_of(one, digest))
            return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                           "%s:%u: no SHA-256 of a certificate, expected 64 hexadecimal digits", path, line);
        if (one.n > 0) (void)cs_buf_add(&out, digest, 32);
        rest = cs_view_of(rest.p + used, rest.n - used);
    }
    TRY(cs_buf_ok(&out, path, err));
    a->print_count = out.n / 32;
    a->prints = malloc(out.n + 1);
    if (a->prints == NULL) return CS_NOMEM_ERR(err);
    if (out.n > 0) memcpy(a->prints, out.p, out.n);
    qsort(a->prints, a->print_count, 32, by_digest);
    return CS_OK;
}

cs_status gate_allows_load(const conf_allow *from, unsigned count, gate_allow **ret, cs_err *err) {
    *ret = NULL;
    if (count == 0) return CS_OK;
    gate_allow *a = calloc(count, sizeof *a);
    if (a == NULL) return CS_NOMEM_ERR(err);
    *ret = a; /* the caller's, also on failure */
    for (unsigned i = 0; i < count; i++) {
        a[i].conf = &from[i];
        if (from[i].fingerprint != NULL && !digest_of(cs_view_str(from[i].fingerprint), a[i].print))
            return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "fingerprint: %s", from[i].fingerprint);
    }
    for (unsigned i = 0; i < count; i++)
        if (from[i].fingerprints != NULL) TRY(read_prints(&a[i], from[i].fingerprints, err));
    return CS_OK;
}

void gate_allows_free(gate_allow *a, unsigned count) {
    for (unsigned i = 0; a != NULL && i < count; i++) free(a[i].prints);
    free(a);
}

static bool any_san(const cs_cert *leaf, cs_san_type type, const char *pattern, const char *prefix) {
    size_t skip = prefix != NULL ? strlen(prefix) : 0;
    for (size_t i = 0; i < leaf->san_count; i++) {
        cs_view v = leaf->sans[i].value;
        if (leaf->sans[i].type != type || v.n < skip || (skip > 0 && memcmp(v.p, prefix, skip) != 0)) continue;
        if (cs_text_fits(pattern, v, type == CS_SAN_DNS || type == CS_SAN_EMAIL)) return true;
    }
    return false;
}

static bool any_ip(const cs_cert *leaf, const char *pattern) {
    char text[INET6_ADDRSTRLEN];
    for (size_t i = 0; i < leaf->san_count; i++) {
        cs_view v = leaf->sans[i].value;
        if (leaf->sans[i].type != CS_SAN_IP || (v.n != 4 && v.n != 16)) continue;
        if (inet_ntop(v.n == 4 ? AF_INET : AF_INET6, v.p, text, sizeof text) != NULL &&
            cs_text_fits(pattern, cs_view_str(text), true))
            return true;
    }
    return false;
}

static bool any_part(const cs_cert *leaf, cs_name_part part, const char *pattern) {
    cs_view v;
    for (size_t pos = 0; cs_name_next(leaf->subject, part, &pos, &v);)
        if (cs_text_fits(pattern, v, false)) return true;
    return false;
}

static bool listed(const gate_allow *a, const cs_cert *leaf) {
    return bsearch(leaf->sha256, a->prints, a->print_count, 32, by_digest) != NULL;
}

/* A certificate of a built-in profile does not name it: there is one for each kind. */
static bool of_profile(const char *pattern, cs_kind kind, const cs_cert *leaf) {
    char name[CS_PROFILE_NAME_MAX + 1];
    if (!cs_profile_of_cert(leaf, name)) (void)snprintf(name, sizeof name, "%s", cs_kind_name(kind));
    return cs_text_fits(pattern, cs_view_str(name), false);
}

static bool named(const gate_allow *a, cs_kind kind, const char *who) {
    const conf_allow *c = a->conf;
    if (c->kind != NULL && strcmp(c->kind, cs_kind_name(kind)) != 0) return false;
    return c->name == NULL || cs_text_fits(c->name, cs_view_str(who), false);
}

/* All that the entry says must hold. */
static bool holds(const gate_allow *a, cs_kind kind, const char *who, const cs_cert *leaf) {
    char issuer[CS_NAME_TEXT_MAX + 1];
    const conf_allow *c = a->conf;
    if (!named(a, kind, who)) return false;
    if (c->dns != NULL && !any_san(leaf, CS_SAN_DNS, c->dns, NULL)) return false;
    if (c->email != NULL && !any_san(leaf, CS_SAN_EMAIL, c->email, NULL)) return false;
    if (c->uri != NULL && !any_san(leaf, CS_SAN_URI, c->uri, NULL)) return false;
    if (c->spiffe != NULL && !any_san(leaf, CS_SAN_URI, c->spiffe, "spiffe://")) return false;
    if (c->ip != NULL && !any_ip(leaf, c->ip)) return false;
    if (c->o != NULL && !any_part(leaf, CS_NAME_O, c->o)) return false;
    if (c->ou != NULL && !any_part(leaf, CS_NAME_OU, c->ou)) return false;
    if (c->issuer != NULL && !cs_text_fits(c->issuer, cs_view_str(cs_name_text(leaf->issuer, issuer)), false))
        return false;
    if (c->profile != NULL && !of_profile(c->profile, kind, leaf)) return false;
    if (c->fingerprint != NULL && memcmp(a->print, leaf->sha256, 32) != 0) return false;
    return c->fingerprints == NULL || listed(a, leaf);
}

bool policy_allows(const gate_route *route, cs_kind kind, const char *who, const cs_cert *leaf) {
    if (route->allow_count == 0) return true;
    for (unsigned i = 0; who != NULL && leaf != NULL && i < route->allow_count; i++)
        if (holds(&route->allow[i], kind, who, leaf)) return true;
    return false;
}
