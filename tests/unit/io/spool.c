#include "io/spool.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static char dir[64], path[128];
static cs_err err;

static int make_dir(void **state) {
    (void)snprintf(dir, sizeof dir, "/tmp/cs-spool-XXXXXX");
    if (mkdtemp(dir) == NULL) return 1;
    (void)snprintf(path, sizeof path, "%s/list", dir);
    return 0;
}

static int drop_dir(void **state) {
    return files_remove_tree(dir, &err) != CS_OK;
}

static void fill(spool *s, size_t pieces) {
    uint8_t piece[1000];
    for (size_t i = 0; i < pieces; i++) {
        memset(piece, (int)(i % 251), sizeof piece);
        assert_ok(spool_add(s, cs_view_of(piece, sizeof piece), &err));
    }
}

static void a_long_file_is_written_read_in_pieces_and_put_in_place(void **state) {
    CS_SCOPED(spool) s = {.fd = -1};
    CS_SCOPED(cs_buf) got = cs_buf_of(4000);
    struct stat st;
    int fd = -1;
    assert_ok(spool_open(&s, path, 0644, &err));
    fill(&s, 500);
    assert_int_equal(s.n, 500 * 1000);
    assert_false(files_exists(path)); /* nothing is there before it is whole */
    assert_ok(spool_flush(&s, &err));
    assert_ok(spool_read(s.fd, 250 * 1000 - 1, 2002, &got, path, &err));
    assert_int_equal(got.n, 2002);
    assert_true(got.p[0] == 249 && got.p[1] == 250 && got.p[1001] == 0);
    assert_ok(spool_commit(&s, &fd, &err));
    assert_true(fd >= 0 && stat(path, &st) == 0 && st.st_size == 500 * 1000 && (st.st_mode & 0777) == 0644);
    cs_buf_clear(&got);
    assert_ok(spool_read(fd, 499 * 1000, 4000, &got, path, &err)); /* ends where the file does */
    assert_int_equal(got.n, 1000);
    (void)close(fd);
}

static void what_is_not_put_in_place_leaves_nothing(void **state) {
    struct stat st;
    spool s = {.fd = -1}, nameless = {.fd = -1};
    assert_ok(spool_open(&s, path, 0644, &err));
    assert_ok(spool_open_nameless(&nameless, dir, &err));
    fill(&s, 100);
    fill(&nameless, 100);
    spool_free(&s);
    spool_free(&nameless);
    spool_free(&s); /* twice is fine */
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_not_equal(stat(path, &st), 0);
    assert_int_not_equal(spool_open(&s, "/nowhere/at/all", 0644, &err), CS_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_long_file_is_written_read_in_pieces_and_put_in_place, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(what_is_not_put_in_place_leaves_nothing, make_dir, drop_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
