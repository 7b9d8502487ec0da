#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "io/net.h"

static cs_status resolve_all(const char *host, const char *port, bool passive, const char *text, net_addr ret[],
                             unsigned most, unsigned *ret_count, cs_err *err) {
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0)};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0 || found == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_ADDRESS_INVALID, "%s: %s", text, gai_strerror(rc));
    *ret_count = 0;
    for (const struct addrinfo *a = found; a != NULL && *ret_count < most; a = a->ai_next) {
        memcpy(&ret[*ret_count].at, a->ai_addr, a->ai_addrlen);
        ret[(*ret_count)++].len = a->ai_addrlen;
    }
    freeaddrinfo(found);
    return CS_OK;
}

static cs_status resolve(const char *host, const char *port, bool passive, const char *text, net_addr *ret,
                         cs_err *err) {
    unsigned count = 0;
    return resolve_all(host, port, passive, text, ret, 1, &count, err);
}

/* host:port, [v6]:port; port 0: `fallback`, NULL when one must be said. */
static cs_status split(const char *text, size_t n, const char *fallback, char host[256], char port[6], cs_err *err) {
    const char *end = text + n, *colon = NULL;
    const char *h = text, *h_end = end;
    if (n > 0 && text[0] == '[') {
        h = text + 1;
        h_end = memchr(h, ']', n - 1);
        if (h_end == NULL) return cs_fail(err, CS_REFUSED, CS_R_ADDRESS_INVALID, "%s: ']' is missing", text);
        if (h_end + 1 < end) colon = h_end + 1;
    } else {
        for (const char *p = text; p < end; p++)
            if (*p == ':') colon = p;
        if (colon != NULL) h_end = colon;
    }
    if (colon == NULL && fallback == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_ADDRESS_INVALID, "%s: the port is missing", text);
    size_t host_n = (size_t)(h_end - h), port_n = colon != NULL ? (size_t)(end - colon - 1) : 0;
    bool digits = colon == NULL || (*colon == ':' && port_n >= 1 && port_n <= 5);
    for (size_t i = 0; digits && i < port_n; i++) digits = colon[1 + i] >= '0' && colon[1 + i] <= '9';
    if (!digits || host_n >= 256) return cs_fail(err, CS_REFUSED, CS_R_ADDRESS_INVALID, "%s: not HOST:PORT", text);
    memcpy(host, h, host_n);
    host[host_n] = '\0';
    (void)snprintf(port, 6, "%.*s", colon != NULL ? (int)port_n : 5, colon != NULL ? colon + 1 : fallback);
    if (strtoul(port, NULL, 10) > 65535)
        return cs_fail(err, CS_REFUSED, CS_R_ADDRESS_INVALID, "%s: a port is at most 65535", text);
    return CS_OK;
}

cs_status net_addr_parse(const char *text, net_addr *ret, cs_err *err) {
    char host[256], port[6];
    TRY(split(text, strlen(text), NULL, host, port, err));
    bool any = host[0] == '\0' || strcmp(host, "*") == 0;
    return resolve(any ? NULL : host, port, true, text, ret, err);
}

cs_status net_addrs_parse(const char *text, char host[256], net_addr at[], size_t most, size_t *ret_n, cs_err *err) {
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char port[6];
    *ret_n = 0;
    TRY(split(text, strlen(text), NULL, host, port, err));
    if (host[0] == '\0') return cs_fail(err, CS_REFUSED, CS_R_ADDRESS_INVALID, "%s: the host is missing", text);
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0 || found == NULL)
        return cs_fail(err, CS_FAILED, CS_R_ADDRESS_INVALID, "%s: %s", host, gai_strerror(rc));
    for (const struct addrinfo *a = found; a != NULL && *ret_n < most; a = a->ai_next) {
        memcpy(&at[*ret_n].at, a->ai_addr, a->ai_addrlen);
        at[(*ret_n)++].len = a->ai_addrlen;
    }
    freeaddrinfo(found);
    return CS_OK;
}

static cs_status unix_addr(const char *path, net_addr *ret, cs_err *err) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof un.sun_path)
        return cs_fail(err, CS_REFUSED, CS_R_ADDRESS_INVALID, "unix:%s: a socket's path has 1 to %zu bytes", path,
                       sizeof un.sun_path - 1);
    memcpy(un.sun_path, path, n + 1);
    memcpy(&ret->at, &un, sizeof un);
    ret->len = sizeof un;
    return CS_OK;
}

cs_status net_upstream_all(const char *url, net_addr ret[], unsigned most, unsigned *ret_count, cs_err *err) {
    static const struct {
        const char *scheme, *port;
    } known[] = {{"http://", "80"}, {"h2c://", "80"}, {"https://", "443"},
                 {"h2://", "443"},  {"tcp://", NULL}, {"tls://", NULL}};
    char host[256], port[6];
    *ret_count = 1;
    if (strncmp(url, "unix:", 5) == 0) return unix_addr(url + 5, ret, err);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t skip = strlen(known[i].scheme);
        if (strncmp(url, known[i].scheme, skip) != 0) continue;
        const char *at = url + skip;
        size_t n = strcspn(at, "/");
        if (at[n] == '/' && at[n + 1] != '\0')
            return cs_fail(err, CS_REFUSED, CS_R_ADDRESS_INVALID, "%s: an upstream has no path", url);
        TRY(split(at, n, known[i].port, host, port, err));
        return resolve_all(host, port, false, url, ret, most, ret_count, err);
    }
    return cs_fail(err, CS_REFUSED, CS_R_ADDRESS_INVALID,
                   "%s: neither http://HOST:PORT (https, h2c, h2) nor tcp://HOST:PORT (tls) nor unix:/path", url);
}

cs_status net_upstream_parse(const char *url, net_addr *ret, cs_err *err) {
    unsigned count = 0;
    return net_upstream_all(url, ret, 1, &count, err);
}

const char *net_addr_text(const net_addr *a, bool port, char out[NET_TEXT_MAX]) {
    char host[INET6_ADDRSTRLEN] = "?";
    if (a->at.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&a->at;
        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        (void)snprintf(out, NET_TEXT_MAX, port ? "%s:%u" : "%s", host, ntohs(in->sin_port));
    } else if (a->at.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&a->at;
        if (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr))
            (void)inet_ntop(AF_INET, &in->sin6_addr.s6_addr[12], host, sizeof host);
        else
            (void)inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
        (void)snprintf(out, NET_TEXT_MAX, port ? "[%s]:%u" : "%s", host, ntohs(in->sin6_port));
    } else {
        (void)snprintf(out, NET_TEXT_MAX, "unix");
    }
    return out;
}

static cs_status bind_failed(int fd, const char *what, cs_err *err) {
    int e = errno;
    (void)close(fd);
    if (e == EADDRINUSE) return cs_fail(err, CS_FAILED, CS_R_PORT_IN_USE, "%s", what);
    if (e == EADDRNOTAVAIL) return cs_fail(err, CS_FAILED, CS_R_ADDRESS_INVALID, "%s is not of this machine", what);
    return cs_fail_errno(err, e, CS_R_NETWORK_FAILED, "listening on %s", what);
}

/* Without SO_REUSEPORT first: with it, the kernel would let us share the port with another gateway of the same user. */
static cs_status probe(const net_addr *a, const char *what, cs_err *err) {
    static const int on = 1;
    int fd = socket(a->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return cs_fail_errno(err, errno, CS_R_NETWORK_FAILED, "a socket for %s", what);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&a->at, a->len) != 0 || listen(fd, 1) != 0) return bind_failed(fd, what, err);
    (void)close(fd);
    return CS_OK;
}

static cs_status listen_one(const net_addr *a, const char *what, int *ret, cs_err *err) {
    static const int on = 1;
    int fd = socket(a->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return cs_fail_errno(err, errno, CS_R_NETWORK_FAILED, "a socket for %s", what);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&a->at, a->len) != 0 || listen(fd, NET_BACKLOG) != 0)
        return bind_failed(fd, what, err);
    *ret = fd;
    return CS_OK;
}

cs_status net_listen(const net_addr *a, const char *what, int fds[], unsigned count, cs_err *err) {
    TRY(probe(a, what, err));
    for (unsigned i = 0; i < count; i++) {
        cs_status s = listen_one(a, what, &fds[i], err);
        if (s == CS_OK) continue;
        while (i > 0) (void)close(fds[--i]);
        return s;
    }
    return CS_OK;
}

static void no_delay(int fd, int family) {
    static const int on = 1;
    if (family != AF_UNIX) (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

cs_status net_accept(int listener, int *ret_fd, net_addr *ret_peer, cs_err *err) {
    ret_peer->len = sizeof ret_peer->at;
    int fd = accept4(listener, (struct sockaddr *)&ret_peer->at, &ret_peer->len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        no_delay(fd, ret_peer->at.ss_family);
        *ret_fd = fd;
        return CS_OK;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        return cs_fail(err, CS_LIMIT, CS_R_TOO_MANY_CONNECTIONS, "%s", "no descriptors or memory for another");
    return CS_AGAIN; /* also when the peer was gone before we took it */
}

unsigned net_waiting(int listener) {
    struct tcp_info info;
    socklen_t n = sizeof info;
    memset(&info, 0, sizeof info);
    return getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 ? info.tcpi_unacked : 0;
}

cs_status net_connect(const net_addr *a, int *ret_fd, cs_err *err) {
    return net_connect_small(a, 0, ret_fd, err);
}

cs_status net_connect_small(const net_addr *a, int segment, int *ret_fd, cs_err *err) {
    char text[NET_TEXT_MAX];
    int fd = socket(a->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return cs_fail_errno(err, errno, CS_R_NETWORK_FAILED, "a socket for %s", net_addr_text(a, true, text));
    no_delay(fd, a->at.ss_family);
    if (segment > 0) (void)setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    if (connect(fd, (const struct sockaddr *)&a->at, a->len) != 0 && errno != EINPROGRESS) {
        int e = errno;
        (void)close(fd);
        return cs_fail_errno(err, e, CS_R_NETWORK_FAILED, "%s", net_addr_text(a, true, text));
    }
    *ret_fd = fd;
    return CS_OK;
}

cs_status net_connected(int fd, cs_err *err) {
    int e = 0;
    socklen_t n = sizeof e;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) != 0) e = errno;
    if (e == EINPROGRESS) return CS_AGAIN;
    return e == 0 ? CS_OK : cs_fail_errno(err, e, CS_R_NETWORK_FAILED, "%s", "connecting");
}

cs_status net_recv(int fd, void *p, size_t n, size_t *ret_n, cs_err *err) {
    ssize_t got = 0;
    do got = recv(fd, p, n, 0);
    while (got < 0 && errno == EINTR);
    if (got >= 0) {
        *ret_n = (size_t)got;
        return CS_OK;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return CS_AGAIN;
    return cs_fail_errno(err, errno, CS_R_NETWORK_FAILED, "%s", "receiving");
}

cs_status net_send(int fd, const void *p, size_t n, size_t *ret_n, cs_err *err) {
    ssize_t put = 0;
    do put = send(fd, p, n, MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    if (put >= 0) {
        *ret_n = (size_t)put;
        return CS_OK;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return CS_AGAIN;
    return cs_fail_errno(err, errno, CS_R_NETWORK_FAILED, "%s", "sending");
}

bool net_local(int fd, net_addr *ret) {
    ret->len = sizeof ret->at;
    return getsockname(fd, (struct sockaddr *)&ret->at, &ret->len) == 0;
}

void net_shutdown_write(int fd) {
    (void)shutdown(fd, SHUT_WR);
}

void net_reset(int fd) {
    static const struct linger none = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

void net_close(int fd) {
    (void)close(fd);
}
