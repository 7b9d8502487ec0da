/* base/rng.h - randomness is an argument, so that scenarios repeat. rand() and random() are banned elsewhere. */
#ifndef CS_BASE_RNG_H
#define CS_BASE_RNG_H

#include "base/err.h"

typedef struct cs_rng cs_rng;
struct cs_rng {
    /* Fills p[0..n). CS_FAILED/random-failed when it cannot: the caller then makes nothing. */
    cs_status (*fill)(const cs_rng *rng, void *p, size_t n, cs_err *err);
};

/* getrandom(2). Static storage, any thread. */
const cs_rng *cs_rng_system(void);
static inline cs_status cs_rng_fill(const cs_rng *r, void *p, size_t n, cs_err *err) {
    return r->fill(r, p, n, err);
}

#endif
