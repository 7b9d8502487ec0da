/* io/journal.h - an append-only file of records of one size, synced before anybody acts on them.
 * Owner: one thread of one process, which holds the file's lock while it is open. */
#ifndef CS_IO_JOURNAL_H
#define CS_IO_JOURNAL_H

#include "base/buf.h"

typedef struct journal journal;

/* Called for each record, oldest first; a failure ends the opening with it. */
typedef cs_status journal_replay(void *cls, cs_view record, cs_err *err);

/* Opens or makes (0600) the file and replays it. An incomplete last record is what a kill left of a write that nobody
 * was answered for: it is cut off. state-busy when another process has it open; state-corrupt from replay. */
CS_MUST_USE cs_status journal_open(const char *path, size_t record_len, journal_replay *replay, void *cls,
                                   journal **ret, cs_err *err);
void journal_free(journal *j); /* closes it; NULL is fine */
CS_AUTO_DEFINE(journal)

/* Appends whole records and syncs them to disk. On failure nothing of them counts: the file is cut back. When even
 * the sync or the cutting back fails, the journal is broken for good (every later append fails): end the process. */
CS_MUST_USE cs_status journal_append(journal *j, cs_view records, cs_err *err);
bool journal_broken(const journal *j);

#endif
