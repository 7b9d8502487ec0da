#include "proto/cmp/cmp_desk.h"

#include <pthread.h>
#include <stdlib.h>

struct cmp_desk {
    const cs_clock *clock;
    pthread_mutex_t lock;
    cmp_transaction *at[CMP_TRANSACTIONS_MAX];
    size_t n;
};

void cmp_transaction_free(cmp_transaction *t) {
    if (t == NULL) return;
    cs_cert_free(t->leaf);
    free(t);
}

cs_status cmp_desk_new(const cs_clock *clock, cmp_desk **ret, cs_err *err) {
    cmp_desk *d = calloc(1, sizeof *d);
    if (d == NULL) return CS_NOMEM_ERR(err);
    d->clock = clock;
    (void)pthread_mutex_init(&d->lock, NULL);
    *ret = d;
    return CS_OK;
}

void cmp_desk_free(cmp_desk *d) {
    if (d == NULL) return;
    for (size_t i = 0; i < d->n; i++) cmp_transaction_free(d->at[i]);
    (void)pthread_mutex_destroy(&d->lock);
    free(d);
}

static bool is_of(const cmp_transaction *t, cs_view id) {
    return cs_view_eq(cs_view_of(t->id, t->id_n), id);
}

static cmp_transaction *remove_at(cmp_desk *d, size_t i) {
    cmp_transaction *t = d->at[i];
    d->at[i] = d->at[--d->n];
    return t;
}

cs_status cmp_desk_put(cmp_desk *d, cmp_transaction *take, cs_err *err) {
    (void)pthread_mutex_lock(&d->lock);
    size_t i = 0;
    while (i < d->n && !is_of(d->at[i], cs_view_of(take->id, take->id_n))) i++;
    bool room = i < CMP_TRANSACTIONS_MAX;
    cmp_transaction *before = NULL;
    if (room && i < d->n) before = d->at[i]; /* two at once began the same: the later one counts */
    if (room) d->at[i] = take;
    if (room && i == d->n) d->n++;
    (void)pthread_mutex_unlock(&d->lock);
    cmp_transaction_free(room ? before : take);
    if (room) return CS_OK;
    return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%d transactions of CMP are open", CMP_TRANSACTIONS_MAX);
}

cmp_transaction *cmp_desk_take(cmp_desk *d, cs_view id) {
    cmp_transaction *found = NULL;
    (void)pthread_mutex_lock(&d->lock);
    for (size_t i = 0; found == NULL && i < d->n; i++)
        if (is_of(d->at[i], id)) found = remove_at(d, i);
    (void)pthread_mutex_unlock(&d->lock);
    return found;
}

cmp_transaction *cmp_desk_ended(cmp_desk *d) {
    cmp_transaction *found = NULL;
    cs_time now = cs_mono(d->clock);
    (void)pthread_mutex_lock(&d->lock);
    for (size_t i = 0; found == NULL && i < d->n; i++)
        if (d->at[i]->ends <= now) found = remove_at(d, i);
    (void)pthread_mutex_unlock(&d->lock);
    return found;
}
