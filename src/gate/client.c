/* An exchange as its client sees it: in HTTP/1 the connection's own octets, in HTTP/2 one stream among others. */
#include <string.h>

#include "gate/gate_priv.h"

static cs_status read_h2(exchange *x, size_t *ret_used, cs_view *ret_data, cs_err *err) {
    cs_view v = flow_view(&x->asked);
    x->body.total += v.n;
    if (x->body.max > 0 && x->body.total > x->body.max)
        return cs_fail(err, CS_LIMIT, CS_R_HTTP_BODY_TOO_LARGE, "limits.body is %llu", (unsigned long long)x->body.max);
    if (v.n == 0 && !x->asked_end) return CS_AGAIN;
    *ret_used = v.n;
    *ret_data = v;
    x->body.done = x->asked_end;
    return CS_OK;
}

cs_status client_read(exchange *x, size_t *ret_used, cs_view *ret_data, cs_err *err) {
    if (x->id != 0) return read_h2(x, ret_used, ret_data, err);
    return http_body_read(&x->body, flow_view(&x->c->wire.in), ret_used, ret_data, err);
}

void client_eat(exchange *x, size_t used) {
    if (x->id == 0) {
        flow_eat(&x->c->wire.in, used);
        return;
    }
    flow_eat(&x->asked, used);
    x->unread -= used;
    http2_consumed(x->c->h2, x->id, used);
}

cs_view client_octets(const exchange *x) {
    return flow_view(x->id == 0 ? &x->c->wire.in : &x->asked);
}

bool client_over(const exchange *x) {
    return client_octets(x).n == 0 && (x->id == 0 ? x->c->wire.eof : x->asked_end);
}

void client_shut(exchange *x) {
    if (x->id == 0 && x->c->wire.tls == NULL)
        net_shutdown_write(x->c->wire.fd);
    else if (x->id == 0)
        wire_end(&x->c->wire);
    else
        (void)http2_end(x->c->h2, x->id, cs_view_of(NULL, 0));
}

bool client_gone(const exchange *x) {
    return x->id == 0 && x->c->wire.eof;
}

bool client_room(const exchange *x) {
    const conn *c = x->c;
    if (c->wire.broken) return false;
    return x->id == 0 ? wire_pending(&c->wire) < GATE_FLOW_HIGH : http2_room(c->h2, x->id);
}

bool client_send_head(exchange *x, const http_head *h, const http_reply_plan *plan, bool end) {
    conn *c = x->c;
    cs_buf *out = &c->w->scratch;
    out->max = CS_HTTP_HEADERS_MAX + 2048;
    cs_buf_clear(out);
    if (!http_response_rebuild(h, plan, worker_date(c->w), out)) return false;
    return x->id == 0 ? wire_write(&c->wire, cs_buf_view(out)) : http2_answer(c->h2, x->id, cs_buf_view(out), end);
}

void client_interim(exchange *x, const http_head *h) {
    const http_reply_plan plan = {.framing = HTTP_BODY_NONE, .keep_alive = true};
    if (x->http10) return;
    if (!client_send_head(x, h, &plan, false) && x->id == 0) x->c->wire.broken = true;
}

void client_head(exchange *x, const http_head *h) {
    conn *c = x->c;
    /* What stands behind a refused upgrade may be of the protocol that it asked for. @rfc 9931#4 */
    bool close = c->close_after || c->w->draining || !x->body.done || (x->upgrade && x->id == 0);
    x->plan = http_reply_plan_of(h, x->http10, x->keep_alive, close);
    if (!x->trailers_welcome) cs_buf_clear(&x->reply_trailers);
    bool end = x->id != 0 && x->reply.done && x->reply_trailers.n == 0;
    if (x->id != 0) x->plan = (http_reply_plan){.framing = HTTP_BODY_LENGTH, .keep_alive = true};
    if (!client_send_head(x, h, &x->plan, end) && x->id == 0) c->wire.broken = true;
    x->replied = true;
}

void client_write(exchange *x, cs_view data) {
    conn *c = x->c;
    x->octets_out += data.n;
    if (data.n == 0) return;
    if (x->id != 0) {
        (void)http2_write(c->h2, x->id, data);
    } else if (x->plan.framing == HTTP_BODY_CHUNKED) {
        char head[HTTP_CHUNK_HEAD_MAX];
        (void)wire_write(&c->wire, cs_view_of(head, http_chunk_head(data.n, head)));
        (void)wire_write(&c->wire, data);
        (void)wire_write(&c->wire, HTTP_CHUNK_TAIL);
    } else {
        (void)wire_write(&c->wire, data);
    }
}

/* The connection's next request may come. */
static void again(conn *c, bool close) {
    if (close) {
        conn_finish(c);
        return;
    }
    c->state = CONN_HEAD;
    c->head_timer = false;
}

/* A body that still comes is of no use to anybody; RFC 9113 8.1: the client is told so after the answer. */
static void end_h2(exchange *x) {
    http2_end(x->c->h2, x->id, cs_buf_view(&x->reply_trailers));
    http2_forget(x->c->h2, x->id);
}

void client_end(exchange *x) {
    conn *c = x->c;
    bool whole = x->body.done;
    if (!x->trailers_welcome) cs_buf_clear(&x->reply_trailers);
    if (x->reply_trailers.n > 0) http_trailers_filter(&x->reply_trailers);
    if (x->id != 0) {
        end_h2(x);
    } else if (x->plan.framing == HTTP_BODY_CHUNKED) {
        (void)wire_write(&c->wire, HTTP_CHUNK_LAST);
        (void)wire_write(&c->wire, cs_buf_view(&x->reply_trailers));
        (void)wire_write(&c->wire, HTTP_CHUNK_TAIL);
    }
    exchange_done(x);
    exchange_over(x);
    if (x->id == 0) again(c, !x->plan.keep_alive || !whole || c->close_after || c->w->draining);
}

void client_cut(exchange *x) {
    conn *c = x->c;
    if (x->id == 0) {
        conn_close(c);
        return;
    }
    http2_reset(c->h2, x->id, true);
    exchange_over(x);
}

static void answer_h2(exchange *x, cs_view message) {
    http2 *h2 = x->c->h2;
    const uint8_t *end = memmem(message.p, message.n, "\r\n\r\n", 4);
    size_t head = end != NULL ? (size_t)(end - message.p) + 4 : message.n;
    cs_view body = cs_view_of(message.p + head, message.n - head);
    if (!http2_answer(h2, x->id, cs_view_of(message.p, head), body.n == 0)) return;
    if (body.n > 0) (void)http2_write(h2, x->id, body);
    (void)http2_end(h2, x->id, cs_view_of(NULL, 0));
    http2_forget(h2, x->id);
}

void client_answer(exchange *x, cs_view message, bool close) {
    conn *c = x->c;
    if (x->id != 0)
        answer_h2(x, message);
    else if (!wire_write(&c->wire, message))
        c->wire.broken = true;
    exchange_done(x);
    exchange_over(x);
    if (x->id == 0) again(c, close);
}
