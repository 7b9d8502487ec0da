#include "unit.h"

#include "base/json.h"
#include "base/text.h"

static void base64_round_trips_and_refuses_what_is_not(void **state) {
    static const char *const pairs[][2] = {
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        CS_SCOPED(cs_buf) enc = cs_buf_of(100);
        CS_SCOPED(cs_buf) dec = cs_buf_of(100);
        cs_base64_add(&enc, cs_view_str(pairs[i][0]));
        assert_true(cs_view_eq_str(cs_buf_view(&enc), pairs[i][1]));
        assert_true(cs_base64_decode(cs_buf_view(&enc), false, &dec));
        assert_true(cs_view_eq_str(cs_buf_view(&dec), pairs[i][0]));
    }
    static const char *const bad[] = {"Z", "Zg", "Zg=", "Zh==", "Zm9v=", "Zg==Zg==", "Z*==", "===="};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CS_SCOPED(cs_buf) dec = cs_buf_of(100);
        assert_false(cs_base64_decode(cs_view_str(bad[i]), false, &dec));
    }
    CS_SCOPED(cs_buf) dec = cs_buf_of(100);
    assert_true(cs_base64_decode(CS_VIEW_LIT(" Zm\r\n8 "), true, &dec));
    assert_true(cs_view_eq_str(cs_buf_view(&dec), "fo"));
}

static void hex_decodes_with_colons(void **state) {
    uint8_t out[4];
    size_t n;
    assert_true(cs_hex_decode(CS_VIEW_LIT("0A:ff"), out, sizeof out, &n));
    assert_int_equal(n, 2);
    assert_int_equal(out[1], 0xff);
    assert_false(cs_hex_decode(CS_VIEW_LIT("0"), out, sizeof out, &n));
    assert_false(cs_hex_decode(CS_VIEW_LIT("0g"), out, sizeof out, &n));
    assert_false(cs_hex_decode(CS_VIEW_LIT("0011223344"), out, sizeof out, &n));
}

static void names_cannot_break_a_line(void **state) {
    CS_SCOPED(cs_buf) b = cs_buf_of(1000);
    cs_text_escape(&b, CS_VIEW_LIT("a\r\nb\"\\\x1b[2J\xff\xe2\x80\xa8\xe2\x80\xae \xc3\xa4"), 500);
    assert_true(
        cs_view_eq_str(cs_buf_view(&b), "a\\x0d\\x0ab\\\"\\\\\\x1b[2J\\xff\\xe2\\x80\\xa8\\xe2\\x80\\xae \xc3\xa4"));
}

static void json_is_escaped_and_comma_separated(void **state) {
    CS_SCOPED(cs_buf) b = cs_buf_of(1000);
    cs_json j = cs_json_to(&b);
    cs_json_object(&j, NULL);
    cs_json_view(&j, "a", CS_VIEW_LIT("\n\"\x01\xff"));
    cs_json_array(&j, "l");
    cs_json_int(&j, NULL, -5);
    cs_json_bool(&j, NULL, true);
    cs_json_array_end(&j);
    cs_json_str(&j, "n", NULL);
    cs_json_object_end(&j);
    assert_true(cs_view_eq_str(cs_buf_view(&b), "{\"a\":\"\\u000a\\\"\\u0001\\ufffd\",\"l\":[-5,true],\"n\":null}"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_round_trips_and_refuses_what_is_not),
        cmocka_unit_test(hex_decodes_with_colons),
        cmocka_unit_test(names_cannot_break_a_line),
        cmocka_unit_test(json_is_escaped_and_comma_separated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
