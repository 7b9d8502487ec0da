/* Connections as a state machine over epoll: connect, handshake, send a GET, read the whole answer; then close (full,
 * resumed), ask again (keepalive) or stay (idle). A TLS 1.3 client is done before the server has looked at its
 * certificate: only an answer counts. */
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

typedef enum state { FREE, CONNECTING, SHAKING, SENDING, READING, PARKED } state;

typedef struct conn {
    load_run *run;
    state at;
    int fd;
    SSL *ssl;
    load_h2 *h2;
    SSL_SESSION *session; /* resume: what the next connection of this slot offers */
    long who;             /* resume: the identity that the session belongs to */
    uint64_t began;
    size_t have;        /* octets of the answer's head so far */
    long body_left;     /* -1 while the head is not whole */
    bool may_ask_again; /* the server keeps the connection */
    const void *request;
    int request_len;
    char head[4096];
} conn;

struct load_run {
    const load_options *o;
    const load_pki *pki;
    SSL_CTX *ctx;
    int epoll;
    conn *conns;
    long count, next_client, parked;
    char request[512];
    int request_len;
    uint8_t *asks; /* NULL: the request above, always */
    size_t asks_len, asks_at;
    bool counting, opening;
    double due; /* rate: connections that may begin now */
    uint64_t due_at;
    load_totals *totals;
};

static int keep_session(SSL *ssl, SSL_SESSION *s) {
    conn *c = SSL_get_app_data(ssl);
    if (c->run->o->mode != LOAD_RESUME) return 0;
    SSL_SESSION_free(c->session);
    c->session = s;
    return 1;
}

static SSL_CTX *new_ctx(const load_options *o) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL) die("SSL_CTX_new");
    SSL_CTX_set_min_proto_version(ctx, o->tls);
    SSL_CTX_set_max_proto_version(ctx, o->tls);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    if (o->mode == LOAD_H2) SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\2h2", 3);
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL); /* the cheapest client: its work is not what is measured */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, keep_session);
    return ctx;
}

static void read_asks(load_run *r, const char *path) {
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0) die("%s", path);
    r->asks_len = (size_t)ftell(f);
    rewind(f);
    r->asks = malloc(r->asks_len + 1);
    if (r->asks == NULL || fread(r->asks, 1, r->asks_len, f) != r->asks_len) die("%s", path);
    fclose(f);
}

/* False: all have been asked. */
static bool take_ask(load_run *r, conn *c) {
    uint32_t n;
    c->request = r->request;
    c->request_len = r->request_len;
    if (r->asks == NULL) return true;
    if (r->asks_at + sizeof n > r->asks_len) return false;
    memcpy(&n, r->asks + r->asks_at, sizeof n);
    c->request = r->asks + r->asks_at + sizeof n;
    c->request_len = (int)n;
    r->asks_at += sizeof n + n;
    return true;
}

load_run *run_new(const load_options *o, const load_pki *pki) {
    load_run *r = calloc(1, sizeof *r);
    if (r == NULL) die("memory");
    r->o = o;
    r->pki = pki;
    r->ctx = new_ctx(o);
    r->epoll = epoll_create1(EPOLL_CLOEXEC);
    r->count = o->mode == LOAD_IDLE ? o->connections : o->at_once;
    r->conns = calloc((size_t)r->count, sizeof *r->conns);
    if (r->conns == NULL) die("memory");
    if (o->asks != NULL) read_asks(r, o->asks);
    for (long i = 0; i < r->count; i++) r->conns[i] = (conn){.run = r, .fd = -1, .who = -1};
    r->request_len =
        snprintf(r->request, sizeof r->request, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: load\r\n%s\r\n", o->path,
                 o->name, o->mode == LOAD_FULL || o->mode == LOAD_RESUME ? "Connection: close\r\n" : "");
    return r;
}

static void end(conn *c) {
    SSL_free(c->ssl);
    c->ssl = NULL;
    h2_free(c->h2);
    c->h2 = NULL;
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->at = FREE;
}

static void failed(conn *c, const char *where) {
    load_totals *t = c->run->totals;
    unsigned long e = ERR_get_error();
    t->failed++;
    if (t->first_failure[0] == '\0')
        snprintf(t->first_failure, sizeof t->first_failure, "%s: %s", where,
                 e != 0 ? ERR_reason_error_string(e) : strerror(errno));
    ERR_clear_error();
    if (c->ssl != NULL) SSL_set_quiet_shutdown(c->ssl, 1);
    SSL_SESSION_free(c->session);
    c->session = NULL;
    end(c);
}

static void began(conn *c) {
    c->began = now_us();
    c->have = 0;
    c->body_left = -1;
    c->may_ask_again = true;
}

static void start(conn *c) {
    load_run *r = c->run;
    int one = 1;
    began(c);
    errno = 0;
    c->at = CONNECTING;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) return failed(c, "socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (const struct sockaddr *)&r->o->server, sizeof r->o->server) != 0 && errno != EINPROGRESS)
        return failed(c, "connect");
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP, .data.ptr = c};
    if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0) return failed(c, "epoll_ctl");
    c->ssl = SSL_new(r->ctx);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1) return failed(c, "SSL_new");
    SSL_set_app_data(c->ssl, c);
    SSL_set_connect_state(c->ssl);
    SSL_set_tlsext_host_name(c->ssl, r->o->name);
    if ((r->o->mode != LOAD_RESUME || c->who < 0) && r->asks == NULL) c->who = r->next_client++ % r->pki->count;
    if (r->asks != NULL) return;
    const load_client *who = &r->pki->clients[c->who];
    SSL_use_certificate(c->ssl, who->certificate);
    SSL_use_PrivateKey(c->ssl, who->key);
    SSL_add1_chain_cert(c->ssl, r->pki->issuing);
    if (c->session != NULL) SSL_set_session(c->ssl, c->session);
}

static void count_one(conn *c) {
    load_totals *t = c->run->totals;
    if (!c->run->counting) return;
    t->done++;
    t->resumed += SSL_session_reused(c->ssl);
    if (t->took_count == t->took_cap) {
        t->took_cap = t->took_cap == 0 ? 4096 : t->took_cap * 2;
        t->took = realloc(t->took, t->took_cap * sizeof *t->took);
        if (t->took == NULL) die("memory");
    }
    t->took[t->took_count++] = now_us() - c->began;
}

static void answered_h2(void *arg, uint64_t began) {
    conn *c = arg;
    c->began = began;
    count_one(c);
}

static int step_h2(conn *c) {
    static uint8_t some[16384];
    int n = SSL_read(c->ssl, some, sizeof some);
    if (n <= 0) return n;
    if (h2_take(c->h2, some, (size_t)n, answered_h2, c) != 0) {
        errno = EPROTO;
        return -2;
    }
    return h2_say(c->h2, c->ssl) > 0 ? n : -2;
}

/* The answer is whole. */
static void answered(conn *c) {
    load_mode mode = c->run->o->mode;
    count_one(c);
    if (mode == LOAD_IDLE) {
        c->at = PARKED;
        c->run->parked++;
    } else if (mode == LOAD_KEEPALIVE && c->may_ask_again) {
        began(c);
        c->at = SENDING;
    } else {
        SSL_shutdown(c->ssl);
        end(c);
    }
}

/* Takes the head in; false when it is none. */
static bool read_head(conn *c) {
    char *blank = memmem(c->head, c->have, "\r\n\r\n", 4);
    if (blank == NULL) return c->have < sizeof c->head - 1;
    c->head[c->have] = '\0';
    const char *length = strcasestr(c->head, "\r\ncontent-length:");
    if (strncmp(c->head, "HTTP/1.1 200", 12) != 0 || length == NULL) return false;
    c->body_left = atol(length + 17) - (long)(c->have - (size_t)(blank + 4 - c->head));
    if (strcasestr(c->head, "\r\nconnection: close") != NULL) c->may_ask_again = false;
    return c->body_left >= 0;
}

/* One step; 1: go on, 0: wait for the socket, -1: it failed. */
static int step(conn *c) {
    static char sink[65536];
    int n;
    switch (c->at) {
    case CONNECTING: c->at = SHAKING; return 1;
    case SHAKING:
        n = SSL_do_handshake(c->ssl);
        if (n == 1) c->at = SENDING;
        if (n == 1 && c->run->o->mode == LOAD_H2) c->h2 = h2_new(c->run->o);
        break;
    case SENDING:
        n = c->h2 != NULL ? h2_say(c->h2, c->ssl) : SSL_write(c->ssl, c->request, c->request_len);
        if (n > 0) c->at = READING;
        break;
    case READING:
        if (c->h2 != NULL) {
            n = step_h2(c);
            if (n == -2) return -1;
            break;
        }
        if (c->body_left < 0) {
            n = SSL_read(c->ssl, c->head + c->have, (int)(sizeof c->head - 1 - c->have));
            if (n > 0) {
                c->have += (size_t)n;
                if (!read_head(c)) return -1;
            }
        } else {
            n = SSL_read(c->ssl, sink, sizeof sink);
            if (n > 0) c->body_left -= n;
        }
        if (c->body_left == 0) answered(c);
        break;
    default: n = SSL_read(c->ssl, sink, sizeof sink); /* idle: nothing should come */
    }
    if (n > 0) return 1;
    int e = SSL_get_error(c->ssl, n);
    return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static void drive(conn *c) {
    static const char *const where[] = {"free", "connect", "handshake", "send", "read", "idle"};
    while (c->at != FREE) {
        ERR_clear_error();
        int went = step(c);
        if (went == 0) return;
        if (went < 0) {
            if (c->at == PARKED) c->run->parked--;
            failed(c, where[c->at]);
        }
    }
}

/* rate: whether one more may begin; what was missed while the client was busy is made up for, a tenth of a second of
 * it. */
static bool due(load_run *r) {
    uint64_t now = now_us();
    if (r->o->rate <= 0) return true;
    r->due += r->due_at == 0 ? 1 : (double)(now - r->due_at) / 1e6 * r->o->rate;
    if (r->due > r->o->rate / 10 + 1) r->due = r->o->rate / 10 + 1;
    r->due_at = now;
    if (r->due < 1) return false;
    r->due -= 1;
    return true;
}

/* idle opens no more than at_once at a time, and none again. */
static void start_free_ones(load_run *r, long *opened) {
    bool idle = r->o->mode == LOAD_IDLE;
    for (long i = idle ? *opened : 0; i < r->count; i++) {
        if (idle && *opened - r->parked - r->totals->failed >= r->o->at_once) return;
        if (r->conns[i].at != FREE) continue;
        if (!due(r) || !take_ask(r, &r->conns[i])) return;
        if (idle) ++*opened;
        start(&r->conns[i]);
        drive(&r->conns[i]);
    }
}

static void turn(load_run *r, long *opened, int wait_ms) {
    struct epoll_event ev[256];
    if (opened != NULL) start_free_ones(r, opened);
    int n = epoll_wait(r->epoll, ev, 256, wait_ms);
    for (int i = 0; i < n; i++) drive(ev[i].data.ptr);
}

static bool all_free(const load_run *r) {
    for (long i = 0; i < r->count; i++)
        if (r->conns[i].at != FREE) return false;
    return true;
}

void run_for(load_run *r, double seconds, bool count, load_totals *totals) {
    uint64_t until = now_us() + (uint64_t)(seconds * 1e6);
    long opened = 0;
    r->counting = count;
    r->totals = totals;
    while (now_us() < until) {
        turn(r, r->o->mode == LOAD_IDLE ? NULL : &opened, r->o->rate > 0 ? 1 : 20);
        if (r->o->rate <= 0 && totals->failed > 1000) return;
        if (r->asks != NULL && r->asks_at == r->asks_len && all_free(r)) return;
    }
}

long run_begun(const load_run *r) {
    return r->next_client;
}

bool run_open_all(load_run *r, load_totals *totals) {
    uint64_t until = now_us() + 60u * 1000000u;
    long opened = 0;
    r->totals = totals;
    while (r->parked < r->count && now_us() < until && totals->failed < 100) turn(r, &opened, 20);
    return r->parked == r->count;
}
