/* ipc/challenge.h - the wall between the authority and the fetcher, the one process that goes out to where a client of
 * ACME says that it proves a name. It tells what it found; what that means is for the authority. One question a
 * connection. */
#ifndef CS_IPC_CHALLENGE_H
#define CS_IPC_CHALLENGE_H

#include "ipc/ipc.h"

enum {
    CHALLENGE_ASK = 40,    /* u8 of challenge_kind, vec16 DNS name or address, vec16 token -> GOT or FAILED */
    CHALLENGE_GOT = 41,    /* values, each a vec16: HTTP: the body; DNS: each text; ALPN: the protocol, the leaf */
    CHALLENGE_FAILED = 42, /* vec16 reason's name, vec16 detail */
};
typedef enum challenge_kind { CHALLENGE_HTTP = 1, CHALLENGE_DNS, CHALLENGE_ALPN } challenge_kind;
enum {
    CHALLENGE_VALUES_MAX = 40 * 1024, /* octets of all values */
    CHALLENGE_HOST_MAX = 255,
    CHALLENGE_TOKEN_MAX = 64,
};

extern const ipc_rule challenge_from_authority[], challenge_from_fetcher[];

#endif
