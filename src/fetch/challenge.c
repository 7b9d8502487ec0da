#include "fetch/challenge.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/limits.h"
#include "fetch/shake.h"

enum { ADDRESSES_TRIED = 3 };
#define ACME_TLS "acme-tls/1"

bool challenge_may(const challenge_policy *p, const struct sockaddr *a) {
    if (addr_class_of(a) == ADDR_GLOBAL) return true;
    for (unsigned i = 0; i < p->allow_count; i++)
        if (addr_range_has(&p->allow[i], a)) return true;
    return false;
}

cs_status challenge_addresses(const challenge_policy *p, const char *host, net_addr out[RESOLVE_ADDRESSES_MAX],
                              size_t *ret_n, cs_err *err) {
    char where[NET_TEXT_MAX];
    size_t n = 0, kept = 0;
    TRY(resolve_addresses(&p->resolver, host, out, &n, err));
    const addr_class is = addr_class_of((const struct sockaddr *)&out[0].at);
    (void)net_addr_text(&out[0], false, where);
    for (size_t i = 0; i < n; i++)
        if (challenge_may(p, (const struct sockaddr *)&out[i].at)) out[kept++] = out[i];
    *ret_n = kept;
    if (kept > 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_FETCH_FORBIDDEN, "%.255s: %s is a %s address (acme.fetch_from)", host, where,
                   addr_class_name(is));
}

/* ---- tls-alpn-01 ---- */

static void set_port(net_addr *a, unsigned port) {
    if (a->at.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&a->at)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)&a->at)->sin_port = htons((uint16_t)port);
}

/* What stands in the server's name for an address. @rfc 8738#6 */
static void sni_of(const net_addr *a, char out[80]) {
    const uint8_t *p = (const uint8_t *)&((const struct sockaddr_in *)&a->at)->sin_addr;
    if (a->at.ss_family == AF_INET) {
        (void)snprintf(out, 80, "%u.%u.%u.%u.in-addr.arpa", p[3], p[2], p[1], p[0]);
        return;
    }
    p = ((const struct sockaddr_in6 *)&a->at)->sin6_addr.s6_addr;
    for (int i = 0; i < 16; i++) (void)snprintf(out + 4 * i, 5, "%x.%x.", p[15 - i] & 15U, p[15 - i] >> 4);
    (void)snprintf(out + 64, 16, "ip6.arpa");
}

static cs_status probe_at(const challenge_policy *p, const challenge_ask *ask, net_addr *at, cs_buf *values,
                          cs_err *err) {
    CS_AUTO(tls_probe) probe = NULL;
    CS_SCOPED(cs_buf) leaf = cs_buf_of(CS_PEER_CERT_MAX);
    char sni[80], where[NET_TEXT_MAX];
    uint8_t octets[16];
    cs_time until = cs_mono(cs_clock_system()) + p->deadline;
    bool address = inet_pton(AF_INET, ask->host, octets) == 1 || inet_pton(AF_INET6, ask->host, octets) == 1;
    sni_of(at, sni);
    set_port(at, p->tls_port);
    (void)net_addr_text(at, true, where);
    TRY(tls_probe_new(address ? sni : ask->host, ACME_TLS, &probe, err));
    if (shake_hands(at, probe, until, err) != CS_OK) return cs_fail_in(err, "%s", where);
    if (!tls_probe_leaf(probe, &leaf))
        return cs_fail(err, CS_FAILED, CS_R_TLS_HANDSHAKE_FAILED, "%s shows no certificate, or too big a one", where);
    (void)cs_buf_add_vec16(values, tls_probe_alpn(probe));
    (void)cs_buf_add_vec16(values, cs_buf_view(&leaf));
    return cs_buf_ok(values, "the certificate", err);
}

static cs_status look_alpn(const challenge_policy *p, const challenge_ask *ask, cs_buf *values, cs_err *err) {
    net_addr at[RESOLVE_ADDRESSES_MAX];
    size_t n = 0;
    TRY(challenge_addresses(p, ask->host, at, &n, err));
    cs_status s = CS_FAILED;
    for (size_t i = 0; s != CS_OK && i < n && i < ADDRESSES_TRIED; i++) s = probe_at(p, ask, &at[i], values, err);
    return s;
}

/* ---- dns-01 ---- */

static cs_status look_dns(const challenge_policy *p, const challenge_ask *ask, cs_buf *values, cs_err *err) {
    char name[CHALLENGE_HOST_MAX + 20];
    (void)snprintf(name, sizeof name, "_acme-challenge.%s", ask->host);
    return resolve_texts(&p->resolver, name, values, err);
}

cs_status challenge_look(const challenge_policy *p, const challenge_ask *ask, cs_buf *values, cs_err *err) {
    switch (ask->kind) {
    case CHALLENGE_HTTP: return challenge_http(p, ask, values, err);
    case CHALLENGE_DNS: return look_dns(p, ask, values, err);
    case CHALLENGE_ALPN: return look_alpn(p, ask, values, err);
    }
    return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "no kind of challenge");
}
