/* Entries of the trail (io/trail.h) become records of the log, each once: how far they are is written in the
 * transaction that holds them. */
#include "io/trail.h"

#include <stdio.h>

#include "authority/authority_priv.h"
#include "report/log.h"

static void copy(char *out, size_t size, cs_view v) {
    (void)snprintf(out, size, "%.*s", (int)(v.n < size ? v.n : size - 1), v.n > 0 ? (const char *)v.p : "");
}

static cs_status take_entry(authority *a, store *st, const trail_entry *e, cs_err *err) {
    authority_who who = {.via = "trail"};
    char event[64], detail[TRAIL_LINE_MAX + 64];
    copy(event, sizeof event, e->event.n > 0 ? e->event : CS_VIEW_LIT("trail-malformed"));
    copy(who.by, sizeof who.by, e->by.n > 0 ? e->by : CS_VIEW_LIT("nobody"));
    (void)snprintf(detail, sizeof detail, "%.*s%s%.*s", (int)e->at.n, e->at.n > 0 ? (const char *)e->at.p : "",
                   e->at.n > 0 ? ": " : "", (int)(e->detail.n < TRAIL_LINE_MAX ? e->detail.n : TRAIL_LINE_MAX),
                   e->detail.n > 0 ? (const char *)e->detail.p : "");
    return audit(a, st, event, &who, NULL, detail, err);
}

static cs_status take(authority *a, store *st, cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of(2 * (size_t)TRAIL_READ_MAX);
    char id[TRAIL_ID_LEN + 1];
    uint64_t at = 0;
    TRY(trail_id(a->conf->state, id, err));
    TRY(store_trail_at(st, id, &at, err));
    do {
        trail_entry e;
        cs_buf_clear(&b);
        TRY(trail_read(a->conf->state, &at, &b, err));
        cs_view left = cs_buf_view(&b);
        while (trail_next(&left, &e)) TRY(take_entry(a, st, &e, err));
    } while (b.n > 0);
    return store_trail_set(st, id, at, err);
}

/* Has it grown since it was last taken over? */
static bool grown(const authority *a, uint64_t *ret_size) {
    *ret_size = trail_size(a->conf->state);
    return *ret_size != 0 && *ret_size != atomic_load(&a->trail_seen);
}

static cs_status run_take(authority *a, store *st, void *cls, cs_err *err) {
    (void)cls;
    return take(a, st, err);
}

cs_status authority_trail_take(authority *a, cs_err *err) {
    uint64_t size = 0;
    if (!grown(a, &size)) return CS_OK;
    TRY(authority_change(a, run_take, NULL, err));
    atomic_store(&a->trail_seen, size);
    return CS_OK;
}

void trail_take_due(authority *a) {
    uint64_t size = 0;
    cs_err err;
    if (!grown(a, &size)) return;
    cs_status s = store_begin(a->store, &err);
    if (s == CS_OK) s = take(a, a->store, &err);
    if (s == CS_OK) s = store_commit(a->store, &err);
    if (s == CS_OK) {
        atomic_store(&a->trail_seen, size);
        return;
    }
    store_rollback(a->store);
    log_failure(LOG_ERROR, "trail-not-taken", &err);
}
