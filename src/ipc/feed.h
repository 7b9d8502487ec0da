/* ipc/feed.h - the wall between authority and gateways: which certificates are revoked, in order, as it happens.
 * The gateway says HELLO with the last sequence it has (0: none). The authority answers with RESET if it sends the
 * whole set, then every REVOKED since, then SYNCED; later ones are pushed as they are committed, and SYNCED is repeated
 * at least every FEED_HEARTBEAT so that silence means something. */
#ifndef CS_IPC_FEED_H
#define CS_IPC_FEED_H

#include "ipc/ipc.h"

enum {
    FEED_HELLO = 1,       /* u64 last sequence */
    FEED_RESET = 2,       /* nothing: forget what you have */
    FEED_REVOKED = 3,     /* u64 sequence, 32 bytes SHA-256 of the issuer's SPKI, vec16 serial, u64 time, u8 reason */
    FEED_TICKET_KEYS = 5, /* 1..16 times 80 bytes: keys that seal sessions, the newest first; replaces those before */
    FEED_SYNCED = 4,      /* u64 sequence: all up to it has been sent */
};
#define FEED_HEARTBEAT (2 * CS_SEC)

extern const ipc_rule feed_from_gateway[], feed_from_authority[];

typedef struct feed_entry {
    uint64_t sequence;
    uint8_t issuer[32];
    cs_view serial;
    cs_time at;
    int reason; /* CRLReason; 8 = released */
} feed_entry;
bool feed_put(cs_buf *out, const feed_entry *e);
/* message-malformed when the payload is not one. */
CS_MUST_USE cs_status feed_read(cs_view payload, feed_entry *ret, cs_err *err);

#endif
