/* One request on its way: body to the upstream, response to the client, each side read only as fast as the other takes.
 */
#include <string.h>

#include "gate/gate_priv.h"

void relay_failed(exchange *x, cs_reason reason, const char *why) {
    cs_err err;
    if (x->authority && reason == CS_R_UPSTREAM_UNREACHABLE) reason = CS_R_AUTHORITY_UNREACHABLE;
    const char *at = x->up != NULL ? x->up->server->text : x->group->name;
    (void)cs_fail(&err, CS_FAILED, reason, "%s: %s", at, why);
    metrics_count(x->c->w->slab, METRIC_UPSTREAM_FAILURES, (unsigned)err.reason);
    up_drop(x, false);
    if (x->stream) {
        stream_failed(x->c, &err);
        return;
    }
    if (!x->replied) {
        request_refuse(x, &err);
        return;
    }
    say_refused_request(x, &err);
    client_cut(x);
}

/* Nothing of the body is gone before a connection stands, so that another server may have all of it. */
static bool start(exchange *x, bool fresh, cs_err *err) {
    return upstream_get(x, fresh, err) == CS_OK && (x->stream || up_ask(x, err) == CS_OK);
}

void relay_start(exchange *x) {
    if (!queue_wait(x)) relay_go(x);
}

void relay_go(exchange *x) {
    cs_err err;
    while (!start(x, false, &err)) {
        if (x->up != NULL || ++x->tried >= x->group->count) {
            relay_failed(x, CS_R_UPSTREAM_UNREACHABLE, err.detail);
            return;
        }
    }
}

void relay_unreachable(exchange *x, const char *why) {
    if (++x->tried >= x->group->count) {
        relay_failed(x, CS_R_UPSTREAM_UNREACHABLE, why);
        return;
    }
    up_drop(x, false);
    if (x->stream)
        stream_connect(x);
    else
        relay_start(x);
}

/* It closed before a single octet of an answer. A kept connection may do so at any time, innocently: the request is
 * sent once more, if it can be and if it does no harm to send it twice. @rfc 9110#9.2.2 */
static void upstream_gone(exchange *x) {
    cs_err err;
    bool harmless = x->method == HTTP_GET || x->method == HTTP_HEAD || x->method == HTTP_OPTIONS || x->got_refused;
    if (x->sent || !harmless || !up_untouched(x) || x->tried > x->group->count) {
        relay_failed(x, CS_R_UPSTREAM_FAILED, "it closed the connection before its answer was complete");
        return;
    }
    x->tried++;
    up_drop(x, false);
    if (!queue_wait(x) && !start(x, true, &err)) relay_failed(x, CS_R_UPSTREAM_UNREACHABLE, err.detail);
}

/* What comes drop by drop holds a connection, and one of the upstream's, for ever. */
static cs_status check_pace(exchange *x, cs_err *err) {
    unsigned rate = worker_conf(x->c->w)->limits.body_rate;
    cs_time now = loop_now(x->c->w->loop);
    if (x->waits_since > 0) x->waited += now - x->waits_since;
    x->waits_since = 0;
    cs_time over = x->waited / CS_SEC - GATE_BODY_GRACE;
    if (rate == 0 || over <= 0 || x->octets_in >= (uint64_t)over * rate) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_REQUEST_TIMEOUT,
                   "the body comes slower than limits.body_rate, %u octets a second", rate);
}

static bool pump_request(exchange *x) {
    cs_err err;
    bool moved = false;
    while (!x->body.done && x->up != NULL && up_room(x)) {
        size_t used = 0;
        cs_view data = {NULL, 0};
        cs_status s = client_read(x, &used, &data, &err);
        if (s == CS_OK) s = check_pace(x, &err);
        if (s == CS_AGAIN) {
            if (x->waits_since == 0) x->waits_since = loop_now(x->c->w->loop);
            if (client_gone(x)) conn_close(x->c);
            break;
        }
        if (s != CS_OK) {
            up_drop(x, false);
            x->c->close_after = x->c->close_after || x->id == 0;
            if (x->replied)
                client_cut(x);
            else
                request_refuse(x, &err);
            return true;
        }
        moved = true;
        x->octets_in += data.n;
        x->sent = x->sent || data.n > 0;
        up_write(x, data);
        client_eat(x, used);
        if (x->body.done) up_end(x);
        if (used == 0) break;
    }
    if (moved && x->up != NULL) upstream_flush(x->up);
    return moved;
}

static void end_exchange(exchange *x) {
    up_drop(x, x->up_keep && x->body.done);
    client_end(x);
}

/* Does the answer agree to the WebSocket that was asked for? In HTTP/1.1 by 101, in HTTP/2 by success. */
static bool switches(const exchange *x, const http_head *h) {
    return x->up_id != 0 ? x->upgrade && h->status / 100 == 2 : h->status == 101;
}

static void begin_tunnel(exchange *x, http_head *h) {
    cs_view proof = {NULL, 0};
    const char *wrong = NULL;
    if (!x->upgrade || (x->up_id == 0 && !h->upgrade))
        wrong = "it switches to a protocol that was not asked for";
    else if (x->up_id == 0 && x->id != 0 &&
             (!http_head_get(h, "sec-websocket-accept", &proof) || !cs_view_eq_str(proof, x->accept)))
        wrong = "its Sec-WebSocket-Accept does not answer the key";
    if (wrong != NULL) {
        relay_failed(x, CS_R_UPSTREAM_FAILED, wrong);
        return;
    }
    size_t size = h->size;
    stream_switch(x, h);
    up_head_eat(x, size);
}

/* True: the head of a response was handled, whichever kind it is. */
static bool pump_reply_head(exchange *x) {
    http_head *h = &x->c->w->head;
    cs_err err;
    cs_status s = up_head(x, h, &err);
    if (s == CS_AGAIN) {
        if (!up_over(x)) return false;
        upstream_gone(x);
        return true;
    }
    if (s != CS_OK) {
        relay_failed(x, CS_R_UPSTREAM_FAILED, err.detail);
        return true;
    }
    if (h->interim) {
        client_interim(x, h);
        up_head_eat(x, h->size);
        return true;
    }
    if (switches(x, h)) {
        begin_tunnel(x, h);
        return true;
    }
    if (x->upgrade && x->id != 0 && h->status / 100 == 2) { /* which the client would take for a yes */
        relay_failed(x, CS_R_UPSTREAM_FAILED, "it does not switch to WebSocket");
        return true;
    }
    x->status = h->status;
    x->up_keep = h->keep_alive && h->framing != HTTP_BODY_UNTIL_CLOSE;
    http_body_init(&x->reply, h, 0);
    x->reply.keep = &x->reply_trailers;
    if (x->up_id != 0) x->reply.done = x->got_end && flow_size(&x->got) == 0;
    client_head(x, h);
    up_head_eat(x, h->size);
    if (x->reply.done) end_exchange(x);
    return true;
}

static bool pump_reply_body(exchange *x) {
    cs_err err;
    bool moved = false;
    while (!x->reply.done && client_room(x)) {
        size_t used = 0;
        cs_view data = {NULL, 0};
        cs_status s = up_read(x, &used, &data, &err);
        if (s == CS_AGAIN) break;
        if (s != CS_OK) {
            relay_failed(x, CS_R_UPSTREAM_FAILED, err.detail);
            return true;
        }
        moved = true;
        client_write(x, data);
        up_eat(x, used);
    }
    if (x->up_id != 0 && moved) upstream_flush(x->up); /* windows that are open again */
    if (x->reply.done) end_exchange(x);
    return moved;
}

/* True: it was asked, or is over. */
static bool ask_late(exchange *x) {
    cs_err err;
    if (!up_settled(x)) return false;
    if (up_ask(x, &err) != CS_OK) relay_failed(x, CS_R_UPSTREAM_FAILED, err.detail);
    return true;
}

bool relay_pump(exchange *x) {
    if (x->tunnel) return stream_pump(x);
    if (x->up_waits) return ask_late(x);
    bool moved = pump_request(x);
    if (x->over || x->up == NULL || x->c->state == CONN_DEAD) return moved;
    if (!x->replied) moved = pump_reply_head(x) || moved;
    if (x->over || x->up == NULL || !x->replied || x->tunnel) return moved;
    return pump_reply_body(x) || moved;
}
