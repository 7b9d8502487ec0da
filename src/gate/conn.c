/* A client's connection: octets in and out, the handshake, deadlines; what is done with requests is elsewhere. */
#include <stdlib.h>
#include <string.h>

#include "gate/gate_priv.h"

enum { LINGER_TIME = 2 * 1000 * 1000, SLIM_AFTER = 1000 * 1000, TURNS_MAX = 16 };

static void reap(void *data) {
    conn *c = data;
    if (c->yielded) { /* its other task stands in the queue too */
        c->yielded = false;
        loop_later(c->w->loop, &c->reap);
        return;
    }
    tls_conn_free(c->tls);
    policy_free(c->policy);
    policy_free(c->before);
    cs_buf_free(&c->in.b);
    cs_buf_free(&c->out.b);
    cs_buf_free(&c->lines);
    cs_buf_free(&c->x.head);
    free(c);
}

void conn_close(conn *c) {
    worker *w = c->w;
    if (c->state == CONN_DEAD) return;
    relay_drop(c);
    c->state = CONN_DEAD;
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
}

size_t conn_pending(const conn *c) {
    return c->tls != NULL ? tls_conn_out(c->tls).n : flow_size(&c->out);
}

bool conn_write(conn *c, cs_view data) {
    cs_err err;
    if (c->broken || c->state == CONN_DEAD) return false;
    bool ok = c->tls != NULL ? tls_conn_write(c->tls, data, &err) == CS_OK : flow_add(&c->out, data);
    if (!ok) c->broken = true;
    return ok;
}

static void flush(conn *c) {
    cs_err err;
    while (!c->broken && conn_pending(c) > 0) {
        size_t n = 0;
        cs_view v = c->tls != NULL ? tls_conn_out(c->tls) : flow_view(&c->out);
        cs_status s = net_send(c->fd, v.p, v.n, &n, &err);
        if (s == CS_AGAIN) return;
        if (s != CS_OK) {
            c->broken = true;
            return;
        }
        if (c->tls != NULL)
            tls_conn_sent(c->tls, n);
        else
            flow_eat(&c->out, n);
    }
}

/* Octets that were decrypted are kept within bounds; the rest stays as it came, and in the kernel. */
static bool decrypt(conn *c) {
    cs_err err;
    bool moved = false;
    while (!c->clean_eof && !c->broken && flow_size(&c->in) < GATE_FLOW_HIGH) {
        size_t n = 0;
        uint8_t *p = flow_room(&c->in, 16 * 1024);
        if (p == NULL) break;
        cs_status s = tls_conn_read(c->tls, p, 16 * 1024, &n, &err);
        if (s == CS_AGAIN) break;
        if (s == CS_OK && n > 0) {
            cs_buf_commit(&c->in.b, n);
            moved = true;
            continue;
        }
        c->eof = true;
        c->clean_eof = s == CS_OK;
        if (s != CS_OK) c->broken = true;
        return true;
    }
    return moved;
}

static void fill(conn *c) {
    cs_err err;
    size_t n = 0;
    bool tls = c->tls != NULL && c->state != CONN_PREFACE;
    uint8_t *p = tls ? tls_conn_room(c->tls, GATE_READ) : flow_room(&c->in, GATE_READ);
    if (p == NULL) return;
    cs_status s = net_recv(c->fd, p, GATE_READ, &n, &err);
    if (s == CS_AGAIN) return;
    if (s != CS_OK) {
        c->broken = true;
        n = 0;
    }
    if (tls) {
        if (n > 0)
            tls_conn_fed(c->tls, n);
        else
            tls_conn_eof(c->tls);
    } else if (n > 0) {
        cs_buf_commit(&c->in.b, n);
    } else {
        c->eof = c->clean_eof = true;
    }
    if (n == 0) c->shut = true; /* nothing more comes: not asked again */
}

static void refuse_handshake(conn *c, const cs_err *err) {
    say_refused_handshake(c, err);
    conn_finish(c);
}

/* The site that the client meant, as the configuration has it now; NULL: gone. */
static tls_site *site_now(const conn *c, const policy *p) {
    const gate_door *door = policy_door(p, c->listen);
    return door != NULL ? tls_front_find(door->front, cs_view_str(tls_conn_sni(c->tls))) : NULL;
}

static bool handshake(conn *c) {
    cs_err err;
    worker *w = c->w;
    cs_status s = tls_conn_handshake(c->tls, &err);
    if (s == CS_AGAIN) return false;
    const tls_peer *peer = tls_conn_peer(c->tls);
    if (peer->took > 0) metrics_time(w->slab, METRIC_VERIFY_SECONDS, peer->took);
    if (peer->remembered) metrics_count(w->slab, METRIC_VERDICTS_CACHED, 0);
    if (s != CS_OK) {
        refuse_handshake(c, &err);
        return true;
    }
    tls_site *site = site_now(c, w->policy);
    if (c->policy != w->policy) { /* trust was changed while we shook hands */
        s = site == NULL ? cs_fail(&err, CS_REFUSED, CS_R_SNI_UNKNOWN, "%s", "the site was removed")
                         : tls_conn_again(c->tls, site, &w->judge, &err);
        if (s != CS_OK) {
            refuse_handshake(c, &err);
            return true;
        }
        policy_free(c->policy);
        c->policy = policy_ref(w->policy);
    } else {
        site = tls_conn_site(c->tls);
    }
    c->site = tls_site_user(site);
    if (peer->leaf != NULL && tls_conn_revoked(c->tls, w->judge.revset)) { /* since its certificate was looked at */
        (void)cs_fail(&err, CS_REFUSED, CS_R_REVOKED, "%s", "while the handshake went on");
        refuse_handshake(c, &err);
        return true;
    }
    if (peer->leaf != NULL) {
        cs_identity_of_cert(peer->leaf, &c->who);
        c->known = true;
    }
    unsigned kind = (tls_conn_is_13(c->tls) ? METRIC_TLS13_FULL : METRIC_TLS12_FULL) + (peer->resumed ? 1U : 0U);
    metrics_count(w->slab, METRIC_HANDSHAKES, kind);
    metrics_time(w->slab, METRIC_HANDSHAKE_SECONDS, cs_mono(worker_clock(w)) - c->began);
    c->state = CONN_HEAD;
    c->head_timer = false;
    if (c->site->conf->protocol == CONF_TCP) stream_start(c);
    return true;
}

void conn_finish(conn *c) {
    if (c->state == CONN_DEAD) return;
    relay_drop(c);
    c->state = CONN_LINGER;
    if (c->tls != NULL) tls_conn_close(c->tls);
    loop_timer_set(c->w->loop, &c->timer, LINGER_TIME);
}

/* All was said: our side closes, and the peer's octets are dropped until its side does, since closing with unread
 * octets would make the kernel throw away what the peer has not read yet. */
static void linger(conn *c) {
    if (c->tls == NULL)
        flow_eat(&c->in, flow_size(&c->in));
    else
        tls_conn_discard(c->tls);
    if (conn_pending(c) > 0 && !c->broken) return;
    if (c->shut || c->broken)
        conn_close(c);
    else
        net_shutdown_write(c->fd);
}

static bool step(conn *c) {
    bool moved = false;
    if (c->tls != NULL && c->state > CONN_TLS && c->state != CONN_LINGER) moved = decrypt(c);
    switch (c->state) {
    case CONN_PREFACE: return preface_step(c);
    case CONN_TLS: return handshake(c);
    case CONN_HEAD:
        if (flow_size(&c->in) == 0) {
            if (c->eof) conn_finish(c);
            return moved;
        }
        return request_begin(c) == CS_OK;
    case CONN_RELAY: return relay_pump(c) || moved;
    case CONN_TUNNEL: return stream_pump(c) || moved;
    default: return false;
    }
}

static void set_deadline(conn *c) {
    const conf *limits = worker_conf(c->w);
    cs_time after = limits->limits.idle;
    switch (c->state) {
    case CONN_HEAD:
        if (flow_size(&c->in) > 0) {
            if (c->head_timer) return; /* a slow head gets no more time for each octet */
            c->head_timer = true;
            after = limits->limits.header;
        } else {
            c->slim = false;
            if (after > SLIM_AFTER) after = SLIM_AFTER;
        }
        break;
    case CONN_RELAY:
        if (c->x.body.done && conn_pending(c) == 0) after = limits->limits.upstream;
        break;
    case CONN_TUNNEL:
        after = c->x.up != NULL && !c->x.up->connected ? limits->limits.upstream : limits->limits.stream;
        break;
    default: return;
    }
    loop_timer_set(c->w->loop, &c->timer, after);
}

static void set_interest(conn *c) {
    unsigned events = 0;
    bool full = c->state != CONN_LINGER && flow_size(&c->in) >= GATE_FLOW_HIGH;
    if (!c->shut && !full) events |= LOOP_READ;
    if (conn_pending(c) > 0) events |= LOOP_WRITE;
    loop_watch_set(c->watch, events);
    if (c->x.up != NULL) upstream_interest(c->x.up, flow_size(&c->x.up->in) < GATE_FLOW_HIGH);
}

static void on_again(void *data) {
    conn *c = data;
    c->yielded = false;
    conn_turn(c);
}

/* A connection that has been idle for a moment holds no buffers. */
static void release(conn *c) {
    if (c->in.b.cap > 0) {
        cs_buf_free(&c->in.b);
        c->in = (flow){.b = cs_buf_of(GATE_FLOW_MAX)};
    }
    if (c->tls != NULL) tls_conn_idle(c->tls);
}

/* The driver: goes on until nothing moves. */
void conn_turn(conn *c) {
    if (c->turning || c->state == CONN_DEAD) return;
    c->turning = true;
    int left = TURNS_MAX;
    while (c->state != CONN_DEAD && !c->broken && left > 0) {
        bool moved = step(c);
        size_t full = conn_pending(c);
        if (c->state != CONN_DEAD) flush(c);
        if (moved)
            left--;
        else if (full < GATE_FLOW_HIGH || conn_pending(c) == full)
            break; /* else there is room now for what waited for it, and no event will tell */
    }
    if (c->state == CONN_LINGER) linger(c);
    c->turning = false;
    if (c->state == CONN_DEAD) return;
    if (c->broken) {
        if (c->state <= CONN_TLS)
            say_refused_handshake(c, &(cs_err){.reason = CS_R_TLS_PEER_CLOSED, .detail = "connection reset"});
        conn_close(c);
        return;
    }
    set_deadline(c);
    set_interest(c);
    if (left == 0 && !c->yielded) { /* others first */
        c->yielded = true;
        c->again = (loop_task){.cb = on_again, .data = c};
        loop_later(c->w->loop, &c->again);
    }
}

static void on_event(void *data, unsigned events) {
    conn *c = data;
    if (c->state == CONN_DEAD) return;
    if ((events & LOOP_READ) != 0 && !c->shut) fill(c);
    if ((events & LOOP_WRITE) != 0) flush(c);
    conn_turn(c);
}

/* First the buffers, then the connection. */
static void on_idle(conn *c) {
    cs_time idle = worker_conf(c->w)->limits.idle;
    if (!c->slim && idle > SLIM_AFTER) {
        c->slim = true;
        release(c);
        loop_timer_set(c->w->loop, &c->timer, idle - SLIM_AFTER);
        return;
    }
    conn_finish(c);
    conn_turn(c);
}

static void on_deadline(void *data) {
    conn *c = data;
    cs_err err;
    switch (c->state) {
    case CONN_PREFACE:
    case CONN_TLS:
        (void)cs_fail(&err, CS_REFUSED, CS_R_HANDSHAKE_TIMEOUT, "%s", "");
        say_refused_handshake(c, &err);
        break;
    case CONN_HEAD:
        if (flow_size(&c->in) == 0) {
            on_idle(c);
            return;
        }
        c->close_after = true;
        (void)cs_fail(&err, CS_REFUSED, CS_R_REQUEST_TIMEOUT, "%s", "the head was not complete in time");
        request_refuse(c, &err);
        conn_turn(c);
        return;
    case CONN_RELAY:
        if (c->x.replied || conn_pending(c) > 0) break;
        if (c->x.body.done)
            (void)cs_fail(&err, CS_FAILED, CS_R_UPSTREAM_TIMEOUT, "%s", c->x.upstream.text);
        else
            (void)cs_fail(&err, CS_REFUSED, CS_R_REQUEST_TIMEOUT, "%s", "the body was not complete in time");
        c->close_after = true;
        relay_drop(c);
        request_refuse(c, &err);
        conn_turn(c);
        return;
    default: break;
    }
    conn_close(c);
}

/* Which counter an address has: a keyed hash, so that nobody can choose to share another's. */
static uint16_t slot_of(const gate *g, const net_addr *a) {
    char text[NET_TEXT_MAX];
    uint64_t h = g->address_seed;
    for (const char *p = net_addr_text(a, false, text); *p != '\0'; p++) h = (h ^ (uint8_t)*p) * 0x100000001b3ULL;
    h ^= h >> 29;
    return (uint16_t)(h ^ (h >> 32) ^ (h >> 48));
}

static bool admit(worker *w, const net_addr *peer, uint16_t slot, cs_err *err) {
    const conf *limits = worker_conf(w);
    if (atomic_fetch_add(&w->g->connections, 1) >= limits->limits.connections && limits->limits.connections > 0) {
        (void)atomic_fetch_sub(&w->g->connections, 1);
        (void)cs_fail(err, CS_LIMIT, CS_R_TOO_MANY_CONNECTIONS, "limits.connections is %u", limits->limits.connections);
        return false;
    }
    unsigned most = limits->limits.connections_per_address;
    if (atomic_fetch_add(&w->g->addresses[slot], 1) < most || most == 0) return true;
    (void)atomic_fetch_sub(&w->g->addresses[slot], 1);
    (void)atomic_fetch_sub(&w->g->connections, 1);
    (void)cs_fail(err, CS_LIMIT, CS_R_TOO_MANY_CONNECTIONS, "limits.connections_per_address is %u", most);
    return false;
}

static cs_status make(const listener *l, int fd, conn **ret, cs_err *err) {
    worker *w = l->w;
    const gate_door *door = l->listen != NULL ? policy_door(w->policy, l->listen) : NULL;
    if (l->listen != NULL && door == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_SNI_UNKNOWN, "%s: no site is served here any more", l->listen);
    conn *c = calloc(1, sizeof *c);
    if (c == NULL) return CS_NOMEM_ERR(err);
    cs_status s = door != NULL ? tls_conn_new(door->front, &w->judge, &c->tls, err) : CS_OK;
    if (s == CS_OK) s = loop_watch_new(w->loop, fd, on_event, c, &c->watch, err);
    if (s != CS_OK) {
        tls_conn_free(c->tls);
        free(c);
        return s;
    }
    c->state = door == NULL ? CONN_HEAD : door->starttls != CONF_STARTTLS_NONE ? CONN_PREFACE : CONN_TLS;
    *ret = c;
    return CS_OK;
}

void conn_accept(const listener *l, int fd, const net_addr *peer) {
    cs_err err;
    worker *w = l->w;
    int role = l->role;
    conn *c = NULL;
    uint16_t slot = slot_of(w->g, peer);
    bool let = admit(w, peer, slot, &err);
    if (let && make(l, fd, &c, &err) != CS_OK) {
        (void)atomic_fetch_sub(&w->g->connections, 1);
        (void)atomic_fetch_sub(&w->g->addresses[slot], 1);
    }
    if (c == NULL) {
        char text[NET_TEXT_MAX];
        log_event e = log_begin(LOG_WARN, "connection-refused");
        log_fail(&e, &err);
        log_str(&e, "peer", net_addr_text(peer, true, text));
        log_end(&e);
        metrics_count(w->slab, METRIC_CONNECTIONS_REFUSED, (unsigned)err.reason);
        net_close(fd);
        return;
    }
    c->w = w, c->fd = fd, c->role = role, c->listen = l->listen, c->peer = *peer, c->slot = slot;
    c->policy = policy_ref(w->policy);
    c->began = cs_mono(worker_clock(w));
    c->in.b = cs_buf_of(GATE_FLOW_MAX);
    c->out.b = cs_buf_of(GATE_FLOW_MAX);
    c->lines = cs_buf_of(64 * 1024);
    c->timer = (loop_timer){.cb = on_deadline, .data = c};
    c->next = w->conns;
    if (w->conns != NULL) w->conns->prev = c;
    w->conns = c;
    w->conn_count++;
    worker_watch_over(w);
    metrics_count(w->slab, METRIC_CONNECTIONS, (unsigned)role);
    metrics_add(w->slab, METRIC_CONNECTIONS_OPEN, (unsigned)role, 1);
    loop_timer_set(w->loop, &c->timer, worker_conf(w)->limits.handshake);
    fill(c); /* the client's hello is often there already */
    conn_turn(c);
}

void conn_drain(conn *c) {
    c->close_after = true;
    if (c->state != CONN_HEAD || flow_size(&c->in) > 0) return;
    conn_finish(c);
    conn_turn(c);
}

void conn_cut(conn *c, const cs_err *err) {
    say_closed(c, err);
    conn_close(c);
}

void conn_revset(conn *c, const cs_revset *set) {
    cs_err err;
    if (c->tls == NULL || c->state <= CONN_TLS || !c->known || !tls_conn_revoked(c->tls, set)) return;
    (void)cs_fail(&err, CS_REFUSED, CS_R_REVOKED, "%s", "while the connection was open");
    conn_cut(c, &err);
}

void conn_expire(conn *c, cs_time now) {
    cs_err err;
    if (!c->known || c->state <= CONN_TLS || !tls_conn_expired(c->tls, now)) return;
    (void)cs_fail(&err, CS_REFUSED, CS_R_CERTIFICATE_EXPIRED, "%s", "while the connection was open");
    conn_cut(c, &err);
}

void conn_policy(conn *c, policy *p) {
    cs_err err;
    if (c->state <= CONN_TLS || c->state == CONN_LINGER) return; /* asked when the handshake is done */
    if (c->tls != NULL) {
        tls_site *site = site_now(c, p);
        cs_status s = site == NULL ? cs_fail(&err, CS_REFUSED, CS_R_SNI_UNKNOWN, "%s", "the site was removed")
                                   : tls_conn_again(c->tls, site, &c->w->judge, &err);
        const gate_site *now = s == CS_OK ? tls_site_user(site) : NULL;
        if (s == CS_OK && c->x.stream && !stream_allowed(now, c->known ? &c->who : NULL))
            s = cs_fail(&err, CS_REFUSED, CS_R_IDENTITY_NOT_ALLOWED, "site %s", now->conf->name);
        if (s != CS_OK) {
            conn_cut(c, &err);
            return;
        }
        c->site = now;
    }
    bool under_way = c->state == CONN_RELAY || c->state == CONN_TUNNEL; /* its upstream's name is in the old one */
    if (under_way && c->before == NULL)
        c->before = c->policy;
    else
        policy_free(c->policy);
    c->policy = policy_ref(p);
}
