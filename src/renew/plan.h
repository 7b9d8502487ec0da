/* renew/plan.h - when is a certificate renewed, and when is it tried again? Arithmetic alone: time and randomness are
 * arguments, nothing is kept, any thread. */
#ifndef CS_RENEW_PLAN_H
#define CS_RENEW_PLAN_H

#include "base/clock.h"

typedef struct renew_life {
    cs_time not_before, not_after;
} renew_life;

/* The server's wish (ACME's renewal information, RFC 9773); end == 0: it has none. */
typedef struct renew_window {
    cs_time start, end;
} renew_window;

typedef struct renew_rules {
    unsigned percent;                /* of the life, after which it is renewed: 1 to 95 */
    cs_time retry_least, retry_most; /* the first pause after a failure, and the longest */
} renew_rules;
#define RENEW_RULES_DEFAULT ((renew_rules){.percent = 67, .retry_least = CS_MIN, .retry_most = CS_HOUR})

/* When the renewal of a certificate of that life begins: somewhere in the window, else somewhere in the twentieth of
 * the life that ends at the percentage, so that a fleet of one day does not come at once. draw: 32 random bits.
 * Always within the life. */
cs_time renew_due(const renew_rules *rules, const renew_life *life, const renew_window *window, uint32_t draw);

/* How long to wait after the `failures`-th failure in a row (1 the first). It doubles up to retry_most; never more
 * than a quarter of what is left of the life (NULL: there is no certificate), so that tries grow denser as the end
 * nears and one falls before it. wants: the server's Retry-After, kept as far as half of what is left; 0: none.
 * At least a second. */
cs_time renew_pause(const renew_rules *rules, const renew_life *life, unsigned failures, cs_time now, cs_time wants,
                    uint32_t draw);

#endif
