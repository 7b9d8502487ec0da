/* ACME's accounts, orders and authorizations. */
#include "store/acme.h"
#include "store/store_priv.h"

#define ACCOUNT_COLUMNS "id, thumbprint, spki, deactivated, contact, token, kind, name, profile, created"
#define ORDER_COLUMNS                                                                                                  \
    "id, account, status, profile, created, expires, replaces, request, serial, error, "                               \
    "(SELECT COUNT(*) FROM acme_authorizations z WHERE z.order_id = o.id AND z.status <> 1), "                         \
    "(SELECT COUNT(*) FROM acme_authorizations z WHERE z.order_id = o.id AND z.status > 1)"
#define AUTHZ_COLUMNS                                                                                                  \
    "z.id, z.order_id, z.position, z.type, z.value, z.wildcard, z.status, z.token, z.challenge, z.started, "           \
    "z.validated, z.error, o.account, o.expires, z.attested_spki"
#define AUTHZ_FROM " FROM acme_authorizations z JOIN acme_orders o ON o.id = z.order_id "

static const char *or_null(const char *text) {
    return text[0] != '\0' ? text : NULL;
}

/* ---- accounts ---- */

cs_status store_account_add(store *st, const store_account *a, cs_err *err) {
    static const char sql[] = "INSERT INTO acme_accounts (id, thumbprint, spki, deactivated, contact, token, kind, "
                              "name, profile, created) VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, ?8, ?9) "
                              "ON CONFLICT DO NOTHING";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, a->id);
    store_stmt_text(s, 2, a->thumbprint);
    store_stmt_blob(s, 3, cs_view_of(a->spki, a->spki_n));
    store_stmt_text(s, 4, a->contact);
    store_stmt_text(s, 5, or_null(a->token));
    store_stmt_text(s, 6, cs_kind_name(a->kind));
    store_stmt_text(s, 7, a->name);
    store_stmt_text(s, 8, a->profile);
    store_stmt_i64(s, 9, a->created);
    TRY(store_stmt_run(s, err));
    if (store_stmt_changed(s) == 1) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_ACCOUNT_KEY_IN_USE, "key %s", a->thumbprint);
}

static cs_status get_account(store *st, const char *sql, const char *by, store_account *ret, cs_err *err) {
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, by);
    cs_status status = store_stmt_step(s, err);
    if (status == CS_AGAIN) return cs_fail(err, CS_REFUSED, CS_R_ACCOUNT_UNKNOWN, "account %s", by);
    if (status != CS_OK) return status;
    *ret = (store_account){.deactivated = store_col_i64(s, 3) != 0, .created = store_col_i64(s, 9)};
    cs_view spki = store_col_blob(s, 2);
    ret->spki_n = spki.n <= sizeof ret->spki ? spki.n : 0;
    if (ret->spki_n > 0) memcpy(ret->spki, spki.p, ret->spki_n);
    store_col_copy(s, 0, ret->id, sizeof ret->id);
    store_col_copy(s, 1, ret->thumbprint, sizeof ret->thumbprint);
    store_col_copy(s, 4, ret->contact, sizeof ret->contact);
    store_col_copy(s, 5, ret->token, sizeof ret->token);
    (void)cs_kind_parse(store_col_text(s, 6), &ret->kind);
    store_col_copy(s, 7, ret->name, sizeof ret->name);
    store_col_copy(s, 8, ret->profile, sizeof ret->profile);
    store_stmt_done(s);
    return CS_OK;
}

cs_status store_account_get(store *st, const char *id, store_account *ret, cs_err *err) {
    static const char sql[] = "SELECT " ACCOUNT_COLUMNS " FROM acme_accounts WHERE id = ?1";
    return get_account(st, sql, id, ret, err);
}

cs_status store_account_by_key(store *st, const char *thumbprint, store_account *ret, cs_err *err) {
    static const char sql[] = "SELECT " ACCOUNT_COLUMNS " FROM acme_accounts WHERE thumbprint = ?1";
    return get_account(st, sql, thumbprint, ret, err);
}

cs_status store_account_set(store *st, const char *id, const char *contact, bool deactivated, cs_err *err) {
    static const char sql[] = "UPDATE acme_accounts SET contact = ?2, deactivated = ?3 WHERE id = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, id);
    store_stmt_text(s, 2, contact);
    store_stmt_i64(s, 3, deactivated);
    return store_stmt_run(s, err);
}

cs_status store_account_key_set(store *st, const char *id, const char *thumbprint, cs_view spki, cs_err *err) {
    /* Two statements: one that fails would end the transaction in PostgreSQL. Writers come one after the other. */
    static const char sql[] = "UPDATE acme_accounts SET thumbprint = ?2, spki = ?3 WHERE id = ?1";
    store_stmt *s = NULL;
    store_account other;
    cs_status status = store_account_by_key(st, thumbprint, &other, err);
    if (status == CS_OK) return cs_fail(err, CS_REFUSED, CS_R_ACCOUNT_KEY_IN_USE, "account %s", other.id);
    if (status != CS_REFUSED) return status;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, id);
    store_stmt_text(s, 2, thumbprint);
    store_stmt_blob(s, 3, spki);
    return store_stmt_run(s, err);
}

cs_status store_account_count(store *st, uint64_t *ret, cs_err *err) {
    static const char sql[] = "SELECT COUNT(*) FROM acme_accounts WHERE token IS NULL";
    return store_number(st, sql, ret, err);
}

/* ---- orders ---- */

cs_status store_order_add(store *st, const store_order *o, cs_err *err) {
    static const char sql[] = "INSERT INTO acme_orders (id, account, status, profile, created, expires, replaces) "
                              "VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, o->id);
    store_stmt_text(s, 2, o->account);
    store_stmt_text(s, 3, o->profile);
    store_stmt_i64(s, 4, o->created);
    store_stmt_i64(s, 5, o->expires);
    store_stmt_text(s, 6, or_null(o->replaces));
    TRY(store_stmt_run(s, err));
    if (store_stmt_changed(s) == 1) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_ALREADY_REPLACED, "serial %s", o->replaces);
}

static cs_status get_order(store *st, const char *sql, const char *by, store_order *ret, cs_err *err) {
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, by);
    cs_status status = store_stmt_step(s, err);
    if (status == CS_AGAIN) return cs_fail(err, CS_REFUSED, CS_R_ORDER_UNKNOWN, "order %s", by);
    if (status != CS_OK) return status;
    *ret = (store_order){.status = (store_order_status)store_col_i64(s, 2),
                         .created = store_col_i64(s, 4),
                         .expires = store_col_i64(s, 5),
                         .unproven = (uint64_t)store_col_i64(s, 10),
                         .failed = (uint64_t)store_col_i64(s, 11)};
    store_col_copy(s, 0, ret->id, sizeof ret->id);
    store_col_copy(s, 1, ret->account, sizeof ret->account);
    store_col_copy(s, 3, ret->profile, sizeof ret->profile);
    store_col_copy(s, 6, ret->replaces, sizeof ret->replaces);
    store_col_copy(s, 7, ret->request, sizeof ret->request);
    store_col_copy(s, 8, ret->serial, sizeof ret->serial);
    store_col_copy(s, 9, ret->error, sizeof ret->error);
    store_stmt_done(s);
    return CS_OK;
}

cs_status store_order_get(store *st, const char *id, store_order *ret, cs_err *err) {
    static const char sql[] = "SELECT " ORDER_COLUMNS " FROM acme_orders o WHERE id = ?1";
    return get_order(st, sql, id, ret, err);
}

cs_status store_order_by_serial(store *st, const char *serial, store_order *ret, cs_err *err) {
    static const char sql[] = "SELECT " ORDER_COLUMNS " FROM acme_orders o WHERE serial = ?1";
    return get_order(st, sql, serial, ret, err);
}

cs_status store_order_list(store *st, const char *account, const char *after, unsigned limit, store_order_seen *seen,
                           void *cls, cs_err *err) {
    static const char sql[] =
        "SELECT id FROM acme_orders WHERE account = ?1 AND status <> 3 AND (?2 IS NULL OR "
        "created > (SELECT created FROM acme_orders WHERE id = ?2) OR "
        "(created = (SELECT created FROM acme_orders WHERE id = ?2) AND id > ?2)) ORDER BY created, id LIMIT ?3";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, account);
    store_stmt_text(s, 2, after);
    store_stmt_i64(s, 3, limit);
    cs_status status = CS_OK;
    while ((status = store_stmt_step(s, err)) == CS_OK) {
        status = seen(cls, store_col_cstr(s, 0), err);
        if (status == CS_OK) continue;
        store_stmt_done(s);
        return status;
    }
    return status == CS_AGAIN ? CS_OK : status;
}

cs_status store_order_count(store *st, const char *account, cs_time now, uint64_t *ret, cs_err *err) {
    static const char sql[] = "SELECT COUNT(*) FROM acme_orders WHERE account = ?1 AND status < 2 AND expires > ?2";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, account);
    store_stmt_i64(s, 2, now);
    cs_status status = store_stmt_step(s, err);
    if (status != CS_OK && status != CS_AGAIN) return status;
    *ret = status == CS_OK ? (uint64_t)store_col_i64(s, 0) : 0;
    store_stmt_done(s);
    return CS_OK;
}

cs_status store_order_set(store *st, const store_order *o, cs_err *err) {
    static const char sql[] = "UPDATE acme_orders SET status = ?2, request = ?3, serial = ?4, expires = ?5, error = ?6 "
                              "WHERE id = ?1 AND status < 2";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, o->id);
    store_stmt_i64(s, 2, o->status);
    store_stmt_text(s, 3, or_null(o->request));
    store_stmt_text(s, 4, or_null(o->serial));
    store_stmt_i64(s, 5, o->expires);
    store_stmt_text(s, 6, or_null(o->error));
    TRY(store_stmt_run(s, err));
    if (store_stmt_changed(s) == 1) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_ORDER_NOT_READY, "order %s was decided already", o->id);
}

/* ---- authorizations ---- */

cs_status store_authz_add(store *st, const store_authz *z, cs_err *err) {
    static const char sql[] = "INSERT INTO acme_authorizations (id, order_id, position, type, value, wildcard, status, "
                              "token) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7)";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, z->id);
    store_stmt_text(s, 2, z->order);
    store_stmt_i64(s, 3, (int64_t)z->position);
    store_stmt_text(s, 4, z->type);
    store_stmt_text(s, 5, z->value);
    store_stmt_i64(s, 6, z->wildcard);
    store_stmt_text(s, 7, z->token);
    return store_stmt_run(s, err);
}

static void read_authz(store_stmt *s, store_authz *z) {
    *z = (store_authz){.position = (uint64_t)store_col_i64(s, 2),
                       .wildcard = store_col_i64(s, 5) != 0,
                       .status = (store_authz_status)store_col_i64(s, 6),
                       .started = store_col_i64(s, 9),
                       .validated = store_col_i64(s, 10),
                       .expires = store_col_i64(s, 13),
                       .attested = !store_col_null(s, 14)};
    if (z->attested) store_col_hash(s, 14, z->attested_spki);
    store_col_copy(s, 0, z->id, sizeof z->id);
    store_col_copy(s, 1, z->order, sizeof z->order);
    store_col_copy(s, 3, z->type, sizeof z->type);
    store_col_copy(s, 4, z->value, sizeof z->value);
    store_col_copy(s, 7, z->token, sizeof z->token);
    store_col_copy(s, 8, z->challenge, sizeof z->challenge);
    store_col_copy(s, 11, z->error, sizeof z->error);
    store_col_copy(s, 12, z->account, sizeof z->account);
}

cs_status store_authz_get(store *st, const char *id, store_authz *ret, cs_err *err) {
    static const char sql[] = "SELECT " AUTHZ_COLUMNS AUTHZ_FROM "WHERE z.id = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, id);
    cs_status status = store_stmt_step(s, err);
    if (status == CS_AGAIN) return cs_fail(err, CS_REFUSED, CS_R_ORDER_UNKNOWN, "authorization %s", id);
    if (status != CS_OK) return status;
    read_authz(s, ret);
    store_stmt_done(s);
    return CS_OK;
}

cs_status store_authz_list(store *st, const char *order, store_authz_seen *seen, void *cls, cs_err *err) {
    static const char sql[] = "SELECT " AUTHZ_COLUMNS AUTHZ_FROM "WHERE z.order_id = ?1 ORDER BY z.position";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, order);
    cs_status status = CS_OK;
    while ((status = store_stmt_step(s, err)) == CS_OK) {
        store_authz z;
        read_authz(s, &z);
        status = seen(cls, &z, err);
        if (status == CS_OK) continue;
        store_stmt_done(s);
        return status;
    }
    return status == CS_AGAIN ? CS_OK : status;
}

cs_status store_authz_set(store *st, const store_authz *z, cs_err *err) {
    static const char sql[] =
        "UPDATE acme_authorizations SET status = ?2, challenge = ?3, started = ?4, "
        "validated = ?5, error = ?6, attested_spki = ?7 WHERE id = ?1 AND (status = 0 OR (status = 1 AND ?2 = 3))";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, z->id);
    store_stmt_i64(s, 2, z->status);
    store_stmt_text(s, 3, or_null(z->challenge));
    store_stmt_i64(s, 4, z->started);
    store_stmt_i64(s, 5, z->validated);
    store_stmt_text(s, 6, or_null(z->error));
    store_stmt_blob(s, 7, z->attested ? cs_view_of(z->attested_spki, 32) : (cs_view){NULL, 0});
    TRY(store_stmt_run(s, err));
    if (store_stmt_changed(s) == 1) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_ORDER_NOT_READY, "authorization %s was decided already", z->id);
}

cs_status store_authz_count(store *st, const char *account, const char *type, const char *value, bool wildcard,
                            cs_time now, uint64_t *ret, cs_err *err) {
    static const char sql[] = "SELECT COUNT(*)" AUTHZ_FROM "WHERE o.account = ?1 AND z.type = ?2 AND z.value = ?3 AND "
                              "z.wildcard = ?4 AND z.status = 1 AND o.expires > ?5";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, account);
    store_stmt_text(s, 2, type);
    store_stmt_text(s, 3, value);
    store_stmt_i64(s, 4, wildcard);
    store_stmt_i64(s, 5, now);
    cs_status status = store_stmt_step(s, err);
    if (status != CS_OK && status != CS_AGAIN) return status;
    *ret = status == CS_OK ? (uint64_t)store_col_i64(s, 0) : 0;
    store_stmt_done(s);
    return CS_OK;
}

/* ---- what ends ---- */

static cs_status drop(store *st, const char *sql, cs_time before, cs_err *err) {
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, before);
    return store_stmt_run(s, err);
}

cs_status store_acme_purge(store *st, cs_time now, cs_err *err) {
    static const char authorizations[] =
        "DELETE FROM acme_authorizations WHERE order_id IN (SELECT id FROM acme_orders WHERE expires < ?1 "
        "ORDER BY expires, id LIMIT 20)";
    static const char orders[] = "DELETE FROM acme_orders WHERE id IN (SELECT id FROM acme_orders WHERE expires < ?1 "
                                 "ORDER BY expires, id LIMIT 20)";
    static const char accounts[] =
        "DELETE FROM acme_accounts WHERE id IN (SELECT id FROM acme_accounts a WHERE token IS NULL AND created < ?1 "
        "AND NOT EXISTS (SELECT 1 FROM acme_orders o WHERE o.account = a.id) ORDER BY created LIMIT 20)";
    TRY(drop(st, authorizations, now, err));
    TRY(drop(st, orders, now, err));
    return drop(st, accounts, now - 90 * CS_DAY, err);
}

cs_status store_nonce_use(store *st, const char *nonce, cs_time now, cs_time gone, bool *ret_fresh, cs_err *err) {
    static const char add[] = "INSERT INTO acme_nonces (nonce, at) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    static const char forget[] = "DELETE FROM acme_nonces WHERE at < ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, add, &s, err));
    store_stmt_text(s, 1, nonce);
    store_stmt_i64(s, 2, now);
    TRY(store_stmt_run(s, err));
    *ret_fresh = store_stmt_changed(s) == 1;
    return drop(st, forget, gone, err);
}
