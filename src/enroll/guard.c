/* How often has that address been wrong? A secret of 160 bits needs no such limit to stay secret; the log does. */
#include <stdio.h>

#include "enroll/enroll_priv.h"

/* The row of a source; with `make`, the oldest row becomes it. Under the lock. */
static guard_row *find(enroll *e, const char *source, bool make) {
    guard_row *oldest = &e->guard[0];
    for (size_t i = 0; i < GUARD_SOURCES; i++) {
        guard_row *row = &e->guard[i];
        if (row->since != 0 && strcmp(row->source, source) == 0) return row;
        if (row->since < oldest->since) oldest = row;
    }
    if (!make) return NULL;
    *oldest = (guard_row){.since = cs_mono(e->clock)};
    (void)snprintf(oldest->source, sizeof oldest->source, "%s", source);
    return oldest;
}

cs_status guard_check(enroll *e, const char *source, cs_err *err) {
    (void)pthread_mutex_lock(&e->guard_lock);
    const guard_row *row = find(e, source, false);
    bool over = row != NULL && row->wrong >= GUARD_WRONG_MAX && cs_mono(e->clock) - row->since < GUARD_WINDOW;
    (void)pthread_mutex_unlock(&e->guard_lock);
    return over ? cs_fail(err, CS_REFUSED, CS_R_TOO_MANY_GUESSES, "from %s", source) : CS_OK;
}

void guard_wrong(enroll *e, const char *source) {
    (void)pthread_mutex_lock(&e->guard_lock);
    guard_row *row = find(e, source, true);
    if (cs_mono(e->clock) - row->since >= GUARD_WINDOW) {
        row->since = cs_mono(e->clock);
        row->wrong = 0;
    }
    row->wrong++;
    (void)pthread_mutex_unlock(&e->guard_lock);
}
