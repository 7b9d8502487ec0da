/* cli/crl_refresh.h - a file of CRLs for a server that is not ours, kept fresh: what its certificates name is fetched,
 * judged, put there in one step, and a command run when something changed. One thread; nothing is kept. */
#ifndef CS_CLI_CRL_REFRESH_H
#define CS_CLI_CRL_REFRESH_H

#include "cli/cli.h"

typedef struct crl_refresh_ask {
    const cli_texts *of;  /* files of certificates: whose CRLs, and who signs them */
    const cli_texts *url; /* further CRLs */
    const char *out;
    const char *with; /* a file that stands before the CRLs in `out`; NULL: none */
    const char *then; /* a command, its words parted by spaces; NULL: none */
} crl_refresh_ask;

typedef struct crl_refresh_made {
    size_t lists;
    uint64_t entries;
    bool changed; /* `out` is another than before, and the command was run */
} crl_refresh_made;

/* fetch-failed, crl-invalid, crl-stale, crl-rollback, crl-wrong-issuer...: `out` stays as it is. */
CS_MUST_USE cs_status crl_refresh(const crl_refresh_ask *ask, cs_time now, crl_refresh_made *ret, cs_err *err);

#endif
