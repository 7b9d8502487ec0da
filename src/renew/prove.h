/* renew/prove.h - is the new certificate in use? Asked of the program itself, from outside, as its peers do.
 * Nothing is kept; one thread, which waits until the limit. */
#ifndef CS_RENEW_PROVE_H
#define CS_RENEW_PROVE_H

#include "renew/conf.h"
#include "renew/store.h"

/* prove_served: HOST:PORT must show that slot's leaf; prove_accepted: the https URL must answer us, who show it, with
 * less than 400. A program may take a moment: asked again until prove_limit. Nothing said: nothing asked.
 * at: as what time the server's certificate is judged; 0: the machine's. proof-failed, with what was found instead. */
CS_MUST_USE cs_status renew_prove(const renew_identity *id, const renew_store *st, int slot, cs_time at,
                                  const cs_clock *clock, cs_err *err);

#endif
