#include "store/store_priv.h"

cs_status store_ticket_key_add(store *st, cs_view key, cs_time at, cs_time gone_before, cs_err *err) {
    static const char drop[] = "DELETE FROM ticket_keys WHERE made_at < ?1";
    static const char add[] = "INSERT INTO ticket_keys (id, made_at, sealing) "
                              "SELECT COALESCE(MAX(id), 0) + 1, ?1, ?2 FROM ticket_keys";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, drop, &s, err));
    store_stmt_i64(s, 1, gone_before);
    TRY(store_stmt_run(s, err));
    TRY(store_stmt_open(st, add, &s, err));
    store_stmt_i64(s, 1, at);
    store_stmt_blob(s, 2, key);
    return store_stmt_run(s, err);
}

cs_status store_ticket_newest(store *st, cs_time *ret_made, uint64_t *ret_id, cs_err *err) {
    static const char sql[] = "SELECT id, made_at FROM ticket_keys ORDER BY id DESC LIMIT 1";
    store_stmt *s = NULL;
    *ret_id = 0;
    *ret_made = 0;
    TRY(store_stmt_open(st, sql, &s, err));
    cs_status status = store_stmt_step(s, err);
    if (status == CS_AGAIN) return CS_OK;
    TRY(status);
    *ret_id = (uint64_t)store_col_i64(s, 0);
    *ret_made = store_col_i64(s, 1);
    store_stmt_done(s);
    return CS_OK;
}

cs_status store_ticket_keys(store *st, cs_time since, cs_buf *out, cs_err *err) {
    static const char sql[] = "SELECT sealing FROM ticket_keys WHERE made_at >= ?1 ORDER BY id DESC LIMIT 16";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, since);
    cs_status status = store_stmt_step(s, err);
    for (; status == CS_OK; status = store_stmt_step(s, err)) {
        cs_view key = store_col_blob(s, 0);
        if (key.n == STORE_TICKET_KEY) (void)cs_buf_add_view(out, key);
    }
    return status == CS_AGAIN ? cs_buf_ok(out, "ticket keys", err) : status;
}
