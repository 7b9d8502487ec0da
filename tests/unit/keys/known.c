#include "keys/known.h"

#include "keys/keys.h"
#include <stdio.h>
#include <string.h>

#include "unit.h"

static cs_err err;

static cs_status add(cs_known_keys *k, const char *text) {
    return cs_known_keys_add(k, cs_view_str(text), "list", &err);
}

static void what_is_on_a_list_is_known_whatever_its_case(void **state) {
    static const uint8_t on[32] = {0xab, 0xcd}, off[32] = {0xab, 0xce};
    CS_AUTO(cs_known_keys) k = cs_known_keys_new();
    const cs_view none = {NULL, 0};
    assert_ok(add(k, "# two of them\r\n\r\n"
                     "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\n"
                     "ABCD000000000000000000000000000000000000000000000000000000000000"));
    cs_known_keys_sort(k);
    assert_int_equal(cs_known_keys_count(k), 2);
    assert_fails(cs_known_keys_check(k, none, on, &err), CS_R_KEY_WEAK_KNOWN);
    assert_ok(cs_known_keys_check(k, none, off, &err));
    assert_ok(cs_known_keys_check(NULL, none, on, &err));
}

static void many_lines_are_found_each(void **state) {
    CS_AUTO(cs_known_keys) k = cs_known_keys_new();
    char line[80];
    uint8_t hash[32] = {0};
    for (unsigned i = 10000; i-- > 0;) {
        (void)snprintf(line, sizeof line, "%08x%056x\n", i * 7, 0U);
        assert_ok(add(k, line));
    }
    cs_known_keys_sort(k);
    for (unsigned i = 0; i < 70000; i += 499) {
        hash[1] = (uint8_t)(i >> 16), hash[2] = (uint8_t)(i >> 8), hash[3] = (uint8_t)i;
        cs_status s = cs_known_keys_check(k, (cs_view){NULL, 0}, hash, &err);
        assert_int_equal(s, i % 7 == 0 ? CS_REFUSED : CS_OK);
    }
}

static void a_line_of_another_kind_is_named(void **state) {
    static const char *const bad[] = {"\n\nabc", "\n\n0123456789abcdef012g", "\n\n0123456789abcdef01234", "\n\n\x01"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CS_AUTO(cs_known_keys) k = cs_known_keys_new();
        assert_fails(add(k, bad[i]), CS_R_FILE_MALFORMED);
        assert_true(strncmp(err.detail, "list:3", 6) == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_on_a_list_is_known_whatever_its_case),
        cmocka_unit_test(many_lines_are_found_each),
        cmocka_unit_test(a_line_of_another_kind_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
