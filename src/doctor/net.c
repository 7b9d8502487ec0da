/* A connection that did not come as far as the server's hello: where it stopped says why. */
#include <errno.h>
#include <string.h>

#include "doctor/doctor_priv.h"

static void no_connection(doctor *d, const probe *p, const char *at, unsigned sure) {
    char words[128];
    const char *said = strerror_r(p->sys, words, sizeof words);
    switch (p->sys) {
    case 0:
        findings_add(d->f, 82, sure,
                     "%s: no answer to the connection within the time: a firewall drops it, or the address is wrong",
                     at);
        break;
    case ECONNREFUSED: findings_add(d->f, 82, sure, "%s: connection refused: nothing listens on that port", at); break;
    case EINVAL: /* what Linux says of a blackhole route of its own */
    case EHOSTUNREACH:
    case ENETUNREACH: findings_add(d->f, 82, sure, "%s: %s: no route, or a firewall says no", at, said); break;
    case EACCES:
    case EPERM:
        findings_add(d->f, 82, sure, "%s: %s: this machine forbids it, or a router does (prohibited)", at, said);
        break;
    default: findings_add(d->f, 82, sure, "%s: %s", at, said); break;
    }
}

/* The same with a line of the PROXY protocol before it: does TLS come now? */
static bool wants_proxy_line(doctor *d, size_t addr) {
    probe_plan how = doctor_plan_of(d, addr);
    probe p;
    how.proxy_line = true;
    doctor_probe(d, &how, &p);
    bool yes = probe_seen(&p)->hello;
    probe_free(&p);
    return yes;
}

/* The same with small packets: does the server's answer come now? */
static bool small_come_through(doctor *d, size_t addr) {
    probe_plan how = doctor_plan_of(d, addr);
    probe p;
    how.small = true;
    if (how.wait > CS_SEC * 3 / 4) how.wait = CS_SEC * 3 / 4; /* it came quickly, or the first had answered */
    doctor_probe(d, &how, &p);
    bool yes = probe_seen(&p)->hello;
    probe_free(&p);
    return yes;
}

static void no_tls(doctor *d, const probe *p, const char *at, unsigned sure) {
    if (strncmp(p->first, "HTTP/", 5) == 0 || strstr(p->first, "<html") != NULL ||
        strstr(p->first, "<!DOCTYPE") != NULL) {
        findings_add(d->f, 68, sure, "%s answers in plain HTTP: \"%s\"", at, p->first);
        return;
    }
    const char *hint = "";
    if (strncmp(p->first, "220", 3) == 0) hint = "; it greets as a mail server does, try --proto smtp";
    if (strncmp(p->first, "SSH-", 4) == 0) hint = "; that is SSH";
    if (strncmp(p->first, "-ERR", 4) == 0 || strncmp(p->first, "* OK", 4) == 0)
        hint = "; a mailbox service without TLS";
    findings_add(d->f, 103, sure, "%s answers \"%s\", which is no TLS%s", at, p->first, hint);
}

static void alert_before_hello(doctor *d, const probe *p, const char *at, unsigned sure) {
    int alert = probe_seen(p)->alert;
    const char *text = tls_look_alert_text(alert);
    unsigned number = alert == 70 ? 55 : alert == 112 ? 62 : alert == 120 ? 63 : alert == 40 || alert == 71 ? 56 : 62;
    if (number == 62)
        findings_add(d->f, 62, sure, "%s answers our hello with alert %d, %s; the name that was sent is %s", at, alert,
                     text, d->by_ip ? "none (an address)" : d->name);
    else
        findings_add(d->f, number, sure, "%s answers our hello with alert %d, %s", at, alert, text);
}

void doctor_judge_network(doctor *d, const probe *p, size_t addr, unsigned sure) {
    char at[NET_TEXT_MAX];
    (void)net_addr_text(&d->at[addr], true, at);
    if (p->phase == PROBE_AT_CONNECT) {
        no_connection(d, p, at, sure);
    } else if (p->not_tls) {
        no_tls(d, p, at, sure);
    } else if (probe_seen(p)->alert >= 0) {
        alert_before_hello(d, p, at, sure);
    } else if (p->silent && small_come_through(d, addr)) {
        findings_add(d->f, 88, sure,
                     "%s: silence, but with packets of 536 octets it answers: the path loses bigger ones", at);
    } else if (p->silent && p->resent > 0) {
        findings_add(d->f, 88, sure, "%s: connected, but what we sent is not acknowledged (sent again %u times)", at,
                     p->resent);
    } else if (p->silent) {
        findings_add(d->f, 104, sure, "%s takes the connection and then says nothing", at);
    } else if ((p->err.reason == CS_R_TLS_HANDSHAKE_FAILED || p->err.reason == CS_R_LIMIT_REACHED) && !p->closed) {
        findings_add(d->f, 103, sure, "%s: what it answers is no TLS handshake (%s)", at, p->err.detail);
    } else if (wants_proxy_line(d, addr)) {
        findings_add(d->f, 87, sure, "%s ends a plain hello and answers one behind a line of the PROXY protocol", at);
    } else {
        findings_add(d->f, 82, sure, "%s: connected; after our first message the connection was %s", at,
                     p->closed ? "closed without a word" : "reset");
    }
}
