/* io/inout.h - standard input and output as one socket, for a program that serves sockets.
 * Owner: the program's main thread; once a process. */
#ifndef CS_IO_INOUT_H
#define CS_IO_INOUT_H

#include "base/err.h"

typedef struct inout inout;
/* Where standard input is a socket (inetd, systemd with Accept=yes), it is that one; else what is read from standard
 * input comes out of it, and what is written to it goes to standard output. *ret_fd is the caller's. What would go to
 * that socket as standard error goes nowhere. */
CS_MUST_USE cs_status inout_new(inout **ret, int *ret_fd, cs_err *err);
/* Begins to carry; after the sandbox, which holds for the threads that are made in it. */
CS_MUST_USE cs_status inout_start(inout *io, cs_err *err);
/* Waits until all that was written to the socket has left, when the caller's end is closed; and ends. */
void inout_free(inout *io);
CS_AUTO_DEFINE(inout)

#endif
