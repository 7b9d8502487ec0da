#include "cli/procs.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const names[PROC_COUNT] = {"signer", "authority", "fetcher", "page", "gateway"};
static const char *const sockets[SOCKET_COUNT] = {"signer", "authority", "control", "feed", "fetcher", "page"};

const char *proc_name(proc_id id) {
    return names[id];
}

cs_status procs_init(procs *p, const conf *c, const conf_overrides *said, int wait_ms, cs_err *err) {
    char path[FILES_PATH_MAX];
    *p = (procs){.conf = c, .said = *said, .lock = -1};
    for (size_t i = 0; i < SOCKET_COUNT; i++) p->listener[i] = -1;
    for (size_t i = 0; i < PROC_COUNT; i++) p->child[i].notify = -1;
    p->said.state = c->state;
    p->said.file = c->file;
    TRY(files_join(c->state, ".lock", path, err));
    TRY(files_lock(path, wait_ms, "another countersign", &p->lock, err));
    TRY(files_join(c->state, "trust", path, err)); /* there before the gateway's sandbox: it may be filled later */
    TRY(files_mkdir_private(path, err));
    TRY(files_join(c->state, "run", path, err));
    TRY(files_mkdir_private(path, err));
    return files_remove_leftovers(path, "", err); /* sockets and notes of processes that were killed */
}

cs_status procs_listen(procs *p, bool shown, cs_err *err) {
    for (size_t i = 0; i < SOCKET_COUNT; i++) {
        char name[64];
        if ((i == SOCKET_PAGE || i == SOCKET_FETCHER) && !shown) continue;
        if (shown || i == SOCKET_SIGNER)
            (void)snprintf(name, sizeof name, "run/%s.sock", sockets[i]);
        else
            (void)snprintf(name, sizeof name, "run/%s.%d", sockets[i], (int)getpid());
        TRY(files_join(p->conf->state, name, p->path[i], err));
        TRY(spawn_listen(p->path[i], 0600, &p->listener[i], err));
    }
    return CS_OK;
}

/* ---- command lines ---- */

typedef struct line {
    const char *argv[SPAWN_ARGS_MAX];
    int argc;
    int fds[SPAWN_FDS_MAX];
    size_t fd_count;
    char numbers[SPAWN_FDS_MAX][12];
} line;

static void add(line *l, const char *option, const char *value) {
    l->argv[l->argc++] = option;
    if (value != NULL) l->argv[l->argc++] = value;
}

static void add_listener(line *l, const char *option, int fd) {
    size_t i = l->fd_count++;
    l->fds[i] = fd;
    (void)snprintf(l->numbers[i], sizeof l->numbers[i], "%d", SPAWN_FD_FIRST + (int)i);
    add(l, option, l->numbers[i]);
}

static void add_conf(line *l, const procs *p) {
    const char *argv[CONF_ARGV_MAX];
    int n = conf_argv(&p->said, argv, 0);
    for (int i = 0; i < n; i++) l->argv[l->argc++] = argv[i];
}

cs_status procs_start(procs *p, proc_id id, cs_err *err) {
    char program[FILES_PATH_MAX], name[48], ca[FILES_PATH_MAX], journal[FILES_PATH_MAX];
    line l = {.argc = 0};
    (void)snprintf(name, sizeof name, "countersign-%s", names[id]);
    TRY(spawn_find(name, program, err));
    TRY(files_join(p->conf->state, "ca", ca, err));
    TRY(files_join(p->conf->state, "signer", journal, err));
    add(&l, name, NULL);
    switch (id) {
    case PROC_SIGNER:
        add(&l, "--ca", ca);
        add(&l, "--journal", journal);
        add(&l, "--trust-domain", p->conf->trust_domain);
        add_listener(&l, "--listen", p->listener[SOCKET_SIGNER]);
        /* it reads the profiles with its own eyes, before it holds the key */
        add(&l, "--state", p->conf->state);
        if (p->conf->file != NULL) add(&l, "--config", p->conf->file);
        break;
    case PROC_AUTHORITY:
        add_conf(&l, p);
        add_listener(&l, "--public", p->listener[SOCKET_PUBLIC]);
        add_listener(&l, "--control", p->listener[SOCKET_CONTROL]);
        add_listener(&l, "--feed", p->listener[SOCKET_FEED]);
        break;
    case PROC_FETCHER:
        add_conf(&l, p);
        add_listener(&l, "--listen", p->listener[SOCKET_FETCHER]);
        break;
    case PROC_PAGE: add_listener(&l, "--listen", p->listener[SOCKET_PAGE]); break;
    case PROC_GATEWAY: add_conf(&l, p); break;
    case PROC_COUNT: break;
    }
    return spawn_start(program, l.argv, l.fds, l.fd_count, &p->child[id], err);
}

void procs_free(procs *p, int wait_ms) {
    /* the front door first, the signer last: nobody is left asking a process that has gone */
    for (size_t i = PROC_COUNT; i-- > 0;) (void)spawn_stop(&p->child[i], wait_ms);
    for (size_t i = 0; i < SOCKET_COUNT; i++) {
        if (p->listener[i] < 0) continue;
        (void)close(p->listener[i]);
        (void)unlink(p->path[i]);
        p->listener[i] = -1;
    }
    if (p->lock >= 0) (void)close(p->lock);
    p->lock = -1;
}
