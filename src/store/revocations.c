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

cs_status store_revoked(store *st, cs_time since, store_revocation_seen *seen, void *cls, cs_err *err) {
    static const char sql[] = "SELECT 0, serial, issuer, revoked_at, revocation_reason FROM certificates "
                              "WHERE status >= 2 AND not_after > ?1"; /* in any order: nothing is sorted */
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, since);
    store_stmt_many(s);
    return each(st, s, seen, cls, err);
}

cs_status store_crl_intend(store *st, uint64_t at_least, store_crl *crl, cs_err *err) {
    static const char sql[] = "INSERT INTO crls (number, this_update, next_update, feed_sequence, entries, issuer) "
                              "VALUES (?1, ?2, ?3, ?4, 0, ?5)";
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
    return store_stmt_run(s, err);
}

cs_status store_crl_publish(store *st, const store_crl *crl, cs_err *err) {
    static const char keep[] = "UPDATE crls SET der = ?2, entries = ?3 WHERE number = ?1";
    static const char drop[] = "DELETE FROM crls WHERE number < ?1 AND issuer = ?2";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, keep, &s, err));
    store_stmt_i64(s, 1, (int64_t)crl->number);
    store_stmt_blob(s, 2, crl->der);
    store_stmt_i64(s, 3, (int64_t)crl->entries);
    TRY(store_stmt_run(s, err));
    TRY(store_stmt_open(st, drop, &s, err));
    store_stmt_i64(s, 1, (int64_t)crl->number);
    store_stmt_blob(s, 2, cs_view_of(crl->issuer, sizeof crl->issuer));
    TRY(store_stmt_run(s, err));
    st->fed = true; /* other nodes show it too */
    return CS_OK;
}

cs_status store_crl_last(store *st, const uint8_t issuer[32], store_crl *ret, cs_err *err) {
    static const char sql[] = "SELECT number, this_update, next_update, feed_sequence, entries, der FROM crls "
                              "WHERE der IS NOT NULL AND issuer = ?1 ORDER BY number DESC LIMIT 1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_blob(s, 1, cs_view_of(issuer, 32));
    cs_status status = store_stmt_step(s, err);
    if (status == CS_AGAIN) return cs_fail(err, CS_REFUSED, CS_R_STATE_MISSING, "no CRL was published yet");
    if (status != CS_OK) return status;
    *ret = (store_crl){.number = (uint64_t)store_col_i64(s, 0),
                       .this_update = store_col_i64(s, 1),
                       .next_update = store_col_i64(s, 2),
                       .feed_sequence = (uint64_t)store_col_i64(s, 3),
                       .entries = (uint64_t)store_col_i64(s, 4),
                       .der = store_col_blob(s, 5)};
    memcpy(ret->issuer, issuer, sizeof ret->issuer);
    return CS_OK;
}

cs_status store_crl_adopt(store *st, const uint8_t issuer[32], cs_err *err) {
    static const char sql[] = "UPDATE crls SET issuer = ?1 WHERE issuer IS NULL";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_blob(s, 1, cs_view_of(issuer, 32));
    return store_stmt_run(s, err);
}

cs_status store_crl_newest(store *st, const uint8_t issuer[32], uint64_t *ret_number, cs_err *err) {
    static const char sql[] = "SELECT MAX(number) FROM crls WHERE der IS NOT NULL AND issuer = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_blob(s, 1, cs_view_of(issuer, 32));
    cs_status status = store_stmt_step(s, err);
    if (status != CS_OK && status != CS_AGAIN) return status;
    *ret_number = status == CS_OK ? (uint64_t)store_col_i64(s, 0) : 0;
    store_stmt_done(s);
    return CS_OK;
}
