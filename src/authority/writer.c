/* The writer: one thread through which every change passes, in batches that share the disk's syncs. */
#include <time.h>

#include "authority/authority_priv.h"
#include "report/log.h"

cs_status authority_submit(authority *a, job *j, cs_err *err) {
    (void)pthread_mutex_lock(&a->queue_lock);
    if (a->stopping) {
        (void)pthread_mutex_unlock(&a->queue_lock);
        return cs_fail(err, CS_FAILED, CS_R_SHUTTING_DOWN, "the authority");
    }
    j->next = NULL;
    if (a->last != NULL)
        a->last->next = j;
    else
        a->first = j;
    a->last = j;
    (void)pthread_cond_signal(&a->queue_grew);
    while (!j->done) (void)pthread_cond_wait(&a->job_done, &a->queue_lock);
    (void)pthread_mutex_unlock(&a->queue_lock);
    if (j->err.status != CS_OK) *err = j->err;
    return j->err.status;
}

/* Takes from the front of the queue: all issuances that stand there, at most a batch, or one other job. */
static size_t take(authority *a, job *jobs[BATCH_MAX]) {
    size_t n = 0;
    while (a->first != NULL && n < BATCH_MAX &&
           (n == 0 || (a->first->type == JOB_ISSUE && jobs[0]->type == JOB_ISSUE))) {
        jobs[n++] = a->first;
        a->first = a->first->next;
        if (jobs[0]->type != JOB_ISSUE) break;
    }
    if (a->first == NULL) a->last = NULL;
    return n;
}

static void work(authority *a, job *jobs[], size_t n) {
    switch (jobs[0]->type) {
    case JOB_ISSUE: issue_batch(a, jobs, n); break;
    case JOB_REVOKE:
    case JOB_RELEASE: revoke_job(a, jobs[0]); break;
    case JOB_CRL: crl_make(a, jobs[0]->asked_by, &jobs[0]->err); break;
    case JOB_PING:
        jobs[0]->err = authority_no_error();
        if (signer_link_try(&a->signer, &jobs[0]->err) == CS_OK) jobs[0]->err = authority_no_error();
        break;
    }
}

/* Waits for work or the time of the next CRL. */
static void rest(authority *a) {
    cs_time until = crl_next(a) - cs_mono(a->clock);
    if (until < 0) until = 0;
    if (until > CS_HOUR) until = CS_HOUR;            /* the wall clock may have moved */
    cs_time at = cs_mono(cs_clock_system()) + until; /* the condition's clock is the machine's, whatever ours is */
    const struct timespec ts = {.tv_sec = (time_t)(at / CS_SEC), .tv_nsec = (long)(at % CS_SEC) * 1000};
    (void)pthread_cond_timedwait(&a->queue_grew, &a->queue_lock, &ts);
}

static void make_due_crl(authority *a) {
    cs_err err;
    if (crl_next(a) > cs_mono(a->clock)) return;
    crl_make(a, "schedule", &err);
    if (err.status != CS_OK) log_failure(LOG_ERROR, "crl-failed", &err);
}

void *authority_writer(void *arg) {
    authority *a = arg;
    job *jobs[BATCH_MAX];
    (void)pthread_mutex_lock(&a->queue_lock);
    for (;;) {
        size_t n = take(a, jobs);
        if (n == 0 && a->stopping) break;
        (void)pthread_mutex_unlock(&a->queue_lock);
        if (n > 0)
            work(a, jobs, n);
        else
            make_due_crl(a);
        (void)pthread_mutex_lock(&a->queue_lock);
        for (size_t i = 0; i < n; i++) jobs[i]->done = true;
        if (n > 0) (void)pthread_cond_broadcast(&a->job_done);
        if (a->first == NULL && !a->stopping && crl_next(a) > cs_mono(a->clock)) rest(a);
    }
    (void)pthread_mutex_unlock(&a->queue_lock);
    return NULL;
}

cs_status authority_crl_publish(authority *a, const char *asked_by, cs_err *err) {
    job j = {.type = JOB_CRL, .asked_by = asked_by};
    return authority_submit(a, &j, err);
}

cs_status authority_signer_check(authority *a, cs_err *err) {
    job j = {.type = JOB_PING};
    return authority_submit(a, &j, err);
}
