/* cli/provision.h - what `up` needs beside its processes: the gateway's own certificate, the examples to try, OCSP
 * answers for sites. Runs in a process of its own, since it waits for the authority, which the supervisor must be free
 * to restart. */
#ifndef CS_CLI_PROVISION_H
#define CS_CLI_PROVISION_H

#include "conf/conf.h"

typedef struct provision_ask {
    const conf *conf;
    const char *control; /* the authority's socket */
    bool examples;       /* make STATE/examples when there is none */
} provision_ask;

/* Is the gateway's certificate missing, of another CA, not its key's, or in the last third of its life? */
bool provision_server_due(const conf *c, cs_time now);
/* Is something to be done? */
bool provision_due(const provision_ask *ask, cs_time now);
/* Does it. */
CS_MUST_USE cs_status provision_run(const provision_ask *ask, cs_err *err);

#endif
