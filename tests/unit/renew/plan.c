/* When it is renewed, when it is tried again, and what time it is at least. */
#include "unit.h"

#include "renew/floor.h"
#include "renew/plan.h"

#define T ((cs_time)1800000000 * CS_SEC)
static const renew_rules rules = {.percent = 67, .retry_least = CS_MIN, .retry_most = CS_HOUR};
static const renew_life year = {T, T + CS_YEAR};

static void test_due_lies_before_the_percentage_and_within_the_window(void **state) {
    cs_time last = renew_due(&rules, &year, NULL, 0), first = renew_due(&rules, &year, NULL, UINT32_MAX);
    assert_int_equal(last, T + CS_YEAR / 100 * 67);
    assert_true(first < last && last - first <= CS_YEAR / 20);
    const renew_window w = {T + CS_DAY, T + 2 * CS_DAY}, after_end = {T + 2 * CS_YEAR, T + 3 * CS_YEAR};
    assert_true(renew_due(&rules, &year, &w, 0) == w.start && renew_due(&rules, &year, &w, UINT32_MAX) <= w.end);
    assert_int_equal(renew_due(&rules, &year, &after_end, 0), last); /* a window that is no use */
}

static void test_pauses_double_up_to_the_longest(void **state) {
    assert_int_equal(renew_pause(&rules, NULL, 1, T, 0, 0), CS_MIN);
    assert_int_equal(renew_pause(&rules, NULL, 2, T, 0, 0), 2 * CS_MIN);
    assert_int_equal(renew_pause(&rules, NULL, 7, T, 0, 0), CS_HOUR);
    assert_int_equal(renew_pause(&rules, NULL, 1000000, T, 0, 0), CS_HOUR);
    assert_true(renew_pause(&rules, NULL, 7, T, 0, UINT32_MAX) >= CS_HOUR / 4 * 3);
}

static void test_no_pause_passes_the_end(void **state) {
    for (cs_time left = CS_SEC; left < CS_YEAR; left *= 2)
        for (unsigned failures = 1; failures < 30; failures++)
            for (int wants = 0; wants < 2; wants++) {
                cs_time p = renew_pause(&rules, &year, failures, year.not_after - left, wants * 400 * CS_DAY, 0);
                assert_true(p <= left && p >= CS_SEC);
            }
    assert_true(renew_pause(&rules, &year, 9, year.not_after - CS_HOUR, 0, 0) <= CS_HOUR / 4); /* denser */
    assert_int_equal(renew_pause(&rules, &year, 1, T, 400 * CS_DAY, 0), CS_DAY); /* Retry-After, but not for ever */
}

static void test_a_life_of_seconds(void **state) {
    const renew_life ten = {T, T + 10 * CS_SEC};
    assert_int_equal(renew_pause(&rules, &ten, 1, T + 7 * CS_SEC, 0, 0), CS_SEC);
}

static void test_the_floor_stands_in_for_a_clock_that_is_behind(void **state) {
    renew_floor f;
    renew_floor_init(&f, T, T + 10 * CS_DAY);
    assert_int_equal(renew_floor_now(&f, 5 * CS_SEC, 5 * CS_SEC), T + 10 * CS_DAY);
    assert_int_equal(f.state, RENEW_CLOCK_BEHIND);
    assert_int_equal(renew_floor_now(&f, 65 * CS_SEC, 65 * CS_SEC), T + 10 * CS_DAY + CS_MIN); /* it goes on */
    assert_int_equal(renew_floor_now(&f, T + 20 * CS_DAY, 66 * CS_SEC), T + 20 * CS_DAY);      /* NTP */
    assert_int_equal(f.state, RENEW_CLOCK_JUMPED);
}

static void test_what_a_wrong_clock_showed_is_forgotten(void **state) {
    renew_floor f;
    renew_floor_init(&f, T, T + 80 * CS_YEAR); /* it was far ahead once */
    renew_floor_cert(&f, T + CS_DAY, T + CS_YEAR);
    assert_int_equal(renew_floor_now(&f, T + 2 * CS_DAY, CS_SEC), T + 2 * CS_DAY);
    assert_int_equal(f.state, RENEW_CLOCK_GOOD);
    assert_int_equal(f.seen, T + 2 * CS_DAY);
    assert_int_equal(renew_floor_now(&f, 0, 2 * CS_SEC), T + 2 * CS_DAY); /* what is plausible stands in */
}

static void test_a_fresh_signed_time_tells_a_clock_that_is_ahead(void **state) {
    renew_floor f;
    renew_floor_init(&f, T, 0);
    renew_floor_signed(&f, T + CS_DAY, true, 100 * CS_SEC);
    assert_int_equal(renew_floor_now(&f, T + CS_YEAR, 160 * CS_SEC), T + CS_DAY + CS_MIN);
    assert_int_equal(f.state, RENEW_CLOCK_AHEAD);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_due_lies_before_the_percentage_and_within_the_window),
        cmocka_unit_test(test_pauses_double_up_to_the_longest),
        cmocka_unit_test(test_no_pause_passes_the_end),
        cmocka_unit_test(test_a_life_of_seconds),
        cmocka_unit_test(test_the_floor_stands_in_for_a_clock_that_is_behind),
        cmocka_unit_test(test_what_a_wrong_clock_showed_is_forgotten),
        cmocka_unit_test(test_a_fresh_signed_time_tells_a_clock_that_is_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
