/* base/clock.h - time is an argument. Wall time is microseconds since 1970-01-01 UTC (negative before), which covers
 * years 0 to 9999; monotonic time is microseconds since an arbitrary start, for durations and timers.
 * time(), gettimeofday() and friends are banned elsewhere (tools/banned). A clock may be shared by threads. */
#ifndef CS_BASE_CLOCK_H
#define CS_BASE_CLOCK_H

#include "base/buf.h"

typedef int64_t cs_time; /* microseconds */
#define CS_SEC ((cs_time)1000000)
#define CS_MIN (60 * CS_SEC)
#define CS_HOUR (60 * CS_MIN)
#define CS_DAY (24 * CS_HOUR)
#define CS_YEAR (365 * CS_DAY)

typedef struct cs_clock cs_clock;
struct cs_clock {
    cs_time (*wall)(const cs_clock *c);
    cs_time (*mono)(const cs_clock *c);
};

/* The machine's clock. Static storage. */
const cs_clock *cs_clock_system(void);

/* A clock that stands where it is put; for tests and scenarios. */
typedef struct cs_clock_manual {
    cs_clock clock;
    cs_time wall_now, mono_now;
} cs_clock_manual;
void cs_clock_manual_init(cs_clock_manual *m, cs_time wall);
void cs_clock_manual_advance(cs_clock_manual *m, cs_time by);

static inline cs_time cs_now(const cs_clock *c) {
    return c->wall(c);
}
static inline cs_time cs_mono(const cs_clock *c) {
    return c->mono(c);
}

/* Proleptic Gregorian, UTC. month 1-12, day 1-31. False when a field is out of range (second 60 is). */
bool cs_time_of_civil(int year, int month, int day, int hour, int minute, int second, cs_time *ret);
typedef struct cs_civil {
    int year, month, day, hour, minute, second, micro;
} cs_civil;
cs_civil cs_civil_of_time(cs_time t);
/* Whole seconds, rounded down (so that -0.5 s is -1). */
int64_t cs_time_seconds(cs_time t);

/* "2026-11-23T15:08:00Z"; a fraction of up to 6 digits only when there is one. */
bool cs_time_add(cs_buf *b, cs_time t);
/* The same into a caller's array, NUL-terminated. */
enum { CS_TIME_TEXT_MAX = 32 };
const char *cs_time_text(cs_time t, char out[CS_TIME_TEXT_MAX]);
/* RFC 3339 with any offset and fraction (digits after the sixth are dropped). False when it is not one. */
bool cs_time_parse(cs_view text, cs_time *ret);
/* "90d", "8h", "15m", "30s", "2w", "10y" (365 days). False when it is not one, is not positive or overflows. */
bool cs_duration_parse(cs_view text, cs_time *ret);
/* "3h", "12d": the largest unit that leaves at least 2, for people. */
const char *cs_duration_text(cs_time d, char out[CS_TIME_TEXT_MAX]);

#endif
