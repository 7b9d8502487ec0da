/* The audit log: records in order, each with the Merkle hashes that it completes, so that any proof is read by way of
 * the primary key and appending costs two hashes, whatever the log's size. */
#include <stdio.h>

#include "store/store_priv.h"

/* Record s (from 1) holds its leaf, then a node for each zero at the end of s: the node at `level` that ends with
 * record s covers 2^level records. */
static cs_status read_node(store *st, uint64_t sequence, unsigned level, merkle_hash *ret, cs_err *err) {
    static const char sql[] = "SELECT hashes FROM log WHERE sequence = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)sequence);
    cs_status status = store_stmt_step(s, err);
    if (status != CS_OK && status != CS_AGAIN) return status;
    cs_view v = status == CS_OK ? store_col_blob(s, 0) : cs_view_of(NULL, 0);
    bool there = v.p != NULL && v.n >= (level + 1) * sizeof ret->at;
    if (there) memcpy(ret->at, v.p + level * sizeof ret->at, sizeof ret->at);
    store_stmt_done(s);
    if (there) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_STATE_CORRUPT, "%s: audit record %llu is missing or has no hashes", st->name,
                   (unsigned long long)sequence);
}

cs_status store_log_size(store *st, uint64_t *ret, cs_err *err) {
    return store_number(st, "SELECT MAX(sequence) FROM log", ret, err);
}

cs_status store_log_node(void *cls, unsigned level, uint64_t index, merkle_hash *ret, cs_err *err) {
    return read_node(cls, (index + 1) << level, level, ret, err);
}

/* The edge of the tree of that size: one node for each bit that is set. */
static cs_status read_edge(store *st, uint64_t size, merkle_edge *ret, cs_err *err) {
    uint64_t end = 0;
    for (unsigned level = MERKLE_LEVELS; level-- > 0;) {
        if ((size >> level & 1) == 0) continue;
        end += UINT64_C(1) << level;
        TRY(read_node(st, end, level, &ret->peak[level], err));
    }
    ret->size = size;
    return CS_OK;
}

cs_status store_log_root(store *st, uint64_t size, merkle_hash *ret, cs_err *err) {
    merkle_edge e;
    TRY(read_edge(st, size, &e, err));
    return merkle_root(&e, ret, err);
}

/* Others may have written since, and a transaction of ours may have been rolled back: what is kept counts only while
 * the log has its size, within one transaction. */
static cs_status fresh_edge(store *st, cs_err *err) {
    uint64_t size = 0;
    if (st->edge_good) return CS_OK;
    TRY(store_log_size(st, &size, err));
    if (size != st->edge.size || size == 0) TRY(read_edge(st, size, &st->edge, err));
    st->edge_good = true;
    return CS_OK;
}

static cs_status insert(store *st, const store_record *r, cs_view hashes, cs_err *err) {
    static const char sql[] = "INSERT INTO log (sequence, at, event, actor, serial, name, record, hashes) "
                              "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)st->edge.size);
    store_stmt_i64(s, 2, r->at);
    store_stmt_text(s, 3, r->event);
    store_stmt_text(s, 4, r->by);
    store_stmt_text(s, 5, r->serial);
    store_stmt_text(s, 6, r->name);
    store_stmt_text_view(s, 7, r->record);
    store_stmt_blob(s, 8, hashes);
    return store_stmt_run(s, err);
}

cs_status store_log_add(store *st, const store_record *r, cs_err *err) {
    merkle_hash leaf, done[MERKLE_LEVELS];
    unsigned n = 0;
    TRY(fresh_edge(st, err));
    TRY(merkle_leaf(r->record, &leaf, err));
    TRY(merkle_append(&st->edge, &leaf, done, &n, err));
    cs_status status = insert(st, r, cs_view_of(done, n * sizeof *done), err);
    if (status != CS_OK) st->edge_good = false, st->edge.size = 0;
    return status;
}

#define SELECTED                                                                                                       \
    "SELECT sequence, at, event, actor, serial, name, record FROM log WHERE sequence > ?1 AND sequence < ?2 "          \
    "AND (?3 IS NULL OR event = ?3) AND (?4 IS NULL OR actor = ?4) AND (?5 IS NULL OR name = ?5) "

cs_status store_log_list(store *st, const store_log_filter *f, store_record_seen *seen, void *cls, cs_err *err) {
    /* Two texts and two orders, since only the ones with a serial can go by its index. */
    static const char up[] = SELECTED "ORDER BY sequence LIMIT ?6", down[] = SELECTED "ORDER BY sequence DESC LIMIT ?6";
    static const char up_serial[] = SELECTED "AND serial = ?7 ORDER BY sequence LIMIT ?6";
    static const char down_serial[] = SELECTED "AND serial = ?7 ORDER BY sequence DESC LIMIT ?6";
    store_stmt *s = NULL;
    const char *sql = f->serial != NULL ? (f->newest ? down_serial : up_serial) : f->newest ? down : up;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)f->after);
    store_stmt_i64(s, 2, f->before > 0 ? (int64_t)f->before : INT64_MAX);
    store_stmt_text(s, 3, f->event);
    store_stmt_text(s, 4, f->by);
    store_stmt_text(s, 5, f->name);
    store_stmt_i64(s, 6, f->limit);
    if (f->serial != NULL) store_stmt_text(s, 7, f->serial);
    cs_status status = store_stmt_step(s, err);
    for (; status == CS_OK; status = status == CS_OK ? store_stmt_step(s, err) : status) {
        const store_record r = {.sequence = (uint64_t)store_col_i64(s, 0),
                                .at = store_col_i64(s, 1),
                                .event = store_col_cstr(s, 2),
                                .by = store_col_cstr(s, 3),
                                .serial = store_col_cstr(s, 4),
                                .name = store_col_cstr(s, 5),
                                .record = store_col_text(s, 6)};
        status = seen(cls, &r, err);
        if (status != CS_OK) store_stmt_done(s);
    }
    return status == CS_AGAIN ? CS_OK : status;
}

cs_status store_log_check(store *st, uint64_t *ret_records, cs_err *err) {
    static const char sql[] = "SELECT sequence, record, hashes FROM log ORDER BY sequence";
    merkle_edge e = {.size = 0};
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_many(s);
    cs_status status = store_stmt_step(s, err);
    for (; status == CS_OK; status = status == CS_OK ? store_stmt_step(s, err) : status) {
        merkle_hash leaf, done[MERKLE_LEVELS];
        unsigned n = 0;
        status = merkle_leaf(store_col_text(s, 1), &leaf, err);
        if (status == CS_OK) status = merkle_append(&e, &leaf, done, &n, err);
        if (status == CS_OK && ((uint64_t)store_col_i64(s, 0) != e.size ||
                                !cs_view_eq(store_col_blob(s, 2), cs_view_of(done, n * sizeof *done))))
            status = cs_fail(err, CS_REFUSED, CS_R_STATE_CORRUPT, "%s: audit record %llu was changed or one is missing",
                             st->name, (unsigned long long)e.size);
        if (status != CS_OK) store_stmt_done(s);
    }
    *ret_records = e.size;
    return status == CS_AGAIN ? CS_OK : status;
}

/* ---- heads ---- */

cs_status store_head_add(store *st, uint64_t size, cs_time at, cs_view note, cs_err *err) {
    static const char add[] = "INSERT INTO log_heads (size, at, note) VALUES (?1, ?2, ?3)";
    static const char drop[] = "DELETE FROM log_heads WHERE size <= (SELECT size FROM log_heads ORDER BY size DESC "
                               "LIMIT 1 OFFSET ?1)";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, drop, &s, err));
    store_stmt_i64(s, 1, STORE_HEADS_KEPT);
    TRY(store_stmt_run(s, err));
    TRY(store_stmt_open(st, add, &s, err));
    store_stmt_i64(s, 1, (int64_t)size);
    store_stmt_i64(s, 2, at);
    store_stmt_text_view(s, 3, note);
    return store_stmt_run(s, err);
}

cs_status store_head_last(store *st, uint64_t *ret_size, cs_buf *note, cs_err *err) {
    static const char sql[] = "SELECT size, note FROM log_heads ORDER BY size DESC LIMIT 1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    cs_status status = store_stmt_step(s, err);
    *ret_size = 0;
    if (status != CS_OK) return status == CS_AGAIN ? CS_OK : status;
    *ret_size = (uint64_t)store_col_i64(s, 0);
    if (note != NULL) (void)cs_buf_add_str(note, store_col_cstr(s, 1));
    store_stmt_done(s);
    return note != NULL ? cs_buf_ok(note, "a log's head", err) : CS_OK;
}

/* ---- the chain of before ---- */

/* A member's text of a record as we wrote it: serials and kinds need no escapes. */
static void member(cs_view record, const char *key, char *out, size_t size) {
    char want[32];
    size_t n = (size_t)snprintf(want, sizeof want, "\"%s\":\"", key);
    const uint8_t *at = memmem(record.p, record.n, want, n);
    out[0] = '\0';
    if (at == NULL) return;
    size_t left = record.n - (size_t)(at - record.p) - n;
    const uint8_t *end = memchr(at + n, '"', left);
    if (end == NULL || (size_t)(end - at) - n >= size) return;
    memcpy(out, at + n, (size_t)(end - at) - n);
    out[(size_t)(end - at) - n] = '\0';
}

/* One record of the chain; CS_AGAIN when there is none behind `after`. */
static cs_status carry_one(store *st, uint64_t after, uint8_t chain[CS_SHA256_LEN], cs_err *err) {
    static const char sql[] =
        "SELECT sequence, at, event, hash FROM audit WHERE sequence > ?1 ORDER BY sequence LIMIT 1";
    CS_SCOPED(cs_buf) event = cs_buf_of(64 * 1024);
    uint8_t hash[CS_SHA256_LEN];
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)after);
    TRY(store_stmt_step(s, err));
    cs_time at = store_col_i64(s, 1);
    (void)cs_buf_add_str(&event, store_col_cstr(s, 2));
    cs_status status = cs_sha256_two(cs_view_of(chain, CS_SHA256_LEN), cs_buf_view(&event), hash, err);
    bool good =
        (uint64_t)store_col_i64(s, 0) == after + 1 && cs_view_eq(store_col_blob(s, 3), cs_view_of(hash, sizeof hash));
    store_stmt_done(s);
    TRY(status);
    if (!good)
        return cs_fail(err, CS_REFUSED, CS_R_STATE_CORRUPT, "%s: audit record %llu was changed or one is missing",
                       st->name, (unsigned long long)after + 1);
    memcpy(chain, hash, sizeof hash);
    char what[64], by[64], serial[STORE_SERIAL_TEXT], name[CS_IDENTITY_NAME_MAX + 1];
    cs_view record = cs_buf_view(&event);
    member(record, "event", what, sizeof what);
    member(record, "by", by, sizeof by);
    member(record, "serial", serial, sizeof serial);
    member(record, "name", name, sizeof name);
    const store_record r = {.at = at,
                            .event = what,
                            .by = by,
                            .serial = serial[0] != '\0' ? serial : NULL,
                            .name = name[0] != '\0' ? name : NULL,
                            .record = record};
    return store_log_add(st, &r, err);
}

cs_status store_log_carry(store *st, uint64_t *ret_n, uint8_t chain[CS_SHA256_LEN], cs_err *err) {
    store_stmt *s = NULL;
    cs_status status = CS_OK;
    *ret_n = 0;
    memset(chain, 0, CS_SHA256_LEN);
    while ((status = carry_one(st, *ret_n, chain, err)) == CS_OK) (*ret_n)++;
    if (status != CS_AGAIN) return status;
    if (*ret_n == 0) return CS_OK;
    TRY(store_stmt_open(st, "DELETE FROM audit", &s, err));
    return store_stmt_run(s, err);
}
