/* The authority's end of the feed: a thread that tells every connected gateway what is revoked, as it is committed. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "authority/authority_priv.h"
#include "ipc/feed.h"
#include "report/log.h"

enum { PEERS_MAX = 64, OUT_MAX = 256 * 1024 * 1024, SEND_WAIT_MS = 5000 };

typedef struct peer {
    int fd; /* -1: free */
    bool greeted;
    uint64_t sent; /* sequence up to which it knows everything */
    cs_buf in, out;
} peer;

static void drop(peer *p) {
    (void)close(p->fd);
    cs_buf_free(&p->in);
    cs_buf_free(&p->out);
    *p = (peer){.fd = -1};
}

static cs_status put_entry(void *cls, const store_revocation *r, cs_err *err) {
    peer *p = cls;
    feed_entry e = {.sequence = r->sequence, .serial = r->serial, .at = r->at, .reason = r->reason};
    memcpy(e.issuer, r->issuer.p, sizeof e.issuer);
    if (!feed_put(&p->out, &e)) return cs_buf_ok(&p->out, "the revocation feed", err);
    p->sent = r->sequence;
    return CS_OK;
}

static cs_status put_news(void *cls, store *st, cs_err *err) {
    peer *p = cls;
    TRY(store_feed_after(st, p->sent, put_entry, p, err));
    size_t mark = ipc_open(&p->out, FEED_SYNCED);
    cs_buf_add_u64(&p->out, p->sent);
    ipc_close(&p->out, mark);
    return CS_OK;
}

static cs_status tell(authority *a, peer *p, cs_err *err) {
    TRY(authority_read(a, put_news, p, err));
    return ipc_flush(p->fd, &p->out, SEND_WAIT_MS, CS_R_NETWORK_FAILED, err);
}

static cs_status last_sequence(void *cls, store *st, cs_err *err) {
    return store_feed_last(st, cls, err);
}

static cs_status greeted(authority *a, peer *p, cs_view payload, cs_err *err) {
    cs_rd r = cs_rd_of(payload);
    uint64_t knows = cs_rd_u64(&r), last = 0;
    if (!cs_rd_ended(&r)) return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "HELLO of %zu bytes", payload.n);
    TRY(authority_read(a, last_sequence, &last, err));
    p->greeted = true;
    p->sent = knows <= last ? knows : 0; /* it knows more than we do: another authority's past */
    if (p->sent == 0) ipc_put(&p->out, FEED_RESET, (cs_view){NULL, 0});
    return tell(a, p, err);
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

static void admit(int listen_fd, peer peers[]) {
    cs_err err;
    int fd = -1;
    cs_status status = ipc_accept(listen_fd, &fd, &err);
    if (status != CS_OK) {
        if (status != CS_AGAIN) log_failure(LOG_WARN, "feed-refused", &err);
        return;
    }
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (peers[i].fd >= 0) continue;
        peers[i] = (peer){.fd = fd, .in = cs_buf_of((size_t)128 * 1024), .out = cs_buf_of(OUT_MAX)};
        return;
    }
    (void)close(fd);
}

static void keep_or_drop(peer *p, cs_status status, const cs_err *err) {
    if (status == CS_OK) return;
    if (err->reason != CS_R_NETWORK_FAILED) log_failure(LOG_WARN, "feed-peer-cut-off", err);
    drop(p);
}

void authority_feed_serve(authority *a, int listen_fd, int stop_fd) {
    peer peers[PEERS_MAX];
    const int beat_ms = (int)(FEED_HEARTBEAT / 1000);
    for (size_t i = 0; i < PEERS_MAX; i++) peers[i] = (peer){.fd = -1};
    for (;;) {
        struct pollfd p[PEERS_MAX + 3] = {{.fd = stop_fd, .events = POLLIN},
                                          {.fd = listen_fd, .events = POLLIN},
                                          {.fd = a->feed_event, .events = POLLIN}};
        for (size_t i = 0; i < PEERS_MAX; i++) p[i + 3] = (struct pollfd){.fd = peers[i].fd, .events = POLLIN};
        int n = poll(p, PEERS_MAX + 3, beat_ms);
        if (n < 0 && errno != EINTR) break;
        if (p[0].revents != 0) break;
        cs_err err;
        bool news = n == 0 || p[2].revents != 0;
        uint64_t ignored;
        if (p[2].revents != 0) (void)!read(a->feed_event, &ignored, sizeof ignored);
        for (size_t i = 0; i < PEERS_MAX; i++) {
            if (peers[i].fd >= 0 && p[i + 3].revents != 0) keep_or_drop(&peers[i], hear(a, &peers[i], &err), &err);
            if (peers[i].fd >= 0 && news && peers[i].greeted) keep_or_drop(&peers[i], tell(a, &peers[i], &err), &err);
        }
        if (p[1].revents != 0) admit(listen_fd, peers);
    }
    for (size_t i = 0; i < PEERS_MAX; i++)
        if (peers[i].fd >= 0) drop(&peers[i]);
}
