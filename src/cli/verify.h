/* cli/verify.h - what the files of `verify` share: what was fetched, and how a verdict reads.
 * Everything is borrowed; trust: the anchors that were given, to mark them in the chain. */
#ifndef CS_CLI_VERIFY_H
#define CS_CLI_VERIFY_H

#include "io/addr_class.h"
#include "verify/verify.h"

enum { VERIFY_FETCHES_MAX = 32 };
typedef struct verify_fetch {
    char url[1024];
    cs_err err; /* reason CS_R_NONE: it came */
    size_t octets;
    cs_time took;
} verify_fetch;
typedef struct verify_fetches {
    verify_fetch at[VERIFY_FETCHES_MAX];
    size_t n;
} verify_fetches;

/* Gets what the certificates of a path that was verified name, but for the anchor's, into both sets; what did not come
 * is said on standard error and in *ret. Errors are those that let none be asked for. */
CS_MUST_USE cs_status verify_fetch_all(const cs_certs *chain, const addr_range *allow, unsigned allow_count,
                                       cs_crls *crls, cs_ocsps *ocsps, verify_fetches *ret, cs_err *err);

/* fetches: NULL when none were asked for */
void verify_add_json(cs_buf *b, const cs_verdict *v, const cs_certs *trust, const verify_fetches *fetches);
void verify_add_text(cs_buf *b, const cs_verdict *v, const cs_certs *trust);

#endif
