/* A stream behind mutual TLS: any protocol, octet by octet; also what HTTP becomes after 101. Each side is read only as
 * fast as the other takes, and each direction ends for itself. */
#include "gate/gate_priv.h"

bool stream_allowed(const gate_site *site, const cs_identity *who) {
    return site->conf->protocol == CONF_TCP && policy_allows(&site->routes[0], who);
}

void stream_failed(conn *c, const cs_err *err) {
    metrics_count(c->w->slab, METRIC_UPSTREAM_FAILURES, (unsigned)err->reason);
    say_closed(c, err);
    conn_finish(c);
}

void stream_start(conn *c) {
    cs_err err;
    exchange *x = &c->x;
    *x = (exchange){.stream = true, .began = loop_now(c->w->loop), .upstream = c->site->upstream};
    if (!stream_allowed(c->site, c->known ? &c->who : NULL)) {
        (void)cs_fail(&err, CS_REFUSED, CS_R_IDENTITY_NOT_ALLOWED, "site %s", c->site->conf->name);
        metrics_count(c->w->slab, METRIC_REQUESTS_REFUSED, (unsigned)err.reason);
        say_closed(c, &err);
        conn_finish(c);
        return;
    }
    c->state = CONN_TUNNEL;
    if (upstream_get(c->w, &x->upstream, true, c, &x->up, &err) != CS_OK) {
        relay_failed(c, &err);
        return;
    }
    if (c->site->conf->proxy_protocol && !proxy_header_add(c, &x->up->out.b)) {
        (void)CS_NOMEM_ERR(&err);
        stream_failed(c, &err);
    }
}

static void done(conn *c) {
    worker *w = c->w;
    exchange *x = &c->x;
    if (x->stream) {
        metrics_count(w->slab, METRIC_STREAMS, 0);
        metrics_add(w->slab, METRIC_BYTES, METRIC_IN, (int64_t)x->octets_in);
        metrics_add(w->slab, METRIC_BYTES, METRIC_OUT, (int64_t)x->octets_out);
        if (worker_conf(w)->access_log) say_stream(c);
    } else {
        request_done(c);
    }
    relay_drop(c);
    conn_finish(c);
}

static bool to_upstream(conn *c, upconn *u) {
    cs_view v = flow_view(&c->in);
    if (u->failed) flow_eat(&c->in, v.n);
    if (v.n == 0 || u->failed || flow_size(&u->out) >= GATE_FLOW_HIGH) return false;
    (void)flow_add(&u->out, v);
    c->x.octets_in += v.n;
    flow_eat(&c->in, v.n);
    upstream_flush(u);
    return true;
}

static bool to_client(conn *c, upconn *u) {
    cs_view v = flow_view(&u->in);
    if (v.n == 0 || conn_pending(c) >= GATE_FLOW_HIGH) return false;
    (void)conn_write(c, v);
    c->x.octets_out += v.n;
    flow_eat(&u->in, v.n);
    return true;
}

/* An end is passed on when all before it was. */
static bool pass_ends(conn *c, upconn *u) {
    bool moved = false;
    bool client_over = c->eof && flow_size(&c->in) == 0 && (flow_size(&u->out) == 0 || u->failed);
    bool upstream_over = u->eof && flow_size(&u->in) == 0;
    if (client_over && u->connected && !u->shut) {
        u->shut = moved = true;
        net_shutdown_write(u->fd);
    }
    if (upstream_over && !c->said_close) {
        c->said_close = moved = true;
        if (c->tls != NULL) tls_conn_close(c->tls);
    }
    if (upstream_over && (client_over || u->failed)) {
        done(c);
        return true;
    }
    return moved;
}

bool stream_pump(conn *c) {
    upconn *u = c->x.up;
    bool moved = to_upstream(c, u);
    moved = to_client(c, u) || moved;
    if (c->broken) return moved;
    return pass_ends(c, u) || moved;
}
