/* cli/progress.h - how far a long command has come: one line on stderr, redrawn, only where that is a terminal. */
#ifndef CS_CLI_PROGRESS_H
#define CS_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"

typedef struct progress {
    const char *what;     /* "certificates" */
    size_t all, first;    /* of all, how many were there at the start: they do not count for the rate */
    cs_time begun, shown; /* monotonic */
    bool on;
} progress;

progress progress_begin(const char *what, size_t all);
/* Redraws at most ten times a second. */
void progress_at(progress *p, size_t done);
/* Takes the line away. */
void progress_end(progress *p);

#endif
