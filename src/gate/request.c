/* A request's head: whose it is, where it leads, whether it may. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "gate/gate_priv.h"

enum { LINES_MAX = 64 * 1024 };

void request_refuse(exchange *x, const cs_err *err) {
    conn *c = x->c;
    bool whole = c->state == CONN_RELAY && x->body.done;
    bool close = !whole || c->close_after || !x->keep_alive || c->w->draining;
    CS_SCOPED(cs_buf) out = cs_buf_of(16 * 1024);
    http_reply shape = {
        .head_only = x->method == HTTP_HEAD, .close = close && x->id == 0, .date = cs_now(worker_clock(c->w))};
    x->status = (unsigned)cs_reason_of(err->reason)->http;
    metrics_count(c->w->slab, METRIC_REQUESTS_REFUSED, (unsigned)err->reason);
    say_refused_request(x, err);
    if (!http_problem_add(&out, err, false, &shape)) c->wire.broken = true;
    client_answer(x, cs_buf_view(&out), close);
}

static cs_status to_authority(exchange *x) {
    x->group = x->policy->authority;
    x->authority = true;
    return CS_OK;
}

/* The request must be for the site that the handshake was made for: another site may trust other clients. */
static cs_status check_host(conn *c, const http_head *h, cs_err *err) {
    if (h->http10 && h->host.n == 0) return CS_OK;
    const gate_door *door = policy_door(c->policy, c->listen);
    tls_site *meant = door != NULL ? tls_front_find(door->front, h->host) : NULL;
    if (meant != NULL && tls_site_user(meant) == c->site) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_HOST_MISDIRECTED, "Host %.*s on a connection to %s", (int)h->host.n,
                   (const char *)h->host.p, c->site->conf->name);
}

static const cs_cert *leaf_of(const conn *c) {
    return c->wire.tls != NULL ? tls_conn_peer(c->wire.tls)->leaf : NULL;
}

static cs_status find_route(const conn *c, const http_head *h, const gate_route **ret, cs_err *err) {
    bool clean = http_path_is_clean(h->path) || cs_view_eq_str(h->path, "*");
    bool guarded = c->site->conf->route_count > 0 || c->site->conf->authority || c->site->enroll;
    if (guarded && !clean)
        return cs_fail(err, CS_REFUSED, CS_R_HTTP_MALFORMED, "%s", "a path that servers read differently");
    const gate_route *route = policy_route(c->site, h->host, h->method, h->path);
    if (route == NULL) return cs_fail(err, CS_REFUSED, CS_R_ROUTE_UNKNOWN, "%s", "no route for this path");
    if (route->allow_count > 0 && c->who == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_REQUIRED, "route %.*s", (int)route->path.n,
                       (const char *)route->path.p);
    if (!policy_allows(route, c->kind, c->who, leaf_of(c)))
        return cs_fail(err, CS_REFUSED, CS_R_IDENTITY_NOT_ALLOWED, "route %.*s", (int)route->path.n,
                       (const char *)route->path.p);
    *ret = route;
    return CS_OK;
}

static size_t line_end(const cs_buf *b, size_t at) {
    const uint8_t *lf = at < b->n ? memchr(b->p + at, '\n', b->n - at) : NULL;
    return lf != NULL ? (size_t)(lf - b->p) + 1 : b->n;
}

/* Of what was sent on, x->head, only the first two lines matter: the request's and Host, which is empty where HTTP/1.0
 * named none. */
cs_status request_again(const exchange *x, cs_err *err) {
    worker *w = x->w;
    const gate_route *route = NULL;
    if (x->route == NULL || x->up == NULL) return CS_OK; /* a stream's, the authority's, or answered by us */
    size_t scanned = 0, first = line_end(&x->head, 0), n = line_end(&x->head, first);
    bool nameless = x->http10 && n - first == sizeof "Host: \r\n" - 1;
    if (nameless) n = first;
    w->scratch.max = CS_HTTP_HEADERS_MAX + 2048;
    w->scratch.failed = false;
    cs_buf_clear(&w->scratch);
    if (!cs_buf_add(&w->scratch, x->head.p, n) || !cs_buf_add_str(&w->scratch, "\r\n")) return CS_NOMEM_ERR(err);
    if (nameless && first > 3) w->scratch.p[first - 3] = '0';
    TRY(http_request_parse(cs_buf_view(&w->scratch), &scanned, &w->head, err));
    return find_route(x->c, &w->head, &route, err);
}

static cs_status choose(exchange *x, const http_head *h, cs_err *err) {
    conn *c = x->c;
    bool authority = false;
    if (c->role == METRIC_LISTENER_HTTP) {
        TRY(doors_plain(worker_conf(c->w), h, err));
        return to_authority(x);
    }
    TRY(check_host(c, h, err));
    TRY(doors_tls(c, h, &authority, err));
    if (authority) return to_authority(x);
    TRY(find_route(c, h, &x->route, err));
    x->group = x->route->group;
    return CS_OK;
}

/* What the upstream is told about the client. Many connections ask once and then wait for long: only from the second
 * request on is it kept. */
static cs_status tell(conn *c, cs_buf **ret, cs_err *err) {
    char text[NET_TEXT_MAX], subject[CS_NAME_TEXT_MAX + 1];
    cs_view chain[CS_PATH_MAX];
    size_t count = 0;
    *ret = &c->lines;
    if (c->lines.n > 0) return CS_OK;
    if (c->requests == 0) {
        *ret = &c->w->lines;
        c->w->lines.max = LINES_MAX;
        c->w->lines.failed = false;
        cs_buf_clear(&c->w->lines);
    }
    const tls_peer *peer = c->wire.tls != NULL ? tls_conn_peer(c->wire.tls) : NULL;
    TRY(http_forwarded_render(net_addr_text(&c->peer, false, text), c->wire.tls != NULL, *ret, err));
    if (peer == NULL || peer->leaf == NULL) return http_identity_render_none(HTTP_TELL_ALL, *ret, err);
    for (size_t i = 1; i + 1 < peer->chain.n && count < CS_PATH_MAX; i++) chain[count++] = peer->chain.at[i]->der;
    const http_identity id = {.kind = cs_kind_name(c->kind),
                              .name = c->who != NULL ? c->who : "",
                              .subject = cs_name_text(peer->leaf->subject, subject),
                              .serial = peer->leaf->serial,
                              .sha256 = cs_view_of(peer->leaf->sha256, 32),
                              .leaf = peer->leaf->der,
                              .chain = chain,
                              .chain_count = count,
                              .sans = peer->leaf->sans,
                              .san_count = peer->leaf->san_count,
                              .verified = peer->vendor ? "vendor"
                                          : peer->late ? cs_reason_of(CS_R_CERTIFICATE_EXPIRED)->name
                                                       : "success"};
    return http_identity_render(&id, HTTP_TELL_ALL, *ret, err);
}

/* A client over HTTP/2 sends no key: the upstream is asked with one of ours. */
static cs_status make_key(exchange *x, cs_buf **lines, cs_err *err) {
    worker *w = x->c->w;
    cs_buf *more = &w->scratch;
    if (x->authority)
        return cs_fail(err, CS_REFUSED, CS_R_HTTP_METHOD_NOT_ALLOWED, "%s", "the authority has no WebSocket");
    more->max = LINES_MAX + 2048;
    more->failed = false;
    cs_buf_clear(more);
    TRY(http_websocket_key_add(w->g->rng, more, err));
    size_t name = sizeof "Sec-WebSocket-Key: " - 1;
    (void)http_websocket_accept(cs_view_of(more->p + name, more->n - name - 2), x->accept);
    if (!cs_buf_add_view(more, cs_buf_view(*lines))) return CS_NOMEM_ERR(err);
    *lines = more;
    return CS_OK;
}

/* EST's door of the authority may ask whether the request was made for this connection. */
static cs_status add_binding(const exchange *x, const http_head *h, cs_buf **lines, cs_err *err) {
    worker *w = x->c->w;
    cs_buf *more = &w->scratch;
    cs_view binding = x->c->wire.tls != NULL ? tls_conn_binding(x->c->wire.tls) : cs_view_of(NULL, 0);
    if (!x->authority || binding.n == 0 || !cs_view_starts(h->path, CS_VIEW_LIT("/.well-known/est/"))) return CS_OK;
    more->max = LINES_MAX + 2048;
    more->failed = false;
    cs_buf_clear(more);
    (void)cs_buf_add_view(more, cs_buf_view(*lines));
    (void)cs_buf_add_str(more, "X-Countersign-Channel-Binding: ");
    (void)cs_base64_add(more, binding);
    (void)cs_buf_add_str(more, "\r\n");
    *lines = more;
    return cs_buf_ok(more, "what the authority is told", err);
}

static cs_status prepare(exchange *x, const http_head *h, cs_err *err) {
    conn *c = x->c;
    uint64_t most = worker_conf(c->w)->limits.body;
    if (most > 0 && h->framing == HTTP_BODY_LENGTH && h->length > most)
        return cs_fail(err, CS_LIMIT, CS_R_HTTP_BODY_TOO_LARGE, "limits.body is %llu", (unsigned long long)most);
    TRY(choose(x, h, err));
    if (x->upgrade && x->group->http2 && x->id == 0) { /* we must answer the key */
        cs_view key = {NULL, 0};
        if (!http_head_get(h, "sec-websocket-key", &key) || !http_websocket_accept(key, x->accept))
            return cs_fail(err, CS_REFUSED, CS_R_HTTP_MALFORMED, "%s", "a WebSocket without a key");
    }
    cs_buf *lines = NULL;
    TRY(tell(c, &lines, err));
    if (x->upgrade && x->id != 0) TRY(make_key(x, &lines, err));
    TRY(add_binding(x, h, &lines, err));
    if (!http_request_rebuild(h, cs_buf_view(lines), !x->authority, &x->head))
        return cs_fail(err, CS_LIMIT, CS_R_HTTP_HEADER_TOO_LARGE, "%s", "with what the upstream is told");
    return CS_OK;
}

/* What the exchange must know of its request beyond the head. */
static void note(exchange *x, const http_head *h) {
    int n = h->path.n < 120 ? (int)h->path.n : 120;
    (void)snprintf(x->what, sizeof x->what, "%.*s %.*s", h->method.n < 20 ? (int)h->method.n : 20,
                   (const char *)h->method.p, n, (const char *)h->path.p);
    x->method = h->method_id;
    x->http10 = h->http10;
    x->keep_alive = h->keep_alive;
    x->upgrade = h->upgrade; /* over HTTP/2 only what CONNECT asked for: it has no such fields */
    x->framing = h->framing;
    x->trailers_welcome = http_trailers_welcome(h);
    http_body_init(&x->body, h, worker_conf(x->c->w)->limits.body);
    x->body.keep = &x->ask_trailers;
}

cs_status request_begin(conn *c) {
    cs_err err;
    http_head *h = &c->w->head;
    cs_status s = http_request_parse(flow_view(&c->wire.in), &c->scanned, h, &err);
    if (s == CS_AGAIN) {
        if (c->wire.eof) conn_finish(c);
        return CS_AGAIN;
    }
    exchange *x = exchange_new(c);
    if (x == NULL) return CS_AGAIN;
    if (s != CS_OK) { /* where the next message begins is unknown */
        c->close_after = true;
        request_refuse(x, &err);
        return CS_OK;
    }
    note(x, h);
    if (c->role == METRIC_LISTENER_METRICS) {
        size_t size = h->size;
        own_metrics(c, h);
        flow_eat(&c->wire.in, size);
        return CS_OK;
    }
    s = prepare(x, h, &err);
    flow_eat(&c->wire.in, h->size);
    c->state = CONN_RELAY;
    if (s == CS_OK)
        relay_start(x);
    else
        request_refuse(x, &err);
    return CS_OK;
}

void request_begin_h2(exchange *x) {
    cs_err err;
    http_head *h = &x->c->w->head;
    size_t scanned = 0;
    x->begun = true;
    cs_status s = http_request_parse(flow_view(&x->asked), &scanned, h, &err);
    if (s == CS_AGAIN) s = cs_fail(&err, CS_REFUSED, CS_R_HTTP_MALFORMED, "%s", "no whole head");
    x->keep_alive = true;
    if (s == CS_OK) {
        note(x, h);
        x->keep_alive = true;
        s = prepare(x, h, &err);
        flow_eat(&x->asked, h->size);
    }
    if (s == CS_OK)
        relay_start(x);
    else
        request_refuse(x, &err);
}
