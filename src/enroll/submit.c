/* The way of every enrollment: a credential, what it entitles to, does the request fit, now or later, issue. */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "enroll/enroll_priv.h"
#include "enroll/trace.h"
#include "report/log.h"
#include "x509/build.h"
#include "x509/profile.h"

cs_status enroll_open(const enroll_setup *setup, enroll **ret, cs_err *err) {
    CS_AUTO(enroll) e = calloc(1, sizeof *e);
    if (e == NULL) return CS_NOMEM_ERR(err);
    (void)pthread_mutex_init(&e->guard_lock, NULL);
    e->a = setup->authority;
    e->conf = setup->conf;
    e->clock = setup->clock;
    e->rng = setup->rng;
    e->guard = calloc(GUARD_SOURCES, sizeof *e->guard);
    if (e->guard == NULL) return CS_NOMEM_ERR(err);
    TRY(conf_vendors_load(e->conf, true, NULL, NULL, &e->attestors, err));
    TRY(conf_vendors_load(e->conf, false, NULL, NULL, &e->idevids, err));
    TRY(token_open(e, err));
    *ret = CS_TAKE(e);
    return CS_OK;
}

void enroll_free(enroll *e) {
    if (e == NULL) return;
    cs_secret_free(e->key);
    cs_vendors_free(e->idevids);
    cs_vendors_free(e->attestors);
    free(e->guard);
    (void)pthread_mutex_destroy(&e->guard_lock);
    free(e);
}

authority *enroll_authority(const enroll *e) {
    return e->a;
}

const conf *enroll_conf(const enroll *e) {
    return e->conf;
}

const cs_clock *enroll_clock(const enroll *e) {
    return e->clock;
}

const cs_rng *enroll_rng(const enroll *e) {
    return e->rng;
}

void entitled_free(entitled *e) {
    cs_cert_free(e->parent);
    e->parent = NULL;
}

void enroll_answer_free(enroll_answer *answer) {
    cs_cert_free(answer->leaf);
    *answer = (enroll_answer){.leaf = NULL};
}

cs_status submit_profile(const enroll *e, cs_kind kind, const char *profile, char ret[STORE_WORD_MAX + 1],
                         cs_err *err) {
    const cs_profile *p = NULL;
    TRY(conf_profile_find(e->conf, profile != NULL && profile[0] != '\0' ? profile : NULL, kind, &p, err));
    (void)snprintf(ret, STORE_WORD_MAX + 1, "%s", p->name);
    return CS_OK;
}

cs_status enroll_at(const enroll *e, conf_protocol_door protocol, const char *label, enroll_ask *ask, cs_err *err) {
    static const char *const doors[] = {"est", "scep", "cmp", "acme"};
    const cs_profile *p = NULL;
    const conf_door *said = conf_door_find(e->conf, protocol, cs_view_str(label));
    ask->door = doors[protocol];
    ask->at = said != NULL ? said : conf_door_at(e->conf, protocol, cs_view_str(label));
    ask->profile = said != NULL ? said->profile : NULL;
    if (ask->at != NULL && ask->at->closed)
        return cs_fail(err, CS_REFUSED, CS_R_ROUTE_UNKNOWN, "enroll.doors: %s is closed", ask->door);
    if (ask->profile != NULL || label[0] == '\0') return CS_OK;
    if (conf_profile_find(e->conf, label, CS_KIND_OTHER, &p, err) == CS_OK)
        ask->profile = p->name;
    else if (said == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_ROUTE_UNKNOWN, "%s has neither a door nor a profile %.64s", ask->door,
                       label);
    return CS_OK;
}

/* The door's word before the kind's. */
conf_approval submit_approval(const enroll *e, const enroll_ask *ask, cs_kind kind) {
    return ask->at != NULL && ask->at->has_approval ? ask->at->approval : e->conf->enroll[kind].approval;
}

/* Do the credential's profile and the one that was named agree, and does it want a person's yes? */
static cs_status check_profile(const enroll *e, const char *said, entitled *who, cs_err *err) {
    const cs_profile *p = NULL;
    TRY(conf_profile_find(e->conf, who->profile[0] != '\0' ? who->profile : said, who->who.kind, &p, err));
    (void)snprintf(who->profile, sizeof who->profile, "%s", p->name);
    if (said != NULL && strcmp(said, p->name) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "%.64s was asked for, and the credential is for %s", said,
                       p->name);
    if (p->approval && who->parent == NULL) who->waits = true; /* who renews was let in before */
    return CS_OK;
}

/* The subject of a request is not taken over, but one that names somebody else is a mistake or a try. */
cs_status submit_fits(const entitled *who, const cs_csr *csr, cs_err *err) {
    cs_view cn;
    if (!cs_name_cn(csr->subject, &cn) || cs_view_eq_nocase(cn, cs_view_str(who->who.name))) return CS_OK;
    if (who->serial[0] != '\0' && cs_view_eq_nocase(cn, cs_view_str(who->serial))) return CS_OK;
    bool address = memchr(cn.p, '@', cn.n) != NULL;
    if (who->who.kind == CS_KIND_USER && !address) return CS_OK; /* what people are called */
    CS_SCOPED(cs_buf) said = cs_buf_of(1024);
    (void)cs_text_escape(&said, cn, 64);
    const char *text = cs_buf_cstr(&said);
    return cs_fail(err, CS_REFUSED, CS_R_NAME_NOT_ALLOWED, "the request is for %s, the credential (%s) for %s %s",
                   text != NULL ? text : "another", who->credential, cs_kind_name(who->who.kind), who->who.name);
}

/* ---- issuing ---- */

/* Of the certificate that is renewed, or a request whose names were proven. */
cs_status submit_names(const cs_san *sans, size_t n, issue_ask *ask, cs_buf *b, cs_err *err) {
    size_t at[ISSUE_NAMES_MAX] = {0};
    for (size_t i = 0; i < n; i++) {
        const cs_san *san = &sans[i];
        if (san->type != CS_SAN_DNS && san->type != CS_SAN_IP && san->type != CS_SAN_EMAIL) continue;
        if (ask->name_count == ISSUE_NAMES_MAX)
            return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "more than %d names", ISSUE_NAMES_MAX);
        at[ask->name_count] = b->n;
        ask->names[ask->name_count++].type = san->type;
        (void)cs_san_add(b, san); /* "DNS:gw.example" */
    }
    TRY(cs_buf_ok(b, "the certificate's names", err));
    for (size_t i = 0; i < ask->name_count; i++) {
        size_t end = i + 1 < ask->name_count ? at[i + 1] : b->n;
        const uint8_t *colon = memchr(b->p + at[i], ':', end - at[i]);
        if (colon == NULL) return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "a name without its type");
        ask->names[i].text = cs_view_of(colon + 1, (size_t)(b->p + end - colon - 1));
    }
    return CS_OK;
}

typedef struct earlier {
    const char *key;
    cs_time now;
    bool stale;
} earlier;

static cs_status run_earlier(void *cls, store *st, cs_err *err) {
    earlier *e = cls;
    store_cert row;
    cs_status status = store_cert_by_key(st, e->key, &row, err);
    if (status == CS_REFUSED) return CS_OK;
    TRY(status);
    e->stale = row.status == STORE_REVOKED || row.status == STORE_ABANDONED ||
               (row.status == STORE_ISSUED && row.not_after < e->now);
    return CS_OK;
}

/* The question's own name, by which one that is asked again gets the same certificate; unless that is of no use any
 * more: then it is a question of its own ("" in key). */
static cs_status name_question(enroll *e, const entitled *who, const cs_csr *csr, char key[STORE_KEY_MAX + 1],
                               cs_err *err) {
    char spki[2 * 16 + 1], serial[STORE_SERIAL_TEXT];
    (void)cs_hex(cs_view_of(csr->spki_sha256, 16), spki);
    if (who->request[0] != '\0')
        (void)snprintf(key, STORE_KEY_MAX + 1, "request %s", who->request);
    else if (who->order[0] != '\0')
        (void)snprintf(key, STORE_KEY_MAX + 1, "order %s", who->order);
    else if (who->parent != NULL)
        (void)snprintf(key, STORE_KEY_MAX + 1, "renew %s %s", cs_hex(who->parent->serial, serial), spki);
    else
        (void)snprintf(key, STORE_KEY_MAX + 1, "token %s %s", who->token, spki);
    earlier was = {.key = key, .now = cs_now(e->clock)};
    TRY(authority_read(e->a, run_earlier, &was, err));
    if (was.stale) key[0] = '\0';
    return CS_OK;
}

static void supersede(enroll *e, const entitled *who, const authority_who *by) {
    __attribute__((cleanup(revoke_answer_free))) revoke_answer answer = {0};
    char serial[STORE_SERIAL_TEXT];
    cs_err err;
    cs_view parent = cs_view_str(cs_hex(who->parent->serial, serial));
    cs_status status = authority_revoke(e->a, REVOKE_BY_SERIAL, parent, CS_CRL_SUPERSEDED, by, &answer, &err);
    if (status != CS_OK && err.reason != CS_R_ALREADY_REVOKED) log_failure(LOG_ERROR, "supersede-failed", &err);
}

/* The profile's word before the kind's. */
static bool supersedes(const enroll *e, const entitled *who) {
    const cs_profile *p = NULL;
    cs_err ignored;
    if (conf_profile_find(e->conf, who->profile, who->who.kind, &p, &ignored) == CS_OK && p->supersede_said)
        return p->supersede;
    return e->conf->enroll[who->who.kind].supersede;
}

cs_status submit_issue(enroll *e, const entitled *who, const cs_csr *csr, const authority_who *by, enroll_answer *ret,
                       cs_err *err) {
    char key[STORE_KEY_MAX + 1], serial[STORE_SERIAL_TEXT];
    CS_SCOPED(cs_buf) names = cs_buf_of(CS_CERT_MAX);
    issue_ask ask = {
        .kind = who->who.kind,
        .name = cs_view_str(who->who.name),
        .csr = csr->der,
        .profile = who->profile,
        .door = by->via[0] != '\0' && strcmp(by->via, "control") != 0 && strcmp(by->via, "api") != 0 ? by->via : NULL,
        .approved = who->request[0] != '\0' || who->parent != NULL,
        .asked_by = by};
    if (who->parent != NULL) TRY(submit_names(who->parent->sans, who->parent->san_count, &ask, &names, err));
    if (who->order[0] != '\0') TRY(submit_names(csr->sans, csr->san_count, &ask, &names, err));
    TRY(name_question(e, who, csr, key, err));
    ask.idempotency_key = cs_view_str(key);
    if (who->token[0] != '\0' && !who->again) ask.token = who->token;
    if (who->parent != NULL) ask.parent = cs_hex(who->parent->serial, serial);
    ret->who = who->who;
    TRY(authority_issue(e->a, &ask, &ret->leaf, err));
    if (who->request[0] != '\0') {
        (void)snprintf(ret->request, sizeof ret->request, "%s", who->request);
        request_mark_issued(e, who->request, cs_hex(ret->leaf->serial, serial));
    }
    if (who->parent != NULL && supersedes(e, who)) supersede(e, who, by);
    return CS_OK;
}

/* ---- entitling ---- */

/* Nothing was shown: the request says who it is for, and a person decides whether that is so. */
static cs_status entitle_nobody(enroll *e, const enroll_ask *ask, const cs_csr *csr, entitled *ret, cs_err *err) {
    cs_kind kind = CS_KIND_DEVICE;
    cs_view cn;
    bool listed = false;
    TRY(vendor_listed_key(e, ask, csr, ret, &listed, err));
    if (listed) return CS_OK;
    for (unsigned i = 0; ask->profile != NULL && i < e->conf->profile_count; i++)
        if (strcmp(e->conf->profiles[i].name, ask->profile) == 0) kind = e->conf->profiles[i].kind;
    if (submit_approval(e, ask, kind) == CONF_APPROVAL_NEVER)
        return cs_fail(err, CS_REFUSED, CS_R_CREDENTIAL_NEEDED, "enroll.%s.approval is never", cs_kind_name(kind));
    if (!cs_name_cn(csr->subject, &cn))
        return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "the request's subject has no commonName that says who");
    TRY(cs_identity_make(kind, cn, &ret->who, err));
    (void)snprintf(ret->credential, sizeof ret->credential, "none");
    ret->waits = true;
    return CS_OK;
}

/* Control of the names is the credential. */
static cs_status entitle_proven(enroll *e, const enroll_ask *ask, entitled *ret, cs_err *err) {
    const enroll_proven *p = ask->proven;
    TRY(cs_identity_make(p->kind, cs_view_str(p->name), &ret->who, err));
    if (p->kind == CS_KIND_DEVICE)
        TRY(vendor_check_revoked(e, ret->who.name, err)); /* its TPM does not bring it back */
    if (p->profile != NULL) (void)snprintf(ret->profile, sizeof ret->profile, "%s", p->profile);
    (void)snprintf(ret->order, sizeof ret->order, "%s", p->order);
    (void)snprintf(ret->credential, sizeof ret->credential, "acme order %s", p->order);
    ret->waits = submit_approval(e, ask, p->kind) == CONF_APPROVAL_ALWAYS;
    return CS_OK;
}

static cs_status entitle_holder(enroll *e, const enroll_ask *ask, const cs_csr *csr, entitled *ret, cs_err *err) {
    cs_status status = renew_entitle(e, ask->certificate, csr, ret, err);
    bool foreign = status == CS_REFUSED && err->reason == CS_R_UNKNOWN_ISSUER;
    return foreign && !ask->renewal && e->idevids != NULL ? vendor_entitle(e, ask, ret, err) : status;
}

static cs_status entitle(enroll *e, const enroll_ask *ask, const cs_csr *csr, entitled *ret, cs_err *err) {
    bool token = ask->token != NULL || ask->secret.n > 0;
    if (ask->proven != NULL) return entitle_proven(e, ask, ret, err);
    if (ask->renewal && ask->certificate == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_REQUIRED, "a renewal is asked for with the old certificate");
    if (token && !ask->renewal) return token_entitle(e, ask, ret, err);
    if (ask->certificate != NULL) return entitle_holder(e, ask, csr, ret, err);
    return entitle_nobody(e, ask, csr, ret, err);
}

/* Who asks, as far as it is known before and after the credential was looked at. */
static void say_who(const enroll_ask *ask, const entitled *who, authority_who *by) {
    (void)snprintf(by->from, sizeof by->from, "%s", ask->source);
    (void)snprintf(by->via, sizeof by->via, "%s", ask->door);
    if (who->who.name[0] != '\0')
        (void)snprintf(by->by, sizeof by->by, "%s %s", cs_kind_name(who->who.kind), who->who.name);
    else
        (void)snprintf(by->by, sizeof by->by, "nobody");
    if (ask->certificate != NULL && ask->certificate->serial.n <= CS_SERIAL_MAX)
        (void)cs_hex(ask->certificate->serial, by->serial);
}

/* base64 of a tls-unique, which has 12 octets in all suites there are, or a tls-exporter. */
static bool looks_bound(cs_view challenge) {
    CS_SCOPED(cs_buf) octets = cs_buf_of(64);
    return (challenge.n == 16 || challenge.n == 44) && cs_base64_decode(challenge, false, &octets) &&
           (octets.n == 12 || octets.n == 32);
}

cs_status enroll_binding_check(const enroll_ask *ask, cs_view challenge, cs_err *err) {
    conf_binding wants = ask->at != NULL ? ask->at->binding : CONF_BINDING_CHECKED;
    bool bound = looks_bound(challenge);
    if (wants == CONF_BINDING_IGNORED || (wants == CONF_BINDING_CHECKED && !bound)) return CS_OK;
    if (!bound) return cs_fail(err, CS_REFUSED, CS_R_CHANNEL_BINDING, "the request's challengePassword holds none");
    if (ask->binding.n > 0 && cs_view_eq_consttime(challenge, ask->binding)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_CHANNEL_BINDING, "%s",
                   ask->binding.n > 0 ? "the request was made for another connection, or changed on its way"
                                      : "the connection has none: TLS 1.2 without the extended master secret");
}

static cs_status submit(enroll *e, const enroll_ask *ask, entitled *who, authority_who *by, enroll_answer *ret,
                        cs_err *err) {
    CS_AUTO(cs_csr) csr = NULL;
    bool go = true;
    TRY(cs_csr_read(ask->csr, "csr", &csr, err));
    enroll_trace_csr(ask->trace, csr);
    TRY(cs_csr_refuse_ca(csr, err));
    if (ask->binds) TRY(enroll_binding_check(ask, csr->challenge, err));
    TRY(entitle(e, ask, csr, who, err));
    say_who(ask, who, by);
    TRY(check_profile(e, ask->profile, who, err));
    if (who->order[0] == '\0') TRY(submit_fits(who, csr, err));
    if (who->waits) {
        go = false;
        TRY(request_wait(e, ask, csr, who, ret, &go, err));
    }
    return go ? submit_issue(e, who, csr, by, ret, err) : CS_OK;
}

static void log_refusal(enroll *e, const authority_who *by, const cs_err *why, bool record) {
    char detail[CS_DETAIL_MAX + 64];
    cs_err err;
    log_event ev = log_begin(record ? LOG_WARN : LOG_INFO, "enroll-refused");
    log_str(&ev, "by", by->by);
    log_str(&ev, "from", by->from);
    log_str(&ev, "via", by->via);
    log_fail(&ev, why);
    log_end(&ev);
    if (!record) return;
    (void)snprintf(detail, sizeof detail, "%s: %s", cs_reason_of(why->reason)->name, why->detail);
    if (authority_note(e->a, "enroll-refused", by, NULL, detail, &err) != CS_OK)
        log_failure(LOG_ERROR, "audit-failed", &err);
}

/* Who shows nothing costs no record; who shows what is wrong costs a few a minute. */
static void record_refusal(enroll *e, const enroll_ask *ask, const entitled *who, const authority_who *by,
                           const cs_err *why) {
    bool wrong = why->reason == CS_R_TOKEN_INVALID || why->reason == CS_R_UNKNOWN_ISSUER;
    bool known = who->credential[0] != '\0' && strcmp(who->credential, "none") != 0;
    bool late = ask->certificate != NULL && (why->reason == CS_R_REVOKED || why->reason == CS_R_RENEWAL_TOO_LATE ||
                                             why->reason == CS_R_NOT_YET_VALID);
    if (wrong || late) guard_wrong(e, ask->source);
    log_refusal(e, by, why, wrong || known || late);
}

void enroll_refused(enroll *e, const enroll_ask *ask, const char *about, const cs_err *why) {
    const entitled nobody = {.parent = NULL};
    authority_who by = {.by = ""};
    cs_err counted = *why, ignored;
    if (guard_check(e, ask->source, &ignored) != CS_OK) return; /* said often enough */
    say_who(ask, &nobody, &by);
    if (about[0] != '\0')
        (void)snprintf(counted.detail, sizeof counted.detail, "%.300s (said to be %.128s)", why->detail, about);
    guard_wrong(e, ask->source);
    log_refusal(e, &by, &counted, true);
}

cs_status enroll_may_try(enroll *e, const char *source, cs_err *err) {
    return guard_check(e, source, err);
}

static cs_status attempt(enroll *e, const enroll_ask *ask, entitled *who, enroll_answer *ret, cs_err *err) {
    authority_who by = {.by = ""};
    *ret = (enroll_answer){.leaf = NULL};
    TRY(guard_check(e, ask->source, err));
    say_who(ask, who, &by);
    cs_status status = submit(e, ask, who, &by, ret, err);
    if (status == CS_OK) return CS_OK;
    say_who(ask, who, &by);
    enroll_answer_free(ret);
    if (err->reason == CS_R_LINEAGE_FORKED && who->parent != NULL) renew_forked(e, who->parent, &by);
    if (status == CS_REFUSED) record_refusal(e, ask, who, &by, err);
    return status;
}

/* What the core knows of it, whichever door it came by. */
static void tell_trace(enroll_trace *t, const enroll_ask *ask, const entitled *who, const enroll_answer *answer) {
    enroll_trace_cert(t, "certificate", ask->certificate);
    enroll_trace_line(t, "asked profile", "%s", ask->profile != NULL ? ask->profile : "none");
    enroll_trace_line(t, "credential", "%s", who->credential[0] != '\0' ? who->credential : "none that counts");
    enroll_trace_line(t, "identity", "%s %s", cs_kind_name(who->who.kind), who->who.name);
    enroll_trace_line(t, "profile", "%s", who->profile);
    if (answer->leaf == NULL && answer->request[0] != '\0') enroll_trace_line(t, "waits", "%s", answer->request);
    enroll_trace_cert(t, "issued", answer->leaf);
}

cs_status enroll_submit(enroll *e, const enroll_ask *ask, enroll_answer *ret, cs_err *err) {
    enroll_trace *own = ask->trace == NULL ? enroll_trace_begin(e, ask->door, ask->source) : NULL;
    enroll_ask mine = *ask;
    CS_SCOPED(entitled) who = {.parent = NULL};
    mine.trace = own != NULL ? own : ask->trace;
    cs_status status = attempt(e, &mine, &who, ret, err);
    tell_trace(mine.trace, &mine, &who, ret);
    enroll_trace_end(own, status == CS_OK ? NULL : err);
    return status;
}
