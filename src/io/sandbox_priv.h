/* io/sandbox_priv.h - the two halves of a sandbox, each in its own file. */
#ifndef CS_IO_SANDBOX_PRIV_H
#define CS_IO_SANDBOX_PRIV_H

#include "io/sandbox.h"

/* File system: CS_OK also where the kernel has no Landlock. */
cs_status sandbox_landlock(const sandbox_plan *plan, cs_err *err);
/* No io_uring, and nothing else. */
cs_status sandbox_no_ring(cs_err *err);
/* System calls. */
cs_status sandbox_seccomp(const sandbox_plan *plan, cs_err *err);

#endif
