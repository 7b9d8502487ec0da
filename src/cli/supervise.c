#include "cli/supervise.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/notify.h"
#include "cli/provision.h"
#include "cli/session.h"
#include "cli/supervise_priv.h"
#include "io/cas.h"
#include "report/log.h"

#define FIRST_DELAY (CS_SEC / 10) /* doubles with each end that follows soon on a start */
#define LONGEST_DELAY (30 * CS_SEC)
#define STEADY (30 * CS_SEC) /* having run that long, an end is a first one again */
#define CHECK_EVERY (60 * CS_SEC)
#define NOTICES_EVERY CS_HOUR
#define START_LIMIT (30 * CS_SEC) /* a process that is not ready by then is ended */

static cs_time mono(void) {
    return cs_mono(cs_clock_system());
}

/* ---- one process ---- */

static cs_status start(supervisor *s, proc_id id, cs_err *err) {
    watched *w = &s->of[id];
    TRY(procs_start(s->ask->procs, id, err));
    w->wanted = true;
    w->again = 0;
    w->began = mono();
    w->started = cs_now(cs_clock_system());
    return CS_OK;
}

static void plan_restart(supervisor *s, proc_id id) {
    watched *w = &s->of[id];
    if (mono() - w->began > STEADY) w->in_a_row = 0;
    cs_time delay = FIRST_DELAY;
    for (unsigned i = 0; i < w->in_a_row && delay < LONGEST_DELAY; i++) delay *= 2;
    w->in_a_row++;
    w->restarts++;
    w->again = mono() + (delay < LONGEST_DELAY ? delay : LONGEST_DELAY);
}

/* A process that ends by itself before it has ever been ready has said why, and would say it again. */
static cs_status ended(supervisor *s, proc_id id, int status, cs_err *err) {
    spawn_child *c = &s->ask->procs->child[id];
    watched *w = &s->of[id];
    cs_err ignored;
    (void)spawn_heard(c, proc_name(id), &ignored); /* it may have been ready for a moment */
    if (c->ready) w->was_ready = true;
    if (c->notify >= 0) (void)close(c->notify);
    *c = (spawn_child){.notify = -1};
    (void)spawn_end_text(status, w->last_end);
    log_event e = log_begin(LOG_WARN, "process-ended");
    log_str(&e, "which", proc_name(id));
    log_str(&e, "how", w->last_end);
    log_end(&e);
    if (!w->was_ready && !s->announced && WIFEXITED(status))
        return cs_fail(err, CS_FAILED, CS_R_PROCESS_FAILED,
                       "the %s %s before it was ready; its own line above says why", proc_name(id), w->last_end);
    plan_restart(s, id);
    return CS_OK;
}

static void restart_due(supervisor *s) {
    for (proc_id id = 0; id < PROC_COUNT; id++) {
        watched *w = &s->of[id];
        spawn_child *c = &s->ask->procs->child[id];
        cs_err err;
        if (w->wanted && c->pid > 0 && !c->ready && mono() - w->began > START_LIMIT) (void)kill(c->pid, SIGKILL);
        if (!w->wanted || w->again == 0 || mono() < w->again) continue;
        if (start(s, id, &err) == CS_OK) continue;
        log_failure(LOG_ERROR, "process-not-started", &err);
        plan_restart(s, id);
    }
}

/* ---- tasks, each in a child of its own ---- */

/* In the child: dies with us, hears signals. */
static void be_child(pid_t parent) {
    sigset_t none;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) _exit(3);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static provision_ask provision_of(const supervisor *s) {
    return (provision_ask){
        .conf = s->ask->procs->conf, .control = s->ask->procs->path[SOCKET_CONTROL], .examples = s->ask->examples};
}

__attribute__((noreturn)) static void be_task(const supervisor *s, pid_t parent) {
    cs_err err;
    const provision_ask ask = provision_of(s);
    be_child(parent);
    if (provision_run(&ask, &err) == CS_OK) _exit(0);
    log_failure(LOG_ERROR, "provisioning-failed", &err);
    _exit(1);
}

static cs_status start_task(supervisor *s, cs_err *err) {
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) be_task(s, parent);
    if (pid < 0) return cs_fail_errno(err, errno, CS_R_PROCESS_FAILED, "fork");
    s->task = pid;
    return CS_OK;
}

static cs_status start_front(supervisor *s, cs_err *err) {
    s->opened = true;
    if (s->ask->no_gateway) return CS_OK;
    if (!s->of[PROC_PAGE].wanted && s->ask->procs->listener[SOCKET_PAGE] >= 0) TRY(start(s, PROC_PAGE, err));
    if (!s->of[PROC_GATEWAY].wanted) TRY(start(s, PROC_GATEWAY, err));
    return CS_OK;
}

static cs_status task_ended(supervisor *s, int status, cs_err *err) {
    s->task = 0;
    if (status == 0) {
        const spawn_child *gateway = &s->ask->procs->child[PROC_GATEWAY];
        if (gateway->pid > 0) (void)kill(gateway->pid, SIGHUP); /* a renewed certificate */
        return start_front(s, err);
    }
    if (s->announced || !WIFEXITED(status)) return CS_OK; /* tried again at the next check */
    return cs_fail(err, CS_FAILED, CS_R_PROCESS_FAILED,
                   "the first certificates could not be issued; the line above says why");
}

static cs_status ask_control(void *to, const char *path, json_t **ret, cs_err *err) {
    const supervisor *s = to;
    return session_call_at(s->ask->procs->path[SOCKET_CONTROL], "GET", path, NULL, ret, err);
}

__attribute__((noreturn)) static void tell_notices(supervisor *s, pid_t parent) {
    notify_made made = {.all = NULL};
    cs_err err;
    be_child(parent);
    if (notify_run(s->ask->procs->conf, ask_control, s, cs_now(cs_clock_system()), false, &made, &err) != CS_OK) {
        log_failure(LOG_ERROR, "notices-failed", &err);
        _exit(1);
    }
    if (made.due > 0) {
        log_event e = log_begin(LOG_INFO, "notices-told");
        log_int(&e, "certificates", (int64_t)made.due);
        log_end(&e);
    }
    _exit(0);
}

/* A failure is that child's to say; the next hour tries again. */
static void notices_due(supervisor *s) {
    if (!s->announced || s->notices != 0 || s->ask->procs->conf->notices.before_count == 0) return;
    if (s->notices_at != 0 && mono() < s->notices_at) return;
    s->notices_at = mono() + NOTICES_EVERY;
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) tell_notices(s, parent);
    if (pid > 0) s->notices = pid;
}

/* When signer and authority serve: what is due is issued, then the front door opens. */
static cs_status go_on(supervisor *s, cs_err *err) {
    const procs *p = s->ask->procs;
    const provision_ask ask = provision_of(s);
    if (!p->child[PROC_SIGNER].ready || !p->child[PROC_AUTHORITY].ready || s->task != 0) return CS_OK;
    if (s->opened && mono() < s->check_at) return CS_OK;
    cs_time often = p->conf->ocsp_lifetime / 4; /* answers that are stapled are made anew at half of their life */
    s->check_at = mono() + (often < CHECK_EVERY ? often : CHECK_EVERY);
    if (provision_due(&ask, cs_now(cs_clock_system()))) return start_task(s, err);
    return s->opened ? CS_OK : start_front(s, err);
}

/* ---- events ---- */

static cs_status hear(supervisor *s) {
    bool all = true, news = false;
    for (proc_id id = 0; id < PROC_COUNT; id++) {
        spawn_child *c = &s->ask->procs->child[id];
        cs_err err;
        bool before = c->ready;
        if (!s->of[id].wanted) continue;
        if (c->pid > 0 && c->notify >= 0) (void)spawn_heard(c, proc_name(id), &err);
        if (c->ready) s->of[id].was_ready = true;
        news = news || c->ready != before;
        all = all && c->ready;
    }
    if (news) supervise_write_status(s);
    if (all && !s->announced && s->opened) {
        s->announced = true;
        s->ask->announce(s->ask->procs->conf, s->ask->to);
    }
    return CS_OK;
}

static cs_status reap(supervisor *s, cs_err *err) {
    int status = 0;
    if (s->task > 0 && waitpid(s->task, &status, WNOHANG) == s->task) TRY(task_ended(s, status, err));
    if (s->notices > 0 && waitpid(s->notices, &status, WNOHANG) == s->notices) s->notices = 0;
    for (proc_id id = 0; id < PROC_COUNT; id++) {
        pid_t pid = s->ask->procs->child[id].pid;
        if (pid <= 0 || waitpid(pid, &status, WNOHANG) != pid) continue;
        TRY(ended(s, id, status, err));
        supervise_write_status(s);
    }
    return CS_OK;
}

/* A bad file changes nothing; a good one is the gateway's to take over. */
static void reload(supervisor *s, const struct signalfd_siginfo *by) {
    conf *fresh = NULL;
    cs_err err;
    if (conf_load(s->ask->said, &fresh, &err) != CS_OK) {
        log_failure(LOG_ERROR, "reload-refused", &err);
        supervise_conf_read(s, by, NULL, &err);
        return;
    }
    s->ask->procs->conf = fresh;
    s->notices_at = 0;
    conf_free(s->reloaded);
    s->reloaded = fresh;
    log_note(LOG_INFO, "reloaded");
    supervise_conf_read(s, by, fresh, NULL);
    if (s->ask->procs->child[PROC_GATEWAY].pid > 0) (void)kill(s->ask->procs->child[PROC_GATEWAY].pid, SIGHUP);
}

/* True: the end was asked for. */
static bool take_signals(supervisor *s) {
    struct signalfd_siginfo info;
    bool end = false;
    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) end = true;
        if (info.ssi_signo == SIGHUP) reload(s, &info);
    }
    return end;
}

static int until_next(const supervisor *s) {
    cs_time now = mono(), next = now + CS_SEC;
    for (proc_id id = 0; id < PROC_COUNT; id++)
        if (s->of[id].wanted && s->of[id].again != 0 && s->of[id].again < next) next = s->of[id].again;
    return next <= now ? 0 : (int)((next - now) / 1000 + 1);
}

static void wait_for_news(const supervisor *s) {
    struct pollfd fds[PROC_COUNT + 1] = {{.fd = s->signals, .events = POLLIN}};
    nfds_t n = 1;
    for (proc_id id = 0; id < PROC_COUNT; id++)
        if (s->ask->procs->child[id].notify >= 0)
            fds[n++] = (struct pollfd){.fd = s->ask->procs->child[id].notify, .events = POLLIN};
    (void)poll(fds, n, until_next(s));
}

/* ---- CAs that were added, chosen or retired ---- */

static uint64_t stamp_of_cas(const supervisor *s) {
    static const char *const parts[] = {"crt", "key", "uri", "crl", "retired"};
    char dir[FILES_PATH_MAX], path[FILES_PATH_MAX];
    cas_list lists[2];
    cs_err ignored;
    uint64_t sum = 1;
    if (conf_path(s->ask->procs->conf, "ca", dir, &ignored) != CS_OK ||
        cas_list_roots(dir, &lists[0], &ignored) != CS_OK || cas_list_certs(dir, &lists[1], &ignored) != CS_OK)
        return 0;
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < lists[k].n; i++)
            for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++)
                if (cas_path(dir, lists[k].at[i], parts[p], path, &ignored) == CS_OK)
                    sum = sum * 0x100000001b3ULL ^ files_stamp(path);
    if (files_join(dir, "current", path, &ignored) == CS_OK) sum = sum * 0x100000001b3ULL ^ files_stamp(path);
    return sum;
}

/* Signer and authority read ca/ when they start. What was asked of them meanwhile waits in their listeners. */
static void follow_cas(supervisor *s) {
    if (mono() < s->cas_look) return;
    s->cas_look = mono() + CS_SEC;
    supervise_follow_conf(s);
    uint64_t now = stamp_of_cas(s);
    bool changed = now != 0 && now != s->cas_done && now == s->cas_seen;
    s->cas_seen = now;
    if (s->cas_done == 0) s->cas_done = now;
    if (!changed || s->cas_done == now) return;
    s->cas_done = now;
    s->check_at = 0; /* the gateway's own certificate may be due */
    log_note(LOG_INFO, "cas-changed");
    for (proc_id id = PROC_SIGNER; id <= PROC_AUTHORITY; id++) {
        s->of[id].in_a_row = 0;
        if (s->ask->procs->child[id].pid > 0) (void)kill(s->ask->procs->child[id].pid, SIGTERM);
    }
}

static cs_status loop(supervisor *s, cs_err *err) {
    TRY(start(s, PROC_SIGNER, err));
    TRY(start(s, PROC_AUTHORITY, err));
    TRY(start(s, PROC_FETCHER, err));
    supervise_write_status(s);
    for (;;) {
        wait_for_news(s);
        if (take_signals(s)) return CS_OK;
        TRY(hear(s));
        TRY(reap(s, err));
        restart_due(s);
        follow_cas(s);
        TRY(go_on(s, err));
        notices_due(s);
    }
}

cs_status supervise_run(supervise_ask *ask, cs_err *err) {
    char path[FILES_PATH_MAX];
    sigset_t ours;
    supervisor s = {.ask = ask, .started = cs_now(cs_clock_system())};
    (void)sigemptyset(&ours);
    (void)sigaddset(&ours, SIGTERM);
    (void)sigaddset(&ours, SIGINT);
    (void)sigaddset(&ours, SIGHUP);
    (void)sigaddset(&ours, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &ours, NULL);
    s.signals = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s.signals < 0) return cs_fail_errno(err, errno, CS_R_PROCESS_FAILED, "signalfd");
    cs_status got = loop(&s, err);
    if (s.task > 0) (void)kill(s.task, SIGKILL);
    if (s.notices > 0) (void)kill(s.notices, SIGKILL);
    const conf *c = ask->procs->conf;
    procs_free(ask->procs, (int)(c->limits.drain / 1000) + 5000);
    cs_err ignored;
    if (files_join(c->state, "run/status.json", path, &ignored) == CS_OK) (void)unlink(path);
    ask->procs->conf = NULL;
    conf_free(s.reloaded);
    (void)close(s.signals);
    return got;
}
