/* io/trail.h - what programs beside the authority do and its audit log must hold: uses of a root's key, changes of the
 * CAs and of the configuration. A file in the state folder, appended to and synced before the thing is done; the
 * authority takes its entries over when it starts, before it signs a head, and before the log is read. So an entry
 * needs no authority that runs. Nothing is kept between calls; a lock of the file orders the processes. */
#ifndef CS_IO_TRAIL_H
#define CS_IO_TRAIL_H

#include "base/buf.h"

enum { TRAIL_ID_LEN = 32, TRAIL_LINE_MAX = 4096 };

typedef struct trail_entry {
    cs_view at;     /* RFC 3339 */
    cs_view event;  /* as the log's: "config-taken" */
    cs_view by;     /* "uid 1000" */
    cs_view detail; /* escaped (cs_text_escape) */
} trail_entry;

/* One entry, stamped with that time; detail may hold anything. Durable when it returns. */
CS_MUST_USE cs_status trail_add(const char *state, int64_t at_us, const char *event, const char *by, const char *detail,
                                cs_err *err);
/* "uid 1000": who runs this process. */
const char *trail_self(char out[32]);

/* Bytes in the file; 0: there is none. */
uint64_t trail_size(const char *state);
/* Which file it is: a new one has a new id. */
CS_MUST_USE cs_status trail_id(const char *state, char ret[TRAIL_ID_LEN + 1], cs_err *err);
/* Whole lines from *offset on (0: from the first entry), appended to b; *offset is then behind them. b takes
 * TRAIL_READ_MAX at a time; nothing when there is no more. */
enum { TRAIL_READ_MAX = 1024 * 1024 };
CS_MUST_USE cs_status trail_read(const char *state, uint64_t *offset, cs_buf *b, cs_err *err);
/* The next line of what was read; false: there is none. An entry that is none of ours comes as a detail alone. */
bool trail_next(cs_view *left, trail_entry *ret);

#endif
