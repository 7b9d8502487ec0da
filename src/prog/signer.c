/* countersign-signer: the process that holds the issuing CAs' keys. No network, no database; one unix socket, one
 * journal. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "conf/conf.h"
#include "io/cas.h"
#include "io/files.h"
#include "io/sandbox.h"
#include "report/log.h"
#include "signer/keyfile.h"
#include "signer/signer.h"

enum {
    PEERS_MAX = 4,
    ANSWER_WAIT_MS = 10000,
    IN_MAX = 512 * 1024, /* a frame that has not come whole, and what is read at once */
    OUT_MAX = SIGNING_PIPELINE * 2 * (CS_CERT_MAX + 1024),
};

typedef struct peer {
    int fd; /* -1: free */
    cs_buf in, out;
    signer_crl crl; /* that is on its way */
} peer;

typedef struct options {
    const char *ca, *journal, *trust_domain;
    conf_overrides conf; /* where the profiles stand; no state: the built-in ones */
    int listen_fd, notify_fd;
    bool json;
} options;

static void drop(peer *p) {
    (void)close(p->fd);
    cs_buf_free(&p->in);
    cs_buf_free(&p->out);
    signer_crl_free(&p->crl);
    p->fd = -1;
}

/* One batch: the frames that have arrived, at most a pipeline of them. Returns how many there were. */
static cs_status work_off(signer *s, peer *p, size_t *ret_n, cs_err *err) {
    signer_job jobs[SIGNING_PIPELINE];
    size_t n = 0, used = 0;
    cs_status status = CS_OK;
    while (n < SIGNING_PIPELINE) {
        ipc_frame frame;
        size_t len = 0;
        status = ipc_take(cs_view_of(p->in.p + used, p->in.n - used), signing_from_authority, &frame, &len, err);
        if (status != CS_OK) break;
        signer_check(s, &p->crl, &frame, &jobs[n++]);
        used += len;
    }
    *ret_n = n;
    if (n == 0) return status == CS_AGAIN ? CS_OK : status; /* what came before a violation is answered first */
    cs_err failed;
    if (signer_commit(s, jobs, n, &failed) != CS_OK) log_failure(LOG_ERROR, "journal-failed", &failed);
    for (size_t i = 0; i < n; i++) {
        signer_answer(s, &jobs[i], &p->out);
        if (jobs[i].why.status != CS_OK) log_failure(LOG_WARN, "refused-to-sign", &jobs[i].why);
    }
    cs_buf_consume(&p->in, used);
    return ipc_flush(p->fd, &p->out, ANSWER_WAIT_MS, CS_R_AUTHORITY_UNREACHABLE, err);
}

static void serve_peer(signer *s, peer *p) {
    cs_err err;
    cs_status status = ipc_fill(p->fd, &p->in, CS_R_AUTHORITY_UNREACHABLE, &err);
    if (status == CS_AGAIN) return;
    for (size_t n = 1; status == CS_OK && n > 0;) status = work_off(s, p, &n, &err);
    if (status == CS_OK) return;
    if (err.reason != CS_R_AUTHORITY_UNREACHABLE) log_failure(LOG_ERROR, "peer-cut-off", &err);
    drop(p);
}

static void admit(int listen_fd, peer peers[]) {
    cs_err err;
    int fd = -1;
    cs_status status = ipc_accept(listen_fd, &fd, &err);
    if (status != CS_OK) {
        if (status != CS_AGAIN) log_failure(LOG_WARN, "peer-refused", &err);
        return;
    }
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (peers[i].fd >= 0) continue;
        peers[i] = (peer){.fd = fd, .in = cs_buf_of(IN_MAX), .out = cs_buf_of(OUT_MAX)};
        return;
    }
    (void)close(fd);
}

static int serve(signer *s, const options *o) {
    peer peers[PEERS_MAX];
    sigset_t ending;
    (void)sigemptyset(&ending);
    (void)sigaddset(&ending, SIGTERM);
    (void)sigaddset(&ending, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &ending, NULL);
    int signals = signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
    for (size_t i = 0; i < PEERS_MAX; i++) peers[i].fd = -1;
    if (o->notify_fd >= 0) {
        (void)!write(o->notify_fd, "ready\n", 6);
        (void)close(o->notify_fd);
    }
    for (;;) {
        struct pollfd p[PEERS_MAX + 2] = {{.fd = signals, .events = POLLIN}, {.fd = o->listen_fd, .events = POLLIN}};
        for (size_t i = 0; i < PEERS_MAX; i++) p[i + 2] = (struct pollfd){.fd = peers[i].fd, .events = POLLIN};
        if (poll(p, PEERS_MAX + 2, -1) < 0 && errno != EINTR) return 1;
        for (size_t i = 0; i < PEERS_MAX; i++)
            if (peers[i].fd >= 0 && p[i + 2].revents != 0) serve_peer(s, &peers[i]);
        if (signer_broken(s)) return 1; /* a fresh start reads what the disk really holds */
        if (p[0].revents != 0) break;
        if (p[1].revents != 0) admit(o->listen_fd, peers);
    }
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (peers[i].fd >= 0) drop(&peers[i]);
    return 0;
}

/* What is read at start of each CA: its certificate and its key. */
typedef struct ca_files {
    cas_list names;
    keyfile_needs needs;
    cs_buf pem[CS_CAS_MAX];
    char path[CS_CAS_MAX][FILES_PATH_MAX]; /* of the certificates */
    cs_certs above;                        /* all that are no roots, and certificates of roots neither */
} ca_files;

static void ca_files_free(ca_files *f) {
    for (size_t i = 0; i < f->names.n; i++) cs_buf_free(&f->pem[i]);
    cs_certs_free(&f->above);
}

static cs_status read_bag(const char *dir, const cas_list *names, cs_certs *bag, cs_err *err) {
    for (size_t i = 0; i < names->n; i++) {
        char path[FILES_PATH_MAX];
        CS_SCOPED(cs_buf) text = cs_buf_of(CS_CERT_MAX);
        TRY(cas_path(dir, names->at[i], "crt", path, err));
        TRY(files_read(path, CS_CERT_MAX, &text, err));
        TRY(cs_certs_read(cs_buf_view(&text), path, bag, err));
    }
    return CS_OK;
}

/* A root that another has certified constrains nobody who trusts it: such certificates are left out. */
static cs_status read_above(const char *dir, cs_certs *ret, cs_err *err) {
    cas_list names;
    CS_SCOPED(cs_certs) roots = {NULL, 0};
    CS_SCOPED(cs_certs) all = {NULL, 0};
    TRY(cas_list_roots(dir, &names, err));
    TRY(read_bag(dir, &names, &roots, err));
    TRY(cas_list_certs(dir, &names, err));
    TRY(read_bag(dir, &names, &all, err));
    for (size_t i = 0; i < all.n; i++) {
        bool is_root = false;
        for (size_t k = 0; k < roots.n; k++) is_root = is_root || cs_view_eq(all.at[i]->spki, roots.at[k]->spki);
        if (!is_root) TRY(cs_certs_add(ret, cs_cert_ref(all.at[i]), err));
    }
    return CS_OK;
}

static cs_status read_cas(const options *o, ca_files *f, signer_setup *setup, cs_err *err) {
    TRY(cas_list_keys(o->ca, &f->names, err));
    if (f->names.n > CS_CAS_MAX) {
        f->names.n = 0;
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s: keys of over %d CAs", o->ca, CS_CAS_MAX);
    }
    for (size_t i = 0; i < f->names.n; i++) f->pem[i] = cs_buf_of(CS_CERT_MAX);
    for (size_t i = 0; i < f->names.n; i++) {
        TRY(cas_path(o->ca, f->names.at[i], "crt", f->path[i], err));
        TRY(files_read(f->path[i], CS_CERT_MAX, &f->pem[i], err));
        TRY(keyfile_open(o->ca, f->names.at[i], &f->needs, &setup->ca[i].take_key, err));
        setup->ca[i].pem = cs_buf_view(&f->pem[i]);
        setup->ca[i].name = f->path[i];
        setup->ca_count = i + 1;
    }
    setup->above = &f->above;
    return read_above(o->ca, &f->above, err);
}

/* Made at the first start; it signs heads of the audit log and is of no use for certificates. */
static cs_status log_key(const options *o, cs_key **ret, cs_err *err) {
    char path[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) pem = cs_buf_secret(CS_KEY_FILE_MAX);
    TRY(files_join(o->journal, "log.key", path, err));
    if (files_exists(path)) {
        TRY(files_read_private(path, CS_KEY_FILE_MAX, &pem, err));
        return cs_key_read_pem(cs_buf_view(&pem), NULL, path, ret, err);
    }
    CS_AUTO(cs_key) key = NULL;
    TRY(cs_key_generate(CS_KEYSPEC_ED25519, &key, err));
    TRY(cs_key_write_pem(key, &pem, err));
    TRY(files_write(path, cs_buf_view(&pem), 0600, FILES_NEW, err));
    *ret = CS_TAKE(key);
    return CS_OK;
}

static cs_status open_signer(const options *o, const conf *c, signer **ret, cs_err *err) {
    char journal_path[FILES_PATH_MAX];
    CS_SCOPED(ca_files) files = {.names = {.n = 0}, .above = {NULL, 0}};
    signer_setup setup = {.trust_domain = o->trust_domain, .journal_path = journal_path, .clock = cs_clock_system()};
    if (c != NULL) setup.profiles = c->profiles;
    if (c != NULL) setup.profile_count = c->profile_count;
    TRY(files_mkdir_private(o->journal, err));
    TRY(files_join(o->journal, "journal", journal_path, err));
    cs_status status = read_cas(o, &files, &setup, err);
    if (status == CS_OK) status = log_key(o, &setup.take_log_key, err);
    for (size_t i = 0; status != CS_OK && i < setup.ca_count; i++) cs_key_free(setup.ca[i].take_key);
    TRY(status);
    TRY(signer_new(&setup, ret, err));
    /* The keys are in memory, or behind a module that needs what was allowed; the journal is open. */
    sandbox_path paths[KEYFILE_PATHS_MAX + 1] = {{NULL, 0}};
    for (size_t i = 0; i < files.needs.n; i++)
        paths[i] = (sandbox_path){files.needs.path[i], SANDBOX_READ | SANDBOX_WRITE};
    return sandbox_enter(&(sandbox_plan){.paths = paths, .inet = files.needs.network, .holds_key = true}, err);
}

static bool parse_options(int argc, char **argv, options *o) {
    static const struct option known[] = {{"ca", required_argument, NULL, 'c'},
                                          {"journal", required_argument, NULL, 'j'},
                                          {"trust-domain", required_argument, NULL, 't'},
                                          {"listen", required_argument, NULL, 'l'},
                                          {"notify", required_argument, NULL, 'n'},
                                          {"state", required_argument, NULL, 's'},
                                          {"config", required_argument, NULL, 'C'},
                                          {"log-format", required_argument, NULL, 'f'},
                                          {NULL, 0, NULL, 0}};
    int c = 0;
    *o = (options){.listen_fd = -1, .notify_fd = -1};
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) { // NOLINT(concurrency-mt-unsafe): no threads
        switch (c) {
        case 'c': o->ca = optarg; break;
        case 'j': o->journal = optarg; break;
        case 't': o->trust_domain = optarg; break;
        case 'l': o->listen_fd = (int)strtol(optarg, NULL, 10); break;
        case 'n': o->notify_fd = (int)strtol(optarg, NULL, 10); break;
        case 'f': o->json = strcmp(optarg, "json") == 0; break;
        case 's': o->conf.state = optarg; break;
        case 'C': o->conf.file = optarg; break;
        default: return false;
        }
    }
    return o->ca != NULL && o->journal != NULL && o->trust_domain != NULL && o->listen_fd >= 0;
}

int main(int argc, char **argv) {
    options o;
    cs_process_guard();
    if (!parse_options(argc, argv, &o)) {
        (void)!write(STDERR_FILENO, "countersign-signer is started by countersign\n", 45);
        return 2;
    }
    log_setup("signer", o.json ? LOG_AS_JSON : LOG_AS_TEXT, LOG_INFO, cs_clock_system(), STDERR_FILENO);
    CS_AUTO(conf) c = NULL; /* outlives the signer, which borrows its profiles */
    CS_AUTO(signer) s = NULL;
    cs_err err;
    cs_status status = o.conf.state != NULL ? conf_load(&o.conf, &c, &err) : CS_OK;
    if (status == CS_OK) status = open_signer(&o, c, &s, &err);
    if (status != CS_OK) {
        log_failure(LOG_ERROR, "start-failed", &err);
        return 1;
    }
    return serve(s, &o);
}
