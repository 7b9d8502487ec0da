#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/loop.h"
#include "unit.h"

typedef struct seen {
    loop *l;
    loop_timer a, b, c;
    loop_task task;
    char order[16];
    size_t n;
    unsigned events;
    loop_watch *watch;
} seen;

static void add(seen *s, char c) {
    if (s->n < sizeof s->order - 1) s->order[s->n++] = c;
}

static void on_a(void *data) {
    seen *s = data;
    add(s, 'a');
    loop_timer_clear(s->l, &s->b); /* one callback may clear another */
}

static void on_b(void *data) {
    add(data, 'b');
}

static void on_task(void *data) {
    add(data, 't');
}

static void on_c(void *data) {
    seen *s = data;
    add(s, 'c');
    s->task = (loop_task){.cb = on_task, .data = s};
    loop_later(s->l, &s->task);
    loop_stop(s->l);
}

static void deadlines_come_in_order_and_may_be_cleared(void **state) {
    cs_err err;
    seen s = {.n = 0};
    (void)state;
    assert_ok(loop_new(cs_clock_system(), &s.l, &err));
    s.a = (loop_timer){.cb = on_a, .data = &s};
    s.b = (loop_timer){.cb = on_b, .data = &s};
    s.c = (loop_timer){.cb = on_c, .data = &s};
    cs_time begin = cs_mono(cs_clock_system());
    loop_timer_set(s.l, &s.c, 4 * LOOP_TICK);
    loop_timer_set(s.l, &s.a, LOOP_TICK);
    loop_timer_set(s.l, &s.b, 2 * LOOP_TICK);
    loop_timer_set(s.l, &s.a, LOOP_TICK / 2);
    loop_run(s.l);
    cs_time took = cs_mono(cs_clock_system()) - begin;
    loop_free(s.l);
    assert_string_equal(s.order, "act");
    assert_true(took >= 4 * LOOP_TICK);
}

static void *ring(void *data) {
    loop_ring(data);
    return NULL;
}

static void on_ring(void *data) {
    seen *s = data;
    add(s, 'r');
    loop_stop(s->l);
}

static void another_thread_may_ring(void **state) {
    cs_err err;
    seen s = {.n = 0};
    pthread_t t;
    (void)state;
    assert_ok(loop_new(cs_clock_system(), &s.l, &err));
    loop_on_ring(s.l, on_ring, &s);
    assert_int_equal(pthread_create(&t, NULL, ring, s.l), 0);
    loop_run(s.l);
    (void)pthread_join(t, NULL);
    loop_free(s.l);
    assert_string_equal(s.order, "r");
}

static void on_events(void *data, unsigned events) {
    seen *s = data;
    s->events |= events;
    loop_watch_close(s->watch); /* within its own callback */
    loop_stop(s->l);
}

static void a_descriptor_is_watched_for_what_was_asked(void **state) {
    cs_err err;
    seen s = {.n = 0};
    int fds[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_ok(loop_new(cs_clock_system(), &s.l, &err));
    assert_ok(loop_watch_new(s.l, fds[0], on_events, &s, &s.watch, &err));
    loop_watch_set(s.watch, LOOP_READ);
    assert_int_equal(write(fds[1], "x", 1), 1);
    loop_run(s.l);
    assert_int_equal(s.events, LOOP_READ);
    (void)close(fds[1]);
    loop_free(s.l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deadlines_come_in_order_and_may_be_cleared),
        cmocka_unit_test(another_thread_may_ring),
        cmocka_unit_test(a_descriptor_is_watched_for_what_was_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
