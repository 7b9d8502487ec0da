/* cli/print.h - what commands that ask the authority share: one way in, tables, text for a URL. */
#ifndef CS_CLI_PRINT_H
#define CS_CLI_PRINT_H

#include "cli/cli.h"
#include "cli/session.h"

/* Loads the configuration and opens a session; both are the caller's. */
CS_MUST_USE cs_status open_session(const conf_overrides *said, conf **ret_conf, session **ret, cs_err *err);

/* The text with %XX for what may not stand in a query. */
bool url_add(cs_buf *b, const char *text);

/* Is it written like a serial number (16 to 40 hex digits, ':' allowed)? Into out as lower case without ':'. */
bool serial_like(const char *text, char out[2 * CS_SERIAL_MAX + 1]);

/* A table for people: cells are borrowed until table_end. Columns are as wide as their widest cell; what could be taken
 * for a terminal's command is escaped. */
enum { TABLE_COLUMNS = 6 };
typedef struct table {
    cs_buf cells; /* NUL after each */
    size_t columns, width[TABLE_COLUMNS], at;
} table;
table table_begin(size_t columns, const char *const heads[]);
void table_add(table *t, const char *text);
void table_end(table *t, cs_buf *b);

/* Prints the JSON as it came, one line. */
int print_json(const json_t *j);
/* "2026-11-23 16:05" of an RFC 3339 text; as it is when it is none. */
const char *short_time(const char *rfc3339, char out[32]);

#endif
