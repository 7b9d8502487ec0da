/* The octets of one socket, in the clear or through TLS: a client's or an upstream's. */
#include <stdlib.h>
#include <string.h>

#include "gate/gate_priv.h"

void flow_eat(flow *f, size_t n) {
    f->at += n;
    if (f->at < f->b.n) return;
    f->at = 0;
    if (f->b.cap > (size_t)GATE_BULK) {
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

void flow_free(flow *f) {
    cs_buf_free(&f->b);
    f->at = 0;
}

void wire_init(wire *w, int fd, tls_conn *take_tls) {
    *w = (wire){.fd = fd, .high = GATE_FLOW_HIGH, .tls = take_tls};
    w->in.b = cs_buf_of(GATE_FLOW_MAX);
    w->out.b = cs_buf_of(GATE_FLOW_MAX);
}

void wire_free(wire *w) {
    tls_conn_free(w->tls);
    w->tls = NULL;
    free(w->said);
    w->said = NULL;
    flow_free(&w->in);
    flow_free(&w->out);
}

size_t wire_pending(const wire *w) {
    return flow_size(&w->out) + (w->tls != NULL ? tls_conn_out(w->tls).n : 0);
}

/* Through TLS, what waits goes as one record. */
static bool encrypt(wire *w, cs_view data) {
    cs_err err;
    if (tls_conn_write(w->tls, data, &err) != CS_OK) w->broken = true;
    return !w->broken;
}

static bool seal(wire *w) {
    if (w->tls == NULL || w->shaking || flow_size(&w->out) == 0) return true;
    bool ok = encrypt(w, flow_view(&w->out));
    flow_eat(&w->out, flow_size(&w->out));
    return ok;
}

bool wire_write(wire *w, cs_view data) {
    if (w->broken) return false;
    bool small = w->tls == NULL || w->shaking || flow_size(&w->out) + data.n <= WIRE_RECORD;
    if (!small) return seal(w) && (data.n >= WIRE_RECORD / 2 ? encrypt(w, data) : wire_write(w, data));
    if (!flow_add(&w->out, data)) w->broken = true;
    return !w->broken;
}

void wire_end(wire *w) {
    if (w->tls == NULL) return;
    (void)seal(w);
    tls_conn_close(w->tls);
}

/* What the socket takes of it. */
static cs_status send_some(wire *w, cs_view v, size_t *n) {
    cs_err err;
    cs_status s = net_send(w->fd, v.p, v.n, n, &err);
    if (s != CS_OK && s != CS_AGAIN) w->broken = true;
    return s;
}

void wire_flush(wire *w) {
    if (w->broken || !seal(w)) return;
    for (;;) {
        size_t n = 0;
        cs_view v = w->tls != NULL ? tls_conn_out(w->tls) : flow_view(&w->out);
        if (v.n == 0 || send_some(w, v, &n) != CS_OK) return;
        if (w->tls != NULL)
            tls_conn_sent(w->tls, n);
        else
            flow_eat(&w->out, n);
    }
}

void wire_alert(wire *w, cs_reason r) {
    if (w->tls == NULL || w->shaking || w->broken || !seal(w)) return;
    tls_conn_alert(w->tls, r);
    wire_flush(w);
}

/* What came that was not yet looked at, or `data`. True: there is something new to see. A peer that breaks the rules is
 * told so before it is let go. */
static bool open_some(wire *w, cs_view data) {
    cs_err err;
    compact(&w->in);
    size_t before = w->in.b.n;
    cs_status s = tls_conn_open(w->tls, data, w->in.at + w->high, &w->in.b, &err);
    bool moved = w->in.b.n != before;
    if (s == CS_OK && !tls_conn_ended(w->tls)) return moved;
    w->eof = true;
    w->clean_eof = s == CS_OK;
    if (s == CS_OK) return true;
    w->why = err.reason;
    w->said = strdup(err.detail);
    flow_eat(&w->out, flow_size(&w->out));
    wire_flush(w);
    w->broken = true;
    return true;
}

bool wire_decrypt(wire *w) {
    if (w->tls == NULL || w->eof || w->broken || flow_size(&w->in) >= w->high) return false;
    return open_some(w, cs_view_of(NULL, 0));
}

static bool take(wire *w, bool tls, cs_view v) {
    if (!tls) return flow_add(&w->in, v);
    (void)open_some(w, v);
    return !w->broken;
}

/* Much in a row goes where it belongs without the copy. */
static cs_status read_much(wire *w, size_t most, size_t *n) {
    cs_err err;
    uint8_t *p = flow_room(&w->in, most);
    if (p == NULL) return CS_NOMEM_ERR(&err);
    cs_status s = net_recv(w->fd, p, most, n, &err);
    if (s == CS_OK) cs_buf_commit(&w->in.b, *n);
    return s;
}

/* All is read into a buffer of the thread first: a connection holds what has come, not room for what may come, or the
 * heap of ten thousand idle ones would be full of holes of that size. */
void wire_fill(wire *w) {
    static _Thread_local uint8_t shared[GATE_BULK];
    cs_err err;
    bool tls = w->tls != NULL && !w->clear;
    while (!w->shut && (tls || flow_size(&w->in) < w->high)) {
        size_t n = 0;
        size_t most = w->high < GATE_READ ? w->high : w->much ? GATE_BULK : GATE_READ;
        bool direct = !tls && w->much && w->high >= GATE_BULK;
        cs_status s = direct ? read_much(w, most, &n) : net_recv(w->fd, shared, most, &n, &err);
        if (s == CS_AGAIN) return;
        w->much = n == most;
        if (s != CS_OK || (n > 0 && !direct && !take(w, tls, cs_view_of(shared, n)))) {
            w->broken = true;
            n = 0;
        }
        if (n == 0) {
            w->shut = true;
            if (tls)
                tls_conn_eof(w->tls);
            else
                w->eof = w->clean_eof = true;
        }
        if (tls || n < most || direct) return;
    }
}

void wire_idle(wire *w) {
    flow *both[] = {&w->in, &w->out};
    for (int i = 0; i < 2; i++) {
        if (both[i]->b.cap == 0 || flow_size(both[i]) > 0) continue;
        flow_free(both[i]);
        both[i]->b = cs_buf_of(GATE_FLOW_MAX);
    }
    if (w->tls != NULL) tls_conn_idle(w->tls);
}
