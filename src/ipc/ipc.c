#include "ipc/ipc.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

cs_status ipc_take(cs_view in, const ipc_rule *wall, ipc_frame *ret, size_t *ret_used, cs_err *err) {
    if (in.n < IPC_HEADER_LEN) return CS_AGAIN;
    cs_rd r = cs_rd_of(in);
    uint32_t length = cs_rd_u32(&r); /* of type and payload */
    uint16_t type = cs_rd_u16(&r);
    const ipc_rule *rule = wall;
    while (rule->type != 0 && rule->type != type) rule++;
    if (rule->type == 0) return cs_fail(err, CS_REFUSED, CS_R_WALL_VIOLATED, "message type %u may not pass here", type);
    if (length < 2 || length - 2 > rule->max)
        return cs_fail(err, CS_REFUSED, CS_R_WALL_VIOLATED, "message type %u of %u bytes, at most %u may pass", type,
                       length, rule->max);
    if (r.left < length - 2) return CS_AGAIN;
    *ret = (ipc_frame){type, cs_rd_bytes(&r, length - 2)};
    *ret_used = (size_t)length + 4;
    return CS_OK;
}

size_t ipc_open(cs_buf *out, uint16_t type) {
    size_t mark = out->n;
    cs_buf_add_u32(out, 0);
    cs_buf_add_u16(out, type);
    return mark;
}

void ipc_close(cs_buf *out, size_t mark) {
    if (out->failed || out->n < mark + IPC_HEADER_LEN || out->n - mark - 4 > UINT32_MAX) {
        out->failed = true;
        return;
    }
    uint32_t length = (uint32_t)(out->n - mark - 4);
    for (unsigned i = 0; i < 4; i++) out->p[mark + i] = (uint8_t)(length >> (24 - 8 * i));
}

bool ipc_put(cs_buf *out, uint16_t type, cs_view payload) {
    size_t mark = ipc_open(out, type);
    cs_buf_add_view(out, payload);
    ipc_close(out, mark);
    return !out->failed;
}

cs_status ipc_connect(const char *path, cs_reason other, int *ret_fd, cs_err *err) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n >= sizeof to.sun_path)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s: a socket's path may have %zu bytes", path,
                       sizeof to.sun_path - 1);
    memcpy(to.sun_path, path, n + 1);
    /* Non-blocking from the start: a listener whose process is dead keeps a queue, and a full one would hold us. */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return cs_fail_errno(err, errno, other, "%s", path);
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
        int why = errno;
        (void)close(fd);
        (void)cs_fail_errno(err, why, other, "%s", path);
        err->reason = other;
        return err->status;
    }
    *ret_fd = fd;
    return CS_OK;
}

unsigned ipc_peer_uid(int fd) {
    struct ucred peer = {0};
    socklen_t n = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 ? (unsigned)peer.uid : (unsigned)-1;
}

cs_status ipc_peer_check(int fd, cs_err *err) {
    struct ucred peer = {0};
    socklen_t n = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0)
        return cs_fail_errno(err, errno, CS_R_PERMISSION_DENIED, "SO_PEERCRED");
    if (peer.uid != 0 && peer.uid != geteuid())
        return cs_fail(err, CS_REFUSED, CS_R_PERMISSION_DENIED, "user %u may not connect here", (unsigned)peer.uid);
    return CS_OK;
}

cs_status ipc_accept(int listen_fd, int *ret_fd, cs_err *err) {
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ECONNABORTED)) return CS_AGAIN;
    if (fd < 0) return cs_fail_errno(err, errno, CS_R_NETWORK_FAILED, "accept");
    cs_status s = ipc_peer_check(fd, err);
    if (s != CS_OK) {
        (void)close(fd);
        return s;
    }
    *ret_fd = fd;
    return CS_OK;
}

/* Waits for `events`; CS_FAILED when wait_ms pass. */
static cs_status wait_for(int fd, short events, int wait_ms, cs_reason other, cs_err *err) {
    struct pollfd p = {.fd = fd, .events = events};
    int n = 0;
    do {
        n = poll(&p, 1, wait_ms);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return cs_fail_errno(err, errno, other, "poll");
    if (n == 0) return cs_fail(err, CS_FAILED, other, "no answer within %d ms", wait_ms);
    return CS_OK;
}

cs_status ipc_flush(int fd, cs_buf *out, int wait_ms, cs_reason other, cs_err *err) {
    size_t sent = 0;
    if (out->failed) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a message over %zu bytes", out->max);
    while (sent < out->n) {
        ssize_t n = send(fd, out->p + sent, out->n - sent, MSG_NOSIGNAL);
        if (n > 0) {
            sent += (size_t)n;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            cs_status s = wait_for(fd, POLLOUT, wait_ms, other, err);
            if (s != CS_OK) return s;
        } else if (n < 0 && errno != EINTR) {
            return cs_fail_errno(err, errno, other, "send");
        }
    }
    cs_buf_clear(out);
    return CS_OK;
}

cs_status ipc_push(int fd, cs_buf *out, cs_reason other, cs_err *err) {
    if (out->failed) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a message over %zu bytes", out->max);
    ssize_t n = out->n > 0 ? send(fd, out->p, out->n, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return CS_AGAIN;
    if (n < 0) return cs_fail_errno(err, errno, other, "send");
    cs_buf_consume(out, (size_t)n);
    return CS_OK;
}

cs_status ipc_fill(int fd, cs_buf *in, cs_reason other, cs_err *err) {
    const size_t step = (size_t)64 * 1024;
    uint8_t *p = cs_buf_reserve(in, step);
    if (p == NULL) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "more than %zu bytes wait to be read", in->max);
    ssize_t n = recv(fd, p, step, 0);
    if (n > 0) {
        cs_buf_commit(in, (size_t)n);
        return CS_OK;
    }
    if (n == 0) return cs_fail(err, CS_FAILED, other, "the other process closed the connection");
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return CS_AGAIN;
    return cs_fail_errno(err, errno, other, "recv");
}

cs_status ipc_read_all(int fd, cs_buf *in, int wait_ms, cs_reason other, cs_err *err) {
    for (;;) {
        TRY(wait_for(fd, POLLIN, wait_ms, other, err));
        uint8_t *p = cs_buf_reserve(in, 16 * 1024);
        if (p == NULL) return cs_buf_ok(in, "an answer", err);
        ssize_t n = recv(fd, p, 16 * 1024, 0);
        if (n == 0) return CS_OK;
        if (n > 0)
            cs_buf_commit(in, (size_t)n);
        else if (errno != EAGAIN && errno != EINTR)
            return cs_fail_errno(err, errno, other, "recv");
    }
}

cs_status ipc_await(int fd, cs_buf *in, const ipc_rule *wall, int wait_ms, cs_reason other, ipc_frame *ret,
                    size_t *ret_used, cs_err *err) {
    for (;;) {
        cs_status s = ipc_take(cs_buf_view(in), wall, ret, ret_used, err);
        if (s != CS_AGAIN) return s;
        TRY(wait_for(fd, POLLIN, wait_ms, other, err));
        s = ipc_fill(fd, in, other, err);
        if (s != CS_OK && s != CS_AGAIN) return s;
    }
}
