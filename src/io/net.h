/* io/net.h - stream sockets: addresses, listeners, connections. All non-blocking and close-on-exec.
 * Descriptors belong to the caller. Nothing is kept between calls; any thread. */
#ifndef CS_IO_NET_H
#define CS_IO_NET_H

#include <sys/socket.h>

#include "base/err.h"
#include "base/view.h"

typedef struct net_addr {
    struct sockaddr_storage at;
    socklen_t len;
} net_addr;

enum { NET_TEXT_MAX = 128, NET_BACKLOG = 4096 };

/* "127.0.0.1:8443", "[::1]:8443", ":8443" and "*:8443" (all addresses), "host:8443" (asks the resolver, may wait).
 * address-invalid. */
CS_MUST_USE cs_status net_addr_parse(const char *text, net_addr *ret, cs_err *err);
/* Every address of "HOST:PORT", each once, in the system's order; host: the name, without brackets. CS_REFUSED: not
 * HOST:PORT. CS_FAILED: no such name. Both address-invalid. */
CS_MUST_USE cs_status net_addrs_parse(const char *text, char host[256], net_addr at[], size_t most, size_t *ret_n,
                                      cs_err *err);
/* "http://HOST:PORT" (80 when no port is said), "tcp://HOST:PORT" or "unix:/path". */
CS_MUST_USE cs_status net_upstream_parse(const char *url, net_addr *ret, cs_err *err);
/* All addresses of its host, up to `most`, in the resolver's order. */
CS_MUST_USE cs_status net_upstream_all(const char *url, net_addr ret[], unsigned most, unsigned *ret_count,
                                       cs_err *err);
/* "127.0.0.1:41234", "[::1]:41234", "unix"; without the port when `port` is false (then no brackets either). */
const char *net_addr_text(const net_addr *a, bool port, char out[NET_TEXT_MAX]);

/* count listening sockets on one address, which share its connections (SO_REUSEPORT). port-in-use when another program
 * (or another of ours) has it; address-invalid when it is not of this machine. */
CS_MUST_USE cs_status net_listen(const net_addr *a, const char *what, int fds[], unsigned count, cs_err *err);
/* CS_AGAIN: nobody waits. CS_LIMIT: no descriptors left. */
CS_MUST_USE cs_status net_accept(int listener, int *ret_fd, net_addr *ret_peer, cs_err *err);
/* How many connections wait to be accepted; 0 when the system does not say. */
unsigned net_waiting(int listener);
/* Begun; done when the descriptor is writable and net_connected says so. */
CS_MUST_USE cs_status net_connect(const net_addr *a, int *ret_fd, cs_err *err);
/* The same with segments of at most that many octets, both ways; 0: as the path is taken to allow. */
CS_MUST_USE cs_status net_connect_small(const net_addr *a, int segment, int *ret_fd, cs_err *err);
CS_MUST_USE cs_status net_connected(int fd, cs_err *err);

/* CS_OK: *ret_n octets (0: the peer closed its side). CS_AGAIN. network-failed. */
CS_MUST_USE cs_status net_recv(int fd, void *p, size_t n, size_t *ret_n, cs_err *err);
CS_MUST_USE cs_status net_send(int fd, const void *p, size_t n, size_t *ret_n, cs_err *err);
void net_shutdown_write(int fd);
void net_reset(int fd);                /* closing it will tell the peer that something was cut off (TCP) */
bool net_local(int fd, net_addr *ret); /* our side's address */
void net_close(int fd);

#endif
