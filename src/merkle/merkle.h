/* merkle/merkle.h - a log as a Merkle tree: hashes of records, the root over the first n, and proofs that a record is
 * among them or that a longer log begins with a shorter one. Hashing and proofs are those of RFC 9162 2.1 (RFC 6962).
 * Nothing is kept; any thread. Reads no store: the nodes that proofs are made of come through a callback. */
#ifndef CS_MERKLE_MERKLE_H
#define CS_MERKLE_MERKLE_H

#include "base/err.h"
#include "base/view.h"
#include "x509/digest.h"

enum { MERKLE_LEVELS = 63 }; /* of a tree of up to 2^62 records */

typedef struct merkle_hash {
    uint8_t at[CS_SHA256_LEN];
} merkle_hash;

/* SHA-256 of 0x00 and the record. @rfc 9162#2.1.1 */
CS_MUST_USE cs_status merkle_leaf(cs_view record, merkle_hash *ret, cs_err *err);

/* The edge of a growing tree: the roots of its complete subtrees, one for each bit that is set in size. */
typedef struct merkle_edge {
    uint64_t size;
    merkle_hash peak[MERKLE_LEVELS];
} merkle_edge;
/* done[0] becomes the leaf itself, done[1..] the nodes that it completes, by level; *ret_n: how many. Amortised two
 * hashes a record. */
CS_MUST_USE cs_status merkle_append(merkle_edge *e, const merkle_hash *leaf, merkle_hash done[MERKLE_LEVELS],
                                    unsigned *ret_n, cs_err *err);
CS_MUST_USE cs_status merkle_root(const merkle_edge *e, merkle_hash *ret, cs_err *err);

typedef struct merkle_proof {
    unsigned n;
    merkle_hash at[2 * MERKLE_LEVELS];
} merkle_proof;
/* The root of the complete subtree of 2^level records that begins with record index * 2^level. */
typedef cs_status merkle_node(void *cls, unsigned level, uint64_t index, merkle_hash *ret, cs_err *err);
/* That record `index` (from 0) is in the tree of `size` records; index < size. @rfc 9162#2.1.3.1 */
CS_MUST_USE cs_status merkle_inclusion(merkle_node *node, void *cls, uint64_t index, uint64_t size, merkle_proof *ret,
                                       cs_err *err);
/* That the tree of `size` records begins with that of `first`; 0 < first <= size. @rfc 9162#2.1.4.1 */
CS_MUST_USE cs_status merkle_consistency(merkle_node *node, void *cls, uint64_t first, uint64_t size, merkle_proof *ret,
                                         cs_err *err);
/* log-proof-invalid. @rfc 9162#2.1.3.2 */
CS_MUST_USE cs_status merkle_inclusion_check(const merkle_hash *leaf, uint64_t index, uint64_t size,
                                             const merkle_proof *proof, const merkle_hash *root, cs_err *err);
/* log-forked when the proof does not hold. first 0: every log begins with the empty one. @rfc 9162#2.1.4.2 */
CS_MUST_USE cs_status merkle_consistency_check(uint64_t first, const merkle_hash *first_root, uint64_t size,
                                               const merkle_hash *root, const merkle_proof *proof, cs_err *err);

static inline bool merkle_same(const merkle_hash *a, const merkle_hash *b) {
    return memcmp(a->at, b->at, sizeof a->at) == 0;
}

#endif
