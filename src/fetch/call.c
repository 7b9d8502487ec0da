#include "fetch/call.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#include "tls/foreign.h"

enum { DEADLINE_SECONDS = 120, CONNECT_SECONDS = 20, RETRY_MAX = 366 * 24 * 3600 };

struct call {
    CURL *curl;
    cs_buf trust, certs, key; /* PEM */
    cs_buf pins;              /* n == 0: none */
    cs_time at;               /* 0: the machine's clock */
    long deadline;            /* seconds */
};

typedef struct taking {
    cs_buf *head, *body;
} taking;

cs_status call_new(call **ret, cs_err *err) {
    CS_AUTO(call) c = calloc(1, sizeof *c);
    if (c == NULL) return CS_NOMEM_ERR(err);
    c->trust = c->certs = cs_buf_of((size_t)16 * 1024 * 1024);
    c->key = cs_buf_secret((size_t)64 * 1024);
    c->pins = cs_buf_of((size_t)4 * 1024);
    c->deadline = DEADLINE_SECONDS;
    c->curl = curl_easy_init();
    if (c->curl == NULL) return CS_NOMEM_ERR(err);
    *ret = CS_TAKE(c);
    return CS_OK;
}

void call_free(call *c) {
    if (c == NULL) return;
    if (c->curl != NULL) curl_easy_cleanup(c->curl);
    cs_buf_free(&c->trust);
    cs_buf_free(&c->certs);
    cs_buf_free(&c->key);
    cs_buf_free(&c->pins);
    free(c);
}

static cs_status put(cs_buf *b, cs_view text, const char *what, cs_err *err) {
    cs_buf_clear(b);
    (void)cs_buf_add_view(b, text);
    return cs_buf_ok(b, what, err);
}

cs_status call_trust(call *c, cs_view pem, cs_err *err) {
    return put(&c->trust, pem, "trusted CAs", err);
}

cs_status call_identity(call *c, cs_view certs_pem, cs_view key_pem, cs_err *err) {
    TRY(put(&c->certs, certs_pem, "our certificates", err));
    return put(&c->key, key_pem, "our key", err);
}

cs_status call_pins(call *c, const char *pins, cs_err *err) {
    TRY(put(&c->pins, cs_view_str(pins != NULL ? pins : ""), "pins", err));
    return cs_buf_cstr(&c->pins) != NULL ? CS_OK : CS_NOMEM_ERR(err);
}

void call_at(call *c, cs_time at) {
    c->at = at;
}

void call_deadline(call *c, cs_time deadline) {
    c->deadline = deadline < CS_SEC ? 1 : (long)(deadline / CS_SEC);
}

void call_answer_free(call_answer *a) {
    cs_buf_free(&a->head);
    cs_buf_free(&a->body);
}

/* ---- what libcurl asks while it works ---- */

static size_t on_body(char *p, size_t size, size_t n, void *data) {
    taking *t = data;
    return cs_buf_add(t->body, p, size * n) ? size * n : 0;
}

static size_t on_head(char *p, size_t size, size_t n, void *data) {
    taking *t = data;
    size_t all = size * n;
    if (all >= 5 && memcmp(p, "HTTP/", 5) == 0) { /* of an earlier answer: 100, or 401 before authentication */
        cs_buf_clear(t->head);
        cs_buf_clear(t->body);
    }
    return cs_buf_add(t->head, p, all) ? all : 0;
}

static CURLcode on_context(CURL *curl, void *ssl_ctx, void *data) {
    const call *c = data;
    (void)curl;
    return tls_foreign_at(ssl_ctx, c->at) ? CURLE_OK : CURLE_ABORTED_BY_CALLBACK;
}

/* ---- set up ---- */

static bool set_blob(CURL *c, CURLoption option, const cs_buf *b) {
    struct curl_blob blob = {.data = b->p, .len = b->n, .flags = CURL_BLOB_NOCOPY};
    return curl_easy_setopt(c, option, &blob) == CURLE_OK;
}

static bool set_tls(call *c, const call_ask *ask) {
    CURL *h = c->curl;
    bool ok = curl_easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
              curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, ask->unproven ? 0L : 1L) == CURLE_OK &&
              curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, ask->unproven ? 0L : 2L) == CURLE_OK;
    if (ok && c->trust.n > 0) ok = set_blob(h, CURLOPT_CAINFO_BLOB, &c->trust);
    if (ok && c->pins.n > 0 && !ask->unproven)
        ok = curl_easy_setopt(h, CURLOPT_PINNEDPUBLICKEY, cs_buf_cstr(&c->pins)) == CURLE_OK;
    if (ok && c->at != 0)
        ok = curl_easy_setopt(h, CURLOPT_SSL_CTX_FUNCTION, on_context) == CURLE_OK &&
             curl_easy_setopt(h, CURLOPT_SSL_CTX_DATA, c) == CURLE_OK;
    if (!ok || ask->unproven || c->key.n == 0) return ok;
    return set_blob(h, CURLOPT_SSLCERT_BLOB, &c->certs) && set_blob(h, CURLOPT_SSLKEY_BLOB, &c->key) &&
           curl_easy_setopt(h, CURLOPT_SSLCERTTYPE, "PEM") == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_SSLKEYTYPE, "PEM") == CURLE_OK;
}

/* libcurl keeps a copy of the password until the handle is reset, which call_perform sees to. */
static bool set_user(CURL *h, const call_ask *ask, cs_buf *password) {
    if (ask->user == NULL || ask->pass == NULL || ask->unproven) return true;
    (void)cs_buf_add_view(password, cs_secret_view(ask->pass));
    const char *text = cs_buf_cstr(password);
    return text != NULL && curl_easy_setopt(h, CURLOPT_USERNAME, ask->user) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_PASSWORD, text) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC) == CURLE_OK;
}

static bool set_fields(CURL *h, const call_ask *ask, struct curl_slist **fields) {
    char type[160];
    struct curl_slist *more = curl_slist_append(NULL, "Expect:"); /* no waiting for 100 */
    *fields = more;
    (void)snprintf(type, sizeof type, "Content-Type: %s", ask->type != NULL ? ask->type : "application/octet-stream");
    for (size_t i = 0; i < ask->field_count && more != NULL; i++) more = curl_slist_append(*fields, ask->fields[i]);
    if (ask->body.n > 0 && more != NULL) more = curl_slist_append(*fields, type);
    return more != NULL && curl_easy_setopt(h, CURLOPT_HTTPHEADER, *fields) == CURLE_OK;
}

static bool set_message(CURL *h, const call_ask *ask) {
    bool ok = true;
    if (ask->method != NULL && strcmp(ask->method, "HEAD") == 0)
        ok = curl_easy_setopt(h, CURLOPT_NOBODY, 1L) == CURLE_OK;
    bool post = ask->body.n > 0 || (ask->method != NULL && strcmp(ask->method, "POST") == 0);
    if (!ok || !post) return ok;
    return curl_easy_setopt(h, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE, (long)ask->body.n) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_POSTFIELDS, ask->body.n > 0 ? (const char *)ask->body.p : "") == CURLE_OK;
}

static bool set_up(call *c, const call_ask *ask, taking *t, char words[CURL_ERROR_SIZE]) {
    CURL *h = c->curl;
    curl_easy_reset(h); /* the connection stays */
    return curl_easy_setopt(h, CURLOPT_URL, ask->url) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_ERRORBUFFER, words) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_USERAGENT, "countersign") == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_TIMEOUT, c->deadline) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_WRITEDATA, t) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_head) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_HEADERDATA, t) == CURLE_OK && set_tls(c, ask) && set_message(h, ask);
}

/* ---- judged ---- */

static cs_status failed(CURLcode rc, const call_ask *ask, const call_answer *a, const char *words, cs_err *err) {
    const char *says = words[0] != '\0' ? words : curl_easy_strerror(rc);
    switch (rc) {
    case CURLE_WRITE_ERROR:
        if (a->body.failed || a->head.failed)
            return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%.200s: an answer of more than %zu octets", ask->url,
                           a->body.max);
        return cs_fail(err, CS_FAILED, CS_R_SERVER_UNREACHABLE, "%.200s: %s", ask->url, says);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return cs_fail(err, CS_REFUSED, CS_R_URI_INVALID, "%.200s: %s", ask->url, says);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR: return cs_fail(err, CS_REFUSED, CS_R_SERVER_UNTRUSTED, "%.200s: %s", ask->url, says);
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
        return cs_fail(err, CS_REFUSED, CS_R_PIN_MISMATCH, "%.200s: its key is none of those that are pinned",
                       ask->url);
    default: return cs_fail(err, CS_FAILED, CS_R_SERVER_UNREACHABLE, "%.200s: %s", ask->url, says);
    }
}

static cs_status check(const call_ask *ask, cs_err *err) {
    bool tls = strncmp(ask->url, "https://", 8) == 0;
    if (strlen(ask->url) > CALL_URL_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a URL of more than %d characters", CALL_URL_MAX);
    if (!tls && strncmp(ask->url, "http://", 7) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_URI_INVALID, "\"%.200s\" is no https:// or http:// URL", ask->url);
    if (!tls && ask->user != NULL)
        return cs_fail(err, CS_REFUSED, CS_R_URI_INVALID, "%.200s: a token is sent over https:// alone", ask->url);
    return CS_OK;
}

/* libest, when it wants Digest, answers Basic without saying what it wants. */
static bool wants_digest(const call_answer *a) {
    cs_view how = call_header(a, "WWW-Authenticate");
    bool basic = how.n >= 5 && cs_view_eq_nocase(cs_view_of(how.p, 5), CS_VIEW_LIT("Basic"));
    return a->status == 401 && !basic;
}

static cs_status perform(call *c, const call_ask *ask, call_answer *ret, cs_err *err) {
    char words[CURL_ERROR_SIZE] = "";
    taking t = {&ret->head, &ret->body};
    struct curl_slist *fields = NULL;
    CS_SCOPED(cs_buf) password = cs_buf_secret(4096);
    long status = 0;
    curl_off_t retry = 0;
    bool ok = set_up(c, ask, &t, words) && set_fields(c->curl, ask, &fields) && set_user(c->curl, ask, &password);
    CURLcode rc = ok ? curl_easy_perform(c->curl) : CURLE_OUT_OF_MEMORY;
    (void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    if (ok && rc == CURLE_OK && status == 401 && ask->user != NULL) {
        ret->status = 401;
        if (wants_digest(ret)) {
            (void)curl_easy_setopt(c->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_DIGEST);
            rc = curl_easy_perform(c->curl);
            (void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
        }
    }
    (void)curl_easy_getinfo(c->curl, CURLINFO_RETRY_AFTER, &retry);
    curl_easy_reset(c->curl);
    curl_slist_free_all(fields);
    if (!ok) return CS_NOMEM_ERR(err);
    if (rc != CURLE_OK) return failed(rc, ask, ret, words, err);
    ret->status = (unsigned)status;
    ret->retry = (retry > RETRY_MAX ? RETRY_MAX : retry) * CS_SEC;
    return CS_OK;
}

cs_status call_perform(call *c, const call_ask *ask, call_answer *ret, cs_err *err) {
    *ret = (call_answer){.head = cs_buf_of(CALL_HEADERS_MAX), .body = cs_buf_of(CALL_ANSWER_MAX)};
    TRY(check(ask, err));
    cs_status status = perform(c, ask, ret, err);
    if (status != CS_OK) call_answer_free(ret);
    return status;
}

cs_view call_header(const call_answer *a, const char *name) {
    cs_view left = cs_buf_view(&a->head);
    size_t n = strlen(name);
    while (left.n > 0) {
        const uint8_t *end = memchr(left.p, '\n', left.n);
        size_t line = end != NULL ? (size_t)(end - left.p) + 1 : left.n;
        if (line > n + 1 && left.p[n] == ':' && cs_view_eq_nocase(cs_view_of(left.p, n), cs_view_of(name, n)))
            return cs_view_trim(cs_view_of(left.p + n + 1, line - n - 1));
        left = cs_view_of(left.p + line, left.n - line);
    }
    return (cs_view){NULL, 0};
}
