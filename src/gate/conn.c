/* A client's connection: octets in and out, the handshake, deadlines; what is done with requests is elsewhere. */
#include <stdlib.h>
#include <string.h>

#include "gate/gate_priv.h"

enum { LAST_ANSWER = 250 * 1000, LINGER_TIME = 2 * 1000 * 1000, SLIM_AFTER = 1000 * 1000, TURNS_MAX = 16 };

static void reap(void *data) {
    conn *c = data;
    if (c->yielded) { /* its other task stands in the queue too */
        c->yielded = false;
        loop_later(c->w->loop, &c->reap);
        return;
    }
    http2_free(c->h2);
    wire_free(&c->wire);
    policy_free(c->policy);
    cs_buf_free(&c->lines);
    free(c->who);
    free(c);
}

void conn_close(conn *c) {
    worker *w = c->w;
    if (c->state == CONN_DEAD) return;
    c->state = CONN_DEAD;
    exchange_over(c->x);
    while (c->exchanges != NULL) exchange_over(c->exchanges);
    loop_timer_clear(w->loop, &c->timer);
    loop_watch_close(c->watch);
    c->watch = NULL;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        w->conns = c->next;
    if (c->next != NULL) c->next->prev = c->prev;
    w->conn_count--;
    (void)atomic_fetch_sub(&w->g->connections, 1);
    (void)atomic_fetch_sub(&w->g->addresses[c->slot], 1);
    metrics_add(w->slab, METRIC_CONNECTIONS_OPEN, (unsigned)c->role, -1);
    c->reap = (loop_task){.cb = reap, .data = c};
    loop_later(w->loop, &c->reap);
    if (w->draining && w->conn_count == 0) loop_stop(w->loop);
    if (w->g->only >= 0) gate_over(w->g);
}

static void refuse_handshake(conn *c, const cs_err *err) {
    say_refused_handshake(c, err);
    conn_finish(c);
}

/* The site that the client meant, as the configuration has it now; NULL: gone. */
static tls_site *site_now(const conn *c, const policy *p) {
    const gate_door *door = policy_door(p, c->listen);
    return door != NULL ? tls_front_find(door->front, cs_view_str(tls_conn_sni(c->wire.tls))) : NULL;
}

static bool handshake(conn *c) {
    cs_err err;
    worker *w = c->w;
    cs_status s = tls_conn_handshake(c->wire.tls, &err);
    if (s == CS_AGAIN) return false;
    const tls_peer *peer = tls_conn_peer(c->wire.tls);
    if (peer->took > 0) metrics_time(w->slab, METRIC_VERIFY_SECONDS, peer->took);
    if (peer->remembered) metrics_count(w->slab, METRIC_VERDICTS_CACHED, 0);
    cs_reason not_resumed = tls_conn_not_resumed(c->wire.tls);
    if (not_resumed != CS_R_NONE) metrics_count(w->slab, METRIC_RESUMPTIONS_REFUSED, (unsigned)not_resumed);
    if (s != CS_OK) {
        refuse_handshake(c, &err);
        return true;
    }
    tls_site *site = site_now(c, w->policy);
    if (c->policy != w->policy) { /* trust was changed while we shook hands */
        s = site == NULL ? cs_fail(&err, CS_REFUSED, CS_R_SNI_UNKNOWN, "%s", "the site was removed")
                         : tls_conn_again(c->wire.tls, site, &w->judge, &err);
        if (s != CS_OK) {
            refuse_handshake(c, &err);
            return true;
        }
        policy_free(c->policy);
        c->policy = policy_ref(w->policy);
    } else {
        site = tls_conn_site(c->wire.tls);
    }
    c->site = tls_site_user(site);
    if (peer->leaf != NULL &&
        tls_conn_revoked(c->wire.tls, w->judge.revset)) { /* since its certificate was looked at */
        (void)cs_fail(&err, CS_REFUSED, CS_R_REVOKED, "%s", "while the handshake went on");
        refuse_handshake(c, &err);
        return true;
    }
    if (peer->leaf != NULL && !peer->vendor) { /* what a maker writes is nobody's name here */
        cs_identity who;
        cs_identity_of_cert(peer->leaf, &who);
        c->kind = who.kind;
        c->who = strdup(who.name);
        if (c->who == NULL) {
            (void)CS_NOMEM_ERR(&err);
            refuse_handshake(c, &err);
            return true;
        }
    }
    worker_ends(w, tls_conn_ends(c->wire.tls));
    unsigned kind = (tls_conn_is_13(c->wire.tls) ? METRIC_TLS13_FULL : METRIC_TLS12_FULL) + (peer->resumed ? 1U : 0U);
    metrics_count(w->slab, METRIC_HANDSHAKES, kind);
    metrics_time(w->slab, METRIC_HANDSHAKE_SECONDS, cs_mono(worker_clock(w)) - c->began);
    c->state = CONN_HEAD;
    c->head_timer = false;
    if (c->site->conf->protocol == CONF_TCP)
        stream_start(c);
    else if (cs_view_eq_str(tls_conn_alpn(c->wire.tls), "h2") && conn_h2_start(c, &err) != CS_OK)
        refuse_handshake(c, &err);
    return true;
}

void conn_finish(conn *c) {
    if (c->state == CONN_DEAD) return;
    exchange_over(c->x);
    while (c->exchanges != NULL) exchange_over(c->exchanges);
    c->state = CONN_LINGER;
    wire_end(&c->wire);
    loop_timer_set(c->w->loop, &c->timer, LINGER_TIME);
}

/* All was said: our side closes, and the peer's octets are dropped until its side does, since closing with unread
 * octets would make the kernel throw away what the peer has not read yet. */
static void linger(conn *c) {
    flow_eat(&c->wire.in, flow_size(&c->wire.in));
    if (c->wire.tls != NULL) tls_conn_discard(c->wire.tls);
    if (wire_pending(&c->wire) > 0 && !c->wire.broken) return;
    if (c->wire.shut || c->wire.broken)
        conn_close(c);
    else
        net_shutdown_write(c->wire.fd);
}

static bool step(conn *c) {
    bool moved = false;
    if (c->wire.tls != NULL && c->state > CONN_TLS && c->state != CONN_LINGER) moved = wire_decrypt(&c->wire);
    switch (c->state) {
    case CONN_PREFACE: return preface_step(c);
    case CONN_TLS: return handshake(c);
    case CONN_HEAD:
        if (flow_size(&c->wire.in) == 0) {
            if (c->wire.eof) conn_finish(c);
            return moved;
        }
        return request_begin(c) == CS_OK;
    case CONN_RELAY: return relay_pump(c->x) || moved;
    case CONN_H2: return conn_h2_step(c) || moved;
    case CONN_TUNNEL: return stream_pump(c->x) || moved;
    default: return false;
    }
}

static void set_deadline(conn *c) {
    const conf *limits = worker_conf(c->w);
    cs_time after = limits->limits.idle;
    switch (c->state) {
    case CONN_HEAD:
        if (flow_size(&c->wire.in) > 0) {
            if (c->head_timer) return; /* a slow head gets no more time for each octet */
            c->head_timer = true;
            after = limits->limits.header;
        } else {
            c->slim = false;
            if (after > SLIM_AFTER) after = SLIM_AFTER;
        }
        break;
    case CONN_RELAY:
        if ((c->x->body.done || c->x->queued) && wire_pending(&c->wire) == 0) after = limits->limits.upstream;
        break;
    case CONN_TUNNEL: after = limits->limits.stream; break;
    case CONN_H2:
        if (c->exchange_count > 0 && wire_pending(&c->wire) == 0) {
            loop_timer_clear(c->w->loop, &c->timer);
            return;
        }
        c->slim = false;
        if (c->exchange_count == 0 && wire_pending(&c->wire) == 0 && after > SLIM_AFTER) after = SLIM_AFTER;
        break;
    default: return;
    }
    loop_timer_set(c->w->loop, &c->timer, after);
}

static void set_interest(conn *c) {
    unsigned events = 0;
    bool full = c->state != CONN_LINGER && flow_size(&c->wire.in) >= GATE_FLOW_HIGH;
    if (!c->wire.shut && !full) events |= LOOP_READ;
    if (wire_pending(&c->wire) > 0) events |= LOOP_WRITE;
    loop_watch_set(c->watch, events);
    upconn *u = c->x != NULL ? c->x->up : NULL;
    if (u != NULL) upstream_interest(u, flow_size(&u->wire.in) < u->wire.high);
    for (exchange *x = c->exchanges; x != NULL; x = x->next)
        if (x->up != NULL) upstream_interest(x->up, flow_size(&x->up->wire.in) < x->up->wire.high);
}

static void on_again(void *data) {
    conn *c = data;
    c->yielded = false;
    conn_turn(c);
}

void conn_soon(conn *c) {
    if (c->turning || c->yielded || c->state == CONN_DEAD) return;
    c->yielded = true;
    c->again = (loop_task){.cb = on_again, .data = c};
    loop_later(c->w->loop, &c->again);
}

/* The driver: goes on until nothing moves. */
void conn_turn(conn *c) {
    if (c->turning || c->state == CONN_DEAD) return;
    c->turning = true;
    int left = TURNS_MAX;
    while (c->state != CONN_DEAD && !c->wire.broken && left > 0) {
        bool moved = step(c);
        size_t full = wire_pending(&c->wire);
        if (c->state != CONN_DEAD) wire_flush(&c->wire);
        if (moved)
            left--;
        else if (full < GATE_FLOW_HIGH || wire_pending(&c->wire) == full)
            break; /* else there is room now for what waited for it, and no event will tell */
    }
    if (c->state == CONN_LINGER) linger(c);
    c->turning = false;
    if (c->state == CONN_DEAD) return;
    if (c->wire.broken) {
        if (c->state <= CONN_TLS)
            say_refused_handshake(c, &(cs_err){.reason = CS_R_TLS_PEER_CLOSED, .detail = "connection reset"});
        conn_close(c);
        return;
    }
    set_deadline(c);
    set_interest(c);
    if (left == 0) conn_soon(c); /* others first */
}

void conn_event(void *data, unsigned events) {
    conn *c = data;
    if (c->state == CONN_DEAD) return;
    if ((events & LOOP_READ) != 0) wire_fill(&c->wire);
    if ((events & LOOP_WRITE) != 0) wire_flush(&c->wire);
    conn_turn(c);
}

/* First the buffers, then the connection. */
static void on_idle(conn *c) {
    cs_time idle = worker_conf(c->w)->limits.idle;
    if (!c->slim && idle > SLIM_AFTER) {
        c->slim = true;
        wire_idle(&c->wire);
        cs_buf_free(&c->lines); /* made anew by the next request */
        c->lines = cs_buf_of(64 * 1024);
        loop_timer_set(c->w->loop, &c->timer, idle - SLIM_AFTER);
        return;
    }
    if (c->h2 != NULL) conn_h2_drain(c);
    conn_finish(c);
    conn_turn(c);
}

void conn_deadline(void *data) {
    conn *c = data;
    cs_err err;
    switch (c->state) {
    case CONN_PREFACE:
    case CONN_TLS:
        (void)cs_fail(&err, CS_REFUSED, CS_R_HANDSHAKE_TIMEOUT, "%s", "");
        say_refused_handshake(c, &err);
        break;
    case CONN_HEAD:
        if (flow_size(&c->wire.in) == 0) {
            on_idle(c);
            return;
        }
        c->close_after = true;
        (void)cs_fail(&err, CS_REFUSED, CS_R_REQUEST_TIMEOUT, "%s", "the head was not complete in time");
        if (exchange_new(c) != NULL) request_refuse(c->x, &err);
        conn_turn(c);
        return;
    case CONN_H2:
        if (c->exchange_count > 0 || wire_pending(&c->wire) > 0) break; /* it takes nothing */
        on_idle(c);
        return;
    case CONN_RELAY:
        if (c->x->replied || wire_pending(&c->wire) > 0) break;
        if (c->x->body.done || c->x->queued)
            (void)cs_fail(&err, CS_FAILED, CS_R_UPSTREAM_TIMEOUT, "%s", c->x->group->name);
        else
            (void)cs_fail(&err, CS_REFUSED, CS_R_REQUEST_TIMEOUT, "%s", "the body was not complete in time");
        c->close_after = true;
        up_drop(c->x, false);
        request_refuse(c->x, &err);
        conn_turn(c);
        return;
    default: break;
    }
    conn_close(c);
}

void conn_drain(conn *c) {
    c->close_after = true;
    if (c->state == CONN_H2) {
        conn_h2_drain(c);
        conn_turn(c);
        return;
    }
    if (c->state != CONN_HEAD || flow_size(&c->wire.in) > 0) return;
    conn_finish(c);
    conn_turn(c);
}

void conn_cut(conn *c, const cs_err *err) {
    say_closed(c, err);
    if (c->state == CONN_H2) { /* as far as the socket takes it */
        http2_stop(c->h2);
        (void)conn_h2_step(c);
        wire_flush(&c->wire);
    }
    wire_alert(&c->wire, err->reason);
    conn_close(c);
}

static void cut_revoked(conn *c) {
    cs_err err;
    (void)cs_fail(&err, CS_REFUSED, CS_R_REVOKED, "%s", "while the connection was open");
    conn_cut(c, &err);
}

static bool asks_authority(const conn *c) {
    if (c->x != NULL) return c->x->authority;
    for (const exchange *x = c->exchanges; x != NULL; x = x->next)
        if (x->authority) return true;
    return false;
}

/* A renewal may revoke what it renews before its answer is here: that is waited for a little, and nothing new begins.
 */
void conn_revset(conn *c, const cs_revset *set) {
    if (c->wire.tls == NULL || c->state <= CONN_TLS || c->who == NULL || !tls_conn_revoked(c->wire.tls, set)) return;
    if (c->cut_at != 0) return;
    if (!asks_authority(c)) {
        cut_revoked(c);
        return;
    }
    c->cut_at = cs_now(worker_clock(c->w)) + LAST_ANSWER;
    worker_ends(c->w, c->cut_at);
    conn_drain(c);
}

void conn_expire(conn *c, cs_time now) {
    cs_err err;
    if (c->who == NULL || c->state <= CONN_TLS) return;
    if (c->cut_at != 0) {
        if (now >= c->cut_at)
            cut_revoked(c);
        else
            worker_ends(c->w, c->cut_at);
        return;
    }
    cs_time ends = tls_conn_ends(c->wire.tls);
    if (now <= ends) {
        worker_ends(c->w, ends);
        return;
    }
    (void)cs_fail(&err, CS_REFUSED, CS_R_CERTIFICATE_EXPIRED, "%s", "while the connection was open");
    conn_cut(c, &err);
}

/* What goes on was let in by routes; it may take hours. */
static void rejudge(conn *c) {
    cs_err err;
    for (exchange *x = c->x != NULL ? c->x : c->exchanges, *next; x != NULL; x = next) {
        next = x->next;
        if (request_again(x, &err) == CS_OK) continue;
        if (x->id == 0) {
            conn_cut(c, &err);
            return;
        }
        say_refused_request(x, &err);
        client_cut(x);
    }
    if (c->state == CONN_H2) conn_soon(c);
}

void conn_policy(conn *c, policy *p) {
    cs_err err;
    if (c->state <= CONN_TLS || c->state == CONN_LINGER) return; /* asked when the handshake is done */
    if (c->wire.tls != NULL) {
        tls_site *site = site_now(c, p);
        cs_status s = site == NULL ? cs_fail(&err, CS_REFUSED, CS_R_SNI_UNKNOWN, "%s", "the site was removed")
                                   : tls_conn_again(c->wire.tls, site, &c->w->judge, &err);
        const gate_site *now = s == CS_OK ? tls_site_user(site) : NULL;
        if (s == CS_OK && c->state == CONN_TUNNEL && c->x->stream && !stream_allowed(now, c))
            s = cs_fail(&err, CS_REFUSED, CS_R_IDENTITY_NOT_ALLOWED, "site %s", now->conf->name);
        if (s != CS_OK) {
            conn_cut(c, &err);
            return;
        }
        c->site = now;
        worker_ends(c->w, tls_conn_ends(c->wire.tls));
    } else if (c->site != NULL) {
        const gate_door *door = policy_door(p, c->listen);
        if (door == NULL || door->plain == NULL) {
            (void)cs_fail(&err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: the site was removed", c->listen);
            conn_cut(c, &err);
            return;
        }
        c->site = door->plain;
    }
    policy_free(c->policy); /* a request under way has its own */
    c->policy = policy_ref(p);
    if (c->wire.tls != NULL) rejudge(c);
}
