/* countersign-fetcher: looks at ACME's challenges for the authority. The one process that goes out to where strangers
 * send it: it holds no key, no database and no file, and what it may connect to is the configuration's to say. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/secret.h"
#include "conf/conf.h"
#include "fetch/challenge.h"
#include "io/sandbox.h"
#include "report/log.h"

enum { WORKERS = 64, WORKER_STACK = 512 * 1024, ASK_WAIT_MS = 5000 };
#define LOOK_LIMIT (10 * CS_SEC)

typedef struct fetcher {
    challenge_policy policy;
    int listen_fd;
} fetcher;

static cs_status read_ask(cs_view payload, challenge_kind *ret_kind, char host[CHALLENGE_HOST_MAX + 1],
                          char token[CHALLENGE_TOKEN_MAX + 1], cs_err *err) {
    cs_rd r = cs_rd_of(payload);
    *ret_kind = (challenge_kind)cs_rd_u8(&r);
    cs_view h = cs_rd_vec16(&r), t = cs_rd_vec16(&r);
    if (!cs_rd_ended(&r) || h.n == 0 || h.n > CHALLENGE_HOST_MAX || t.n > CHALLENGE_TOKEN_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "a challenge of %zu octets", payload.n);
    memcpy(host, h.p, h.n);
    host[h.n] = '\0';
    if (t.n > 0) memcpy(token, t.p, t.n);
    token[t.n] = '\0';
    return CS_OK;
}

static cs_status look(const fetcher *f, cs_view payload, cs_buf *values, cs_err *err) {
    char host[CHALLENGE_HOST_MAX + 1], token[CHALLENGE_TOKEN_MAX + 1];
    challenge_ask ask = {.host = host, .token = token};
    TRY(read_ask(payload, &ask.kind, host, token, err));
    return challenge_look(&f->policy, &ask, values, err);
}

static void serve(const fetcher *f, int fd) {
    CS_SCOPED(cs_buf)
    in = cs_buf_of(128 * 1024), values = cs_buf_of(CHALLENGE_VALUES_MAX), out = cs_buf_of(CHALLENGE_VALUES_MAX + 64);
    ipc_frame ask;
    size_t used = 0;
    cs_err err = {.status = CS_OK};
    if (ipc_await(fd, &in, challenge_from_authority, ASK_WAIT_MS, CS_R_FETCHER_UNREACHABLE, &ask, &used, &err) !=
        CS_OK) {
        log_failure(LOG_ERROR, err.reason == CS_R_WALL_VIOLATED ? "wall-violated" : "question-lost", &err);
        return;
    }
    if (look(f, ask.payload, &values, &err) == CS_OK) {
        (void)ipc_put(&out, CHALLENGE_GOT, cs_buf_view(&values));
    } else {
        size_t mark = ipc_open(&out, CHALLENGE_FAILED);
        (void)cs_buf_add_vec16(&out, cs_view_str(cs_reason_of(err.reason)->name));
        (void)cs_buf_add_vec16(&out, cs_view_str(err.detail));
        ipc_close(&out, mark);
    }
    if (ipc_flush(fd, &out, ASK_WAIT_MS, CS_R_FETCHER_UNREACHABLE, &err) != CS_OK)
        log_failure(LOG_WARN, "answer-lost", &err);
}

/* One of many: each takes whoever waits. */
static void *work(void *arg) {
    const fetcher *f = arg;
    for (;;) {
        struct pollfd p = {.fd = f->listen_fd, .events = POLLIN};
        cs_err err;
        int fd = -1;
        if (poll(&p, 1, -1) <= 0) continue;
        cs_status s = ipc_accept(f->listen_fd, &fd, &err);
        if (s == CS_AGAIN) continue;
        if (s != CS_OK) {
            log_failure(LOG_WARN, "accept-failed", &err);
            (void)poll(NULL, 0, 100);
            continue;
        }
        serve(f, fd);
        (void)close(fd);
    }
    return NULL;
}

static cs_status start_workers(fetcher *f, cs_err *err) {
    pthread_attr_t a;
    pthread_t t;
    if (pthread_attr_init(&a) != 0) return CS_NOMEM_ERR(err);
    int rc = pthread_attr_setstacksize(&a, WORKER_STACK);
    for (int i = 0; rc == 0 && i < WORKERS; i++) {
        rc = pthread_create(&t, &a, work, f);
        if (rc == 0) (void)pthread_detach(t);
    }
    (void)pthread_attr_destroy(&a);
    return rc == 0 ? CS_OK : CS_NOMEM_ERR(err);
}

static cs_status set_policy(const conf *c, fetcher *f, cs_buf *servers, cs_err *err) {
    for (unsigned i = 0; i < c->acme.resolvers.n; i++)
        (void)cs_buf_addf(servers, "%s%s", i > 0 ? "," : "", c->acme.resolvers.at[i]);
    f->policy = (challenge_policy){.allow = c->acme.fetch_from,
                                   .allow_count = c->acme.fetch_from_count,
                                   .resolver = {.deadline = LOOK_LIMIT},
                                   .http_port = c->acme.http_port,
                                   .tls_port = c->acme.tls_port,
                                   .deadline = LOOK_LIMIT};
    if (servers->n > 0) f->policy.resolver.servers = cs_buf_cstr(servers);
    return cs_buf_ok(servers, "acme.resolvers", err);
}

typedef struct options {
    conf_overrides said;
    int listen_fd, notify_fd;
} options;

static bool parse_options(int argc, char **argv, options *o) {
    *o = (options){.listen_fd = -1, .notify_fd = -1};
    for (int i = 1; i < argc; i += 2) {
        int taken = conf_take(&o->said, argc, argv, i);
        if (taken < 0 || i + 1 >= argc) return false;
        if (taken > 0) continue;
        if (strcmp(argv[i], "--listen") == 0)
            o->listen_fd = (int)strtol(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--notify") == 0)
            o->notify_fd = (int)strtol(argv[i + 1], NULL, 10);
        else
            return false;
    }
    return o->listen_fd >= 0;
}

static cs_status run(const options *o, const conf *c, const sigset_t *ending, cs_err *err) {
    static fetcher f; /* the workers outlive this frame */
    static cs_buf servers = {.max = 1024};
    int sig = 0;
    f.listen_fd = o->listen_fd;
    TRY(set_policy(c, &f, &servers, err));
    const sandbox_plan plan = {.paths = (const sandbox_path[]){{NULL, 0}}, .inet = true};
    TRY(sandbox_enter(&plan, err));
    TRY(start_workers(&f, err));
    if (o->notify_fd >= 0) {
        (void)!write(o->notify_fd, "ready\n", 6);
        (void)close(o->notify_fd);
    }
    do {
        if (sigwait(ending, &sig) != 0) break;
    } while (sig == SIGHUP);
    return CS_OK;
}

int main(int argc, char **argv) {
    options o;
    cs_err err;
    sigset_t ending;
    conf *c = NULL; /* the workers read it to the end */
    cs_process_guard();
    if (!parse_options(argc, argv, &o)) {
        (void)!write(STDERR_FILENO, "countersign-fetcher is started by countersign\n", 46);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&ending);
    (void)sigaddset(&ending, SIGTERM);
    (void)sigaddset(&ending, SIGINT);
    (void)sigaddset(&ending, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &ending, NULL);
    log_setup("fetcher", LOG_AS_TEXT, LOG_INFO, cs_clock_system(), STDERR_FILENO);
    if (conf_load(&o.said, &c, &err) == CS_OK) {
        log_format format = LOG_AS_TEXT;
        (void)log_format_parse(c->log_format, &format);
        log_setup("fetcher", format, LOG_INFO, cs_clock_system(), STDERR_FILENO);
        if (run(&o, c, &ending, &err) == CS_OK) _exit(0);
    }
    log_failure(LOG_ERROR, "start-failed", &err);
    _exit(1);
}
