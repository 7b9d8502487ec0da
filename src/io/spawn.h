/* io/spawn.h - the programs in libexec: found, started with the descriptors that they inherit, awaited.
 * A spawn_child belongs to the process that started it (one thread); spawn_stop ends it and waits for it. Children die
 * with their parent, even when it is killed (PR_SET_PDEATHSIG). */
#ifndef CS_IO_SPAWN_H
#define CS_IO_SPAWN_H

#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"
#include "io/files.h"

enum {
    SPAWN_FD_FIRST = 3, /* the first descriptor that a child inherits; the others follow in order */
    SPAWN_FDS_MAX = 8,
    SPAWN_ARGS_MAX = 96,
};

typedef struct spawn_child {
    pid_t pid;  /* 0: none */
    int notify; /* read end of the pipe on which it says "ready\n"; -1 once it did, or closed it */
    bool ready;
} spawn_child;

/* The path of libexec program `name` ("countersign-signer"): beside this program in libexec/, or in the installed
 * libexec folder. process-failed when it is in neither. */
CS_MUST_USE cs_status spawn_find(const char *name, char out[FILES_PATH_MAX], cs_err *err);

/* Runs `program` with argv (argv[0] first, NULL last) plus "--notify N". fds[i] becomes descriptor
 * SPAWN_FD_FIRST + i in the child, without close-on-exec; all others but 0-2 are closed there, and its signal mask
 * and handlers are those of a fresh process. */
CS_MUST_USE cs_status spawn_start(const char *program, const char *const argv[], const int fds[], size_t fd_count,
                                  spawn_child *ret, cs_err *err);

/* Read what the child has said, without waiting. CS_OK: child->ready holds. CS_AGAIN: not yet.
 * CS_FAILED/process-failed: it closed the pipe without saying so (it has ended or will). */
cs_status spawn_heard(spawn_child *child, const char *name, cs_err *err);

/* Wait until it is ready, has ended, or wait_ms have passed. */
CS_MUST_USE cs_status spawn_await(spawn_child *child, const char *name, int wait_ms, cs_err *err);

/* SIGTERM, wait up to wait_ms, then SIGKILL. Returns the wait status; 0 when there was no child. */
int spawn_stop(spawn_child *child, int wait_ms);

/* "exited with 1", "was ended by signal 9 (Killed)" for a wait status. */
const char *spawn_end_text(int wait_status, char out[64]);

/* A listening unix socket at path with that mode; what stood there is replaced. The path may have at most
 * SPAWN_SOCKET_PATH_MAX bytes. Close-on-exec, non-blocking. */
enum { SPAWN_SOCKET_PATH_MAX = 107 };
CS_MUST_USE cs_status spawn_listen(const char *path, mode_t mode, int *ret_fd, cs_err *err);

/* Does somebody answer on the unix socket at path? */
bool spawn_answers(const char *path);

#endif
