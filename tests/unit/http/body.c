#include "unit.h"

#include "http/body.h"

static http_body of(http_framing framing, uint64_t length, uint64_t max) {
    http_head h;
    http_body b;
    memset(&h, 0, sizeof h);
    h.framing = framing;
    h.length = length;
    h.has_length = framing == HTTP_BODY_LENGTH;
    http_body_init(&b, &h, max);
    return b;
}

/* Reads all of `in`, in pieces of `step` octets, into `out`; *ret_used is where the message ended. */
static cs_status drain(http_body *b, cs_view in, size_t step, cs_buf *out, size_t *ret_used, cs_err *err) {
    size_t at = 0, seen = 0;
    *ret_used = 0;
    while (!b->done) {
        size_t used;
        cs_view data;
        if (at == seen) {
            if (seen == in.n) return CS_AGAIN;
            seen = in.n - seen < step ? in.n : seen + step;
        }
        TRY(http_body_read(b, cs_view_of(in.p + at, seen - at), &used, &data, err));
        cs_buf_add_view(out, data);
        at += used;
        *ret_used = at;
    }
    return CS_OK;
}

static void decodes_chunks_at_every_split(void **state) {
    static const char text[] = "5\r\nhello\r\n00A ;x=\"y\"\r\n, world!!\n\r\n0\r\nX-T: v\r\nY:\r\n\r\nGET / next";
    static const char plain[] = "hello, world!!\n";
    size_t end = strlen(text) - strlen("GET / next");
    cs_err err;
    /* RFC 9112 7.1.1 allows space before ';' only as bad white space: refused below, so take it out here */
    char clean[sizeof text];
    size_t n = 0;
    for (size_t i = 0; i < sizeof text; i++)
        if (!(text[i] == ' ' && text[i + 1] == ';')) clean[n++] = text[i];
    end--;
    for (size_t step = 1; step < n; step++) {
        CS_SCOPED(cs_buf) out = cs_buf_of(1024);
        http_body b = of(HTTP_BODY_CHUNKED, 0, 0);
        size_t used;
        assert_ok(drain(&b, cs_view_of(clean, n - 1), step, &out, &used, &err));
        assert_int_equal(used, end);
        assert_true(cs_view_eq_str(cs_buf_view(&out), plain));
        assert_int_equal(b.total, strlen(plain));
    }
}

static void refuses_bad_chunks(void **state) {
    static const struct {
        const char *what, *text;
        size_t n;
    } rows[] = {
#define ROW(what, text) {what, text, sizeof(text) - 1}
        ROW("empty size", "\r\n"),
        ROW("no hex", "g\r\n"),
        ROW("0x", "0x5\r\nhello\r\n"),
        ROW("plus", "+5\r\nhello\r\n"),
        ROW("minus", "-5\r\n"),
        ROW("space before", " 5\r\nhello\r\n"),
        ROW("space after", "5 \r\nhello\r\n"),
        ROW("space before ;", "5 ;x\r\nhello\r\n"),
        ROW("bare LF after the size", "5\nhello\r\n"),
        ROW("bare CR after the size", "5\rhello\r\n"),
        ROW("bare LF in an extension", "5;a\nhello\r\n"),
        ROW("control in an extension", "5;a\x01\r\n"),
        ROW("overflow of 64 bits", "10000000000000005\r\nhello\r\n"),
        ROW("16 digits", "0000000000000005\r\nhello\r\n"),
        ROW("no CRLF after the data", "5\r\nhelloX\r\n"),
        ROW("bare LF after the data", "5\r\nhello\n0\r\n\r\n"),
        ROW("two LF after the data", "5\r\nhello\r\r"),
        ROW("trailer without name", "0\r\n: x\r\n\r\n"),
        ROW("trailer with space before colon", "0\r\nX : y\r\n\r\n"),
        ROW("trailer without colon", "0\r\nX\r\n\r\n"),
        ROW("trailer that is folded", "0\r\nX: y\r\n z\r\n\r\n"),
        ROW("trailer with a control", "0\r\nX: \x02\r\n\r\n"),
        ROW("trailer with bare LF", "0\r\nX: y\n\r\n"),
        ROW("end with bare LF", "0\r\n\n"),
        ROW("end with bare CR", "0\r\n\rX"),
    };
    cs_err err;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t step = 1; step <= rows[i].n; step++) {
            CS_SCOPED(cs_buf) out = cs_buf_of(1024);
            http_body b = of(HTTP_BODY_CHUNKED, 0, 0);
            size_t used;
            cs_status s = drain(&b, cs_view_of(rows[i].text, rows[i].n), step, &out, &used, &err);
            if (s != CS_REFUSED || err.reason != CS_R_HTTP_MALFORMED) fail_msg("%s: status %d", rows[i].what, (int)s);
        }
}

static void bounds_extensions_trailers_and_bodies(void **state) {
    cs_err err;
    size_t used;
    cs_view data;
    CS_SCOPED(cs_buf) in = cs_buf_of(64 * 1024);
    CS_SCOPED(cs_buf) out = cs_buf_of(64 * 1024);
    cs_buf_add_str(&in, "5;");
    while (in.n < CS_HTTP_CHUNK_LINE_MAX + 2) cs_buf_add_byte(&in, 'x');
    http_body b = of(HTTP_BODY_CHUNKED, 0, 0);
    assert_fails(drain(&b, cs_buf_view(&in), 7, &out, &used, &err), CS_R_HTTP_MALFORMED);

    cs_buf_clear(&in);
    cs_buf_add_str(&in, "0\r\n");
    while (in.n < CS_HTTP_LINE_MAX + 100) cs_buf_add_str(&in, "X: y\r\n");
    b = of(HTTP_BODY_CHUNKED, 0, 0);
    assert_fails(drain(&b, cs_buf_view(&in), 1000, &out, &used, &err), CS_R_HTTP_HEADER_TOO_LARGE);

    b = of(HTTP_BODY_LENGTH, 11, 10);
    assert_fails(http_body_read(&b, CS_VIEW_LIT("abc"), &used, &data, &err), CS_R_HTTP_BODY_TOO_LARGE);
    b = of(HTTP_BODY_CHUNKED, 0, 10);
    assert_fails(drain(&b, CS_VIEW_LIT("6\r\nabcdef\r\n5\r\nabcde\r\n0\r\n\r\n"), 3, &out, &used, &err),
                 CS_R_HTTP_BODY_TOO_LARGE);
    b = of(HTTP_BODY_CHUNKED, 0, 11);
    assert_ok(drain(&b, CS_VIEW_LIT("6\r\nabcdef\r\n5\r\nabcde\r\n0\r\n\r\n"), 3, &out, &used, &err));
    b = of(HTTP_BODY_UNTIL_CLOSE, 0, 2);
    assert_fails(http_body_read(&b, CS_VIEW_LIT("abc"), &used, &data, &err), CS_R_HTTP_BODY_TOO_LARGE);
}

static void counts_lengths_and_leaves_what_follows(void **state) {
    cs_err err;
    size_t used;
    cs_view data;
    http_body b = of(HTTP_BODY_LENGTH, 5, 0);
    assert_ok(http_body_read(&b, CS_VIEW_LIT("hel"), &used, &data, &err));
    assert_false(b.done);
    assert_ok(http_body_read(&b, CS_VIEW_LIT("loGET"), &used, &data, &err));
    assert_true(b.done && used == 2 && cs_view_eq_str(data, "lo"));
    assert_int_equal(http_body_read(&b, CS_VIEW_LIT(""), &used, &data, &err), CS_OK);
    b = of(HTTP_BODY_NONE, 0, 0);
    assert_true(b.done);
}

static void knows_which_bodies_may_end_by_close(void **state) {
    cs_err err;
    http_body b = of(HTTP_BODY_UNTIL_CLOSE, 0, 0);
    assert_ok(http_body_eof(&b, &err));
    b = of(HTTP_BODY_LENGTH, 5, 0);
    assert_fails(http_body_eof(&b, &err), CS_R_HTTP_MALFORMED);
    b = of(HTTP_BODY_CHUNKED, 0, 0);
    assert_fails(http_body_eof(&b, &err), CS_R_HTTP_MALFORMED);
}

static void what_it_encodes_it_decodes(void **state) {
    cs_err err;
    size_t used;
    char head[HTTP_CHUNK_HEAD_MAX];
    CS_SCOPED(cs_buf) in = cs_buf_of(64 * 1024);
    CS_SCOPED(cs_buf) out = cs_buf_of(64 * 1024);
    CS_SCOPED(cs_buf) plain = cs_buf_of(64 * 1024);
    while (plain.n < 5000) cs_buf_add_str(&plain, "0123456789");
    http_chunk_add(&in, cs_view_of(plain.p, 1));
    http_chunk_add(&in, cs_view_of(plain.p + 1, 0));
    http_chunk_add(&in, cs_view_of(plain.p + 1, 4999));
    cs_buf_add_view(&in, HTTP_CHUNK_LAST);
    cs_buf_add_view(&in, HTTP_CHUNK_TAIL);
    http_body b = of(HTTP_BODY_CHUNKED, 0, 0);
    assert_ok(drain(&b, cs_buf_view(&in), 4096, &out, &used, &err));
    assert_true(cs_view_eq(cs_buf_view(&out), cs_buf_view(&plain)));
    assert_int_equal(http_chunk_head(UINT64_MAX, head), 18);
    assert_memory_equal(head, "ffffffffffffffff\r\n", 18);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_chunks_at_every_split),
        cmocka_unit_test(refuses_bad_chunks),
        cmocka_unit_test(bounds_extensions_trailers_and_bodies),
        cmocka_unit_test(counts_lengths_and_leaves_what_follows),
        cmocka_unit_test(knows_which_bodies_may_end_by_close),
        cmocka_unit_test(what_it_encodes_it_decodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
