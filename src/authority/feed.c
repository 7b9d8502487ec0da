/* The authority's end of the feed: a thread that tells every connected gateway what is revoked, as it is committed.
 * It waits for nobody: a gateway that does not read holds up neither the others nor, for long, itself. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "authority/authority_priv.h"
#include "ipc/feed.h"
#include "report/log.h"

enum { PEERS_MAX = 64, IN_MAX = 128 * 1024, OUT_MAX = 1024 * 1024, CHUNK = 4096 /* entries read at a time */ };
#define STALL_MAX (10 * CS_SEC) /* a gateway that takes nothing for so long is cut off: it connects anew */
#define WATCH_AGAIN (CS_SEC / 2)
#define ADMIT_AGAIN CS_SEC /* after a failure to accept, such as for want of descriptors */

typedef struct peer {
    int fd; /* -1: free */
    bool greeted;
    bool news;       /* there may be entries after `sent`, or it is time for a heartbeat */
    uint64_t sent;   /* sequence up to which everything is in out, or gone */
    size_t chunk;    /* entries of the reading under way */
    cs_time moved;   /* monotonic: when it last took something */
    uint64_t keys;   /* the newest ticket key that it was told; 0: none */
    cs_time beat_at; /* monotonic: when it is to hear from us again */
    cs_buf in, out;
} peer;

typedef struct hub {
    authority *a;
    int listen_fd, stop_fd;
    cs_time admit_at; /* monotonic: not before */
    cs_time watch_at; /* monotonic: not before, while the database is away */
    peer peers[PEERS_MAX];
} hub;

static void drop(peer *p) {
    (void)close(p->fd);
    cs_buf_free(&p->in);
    cs_buf_free(&p->out);
    *p = (peer){.fd = -1};
}

/* CS_AGAIN when the chunk is full: the rest is read when this one has gone. */
static cs_status put_entry(void *cls, const store_revocation *r, cs_err *err) {
    peer *p = cls;
    if (p->chunk == CHUNK) return CS_AGAIN;
    feed_entry e = {.sequence = r->sequence, .serial = r->serial, .at = r->at, .reason = r->reason};
    memcpy(e.issuer, r->issuer.p, sizeof e.issuer);
    if (!feed_put(&p->out, &e)) return cs_buf_ok(&p->out, "the revocation feed", err);
    p->sent = r->sequence;
    p->chunk++;
    return CS_OK;
}

/* All that are alive, when there is a new one among them. */
static cs_status put_keys(authority *a, peer *p, cs_err *err) {
    cs_time made = 0;
    uint64_t newest = 0;
    CS_SCOPED(cs_buf) keys = cs_buf_secret((size_t)16 * STORE_TICKET_KEY);
    if (!tickets_wanted(a)) return CS_OK;
    TRY(store_ticket_newest(a->feed, &made, &newest, err));
    if (newest == p->keys) return CS_OK;
    TRY(store_ticket_keys(a->feed, cs_now(a->clock) - TICKETS_OPEN, &keys, err));
    p->keys = newest;
    if (keys.n > 0) ipc_put(&p->out, FEED_TICKET_KEYS, cs_buf_view(&keys));
    return CS_OK;
}

/* The next chunk; after the last one SYNCED. */
static cs_status refill(authority *a, peer *p, cs_err *err) {
    p->chunk = 0;
    cs_status status = put_keys(a, p, err);
    if (status == CS_OK) status = store_feed_after(a->feed, p->sent, put_entry, p, err);
    store_settle(a->feed);
    if (status != CS_OK) return status == CS_AGAIN ? CS_OK : status; /* again: there is more */
    p->news = false;
    p->beat_at = cs_mono(a->clock) + FEED_HEARTBEAT;
    size_t mark = ipc_open(&p->out, FEED_SYNCED);
    cs_buf_add_u64(&p->out, p->sent);
    ipc_close(&p->out, mark);
    return cs_buf_ok(&p->out, "the revocation feed", err);
}

/* As much as it takes now. */
static cs_status push(authority *a, peer *p, cs_err *err) {
    for (;;) {
        if (p->out.n == 0 && p->news) {
            p->moved = cs_mono(a->clock);
            TRY(refill(a, p, err));
        }
        if (p->out.n == 0) return CS_OK;
        cs_status status = ipc_push(p->fd, &p->out, CS_R_NETWORK_FAILED, err);
        if (status == CS_AGAIN) break;
        TRY(status);
        p->moved = cs_mono(a->clock);
    }
    if (cs_mono(a->clock) - p->moved < STALL_MAX) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_LIMIT_REACHED, "a gateway has read nothing for %d s",
                   (int)(STALL_MAX / CS_SEC));
}

static cs_status greeted(authority *a, peer *p, cs_view payload, cs_err *err) {
    cs_rd r = cs_rd_of(payload);
    uint64_t knows = cs_rd_u64(&r), last = 0;
    if (!cs_rd_ended(&r)) return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "HELLO of %zu bytes", payload.n);
    TRY(store_feed_last(a->feed, &last, err));
    p->greeted = p->news = true;
    p->sent = knows <= last ? knows : 0; /* it knows more than we do: another authority's past */
    p->moved = cs_mono(a->clock);
    if (p->sent == 0) ipc_put(&p->out, FEED_RESET, (cs_view){NULL, 0});
    return cs_buf_ok(&p->out, "the revocation feed", err);
}

static cs_status hear(authority *a, peer *p, cs_err *err) {
    cs_status status = ipc_fill(p->fd, &p->in, CS_R_NETWORK_FAILED, err);
    while (status == CS_OK) {
        ipc_frame f;
        size_t used = 0;
        status = ipc_take(cs_buf_view(&p->in), feed_from_gateway, &f, &used, err);
        if (status != CS_OK) break;
        status = greeted(a, p, f.payload, err);
        cs_buf_consume(&p->in, used);
    }
    return status == CS_AGAIN ? CS_OK : status;
}

static void admit(hub *h) {
    cs_err err;
    int fd = -1;
    cs_status status = ipc_accept(h->listen_fd, &fd, &err);
    if (status != CS_OK) {
        if (status == CS_FAILED) h->admit_at = cs_mono(h->a->clock) + ADMIT_AGAIN;
        if (status != CS_AGAIN) log_failure(LOG_WARN, "feed-refused", &err);
        return;
    }
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (h->peers[i].fd >= 0) continue;
        h->peers[i] = (peer){.fd = fd, .in = cs_buf_of(IN_MAX), .out = cs_buf_secret(OUT_MAX)};
        return;
    }
    (void)close(fd);
}

static void serve(hub *h, peer *p, bool readable, bool news) {
    cs_err err;
    cs_status status = readable ? hear(h->a, p, &err) : CS_OK;
    if (p->greeted && (news || cs_mono(h->a->clock) >= p->beat_at)) p->news = true;
    if (status == CS_OK && p->greeted) status = push(h->a, p, &err);
    if (status == CS_OK) return;
    if (err.reason != CS_R_NETWORK_FAILED) log_failure(LOG_WARN, "feed-peer-cut-off", &err);
    drop(p);
}

/* The publisher too has something to look at. */
static void others_wrote(authority *a) {
    atomic_fetch_add(&a->changes, 1);
    crl_others_wrote(a);
}

/* What tells of the other nodes; -1: there are none, or the database is away and is asked for again in a while. */
static int watch(hub *h, cs_time *until, bool *news) {
    cs_time now = cs_mono(h->a->clock);
    if (!store_is_shared(h->a->feed)) return -1;
    if (now < h->watch_at) {
        if (h->watch_at < *until) *until = h->watch_at;
        return -1;
    }
    bool anew = false;
    int fd = store_watch(h->a->feed, &anew);
    h->watch_at = fd < 0 ? now + WATCH_AGAIN : 0;
    if (fd < 0 && h->watch_at < *until) *until = h->watch_at;
    if (fd < 0 || !(store_watched(h->a->feed) || anew)) return fd;
    others_wrote(h->a); /* a statement of ours has read it off the connection, or it came before we listened */
    *news = true;
    *until = now;
    return fd;
}

/* Waits; false when it is time to end. */
static bool turn(hub *h) {
    bool admits = cs_mono(h->a->clock) >= h->admit_at, news = false;
    struct pollfd p[PEERS_MAX + 4] = {{.fd = h->stop_fd, .events = POLLIN},
                                      {.fd = admits ? h->listen_fd : -1, .events = POLLIN},
                                      {.fd = h->a->feed_event, .events = POLLIN}};
    cs_time until = cs_mono(h->a->clock) + FEED_HEARTBEAT;
    for (size_t i = 0; i < PEERS_MAX; i++) {
        const peer *q = &h->peers[i];
        p[i + 3] = (struct pollfd){.fd = q->fd, .events = (short)(POLLIN | (q->out.n > 0 ? POLLOUT : 0))};
        if (q->fd >= 0 && q->greeted && q->out.n == 0 && q->beat_at < until) until = q->beat_at;
    }
    p[PEERS_MAX + 3] = (struct pollfd){.fd = watch(h, &until, &news), .events = POLLIN};
    cs_time wait = until - cs_mono(h->a->clock);
    if (poll(p, PEERS_MAX + 4, wait > 0 ? (int)(wait / 1000) + 1 : 0) < 0 && errno != EINTR) return false;
    if (p[0].revents != 0) return false;
    uint64_t ignored;
    if (p[2].revents != 0 && read(h->a->feed_event, &ignored, sizeof ignored) > 0) news = true;
    if (p[PEERS_MAX + 3].revents != 0 && store_watched(h->a->feed)) {
        others_wrote(h->a);
        news = true;
    }
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (h->peers[i].fd >= 0) serve(h, &h->peers[i], (p[i + 3].revents & (POLLIN | POLLHUP | POLLERR)) != 0, news);
    if (p[1].revents != 0) admit(h);
    return true;
}

void authority_feed_serve(authority *a, int listen_fd, int stop_fd) {
    hub h = {.a = a, .listen_fd = listen_fd, .stop_fd = stop_fd};
    for (size_t i = 0; i < PEERS_MAX; i++) h.peers[i].fd = -1;
    while (turn(&h)) continue;
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (h.peers[i].fd >= 0) drop(&h.peers[i]);
}
