/* postgres_priv.h - one connection to PostgreSQL: made, lost, made anew. Only postgres*.c. */
#ifndef CS_STORE_POSTGRES_PRIV_H
#define CS_STORE_POSTGRES_PRIV_H

#include <libpq-fe.h>

#include "store/store_priv.h"

typedef struct postgres {
    PGconn *c;
    uint64_t connection; /* which one it is, from 1: statements are prepared for one */
    bool stale;          /* it is lost, or leads to a server that no longer writes */
    bool in_transaction;
    bool streams; /* rows are coming one by one: nothing else can be asked */
    bool listens;
    cs_buf load; /* rows on their way */
} postgres;

cs_status pg_open(store *st, cs_err *err);
void pg_close(store *st);
/* Connected: anew, when the one before was lost. store-unreachable. */
cs_status pg_up(store *st, cs_err *err);
cs_status pg_exec(store *st, const char *sql, const char *what, cs_err *err);
/* The connection's last error, or the result's; marks the connection stale when it is. */
cs_status pg_fail(store *st, PGresult *take_result, const char *what, cs_err *err);
cs_status pg_node_set(store *st, cs_err *err);
cs_status pg_turn_take(store *st, bool *ret_mine, cs_err *err);
void pg_turn_end(store *st);
int pg_watch(store *st, bool *ret_anew);
bool pg_watched(store *st);

/* ---- upkeep (postgres_upkeep.c) ---- */
#define PG_COLUMNS                                                                                                     \
    "SELECT CAST(c.table_name AS TEXT), CAST(c.column_name AS TEXT), CAST(COALESCE(c.domain_name, c.data_type) AS "    \
    "TEXT) FROM information_schema.columns c JOIN information_schema.tables t ON t.table_schema = c.table_schema AND " \
    "t.table_name = c.table_name WHERE t.table_type = 'BASE TABLE' AND c.table_schema = CAST(current_schema() AS "     \
    "TEXT) "                                                                                                           \
    "ORDER BY CAST(c.table_name AS TEXT) COLLATE \"C\", CAST(c.column_name AS TEXT) COLLATE \"C\""
cs_status pg_begin_read(store *st, cs_err *err);
cs_status pg_alone(store *st, cs_err *err);
cs_status pg_sound(store *st, cs_buf *out, cs_err *err);
cs_status pg_load_begin(store *st, const char *sql, cs_err *err);
cs_status pg_load_row(store *st, const store_param *values, size_t n, cs_err *err);
cs_status pg_load_end(store *st, bool good, cs_err *err);

#endif
