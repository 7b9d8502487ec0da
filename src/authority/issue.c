/* Issuing: asked, checked and built in the asker's thread; recorded, signed, recorded again in the writer's. */
#include <stdio.h>
#include <stdlib.h>

#include "authority/authority_priv.h"
#include "base/fault.h"
#include "base/text.h"
#include "report/log.h"
#include "x509/build.h"
#include "x509/digest.h"

/* What the asker's thread makes of the question. */
typedef struct wanted {
    cs_identity who;
    const cs_profile *profile;
    cs_csr *csr;
    const authority_ca *by;
    cs_san sans[ISSUE_NAMES_MAX];
    uint8_t values[ISSUE_NAMES_MAX][CS_IDENTITY_NAME_MAX + 1];
    size_t san_count;
} wanted;

static void wanted_free(wanted *w) {
    cs_csr_free(w->csr);
}

/* Is the name that the request carries among those that were asked for? */
static bool was_asked_for(const wanted *w, const cs_san *san) {
    for (size_t i = 0; i < w->san_count; i++)
        if (w->sans[i].type == san->type && cs_view_eq_nocase(w->sans[i].value, san->value)) return true;
    return false;
}

/* A name that the request carries is the identity's own, was asked for, or is one that the profile takes. */
static cs_status take_request_names(wanted *w, const conf *c, cs_err *err) {
    uint8_t own[CS_IDENTITY_NAME_MAX + 1];
    cs_san self = {0};
    TRY(cs_identity_san(&w->who, c->trust_domain, own, &self, err));
    for (size_t i = 0; i < w->csr->san_count; i++) {
        const cs_san *san = &w->csr->sans[i];
        if (san->type == self.type && cs_view_eq_nocase(san->value, self.value)) continue;
        if (was_asked_for(w, san)) continue;
        TRY(cs_profile_request_name_check(w->profile, san, err));
        if (w->san_count == ISSUE_NAMES_MAX)
            return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "more than %d names", ISSUE_NAMES_MAX);
        w->sans[w->san_count++] = *san;
    }
    return CS_OK;
}

static cs_status refuse_ca_keys(const authority *a, cs_view spki, cs_err *err) {
    bool found = false;
    for (size_t i = 0; i < a->names.roots.n; i++) found = found || cs_view_eq(spki, a->roots[i]->spki);
    for (size_t i = 0; i < a->names.certs.n; i++) found = found || cs_view_eq(spki, a->certs[i]->spki);
    if (!found) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_NAME_NOT_ALLOWED, "the request is for a CA's own key");
}

/* By which profile, and may it be asked for this way? */
static cs_status choose_profile(authority *a, const issue_ask *ask, wanted *w, cs_err *err) {
    TRY(conf_profile_find(a->conf, ask->profile, ask->kind, &w->profile, err));
    if (ask->door != NULL) TRY(cs_profile_door_check(w->profile, ask->door, err));
    TRY(profile_in_force(a, w->profile, err));
    if (w->profile->approval && !ask->approved)
        return cs_fail(err, CS_REFUSED, CS_R_APPROVAL_NEEDED, "profile %s (approval)", w->profile->name);
    return CS_OK;
}

static cs_status understand(authority *a, const issue_ask *ask, wanted *w, cs_err *err) {
    if (ask->kind == CS_KIND_OTHER) return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "kind");
    TRY(choose_profile(a, ask, w, err));
    TRY(cs_identity_make(ask->kind, ask->name, &w->who, err));
    TRY(cs_csr_read(ask->csr, "csr", &w->csr, err));
    TRY(cs_csr_refuse_ca(w->csr, err));
    TRY(refuse_ca_keys(a, w->csr->spki, err));
    TRY(cs_known_keys_check(a->known_keys, w->csr->spki, w->csr->spki_sha256, err));
    w->by = ask->issuer.n > 0 ? authority_ca_named(a, ask->issuer) : authority_ca_current(a);
    if (w->by == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "no CA %.*s issues here",
                       (int)(ask->issuer.n < CAS_NAME_MAX ? ask->issuer.n : CAS_NAME_MAX), (const char *)ask->issuer.p);
    if (w->by->retired) return cs_fail(err, CS_REFUSED, CS_R_CA_RETIRED, "%s", w->by->name);
    for (; w->san_count < ask->name_count; w->san_count++)
        TRY(cs_san_make(ask->names[w->san_count].type, ask->names[w->san_count].text, w->values[w->san_count],
                        &w->sans[w->san_count], err));
    return take_request_names(w, a->conf, err);
}

/* What was asked, as a hash, so that a repeated idempotency key with another question is told apart. */
static cs_status hash_request(const issue_ask *ask, const wanted *w, uint8_t ret[32], cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of((size_t)64 * 1024);
    cs_buf_add_byte(&b, (uint8_t)w->who.kind);
    cs_buf_add_vec16(&b, cs_view_str(w->who.name));
    cs_buf_add_vec16(&b, w->csr->spki);
    cs_buf_add_u64(&b, (uint64_t)ask->lifetime);
    cs_buf_add_vec16(&b, ask->issuer);
    cs_buf_add_vec16(&b, cs_view_str(w->profile->name));
    for (size_t i = 0; i < w->san_count; i++) {
        cs_buf_add_byte(&b, (uint8_t)w->sans[i].type);
        cs_buf_add_vec16(&b, w->sans[i].value);
    }
    TRY(cs_buf_ok(&b, "the request", err));
    return cs_sha256(cs_buf_view(&b), ret, err);
}

typedef struct named_list {
    char url[512], delta_url[512];
} named_list;

/* Which list of its CA a certificate is on, if it comes to that; by a number that is as good as drawn. */
static unsigned choose_list(const authority *a, const authority_ca *by, const uint8_t serial[CS_SERIAL_LEN],
                            named_list *ret) {
    const conf_crl *policy = by->policy;
    unsigned drawn = (unsigned)serial[14] << 8 | serial[15];
    authority_list l = {.ca = by, .shard = policy->shards > 0 ? 1 + drawn % policy->shards : 0};
    (void)authority_crl_url(a, &l, ret->url);
    l.delta = true;
    ret->delta_url[0] = '\0';
    if (policy->delta > 0 && policy->delta_in_certificates) (void)authority_crl_url(a, &l, ret->delta_url);
    return l.shard;
}

static cs_status build(authority *a, const issue_ask *ask, const wanted *w, job *j, cs_err *err) {
    store_cert *row = &j->row;
    uint8_t serial[CS_SERIAL_LEN];
    cs_time now = cs_now(a->clock);
    TRY(cs_serial_draw(a->rng, serial, err));
    row->kind = ask->kind;
    j->profile = w->profile;
    row->created = now;
    (void)snprintf(row->name, sizeof row->name, "%s", w->who.name);
    (void)snprintf(row->profile, sizeof row->profile, "%s", w->profile->name);
    (void)cs_hex(cs_view_of(serial, sizeof serial), row->serial);
    j->ca = w->by;
    named_list list;
    row->shard = choose_list(a, w->by, serial, &list);
    memcpy(row->issuer, w->by->cert->spki_sha256, sizeof row->issuer);
    memcpy(row->spki_sha256, w->csr->spki_sha256, sizeof row->spki_sha256);
    TRY(hash_request(ask, w, row->request_sha256, err));
    if (ask->idempotency_key.n > STORE_KEY_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "idempotency_key: at most %d characters", STORE_KEY_MAX);
    if (ask->idempotency_key.n > 0) memcpy(row->idempotency_key, ask->idempotency_key.p, ask->idempotency_key.n);
    if (ask->token != NULL) (void)snprintf(row->token, sizeof row->token, "%s", ask->token);
    if (ask->parent != NULL) (void)snprintf(row->parent, sizeof row->parent, "%s", ask->parent);
    TRY(cs_profile_validity(w->profile, ask->lifetime, now, w->by->cert, &row->not_before, &row->not_after, err));
    const cs_profile_ask want = {.profile = w->profile,
                                 .who = &w->who,
                                 .subject = w->csr->subject,
                                 .sans = w->sans,
                                 .san_count = w->san_count,
                                 .spki = w->csr->spki,
                                 .issuer = w->by->cert,
                                 .serial = cs_view_of(serial, sizeof serial),
                                 .not_before = row->not_before,
                                 .not_after = row->not_after,
                                 .crl_url = list.url,
                                 .delta_url = list.delta_url,
                                 .ca_url = w->by->ca_url,
                                 .ocsp_url = w->by->ocsp_url,
                                 .trust_domain = a->conf->trust_domain};
    TRY(cs_profile_build(&want, &j->tbs, err));
    return cs_sha256(cs_buf_view(&j->tbs), row->tbs_sha256, err);
}

/* ---- a repeated question ---- */
typedef struct repeated {
    const store_cert *row;
    cs_cert *leaf;
} repeated;

static cs_status look_up(void *cls, store *st, cs_err *err) {
    repeated *r = cls;
    store_cert was;
    cs_status status = store_cert_by_key(st, r->row->idempotency_key, &was, err);
    if (status != CS_OK && err->reason == CS_R_CERTIFICATE_UNKNOWN) return CS_OK;
    TRY(status);
    if (memcmp(was.request_sha256, r->row->request_sha256, sizeof was.request_sha256) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_IDEMPOTENCY_CONFLICT, "idempotency_key %s", was.idempotency_key);
    if (was.der.n == 0) return CS_OK; /* it is being worked on: behind it in the queue we shall know */
    return cs_cert_decode(was.der, &r->leaf, err);
}

/* A key that the writer finds taken was taken by the same question a moment ago, or by another. */
static void look_again(authority *a, job *j) {
    repeated r = {.row = &j->row};
    cs_err err;
    cs_status status = authority_read(a, look_up, &r, &err);
    if (status == CS_OK && r.leaf == NULL) return; /* by another */
    j->leaf = r.leaf;
    j->err = status == CS_OK ? authority_no_error() : err;
}

/* One ask on its way: what it means, and its job. */
typedef struct asked {
    wanted w;
    job j;
    bool known; /* answered before, or refused: it does not go to the writer */
} asked;

static void prepare(authority *a, const issue_ask *ask, asked *q) {
    cs_err *err = &q->j.err;
    q->j = (job){.type = JOB_ISSUE, .asked_by = ask->asked_by, .tbs = cs_buf_of(CS_CERT_MAX)};
    cs_status status = understand(a, ask, &q->w, err);
    if (status == CS_OK) status = build(a, ask, &q->w, &q->j, err);
    if (status == CS_OK && q->j.row.idempotency_key[0] != '\0') {
        repeated r = {.row = &q->j.row};
        status = authority_read(a, look_up, &r, err);
        q->j.leaf = r.leaf;
    }
    q->known = status != CS_OK || q->j.leaf != NULL;
    if (status == CS_OK) q->j.err = authority_no_error();
}

static void submit(authority *a, asked at[], size_t n) {
    job *jobs[ISSUE_MANY_MAX];
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (!at[i].known) jobs[k++] = &at[i].j;
    if (k > 0) authority_submit_all(a, jobs, k);
    for (size_t i = 0; i < k; i++)
        if (jobs[i]->err.status == CS_REFUSED && jobs[i]->row.idempotency_key[0] != '\0' &&
            jobs[i]->err.reason == CS_R_IDEMPOTENCY_CONFLICT)
            look_again(a, jobs[i]);
}

cs_status authority_issue_many(authority *a, const issue_ask asks[], size_t n, issue_answer answers[], cs_err *err) {
    if (n > ISSUE_MANY_MAX) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "at most %d requests", ISSUE_MANY_MAX);
    asked *at = calloc(n, sizeof *at);
    if (at == NULL) return CS_NOMEM_ERR(err);
    for (size_t i = 0; i < n; i++) prepare(a, &asks[i], &at[i]);
    submit(a, at, n);
    for (size_t i = 0; i < n; i++) {
        wanted_free(&at[i].w);
        cs_buf_free(&at[i].j.tbs);
        answers[i] = (issue_answer){.leaf = at[i].j.leaf, .err = at[i].j.err, .recorded = at[i].j.recorded};
    }
    free(at);
    return CS_OK;
}

cs_status authority_issue(authority *a, const issue_ask *ask, cs_cert **ret_leaf, cs_err *err) {
    issue_answer answer;
    TRY(authority_issue_many(a, ask, 1, &answer, err));
    if (answer.err.status == CS_OK) *ret_leaf = answer.leaf;
    if (answer.err.status != CS_OK) *err = answer.err;
    return answer.err.status;
}

/* ---- the writer's part ---- */

static bool alive(const job *j) {
    return j->err.status == CS_OK;
}

static void fail_all(job *jobs[], size_t n, const cs_err *why) {
    for (size_t i = 0; i < n; i++)
        if (alive(jobs[i])) jobs[i]->err = *why;
}

/* What entitles to the certificate is looked at where nobody can come between; an intent that is not entitled goes. */
static cs_status check_entitled(authority *a, const store_cert *row, cs_err *err) {
    cs_err ignored;
    cs_status status = CS_OK;
    bool once = strncmp(row->token, STORE_ONCE, sizeof STORE_ONCE - 1) == 0;
    if (once)
        status = store_once_claim(a->store, row, err);
    else if (row->token[0] != '\0')
        status = store_token_claim(a->store, row->token, cs_now(a->clock), err);
    if (status == CS_OK && row->parent[0] != '\0') status = store_lineage_check(a->store, row, err);
    if (status == CS_REFUSED && store_intent_drop(a->store, row->serial, &ignored) != CS_OK) {
        *err = ignored;
        return CS_FAILED;
    }
    return status;
}

/* Step 1: what will be signed is on disk before the signer hears of it. */
static cs_status record_intents(authority *a, job *jobs[], size_t n, cs_err *err) {
    TRY(store_begin(a->store, err));
    for (size_t i = 0; i < n; i++) {
        cs_err why;
        cs_status status = store_key_check(a->store, &jobs[i]->row, jobs[i]->profile->shared_key, &why);
        if (status == CS_OK) status = store_intent_add(a->store, &jobs[i]->row, &why);
        if (status == CS_OK) status = check_entitled(a, &jobs[i]->row, &why);
        if (status == CS_OK) status = audit(a, a->store, "issue-intent", jobs[i]->asked_by, &jobs[i]->row, NULL, &why);
        if (status == CS_OK) continue;
        jobs[i]->err = why;
        if (status == CS_REFUSED) continue; /* this one only */
        store_rollback(a->store);
        *err = why;
        return status;
    }
    return store_commit(a->store, err);
}

/* What the signer returned must be what it was asked for, under the CA's key, before anybody relies on it. What is not
 * was signed all the same: CS_FAILED, for its row to be abandoned. */
static cs_status check_signed(job *j, cs_view der, cs_err *err) {
    cs_status status = cs_signed_check(der, cs_buf_view(&j->tbs), j->ca->cert, err);
    if (status == CS_OK) status = cs_cert_decode(der, &j->leaf, err);
    if (status != CS_OK) err->status = CS_FAILED;
    return status;
}

/* Step 2: all requests out, then all answers in. */
static void sign_all(authority *a, job *jobs[], size_t n) {
    cs_err err;
    for (size_t i = 0; i < n; i++)
        if (alive(jobs[i])) signer_link_ask_cert(&a->signer, jobs[i]->ca, jobs[i]->profile, cs_buf_view(&jobs[i]->tbs));
    if (signer_link_send(&a->signer, &err) != CS_OK) {
        fail_all(jobs, n, &err);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        cs_view der;
        if (!alive(jobs[i])) continue;
        cs_status status = signer_link_next(&a->signer, &der, &err);
        if (status == CS_OK) status = check_signed(jobs[i], der, &err);
        if (status != CS_OK) jobs[i]->err = err;
    }
}

/* Step 3 for one: stored; or, when it was refused, forgotten; or, when nobody knows, left for issue_abandon. */
static cs_status settle(authority *a, job *j, cs_err *err) {
    if (j->err.status == CS_REFUSED) {
        char why[CS_DETAIL_MAX + 64];
        (void)snprintf(why, sizeof why, "%s: %s", cs_reason_of(j->err.reason)->name, j->err.detail);
        TRY(store_intent_drop(a->store, j->row.serial, err));
        TRY(audit(a, a->store, "issue-refused", j->asked_by, &j->row, why, err));
        j->recorded = true;
        return CS_OK;
    }
    if (j->err.status != CS_OK) return CS_OK;
    char subject[CS_NAME_TEXT_MAX + 1];
    TRY(store_issued_set(a->store, j->row.serial, cs_name_text(j->leaf->subject, subject), j->leaf->sha256,
                         j->leaf->der, err));
    memcpy(j->row.sha256, j->leaf->sha256, sizeof j->row.sha256);
    return audit(a, a->store, "issued", j->asked_by, &j->row, NULL, err);
}

static cs_status record_results(authority *a, job *jobs[], size_t n, const bool recorded[], cs_err *err) {
    TRY(store_begin(a->store, err));
    cs_status status = CS_OK;
    for (size_t i = 0; status == CS_OK && i < n; i++)
        if (recorded[i]) status = settle(a, jobs[i], err);
    if (status == CS_OK) status = store_commit(a->store, err);
    if (status == CS_OK) return CS_OK;
    store_rollback(a->store);
    for (size_t i = 0; i < n; i++) jobs[i]->recorded = false;
    return status;
}

static cs_status abandoned(authority *a, const char *why, size_t n, cs_err *err) {
    authority_who self = {.by = ""};
    char count[32];
    (void)snprintf(self.by, sizeof self.by, "%s", why);
    (void)snprintf(count, sizeof count, "%zu", n);
    return audit(a, a->store, "intents-abandoned", &self, NULL, count, err);
}

cs_status issue_abandon(authority *a, const char *why, cs_err *err) {
    size_t n = 0;
    TRY(store_begin(a->store, err));
    cs_status status = store_intents_abandon(a->store, cs_now(a->clock), &n, err);
    if (status == CS_OK && n > 0) status = abandoned(a, why, n, err);
    if (status == CS_OK) status = store_commit(a->store, err);
    if (status != CS_OK) {
        store_rollback(a->store);
        return status;
    }
    a->begun_left = false;
    if (n == 0) return CS_OK;
    log_event e = log_begin(LOG_WARN, "intents-abandoned");
    log_int(&e, "count", (int64_t)n);
    log_str(&e, "by", why);
    log_end(&e);
    revoke_tell(a);
    return CS_OK;
}

static cs_status sign_and_record(authority *a, job *jobs[], size_t n, cs_err *err) {
    bool recorded[BATCH_MAX];
    CS_FAULT("authority.issue.after-intent", err);
    for (size_t i = 0; i < n; i++) recorded[i] = alive(jobs[i]);
    sign_all(a, jobs, n);
    CS_FAULT("authority.issue.after-sign", err);
    TRY(record_results(a, jobs, n, recorded, err));
    CS_FAULT("authority.issue.after-commit", err);
    return CS_OK;
}

static cs_status run_batch(authority *a, job *jobs[], size_t n, cs_err *err) {
    cs_err ignored;
    if (a->begun_left) TRY(issue_abandon(a, "store-failed", err));
    CS_FAULT("authority.issue.before-intent", err);
    cs_status status = record_intents(a, jobs, n, err);
    /* A database that went away at the commit may have made it. */
    a->begun_left = status == CS_OK || err->reason == CS_R_STORE_UNREACHABLE;
    TRY(status);
    status = sign_and_record(a, jobs, n, err);
    for (size_t i = 0; status == CS_OK && i < n; i++)
        if (jobs[i]->err.status != CS_OK && jobs[i]->err.status != CS_REFUSED) status = CS_AGAIN; /* some are left */
    if (status == CS_OK)
        a->begun_left = false;
    else
        (void)issue_abandon(a, status == CS_AGAIN ? "signer-failed" : "store-failed", &ignored);
    if (a->begun_left) revoke_tell(a); /* it is tried again with the CRL, and before the next is issued */
    return status == CS_AGAIN ? CS_OK : status;
}

void issue_batch(authority *a, job *jobs[], size_t n) {
    cs_err err;
    for (size_t i = 0; i < n; i++) jobs[i]->err = authority_no_error();
    if (run_batch(a, jobs, n, &err) != CS_OK) fail_all(jobs, n, &err);
    for (size_t i = 0; i < n; i++) {
        if (alive(jobs[i])) continue;
        cs_cert_free(jobs[i]->leaf);
        jobs[i]->leaf = NULL;
    }
}
