/* base/fault.h - named points where a test may make the program die or fail. Compiled in only with -Dfaults=true;
 * a release build holds no trace of them (tests/e2e/test_crash.py).
 *
 * COUNTERSIGN_FAULT="name:kill" or "name:fail", with ":N" for the N-th passage (default 1, then every later one for
 * fail). Several are separated by commas. */
#ifndef CS_BASE_FAULT_H
#define CS_BASE_FAULT_H

#include "base/err.h"

#ifdef CS_FAULTS
/* CS_OK to go on, else CS_FAILED with internal-error and the point's name. */
cs_status cs_fault_at(const char *name, cs_err *err);
#define CS_FAULT(name, err) TRY(cs_fault_at((name), (err)))
#else
#define CS_FAULT(name, err) ((void)0)
#endif

#endif
