/* cli/staple.h - OCSP answers for the certificates of ours that the gateway's sites serve: fetched from our own
 * responder, kept in STATE/gateway/staples, anew at half of their life. Nothing is kept between calls. */
#ifndef CS_CLI_STAPLE_H
#define CS_CLI_STAPLE_H

#include "conf/conf.h"

/* Is one missing, or past half of its life? */
bool staple_due(const conf *c, cs_time now);
/* Fetches those; control: the authority's socket. The first failure is returned, after all were tried. */
CS_MUST_USE cs_status staple_run(const conf *c, const char *control, cs_time now, cs_err *err);

#endif
