/* Changes of the configuration are records of the audit log: of which file, with which digest, by whom. */
#include <stdio.h>

#include "cli/supervise_priv.h"
#include "io/files.h"
#include "io/trail.h"
#include "report/log.h"

/* Said of a configuration that is taken (why NULL), or of one that is not. */
static void note(const supervisor *s, const char *by, const conf *taken, const cs_err *why) {
    char text[CONF_FILE_TEXT_MAX + CS_DETAIL_MAX + 64];
    cs_err err;
    if (why == NULL)
        (void)conf_file_text(taken, text);
    else
        (void)snprintf(text, sizeof text, "%s: %s", cs_reason_of(why->reason)->name, why->detail);
    if (trail_add(s->ask->procs->conf->state, cs_now(cs_clock_system()),
                  why == NULL ? "config-taken" : "config-refused", by, text, &err) != CS_OK)
        log_failure(LOG_ERROR, "audit-failed", &err);
}

/* 0: there is none, and the gateway waits for none. */
static uint64_t stamp(const supervisor *s) {
    const conf *c = s->ask->procs->conf;
    return c->file != NULL ? files_stamp(c->file) : 0;
}

void supervise_conf_read(supervisor *s, const struct signalfd_siginfo *by, const conf *taken, const cs_err *why) {
    char who[64];
    (void)snprintf(who, sizeof who, "uid %u (SIGHUP, process %u)", by->ssi_uid, by->ssi_pid);
    note(s, who, taken, why);
    s->conf_done = s->conf_seen = stamp(s);
}

/* The gateway takes a changed file over by itself; whoever wrote it is not known. */
void supervise_follow_conf(supervisor *s) {
    conf *fresh = NULL;
    cs_err err;
    uint64_t now = stamp(s);
    bool changed = now != s->conf_done && now == s->conf_seen;
    s->conf_seen = now;
    if (s->conf_done == 0) s->conf_done = now;
    if (!changed || s->conf_done == now || s->ask->no_gateway || s->ask->procs->conf->follow == 0) return;
    s->conf_done = now;
    if (conf_load(s->ask->said, &fresh, &err) == CS_OK)
        note(s, "file changed", fresh, NULL);
    else
        note(s, "file changed", NULL, &err);
    conf_free(fresh);
}
