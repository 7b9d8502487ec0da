/* The connections of a run: few, each for a question. */
#include <stdio.h>

#include "doctor/doctor_priv.h"
#include "keys/keys.h"
#include "x509/build.h"

enum { TLS_1_1 = 0x0302, TLS_1_2 = 0x0303, TLS_1_3 = 0x0304 };

void doctor_probe(doctor *d, const probe_plan *how, probe *ret) {
    d->r->connections++;
    probe_run(how, ret);
}

probe_plan doctor_plan_of(const doctor *d, size_t addr) {
    return (probe_plan){.to = &d->at[addr],
                        .proto = d->plan->proto,
                        .host = d->host_field,
                        .path = d->plan->path,
                        .user = d->user,
                        .tls = {.sni = d->by_ip ? NULL : d->name},
                        .wait = d->wait,
                        .clock = d->plan->clock};
}

/* Each address is tried as far as TLS; the first that speaks it is looked at. */
static bool find_speaker(doctor *d) {
    char text[NET_TEXT_MAX];
    size_t good = 0;
    bool chosen = false;
    for (size_t i = 0; i < d->addrs; i++) {
        probe_plan how = doctor_plan_of(d, i);
        probe p;
        doctor_probe(d, &how, &p);
        bool spoke = probe_seen(&p)->hello;
        good += spoke;
        doctor_say(d->r, "address", "%s: %s", net_addr_text(&d->at[i], true, text),
                   spoke                         ? "speaks TLS"
                   : p.phase == PROBE_AT_CONNECT ? "no connection"
                                                 : "connected, no TLS");
        if (!spoke) doctor_judge_network(d, &p, i, FINDING_SURE);
        if (spoke && !chosen) {
            d->none = p, d->chosen = i, chosen = true;
            continue;
        }
        probe_free(&p);
    }
    if (good > 0 && good < d->addrs)
        findings_add(d->f, 90, FINDING_SURE + 1, "%zu of %zu addresses of %.100s speak TLS", good, d->addrs, d->host);
    return chosen;
}

static void with_mine(doctor *d, probe *ret, bool *ret_has, int max, const cs_certs *chain) {
    probe_plan how = doctor_plan_of(d, d->chosen);
    how.tls.chain = chain;
    how.tls.key = d->own.key;
    how.tls.max = max;
    doctor_probe(d, &how, ret);
    *ret_has = true;
}

/* A certificate that nobody knows: is ours treated otherwise? */
static void with_junk(doctor *d) {
    static const uint8_t serial[] = {1};
    /* CN=doctor */
    static const uint8_t subject[] = {0x30, 17, 0x31, 15,  0x30, 13,  6,   3,   0x55, 4,
                                      3,    12, 6,    'd', 'o',  'c', 't', 'o', 'r'};
    cs_err err;
    cs_cert *cert = NULL;
    CS_AUTO(cs_key) key = NULL;
    CS_SCOPED(cs_certs) chain = {NULL, 0};
    cs_time now = cs_now(d->plan->clock);
    if (cs_key_generate(CS_KEYSPEC_ECDSA_P256, &key, &err) != CS_OK) return;
    if (cs_self_signed_make(key, cs_view_of(subject, sizeof subject), cs_view_of(serial, 1), now - CS_DAY, now + CS_DAY,
                            &cert, &err) != CS_OK ||
        cs_certs_add(&chain, cert, &err) != CS_OK)
        return;
    probe_plan how = doctor_plan_of(d, d->chosen);
    how.tls.chain = &chain;
    how.tls.key = key;
    doctor_probe(d, &how, &d->junk);
    d->has_junk = true;
}

/* Ours with the issuers that the CA file knows. */
static void with_issuers(doctor *d) {
    cs_err err;
    CS_SCOPED(cs_certs) chain = {NULL, 0};
    const cs_cert *last = d->own.chain.at[d->own.chain.n - 1];
    const tls_look_seen *server = probe_seen(&d->none);
    for (size_t i = 0; i < d->own.chain.n; i++)
        if (cs_certs_add(&chain, cs_cert_ref(d->own.chain.at[i]), &err) != CS_OK) return;
    for (unsigned round = 0; round < 4 && !creds_is_root(last); round++) {
        const cs_cert *next = NULL;
        for (size_t i = 0; i < d->own.trust.n && next == NULL; i++)
            if (creds_issued(d->own.trust.at[i], last)) next = d->own.trust.at[i];
        for (size_t i = 1; i < server->chain.n && next == NULL; i++)
            if (creds_issued(server->chain.at[i], last)) next = server->chain.at[i];
        if (next == NULL || creds_is_root(next)) break;
        if (cs_certs_add(&chain, cs_cert_ref(next), &err) != CS_OK) return;
        last = next;
    }
    if (chain.n > d->own.chain.n) with_mine(d, &d->fuller, &d->has_fuller, 0, &chain);
}

/* Which versions? Only as far as the server's hello matters. */
static void try_versions(doctor *d) {
    static const struct {
        int min, max;
        const char *name;
    } tries[] = {{TLS_1_3, TLS_1_3, "TLS 1.3"}, {TLS_1_2, TLS_1_2, "TLS 1.2"}, {0, TLS_1_1, "TLS 1.1 or older"}};
    char said[100] = "";
    size_t n = 0;
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        bool yes = tries[i].max == probe_seen(&d->none)->version;
        if (!yes) {
            probe_plan how = doctor_plan_of(d, d->chosen);
            probe p;
            how.tls.min = tries[i].min, how.tls.max = tries[i].max;
            if (how.proto == PROBE_HTTP) how.proto = PROBE_RAW;
            doctor_probe(d, &how, &p);
            yes = probe_seen(&p)->hello && probe_seen(&p)->alert != 70;
            probe_free(&p);
        }
        if (yes) n += (size_t)snprintf(said + n, sizeof said - n, "%s%s", n > 0 ? ", " : "", tries[i].name);
        if (yes && i == 2) findings_note(d->f, 110, "it took %s", tries[i].name);
    }
    doctor_say(d->r, "versions", "%s", said);
}

static void try_resumption(doctor *d) {
    const probe *from = d->has_mine && probe_seen(&d->mine)->done ? &d->mine : &d->none;
    if (!probe_seen(from)->session) {
        doctor_say(d->r, "sessions", "the server gives none to resume");
        return;
    }
    probe_plan how = doctor_plan_of(d, d->chosen);
    probe p;
    how.tls.resume = from->look;
    if (from == &d->mine) how.tls.chain = &d->own.chain, how.tls.key = d->own.key;
    doctor_probe(d, &how, &p);
    doctor_say(d->r, "sessions", "%s",
               probe_seen(&p)->resumed ? "a session is resumed" : "a session is given, but not resumed");
    probe_free(&p);
}

static void try_without_name(doctor *d) {
    probe_plan how = doctor_plan_of(d, d->chosen);
    if (how.tls.sni == NULL) return;
    how.tls.sni = NULL;
    if (how.proto == PROBE_HTTP) how.proto = PROBE_RAW;
    doctor_probe(d, &how, &d->plain_sni);
    d->has_plain_sni = true;
}

bool doctor_look(doctor *d) {
    if (!find_speaker(d)) return false;
    if (d->own.usable) {
        with_mine(d, &d->mine, &d->has_mine, 0, &d->own.chain);
        if (!probe_accepted(&d->mine)) {
            if (probe_seen(&d->mine)->version == TLS_1_3)
                with_mine(d, &d->only12, &d->has_only12, TLS_1_2, &d->own.chain);
            with_junk(d);
            with_issuers(d);
        }
    }
    try_versions(d);
    try_without_name(d);
    try_resumption(d);
    return true;
}
