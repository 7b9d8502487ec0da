/* A stream behind mutual TLS: any protocol, octet by octet; also what HTTP becomes after 101. Each side is read only as
 * fast as the other takes, and each direction ends for itself. */
#include "gate/gate_priv.h"

bool stream_allowed(const gate_site *site, const conn *c) {
    if (c->wire.tls == NULL) return site->conf->plain;
    const cs_cert *leaf = tls_conn_peer(c->wire.tls)->leaf;
    return site->conf->protocol == CONF_TCP && policy_allows(&site->routes[0], c->kind, c->who, leaf);
}

void stream_failed(conn *c, const cs_err *err) {
    metrics_count(c->w->slab, METRIC_UPSTREAM_FAILURES, (unsigned)err->reason);
    gate_failed(c->w->g, err);
    say_closed(c, err);
    if (c->wire.tls == NULL) net_reset(c->wire.fd); /* its client must not take what came for all there is */
    if (c->wire.tls == NULL)
        conn_close(c);
    else
        conn_finish(c);
}

/* The upstream ended without saying so: by an alert, by broken records, by silence. */
static bool cut(exchange *x) {
    cs_err err;
    const wire *w = &x->up->wire;
    if (x->up_id != 0 || !w->broken || w->why == CS_R_NONE) return false;
    (void)cs_fail(&err, CS_FAILED, w->why, "%s: %s", x->up->server->text, w->said != NULL ? w->said : "");
    stream_failed(x->c, &err);
    return true;
}

void stream_start(conn *c) {
    cs_err err;
    exchange *x = exchange_new(c);
    if (x == NULL) return;
    x->stream = x->tunnel = x->keep_alive = true;
    x->group = c->site->group;
    if (!stream_allowed(c->site, c)) {
        (void)cs_fail(&err, CS_REFUSED, CS_R_IDENTITY_NOT_ALLOWED, "site %s", c->site->conf->name);
        metrics_count(c->w->slab, METRIC_REQUESTS_REFUSED, (unsigned)err.reason);
        say_closed(c, &err);
        conn_finish(c);
        return;
    }
    c->state = CONN_TUNNEL;
    stream_connect(x);
}

/* A stream has a connection of its own, from its first octet. */
void stream_connect(exchange *x) {
    cs_err err;
    conn *c = x->c;
    while (upstream_get(x, true, &err) != CS_OK)
        if (++x->tried >= x->group->count) {
            relay_failed(x, CS_R_UPSTREAM_UNREACHABLE, err.detail);
            return;
        }
    if (!c->site->conf->proxy_protocol) return;
    CS_SCOPED(cs_buf) header = cs_buf_of(8192);
    if (proxy_header_add(c, &header) && wire_write(&x->up->wire, cs_buf_view(&header))) return;
    (void)CS_NOMEM_ERR(&err);
    stream_failed(c, &err);
}

/* Over HTTP/2 the answer to CONNECT is 200 and says nothing of the upgrade; in HTTP/1.1 it is 101 and all of it. @rfc
 * 8441#5 */
void stream_switch(exchange *x, http_head *h) {
    const http_reply_plan plan = {.framing = HTTP_BODY_NONE, .keep_alive = true};
    for (unsigned i = 0; i < h->field_count; i++)
        if (cs_view_eq_nocase(h->fields[i].name, CS_VIEW_LIT("sec-websocket-accept")) && (x->id != 0 || x->up_id != 0))
            h->fields[i].id = HTTP_F_HOP;
    if (x->id == 0 && x->up_id != 0 && h->field_count < CS_HTTP_HEADER_COUNT)
        h->fields[h->field_count++] = (http_field){.name = CS_VIEW_LIT("Sec-WebSocket-Accept"),
                                                   .value = cs_view_of(x->accept, HTTP_WEBSOCKET_ACCEPT)};
    h->upgrade = x->id == 0;
    h->status = x->status = h->upgrade ? 101 : 200;
    h->phrase = cs_view_str(http_phrase(h->status));
    h->has_length = h->interim = false;
    if (!client_send_head(x, h, &plan, false) && x->id == 0) x->c->wire.broken = true;
    x->replied = x->tunnel = true;
    if (x->id == 0) x->c->state = CONN_TUNNEL;
}

static void done(exchange *x) {
    conn *c = x->c;
    worker *w = c->w;
    if (x->stream) {
        metrics_count(w->slab, METRIC_STREAMS, 0);
        metrics_add(w->slab, METRIC_BYTES, METRIC_IN, (int64_t)x->octets_in);
        metrics_add(w->slab, METRIC_BYTES, METRIC_OUT, (int64_t)x->octets_out);
        if (worker_conf(w)->access_log) say_stream(x);
    } else {
        exchange_done(x);
    }
    if (x->id == 0)
        conn_finish(c);
    else
        exchange_over(x);
}

/* It takes no more. */
static bool up_failed(const exchange *x) {
    return x->up_id != 0 ? x->got_broken : x->up->failed;
}

static bool to_upstream(exchange *x) {
    cs_view v = client_octets(x);
    if (v.n == 0) return false;
    if (up_failed(x)) {
        client_eat(x, v.n);
        return false;
    }
    if (!up_room(x)) return false;
    up_write(x, v);
    x->octets_in += v.n;
    client_eat(x, v.n);
    upstream_flush(x->up);
    return true;
}

static bool to_client(exchange *x) {
    cs_view v = up_octets(x);
    if (v.n == 0 || !client_room(x)) return false;
    if (x->id != 0)
        (void)http2_write(x->c->h2, x->id, v);
    else
        (void)wire_write(&x->c->wire, v);
    x->octets_out += v.n;
    up_eat(x, v.n);
    if (x->up_id != 0) upstream_flush(x->up); /* the window is open again */
    return true;
}

/* An end is passed on when all before it was. */
static bool pass_ends(exchange *x) {
    bool moved = false;
    const upconn *u = x->up;
    bool waits = x->up_id == 0 && wire_pending(&u->wire) > 0;
    bool from_client = client_over(x) && (!waits || up_failed(x));
    bool broken = x->up_id != 0 ? x->got_broken : u->wire.broken;
    bool over = broken || (x->up_id != 0 ? x->got_end : upstream_eof(u));
    bool from_upstream = over && flow_size(x->up_id != 0 ? &x->got : &u->wire.in) == 0;
    if (x->id != 0 && from_upstream && broken) { /* no end in order */
        exchange_done(x);
        client_cut(x);
        return true;
    }
    if (x->stream && from_upstream && cut(x)) return true;
    if (from_client && u->connected && !x->told_up) {
        x->told_up = moved = true;
        up_shut(x);
    }
    bool takes = x->id != 0 || x->c->wire.tls != NULL || wire_pending(&x->c->wire) == 0;
    if (from_upstream && !x->told_client && takes) {
        x->told_client = moved = true;
        client_shut(x);
    }
    if (from_upstream && (from_client || up_failed(x))) {
        done(x);
        return true;
    }
    return moved;
}

bool stream_pump(exchange *x) {
    bool moved = to_upstream(x);
    moved = to_client(x) || moved;
    if (x->c->wire.broken) return moved;
    return pass_ends(x) || moved;
}
