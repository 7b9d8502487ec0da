/* Requests that wait for the authority. It answers a number of connections at one time and closes what comes beyond;
 * when a fleet wakes up, thousands ask at once, and all are to be served, one after the other. */
#include "gate/gate_priv.h"

enum { SPARE = 32, LEAST = 4 }; /* SPARE: those that are about to be closed, or a gateway's that is about to end */

/* Each thread has its share: none waits for what another gives back. */
static unsigned share_of(const worker *w) {
    unsigned share = (CS_AUTHORITY_CONNECTIONS - SPARE) / (w->g->worker_count > 0 ? w->g->worker_count : 1);
    return share > LEAST ? share : LEAST;
}

static void ask(exchange *x) {
    x->asking = true;
    x->w->asking++;
}

static exchange *pop(worker *w) {
    exchange *x = w->queue;
    w->queue = x->queued_next;
    if (w->queue != NULL)
        w->queue->queued_prev = NULL;
    else
        w->queue_end = NULL;
    x->queued_next = NULL;
    x->queued = false;
    return x;
}

static void on_room(void *data) {
    worker *w = data;
    w->queue_soon = false;
    while (w->queue != NULL && w->asking < share_of(w)) {
        exchange *x = pop(w);
        conn *c = x->c;
        bool alone = x->id == 0;
        ask(x);
        relay_go(x);
        if (!alone && !x->over) conn_ready(x);
        if (alone) conn_turn(c); /* x may be over by now; what is freed is so after this turn of the loop */
    }
}

bool queue_wait(exchange *x) {
    worker *w = x->w;
    if (!x->authority || x->asking) return false;
    if (w->queue == NULL && w->asking < share_of(w)) {
        ask(x);
        return false;
    }
    x->queued = true;
    x->queued_prev = w->queue_end;
    if (w->queue_end != NULL)
        w->queue_end->queued_next = x;
    else
        w->queue = x;
    w->queue_end = x;
    return true;
}

void queue_leave(exchange *x) {
    worker *w = x->w;
    if (x->queued) {
        *(x->queued_prev != NULL ? &x->queued_prev->queued_next : &w->queue) = x->queued_next;
        *(x->queued_next != NULL ? &x->queued_next->queued_prev : &w->queue_end) = x->queued_prev;
        x->queued_prev = x->queued_next = NULL;
        x->queued = false;
    }
    if (!x->asking) return;
    x->asking = false;
    w->asking--;
    if (w->queue == NULL || w->queue_soon) return;
    w->queue_soon = true;
    w->queue_task = (loop_task){.cb = on_room, .data = w};
    loop_later(w->loop, &w->queue_task);
}
