/* The keys that gateways seal sessions with: made here, kept in the store, told by the feed. They are there as long as
 * a session can need them and no longer: who reads an old copy of the store opens nothing with it. */
#include <sys/eventfd.h>
#include <unistd.h>

#include "authority/authority_priv.h"
#include "base/secret.h"
#include "report/log.h"

#define LOOK_EVERY CS_MIN

bool tickets_wanted(const authority *a) {
    return a->conf->ticket_keys != NULL && a->conf->ticket_keys[0] == '\0';
}

cs_time tickets_next(const authority *a) {
    return tickets_wanted(a) ? a->tickets_at : INT64_MAX;
}

static cs_status make(authority *a, cs_err *err) {
    uint8_t key[STORE_TICKET_KEY];
    cs_time now = cs_now(a->clock), made = 0;
    uint64_t id = 0;
    TRY(store_ticket_newest(a->store, &made, &id, err));
    /* another node may have made one; one from the future is a clock's fault, and is replaced */
    if (id != 0 && made <= now + CS_MIN && now - made < TICKETS_SEAL) return CS_OK;
    TRY(cs_rng_fill(a->rng, key, sizeof key, err));
    cs_status s = store_ticket_key_add(a->store, cs_view_of(key, sizeof key), now, now - TICKETS_OPEN, err);
    cs_wipe(key, sizeof key);
    return s;
}

void tickets_make(authority *a) {
    cs_err err;
    a->tickets_at = cs_mono(a->clock) + LOOK_EVERY;
    cs_status s = store_begin(a->store, &err);
    if (s == CS_OK) s = make(a, &err);
    if (s == CS_OK) s = store_commit(a->store, &err);
    if (s != CS_OK) {
        store_rollback(a->store);
        log_failure(LOG_ERROR, "ticket-keys-kept", &err); /* those that are there go on */
        return;
    }
    (void)eventfd_write(a->feed_event, 1);
}
