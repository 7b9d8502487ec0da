/* renew/keep.h - an identity that is kept: the steps (renew/step.h) over the real world.
 * Owner: the agent; one thread. Borrows the configuration, the clock and the randomness. */
#ifndef CS_RENEW_KEEP_H
#define CS_RENEW_KEEP_H

#include "renew/ask.h"

typedef struct renew_keep renew_keep;
typedef void renew_tell(void *cls, const renew_keep *k, renew_event event, const cs_err *err);

typedef struct renew_world {
    const cs_clock *clock;
    const cs_rng *rng;
    cs_time built; /* when the program was: no clock shows less for good reason */
    renew_tell *tell;
    void *cls;
    cs_status (*prover)(const renew_identity *id, void **ret, const client_prover **ret_prover, cs_err *err);
    void (*prover_close)(void *prover);
} renew_world;

struct renew_keep {
    const renew_identity *id;
    const renew_world *world;
    renew_store store;
    renew_state state;
    renew_floor floor;
    renew_rules rules;
    renew_ports ports;
    uint64_t ticket; /* stamp of the token file, to see a new one */
};

/* Reads the state, or finds it out when it is lost, and puts the pair in use in place. read_only: for status; nothing
 * is made, written or repaired. What cannot be repaired now is told and tried again with the next turn. */
CS_MUST_USE cs_status renew_keep_open(const renew_conf *c, const renew_identity *id, const renew_world *world,
                                      bool read_only, renew_keep *k, cs_err *err);
/* Does what is to be done. Returns how long to sleep, at least a second. */
cs_time renew_keep_turn(renew_keep *k);
/* Now, whatever is planned. */
void renew_keep_hurry(renew_keep *k, bool even_if_good);
/* What time it is taken for. */
cs_time renew_keep_now(renew_keep *k);
/* The validity of the pair in use; false: there is none. */
bool renew_keep_life(renew_keep *k, renew_life *ret);

#endif
