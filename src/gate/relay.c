/* One request on its way: body to the upstream, response to the client, each side read only as fast as the other takes.
 */
#include <string.h>

#include "gate/gate_priv.h"

void flow_eat(flow *f, size_t n) {
    f->at += n;
    if (f->at < f->b.n) return;
    f->at = 0;
    if (f->b.cap > (size_t)GATE_READ) {
        size_t max = f->b.max;
        cs_buf_free(&f->b);
        f->b = cs_buf_of(max);
    } else {
        cs_buf_clear(&f->b);
    }
}

/* One that is never quite emptied must not grow for that. */
static void compact(flow *f) {
    if (f->at <= f->b.n / 2) return;
    cs_buf_consume(&f->b, f->at);
    f->at = 0;
}

bool flow_add(flow *f, cs_view v) {
    compact(f);
    return cs_buf_add_view(&f->b, v);
}

uint8_t *flow_room(flow *f, size_t n) {
    if (f->at > 0) {
        cs_buf_consume(&f->b, f->at);
        f->at = 0;
    }
    return cs_buf_reserve(&f->b, n);
}

void relay_drop(conn *c) {
    upstream_close(c->x.up);
    c->x.up = NULL;
    cs_buf_free(&c->x.head);
}

static void upstream_err(conn *c, cs_reason reason, const char *why, cs_err *err) {
    if (c->x.authority && reason == CS_R_UPSTREAM_UNREACHABLE) reason = CS_R_AUTHORITY_UNREACHABLE;
    (void)cs_fail(err, CS_FAILED, reason, "%s: %s", c->x.upstream.text, why);
}

static bool connect_upstream(conn *c, bool fresh, cs_err *err) {
    exchange *x = &c->x;
    if (upstream_get(c->w, &x->upstream, fresh, c, &x->up, err) != CS_OK) return false;
    if (!cs_buf_add_view(&x->up->out.b, cs_buf_view(&x->head))) {
        (void)CS_NOMEM_ERR(err);
        return false;
    }
    upstream_flush(x->up);
    return true;
}

static void give_up(conn *c, cs_reason reason, const char *why) {
    cs_err err;
    upstream_err(c, reason, why, &err);
    metrics_count(c->w->slab, METRIC_UPSTREAM_FAILURES, (unsigned)err.reason);
    relay_drop(c);
    if (!c->x.replied) {
        request_refuse(c, &err);
        return;
    }
    /* The client must not take half an answer for a whole one. */
    say_refused_request(c, &err);
    conn_close(c);
}

void relay_start(conn *c) {
    cs_err err;
    c->state = CONN_RELAY;
    if (!connect_upstream(c, false, &err)) give_up(c, CS_R_UPSTREAM_UNREACHABLE, err.detail);
}

void relay_failed(conn *c, const cs_err *why) {
    if (c->x.stream) {
        cs_err err;
        upstream_err(c, CS_R_UPSTREAM_UNREACHABLE, why->detail, &err);
        stream_failed(c, &err);
        return;
    }
    give_up(c, CS_R_UPSTREAM_UNREACHABLE, why->detail);
}

/* It closed before a single octet of an answer. A kept connection may do so at any time, innocently: the request is
 * sent once more, if it can be and if it does no harm to send it twice. */
static void upstream_gone(conn *c) {
    exchange *x = &c->x;
    cs_err err;
    bool harmless = x->method == HTTP_GET || x->method == HTTP_HEAD || x->method == HTTP_OPTIONS;
    if (!x->up->reused || flow_size(&x->up->in) > 0 || x->framing != HTTP_BODY_NONE || !harmless) {
        give_up(c, CS_R_UPSTREAM_FAILED, "it closed the connection before its answer was complete");
        return;
    }
    upstream_close(x->up);
    x->up = NULL;
    if (!connect_upstream(c, true, &err)) give_up(c, CS_R_UPSTREAM_UNREACHABLE, err.detail);
}

static bool pump_request(conn *c) {
    exchange *x = &c->x;
    cs_err err;
    bool moved = false;
    while (!x->body.done && x->up != NULL && flow_size(&x->up->out) < GATE_FLOW_HIGH) {
        size_t used = 0;
        cs_view data = {NULL, 0};
        cs_status s = http_body_read(&x->body, flow_view(&c->in), &used, &data, &err);
        if (s == CS_AGAIN) {
            if (c->eof) conn_close(c);
            break;
        }
        if (s != CS_OK) {
            relay_drop(c);
            c->close_after = true;
            if (x->replied)
                conn_close(c);
            else
                request_refuse(c, &err);
            return true;
        }
        moved = true;
        x->octets_in += data.n;
        compact(&x->up->out);
        if (data.n > 0 && x->framing == HTTP_BODY_CHUNKED)
            (void)http_chunk_add(&x->up->out.b, data);
        else
            (void)cs_buf_add_view(&x->up->out.b, data);
        flow_eat(&c->in, used);
        if (x->body.done && x->framing == HTTP_BODY_CHUNKED) (void)cs_buf_add_view(&x->up->out.b, HTTP_CHUNK_LAST);
        if (x->up->out.b.failed) {
            give_up(c, CS_R_LIMIT_REACHED, "too much to send");
            return true;
        }
        if (used == 0) break;
    }
    if (moved && x->up != NULL) upstream_flush(x->up);
    return moved;
}

static void end_exchange(conn *c) {
    exchange *x = &c->x;
    bool request_whole = x->body.done;
    if (x->plan.framing == HTTP_BODY_CHUNKED) (void)conn_write(c, HTTP_CHUNK_LAST);
    if (x->up_keep && request_whole)
        upstream_put(x->up);
    else
        upstream_close(x->up);
    x->up = NULL;
    cs_buf_free(&x->head);
    request_done(c);
    if (!x->plan.keep_alive || !request_whole || c->close_after || c->w->draining) {
        conn_finish(c);
        return;
    }
    c->state = CONN_HEAD;
    c->head_timer = false;
}

static bool send_head(conn *c, const http_head *h, const http_reply_plan *plan) {
    CS_SCOPED(cs_buf) out = cs_buf_of(CS_HTTP_HEADERS_MAX + 2048);
    cs_view date = worker_date(c->w);
    return http_response_rebuild(h, plan, date, &out) && conn_write(c, cs_buf_view(&out));
}

static void begin_tunnel(conn *c, const http_head *h) {
    exchange *x = &c->x;
    if (!x->upgrade || !h->upgrade) {
        give_up(c, CS_R_UPSTREAM_FAILED, "it switches to a protocol that was not asked for");
        return;
    }
    x->plan = (http_reply_plan){.framing = HTTP_BODY_NONE, .keep_alive = true};
    x->replied = true;
    x->status = 101;
    if (!send_head(c, h, &x->plan)) return;
    flow_eat(&x->up->in, h->size);
    c->state = CONN_TUNNEL;
}

/* True: the head of a response was handled, whichever kind it is. */
static bool pump_reply_head(conn *c) {
    exchange *x = &c->x;
    http_head *h = &c->w->head;
    cs_err err;
    cs_status s = http_response_parse(flow_view(&x->up->in), &x->up->scanned, x->method, h, &err);
    if (s == CS_AGAIN) {
        if (!x->up->eof) return false;
        upstream_gone(c);
        return true;
    }
    if (s != CS_OK) {
        give_up(c, CS_R_UPSTREAM_FAILED, err.detail);
        return true;
    }
    if (h->interim) {
        http_reply_plan interim = {.framing = HTTP_BODY_NONE, .keep_alive = true};
        if (!x->http10) (void)send_head(c, h, &interim);
        flow_eat(&x->up->in, h->size);
        return true;
    }
    if (h->status == 101) {
        begin_tunnel(c, h);
        return true;
    }
    bool close = c->close_after || c->w->draining || !x->body.done;
    x->plan = http_reply_plan_of(h, x->http10, x->keep_alive, close);
    x->status = h->status;
    x->replied = true;
    x->up_keep = h->keep_alive && h->framing != HTTP_BODY_UNTIL_CLOSE;
    http_body_init(&x->reply, h, 0);
    if (!send_head(c, h, &x->plan)) c->broken = true;
    flow_eat(&x->up->in, h->size);
    cs_buf_free(&x->head);
    if (x->reply.done) end_exchange(c);
    return true;
}

static bool pump_reply_body(conn *c) {
    exchange *x = &c->x;
    cs_err err;
    bool moved = false;
    while (!x->reply.done && conn_pending(c) < GATE_FLOW_HIGH && !c->broken) {
        size_t used = 0;
        cs_view data = {NULL, 0};
        cs_status s = http_body_read(&x->reply, flow_view(&x->up->in), &used, &data, &err);
        if (s == CS_AGAIN && !x->up->eof) return moved;
        if (s == CS_AGAIN) s = http_body_eof(&x->reply, &err);
        if (s != CS_OK) {
            give_up(c, CS_R_UPSTREAM_FAILED, err.detail);
            return true;
        }
        moved = true;
        x->octets_out += data.n;
        if (data.n > 0 && x->plan.framing == HTTP_BODY_CHUNKED) {
            char head[HTTP_CHUNK_HEAD_MAX];
            (void)conn_write(c, cs_view_of(head, http_chunk_head(data.n, head)));
            (void)conn_write(c, data);
            (void)conn_write(c, HTTP_CHUNK_TAIL);
        } else if (data.n > 0) {
            (void)conn_write(c, data);
        }
        flow_eat(&x->up->in, used);
    }
    if (x->reply.done) end_exchange(c);
    return moved;
}

bool relay_pump(conn *c) {
    bool moved = pump_request(c);
    if (c->state != CONN_RELAY || c->x.up == NULL) return moved;
    return (c->x.replied ? pump_reply_body(c) : pump_reply_head(c)) || moved;
}
