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
#include "http/h2.h"
#include "http/message.h"
#include "http/websocket.h"
#include "io/loop.h"
#include "io/net.h"
#include "report/log.h"
#include "report/metrics.h"

enum {
    GATE_FLOW_HIGH = 256 * 1024, /* a side stops being read when this much waits for the other */
    GATE_FLOW_MAX = 2 * 1024 * 1024,
    GATE_READ = 32 * 1024,
    GATE_BULK = 64 * 1024, /* read at once from a socket that has much: what goes on from there is still in the cache */
    GATE_POOL_IDLE =
        1024,            /* idle connections to one upstream, a thread: as many as HTTP/2's streams may want at once */
    GATE_POOL_KEPT = 64, /* of those, kept though nobody has wanted them lately */
    GATE_POOLS = 64,
    GATE_ADDRESS_SLOTS = 1 << 16,
    GATE_THREADS_MAX = 64,
    GATE_SESSIONS = 20480,
    GATE_FLOW_LOW = 16 * 1024, /* the same, of one upstream's connection for one of many streams */
    WIRE_RECORD = 16 * 1024,   /* plaintext of one TLS record */
    GATE_ACCEPT_BATCH = 64,
    GATE_BODY_GRACE = 10,  /* seconds that a client may take before limits.body_rate counts */
    GATE_SHED_OVER = 1024, /* waiting connections beyond which new ones are let go unserved */
    GATE_SHED_TO = 512,
    GATE_LISTENERS_MAX = GATE_DOORS_MAX + 2,
};

/* A buffer that is read from its front without moving what is left. */
typedef struct flow {
    cs_buf b;
    size_t at;
} flow;
static inline cs_view flow_view(const flow *f) {
    return f->b.p != NULL ? cs_view_of(f->b.p + f->at, f->b.n - f->at) : cs_view_of(NULL, 0);
}
static inline size_t flow_size(const flow *f) {
    return f->b.n - f->at;
}
void flow_eat(flow *f, size_t n);
bool flow_add(flow *f, cs_view v);
uint8_t *flow_room(flow *f, size_t n);
void flow_free(flow *f);

/* The octets of one socket; the watch on it is whoever's has the wire. */
typedef struct wire {
    int fd;
    size_t high;   /* `in` beyond it: the socket is left alone */
    tls_conn *tls; /* NULL: plain */
    flow in, out;  /* in the clear; TLS has its own, of what is encrypted */
    bool clear;    /* TLS has not begun yet */
    bool shaking;  /* TLS is not established yet: what is written waits */
    bool eof;      /* the peer says no more */
    bool clean_eof;
    bool broken;   /* nothing can be said to the peer */
    bool shut;     /* nothing more comes from the socket: not asked again */
    bool much;     /* the last read filled what it was given */
    cs_reason why; /* of what TLS refused; CS_R_NONE: nothing */
    char *said;    /* its detail, or NULL */
} wire;
void wire_init(wire *w, int fd, tls_conn *take_tls);
void wire_free(wire *w);                /* not the descriptor */
void wire_fill(wire *w);                /* what the socket has */
bool wire_decrypt(wire *w);             /* into `in`, within bounds; true: something came */
bool wire_write(wire *w, cs_view data); /* false: broken */
void wire_end(wire *w);                 /* close_notify, after what was written */
void wire_alert(wire *w, cs_reason r);  /* that the peer is cut off, and why; what the socket takes of it */
void wire_flush(wire *w);
size_t wire_pending(const wire *w); /* not taken by the socket yet */
void wire_idle(wire *w);            /* gives buffers back */

typedef struct worker worker;
typedef struct conn conn;
typedef struct upconn upconn;
typedef struct exchange exchange;
typedef struct probe probe;

/* One connection to a server of an upstream. */
struct upconn {
    worker *w;
    upconn *next;        /* in the pool */
    gate_server *server; /* of a policy that lives as long as this is pooled or somebody's */
    uint64_t generation; /* the worker's, when it was made */
    exchange *owner;     /* HTTP/1, streams: whose it is; NULL: idle. HTTP/2: the first of its riders */
    http2 *h2;           /* NULL: not HTTP/2 */
    loop_watch *watch;
    loop_timer timer; /* until it is connected */
    loop_task reap;
    wire wire;
    bool reached;   /* TCP */
    bool connected; /* TLS too, when it has it */
    bool asks;      /* STARTTLS: was asked for, and is not answered */
    bool greeted;
    bool reused, dead, pooled;
    bool failed;  /* it takes no more */
    bool leaving; /* HTTP/2: takes no new requests */
    bool settled; /* HTTP/2: its SETTINGS have come */
    size_t scanned;
};

/* One request and its response, or one stream. */
struct exchange {
    conn *c;
    exchange *prev, *next;        /* of an HTTP/2 connection */
    exchange *ready;              /* next in the connection's list of those that can go on */
    exchange *rider, *rider_prev; /* next on the upstream's HTTP/2 connection */
    worker *w;
    loop_task reap;
    loop_timer timer; /* HTTP/2 */
    policy *policy;   /* counted; NULL: none yet */
    int32_t id;       /* HTTP/2; 0: the connection's own */
    bool is_ready, over;
    http_method method;
    bool http10, keep_alive, upgrade, authority, stream, trailers_welcome;
    http_framing framing; /* of the request */
    http_body body;
    flow asked;    /* HTTP/2: head, then body, from the client */
    size_t unread; /* of that body: what the connection's window waits for */
    bool asked_end, begun;
    cs_buf ask_trailers;
    cs_buf head; /* for the upstream; kept until the response begins: the request may have to be sent again */
    const gate_route *route;
    gate_group *group;
    upconn *up;
    exchange *queued_prev, *queued_next; /* of those that wait for the authority */
    bool queued, asking;                 /* asking: it has a place there */
    int32_t up_id;                       /* HTTP/2 */
    unsigned tried;                      /* servers that could not be reached */
    bool sent;                           /* octets of the body have gone */
    flow heads, got;                     /* HTTP/2 upstream: response heads as text, body */
    bool got_end, got_broken, got_refused;
    bool up_waits;                          /* HTTP/2 upstream: asked once its SETTINGS have come */
    bool tunnel;                            /* octets both ways from here on */
    bool told_up, told_client;              /* of a tunnel: that the other side says no more */
    char accept[HTTP_WEBSOCKET_ACCEPT + 1]; /* what answers the request's key; "": it has none */
    cs_buf reply_trailers;
    bool replied; /* the final response's head has gone to the client */
    http_reply_plan plan;
    http_body reply;
    bool up_keep;
    unsigned status;
    cs_time began;
    cs_time waits_since, waited; /* for the body, of a client that could send it; 0: does not wait */
    uint64_t octets_in, octets_out;
    char what[160]; /* method and path, for the log */
};

typedef enum conn_state {
    CONN_PREFACE, /* what is said in the clear before TLS */
    CONN_TLS,     /* handshake */
    CONN_HEAD,    /* HTTP/1: between requests, or within a head */
    CONN_RELAY,   /* HTTP/1: a request is under way */
    CONN_H2,      /* HTTP/2, until its end */
    CONN_TUNNEL,  /* octets both ways: a stream, or HTTP after 101 */
    CONN_LINGER,  /* all is said; waits until the peer has taken it */
    CONN_DEAD,
} conn_state;

struct conn {
    worker *w;
    conn *prev, *next;
    conn_state state;
    int role;           /* METRIC_LISTENER_* */
    const char *listen; /* the door's address; NULL: plain HTTP */
    loop_watch *watch;
    loop_timer timer;
    loop_task reap, again;
    wire wire;
    policy *policy; /* counted */
    const gate_site *site;
    bool head_timer, close_after, turning, yielded, slim;
    size_t scanned;
    net_addr peer;
    uint16_t slot; /* of its address in gate->addresses */
    cs_time began;
    cs_time cut_at; /* wall clock: revoked, and the authority's answer is under way; 0: not so */
    cs_kind kind;   /* of who */
    char *who;      /* NULL: not known, or nobody */
    cs_buf lines;   /* what tells the upstream, when it was asked for twice */
    exchange *x;    /* HTTP/1, streams; NULL: between requests */
    http2 *h2;
    exchange *exchanges, *ready, **ready_end;
    unsigned exchange_count;
    uint64_t requests;
};

typedef struct pool {
    uint64_t server;     /* gate_server.id */
    upconn *idle;        /* HTTP/2: those that take more requests */
    unsigned count, low; /* low: the fewest there were since it was last looked at, which nobody wanted */
} pool;

typedef struct listener {
    worker *w;
    int fd, role;
    const char *listen; /* gate.listens; NULL: plain HTTP */
    loop_watch *watch;
} listener;

/* What `countersign top` shows. */
enum { TOP_CONNS = 64, TOP_SLOW = 8 };
typedef struct top_conn {
    char who[100], kind[8], peer[64], site[64];
    char serial[2 * CS_SERIAL_MAX + 1]; /* of the client's certificate; "": it sent none */
    const char *protocol;
    cs_time since;
    uint64_t requests;
    unsigned streams;
} top_conn;
typedef struct top_slow {
    char who[100], what[160];
    cs_time took, at; /* took 0: none */
    unsigned status;
} top_slow;
typedef struct top_picture {
    cs_time at;
    unsigned count;
    top_conn conns[TOP_CONNS];
    top_slow slow[TOP_SLOW];
} top_picture;

struct worker {
    gate *g;
    unsigned index;
    pthread_t thread;
    bool started;
    loop *loop;
    metrics_slab *slab;
    policy *policy;
    uint64_t reloads;    /* the gate's, as far as this thread has followed */
    uint64_t generation; /* counts policies, so that an upstream's connection knows its own */
    tls_judge judge;
    conn *conns;
    size_t conn_count;
    pool pools[GATE_POOLS];
    probe *probes;
    unsigned pool_count;
    listener listeners[GATE_LISTENERS_MAX];
    bool draining;
    loop_timer drain_timer, sweep_timer, pool_timer;
    bool pools_watched;
    exchange *queue, *queue_end; /* queue.c */
    loop_task queue_task;
    bool queue_soon;
    unsigned asking;
    http_head head; /* scratch */
    cs_buf scratch, lines;
    exchange *spare; /* their buffers kept, for the next request of any HTTP/1 connection */
    unsigned spare_count;
    cs_time next_end;    /* no connection's certificate ends before it: until then nobody looks at them all */
    cs_time said_second; /* of refused connections, so many lines a second are enough */
    unsigned said;
    top_slow slow[TOP_SLOW];
    top_picture top; /* under the gate's lock */
    cs_time date_at;
    char date[HTTP_DATE_MAX];
};

typedef struct feed feed;
typedef struct control control;

struct gate {
    const conf_overrides *said;
    const cs_clock *clock;
    const cs_rng *rng;
    tls_tickets *tickets;
    uint8_t told_keys[TLS_TICKET_KEYS_MAX][TLS_TICKET_KEY]; /* by the authority */
    size_t told_count;
    bool shares;    /* its keys, with other processes; for life */
    int only;       /* the one connection there is, which is standard input's; -1: none */
    cs_err *failed; /* of that one's end; the lock guards it */
    metrics *metrics;
    unsigned worker_count;
    worker *workers;
    char *listens[GATE_DOORS_MAX]; /* addresses of doors that are open */
    unsigned listen_count, listener_count;
    loop *loop; /* the main thread's */
    feed *feed;
    control *control;
    loop_timer rotate_timer, follow_timer;
    cs_time moved_next;              /* when the name of a remote that is down may be asked again, monotonic */
    uint64_t stamp_done, stamp_seen; /* of the files that are followed */
    _Atomic int64_t looked_until;    /* somebody watches the top, monotonic */
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
    _Atomic uint64_t *rates;     /* of new connections, by the same hash: see accept.c */
    _Atomic uint64_t rate;       /* of all */
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
void worker_watch_over(worker *w);                      /* for certificates that end; after a connection came */
static inline void worker_ends(worker *w, cs_time at) { /* one that holds a connection open */
    if (at < w->next_end) w->next_end = at;
}

/* accept.c */
void conn_shed(listener *l); /* when too many wait */
void conn_accept(const listener *l, int fd, const net_addr *peer);

/* conn.c */
void conn_event(void *data, unsigned events);
void conn_deadline(void *data);
void conn_turn(conn *c);
void conn_soon(conn *c);  /* its turn, after this callback */
void conn_close(conn *c); /* at once; it is freed later in this turn of the loop */
void conn_drain(conn *c);
void conn_finish(conn *c); /* no more requests: flush, then end in order */
void conn_policy(conn *c, policy *p);
void conn_revset(conn *c, const cs_revset *set);
void conn_expire(conn *c, cs_time now); /* ends it when its certificate has ended, else tells when */
void conn_cut(conn *c, const cs_err *err);

/* conn_h2.c: HTTP/2 to clients */
cs_status conn_h2_start(conn *c, cs_err *err);
bool conn_h2_step(conn *c); /* true when anything moved */
void conn_h2_drain(conn *c);
void conn_mark(exchange *x);  /* it can go on, in the connection's next turn */
void conn_ready(exchange *x); /* likewise, which is soon */

/* exchange.c */
void exchange_begin(exchange *x, conn *c); /* zeroed but for its place */
exchange *exchange_new(conn *c);           /* HTTP/1, streams: c->x, begun; NULL: no memory, the wire is broken */
void exchange_over(exchange *x); /* what it holds is given back; it is freed later in this turn. NULL is fine */
void exchange_spares_free(worker *w);
/* Counted and logged. */
void exchange_done(exchange *x);

/* request.c: a head that has come, up to the upstream. Moves the connection's state. CS_AGAIN: not all there. */
cs_status request_begin(conn *c);
void request_begin_h2(exchange *x);
/* Would the connection's site, as it is now, let it pass? */
CS_MUST_USE cs_status request_again(const exchange *x, cs_err *err);
/* doors.c: the authority's paths, on the plain listener and on a site. *ret: the authority answers it. Refuses who
 * lacks a good certificate everywhere else. */
CS_MUST_USE cs_status doors_plain(const conf *c, const http_head *h, cs_err *err);
CS_MUST_USE cs_status doors_tls(const conn *c, const http_head *h, bool *ret, cs_err *err);
/* An answer of our own; ends the exchange. */
void request_refuse(exchange *x, const cs_err *err);

/* client.c: an exchange's side to the client, HTTP/1 or HTTP/2 */
/* The next piece of the request's body; x->body.done: that was all. CS_AGAIN. */
cs_status client_read(exchange *x, size_t *ret_used, cs_view *ret_data, cs_err *err);
void client_eat(exchange *x, size_t used);
/* Of a tunnel: what has come; is that all; no more goes there. */
cs_view client_octets(const exchange *x);
bool client_over(const exchange *x);
void client_shut(exchange *x);
bool client_gone(const exchange *x); /* nothing more comes */
bool client_room(const exchange *x);
void client_head(exchange *x, const http_head *h);
void client_interim(exchange *x, const http_head *h);
/* The head alone, as it is; true: it has gone. */
bool client_send_head(exchange *x, const http_head *h, const http_reply_plan *plan, bool end);
void client_write(exchange *x, cs_view data);
void client_end(exchange *x);
void client_cut(exchange *x);                                 /* it must not take half an answer for a whole one */
void client_answer(exchange *x, cs_view message, bool close); /* a whole response in HTTP/1's form */

/* relay.c: the middle. True when anything moved. */
bool relay_pump(exchange *x);
void relay_start(exchange *x); /* now, or when the authority has room */
void relay_go(exchange *x);
void relay_failed(exchange *x, cs_reason reason, const char *why);
void relay_unreachable(exchange *x, const char *why); /* the upstream's connection was never made */

/* queue.c: for the authority, which takes CS_AUTHORITY_CONNECTIONS at one time. True: x waits, and relay_go comes
 * later.
 */
bool queue_wait(exchange *x);
void queue_leave(exchange *x); /* it gives up its place there, or in the queue */

/* stream.c: octets both ways, each direction ended for itself */
void stream_start(conn *c);
void stream_connect(exchange *x);
void stream_failed(conn *c, const cs_err *err);
bool stream_pump(exchange *x);
/* HTTP becomes one: the upstream agreed to. h: its answer; changed */
void stream_switch(exchange *x, http_head *h);
bool stream_allowed(const gate_site *site, const conn *c); /* is it one for streams, and for that client? */

/* preface.c: true when anything moved */
bool preface_step(conn *c);
/* The other way round: TLS is asked of an upstream. CS_AGAIN: its answer has not come. */
cs_status preface_ask(upconn *u, cs_err *err);

/* proxy.c: PROXY protocol version 2, with who the client is; false when it does not fit */
bool proxy_header_add(const conn *c, cs_buf *out);

/* upstream.c: connections to upstreams */
/* For x->group; fresh: none of the pool. Sets x->up. */
cs_status upstream_get(exchange *x, bool fresh, cs_err *err);
void upstream_put(upconn *u); /* idle again */
void upstream_close(upconn *u);
void upstream_flush(upconn *u);
void upstream_interest(upconn *u, bool read);
void upstream_close_idle(worker *w);
/* Whether it serves, as was just seen. down: how long it is passed over; 0: by how often it failed. Said in the log
 * when it changes. */
void upstream_mark(const worker *w, gate_server *s, bool good, cs_time down, const char *why);
static inline bool upstream_eof(const upconn *u) {
    return u->wire.eof || u->wire.broken;
}

/* upstream_io.c: an exchange's side to its upstream, HTTP/1 or HTTP/2 */
cs_status up_ask(exchange *x, cs_err *err); /* x->head; sets x->up_waits when it cannot be asked yet */
bool up_settled(const exchange *x);
bool up_room(const exchange *x);
void up_write(exchange *x, cs_view data);
void up_end(exchange *x);
cs_status up_head(exchange *x, http_head *h, cs_err *err);
void up_head_eat(exchange *x, size_t n);
cs_status up_read(exchange *x, size_t *ret_used, cs_view *ret_data, cs_err *err); /* x->reply.done: that was all */
void up_eat(exchange *x, size_t used);
cs_view up_octets(exchange *x);        /* of a tunnel: what has come */
void up_shut(exchange *x);             /* of a tunnel: no more goes there */
bool up_over(const exchange *x);       /* nothing more comes */
bool up_untouched(const exchange *x);  /* it has not looked at the request, or may not have */
void up_drop(exchange *x, bool reuse); /* x lets go of it */
/* HTTP/2 */
cs_status up_h2_new(upconn *u, cs_err *err);
void up_h2_event(upconn *u);
void up_h2_lost(upconn *u, bool made, const char *why); /* all that ride on it */

/* health.c */
void health_start(worker *w); /* for its policy, instead of what was before */
void health_stop(worker *w);

/* say.c: events */
void say_server(const gate_server *s, bool up, const char *why);
void say_refused_connection(worker *w, const net_addr *peer, const cs_err *err);
void say_refused_handshake(conn *c, const cs_err *err);
void say_closed(conn *c, const cs_err *err);
void say_request(const exchange *x);
void say_stream(const exchange *x);
void say_refused_request(const exchange *x, const cs_err *err);

/* own.c: what the gateway answers itself */
void own_metrics(conn *c, const http_head *h);

/* feed.c */
cs_status feed_new(gate *g, const char *path, feed **ret, cs_err *err);
void feed_free(feed *f);
/* top.c */
void top_note(exchange *x); /* at its end: was it slow? */
void top_look(worker *w);   /* leaves a picture, if somebody looks */
void top_render(gate *g, cs_buf *b);

/* control.c */
cs_status control_new(gate *g, control **ret, cs_err *err); /* *ret is the caller's also on failure */
cs_status control_start(control *k, cs_err *err);
void control_free(control *k);

/* follow.c */
void follow_start(gate *g);

/* gate.c: the main thread's */
cs_status gate_reload(gate *g, cs_err *err);
void gate_ring(gate *g); /* all workers */
/* By a worker, when there is but one connection: it has ended; why it failed. */
void gate_over(gate *g);
void gate_failed(gate *g, const cs_err *err);
/* By the feed. */
void gate_revset(gate *g, cs_revset *take_set);
void gate_synced(gate *g);
void gate_ticket_keys(gate *g, cs_view keys); /* by the authority, one behind the other */

#endif
