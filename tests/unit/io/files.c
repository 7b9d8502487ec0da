#include "io/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static char dir[64];
static cs_err err;

static int make_dir(void **state) {
    (void)snprintf(dir, sizeof dir, "/tmp/cs-files-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int drop_dir(void **state) {
    return files_remove_tree(dir, &err) != CS_OK;
}

static const char *in(const char *name) {
    static char path[4][FILES_PATH_MAX];
    static unsigned turn;
    char *p = path[turn++ % 4];
    assert_ok(files_join(dir, name, p, &err));
    return p;
}

static void put(const char *name, const char *text, mode_t mode) {
    assert_ok(files_write(in(name), cs_view_str(text), mode, FILES_REPLACE, &err));
}

static unsigned entries(void) {
    DIR *d = opendir(dir);
    unsigned n = 0;
    while (d != NULL && readdir(d) != NULL) n++;
    if (d != NULL) (void)closedir(d);
    return n - 2;
}

static void what_is_written_is_read_back_with_its_mode(void **state) {
    struct stat st;
    CS_SCOPED(cs_buf) b = cs_buf_of(100);
    mode_t before = umask(0);
    put("key", "secret", 0600);
    put("crt", "public", 0644);
    (void)umask(before);
    assert_int_equal(stat(in("key"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(in("crt"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_ok(files_read_private(in("key"), 100, &b, &err));
    assert_true(cs_view_eq_str(cs_buf_view(&b), "secret"));
    assert_int_equal(entries(), 2);
}

static void a_new_file_does_not_replace_another(void **state) {
    CS_SCOPED(cs_buf) b = cs_buf_of(100);
    put("a", "one", 0600);
    assert_fails(files_write(in("a"), CS_VIEW_LIT("two"), 0600, FILES_NEW, &err), CS_R_FILE_EXISTS);
    assert_ok(files_read(in("a"), 100, &b, &err));
    assert_true(cs_view_eq_str(cs_buf_view(&b), "one"));
    assert_int_equal(entries(), 1);
}

static void a_planted_symbolic_link_is_replaced_not_followed(void **state) {
    CS_SCOPED(cs_buf) b = cs_buf_of(100);
    put("victim", "untouched", 0600);
    assert_int_equal(symlink(in("victim"), in("link")), 0);
    put("link", "mine", 0600);
    assert_ok(files_read(in("victim"), 100, &b, &err));
    assert_true(cs_view_eq_str(cs_buf_view(&b), "untouched"));
    assert_int_equal(symlink("nowhere", in("dangling")), 0);
    assert_fails(files_write(in("dangling"), CS_VIEW_LIT("x"), 0600, FILES_NEW, &err), CS_R_FILE_EXISTS);
}

static void reading_says_exactly_what_is_wrong(void **state) {
    CS_SCOPED(cs_buf) b = cs_buf_of(100);
    put("some", "12345", 0600);
    put("none", "", 0600);
    put("open", "x", 0644);
    assert_int_equal(mkfifo(in("fifo"), 0600), 0);
    assert_fails(files_read(in("missing"), 100, &b, &err), CS_R_FILE_NOT_FOUND);
    assert_fails(files_read(in("some/below"), 100, &b, &err), CS_R_FILE_NOT_FOUND);
    assert_fails(files_read(in("none"), 100, &b, &err), CS_R_FILE_EMPTY);
    assert_fails(files_read(in("some"), 4, &b, &err), CS_R_FILE_TOO_LARGE);
    assert_fails(files_read(dir, 100, &b, &err), CS_R_FILE_WRONG_TYPE);
    assert_fails(files_read("/dev/zero", 100, &b, &err), CS_R_FILE_WRONG_TYPE);
    assert_fails(files_read_private(in("open"), 100, &b, &err), CS_R_FILE_PERMISSIONS_TOO_OPEN);
    assert_non_null(strstr(err.detail, "0644"));
    assert_fails(files_read(in("fifo"), 100, &b, &err), CS_R_FILE_EMPTY);
}

static void writing_into_a_missing_folder_leaves_nothing(void **state) {
    assert_fails(files_write(in("no/file"), CS_VIEW_LIT("x"), 0600, FILES_NEW, &err), CS_R_FILE_NOT_FOUND);
    put("plain", "x", 0600);
    assert_fails(files_mkdir_private(in("plain"), &err), CS_R_FILE_WRONG_TYPE);
    assert_fails(files_mkdir_private(in("plain/below"), &err), CS_R_FILE_NOT_FOUND);
    assert_int_equal(entries(), 1);
}

static void a_folder_is_tried_without_leaving_a_trace(void **state) {
    assert_fails(files_dir_writable(in("absent"), &err), CS_R_FILE_NOT_FOUND);
    assert_ok(files_dir_writable(dir, &err));
    assert_int_equal(entries(), 0);
}

static void private_folders_are_made_with_their_parents(void **state) {
    struct stat st;
    assert_ok(files_mkdir_private(in("a/b/c"), &err));
    assert_int_equal(stat(in("a/b"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_ok(files_mkdir_private(in("a/b/c"), &err));
    assert_int_equal(chmod(in("a/b/c"), 0777), 0);
    assert_fails(files_mkdir_private(in("a/b/c"), &err), CS_R_FILE_PERMISSIONS_TOO_OPEN);
}

static void a_folder_takes_a_name_only_when_it_is_free(void **state) {
    assert_ok(files_mkdir_private(in("ca.tmp-1"), &err));
    assert_ok(files_rename_new(in("ca.tmp-1"), in("ca"), &err));
    assert_ok(files_mkdir_private(in("ca.tmp-2"), &err));
    assert_fails(files_rename_new(in("ca.tmp-2"), in("ca"), &err), CS_R_FILE_EXISTS);
    put("ca.tmp-2/inside", "x", 0600);
    assert_int_equal(symlink("/tmp", in("ca.tmp-2/out")), 0);
    assert_ok(files_remove_leftovers(dir, "ca.tmp-", &err));
    assert_false(files_exists(in("ca.tmp-2")));
    assert_true(files_exists(in("ca")));
    assert_true(files_exists("/tmp"));
}

static void a_lock_is_held_by_one(void **state) {
    int one = -1, two = -1;
    assert_ok(files_lock(in("lock"), 0, "a test", &one, &err));
    assert_fails(files_lock(in("lock"), 30, "a test", &two, &err), CS_R_STATE_BUSY);
    (void)close(one);
    assert_ok(files_lock(in("lock"), 0, "a test", &two, &err));
    (void)close(two);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, drop_dir)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read_back_with_its_mode),
        TEST(a_new_file_does_not_replace_another),
        TEST(a_planted_symbolic_link_is_replaced_not_followed),
        TEST(reading_says_exactly_what_is_wrong),
        TEST(writing_into_a_missing_folder_leaves_nothing),
        TEST(a_folder_is_tried_without_leaving_a_trace),
        TEST(private_folders_are_made_with_their_parents),
        TEST(a_folder_takes_a_name_only_when_it_is_free),
        TEST(a_lock_is_held_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
