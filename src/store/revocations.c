#include "base/text.h"
#include "store/store_priv.h"

/* Appends to the feed the entry of a certificate whose row was just changed. */
static cs_status feed_add(store *st, const char *serial, int reason, cs_time at, uint64_t *ret_sequence, cs_err *err) {
    static const char sql[] =
        "INSERT INTO feed (sequence, serial, issuer, at, reason) SELECT (SELECT COALESCE(MAX(sequence), 0) + 1 "
        "FROM feed), serial, issuer, ?2, ?3 FROM certificates WHERE serial = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, serial);
    store_stmt_i64(s, 2, at);
    store_stmt_i64(s, 3, reason);
    TRY(store_stmt_run(s, err));
    st->fed = true;
    return store_feed_last(st, ret_sequence, err);
}

cs_status store_revoke(store *st, const char *serial, int reason, cs_time at, uint64_t *ret_sequence, cs_err *err) {
    /* What is on hold may be revoked for good; what is revoked for good stays as it is. */
    static const char sql[] =
        "UPDATE certificates SET status = 2, revoked_at = ?2, revocation_reason = ?3 "
        "WHERE serial = ?1 AND (status = 1 OR (status = 2 AND revocation_reason = 6 AND ?3 <> 6))";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, serial);
    store_stmt_i64(s, 2, at);
    store_stmt_i64(s, 3, reason);
    TRY(store_stmt_run(s, err));
    if (store_stmt_changed(s) == 1) return feed_add(st, serial, reason, at, ret_sequence, err);
    store_cert c;
    TRY(store_cert_by_serial(st, serial, &c, err));
    return cs_fail(err, CS_REFUSED, CS_R_ALREADY_REVOKED, "%s %s, serial %s", cs_kind_name(c.kind), c.name, serial);
}

cs_status store_release(store *st, const char *serial, cs_time at, uint64_t *ret_sequence, cs_err *err) {
    static const char sql[] = "UPDATE certificates SET status = 1, revoked_at = NULL, revocation_reason = NULL "
                              "WHERE serial = ?1 AND status = 2 AND revocation_reason = 6";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, serial);
    TRY(store_stmt_run(s, err));
    if (store_stmt_changed(s) != 1)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "no certificate with serial %s is on hold", serial);
    return feed_add(st, serial, 8, at, ret_sequence, err);
}

cs_status store_feed_last(store *st, uint64_t *ret, cs_err *err) {
    return store_number(st, "SELECT MAX(sequence) FROM feed", ret, err);
}

/* Rows of (sequence, serial, issuer, at, reason). */
static cs_status each(store *st, store_stmt *s, store_revocation_seen *seen, void *cls, cs_err *err) {
    cs_status status = CS_OK;
    while ((status = store_stmt_step(s, err)) == CS_OK) {
        uint8_t serial[CS_SERIAL_MAX];
        store_revocation r = {.sequence = (uint64_t)store_col_i64(s, 0),
                              .issuer = store_col_blob(s, 2),
                              .at = store_col_i64(s, 3),
                              .reason = (int)store_col_i64(s, 4)};
        cs_view text = store_col_text(s, 1);
        size_t n = 0;
        if (!cs_hex_decode(text, serial, sizeof serial, &n) || r.issuer.n != 32)
            status = cs_fail(err, CS_FAILED, CS_R_STATE_CORRUPT, "%s: a revoked certificate's row", st->name);
        r.serial = cs_view_of(serial, n);
        if (status == CS_OK) status = seen(cls, &r, err);
        if (status == CS_OK) continue;
        store_stmt_done(s);
        return status;
    }
    return status == CS_AGAIN ? CS_OK : status;
}

cs_status store_feed_after(store *st, uint64_t sequence, store_revocation_seen *seen, void *cls, cs_err *err) {
    static const char sql[] =
        "SELECT sequence, serial, issuer, at, reason FROM feed WHERE sequence > ?1 ORDER BY sequence";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)sequence);
    return each(st, s, seen, cls, err);
}

cs_status store_revoked(store *st, const uint8_t issuer[32], unsigned shard, cs_time since, store_revocation_seen *seen,
                        void *cls, cs_err *err) {
    /* in any order: nothing is sorted */
    static const char all[] = "SELECT 0, serial, issuer, revoked_at, revocation_reason FROM certificates "
                              "WHERE status >= 2 AND issuer = ?1 AND not_after > ?2";
    static const char one[] = "SELECT 0, serial, issuer, revoked_at, revocation_reason FROM certificates "
                              "WHERE status >= 2 AND issuer = ?1 AND not_after > ?2 AND shard = ?3";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, shard == 0 ? all : one, &s, err));
    store_stmt_blob(s, 1, cs_view_of(issuer, 32));
    store_stmt_i64(s, 2, since);
    if (shard != 0) store_stmt_i64(s, 3, shard);
    store_stmt_many(s);
    return each(st, s, seen, cls, err);
}

cs_status store_changed(store *st, const uint8_t issuer[32], unsigned shard, uint64_t after, cs_time since,
                        store_revocation_seen *seen, void *cls, cs_err *err) {
    static const char sql[] =
        "SELECT 0, c.serial, c.issuer, CASE WHEN c.status >= 2 THEN c.revoked_at ELSE f.last END, "
        "CASE WHEN c.status >= 2 THEN c.revocation_reason ELSE 8 END "
        "FROM (SELECT serial, MAX(at) AS last FROM feed WHERE sequence > ?1 AND issuer = ?2 GROUP BY serial) f "
        "JOIN certificates c ON c.serial = f.serial WHERE c.not_after > ?3 AND (?4 = 0 OR c.shard = ?4)";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)after);
    store_stmt_blob(s, 2, cs_view_of(issuer, 32));
    store_stmt_i64(s, 3, since);
    store_stmt_i64(s, 4, shard);
    store_stmt_many(s);
    return each(st, s, seen, cls, err);
}

cs_status store_feed_shards(store *st, uint64_t after, store_shard_seen *seen, void *cls, cs_err *err) {
    static const char sql[] = "SELECT MAX(f.sequence), c.issuer, c.shard FROM feed f JOIN certificates c ON c.serial = "
                              "f.serial WHERE f.sequence > ?1 GROUP BY c.issuer, c.shard";
    store_stmt *s = NULL;
    cs_status status = CS_OK;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)after);
    while ((status = store_stmt_step(s, err)) == CS_OK) {
        uint8_t issuer[32];
        store_col_hash(s, 1, issuer);
        status = seen(cls, issuer, (unsigned)store_col_i64(s, 2), (uint64_t)store_col_i64(s, 0), err);
        if (status == CS_OK) continue;
        store_stmt_done(s);
        return status;
    }
    return status == CS_AGAIN ? CS_OK : status;
}
