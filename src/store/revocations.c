#include "base/text.h"
#include "store/store_priv.h"

/* Appends to the feed the entry of a certificate whose row was just changed. */
static cs_status feed_add(store *st, const char *serial, int reason, cs_time at, uint64_t *ret_sequence, cs_err *err) {
    static const char sql[] =
        "INSERT INTO feed (sequence, serial, issuer, at, reason) SELECT (SELECT COALESCE(MAX(sequence), 0) + 1 "
        "FROM feed), serial, issuer, ?2, ?3 FROM certificates WHERE serial = ?1";
    sqlite3_stmt *s = NULL;
    TRY(store_prepare(st, sql, &s, err));
    store_bind_text(s, 1, serial);
    (void)sqlite3_bind_int64(s, 2, at);
    (void)sqlite3_bind_int(s, 3, reason);
    TRY(store_run(st, s, err));
    return store_feed_last(st, ret_sequence, err);
}

cs_status store_revoke(store *st, const char *serial, int reason, cs_time at, uint64_t *ret_sequence, cs_err *err) {
    /* What is on hold may be revoked for good; what is revoked for good stays as it is. */
    static const char sql[] =
        "UPDATE certificates SET status = 2, revoked_at = ?2, revocation_reason = ?3 "
        "WHERE serial = ?1 AND (status = 1 OR (status = 2 AND revocation_reason = 6 AND ?3 <> 6))";
    sqlite3_stmt *s = NULL;
    TRY(store_prepare(st, sql, &s, err));
    store_bind_text(s, 1, serial);
    (void)sqlite3_bind_int64(s, 2, at);
    (void)sqlite3_bind_int(s, 3, reason);
    TRY(store_run(st, s, err));
    if (sqlite3_changes(st->db) == 1) return feed_add(st, serial, reason, at, ret_sequence, err);
    store_cert c;
    TRY(store_cert_by_serial(st, serial, &c, err));
    return cs_fail(err, CS_REFUSED, CS_R_ALREADY_REVOKED, "%s %s, serial %s", cs_kind_name(c.kind), c.name, serial);
}

cs_status store_release(store *st, const char *serial, cs_time at, uint64_t *ret_sequence, cs_err *err) {
    static const char sql[] = "UPDATE certificates SET status = 1, revoked_at = NULL, revocation_reason = NULL "
                              "WHERE serial = ?1 AND status = 2 AND revocation_reason = 6";
    sqlite3_stmt *s = NULL;
    TRY(store_prepare(st, sql, &s, err));
    store_bind_text(s, 1, serial);
    TRY(store_run(st, s, err));
    if (sqlite3_changes(st->db) != 1)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "no certificate with serial %s is on hold", serial);
    return feed_add(st, serial, 8, at, ret_sequence, err);
}

cs_status store_feed_last(store *st, uint64_t *ret, cs_err *err) {
    return store_number(st, "SELECT MAX(sequence) FROM feed", ret, err);
}

/* Rows of (sequence, serial, issuer, at, reason). */
static cs_status each(store *st, sqlite3_stmt *s, store_revocation_seen *seen, void *cls, cs_err *err) {
    cs_status status = CS_OK;
    while ((status = store_step(st, s, err)) == CS_OK) {
        uint8_t serial[CS_SERIAL_MAX];
        store_revocation r = {.sequence = (uint64_t)sqlite3_column_int64(s, 0),
                              .issuer = store_column_blob(s, 2),
                              .at = sqlite3_column_int64(s, 3),
                              .reason = sqlite3_column_int(s, 4)};
        cs_view text = cs_view_of(sqlite3_column_text(s, 1), (size_t)sqlite3_column_bytes(s, 1));
        size_t n = 0;
        if (!cs_hex_decode(text, serial, sizeof serial, &n) || r.issuer.n != 32)
            status = cs_fail(err, CS_FAILED, CS_R_STATE_CORRUPT, "%s: a revoked certificate's row", st->path);
        r.serial = cs_view_of(serial, n);
        if (status == CS_OK) status = seen(cls, &r, err);
        if (status == CS_OK) continue;
        store_done(s);
        return status;
    }
    return status == CS_AGAIN ? CS_OK : status;
}

cs_status store_feed_after(store *st, uint64_t sequence, store_revocation_seen *seen, void *cls, cs_err *err) {
    static const char sql[] =
        "SELECT sequence, serial, issuer, at, reason FROM feed WHERE sequence > ?1 ORDER BY sequence";
    sqlite3_stmt *s = NULL;
    TRY(store_prepare(st, sql, &s, err));
    (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)sequence);
    return each(st, s, seen, cls, err);
}

cs_status store_revoked(store *st, cs_time since, store_revocation_seen *seen, void *cls, cs_err *err) {
    static const char sql[] = "SELECT 0, serial, issuer, revoked_at, revocation_reason FROM certificates "
                              "WHERE status >= 2 AND not_after > ?1"; /* in any order: nothing is sorted */
    sqlite3_stmt *s = NULL;
    TRY(store_prepare(st, sql, &s, err));
    (void)sqlite3_bind_int64(s, 1, since);
    return each(st, s, seen, cls, err);
}

cs_status store_crl_intend(store *st, uint64_t at_least, store_crl *crl, cs_err *err) {
    static const char sql[] = "INSERT INTO crls (number, this_update, next_update, feed_sequence, entries, issuer) "
                              "VALUES (?1, ?2, ?3, ?4, 0, ?5)";
    uint64_t last = 0;
    sqlite3_stmt *s = NULL;
    TRY(store_number(st, "SELECT MAX(number) FROM crls", &last, err));
    TRY(store_feed_last(st, &crl->feed_sequence, err));
    crl->number = last + 1 > at_least ? last + 1 : at_least;
    TRY(store_prepare(st, sql, &s, err));
    (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)crl->number);
    (void)sqlite3_bind_int64(s, 2, crl->this_update);
    (void)sqlite3_bind_int64(s, 3, crl->next_update);
    (void)sqlite3_bind_int64(s, 4, (sqlite3_int64)crl->feed_sequence);
    store_bind_blob(s, 5, cs_view_of(crl->issuer, sizeof crl->issuer));
    return store_run(st, s, err);
}

cs_status store_crl_publish(store *st, const store_crl *crl, cs_err *err) {
    static const char keep[] = "UPDATE crls SET der = ?2, entries = ?3 WHERE number = ?1";
    static const char drop[] = "DELETE FROM crls WHERE number < ?1 AND issuer = ?2";
    sqlite3_stmt *s = NULL;
    TRY(store_prepare(st, keep, &s, err));
    (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)crl->number);
    store_bind_blob(s, 2, crl->der);
    (void)sqlite3_bind_int64(s, 3, (sqlite3_int64)crl->entries);
    TRY(store_run(st, s, err));
    TRY(store_prepare(st, drop, &s, err));
    (void)sqlite3_bind_int64(s, 1, (sqlite3_int64)crl->number);
    store_bind_blob(s, 2, cs_view_of(crl->issuer, sizeof crl->issuer));
    return store_run(st, s, err);
}

cs_status store_crl_last(store *st, const uint8_t issuer[32], store_crl *ret, cs_err *err) {
    static const char sql[] = "SELECT number, this_update, next_update, feed_sequence, entries, der FROM crls "
                              "WHERE der IS NOT NULL AND issuer = ?1 ORDER BY number DESC LIMIT 1";
    sqlite3_stmt *s = NULL;
    TRY(store_prepare(st, sql, &s, err));
    store_bind_blob(s, 1, cs_view_of(issuer, 32));
    cs_status status = store_step(st, s, err);
    if (status == CS_AGAIN) return cs_fail(err, CS_REFUSED, CS_R_STATE_MISSING, "no CRL was published yet");
    if (status != CS_OK) return status;
    *ret = (store_crl){.number = (uint64_t)sqlite3_column_int64(s, 0),
                       .this_update = sqlite3_column_int64(s, 1),
                       .next_update = sqlite3_column_int64(s, 2),
                       .feed_sequence = (uint64_t)sqlite3_column_int64(s, 3),
                       .entries = (uint64_t)sqlite3_column_int64(s, 4),
                       .der = store_column_blob(s, 5)};
    memcpy(ret->issuer, issuer, sizeof ret->issuer);
    return CS_OK;
}

cs_status store_crl_adopt(store *st, const uint8_t issuer[32], cs_err *err) {
    static const char sql[] = "UPDATE crls SET issuer = ?1 WHERE issuer IS NULL";
    sqlite3_stmt *s = NULL;
    TRY(store_prepare(st, sql, &s, err));
    store_bind_blob(s, 1, cs_view_of(issuer, 32));
    return store_run(st, s, err);
}
