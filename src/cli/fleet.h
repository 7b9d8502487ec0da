/* cli/fleet.h - a list of identities in a file: CSV with a heading (RFC 4180), or JSON objects, one a line.
 * Owned by the command; one thread. The whole file is held; a row is taken apart when it is asked for, so that a
 * hundred thousand of them need no more than their text. */
#ifndef CS_CLI_FLEET_H
#define CS_CLI_FLEET_H

#include <jansson.h>

#include "keys/keys.h"
#include "x509/identity.h"

enum { FLEET_FILE_MAX = 128 * 1024 * 1024, FLEET_ROWS_MAX = 1000 * 1000, FLEET_ROW_MAX = 64 * 1024 };

typedef struct fleet fleet;

/* "-" is standard input. kind: what rows are that do not say (CS_KIND_OTHER: each must). file-malformed naming line and
 * column for a heading that is not understood or a quote that is not closed; limit-reached. */
CS_MUST_USE cs_status fleet_open(const char *path, cs_kind kind, fleet **ret, cs_err *err);
void fleet_free(fleet *f);
CS_AUTO_DEFINE(fleet)
size_t fleet_count(const fleet *f);

/* Any list of that form. columns: static; needed: a heading, or object, must have it. */
typedef struct fleet_column {
    const char *name;
    bool list; /* words with blanks between; in JSON a list */
    bool needed;
} fleet_column;
CS_MUST_USE cs_status fleet_open_columns(const char *path, const fleet_column *columns, size_t n, fleet **ret,
                                         cs_err *err);
/* Row i as an object of those columns that it fills, the caller's; errors begin with "line N". */
CS_MUST_USE cs_status fleet_said(const fleet *f, size_t i, json_t **ret, cs_err *err);

typedef struct fleet_row {
    unsigned line; /* of the file, from 1 */
    cs_identity who;
    cs_key_spec spec;
    const char *csr; /* a file; NULL: a key is to be made */
    json_t *ask;     /* kind, name, dns, ip, email, lifetime_seconds: as the authority takes it */
    json_t *said;    /* the row; csr looks into it */
} fleet_row;
void fleet_row_free(fleet_row *r); /* what it holds */

/* Row i, judged as far as it can be without the authority; errors begin with "line N". */
CS_MUST_USE cs_status fleet_row_read(const fleet *f, size_t i, fleet_row *ret, cs_err *err);
unsigned fleet_line(const fleet *f, size_t i);

#endif
