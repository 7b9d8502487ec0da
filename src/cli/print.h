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

/* Lists that come in pages: each object of `member`, over all pages, at most `limit` (0: all). path: without limit and
 * after. */
typedef cs_status page_get(void *to, const char *path, json_t **ret, cs_err *err);
typedef cs_status page_row(void *cls, const json_t *row, cs_err *err);
CS_MUST_USE cs_status each_row(page_get *get, void *to, const char *path, const char *member, unsigned limit,
                               page_row *row, void *cls, cs_err *err);
/* A page_get; to: a session. */
CS_MUST_USE cs_status session_get(void *to, const char *path, json_t **ret, cs_err *err);
/* The same as a table in b, or with json as it came, one object a line on stdout. */
typedef struct list_form {
    size_t columns;
    const char *const *heads;
    void (*add)(table *t, const json_t *row);
    bool json;
} list_form;
CS_MUST_USE cs_status list_rows(session *s, const char *path, const char *member, unsigned limit, const list_form *form,
                                cs_buf *b, cs_err *err);

/* Prints the JSON as it came, one line. */
int print_json(const json_t *j);
/* "2026-11-23 16:05" of an RFC 3339 text; as it is when it is none. */
const char *short_time(const char *rfc3339, char out[32]);

#endif
