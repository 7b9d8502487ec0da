#include "unit.h"

#include <string.h>

#include "base/text.h"
#include "http/websocket.h"

/* RFC 6455 1.3's own example. */
static void answers_a_key(void **state) {
    char text[HTTP_WEBSOCKET_ACCEPT + 1];
    assert_true(http_websocket_accept(CS_VIEW_LIT("dGhlIHNhbXBsZSBub25jZQ=="), text));
    assert_string_equal(text, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void answers_no_other_text(void **state) {
    static const char *const bad[] = {"",
                                      "dGhlIHNhbXBsZSBub25jZQ",
                                      "dGhlIHNhbXBsZSBub25jZQ===",
                                      "dGhlIHNhbXBsZSBub25j",
                                      "dGhlIHNhbXBsZSBub25jZ===",
                                      "dGhlIHNhbXBsZSBub25*ZQ=="};
    char text[HTTP_WEBSOCKET_ACCEPT + 1];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(http_websocket_accept(cs_view_str(bad[i]), text));
}

static cs_status fill_ones(const cs_rng *rng, void *p, size_t n, cs_err *err) {
    memset(p, 1, n);
    return CS_OK;
}
static cs_status fill_nothing(const cs_rng *rng, void *p, size_t n, cs_err *err) {
    return cs_fail(err, CS_FAILED, CS_R_RANDOM_FAILED, "%s", "no");
}

static void makes_a_key_of_the_randomness_it_is_given(void **state) {
    const cs_rng ones = {fill_ones}, none = {fill_nothing};
    CS_SCOPED(cs_buf) b = cs_buf_of(128);
    cs_err err;
    assert_ok(http_websocket_key_add(&ones, &b, &err));
    assert_string_equal(cs_buf_cstr(&b), "Sec-WebSocket-Key: AQEBAQEBAQEBAQEBAQEBAQ==\r\n");
    cs_buf_clear(&b);
    assert_int_equal(http_websocket_key_add(&none, &b, &err), CS_FAILED);
    assert_int_equal(b.n, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_a_key),
        cmocka_unit_test(answers_no_other_text),
        cmocka_unit_test(makes_a_key_of_the_randomness_it_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
