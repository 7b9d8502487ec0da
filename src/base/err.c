#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Copies `in` to out, controls as \xNN, so that one detail stays one line whatever a peer put in a name. */
static void escape_controls(const char *in, char *out, size_t out_size) {
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    for (; *in != '\0' && n + 5 < out_size; in++) {
        unsigned char c = (unsigned char)*in;
        if (c < 0x20 || c == 0x7f) {
            out[n++] = '\\', out[n++] = 'x';
            out[n++] = hex[c >> 4], out[n++] = hex[c & 15];
        } else {
            out[n++] = (char)c;
        }
    }
    /* never leave half of a UTF-8 sequence at a cut */
    if (*in != '\0') {
        while (n > 0 && ((unsigned char)out[n - 1] & 0xc0) == 0x80) n--;
        if (n > 0 && ((unsigned char)out[n - 1] & 0x80) != 0) n--;
    }
    out[n] = '\0';
}

static cs_status fill(cs_err *err, cs_status status, cs_reason reason, const char *text) {
    err->status = status;
    err->reason = reason;
    escape_controls(text, err->detail, sizeof err->detail);
    return status;
}

cs_status(cs_fail)(cs_err *err, cs_status status, cs_reason reason, const char *fmt, ...) {
    char text[CS_DETAIL_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return fill(err, status, reason, text);
}

bool cs_err_is(const cs_err *err, const char *name) {
    return strcmp(cs_reason_of(err->reason)->name, name) == 0;
}

cs_status cs_fail_in(cs_err *err, const char *fmt, ...) {
    char context[CS_DETAIL_MAX];
    char text[2 * CS_DETAIL_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(context, sizeof context, fmt, ap);
    va_end(ap);
    (void)snprintf(text, sizeof text, "%s%s%s", context, err->detail[0] ? ": " : "", err->detail);
    return fill(err, err->status, err->reason, text);
}

static cs_reason reason_of_errno(int errnum, cs_reason other) {
    switch (errnum) {
    case ENOSPC:
    case EDQUOT: return CS_R_DISK_FULL;
    case ENOENT:
    case ENOTDIR: return CS_R_FILE_NOT_FOUND;
    case EROFS: return CS_R_FILE_UNWRITABLE;
    case EEXIST: return CS_R_FILE_EXISTS;
    case EADDRINUSE: return CS_R_PORT_IN_USE;
    case EADDRNOTAVAIL: return CS_R_ADDRESS_INVALID;
    case ENOMEM: return CS_R_OUT_OF_MEMORY;
    default: return other;
    }
}

cs_status(cs_fail_errno)(cs_err *err, int errnum, cs_reason other, const char *fmt, ...) {
    char what[CS_DETAIL_MAX];
    char text[2 * CS_DETAIL_MAX];
    char words[128];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    const char *said = strerror_r(errnum, words, sizeof words);
    (void)snprintf(text, sizeof text, "%s: %s", what, said);
    return fill(err, CS_FAILED, reason_of_errno(errnum, other), text);
}
