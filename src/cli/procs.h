/* cli/procs.h - the processes behind the command: which sockets each serves, how each is started.
 * Owned by whoever called procs_init (the supervisor, or a command that needs the authority for itself); one thread.
 * The listeners live here, so that a process may die and be started again while its clients wait in the queue. */
#ifndef CS_CLI_PROCS_H
#define CS_CLI_PROCS_H

#include "conf/conf.h"
#include "io/spawn.h"

typedef enum proc_id { PROC_SIGNER, PROC_AUTHORITY, PROC_FETCHER, PROC_PAGE, PROC_GATEWAY, PROC_COUNT } proc_id;
typedef enum proc_socket {
    SOCKET_SIGNER,
    SOCKET_PUBLIC,
    SOCKET_CONTROL,
    SOCKET_FEED,
    SOCKET_FETCHER,
    SOCKET_PAGE,
    SOCKET_COUNT
} proc_socket;

typedef struct procs {
    const conf *conf;    /* borrowed */
    conf_overrides said; /* as the children get it: state and file absolute */
    int lock;            /* STATE/.lock: one of us at a time */
    int listener[SOCKET_COUNT];
    char path[SOCKET_COUNT][FILES_PATH_MAX];
    spawn_child child[PROC_COUNT];
} procs;

const char *proc_name(proc_id id); /* "signer" */

/* Takes the state folder's lock, waiting up to wait_ms: state-busy names the other. Makes STATE/run. */
CS_MUST_USE cs_status procs_init(procs *p, const conf *c, const conf_overrides *said, int wait_ms, cs_err *err);
/* The sockets of signer and authority; with `shown` under the names that others look for (and the page's), else under
 * names of this process alone, but for the signer's. */
CS_MUST_USE cs_status procs_listen(procs *p, bool shown, cs_err *err);
CS_MUST_USE cs_status procs_start(procs *p, proc_id id, cs_err *err);
/* Stops all that run, last started first; closes and removes the sockets, gives the lock back. NULL-safe twice. */
void procs_free(procs *p, int wait_ms);

#endif
