/* renew/say.h - what the agent's identities are up to, for people, machines and Prometheus. Appends to the caller's
 * buffers. */
#ifndef CS_RENEW_SAY_H
#define CS_RENEW_SAY_H

#include "base/json.h"
#include "renew/keep.h"

/* Some lines. */
void renew_say_text(renew_keep *k, cs_buf *b);
/* One object. */
void renew_say_json(renew_keep *k, cs_json *j);
/* All of them, in Prometheus' text format, for the node exporter's textfile collector. */
void renew_say_metrics(renew_keep *all, size_t n, cs_buf *b);
/* "waits: until 2027-03-01T...", "asks by ticket", ...: what it does next. */
void renew_say_next(renew_keep *k, cs_buf *b);
/* Is something wrong that a person should look at? Failing, without a good certificate, or a clock that is wrong. */
bool renew_say_trouble(renew_keep *k);

#endif
