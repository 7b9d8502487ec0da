/* Issuing, in the writer's thread: recorded, signed, recorded again. What is signed waits for the next batch, so that
 * its certificates and that batch's intents are one transaction; when nobody follows, it is recorded by itself
 * (docs/decisions/2026-11-25-one-commit-for-two-batches.md). */
#include <stdio.h>

#include "authority/authority_priv.h"
#include "base/fault.h"
#include "report/log.h"
#include "x509/build.h"

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
static cs_status add_intents(authority *a, job *jobs[], size_t n, cs_err *err) {
    for (size_t i = 0; i < n; i++) {
        cs_err why;
        cs_status status = store_key_check(a->store, &jobs[i]->row, jobs[i]->profile->shared_key, &why);
        if (status == CS_OK) status = store_intent_add(a->store, &jobs[i]->row, &why);
        if (status == CS_OK) status = check_entitled(a, &jobs[i]->row, &why);
        if (status == CS_OK) continue;
        jobs[i]->err = why;
        if (status == CS_REFUSED) continue; /* this one only */
        *err = why;
        return status;
    }
    return CS_OK;
}

static cs_checker *checker_of(const job *j) {
    cs_err ignored;
    ca_here *h = (ca_here *)j->ca; /* it stands in one of ours */
    if (h->checker == NULL && cs_checker_new(j->ca->cert->spki, &h->checker, &ignored) != CS_OK) return NULL;
    return h->checker;
}

/* What the signer returned must be what it was asked for, under the CA's key, before anybody relies on it. What is not
 * was signed all the same: CS_FAILED, for its row to be abandoned. */
static cs_status check_signed(job *j, cs_view der, cs_err *err) {
    cs_status status = cs_signed_check_by(der, cs_buf_view(&j->tbs), j->ca->cert, checker_of(j), err);
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

static cs_status add_results(authority *a, const issue_flight *f, cs_err *err) {
    for (size_t i = 0; i < f->n; i++)
        if (f->recorded[i]) TRY(settle(a, f->jobs[i], err));
    return CS_OK;
}

typedef struct abandoning {
    authority *a;
    authority_who by;
} abandoning;

static cs_status note_abandoned(void *cls, const store_cert *c, cs_err *err) {
    const abandoning *t = cls;
    return audit(t->a, t->a->store, "abandoned", &t->by, c, NULL, err);
}

cs_status issue_abandon(authority *a, const char *why, cs_err *err) {
    abandoning t = {.a = a};
    size_t n = 0;
    (void)snprintf(t.by.by, sizeof t.by.by, "%s", why);
    TRY(store_begin(a->store, err));
    cs_status status = store_intents_forsaken(a->store, note_abandoned, &t, err);
    if (status == CS_OK) status = store_intents_abandon(a->store, cs_now(a->clock), &n, err);
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

/* Those whose certificates are stored, or who were refused, are told so. */
static void tell(authority *a, job *jobs[], size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (alive(jobs[i])) continue;
        cs_cert_free(jobs[i]->leaf);
        jobs[i]->leaf = NULL;
    }
    authority_done(a, jobs, n);
}

/* Intents that are on disk and will not be certificates: taken back now, else before the next is issued, or with the
 * next CRL. */
static void give_up(authority *a, const char *why) {
    cs_err ignored;
    a->begun_left = true;
    if (issue_abandon(a, why, &ignored) != CS_OK) revoke_tell(a);
}

/* What was written of them is not there. */
static void roll_back(authority *a, const issue_flight *f) {
    store_rollback(a->store);
    for (size_t i = 0; i < f->n; i++) f->jobs[i]->recorded = false;
}

/* Did the signer leave one without an answer? */
static bool some_are_left(const issue_flight *f) {
    for (size_t i = 0; i < f->n; i++)
        if (f->recorded[i] && !alive(f->jobs[i]) && f->jobs[i]->err.status != CS_REFUSED) return true;
    return false;
}

static cs_status commit_results(authority *a, const issue_flight *f, job *next[], size_t n, cs_err *err) {
    CS_FAULT("authority.issue.before-intent", err);
    TRY(store_begin(a->store, err));
    cs_status status = add_results(a, f, err);
    if (status == CS_OK) status = add_intents(a, next, n, err);
    if (status == CS_OK) status = store_commit(a->store, err);
    if (status != CS_OK) roll_back(a, f);
    return status;
}

static cs_status land(authority *a, const issue_flight *f, cs_err *err) {
    TRY(store_begin(a->store, err));
    cs_status status = add_results(a, f, err);
    if (status == CS_OK) status = store_commit(a->store, err);
    if (status != CS_OK) roll_back(a, f);
    TRY(status);
    CS_FAULT("authority.issue.after-commit", err);
    return CS_OK;
}

void issue_land(authority *a) {
    issue_flight f = a->flight;
    cs_err err;
    if (f.n == 0) return;
    a->flight.n = 0;
    bool left = some_are_left(&f);
    if (land(a, &f, &err) != CS_OK) {
        fail_all(f.jobs, f.n, &err);
        give_up(a, "store-failed");
    } else if (left) {
        give_up(a, "signer-failed");
    }
    tell(a, f.jobs, f.n);
}

static cs_status after_shared(cs_err *err) {
    CS_FAULT("authority.issue.after-shared-commit", err);
    (void)err;
    return CS_OK;
}

/* Steps 3 of those in flight and 1 of these, together. What can fail in one must not take the other along: when it
 * does, those in flight are recorded by themselves, unless nobody knows whether the commit was made. */
static cs_status record(authority *a, job *jobs[], size_t n, cs_err *err) {
    issue_flight f = a->flight;
    cs_status status = commit_results(a, &f, jobs, n, err);
    bool unknown = status != CS_OK && err->reason == CS_R_STORE_UNREACHABLE; /* the commit may have been made */
    if (status != CS_OK && !unknown) {
        issue_land(a);
        return status;
    }
    a->flight.n = 0;
    if (status == CS_OK && f.n > 0) status = after_shared(err);
    if (status != CS_OK) {
        fail_all(f.jobs, f.n, err);
        fail_all(jobs, n, err);
        give_up(a, "store-failed");
    }
    tell(a, f.jobs, f.n);
    return status;
}

static cs_status sign(authority *a, job *jobs[], size_t n, cs_err *err) {
    CS_FAULT("authority.issue.after-intent", err);
    sign_all(a, jobs, n);
    CS_FAULT("authority.issue.after-sign", err);
    return CS_OK;
}

static cs_status run_batch(authority *a, job *jobs[], size_t n, cs_err *err) {
    if (some_are_left(&a->flight)) issue_land(a);
    if (a->begun_left) TRY(issue_abandon(a, "store-failed", err));
    TRY(record(a, jobs, n, err));
    issue_flight *f = &a->flight;
    for (size_t i = 0; i < n; i++) f->recorded[i] = alive(jobs[i]);
    cs_status status = sign(a, jobs, n, err);
    if (status != CS_OK) give_up(a, "store-failed");
    TRY(status);
    memcpy(f->jobs, jobs, n * sizeof *jobs);
    f->n = n;
    return CS_OK;
}

void issue_batch(authority *a, job *jobs[], size_t n) {
    cs_err err;
    for (size_t i = 0; i < n; i++) jobs[i]->err = authority_no_error();
    head_wanted(a);
    if (run_batch(a, jobs, n, &err) == CS_OK) return;
    fail_all(jobs, n, &err);
    tell(a, jobs, n);
}
