/* io/loop.h - one event loop a thread: descriptors, deadlines, a bell that other threads may ring, signals.
 * Owner: the thread that runs it; everything here but loop_ring is for that thread only (or before it starts).
 * Callbacks may free what they are called for: nothing of a watch or timer is touched after its callback. */
#ifndef CS_IO_LOOP_H
#define CS_IO_LOOP_H

#include "base/clock.h"
#include "base/err.h"

typedef struct loop loop;

CS_MUST_USE cs_status loop_new(const cs_clock *clock, loop **ret, cs_err *err);
void loop_free(loop *l); /* closes what is left; all watches must be closed before */
CS_AUTO_DEFINE(loop)
void loop_run(loop *l); /* until loop_stop */
void loop_stop(loop *l);
/* Monotonic, as of this turn of the loop: good for deadlines, costs no system call. */
cs_time loop_now(const loop *l);

/* ---- descriptors ---- */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };
typedef struct loop_watch loop_watch;
/* events: LOOP_READ | LOOP_WRITE; both are set when the descriptor has failed, so that the next call shows the error */
typedef void loop_watch_cb(void *data, unsigned events);
CS_MUST_USE cs_status loop_watch_new(loop *l, int fd, loop_watch_cb *cb, void *data, loop_watch **ret, cs_err *err);
/* Which events: nothing is asked of the kernel when it is what is watched already. 0: none. */
void loop_watch_set(loop_watch *w, unsigned events);
/* Gives the descriptor another callback (a connection that comes out of a pool). */
void loop_watch_own(loop_watch *w, loop_watch_cb *cb, void *data);
void loop_watch_close(loop_watch *w);   /* and the descriptor; NULL is fine */
void loop_watch_release(loop_watch *w); /* not the descriptor, which is another's and still open; NULL is fine */

/* ---- deadlines: coarse (LOOP_TICK), O(1) to set and clear ---- */
#define LOOP_TICK (CS_SEC / 10)
typedef struct loop_timer loop_timer;
struct loop_timer { /* embedded in what it is for; zeroed at first */
    loop_timer *prev, *next;
    cs_time due;
    void (*cb)(void *data);
    void *data;
};
/* In `after` microseconds, never earlier; replaces what was set. */
void loop_timer_set(loop *l, loop_timer *t, cs_time after);
void loop_timer_clear(loop *l, loop_timer *t);

/* ---- later, soon: what may not be done inside a callback (freeing its owner), or should let others go first ---- */
typedef struct loop_task loop_task;
struct loop_task {
    loop_task *next;
    void (*cb)(void *data);
    void *data;
};
void loop_later(loop *l, loop_task *t);

/* ---- from elsewhere ---- */
void loop_on_ring(loop *l, void (*cb)(void *data), void *data);
void loop_ring(loop *l); /* any thread; several rings may come as one */
CS_MUST_USE cs_status loop_on_signal(loop *l, int signum, void (*cb)(void *data, int signum), void *data, cs_err *err);

#endif
