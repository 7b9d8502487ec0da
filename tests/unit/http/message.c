#include "unit.h"

#include <stdio.h>

#include "http/message.h"

static void writes_and_reads_dates(void **state) {
    char text[HTTP_DATE_MAX];
    cs_time t, back;
    assert_true(cs_time_of_civil(1994, 11, 6, 8, 49, 37, &t));
    assert_string_equal(http_date(t, text), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_true(http_date_parse(cs_view_str(text), &back) && back == t);
    assert_string_equal(http_date(0, text), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_string_equal(http_date(-CS_SEC, text), "Wed, 31 Dec 1969 23:59:59 GMT");
    assert_false(http_date_parse(CS_VIEW_LIT("Sunday, 06-Nov-94 08:49:37 GMT"), &back));
    assert_false(http_date_parse(CS_VIEW_LIT("Sun, 06 Nev 1994 08:49:37 GMT"), &back));
    assert_false(http_date_parse(CS_VIEW_LIT(""), &back));
}

static void writes_a_reply_that_our_parser_reads(void **state) {
    static const http_reply rows[] = {
        {.status = 200,
         .media = "text/plain",
         .body = {(const uint8_t *)"hello", 5},
         .etag = "\"e\"",
         .extra = "X: y\r\n"},
        {.status = 200, .media = "text/plain", .body = {(const uint8_t *)"hello", 5}, .head_only = true, .close = true},
        {.status = 304, .body = {(const uint8_t *)"hello", 5}},
        {.status = 799},
    };
    cs_err err;
    for (int i = 0; i < 3; i++) {
        http_head h;
        size_t scanned = 0;
        CS_SCOPED(cs_buf) b = cs_buf_of(4096);
        assert_true(http_reply_add(&b, &rows[i]));
        assert_ok(http_response_parse(cs_buf_view(&b), &scanned, rows[i].head_only ? HTTP_HEAD : HTTP_GET, &h, &err));
        assert_int_equal(h.status, rows[i].status);
        assert_int_equal(b.n - h.size, i == 0 ? 5 : 0);
        assert_int_equal(h.keep_alive, !rows[i].close);
    }
}

static void a_problem_says_its_reason_and_keeps_its_detail(void **state) {
    cs_err err;
    CS_SCOPED(cs_buf) b = cs_buf_of(8192);
    http_reply shape = {.close = true};
    (void)cs_fail(&err, CS_REFUSED, CS_R_IDENTITY_NOT_ALLOWED, "secret %s", "detail");
    assert_true(http_problem_add(&b, &err, false, &shape));
    const char *text = cs_buf_cstr(&b);
    assert_non_null(strstr(text, "HTTP/1.1 403 Forbidden\r\n"));
    assert_non_null(strstr(text, "application/problem+json"));
    assert_non_null(strstr(text, "\"reason\":\"identity-not-allowed\""));
    assert_null(strstr(text, "secret"));
    cs_buf_clear(&b);
    assert_true(http_problem_add(&b, &err, true, &shape));
    assert_non_null(strstr(cs_buf_cstr(&b), "\"detail\":\"secret detail\""));
}

static void answers_conditions(void **state) {
    static const struct {
        const char *lines;
        bool unchanged;
    } rows[] = {
        {"", false},
        {"If-None-Match: \"a\"\r\n", true},
        {"If-None-Match: \"x\", W/\"a\"\r\n", true},
        {"If-None-Match: *\r\n", true},
        {"If-None-Match: \"x\"\r\nIf-Modified-Since: Sun, 06 Nov 2033 08:49:37 GMT\r\n", false},
        {"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", true},
        {"If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", false},
        {"If-Modified-Since: yesterday\r\n", false},
    };
    cs_err err;
    cs_time t;
    assert_true(cs_time_of_civil(1994, 11, 6, 8, 49, 37, &t));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        http_head h;
        char text[256];
        size_t scanned = 0;
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", rows[i].lines);
        assert_ok(http_request_parse(cs_view_str(text), &scanned, &h, &err));
        if (http_not_modified(&h, "\"a\"", t + 5) != rows[i].unchanged) fail_msg("%s", rows[i].lines);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_and_reads_dates),
        cmocka_unit_test(writes_a_reply_that_our_parser_reads),
        cmocka_unit_test(a_problem_says_its_reason_and_keeps_its_detail),
        cmocka_unit_test(answers_conditions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
