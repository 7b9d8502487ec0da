/* Changes of the profiles: each is a record of the log, and with two_person: profiles nothing is issued by a changed
 * one before an administrator has approved it. The description that counts is the sealed one, by its digest: what was
 * in force before may come back without a word. */
#include <stdio.h>
#include <stdlib.h>

#include "authority/authority_priv.h"
#include "authority/proposals.h"
#include "base/text.h"

typedef struct looking {
    size_t i;       /* of conf.profiles */
    uint64_t waits; /* the proposal that it waits for; 0: it may be used */
    bool first;     /* no profile was ever known: these are what there is */
} looking;

static cs_status take(authority *a, store *st, const cs_profile *p, const char *hex, bool first, cs_err *err) {
    char text[CS_PROFILE_NAME_MAX + 2 * CS_SHA256_LEN + 32];
    TRY(store_profile_know(st, p->name, hex, err));
    if (first) return CS_OK;
    (void)snprintf(text, sizeof text, "%s digest %s", p->name, hex);
    return audit(a, st, "profile-changed", AUTHORITY_SELF("configuration"), NULL, text, err);
}

static cs_status look(authority *a, store *st, void *cls, cs_err *err) {
    looking *l = cls;
    const cs_profile *p = &a->conf->profiles[l->i];
    char hex[2 * sizeof p->digest + 1], what[STORE_PROPOSAL_WHAT];
    bool known = false;
    l->waits = 0;
    (void)cs_hex(cs_view_of(p->digest, sizeof p->digest), hex);
    TRY(store_profile_known(st, p->name, hex, &known, err));
    if (known) return CS_OK;
    if (l->first || !proposal_needed(a, CONF_TWO_PROFILES)) return take(a, st, p, hex, l->first, err);
    (void)snprintf(what, sizeof what, "profile %s %s", p->name, hex);
    bool permitted = false;
    TRY(proposal_permit_within(a, st, what, AUTHORITY_SELF("configuration"), &permitted, &l->waits, err));
    if (!permitted) return CS_OK;
    l->waits = 0;
    return take(a, st, p, hex, false, err);
}

static cs_status look_at_all(authority *a, cs_err *err) {
    bool any = false;
    TRY(store_profile_any(a->store, &any, err));
    for (size_t i = 0; i < a->conf->profile_count; i++) {
        looking l = {.i = i, .first = !any};
        TRY(look(a, a->store, &l, err));
        atomic_store(&a->profile_waits[i], l.waits);
    }
    return CS_OK;
}

cs_status profiles_open(authority *a, cs_err *err) {
    a->profile_waits = calloc(a->conf->profile_count + 1, sizeof *a->profile_waits);
    if (a->profile_waits == NULL) return CS_NOMEM_ERR(err);
    TRY(store_begin(a->store, err));
    cs_status s = look_at_all(a, err);
    if (s == CS_OK) return store_commit(a->store, err);
    store_rollback(a->store);
    return s;
}

cs_status profile_in_force(authority *a, const cs_profile *p, cs_err *err) {
    looking l = {.i = (size_t)(p - a->conf->profiles)};
    if (atomic_load(&a->profile_waits[l.i]) == 0) return CS_OK;
    TRY(authority_change(a, look, &l, err));
    atomic_store(&a->profile_waits[l.i], l.waits);
    if (l.waits == 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_PROPOSAL_WAITING, "profile %s was changed: proposal %llu", p->name,
                   (unsigned long long)l.waits);
}
