#include "io/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HIGH_FD = 200 }; /* where descriptors wait while they change places */

cs_status spawn_find(const char *name, char out[FILES_PATH_MAX], cs_err *err) {
    char self[FILES_PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) return cs_fail_errno(err, errno, CS_R_PROCESS_FAILED, "/proc/self/exe");
    self[n] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL) *slash = '\0';
    /* in the build folder; a libexec program looking for its neighbour; installed beside bin/ */
    static const char *const places[] = {"%s/libexec/%s", "%s/%s", "%s/../libexec/countersign/%s"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        int len = snprintf(out, FILES_PATH_MAX, places[i], self, name);
#pragma GCC diagnostic pop
        if (len > 0 && len < FILES_PATH_MAX && access(out, X_OK) == 0) return CS_OK;
    }
#ifdef CS_LIBEXECDIR
    int len = snprintf(out, FILES_PATH_MAX, "%s/%s", CS_LIBEXECDIR, name);
    if (len > 0 && len < FILES_PATH_MAX && access(out, X_OK) == 0) return CS_OK;
#endif
    return cs_fail(err, CS_FAILED, CS_R_PROCESS_FAILED, "the program %s is not installed beside %s", name, self);
}

/* ---- the child, between fork and exec: only async-signal-safe calls ---- */

static void fresh_signals(void) {
    sigset_t none;
    for (int sig = 1; sig < NSIG; sig++) (void)signal(sig, SIG_DFL); /* KILL and STOP refuse, which is fine */
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* fds[i] to SPAWN_FD_FIRST + i. First out of the way, since a source may stand where another goes. */
static bool place_fds(const int fds[], size_t count) {
    int high[SPAWN_FDS_MAX + 1];
    for (size_t i = 0; i < count; i++) {
        high[i] = fcntl(fds[i], F_DUPFD, HIGH_FD);
        if (high[i] < 0) return false;
    }
    for (size_t i = 0; i < count; i++)
        if (dup2(high[i], SPAWN_FD_FIRST + (int)i) < 0) return false;
    return close_range(SPAWN_FD_FIRST + (unsigned)count, ~0U, 0) == 0;
}

__attribute__((noreturn)) static void become(const char *program, char *const argv[], const int fds[], size_t count,
                                             pid_t parent) {
    fresh_signals();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) _exit(127);
    if (!place_fds(fds, count)) _exit(127);
    (void)execv(program, argv);
    _exit(127);
}

/* ---- the parent ---- */

static cs_status make_argv(const char *const argv[], size_t fd_count, char number[12], char *out[SPAWN_ARGS_MAX],
                           cs_err *err) {
    size_t n = 0;
    for (; argv[n] != NULL; n++) {
        if (n + 3 >= SPAWN_ARGS_MAX)
            return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "more than %d arguments for %s", SPAWN_ARGS_MAX, argv[0]);
        out[n] = (char *)(uintptr_t)argv[n]; /* execv does not write to them */
    }
    (void)snprintf(number, 12, "%d", SPAWN_FD_FIRST + (int)fd_count);
    out[n++] = (char *)(uintptr_t) "--notify";
    out[n++] = number;
    out[n] = NULL;
    return CS_OK;
}

cs_status spawn_start(const char *program, const char *const argv[], const int fds[], size_t fd_count, spawn_child *ret,
                      cs_err *err) {
    char number[12], *args[SPAWN_ARGS_MAX];
    int all[SPAWN_FDS_MAX + 1], pipe_fds[2];
    if (fd_count > SPAWN_FDS_MAX) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%zu descriptors", fd_count);
    TRY(make_argv(argv, fd_count, number, args, err));
    if (pipe2(pipe_fds, O_CLOEXEC) != 0) return cs_fail_errno(err, errno, CS_R_PROCESS_FAILED, "pipe for %s", argv[0]);
    for (size_t i = 0; i < fd_count; i++) all[i] = fds[i];
    all[fd_count] = pipe_fds[1];
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) become(program, args, all, fd_count + 1, parent);
    int failed = errno;
    (void)close(pipe_fds[1]);
    if (pid < 0) {
        (void)close(pipe_fds[0]);
        return cs_fail_errno(err, failed, CS_R_PROCESS_FAILED, "fork for %s", argv[0]);
    }
    (void)fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
    *ret = (spawn_child){.pid = pid, .notify = pipe_fds[0]};
    return CS_OK;
}

static void close_notify(spawn_child *child) {
    if (child->notify >= 0) (void)close(child->notify);
    child->notify = -1;
}

cs_status spawn_heard(spawn_child *child, const char *name, cs_err *err) {
    char said[16];
    if (child->ready) return CS_OK;
    if (child->notify < 0) return cs_fail(err, CS_FAILED, CS_R_PROCESS_FAILED, "%s ended before it was ready", name);
    ssize_t n = read(child->notify, said, sizeof said);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return CS_AGAIN;
    close_notify(child);
    child->ready = n >= 5 && memcmp(said, "ready", 5) == 0;
    return child->ready ? CS_OK : spawn_heard(child, name, err);
}

cs_status spawn_await(spawn_child *child, const char *name, int wait_ms, cs_err *err) {
    cs_time until = cs_mono(cs_clock_system()) + (cs_time)wait_ms * 1000;
    for (;;) {
        cs_status s = spawn_heard(child, name, err);
        if (s != CS_AGAIN) return s;
        cs_time left = (until - cs_mono(cs_clock_system())) / 1000;
        if (left <= 0)
            return cs_fail(err, CS_FAILED, CS_R_PROCESS_FAILED, "%s was not ready after %d ms", name, wait_ms);
        struct pollfd p = {.fd = child->notify, .events = POLLIN};
        (void)poll(&p, 1, (int)left);
    }
}

int spawn_stop(spawn_child *child, int wait_ms) {
    int status = 0;
    if (child->pid <= 0) return 0;
    close_notify(child);
    (void)kill(child->pid, SIGTERM);
    cs_time until = cs_mono(cs_clock_system()) + (cs_time)wait_ms * 1000;
    pid_t got = 0;
    while ((got = waitpid(child->pid, &status, WNOHANG)) == 0) {
        if (cs_mono(cs_clock_system()) >= until) {
            (void)kill(child->pid, SIGKILL);
            while ((got = waitpid(child->pid, &status, 0)) < 0 && errno == EINTR) {
            }
            break;
        }
        (void)usleep(5 * 1000);
    }
    *child = (spawn_child){.notify = -1};
    return got > 0 ? status : 0;
}

const char *spawn_end_text(int wait_status, char out[64]) {
    if (WIFEXITED(wait_status)) {
        (void)snprintf(out, 64, "exited with %d", WEXITSTATUS(wait_status));
    } else {
        const char *name = sigabbrev_np(WTERMSIG(wait_status));
        (void)snprintf(out, 64, "was ended by signal %d (%s)", WTERMSIG(wait_status), name != NULL ? name : "?");
    }
    return out;
}
