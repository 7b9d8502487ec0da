/* store_priv.h - statements: prepared once, bound by position, stepped, reset. Only inside this room. */
#ifndef CS_STORE_PRIV_H
#define CS_STORE_PRIV_H

#include <sqlite3.h>

#include "store/store.h"

enum { STORE_STATEMENTS_MAX = 48 };

struct store {
    sqlite3 *db;
    struct {
        const char *sql; /* by address: each statement is one static text */
        sqlite3_stmt *stmt;
    } kept[STORE_STATEMENTS_MAX];
    sqlite3_stmt *open; /* whose row a caller's views look into */
    char path[];
};

/* The statement for sql, reset and unbound. */
cs_status store_prepare(store *st, const char *sql, sqlite3_stmt **ret, cs_err *err);
void store_bind_text(sqlite3_stmt *s, int i, const char *text); /* NULL binds NULL; must outlive the step */
void store_bind_blob(sqlite3_stmt *s, int i, cs_view bytes);
/* Runs to the end. */
cs_status store_run(store *st, sqlite3_stmt *s, cs_err *err);
/* One row: CS_OK; none: CS_AGAIN. */
cs_status store_step(store *st, sqlite3_stmt *s, cs_err *err);
/* Ends the reading of a statement's rows. */
void store_done(sqlite3_stmt *s);
cs_status store_fail(store *st, int code, const char *what, cs_err *err);
cs_view store_column_blob(sqlite3_stmt *s, int i);
/* SELECT of one number, 0 when it is NULL. */
cs_status store_number(store *st, const char *sql, uint64_t *ret, cs_err *err);

#endif
