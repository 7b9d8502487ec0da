/* libuv beneath; deadlines in a hashed wheel, since a connection sets many and lets few pass. */
#include <stdlib.h>
#include <unistd.h>

#include <uv.h>

#include "io/loop.h"

enum { SLOTS = 512, SIGNALS_MAX = 4 };

struct loop_watch {
    uv_poll_t poll;
    loop_watch_cb *cb;
    void *data;
    int fd;
    unsigned events;
};

typedef struct signal_row {
    uv_signal_t handle;
    void (*cb)(void *data, int signum);
    void *data;
} signal_row;

struct loop {
    uv_loop_t uv;
    uv_async_t bell;
    uv_prepare_t before;
    uv_check_t after;
    uv_timer_t ticker;
    uv_idle_t restless;
    const cs_clock *clock;
    cs_time now;
    uint64_t tick; /* the last one that was done */
    size_t armed;
    loop_timer slots[SLOTS]; /* heads of circular lists */
    loop_task *tasks, **tasks_end;
    void (*ring)(void *data);
    void *ring_data;
    signal_row signals[SIGNALS_MAX];
    unsigned signal_count;
};

static uint64_t tick_of(cs_time t) {
    return (uint64_t)t / (uint64_t)LOOP_TICK;
}

cs_time loop_now(const loop *l) {
    return l->now;
}

static void on_idle(uv_idle_t *h) {
    (void)h;
}

/* Those that were asked for until now; what they ask for comes after the next look at the descriptors, which then does
 * not wait. */
static void run_tasks(loop *l) {
    loop_task *t = l->tasks;
    l->tasks = NULL;
    l->tasks_end = &l->tasks;
    while (t != NULL) {
        loop_task *next = t->next;
        t->next = NULL;
        t->cb(t->data);
        t = next;
    }
    if (l->tasks != NULL)
        (void)uv_idle_start(&l->restless, on_idle);
    else
        (void)uv_idle_stop(&l->restless);
}

static void on_prepare(uv_prepare_t *h) {
    run_tasks(h->data);
}

static void on_check(uv_check_t *h) {
    run_tasks(h->data);
}

void loop_later(loop *l, loop_task *t) {
    t->next = NULL;
    *l->tasks_end = t;
    l->tasks_end = &t->next;
}

static void unlink_timer(loop *l, loop_timer *t) {
    t->prev->next = t->next;
    t->next->prev = t->prev;
    t->prev = t->next = NULL;
    l->armed--;
}

/* One slot: a deadline a whole turn of the wheel or more ahead stays. The list is taken apart first, because a callback
 * may set and clear others. */
static void run_slot(loop *l, size_t slot) {
    loop_timer due = {.prev = &due, .next = &due}, *head = &l->slots[slot];
    for (loop_timer *t = head->next, *next; t != head; t = next) {
        next = t->next;
        if (t->due > l->now) continue;
        t->prev->next = t->next;
        t->next->prev = t->prev;
        t->prev = due.prev, t->next = &due;
        due.prev->next = t, due.prev = t;
    }
    while (due.next != &due) {
        loop_timer *t = due.next;
        unlink_timer(l, t);
        t->cb(t->data);
    }
}

static void on_tick(uv_timer_t *h) {
    loop *l = h->data;
    l->now = cs_mono(l->clock);
    uint64_t to = tick_of(l->now), from = l->tick;
    if (to - from > SLOTS) from = to - SLOTS;
    while (from < to) run_slot(l, (size_t)(++from % SLOTS));
    l->tick = to;
    if (l->armed == 0) (void)uv_timer_stop(&l->ticker);
}

void loop_timer_clear(loop *l, loop_timer *t) {
    if (t->next != NULL) unlink_timer(l, t);
}

void loop_timer_set(loop *l, loop_timer *t, cs_time after) {
    if (after < 0) after = 0;
    loop_timer_clear(l, t);
    if (l->armed == 0) {
        uint64_t ms = (uint64_t)(LOOP_TICK / 1000);
        l->tick = tick_of(l->now);
        (void)uv_timer_start(&l->ticker, on_tick, ms, ms);
    }
    t->due = l->now + after;
    uint64_t tick = tick_of(t->due) + 1;
    if (tick <= l->tick) tick = l->tick + 1;
    loop_timer *head = &l->slots[tick % SLOTS];
    t->prev = head->prev, t->next = head;
    head->prev->next = t, head->prev = t;
    l->armed++;
}

static void on_poll(uv_poll_t *h, int status, int events) {
    loop_watch *w = h->data;
    loop *l = h->loop->data;
    l->now = cs_mono(l->clock);
    unsigned got = status < 0 ? LOOP_READ | LOOP_WRITE : 0;
    if (status < 0) w->events = 0; /* libuv has stopped it: what is still to be read must be asked for again */
    if ((events & (UV_READABLE | UV_DISCONNECT)) != 0) got |= LOOP_READ;
    if ((events & UV_WRITABLE) != 0) got |= LOOP_WRITE;
    w->cb(w->data, got);
}

cs_status loop_watch_new(loop *l, int fd, loop_watch_cb *cb, void *data, loop_watch **ret, cs_err *err) {
    loop_watch *w = calloc(1, sizeof *w);
    if (w == NULL) return CS_NOMEM_ERR(err);
    int rc = uv_poll_init(&l->uv, &w->poll, fd);
    if (rc != 0) {
        free(w);
        return cs_fail_errno(err, -rc, CS_R_INTERNAL_ERROR, "watching descriptor %d", fd);
    }
    w->poll.data = w;
    w->cb = cb, w->data = data, w->fd = fd;
    *ret = w;
    return CS_OK;
}

void loop_watch_set(loop_watch *w, unsigned events) {
    if (events == w->events) return;
    w->events = events;
    int mask = 0;
    if ((events & LOOP_READ) != 0) mask |= UV_READABLE;
    if ((events & LOOP_WRITE) != 0) mask |= UV_WRITABLE;
    if (mask == 0)
        (void)uv_poll_stop(&w->poll);
    else
        (void)uv_poll_start(&w->poll, mask, on_poll);
}

void loop_watch_own(loop_watch *w, loop_watch_cb *cb, void *data) {
    w->cb = cb, w->data = data;
}

static void on_closed(uv_handle_t *h) {
    free(h->data);
}

void loop_watch_close(loop_watch *w) {
    if (w == NULL) return;
    /* uv_close() takes the descriptor out of the epoll set by its number, which once closed is another thread's. */
    int fd = w->fd;
    uv_close((uv_handle_t *)&w->poll, on_closed);
    (void)close(fd);
}

void loop_watch_release(loop_watch *w) {
    if (w != NULL) uv_close((uv_handle_t *)&w->poll, on_closed);
}

static void on_bell(uv_async_t *h) {
    loop *l = h->data;
    l->now = cs_mono(l->clock);
    if (l->ring != NULL) l->ring(l->ring_data);
}

void loop_on_ring(loop *l, void (*cb)(void *data), void *data) {
    l->ring = cb, l->ring_data = data;
}

void loop_ring(loop *l) {
    (void)uv_async_send(&l->bell);
}

static void on_signal(uv_signal_t *h, int signum) {
    signal_row *row = h->data;
    loop *l = h->loop->data;
    l->now = cs_mono(l->clock);
    row->cb(row->data, signum);
}

cs_status loop_on_signal(loop *l, int signum, void (*cb)(void *data, int signum), void *data, cs_err *err) {
    if (l->signal_count == SIGNALS_MAX) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "signals of a loop");
    signal_row *row = &l->signals[l->signal_count];
    int rc = uv_signal_init(&l->uv, &row->handle);
    if (rc == 0) {
        l->signal_count++;
        row->handle.data = row;
        row->cb = cb, row->data = data;
        rc = uv_signal_start(&row->handle, on_signal, signum);
    }
    return rc == 0 ? CS_OK : cs_fail_errno(err, -rc, CS_R_INTERNAL_ERROR, "signal %d", signum);
}

cs_status loop_new(const cs_clock *clock, loop **ret, cs_err *err) {
    loop *l = calloc(1, sizeof *l);
    if (l == NULL) return CS_NOMEM_ERR(err);
    int rc = uv_loop_init(&l->uv);
    if (rc != 0) {
        free(l);
        return cs_fail_errno(err, -rc, CS_R_INTERNAL_ERROR, "an event loop");
    }
    l->uv.data = l;
    l->clock = clock;
    l->now = cs_mono(clock);
    l->tick = tick_of(l->now);
    l->tasks_end = &l->tasks;
    for (size_t i = 0; i < SLOTS; i++) l->slots[i].prev = l->slots[i].next = &l->slots[i];
    rc = uv_async_init(&l->uv, &l->bell, on_bell);
    (void)uv_prepare_init(&l->uv, &l->before);
    (void)uv_check_init(&l->uv, &l->after);
    (void)uv_timer_init(&l->uv, &l->ticker);
    (void)uv_idle_init(&l->uv, &l->restless);
    l->bell.data = l->before.data = l->after.data = l->ticker.data = l->restless.data = l;
    (void)uv_prepare_start(&l->before, on_prepare);
    (void)uv_check_start(&l->after, on_check);
    if (rc != 0) {
        loop_free(l);
        return cs_fail_errno(err, -rc, CS_R_INTERNAL_ERROR, "an event loop's bell");
    }
    *ret = l;
    return CS_OK;
}

void loop_run(loop *l) {
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_stop(loop *l) {
    uv_stop(&l->uv);
}

static void close_own(uv_handle_t *h, void *unused) {
    (void)unused;
    if (!uv_is_closing(h) && h->type != UV_POLL) uv_close(h, NULL);
}

void loop_free(loop *l) {
    if (l == NULL) return;
    while (l->tasks != NULL) run_tasks(l);
    uv_walk(&l->uv, close_own, NULL);
    (void)uv_run(&l->uv, UV_RUN_NOWAIT);
    (void)uv_run(&l->uv, UV_RUN_NOWAIT);
    (void)uv_loop_close(&l->uv);
    free(l);
}
