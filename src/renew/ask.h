/* renew/ask.h - one question for a certificate, over a rung of the ladder and a protocol's client half, into a slot.
 * Owner: the agent; one thread, which waits for the network. */
#ifndef CS_RENEW_ASK_H
#define CS_RENEW_ASK_H

#include "proto/client/client.h"
#include "renew/conf.h"
#include "renew/floor.h"
#include "renew/store.h"

typedef struct renew_asking {
    const renew_identity *id;
    renew_store *st;
    int current;        /* the slot in use, or RENEW_NO_SLOT */
    renew_floor *floor; /* what time it is; raised by what comes */
    const cs_clock *clock;
    const cs_rng *rng;
    /* How names are proven to an ACME server; NULL: not at all. The prover is given back with close. */
    cs_status (*prover)(const renew_identity *id, void **ret, const client_prover **ret_prover, cs_err *err);
    void (*prover_close)(void *prover);
} renew_asking;

/* Is there what that rung needs? */
bool renew_can(const renew_asking *a, renew_rung rung);
/* CS_OK: a whole, verified pair is in the slot. CS_AGAIN: somebody must decide first. The key that was made stays in
 * the slot while the answer may still come, and is thrown away once it is refused. */
CS_MUST_USE cs_status renew_ask(const renew_asking *a, renew_rung rung, int slot, cs_time *ret_wants, cs_err *err);

/* Whom to trust from now on: of the roots that came, those that are trusted already, and those for which a trusted one
 * has signed (NewWithOld, RFC 4210 4.4); `known` none: all, for they were proven otherwise. Others are taken out of
 * `came`; *ret_unproven says whether there was one. */
CS_MUST_USE cs_status renew_trust_filter(cs_certs *came, const cs_certs *known, cs_time at, bool *ret_unproven,
                                         cs_err *err);

#endif
