/* The publisher: a thread that makes each list when it is due - something on it has changed, its time has come,
 * somebody asks - while issuing and revoking go on. */
#include <stdlib.h>
#include <time.h>

#include "authority/crl_priv.h"
#include "report/log.h"
#include "x509/build.h"

#define RETRY_AFTER (5 * CS_SEC) /* what could not be made, or looked at */
#define BIG_TAKES (CS_SEC / 5)   /* a list that takes longer to make ... */
enum { BIG_SHARE = 5 };          /* ... may take a fifth of the publisher's time */
#define SPACING CS_SEC           /* between two of a list, when much is revoked */
#define SAY_AGAIN CS_MIN         /* that lists still fail */

/* Somebody waits for all lists of a CA. */
typedef struct crl_ask {
    struct crl_ask *next;
    const authority_ca *ca; /* NULL: of each */
    const authority_who *by;
    cs_err err;
    bool done;
} crl_ask;

/* ---- when ---- */

static void want(authority *a, crl_list *l) {
    if (!l->due) l->due_since = cs_mono(a->clock);
    l->due = true;
}

/* Monotonic; INT64_MAX: never. */
static cs_time next_of(const authority *a, const crl_list *l) {
    const conf_crl *policy = l->is.ca->policy;
    cs_time mono = cs_mono(a->clock), now = cs_now(a->clock);
    if (now >= l->is.ca->cert->not_after - CS_CRL_BACKDATE) return INT64_MAX;
    if (l->is.delta && crl_list_twin(l)->shown == NULL) return INT64_MAX;
    if (l->shown == NULL && !l->due) return l->again;
    if (l->due) return l->again > l->due_since ? l->again : l->due_since;
    cs_time every = l->is.delta ? policy->delta : policy->interval;
    cs_time at = mono + l->shown->crl.this_update + CS_CRL_BACKDATE + every - now; /* wall clock */
    return l->again > at ? l->again : at;
}

static crl_list *next_list(authority *a, cs_time *ret_at) {
    crl_list *first = NULL;
    *ret_at = INT64_MAX;
    for (size_t c = 0; c < a->ca_count; c++)
        for (size_t i = 0; i < a->cas[c].list_count; i++) {
            cs_time at = next_of(a, &a->cas[c].lists[i]);
            if (at >= *ret_at) continue;
            *ret_at = at;
            first = &a->cas[c].lists[i];
        }
    return first;
}

/* Something changed for certificates of that shard. Where there are deltas, complete lists go by schedule; the list of
 * all does too for certificates that have a list of their own. */
static cs_status note_change(void *cls, const uint8_t issuer[32], unsigned shard, uint64_t sequence, cs_err *err) {
    authority *a = cls;
    (void)err;
    if (sequence > a->crl_seen) a->crl_seen = sequence;
    ca_here *h = (ca_here *)(uintptr_t)authority_ca_of(a, issuer);
    for (size_t i = 0; h != NULL && i < h->list_count; i++) {
        crl_list *l = &h->lists[i];
        bool at_once = l->is.delta || (h->ca.policy->delta == 0 && l->is.shard == shard);
        if (!at_once || (l->is.shard != 0 && l->is.shard != shard)) continue;
        if (l->shown == NULL || l->shown->crl.feed_sequence < sequence) want(a, l);
    }
    return CS_OK;
}

static void say(cs_time *said, const authority *a, const cs_err *err) {
    cs_time now = cs_mono(a->clock);
    if (*said != 0 && now - *said <= SAY_AGAIN) return;
    log_failure(LOG_ERROR, "crl-failed", err);
    *said = now;
}

/* What has the feed brought since? */
static void look(authority *a) {
    cs_err err;
    cs_status status = CS_OK;
    a->crl_look = 0;
    if (a->begun_left || store_is_shared(a->scan)) {
        job j = {.type = JOB_ABANDON};
        status = authority_submit(a, &j, &err);
    }
    if (status == CS_OK) status = store_feed_shards(a->scan, a->crl_seen, note_change, a, &err);
    store_settle(a->scan);
    if (status != CS_OK) a->crl_look = cs_mono(a->clock) + RETRY_AFTER; /* the database is away, or the disk full */
}

/* From what the oldest list knows; one that is not there is made anyway. */
static void look_again(authority *a) {
    uint64_t oldest = UINT64_MAX;
    for (size_t c = 0; c < a->ca_count; c++)
        for (size_t i = 0; i < a->cas[c].list_count; i++) {
            const authority_blob *shown = a->cas[c].lists[i].shown;
            if (shown != NULL && shown->crl.feed_sequence < oldest) oldest = shown->crl.feed_sequence;
        }
    if (oldest != UINT64_MAX) a->crl_seen = oldest;
}

static void look_at_others(authority *a) {
    cs_err ignored; /* the database is away: asked again when it is back */
    for (size_t c = 0; c < a->ca_count; c++)
        for (size_t i = 0; i < a->cas[c].list_count; i++) {
            crl_list *l = &a->cas[c].lists[i];
            uint64_t was = l->shown != NULL ? l->shown->crl.number : 0;
            if (crl_list_load(a, l, &ignored) != CS_OK) continue;
            if (l->shown != NULL && l->shown->crl.number > was) l->due = false; /* unless it lacks something */
        }
    look_again(a);
}

/* ---- made ---- */

static void make(authority *a, crl_list *l, const authority_who *asked_by, cs_err *err) {
    cs_time began = cs_mono(a->clock);
    bool due = l->due;
    l->due = false; /* first: what is revoked while this one is built sets it again */
    if (crl_list_make(a, l, asked_by, err) != CS_OK) {
        l->due = l->due || due;
        l->again = cs_mono(a->clock) + RETRY_AFTER;
        return;
    }
    cs_time took = cs_mono(a->clock) - began;
    *err = authority_no_error();
    l->again = began + (took > BIG_TAKES ? took * BIG_SHARE : SPACING);
    crl_list *delta = l->is.delta ? NULL : crl_list_twin(l);
    if (delta != NULL) want(a, delta);
    if (delta != NULL) delta->again = 0; /* it counts from another list now */
}

static void make_due(authority *a, crl_list *l) {
    cs_err err;
    make(a, l, AUTHORITY_SELF("schedule"), &err);
    if (err.status == CS_OK)
        l->said = 0;
    else
        say(&l->said, a, &err);
}

/* The first failure is the answer; the other lists are made all the same. */
static void serve(authority *a, crl_ask *ask) {
    cs_err err;
    cs_time until = cs_mono(a->clock) + SIGNER_UP_WAIT;
    ask->err = authority_no_error();
    while (signer_link_up(&a->crl_signer, SIGNER_GREET_MS, &err) == CS_FAILED && cs_mono(a->clock) < until) continue;
    for (size_t c = 0; c < a->ca_count; c++)
        for (size_t i = 0; i < a->cas[c].list_count; i++) {
            if (ask->ca != NULL && ask->ca != &a->cas[c].ca) continue;
            make(a, &a->cas[c].lists[i], ask->by, &err);
            if (err.status != CS_OK && ask->err.status == CS_OK) ask->err = err;
            if (err.status != CS_OK && err.reason == CS_R_SIGNER_UNREACHABLE) return;
        }
}

/* ---- the thread ---- */

static crl_ask *take_ask(authority *a) {
    crl_ask *ask = a->crl_asks;
    if (ask != NULL) a->crl_asks = ask->next;
    return ask;
}

static void finish(authority *a, crl_ask *ask) {
    ask->done = true;
    (void)pthread_cond_broadcast(&a->crl_made);
}

/* Called and left with crl_lock held. */
static void rest(authority *a, cs_time next) {
    cs_time until = next - cs_mono(a->clock);
    if (until > CS_HOUR) until = CS_HOUR;            /* the wall clock may have moved */
    cs_time at = cs_mono(cs_clock_system()) + until; /* the condition's clock is the machine's, whatever ours is */
    const struct timespec ts = {.tv_sec = (time_t)(at / CS_SEC), .tv_nsec = (long)(at % CS_SEC) * 1000};
    (void)pthread_cond_timedwait(&a->crl_wanted, &a->crl_lock, &ts);
}

static void turn(authority *a) {
    cs_time next = 0;
    bool others = a->crl_others, poked = a->crl_poked || (a->crl_look != 0 && a->crl_look <= cs_mono(a->clock));
    crl_ask *ask = take_ask(a);
    a->crl_others = a->crl_poked = false;
    (void)pthread_mutex_unlock(&a->crl_lock);
    if (others) look_at_others(a);
    if (poked || others) look(a);
    if (ask != NULL) serve(a, ask);
    crl_list *l = next_list(a, &next);
    if (ask == NULL && l != NULL && next <= cs_mono(a->clock)) {
        make_due(a, l);
        next = 0;
    }
    if (a->crl_look != 0 && a->crl_look < next) next = a->crl_look;
    (void)pthread_mutex_lock(&a->crl_lock);
    if (ask != NULL) finish(a, ask);
    if (!a->crl_stop && !a->crl_poked && !a->crl_others && a->crl_asks == NULL && next > cs_mono(a->clock))
        rest(a, next);
}

static void *run(void *arg) {
    authority *a = arg;
    (void)pthread_mutex_lock(&a->crl_lock);
    while (!a->crl_stop) turn(a);
    for (crl_ask *ask = take_ask(a); ask != NULL; ask = take_ask(a)) {
        (void)cs_fail(&ask->err, CS_FAILED, CS_R_SHUTTING_DOWN, "the authority");
        finish(a, ask);
    }
    (void)pthread_mutex_unlock(&a->crl_lock);
    return NULL;
}

cs_status crl_open(authority *a, cs_err *err) {
    TRY(crl_lists_make(a, err));
    for (size_t c = 0; c < a->ca_count; c++)
        for (size_t i = 0; i < a->cas[c].list_count; i++) TRY(crl_list_load(a, &a->cas[c].lists[i], err));
    look_again(a);
    a->crl_poked = true; /* revoked, and then the power went */
    return CS_OK;
}

cs_status crl_start(authority *a, cs_err *err) {
    if (pthread_create(&a->publisher, NULL, run, a) != 0) return CS_NOMEM_ERR(err);
    a->publisher_runs = true;
    return CS_OK;
}

void crl_stop(authority *a) {
    (void)pthread_mutex_lock(&a->crl_lock);
    a->crl_stop = true;
    (void)pthread_cond_broadcast(&a->crl_wanted);
    (void)pthread_mutex_unlock(&a->crl_lock);
    if (a->publisher_runs) (void)pthread_join(a->publisher, NULL);
    a->publisher_runs = false;
}

void crl_poke(authority *a) {
    (void)pthread_mutex_lock(&a->crl_lock);
    a->crl_poked = true;
    (void)pthread_cond_signal(&a->crl_wanted);
    (void)pthread_mutex_unlock(&a->crl_lock);
}

void crl_others_wrote(authority *a) {
    (void)pthread_mutex_lock(&a->crl_lock);
    a->crl_others = true;
    (void)pthread_cond_signal(&a->crl_wanted);
    (void)pthread_mutex_unlock(&a->crl_lock);
}

cs_status authority_crl_publish(authority *a, const authority_ca *ca, const authority_who *asked_by, cs_err *err) {
    crl_ask ask = {.ca = ca, .by = asked_by};
    (void)pthread_mutex_lock(&a->crl_lock);
    crl_ask **at = &a->crl_asks;
    while (*at != NULL) at = &(*at)->next;
    *at = &ask;
    (void)pthread_cond_signal(&a->crl_wanted);
    while (!ask.done && a->publisher_runs) (void)pthread_cond_wait(&a->crl_made, &a->crl_lock);
    (void)pthread_mutex_unlock(&a->crl_lock);
    if (ask.err.status != CS_OK) *err = ask.err;
    return ask.err.status;
}
