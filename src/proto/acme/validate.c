/* Challenges are looked at beside the request that says they are met: the fetcher goes there, and what it found is
 * judged here. A few threads, a bounded queue; what a stopped authority left is begun again when it is asked about. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/acme/acme_priv.h"
#include "report/log.h"

enum { TRIES = 2, ANSWER_WAIT_MS = 45000, SEND_WAIT_MS = 2000, STEP_MS = 250, LOOKER_STACK = 512 * 1024 };
#define BETWEEN_TRIES (2 * CS_SEC)

struct look {
    look *next;
    store_authz z;
    char thumbprint[STORE_THUMBPRINT + 1];
};

static bool is_stopping(acme *m) {
    (void)pthread_mutex_lock(&m->queue_lock);
    bool stopping = m->stopping;
    (void)pthread_mutex_unlock(&m->queue_lock);
    return stopping;
}

/* ---- asking the fetcher ---- */

/* Until it answers or goes; an authority that ends does not wait for strangers' servers. */
static cs_status await(acme *m, int fd, cs_err *err) {
    for (int waited = 0; waited < ANSWER_WAIT_MS && !is_stopping(m); waited += STEP_MS) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, STEP_MS) > 0) return CS_OK;
    }
    return cs_fail(err, CS_FAILED, CS_R_FETCHER_UNREACHABLE, "no answer within %d ms", ANSWER_WAIT_MS);
}

static cs_status read_failure(cs_view payload, cs_err *err) {
    char name[64];
    cs_rd r = cs_rd_of(payload);
    cs_view reason = cs_rd_vec16(&r), detail = cs_rd_vec16(&r);
    if (!cs_rd_ended(&r) || reason.n >= sizeof name)
        return cs_fail(err, CS_FAILED, CS_R_FETCHER_UNREACHABLE, "an answer that is none");
    memcpy(name, reason.p, reason.n);
    name[reason.n] = '\0';
    cs_reason why = cs_reason_by_name(name);
    return cs_fail(err, CS_REFUSED, why != CS_R_NONE ? why : CS_R_FETCH_FAILED, "%.*s", (int)detail.n,
                   detail.n > 0 ? (const char *)detail.p : "");
}

static cs_status ask_over(acme *m, int fd, challenge_kind kind, const store_authz *z, cs_buf *values, cs_err *err) {
    CS_SCOPED(cs_buf) out = cs_buf_of(1024), in = cs_buf_of((size_t)2 * CHALLENGE_VALUES_MAX + 65536);
    ipc_frame answer;
    size_t used = 0, mark = ipc_open(&out, CHALLENGE_ASK);
    (void)cs_buf_add_byte(&out, (uint8_t)kind);
    (void)cs_buf_add_vec16(&out, cs_view_str(z->value));
    (void)cs_buf_add_vec16(&out, cs_view_str(z->token));
    ipc_close(&out, mark);
    TRY(ipc_flush(fd, &out, SEND_WAIT_MS, CS_R_FETCHER_UNREACHABLE, err));
    TRY(await(m, fd, err));
    TRY(ipc_await(fd, &in, challenge_from_fetcher, SEND_WAIT_MS, CS_R_FETCHER_UNREACHABLE, &answer, &used, err));
    if (answer.type == CHALLENGE_FAILED) return read_failure(answer.payload, err);
    (void)cs_buf_add_view(values, answer.payload);
    return cs_buf_ok(values, "what was found", err);
}

static cs_status look_once(acme *m, const look *l, cs_err *err) {
    CS_SCOPED(cs_buf) values = cs_buf_of(CHALLENGE_VALUES_MAX);
    challenge_kind kind = CHALLENGE_HTTP;
    identifier i;
    int fd = -1;
    identifier_of(&l->z, &i);
    if (!challenge_kind_of(l->z.challenge, &i, &kind))
        return cs_fail(err, CS_REFUSED, CS_R_CHALLENGE_FAILED, "%s", l->z.challenge);
    TRY(ipc_connect(m->fetcher, CS_R_FETCHER_UNREACHABLE, &fd, err));
    cs_status status = ask_over(m, fd, kind, &l->z, &values, err);
    (void)close(fd);
    TRY(status);
    return challenge_judge(kind, &i, l->z.token, l->thumbprint, cs_buf_view(&values), err);
}

/* ---- one after the other ---- */

typedef struct outcome {
    look *l;
    bool met;
} outcome;

static cs_status run_record(authority *a, store *st, void *cls, cs_err *err) {
    const outcome *o = cls;
    store_cert about = {.kind = CS_KIND_SERVER};
    authority_who by = {.via = "acme"};
    char detail[STORE_WORD_MAX + 48];
    TRY(store_authz_set(st, &o->l->z, err));
    (void)snprintf(by.by, sizeof by.by, "acme account %s", o->l->z.account);
    (void)snprintf(about.name, sizeof about.name, "%s%.250s", o->l->z.wildcard ? "*." : "", o->l->z.value);
    (void)snprintf(detail, sizeof detail, "%s of order %s", o->l->z.challenge, o->l->z.order);
    return authority_audit(a, st, o->met ? "name-proven" : "name-not-proven", &by, &about, detail, err);
}

static void record(acme *m, look *l, cs_status status, const cs_err *why) {
    cs_err err;
    outcome o = {.l = l, .met = status == CS_OK};
    l->z.status = o.met ? AUTHZ_VALID : AUTHZ_INVALID;
    if (o.met) l->z.validated = cs_now(m->clock);
    if (!o.met) acme_problem_text(why, false, l->z.error);
    if (!o.met) {
        log_event e = log_begin(LOG_INFO, "challenge-failed");
        log_str(&e, "name", l->z.value);
        log_str(&e, "challenge", l->z.challenge);
        log_str(&e, "account", l->z.account);
        log_fail(&e, why);
        log_end(&e);
    }
    cs_status done = authority_change(m->a, run_record, &o, &err);
    if (done != CS_OK && done != CS_REFUSED) log_failure(LOG_ERROR, "challenge-not-recorded", &err);
}

/* What the fetcher's own trouble keeps from an answer stays open, to be looked at again. */
static void look_at(acme *m, look *l) {
    cs_err why;
    cs_status status = CS_AGAIN;
    for (int i = 0; status != CS_OK && i < TRIES && !is_stopping(m); i++) {
        if (i > 0) (void)usleep((useconds_t)BETWEEN_TRIES);
        status = look_once(m, l, &why);
        if (status != CS_OK && why.reason == CS_R_FETCH_FORBIDDEN) break;
    }
    if (status == CS_AGAIN) return;
    if (status != CS_OK && why.reason == CS_R_FETCHER_UNREACHABLE)
        log_failure(LOG_ERROR, "challenge-not-looked-at", &why);
    else
        record(m, l, status, &why);
}

static void *looker(void *arg) {
    acme *m = arg;
    (void)pthread_mutex_lock(&m->queue_lock);
    for (;;) {
        while (m->first == NULL && !m->stopping) (void)pthread_cond_wait(&m->queue_grew, &m->queue_lock);
        if (m->stopping) break;
        look *l = m->first;
        m->first = l->next;
        if (m->first == NULL) m->last = NULL;
        m->queued--;
        (void)pthread_mutex_unlock(&m->queue_lock);
        look_at(m, l);
        free(l);
        (void)pthread_mutex_lock(&m->queue_lock);
    }
    (void)pthread_mutex_unlock(&m->queue_lock);
    return NULL;
}

cs_status look_later(acme *m, const store_authz *z, const char *thumbprint, cs_err *err) {
    look *l = calloc(1, sizeof *l);
    if (l == NULL) return CS_NOMEM_ERR(err);
    l->z = *z;
    (void)snprintf(l->thumbprint, sizeof l->thumbprint, "%s", thumbprint);
    (void)pthread_mutex_lock(&m->queue_lock);
    bool full = m->queued >= LOOKS_QUEUED_MAX || m->stopping;
    if (!full) {
        if (m->last != NULL)
            m->last->next = l;
        else
            m->first = l;
        m->last = l;
        m->queued++;
        (void)pthread_cond_signal(&m->queue_grew);
    }
    (void)pthread_mutex_unlock(&m->queue_lock);
    if (!full) return CS_OK;
    free(l);
    return cs_fail(err, CS_REFUSED, CS_R_TOO_MANY_ORDERS, "%d challenges wait to be looked at", LOOKS_QUEUED_MAX);
}

cs_status lookers_start(acme *m, cs_err *err) {
    pthread_attr_t a;
    if (pthread_attr_init(&a) != 0) return CS_NOMEM_ERR(err);
    int rc = pthread_attr_setstacksize(&a, LOOKER_STACK);
    for (unsigned i = 0; rc == 0 && i < LOOKERS; i++) {
        rc = pthread_create(&m->lookers[i], &a, looker, m);
        if (rc == 0) m->looker_count++;
    }
    (void)pthread_attr_destroy(&a);
    return rc == 0 ? CS_OK : CS_NOMEM_ERR(err);
}

void lookers_stop(acme *m) {
    (void)pthread_mutex_lock(&m->queue_lock);
    m->stopping = true;
    (void)pthread_cond_broadcast(&m->queue_grew);
    (void)pthread_mutex_unlock(&m->queue_lock);
    for (unsigned i = 0; i < m->looker_count; i++) (void)pthread_join(m->lookers[i], NULL);
    while (m->first != NULL) {
        look *l = m->first;
        m->first = l->next;
        free(l);
    }
}
