/* io/sandbox.h - what a process may do once it has started: as little as its work needs, for good.
 * Called once, by the main thread, before other threads are made and after what was opened at start (listeners, CA
 * key, database, log) is open. What it takes away never comes back, not even for children. */
#ifndef CS_IO_SANDBOX_H
#define CS_IO_SANDBOX_H

#include "base/err.h"

enum sandbox_may {
    SANDBOX_READ = 1,  /* read files and list folders beneath */
    SANDBOX_WRITE = 2, /* also make, change, rename and remove them */
};

typedef struct sandbox_path {
    const char *path; /* a folder (with all beneath it) or a file; one that does not exist is skipped; NULL ends */
    unsigned may;     /* of sandbox_may */
} sandbox_path;

typedef struct sandbox_plan {
    const sandbox_path *paths; /* everything else in the file system is out of reach; NULL: all of it */
    bool inet;                 /* may make TCP/UDP sockets (the gateway) */
    bool spawn;                /* may fork and run programs (the supervisor): then the seccomp filter stays off exec */
    bool holds_key;            /* no core dump, no ptrace, no swap of secrets */
    unsigned long open_files;  /* limit of descriptors, 0: as it is, raised to the hard limit */
} sandbox_plan;

/* To be called before the first loop is made: libuv 1.45 and later would take its events by io_uring, which the sandbox
 * refuses, since it can be asked around it; from here on the kernel has none. No new privileges. sandbox-failed. */
CS_MUST_USE cs_status sandbox_prepare(cs_err *err);

/* No new privileges, rlimits, Landlock (skipped on kernels without it), seccomp: no execve, no ptrace, no mounts, no
 * namespaces, no kernel modules, no bpf or io_uring, no memory both writable and executable; no fork unless
 * plan->spawn; no socket family but AF_UNIX unless plan->inet. A process that tries exec or ptrace is killed; the
 * others get EPERM. sandbox-failed: the caller ends.
 * Folders of the system that libraries read at any time (/etc/ssl, resolver files, /usr/lib, zoneinfo, /dev/urandom,
 * /dev/null, /proc/self) are readable without being named.
 * Under sanitizers (CS_SANITIZED) Landlock and seccomp are left out, since these need what is taken away. */
CS_MUST_USE cs_status sandbox_enter(const sandbox_plan *plan, cs_err *err);

#endif
