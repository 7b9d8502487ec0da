/* Heads rebuilt for the other side. Room for the whole is reserved once, then written without further checks: a rebuilt
 * head is never longer than the one that came in by more than HTTP_REBUILD_SPARE (a space a field, our own framing). */
#include "http/filter.h"

#include "http/octets.h"

_Static_assert((int)HTTP_REBUILD_SPARE >= (int)CS_HTTP_HEADER_COUNT + 256, "a space a field, and our own lines");

/* A pen over reserved room. */
static uint8_t *put(uint8_t *at, cs_view v) {
    if (v.n > 0) memcpy(at, v.p, v.n);
    return at + v.n;
}
#define PUT(at, lit) put((at), CS_VIEW_LIT(lit))

static uint8_t *put_number(uint8_t *at, uint64_t n) {
    char digits[20];
    size_t len = 0;
    do digits[len++] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    while (len > 0) *at++ = (uint8_t)digits[--len];
    return at;
}

static uint8_t *put_field(uint8_t *at, const http_field *f) {
    at = put(at, f->name);
    *at++ = ':';
    *at++ = ' ';
    at = put(at, f->value);
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

static uint8_t *put_framing(uint8_t *at, http_framing framing, bool has_length, uint64_t length) {
    if (framing == HTTP_BODY_CHUNKED) return PUT(at, "Transfer-Encoding: chunked\r\n");
    if (framing == HTTP_BODY_UNTIL_CLOSE || !has_length) return at;
    at = put_number(PUT(at, "Content-Length: "), length);
    return PUT(at, "\r\n");
}

/* RFC 9110 7.6.1: fields that Connection names are for one hop. */
static bool named_in_connection(const http_head *h, cs_view name) {
    for (unsigned i = 0; i < h->field_count; i++) {
        if (h->fields[i].id != HTTP_F_CONNECTION) continue;
        cs_view list = h->fields[i].value, item;
        while (http_list_next(&list, &item))
            if (cs_view_eq_nocase(item, name)) return true;
    }
    return false;
}

bool http_trailers_welcome(const http_head *h) {
    for (unsigned i = 0; i < h->field_count; i++) {
        cs_view list = h->fields[i].value, item;
        if (h->fields[i].id != HTTP_F_HOP || !cs_view_eq_nocase(h->fields[i].name, CS_VIEW_LIT("te"))) continue;
        while (http_list_next(&list, &item))
            if (cs_view_eq_nocase(item, CS_VIEW_LIT("trailers"))) return true;
    }
    return false;
}

bool http_request_rebuild(const http_head *h, cs_view lines, bool upgrade, cs_buf *out) {
    uint8_t *start = cs_buf_reserve(out, h->size + lines.n + HTTP_REBUILD_SPARE), *at = start;
    if (start == NULL) return false;
    at = put(at, h->method);
    *at++ = ' ';
    at = put(at, h->path);
    if (h->has_query) {
        *at++ = '?';
        at = put(at, h->query);
    }
    at = PUT(at, " HTTP/1.1\r\nHost: ");
    at = PUT(put(at, h->authority), "\r\n");
    for (unsigned i = 0; i < h->field_count; i++) {
        const http_field *f = &h->fields[i];
        if (f->id != HTTP_F_PLAIN && f->id != HTTP_F_DATE) continue;
        if (h->connection_names && named_in_connection(h, f->name)) continue;
        at = put_field(at, f);
    }
    at = put_framing(at, h->framing, h->has_length, h->length);
    if (h->expect_continue) at = PUT(at, "Expect: 100-continue\r\n");
    bool switches = upgrade && h->upgrade;
    if (!switches && http_trailers_welcome(h)) at = PUT(at, "TE: trailers\r\nConnection: TE\r\n");
    if (switches) at = PUT(at, "Connection: upgrade\r\nUpgrade: websocket\r\n");
    at = PUT(put(at, lines), "\r\n");
    cs_buf_commit(out, (size_t)(at - start));
    return true;
}

http_reply_plan http_reply_plan_of(const http_head *r, bool client_http10, bool client_keep_alive, bool close) {
    http_reply_plan plan = {.framing = r->framing, .keep_alive = client_keep_alive && !close, .http10 = client_http10};
    if (r->framing == HTTP_BODY_CHUNKED || r->framing == HTTP_BODY_UNTIL_CLOSE)
        plan.framing = client_http10 ? HTTP_BODY_UNTIL_CLOSE : HTTP_BODY_CHUNKED;
    if (plan.framing == HTTP_BODY_UNTIL_CLOSE) plan.keep_alive = false;
    return plan;
}

static bool crosses(const http_head *h, const http_field *f) {
    switch (f->id) {
    case HTTP_F_HOP:
    case HTTP_F_CONNECTION:
    case HTTP_F_UPGRADE:
    case HTTP_F_CONTENT_LENGTH:
    case HTTP_F_TRANSFER_ENCODING: return false;
    default: return !h->connection_names || !named_in_connection(h, f->name);
    }
}

bool http_response_rebuild(const http_head *h, const http_reply_plan *plan, cs_view date, cs_buf *out) {
    uint8_t *start = cs_buf_reserve(out, h->size + date.n + HTTP_REBUILD_SPARE), *at = start;
    if (start == NULL) return false;
    bool dated = h->status < 200 || date.n == 0;
    /* a client of 1.0 is told its own version: libest takes no other */
    at = put_number(plan->http10 ? PUT(at, "HTTP/1.0 ") : PUT(at, "HTTP/1.1 "), h->status);
    *at++ = ' ';
    at = PUT(put(at, h->phrase), "\r\n");
    for (unsigned i = 0; i < h->field_count; i++) {
        const http_field *f = &h->fields[i];
        if (f->id == HTTP_F_DATE) dated = true;
        if (crosses(h, f)) at = put_field(at, f);
    }
    if (!dated) at = PUT(put(PUT(at, "Date: "), date), "\r\n");
    if (h->upgrade)
        at = PUT(at, "Connection: upgrade\r\nUpgrade: websocket\r\n");
    else if (!h->interim) {
        at = put_framing(at, plan->framing, h->has_length, h->length);
        if (!plan->keep_alive)
            at = PUT(at, "Connection: close\r\n");
        else if (plan->http10)
            at = PUT(at, "Connection: keep-alive\r\n");
    }
    at = PUT(at, "\r\n");
    cs_buf_commit(out, (size_t)(at - start));
    return true;
}
