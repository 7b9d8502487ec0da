/* cli/bulk.h - certificates for a whole list of identities: for `issue --from`. One thread.
 *
 * What a power cut or kill -9 leaves is gone on with by the same command: the folder holds a file that names the run,
 * from which each row's idempotency key is made, and each new key is on disk before its certificate is asked for. So a
 * row that was asked for and not written is answered with the same certificate. Rows whose files are there are done. */
#ifndef CS_CLI_BULK_H
#define CS_CLI_BULK_H

#include "cli/fleet.h"
#include "cli/session.h"

typedef struct bulk_ask {
    const char *from, *out;
    cs_kind kind;        /* of rows that do not say; CS_KIND_OTHER: they must */
    bool keep_going;     /* bad rows are told and left out; else none is issued when one is bad */
    bool p12, modern;    /* NAME.p12 and NAME.p12.password instead of NAME.crt and NAME.key */
    const char *labels;  /* a folder for NAME.svg and labels.html; NULL: none */
    const char *archive; /* at the end all goes into this tar; NULL: none */
} bulk_ask;

typedef struct bulk_made {
    size_t rows, issued, there, bad;
    cs_buf bad_json; /* one object a bad row, with commas between */
} bulk_made;

/* Bad rows are said on stderr as they are met. CS_OK when all that could be asked for was; the caller looks at
 * ret->bad. */
CS_MUST_USE cs_status bulk_run(const bulk_ask *ask, const conf *c, session *s, bulk_made *ret, cs_err *err);

#endif
