/* Connections to upstreams: made without waiting, kept for the next request. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate/gate_priv.h"

enum {
    DOWN_FIRST = CS_SEC, /* how long a server that cannot be reached is passed over; doubles */
    DOWN_MOST = 30 * CS_SEC,
    POOL_LOOK = 5 * CS_SEC, /* how long an idle connection beyond GATE_POOL_KEPT may be of no use */
};

static pool *pool_of(worker *w, uint64_t server) {
    for (unsigned i = 0; i < w->pool_count; i++)
        if (w->pools[i].server == server) return &w->pools[i];
    if (w->pool_count == GATE_POOLS) return NULL;
    pool *p = &w->pools[w->pool_count++];
    *p = (pool){.server = server};
    return p;
}

static void reap(void *data) {
    upconn *u = data;
    wire_free(&u->wire);
    http2_free(u->h2);
    free(u);
}

static void pool_leave(upconn *u) {
    pool *p = u->pooled ? pool_of(u->w, u->server->id) : NULL;
    for (upconn **at = p != NULL ? &p->idle : NULL; at != NULL && *at != NULL; at = &(*at)->next)
        if (*at == u) {
            *at = u->next;
            p->count--;
            if (p->count < p->low) p->low = p->count;
            break;
        }
    u->pooled = false;
    u->next = NULL;
}

/* Those at the end have been idle longest. */
static void pool_trim(pool *p) {
    unsigned most = p->count - p->low > GATE_POOL_KEPT ? p->count - p->low : GATE_POOL_KEPT;
    unsigned at = 0;
    for (upconn *u = p->idle, *next; u != NULL; u = next) {
        next = u->next;
        if (at++ >= most && u->owner == NULL && u->h2 == NULL) upstream_close(u);
    }
    p->low = p->count;
}

static void on_pools(void *data) {
    worker *w = data;
    w->pools_watched = false;
    for (unsigned i = 0; i < w->pool_count; i++) {
        pool_trim(&w->pools[i]);
        w->pools_watched = w->pools_watched || w->pools[i].count > GATE_POOL_KEPT;
    }
    if (w->pools_watched) loop_timer_set(w->loop, &w->pool_timer, POOL_LOOK);
}

static void watch_pools(worker *w) {
    if (w->pools_watched) return;
    w->pools_watched = true;
    w->pool_timer = (loop_timer){.cb = on_pools, .data = w};
    loop_timer_set(w->loop, &w->pool_timer, POOL_LOOK);
}

static bool pool_join(upconn *u) {
    pool *p = pool_of(u->w, u->server->id);
    if (p == NULL || p->count >= GATE_POOL_IDLE || u->w->draining || u->generation != u->w->generation) return false;
    u->next = p->idle;
    p->idle = u;
    p->count++;
    if (p->count > GATE_POOL_KEPT) watch_pools(u->w);
    return u->pooled = true;
}

void upstream_close(upconn *u) {
    if (u == NULL || u->dead) return;
    u->dead = true;
    pool_leave(u);
    loop_timer_clear(u->w->loop, &u->timer);
    loop_watch_close(u->watch);
    u->watch = NULL;
    if (u->h2 == NULL) u->owner = NULL;
    metrics_add(u->w->slab, METRIC_UPSTREAM_OPEN, 0, -1);
    u->reap = (loop_task){.cb = reap, .data = u};
    loop_later(u->w->loop, &u->reap);
}

/* True: some went into the wire. */
static bool push_h2(upconn *u) {
    cs_view v;
    bool moved = false;
    while (wire_pending(&u->wire) < GATE_FLOW_HIGH && !u->wire.broken && http2_out(u->h2, &v))
        moved = wire_write(&u->wire, v);
    return moved;
}

void upstream_flush(upconn *u) {
    if (!u->connected || u->failed || u->dead) return;
    bool more = true;
    while (more && !u->wire.broken) {
        more = u->h2 != NULL && push_h2(u);
        wire_flush(&u->wire);
    }
    if (u->wire.broken && !u->wire.eof) {
        u->wire.broken = false;
        wire_fill(&u->wire); /* it may have said why before it closed */
        u->wire.eof = u->failed = u->wire.broken = true;
    }
    if (u->h2 != NULL) upstream_interest(u, true);
}

void upstream_interest(upconn *u, bool read) {
    unsigned events = 0;
    if (!u->connected || (wire_pending(&u->wire) > 0 && !u->failed)) events |= LOOP_WRITE;
    if (u->connected && read && !u->wire.shut && !u->wire.broken) events |= LOOP_READ;
    if (!u->dead) loop_watch_set(u->watch, events);
}

void upstream_mark(const worker *w, gate_server *s, bool good, cs_time down, const char *why) {
    if (good) {
        atomic_store(&s->fails, 0);
        atomic_store(&s->down_until, 0);
    } else {
        unsigned fails = atomic_fetch_add(&s->fails, 1);
        cs_time doubled = (cs_time)DOWN_FIRST << (fails < 5 ? fails : 5);
        if (down == 0) down = doubled > DOWN_MOST ? DOWN_MOST : doubled;
        atomic_store(&s->down_until, loop_now(w->loop) + down);
    }
    if (atomic_exchange(&s->down, !good) != !good) say_server(s, good, why);
}

static void lost(upconn *u, const char *why) {
    upstream_mark(u->w, u->server, false, 0, why);
    if (u->h2 != NULL) {
        up_h2_lost(u, false, why);
        upstream_close(u);
        return;
    }
    exchange *x = u->owner;
    conn *c = x->c;
    relay_unreachable(x, why);
    conn_turn(c);
}

/* Further with TLS. CS_AGAIN: more must come. */
static cs_status shake(upconn *u, cs_err *err) {
    wire *w = &u->wire;
    if (w->tls == NULL) return CS_OK;
    cs_status s = tls_conn_handshake(w->tls, err);
    wire_flush(w);
    if (s == CS_AGAIN && upstream_eof(u))
        s = cs_fail(err, CS_FAILED, CS_R_TLS_PEER_CLOSED, "%s", "during the handshake");
    return s;
}

/* True: it can be used. */
static bool connect_on(upconn *u, unsigned events) {
    cs_err err;
    cs_status s = u->reached ? CS_OK : net_connected(u->wire.fd, &err);
    if (s == CS_OK) {
        u->reached = true;
        if (u->wire.tls != NULL && (events & LOOP_READ) != 0) wire_fill(&u->wire);
        s = u->asks ? preface_ask(u, &err) : CS_OK;
        if (s == CS_OK) s = shake(u, &err);
    }
    if (s == CS_AGAIN) {
        if (u->reached) loop_watch_set(u->watch, LOOP_READ | (wire_pending(&u->wire) > 0 ? LOOP_WRITE : 0));
        return false;
    }
    if (s != CS_OK) {
        char why[CS_DETAIL_MAX];
        (void)snprintf(why, sizeof why, "%s: %s", cs_reason_of(err.reason)->name, err.detail);
        lost(u, why);
        return false;
    }
    u->wire.shaking = false;
    u->connected = true;
    if (atomic_load_explicit(&u->server->fails, memory_order_relaxed) > 0) upstream_mark(u->w, u->server, true, 0, "");
    loop_timer_clear(u->w->loop, &u->timer);
    upstream_flush(u);
    for (exchange *x = u->h2 != NULL ? u->owner : NULL; x != NULL; x = x->rider) conn_ready(x);
    return true;
}

static void on_event(void *data, unsigned events) {
    upconn *u = data;
    if (u->dead) return;
    if (u->owner == NULL && u->h2 == NULL) { /* idle: it closed, or speaks without being asked */
        upstream_close(u);
        return;
    }
    if (!u->connected && !connect_on(u, events)) return;
    if ((events & LOOP_READ) != 0) wire_fill(&u->wire);
    if ((events & LOOP_WRITE) != 0) upstream_flush(u);
    if (u->h2 != NULL) {
        up_h2_event(u);
        return;
    }
    if (u->owner->id != 0) { /* the answers of many streams that came together leave together */
        conn_ready(u->owner);
        return;
    }
    conn_mark(u->owner);
    conn_turn(u->owner->c);
}

static void on_timeout(void *data) {
    upconn *u = data;
    if (!u->dead && !u->connected) lost(u, "no connection in time");
}

/* The one that has least to do among those that can be reached; equals take turns. If all are down, whichever was so
 * longest is tried. */
static gate_server *choose(const worker *w, gate_group *g) {
    cs_time now = loop_now(w->loop);
    if (g->count <= 1) return g->servers;
    unsigned start = atomic_fetch_add_explicit(&g->turn, 1, memory_order_relaxed) % g->count;
    gate_server *least_down = &g->servers[start], *best = NULL;
    for (unsigned i = 0; i < g->count; i++) {
        gate_server *s = &g->servers[(start + i) % g->count];
        if (atomic_load(&s->down_until) < atomic_load(&least_down->down_until)) least_down = s;
        if (atomic_load(&s->down_until) > now) continue;
        if (best == NULL || atomic_load(&s->active) < atomic_load(&best->active)) best = s;
    }
    return best != NULL ? best : least_down; /* of a group, which has one at least */
}

/* HTTP/1: the newest idle one, since the oldest may be closed by the upstream any moment. HTTP/2: one that takes more.
 */
static upconn *take_pooled(worker *w, const gate_server *server) {
    pool *p = pool_of(w, server->id);
    for (upconn *u = p != NULL ? p->idle : NULL; u != NULL; u = u->next) {
        if (u->h2 != NULL && (u->leaving || http2_spare(u->h2) == 0)) continue;
        u->reused = true;
        u->scanned = 0;
        if (u->h2 == NULL) pool_leave(u);
        return u;
    }
    return NULL;
}

static cs_status make(worker *w, gate_group *g, gate_server *server, upconn **ret, cs_err *err) {
    int fd = -1;
    tls_conn *tls = NULL;
    TRY(net_connect(&server->at, &fd, err));
    upconn *u = calloc(1, sizeof *u);
    if (u == NULL) {
        net_close(fd);
        return CS_NOMEM_ERR(err);
    }
    *u = (upconn){.w = w, .server = server, .generation = w->generation};
    cs_status s = g->tls ? tls_conn_dial(g->dialer, server->name, &tls, err) : CS_OK;
    wire_init(&u->wire, fd, tls);
    u->wire.shaking = tls != NULL;
    u->asks = u->wire.clear = g->starttls != CONF_STARTTLS_NONE;
    if (s == CS_OK && g->http2) s = up_h2_new(u, err);
    if (s == CS_OK) s = loop_watch_new(w->loop, fd, on_event, u, &u->watch, err);
    if (s != CS_OK) {
        net_close(fd);
        wire_free(&u->wire);
        http2_free(u->h2);
        free(u);
        return s;
    }
    if (g->http2) (void)pool_join(u);
    u->timer = (loop_timer){.cb = on_timeout, .data = u};
    loop_timer_set(w->loop, &u->timer, worker_conf(w)->limits.connect);
    metrics_add(w->slab, METRIC_UPSTREAM_OPEN, 0, 1);
    metrics_count(w->slab, METRIC_UPSTREAM_CONNECTS, 0);
    upstream_interest(u, true);
    *ret = u;
    return CS_OK;
}

cs_status upstream_get(exchange *x, bool fresh, cs_err *err) {
    worker *w = x->c->w;
    gate_server *server = choose(w, x->group);
    if (server == NULL) return cs_fail(err, CS_FAILED, CS_R_UPSTREAM_UNREACHABLE, "%s: no servers", x->group->name);
    upconn *u = fresh && !x->group->http2 ? NULL : take_pooled(w, server);
    cs_status s = u == NULL ? make(w, x->group, server, &u, err) : CS_OK;
    if (s != CS_OK) {
        upstream_mark(w, server, false, 0, err->detail);
        return s;
    }
    if (u->h2 != NULL && u->owner != NULL) {
        x->rider = u->owner;
        u->owner->rider_prev = x;
    }
    u->owner = x;
    if (u->h2 == NULL) u->wire.high = x->id != 0 && x->c->exchange_count > 8 ? GATE_FLOW_LOW : GATE_FLOW_HIGH;
    x->up = u;
    (void)atomic_fetch_add(&server->active, 1);
    return CS_OK;
}

void upstream_put(upconn *u) {
    bool clean = !upstream_eof(u) && u->connected && flow_size(&u->wire.in) == 0 && wire_pending(&u->wire) == 0;
    if (!clean || !pool_join(u)) {
        upstream_close(u);
        return;
    }
    u->owner = NULL;
    loop_watch_set(u->watch, LOOP_READ);
}

void upstream_close_idle(worker *w) {
    for (unsigned i = 0; i < w->pool_count; i++)
        while (w->pools[i].idle != NULL) {
            upconn *u = w->pools[i].idle;
            if (u->owner == NULL)
                upstream_close(u);
            else
                pool_leave(u); /* HTTP/2: those that ride on it end first */
        }
    w->pool_count = 0;
    if (w->pools_watched) loop_timer_clear(w->loop, &w->pool_timer);
    w->pools_watched = false;
}
