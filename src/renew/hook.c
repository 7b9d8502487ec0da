#include "renew/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "io/files.h"

enum { OUTPUT_KEPT = 400, ENV_MAX = 320 };

static cs_status failed(const char *what, const char *how, cs_view said, cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of(4096);
    (void)cs_text_escape(&b, cs_view_trim(said), 200);
    const char *text = cs_buf_cstr(&b);
    return cs_fail(err, CS_FAILED, CS_R_HOOK_FAILED, "%.200s: %s%s%s", what, how,
                   text != NULL && *text != '\0' ? ": " : "", text != NULL ? text : "");
}

/* ---- a signal ---- */

static int signal_of(const char *name) {
    static const struct {
        const char *name;
        int number;
    } all[] = {{"HUP", SIGHUP}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2},
               {"INT", SIGINT}, {"TERM", SIGTERM}, {"WINCH", SIGWINCH}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].name, name) == 0) return all[i].number;
    return SIGHUP;
}

static cs_status send_signal(const renew_identity *id, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(64);
    char *end = NULL;
    TRY(files_read(id->pid_file, 32, &text, err));
    const char *s = cs_buf_cstr(&text);
    long pid = s != NULL ? strtol(s, &end, 10) : 0;
    if (s == NULL || pid < 2 || end == s || strspn(end, " \t\r\n") != strlen(end))
        return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "%s: expected one process number", id->pid_file);
    if (kill((pid_t)pid, signal_of(id->signal)) == 0) return CS_OK;
    return cs_fail_errno(err, errno, CS_R_HOOK_FAILED, "%s: signal %s to process %ld", id->pid_file, id->signal, pid);
}

/* ---- a command ---- */

__attribute__((noreturn)) static void become(char *const argv[], char *const env[], int out) {
    sigset_t none;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (int sig = 1; sig < NSIG; sig++) (void)signal(sig, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setpgid(0, 0);
    if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 || close_range(3, ~0U, 0) != 0)
        _exit(126);
    (void)execve(argv[0], argv, env);
    _exit(127);
}

/* The last of what it says is kept, the rest is read over, so that it does not stand still for want of a reader. */
static void listen_to(int fd, cs_buf *said) {
    uint8_t part[4096];
    ssize_t n = read(fd, part, sizeof part);
    if (n <= 0) return;
    if (said->n + (size_t)n > said->max) {
        size_t over = said->n + (size_t)n - said->max;
        cs_buf_consume(said, over < said->n ? over : said->n);
    }
    size_t fits = (size_t)n > said->max ? said->max : (size_t)n;
    (void)cs_buf_add(said, part + ((size_t)n - fits), fits);
}

/* Until it has ended, or the time has. */
static bool await(pid_t pid, int fd, cs_time end, const cs_clock *clock, cs_buf *said, int *ret_status) {
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        bool heard = poll(&p, 1, 20) > 0;
        if (heard && (p.revents & POLLIN) != 0) listen_to(fd, said);
        if (waitpid(pid, ret_status, WNOHANG) == pid) {
            while (poll(&p, 1, 0) > 0 && (p.revents & POLLIN) != 0) listen_to(fd, said);
            return true;
        }
        if (heard && (p.revents & POLLIN) == 0) (void)poll(NULL, 0, 20); /* it closed its output, and goes on */
        if (cs_mono(clock) >= end) return false;
    }
}

static cs_status judge(const char *program, int status, cs_view said, cs_err *err) {
    char how[64];
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return CS_OK;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        (void)snprintf(how, sizeof how, "it cannot be run");
    else if (WIFEXITED(status))
        (void)snprintf(how, sizeof how, "exit %d", WEXITSTATUS(status));
    else
        (void)snprintf(how, sizeof how, "ended by signal %d", WTERMSIG(status));
    return failed(program, how, said, err);
}

static cs_status run(char *const argv[], const renew_identity *id, const char *dir, const cs_clock *clock,
                     cs_err *err) {
    char name[ENV_MAX], place[FILES_PATH_MAX + 32];
    char *env[] = {(char[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, (char[]){"LANG=C.UTF-8"}, name, place, NULL};
    CS_SCOPED(cs_buf) said = cs_buf_of(OUTPUT_KEPT);
    int fds[2], status = 0;
    (void)snprintf(name, sizeof name, "COUNTERSIGN_NAME=%s", id->name);
    (void)snprintf(place, sizeof place, "COUNTERSIGN_DIR=%s", dir);
    if (pipe2(fds, O_CLOEXEC) != 0) return cs_fail_errno(err, errno, CS_R_PROCESS_FAILED, "a pipe");
    pid_t pid = fork();
    if (pid == 0) become(argv, env, fds[1]);
    (void)close(fds[1]);
    if (pid < 0) {
        (void)close(fds[0]);
        return cs_fail_errno(err, errno, CS_R_PROCESS_FAILED, "%s", argv[0]);
    }
    (void)setpgid(pid, pid);
    bool ended = await(pid, fds[0], cs_mono(clock) + id->time_limit, clock, &said, &status);
    (void)kill(-pid, SIGKILL); /* also what it left running */
    if (!ended) (void)waitpid(pid, &status, 0);
    (void)close(fds[0]);
    char limit[CS_TIME_TEXT_MAX], how[64];
    if (ended) return judge(argv[0], status, cs_buf_view(&said), err);
    (void)snprintf(how, sizeof how, "not done within %s", cs_duration_text(id->time_limit, limit));
    return failed(argv[0], how, cs_buf_view(&said), err);
}

cs_status renew_hook(const renew_identity *id, const char *dir, const cs_clock *clock, cs_err *err) {
    char *argv[RENEW_TEXTS_MAX + 1];
    if (id->pid_file != NULL) return send_signal(id, err);
    if (id->reload_unit != NULL) {
        char *systemctl[] = {(char[]){"/usr/bin/systemctl"}, (char[]){"reload-or-restart"}, (char[]){"--"},
                             (char *)(uintptr_t)id->reload_unit, NULL};
        return run(systemctl, id, dir, clock, err);
    }
    if (id->command.n == 0) return CS_OK;
    for (size_t i = 0; i < id->command.n; i++) argv[i] = (char *)(uintptr_t)id->command.at[i];
    argv[id->command.n] = NULL;
    return run(argv, id, dir, clock, err);
}
