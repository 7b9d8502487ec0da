#include "renew/floor.h"

/* Clocks that are set over the network differ by less; notBefore lies ten minutes back. */
#define SLACK (5 * CS_MIN)
#define JUMP CS_HOUR
/* A fresh signed time is worth its while only as long as the monotonic clock is, which stops in some sleeps. */
#define SIGNED_GOOD_FOR (7 * CS_DAY)

const char *renew_clock_name(renew_clock_state state) {
    static const char *const names[] = {"good", "behind", "ahead", "jumped"};
    return names[state];
}

void renew_floor_init(renew_floor *f, cs_time sure, cs_time seen) {
    *f = (renew_floor){.sure = sure, .seen = seen};
}

void renew_floor_cert(renew_floor *f, cs_time not_before, cs_time not_after) {
    if (not_before > f->sure) f->sure = not_before;
    if (not_after > f->ends) f->ends = not_after;
}

void renew_floor_signed(renew_floor *f, cs_time at, bool fresh, cs_time mono) {
    if (at > f->sure) f->sure = at;
    if (!fresh) return;
    f->signed_at = at;
    f->signed_mono = mono;
    f->base = 0;
}

/* The floor: `seen` counts as far as it is plausible, that is not beyond a certificate that was renewed in time. */
static cs_time standing_in(renew_floor *f, cs_time mono) {
    cs_time floor = f->sure;
    if (f->seen > floor && (f->ends == 0 || f->seen <= f->ends + CS_YEAR)) floor = f->seen;
    if (f->base < floor) {
        f->base = floor;
        f->base_mono = mono;
    }
    return f->base + (mono - f->base_mono);
}

static bool signed_now(const renew_floor *f, cs_time mono, cs_time *ret) {
    if (f->signed_at == 0 || mono < f->signed_mono || mono - f->signed_mono > SIGNED_GOOD_FOR) return false;
    *ret = f->signed_at + (mono - f->signed_mono);
    return true;
}

cs_time renew_floor_now(renew_floor *f, cs_time wall, cs_time mono) {
    cs_time now = wall, good = 0, moved = f->mono0 == 0 ? 0 : (wall - f->wall0) - (mono - f->mono0);
    bool jumped = moved > JUMP || moved < -JUMP;
    f->wall0 = wall;
    f->mono0 = mono;
    if (signed_now(f, mono, &good) && (wall > good + JUMP || wall < good - SLACK)) {
        f->state = wall > good ? RENEW_CLOCK_AHEAD : RENEW_CLOCK_BEHIND;
        return good;
    }
    if (wall < f->sure - SLACK) {
        now = standing_in(f, mono);
        f->state = RENEW_CLOCK_BEHIND;
        return now;
    }
    f->base = 0;
    if (f->state != RENEW_CLOCK_JUMPED || jumped) f->state = jumped ? RENEW_CLOCK_JUMPED : RENEW_CLOCK_GOOD;
    f->seen = wall; /* also backwards: it was ahead, and has been set right */
    return now;
}
