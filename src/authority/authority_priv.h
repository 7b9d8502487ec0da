/* authority_priv.h - the writer's queue and what its jobs do. Only inside this room. */
#ifndef CS_AUTHORITY_PRIV_H
#define CS_AUTHORITY_PRIV_H

#include <pthread.h>

#include "authority/authority.h"
#include "ipc/signing.h"
#include "x509/profile.h"

enum { BATCH_MAX = SIGNING_PIPELINE, SIGNER_WAIT_MS = 10000, SIGNER_GREET_MS = 3000, SIGNER_RETRY_MS = 100 };
#define SIGNER_UP_WAIT (5 * CS_SEC) /* how long a signer that is being restarted is waited for */

/* The connection to the signer: the writer's alone. */
typedef struct signer_link {
    const char *path;
    const cs_cert *ca; /* whom it must speak for */
    const cs_clock *clock;
    int fd; /* -1: none */
    uint64_t crl_number;
    bool answered; /* in begins with an answer that was given out */
    cs_buf in, out;
} signer_link;
void signer_link_close(signer_link *l);
/* Connected and greeted; waits a few seconds for a signer that is being restarted. */
CS_MUST_USE cs_status signer_link_up(signer_link *l, cs_err *err);
/* A connected link, once, without waiting. */
CS_MUST_USE cs_status signer_link_try(signer_link *l, cs_err *err);
/* Appends a request; signer_link_send sends all of them. */
void signer_link_ask_cert(signer_link *l, cs_kind kind, cs_view tbs);
void signer_link_ask_crl(signer_link *l, cs_view tbs);
CS_MUST_USE cs_status signer_link_send(signer_link *l, cs_err *err);
/* The next answer: *ret_der looks into the link until signer_link_next is called again. CS_REFUSED with the signer's
 * reason; CS_FAILED/signer-unreachable closes the link. */
CS_MUST_USE cs_status signer_link_next(signer_link *l, cs_view *ret_der, cs_err *err);

typedef enum job_type { JOB_ISSUE, JOB_REVOKE, JOB_RELEASE, JOB_CRL, JOB_PING } job_type;

typedef struct job {
    struct job *next;
    job_type type;
    bool done;
    cs_err err; /* status CS_OK: it is durable */
    const char *asked_by;
    /* JOB_ISSUE */
    store_cert row;
    cs_buf tbs;
    cs_cert *leaf; /* made; taken by the asker */
    /* JOB_REVOKE, JOB_RELEASE */
    cs_view who;
    int reason;
    revoke_answer *answer;
} job;

struct authority {
    const conf *conf;
    const cs_clock *clock;
    const cs_rng *rng;
    cs_time started; /* monotonic */
    int lock_fd;
    cs_cert *root, *issuing;
    cs_buf root_crl;
    char crl_url[512], ca_url[512];

    pthread_mutex_t queue_lock; /* guards what follows, down to stopping */
    pthread_cond_t queue_grew, job_done;
    job *first, *last;
    bool stopping;

    pthread_mutex_t read_lock;
    store *reader; /* under read_lock */

    pthread_mutex_t crl_lock;
    authority_blob *crl; /* under crl_lock */

    int feed_event; /* eventfd: the feed has grown */

    /* the writer's alone */
    pthread_t writer;
    bool writer_runs;
    store *store;
    signer_link signer;
    bool crl_due;      /* something was revoked since the last one */
    cs_time crl_again; /* monotonic: not before, after a failure */
};

/* Runs a job through the writer and waits: its err is the answer. */
cs_status authority_submit(authority *a, job *j, cs_err *err);
void *authority_writer(void *arg);

/* Work of the writer. Each fills the jobs' err. */
void issue_batch(authority *a, job *jobs[], size_t n);
void revoke_job(authority *a, job *j);
void crl_make(authority *a, const char *asked_by, cs_err *err);
cs_status crl_load(authority *a, cs_err *err);
/* Monotonic time at which the next CRL is due. */
cs_time crl_next(authority *a);

/* One audit record: {"event":..., "by":..., ...}. */
cs_status audit(authority *a, store *st, const char *event, const char *by, const store_cert *about, const char *more,
                cs_err *err);
static inline cs_err authority_no_error(void) {
    return (cs_err){.status = CS_OK};
}

#endif
