#include "store/store_priv.h"

cs_status store_admin_roles(store *st, cs_kind kind, const char *name, unsigned *ret, cs_err *err) {
    static const char sql[] = "SELECT roles FROM admins WHERE kind = ?1 AND name = ?2";
    sqlite3_stmt *s = NULL;
    TRY(store_prepare(st, sql, &s, err));
    store_bind_text(s, 1, cs_kind_name(kind));
    store_bind_text(s, 2, name);
    cs_status status = store_step(st, s, err);
    if (status == CS_FAILED) return status;
    *ret = status == CS_OK ? (unsigned)sqlite3_column_int(s, 0) : 0;
    store_done(s);
    return CS_OK;
}

cs_status store_admin_set(store *st, cs_kind kind, const char *name, unsigned roles, cs_time at, const char *by,
                          cs_err *err) {
    static const char drop[] = "DELETE FROM admins WHERE kind = ?1 AND name = ?2";
    static const char add[] = "INSERT INTO admins (kind, name, roles, since, given_by) VALUES (?1, ?2, ?3, ?4, ?5)";
    sqlite3_stmt *s = NULL;
    TRY(store_prepare(st, drop, &s, err));
    store_bind_text(s, 1, cs_kind_name(kind));
    store_bind_text(s, 2, name);
    TRY(store_run(st, s, err));
    if (roles == 0) return CS_OK;
    TRY(store_prepare(st, add, &s, err));
    store_bind_text(s, 1, cs_kind_name(kind));
    store_bind_text(s, 2, name);
    (void)sqlite3_bind_int(s, 3, (int)roles);
    (void)sqlite3_bind_int64(s, 4, at);
    store_bind_text(s, 5, by);
    return store_run(st, s, err);
}

cs_status store_admin_list(store *st, store_admin_seen *seen, void *cls, cs_err *err) {
    static const char sql[] = "SELECT kind, name, roles, since, given_by FROM admins ORDER BY name, kind";
    sqlite3_stmt *s = NULL;
    TRY(store_prepare(st, sql, &s, err));
    cs_status status = store_step(st, s, err);
    for (; status == CS_OK; status = status == CS_OK ? store_step(st, s, err) : status) {
        cs_kind kind = CS_KIND_OTHER;
        (void)cs_kind_parse(cs_view_str((const char *)sqlite3_column_text(s, 0)), &kind);
        status = seen(cls, kind, (const char *)sqlite3_column_text(s, 1), (unsigned)sqlite3_column_int(s, 2),
                      sqlite3_column_int64(s, 3), (const char *)sqlite3_column_text(s, 4), err);
        if (status != CS_OK) store_done(s);
    }
    return status == CS_AGAIN ? CS_OK : status;
}
