#include "io/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static cs_err err;

/* A shell with that script; $1 is the number of the notify descriptor. */
static spawn_child shell(const char *script, const int *fds, size_t n) {
    const char *const argv[] = {"sh", "-c", script, NULL};
    spawn_child child;
    assert_ok(spawn_start("/bin/sh", argv, fds, n, &child, &err));
    return child;
}

static void descriptors_come_in_order_and_no_others(void **state) {
    int a[2], b[2];
    char got[16] = "";
    assert_int_equal(pipe(a) + pipe(b), 0);
    int stray = dup(a[0]); /* without close-on-exec */
    const int fds[] = {b[1], a[1]};
    spawn_child c = shell("echo b >&3; echo a >&4; [ ! -e /proc/self/fd/6 ] && echo ready >&$1; exec sleep 5", fds, 2);
    assert_ok(spawn_await(&c, "sh", 5000, &err));
    assert_true(c.ready);
    assert_int_equal(read(b[0], got, 2), 2);
    assert_int_equal(got[0], 'b');
    assert_int_equal(read(a[0], got, 2), 2);
    assert_int_equal(got[0], 'a');
    assert_int_equal(WTERMSIG(spawn_stop(&c, 2000)), SIGTERM);
    assert_int_equal(c.pid, 0);
    (void)close(stray);
    for (int i = 0; i < 2; i++) (void)close(a[i]), (void)close(b[i]);
}

static void a_child_that_ends_before_it_is_ready_is_noticed(void **state) {
    spawn_child c = shell("exit 7", NULL, 0);
    char text[64];
    assert_fails(spawn_await(&c, "sh", 5000, &err), CS_R_PROCESS_FAILED);
    int status = spawn_stop(&c, 2000);
    assert_string_equal(spawn_end_text(status, text), "exited with 7");
}

static void a_child_that_says_nothing_is_not_waited_for_long(void **state) {
    spawn_child c = shell("exec sleep 5", NULL, 0);
    assert_int_equal(spawn_heard(&c, "sh", &err), CS_AGAIN);
    assert_fails(spawn_await(&c, "sh", 50, &err), CS_R_PROCESS_FAILED);
    (void)spawn_stop(&c, 2000);
}

static void a_child_that_will_not_end_is_ended(void **state) {
    char text[64];
    spawn_child c = shell("trap '' TERM; echo ready >&$1; while :; do sleep 1; done", NULL, 0);
    assert_ok(spawn_await(&c, "sh", 5000, &err));
    assert_string_equal(spawn_end_text(spawn_stop(&c, 100), text), "was ended by signal 9 (KILL)");
}

static void children_die_with_their_parent(void **state) {
    int told[2];
    pid_t child = 0;
    assert_int_equal(pipe(told), 0);
    pid_t middle = fork();
    if (middle == 0) {
        spawn_child c = shell("echo ready >&$1; exec sleep 60", NULL, 0);
        bool ready = spawn_await(&c, "sh", 5000, &err) == CS_OK;
        if (ready && write(told[1], &c.pid, sizeof c.pid) > 0) (void)raise(SIGKILL);
        _exit(1);
    }
    assert_int_equal(read(told[0], &child, sizeof child), sizeof child);
    assert_int_equal(waitpid(middle, NULL, 0), middle);
    bool gone = false;
    for (int i = 0; i < 200 && !gone; i++) {
        char path[32], line[256] = "";
        (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        gone = fd < 0 || read(fd, line, sizeof line - 1) <= 0 || strstr(line, ") Z") != NULL;
        if (fd >= 0) (void)close(fd);
        (void)usleep(10 * 1000);
    }
    assert_true(gone);
    (void)close(told[0]), (void)close(told[1]);
}

static void a_socket_is_private_and_answers(void **state) {
    char dir[] = "/tmp/cs-spawn-XXXXXX", path[64], deep[200];
    struct stat st;
    int fd = -1;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/s.sock", dir);
    assert_false(spawn_answers(path));
    assert_ok(spawn_listen(path, 0600, &fd, &err));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_true(spawn_answers(path));
    (void)close(fd);
    assert_false(spawn_answers(path));
    assert_ok(spawn_listen(path, 0600, &fd, &err)); /* what a killed process left is replaced */
    (void)close(fd);
    memset(deep, 'x', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    assert_fails(spawn_listen(deep, 0600, &fd, &err), CS_R_LIMIT_REACHED);
    assert_ok(files_remove_tree(dir, &err));
}

static void a_program_that_is_nowhere_is_named(void **state) {
    char path[FILES_PATH_MAX];
    assert_fails(spawn_find("countersign-nonesuch", path, &err), CS_R_PROCESS_FAILED);
    assert_non_null(strstr(err.detail, "countersign-nonesuch"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_come_in_order_and_no_others),
        cmocka_unit_test(a_child_that_ends_before_it_is_ready_is_noticed),
        cmocka_unit_test(a_child_that_says_nothing_is_not_waited_for_long),
        cmocka_unit_test(a_child_that_will_not_end_is_ended),
        cmocka_unit_test(children_die_with_their_parent),
        cmocka_unit_test(a_socket_is_private_and_answers),
        cmocka_unit_test(a_program_that_is_nowhere_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
