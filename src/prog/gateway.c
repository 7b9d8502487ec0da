/* countersign-gateway: the front door. Holds no CA key and no database. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "gate/gate.h"
#include "io/sandbox.h"
#include "report/log.h"

static int fail(const cs_err *err) {
    log_failure(LOG_ERROR, "failed", err);
    return err->reason == CS_R_USAGE ? 2 : 1;
}

static void folder_of(const char *path, char out[CONF_PATH_MAX]) {
    (void)snprintf(out, CONF_PATH_MAX, "%s", path);
    char *slash = strrchr(out, '/');
    if (slash != NULL) slash[slash == out ? 1 : 0] = '\0';
}

/* The state folder and the folders of what the configuration names: a reload reads the files again, and a file that is
 * replaced is another file. */
static cs_status enter_sandbox(const conf *c, cs_err *err) {
    size_t room = 4 * (size_t)c->site_count + 8, n = 0;
    sandbox_path *paths = calloc(room, sizeof *paths);
    char(*folders)[CONF_PATH_MAX] = calloc(room, sizeof *folders);
    cs_status s = paths != NULL && folders != NULL ? CS_OK : CS_NOMEM_ERR(err);
    if (s == CS_OK) {
        for (unsigned i = 0; i < c->site_count; i++) {
            const conf_site *site = &c->sites[i];
            const char *const files[] = {site->certificate, site->key, site->client_ca, site->client_crl};
            for (size_t k = 0; k < 4; k++)
                if (files[k] != NULL) folder_of(files[k], folders[n++]);
        }
        if (c->file != NULL) folder_of(c->file, folders[n++]);
        for (size_t i = 0; i < n; i++)
            paths[i] = (sandbox_path){folders[i][0] != '\0' ? folders[i] : ".", SANDBOX_READ};
        char(*state)[CONF_PATH_MAX] = &folders[n];
        static const char *const below[] = {"gateway", "run", "ca/root.crt", "ca/ca.json"};
        for (size_t i = 0; s == CS_OK && i < 4; i++) {
            s = conf_path(c, below[i], state[i], err);
            paths[n + i] = (sandbox_path){state[i], SANDBOX_READ};
        }
        const sandbox_plan plan = {.paths = paths, .inet = true, .holds_key = true};
        if (s == CS_OK) s = sandbox_enter(&plan, err);
    }
    free(paths);
    free(folders);
    return s;
}

static cs_status read_options(int argc, char **argv, conf_overrides *said, int *notify, cs_err *err) {
    for (int at = 1; at < argc;) {
        int used = conf_take(said, argc, argv, at);
        if (used == 0 && strcmp(argv[at], "--notify") == 0 && at + 1 < argc) {
            *notify = (int)strtol(argv[at + 1], NULL, 10);
            used = 2;
        }
        if (used <= 0) return cs_fail(err, CS_REFUSED, CS_R_USAGE, "countersign-gateway: %s", argv[at]);
        at += used;
    }
    return CS_OK;
}

int main(int argc, char **argv) {
    static conf_overrides said;
    cs_err err;
    int notify = -1;
    CS_AUTO(gate) g = NULL;
    cs_process_guard();
    (void)signal(SIGPIPE, SIG_IGN);
    log_setup("gateway", LOG_AS_TEXT, LOG_INFO, cs_clock_system(), 2);
    if (read_options(argc, argv, &said, &notify, &err) != CS_OK) return fail(&err);
    if (gate_new(&said, cs_clock_system(), cs_rng_system(), &g, &err) != CS_OK) return fail(&err);
    log_format format = LOG_AS_TEXT;
    (void)log_format_parse(gate_conf(g)->log_format, &format);
    log_setup("gateway", format, LOG_INFO, cs_clock_system(), 2);
    if (enter_sandbox(gate_conf(g), &err) != CS_OK) return fail(&err);
    if (gate_run(g, notify, &err) != CS_OK) return fail(&err);
    return 0;
}
