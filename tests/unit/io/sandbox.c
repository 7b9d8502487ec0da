/* Each case runs in a child of its own: what a sandbox takes away never comes back. */
#include "io/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static char dir[64];

/* The wait status of work() after the sandbox was entered; 99 when it could not be. */
static int inside(const sandbox_plan *plan, int (*work)(void)) {
    pid_t pid = fork();
    if (pid == 0) {
        cs_err err;
        if (sandbox_enter(plan, &err) != CS_OK) _exit(99);
        _exit(work());
    }
    int status = 0;
    (void)waitpid(pid, &status, 0);
    return status;
}

static int code(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int errno_of(bool failed) {
    return failed ? errno : 0;
}

static int inet_socket(void) {
    return errno_of(socket(AF_INET, SOCK_STREAM, 0) < 0);
}
static int unix_socket(void) {
    return errno_of(socket(AF_UNIX, SOCK_STREAM, 0) < 0);
}
static int run_program(void) {
    (void)execl("/bin/true", "true", (char *)NULL);
    return errno;
}
static int trace(void) {
    return errno_of(ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0);
}
static int make_process(void) {
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    return errno_of(pid < 0);
}
static int write_and_exec_memory(void) {
    return errno_of(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                    MAP_FAILED);
}
static int read_shadow(void) {
    return errno_of(open("/etc/shadow", O_RDONLY) < 0);
}
static int write_below(void) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/file", dir);
    return errno_of(open(path, O_WRONLY | O_CREAT, 0600) < 0);
}
static int write_elsewhere(void) {
    return errno_of(open("/tmp/cs-sandbox-elsewhere", O_WRONLY | O_CREAT, 0600) < 0);
}
static int become_other(void) {
    return errno_of(setuid(65534) != 0);
}

static const sandbox_plan nothing = {.paths = (const sandbox_path[]){{NULL, 0}}, .holds_key = true};

static void without_inet_no_tcp_socket_is_made(void **state) {
    const sandbox_plan gateway = {.paths = (const sandbox_path[]){{NULL, 0}}, .inet = true};
    assert_int_equal(code(inside(&nothing, inet_socket)), EAFNOSUPPORT);
    assert_int_equal(code(inside(&nothing, unix_socket)), 0);
    assert_int_equal(code(inside(&gateway, inet_socket)), 0);
}

static void a_program_cannot_be_run(void **state) {
    assert_int_equal(code(inside(&nothing, run_program)), -SIGSYS);
    assert_int_equal(code(inside(&nothing, make_process)), EPERM);
}

static void the_supervisor_still_makes_processes(void **state) {
    const sandbox_plan supervisor = {.inet = true, .spawn = true};
    assert_int_equal(code(inside(&supervisor, make_process)), 0);
    assert_int_equal(code(inside(&supervisor, run_program)), 0);
    assert_int_equal(code(inside(&supervisor, trace)), -SIGSYS);
}

static void tracing_ends_the_process(void **state) {
    assert_int_equal(code(inside(&nothing, trace)), -SIGSYS);
}

static void memory_is_writable_or_executable_not_both(void **state) {
    assert_int_equal(code(inside(&nothing, write_and_exec_memory)), EPERM);
}

static void other_users_cannot_be_become(void **state) {
    assert_int_equal(code(inside(&nothing, become_other)), EPERM);
}

static void only_named_folders_are_in_reach(void **state) {
    const sandbox_plan plan = {.paths = (const sandbox_path[]){{dir, SANDBOX_READ | SANDBOX_WRITE}, {NULL, 0}}};
    const sandbox_plan reader = {
        .paths = (const sandbox_path[]){{dir, SANDBOX_READ}, {"/no/such", SANDBOX_READ}, {NULL, 0}}};
    if (code(inside(&nothing, read_shadow)) == 0) skip(); /* a kernel without Landlock */
    assert_int_equal(code(inside(&nothing, read_shadow)), EACCES);
    assert_int_equal(code(inside(&plan, write_elsewhere)), EACCES);
    assert_int_equal(code(inside(&reader, write_below)), EACCES);
    assert_int_equal(code(inside(&plan, write_below)), 0);
}

int main(void) {
#ifdef CS_SANITIZED
    (void)printf("1..0 # SKIP sanitizers need what the sandbox takes away\n");
    return 0;
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_inet_no_tcp_socket_is_made),        cmocka_unit_test(a_program_cannot_be_run),
        cmocka_unit_test(the_supervisor_still_makes_processes),      cmocka_unit_test(tracing_ends_the_process),
        cmocka_unit_test(memory_is_writable_or_executable_not_both), cmocka_unit_test(other_users_cannot_be_become),
        cmocka_unit_test(only_named_folders_are_in_reach),
    };
    (void)snprintf(dir, sizeof dir, "/tmp/cs-sandbox-XXXXXX");
    if (mkdtemp(dir) == NULL) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink("/tmp/cs-sandbox-elsewhere");
    char path[128];
    (void)snprintf(path, sizeof path, "%s/file", dir);
    (void)unlink(path);
    (void)rmdir(dir);
    return failed;
}
