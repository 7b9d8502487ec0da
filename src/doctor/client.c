/* What the server thinks of our certificate, from what it asked for and how it answered. */
#include <stdio.h>

#include "doctor/doctor_priv.h"
#include "x509/cert_priv.h"

/* ---- could it be sent at all? ---- */

/* Has the request a signature algorithm for this type of key? RFC 8446 4.2.3: the lower octet is the type in TLS 1.2.
 */
static bool key_type_asked(const tls_look_seen *s, const cs_cert *leaf) {
    cs_key_type type = cs_cert_more_of(leaf)->key_type;
    for (size_t i = 0; i < s->sigalg_count; i++) {
        unsigned alg = s->sigalgs[i], low = alg & 0xff;
        bool pss = alg >= 0x0804 && alg <= 0x0806;
        if (type == CS_KEY_RSA && (low == 1 || pss)) return true;
        if (type == CS_KEY_EC && low == 3) return true;
        if (type == CS_KEY_ED25519 && alg == 0x0807) return true;
        if (type != CS_KEY_RSA && type != CS_KEY_EC && type != CS_KEY_ED25519) return true;
    }
    return s->sigalg_count == 0;
}

/* The lowest certificate of our chain whose issuer the server lists; -1: none is. */
static int listed_at(const tls_look_seen *s, const cs_certs *chain) {
    for (size_t i = 0; i < chain->n; i++)
        if (tls_look_lists(s, chain->at[i]->issuer)) return (int)i;
    return -1;
}

static const cs_cert *issuer_known(const doctor *d, const cs_cert *cert) {
    const cs_certs *bags[] = {&d->own.chain, &d->own.trust, &probe_seen(&d->none)->chain};
    for (size_t b = 0; b < sizeof bags / sizeof bags[0]; b++)
        for (size_t i = 0; i < bags[b]->n; i++)
            if (bags[b]->at[i] != cert && creds_issued(bags[b]->at[i], cert)) return bags[b]->at[i];
    return NULL;
}

static const cs_cert *namesake_known(const doctor *d, const cs_cert *cert) {
    const cs_certs *bags[] = {&d->own.trust, &probe_seen(&d->none)->chain};
    if (issuer_known(d, cert) != NULL) return NULL;
    for (size_t b = 0; b < sizeof bags / sizeof bags[0]; b++)
        for (size_t i = 0; i < bags[b]->n; i++)
            if (creds_name_only(bags[b]->at[i], cert)) return bags[b]->at[i];
    return NULL;
}

/* Java, Go and browsers send only what leads to a listed CA by their own chain. */
static void simulate_choosy(doctor *d, const tls_look_seen *s, unsigned sure) {
    char issuer[CS_NAME_TEXT_MAX + 1];
    if (!s->asked || s->ca_count == 0 || listed_at(s, &d->own.chain) >= 0) return;
    (void)cs_name_text(d->own.chain.at[d->own.chain.n - 1]->issuer, issuer);
    findings_add(
        d->f, d->own.chain.n == 1 ? 2 : 66, sure,
        "%.150s is not among the %zu CAs that the server lists: curl and Python send the certificate all the same, "
        "Go, Java and browsers do not",
        issuer, s->ca_count);
}

/* ---- refused ---- */

static bool server_is(const doctor *d, const char *what) {
    return strncmp(d->mine.server, what, strlen(what)) == 0 || strncmp(d->none.server, what, strlen(what)) == 0;
}

static const char *answer_text(const probe *p, char out[160]) {
    const tls_look_seen *s = probe_seen(p);
    if (s->alert >= 0)
        (void)snprintf(out, 160, "alert %d, %s%s", s->alert, tls_look_alert_text(s->alert),
                       s->done ? ", after our side took the handshake for done" : "");
    else if (p->status > 0)
        (void)snprintf(out, 160, "HTTP %d%s", p->status,
                       probe_says(p, "SSL certificate error") ? ", \"The SSL certificate error\"" : "");
    else if (p->silent)
        (void)snprintf(out, 160, "nothing within the time");
    else
        (void)snprintf(out, 160, "%s without an alert",
                       p->closed || s->ended ? "the connection was closed" : "the connection was reset");
    return out;
}

/* Its issuer is listed, or the server lists none: the CA is known, and something about paths or lists is not. */
static void issuer_listed(doctor *d, int at, const char *got) {
    const cs_cert *below = d->own.chain.at[at], *ca = issuer_known(d, below);
    char issuer[CS_NAME_TEXT_MAX + 1];
    size_t between = d->own.chain.n - 1;
    (void)cs_name_text(below->issuer, issuer);
    if (ca != NULL && creds_is_root(ca) && ca != NULL && d->own.chain.n > 1 &&
        creds_is_root(d->own.chain.at[d->own.chain.n - 1]))
        between--;
    if (ca != NULL && !creds_is_root(ca) && !tls_look_lists(probe_seen(&d->mine), ca->issuer))
        findings_add(d->f, 3, FINDING_LIKELY + 12,
                     "it answers %s; it lists %.150s, which is no root, and not the CA above it", got, issuer);
    if (probe_seen(&d->mine)->alert == 80 || server_is(d, "Apache"))
        findings_add(d->f, 16, between >= 1 ? FINDING_LIKELY : FINDING_MAYBE,
                     "it answers %s to a chain of %zu certificates", got, d->own.chain.n);
    if (server_is(d, "nginx") && between >= 2)
        findings_add(d->f, 15, FINDING_LIKELY + 5, "it answers %s to %zu intermediates; nginx takes one by default",
                     got, between);
    findings_add(d->f, 75, server_is(d, "nginx") ? 50 : 65,
                 "it answers %s, although it lists %.150s and the path is whole", got, issuer);
    if (server_is(d, "nginx")) {
        findings_add(d->f, 52, 49, "nginx answers %s for each cause; its CRL may have ended", got);
        findings_add(d->f, 101, 48, "nginx answers %s for each cause; the certificate may be revoked", got);
    }
}

static void unknown_ca(doctor *d, const char *got) {
    const tls_look_seen *s = probe_seen(&d->mine);
    const cs_certs *chain = &d->own.chain;
    const cs_cert *top = chain->at[chain->n - 1], *same = namesake_known(d, top), *ca = issuer_known(d, top);
    char issuer[CS_NAME_TEXT_MAX + 1], name[CS_NAME_TEXT_MAX + 1];
    int at = listed_at(s, chain);
    (void)cs_name_text(top->issuer, issuer);
    simulate_choosy(d, s, FINDING_MAYBE);
    if (creds_is_root(chain->at[0])) {
        findings_add(d->f, 20, FINDING_SURE, "it answers %s; the certificate is its own issuer", got);
    } else if (d->has_fuller && probe_accepted(&d->fuller)) {
        findings_add(d->f, 1, FINDING_SURE + 3, "it answers %s; with %.150s behind the leaf it lets us in", got,
                     issuer);
    } else if (same != NULL) {
        findings_add(d->f, 11, FINDING_SURE, "it answers %s; a CA %.120s is known here, but another key of it signed",
                     got, creds_name(same, name));
    } else if (at >= 0) {
        issuer_listed(d, at, got);
    } else if (chain->n == 1 && !(ca != NULL && creds_is_root(ca))) {
        bool root_listed = ca != NULL && tls_look_lists(s, ca->issuer);
        findings_add(d->f, 1, root_listed ? FINDING_SURE : 62,
                     "it answers %s; the file holds one certificate, and its issuer %.150s "
                     "is not among the %zu CAs that the server lists%s",
                     got, issuer, s->ca_count, root_listed ? ", but the CA above is" : "");
        findings_add(d->f, 4, root_listed ? FINDING_MAYBE : 55, "it answers %s; the server does not list %.150s", got,
                     issuer);
    } else if (s->ca_count == 0) {
        findings_add(d->f, 4, 60, "it answers %s, and lists no CAs; ours is %.150s", got, issuer);
        findings_add(d->f, 75, 45, "it answers %s", got);
        findings_add(d->f, 3, 44, "it answers %s", got);
    } else {
        findings_add(d->f, 4, FINDING_LIKELY + 12,
                     "it answers %s%s; no CA of our chain is among the %zu that it lists (ours ends at %.120s)", got,
                     d->has_junk && probe_seen(&d->junk)->alert == s->alert ? ", as to a certificate that nobody knows"
                                                                            : "",
                     s->ca_count, issuer);
    }
}

static void expired(doctor *d, const char *got) {
    cs_time now = cs_now(d->plan->clock);
    char name[CS_NAME_TEXT_MAX + 1];
    const cs_cert *cert = d->own.chain.at[0];
    if (findings_has(d->f, 50) || findings_has(d->f, 9)) return;
    for (unsigned i = 0; i < CS_PATH_MAX && cert != NULL; i++) {
        if (now > cert->not_after)
            findings_add(d->f, 53, FINDING_SURE, "it answers %s, and the CA %.150s has expired", got,
                         creds_name(cert, name));
        cert = creds_is_root(cert) ? NULL : issuer_known(d, cert);
    }
    findings_add(d->f, 52, FINDING_LIKELY + 10,
                 "it answers %s, but no certificate of ours has expired: its CRL has, or its CA", got);
    findings_add(d->f, 53, FINDING_MAYBE, "it answers %s", got);
}

static void not_yet(doctor *d, const char *got) {
    const cs_cert *leaf = d->own.chain.at[0];
    cs_time now = d->none.date != 0 ? d->none.date : cs_now(d->plan->clock);
    char when[CS_TIME_TEXT_MAX];
    bool young = now - leaf->not_before < CS_DAY;
    findings_add(d->f, 49, young ? FINDING_LIKELY : 45, "it answers %s; the certificate is valid from %s on", got,
                 cs_time_text(leaf->not_before, when));
    findings_add(d->f, 78, young ? 50 : FINDING_LIKELY, "it answers %s", got);
}

/* Suspicions about what the alert is not about. */
static void lower_suspects(doctor *d, const unsigned *about, size_t n) {
    for (size_t i = 0; i < d->own.suspects; i++) {
        bool kept = false;
        for (size_t k = 0; k < n; k++) kept = kept || about[k] == d->own.suspect[i];
        if (!kept) findings_lower(d->f, d->own.suspect[i], 38, "");
    }
}

static void by_alert(doctor *d, int alert, const char *got) {
    static const unsigned paths[] = {20, 13, 14, 11, 17, 7}, dates[] = {50, 9, 53}, young[] = {49},
                          uses[] = {37, 13, 39, 60};
    bool known = listed_at(probe_seen(&d->mine), &d->own.chain) >= 0;
    switch (alert) {
    case 48:
        lower_suspects(d, paths, sizeof paths / sizeof paths[0]);
        unknown_ca(d, got);
        return;
    case 45:
        lower_suspects(d, dates, sizeof dates / sizeof dates[0]);
        expired(d, got);
        return;
    case 44: findings_add(d->f, 101, FINDING_SURE + 3, "it answers %s", got); return;
    case 43:
        lower_suspects(d, uses, sizeof uses / sizeof uses[0]);
        findings_add(d->f, 37, findings_has(d->f, 37) ? FINDING_SURE : 55, "it answers %s", got);
        return;
    case 42:
        if (d->own.suspects > 0) return;
        if (!known) unknown_ca(d, got);
        if (known) lower_suspects(d, young, 1), not_yet(d, got);
        return;
    case 51:
        findings_add(d->f, 61, d->has_only12 && probe_accepted(&d->only12) ? FINDING_SURE : 50, "it answers %s%s", got,
                     d->has_only12 && probe_accepted(&d->only12) ? " in TLS 1.3 only" : "");
        findings_add(d->f, 77, FINDING_LIKELY,
                     "it answers %s; key and certificate belong together, so that it is about a CRL", got);
        return;
    case 47:
        findings_add(d->f, 67, FINDING_SURE, "it answers %s to a chain of %zu certificates", got, d->own.chain.n);
        return;
    case 80:
        if (d->own.chain.n > 1)
            findings_add(d->f, 16, FINDING_LIKELY, "it answers %s to a chain of %zu certificates", got, d->own.chain.n);
        findings_add(d->f, 62, FINDING_MAYBE, "it answers %s", got);
        return;
    case 46:
        if (!known && !findings_has(d->f, 17)) unknown_ca(d, got);
        findings_add(d->f, 17, findings_has(d->f, 17) ? FINDING_SURE : 50, "it answers %s", got);
        return;
    default:
        if (d->own.suspects == 0) unknown_ca(d, got);
        return;
    }
}

static void postgres_words(doctor *d, char out[200]) {
    cs_view v = cs_buf_view(&d->mine.answer);
    size_t n = 0;
    /* ErrorResponse: fields of one letter and a text, each ended by NUL; M is the message */
    for (size_t i = 5; i + 1 < v.n && n == 0; i++)
        if (v.p[i] == 'M' && v.p[i - 1] == 0) n = i + 1;
    (void)snprintf(out, 200, "%.*s", n > 0 ? (int)(v.n - n < 199 ? v.n - n : 199) : 0,
                   n > 0 ? (const char *)v.p + n : "");
}

static void refused(doctor *d) {
    const tls_look_seen *s = probe_seen(&d->mine);
    const cs_cert *leaf = d->own.chain.at[0];
    char got[160], key[CS_KEY_TEXT_MAX], words[200];
    (void)answer_text(&d->mine, got);
    if (d->mine.refused) {
        postgres_words(d, words);
        findings_add(d->f, 45, FINDING_LIKELY + 10, "TLS holds; PostgreSQL says for user %s: %.150s", d->user, words);
    } else if (s->asked && !s->sent && !key_type_asked(s, leaf)) {
        findings_add(d->f, 57, FINDING_SURE,
                     "its CertificateRequest has no signature algorithm for %s, so that none was sent; it answers %s",
                     cs_key_spki_text(leaf->spki, key), got);
    } else if (!s->asked && d->mine.status == 400) {
        findings_add(d->f, 62, FINDING_SURE,
                     "it did not ask for a certificate in the handshake, and then answers %s: another site was "
                     "asked than the one that answers",
                     got);
    } else if (s->alert >= 0) {
        by_alert(d, s->alert, got);
    } else if (d->mine.silent && d->mine.resent > 0) {
        findings_add(d->f, 88, FINDING_SURE,
                     "our certificate was sent again %u times and never acknowledged: the path loses big packets",
                     d->mine.resent);
    } else if (d->own.suspects == 0) {
        unknown_ca(d, got);
        findings_add(d->f, 114, FINDING_MAYBE - 5, "it answers %s", got);
    }
    if (s->done && s->alert >= 0)
        findings_note(d->f, 65,
                      "the refusal came after our side took the handshake for done; a client that writes first may see "
                      "a reset instead");
}

/* ---- let in ---- */

static void never_asked(doctor *d) {
    static const char *const balancers[] = {"cloudflare",      "awselb",  "AkamaiGHost",
                                            "Google Frontend", "Varnish", "CloudFront"};
    bool balancer = false;
    for (size_t i = 0; i < sizeof balancers / sizeof balancers[0]; i++)
        balancer = balancer || server_is(d, balancers[i]);
    bool other = d->by_ip || d->mine.status == 421 || findings_has(d->f, 40) || findings_has(d->f, 41);
    if (probe_seen(&d->mine)->asked_late || d->mine.status == 403)
        findings_add(d->f, 64, probe_seen(&d->mine)->asked_late ? FINDING_SURE + 3 : FINDING_LIKELY,
                     "it asks for no certificate in the handshake%s; it answers %d for %s",
                     probe_seen(&d->mine)->asked_late ? ", and asks when a path is requested" : "", d->mine.status,
                     d->plan->path);
    if (d->mine.status == 421)
        findings_add(d->f, 62, FINDING_SURE, "it answers 421 to %s", d->host_field);
    else if (other)
        findings_add(d->f, 62, FINDING_LIKELY + 10,
                     "connected as %s, and the site that answers asks for no certificate", d->name);
    findings_add(d->f, 84, balancer ? FINDING_LIKELY : 35, "no certificate is asked for%s%s", balancer ? " by " : "",
                 balancer ? d->mine.server : "");
    findings_add(d->f, 105, 70, "no CertificateRequest came, neither in the handshake nor later");
}

static void judge_mapping(doctor *d) {
    char name[CS_NAME_TEXT_MAX + 1];
    const probe *p = &d->mine;
    bool mqtt = d->plan->proto == PROBE_MQTT;
    (void)creds_name(d->own.chain.at[0], name);
    if (d->plan->proto == PROBE_HTTP && (p->status == 403 || p->status == 401))
        findings_add(d->f, 45, FINDING_LIKELY + 5,
                     "the certificate was taken, and then HTTP %d came for %s; it says %.150s", p->status,
                     d->plan->path, name);
    if (mqtt && p->status == 6)
        findings_add(d->f, 45, FINDING_SURE,
                     "the certificate was taken, and then CONNACK 5, not authorised; it says %.150s", name);
    if (mqtt && p->status == 5)
        findings_add(d->f, 46, FINDING_LIKELY, "CONNACK 4, bad user name or password, %s",
                     probe_seen(p)->sent ? "although a certificate was sent" : "and no certificate was asked for");
}

static void let_in(doctor *d) {
    const tls_look_seen *s = probe_seen(&d->mine);
    char key[CS_KEY_TEXT_MAX];
    if (!s->asked || s->asked_late) {
        never_asked(d);
        return;
    }
    if (s->asked && !s->sent && !key_type_asked(s, d->own.chain.at[0]))
        findings_add(d->f, 57, FINDING_SURE,
                     "its CertificateRequest has no signature algorithm for %s, so that none was sent",
                     cs_key_spki_text(d->own.chain.at[0]->spki, key));
    for (size_t i = 0; i < d->own.suspects; i++) findings_lower(d->f, d->own.suspect[i], 0, "this server lets it in");
    judge_mapping(d);
    simulate_choosy(d, s, 55);
    if (s->sent && !findings_problem(d->f)) doctor_say(d->r, "result", "the server lets this certificate in");
}

/* ---- without one ---- */

static void without_any(doctor *d) {
    const tls_look_seen *s = probe_seen(&d->none);
    char got[160];
    (void)answer_text(&d->none, got);
    if (s->asked_late) {
        findings_add(d->f, 64, FINDING_SURE, "it asks for a certificate when %s is requested, not in the handshake",
                     d->plan->path);
    } else if (d->none.status == 421) {
        findings_add(d->f, 62, FINDING_SURE, "it answers 421 to %s", d->host_field);
    } else if (probe_accepted(&d->none)) {
        if (s->asked) findings_note(d->f, 107, "it asks for a certificate, and answers without one");
        if (!s->asked) findings_note(d->f, 105, "no CertificateRequest came");
        if (!s->asked && d->plan->proto == PROBE_MQTT && d->none.status == 5)
            findings_add(d->f, 46, FINDING_LIKELY,
                         "CONNACK 4, bad user name or password, and no certificate was asked for");
    } else if (!s->asked && d->none.status == 400) {
        findings_add(d->f, 62, FINDING_SURE, "it did not ask for a certificate, and then answers %s", got);
    } else if (s->asked) {
        findings_add(d->f, 106, FINDING_SURE, "it asks for one, and without it answers %s", got);
    } else if (s->alert >= 0) {
        findings_add(d->f, s->alert == 40 ? 56 : 114, 60, "it answers %s", got);
    } else if (d->none.silent && d->none.out_of_order > 0) {
        findings_add(d->f, 88, FINDING_SURE,
                     "a part of the server's messages never came, later ones did: the path loses big packets");
    } else if (d->none.silent) {
        findings_add(d->f, d->none.phase >= PROBE_AT_ANSWER ? 104 : 88, d->none.phase >= PROBE_AT_ANSWER ? 80 : 60,
                     "it stopped in the middle: %s", got);
    } else if (d->none.phase < PROBE_AT_JUDGE) {
        findings_add(d->f, 82, 60, "it began to speak TLS, and then %s", got);
    }
}

void doctor_judge_client(doctor *d) {
    if (d->own.chain.n == 0 || !d->has_mine) {
        without_any(d);
        if (d->own.chain.n > 0 && findings_has(d->f, 106)) findings_lower(d->f, 106, 60, "");
        return;
    }
    doctor_say(d->r, "with the certificate", "%s", probe_accepted(&d->mine) ? "let in" : "refused");
    doctor_say(d->r, "without one", "%s", probe_accepted(&d->none) ? "let in" : "refused");
    if (probe_accepted(&d->mine))
        let_in(d);
    else
        refused(d);
}
