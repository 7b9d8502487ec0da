/* store/upkeep.h - what is done to a store as a whole: looked over, copied, moved. Any store may be the source or the
 * target, whichever database it is in; a backup is a store in a file of its own.
 * Owner: a command, one thread. Long work is done in one snapshot, beside an authority that goes on. */
#ifndef CS_STORE_UPKEEP_H
#define CS_STORE_UPKEEP_H

#include "store/store.h"

/* Opens what is there and leaves its schema as it is, an older version's too. state-missing when there is no store,
 * store-schema-newer. */
CS_MUST_USE cs_status store_open_as_is(const char *where, store **ret, cs_err *err);
/* Opens a database in which there is nothing yet; a file is made (0600). store-not-empty. */
CS_MUST_USE cs_status store_open_bare(const char *where, store **ret, cs_err *err);
/* For messages: path or URL without secrets. Borrowed. */
const char *store_name(const store *st);

typedef struct store_copied {
    uint64_t tables, rows, certificates;
    uint64_t log_size;
    merkle_hash log_root;
} store_copied;
/* All of `from` into `to`, a bare one, in one transaction of it. Before its commit everything is read back: the number
 * and a digest of each table's rows, and the audit log's tree, computed anew. On failure `to` is bare as before.
 * from is read as it was at one moment. store-not-empty, store-copy-differs, state-corrupt, and what databases say. */
CS_MUST_USE cs_status store_copy(store *from, store *to, store_copied *ret, cs_err *err);
/* As store_copy, of a store that nobody else has open; afterwards it says that it was moved, and no authority starts on
 * it. state-busy, store-moved. */
CS_MUST_USE cs_status store_move(store *from, store *to, store_copied *ret, cs_err *err);

/* One rule, and how the store keeps it. */
typedef struct store_checked {
    const char *rule, *says; /* static; says: what is wrong when it is broken */
    uint64_t wrong;          /* how many break it */
    char first[200];         /* which ones, or the database's words: the first few */
} store_checked;
typedef cs_status store_checked_seen(void *cls, const store_checked *one, cs_err *err);
typedef struct store_check_sum {
    uint64_t schema, wrong;          /* wrong: over all rules */
    uint64_t certificates, log_size; /* certificates: intents too */
    merkle_hash log_root;            /* of log_size > 0 */
} store_check_sum;
/* The database's own check, and every rule of ours: what certificates say against what stands beside them, serial
 * numbers, the feed, lineages, tokens, the audit log's tree and heads. now: intents that are much older are wrong. */
CS_MUST_USE cs_status store_check(store *st, cs_time now, store_checked_seen *seen, void *cls, store_check_sum *ret,
                                  cs_err *err);

#endif
