#include "doctor/doctor_priv.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"

void doctor_say(doctor_report *r, const char *what, const char *says, ...) {
    if (r->facts == DOCTOR_FACTS_MAX) return;
    doctor_fact *f = &r->fact[r->facts++];
    va_list ap;
    va_start(ap, says);
    (void)snprintf(f->what, sizeof f->what, "%s", what);
    (void)vsnprintf(f->says, sizeof f->says, says, ap);
    va_end(ap);
}

void doctor_report_free(doctor_report *r) {
    cs_certs_free(&r->server);
}

static void say_own(doctor *d) {
    char name[CS_NAME_TEXT_MAX + 1], issuer[CS_NAME_TEXT_MAX + 1], until[CS_TIME_TEXT_MAX], key[CS_KEY_TEXT_MAX];
    if (d->own.chain.n == 0) return;
    const cs_cert *leaf = d->own.chain.at[0];
    doctor_say(d->r, "own certificate", "%.150s, issued by %.150s, until %s, %s; %zu certificates in the file",
               creds_name(leaf, name), cs_name_text(leaf->issuer, issuer), cs_time_text(leaf->not_after, until),
               cs_key_spki_text(leaf->spki, key), d->own.chain.n);
}

static bool is_address(const char *text) {
    uint8_t ip[16];
    return inet_pton(AF_INET, text, ip) == 1 || inet_pton(AF_INET6, text, ip) == 1;
}

/* PostgreSQL asks for a user's name; the certificate's common name is what `cert` compares. */
static void choose_user(doctor *d) {
    cs_view cn = CS_VIEW_LIT("doctor");
    if (d->own.chain.n > 0) (void)cs_name_cn(d->own.chain.at[0]->subject, &cn);
    (void)snprintf(d->user, sizeof d->user, "%.*s", (int)cn.n, (const char *)cn.p);
    if (d->plan->user != NULL) (void)snprintf(d->user, sizeof d->user, "%s", d->plan->user);
}

static cs_status resolve(doctor *d, bool *ret_known, cs_err *err) {
    cs_status s = net_addrs_parse(d->plan->where, d->host, d->at, DOCTOR_ADDRS_MAX, &d->addrs, err);
    *ret_known = s == CS_OK;
    if (s != CS_OK && s != CS_FAILED) return cs_fail_in(err, "%s", "HOST:PORT is expected");
    d->name = d->plan->name != NULL ? d->plan->name : d->host;
    d->by_ip = is_address(d->name);
    const char *port = strrchr(d->plan->where, ':');
    (void)snprintf(d->host_field, sizeof d->host_field, d->by_ip && strchr(d->name, ':') ? "[%.200s]%s" : "%.200s%s",
                   d->name, port);
    if (s == CS_FAILED) findings_add(d->f, 102, FINDING_SURE + 5, "%s", err->detail);
    return CS_OK;
}

static void judge_clock(doctor *d) {
    const probe *p = d->none.date != 0 ? &d->none : &d->mine;
    cs_time now = cs_now(d->plan->clock), off = now - p->date;
    char here[CS_TIME_TEXT_MAX], there[CS_TIME_TEXT_MAX], length[CS_TIME_TEXT_MAX];
    if (p->date == 0) return;
    if (off < CS_MIN && off > -CS_MIN) {
        doctor_say(d->r, "time", "this clock and the server's agree within a minute");
        return;
    }
    (void)cs_duration_text(off < 0 ? -off : off, length);
    (void)cs_time_text(now, here), (void)cs_time_text(p->date, there);
    if (off < -CS_DAY)
        findings_add(d->f, 48, FINDING_SURE, "this clock says %s, the server's Date %s: %s behind", here, there,
                     length);
    else if (off > CS_DAY)
        findings_add(d->f, 51, FINDING_LIKELY, "this clock says %s, the server's Date %s: %s ahead", here, there,
                     length);
    else
        doctor_say(d->r, "time", "this clock is %s %s the server's", length, off < 0 ? "behind" : "ahead of");
}

static void close_all(doctor *d) {
    probe *all[] = {&d->none, &d->mine, &d->only12, &d->junk, &d->fuller, &d->plain_sni};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) probe_free(all[i]);
    creds_free(&d->own);
}

static void keep_server(doctor *d) {
    cs_err err;
    const tls_look_seen *s = probe_seen(&d->none);
    if (s->chain.n == 0) s = probe_seen(&d->mine);
    for (size_t i = 0; i < s->chain.n; i++) (void)cs_certs_add(&d->r->server, cs_cert_ref(s->chain.at[i]), &err);
}

cs_status doctor_run(const doctor_plan *plan, doctor_report *ret, cs_err *err) {
    doctor *d = calloc(1, sizeof *d);
    bool known = false;
    if (d == NULL) return CS_NOMEM_ERR(err);
    *ret = (doctor_report){.facts = 0};
    d->plan = plan, d->r = ret, d->f = &ret->found, d->wait = plan->wait;
    cs_status s = resolve(d, &known, err);
    if (s == CS_OK) {
        creds_read(&plan->creds, &d->own, d->f);
        say_own(d);
        choose_user(d);
    }
    if (s == CS_OK && known && doctor_look(d)) {
        keep_server(d);
        doctor_judge_server(d);
        doctor_judge_client(d);
        judge_clock(d);
    }
    if (s == CS_OK && plan->server_config != NULL) doctor_judge_config(d);
    findings_sort(d->f);
    close_all(d);
    free(d);
    return s;
}
