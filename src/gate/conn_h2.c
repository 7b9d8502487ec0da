/* A client's connection that speaks HTTP/2: its streams become exchanges, which go on when something came for them. */
#include <stdlib.h>
#include <string.h>

#include "gate/gate_priv.h"

void conn_mark(exchange *x) {
    conn *c = x->c;
    if (x->id == 0 || x->is_ready || x->over) return;
    x->is_ready = true;
    x->ready = NULL;
    *c->ready_end = x;
    c->ready_end = &x->ready;
}

void conn_ready(exchange *x) {
    conn_mark(x);
    conn_soon(x->c);
}

static void *on_head(void *user, void *owner, int32_t stream, cs_view text, bool end) {
    conn *c = user;
    (void)owner, (void)end;
    exchange *x = calloc(1, sizeof *x);
    if (x == NULL) return NULL;
    x->id = stream;
    x->next = c->exchanges;
    if (c->exchanges != NULL) c->exchanges->prev = x;
    c->exchanges = x;
    c->exchange_count++;
    exchange_begin(x, c);
    if (!flow_add(&x->asked, text)) {
        exchange_over(x);
        return NULL;
    }
    conn_ready(x);
    return x;
}

static void on_data(void *owner, cs_view data) {
    exchange *x = owner;
    x->unread += data.n;
    if (!flow_add(&x->asked, data)) client_cut(x);
    conn_ready(x);
}

static void on_end(void *owner, cs_view trailers) {
    exchange *x = owner;
    x->asked_end = true;
    (void)cs_buf_add_view(&x->ask_trailers, trailers);
    conn_ready(x);
}

static void on_room(void *owner) {
    conn_ready(owner);
}

/* The client has cancelled it, or broken the rules. */
static void on_closed(void *owner, http2_fate fate) {
    exchange *x = owner;
    if (x->tunnel && fate == HTTP2_WHOLE) { /* what came last is still on its way to the upstream */
        conn_ready(x);
        return;
    }
    if (!x->tunnel) x->status = 499; /* as others log it */
    exchange_done(x);
    exchange_over(x);
}

cs_status conn_h2_start(conn *c, cs_err *err) {
    const http2_handler on = {
        .head = on_head, .data = on_data, .end = on_end, .room = on_room, .closed = on_closed, .user = c};
    TRY(http2_new(true, &on, &c->h2, err));
    c->state = CONN_H2;
    return CS_OK;
}

static void on_stall(void *data) {
    exchange *x = data;
    conn *c = x->c;
    cs_err err;
    if (x->tunnel) {
        exchange_done(x);
        client_cut(x);
        conn_turn(c);
        return;
    }
    if (x->body.done || x->queued)
        (void)cs_fail(&err, CS_FAILED, CS_R_UPSTREAM_TIMEOUT, "%s", x->group != NULL ? x->group->name : "");
    else
        (void)cs_fail(&err, CS_REFUSED, CS_R_REQUEST_TIMEOUT, "%s", "the body was not complete in time");
    up_drop(x, false);
    if (x->replied)
        client_cut(x);
    else
        request_refuse(x, &err);
    conn_turn(c);
}

static void go_on(exchange *x) {
    conn *c = x->c;
    if (!x->begun) request_begin_h2(x);
    while (!x->over && x->up != NULL && c->state == CONN_H2 && relay_pump(x)) {
    }
    if (x->over || c->state != CONN_H2) return;
    const conf *limits = worker_conf(c->w);
    cs_time after = limits->limits.idle;
    if (x->tunnel)
        after = limits->limits.stream;
    else if ((x->body.done || x->queued) && client_room(x))
        after = limits->limits.upstream;
    x->timer.cb = on_stall;
    x->timer.data = x;
    loop_timer_set(c->w->loop, &x->timer, after);
}

static bool push(conn *c) {
    cs_view v;
    bool moved = false;
    while (wire_pending(&c->wire) < GATE_FLOW_HIGH && !c->wire.broken && http2_out(c->h2, &v))
        moved = wire_write(&c->wire, v);
    return moved;
}

static void leave(conn *c, const cs_err *err) {
    if (err != NULL) say_closed(c, err);
    conn_finish(c);
}

bool conn_h2_step(conn *c) {
    cs_err err;
    cs_view in = flow_view(&c->wire.in);
    cs_status s = in.n > 0 ? http2_feed(c->h2, in, loop_now(c->w->loop), &err) : CS_OK;
    flow_eat(&c->wire.in, in.n);
    bool moved = in.n > 0;
    while (s == CS_OK && c->ready != NULL && c->state == CONN_H2) {
        exchange *x = c->ready;
        c->ready = x->ready;
        if (c->ready == NULL) c->ready_end = &c->ready;
        x->is_ready = false;
        moved = true;
        go_on(x);
    }
    if (c->state != CONN_H2) return true;
    moved = push(c) || moved;
    bool idle_leaving = c->close_after && c->exchange_count == 0;
    if (s == CS_OK && !http2_over(c->h2) && !c->wire.eof && !idle_leaving) return moved;
    leave(c, s != CS_OK ? &err : NULL);
    return true;
}

void conn_h2_drain(conn *c) {
    http2_leave(c->h2);
    (void)push(c);
}
