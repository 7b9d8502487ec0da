/* signer/heads.h - the audit log's heads: signed with a key of their own, and only of a log that begins with the one
 * whose head was signed before. An authority that was broken into can go on writing, but not rewrite.
 * Owner: the signer, one thread. */
#ifndef CS_SIGNER_HEADS_H
#define CS_SIGNER_HEADS_H

#include "base/clock.h"
#include "ipc/ipc.h"
#include "merkle/head.h"

typedef struct heads {
    cs_key *key; /* NULL: no heads are signed here */
    head_key public;
    uint8_t claim[CS_SIGNATURE_MAX]; /* the CA's signature over head_key_claim_add */
    size_t claim_len;
    log_head last, synced; /* signed; as of the journal's last sync */
} heads;

/* The log's name is TRUST-DOMAIN/countersign-log; ca signs that the key is its log's. */
CS_MUST_USE cs_status heads_init(heads *h, cs_key *take_key, const char *trust_domain, const cs_key *ca, cs_err *err);
void heads_free(heads *h);
/* A head's record in the journal: 16 octets in the serial's place (key id, 4 zero, u64 size) and the root. */
void heads_replay(heads *h, cs_view serial, cs_view root);
/* u64 size of the last head, vec16 SPKI, vec16 claim. */
CS_MUST_USE cs_status heads_tell(const heads *h, cs_buf *out, cs_err *err);
/* May this be signed? u64 size, 32 octets root, then the proof that the log begins with the last one. Fills serial and
 * the head, as of now. log-forked, message-malformed. */
CS_MUST_USE cs_status heads_check(heads *h, cs_view payload, cs_time now, uint8_t serial[16], log_head *ret,
                                  cs_err *err);

#endif
