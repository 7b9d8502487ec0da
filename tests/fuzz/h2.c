/* HTTP/2 frames from anybody, to both sides: no head that comes out is one that HTTP/1.1's parser reads as two, memory
 * and output stay within bounds, and what is answered is whole. The first octet says which side, and how it is cut. */
#include <stdlib.h>

#include "http/filter.h"
#include "http/h2.h"

#define MUST(x)                                                                                                        \
    do {                                                                                                               \
        if (!(x)) abort();                                                                                             \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static http_head head;
static struct {
    http2 *h;
    bool serve;
    unsigned open;
    size_t held;
} now;
static int owner;

static void *on_head(void *user, void *who, int32_t stream, cs_view text, bool end) {
    size_t scanned = 0;
    cs_err err;
    (void)user, (void)end;
    cs_status s = now.serve ? http_request_parse(text, &scanned, &head, &err)
                            : http_response_parse(text, &scanned, HTTP_GET, &head, &err);
    MUST(s != CS_AGAIN);
    if (s != CS_OK) return now.serve ? NULL : who;
    MUST(head.size == text.n); /* nothing is left for a second one */
    if (!now.serve) return who;
    CS_SCOPED(cs_buf) out = cs_buf_of(256 * 1024);
    MUST(http_request_rebuild(&head, CS_VIEW_LIT("X-Countersign-Verified: none\r\n"), false, &out));
    now.open++;
    MUST(now.open <= HTTP2_STREAMS);
    if (text.n % 2 == 0) {
        (void)http2_answer(now.h, stream, CS_VIEW_LIT("HTTP/1.1 200 OK\r\nA: b\r\n\r\n"), false);
        (void)http2_write(now.h, stream, text);
        (void)http2_end(now.h, stream, CS_VIEW_LIT("t: u\r\n"));
    }
    return &owner;
}

static void on_data(void *who, cs_view data) {
    MUST(who == &owner);
    now.held += data.n;
    MUST(now.held <= HTTP2_WINDOW_ALL);
}

static void on_end(void *who, cs_view trailers) {
    MUST(who == &owner);
    for (size_t i = 0; i + 1 < trailers.n; i++) MUST(trailers.p[i] != '\r' || trailers.p[i + 1] == '\n');
}

static void on_room(void *who) {
    MUST(who == &owner);
}

static void on_closed(void *who, http2_fate fate) {
    (void)fate;
    MUST(who == &owner);
    if (now.serve) now.open--;
}

static void drain(void) {
    cs_view v;
    for (size_t all = 0; http2_out(now.h, &v); all += v.n) MUST(all < (size_t)8 * 1024 * 1024);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    const http2_handler on = {.head = on_head, .data = on_data, .end = on_end, .room = on_room, .closed = on_closed};
    static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    cs_err err;
    int32_t stream;
    if (n < 1) return 0;
    now.serve = (p[0] & 1) != 0;
    now.open = 0;
    now.held = 0;
    size_t step = p[0] >> 1;
    if (step == 0) step = n;
    MUST(http2_new(now.serve, &on, &now.h, &err) == CS_OK);
    if (now.serve)
        MUST(http2_feed(now.h, cs_view_of(preface, sizeof preface - 1), CS_SEC, &err) == CS_OK);
    else
        MUST(http2_ask(now.h, CS_VIEW_LIT("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
                       HTTP2_SECURE | HTTP2_TRAILERS | HTTP2_END, &owner, &stream, &err) == CS_OK);
    drain();
    for (size_t at = 1; at < n; at += step) {
        size_t piece = n - at < step ? n - at : step;
        if (http2_feed(now.h, cs_view_of(p + at, piece), CS_SEC, &err) != CS_OK) break;
        drain();
        if (http2_over(now.h)) break;
    }
    drain();
    http2_free(now.h);
    return 0;
}
