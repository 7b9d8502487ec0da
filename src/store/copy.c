/* A store's content into another one, table by table as the database lists them: what a later version adds is copied
 * without a word here. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "store/store_priv.h"
#include "store/upkeep.h"
#include "x509/digest.h"

enum { COLUMNS_MAX = 1024, NAME_SIZE = 64, ROW_MAX = 512 * 1024 * 1024 };

typedef struct column {
    char table[NAME_SIZE], name[NAME_SIZE];
    store_type type;
} column;
typedef struct layout {
    column *at;
    size_t n;
} layout;
static void layout_free(layout *l) {
    free(l->at);
    *l = (layout){.n = 0};
}

/* Of rows in any order: their number, and the sum of their hashes. */
typedef struct digest {
    uint64_t rows;
    uint8_t sum[32];
} digest;

static store_type type_of(const char *sql) {
    if (strcasecmp(sql, "BIGINT") == 0 || strcasecmp(sql, "INTEGER") == 0) return STORE_I64;
    if (strcasecmp(sql, "TEXT") == 0) return STORE_TEXT;
    return strcasecmp(sql, "BLOB") == 0 ? STORE_BLOB : STORE_NULL;
}

static cs_status read_layout(store *st, layout *ret, cs_err *err) {
    store_stmt *s = NULL;
    cs_status status = CS_OK;
    ret->at = calloc(COLUMNS_MAX, sizeof *ret->at);
    if (ret->at == NULL) return CS_NOMEM_ERR(err);
    TRY(store_stmt_open(st, st->driver->columns, &s, err));
    while ((status = store_stmt_step(s, err)) == CS_OK) {
        if (ret->n == COLUMNS_MAX) {
            store_stmt_done(s);
            return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s: more than %d columns", st->name, COLUMNS_MAX);
        }
        column *c = &ret->at[ret->n++];
        store_col_copy(s, 0, c->table, sizeof c->table);
        store_col_copy(s, 1, c->name, sizeof c->name);
        c->type = type_of(store_col_cstr(s, 2));
    }
    return status == CS_AGAIN ? CS_OK : status;
}

static bool has_table(const layout *l, const char *table) {
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->at[i].table, table) == 0) return true;
    return false;
}

/* ---- rows ---- */

typedef struct copying {
    store *from, *to;
    const column *columns; /* of the table */
    size_t n;
    store_stmt *insert; /* NULL: the driver loads */
    cs_buf row;
} copying;

static char *select_of(const copying *c, cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of(64 * 1024);
    for (size_t i = 0; i < c->n; i++) (void)cs_buf_addf(&b, "%s\"%s\"", i == 0 ? "SELECT " : ", ", c->columns[i].name);
    (void)cs_buf_addf(&b, " FROM \"%s\"", c->columns->table);
    /* what is the database's own matter */
    if (strcmp(c->columns->table, "meta") == 0)
        (void)cs_buf_add_str(&b, " WHERE name NOT IN ('schema', '" STORE_MOVED_TO "')");
    char *sql = strdup(cs_buf_ok(&b, "a statement", err) == CS_OK ? cs_buf_cstr(&b) : "");
    if (sql == NULL) (void)CS_NOMEM_ERR(err);
    return sql;
}

static cs_status put_begin(copying *c, cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of(64 * 1024);
    bool load = c->to->driver->load_begin != NULL;
    (void)cs_buf_addf(&b, "%s \"%s\" (", load ? "COPY" : "INSERT INTO", c->columns->table);
    for (size_t i = 0; i < c->n; i++) (void)cs_buf_addf(&b, "%s\"%s\"", i == 0 ? "" : ", ", c->columns[i].name);
    (void)cs_buf_add_str(&b, load ? ") FROM STDIN" : ") VALUES (");
    for (size_t i = 0; !load && i < c->n; i++) (void)cs_buf_addf(&b, "%s?%zu", i == 0 ? "" : ", ", i + 1);
    if (!load) (void)cs_buf_add_byte(&b, ')');
    TRY(cs_buf_ok(&b, "a statement", err));
    c->insert = NULL;
    if (load) return c->to->driver->load_begin(c->to, cs_buf_cstr(&b), err);
    return store_stmt_open_own(c->to, strdup(cs_buf_cstr(&b)), &c->insert, err);
}

static cs_status put(copying *c, const store_param *values, cs_err *err) {
    if (c->insert == NULL) return c->to->driver->load_row(c->to, values, c->n, err);
    for (size_t i = 0; i < c->n; i++) c->insert->params[i] = values[i];
    c->insert->count = (int)c->n;
    return store_stmt_run(c->insert, err);
}

static store_param value_at(const store_stmt *s, int i, store_type type) {
    if (store_col_null(s, i)) return (store_param){.type = STORE_NULL};
    if (type == STORE_I64) return (store_param){.type = type, .i64 = store_col_i64(s, i)};
    cs_view v = store_col_blob(s, i);
    return (store_param){.type = type, .p = v.p != NULL ? (const void *)v.p : "", .n = v.n};
}

static cs_status add_row(copying *c, const store_param *values, digest *d, cs_err *err) {
    uint8_t hash[32];
    unsigned carry = 0;
    cs_buf_clear(&c->row);
    for (size_t i = 0; i < c->n; i++) {
        (void)cs_buf_add_byte(&c->row, (uint8_t)values[i].type);
        (void)cs_buf_add_u64(&c->row, values[i].type == STORE_I64 ? (uint64_t)values[i].i64 : values[i].n);
        if (values[i].p != NULL) (void)cs_buf_add(&c->row, values[i].p, values[i].n);
    }
    TRY(cs_buf_ok(&c->row, "a row", err));
    TRY(cs_sha256(cs_buf_view(&c->row), hash, err));
    for (size_t i = 32; i-- > 0;) {
        carry += (unsigned)d->sum[i] + hash[i];
        d->sum[i] = (uint8_t)carry;
        carry >>= 8;
    }
    d->rows++;
    return CS_OK;
}

/* Every row of the table: into the digest, and with `puts` into the other store. */
static cs_status each_row(copying *c, store *st, bool puts, digest *d, cs_err *err) {
    store_param values[STORE_PARAMS_MAX];
    store_stmt *s = NULL;
    char *sql = select_of(c, err);
    if (sql == NULL) return CS_NOMEM;
    TRY(store_stmt_open_own(st, sql, &s, err));
    store_stmt_many(s);
    cs_status status = store_stmt_step(s, err);
    for (; status == CS_OK; status = status == CS_OK ? store_stmt_step(s, err) : status) {
        for (size_t i = 0; i < c->n; i++) values[i] = value_at(s, (int)i, c->columns[i].type);
        status = add_row(c, values, d, err);
        if (status == CS_OK && puts) status = put(c, values, err);
        if (status != CS_OK) store_stmt_done(s);
    }
    return status == CS_AGAIN ? CS_OK : status;
}

static cs_status copy_table(copying *c, store_copied *ret, cs_err *err) {
    digest here = {.rows = 0}, there = {.rows = 0};
    if (c->n > STORE_PARAMS_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "table %s has %zu columns", c->columns->table, c->n);
    TRY(put_begin(c, err));
    cs_status status = each_row(c, c->from, true, &here, err);
    if (c->insert == NULL) {
        cs_err second;
        cs_status ended = c->to->driver->load_end(c->to, status == CS_OK, &second);
        if (status == CS_OK && ended != CS_OK) *err = second, status = ended;
    }
    TRY(status);
    TRY(each_row(c, c->to, false, &there, err));
    if (here.rows != there.rows || memcmp(here.sum, there.sum, sizeof here.sum) != 0)
        return cs_fail(err, CS_FAILED, CS_R_STORE_COPY_DIFFERS, "table %s: %llu rows read, %llu rows read back",
                       c->columns->table, (unsigned long long)here.rows, (unsigned long long)there.rows);
    ret->tables++;
    ret->rows += here.rows;
    if (strcmp(c->columns->table, "certificates") == 0) ret->certificates = here.rows;
    return CS_OK;
}

static cs_status copy_tables(store *from, store *to, store_copied *ret, cs_err *err) {
    CS_SCOPED(layout) source = {.n = 0};
    CS_SCOPED(layout) target = {.n = 0};
    copying c = {.from = from, .to = to, .row = cs_buf_of(ROW_MAX)};
    cs_status status = CS_OK;
    TRY(read_layout(from, &source, err));
    TRY(read_layout(to, &target, err));
    for (size_t i = 0; status == CS_OK && i < target.n; i += c.n) {
        c.columns = &target.at[i];
        for (c.n = 0; i + c.n < target.n && strcmp(c.columns[c.n].table, c.columns->table) == 0;) c.n++;
        /* who else keeps tables in the same database is left alone */
        if (has_table(&source, c.columns->table)) status = copy_table(&c, ret, err);
    }
    cs_buf_free(&c.row);
    return status;
}

static cs_status compare_logs(store *from, store *to, store_copied *ret, cs_err *err) {
    merkle_hash root;
    uint64_t version = 0;
    TRY(to->driver->version(to, &version, err));
    if (version < STORE_VERSION_LOG) return CS_OK;
    TRY(store_log_check(to, &ret->log_size, err));
    if (ret->log_size == 0) return CS_OK;
    TRY(store_log_root(to, ret->log_size, &ret->log_root, err));
    TRY(store_log_root(from, ret->log_size, &root, err));
    if (memcmp(root.at, ret->log_root.at, sizeof root.at) == 0) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_STORE_COPY_DIFFERS, "the audit log's root is another one");
}

/* Inside of a transaction of both. */
static cs_status copy_into(store *from, store *to, store_copied *ret, cs_err *err) {
    uint64_t version = 0, there = 0;
    *ret = (store_copied){.tables = 0};
    TRY(from->driver->version(from, &version, err));
    TRY(to->driver->version(to, &there, err));
    if (there != 0) return cs_fail(err, CS_REFUSED, CS_R_STORE_NOT_EMPTY, "%s", to->name);
    TRY(store_schema_make(to, version, err));
    TRY(copy_tables(from, to, ret, err));
    return compare_logs(from, to, ret, err);
}

cs_status store_copy(store *from, store *to, store_copied *ret, cs_err *err) {
    TRY(from->driver->begin_read(from, err));
    cs_status status = store_begin(to, err);
    if (status == CS_OK) status = copy_into(from, to, ret, err);
    if (status == CS_OK)
        status = store_commit(to, err);
    else
        store_rollback(to);
    store_settle(from);
    store_rollback(from);
    return status;
}

/* Both are held until the end. A death between the two commits leaves two whole stores: who tries again is told so
 * (store-not-empty). */
cs_status store_move(store *from, store *to, store_copied *ret, cs_err *err) {
    static const char sql[] = "INSERT INTO meta (name, value) VALUES ('" STORE_MOVED_TO "', ?1)";
    store_stmt *s = NULL;
    TRY(store_moved_check(from, err));
    TRY(from->driver->alone(from, err));
    TRY(store_begin(from, err));
    cs_status status = store_begin(to, err);
    if (status == CS_OK) status = copy_into(from, to, ret, err);
    if (status == CS_OK) status = store_stmt_open(from, sql, &s, err);
    if (status == CS_OK) {
        store_stmt_text(s, 1, to->name);
        status = store_stmt_run(s, err);
    }
    if (status == CS_OK)
        status = store_commit(to, err);
    else
        store_rollback(to);
    if (status == CS_OK) return store_commit(from, err);
    store_settle(from);
    store_rollback(from);
    return status;
}
