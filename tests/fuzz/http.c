/* HTTP heads and bodies from anybody: what the parser accepts must, rebuilt, be accepted again and mean the same, and
 * must hold no field that only we may write; a body's end must not depend on how it was cut. */
#include <stdlib.h>

#include "http/body.h"
#include "http/filter.h"

#define MUST(x)                                                                                                        \
    do {                                                                                                               \
        if (!(x)) abort();                                                                                             \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static http_head head, again;

static cs_status drain(cs_view in, size_t step, size_t *ret_end, uint64_t *ret_total) {
    http_body b;
    cs_err err;
    size_t at = 0, seen = 0;
    http_body_init(&b, &head, 1 << 20);
    while (!b.done) {
        size_t used;
        cs_view data;
        if (at == seen) {
            if (seen == in.n) break;
            seen = in.n - seen < step ? in.n : seen + step;
        }
        cs_status s = http_body_read(&b, cs_view_of(in.p + at, seen - at), &used, &data, &err);
        if (s != CS_OK) return s;
        MUST(used > 0 && used <= seen - at && data.n <= used);
        at += used;
    }
    *ret_end = at;
    *ret_total = b.total;
    return b.done ? CS_OK : CS_AGAIN;
}

static void try_body(cs_view rest) {
    size_t end[2] = {0, 0};
    uint64_t total[2] = {0, 0};
    cs_status whole = drain(rest, rest.n + 1, &end[0], &total[0]), cut = drain(rest, 1, &end[1], &total[1]);
    MUST(whole == cut);
    if (whole == CS_OK) MUST(end[0] == end[1] && total[0] == total[1]);
}

static void try_request(cs_view in) {
    cs_err err;
    size_t scanned = 0;
    cs_status whole = http_request_parse(in, &scanned, &head, &err);
    if (whole != CS_OK) {
        MUST(whole == CS_AGAIN || (err.reason != CS_R_NONE && err.detail[0] != '\0'));
        return;
    }
    cs_view rest = {in.p + head.size, in.n - head.size};
    try_body(rest);
    (void)http_path_is_clean(head.path);
    CS_SCOPED(cs_buf) out = cs_buf_of(128 * 1024);
    MUST(http_request_rebuild(&head, CS_VIEW_LIT("X-Countersign-Verified: none\r\n"), true, &out));
    if (head.authority.n == 0) return; /* HTTP/1.0 without Host */
    scanned = 0;
    if (out.n > CS_HTTP_HEADERS_MAX || head.field_count > CS_HTTP_HEADER_COUNT - 5 ||
        head.target.n > CS_HTTP_LINE_MAX - 64)
        return;
    MUST(http_request_parse(cs_buf_view(&out), &scanned, &again, &err) == CS_OK);
    MUST(again.size == out.n && again.framing == head.framing && cs_view_eq(again.path, head.path));
    MUST(head.framing != HTTP_BODY_LENGTH || again.length == head.length);
    unsigned ours = 0;
    for (unsigned i = 0; i < again.field_count; i++) ours += again.fields[i].id == HTTP_F_IDENTITY;
    MUST(ours == 1);
}

static void try_response(cs_view in, http_method asked) {
    cs_err err;
    size_t scanned = 0;
    if (http_response_parse(in, &scanned, asked, &head, &err) != CS_OK) return;
    try_body(cs_view_of(in.p + head.size, in.n - head.size));
    http_reply_plan plan = http_reply_plan_of(&head, false, true, false);
    CS_SCOPED(cs_buf) out = cs_buf_of(128 * 1024);
    MUST(http_response_rebuild(&head, &plan, CS_VIEW_LIT("Mon, 23 Nov 2026 16:00:00 GMT"), &out));
    if (out.n > CS_HTTP_HEADERS_MAX || head.field_count > CS_HTTP_HEADER_COUNT - 5 ||
        head.phrase.n > CS_HTTP_LINE_MAX / 2)
        return;
    scanned = 0;
    MUST(http_response_parse(cs_buf_view(&out), &scanned, asked, &again, &err) == CS_OK);
    MUST(again.framing == plan.framing && again.status == head.status);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    cs_view in = {p, n};
    try_request(in);
    try_response(in, HTTP_GET);
    try_response(in, HTTP_HEAD);
    return 0;
}
