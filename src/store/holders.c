/* Who hangs on a CA. */
#include "store/store_priv.h"

cs_status store_count_of(store *st, const uint8_t issuer[32], cs_time now, int64_t *ret_valid, cs_time *ret_last,
                         cs_err *err) {
    static const char sql[] = "SELECT COUNT(*), MAX(not_after) FROM certificates "
                              "WHERE status = 1 AND not_after >= ?1 AND issuer = ?2";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, now);
    store_stmt_blob(s, 2, cs_view_of(issuer, 32));
    cs_status status = store_stmt_step(s, err);
    if (status == CS_OK) {
        *ret_valid = store_col_i64(s, 0);
        *ret_last = store_col_i64(s, 1);
        store_stmt_done(s);
    }
    return status;
}

typedef struct holding {
    store_holder_seen *seen;
    void *cls;
} holding;

static cs_status take(store_stmt *s, void *cls, cs_err *err) {
    const holding *t = cls;
    store_holder h = {
        .kind = store_col_kind(s, 0), .certificates = store_col_i64(s, 2), .not_after = store_col_i64(s, 3)};
    store_col_copy(s, 1, h.name, sizeof h.name);
    return t->seen(t->cls, &h, err);
}

cs_status store_holders(store *st, const uint8_t issuer[32], cs_time now, unsigned limit, store_holder_seen *seen,
                        void *cls, cs_err *err) {
    static const char sql[] = "SELECT kind, name, COUNT(*), MAX(not_after) FROM certificates "
                              "WHERE status = 1 AND not_after >= ?1 AND issuer = ?2 GROUP BY kind, name "
                              "ORDER BY MAX(not_after) DESC, name LIMIT ?3";
    holding t = {seen, cls};
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, now);
    store_stmt_blob(s, 2, cs_view_of(issuer, 32));
    store_stmt_i64(s, 3, limit);
    return store_stmt_each(s, take, &t, err);
}
