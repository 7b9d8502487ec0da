/* The life of an exchange: what it holds, and what is said of it at its end. */
#include <stdlib.h>
#include <string.h>

#include "gate/gate_priv.h"

enum { HEAD_KEPT = 8 * 1024, SPARES = 64 };

void exchange_begin(exchange *x, conn *c) {
    exchange *prev = x->prev, *next = x->next;
    int32_t id = x->id;
    cs_buf head = x->head; /* a spare's */
    *x = (exchange){.c = c, .w = c->w, .prev = prev, .next = next, .id = id, .began = loop_now(c->w->loop)};
    x->policy = policy_ref(c->policy);
    x->asked.b = cs_buf_of(GATE_FLOW_MAX);
    x->heads.b = cs_buf_of(GATE_FLOW_MAX);
    x->got.b = cs_buf_of(GATE_FLOW_MAX);
    x->ask_trailers = cs_buf_of(CS_HTTP_HEADERS_MAX);
    x->reply_trailers = cs_buf_of(CS_HTTP_HEADERS_MAX);
    x->head = head;
    x->head.max = CS_HTTP_HEADERS_MAX + 128 * 1024;
    x->head.failed = false;
}

exchange *exchange_new(conn *c) {
    worker *w = c->w;
    exchange *x = w->spare;
    if (x != NULL) {
        w->spare = x->next;
        w->spare_count--;
        x->next = NULL;
    } else {
        x = calloc(1, sizeof *x);
    }
    if (x == NULL) {
        c->wire.broken = true;
        return NULL;
    }
    c->x = x;
    exchange_begin(x, c);
    return x;
}

void exchange_spares_free(worker *w) {
    for (exchange *x = w->spare, *next; x != NULL; x = next) {
        next = x->next;
        cs_buf_free(&x->head);
        free(x);
    }
    w->spare = NULL;
}

void exchange_done(exchange *x) {
    worker *w = x->c->w;
    unsigned class = x->status >= 100 && x->status < 600 ? x->status / 100 - 1 : METRIC_5XX;
    metrics_count(w->slab, METRIC_REQUESTS, class);
    metrics_time(w->slab, METRIC_REQUEST_SECONDS, loop_now(w->loop) - x->began);
    metrics_add(w->slab, METRIC_BYTES, METRIC_IN, (int64_t)x->octets_in);
    metrics_add(w->slab, METRIC_BYTES, METRIC_OUT, (int64_t)x->octets_out);
    x->c->requests++;
    top_note(x);
    if (worker_conf(w)->access_log) say_request(x);
}

/* An idle connection holds none of it: a few serve thousands. */
static void reap(void *data) {
    exchange *x = data;
    worker *w = x->w;
    if (x->id == 0 && w->spare_count < SPARES) {
        x->next = w->spare;
        w->spare = x;
        w->spare_count++;
        return;
    }
    cs_buf_free(&x->head);
    free(x);
}

/* Off the list of those that can go on. */
static void unready(exchange *x) {
    conn *c = x->c;
    for (exchange **at = &c->ready; x->is_ready && *at != NULL; at = &(*at)->ready)
        if (*at == x) {
            *at = x->ready;
            if (c->ready_end == &x->ready) c->ready_end = at;
            x->is_ready = false;
            return;
        }
}

void exchange_over(exchange *x) {
    if (x == NULL || x->over) return;
    conn *c = x->c;
    up_drop(x, false);
    x->over = true;
    if (x->id != 0) http2_consumed(c->h2, x->id, x->unread); /* or each refused body would narrow the window */
    flow_free(&x->asked);
    flow_free(&x->heads);
    flow_free(&x->got);
    if (x->id == 0 && x->head.cap <= HEAD_KEPT)
        cs_buf_clear(&x->head);
    else
        cs_buf_free(&x->head);
    cs_buf_free(&x->ask_trailers);
    cs_buf_free(&x->reply_trailers);
    policy_free(x->policy);
    x->policy = NULL;
    x->reap = (loop_task){.cb = reap, .data = x};
    if (x->id == 0) {
        c->x = NULL;
        loop_later(c->w->loop, &x->reap);
        return;
    }
    unready(x);
    loop_timer_clear(c->w->loop, &x->timer);
    if (x->prev != NULL)
        x->prev->next = x->next;
    else
        c->exchanges = x->next;
    if (x->next != NULL) x->next->prev = x->prev;
    c->exchange_count--;
    loop_later(c->w->loop, &x->reap);
}
