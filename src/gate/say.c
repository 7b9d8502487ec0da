/* The gateway's events. One line each; what comes from outside is escaped by the log. */
#include "gate/gate_priv.h"

static void peer_fields(log_event *e, const conn *c) {
    char text[NET_TEXT_MAX];
    log_str(e, "peer", net_addr_text(&c->peer, true, text));
    if (c->wire.tls == NULL) return;
    const char *sni = tls_conn_sni(c->wire.tls);
    if (sni[0] != '\0') log_str(e, "sni", sni);
    log_str(e, "tls", tls_conn_version(c->wire.tls));
}

/* As everybody prints it. */
static cs_view plain_serial(const cs_cert *leaf) {
    cs_view serial = leaf->serial;
    return serial.n > 1 && serial.p[0] == 0 ? cs_view_of(serial.p + 1, serial.n - 1) : serial;
}

static void certificate_fields(log_event *e, const conn *c) {
    char name[CS_NAME_TEXT_MAX + 1];
    const tls_peer *peer = c->wire.tls != NULL ? tls_conn_peer(c->wire.tls) : NULL;
    if (peer == NULL || peer->leaf == NULL) return;
    log_str(e, "subject", cs_name_text(peer->leaf->subject, name));
    log_str(e, "issuer", cs_name_text(peer->leaf->issuer, name));
    log_hex(e, "serial", plain_serial(peer->leaf));
}

/* A flood is told by its metric and a few lines, not by a line for each. */
void say_refused_connection(worker *w, const net_addr *peer, const cs_err *err) {
    enum { LINES = 20 };
    char text[NET_TEXT_MAX];
    cs_time second = loop_now(w->loop) / CS_SEC;
    metrics_count(w->slab, METRIC_CONNECTIONS_REFUSED, (unsigned)err->reason);
    if (second != w->said_second) w->said_second = second, w->said = 0;
    if (++w->said > LINES) return;
    log_event e = log_begin(LOG_WARN, "connection-refused");
    log_fail(&e, err);
    log_str(&e, "peer", net_addr_text(peer, true, text));
    if (w->said == LINES) log_str(&e, "more", "not said this second");
    log_end(&e);
}

void say_refused_handshake(conn *c, const cs_err *err) {
    metrics_count(c->w->slab, METRIC_HANDSHAKES_REFUSED, (unsigned)err->reason);
    log_event e = log_begin(LOG_WARN, "handshake-refused");
    log_fail(&e, err);
    certificate_fields(&e, c);
    peer_fields(&e, c);
    log_end(&e);
}

void say_closed(conn *c, const cs_err *err) {
    metrics_count(c->w->slab, METRIC_CONNECTIONS_CLOSED, (unsigned)err->reason);
    log_event e = log_begin(LOG_WARN, "connection-closed");
    log_fail(&e, err);
    certificate_fields(&e, c);
    peer_fields(&e, c);
    log_end(&e);
}

/* By which certificate, and how the handshake went. */
static void admission_fields(log_event *e, const conn *c) {
    const tls_peer *peer = c->wire.tls != NULL ? tls_conn_peer(c->wire.tls) : NULL;
    if (peer == NULL) return;
    const char *group = tls_conn_group(c->wire.tls);
    if (group[0] != '\0') log_str(e, "group", group);
    log_str(e, "cipher", tls_conn_cipher(c->wire.tls));
    log_bool(e, "resumed", peer->resumed);
    if (peer->leaf == NULL) return;
    if (peer->took > 0) log_int(e, "verdict_microseconds", peer->took);
    log_hex(e, "serial", plain_serial(peer->leaf));
    log_hex(e, "fingerprint", cs_view_of(peer->leaf->sha256, 32));
}

static void request_fields(log_event *e, const exchange *x) {
    const conn *c = x->c;
    if (x->what[0] != '\0') log_str(e, "request", x->what);
    if (x->what[0] != '\0') log_str(e, "http", x->id != 0 ? "2" : x->http10 ? "1.0" : "1.1");
    if (c->who != NULL) log_str(e, "identity", c->who);
    if (c->site != NULL) log_str(e, "site", c->site->conf->name);
    if (x->route != NULL) log_str(e, "route", x->route->conf != NULL ? x->route->conf->path : "/");
    peer_fields(e, c);
    admission_fields(e, c);
}

void say_request(const exchange *x) {
    log_event e = log_begin(LOG_INFO, "request");
    log_int(&e, "status", x->status);
    log_int(&e, "in", (int64_t)x->octets_in);
    log_int(&e, "out", (int64_t)x->octets_out);
    log_int(&e, "microseconds", cs_mono(worker_clock(x->c->w)) - x->began);
    request_fields(&e, x);
    log_end(&e);
}

void say_stream(const exchange *x) {
    log_event e = log_begin(LOG_INFO, "stream");
    log_str(&e, "upstream", x->group->name);
    log_int(&e, "in", (int64_t)x->octets_in);
    log_int(&e, "out", (int64_t)x->octets_out);
    log_int(&e, "microseconds", cs_mono(worker_clock(x->c->w)) - x->began);
    request_fields(&e, x);
    log_end(&e);
}

void say_refused_request(const exchange *x, const cs_err *err) {
    log_event e = log_begin(LOG_INFO, "request-refused");
    log_fail(&e, err);
    log_int(&e, "status", x->status);
    request_fields(&e, x);
    log_end(&e);
}

void say_server(const gate_server *s, bool up, const char *why) {
    log_event e = log_begin(up ? LOG_INFO : LOG_WARN, up ? "upstream-up" : "upstream-down");
    log_str(&e, "upstream", s->text);
    if (!up) log_str(&e, "detail", why);
    log_end(&e);
}
