#include "store/store_priv.h"

cs_status store_admin_roles(store *st, cs_kind kind, const char *name, unsigned *ret, cs_err *err) {
    static const char sql[] = "SELECT roles FROM admins WHERE kind = ?1 AND name = ?2";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, cs_kind_name(kind));
    store_stmt_text(s, 2, name);
    cs_status status = store_stmt_step(s, err);
    if (status != CS_OK && status != CS_AGAIN) return status;
    *ret = status == CS_OK ? (unsigned)store_col_i64(s, 0) : 0;
    store_stmt_done(s);
    return CS_OK;
}

cs_status store_admin_set(store *st, cs_kind kind, const char *name, unsigned roles, cs_time at, const char *by,
                          cs_err *err) {
    static const char drop[] = "DELETE FROM admins WHERE kind = ?1 AND name = ?2";
    static const char add[] = "INSERT INTO admins (kind, name, roles, since, given_by) VALUES (?1, ?2, ?3, ?4, ?5)";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, drop, &s, err));
    store_stmt_text(s, 1, cs_kind_name(kind));
    store_stmt_text(s, 2, name);
    TRY(store_stmt_run(s, err));
    if (roles == 0) return CS_OK;
    TRY(store_stmt_open(st, add, &s, err));
    store_stmt_text(s, 1, cs_kind_name(kind));
    store_stmt_text(s, 2, name);
    store_stmt_i64(s, 3, (int)roles);
    store_stmt_i64(s, 4, at);
    store_stmt_text(s, 5, by);
    return store_stmt_run(s, err);
}

typedef struct listing {
    store_admin_seen *seen;
    void *cls;
} listing;

static cs_status take(store_stmt *s, void *cls, cs_err *err) {
    const listing *l = cls;
    return l->seen(l->cls, store_col_kind(s, 0), store_col_cstr(s, 1), (unsigned)store_col_i64(s, 2),
                   store_col_i64(s, 3), store_col_cstr(s, 4), err);
}

cs_status store_admin_list(store *st, store_admin_seen *seen, void *cls, cs_err *err) {
    static const char sql[] = "SELECT kind, name, roles, since, given_by FROM admins ORDER BY name, kind";
    listing l = {seen, cls};
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    return store_stmt_each(s, take, &l, err);
}
