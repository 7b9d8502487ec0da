/* io/spool.h - a file in the making, too long to be held: written front to back, read again in pieces, put in its place
 * in one step, or gone. Owner: whoever opened it; one thread. Reasons as files.h. */
#ifndef CS_IO_SPOOL_H
#define CS_IO_SPOOL_H

#include "base/buf.h"
#include "io/files.h"

enum { SPOOL_PIECE = 48 * 1024 }; /* what is written, or should be read, at once */

typedef struct spool {
    int fd;   /* -1: not open */
    size_t n; /* octets that it will have */
    cs_buf held;
    char path[FILES_PATH_MAX], temp[FILES_PATH_MAX]; /* temp "": it has no name */
} spool;

/* path: where it will stand, with that mode. */
CS_MUST_USE cs_status spool_open(spool *s, const char *path, mode_t mode, cs_err *err);
/* One without a name, for what is thrown away, in that folder. */
CS_MUST_USE cs_status spool_open_nameless(spool *s, const char *dir, cs_err *err);
void spool_free(spool *s); /* removes what was not put in place */

CS_MUST_USE cs_status spool_add(spool *s, cs_view bytes, cs_err *err);
/* All that was added can be read. */
CS_MUST_USE cs_status spool_flush(spool *s, cs_err *err);
/* Appends at most max octets from there on; none at the end. Of any file. */
CS_MUST_USE cs_status spool_read(int fd, size_t at, size_t max, cs_buf *b, const char *what, cs_err *err);
/* Synced and renamed. *ret_fd (may be NULL): to read it from, whatever takes its place later. */
CS_MUST_USE cs_status spool_commit(spool *s, int *ret_fd, cs_err *err);

#endif
