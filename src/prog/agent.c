/* countersign-agent: keeps identities renewed. `countersign agent` starts it; on devices it stands alone.
 *   run (default)   until it is told to end
 *   once            what is due now, then ends: for cron, and firmware without daemons
 *   status          what each identity is up to
 *   renew           has the running agent renew now */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/proving.h"
#include "renew/keep.h"
#include "renew/say.h"
#include "renew/watch.h"
#include "report/log.h"

#ifndef CS_BUILT
#define CS_BUILT 0
#endif
#define LOOK_EVERY CS_MIN /* at clocks and tickets, however far off the next step is */

typedef struct agent {
    const char *config, *identity;
    bool json, force;
    renew_conf *conf;
    renew_world world;
    renew_keep *all;
    size_t n;
    int lock_fd;
} agent;

/* ---- what it says ---- */

static void on_event(void *cls, const renew_keep *k, renew_event event, const cs_err *err) {
    static const struct {
        const char *name;
        log_level level;
    } says[] = {[RENEW_DUE] = {"renewal-due", LOG_INFO},
                [RENEW_GOT] = {"certificate-came", LOG_INFO},
                [RENEW_DONE] = {"renewed", LOG_INFO},
                [RENEW_WAITING] = {"waits-for-approval", LOG_INFO},
                [RENEW_REFUSED] = {"refused", LOG_WARN},
                [RENEW_FAILED] = {"failed", LOG_WARN},
                [RENEW_ROLLED] = {"rolled-back", LOG_WARN},
                [RENEW_UNPROVEN] = {"in-use-unproven", LOG_ERROR},
                [RENEW_NEEDS_HELP] = {"needs-operator", LOG_ERROR}};
    log_event e = log_begin(says[event].level, says[event].name);
    (void)cls;
    log_str(&e, "identity", k->id->name);
    log_str(&e, "rung", renew_rung_name(k->state.rung));
    if (err != NULL) {
        log_fail(&e, err);
        log_str(&e, "try", cs_reason_of(err->reason)->advice);
    } else if (k->state.slot != RENEW_NO_SLOT && event == RENEW_DONE) {
        log_str(&e, "serial", k->store.facts[k->state.slot].serial);
        log_time(&e, "not-after", k->store.facts[k->state.slot].life.not_after);
    }
    log_end(&e);
}

/* ---- ACME's proofs ---- */

static cs_status open_prover(const renew_identity *id, void **ret, const client_prover **ret_prover, cs_err *err) {
    const proving_ask ask = {.webroot = id->webroot, .hook = id->prover, .listen = id->listen};
    proving *p = NULL;
    TRY(proving_new(&ask, &p, err));
    *ret = p;
    *ret_prover = proving_prover(p);
    return CS_OK;
}

static void close_prover(void *prover) {
    proving_free(prover);
}

/* ---- set up ---- */

static void agent_free(agent *a) {
    free(a->all);
    renew_conf_free(a->conf);
    if (a->lock_fd >= 0) (void)close(a->lock_fd);
}

static cs_status open_all(agent *a, bool read_only, cs_err *err) {
    a->world = (renew_world){.clock = cs_clock_system(),
                             .rng = cs_rng_system(),
                             .built = (cs_time)CS_BUILT * CS_SEC,
                             .tell = on_event,
                             .prover = open_prover,
                             .prover_close = close_prover};
    a->all = calloc(a->conf->identity_count, sizeof *a->all);
    if (a->all == NULL) return CS_NOMEM_ERR(err);
    for (size_t i = 0; i < a->conf->identity_count; i++) {
        const renew_identity *id = &a->conf->identities[i];
        if (a->identity != NULL && strcmp(a->identity, id->name) != 0) continue;
        TRY(renew_keep_open(a->conf, id, &a->world, read_only, &a->all[a->n], err));
        a->n++;
    }
    if (a->n == 0)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "%.200s has no identity \"%.128s\"", a->conf->file, a->identity);
    return CS_OK;
}

static cs_status start(agent *a, cs_err *err) {
    log_format format = LOG_AS_TEXT;
    TRY(renew_conf_load(a->config, &a->conf, err));
    if (a->conf->log_format != NULL) (void)log_format_parse(a->conf->log_format, &format);
    log_setup("agent", format, LOG_INFO, cs_clock_system(), STDERR_FILENO);
    TRY(renew_store_lock(a->conf->state, &a->lock_fd, err));
    return open_all(a, false, err);
}

static void write_metrics(const agent *a) {
    CS_SCOPED(cs_buf) b = cs_buf_of(256 * 1024);
    cs_err err;
    if (a->conf->metrics == NULL) return;
    renew_say_metrics(a->all, a->n, &b);
    if (cs_buf_ok(&b, "metrics", &err) != CS_OK ||
        files_write(a->conf->metrics, cs_buf_view(&b), 0644, FILES_REPLACE, &err) != CS_OK)
        log_failure(LOG_WARN, "metrics-not-written", &err);
}

/* ---- run ---- */

/* "STATUS=2 identities, 1 in trouble" */
static void notify(const agent *a, bool ready) {
    char lines[160];
    size_t trouble = 0;
    for (size_t i = 0; i < a->n; i++) trouble += renew_say_trouble(&a->all[i]);
    (void)snprintf(lines, sizeof lines, "%sWATCHDOG=1\nSTATUS=%zu %s, %zu in trouble", ready ? "READY=1\n" : "", a->n,
                   a->n == 1 ? "identity" : "identities", trouble);
    renew_notify(lines);
}

static cs_time turn_all(agent *a, bool ready) {
    cs_time sleep = LOOK_EVERY;
    for (size_t i = 0; i < a->n; i++) {
        cs_time one = renew_keep_turn(&a->all[i]);
        if (one < sleep) sleep = one;
        notify(a, false);
    }
    write_metrics(a);
    notify(a, ready);
    cs_time dog = renew_watchdog();
    return dog > 0 && dog < sleep ? dog : sleep;
}

/* A configuration that is bad leaves the one that runs. */
static void reload(agent *a) {
    agent next = {.config = a->config, .identity = a->identity, .lock_fd = -1};
    cs_err err;
    renew_notify("RELOADING=1");
    if (renew_conf_load(next.config, &next.conf, &err) == CS_OK && strcmp(next.conf->state, a->conf->state) != 0)
        (void)cs_fail(&err, CS_REFUSED, CS_R_CONFIG_INVALID, "another state folder needs a restart");
    else if (next.conf != NULL && open_all(&next, false, &err) == CS_OK) {
        for (size_t i = 0; i < next.n; i++) {
            next.all[i].world = &a->world;
            renew_keep_hurry(&next.all[i], false);
            next.all[i].ports.cls = &next.all[i];
        }
        renew_conf *old_conf = a->conf;
        renew_keep *old_all = a->all;
        a->conf = next.conf;
        a->all = next.all;
        a->n = next.n;
        free(old_all);
        renew_conf_free(old_conf);
        log_note(LOG_INFO, "reloaded");
        return;
    }
    log_failure(LOG_ERROR, "reload-refused", &err);
    agent_free(&next);
}

/* False: it is told to end. */
static bool wait_for_signal(agent *a, int fd, cs_time sleep) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct signalfd_siginfo got;
    if (poll(&p, 1, (int)(sleep / 1000) + 1) <= 0) return true;
    if (read(fd, &got, sizeof got) != (ssize_t)sizeof got) return true;
    if (got.ssi_signo == SIGHUP) reload(a);
    if (got.ssi_signo == SIGUSR1)
        for (size_t i = 0; i < a->n; i++) renew_keep_hurry(&a->all[i], true);
    return got.ssi_signo != SIGTERM && got.ssi_signo != SIGINT;
}

static int run(agent *a) {
    cs_err err;
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGUSR1);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    if (fd < 0) (void)cs_fail_errno(&err, errno, CS_R_PROCESS_FAILED, "signals");
    if (fd < 0 || start(a, &err) != CS_OK) return cli_fail("agent", &err, false);
    bool ready = true;
    log_note(LOG_INFO, "ready");
    while (wait_for_signal(a, fd, turn_all(a, ready))) ready = false;
    renew_notify("STOPPING=1");
    log_note(LOG_INFO, "ended");
    (void)close(fd);
    return CLI_DONE;
}

/* What is due is done; 1 when something is wrong. */
static int once(agent *a) {
    CS_SCOPED(cs_buf) b = cs_buf_of(256 * 1024);
    cs_err err;
    bool trouble = false;
    if (start(a, &err) != CS_OK) return cli_fail("agent", &err, a->json);
    for (size_t i = 0; i < a->n; i++) {
        renew_keep_hurry(&a->all[i], a->force);
        (void)renew_keep_turn(&a->all[i]);
        if (!a->json) renew_say_text(&a->all[i], &b);
        trouble = trouble || renew_say_trouble(&a->all[i]);
    }
    cs_json j = cs_json_to(&b);
    if (a->json) cs_json_array(&j, NULL);
    for (size_t i = 0; a->json && i < a->n; i++) renew_say_json(&a->all[i], &j);
    if (a->json) cs_json_array_end(&j);
    write_metrics(a);
    return cli_print(&b) && !trouble ? CLI_DONE : CLI_FAILED;
}

static int status(agent *a) {
    CS_SCOPED(cs_buf) b = cs_buf_of(256 * 1024);
    cs_err err;
    bool trouble = false;
    if (renew_conf_load(a->config, &a->conf, &err) != CS_OK || open_all(a, true, &err) != CS_OK)
        return cli_fail("agent", &err, a->json);
    cs_json j = cs_json_to(&b);
    if (a->json) cs_json_array(&j, NULL);
    for (size_t i = 0; i < a->n; i++) {
        if (a->json)
            renew_say_json(&a->all[i], &j);
        else
            renew_say_text(&a->all[i], &b);
        trouble = trouble || renew_say_trouble(&a->all[i]);
    }
    if (a->json) cs_json_array_end(&j);
    return cli_print(&b) && !trouble ? CLI_DONE : CLI_FAILED;
}

static int check(agent *a) {
    cs_err err;
    if (renew_conf_load(a->config, &a->conf, &err) != CS_OK) return cli_fail("agent", &err, a->json);
    CS_SCOPED(cs_buf) b = cs_buf_of(2048);
    (void)cs_buf_addf(&b, "%s is good: %zu identities\n", a->config, a->conf->identity_count);
    return cli_print(&b) ? CLI_DONE : CLI_FAILED;
}

int main(int argc, char **argv) {
    agent a = {.config = "/etc/countersign/agent.yaml", .lock_fd = -1};
    bool only_check = false;
    const cli_opt opts[] = {
        {"config", 'c', CLI_TEXT, &a.config, "FILE", "the configuration (default: /etc/countersign/agent.yaml)"},
        {"identity", 0, CLI_TEXT, &a.identity, "NAME", "only this one"},
        {"force", 0, CLI_FLAG, &a.force, NULL, "once: renew although it is not due"},
        {"check", 0, CLI_FLAG, &only_check, NULL, "only look whether the configuration is good"},
        CLI_OPT_JSON(a.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "agent",
        .synopsis = "[once|status] [OPTION]...",
        .says = "Enrolls the identities of its configuration, keeps them renewed, puts the files where programs read "
                "them,\n"
                "tells the programs and looks whether they took them. Without a word it runs until it is told to end;\n"
                "once does what is due and ends; status says what each identity is up to.",
        .examples = "  countersign agent -c agent.yaml\n"
                    "  countersign agent once -c agent.yaml\n"
                    "  countersign agent status -c agent.yaml --json",
        .opts = opts,
        .operands_max = 1,
    };
    cli_texts words;
    int code = 0;
    cs_process_guard();
    (void)signal(SIGPIPE, SIG_IGN);
    if (!cli_parse(&use, argc, argv, &words, &code)) return code;
    const char *what = words.n > 0 ? words.at[0] : "";
    if (only_check)
        code = check(&a);
    else if (words.n == 0)
        code = run(&a);
    else if (strcmp(what, "once") == 0)
        code = once(&a);
    else if (strcmp(what, "status") == 0)
        code = status(&a);
    else
        code = cli_usage("agent", "\"%.64s\", expected once or status", what);
    agent_free(&a);
    return code;
}
