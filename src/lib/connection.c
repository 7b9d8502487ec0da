/* A connection: a socket, TLS without I/O (tls/tls.h), and the loop between them, which waits or does not. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <arpa/inet.h>

#include "lib/lib_priv.h"

enum { ADDRESSES_MAX = 4, PIECE = 16 * 1024, PLAIN_MAX = 256 * 1024, HOST_MAX = 255 };

struct cs_connection {
    tls_dialer *dialer;
    char address[512], name[HOST_MAX + 1];
    net_addr at[ADDRESSES_MAX];
    unsigned count, next; /* addresses; the one that is tried next */
    int fd;
    tls_conn *tls;
    bool blocks, reached, established, eof;
    unsigned timeout; /* milliseconds; 0: none */
    cs_buf plain;     /* what came, opened */
    size_t plain_at;
    cs_certificate *peer;
    char alpn[256];
};

static cs_time now_ms(void) {
    return cs_mono(cs_clock_system()) / (CS_SEC / 1000);
}

static cs_status late(const cs_connection *c, cs_err *err) {
    return cs_fail(err, CS_FAILED, CS_R_NETWORK_FAILED, "%s: nothing within %u ms", c->address, c->timeout);
}

/* ---- made ---- */

static cs_status make(cs_client *client, const char *address, const char *name, cs_connection **ret, cs_err *err) {
    char url[520];
    CS_AUTO(cs_connection) c = calloc(1, sizeof *c);
    if (c == NULL) return CS_NOMEM_ERR(err);
    c->fd = -1;
    c->dialer = tls_dialer_ref(client->dialer);
    c->plain = cs_buf_of((size_t)2 * PLAIN_MAX);
    int n = snprintf(c->address, sizeof c->address, "%s", address);
    if (n < 0 || (size_t)n >= sizeof c->address)
        return cs_fail(err, CS_REFUSED, CS_R_ADDRESS_INVALID, "%.100s...: too long", address);
    (void)snprintf(url, sizeof url, "tls://%s", address);
    TRY(net_upstream_all(url, c->at, ADDRESSES_MAX, &c->count, err));
    const char *host = address[0] == '[' ? address + 1 : address;
    size_t host_n = name != NULL ? strlen(name) : strcspn(host, address[0] == '[' ? "]" : ":");
    if (host_n == 0 || host_n > HOST_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_ADDRESS_INVALID, "%s: a host has 1 to %d octets", address, (int)HOST_MAX);
    (void)snprintf(c->name, sizeof c->name, "%.*s", (int)host_n, name != NULL ? name : host);
    *ret = CS_TAKE(c);
    return CS_OK;
}

void cs_connection_free(cs_connection *c) {
    if (c == NULL) return;
    tls_conn_free(c->tls);
    tls_dialer_free(c->dialer);
    if (c->fd >= 0) net_close(c->fd);
    cs_certificate_free(c->peer);
    cs_buf_free(&c->plain);
    free(c);
}

/* ---- one step ---- */

static size_t waiting(const cs_connection *c) {
    return c->tls != NULL ? tls_conn_out(c->tls).n : 0;
}

static cs_status flush(cs_connection *c, cs_err *err) {
    for (;;) {
        cs_view v = tls_conn_out(c->tls);
        size_t n = 0;
        if (v.n == 0) return CS_OK;
        TRY(net_send(c->fd, v.p, v.n, &n, err));
        tls_conn_sent(c->tls, n);
    }
}

/* What the socket has, into TLS. CS_AGAIN: nothing. */
static cs_status fill(cs_connection *c, cs_err *err) {
    uint8_t piece[PIECE];
    size_t n = 0;
    if (c->eof) return CS_OK;
    TRY(net_recv(c->fd, piece, sizeof piece, &n, err));
    if (n == 0) {
        c->eof = true;
        tls_conn_eof(c->tls);
    }
    return tls_conn_open(c->tls, cs_view_of(piece, n), PLAIN_MAX, &c->plain, err);
}

static cs_status established(cs_connection *c, cs_err *err) {
    cs_view alpn = tls_conn_alpn(c->tls);
    const tls_peer *peer = tls_conn_peer(c->tls);
    if (alpn.n < sizeof c->alpn && alpn.n > 0) memcpy(c->alpn, alpn.p, alpn.n);
    if (peer->leaf == NULL) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_REQUIRED, "%s: shows none", c->address);
    TRY(lib_certificate_of(peer->leaf, &c->peer, err));
    c->established = true;
    return tls_conn_open(c->tls, cs_view_of(NULL, 0), PLAIN_MAX, &c->plain, err);
}

static cs_status begin_next(cs_connection *c, cs_err *err) {
    tls_conn_free(c->tls);
    c->tls = NULL;
    if (c->fd >= 0) net_close(c->fd);
    c->fd = -1;
    c->reached = false;
    TRY(net_connect(&c->at[c->next++], &c->fd, err));
    return tls_conn_dial(c->dialer, c->name, &c->tls, err);
}

static cs_status reach(cs_connection *c, cs_err *err) {
    if (c->fd < 0) TRY(begin_next(c, err));
    struct pollfd p = {.fd = c->fd, .events = POLLOUT};
    if (poll(&p, 1, 0) == 0) return CS_AGAIN;
    TRY(net_connected(c->fd, err));
    c->reached = true;
    return CS_OK;
}

static cs_status shake(cs_connection *c, cs_err *err) {
    for (;;) {
        cs_err alert;
        cs_status s = tls_conn_handshake(c->tls, err);
        cs_status sent = flush(c, s == CS_OK || s == CS_AGAIN ? err : &alert); /* an alert of ours, as far as it goes */
        if (s == CS_OK) return established(c, err);
        if (s != CS_AGAIN) return s;
        if (sent != CS_OK && sent != CS_AGAIN) return sent;
        if (c->eof) return cs_fail(err, CS_FAILED, CS_R_TLS_PEER_CLOSED, "%s: during the handshake", c->address);
        TRY(fill(c, err));
    }
}

static cs_status connect_on(cs_connection *c, cs_err *err) {
    while (!c->reached) {
        cs_status s = reach(c, err);
        if (s == CS_OK || s == CS_AGAIN) {
            TRY(s);
            break;
        }
        if (c->next >= c->count) {
            (void)cs_fail_in(err, "%s", c->address);
            return s;
        }
        net_close(c->fd);
        c->fd = -1;
    }
    return shake(c, err);
}

cs_status cs_connection_turn(cs_connection *c, cs_err *err) {
    if (!c->established) TRY(connect_on(c, err));
    return flush(c, err);
}

int cs_connection_fd(const cs_connection *c) {
    return c->fd;
}

short cs_connection_events(const cs_connection *c) {
    if (!c->reached) return POLLOUT;
    return (short)(POLLIN | (waiting(c) > 0 ? POLLOUT : 0));
}

/* ---- waiting ---- */

/* until: of the monotonic clock, in milliseconds; 0: for ever. */
static cs_status wait_for(const cs_connection *c, short events, cs_time until, cs_err *err) {
    struct pollfd p = {.fd = c->fd, .events = events};
    cs_time left = until > 0 ? until - now_ms() : -1;
    if (until > 0 && left <= 0) return late(c, err);
    (void)poll(&p, 1, (int)left);
    return CS_OK;
}

static cs_time deadline(const cs_connection *c) {
    return c->timeout > 0 ? now_ms() + c->timeout : 0;
}

cs_status cs_connect_begin(cs_client *client, const char *address, const char *name, cs_connection **ret, cs_err *err) {
    CS_AUTO(cs_connection) c = NULL;
    TRY(make(client, address, name, &c, err));
    cs_status s = cs_connection_turn(c, err);
    if (s != CS_OK && s != CS_AGAIN) return s;
    *ret = CS_TAKE(c);
    return CS_OK;
}

cs_status cs_connect(cs_client *client, const char *address, const char *name, unsigned timeout, cs_connection **ret,
                     cs_err *err) {
    CS_AUTO(cs_connection) c = NULL;
    TRY(make(client, address, name, &c, err));
    c->blocks = true;
    c->timeout = timeout;
    cs_time until = deadline(c);
    for (;;) {
        cs_status s = cs_connection_turn(c, err);
        if (s == CS_OK) break;
        if (s != CS_AGAIN) return s;
        TRY(wait_for(c, cs_connection_events(c), until, err));
    }
    *ret = CS_TAKE(c);
    return CS_OK;
}

/* ---- octets ---- */

static cs_status not_yet(cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_USAGE, "%s", "the connection is not established: cs_connection_turn");
}

static size_t take(cs_connection *c, void *p, size_t n) {
    size_t have = c->plain.n - c->plain_at;
    if (n > have) n = have;
    if (n > 0) memcpy(p, c->plain.p + c->plain_at, n);
    c->plain_at += n;
    if (c->plain_at == c->plain.n) {
        cs_buf_clear(&c->plain);
        c->plain_at = 0;
    }
    return n;
}

/* CS_OK: *ret_n octets, or the end. */
static cs_status read_once(cs_connection *c, void *p, size_t n, size_t *ret_n, cs_err *err) {
    for (;;) {
        *ret_n = take(c, p, n);
        if (*ret_n > 0 || n == 0) return CS_OK;
        if (tls_conn_ended(c->tls)) return CS_OK;
        /* what was put by for want of room first */
        cs_status s = tls_conn_open(c->tls, cs_view_of(NULL, 0), PLAIN_MAX, &c->plain, err);
        if (s == CS_OK && c->plain.n == 0 && !tls_conn_ended(c->tls))
            s = c->eof ? cs_fail(err, CS_REFUSED, CS_R_TLS_PEER_CLOSED, "%s: without an end", c->address)
                       : fill(c, err);
        if (s == CS_OK || c->plain.n > 0) continue;
        if (s != CS_AGAIN) {
            cs_err alert;
            (void)!flush(c, &alert);
        }
        return s;
    }
}

cs_status cs_read(cs_connection *c, void *p, size_t n, size_t *ret_n, cs_err *err) {
    if (!c->established) return not_yet(err);
    cs_time until = deadline(c);
    for (;;) {
        cs_status s = flush(c, err); /* answers of TLS's own, and what waits */
        if (s == CS_OK || s == CS_AGAIN) s = read_once(c, p, n, ret_n, err);
        if (s != CS_AGAIN || !c->blocks) return s;
        TRY(wait_for(c, cs_connection_events(c), until, err));
    }
}

cs_status cs_write(cs_connection *c, const void *p, size_t n, size_t *ret_n, cs_err *err) {
    if (!c->established) return not_yet(err);
    cs_view left = cs_view_of(p, n);
    cs_time until = deadline(c);
    *ret_n = 0;
    while (left.n > 0) {
        cs_status s = flush(c, err);
        if (s == CS_OK) {
            cs_view some = cs_view_of(left.p, left.n < PIECE ? left.n : PIECE);
            TRY(tls_conn_write(c->tls, some, err));
            left.p += some.n;
            left.n -= some.n;
            *ret_n += some.n;
            s = flush(c, err);
        }
        if (s == CS_OK) continue;
        if (s != CS_AGAIN) return s;
        if (!c->blocks) return *ret_n > 0 ? CS_OK : CS_AGAIN;
        TRY(wait_for(c, POLLOUT, until, err));
    }
    while (c->blocks && waiting(c) > 0) {
        cs_status s = flush(c, err);
        if (s == CS_OK) break;
        if (s != CS_AGAIN) return s;
        TRY(wait_for(c, POLLOUT, until, err));
    }
    return CS_OK;
}

cs_status cs_connection_end(cs_connection *c, cs_err *err) {
    if (!c->established) return not_yet(err);
    tls_conn_close(c->tls);
    cs_time until = deadline(c);
    for (;;) {
        cs_status s = flush(c, err);
        if (s != CS_AGAIN || !c->blocks) return s;
        TRY(wait_for(c, POLLOUT, until, err));
    }
}

/* ---- what was agreed upon ---- */

const cs_certificate *cs_connection_peer(const cs_connection *c) {
    return c->peer;
}

const char *cs_connection_alpn(const cs_connection *c) {
    return c->alpn;
}

const char *cs_connection_version(const cs_connection *c) {
    return c->established ? tls_conn_version(c->tls) : "";
}

const char *cs_connection_cipher(const cs_connection *c) {
    return c->established ? tls_conn_cipher(c->tls) : "";
}
