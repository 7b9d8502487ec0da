/* authority_priv.h - the writer's queue and what its jobs do. Only inside this room. */
#ifndef CS_AUTHORITY_PRIV_H
#define CS_AUTHORITY_PRIV_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "authority/log.h"
#include "ipc/signing.h"
#include "keys/checker.h"
#include "x509/ocsp.h"
#include "x509/profile.h"

enum {
    BATCH_MAX = SIGNING_PIPELINE,
    SIGNER_WAIT_MS = 10000, /* for an answer */
    SIGNER_GREET_MS = 50,   /* for a signer that is not there: as long as the writer ever waits at a stretch */
};
#define SIGNER_UP_WAIT (5 * CS_SEC) /* how long a request waits for a signer that is being restarted */
#define HEALTH_FRESH CS_SEC         /* how long an answer about the signer is given again */

/* A list that is published: the publisher's alone, but for shown. */
typedef struct crl_list {
    authority_list is;
    authority_blob *shown; /* under crl_lock */
    bool due;              /* it lacks something */
    cs_time due_since;     /* monotonic */
    cs_time again;         /* monotonic: not before, after a failure, or one that took long */
    cs_time said;          /* monotonic: when a failure was last logged; 0: it went well */
} crl_list;

/* A CA, and its lists: that of all, its delta, then shard by shard. */
typedef struct ca_here {
    authority_ca ca; /* first: an authority_ca of ours is one of these */
    crl_list *lists;
    size_t list_count;
    cs_checker *checker; /* the writer's, of what the signer made in its name; NULL: nothing yet */
} ca_here;

/* A connection to the signer: one is the writer's alone, one the publisher's. */
typedef struct signer_link {
    const char *path;
    ca_here *cas; /* whom it must speak for */
    size_t ca_count;
    const cs_clock *clock;
    int fd;                          /* -1: none */
    bool greeted;                    /* it can be asked */
    bool answered;                   /* in begins with an answer that was given out */
    bool speaks_for[CS_CAS_MAX];     /* the signer has its key */
    uint64_t signed_crl[CS_CAS_MAX]; /* the highest number that it has signed */
    cs_buf in, out;
} signer_link;
void signer_link_close(signer_link *l);
/* Connected and greeted, within wait_ms. CS_FAILED/signer-unreachable: not yet (wait_ms have passed); CS_REFUSED: it is
 * another CA's. */
CS_MUST_USE cs_status signer_link_up(signer_link *l, int wait_ms, cs_err *err);
/* Appends a request; signer_link_send sends all of them. */
void signer_link_ask_cert(signer_link *l, const authority_ca *by, const cs_profile *profile, cs_view tbs);
void signer_link_ask_responder(signer_link *l, const authority_ca *by, const cs_responder_ask *ask, cs_view tbs);
/* A list goes in pieces, each sent before the next is asked; the last is answered by its signature. */
void signer_link_ask_crl(signer_link *l, const authority_ca *by, cs_view front);
CS_MUST_USE cs_status signer_link_send(signer_link *l, cs_err *err);
/* Any other that is answered by SIGNED. */
void signer_link_ask(signer_link *l, uint16_t type, cs_view payload);
/* The next answer: *ret_der looks into the link until signer_link_next is called again. CS_REFUSED with the signer's
 * reason; CS_FAILED/signer-unreachable closes the link. */
CS_MUST_USE cs_status signer_link_next(signer_link *l, cs_view *ret_der, cs_err *err);

typedef enum job_type {
    JOB_ISSUE,
    JOB_REVOKE,
    JOB_RELEASE,
    JOB_ABANDON,
    JOB_PING,
    JOB_CHANGE,
    JOB_HEAD,
    JOB_RESPONDER
} job_type;

/* Who waits for jobs: woken once, when the last of them is done. */
typedef struct job_waiter {
    sem_t done;
    size_t left; /* under queue_lock */
} job_waiter;

typedef struct job {
    struct job *next;
    job_type type;
    job_waiter *waiter;
    cs_err err;       /* status CS_OK: it is durable */
    cs_time deadline; /* monotonic: until then it waits for the signer */
    const authority_who *asked_by;
    const authority_ca *ca;            /* JOB_ISSUE: by whom */
    const cs_responder_ask *responder; /* JOB_RESPONDER: what tbs was made of; leaf is the answer */
    /* JOB_ISSUE */
    store_cert row;
    const cs_profile *profile;
    cs_buf tbs;
    cs_cert *leaf; /* made; taken by the asker */
    bool recorded; /* its refusal is a record */
    /* JOB_REVOKE, JOB_RELEASE */
    revoke_by by;
    cs_view who;
    int reason;
    revoke_answer *answer;
    /* JOB_CHANGE */
    authority_changing *change;
    void *change_cls;
} job;

/* A batch that the signer has answered and the store does not hold yet: its askers wait. */
typedef struct issue_flight {
    job *jobs[BATCH_MAX];
    bool recorded[BATCH_MAX]; /* its intent is on disk */
    size_t n;
} issue_flight;

struct authority {
    const conf *conf;
    const cs_known_keys *known_keys;
    const cs_clock *clock;
    const cs_rng *rng;
    cs_time started; /* monotonic */
    int lock_fd;
    authority_cas names;
    cs_cert *roots[CAS_MAX], *certs[CAS_MAX]; /* as in names */
    cs_buf root_crls[CAS_MAX];
    ca_here cas[CS_CAS_MAX];
    size_t ca_count;
    const authority_ca *current;

    pthread_mutex_t queue_lock; /* guards what follows, down to stopping */
    pthread_cond_t queue_grew;
    job *first, *last;
    bool stopping;

    pthread_mutex_t read_lock;
    store *reader; /* under read_lock */

    /* the publisher: crl.c */
    pthread_mutex_t crl_lock; /* guards what is shown, and what follows, down to crl_stop */
    pthread_cond_t crl_wanted, crl_made;
    struct crl_ask *crl_asks;
    bool crl_poked, crl_others; /* the feed has grown; another node has published */
    bool crl_stop;
    pthread_t publisher;
    bool publisher_runs;
    signer_link crl_signer; /* as the rest: the publisher's alone */
    store *scan;            /* what lists are built from */
    uint64_t crl_seen;      /* of the feed */
    cs_time crl_look;       /* monotonic: look at the feed again then, for it failed; 0: when poked */

    pthread_mutex_t health_lock; /* held while one caller asks: the others then have its answer */
    cs_err health;
    cs_time health_at; /* monotonic, of that answer; 0: none yet */

    pthread_mutex_t log_lock; /* guards the log's key */
    head_key log_key;
    uint8_t log_claim[LOG_CLAIM_MAX];
    size_t log_claim_n; /* 0: the signer has not told it yet */

    struct ocsp_desk *ocsp;       /* ocsp.c's */
    struct ra_desk *ra;           /* ra.c's */
    atomic_uint_fast64_t changes; /* of anybody's status, since the start: what is remembered is looked at again */

    atomic_uint_fast64_t trail_seen;     /* the trail's size when it was last taken over */
    struct login_desk *logins;           /* logins.c's */
    atomic_uint_fast64_t *profile_waits; /* by profile of conf: the proposal that it waits for; 0: it is in force */

    int feed_event; /* eventfd: the feed has grown */
    store *feed;    /* the feed thread's alone: no slow reader may hold up a revocation */

    /* the writer's alone */
    pthread_t writer;
    bool writer_runs;
    store *store;
    uint32_t node; /* of the store's nodes */
    signer_link signer;
    cs_time tickets_at; /* monotonic: look at the ticket keys then */
    issue_flight flight;
    atomic_bool begun_left; /* intents, none of them in flight, that are neither issued nor abandoned: the store failed
                               half way */
    cs_time head_at;        /* monotonic: when the next head of the log is due; 0: nothing was recorded since */
    cs_time head_last, head_said;
};

/* Runs a job through the writer and waits: its err is the answer. */
cs_status authority_submit(authority *a, job *j, cs_err *err);
/* Several at once, that share what a batch shares; each job's err is its answer. */
void authority_submit_all(authority *a, job *const jobs[], size_t n);
void *authority_writer(void *arg);
/* The writer's: those jobs have their answers, and may be gone when this returns. */
void authority_done(authority *a, job *const jobs[], size_t n);
/* Work of the writer. Each fills the jobs' err. */
/* Intents that may have been signed, and whose certificates nobody was given: abandoned, which is revoked on sight. */
cs_status issue_abandon(authority *a, const char *why, cs_err *err);
/* Takes the jobs: they are told (authority_done) here, with the next batch, or by issue_land, which records what is in
 * flight. Before anything else is done with the store, and before the writer rests, nothing may be in flight. */
void issue_batch(authority *a, job *jobs[], size_t n);
void issue_land(authority *a);
void revoke_job(authority *a, job *j);
/* Something was recorded: a head is due soon. */
void head_wanted(authority *a);
cs_status head_make(authority *a, cs_err *err);
void head_make_due(authority *a);
void responder_job(authority *a, job *j);
/* A certificate for a key of ours that answers in that CA's name, through the writer; cut to the CA's validity. */
CS_MUST_USE cs_status responder_issue(authority *a, const authority_ca *ca, cs_responder_use use, const cs_key *key,
                                      cs_time lifetime, cs_cert **ret, cs_err *err);
CS_MUST_USE cs_status ra_open(authority *a, cs_err *err);
void ra_close(authority *a);
CS_MUST_USE cs_status ocsp_open(authority *a, cs_err *err);
void ocsp_close(authority *a);
void change_batch(authority *a, job *jobs[], size_t n);
/* What was published before is shown. Before the writer runs: the store is its own from then on. */
CS_MUST_USE cs_status crl_open(authority *a, cs_err *err);
/* The publisher. */
CS_MUST_USE cs_status crl_start(authority *a, cs_err *err);
void crl_stop(authority *a);
void crl_free(authority *a);
/* Another node has added to the store. */
void crl_others_wrote(authority *a);
/* The feed has grown: gateways are told now, lists follow. */
void revoke_tell(authority *a);
void crl_poke(authority *a);
/* Certificates and CRLs of ca/. */
cs_status cas_load(authority *a, const authority_cas *cas, cs_err *err);
void cas_unload(authority *a);

/* rollover.c: what this node serves, for the others to see. */
CS_MUST_USE cs_status rollover_tell_node(authority *a, cs_err *err);

/* audit.c: one record, in the transaction that is open: {"at":..., "event":..., "by":..., ...}. */
cs_status audit(authority *a, store *st, const char *event, const authority_who *by, const store_cert *about,
                const char *more, cs_err *err);
/* profiles.c. Before the writer runs: which have changed? */
CS_MUST_USE cs_status profiles_open(authority *a, cs_err *err);
/* proposal-waiting: it was changed, and nobody has approved it yet. */
CS_MUST_USE cs_status profile_in_force(authority *a, const cs_profile *p, cs_err *err);
/* trail.c, of the writer: a failure is logged. */
void trail_take_due(authority *a);
CS_MUST_USE cs_status logins_open(authority *a, cs_err *err);
void logins_close(authority *a);
static inline cs_err authority_no_error(void) {
    return (cs_err){.status = CS_OK};
}

/* tickets.c, of the writer: keys that seal sessions. INT64_MAX: none are asked for. */
#define TICKETS_SEAL (2 * CS_HOUR)            /* one seals so long */
#define TICKETS_OPEN (TICKETS_SEAL + CS_HOUR) /* and opens so long: a session's life after its last */
bool tickets_wanted(const authority *a);
cs_time tickets_next(const authority *a);
void tickets_make(authority *a);

#endif
