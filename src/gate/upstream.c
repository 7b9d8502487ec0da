/* Connections to upstreams: made without waiting, kept for the next request. */
#include <stdlib.h>
#include <string.h>

#include "gate/gate_priv.h"

static pool *pool_of(worker *w, const net_addr *at) {
    for (unsigned i = 0; i < w->pool_count; i++)
        if (w->pools[i].at.len == at->len && memcmp(&w->pools[i].at.at, &at->at, at->len) == 0) return &w->pools[i];
    if (w->pool_count == GATE_POOLS) return NULL;
    pool *p = &w->pools[w->pool_count++];
    *p = (pool){.at = *at};
    return p;
}

static void reap(void *data) {
    upconn *u = data;
    cs_buf_free(&u->in.b);
    cs_buf_free(&u->out.b);
    free(u);
}

void upstream_close(upconn *u) {
    if (u == NULL || u->dead) return;
    u->dead = true;
    loop_watch_close(u->watch);
    u->watch = NULL;
    if (u->owner == NULL) { /* idle: out of its pool */
        pool *p = pool_of(u->w, &u->at);
        for (upconn **at = p != NULL ? &p->idle : NULL; at != NULL && *at != NULL; at = &(*at)->next)
            if (*at == u) {
                *at = u->next;
                p->count--;
                break;
            }
    }
    u->owner = NULL;
    metrics_add(u->w->slab, METRIC_UPSTREAM_OPEN, 0, -1);
    u->reap = (loop_task){.cb = reap, .data = u};
    loop_later(u->w->loop, &u->reap);
}

static void fill(upconn *u) {
    cs_err err;
    while (!u->eof && flow_size(&u->in) < GATE_FLOW_HIGH) {
        size_t n = 0;
        uint8_t *p = flow_room(&u->in, GATE_READ);
        if (p == NULL) return;
        cs_status s = net_recv(u->fd, p, GATE_READ, &n, &err);
        if (s == CS_AGAIN) return;
        if (s != CS_OK || n == 0)
            u->eof = true;
        else
            cs_buf_commit(&u->in.b, n);
        if (n < GATE_READ) return;
    }
}

void upstream_flush(upconn *u) {
    cs_err err;
    while (u->connected && !u->failed && flow_size(&u->out) > 0) {
        size_t n = 0;
        cs_view v = flow_view(&u->out);
        cs_status s = net_send(u->fd, v.p, v.n, &n, &err);
        if (s == CS_AGAIN) return;
        if (s != CS_OK) {
            fill(u); /* it may have said why before it closed */
            u->eof = u->failed = true;
            return;
        }
        flow_eat(&u->out, n);
    }
}

void upstream_interest(upconn *u, bool read) {
    unsigned events = 0;
    if (!u->connected || (flow_size(&u->out) > 0 && !u->failed)) events |= LOOP_WRITE;
    if (u->connected && read && !u->eof) events |= LOOP_READ;
    loop_watch_set(u->watch, events);
}

static void on_event(void *data, unsigned events) {
    upconn *u = data;
    cs_err err;
    if (u->dead) return;
    if (u->owner == NULL) { /* idle: it closed, or speaks without being asked */
        upstream_close(u);
        return;
    }
    conn *c = u->owner;
    if (!u->connected) {
        cs_status s = net_connected(u->fd, &err);
        if (s == CS_AGAIN) return;
        if (s != CS_OK) {
            relay_failed(c, &err);
            conn_turn(c);
            return;
        }
        u->connected = true;
        upstream_flush(u);
    }
    if ((events & LOOP_READ) != 0) fill(u);
    if ((events & LOOP_WRITE) != 0) upstream_flush(u);
    conn_turn(c);
}

/* The newest idle one: the oldest may be closed by the upstream any moment. */
static upconn *take_idle(worker *w, const gate_upstream *to) {
    pool *p = pool_of(w, &to->at);
    upconn *u = p != NULL ? p->idle : NULL;
    if (u == NULL) return NULL;
    p->idle = u->next;
    p->count--;
    u->next = NULL;
    u->reused = true;
    return u;
}

cs_status upstream_get(worker *w, const gate_upstream *to, bool fresh, conn *owner, upconn **ret, cs_err *err) {
    upconn *u = fresh ? NULL : take_idle(w, to);
    if (u != NULL) {
        u->owner = owner;
        u->scanned = 0;
        *ret = u;
        return CS_OK;
    }
    int fd = -1;
    TRY(net_connect(&to->at, &fd, err));
    u = calloc(1, sizeof *u);
    if (u == NULL) {
        net_close(fd);
        return CS_NOMEM_ERR(err);
    }
    *u = (upconn){.w = w, .fd = fd, .at = to->at, .owner = owner};
    u->in.b = cs_buf_of(GATE_FLOW_MAX);
    u->out.b = cs_buf_of(GATE_FLOW_MAX);
    cs_status s = loop_watch_new(w->loop, fd, on_event, u, &u->watch, err);
    if (s != CS_OK) {
        net_close(fd);
        free(u);
        return s;
    }
    metrics_add(w->slab, METRIC_UPSTREAM_OPEN, 0, 1);
    metrics_count(w->slab, METRIC_UPSTREAM_CONNECTS, 0);
    *ret = u;
    return CS_OK;
}

void upstream_put(upconn *u) {
    pool *p = pool_of(u->w, &u->at);
    bool clean = !u->eof && u->connected && flow_size(&u->in) == 0 && flow_size(&u->out) == 0;
    if (p == NULL || !clean || p->count >= GATE_POOL_IDLE || u->w->draining) {
        upstream_close(u);
        return;
    }
    u->owner = NULL;
    u->next = p->idle;
    p->idle = u;
    p->count++;
    loop_watch_set(u->watch, LOOP_READ);
}

void upstream_close_idle(worker *w) {
    for (unsigned i = 0; i < w->pool_count; i++)
        while (w->pools[i].idle != NULL) upstream_close(w->pools[i].idle);
    w->pool_count = 0;
}
