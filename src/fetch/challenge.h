/* fetch/challenge.h - looks where a client of ACME says that it proves control of a name (RFC 8555 8.3, 8.4; RFC 8737),
 * and tells what it found. The name is resolved once; only addresses that the policy lets be asked are connected to, so
 * that nobody makes us knock at our own network. Waits, at most as long as the policy says; any thread. */
#ifndef CS_FETCH_CHALLENGE_H
#define CS_FETCH_CHALLENGE_H

#include "fetch/resolve.h"
#include "io/addr_class.h"
#include "ipc/challenge.h"

typedef struct challenge_policy {
    const addr_range *allow; /* classes that are not global and may be asked all the same */
    unsigned allow_count;
    resolve_by resolver;
    unsigned http_port, tls_port;
    cs_time deadline; /* of a connection and what is said over it */
} challenge_policy;

typedef struct challenge_ask {
    challenge_kind kind;
    const char *host; /* a DNS name in lower case, or an address */
    const char *token;
} challenge_ask;

/* Appends to values as CHALLENGE_GOT has them. fetch-forbidden, fetch-failed, dns-failed, tls-handshake-failed. */
CS_MUST_USE cs_status challenge_look(const challenge_policy *p, const challenge_ask *ask, cs_buf *values, cs_err *err);

/* challenge_http.c */
CS_MUST_USE cs_status challenge_http(const challenge_policy *p, const challenge_ask *ask, cs_buf *values, cs_err *err);
/* Those of the host's addresses that may be asked. fetch-forbidden when there are others only. */
CS_MUST_USE cs_status challenge_addresses(const challenge_policy *p, const char *host,
                                          net_addr out[RESOLVE_ADDRESSES_MAX], size_t *ret_n, cs_err *err);
bool challenge_may(const challenge_policy *p, const struct sockaddr *a);

#endif
