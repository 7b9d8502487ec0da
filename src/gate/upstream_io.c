/* An exchange as its upstream sees it: in HTTP/1 a connection of its own for a while, in HTTP/2 a stream among others.
 */
#include <string.h>

#include "gate/gate_priv.h"

static cs_status ask_h2(exchange *x, upconn *u, cs_err *err) {
    unsigned how = x->group->tls ? HTTP2_SECURE : 0;
    if (x->trailers_welcome) how |= HTTP2_TRAILERS;
    if (x->upgrade)
        how |= HTTP2_WEBSOCKET;
    else if (x->framing == HTTP_BODY_NONE)
        how |= HTTP2_END;
    if (x->upgrade && !http2_connects(u->h2))
        return cs_fail(err, CS_FAILED, CS_R_UPSTREAM_FAILED, "%s",
                       "it takes no WebSocket over HTTP/2; an upstream by http or https would");
    return http2_ask(u->h2, cs_buf_view(&x->head), how, x, &x->up_id, err);
}

bool up_settled(const exchange *x) {
    return x->up->connected && http2_settled(x->up->h2);
}

cs_status up_ask(exchange *x, cs_err *err) {
    upconn *u = x->up;
    if (u->h2 != NULL) {
        x->up_waits = x->upgrade && !http2_settled(u->h2);
        if (!x->up_waits) TRY(ask_h2(x, u, err));
    } else if (!wire_write(&u->wire, cs_buf_view(&x->head))) {
        return CS_NOMEM_ERR(err);
    }
    upstream_flush(u);
    return CS_OK;
}

bool up_room(const exchange *x) {
    const upconn *u = x->up;
    if (!u->connected) return false;
    return x->up_id != 0 ? http2_room(u->h2, x->up_id) : wire_pending(&u->wire) < GATE_FLOW_HIGH;
}

void up_write(exchange *x, cs_view data) {
    upconn *u = x->up;
    if (data.n == 0) return;
    if (x->up_id != 0) {
        (void)http2_write(u->h2, x->up_id, data);
    } else if (x->framing == HTTP_BODY_CHUNKED) {
        char head[HTTP_CHUNK_HEAD_MAX];
        (void)wire_write(&u->wire, cs_view_of(head, http_chunk_head(data.n, head)));
        (void)wire_write(&u->wire, data);
        (void)wire_write(&u->wire, HTTP_CHUNK_TAIL);
    } else {
        (void)wire_write(&u->wire, data);
    }
}

void up_end(exchange *x) {
    if (x->ask_trailers.n > 0) http_trailers_filter(&x->ask_trailers);
    if (x->up_id != 0) {
        (void)http2_end(x->up->h2, x->up_id, cs_buf_view(&x->ask_trailers));
    } else if (x->framing == HTTP_BODY_CHUNKED) {
        (void)wire_write(&x->up->wire, HTTP_CHUNK_LAST);
        (void)wire_write(&x->up->wire, cs_buf_view(&x->ask_trailers));
        (void)wire_write(&x->up->wire, HTTP_CHUNK_TAIL);
    }
}

cs_status up_head(exchange *x, http_head *h, cs_err *err) {
    upconn *u = x->up;
    size_t whole = 0;
    if (x->up_id != 0) return http_response_parse(flow_view(&x->heads), &whole, x->method, h, err);
    (void)wire_decrypt(&u->wire);
    return http_response_parse(flow_view(&u->wire.in), &u->scanned, x->method, h, err);
}

void up_head_eat(exchange *x, size_t n) {
    flow_eat(x->up_id != 0 ? &x->heads : &x->up->wire.in, n);
}

static cs_status read_h2(exchange *x, size_t *ret_used, cs_view *ret_data, cs_err *err) {
    *ret_data = flow_view(&x->got);
    *ret_used = ret_data->n;
    if (ret_data->n == 0 && x->got_broken)
        return cs_fail(err, CS_FAILED, CS_R_UPSTREAM_FAILED, "%s",
                       "it reset the stream before its answer was complete");
    if (ret_data->n == 0 && !x->got_end) return CS_AGAIN;
    x->reply.done = x->got_end;
    return CS_OK;
}

cs_status up_read(exchange *x, size_t *ret_used, cs_view *ret_data, cs_err *err) {
    upconn *u = x->up;
    if (x->up_id != 0) return read_h2(x, ret_used, ret_data, err);
    (void)wire_decrypt(&u->wire);
    cs_status s = http_body_read(&x->reply, flow_view(&u->wire.in), ret_used, ret_data, err);
    if (s != CS_AGAIN || !upstream_eof(u)) return s;
    if (u->wire.tls != NULL && !u->wire.clean_eof)
        return cs_fail(err, CS_FAILED, CS_R_UPSTREAM_FAILED, "%s", "its TLS ended without close_notify");
    return http_body_eof(&x->reply, err);
}

void up_eat(exchange *x, size_t used) {
    if (x->up_id == 0) {
        flow_eat(&x->up->wire.in, used);
        return;
    }
    flow_eat(&x->got, used);
    http2_consumed(x->up->h2, x->up_id, used);
}

cs_view up_octets(exchange *x) {
    if (x->up_id != 0) return flow_view(&x->got);
    if (x->up->connected) (void)wire_decrypt(&x->up->wire);
    return flow_view(&x->up->wire.in);
}

void up_shut(exchange *x) {
    upconn *u = x->up;
    if (x->up_id != 0)
        (void)http2_end(u->h2, x->up_id, cs_view_of(NULL, 0));
    else if (u->wire.tls != NULL)
        wire_end(&u->wire);
    else
        net_shutdown_write(u->wire.fd);
    upstream_flush(u);
}

bool up_over(const exchange *x) {
    return x->up_id != 0 ? x->got_broken : upstream_eof(x->up);
}

bool up_untouched(const exchange *x) {
    if (x->up_id != 0) return x->got_refused;
    return x->up->reused && flow_size(&x->up->wire.in) == 0;
}

static void dismount(exchange *x, bool whole) {
    upconn *u = x->up;
    if (u->owner == x)
        u->owner = x->rider;
    else
        x->rider_prev->rider = x->rider;
    if (x->rider != NULL) x->rider->rider_prev = x->rider_prev;
    x->rider = x->rider_prev = NULL;
    if (u->dead) return;
    if (x->up_id != 0 && whole)
        http2_forget(u->h2, x->up_id);
    else if (x->up_id != 0)
        http2_reset(u->h2, x->up_id, false);
    if (u->owner == NULL && !u->pooled)
        upstream_close(u);
    else
        upstream_flush(u);
}

void up_drop(exchange *x, bool reuse) {
    upconn *u = x->up;
    queue_leave(x);
    if (u == NULL) return;
    (void)atomic_fetch_sub(&u->server->active, 1);
    if (x->up_id != 0) http2_consumed(u->h2, x->up_id, flow_size(&x->got));
    if (u->h2 != NULL)
        dismount(x, x->got_end && x->body.done && (!x->tunnel || x->told_up));
    else if (reuse)
        upstream_put(u);
    else
        upstream_close(u);
    x->up = NULL;
    x->up_id = 0;
    x->got_end = x->got_broken = x->got_refused = x->up_waits = false;
    flow_free(&x->heads);
    flow_free(&x->got);
    x->heads.b = cs_buf_of(GATE_FLOW_MAX);
    x->got.b = cs_buf_of(GATE_FLOW_MAX);
}

/* ---- HTTP/2: what comes is put where the exchange finds it ---- */

static void *on_head(void *user, void *owner, int32_t stream, cs_view text, bool end) {
    exchange *x = owner;
    (void)user, (void)stream, (void)end;
    if (x == NULL || !flow_add(&x->heads, text)) return NULL;
    conn_ready(x);
    return x;
}

static void on_data(void *owner, cs_view data) {
    exchange *x = owner;
    if (!flow_add(&x->got, data)) x->got_broken = true;
    conn_ready(x);
}

static void on_end(void *owner, cs_view trailers) {
    exchange *x = owner;
    x->got_end = true;
    (void)cs_buf_add_view(&x->reply_trailers, trailers);
    conn_ready(x);
}

static void on_room(void *owner) {
    conn_ready(owner);
}

static void on_closed(void *owner, http2_fate fate) {
    exchange *x = owner;
    if (fate != HTTP2_WHOLE || !x->got_end) x->got_broken = true;
    x->got_refused = fate == HTTP2_REFUSED;
    conn_ready(x);
}

cs_status up_h2_new(upconn *u, cs_err *err) {
    const http2_handler on = {
        .head = on_head, .data = on_data, .end = on_end, .room = on_room, .closed = on_closed, .user = u};
    return http2_new(false, &on, &u->h2, err);
}

void up_h2_lost(upconn *u, bool made, const char *why) {
    u->leaving = true;
    while (u->owner != NULL) {
        exchange *x = u->owner;
        conn *c = x->c;
        if (!made)
            relay_unreachable(x, why);
        else if (!x->replied && up_untouched(x))
            up_drop(x, false), relay_start(x);
        else
            relay_failed(x, CS_R_UPSTREAM_FAILED, why);
        conn_turn(c);
    }
}

void up_h2_event(upconn *u) {
    cs_err err;
    (void)wire_decrypt(&u->wire);
    cs_view in = flow_view(&u->wire.in);
    cs_status s = in.n > 0 ? http2_feed(u->h2, in, loop_now(u->w->loop), &err) : CS_OK;
    flow_eat(&u->wire.in, in.n);
    u->leaving = u->leaving || s != CS_OK || http2_closing(u->h2);
    if (!u->settled && http2_settled(u->h2)) {
        u->settled = true;
        for (exchange *x = u->owner; x != NULL; x = x->rider) conn_ready(x);
    }
    upstream_flush(u);
    if (s != CS_OK || http2_over(u->h2) || upstream_eof(u)) {
        up_h2_lost(u, true, s != CS_OK ? err.detail : "it closed the connection before its answer was complete");
        if (!u->dead) upstream_close(u);
    }
}
