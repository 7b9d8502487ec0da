/* Files that the configuration names, and itself: looked at now and then, and read again when one has changed. A file
 * that is being written is left alone until it has stayed the same for one look. */
#include <string.h>

#include "gate/gate_priv.h"
#include "io/files.h"

enum { MOVED_EVERY = 30 * CS_SEC };

static void add(void *data, const char *path) {
    uint64_t *sum = data;
    *sum = *sum * 0x100000001b3ULL ^ files_stamp(path);
}

static uint64_t stamp(const gate *g) {
    static const char *const own[] = {"gateway/server.crt", "gateway/server.key", "ca/root.crt",    "ca/issuing.crt",
                                      "trust/ca.pem",       "trust/issuers.pem",  "gateway/staples"};
    char path[CONF_PATH_MAX];
    cs_err err;
    uint64_t sum = 1;
    conf_each_file(g->policy->conf, add, &sum);
    for (size_t i = 0; !g->policy->conf->tunnel && i < sizeof own / sizeof own[0]; i++)
        if (conf_path(g->policy->conf, own[i], path, &err) == CS_OK) add(&sum, path);
    return sum;
}

/* A remote that is not where it was may be elsewhere by now: its name is asked again with everything else. */
static bool moved(const gate *g) {
    const policy *p = g->policy;
    for (unsigned i = 0; p->conf->tunnel && i < p->group_count; i++)
        for (unsigned k = 0; k < p->groups[i]->count; k++)
            if (atomic_load(&p->groups[i]->servers[k].down)) return true;
    return false;
}

static void on_look(void *data) {
    gate *g = data;
    uint64_t now = stamp(g);
    bool changed = now != g->stamp_done && now == g->stamp_seen;
    if (cs_mono(g->clock) >= g->moved_next && moved(g)) {
        cs_err err;
        g->moved_next = cs_mono(g->clock) + MOVED_EVERY;
        (void)gate_reload(g, &err);
    }
    g->stamp_seen = now;
    if (changed) {
        cs_err err;
        log_note(LOG_INFO, "files-changed");
        g->stamp_done = now; /* a bad one is not tried again before it changes */
        (void)gate_reload(g, &err);
        g->stamp_done = g->stamp_seen = stamp(g); /* it may name other files now */
    }
    follow_start(g);
}

void follow_start(gate *g) {
    cs_time every = g->policy->conf->follow;
    if (g->stamp_done == 0) g->stamp_done = g->stamp_seen = stamp(g);
    g->follow_timer.cb = on_look;
    g->follow_timer.data = g;
    if (every > 0) loop_timer_set(g->loop, &g->follow_timer, every);
}
