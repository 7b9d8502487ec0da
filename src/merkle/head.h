/* merkle/head.h - a signed head: how many records a log has, their root, and when; in the form of a signed note, which
 * is a text that people can read and other logs' witnesses check (c2sp.org/tlog-checkpoint):
 *
 *     corp.example/countersign-log          whose log: the origin
 *     1234                                  records
 *     Y8h1...=                              root, base64
 *     time 2026-11-25T06:00:00Z
 *                                           what stands above, with its last line end, is signed
 *     - corp.example/countersign-log ...=   base64 of the key's id (4 octets) and an Ed25519 signature; "-" is U+2014
 *
 * Texts and views are the caller's; any thread. */
#ifndef CS_MERKLE_HEAD_H
#define CS_MERKLE_HEAD_H

#include "base/clock.h"
#include "keys/keys.h"
#include "merkle/merkle.h"

enum { HEAD_ORIGIN_MAX = 280, HEAD_NOTE_MAX = 2048, HEAD_KEY_ID = 4, HEAD_SPKI = 44 };

/* Whose signatures count: an Ed25519 key under a log's name. */
typedef struct head_key {
    char origin[HEAD_ORIGIN_MAX];
    uint8_t spki[HEAD_SPKI];
    uint8_t id[HEAD_KEY_ID]; /* of SHA-256(origin, line end, 1, public key) */
} head_key;
/* key-unsupported when it is not Ed25519; name-invalid. */
CS_MUST_USE cs_status head_key_of(const char *origin, cs_view spki, head_key *ret, cs_err *err);
/* "origin+id+key", as tools for signed notes take it. */
bool head_key_add(cs_buf *b, const head_key *k);
CS_MUST_USE cs_status head_key_read(cs_view text, head_key *ret, cs_err *err);
/* What a CA signs to say that this is its log's key: a text that is never DER, so never a certificate or a CRL. */
bool head_key_claim_add(cs_buf *b, const head_key *k);

typedef struct log_head {
    uint64_t size;
    merkle_hash root;
    cs_time at; /* whole seconds */
} log_head;
/* The note, appended. key: the private one of k. */
CS_MUST_USE cs_status head_sign(const log_head *h, const head_key *k, const cs_key *key, cs_buf *note, cs_err *err);
/* log-head-invalid: not a note, another log's, not signed by that key. Further signature lines are left to others. */
CS_MUST_USE cs_status head_read(cs_view note, const head_key *k, log_head *ret, cs_err *err);

#endif
