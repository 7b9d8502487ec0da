/* PostgreSQL, looked over and filled as a whole. */
#include <stdio.h>

#include "store/postgres_priv.h"

enum { LOAD_MAX = 1024 * 1024 * 1024, LOAD_SEND = 256 * 1024 };

cs_status pg_begin_read(store *st, cs_err *err) {
    postgres *pg = st->impl;
    TRY(pg_up(st, err));
    TRY(pg_exec(st, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "begin", err));
    pg->in_transaction = true;
    return CS_OK;
}

cs_status pg_alone(store *st, cs_err *err) {
    uint64_t nodes = 0;
    TRY(store_number(st, "SELECT COUNT(*) FROM nodes_alive", &nodes, err));
    if (nodes == 0) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_STATE_BUSY, "%s: %llu authorities are at work on it", st->name,
                   (unsigned long long)nodes);
}

/* Reading a page verifies its checksum, where the cluster has them; the rules read every row. The indexes are compared
 * with their tables where amcheck is installed and ours to use. */
cs_status pg_sound(store *st, cs_buf *out, cs_err *err) {
    static const char there[] = "SELECT COUNT(*) FROM pg_proc WHERE proname = 'bt_index_check' AND pronargs = 2 AND "
                                "has_function_privilege(oid, 'EXECUTE')";
    static const char look[] =
        "SELECT COUNT(bt_index_check(i.indexrelid, true)) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN "
        "pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND i.indisvalid AND c.relnamespace = "
        "CAST(CAST(current_schema() AS TEXT) AS regnamespace)";
    uint64_t n = 0;
    TRY(store_number(st, there, &n, err));
    if (n == 0) return CS_OK;
    (void)out; /* what it finds is an error of the statement, which ends the transaction */
    return store_number(st, look, &n, err);
}

cs_status pg_load_begin(store *st, const char *sql, cs_err *err) {
    postgres *pg = st->impl;
    cs_buf_free(&pg->load);
    pg->load = cs_buf_of(LOAD_MAX);
    PGresult *r = PQexec(pg->c, sql);
    if (PQresultStatus(r) != PGRES_COPY_IN) return pg_fail(st, r, "copy", err);
    PQclear(r);
    return CS_OK;
}

static cs_status send(store *st, cs_err *err) {
    postgres *pg = st->impl;
    TRY(cs_buf_ok(&pg->load, "a row", err));
    if (PQputCopyData(pg->c, (const char *)pg->load.p, (int)pg->load.n) != 1) return pg_fail(st, NULL, "copy", err);
    cs_buf_clear(&pg->load);
    return CS_OK;
}

/* COPY's text format. */
static void add_value(cs_buf *b, const store_param *v) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = v->p;
    if (v->type == STORE_NULL) {
        (void)cs_buf_add_str(b, "\\N");
    } else if (v->type == STORE_I64) {
        (void)cs_buf_addf(b, "%lld", (long long)v->i64);
    } else if (v->type == STORE_BLOB) {
        (void)cs_buf_add_str(b, "\\\\x");
        uint8_t *hex = cs_buf_reserve(b, 2 * v->n);
        if (hex == NULL) return;
        for (size_t i = 0; i < v->n; i++) {
            hex[2 * i] = (uint8_t)digits[p[i] >> 4];
            hex[2 * i + 1] = (uint8_t)digits[p[i] & 15];
        }
        cs_buf_commit(b, 2 * v->n);
    } else {
        for (size_t i = 0; i < v->n; i++) {
            const char *escaped = p[i] == '\\'   ? "\\\\"
                                  : p[i] == '\n' ? "\\n"
                                  : p[i] == '\r' ? "\\r"
                                  : p[i] == '\t' ? "\\t"
                                                 : NULL;
            if (escaped != NULL)
                (void)cs_buf_add_str(b, escaped);
            else
                (void)cs_buf_add_byte(b, p[i]);
        }
    }
}

cs_status pg_load_row(store *st, const store_param *values, size_t n, cs_err *err) {
    postgres *pg = st->impl;
    for (size_t i = 0; i < n; i++) {
        if (i > 0) (void)cs_buf_add_byte(&pg->load, '\t');
        add_value(&pg->load, &values[i]);
    }
    (void)cs_buf_add_byte(&pg->load, '\n');
    return pg->load.n < LOAD_SEND ? CS_OK : send(st, err);
}

cs_status pg_load_end(store *st, bool good, cs_err *err) {
    postgres *pg = st->impl;
    cs_status status = good && pg->load.n > 0 ? send(st, err) : CS_OK;
    if (PQputCopyEnd(pg->c, good && status == CS_OK ? NULL : "given up") != 1) return pg_fail(st, NULL, "copy", err);
    cs_err refused;
    cs_status ended = CS_OK;
    for (PGresult *r = PQgetResult(pg->c); r != NULL; r = PQgetResult(pg->c)) {
        if (PQresultStatus(r) != PGRES_COMMAND_OK)
            ended = pg_fail(st, r, "copy", &refused);
        else
            PQclear(r);
    }
    if (status == CS_OK && ended != CS_OK) *err = refused;
    return status != CS_OK ? status : ended;
}
