/* gate/gate.h - the gateway: listeners, threads, the feed of revocations, reload and drain.
 * Owner: the program's main thread, which runs gate_run; everything else here is called by it too. */
#ifndef CS_GATE_GATE_H
#define CS_GATE_GATE_H

#include "base/clock.h"
#include "base/rng.h"
#include "conf/conf.h"

typedef struct gate gate;

/* Reads and validates everything and opens the listeners; serves nobody yet. said is borrowed for the gate's life. */
CS_MUST_USE cs_status gate_new(const conf_overrides *said, const cs_clock *clock, const cs_rng *rng, gate **ret,
                               cs_err *err);
/* Reads and validates everything as gate_new does, and opens nothing. */
CS_MUST_USE cs_status gate_check(const conf_overrides *said, const cs_clock *clock, const cs_rng *rng, cs_err *err);
void gate_free(gate *g);
CS_AUTO_DEFINE(gate)
/* The configuration at the start, for the program's own set-up. */
const conf *gate_conf(const gate *g);
/* Of a tunnel from "-": its one connection, at whose end gate_run returns; why it failed, if it did. */
void gate_only(gate *g, int take_fd);
/* Serves until SIGTERM or SIGINT; then finishes what is under way (limits.drain) and returns. SIGHUP reloads.
 * notify: "ready\n" is written there when the first connection could be served, and it is closed; -1: none. */
CS_MUST_USE cs_status gate_run(gate *g, int notify, cs_err *err);

#endif
