/* New connections: whether there is room for them, and what they begin with. */
#include <stdlib.h>
#include <string.h>

#include "gate/gate_priv.h"

/* Which counter an address has: a keyed hash, so that nobody can choose to share another's. */
static uint16_t slot_of(const gate *g, const net_addr *a) {
    char text[NET_TEXT_MAX];
    uint64_t h = g->address_seed;
    for (const char *p = net_addr_text(a, false, text); *p != '\0'; p++) h = (h ^ (uint8_t)*p) * 0x100000001b3ULL;
    h ^= h >> 29;
    return (uint16_t)(h ^ (h >> 32) ^ (h >> 48));
}

/* A bucket of a second's worth: the time at which it will be full again, in microseconds. Each connection moves it on
 * by a second divided by the rate; one that would move it more than a second ahead is over the rate. */
static bool take_token(_Atomic uint64_t *bucket, unsigned rate, cs_time now) {
    uint64_t full = atomic_load_explicit(bucket, memory_order_relaxed), next;
    do {
        uint64_t from = full > (uint64_t)now ? full : (uint64_t)now;
        next = from + (uint64_t)CS_SEC / rate;
        if (next > (uint64_t)now + (uint64_t)CS_SEC) return false;
    } while (!atomic_compare_exchange_weak_explicit(bucket, &full, next, memory_order_relaxed, memory_order_relaxed));
    return true;
}

static bool within_rates(worker *w, uint16_t slot, cs_err *err) {
    const conf *c = worker_conf(w);
    cs_time now = loop_now(w->loop);
    unsigned each = c->limits.handshakes_per_address, all = c->limits.handshakes;
    if (each > 0 && !take_token(&w->g->rates[slot], each, now)) {
        (void)cs_fail(err, CS_LIMIT, CS_R_HANDSHAKE_RATE, "limits.handshakes_per_address is %u", each);
        return false;
    }
    if (all == 0 || take_token(&w->g->rate, all, now)) return true;
    (void)cs_fail(err, CS_LIMIT, CS_R_HANDSHAKE_RATE, "limits.handshakes is %u", all);
    return false;
}

static bool admit(worker *w, const net_addr *peer, uint16_t slot, cs_err *err) {
    const conf *limits = worker_conf(w);
    if (atomic_fetch_add(&w->g->connections, 1) >= limits->limits.connections && limits->limits.connections > 0) {
        (void)atomic_fetch_sub(&w->g->connections, 1);
        (void)cs_fail(err, CS_LIMIT, CS_R_TOO_MANY_CONNECTIONS, "limits.connections is %u", limits->limits.connections);
        return false;
    }
    unsigned most = limits->limits.connections_per_address;
    if (atomic_fetch_add(&w->g->addresses[slot], 1) < most || most == 0) return true;
    (void)atomic_fetch_sub(&w->g->addresses[slot], 1);
    (void)atomic_fetch_sub(&w->g->connections, 1);
    (void)cs_fail(err, CS_LIMIT, CS_R_TOO_MANY_CONNECTIONS, "limits.connections_per_address is %u", most);
    return false;
}

static cs_status make(const listener *l, int fd, conn **ret, cs_err *err) {
    worker *w = l->w;
    const gate_door *door = l->listen != NULL ? policy_door(w->policy, l->listen) : NULL;
    if (l->listen != NULL && door == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_SNI_UNKNOWN, "%s: no site is served here any more", l->listen);
    conn *c = calloc(1, sizeof *c);
    if (c == NULL) return CS_NOMEM_ERR(err);
    tls_conn *tls = NULL;
    cs_status s = door != NULL && door->plain == NULL ? tls_conn_new(door->front, &w->judge, &tls, err) : CS_OK;
    wire_init(&c->wire, fd, tls);
    if (s == CS_OK) s = loop_watch_new(w->loop, fd, conn_event, c, &c->watch, err);
    if (s != CS_OK) {
        wire_free(&c->wire);
        free(c);
        return s;
    }
    c->site = door != NULL ? door->plain : NULL;
    c->state = door == NULL || door->plain != NULL    ? CONN_HEAD
               : door->starttls != CONF_STARTTLS_NONE ? CONN_PREFACE
                                                      : CONN_TLS;
    c->wire.clear = c->state == CONN_PREFACE;
    c->ready_end = &c->ready;
    *ret = c;
    return CS_OK;
}

void conn_accept(const listener *l, int fd, const net_addr *peer) {
    cs_err err;
    worker *w = l->w;
    int role = l->role;
    conn *c = NULL;
    uint16_t slot = slot_of(w->g, peer);
    bool let = (l->listen == NULL || within_rates(w, slot, &err)) && admit(w, peer, slot, &err);
    if (let && make(l, fd, &c, &err) != CS_OK) {
        (void)atomic_fetch_sub(&w->g->connections, 1);
        (void)atomic_fetch_sub(&w->g->addresses[slot], 1);
    }
    if (c == NULL) {
        say_refused_connection(w, peer, &err);
        net_close(fd);
        return;
    }
    c->w = w, c->role = role, c->listen = l->listen, c->peer = *peer, c->slot = slot;
    c->policy = policy_ref(w->policy);
    c->began = cs_mono(worker_clock(w));
    c->lines = cs_buf_of(64 * 1024);
    c->timer = (loop_timer){.cb = conn_deadline, .data = c};
    c->next = w->conns;
    if (w->conns != NULL) w->conns->prev = c;
    w->conns = c;
    w->conn_count++;
    worker_watch_over(w);
    metrics_count(w->slab, METRIC_CONNECTIONS, (unsigned)role);
    metrics_add(w->slab, METRIC_CONNECTIONS_OPEN, (unsigned)role, 1);
    loop_timer_set(w->loop, &c->timer, worker_conf(w)->limits.handshake);
    wire_fill(&c->wire); /* the client's hello is often there already */
    if (c->site != NULL) stream_start(c);
    conn_turn(c);
}

/* Served late they would be given up by then, and those behind them later still. */
void conn_shed(listener *l) {
    cs_err err;
    if (net_waiting(l->fd) < GATE_SHED_OVER) return;
    for (int i = 0; i < GATE_SHED_OVER - GATE_SHED_TO; i++) {
        int fd = -1;
        net_addr peer;
        if (net_accept(l->fd, &fd, &peer, &err) != CS_OK) return;
        net_close(fd);
        (void)cs_fail(&err, CS_LIMIT, CS_R_OVERLOADED, "more than %d wait", (int)GATE_SHED_OVER);
        say_refused_connection(l->w, &peer, &err);
    }
}
