/* Heads between HTTP/2's fields and HTTP/1.1's text. What nghttp2 has let pass keeps RFC 9113 8.2 and 8.3 (lower-case
 * names, pseudo-fields first and once, no Connection and the like); everything else is judged by the parser of heads.
 */
#include <string.h>

#include "http/body.h"
#include "http/h1.h"
#include "http/h2_priv.h"
#include "http/octets.h"

void h2_block_begin(h2_block *b) {
    cs_buf *all[] = {&b->method, &b->path, &b->authority, &b->lines, &b->cookie};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        all[i]->max = CS_HTTP_HEADERS_MAX;
        all[i]->failed = false;
        cs_buf_clear(all[i]);
    }
    b->count = b->status = 0;
    b->length = b->big = b->websocket = false;
}

void h2_block_free(h2_block *b) {
    cs_buf *all[] = {&b->method, &b->path, &b->authority, &b->lines, &b->cookie};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) cs_buf_free(all[i]);
}

static void add_line(cs_buf *b, cs_view name, cs_view value) {
    (void)cs_buf_add_view(b, name);
    (void)cs_buf_add(b, ": ", 2);
    (void)cs_buf_add_view(b, value);
    (void)cs_buf_add(b, "\r\n", 2);
}

static void pseudo(h2_block *b, cs_view name, cs_view value) {
    if (cs_view_eq_str(name, ":method"))
        (void)cs_buf_add_view(&b->method, value);
    else if (cs_view_eq_str(name, ":path"))
        (void)cs_buf_add_view(&b->path, value);
    else if (cs_view_eq_str(name, ":authority"))
        (void)cs_buf_add_view(&b->authority, value);
    else if (cs_view_eq_str(name, ":protocol"))
        b->websocket = cs_view_eq_nocase(value, CS_VIEW_LIT("websocket"));
    else if (cs_view_eq_str(name, ":status"))
        for (size_t i = 0; i < value.n && i < 3; i++) b->status = b->status * 10 + (unsigned)(value.p[i] - '0');
}

/* HTTP/1.1's proof that the other side read the request; HTTP/2 has none. @rfc 8441#5 */
static bool of_upgrades(cs_view name) {
    return cs_view_eq_str(name, "sec-websocket-key") || cs_view_eq_str(name, "sec-websocket-accept");
}

void h2_block_field(h2_block *b, cs_view name, cs_view value) {
    if (b->big) return;
    if (name.n > 0 && name.p[0] == ':') {
        pseudo(b, name, value);
    } else if (cs_view_eq_str(name, "cookie")) { /* RFC 9113 8.2.3: its crumbs are one field again */
        if (b->cookie.n > 0) (void)cs_buf_add(&b->cookie, "; ", 2);
        (void)cs_buf_add_view(&b->cookie, value);
    } else if (!b->websocket || !of_upgrades(name)) {
        if (cs_view_eq_str(name, "content-length")) b->length = true;
        add_line(&b->lines, name, value);
    }
    b->count++;
    size_t size = b->method.n + b->path.n + b->authority.n + b->lines.n + b->cookie.n;
    bool failed = b->method.failed || b->path.failed || b->authority.failed || b->lines.failed || b->cookie.failed;
    b->big = failed || size > CS_HTTP_HEADERS_MAX - 256 || b->count > CS_HTTP_HEADER_COUNT;
}

/* Host lines that say what :authority says are dropped; others stay, and two are refused. */
static void add_lines(const h2_block *b, cs_buf *text) {
    cs_view rest = cs_buf_view(&b->lines);
    while (rest.n > 0) {
        const uint8_t *end = memchr(rest.p, '\n', rest.n);
        size_t n = (size_t)(end - rest.p) + 1;
        cs_view line = cs_view_of(rest.p, n), value = cs_view_of(rest.p + 6, n > 8 ? n - 8 : 0);
        bool same = n > 8 && memcmp(line.p, "host: ", 6) == 0 && b->authority.n > 0 &&
                    cs_view_eq_nocase(value, cs_buf_view(&b->authority));
        if (!same) (void)cs_buf_add_view(text, line);
        rest = cs_view_of(rest.p + n, rest.n - n);
    }
    if (b->cookie.n > 0) add_line(text, CS_VIEW_LIT("cookie"), cs_buf_view(&b->cookie));
}

/* A WebSocket by CONNECT is written as what it is in HTTP/1.1. One that says a length has no meaning at all: it is
 * written so that the parser refuses it. CONNECT for anything else keeps its name, and is refused for it. */
bool h2_block_request(const h2_block *b, bool end, cs_buf *text) {
    (void)cs_buf_add_view(text, b->websocket ? CS_VIEW_LIT("GET") : cs_buf_view(&b->method));
    (void)cs_buf_add(text, " ", 1);
    (void)cs_buf_add_view(text, cs_buf_view(&b->path));
    (void)cs_buf_add_str(text, " HTTP/1.1\r\n");
    if (b->authority.n > 0) add_line(text, CS_VIEW_LIT("Host"), cs_buf_view(&b->authority));
    if (b->websocket) (void)cs_buf_add_str(text, "Connection: upgrade\r\nUpgrade: websocket\r\n");
    if (b->websocket ? b->length : !end && !b->length) (void)cs_buf_add_str(text, "Transfer-Encoding: chunked\r\n");
    add_lines(b, text);
    return cs_buf_add_str(text, "\r\n");
}

bool h2_block_response(const h2_block *b, cs_buf *text) {
    (void)cs_buf_addf(text, "HTTP/1.1 %03u \r\n", b->status);
    add_lines(b, text);
    return cs_buf_add_str(text, "\r\n");
}

bool h2_block_trailers(const h2_block *b, cs_buf *text) {
    cs_view rest = cs_buf_view(&b->lines);
    while (rest.n > 0) {
        const uint8_t *end = memchr(rest.p, '\n', rest.n), *colon = memchr(rest.p, ':', rest.n);
        size_t n = (size_t)(end - rest.p) + 1;
        bool plain = http_trailer_may(cs_view_of(rest.p, (size_t)(colon - rest.p)));
        if (plain) (void)cs_buf_add(text, rest.p, n);
        rest = cs_view_of(rest.p + n, rest.n - n);
    }
    return !text->failed && !b->big;
}

static bool add_nv(h2_fields *f, uint8_t *name, size_t name_n, uint8_t *value, size_t value_n) {
    if (f->n == sizeof f->at / sizeof f->at[0]) return false;
    f->at[f->n++] = (nghttp2_nv){name, value, name_n, value_n, NGHTTP2_NV_FLAG_NONE};
    return true;
}

static bool add_lit(h2_fields *f, const char *name, cs_view value) {
    return add_nv(f, (uint8_t *)(uintptr_t)name, strlen(name), (uint8_t *)(uintptr_t)value.p, value.n);
}

/* Of one hop in HTTP/1.1, none in HTTP/2 (RFC 9113 8.2.2). */
static bool stays(cs_view name) {
    return !cs_view_eq_str(name, "connection") && !cs_view_eq_str(name, "transfer-encoding") &&
           !cs_view_eq_str(name, "upgrade") && !cs_view_eq_str(name, "host") && !cs_view_eq_str(name, "te") &&
           !of_upgrades(name);
}

/* Field lines, names made lower case where they stand. */
static bool add_text_lines(h2_fields *f, uint8_t *p, const uint8_t *end) {
    while (p < end && *p != '\r') {
        uint8_t *name = p;
        while (p < end && *p != ':') *p = http_lower(*p), p++;
        size_t name_n = (size_t)(p - name);
        uint8_t *value = p + 2, *cr = p < end ? memchr(p, '\r', (size_t)(end - p)) : NULL;
        if (cr == NULL || cr < value) return false;
        if (stays(cs_view_of(name, name_n)) && !add_nv(f, name, name_n, value, (size_t)(cr - value))) return false;
        p = cr + 2;
    }
    return true;
}

static uint8_t *copy(h2_fields *f, cs_view text) {
    f->n = 0;
    f->scratch.max = 256 * 1024;
    f->scratch.failed = false;
    cs_buf_clear(&f->scratch);
    return cs_buf_add_view(&f->scratch, text) ? f->scratch.p : NULL;
}

bool h2_fields_request(h2_fields *f, cs_view text, unsigned how) {
    uint8_t *p = copy(f, text);
    if (p == NULL) return false;
    uint8_t *end = p + text.n, *sp = memchr(p, ' ', text.n), *cr = memchr(p, '\r', text.n);
    size_t tail = sizeof " HTTP/1.1" - 1;
    if (sp == NULL || cr == NULL || (size_t)(cr - sp) < 1 + tail) return false;
    cs_view method = cs_view_of(p, (size_t)(sp - p)), path = cs_view_of(sp + 1, (size_t)(cr - sp) - 1 - tail);
    cs_view host = CS_VIEW_LIT("");
    if (end - cr > 8 && memcmp(cr + 2, "Host: ", 6) == 0) { /* ours: always the first line */
        const uint8_t *eol = memchr(cr + 2, '\r', (size_t)(end - cr - 2));
        if (eol != NULL) host = cs_view_of(cr + 8, (size_t)(eol - cr) - 8);
    }
    bool websocket = (how & HTTP2_WEBSOCKET) != 0, secure = (how & HTTP2_SECURE) != 0;
    bool ok = add_lit(f, ":method", websocket ? CS_VIEW_LIT("CONNECT") : method) &&
              (!websocket || add_lit(f, ":protocol", CS_VIEW_LIT("websocket"))) &&
              add_lit(f, ":scheme", secure ? CS_VIEW_LIT("https") : CS_VIEW_LIT("http")) && add_lit(f, ":path", path) &&
              (host.n == 0 || add_lit(f, ":authority", host)) && add_text_lines(f, cr + 2, end);
    return ok && ((how & HTTP2_TRAILERS) == 0 || add_lit(f, "te", CS_VIEW_LIT("trailers")));
}

bool h2_fields_response(h2_fields *f, cs_view text) {
    uint8_t *p = copy(f, text);
    uint8_t *cr = p != NULL && text.n > 16 ? memchr(p, '\r', text.n) : NULL;
    if (cr == NULL || cr < p + 12) return false;
    return add_lit(f, ":status", cs_view_of(p + 9, 3)) && add_text_lines(f, cr + 2, p + text.n);
}

bool h2_fields_trailers(h2_fields *f, cs_view lines) {
    uint8_t *p = copy(f, lines);
    return p != NULL && add_text_lines(f, p, p + lines.n);
}
