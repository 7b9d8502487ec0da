/* HTTP/1.1 for EST, over a connection of our own: what fetch/call.h promises, without libcurl, which no program should
 * have to link for the sake of a certificate. One question a connection; https alone; the server is always judged. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "fetch/call.h"
#include "http/body.h"
#include "lib/call.h"

enum { READ_PIECE = 16 * 1024, RETRY_MAX = 366 * 24 * 3600 };

struct call {
    cs_trust *trust;
    cs_credential *who; /* NULL: nobody */
    unsigned timeout;
};

cs_status lib_call_new(cs_trust *trust, cs_credential *who, unsigned timeout, call **ret, cs_err *err) {
    call *c = *ret = calloc(1, sizeof *c);
    if (c == NULL) return CS_NOMEM_ERR(err);
    *c = (call){cs_trust_ref(trust), who != NULL ? cs_credential_ref(who) : NULL, timeout};
    return CS_OK;
}

void call_free(call *c) {
    if (c == NULL) return;
    cs_trust_free(c->trust);
    cs_credential_free(c->who);
    free(c);
}

/* A server whose certificate is not known yet is not asked by the library. */
cs_status call_trust(call *c, cs_view pem, cs_err *err) {
    (void)c, (void)pem;
    return cs_fail(err, CS_REFUSED, CS_R_SERVER_UNTRUSTED, "%s", "the library trusts what it is given, and no more");
}

void call_answer_free(call_answer *a) {
    cs_buf_free(&a->head);
    cs_buf_free(&a->body);
}

/* ---- the question ---- */

typedef struct url {
    char address[300], host[300]; /* with the port; as in Host */
    const char *path;
} url;

static cs_status parse(const char *text, url *ret, cs_err *err) {
    static const char scheme[] = "https://";
    size_t skip = sizeof scheme - 1, n = 0;
    if (strncmp(text, scheme, skip) != 0 || (n = strcspn(text + skip, "/?#")) == 0 || n > 255)
        return cs_fail(err, CS_REFUSED, CS_R_URI_INVALID, "\"%.200s\" is no https:// URL", text);
    for (const char *p = text; *p != '\0'; p++)
        if (*p <= 0x20 || *p == 0x7f || *p == '@' || *p == '#')
            return cs_fail(err, CS_REFUSED, CS_R_URI_INVALID, "\"%.200s\": not a character for a URL of a server",
                           text);
    (void)snprintf(ret->host, sizeof ret->host, "%.*s", (int)n, text + skip);
    const char *last = strrchr(ret->host, ':'), *bracket = strrchr(ret->host, ']');
    bool port = last != NULL && (bracket == NULL || last > bracket);
    (void)snprintf(ret->address, sizeof ret->address, "%s%s", ret->host, port ? "" : ":443");
    ret->path = text[skip + n] != '\0' ? text + skip + n : "/";
    return CS_OK;
}

static cs_status add_basic(const call_ask *ask, cs_buf *b, cs_err *err) {
    CS_SCOPED(cs_buf) plain = cs_buf_secret(4096);
    (void)cs_buf_addf(&plain, "%s:", ask->user);
    (void)cs_buf_add_view(&plain, cs_secret_view(ask->pass));
    TRY(cs_buf_ok(&plain, "user and token", err));
    (void)cs_buf_add_str(b, "Authorization: Basic ");
    (void)cs_base64_add(b, cs_buf_view(&plain));
    (void)cs_buf_add_str(b, "\r\n");
    return CS_OK;
}

static cs_status write_head(const url *u, const call_ask *ask, cs_buf *b, cs_err *err) {
    (void)cs_buf_addf(b,
                      "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: countersign\r\nAccept: */*\r\nConnection: close\r\n",
                      ask->body.n > 0 ? "POST" : "GET", u->path, u->host);
    for (size_t i = 0; i < ask->field_count; i++) (void)cs_buf_addf(b, "%s\r\n", ask->fields[i]);
    if (ask->body.n > 0)
        (void)cs_buf_addf(b, "Content-Type: %s\r\nContent-Length: %zu\r\n",
                          ask->type != NULL ? ask->type : "application/octet-stream", ask->body.n);
    if (ask->user != NULL && ask->pass != NULL) TRY(add_basic(ask, b, err));
    (void)cs_buf_add_str(b, "\r\n");
    return cs_buf_ok(b, "the question", err);
}

/* ---- the answer ---- */

typedef struct reading {
    cs_connection *c;
    cs_buf in;
    size_t at;
    bool ended;
} reading;

static cs_status more(reading *r, cs_err *err) {
    uint8_t piece[READ_PIECE];
    size_t n = 0;
    TRY(cs_read(r->c, piece, sizeof piece, &n, err));
    r->ended = n == 0;
    (void)cs_buf_add(&r->in, piece, n);
    return cs_buf_ok(&r->in, "the answer", err);
}

static cs_view left(const reading *r) {
    return cs_view_of(r->in.p + r->at, r->in.n - r->at);
}

static cs_status read_head(reading *r, const call_ask *ask, http_head *h, cs_err *err) {
    size_t scanned = 0;
    for (;;) {
        cs_status s = r->in.n > r->at
                          ? http_response_parse(left(r), &scanned, ask->body.n > 0 ? HTTP_POST : HTTP_GET, h, err)
                          : CS_AGAIN;
        if (s == CS_OK && !h->interim) return CS_OK;
        if (s == CS_OK) r->at += h->size;
        if (s != CS_OK && s != CS_AGAIN) return s;
        if (s == CS_AGAIN && r->ended)
            return cs_fail(err, CS_FAILED, CS_R_SERVER_ANSWER_INVALID, "%s", "it ended before its answer");
        if (s == CS_AGAIN) TRY(more(r, err));
    }
}

static cs_status read_body(reading *r, http_body *body, cs_buf *out, cs_err *err) {
    while (!body->done) {
        size_t used = 0;
        cs_view data = {NULL, 0};
        cs_status s = r->in.n > r->at ? http_body_read(body, left(r), &used, &data, err) : CS_AGAIN;
        if (s == CS_OK) {
            (void)cs_buf_add_view(out, data);
            r->at += used;
            TRY(cs_buf_ok(out, "the answer", err));
            if (used > 0 || body->done) continue;
        } else if (s != CS_AGAIN) {
            return s;
        }
        if (r->ended) return http_body_eof(body, err);
        TRY(more(r, err));
    }
    return CS_OK;
}

static void take_retry(const http_head *h, call_answer *a) {
    cs_view v;
    int64_t seconds = 0;
    if (!http_head_get(h, "Retry-After", &v)) return;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9' || seconds > RETRY_MAX) return; /* a date is not looked at */
        seconds = seconds * 10 + (v.p[i] - '0');
    }
    a->retry = (seconds > RETRY_MAX ? RETRY_MAX : seconds) * CS_SEC;
}

static cs_status read_answer(cs_connection *c, const call_ask *ask, call_answer *ret, cs_err *err) {
    reading r = {.c = c, .in = cs_buf_of(CALL_ANSWER_MAX + (size_t)CALL_HEADERS_MAX)};
    http_head *h = calloc(1, sizeof *h);
    http_body body;
    cs_status s = h != NULL ? read_head(&r, ask, h, err) : CS_NOMEM_ERR(err);
    if (s == CS_OK) {
        ret->status = h->status;
        take_retry(h, ret);
        (void)cs_buf_add(&ret->head, r.in.p + r.at, h->size);
        http_body_init(&body, h, CALL_ANSWER_MAX);
        r.at += h->size;
        if (h->framing == HTTP_BODY_NONE) body.done = true;
        s = read_body(&r, &body, &ret->body, err);
    }
    cs_buf_free(&r.in);
    free(h);
    return s;
}

static cs_status perform(call *c, const call_ask *ask, call_answer *ret, cs_err *err) {
    url u;
    size_t n = 0;
    CS_AUTO(cs_client) client = NULL;
    CS_AUTO(cs_connection) conn = NULL;
    CS_SCOPED(cs_buf) head = cs_buf_secret(CALL_HEADERS_MAX);
    if (ask->unproven) return call_trust(c, cs_view_of(NULL, 0), err);
    TRY(parse(ask->url, &u, err));
    TRY(write_head(&u, ask, &head, err));
    TRY(cs_client_new(c->trust, c->who, "http/1.1", &client, err));
    TRY(cs_connect(client, u.address, NULL, c->timeout, &conn, err));
    TRY(cs_write(conn, head.p, head.n, &n, err));
    if (ask->body.n > 0) TRY(cs_write(conn, ask->body.p, ask->body.n, &n, err));
    return read_answer(conn, ask, ret, err);
}

cs_status call_perform(call *c, const call_ask *ask, call_answer *ret, cs_err *err) {
    *ret = (call_answer){.head = cs_buf_of(CALL_HEADERS_MAX), .body = cs_buf_of(CALL_ANSWER_MAX)};
    cs_status s = perform(c, ask, ret, err);
    if (s == CS_OK) return CS_OK;
    call_answer_free(ret);
    (void)cs_fail_in(err, "%.200s", ask->url);
    return s;
}
