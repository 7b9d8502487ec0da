#include "base/rng.h"

#include <errno.h>
#include <sys/random.h>

static cs_status system_fill(const cs_rng *rng, void *p, size_t n, cs_err *err) {
    (void)rng;
    uint8_t *at = p;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return cs_fail_errno(err, errno, CS_R_RANDOM_FAILED, "getrandom");
        at += got;
        n -= (size_t)got;
    }
    return CS_OK;
}

const cs_rng *cs_rng_system(void) {
    static const cs_rng system_rng = {system_fill};
    return &system_rng;
}
