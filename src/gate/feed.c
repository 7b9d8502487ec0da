/* The feed of revocations: which certificates are revoked, as it happens. Lives on the main thread's loop; gives whole
 * sets to the gate. A lost connection is made again; the authority then sends what is missing, or all. */
#include <stdlib.h>
#include <string.h>

#include "gate/gate_priv.h"
#include "ipc/feed.h"

enum { RETRY = 250 * 1000, ENTRIES_MAX = 4 * 1000 * 1000 };

typedef struct change {
    uint8_t issuer[32], serial[CS_SERIAL_MAX + 1], serial_n;
    cs_time at;
    int reason;
} change;

struct feed {
    gate *g;
    const char *path;
    loop_watch *watch;
    loop_timer timer;
    int fd;
    cs_buf in;
    uint64_t last; /* heard of */
    uint64_t held; /* in the set that is published: what is asked for after a new connection comes after it */
    bool reset;    /* what comes replaces what we have */
    change *changes;
    size_t count, room;
    bool said; /* that it cannot be reached */
};

static void on_timer(void *data);

static void lose(feed *f, const cs_err *err) {
    if (!f->said) log_failure(LOG_WARN, "feed-lost", err);
    f->said = true;
    loop_watch_close(f->watch);
    f->watch = NULL;
    cs_buf_clear(&f->in);
    f->count = 0;
    f->last = f->held;
    f->reset = false;
    metrics_set(metrics_slab_of(f->g->metrics, f->g->worker_count), METRIC_FEED_CONNECTED, 0, 0);
    loop_timer_set(f->g->loop, &f->timer, RETRY);
}

static cs_status note(feed *f, const feed_entry *e, cs_err *err) {
    if (e->serial.n > sizeof f->changes[0].serial)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "a serial of %zu octets", e->serial.n);
    if (f->count == f->room) {
        size_t room = f->room > 0 ? f->room * 2 : 64;
        if (room > ENTRIES_MAX) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s", "revocations of the feed");
        change *p = realloc(f->changes, room * sizeof *p);
        if (p == NULL) return CS_NOMEM_ERR(err);
        f->changes = p;
        f->room = room;
    }
    change *c = &f->changes[f->count++];
    *c = (change){.serial_n = (uint8_t)e->serial.n, .at = e->at, .reason = e->reason};
    memcpy(c->issuer, e->issuer, 32);
    memcpy(c->serial, e->serial.p, e->serial.n);
    if (e->sequence > f->last) f->last = e->sequence;
    return CS_OK;
}

/* What has been noted becomes a set of its own, or a change of the one that holds. */
static cs_status publish(feed *f, cs_err *err) {
    gate *g = f->g;
    CS_AUTO(cs_revset) set = NULL;
    if (f->count == 0 && !f->reset && g->revset != NULL) {
        f->held = f->last;
        return CS_OK;
    }
    cs_revoked *rows = calloc(f->count + 1, sizeof *rows);
    if (rows == NULL) return CS_NOMEM_ERR(err);
    for (size_t i = 0; i < f->count; i++) {
        const change *c = &f->changes[i];
        rows[i] = (cs_revoked){.serial = cs_view_of(c->serial, c->serial_n), .at = c->at, .reason = c->reason};
        memcpy(rows[i].issuer, c->issuer, 32);
    }
    cs_status s = cs_revset_apply(f->reset ? NULL : g->revset, rows, f->count, &set, err);
    free(rows);
    if (s != CS_OK) return s;
    metrics_slab *slab = metrics_slab_of(g->metrics, g->worker_count);
    metrics_add(slab, METRIC_REVOCATIONS, 0, (int64_t)f->count);
    metrics_set(slab, METRIC_REVOKED, 0, (int64_t)cs_revset_count(set));
    f->count = 0;
    f->held = f->last;
    f->reset = false;
    gate_revset(g, CS_TAKE(set));
    return CS_OK;
}

static cs_status take(feed *f, const ipc_frame *m, bool *synced, cs_err *err) {
    feed_entry e;
    switch (m->type) {
    case FEED_RESET:
        f->reset = true;
        f->count = 0;
        f->last = 0;
        return CS_OK;
    case FEED_REVOKED: TRY(feed_read(m->payload, &e, err)); return note(f, &e, err);
    case FEED_SYNCED: {
        cs_rd r = cs_rd_of(m->payload);
        uint64_t at = cs_rd_u64(&r);
        if (!cs_rd_ended(&r)) return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "%s", "FEED_SYNCED");
        if (at > f->last) f->last = at;
        *synced = true;
        return publish(f, err);
    }
    case FEED_TICKET_KEYS:
        if (m->payload.n == 0 || m->payload.n % TLS_TICKET_KEY != 0)
            return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "%s", "FEED_TICKET_KEYS");
        gate_ticket_keys(f->g, m->payload);
        return CS_OK;
    default: return cs_fail(err, CS_REFUSED, CS_R_WALL_VIOLATED, "message %u of the feed", m->type);
    }
}

static cs_status read_all(feed *f, cs_err *err) {
    bool synced = false;
    for (;;) {
        cs_status s = ipc_fill(f->fd, &f->in, CS_R_AUTHORITY_UNREACHABLE, err);
        if (s != CS_OK && s != CS_AGAIN) return s;
        size_t done = 0;
        for (;;) {
            ipc_frame m;
            size_t used = 0;
            cs_status t = ipc_take(cs_view_of(f->in.p + done, f->in.n - done), feed_from_authority, &m, &used, err);
            if (t == CS_AGAIN) break;
            if (t != CS_OK) return t;
            TRY(take(f, &m, &synced, err));
            done += used;
        }
        cs_buf_consume(&f->in, done);
        if (s == CS_AGAIN) break;
    }
    /* pushed ones count at once; those of a set that is still coming do not */
    if (!f->reset && f->count > 0 && f->g->revset != NULL) TRY(publish(f, err));
    if (synced) gate_synced(f->g);
    return CS_OK;
}

static void on_event(void *data, unsigned events) {
    feed *f = data;
    cs_err err;
    (void)events;
    if (read_all(f, &err) != CS_OK) lose(f, &err);
}

static cs_status dial(feed *f, cs_err *err) {
    CS_SCOPED(cs_buf) hello = cs_buf_of(64);
    TRY(ipc_connect(f->path, CS_R_AUTHORITY_UNREACHABLE, &f->fd, err));
    cs_status s = loop_watch_new(f->g->loop, f->fd, on_event, f, &f->watch, err);
    if (s != CS_OK) {
        net_close(f->fd);
        return s;
    }
    size_t mark = ipc_open(&hello, FEED_HELLO);
    (void)cs_buf_add_u64(&hello, f->last);
    ipc_close(&hello, mark);
    TRY(ipc_flush(f->fd, &hello, 100, CS_R_AUTHORITY_UNREACHABLE, err));
    loop_watch_set(f->watch, LOOP_READ);
    f->said = false;
    metrics_set(metrics_slab_of(f->g->metrics, f->g->worker_count), METRIC_FEED_CONNECTED, 0, 1);
    return CS_OK;
}

static void on_timer(void *data) {
    feed *f = data;
    cs_err err;
    if (dial(f, &err) != CS_OK) lose(f, &err);
}

cs_status feed_new(gate *g, const char *path, feed **ret, cs_err *err) {
    feed *f = calloc(1, sizeof *f);
    if (f == NULL) return CS_NOMEM_ERR(err);
    *f = (feed){.g = g, .path = strdup(path), .fd = -1, .in = cs_buf_secret(2 * CS_IPC_FRAME_MAX)};
    f->timer = (loop_timer){.cb = on_timer, .data = f};
    *ret = f;
    on_timer(f);
    return CS_OK;
}

void feed_free(feed *f) {
    if (f == NULL) return;
    loop_timer_clear(f->g->loop, &f->timer);
    loop_watch_close(f->watch);
    cs_buf_free(&f->in);
    free(f->changes);
    free((void *)(uintptr_t)f->path);
    free(f);
}
