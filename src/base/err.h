/* base/err.h - the one error idiom: status + reason + detail, guarded by TRY, cleaned up by CS_AUTO.
 * Nothing is owned; any thread; a cs_err lives in its caller's frame. */
#ifndef CS_BASE_ERR_H
#define CS_BASE_ERR_H

#include <countersign/error.h>

/* Go on only on CS_OK; anything else is returned as it is. What was acquired must be held by CS_AUTO. */
#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        cs_status try_status_ = (call);                                                                                \
        if (try_status_ != CS_OK) return try_status_;                                                                  \
    } while (0)

/* CS_AUTO(cs_buf) b = NULL; : cs_buf_free(b) on every way out. Define once a type, beside its _free:
 * CS_AUTO_DEFINE(cs_buf). */
#define CS_AUTO_DEFINE(type)                                                                                           \
    static inline void type##_auto_(type **held) {                                                                     \
        type##_free(*held);                                                                                            \
    }
#define CS_AUTO(type) __attribute__((cleanup(type##_auto_))) type *

/* The pointer, no longer ours to free: *ret_x = CS_TAKE(x); */
#define CS_TAKE(ptr)                                                                                                   \
    (__extension__({                                                                                                   \
        __typeof__(ptr) taken_ = (ptr);                                                                                \
        (ptr) = NULL;                                                                                                  \
        taken_;                                                                                                        \
    }))

#define CS_NOMEM_ERR(err) cs_fail((err), CS_NOMEM, CS_R_OUT_OF_MEMORY, "%s", __func__)

/* A failed system call: chooses the reason by errno (disk-full, file-not-found, file-unreadable, ...), else `other`;
 * the detail is the formatted text followed by ": " and the system's words. Returns CS_FAILED. */
cs_status cs_fail_errno(cs_err *err, int errnum, cs_reason other, const char *fmt, ...) CS_PRINTF(4, 5);

/* The static analyzer sees one file at a time: tell it that a failure is never CS_OK. */
#ifdef __clang_analyzer__
#define cs_fail(err, status, ...) ((void)(cs_fail)((err), (status), __VA_ARGS__), (status))
#define cs_fail_errno(...) ((void)(cs_fail_errno)(__VA_ARGS__), CS_FAILED)
#endif

#endif
