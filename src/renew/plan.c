#include "renew/plan.h"

enum { JITTER_PARTS = 20, DOUBLINGS_MAX = 20, LEAST_PARTS = 200, WANTS_DAYS_MAX = 1 };

static cs_time least_of(cs_time a, cs_time b) {
    return a < b ? a : b;
}

/* draw / 2^32 of `all`; lives are at most 10,000 years, which 2^32 does not overflow when divided first. */
static cs_time share(cs_time all, uint32_t draw) {
    return all > 0 ? (cs_time)((double)all * ((double)draw / 4294967296.0)) : 0;
}

cs_time renew_due(const renew_rules *rules, const renew_life *life, const renew_window *window, uint32_t draw) {
    cs_time all = life->not_after - life->not_before;
    cs_time due = life->not_before + all / 100 * rules->percent;
    due -= share(all / JITTER_PARTS, draw);
    if (window != NULL && window->end > window->start && window->start < life->not_after)
        due = window->start + share(least_of(window->end, life->not_after) - window->start, draw);
    if (due < life->not_before) due = life->not_before;
    return due;
}

cs_time renew_pause(const renew_rules *rules, const renew_life *life, unsigned failures, cs_time now, cs_time wants,
                    uint32_t draw) {
    cs_time least = rules->retry_least, most = rules->retry_most;
    if (life != NULL) least = least_of(least, (life->not_after - life->not_before) / LEAST_PARTS);
    if (least < CS_SEC) least = CS_SEC;
    if (most < least) most = least;
    unsigned doublings = failures > 1 ? failures - 1 : 0;
    cs_time pause = doublings > DOUBLINGS_MAX || least > (most >> doublings) ? most : least << doublings;
    if (wants > pause) pause = least_of(wants, WANTS_DAYS_MAX * CS_DAY);
    if (life != NULL && now < life->not_after) {
        cs_time left = life->not_after - now, limit = wants > 0 ? left / 2 : left / 4;
        pause = least_of(pause, limit > least ? limit : least);
        pause = least_of(pause, left);
    }
    pause -= share(pause / 4, draw);
    return pause < CS_SEC ? CS_SEC : pause;
}
