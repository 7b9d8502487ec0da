/* countersign/error.h - how every function of countersign says what happened.
 *
 * A function returns a cs_status, which is all that a program branches on. When it is not CS_OK or CS_AGAIN, the
 * caller's cs_err (by value, in the caller's frame; never NULL) holds the reason, a stable name from one table, and
 * a detail, which names the file, field, certificate or peer. Details are for the operator: never send them to a peer.
 * Nothing here allocates, locks or keeps global state. */
#ifndef COUNTERSIGN_ERROR_H
#define COUNTERSIGN_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CS_API __attribute__((visibility("default")))
#define CS_MUST_USE __attribute__((warn_unused_result))
#define CS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define CS_API
#define CS_MUST_USE
#define CS_PRINTF(fmt, args)
#endif

typedef enum cs_status {
    CS_OK = 0,
    CS_AGAIN,   /* not an error: more input, or a wait, is needed; cs_err is untouched */
    CS_REFUSED, /* a rule says no, or the input is not what it must be */
    CS_FAILED,  /* the surroundings failed: file, network, database, another process */
    CS_LIMIT,   /* a stated bound would be passed */
    CS_NOMEM,
} cs_status;

/* Every way that anything is refused or fails. The kebab-case names are the contract (logs, metrics, JSON);
 * the numbers may change from one release to the next. */
typedef enum cs_reason {
    CS_R_NONE = 0,
#define X(id, name, alert, http, says, advice, source) CS_R_##id,
#include <countersign/reasons.def>
#undef X
    CS_R_COUNT_
} cs_reason;

enum { CS_DETAIL_MAX = 512 };

typedef struct cs_err {
    cs_status status;
    cs_reason reason;
    char detail[CS_DETAIL_MAX]; /* UTF-8, NUL-terminated, outside text escaped; "" = nothing to add */
} cs_err;

typedef struct cs_reason_info {
    const char *name;   /* "certificate-expired" */
    int alert;          /* TLS alert sent to the peer; 0 = none */
    int http;           /* status where HTTP is spoken */
    const char *says;   /* one sentence of meaning, without full stop */
    const char *advice; /* what mends it */
    const char *source; /* RFC section or the like; "" = our own rule */
} cs_reason_info;

/* The row of `reason`; never NULL (an unknown number gives the row of internal-error). Static storage. */
CS_API const cs_reason_info *cs_reason_of(cs_reason reason);

/* The reason of that kebab-case name, or CS_R_NONE. */
CS_API cs_reason cs_reason_by_name(const char *name);

/* Is that its reason? The way to ask that outlives a release, since names are never changed. */
CS_API bool cs_err_is(const cs_err *err, const char *name);

/* Fill *err and return `status`. Sets all three fields; control characters in the text that the format makes
 * become \xNN, so that outside names may be passed as they are. */
CS_API cs_status cs_fail(cs_err *err, cs_status status, cs_reason reason, const char *fmt, ...) CS_PRINTF(4, 5);

/* Put "context: " before the detail that an inner function left; its reason and status stay. Returns err->status. */
CS_API cs_status cs_fail_in(cs_err *err, const char *fmt, ...) CS_PRINTF(2, 3);

#ifdef __cplusplus
}
#endif
#endif
