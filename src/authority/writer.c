/* The writer: one thread through which every change passes, in batches that share the disk's syncs. */
#include <time.h>

#include "authority/authority_priv.h"
#include "report/log.h"

/* Revocations go before everything that waits, in the order in which they came. */
static bool is_urgent(const job *j) {
    return j->type == JOB_REVOKE || j->type == JOB_RELEASE;
}

static bool needs_signer(const job *j) {
    return j->type == JOB_ISSUE || j->type == JOB_HEAD || j->type == JOB_RESPONDER;
}

static void enqueue(authority *a, job *j) {
    job **at = &a->first;
    if (is_urgent(j))
        while (*at != NULL && is_urgent(*at)) at = &(*at)->next;
    else if (a->last != NULL)
        at = &a->last->next;
    j->next = *at;
    *at = j;
    if (j->next == NULL) a->last = j;
}

void authority_submit_all(authority *a, job *const jobs[], size_t n) {
    job_waiter waiter = {.left = n};
    (void)sem_init(&waiter.done, 0, 0);
    (void)pthread_mutex_lock(&a->queue_lock);
    bool refused = a->stopping;
    for (size_t i = 0; i < n; i++) {
        if (refused) (void)cs_fail(&jobs[i]->err, CS_FAILED, CS_R_SHUTTING_DOWN, "the authority");
        if (refused) continue;
        jobs[i]->waiter = &waiter;
        jobs[i]->deadline = cs_mono(a->clock) + SIGNER_UP_WAIT;
        enqueue(a, jobs[i]);
    }
    (void)pthread_cond_signal(&a->queue_grew);
    (void)pthread_mutex_unlock(&a->queue_lock);
    while (!refused && sem_wait(&waiter.done) != 0) continue; /* a signal's handler ran */
    for (size_t i = 0; i < n; i++) jobs[i]->waiter = NULL;
    (void)sem_destroy(&waiter.done);
}

cs_status authority_submit(authority *a, job *j, cs_err *err) {
    authority_submit_all(a, (job *const[]){j}, 1);
    if (j->err.status != CS_OK) *err = j->err;
    return j->err.status;
}

/* Takes from the front of the queue: all issuances (or all changes) that stand there, at most a batch, or one other
 * job. Without a signer (why says it) what needs one stays, until its time is up: then it is taken to be told so. */
static size_t take(authority *a, const cs_err *why, job *jobs[BATCH_MAX]) {
    size_t n = 0;
    cs_time now = cs_mono(a->clock);
    while (a->first != NULL && n < BATCH_MAX) {
        job *j = a->first;
        if (n > 0 && (j->type != jobs[0]->type || (j->type != JOB_ISSUE && j->type != JOB_CHANGE))) break;
        j->err = authority_no_error();
        if (needs_signer(j) && why->status != CS_OK) {
            if (why->status == CS_AGAIN || (why->status == CS_FAILED && now < j->deadline)) break;
            j->err = *why;
        }
        jobs[n++] = j;
        a->first = j->next;
        if (!needs_signer(j) && j->type != JOB_CHANGE) break;
    }
    if (a->first == NULL) a->last = NULL;
    return n;
}

void authority_done(authority *a, job *const jobs[], size_t n) {
    (void)pthread_mutex_lock(&a->queue_lock);
    for (size_t i = 0; i < n; i++) /* the last of a waiter's: then it, and its jobs, may be gone */
        if (--jobs[i]->waiter->left == 0) (void)sem_post(&jobs[i]->waiter->done);
    (void)pthread_mutex_unlock(&a->queue_lock);
}

static bool next_issues(authority *a) {
    (void)pthread_mutex_lock(&a->queue_lock);
    bool issues = a->first != NULL && a->first->type == JOB_ISSUE;
    (void)pthread_mutex_unlock(&a->queue_lock);
    return issues;
}

static void work(authority *a, job *jobs[], size_t n);

/* Does the front of the queue, if the signer is there for it. Called and left with the queue locked. */
static void serve(authority *a, bool signs) {
    job *jobs[BATCH_MAX];
    cs_err why = {.status = CS_AGAIN}; /* nobody has looked whether the signer is there */
    (void)pthread_mutex_unlock(&a->queue_lock);
    if (signs && signer_link_up(&a->signer, SIGNER_GREET_MS, &why) == CS_OK) why = authority_no_error();
    (void)pthread_mutex_lock(&a->queue_lock);
    size_t n = take(a, &why, jobs);
    (void)pthread_mutex_unlock(&a->queue_lock);
    if (n > 0 && jobs[0]->type == JOB_ISSUE && jobs[0]->err.status == CS_OK) {
        issue_batch(a, jobs, n);
    } else {
        issue_land(a);
        work(a, jobs, n);
    }
    if (!next_issues(a)) issue_land(a);
    (void)pthread_mutex_lock(&a->queue_lock);
}

/* What a store that failed half way has left, or a node that died: so that lists hold it. */
static void abandon_job(authority *a, job *j) {
    cs_err err;
    if ((a->begun_left || store_is_shared(a->store)) && issue_abandon(a, "store-failed", &err) != CS_OK) j->err = err;
}

static void run(authority *a, job *jobs[], size_t n) {
    job *j = jobs[0];
    switch (j->type) {
    case JOB_ISSUE: break; /* not here */
    case JOB_REVOKE:
    case JOB_RELEASE: revoke_job(a, j); break;
    case JOB_CHANGE: change_batch(a, jobs, n); break;
    case JOB_RESPONDER: responder_job(a, j); break;
    case JOB_ABANDON: abandon_job(a, j); break;
    case JOB_HEAD:
        if (head_make(a, &j->err) == CS_OK) j->err = authority_no_error();
        break;
    case JOB_PING:
        if (signer_link_up(&a->signer, SIGNER_GREET_MS, &j->err) == CS_OK) j->err = authority_no_error();
        break;
    }
}

/* Any but certificates to issue; those here if there is no signer for them. */
static void work(authority *a, job *jobs[], size_t n) {
    if (n == 0) return;
    job_type type = jobs[0]->type;
    if (jobs[0]->err.status == CS_OK) run(a, jobs, n);
    if (type != JOB_PING && type != JOB_HEAD && type != JOB_ABANDON) head_wanted(a);
    authority_done(a, jobs, n);
}

/* Waits for work, or the time of the log's next head or ticket key. */
static void rest(authority *a) {
    cs_time next = tickets_next(a), now = cs_mono(a->clock);
    if (a->head_at != 0 && a->head_at < next) next = a->head_at;
    cs_time until = next - now;
    if (until < 0) until = 0;
    if (until > CS_HOUR) until = CS_HOUR;            /* the wall clock may have moved */
    cs_time at = cs_mono(cs_clock_system()) + until; /* the condition's clock is the machine's, whatever ours is */
    const struct timespec ts = {.tv_sec = (time_t)(at / CS_SEC), .tv_nsec = (long)(at % CS_SEC) * 1000};
    (void)pthread_cond_timedwait(&a->queue_grew, &a->queue_lock, &ts);
}

void *authority_writer(void *arg) {
    authority *a = arg;
    (void)pthread_mutex_lock(&a->queue_lock);
    while (a->first != NULL || !a->stopping) {
        const job *head = a->first;
        bool signs = head != NULL && needs_signer(head);
        bool heads = !a->stopping && a->head_at != 0 && a->head_at <= cs_mono(a->clock);
        bool keys = !a->stopping && tickets_next(a) <= cs_mono(a->clock);
        if (head == NULL && !heads && !keys) {
            rest(a);
            continue;
        }
        (void)pthread_mutex_unlock(&a->queue_lock);
        if (keys) tickets_make(a);
        if (heads) head_make_due(a);
        (void)pthread_mutex_lock(&a->queue_lock);
        serve(a, signs);
    }
    (void)pthread_mutex_unlock(&a->queue_lock);
    if (a->head_at != 0) head_make_due(a); /* the last word is signed too */
    return NULL;
}

/* Anybody may ask for the health: many who do make one question to the signer in a second. */
cs_status authority_signer_check(authority *a, cs_err *err) {
    (void)pthread_mutex_lock(&a->health_lock);
    if (a->health_at == 0 || cs_mono(a->clock) - a->health_at > HEALTH_FRESH) {
        job j = {.type = JOB_PING};
        a->health = authority_no_error();
        (void)authority_submit(a, &j, &a->health);
        a->health_at = cs_mono(a->clock);
    }
    cs_status status = a->health.status;
    if (status != CS_OK) *err = a->health;
    (void)pthread_mutex_unlock(&a->health_lock);
    return status;
}
