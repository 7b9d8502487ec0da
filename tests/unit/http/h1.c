#include "unit.h"

#include "base/buf.h"
#include "http/h1.h"

typedef struct bad {
    const char *what, *bytes;
    size_t n; /* 0: strlen */
    cs_reason reason;
} bad;
#define RAW(text) text, sizeof(text) - 1
#define HOST "Host: a.example\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST

static http_head head;

static cs_status parse(const char *bytes, size_t n, cs_err *err) {
    size_t scanned = 0;
    return http_request_parse(cs_view_of(bytes, n), &scanned, &head, err);
}
static cs_status parse_text(const char *text, cs_err *err) {
    return parse(text, strlen(text), err);
}

static void reads_a_request(void **state) {
    cs_err err;
    const char *text = "POST /a/b?q=1&r HTTP/1.1\r\nHost: Gw.Example:8443\r\nX-One:  two words \t\r\nContent-Length: "
                       "3\r\nEmpty:\r\n\r\nabc";
    assert_ok(parse_text(text, &err));
    assert_int_equal(head.size, strlen(text) - 3);
    assert_int_equal(head.method_id, HTTP_POST);
    assert_true(cs_view_eq_str(head.path, "/a/b"));
    assert_true(head.has_query && cs_view_eq_str(head.query, "q=1&r"));
    assert_true(cs_view_eq_str(head.authority, "Gw.Example:8443"));
    assert_true(cs_view_eq_str(head.host, "Gw.Example"));
    assert_int_equal(head.framing, HTTP_BODY_LENGTH);
    assert_int_equal(head.length, 3);
    assert_true(head.keep_alive);
    assert_int_equal(head.field_count, 4);
    assert_true(cs_view_eq_str(head.fields[1].value, "two words"));
    assert_int_equal(head.fields[3].value.n, 0);
    cs_view v;
    assert_true(http_head_get(&head, "x-ONE", &v));
}

static void reads_absolute_and_asterisk_targets(void **state) {
    cs_err err;
    assert_ok(parse_text("GET http://a.example?x HTTP/1.1\r\n" HOST "\r\n", &err));
    assert_true(cs_view_eq_str(head.path, "/") && cs_view_eq_str(head.query, "x"));
    assert_ok(parse_text("GET HTTPS://A.example/p HTTP/1.1\r\n" HOST "\r\n", &err));
    assert_true(cs_view_eq_str(head.path, "/p"));
    assert_ok(parse_text("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", &err));
    assert_true(cs_view_eq_str(head.path, "*"));
    assert_ok(parse_text("GET / HTTP/1.0\r\n\r\n", &err));
    assert_true(head.http10 && !head.keep_alive && head.authority.n == 0);
    assert_ok(parse_text("GET / HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n", &err));
    assert_true(cs_view_eq_str(head.host, "2001:db8::1"));
}

static void skips_one_empty_line_before_a_request(void **state) {
    cs_err err;
    assert_ok(parse_text("\r\n" GET "\r\nrest", &err));
    assert_int_equal(head.size, strlen("\r\n" GET "\r\n"));
    assert_fails(parse_text("\r\n\r\n" GET "\r\n", &err), CS_R_HTTP_MALFORMED);
}

/* W62, W63: each framing or grammar ambiguity, as octets. */
static const bad ambiguities[] = {
    {"bare LF after the request line", RAW("GET / HTTP/1.1\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"bare LF after a field", RAW("GET / HTTP/1.1\r\nHost: a\n\r\n"), CS_R_HTTP_MALFORMED},
    {"LF LF as end", RAW("GET / HTTP/1.1\r\nHost: a\r\n\n"), CS_R_HTTP_MALFORMED},
    {"bare CR in a value", RAW("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"bare CR at a line's start", RAW("GET / HTTP/1.1\r\nHost: a\r\n\rX: a\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"obs-fold by space", RAW(GET "X: a\r\n b\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"obs-fold by tab", RAW(GET "X: a\r\n\tb\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"obs-fold as first line", RAW("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"obs-fold of Transfer-Encoding", RAW(GET "Transfer-Encoding:\r\n chunked\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"space before colon", RAW(GET "Content-Length : 5\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"tab before colon", RAW(GET "Transfer-Encoding\t: chunked\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"empty field name", RAW(GET ": x\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"line without colon", RAW(GET "Foo\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"NUL in a name", RAW(GET "X\0Y: x\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"NUL in a value", RAW(GET "X: a\0b\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"control in a value",
     RAW(GET "X: aaaaaaaaaaaaaaaaaa\x0b"
             "b\r\n\r\n"),
     CS_R_HTTP_MALFORMED},
    {"DEL in a value", RAW(GET "X: aaaaaaaaaa\x7f\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"DEL in the middle of a long value",
     RAW(GET "X: aaaa\x7f"
             "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n"),
     CS_R_HTTP_MALFORMED},
    {"name in brackets", RAW(GET "X(y): x\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"name with a byte over 127", RAW(GET "X\xc3\xa4: x\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"CL and TE", RAW(GET "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"TE and CL", RAW(GET "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"two CL that differ", RAW(GET "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"two CL that agree", RAW(GET "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"CL as list", RAW(GET "Content-Length: 5, 5\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"CL with plus", RAW(GET "Content-Length: +5\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"CL with minus", RAW(GET "Content-Length: -1\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"CL empty", RAW(GET "Content-Length:\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"CL in hex", RAW(GET "Content-Length: 0x5\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"CL with inner space", RAW(GET "Content-Length: 5 5\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"CL of 2^64", RAW(GET "Content-Length: 18446744073709551616\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"CL of 2^64+5", RAW(GET "Content-Length: 18446744073709551621\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"CL with fraction", RAW(GET "Content-Length: 5.0\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"TE identity", RAW(GET "Transfer-Encoding: identity\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"TE gzip, chunked", RAW(GET "Transfer-Encoding: gzip, chunked\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"TE chunked, identity", RAW(GET "Transfer-Encoding: chunked, identity\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"TE chunked twice", RAW(GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
     CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"TE chunked with a parameter", RAW(GET "Transfer-Encoding: chunked;q=1\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"TE xchunked", RAW(GET "Transfer-Encoding: xchunked\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"TE in quotes", RAW(GET "Transfer-Encoding: \"chunked\"\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"TE with vertical tab",
     RAW(GET "Transfer-Encoding: \x0b"
             "chunked\r\n\r\n"),
     CS_R_HTTP_MALFORMED},
    {"TE empty", RAW(GET "Transfer-Encoding:\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"TE in HTTP/1.0", RAW("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"),
     CS_R_HTTP_FRAMING_AMBIGUOUS},
    {"no Host", RAW("GET / HTTP/1.1\r\nX: y\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"no field at all", RAW("GET / HTTP/1.1\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"two Hosts", RAW("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"two Hosts in HTTP/1.0", RAW("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"empty Host", RAW("GET / HTTP/1.1\r\nHost:\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"Host with comma", RAW("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"Host with userinfo", RAW("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"Host with path", RAW("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"Host with space", RAW("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"Host with port 0", RAW("GET / HTTP/1.1\r\nHost: a:0\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"Host with port 65536", RAW("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"Host with empty port", RAW("GET / HTTP/1.1\r\nHost: a:\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"Host with port text", RAW("GET / HTTP/1.1\r\nHost: a:http\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"Host with open bracket", RAW("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"Host with name in brackets", RAW("GET / HTTP/1.1\r\nHost: [evil]\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"Host with percent", RAW("GET / HTTP/1.1\r\nHost: a%00\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"target and Host differ", RAW("GET http://b.example/ HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"target and Host differ by port", RAW("GET http://a.example:81/ HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"absolute target without host", RAW("GET http:///x HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"absolute target with userinfo", RAW("GET http://a@b/ HTTP/1.0\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"another scheme", RAW("GET ftp://a.example/ HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"relative target", RAW("GET x HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"asterisk with GET", RAW("GET * HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"empty target", RAW("GET  HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"two spaces after the method", RAW("GET  / HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"two spaces before the version", RAW("GET /  HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"tab in the request line", RAW("GET\t/ HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"space after the version", RAW("GET / HTTP/1.1 \r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"space before the method", RAW(" GET / HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"fragment in the target", RAW("GET /#a HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"control in the target", RAW("GET /\x01 HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"byte over 127 in the target", RAW("GET /\xe4 HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"no method", RAW(" / HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"method that is no token", RAW("G{T / HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"method of 33 letters", RAW("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"HTTP/0.9", RAW("GET /\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"HTTP/2 preface", RAW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), CS_R_HTTP_VERSION_UNSUPPORTED},
    {"HTTP/1.2", RAW("GET / HTTP/1.2\r\n" HOST "\r\n"), CS_R_HTTP_VERSION_UNSUPPORTED},
    {"HTTP/3.0", RAW("GET / HTTP/3.0\r\n" HOST "\r\n"), CS_R_HTTP_VERSION_UNSUPPORTED},
    {"http/1.1", RAW("GET / http/1.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"HTTP/1.10", RAW("GET / HTTP/1.10\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"HTTP/01.1", RAW("GET / HTTP/01.1\r\n" HOST "\r\n"), CS_R_HTTP_MALFORMED},
    {"CONNECT", RAW("CONNECT a.example:443 HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_METHOD_NOT_ALLOWED},
    {"TRACE", RAW("TRACE / HTTP/1.1\r\n" HOST "\r\n"), CS_R_HTTP_METHOD_NOT_ALLOWED},
    {"unknown expectation", RAW(GET "Expect: 200-ok\r\n\r\n"), CS_R_HTTP_EXPECTATION_UNKNOWN},
    {"Connection with a non-token", RAW(GET "Connection: a b\r\n\r\n"), CS_R_HTTP_MALFORMED},
    {"a TLS ClientHello", RAW("\x16\x03\x01\x02\x00\x01"), CS_R_HTTP_MALFORMED},
    {"NUL first", RAW("\0"), CS_R_HTTP_MALFORMED},
    {"CR and no LF first", RAW("\rGET / HTTP/1.1\r\n"), CS_R_HTTP_MALFORMED},
};

static void refuses_every_ambiguity(void **state) {
    cs_err err;
    for (size_t i = 0; i < sizeof ambiguities / sizeof ambiguities[0]; i++) {
        const bad *b = &ambiguities[i];
        err.reason = CS_R_NONE;
        cs_status s = parse(b->bytes, b->n, &err);
        if (s == CS_OK || s == CS_AGAIN) fail_msg("%s: status %d", b->what, (int)s);
        if (err.reason != b->reason) fail_msg("%s: %s (%s)", b->what, cs_reason_of(err.reason)->name, err.detail);
        if (err.detail[0] == '\0') fail_msg("%s: no detail", b->what);
    }
}

static void names_the_field_in_the_detail(void **state) {
    cs_err err;
    assert_fails(parse_text(GET "X-Odd : 5\r\n\r\n", &err), CS_R_HTTP_MALFORMED);
    assert_non_null(strstr(err.detail, "X-Odd"));
    assert_fails(parse_text(GET "Content-Length: +5\r\n\r\n", &err), CS_R_HTTP_FRAMING_AMBIGUOUS);
    assert_non_null(strstr(err.detail, "Content-Length"));
}

/* Whatever the split, the outcome is that of the whole: AGAIN until the last octet for good ones, and never CS_OK for
 * bad ones. */
static void splits_change_nothing(void **state) {
    cs_err err;
    static const char good[] = "\r\nPUT /x?y HTTP/1.1\r\n" HOST "Content-Length: 12\r\nX-A: b\r\n\r\n";
    size_t scanned = 0, n = sizeof good - 1;
    for (size_t i = 0; i < n; i++) {
        if (http_request_parse(cs_view_of(good, i), &scanned, &head, &err) != CS_AGAIN)
            fail_msg("at %zu: not AGAIN", i);
        assert_true(scanned <= i);
    }
    assert_ok(http_request_parse(cs_view_of(good, n), &scanned, &head, &err));
    assert_int_equal(head.size, n);
    assert_int_equal(scanned, 0);
    for (size_t k = 0; k < sizeof ambiguities / sizeof ambiguities[0]; k++) {
        cs_status s = CS_AGAIN;
        scanned = 0;
        for (size_t i = 1; i <= ambiguities[k].n && s == CS_AGAIN; i++)
            s = http_request_parse(cs_view_of(ambiguities[k].bytes, i), &scanned, &head, &err);
        if (s == CS_OK || s == CS_AGAIN) fail_msg("%s: accepted octet by octet", ambiguities[k].what);
    }
}

static void bounds_the_head(void **state) {
    cs_err err;
    CS_SCOPED(cs_buf) b = cs_buf_of(1024 * 1024);
    cs_buf_add_str(&b, "GET /");
    while (b.n < CS_HTTP_LINE_MAX + 10) cs_buf_add_byte(&b, 'a');
    assert_fails(parse((char *)b.p, b.n, &err), CS_R_HTTP_URI_TOO_LONG);
    cs_buf_add_str(&b, " HTTP/1.1\r\n" HOST "\r\n");
    assert_fails(parse((char *)b.p, b.n, &err), CS_R_HTTP_URI_TOO_LONG);

    cs_buf_clear(&b);
    cs_buf_add_str(&b, GET);
    for (int i = 0; i < CS_HTTP_HEADER_COUNT - 1; i++) cs_buf_add_str(&b, "A: b\r\n");
    size_t before = b.n;
    cs_buf_add_str(&b, "\r\n");
    assert_ok(parse((char *)b.p, b.n, &err));
    b.n = before;
    cs_buf_add_str(&b, "A: b\r\n\r\n");
    assert_fails(parse((char *)b.p, b.n, &err), CS_R_HTTP_HEADER_TOO_LARGE);

    cs_buf_clear(&b);
    cs_buf_add_str(&b, GET "A: ");
    while (b.n < CS_HTTP_HEADERS_MAX - 4) cs_buf_add_byte(&b, 'a');
    cs_buf_add_str(&b, "\r\n\r\n");
    assert_int_equal(b.n, CS_HTTP_HEADERS_MAX);
    assert_ok(parse((char *)b.p, b.n, &err));
    b.n -= 4;
    cs_buf_add_str(&b, "a\r\n\r\n");
    assert_fails(parse((char *)b.p, b.n, &err), CS_R_HTTP_HEADER_TOO_LARGE);
    assert_fails(parse((char *)b.p, CS_HTTP_HEADERS_MAX, &err), CS_R_HTTP_HEADER_TOO_LARGE);
}

static void reads_connection_expect_upgrade(void **state) {
    cs_err err;
    assert_ok(parse_text(GET "Connection: close\r\n\r\n", &err));
    assert_false(head.keep_alive);
    assert_ok(parse_text(GET "Connection: , Keep-Alive , x-foo\r\n\r\n", &err));
    assert_true(head.keep_alive && head.connection_names);
    assert_ok(parse_text("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &err));
    assert_true(head.keep_alive);
    assert_ok(parse_text("POST / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n", &err));
    assert_true(head.expect_continue);
    assert_ok(parse_text(GET "Expect: 100-continue\r\n\r\n", &err));
    assert_false(head.expect_continue);
    assert_ok(parse_text(GET "Connection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n", &err));
    assert_true(head.upgrade);
    assert_ok(parse_text(GET "Upgrade: websocket\r\n\r\n", &err));
    assert_false(head.upgrade);
    assert_ok(parse_text(GET "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", &err));
    assert_false(head.upgrade);
    assert_ok(parse_text(GET "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 4\r\n\r\n", &err));
    assert_false(head.upgrade);
}

static cs_status reply(const char *text, http_method asked, cs_err *err) {
    size_t scanned = 0;
    return http_response_parse(cs_view_str(text), &scanned, asked, &head, err);
}

static void frames_responses(void **state) {
    static const struct {
        const char *text;
        http_method asked;
        http_framing framing;
        bool keep_alive;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_GET, HTTP_BODY_LENGTH, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_HEAD, HTTP_BODY_NONE, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", HTTP_GET, HTTP_BODY_NONE, true},
        {"HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n", HTTP_GET, HTTP_BODY_CHUNKED, true},
        {"HTTP/1.1 200 OK\r\n\r\n", HTTP_GET, HTTP_BODY_UNTIL_CLOSE, false},
        {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", HTTP_GET, HTTP_BODY_NONE, true},
        {"HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n", HTTP_GET, HTTP_BODY_NONE, true},
        {"HTTP/1.1 100 Continue\r\n\r\n", HTTP_POST, HTTP_BODY_NONE, true},
        {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_GET, HTTP_BODY_LENGTH, false},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n", HTTP_GET, HTTP_BODY_LENGTH, true},
    };
    cs_err err;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_ok(reply(rows[i].text, rows[i].asked, &err));
        if (head.framing != rows[i].framing || head.keep_alive != rows[i].keep_alive) fail_msg("row %zu", i);
    }
    assert_ok(reply("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", HTTP_GET, &err));
    assert_true(head.interim);
    assert_ok(reply("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", HTTP_GET, &err));
    assert_true(head.upgrade && !head.interim);
    assert_ok(reply("HTTP/1.1 200 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", HTTP_GET, &err));
    assert_false(head.upgrade);
}

static void refuses_bad_responses(void **state) {
    static const bad rows[] = {
        {"CL and TE", RAW("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
         CS_R_HTTP_FRAMING_AMBIGUOUS},
        {"two CL", RAW("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n"),
         CS_R_HTTP_FRAMING_AMBIGUOUS},
        {"TE in 1.0", RAW("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), CS_R_HTTP_FRAMING_AMBIGUOUS},
        {"obs-fold", RAW("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"), CS_R_HTTP_MALFORMED},
        {"bare LF", RAW("HTTP/1.1 200 OK\nA: b\n\n"), CS_R_HTTP_MALFORMED},
        {"space before colon", RAW("HTTP/1.1 200 OK\r\nA : b\r\n\r\n"), CS_R_HTTP_MALFORMED},
        {"status of two digits", RAW("HTTP/1.1 20 OK\r\n\r\n"), CS_R_HTTP_MALFORMED},
        {"status of four digits", RAW("HTTP/1.1 2000 OK\r\n\r\n"), CS_R_HTTP_MALFORMED},
        {"status 600", RAW("HTTP/1.1 600 OK\r\n\r\n"), CS_R_HTTP_MALFORMED},
        {"status 099", RAW("HTTP/1.1 099 OK\r\n\r\n"), CS_R_HTTP_MALFORMED},
        {"HTTP/2.0", RAW("HTTP/2.0 200 OK\r\n\r\n"), CS_R_HTTP_VERSION_UNSUPPORTED},
        {"no HTTP", RAW("SSH-2.0-OpenSSH\r\n\r\n"), CS_R_HTTP_MALFORMED},
        {"control in the phrase", RAW("HTTP/1.1 200 O\x01K\r\n\r\n"), CS_R_HTTP_MALFORMED},
        {"empty line first", RAW("\r\nHTTP/1.1 200 OK\r\n\r\n"), CS_R_HTTP_MALFORMED},
    };
    cs_err err;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        err.reason = CS_R_NONE;
        cs_status s = reply(rows[i].bytes, HTTP_GET, &err);
        if (s == CS_OK || err.reason != rows[i].reason) fail_msg("%s: %s", rows[i].what, err.detail);
    }
}

static void tells_clean_paths_from_others(void **state) {
    static const char *const clean[] = {"/",      "/a",      "/a/",   "/a/b.c/d", "/...", "/.well-known/est",
                                        "/a%20b", "/%C3%A4", "/a..b", "/..a"};
    static const char *const dirty[] = {"",     "a",         "*",      "//",     "/a//b", "/a/../b", "/..",
                                        "/.",   "/a/.",      "/a/./b", "/a/..",  "/a;b",  "/a%2fb",  "/a%2Fb",
                                        "/%00", "/%2e%2e/a", "/%2E/",  "/a%5cb", "/a\\b", "/a%3bb",  "/%",
                                        "/%2",  "/%zz",      "/%252f", "/%0a",   "/%7f"};
    for (size_t i = 0; i < sizeof clean / sizeof clean[0]; i++)
        if (!http_path_is_clean(cs_view_str(clean[i]))) fail_msg("%s refused", clean[i]);
    for (size_t i = 0; i < sizeof dirty / sizeof dirty[0]; i++)
        if (http_path_is_clean(cs_view_str(dirty[i]))) fail_msg("%s taken for clean", dirty[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_request),
        cmocka_unit_test(reads_absolute_and_asterisk_targets),
        cmocka_unit_test(skips_one_empty_line_before_a_request),
        cmocka_unit_test(refuses_every_ambiguity),
        cmocka_unit_test(names_the_field_in_the_detail),
        cmocka_unit_test(splits_change_nothing),
        cmocka_unit_test(bounds_the_head),
        cmocka_unit_test(reads_connection_expect_upgrade),
        cmocka_unit_test(frames_responses),
        cmocka_unit_test(refuses_bad_responses),
        cmocka_unit_test(tells_clean_paths_from_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
