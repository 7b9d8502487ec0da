/* Statements as verbs see them; the driver runs them. */
#include <stdio.h>
#include <stdlib.h>

#include "store/store_priv.h"

static size_t slot_of(const char *sql) {
    return (size_t)(((uintptr_t)sql * 0x9E3779B97F4A7C15u) >> 32) & (STORE_STATEMENTS_MAX - 1);
}

cs_status store_stmt_open(store *st, const char *sql, store_stmt **ret, cs_err *err) {
    size_t i = slot_of(sql), tried = 0;
    while (st->kept[i] != NULL && st->kept[i]->sql != sql && ++tried < STORE_STATEMENTS_MAX)
        i = (i + 1) & (STORE_STATEMENTS_MAX - 1);
    if (tried == STORE_STATEMENTS_MAX) return cs_fail(err, CS_LIMIT, CS_R_INTERNAL_ERROR, "too many statements");
    if (st->kept[i] == NULL) {
        st->kept[i] = calloc(1, sizeof *st->kept[i]);
        if (st->kept[i] == NULL) return CS_NOMEM_ERR(err);
        st->kept[i]->st = st;
        st->kept[i]->sql = sql;
    }
    store_stmt_done(st->kept[i]);
    st->kept[i]->rows_many = false;
    *ret = st->kept[i];
    return CS_OK;
}

cs_status store_stmt_open_own(store *st, char *take_sql, store_stmt **ret, cs_err *err) {
    if (take_sql == NULL) return CS_NOMEM_ERR(err);
    cs_status status = store_stmt_open(st, take_sql, ret, err);
    if (status == CS_OK)
        (*ret)->own = take_sql;
    else
        free(take_sql);
    return status;
}

static void bind(store_stmt *s, int i, store_param p) {
    if (i > s->count) s->count = i;
    if (i >= 1 && i <= STORE_PARAMS_MAX) s->params[i - 1] = p; /* else the step fails */
}

void store_stmt_i64(store_stmt *s, int i, int64_t v) {
    bind(s, i, (store_param){.type = STORE_I64, .i64 = v});
}

void store_stmt_text(store_stmt *s, int i, const char *text) {
    bind(s, i, (store_param){.type = STORE_TEXT, .p = text, .n = text != NULL ? strlen(text) : 0});
}

void store_stmt_text_view(store_stmt *s, int i, cs_view text) {
    bind(s, i, (store_param){.type = STORE_TEXT, .p = text.p != NULL ? (const void *)text.p : "", .n = text.n});
}

void store_stmt_blob(store_stmt *s, int i, cs_view bytes) {
    bind(s, i, (store_param){.type = STORE_BLOB, .p = bytes.p, .n = bytes.n});
}

void store_stmt_many(store_stmt *s) {
    s->rows_many = true;
}

cs_status store_stmt_step(store_stmt *s, cs_err *err) {
    bool first = !s->running;
    if (s->count > STORE_PARAMS_MAX)
        return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "a statement with %d parameters", s->count);
    s->running = true;
    cs_status status = s->st->driver->step(s, first, err);
    s->running = status == CS_OK;
    return status;
}

cs_status store_stmt_run(store_stmt *s, cs_err *err) {
    cs_status status = CS_OK;
    while (status == CS_OK) status = store_stmt_step(s, err);
    return status == CS_AGAIN ? CS_OK : status;
}

cs_status store_stmt_each(store_stmt *s, store_row *row, void *cls, cs_err *err) {
    cs_status status = CS_OK;
    while ((status = store_stmt_step(s, err)) == CS_OK) {
        status = row(s, cls, err);
        if (status == CS_OK) continue;
        store_stmt_done(s);
        return status;
    }
    return status == CS_AGAIN ? CS_OK : status;
}

int64_t store_stmt_changed(const store_stmt *s) {
    return s->st->driver->changed(s);
}

void store_stmt_done(store_stmt *s) {
    s->st->driver->reset(s);
    s->running = false;
}

int64_t store_col_i64(const store_stmt *s, int i) {
    return s->st->driver->col_i64(s, i);
}

cs_view store_col_blob(const store_stmt *s, int i) {
    return s->st->driver->col_bytes(s, i);
}

cs_view store_col_text(const store_stmt *s, int i) {
    return s->st->driver->col_bytes(s, i);
}

const char *store_col_cstr(const store_stmt *s, int i) {
    cs_view v = store_col_text(s, i);
    return v.p != NULL ? (const char *)v.p : "";
}

bool store_col_null(const store_stmt *s, int i) {
    return s->st->driver->col_null(s, i);
}

void store_col_copy(const store_stmt *s, int i, char *out, size_t size) {
    cs_view v = store_col_text(s, i);
    (void)snprintf(out, size, "%.*s", (int)v.n, v.n > 0 ? (const char *)v.p : "");
}

cs_kind store_col_kind(const store_stmt *s, int i) {
    cs_kind kind = CS_KIND_OTHER;
    (void)cs_kind_parse(store_col_text(s, i), &kind);
    return kind;
}

void store_col_hash(const store_stmt *s, int i, uint8_t out[32]) {
    cs_view v = store_col_blob(s, i);
    memset(out, 0, 32);
    if (v.n == 32) memcpy(out, v.p, 32);
}

cs_status store_number(store *st, const char *sql, uint64_t *ret, cs_err *err) {
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    cs_status status = store_stmt_step(s, err);
    if (status != CS_OK && status != CS_AGAIN) return status;
    *ret = status == CS_OK ? (uint64_t)store_col_i64(s, 0) : 0;
    store_stmt_done(s);
    return CS_OK;
}

void store_settle(store *st) {
    for (size_t i = 0; i < STORE_STATEMENTS_MAX; i++)
        if (st->kept[i] != NULL) store_stmt_done(st->kept[i]);
}

cs_status store_begin(store *st, cs_err *err) {
    store_settle(st);
    st->edge_good = false;
    st->fed = false;
    return st->driver->begin(st, err);
}

cs_status store_commit(store *st, cs_err *err) {
    cs_status status = st->driver->commit(st, err);
    if (status != CS_OK) store_rollback(st);
    return status;
}

void store_rollback(store *st) {
    st->edge_good = false;
    st->edge.size = 0;
    st->driver->rollback(st);
}

void store_free(store *st) {
    if (st == NULL) return;
    for (size_t i = 0; i < STORE_STATEMENTS_MAX; i++) {
        if (st->kept[i] == NULL) continue;
        st->driver->drop(st->kept[i]);
        free(st->kept[i]->own);
        free(st->kept[i]);
    }
    st->driver->close(st);
    free(st->where);
    free(st);
}

bool store_is_url(const char *where) {
    return strncmp(where, "postgresql://", 13) == 0 || strncmp(where, "postgres://", 11) == 0;
}

int store_watch(store *st, bool *ret_anew) {
    return st->driver->watch != NULL ? st->driver->watch(st, ret_anew) : -1;
}

bool store_watched(store *st) {
    return st->driver->watched != NULL && st->driver->watched(st);
}

cs_status store_node_set(store *st, uint32_t node, cs_err *err) {
    st->node = node;
    return st->driver->node_set != NULL ? st->driver->node_set(st, err) : CS_OK;
}

cs_status store_turn_take(store *st, bool *ret_mine, cs_err *err) {
    *ret_mine = true;
    return st->driver->turn_take != NULL ? st->driver->turn_take(st, ret_mine, err) : CS_OK;
}

void store_turn_end(store *st) {
    if (st->driver->turn_end != NULL) st->driver->turn_end(st);
}

bool store_is_shared(const store *st) {
    return st->driver->watch != NULL;
}

cs_status store_new(const char *where, store_mode mode, store **ret, cs_err *err) {
    CS_AUTO(store) st = calloc(1, sizeof *st);
    if (st == NULL) return CS_NOMEM_ERR(err);
    st->driver = store_is_url(where) ? &store_postgres : &store_sqlite;
    st->mode = mode;
    st->where = strdup(where);
    (void)snprintf(st->name, sizeof st->name, "%s", where);
    if (st->where == NULL) return CS_NOMEM_ERR(err);
    TRY(st->driver->open(st, err));
    *ret = CS_TAKE(st);
    return CS_OK;
}

cs_status store_moved_check(store *st, cs_err *err) {
    static const char sql[] = "SELECT value FROM meta WHERE name = '" STORE_MOVED_TO "'";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    cs_status status = store_stmt_step(s, err);
    if (status != CS_OK) return status == CS_AGAIN ? CS_OK : status;
    status = cs_fail(err, CS_REFUSED, CS_R_STORE_MOVED, "%s was moved to %s", st->name, store_col_cstr(s, 0));
    store_stmt_done(s);
    return status;
}

cs_status store_open(const char *where, store **ret, cs_err *err) {
    CS_AUTO(store) st = NULL;
    TRY(store_new(where, STORE_LIVE, &st, err));
    TRY(store_migrate(st, err));
    TRY(store_moved_check(st, err));
    *ret = CS_TAKE(st);
    return CS_OK;
}
