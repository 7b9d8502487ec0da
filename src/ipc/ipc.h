/* ipc/ipc.h - framed messages between our own processes over unix sockets, and the tables of what may pass a wall.
 * A frame: u32 length of what follows it, u16 type, payload. Nothing is kept between calls; a descriptor and its buffer
 * belong to one thread. Whoever sends what its wall's table does not hold is cut off (wall-violated). */
#ifndef CS_IPC_IPC_H
#define CS_IPC_IPC_H

#include "base/buf.h"
#include "base/clock.h"

/* One row of a wall: a message that may pass in this direction. A table ends with type 0. */
typedef struct ipc_rule {
    uint16_t type;
    uint32_t max; /* bytes of payload */
} ipc_rule;

typedef struct ipc_frame {
    uint16_t type;
    cs_view payload; /* looks into the buffer that it was taken from */
} ipc_frame;

enum { IPC_HEADER_LEN = 6 };

/* Sans I/O: the first frame of in. CS_OK: *ret is filled and *ret_used bytes are to be consumed when it was handled;
 * CS_AGAIN: it is not complete yet; CS_REFUSED/wall-violated: type or size is not in the table (seen before the
 * payload has arrived). */
CS_MUST_USE cs_status ipc_take(cs_view in, const ipc_rule *wall, ipc_frame *ret, size_t *ret_used, cs_err *err);
/* Appends a frame. */
bool ipc_put(cs_buf *out, uint16_t type, cs_view payload);
/* Appends a frame whose payload the caller writes in between: mark = ipc_open(out, T); cs_buf_add...; ipc_close. */
size_t ipc_open(cs_buf *out, uint16_t type);
void ipc_close(cs_buf *out, size_t mark);

/* Connects to the unix socket at path; close-on-exec, non-blocking. `other` is the reason when nobody answers, or when
 * the listener's queue is full: it never waits. */
CS_MUST_USE cs_status ipc_connect(const char *path, cs_reason other, int *ret_fd, cs_err *err);
/* Accepts one peer, whose user must be ours or root (permission-denied: it was closed). CS_AGAIN: none waits. */
CS_MUST_USE cs_status ipc_accept(int listen_fd, int *ret_fd, cs_err *err);
/* Is the peer's user ours or root? */
CS_MUST_USE cs_status ipc_peer_check(int fd, cs_err *err);
/* Its user; (unsigned)-1 when the system does not say. */
unsigned ipc_peer_uid(int fd);

/* Writes all of out (consuming it), waiting up to wait_ms for the peer to read. */
CS_MUST_USE cs_status ipc_flush(int fd, cs_buf *out, int wait_ms, cs_reason other, cs_err *err);
/* Writes what the peer takes now, consuming it; some may be left. CS_AGAIN: it takes nothing. */
CS_MUST_USE cs_status ipc_push(int fd, cs_buf *out, cs_reason other, cs_err *err);
/* Reads what there is into in, without waiting. CS_AGAIN: nothing now. CS_FAILED: the peer has gone. */
CS_MUST_USE cs_status ipc_fill(int fd, cs_buf *in, cs_reason other, cs_err *err);
/* Reads until the other side closes, waiting up to wait_ms for each piece. */
CS_MUST_USE cs_status ipc_read_all(int fd, cs_buf *in, int wait_ms, cs_reason other, cs_err *err);
/* Waits up to wait_ms for the next frame; in holds it and what follows. Consume *ret_used when it was handled. */
CS_MUST_USE cs_status ipc_await(int fd, cs_buf *in, const ipc_rule *wall, int wait_ms, cs_reason other, ipc_frame *ret,
                                size_t *ret_used, cs_err *err);

#endif
