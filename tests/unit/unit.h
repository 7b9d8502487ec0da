/* What every unit test includes: cmocka with the headers that it wants before it (their order matters). */
#ifndef CS_UNIT_H
#define CS_UNIT_H

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#include "base/err.h"

/* The call must give CS_OK; shows reason and detail when it does not. Needs a cs_err err in scope. */
#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        cs_status status_ = (call);                                                                                    \
        if (status_ != CS_OK) fail_msg("%s: %s: %s", #call, cs_reason_of(err.reason)->name, err.detail);               \
    } while (0)

/* The call must fail with that reason (CS_R_...). */
#define assert_fails(call, expected)                                                                                   \
    do {                                                                                                               \
        err.reason = CS_R_NONE;                                                                                        \
        if ((call) == CS_OK) fail_msg("%s: accepted", #call);                                                          \
        if (err.reason != (expected))                                                                                  \
            fail_msg("%s: %s (%s), not %s", #call, cs_reason_of(err.reason)->name, err.detail,                         \
                     cs_reason_of(expected)->name);                                                                    \
    } while (0)

#endif
