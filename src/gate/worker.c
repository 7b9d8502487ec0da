/* A thread of the gateway: its loop, its listeners, what it took over from the main thread. */
#include <string.h>

#include "gate/gate_priv.h"

enum { SWEEP = CS_SEC / 2 };

cs_view worker_date(worker *w) {
    cs_time now = cs_now(worker_clock(w)) / CS_SEC;
    if (now != w->date_at) {
        (void)http_date(now * CS_SEC, w->date);
        w->date_at = now;
    }
    return cs_view_str(w->date);
}

static void on_listener(void *data, unsigned events) {
    listener *l = data;
    cs_err err;
    (void)events;
    for (int i = 0; i < GATE_ACCEPT_BATCH && !l->w->draining; i++) {
        int fd = -1;
        net_addr peer;
        cs_status s = net_accept(l->fd, &fd, &peer, &err);
        if (s == CS_OK) {
            conn_accept(l, fd, &peer);
            continue;
        }
        if (s != CS_AGAIN) {
            log_failure(LOG_WARN, "connection-refused", &err);
            metrics_count(l->w->slab, METRIC_CONNECTIONS_REFUSED, (unsigned)err.reason);
        }
        return;
    }
    if (l->listen != NULL && !l->w->draining) conn_shed(l);
}

static void on_drained(void *data) {
    worker *w = data;
    for (conn *c = w->conns, *next; c != NULL; c = next) {
        next = c->next;
        conn_close(c);
    }
    loop_stop(w->loop);
}

static void drain(worker *w) {
    w->draining = true;
    for (unsigned i = 0; i < w->g->listener_count; i++) {
        loop_watch_close(w->listeners[i].watch);
        w->listeners[i].watch = NULL;
    }
    upstream_close_idle(w);
    health_stop(w);
    w->drain_timer = (loop_timer){.cb = on_drained, .data = w};
    loop_timer_set(w->loop, &w->drain_timer, worker_conf(w)->limits.drain);
    for (conn *c = w->conns, *next; c != NULL; c = next) {
        next = c->next;
        conn_drain(c);
    }
    if (w->conn_count == 0) loop_stop(w->loop);
}

static void take_policy(worker *w, policy *take) {
    policy *old = w->policy;
    w->policy = take;
    w->generation++;
    for (conn *c = w->conns, *next; old != NULL && c != NULL; c = next) {
        next = c->next;
        conn_policy(c, take);
    }
    upstream_close_idle(w);
    health_start(w);
    policy_free(old);
}

static void take_revset(worker *w, cs_revset *take) {
    cs_revset_free(w->judge.revset);
    w->judge.revset = take;
    for (conn *c = w->conns, *next; c != NULL; c = next) {
        next = c->next;
        conn_revset(c, take);
    }
}

/* The last thread to follow says so: from then on nobody is judged by what was before. */
static void say_reloaded(worker *w, uint64_t reloads) {
    gate *g = w->g;
    (void)pthread_mutex_lock(&g->lock);
    w->reloads = reloads;
    bool all = g->said_reloads < reloads;
    for (unsigned i = 0; i < g->worker_count; i++) all = all && g->workers[i].reloads >= reloads;
    if (all) g->said_reloads = reloads;
    (void)pthread_mutex_unlock(&g->lock);
    if (all) log_note(LOG_INFO, "reloaded");
}

/* The bell: what is new? */
static void on_ring(void *data) {
    worker *w = data;
    gate *g = w->g;
    (void)pthread_mutex_lock(&g->lock);
    policy *p = g->policy != w->policy ? policy_ref(g->policy) : NULL;
    cs_revset *r = g->revset != w->judge.revset ? cs_revset_ref(g->revset) : NULL;
    uint64_t reloads = g->reloads;
    (void)pthread_mutex_unlock(&g->lock);
    if (p != NULL) take_policy(w, p);
    if (r != NULL) take_revset(w, r);
    if (reloads != w->reloads) say_reloaded(w, reloads);
    top_look(w);
    if (atomic_load(&g->draining) && !w->draining) drain(w);
}

/* Who was admitted stays no longer than the certificates hold. */
static void on_sweep(void *data) {
    worker *w = data;
    cs_time now = cs_now(worker_clock(w));
    if (now > w->next_end) {
        w->next_end = INT64_MAX;
        for (conn *c = w->conns, *next; c != NULL; c = next) {
            next = c->next;
            conn_expire(c, now);
        }
    }
    top_look(w);
    worker_watch_over(w);
}

/* Only while somebody is there: an idle gateway sleeps. */
void worker_watch_over(worker *w) {
    if (w->conn_count == 0 || w->sweep_timer.next != NULL) return;
    w->sweep_timer = (loop_timer){.cb = on_sweep, .data = w};
    loop_timer_set(w->loop, &w->sweep_timer, SWEEP);
}

static void *run(void *data) {
    worker *w = data;
    if (w->g->only >= 0 && w->index == 0)
        conn_accept(&w->listeners[0], w->g->only, &(net_addr){.at = {.ss_family = AF_UNIX}});
    loop_run(w->loop);
    return NULL;
}

cs_status worker_start(worker *w, cs_err *err) {
    w->judge.clock = w->g->clock;
    w->next_end = INT64_MAX;
    w->judge.fresh_until = w->g->policy->feed ? &w->g->fresh_until : NULL;
    TRY(loop_new(w->g->clock, &w->loop, err));
    TRY(tls_memory_new(&w->judge.memory, err));
    TRY(tls_ciphers_new(&w->judge.ciphers, err));
    loop_on_ring(w->loop, on_ring, w);
    on_ring(w);
    for (unsigned i = 0; i < w->g->listener_count; i++) {
        listener *l = &w->listeners[i];
        l->w = w;
        if (l->fd < 0) continue;
        TRY(loop_watch_new(w->loop, l->fd, on_listener, l, &l->watch, err));
        loop_watch_set(l->watch, LOOP_READ);
    }
    if (pthread_create(&w->thread, NULL, run, w) != 0)
        return cs_fail(err, CS_FAILED, CS_R_PROCESS_FAILED, "%s", "a thread could not be made");
    w->started = true;
    return CS_OK;
}

void worker_free(worker *w) {
    if (w->started) (void)pthread_join(w->thread, NULL);
    w->draining = false; /* closing the last connection stops nothing any more */
    for (conn *c = w->conns, *next; c != NULL; c = next) {
        next = c->next;
        conn_close(c);
    }
    upstream_close_idle(w);
    health_stop(w);
    for (unsigned i = 0; i < w->g->listener_count; i++) {
        if (w->listeners[i].watch != NULL)
            loop_watch_close(w->listeners[i].watch);
        else if (!w->started && w->listeners[i].fd >= 0)
            net_close(w->listeners[i].fd);
    }
    loop_free(w->loop);
    tls_judge_clear(&w->judge);
    tls_memory_free(w->judge.memory);
    tls_ciphers_free(w->judge.ciphers);
    policy_free(w->policy);
    exchange_spares_free(w);
    cs_buf_free(&w->scratch);
    cs_buf_free(&w->lines);
}
