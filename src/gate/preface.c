/* What PostgreSQL's clients say before TLS begins (protocol 3.0, "SSL Session Encryption"): a request of eight octets,
 * answered by one. Whatever stands behind the request was not protected, and ends the connection. */
#include <string.h>

#include "gate/gate_priv.h"

enum { REQUEST = 8, SSL_REQUEST = 80877103, GSS_REQUEST = 80877104 };

static void refuse(conn *c, const cs_err *err) {
    say_refused_handshake(c, err);
    conn_close(c);
}

/* An ErrorResponse, so that psql shows why. The peer is new: one small write fits its buffer. */
static void refuse_plain(conn *c) {
    static const char text[] = "SFATAL\0VFATAL\0C28000\0MTLS with a client certificate is required here\0";
    uint8_t out[1 + 4 + sizeof text];
    size_t n = 0;
    cs_err err;
    out[0] = 'E';
    memset(out + 1, 0, 3);
    out[4] = (uint8_t)(4 + sizeof text);
    memcpy(out + 5, text, sizeof text); /* its last NUL ends the list of fields */
    (void)!net_send(c->wire.fd, out, sizeof out, &n, &err);
    (void)cs_fail(&err, CS_REFUSED, CS_R_TLS_NOT_TLS, "%s", "a PostgreSQL client that did not ask for TLS");
    refuse(c, &err);
}

static bool to_tls(conn *c) {
    cs_view v = flow_view(&c->wire.in);
    cs_err err;
    cs_buf none = cs_buf_of(0);
    if (tls_conn_open(c->wire.tls, v, 0, &none, &err) != CS_OK) { /* kept for the handshake */
        c->wire.broken = true;
        return true;
    }
    flow_eat(&c->wire.in, v.n);
    c->state = CONN_TLS;
    c->wire.clear = false;
    return true;
}

cs_status preface_ask(upconn *u, cs_err *err) {
    static const uint8_t request[REQUEST] = {0, 0, 0, REQUEST, 0x04, 0xd2, 0x16, 0x2f};
    size_t n = 0;
    if (!u->greeted && net_send(u->wire.fd, request, sizeof request, &n, err) != CS_OK)
        return cs_fail(err, CS_FAILED, CS_R_NETWORK_FAILED, "%s", "asking for TLS");
    u->greeted = true; /* the connection is new: eight octets fit its buffer */
    cs_view v = flow_view(&u->wire.in);
    if (v.n == 0 && (u->wire.eof || u->wire.broken))
        return cs_fail(err, CS_FAILED, CS_R_TLS_PEER_CLOSED, "%s", "when it was asked for TLS");
    if (v.n == 0) return CS_AGAIN;
    if (v.p[0] != 'S') return cs_fail(err, CS_REFUSED, CS_R_TLS_NOT_TLS, "%s", "it answers that it speaks no TLS");
    if (v.n > 1) /* CVE-2021-23222: it would be read as if TLS had protected it */
        return cs_fail(err, CS_REFUSED, CS_R_TLS_NOT_TLS, "%zu octets behind its answer", v.n - 1);
    flow_eat(&u->wire.in, 1);
    u->asks = u->wire.clear = false;
    return CS_OK;
}

bool preface_step(conn *c) {
    cs_view v = flow_view(&c->wire.in);
    cs_err err;
    size_t n = 0;
    if (c->wire.eof) {
        (void)cs_fail(&err, CS_REFUSED, CS_R_TLS_PEER_CLOSED, "%s", "before it asked for TLS");
        refuse(c, &err);
        return true;
    }
    if (v.n > 0 && v.p[0] == 0x16) return to_tls(c); /* sslnegotiation=direct */
    if (v.n < REQUEST) return false;
    cs_rd r = cs_rd_of(v);
    uint32_t size = cs_rd_u32(&r), code = cs_rd_u32(&r);
    if (size != REQUEST || (code != SSL_REQUEST && code != GSS_REQUEST)) {
        refuse_plain(c);
        return true;
    }
    if (v.n > REQUEST) { /* CVE-2021-23214: it would be read as if TLS had protected it */
        (void)cs_fail(&err, CS_REFUSED, CS_R_TLS_NOT_TLS, "%zu octets behind the request for TLS", v.n - REQUEST);
        refuse(c, &err);
        return true;
    }
    flow_eat(&c->wire.in, REQUEST);
    if (net_send(c->wire.fd, code == SSL_REQUEST ? "S" : "N", 1, &n, &err) != CS_OK) c->wire.broken = true;
    return code == SSL_REQUEST ? to_tls(c) : true;
}
