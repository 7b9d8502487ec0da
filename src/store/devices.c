/* Devices that may enroll by what their makers gave them, and whether they have. */
#include "store/store_priv.h"

#define DEVICE_COLUMNS "name, vendor, serial, key_sha256, profile, not_after, created, made_by"

static void read_device(store_stmt *s, store_device *d) {
    *d = (store_device){.has_key = !store_col_null(s, 3), .not_after = store_col_i64(s, 5)};
    store_col_copy(s, 0, d->name, sizeof d->name);
    store_col_copy(s, 1, d->vendor, sizeof d->vendor);
    store_col_copy(s, 2, d->serial, sizeof d->serial);
    if (d->has_key) store_col_hash(s, 3, d->key_sha256);
    store_col_copy(s, 4, d->profile, sizeof d->profile);
    d->created = store_col_i64(s, 6);
    store_col_copy(s, 7, d->by, sizeof d->by);
}

/* The statement's first row. */
static cs_status take_one(store_stmt *s, store_device *ret, cs_err *err) {
    cs_status status = store_stmt_step(s, err);
    if (status == CS_AGAIN) return cs_fail(err, CS_REFUSED, CS_R_DEVICE_UNKNOWN, "none is on the list");
    if (status != CS_OK) return status;
    read_device(s, ret);
    store_stmt_done(s);
    return CS_OK;
}

cs_status store_device_get(store *st, const char *name, store_device *ret, cs_err *err) {
    static const char sql[] = "SELECT " DEVICE_COLUMNS " FROM devices WHERE name = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, name);
    return take_one(s, ret, err);
}

cs_status store_device_by_serial(store *st, const char *vendor, const char *serial, store_device *ret, cs_err *err) {
    static const char sql[] = "SELECT " DEVICE_COLUMNS " FROM devices WHERE serial = ?1 AND vendor IN (?2, '') "
                              "ORDER BY vendor DESC LIMIT 1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, serial);
    store_stmt_text(s, 2, vendor);
    return take_one(s, ret, err);
}

cs_status store_device_by_key(store *st, const uint8_t spki_sha256[32], store_device *ret, cs_err *err) {
    static const char sql[] = "SELECT " DEVICE_COLUMNS " FROM devices WHERE key_sha256 = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_blob(s, 1, cs_view_of(spki_sha256, 32));
    return take_one(s, ret, err);
}

/* The other device that has its serial number or key; "": none. */
static cs_status find_conflict(store *st, const store_device *d, char ret[CS_IDENTITY_NAME_MAX + 1], cs_err *err) {
    static const char sql[] =
        "SELECT name FROM devices WHERE name <> ?1 AND ((serial = ?2 AND vendor = ?3) OR key_sha256 = ?4) LIMIT 1";
    store_stmt *s = NULL;
    ret[0] = '\0';
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, d->name);
    store_stmt_text(s, 2, d->serial[0] != '\0' ? d->serial : NULL);
    store_stmt_text(s, 3, d->vendor);
    store_stmt_blob(s, 4, d->has_key ? cs_view_of(d->key_sha256, 32) : (cs_view){NULL, 0});
    cs_status status = store_stmt_step(s, err);
    if (status == CS_AGAIN) return CS_OK;
    if (status != CS_OK) return status;
    store_col_copy(s, 0, ret, CS_IDENTITY_NAME_MAX + 1);
    store_stmt_done(s);
    return CS_OK;
}

cs_status store_device_put(store *st, const store_device *d, bool *ret_new, cs_err *err) {
    static const char add[] = "INSERT INTO devices (" DEVICE_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) "
                              "ON CONFLICT DO NOTHING";
    static const char set[] = "UPDATE devices SET vendor = ?2, serial = ?3, key_sha256 = ?4, profile = ?5, "
                              "not_after = ?6 WHERE name = ?1";
    char other[CS_IDENTITY_NAME_MAX + 1];
    store_device was;
    store_stmt *s = NULL;
    cs_status status = store_device_get(st, d->name, &was, err);
    if (status != CS_OK && status != CS_REFUSED) return status;
    *ret_new = status != CS_OK;
    TRY(find_conflict(st, d, other, err));
    if (other[0] != '\0') return cs_fail(err, CS_REFUSED, CS_R_DEVICE_CONFLICT, "%s has it", other);
    TRY(store_stmt_open(st, *ret_new ? add : set, &s, err));
    store_stmt_text(s, 1, d->name);
    store_stmt_text(s, 2, d->vendor);
    store_stmt_text(s, 3, d->serial[0] != '\0' ? d->serial : NULL);
    store_stmt_blob(s, 4, d->has_key ? cs_view_of(d->key_sha256, 32) : (cs_view){NULL, 0});
    store_stmt_text(s, 5, d->profile);
    store_stmt_i64(s, 6, d->not_after);
    if (*ret_new) {
        store_stmt_i64(s, 7, d->created);
        store_stmt_text(s, 8, d->by);
    }
    TRY(store_stmt_run(s, err));
    if (store_stmt_changed(s) == 1) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_DEVICE_CONFLICT, "another node put it there a moment ago");
}

cs_status store_device_remove(store *st, const char *name, cs_err *err) {
    static const char sql[] = "DELETE FROM devices WHERE name = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, name);
    TRY(store_stmt_run(s, err));
    if (store_stmt_changed(s) == 1) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_DEVICE_UNKNOWN, "%s", name);
}

typedef struct devices_seen {
    store_device_seen *seen;
    void *cls;
} devices_seen;

static cs_status take_device(store_stmt *s, void *cls, cs_err *err) {
    const devices_seen *l = cls;
    store_device d;
    read_device(s, &d);
    return l->seen(l->cls, &d, err);
}

cs_status store_device_list(store *st, const char *after, unsigned limit, store_device_seen *seen, void *cls,
                            cs_err *err) {
    static const char sql[] = "SELECT " DEVICE_COLUMNS " FROM devices WHERE name > ?1 ORDER BY name LIMIT ?2";
    devices_seen l = {seen, cls};
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, after != NULL ? after : "");
    store_stmt_i64(s, 2, limit);
    return store_stmt_each(s, take_device, &l, err);
}

/* ---- uses ---- */

cs_status store_once_claim(store *st, const store_cert *intent, cs_err *err) {
    /* As for tokens: the first locks a row where several nodes write, the second counts what all of them have done. */
    static const char touch[] = "INSERT INTO credentials (id, used_at) VALUES (?1, ?2) "
                                "ON CONFLICT (id) DO UPDATE SET used_at = ?2";
    static const char count[] = "SELECT COUNT(*) FROM certificates WHERE token = ?1 AND status <> 3 AND created >= "
                                "COALESCE((SELECT created FROM devices WHERE name = ?2), 0)";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, touch, &s, err));
    store_stmt_text(s, 1, intent->token);
    store_stmt_i64(s, 2, intent->created);
    TRY(store_stmt_run(s, err));
    TRY(store_stmt_open(st, count, &s, err));
    store_stmt_text(s, 1, intent->token);
    store_stmt_text(s, 2, intent->name);
    TRY(store_stmt_step(s, err));
    bool over = store_col_i64(s, 0) > 1;
    store_stmt_done(s);
    return over ? cs_fail(err, CS_REFUSED, CS_R_CREDENTIAL_USED, "by device %s", intent->name) : CS_OK;
}

cs_status store_identity_revoked(store *st, cs_kind kind, const char *name, bool *ret, cs_err *err) {
    static const char sql[] = "SELECT status, revocation_reason FROM certificates WHERE name = ?1 AND kind = ?2 AND "
                              "status IN (1, 2) ORDER BY sequence DESC LIMIT 1";
    enum { SUPERSEDED = 4, CESSATION = 5 };
    store_stmt *s = NULL;
    *ret = false;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, name);
    store_stmt_text(s, 2, cs_kind_name(kind));
    cs_status status = store_stmt_step(s, err);
    if (status == CS_AGAIN) return CS_OK;
    if (status != CS_OK) return status;
    int64_t reason = store_col_i64(s, 1);
    *ret = store_col_i64(s, 0) == STORE_REVOKED && reason != SUPERSEDED && reason != CESSATION;
    store_stmt_done(s);
    return CS_OK;
}
