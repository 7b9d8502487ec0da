#include "fetch/shake.h"

#include <poll.h>

#include "base/limits.h"

enum { STEP = 16 * 1024 };

static cs_status wait_for(int fd, short events, cs_time until, cs_err *err) {
    cs_time left = until - cs_mono(cs_clock_system());
    struct pollfd p = {.fd = fd, .events = events};
    if (left <= 0 || poll(&p, 1, (int)(left / 1000) + 1) <= 0)
        return cs_fail(err, CS_FAILED, CS_R_FETCH_FAILED, "it took too long");
    return CS_OK;
}

static cs_status send_all(int fd, cs_buf *out, cs_time until, cs_err *err) {
    while (out->n > 0) {
        size_t n = 0;
        cs_status s = net_send(fd, out->p, out->n, &n, err);
        if (s == CS_AGAIN) s = wait_for(fd, POLLOUT, until, err);
        TRY(s);
        cs_buf_consume(out, n);
    }
    return CS_OK;
}

static cs_status talk(int fd, tls_probe *probe, cs_time until, cs_err *err) {
    CS_SCOPED(cs_buf) out = cs_buf_of(256 * 1024);
    uint8_t in[STEP];
    size_t n = 0, all = 0;
    for (;;) {
        cs_status s = tls_probe_turn(probe, cs_view_of(in, n), &out, err);
        if (s != CS_OK && s != CS_AGAIN) return s;
        TRY(send_all(fd, &out, until, err));
        if (s == CS_OK) return CS_OK;
        do {
            TRY(wait_for(fd, POLLIN, until, err));
            s = net_recv(fd, in, sizeof in, &n, err);
        } while (s == CS_AGAIN);
        TRY(s);
        all += n;
        if (n == 0 || all > CS_PEER_CHAIN_MAX)
            return cs_fail(err, CS_FAILED, CS_R_TLS_HANDSHAKE_FAILED, "%s",
                           n == 0 ? "the server closed the connection" : "more than a handshake has");
    }
}

cs_status shake_hands(const net_addr *at, tls_probe *probe, cs_time until, cs_err *err) {
    int fd = -1;
    TRY(net_connect(at, &fd, err));
    cs_status s = wait_for(fd, POLLOUT, until, err);
    if (s == CS_OK) s = net_connected(fd, err);
    if (s == CS_OK) s = talk(fd, probe, until, err);
    net_close(fd);
    return s;
}
