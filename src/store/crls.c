/* Which CRLs there are; their octets are files, or parts where other nodes need them. */
#include "store/store_priv.h"

#define CRL_COLUMNS "number, this_update, next_update, feed_sequence, entries, size, sha256, base"

cs_status store_crl_intend(store *st, uint64_t at_least, store_crl *crl, cs_err *err) {
    static const char sql[] =
        "INSERT INTO crls (number, this_update, next_update, feed_sequence, entries, issuer, shard, base) "
        "VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7)";
    uint64_t last = 0;
    store_stmt *s = NULL;
    TRY(store_number(st, "SELECT MAX(number) FROM crls", &last, err));
    TRY(store_feed_last(st, &crl->feed_sequence, err));
    crl->number = last + 1 > at_least ? last + 1 : at_least;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)crl->number);
    store_stmt_i64(s, 2, crl->this_update);
    store_stmt_i64(s, 3, crl->next_update);
    store_stmt_i64(s, 4, (int64_t)crl->feed_sequence);
    store_stmt_blob(s, 5, cs_view_of(crl->issuer, sizeof crl->issuer));
    store_stmt_i64(s, 6, crl->shard);
    store_stmt_i64(s, 7, (int64_t)crl->base);
    return store_stmt_run(s, err);
}

/* Of that list, below that number. */
static cs_status drop(store *st, const char *sql, const store_crl *crl, uint64_t below, cs_err *err) {
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)below);
    store_stmt_blob(s, 2, cs_view_of(crl->issuer, sizeof crl->issuer));
    store_stmt_i64(s, 3, crl->shard);
    return store_stmt_run(s, err);
}

static cs_status drop_old(store *st, const store_crl *crl, cs_err *err) {
    static const char octets[] = "DELETE FROM crl_parts WHERE number IN (SELECT number FROM crls WHERE number < ?1 AND "
                                 "issuer = ?2 AND shard = ?3 AND base = 0)";
    static const char of_deltas[] = "DELETE FROM crl_parts WHERE number IN (SELECT number FROM crls WHERE number < ?1 "
                                    "AND issuer = ?2 AND shard = ?3 AND base > 0)";
    static const char deltas[] = "DELETE FROM crls WHERE number < ?1 AND issuer = ?2 AND shard = ?3 AND base > 0";
    static const char complete[] =
        "DELETE FROM crls WHERE number < ?1 AND issuer = ?2 AND shard = ?3 AND base = 0 AND number < COALESCE((SELECT "
        "MAX(number) FROM crls WHERE number < ?1 AND issuer = ?2 AND shard = ?3 AND base = 0 AND sha256 IS NOT NULL), "
        "?1)";
    TRY(drop(st, crl->base == 0 ? octets : of_deltas, crl, crl->number, err));
    return drop(st, crl->base == 0 ? complete : deltas, crl, crl->number, err);
}

cs_status store_crl_publish(store *st, const store_crl *crl, cs_err *err) {
    static const char keep[] = "UPDATE crls SET sha256 = ?2, entries = ?3, size = ?4 WHERE number = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, keep, &s, err));
    store_stmt_i64(s, 1, (int64_t)crl->number);
    store_stmt_blob(s, 2, cs_view_of(crl->sha256, sizeof crl->sha256));
    store_stmt_i64(s, 3, (int64_t)crl->entries);
    store_stmt_i64(s, 4, (int64_t)crl->size);
    TRY(store_stmt_run(s, err));
    TRY(drop_old(st, crl, err));
    st->fed = true; /* other nodes show it too */
    return CS_OK;
}

static cs_status read_one(store *st, const char *sql, const uint8_t issuer[32], unsigned shard, store_crl *ret,
                          cs_err *err) {
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_blob(s, 1, cs_view_of(issuer, 32));
    store_stmt_i64(s, 2, shard);
    cs_status status = store_stmt_step(s, err);
    if (status == CS_AGAIN) return cs_fail(err, CS_REFUSED, CS_R_STATE_MISSING, "no CRL was published yet");
    if (status != CS_OK) return status;
    *ret = (store_crl){.shard = shard,
                       .number = (uint64_t)store_col_i64(s, 0),
                       .this_update = store_col_i64(s, 1),
                       .next_update = store_col_i64(s, 2),
                       .feed_sequence = (uint64_t)store_col_i64(s, 3),
                       .entries = (uint64_t)store_col_i64(s, 4),
                       .size = (uint64_t)store_col_i64(s, 5),
                       .base = (uint64_t)store_col_i64(s, 7)};
    store_col_hash(s, 6, ret->sha256);
    memcpy(ret->issuer, issuer, sizeof ret->issuer);
    store_stmt_done(s);
    return CS_OK;
}

cs_status store_crl_last(store *st, const uint8_t issuer[32], unsigned shard, bool delta, store_crl *ret, cs_err *err) {
    static const char complete[] = "SELECT " CRL_COLUMNS " FROM crls WHERE sha256 IS NOT NULL AND issuer = ?1 AND "
                                   "shard = ?2 AND base = 0 ORDER BY number DESC LIMIT 1";
    static const char deltas[] = "SELECT " CRL_COLUMNS " FROM crls WHERE sha256 IS NOT NULL AND issuer = ?1 AND "
                                 "shard = ?2 AND base > 0 ORDER BY number DESC LIMIT 1";
    return read_one(st, delta ? deltas : complete, issuer, shard, ret, err);
}

cs_status store_crl_base(store *st, const uint8_t issuer[32], unsigned shard, cs_time now, store_crl *ret,
                         cs_err *err) {
    static const char before[] = "SELECT " CRL_COLUMNS " FROM crls WHERE sha256 IS NOT NULL AND issuer = ?1 AND "
                                 "shard = ?2 AND base = 0 ORDER BY number DESC LIMIT 1 OFFSET 1";
    if (read_one(st, before, issuer, shard, ret, err) == CS_OK && ret->next_update > now) return CS_OK;
    return store_crl_last(st, issuer, shard, false, ret, err);
}

cs_status store_crl_adopt(store *st, const uint8_t issuer[32], cs_err *err) {
    static const char sql[] = "UPDATE crls SET issuer = ?1 WHERE issuer IS NULL";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_blob(s, 1, cs_view_of(issuer, 32));
    return store_stmt_run(s, err);
}

/* ---- octets ---- */

cs_status store_crl_part_add(store *st, uint64_t number, unsigned part, cs_view bytes, cs_err *err) {
    static const char sql[] = "INSERT INTO crl_parts (number, part, bytes) VALUES (?1, ?2, ?3)";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)number);
    store_stmt_i64(s, 2, part);
    store_stmt_blob(s, 3, bytes);
    return store_stmt_run(s, err);
}

/* A statement's first column, row by row. */
static cs_status each_bytes(store_stmt *s, store_bytes_seen *seen, void *cls, cs_err *err) {
    cs_status status = CS_OK;
    while ((status = store_stmt_step(s, err)) == CS_OK) {
        status = seen(cls, store_col_blob(s, 0), err);
        if (status == CS_OK) continue;
        store_stmt_done(s);
        return status;
    }
    return status == CS_AGAIN ? CS_OK : status;
}

cs_status store_crl_parts(store *st, uint64_t number, store_bytes_seen *seen, void *cls, cs_err *err) {
    static const char sql[] = "SELECT bytes FROM crl_parts WHERE number = ?1 ORDER BY part";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)number);
    store_stmt_many(s);
    return each_bytes(s, seen, cls, err);
}

/* ---- addresses ---- */

cs_status store_point_add(store *st, const uint8_t issuer[32], unsigned shard, const char *url, cs_time at,
                          cs_err *err) {
    static const char sql[] =
        "INSERT INTO crl_points (issuer, shard, url, since) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_blob(s, 1, cs_view_of(issuer, 32));
    store_stmt_i64(s, 2, shard);
    store_stmt_text(s, 3, url);
    store_stmt_i64(s, 4, at);
    return store_stmt_run(s, err);
}

cs_status store_points(store *st, const uint8_t issuer[32], unsigned shard, store_bytes_seen *seen, void *cls,
                       cs_err *err) {
    static const char sql[] =
        "SELECT url FROM crl_points WHERE issuer = ?1 AND shard = ?2 ORDER BY since DESC, url LIMIT 8";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_blob(s, 1, cs_view_of(issuer, 32));
    store_stmt_i64(s, 2, shard);
    return each_bytes(s, seen, cls, err);
}

cs_status store_shard_max(store *st, const uint8_t issuer[32], unsigned *ret, cs_err *err) {
    static const char sql[] = "SELECT MAX(shard) FROM crl_points WHERE issuer = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_blob(s, 1, cs_view_of(issuer, 32));
    cs_status status = store_stmt_step(s, err);
    if (status != CS_OK && status != CS_AGAIN) return status;
    *ret = status == CS_OK ? (unsigned)store_col_i64(s, 0) : 0;
    store_stmt_done(s);
    return CS_OK;
}
