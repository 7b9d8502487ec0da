/* cli/supervise.h - starts the processes of `up` in order, keeps them running, stops them.
 * One thread, one loop; signals come through a descriptor. Holds no key and opens no connection. */
#ifndef CS_CLI_SUPERVISE_H
#define CS_CLI_SUPERVISE_H

#include "cli/procs.h"

typedef struct supervise_ask {
    procs *procs;               /* initialised and listening; conf may be replaced by a reload */
    const conf_overrides *said; /* for reloads */
    bool examples;
    bool no_gateway;                           /* signer and authority only */
    void (*announce)(const conf *c, void *to); /* once, when all serve */
    void *to;
} supervise_ask;

/* Until SIGTERM or SIGINT: then all are drained and CS_OK comes back. process-failed when something cannot be brought
 * up at the start; afterwards whatever dies is started again, sooner or later. */
CS_MUST_USE cs_status supervise_run(supervise_ask *ask, cs_err *err);

#endif
