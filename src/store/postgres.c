/* PostgreSQL 13 and later, through libpq: prepared statements, binary values. One transaction that changes something
 * runs at a time, whichever node it is of: a lock of the database orders them, so that numbers rise without gaps and a
 * reader never sees a later one before an earlier one. A connection that is lost is made anew by the next statement
 * outside of a transaction; inside of one, all of it has failed. */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/postgres_priv.h"

enum { OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_TEXT = 25 };

#define WRITER_LOCK "7165063142287469939" /* any number that is nobody else's */

typedef struct rows {
    PGresult *result;
    int at; /* the row that is read */
    int64_t changed;
    uint64_t prepared; /* on which connection; 0: on none */
    char name[24], *sql;
    bool streams; /* row by row: the connection is busy */
} rows;

static bool is_one_of(const char *state, const char *const list[]) {
    for (size_t i = 0; list[i] != NULL; i++)
        if (strncmp(state, list[i], strlen(list[i])) == 0) return true;
    return false;
}

/* SQLSTATE, or its class. */
static cs_reason reason_of(const char *state, bool lost) {
    static const char *const away[] = {"08", "57P", "53300", "25006", NULL}, *const busy[] = {"40", "55P03", NULL};
    static const char *const corrupt[] = {"XX001", "XX002", NULL};
    if (lost || is_one_of(state, away)) return CS_R_STORE_UNREACHABLE;
    if (is_one_of(state, busy)) return CS_R_STATE_BUSY;
    if (is_one_of(state, corrupt)) return CS_R_STATE_CORRUPT;
    if (strcmp(state, "53100") == 0) return CS_R_DISK_FULL;
    return CS_R_STORE_FAILED;
}

cs_status pg_fail(store *st, PGresult *take_result, const char *what, cs_err *err) {
    postgres *pg = st->impl;
    const char *state = take_result != NULL ? PQresultErrorField(take_result, PG_DIAG_SQLSTATE) : NULL;
    const char *text = take_result != NULL && state != NULL ? PQresultErrorField(take_result, PG_DIAG_MESSAGE_PRIMARY)
                                                            : PQerrorMessage(pg->c);
    cs_reason reason = reason_of(state != NULL ? state : "", PQstatus(pg->c) != CONNECTION_OK);
    if (text == NULL) text = "no answer";
    (void)cs_fail(err, CS_FAILED, reason, "%s: %s: %.*s", st->name, what, (int)strcspn(text, "\n"), text);
    if (reason == CS_R_STORE_UNREACHABLE) pg->stale = true;
    PQclear(take_result);
    return CS_FAILED;
}

cs_status pg_exec(store *st, const char *sql, const char *what, cs_err *err) {
    postgres *pg = st->impl;
    PGresult *r = PQexec(pg->c, sql);
    ExecStatusType status = PQresultStatus(r);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) return pg_fail(st, r, what, err);
    PQclear(r);
    return CS_OK;
}

/* A migration: lines that are for us alone lose their mark. */
static cs_status script(store *st, const char *sql, const char *what, cs_err *err) {
    static const char mark[] = "--postgres:";
    char *own = strdup(sql);
    if (own == NULL) return CS_NOMEM_ERR(err);
    for (char *p = own; (p = strstr(p, mark)) != NULL;) memset(p, ' ', sizeof mark - 1);
    cs_status status = pg_exec(st, own, what, err);
    free(own);
    return status;
}

/* "?12" becomes "$12", but not in what is quoted. */
static char *dollars(const char *sql) {
    char *out = strdup(sql);
    bool quoted = false;
    for (char *p = out; p != NULL && *p != '\0'; p++) {
        if (*p == '\'') quoted = !quoted;
        if (*p == '?' && !quoted) *p = '$';
    }
    return out;
}

static cs_status rows_of(store_stmt *s, rows **ret, cs_err *err) {
    rows *r = s->impl;
    if (r == NULL) {
        r = calloc(1, sizeof *r);
        if (r == NULL || (r->sql = dollars(s->sql)) == NULL) {
            free(r);
            return CS_NOMEM_ERR(err);
        }
        (void)snprintf(r->name, sizeof r->name, "s%llx", (unsigned long long)(uintptr_t)s);
        s->impl = r;
    }
    *ret = r;
    return CS_OK;
}

static cs_status prepare(store_stmt *s, rows *r, cs_err *err) {
    postgres *pg = s->st->impl;
    Oid types[STORE_PARAMS_MAX];
    if (r->prepared == pg->connection) return CS_OK;
    for (int i = 0; i < s->count; i++)
        types[i] = s->params[i].type == STORE_I64 ? OID_INT8 : s->params[i].type == STORE_BLOB ? OID_BYTEA : OID_TEXT;
    PGresult *result = PQprepare(pg->c, r->name, r->sql, s->count, types);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) return pg_fail(s->st, result, "prepare", err);
    PQclear(result);
    r->prepared = pg->connection;
    return CS_OK;
}

typedef struct values {
    const char *at[STORE_PARAMS_MAX];
    int n[STORE_PARAMS_MAX], format[STORE_PARAMS_MAX];
    uint64_t i64[STORE_PARAMS_MAX];
} values;

static void fill(const store_stmt *s, values *v) {
    for (int i = 0; i < s->count; i++) {
        const store_param *p = &s->params[i];
        v->format[i] = 1;
        v->i64[i] = htobe64((uint64_t)p->i64);
        v->at[i] = p->type == STORE_I64 ? (const char *)&v->i64[i] : p->p;
        v->n[i] = p->type == STORE_I64 ? 8 : (int)p->n;
    }
}

/* The next result of a statement whose rows come one by one. */
static cs_status next_row(store_stmt *s, rows *r, cs_err *err) {
    postgres *pg = s->st->impl;
    PQclear(r->result);
    r->result = PQgetResult(pg->c);
    r->at = 0;
    if (PQresultStatus(r->result) == PGRES_SINGLE_TUPLE) return CS_OK;
    PGresult *last = r->result;
    r->result = NULL;
    r->streams = pg->streams = false;
    cs_status status = CS_AGAIN;
    if (PQresultStatus(last) != PGRES_TUPLES_OK)
        status = pg_fail(s->st, last, "statement", err);
    else
        PQclear(last);
    while ((last = PQgetResult(pg->c)) != NULL) PQclear(last);
    return status;
}

static cs_status run(store_stmt *s, rows *r, cs_err *err) {
    postgres *pg = s->st->impl;
    values v;
    TRY(prepare(s, r, err));
    fill(s, &v);
    if (s->rows_many) {
        if (PQsendQueryPrepared(pg->c, r->name, s->count, v.at, v.n, v.format, 1) != 1)
            return pg_fail(s->st, NULL, "statement", err);
        (void)PQsetSingleRowMode(pg->c);
        r->streams = pg->streams = true;
        return CS_OK;
    }
    r->result = PQexecPrepared(pg->c, r->name, s->count, v.at, v.n, v.format, 1);
    ExecStatusType status = PQresultStatus(r->result);
    r->changed = strtoll(PQcmdTuples(r->result), NULL, 10);
    r->at = -1;
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return CS_OK;
    PGresult *bad = r->result;
    r->result = NULL;
    return pg_fail(s->st, bad, "statement", err);
}

static cs_status start(store_stmt *s, rows *r, cs_err *err) {
    postgres *pg = s->st->impl;
    if (pg->streams) return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "a statement inside of another's rows");
    if (!pg->in_transaction) TRY(pg_up(s->st, err));
    cs_status status = run(s, r, err);
    if (status != CS_FAILED || pg->in_transaction || !pg->stale) return status;
    TRY(pg_up(s->st, err)); /* it was lost while nobody looked: once more */
    return run(s, r, err);
}

static cs_status step(store_stmt *s, bool first, cs_err *err) {
    rows *r = NULL;
    TRY(rows_of(s, &r, err));
    if (first) TRY(start(s, r, err));
    if (r->streams) return next_row(s, r, err);
    if (r->result != NULL && ++r->at < PQntuples(r->result)) return CS_OK;
    PQclear(r->result);
    r->result = NULL;
    return CS_AGAIN;
}

/* Rows that nobody wants any more: the server need not send them all. */
static void cut_short(postgres *pg) {
    char ignored[256];
    PGcancel *cancel = pg->in_transaction ? NULL : PQgetCancel(pg->c);
    if (cancel != NULL) (void)PQcancel(cancel, ignored, sizeof ignored);
    PQfreeCancel(cancel);
    for (PGresult *r = PQgetResult(pg->c); r != NULL; r = PQgetResult(pg->c)) PQclear(r);
    pg->streams = false;
}

static void reset(store_stmt *s) {
    rows *r = s->impl;
    if (r == NULL) return;
    if (r->streams) cut_short(s->st->impl);
    r->streams = false;
    PQclear(r->result);
    r->result = NULL;
}

static void drop(store_stmt *s) {
    rows *r = s->impl;
    if (r == NULL) return;
    reset(s);
    free(r->sql);
    free(r);
}

static int64_t changed(const store_stmt *s) {
    const rows *r = s->impl;
    return r->changed;
}

static cs_view col_bytes(const store_stmt *s, int i) {
    const rows *r = s->impl;
    if (PQgetisnull(r->result, r->at, i)) return cs_view_of(NULL, 0);
    return cs_view_of(PQgetvalue(r->result, r->at, i), (size_t)PQgetlength(r->result, r->at, i));
}

static int64_t col_i64(const store_stmt *s, int i) {
    const rows *r = s->impl;
    cs_view v = col_bytes(s, i);
    uint64_t n = 0;
    for (size_t k = 0; k < v.n && k < 8; k++) n = n << 8 | v.p[k];
    switch (PQftype(r->result, i)) {
    case OID_INT2: return (int16_t)n;
    case OID_INT4: return (int32_t)n;
    case OID_INT8:
    case OID_BOOL: return (int64_t)n;
    default: return 0;
    }
}

static bool col_null(const store_stmt *s, int i) {
    const rows *r = s->impl;
    return PQgetisnull(r->result, r->at, i) != 0;
}

static cs_status begin(store *st, cs_err *err) {
    static const char sql[] = "BEGIN; SELECT pg_advisory_xact_lock(" WRITER_LOCK ")";
    postgres *pg = st->impl;
    store_rollback(st);
    TRY(pg_up(st, err));
    cs_status status = pg_exec(st, sql, "begin", err);
    if (status != CS_OK && pg->stale) {
        TRY(pg_up(st, err));
        status = pg_exec(st, sql, "begin", err);
    }
    pg->in_transaction = true;
    if (status != CS_OK) store_rollback(st);
    return status;
}

static cs_status commit(store *st, cs_err *err) {
    postgres *pg = st->impl;
    PGresult *r = PQexec(pg->c, st->fed ? "NOTIFY countersign; COMMIT" : "COMMIT");
    if (PQresultStatus(r) != PGRES_COMMAND_OK) return pg_fail(st, r, "commit", err);
    bool kept = strcmp(PQcmdStatus(r), "COMMIT") == 0; /* a transaction that failed answers ROLLBACK */
    PQclear(r);
    if (!kept) return cs_fail(err, CS_FAILED, CS_R_STORE_FAILED, "%s: commit: a statement before had failed", st->name);
    pg->in_transaction = false;
    return CS_OK;
}

static void rollback(store *st) {
    postgres *pg = st->impl;
    cs_err ignored;
    if (!pg->in_transaction) return;
    pg->in_transaction = false;
    if (pg->streams) cut_short(pg);
    if (pg_exec(st, "ROLLBACK", "rollback", &ignored) != CS_OK) pg->stale = true;
}

static cs_status version(store *st, uint64_t *ret, cs_err *err) {
    uint64_t there = 0;
    TRY(store_number(st, "SELECT COUNT(*) FROM pg_catalog.pg_class WHERE oid = to_regclass('meta')", &there, err));
    *ret = 0;
    if (there == 0) return CS_OK;
    return store_number(st, "SELECT CAST(value AS BIGINT) FROM meta WHERE name = 'schema'", ret, err);
}

static cs_status version_set(store *st, uint64_t v, cs_err *err) {
    char sql[160];
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO meta (name, value) VALUES ('schema', '%llu') ON CONFLICT (name) DO UPDATE SET value = "
                   "EXCLUDED.value",
                   (unsigned long long)v);
    return pg_exec(st, sql, "schema", err);
}

const store_driver store_postgres = {
    .before_first = "CREATE DOMAIN blob AS bytea",
    .open = pg_open,
    .close = pg_close,
    .exec = script,
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .version = version,
    .version_set = version_set,
    .node_set = pg_node_set,
    .turn_take = pg_turn_take,
    .turn_end = pg_turn_end,
    .watch = pg_watch,
    .watched = pg_watched,
    .step = step,
    .reset = reset,
    .drop = drop,
    .changed = changed,
    .col_i64 = col_i64,
    .col_bytes = col_bytes,
    .col_null = col_null,
    .columns = PG_COLUMNS,
    .begin_read = pg_begin_read,
    .alone = pg_alone,
    .sound = pg_sound,
    .load_begin = pg_load_begin,
    .load_row = pg_load_row,
    .load_end = pg_load_end,
};
