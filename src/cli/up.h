/* cli/up.h - what `up`, `authority` and `gateway` share. */
#ifndef CS_CLI_UP_H
#define CS_CLI_UP_H

#include "conf/conf.h"

typedef struct up_said {
    conf_overrides conf;
    bool check, no_examples, json, first;
    bool no_gateway; /* signer and authority only */
} up_said;

/* Until SIGTERM or SIGINT, or, with check, until the configuration has been read. */
CS_MUST_USE cs_status up_run(up_said *said, cs_err *err);
/* Does a site lead to the built-in page? */
bool up_page_needed(const conf *c);

/* gateway.c: this process becomes the gateway's program. alone: it says ready on stderr. Returns only when it cannot.
 */
CS_MUST_USE cs_status up_become_gateway(const conf_overrides *said, bool alone, bool check, cs_err *err);

#endif
