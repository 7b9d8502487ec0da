/* enroll/trace.h - transcripts of enrollments, decoded, for whoever debugs a client: enroll.trace of the configuration.
 * Owner: the request that began one; one thread. Kept in STATE/authority/trace, 0600, at most ENROLL_TRACE_FILES of
 * them: after a start the first are written over. A door says what it understood, line by line; never a secret. */
#ifndef CS_ENROLL_TRACE_H
#define CS_ENROLL_TRACE_H

#include "enroll/enroll.h"
#include "x509/csr.h"

enum { ENROLL_TRACE_FILES = 1000, ENROLL_TRACE_MAX = 256 * 1024 };
typedef struct enroll_trace enroll_trace;

/* NULL when none is wanted or memory ran out: every call below takes NULL and does nothing then. */
enroll_trace *enroll_trace_begin(enroll *e, const char *door, const char *source);
void enroll_trace_line(enroll_trace *t, const char *key, const char *fmt, ...) CS_PRINTF(3, 4);
/* As base64 in lines. */
void enroll_trace_bytes(enroll_trace *t, const char *key, cs_view bytes);
void enroll_trace_cert(enroll_trace *t, const char *key, const cs_cert *cert); /* NULL: "none" */
void enroll_trace_csr(enroll_trace *t, const cs_csr *csr);                     /* without its challenge */
/* Writes and frees it. why: how it was refused; NULL: it was not. */
void enroll_trace_end(enroll_trace *t, const cs_err *why);

#endif
