#include "cli/progress.h"

#include <stdio.h>
#include <unistd.h>

#define REDRAW (CS_SEC / 10)
enum { BAR = 24 };

progress progress_begin(const char *what, size_t all) {
    cs_time now = cs_mono(cs_clock_system());
    return (progress){.what = what, .all = all, .begun = now, .on = all > 0 && isatty(STDERR_FILENO) == 1};
}

void progress_at(progress *p, size_t done) {
    cs_time now = cs_mono(cs_clock_system());
    if (!p->on || (p->shown != 0 && now - p->shown < REDRAW)) return;
    if (p->shown == 0) p->first = done;
    p->shown = now;
    double seconds = (double)(now - p->begun) / (double)CS_SEC;
    double rate = seconds > 0 ? (double)(done - p->first) / seconds : 0;
    size_t filled = done * BAR / p->all;
    char bar[BAR + 1], left[32] = "";
    for (size_t i = 0; i < BAR; i++) bar[i] = i < filled ? '#' : '.';
    bar[BAR] = '\0';
    if (rate > 0) {
        unsigned long s = (unsigned long)((double)(p->all - done) / rate);
        (void)snprintf(left, sizeof left, ", %lum%02lus left", s / 60, s % 60);
    }
    (void)fprintf(stderr, "\r\033[K[%s] %zu of %zu %s, %.0f a second%s", bar, done, p->all, p->what, rate, left);
    (void)fflush(stderr);
}

void progress_end(progress *p) {
    if (!p->on || p->shown == 0) return;
    (void)fputs("\r\033[K", stderr);
    (void)fflush(stderr);
    p->on = false;
}
