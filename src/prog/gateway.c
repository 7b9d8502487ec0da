/* countersign-gateway: the front door. Holds no CA key and no database. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/secret.h"
#include "gate/gate.h"
#include "io/inout.h"
#include "io/sandbox.h"
#include "report/log.h"

static int fail(const cs_err *err) {
    log_failure(LOG_ERROR, "failed", err);
    return err->reason == CS_R_USAGE || err->reason == CS_R_CONFIG_INVALID ? 2 : 1;
}

static void folder_of(const char *path, char out[CONF_PATH_MAX]) {
    (void)snprintf(out, CONF_PATH_MAX, "%s", path);
    char *slash = strrchr(out, '/');
    if (slash != NULL) slash[slash == out ? 1 : 0] = '\0';
}

typedef struct folders {
    char (*at)[CONF_PATH_MAX];
    size_t n, room;
    bool failed;
} folders;

/* Each folder once. */
static void add_folder(void *data, const char *path) {
    folders *f = data;
    char folder[CONF_PATH_MAX];
    folder_of(path, folder);
    if (folder[0] == '\0') (void)snprintf(folder, sizeof folder, ".");
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->at[i], folder) == 0) return;
    if (f->n == f->room) {
        size_t room = f->room * 2 + 16;
        void *more = realloc(f->at, room * sizeof *f->at);
        if (more == NULL) {
            f->failed = true;
            return;
        }
        f->at = more;
        f->room = room;
    }
    memcpy(f->at[f->n++], folder, sizeof folder);
}

/* The state folder and the folders of what the configuration names: a reload reads the files again, and a file that is
 * replaced is another file. */
static cs_status enter_sandbox(const conf *c, cs_err *err) {
    static const char *const below[] = {"gateway/x", "run/x", "trust/x", "ca/root.crt", "ca/issuing.crt", "ca/ca.json"};
    folders f = {NULL, 0, 0, false};
    sandbox_path *paths = NULL;
    char path[CONF_PATH_MAX];
    cs_status s = CS_OK;
    size_t state = c->tunnel ? 0 : 3; /* of each kind; a tunnel has no state folder */
    conf_each_file(c, add_folder, &f);
    for (size_t i = 0; s == CS_OK && i < state; i++) {
        s = conf_path(c, below[i], path, err);
        if (s == CS_OK) add_folder(&f, path);
    }
    paths = calloc(f.n + 3, sizeof *paths);
    char own[3][CONF_PATH_MAX];
    if (s == CS_OK && (paths == NULL || f.failed)) s = CS_NOMEM_ERR(err);
    for (size_t i = 0; s == CS_OK && i < f.n; i++) paths[i] = (sandbox_path){f.at[i], SANDBOX_READ};
    for (size_t i = 0; s == CS_OK && i < state; i++) {
        s = conf_path(c, below[3 + i], own[i], err);
        paths[f.n + i] = (sandbox_path){own[i], SANDBOX_READ};
    }
    const sandbox_plan plan = {.paths = paths, .inet = true, .holds_key = true};
    if (s == CS_OK) s = sandbox_enter(&plan, err);
    free(paths);
    free(f.at);
    return s;
}

/* How it was started, beside the configuration. */
typedef struct started {
    int notify; /* -1: none */
    bool alone; /* by a person or a service manager: it says ready on stderr */
    bool check; /* it only checks */
} started;

static cs_status read_options(int argc, char **argv, conf_overrides *said, started *how, cs_err *err) {
    for (int at = 1; at < argc;) {
        int used = conf_take(said, argc, argv, at);
        if (used == 0 && strcmp(argv[at], "--notify") == 0 && at + 1 < argc) {
            how->notify = (int)strtol(argv[at + 1], NULL, 10);
            used = 2;
        }
        if (used == 0 && (strcmp(argv[at], "--alone") == 0 || strcmp(argv[at], "--check") == 0)) {
            how->alone = how->alone || argv[at][2] == 'a';
            how->check = how->check || argv[at][2] == 'c';
            used = 1;
        }
        if (used <= 0) return cs_fail(err, CS_REFUSED, CS_R_USAGE, "countersign-gateway: %s", argv[at]);
        at += used;
    }
    return CS_OK;
}

/* A tunnel for one connection: whoever started it speaks by standard input and output. */
static bool is_inout(const conf_overrides *said) {
    return said->tunnel.listen != NULL && strcmp(said->tunnel.listen, "-") == 0;
}

static cs_status use_inout(gate *g, inout **ret, cs_err *err) {
    int fd = -1;
    TRY(inout_new(ret, &fd, err));
    gate_only(g, fd);
    return CS_OK;
}

int main(int argc, char **argv) {
    static conf_overrides said;
    cs_err err;
    started how = {.notify = -1};
    CS_AUTO(gate) g = NULL;
    cs_process_guard();
    (void)signal(SIGPIPE, SIG_IGN);
    log_setup("gateway", LOG_AS_TEXT, LOG_INFO, cs_clock_system(), 2);
    if (read_options(argc, argv, &said, &how, &err) != CS_OK) return fail(&err);
    if (how.check) {
        if (gate_check(&said, cs_clock_system(), cs_rng_system(), &err) != CS_OK) return fail(&err);
        return puts("The configuration is valid") < 0 ? 1 : 0;
    }
    if (sandbox_prepare(&err) != CS_OK) return fail(&err);
    if (gate_new(&said, cs_clock_system(), cs_rng_system(), &g, &err) != CS_OK) return fail(&err);
    log_format format = LOG_AS_TEXT;
    (void)log_format_parse(gate_conf(g)->log_format, &format);
    if (is_inout(&said)) format = LOG_AS_TEXT;
    log_setup(said.tunnel.listen != NULL ? "tunnel" : "gateway", format, is_inout(&said) ? LOG_ERROR : LOG_INFO,
              cs_clock_system(), 2);
    CS_AUTO(inout) io = NULL;
    if (is_inout(&said) && use_inout(g, &io, &err) != CS_OK) return fail(&err);
    if (enter_sandbox(gate_conf(g), &err) != CS_OK) return fail(&err);
    if (io != NULL && inout_start(io, &err) != CS_OK) return fail(&err);
    if (how.alone) how.notify = dup(STDERR_FILENO);
    cs_status s = gate_run(g, how.notify, &err);
    gate_free(CS_TAKE(g)); /* its end of standard input and output, too */
    return s == CS_OK ? 0 : fail(&err);
}
