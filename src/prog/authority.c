/* countersign-authority: the CA's service on unix sockets; no CA key (the signer has it), no network. */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/secret.h"
#include "io/files.h"
#include "io/sandbox.h"
#include "proto/rest/rest.h"
#include "report/log.h"
#include "x509/cms_message.h"

typedef struct options {
    conf_overrides said;
    const char *signer;
    int public_fd, control_fd, feed_fd, notify_fd;
} options;

typedef struct feed_thread {
    authority *a;
    int listen_fd, stop_fd;
} feed_thread;

static void *run_feed(void *arg) {
    const feed_thread *f = arg;
    authority_feed_serve(f->a, f->listen_fd, f->stop_fd);
    return NULL;
}

static bool take_own(options *o, int argc, char **argv, int i) {
    static const char *const names[] = {"--signer", "--public", "--control", "--feed", "--notify"};
    size_t k = 0;
    while (k < sizeof names / sizeof *names && strcmp(argv[i], names[k]) != 0) k++;
    if (k == sizeof names / sizeof *names || i + 1 >= argc) return false;
    int *const fds[] = {NULL, &o->public_fd, &o->control_fd, &o->feed_fd, &o->notify_fd};
    if (fds[k] == NULL)
        o->signer = argv[i + 1];
    else
        *fds[k] = (int)strtol(argv[i + 1], NULL, 10);
    return true;
}

static bool parse_options(int argc, char **argv, options *o) {
    *o = (options){.public_fd = -1, .control_fd = -1, .feed_fd = -1, .notify_fd = -1};
    for (int i = 1; i < argc; i += 2) {
        int taken = conf_take(&o->said, argc, argv, i);
        if (taken < 0 || (taken == 0 && !take_own(o, argc, argv, i))) return false;
    }
    return o->public_fd >= 0 && o->control_fd >= 0 && o->feed_fd >= 0;
}

/* What is public of ca/, file by file: the keys beside are out of reach. */
enum { ALLOWED_MAX = 3 * CAS_MAX + 2 * CONF_VENDORS_MAX + 16 };
typedef struct allowed {
    sandbox_path at[ALLOWED_MAX];
    char path[ALLOWED_MAX][CONF_PATH_MAX];
    size_t n;
    store_reach store;
} allowed, *allowed_ptr;

static void allowed_ptr_free(allowed_ptr *l) {
    free(*l);
}

static cs_status allow(allowed *l, const char *dir, const char *name, const char *ext, unsigned may, cs_err *err) {
    char *path = l->path[l->n];
    TRY(ext != NULL ? cas_path(dir, name, ext, path, err) : files_join(dir, name, path, err));
    l->at[l->n++] = (sandbox_path){path, may};
    return CS_OK;
}

static cs_status confine(const conf *c, const authority_cas *cas, cs_err *err) {
    CS_SCOPED(allowed_ptr) l = calloc(1, sizeof *l);
    char dir[CONF_PATH_MAX], ca[CONF_PATH_MAX], crl[CONF_PATH_MAX];
    if (l == NULL) return CS_NOMEM_ERR(err);
    TRY(conf_path(c, "authority", dir, err));
    TRY(conf_path(c, "ca", ca, err));
    TRY(files_mkdir_private(dir, err));
    TRY(conf_path(c, "crl", crl, err));
    TRY(files_mkdir(crl, err)); /* public: what stands there is signed */
    TRY(files_remove_leftovers(crl, ".spool", err));
    TRY(allow(l, c->state, "crl", NULL, SANDBOX_READ | SANDBOX_WRITE, err));
    TRY(allow(l, c->state, "authority", NULL, SANDBOX_READ | SANDBOX_WRITE, err));
    TRY(allow(l, c->state, "run", NULL, SANDBOX_READ, err));
    for (size_t i = 0; i < cas->roots.n; i++) {
        TRY(allow(l, ca, cas->roots.at[i], "crt", SANDBOX_READ, err));
        TRY(allow(l, ca, cas->roots.at[i], "crl", SANDBOX_READ, err));
    }
    for (size_t i = 0; i < cas->certs.n; i++) TRY(allow(l, ca, cas->certs.at[i], "crt", SANDBOX_READ, err));
    for (unsigned i = 0; i < c->vendor_count; i++) {
        l->at[l->n++] = (sandbox_path){c->vendors[i].anchors, SANDBOX_READ};
        if (c->vendors[i].crl != NULL) l->at[l->n++] = (sandbox_path){c->vendors[i].crl, SANDBOX_READ};
    }
    if (c->store != NULL) TRY(store_reach_of(c->store, &l->store, err));
    for (size_t i = 0; i < l->store.n; i++) l->at[l->n++] = (sandbox_path){l->store.files[i], SANDBOX_READ};
    return sandbox_enter(&(sandbox_plan){.paths = l->at, .inet = l->store.inet}, err);
}

static void wait_for_end(int notify_fd, const sigset_t *ending) {
    int sig = 0;
    if (notify_fd >= 0) {
        (void)!write(notify_fd, "ready\n", 6);
        (void)close(notify_fd);
    }
    do {
        if (sigwait(ending, &sig) != 0) break;
    } while (sig == SIGHUP); /* nothing to reload: the supervisor restarts it for a new configuration */
}

/* What a door's `legacy` needs of files that the sandbox hides. */
static void load_weak(const conf *c) {
    bool wanted = false;
    cs_err err;
    for (unsigned i = 0; i < c->door_count; i++) wanted = wanted || c->doors[i].legacy;
    if (!wanted || cs_cms_weak_load()) return;
    (void)cs_fail(&err, CS_FAILED, CS_R_ALGORITHM_UNSUPPORTED,
                  "enroll.doors: legacy: no single DES: OpenSSL's legacy provider does not load");
    log_failure(LOG_WARN, "legacy-incomplete", &err);
}

/* ---- the end ---- */

enum { END_SECONDS = 7 }; /* the doors' five for what was asked, and two for what was accepted */

/* A database that hangs would keep us as long as it likes, and whoever waits for our end too. What has not been
 * acknowledged by then counts as never done, as after a kill: intents are abandoned, the rest rolls back. */
static void *end_in_time(void *unused) {
    cs_err err;
    (void)unused;
    for (unsigned left = END_SECONDS; left > 0;) left = sleep(left);
    (void)cs_fail(&err, CS_FAILED, CS_R_STORE_UNREACHABLE, "ended after %d seconds all the same", END_SECONDS);
    log_failure(LOG_WARN, "drain-cut-short", &err);
    _exit(0);
}

static void begin_to_end(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, end_in_time, NULL) == 0) (void)pthread_detach(thread);
}

static cs_status serve(const options *o, const conf *c, const sigset_t *ending, cs_err *err) {
    CS_AUTO(cs_known_keys) known = NULL; /* outlives the authority, which borrows it */
    CS_AUTO(authority) a = NULL;
    rest *r = NULL;
    char signer[CONF_PATH_MAX];
    TRY(conf_path(c, "run/signer.sock", signer, err));
    authority_cas cas;
    TRY(authority_cas_find(c, &cas, err));
    TRY(authority_known_keys(c, &known, err));
    const authority_setup setup = {.conf = c,
                                   .cas = &cas,
                                   .known_keys = known,
                                   .signer_path = o->signer != NULL ? o->signer : signer,
                                   .clock = cs_clock_system(),
                                   .rng = cs_rng_system()};
    load_weak(c);
    TRY(confine(c, &cas, err));
    TRY(authority_open(&setup, &a, err));
    const enroll_setup enrolling = {.authority = a, .conf = c, .clock = setup.clock, .rng = setup.rng};
    CS_AUTO(enroll) e = NULL;
    TRY(enroll_open(&enrolling, &e, err));
    feed_thread feed = {a, o->feed_fd, eventfd(0, EFD_CLOEXEC)};
    pthread_t thread;
    if (feed.stop_fd < 0 || pthread_create(&thread, NULL, run_feed, &feed) != 0) return CS_NOMEM_ERR(err);
    cs_status status = rest_start(a, e, o->control_fd, o->public_fd, &r, err);
    if (status == CS_OK) wait_for_end(o->notify_fd, ending);
    begin_to_end();
    rest_stop(r);
    const uint64_t one = 1;
    (void)!write(feed.stop_fd, &one, sizeof one);
    (void)pthread_join(thread, NULL);
    (void)close(feed.stop_fd);
    return status;
}

int main(int argc, char **argv) {
    options o;
    cs_err err;
    sigset_t ending;
    cs_process_guard();
    if (!parse_options(argc, argv, &o)) {
        (void)!write(STDERR_FILENO, "countersign-authority is started by countersign\n", 48);
        return 2;
    }
    (void)sigemptyset(&ending);
    (void)sigaddset(&ending, SIGTERM);
    (void)sigaddset(&ending, SIGINT);
    (void)sigaddset(&ending, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &ending, NULL); /* inherited by every thread */
    CS_AUTO(conf) c = NULL;
    log_setup("authority", LOG_AS_TEXT, LOG_INFO, cs_clock_system(), STDERR_FILENO);
    if (conf_load(&o.said, &c, &err) == CS_OK) {
        log_format format = LOG_AS_TEXT;
        (void)log_format_parse(c->log_format, &format);
        log_setup("authority", format, LOG_INFO, cs_clock_system(), STDERR_FILENO);
        if (serve(&o, c, &ending, &err) == CS_OK) return 0;
    }
    log_failure(LOG_ERROR, "start-failed", &err);
    return 1;
}
