#include <stdio.h>

#include "store/store_priv.h"

void store_cert_read(store_stmt *s, store_cert *c) {
    memset(c, 0, sizeof *c);
    store_col_copy(s, 0, c->serial, sizeof c->serial);
    c->kind = store_col_kind(s, 1);
    store_col_copy(s, 2, c->name, sizeof c->name);
    c->status = (store_status)store_col_i64(s, 3);
    store_col_hash(s, 4, c->issuer);
    store_col_hash(s, 5, c->spki_sha256);
    store_col_hash(s, 6, c->tbs_sha256);
    store_col_hash(s, 7, c->request_sha256);
    store_col_hash(s, 8, c->sha256);
    store_col_copy(s, 9, c->idempotency_key, sizeof c->idempotency_key);
    c->created = store_col_i64(s, 10);
    c->not_before = store_col_i64(s, 11);
    c->not_after = store_col_i64(s, 12);
    store_col_copy(s, 13, c->subject, sizeof c->subject);
    c->der = store_col_blob(s, 14);
    c->revoked_at = store_col_i64(s, 15);
    c->revocation_reason = (int)store_col_i64(s, 16);
    store_col_copy(s, 17, c->token, sizeof c->token);
    store_col_copy(s, 18, c->parent, sizeof c->parent);
    store_col_copy(s, 19, c->profile, sizeof c->profile);
    c->tags = store_col_text(s, 20);
    c->shard = (unsigned)store_col_i64(s, 21);
}

/* Which of the two was there already. */
static cs_status taken(store *st, const store_cert *c, cs_err *err) {
    static const char sql[] = "SELECT 1 FROM certificates WHERE serial = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, c->serial);
    cs_status status = store_stmt_step(s, err);
    if (status != CS_OK && status != CS_AGAIN) return status;
    store_stmt_done(s);
    if (status == CS_OK) return cs_fail(err, CS_REFUSED, CS_R_SERIAL_REUSED, "serial %s", c->serial);
    return cs_fail(err, CS_REFUSED, CS_R_IDEMPOTENCY_CONFLICT, "key %s", c->idempotency_key);
}

cs_status store_intent_add(store *st, const store_cert *c, cs_err *err) {
    static const char sql[] =
        "INSERT INTO certificates (serial, sequence, kind, name, status, issuer, spki_sha256, tbs_sha256, "
        "request_sha256, idempotency_key, created, not_before, not_after, token, parent, node, shard, profile) "
        "VALUES (?1, (SELECT COALESCE(MAX(sequence), 0) + 1 FROM certificates), ?2, ?3, 0, ?4, ?5, ?6, ?7, ?8, ?9, "
        "?10, ?11, ?12, ?13, ?14, ?15, ?16) ON CONFLICT DO NOTHING";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, c->serial);
    store_stmt_text(s, 2, cs_kind_name(c->kind));
    store_stmt_text(s, 3, c->name);
    store_stmt_blob(s, 4, cs_view_of(c->issuer, 32));
    store_stmt_blob(s, 5, cs_view_of(c->spki_sha256, 32));
    store_stmt_blob(s, 6, cs_view_of(c->tbs_sha256, 32));
    store_stmt_blob(s, 7, cs_view_of(c->request_sha256, 32));
    store_stmt_text(s, 8, c->idempotency_key[0] != '\0' ? c->idempotency_key : NULL);
    store_stmt_i64(s, 9, c->created);
    store_stmt_i64(s, 10, c->not_before);
    store_stmt_i64(s, 11, c->not_after);
    store_stmt_text(s, 12, c->token[0] != '\0' ? c->token : NULL);
    store_stmt_text(s, 13, c->parent[0] != '\0' ? c->parent : NULL);
    store_stmt_i64(s, 14, st->node);
    store_stmt_i64(s, 15, c->shard);
    store_stmt_text(s, 16, c->profile[0] != '\0' ? c->profile : NULL);
    TRY(store_stmt_run(s, err));
    return store_stmt_changed(s) == 1 ? CS_OK : taken(st, c, err);
}

/* Exactly one row must have changed. */
static cs_status run_one(store *st, store_stmt *s, const char *serial, cs_err *err) {
    TRY(store_stmt_run(s, err));
    if (store_stmt_changed(s) == 1) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "serial %s", serial);
}

cs_status store_issued_set(store *st, const char *serial, const char *subject, const uint8_t sha256[32], cs_view der,
                           cs_err *err) {
    static const char sql[] =
        "UPDATE certificates SET status = 1, subject = ?2, sha256 = ?3, der = ?4 WHERE serial = ?1 AND status = 0";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, serial);
    store_stmt_text(s, 2, subject);
    store_stmt_blob(s, 3, cs_view_of(sha256, 32));
    store_stmt_blob(s, 4, der);
    return run_one(st, s, serial, err);
}

cs_status store_key_check(store *st, const store_cert *intent, bool shared, cs_err *err) {
    /* status + 0: the planner is to go by the key, whatever it believes of the others */
    static const char sql[] =
        "SELECT serial, kind, name, status FROM certificates WHERE spki_sha256 = ?1 AND "
        "((status + 0 = 2 AND revocation_reason = 1) OR (?2 = 0 AND status + 0 < 2 AND not_after > ?3 AND (kind <> ?4 "
        "OR name <> ?5))) LIMIT 1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_blob(s, 1, cs_view_of(intent->spki_sha256, 32));
    store_stmt_i64(s, 2, shared);
    store_stmt_i64(s, 3, intent->created);
    store_stmt_text(s, 4, cs_kind_name(intent->kind));
    store_stmt_text(s, 5, intent->name);
    cs_status status = store_stmt_step(s, err);
    if (status != CS_OK) return status == CS_AGAIN ? CS_OK : status;
    if (store_col_i64(s, 3) == STORE_REVOKED)
        status = cs_fail(err, CS_REFUSED, CS_R_KEY_COMPROMISED, "it was that of serial %s", store_col_cstr(s, 0));
    else
        status = cs_fail(err, CS_REFUSED, CS_R_KEY_SHARED, "%s %s asks with the key of %s %s, serial %s",
                         cs_kind_name(intent->kind), intent->name, store_col_cstr(s, 1), store_col_cstr(s, 2),
                         store_col_cstr(s, 0));
    store_stmt_done(s);
    return status;
}

cs_status store_intent_drop(store *st, const char *serial, cs_err *err) {
    static const char sql[] = "DELETE FROM certificates WHERE serial = ?1 AND status = 0";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, serial);
    return run_one(st, s, serial, err);
}

#define FORSAKEN "status = 0 AND (node IS NULL OR node = ?2 OR node NOT IN (SELECT node FROM nodes_alive))"

typedef struct seeing {
    store_cert_seen *seen;
    void *cls;
} seeing;

static cs_status see(store_stmt *s, void *cls, cs_err *err) {
    const seeing *t = cls;
    store_cert c;
    store_cert_read(s, &c);
    return t->seen(t->cls, &c, err);
}

cs_status store_intents_forsaken(store *st, store_cert_seen *seen, void *cls, cs_err *err) {
    static const char sql[] =
        "SELECT " STORE_CERT_COLUMNS " FROM certificates WHERE (?1 IS NULL) AND " FORSAKEN " ORDER BY sequence";
    seeing t = {seen, cls};
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, NULL);
    store_stmt_i64(s, 2, st->node);
    return store_stmt_each(s, see, &t, err);
}

cs_status store_intents_abandon(store *st, cs_time now, size_t *ret_n, cs_err *err) {
    static const char feed[] =
        "INSERT INTO feed (sequence, serial, issuer, at, reason) SELECT "
        "(SELECT COALESCE(MAX(sequence), 0) FROM feed) + ROW_NUMBER() OVER (ORDER BY sequence), serial, issuer, ?1, 5 "
        "FROM certificates WHERE " FORSAKEN;
    static const char mark[] = "UPDATE certificates SET status = 3, revoked_at = ?1, revocation_reason = 5, "
                               "idempotency_key = NULL WHERE " FORSAKEN;
    static const char *const both[] = {feed, mark};
    store_stmt *s = NULL;
    for (int i = 0; i < 2; i++) {
        TRY(store_stmt_open(st, both[i], &s, err));
        store_stmt_i64(s, 1, now);
        store_stmt_i64(s, 2, st->node);
        TRY(store_stmt_run(s, err));
    }
    *ret_n = (size_t)store_stmt_changed(s);
    if (*ret_n > 0) st->fed = true;
    return CS_OK;
}

/* The first row of a bound statement; the row stays open, so that der may be read. */
static cs_status one(store *st, store_stmt *s, store_cert *ret, const char *what, cs_err *err) {
    cs_status status = store_stmt_step(s, err);
    if (status == CS_AGAIN) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "%s", what);
    if (status == CS_OK) store_cert_read(s, ret);
    return status;
}

cs_status store_cert_by_serial(store *st, const char *serial, store_cert *ret, cs_err *err) {
    static const char sql[] = "SELECT " STORE_CERT_COLUMNS " FROM certificates WHERE serial = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, serial);
    return one(st, s, ret, serial, err);
}

cs_status store_cert_by_key(store *st, const char *key, store_cert *ret, cs_err *err) {
    static const char sql[] = "SELECT " STORE_CERT_COLUMNS " FROM certificates WHERE idempotency_key = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, key);
    return one(st, s, ret, key, err);
}

cs_status store_expires_next(store *st, cs_time now, store_cert *ret, cs_err *err) {
    static const char sql[] = "SELECT " STORE_CERT_COLUMNS
                              " FROM certificates WHERE status = 1 AND not_after >= ?1 ORDER BY not_after LIMIT 1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, now);
    return one(st, s, ret, "no certificate is valid", err);
}

cs_status store_count(store *st, cs_time now, store_counts *ret, cs_err *err) {
    /* One pass over an index that has all of it; grouping would sort as many rows as there are. */
    static const char sql[] =
        "SELECT COUNT(*) FILTER (WHERE kind = 'server'), COUNT(*) FILTER (WHERE kind = 'user'), "
        "COUNT(*) FILTER (WHERE kind = 'device'), COUNT(*) FILTER (WHERE status = 1 AND not_after >= ?1), "
        "COUNT(*) FILTER (WHERE status = 2), COUNT(*) FILTER (WHERE status = 1 AND not_after < ?1) "
        "FROM certificates WHERE status IN (1, 2)";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, now);
    TRY(store_stmt_step(s, err));
    *ret = (store_counts){.issued = {[CS_KIND_SERVER] = store_col_i64(s, 0),
                                     [CS_KIND_USER] = store_col_i64(s, 1),
                                     [CS_KIND_DEVICE] = store_col_i64(s, 2)},
                          .valid = store_col_i64(s, 3),
                          .revoked = store_col_i64(s, 4),
                          .expired = store_col_i64(s, 5)};
    store_stmt_done(s);
    return CS_OK;
}
