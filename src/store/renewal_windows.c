#include "store/store_priv.h"

#define COLUMNS                                                                                                        \
    "id, created, made_by, why, begins, spread, kind, pattern, tag, profile, issuer, key_type, removed, removed_by"

static void read_row(const store_stmt *s, store_window *w) {
    *w = (store_window){.id = (uint64_t)store_col_i64(s, 0), .kind = CS_KIND_OTHER};
    w->created = store_col_i64(s, 1);
    store_col_copy(s, 2, w->made_by, sizeof w->made_by);
    store_col_copy(s, 3, w->why, sizeof w->why);
    w->begins = store_col_i64(s, 4);
    w->spread = store_col_i64(s, 5);
    if (!store_col_null(s, 6)) w->kind = store_col_kind(s, 6);
    store_col_copy(s, 7, w->pattern, sizeof w->pattern);
    store_col_copy(s, 8, w->tag, sizeof w->tag);
    store_col_copy(s, 9, w->profile, sizeof w->profile);
    w->has_issuer = !store_col_null(s, 10);
    if (w->has_issuer) store_col_hash(s, 10, w->issuer);
    store_col_copy(s, 11, w->key_type, sizeof w->key_type);
    w->removed = store_col_i64(s, 12);
    store_col_copy(s, 13, w->removed_by, sizeof w->removed_by);
}

static const char *or_null(const char *text) {
    return text[0] != '\0' ? text : NULL;
}

cs_status store_window_add(store *st, store_window *w, cs_err *err) {
    static const char sql[] = "INSERT INTO renewal_windows (id, created, made_by, why, begins, spread, kind, pattern, "
                              "tag, profile, issuer, key_type) "
                              "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    uint64_t last = 0, there = 0;
    store_stmt *s = NULL;
    TRY(store_number(st, "SELECT COUNT(*) FROM renewal_windows WHERE removed IS NULL", &there, err));
    if (there >= STORE_WINDOWS_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_LIMIT_REACHED, "%d renewal windows hold; remove one that is over",
                       STORE_WINDOWS_MAX);
    TRY(store_number(st, "SELECT MAX(id) FROM renewal_windows", &last, err));
    w->id = last + 1;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)w->id);
    store_stmt_i64(s, 2, w->created);
    store_stmt_text(s, 3, w->made_by);
    store_stmt_text(s, 4, w->why);
    store_stmt_i64(s, 5, w->begins);
    store_stmt_i64(s, 6, w->spread);
    store_stmt_text(s, 7, w->kind != CS_KIND_OTHER ? cs_kind_name(w->kind) : NULL);
    store_stmt_text(s, 8, or_null(w->pattern));
    store_stmt_text(s, 9, or_null(w->tag));
    store_stmt_text(s, 10, or_null(w->profile));
    store_stmt_blob(s, 11, w->has_issuer ? cs_view_of(w->issuer, 32) : cs_view_of(NULL, 0));
    store_stmt_text(s, 12, or_null(w->key_type));
    return store_stmt_run(s, err);
}

cs_status store_window_get(store *st, uint64_t id, store_window *ret, cs_err *err) {
    static const char sql[] = "SELECT " COLUMNS " FROM renewal_windows WHERE id = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)id);
    cs_status status = store_stmt_step(s, err);
    if (status == CS_OK) read_row(s, ret);
    if (status == CS_AGAIN)
        return cs_fail(err, CS_REFUSED, CS_R_RENEWAL_WINDOW_UNKNOWN, "%llu", (unsigned long long)id);
    store_stmt_done(s);
    return status;
}

cs_status store_window_remove(store *st, uint64_t id, const char *by, cs_time at, cs_err *err) {
    static const char sql[] =
        "UPDATE renewal_windows SET removed = ?2, removed_by = ?3 WHERE id = ?1 AND removed IS NULL";
    store_window w;
    store_stmt *s = NULL;
    TRY(store_window_get(st, id, &w, err));
    if (w.removed != 0)
        return cs_fail(err, CS_REFUSED, CS_R_RENEWAL_WINDOW_UNKNOWN, "%llu was removed by %s", (unsigned long long)id,
                       w.removed_by);
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)id);
    store_stmt_i64(s, 2, at);
    store_stmt_text(s, 3, by);
    return store_stmt_run(s, err);
}

typedef struct listing {
    store_window_seen *seen;
    void *cls;
} listing;

static cs_status take(store_stmt *s, void *cls, cs_err *err) {
    const listing *l = cls;
    store_window w;
    read_row(s, &w);
    return l->seen(l->cls, &w, err);
}

cs_status store_window_list(store *st, bool all, store_window_seen *seen, void *cls, cs_err *err) {
    static const char every[] = "SELECT " COLUMNS " FROM renewal_windows ORDER BY id DESC LIMIT 200";
    static const char holding[] = "SELECT " COLUMNS " FROM renewal_windows WHERE removed IS NULL ORDER BY id DESC";
    listing l = {seen, cls};
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, all ? every : holding, &s, err));
    return store_stmt_each(s, take, &l, err);
}
