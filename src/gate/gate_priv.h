/* gate/gate_priv.h - what the files of this room share: the gate, its workers, their connections.
 * Threads: a worker and all that hangs on it belong to the worker's thread. What threads share is in struct gate:
 * atomics, and a lock around the two pointers that are swapped. */
#ifndef CS_GATE_GATE_PRIV_H
#define CS_GATE_GATE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "gate/gate.h"
#include "gate/policy.h"
#include "http/body.h"
#include "http/filter.h"
#include "http/h1.h"
#include "http/message.h"
#include "io/loop.h"
#include "io/net.h"
#include "report/log.h"
#include "report/metrics.h"

enum {
    GATE_FLOW_HIGH = 256 * 1024, /* a side stops being read when this much waits for the other */
    GATE_FLOW_MAX = 2 * 1024 * 1024,
    GATE_READ = 32 * 1024,
    GATE_POOL_IDLE = 64, /* idle connections to one upstream, a thread */
    GATE_POOLS = 64,
    GATE_ADDRESS_SLOTS = 1 << 16,
    GATE_THREADS_MAX = 64,
    GATE_ACCEPT_BATCH = 64,
    GATE_LISTENERS_MAX = GATE_DOORS_MAX + 2,
};

/* A buffer that is read from its front without moving what is left. */
typedef struct flow {
    cs_buf b;
    size_t at;
} flow;
static inline cs_view flow_view(const flow *f) {
    return cs_view_of(f->b.p + f->at, f->b.n - f->at);
}
static inline size_t flow_size(const flow *f) {
    return f->b.n - f->at;
}
void flow_eat(flow *f, size_t n);
bool flow_add(flow *f, cs_view v);
uint8_t *flow_room(flow *f, size_t n);

typedef struct worker worker;
typedef struct conn conn;
typedef struct upconn upconn;

/* One connection to an upstream: a client's, or idle in the worker's pool. */
struct upconn {
    worker *w;
    upconn *next; /* in the pool */
    conn *owner;  /* NULL: idle */
    loop_watch *watch;
    loop_task reap;
    int fd;
    bool connected, eof, reused, dead;
    bool failed; /* it takes no more */
    bool shut;   /* it was told that no more comes */
    net_addr at;
    flow in, out;
    size_t scanned;
};

/* One request and its response. */
typedef struct exchange {
    http_method method;
    bool http10, keep_alive, upgrade, authority, stream;
    http_framing framing; /* of the request */
    http_body body;
    cs_buf head; /* for the upstream; kept until the response begins, since an idle connection may have died */
    gate_upstream upstream;
    upconn *up;
    bool replied; /* the final response's head has gone to the client */
    http_reply_plan plan;
    http_body reply;
    bool up_keep;
    unsigned status;
    cs_time began;
    uint64_t octets_in, octets_out;
    char what[160]; /* method and path, for the log */
} exchange;

typedef enum conn_state {
    CONN_PREFACE, /* what is said in the clear before TLS */
    CONN_TLS,     /* handshake */
    CONN_HEAD,    /* between requests, or within a head */
    CONN_RELAY,   /* a request is under way */
    CONN_TUNNEL,  /* octets both ways: a stream, or HTTP after 101 */
    CONN_LINGER,  /* all is said; waits until the peer has taken it */
    CONN_DEAD,
} conn_state;

struct conn {
    worker *w;
    conn *prev, *next;
    conn_state state;
    int role; /* METRIC_LISTENER_* */
    int fd;
    const char *listen; /* the door's address; NULL: plain HTTP */
    loop_watch *watch;
    loop_timer timer;
    loop_task reap, again;
    tls_conn *tls;  /* NULL: plain */
    policy *policy; /* counted */
    policy *before; /* that of the request under way, when a reload came in between; else NULL */
    const gate_site *site;
    bool eof, clean_eof, broken, shut, head_timer, close_after, turning, yielded, slim;
    bool said_close; /* our close_notify went out while the peer may go on */
    flow in, out;    /* out: plain connections only */
    size_t scanned;
    net_addr peer;
    uint16_t slot; /* of its address in gate->addresses */
    cs_time began;
    cs_identity who;
    bool known;   /* who is set */
    cs_buf lines; /* what tells the upstream; made at the first request */
    exchange x;
};

typedef struct pool {
    net_addr at;
    upconn *idle;
    unsigned count;
} pool;

typedef struct listener {
    worker *w;
    int fd, role;
    const char *listen; /* gate.listens; NULL: plain HTTP */
    loop_watch *watch;
} listener;

struct worker {
    gate *g;
    unsigned index;
    pthread_t thread;
    bool started;
    loop *loop;
    metrics_slab *slab;
    policy *policy;
    uint64_t reloads; /* the gate's, as far as this thread has followed */
    tls_judge judge;
    conn *conns;
    size_t conn_count;
    pool pools[GATE_POOLS];
    unsigned pool_count;
    listener listeners[GATE_LISTENERS_MAX];
    bool draining;
    loop_timer drain_timer, sweep_timer;
    http_head head; /* scratch */
    cs_time date_at;
    char date[HTTP_DATE_MAX];
};

typedef struct feed feed;

struct gate {
    const conf_overrides *said;
    const cs_clock *clock;
    const cs_rng *rng;
    tls_tickets *tickets;
    metrics *metrics;
    unsigned worker_count;
    worker *workers;
    char *listens[GATE_DOORS_MAX]; /* addresses of doors that are open */
    unsigned listen_count, listener_count;
    loop *loop; /* the main thread's */
    feed *feed;
    loop_timer rotate_timer;
    int notify;
    bool serving;
    pthread_mutex_t lock; /* policy, revset, reloads, said_reloads and the workers' reloads */
    policy *policy;
    uint64_t reloads, said_reloads; /* made; known to be in force in every thread */
    cs_revset *revset;
    _Atomic int64_t fresh_until; /* monotonic */
    atomic_bool draining;
    atomic_uint connections;
    uint64_t address_seed;
    _Atomic uint16_t *addresses; /* connections by a keyed hash of the address */
};

/* worker.c */
cs_status worker_start(worker *w, cs_err *err);
void worker_free(worker *w);
static inline const conf *worker_conf(const worker *w) {
    return w->policy->conf;
}
static inline cs_clock const *worker_clock(const worker *w) {
    return w->g->clock;
}
cs_view worker_date(worker *w);
void worker_watch_over(worker *w); /* for certificates that end; after a connection came */

/* conn.c */
void conn_accept(const listener *l, int fd, const net_addr *peer);
void conn_turn(conn *c);
void conn_close(conn *c); /* at once; it is freed later in this turn of the loop */
void conn_drain(conn *c);
/* Octets for the client; false (and c->broken) when there is no room or the peer is gone. */
bool conn_write(conn *c, cs_view data);
size_t conn_pending(const conn *c);
void conn_finish(conn *c); /* no more requests: flush, then end in order */
void conn_policy(conn *c, policy *p);
void conn_revset(conn *c, const cs_revset *set);
void conn_expire(conn *c, cs_time now); /* ends it when its certificate has ended */
void conn_cut(conn *c, const cs_err *err);

/* request.c: a head that has come, up to the upstream. Moves the connection's state. CS_AGAIN: not all there. */
cs_status request_begin(conn *c);
/* An answer of our own; ends the exchange. */
void request_refuse(conn *c, const cs_err *err);
void request_done(conn *c); /* counted and logged */

/* relay.c: true when anything moved. */
bool relay_pump(conn *c);
void relay_start(conn *c);
void relay_drop(conn *c);
void relay_failed(conn *c, const cs_err *err);

/* stream.c: octets both ways, each direction ended for itself */
void stream_start(conn *c);
void stream_failed(conn *c, const cs_err *err);
bool stream_pump(conn *c);
bool stream_allowed(const gate_site *site, const cs_identity *who); /* is it one for streams, and for him? */

/* preface.c: true when anything moved */
bool preface_step(conn *c);

/* proxy.c: PROXY protocol version 2, with who the client is; false when it does not fit */
bool proxy_header_add(const conn *c, cs_buf *out);

/* upstream.c */
cs_status upstream_get(worker *w, const gate_upstream *to, bool fresh, conn *owner, upconn **ret, cs_err *err);
void upstream_put(upconn *u); /* idle again */
void upstream_close(upconn *u);
void upstream_flush(upconn *u);
void upstream_interest(upconn *u, bool read);
void upstream_close_idle(worker *w);

/* say.c: events */
void say_refused_handshake(conn *c, const cs_err *err);
void say_closed(conn *c, const cs_err *err);
void say_request(conn *c);
void say_stream(conn *c);
void say_refused_request(conn *c, const cs_err *err);

/* own.c: what the gateway answers itself */
void own_metrics(conn *c, const http_head *h);

/* feed.c */
cs_status feed_new(gate *g, const char *path, feed **ret, cs_err *err);
void feed_free(feed *f);
/* gate.c: by the feed, on the main thread */
void gate_revset(gate *g, cs_revset *take_set);
void gate_synced(gate *g);

#endif
