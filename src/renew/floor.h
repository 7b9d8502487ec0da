/* renew/floor.h - what time is it, at least? Devices without a battery begin in 1970, and others have their clock set
 * wrongly; a certificate that "has expired" may only mean that. Time and its evidence are arguments.
 * Owner: the agent; one thread. */
#ifndef CS_RENEW_FLOOR_H
#define CS_RENEW_FLOOR_H

#include "base/clock.h"

typedef enum renew_clock_state {
    RENEW_CLOCK_GOOD,
    RENEW_CLOCK_BEHIND, /* it shows a time that has passed for certain; the floor stands in for it */
    RENEW_CLOCK_AHEAD,  /* a signed time says that it is not so late yet; that time stands in for it */
    RENEW_CLOCK_JUMPED, /* it was moved by more than an hour while we ran; it is believed, and it is said */
} renew_clock_state;
const char *renew_clock_name(renew_clock_state state); /* "good", "behind", "ahead", "jumped" */

typedef struct renew_floor {
    cs_time sure; /* no earlier than this: when the program was built, notBefore of certificates, signed times */
    cs_time seen; /* the latest time that this machine's clock has shown in earlier lives; may have been wrong */
    cs_time ends; /* notAfter of the newest certificate: how far `seen` is plausible; 0: none */
    cs_time signed_at, signed_mono; /* the last fresh signed time, and when it came, monotonic; 0: none */
    cs_time wall0, mono0;           /* when it was looked at last; 0: never */
    cs_time base, base_mono;        /* the floor that stands in since then */
    renew_clock_state state;
} renew_floor;

/* sure: of the program; seen: of the state, 0: none. */
void renew_floor_init(renew_floor *f, cs_time sure, cs_time seen);
/* A certificate that verified: it is not earlier than its notBefore. */
void renew_floor_cert(renew_floor *f, cs_time not_before, cs_time not_after);
/* A time that somebody trusted has signed: fresh (they answered a nonce of ours) it is now, else it is no earlier. */
void renew_floor_signed(renew_floor *f, cs_time at, bool fresh, cs_time mono);
/* What time it is to be taken for, from what the clocks show; f->state says what is thought of them. Never relaxes: a
 * certificate whose notBefore lies after this is not valid yet. */
cs_time renew_floor_now(renew_floor *f, cs_time wall, cs_time mono);

#endif
