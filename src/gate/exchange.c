/* The life of an exchange: what it holds, and what is said of it at its end. */
#include <stdlib.h>
#include <string.h>

#include "gate/gate_priv.h"

enum { HEAD_KEPT = 8 * 1024 };

void exchange_begin(exchange *x, conn *c) {
    exchange *prev = x->prev, *next = x->next;
    int32_t id = x->id;
    cs_buf head = x->head; /* an HTTP/1 connection uses it again */
    *x = (exchange){.c = c, .prev = prev, .next = next, .id = id, .began = loop_now(c->w->loop)};
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

static void reap(void *data) {
    free(data);
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
    conn *c = x->c;
    if (x->over || c == NULL) return;
    up_drop(x, false);
    x->over = true;
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
    if (x->id == 0) return;
    unready(x);
    loop_timer_clear(c->w->loop, &x->timer);
    if (x->prev != NULL)
        x->prev->next = x->next;
    else
        c->exchanges = x->next;
    if (x->next != NULL) x->next->prev = x->prev;
    c->exchange_count--;
    x->reap = (loop_task){.cb = reap, .data = x};
    loop_later(c->w->loop, &x->reap);
}
