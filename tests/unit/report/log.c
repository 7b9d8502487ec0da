#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/text.h"
#include "report/log.h"

static cs_clock_manual clock_;
static int pipe_[2];
static char got[8 * LOG_LINE_MAX];

static const char *logged(void) {
    ssize_t n = read(pipe_[0], got, sizeof got - 1);
    got[n > 0 ? n : 0] = '\0';
    return got;
}
static void as(log_format format) {
    log_setup("gateway", format, LOG_INFO, &clock_.clock, pipe_[1]);
}

static int setup(void **state) {
    cs_clock_manual_init(&clock_, (cs_time)1795449600 * CS_SEC);
    if (pipe(pipe_) != 0) return -1;
    return fcntl(pipe_[0], F_SETFL, O_NONBLOCK);
}

static void writes_typed_fields(void **state) {
    as(LOG_AS_JSON);
    log_event e = log_begin(LOG_WARN, "handshake-refused");
    cs_err err;
    (void)cs_fail(&err, CS_REFUSED, CS_R_REVOKED, "serial 1f");
    log_fail(&e, &err);
    log_int(&e, "port", -5);
    log_int(&e, "least", INT64_MIN);
    log_bool(&e, "resumed", false);
    log_hex(&e, "serial", CS_VIEW_LIT("\x1f\x00"));
    log_time(&e, "until", 0);
    log_str(&e, "none", NULL);
    log_end(&e);
    assert_string_equal(logged(), "{\"time\":\"2026-11-23T16:00:00.000000Z\",\"process\":\"gateway\",\"level\":"
                                  "\"warn\",\"event\":\"handshake-refused\","
                                  "\"reason\":\"revoked\",\"detail\":\"serial "
                                  "1f\",\"port\":-5,\"least\":-9223372036854775808,\"resumed\":false,\"serial\":"
                                  "\"1f00\",\"until\":\"1970-01-01T00:00:00Z\"}\n");
    as(LOG_AS_TEXT);
    e = log_begin(LOG_ERROR, "request");
    log_str(&e, "name", "pump-17");
    log_str(&e, "subject", "CN=a b");
    log_str(&e, "empty", "");
    log_int(&e, "n", 7);
    log_end(&e);
    assert_string_equal(
        logged(), "2026-11-23T16:00:00.000000Z gateway error request name=pump-17 subject=\"CN=a b\" empty=\"\" n=7\n");
}

/* W71: whatever is in a name, it stays one line of visible text. */
static void outside_text_stays_in_its_line(void **state) {
    static const char *const names[] = {
        "a\nb",
        "a\r\nlevel=error event=fake",
        "\x1b[31mred\x1b[0m",
        "\"},{\"event\":\"fake\"",
        "back\\slash",
        "tab\there",
        "nul",
        "\x7f",
        "\xe2\x80\xa8line",
        "\xe2\x80\xa9para",
        "\xc2\x85nel",
        "\xe2\x80\xaeltr",
        "\xe2\x81\xa6iso",
        ("\xef\xbb\xbf"
         "bom"),
        "\xff\xfe bad",
        "\xc3",
        "a=b",
        "\xc3\xa4",
        "\xe2\x82\xac",
        "\xe2\x80\x8fmark",
        "\xf0\x9f\x98\x80",
    };
    for (int f = 0; f < 2; f++)
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            as(f == 0 ? LOG_AS_JSON : LOG_AS_TEXT);
            log_event e = log_begin(LOG_INFO, "x");
            log_str(&e, "name", names[i]);
            log_end(&e);
            const char *line = logged();
            size_t n = strlen(line);
            assert_int_equal(line[n - 1], '\n');
            assert_true(cs_utf8_valid(cs_view_of(line, n)));
            for (size_t k = 0; k + 1 < n; k++) {
                const uint8_t *c = (const uint8_t *)line + k;
                if (*c < 0x20 || *c == 0x7f) fail_msg("name %zu: control", i);
                if (c[0] == 0xe2 &&
                    ((c[1] == 0x80 && c[2] >= 0x8e && c[2] <= 0xae && c[2] != 0x90) || (c[1] == 0x81 && c[2] >= 0xa6)))
                    fail_msg("name %zu: separator", i);
                if (c[0] == 0xc2 && c[1] < 0xa0) fail_msg("name %zu: C1", i);
            }
            assert_null(strstr(line, "},{\"event\":\"fake"));
        }
}

static void a_line_never_passes_its_bound(void **state) {
    char big[5000];
    memset(big, '\n', sizeof big);
    for (int f = 0; f < 2; f++)
        for (int count = 1; count < 60; count++) {
            as(f == 0 ? LOG_AS_JSON : LOG_AS_TEXT);
            log_event e = log_begin(LOG_INFO, "x");
            for (int i = 0; i < count; i++) log_view(&e, "k", cs_view_of(big, (size_t)(i * 97 % 1400)));
            log_int(&e, "last", 1);
            log_end(&e);
            const char *line = logged();
            size_t n = strlen(line);
            assert_true(n <= LOG_LINE_MAX && line[n - 1] == '\n');
            if (f == 0) assert_int_equal(line[n - 2], '}');
            if (count == 59) assert_non_null(strstr(line, "cut"));
        }
}

static void keeps_utf8_whole_when_it_cuts(void **state) {
    CS_SCOPED(cs_buf) b = cs_buf_of(4000);
    cs_buf_add_byte(&b, 'x');
    while (b.n < 2000) cs_buf_add_str(&b, "\xe2\x82\xac");
    as(LOG_AS_JSON);
    log_event e = log_begin(LOG_INFO, "x");
    log_view(&e, "k", cs_buf_view(&b));
    log_end(&e);
    const char *line = logged();
    assert_null(strstr(line, "ufffd"));
    assert_non_null(strstr(line, "\xe2\x82\xac\",\"cut\":true}\n"));
}

static void levels_below_the_least_write_nothing(void **state) {
    as(LOG_AS_TEXT);
    log_note(LOG_DEBUG, "x");
    assert_string_equal(logged(), "");
    log_level level;
    log_format format;
    assert_true(log_level_parse("error", &level) && level == LOG_ERROR);
    assert_false(log_level_parse("loud", &level));
    assert_true(log_format_parse("json", &format) && format == LOG_AS_JSON);
    assert_false(log_format_parse("xml", &format));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_typed_fields),
        cmocka_unit_test(outside_text_stays_in_its_line),
        cmocka_unit_test(a_line_never_passes_its_bound),
        cmocka_unit_test(keeps_utf8_whole_when_it_cuts),
        cmocka_unit_test(levels_below_the_least_write_nothing),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
