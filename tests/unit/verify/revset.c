#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "verify/revset.h"

static cs_err err;

static cs_revoked one(uint8_t issuer, const char *serial, size_t n, int reason) {
    cs_revoked r = {.serial = cs_view_of(serial, n), .reason = reason};
    memset(r.issuer, issuer, sizeof r.issuer);
    return r;
}

static bool has(const cs_revset *s, uint8_t issuer, const char *serial, size_t n, int *reason) {
    uint8_t key[32];
    memset(key, issuer, sizeof key);
    return cs_revset_has(s, key, cs_view_of(serial, n), reason);
}

static void a_serial_is_revoked_for_its_issuer_only(void **state) {
    cs_revoked list[] = {one(1, "\x05", 1, 1), one(2, "\x06", 1, 4)};
    CS_AUTO(cs_revset) s = NULL;
    int reason = -1;
    assert_ok(cs_revset_build(list, 2, &s, &err));
    assert_true(has(s, 1, "\x05", 1, &reason));
    assert_int_equal(reason, 1);
    assert_false(has(s, 2, "\x05", 1, NULL));
    assert_false(has(s, 3, "\x05", 1, NULL));
    assert_true(has(s, 2, "\x06", 1, NULL));
    assert_int_equal(cs_revset_count(s), 2);
}

static void a_leading_zero_makes_no_difference_and_a_trailing_one_does(void **state) {
    cs_revoked list[] = {one(1, "\x00\x85", 2, 0), one(1, "\x85\x00", 2, 0)};
    CS_AUTO(cs_revset) s = NULL;
    assert_ok(cs_revset_build(list, 2, &s, &err));
    assert_int_equal(cs_revset_count(s), 2);
    assert_true(has(s, 1, "\x85", 1, NULL));
    assert_true(has(s, 1, "\x85\x00", 2, NULL));
    assert_false(has(s, 1, "\x85\x00\x00", 3, NULL));
}

static void long_serials_are_told_apart(void **state) {
    char a[40] = {1}, b[40] = {1};
    b[39] = 1;
    cs_revoked list[] = {one(1, a, 40, 0)};
    CS_AUTO(cs_revset) s = NULL;
    assert_ok(cs_revset_build(list, 1, &s, &err));
    assert_true(has(s, 1, a, 40, NULL));
    assert_false(has(s, 1, b, 40, NULL));
    assert_false(has(s, 1, a, 20, NULL));
}

static void of_doubles_the_last_wins(void **state) {
    cs_revoked list[] = {one(1, "\x05", 1, 6), one(1, "\x05", 1, 1)};
    CS_AUTO(cs_revset) s = NULL;
    int reason = -1;
    assert_ok(cs_revset_build(list, 2, &s, &err));
    assert_int_equal(cs_revset_count(s), 1);
    assert_true(has(s, 1, "\x05", 1, &reason));
    assert_int_equal(reason, 1);
}

static void changes_add_replace_and_release(void **state) {
    cs_revoked list[] = {one(1, "\x05", 1, 6), one(1, "\x06", 1, 1)};
    cs_revoked changes[] = {one(1, "\x05", 1, 8), one(2, "\x07", 1, 3), one(1, "\x06", 1, 4), one(9, "\x01", 1, 8)};
    CS_AUTO(cs_revset) s = NULL;
    CS_AUTO(cs_revset) t = NULL;
    int reason = -1;
    assert_ok(cs_revset_build(list, 2, &s, &err));
    assert_ok(cs_revset_apply(s, changes, 4, &t, &err));
    assert_false(has(t, 1, "\x05", 1, NULL));
    assert_true(has(t, 2, "\x07", 1, NULL));
    assert_true(has(t, 1, "\x06", 1, &reason));
    assert_int_equal(reason, 4);
    assert_int_equal(cs_revset_count(t), 2);
    assert_true(has(s, 1, "\x05", 1, NULL)); /* the base stays as it was */
}

static void nothing_revokes_nothing(void **state) {
    CS_AUTO(cs_revset) s = NULL;
    assert_false(has(NULL, 1, "\x05", 1, NULL));
    assert_ok(cs_revset_build(NULL, 0, &s, &err));
    assert_false(has(s, 1, "\x05", 1, NULL));
    assert_int_equal(cs_revset_count(s), 0);
    CS_AUTO(cs_revset) same = cs_revset_ref(s);
    assert_ptr_equal(same, s);
}

static void many_are_found_and_their_neighbours_are_not(void **state) {
    enum { N = 100000 };
    cs_revoked *list = calloc(N, sizeof *list);
    uint64_t *serials = calloc(N, sizeof *serials);
    uint64_t x = 1;
    for (size_t i = 0; i < N; i++) {
        x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        serials[i] = x | 1;
        list[i] = one((uint8_t)(i % 7), (const char *)&serials[i], 8, (int)(i % 6));
    }
    CS_AUTO(cs_revset) s = NULL;
    assert_ok(cs_revset_build(list, N, &s, &err));
    assert_int_equal(cs_revset_count(s), N);
    for (size_t i = 0; i < N; i++) {
        int reason = -1;
        assert_true(has(s, (uint8_t)(i % 7), (const char *)&serials[i], 8, &reason));
        assert_int_equal(reason, (int)(i % 6));
        assert_false(has(s, (uint8_t)((i + 1) % 7), (const char *)&serials[i], 8, NULL));
    }
    CS_AUTO(cs_revset) t = NULL; /* changes in the midst of many: half released, half replaced, some new */
    for (size_t i = 0; i < 1000; i++) list[i].reason = i % 2 ? 8 : 9;
    for (size_t i = 1000; i < 1500; i++) serials[i] ^= 0x5555;
    assert_ok(cs_revset_apply(s, list, 1500, &t, &err));
    assert_int_equal(cs_revset_count(t), N - 500 + 500);
    for (size_t i = 0; i < N; i++) {
        int reason = -1;
        bool found = has(t, (uint8_t)(i % 7), (const char *)&serials[i], 8, &reason);
        assert_true(found == !(i < 1000 && i % 2));
        if (found) assert_int_equal(reason, i < 1000 ? 9 : (int)(i % 6));
    }
    free(list);
    free(serials);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_serial_is_revoked_for_its_issuer_only),
        cmocka_unit_test(a_leading_zero_makes_no_difference_and_a_trailing_one_does),
        cmocka_unit_test(long_serials_are_told_apart),
        cmocka_unit_test(of_doubles_the_last_wins),
        cmocka_unit_test(changes_add_replace_and_release),
        cmocka_unit_test(nothing_revokes_nothing),
        cmocka_unit_test(many_are_found_and_their_neighbours_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
