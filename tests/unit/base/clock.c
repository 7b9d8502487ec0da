#include "unit.h"

#include "base/clock.h"

static void round_trip(const char *text, const char *expected) {
    cs_time t;
    char out[CS_TIME_TEXT_MAX];
    assert_true(cs_time_parse(cs_view_str(text), &t));
    assert_string_equal(cs_time_text(t, out), expected);
}

static void times_round_trip_over_all_years(void **state) {
    round_trip("2026-11-23T15:08:00Z", "2026-11-23T15:08:00Z");
    round_trip("1950-01-01T00:00:00Z", "1950-01-01T00:00:00Z");
    round_trip("0000-03-01T00:00:00Z", "0000-03-01T00:00:00Z");
    round_trip("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z");
    round_trip("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500000Z");
    round_trip("2024-02-29T12:00:00+02:00", "2024-02-29T10:00:00Z");
    round_trip("2050-01-01t00:00:00.123456789z", "2050-01-01T00:00:00.123456Z");
}

static void what_is_no_time_is_refused(void **state) {
    static const char *const bad[] = {"",
                                      "2026",
                                      "2026-13-01T00:00:00Z",
                                      "2026-02-29T00:00:00Z",
                                      "2026-01-01T24:00:00Z",
                                      "2026-01-01T00:00:00",
                                      "2026-01-01T00:00:00.Z",
                                      "2026-01-01T00:00:00Zx",
                                      "2026-01-01T00:00:00+1:00",
                                      "-026-01-01T00:00:00Z"};
    cs_time t;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(cs_time_parse(cs_view_str(bad[i]), &t));
}

static void seconds_round_down(void **state) {
    assert_int_equal(cs_time_seconds(-1), -1);
    assert_int_equal(cs_time_seconds(-CS_SEC), -1);
    assert_int_equal(cs_time_seconds(CS_SEC + 999999), 1);
}

static void durations_parse(void **state) {
    cs_time d;
    char out[CS_TIME_TEXT_MAX];
    assert_true(cs_duration_parse(CS_VIEW_LIT("90d"), &d));
    assert_true(d == 90 * CS_DAY);
    assert_string_equal(cs_duration_text(d, out), "90d");
    assert_string_equal(cs_duration_text(3 * CS_HOUR, out), "3h");
    static const char *const bad[] = {"", "d", "0d", "-1d", "1", "1x", "999999999y", "1.5d"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(cs_duration_parse(cs_view_str(bad[i]), &d));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_round_trip_over_all_years),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(seconds_round_down),
        cmocka_unit_test(durations_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
