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
    cs_status s = door != NULL ? tls_conn_new(door->front, &w->judge, &tls, err) : CS_OK;
    wire_init(&c->wire, fd, tls);
    if (s == CS_OK) s = loop_watch_new(w->loop, fd, conn_event, c, &c->watch, err);
    if (s != CS_OK) {
        wire_free(&c->wire);
        free(c);
        return s;
    }
    c->state = door == NULL ? CONN_HEAD : door->starttls != CONF_STARTTLS_NONE ? CONN_PREFACE : CONN_TLS;
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
    bool let = admit(w, peer, slot, &err);
    if (let && make(l, fd, &c, &err) != CS_OK) {
        (void)atomic_fetch_sub(&w->g->connections, 1);
        (void)atomic_fetch_sub(&w->g->addresses[slot], 1);
    }
    if (c == NULL) {
        char text[NET_TEXT_MAX];
        log_event e = log_begin(LOG_WARN, "connection-refused");
        log_fail(&e, &err);
        log_str(&e, "peer", net_addr_text(peer, true, text));
        log_end(&e);
        metrics_count(w->slab, METRIC_CONNECTIONS_REFUSED, (unsigned)err.reason);
        net_close(fd);
        return;
    }
    c->w = w, c->role = role, c->listen = l->listen, c->peer = *peer, c->slot = slot;
    c->policy = policy_ref(w->policy);
    c->began = cs_mono(worker_clock(w));
    c->lines = cs_buf_of(64 * 1024);
    c->x.over = true;
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
    conn_turn(c);
}
