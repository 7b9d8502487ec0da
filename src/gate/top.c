/* What goes on now, for `countersign top`: each worker leaves a picture of itself while somebody looks; the main thread
 * puts them together. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "gate/gate_priv.h"

enum { LOOKED = 5 * CS_SEC, SLOW_FOR = CS_MIN };

void top_note(exchange *x) {
    worker *w = x->c->w;
    cs_time now = loop_now(w->loop), took = now - x->began;
    top_slow *least = &w->slow[0];
    for (unsigned i = 0; i < TOP_SLOW; i++) {
        if (now - w->slow[i].at > SLOW_FOR) w->slow[i].took = 0;
        if (w->slow[i].took < least->took) least = &w->slow[i];
    }
    if (took <= least->took) return;
    *least = (top_slow){.took = took, .at = now, .status = x->status};
    memcpy(least->what, x->what, sizeof least->what);
    (void)snprintf(least->who, sizeof least->who, "%.99s", x->c->who != NULL ? x->c->who : "");
}

static void picture_of(const conn *c, top_conn *t) {
    char text[NET_TEXT_MAX];
    *t = (top_conn){.since = c->began, .requests = c->requests, .streams = c->exchange_count};
    (void)snprintf(t->who, sizeof t->who, "%.99s", c->who != NULL ? c->who : "");
    (void)snprintf(t->kind, sizeof t->kind, "%s", c->who != NULL ? cs_kind_name(c->kind) : "");
    (void)snprintf(t->peer, sizeof t->peer, "%.63s", net_addr_text(&c->peer, true, text));
    (void)snprintf(t->site, sizeof t->site, "%.63s", c->site != NULL ? c->site->conf->name : "");
    const cs_cert *leaf = c->who != NULL ? tls_conn_peer(c->wire.tls)->leaf : NULL;
    if (leaf != NULL && leaf->serial.n <= CS_SERIAL_MAX) (void)cs_hex(leaf->serial, t->serial);
    t->protocol = c->h2 != NULL ? "h2" : c->state == CONN_TUNNEL ? "stream" : c->state <= CONN_TLS ? "tls" : "http/1.1";
}

void top_look(worker *w) {
    gate *g = w->g;
    if (cs_mono(worker_clock(w)) > atomic_load(&g->looked_until)) return;
    (void)pthread_mutex_lock(&g->lock);
    w->top.count = 0;
    for (const conn *c = w->conns; c != NULL && w->top.count < TOP_CONNS; c = c->next)
        if (c->wire.tls != NULL || c->site != NULL) picture_of(c, &w->top.conns[w->top.count++]);
    memcpy(w->top.slow, w->slow, sizeof w->top.slow);
    w->top.at = cs_mono(worker_clock(w));
    (void)pthread_mutex_unlock(&g->lock);
}

static void add_conn(cs_json *j, const top_conn *t, cs_time now) {
    cs_json_object(j, NULL);
    cs_json_str(j, "identity", t->who);
    cs_json_str(j, "kind", t->kind);
    if (t->serial[0] != '\0') cs_json_str(j, "serial", t->serial);
    cs_json_str(j, "peer", t->peer);
    cs_json_str(j, "site", t->site);
    cs_json_str(j, "protocol", t->protocol);
    cs_json_int(j, "seconds", (now - t->since) / CS_SEC);
    cs_json_int(j, "requests", (int64_t)t->requests);
    cs_json_int(j, "at_once", t->streams);
    cs_json_object_end(j);
}

static void add_slow(cs_json *j, const top_slow *s) {
    cs_json_object(j, NULL);
    cs_json_int(j, "microseconds", s->took);
    cs_json_int(j, "status", s->status);
    cs_json_str(j, "identity", s->who);
    cs_json_str(j, "request", s->what);
    cs_json_object_end(j);
}

static void add_refused(const gate *g, cs_json *j) {
    static const metric all[] = {METRIC_HANDSHAKES_REFUSED, METRIC_REQUESTS_REFUSED, METRIC_CONNECTIONS_REFUSED,
                                 METRIC_CONNECTIONS_CLOSED};
    cs_json_object(j, "refused");
    for (unsigned r = 1; r < CS_R_COUNT_; r++) {
        int64_t n = 0;
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) n += metrics_read(g->metrics, all[i], r);
        if (n > 0) cs_json_int(j, cs_reason_of((cs_reason)r)->name, n);
    }
    cs_json_object_end(j);
}

static void add_totals(const gate *g, cs_json *j) {
    const metrics *m = g->metrics;
    int64_t requests = 0;
    for (unsigned i = METRIC_1XX; i <= METRIC_5XX; i++) requests += metrics_read(m, METRIC_REQUESTS, i);
    cs_json_int(j, "open", atomic_load(&g->connections));
    cs_json_int(j, "full",
                metrics_read(m, METRIC_HANDSHAKES, METRIC_TLS12_FULL) +
                    metrics_read(m, METRIC_HANDSHAKES, METRIC_TLS13_FULL));
    cs_json_int(j, "resumed",
                metrics_read(m, METRIC_HANDSHAKES, METRIC_TLS12_RESUMED) +
                    metrics_read(m, METRIC_HANDSHAKES, METRIC_TLS13_RESUMED));
    cs_json_int(j, "requests", requests);
    cs_json_int(j, "streams", metrics_read(m, METRIC_STREAMS, 0));
    cs_json_int(j, "bytes_in", metrics_read(m, METRIC_BYTES, METRIC_IN));
    cs_json_int(j, "bytes_out", metrics_read(m, METRIC_BYTES, METRIC_OUT));
}

static void add_pictures(const gate *g, cs_json *j, cs_time now) {
    cs_json_array(j, "connected");
    for (unsigned i = 0; i < g->worker_count; i++) {
        const top_picture *t = &g->workers[i].top;
        for (unsigned k = 0; now - t->at < LOOKED && k < t->count; k++) add_conn(j, &t->conns[k], now);
    }
    cs_json_array_end(j);
    cs_json_array(j, "slowest");
    for (unsigned i = 0; i < g->worker_count; i++)
        for (unsigned k = 0; k < TOP_SLOW; k++) {
            const top_slow *s = &g->workers[i].top.slow[k];
            if (s->took > 0 && now - s->at <= SLOW_FOR) add_slow(j, s);
        }
    cs_json_array_end(j);
}

void top_render(gate *g, cs_buf *b) {
    cs_time now = cs_mono(g->clock);
    cs_json j = cs_json_to(b);
    atomic_store(&g->looked_until, now + LOOKED);
    cs_json_object(&j, NULL);
    cs_json_int(&j, "microseconds", now);
    add_totals(g, &j);
    add_refused(g, &j);
    (void)pthread_mutex_lock(&g->lock);
    add_pictures(g, &j, now);
    (void)pthread_mutex_unlock(&g->lock);
    cs_json_object_end(&j);
    (void)cs_buf_add_byte(b, '\n');
}
