#include "io/trail.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/files.h"
#include "unit.h"

static char state[64], path[128];
static cs_err err;

static int make_state(void **s) {
    (void)snprintf(state, sizeof state, "/tmp/cs-trail-XXXXXX");
    if (mkdtemp(state) == NULL) return 1;
    (void)snprintf(path, sizeof path, "%s/authority/trail", state);
    return 0;
}

static int drop_state(void **s) {
    return files_remove_tree(state, &err) != CS_OK;
}

static void entries_come_back_once_and_whole(void **s) {
    CS_SCOPED(cs_buf) b = cs_buf_of((size_t)2 * TRAIL_READ_MAX);
    char id[TRAIL_ID_LEN + 1];
    uint64_t at = 0;
    trail_entry e;
    assert_int_equal(trail_size(state), 0);
    assert_fails(trail_id(state, id, &err), CS_R_FILE_NOT_FOUND);
    assert_ok(trail_add(state, 0, "ca-key-used", "uid 7", "one\ttab and\nline", &err));
    assert_ok(trail_add(state, CS_SEC, "config-taken", "uid 8", "", &err));
    assert_ok(trail_id(state, id, &err));
    assert_int_equal(strlen(id), TRAIL_ID_LEN);
    assert_ok(trail_read(state, &at, &b, &err));
    assert_int_equal(at, trail_size(state));
    cs_view left = cs_buf_view(&b);
    assert_true(trail_next(&left, &e));
    assert_true(cs_view_eq_str(e.at, "1970-01-01T00:00:00Z") && cs_view_eq_str(e.event, "ca-key-used"));
    assert_true(cs_view_eq_str(e.by, "uid 7") && memchr(e.detail.p, '\t', e.detail.n) == NULL);
    assert_true(trail_next(&left, &e) && cs_view_eq_str(e.event, "config-taken") && e.detail.n == 0);
    assert_false(trail_next(&left, &e));
    cs_buf_clear(&b);
    assert_ok(trail_read(state, &at, &b, &err));
    assert_int_equal(b.n, 0);
}

static void half_a_line_is_nobodys_entry(void **s) {
    CS_SCOPED(cs_buf) b = cs_buf_of((size_t)2 * TRAIL_READ_MAX);
    uint64_t at = 0;
    trail_entry e;
    assert_ok(trail_add(state, 0, "one", "uid 7", "", &err));
    FILE *f = fopen(path, "ab");
    assert_true(f != NULL && fputs("1970-01-01T00:00:00Z\ttwo\tuid 7\tcut of", f) >= 0 && fclose(f) == 0);
    assert_ok(trail_add(state, 0, "three", "uid 7", "", &err));
    assert_ok(trail_read(state, &at, &b, &err));
    cs_view left = cs_buf_view(&b);
    assert_true(trail_next(&left, &e) && cs_view_eq_str(e.event, "one"));
    assert_true(trail_next(&left, &e) && cs_view_eq_str(e.event, "three"));
    assert_false(trail_next(&left, &e));
}

static void what_is_no_entry_is_a_detail(void **s) {
    static const char *const lines[] = {"\n", "x\n", "1970-01-01T00:00:00Z\t\tuid 7\t\n", "yesterday\tone\tuid 7\t\n",
                                        "1970-01-01T00:00:00Z\tone\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        cs_view left = cs_view_str(lines[i]);
        trail_entry e;
        assert_true(trail_next(&left, &e));
        assert_true(e.event.n == 0 && e.detail.n == strlen(lines[i]) - 1 && left.n == 0);
    }
}

static void a_file_of_another_kind_is_none(void **s) {
    char id[TRAIL_ID_LEN + 1];
    assert_ok(trail_add(state, 0, "one", "uid 7", "", &err));
    FILE *f = fopen(path, "r+b");
    assert_true(f != NULL && fputs("trial", f) >= 0 && fclose(f) == 0);
    assert_fails(trail_id(state, id, &err), CS_R_STATE_CORRUPT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(entries_come_back_once_and_whole, make_state, drop_state),
        cmocka_unit_test_setup_teardown(half_a_line_is_nobodys_entry, make_state, drop_state),
        cmocka_unit_test(what_is_no_entry_is_a_detail),
        cmocka_unit_test_setup_teardown(a_file_of_another_kind_is_none, make_state, drop_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
