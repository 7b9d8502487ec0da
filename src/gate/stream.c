/* A stream behind mutual TLS: any protocol, octet by octet; also what HTTP becomes after 101. Each side is read only as
 * fast as the other takes, and each direction ends for itself. */
#include "gate/gate_priv.h"

bool stream_allowed(const gate_site *site, const conn *c) {
    const cs_cert *leaf = tls_conn_peer(c->wire.tls)->leaf;
    return site->conf->protocol == CONF_TCP && policy_allows(&site->routes[0], c->kind, c->who, leaf);
}

void stream_failed(conn *c, const cs_err *err) {
    metrics_count(c->w->slab, METRIC_UPSTREAM_FAILURES, (unsigned)err->reason);
    say_closed(c, err);
    conn_finish(c);
}

void stream_start(conn *c) {
    cs_err err;
    exchange *x = exchange_new(c);
    if (x == NULL) return;
    x->stream = x->keep_alive = true;
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

static void done(conn *c) {
    worker *w = c->w;
    exchange *x = c->x;
    if (x->stream) {
        metrics_count(w->slab, METRIC_STREAMS, 0);
        metrics_add(w->slab, METRIC_BYTES, METRIC_IN, (int64_t)x->octets_in);
        metrics_add(w->slab, METRIC_BYTES, METRIC_OUT, (int64_t)x->octets_out);
        if (worker_conf(w)->access_log) say_stream(x);
    } else {
        exchange_done(x);
    }
    conn_finish(c);
}

static bool to_upstream(conn *c, upconn *u) {
    flow *in = &c->wire.in;
    cs_view v = flow_view(in);
    if (u->failed) flow_eat(in, v.n);
    if (v.n == 0 || u->failed || !up_room(c->x)) return false;
    (void)wire_write(&u->wire, v);
    c->x->octets_in += v.n;
    flow_eat(in, v.n);
    upstream_flush(u);
    return true;
}

static bool to_client(conn *c, upconn *u) {
    if (u->connected) (void)wire_decrypt(&u->wire);
    cs_view v = flow_view(&u->wire.in);
    if (v.n == 0 || wire_pending(&c->wire) >= GATE_FLOW_HIGH) return false;
    (void)wire_write(&c->wire, v);
    c->x->octets_out += v.n;
    flow_eat(&u->wire.in, v.n);
    return true;
}

static void end_upstream(upconn *u) {
    u->shut = true;
    if (u->wire.tls == NULL) {
        net_shutdown_write(u->wire.fd);
        return;
    }
    wire_end(&u->wire);
    upstream_flush(u);
}

/* An end is passed on when all before it was. */
static bool pass_ends(conn *c, upconn *u) {
    bool moved = false;
    bool client_over = c->wire.eof && flow_size(&c->wire.in) == 0 && (wire_pending(&u->wire) == 0 || u->failed);
    bool upstream_over = upstream_eof(u) && flow_size(&u->wire.in) == 0;
    if (client_over && u->connected && !u->shut) {
        moved = true;
        end_upstream(u);
    }
    if (upstream_over && !c->said_close) {
        c->said_close = moved = true;
        wire_end(&c->wire);
    }
    if (upstream_over && (client_over || u->failed)) {
        done(c);
        return true;
    }
    return moved;
}

bool stream_pump(conn *c) {
    upconn *u = c->x->up;
    bool moved = to_upstream(c, u);
    moved = to_client(c, u) || moved;
    if (c->wire.broken) return moved;
    return pass_ends(c, u) || moved;
}
