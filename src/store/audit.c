#include "store/store_priv.h"
#include "x509/digest.h"

cs_status store_audit_add(store *st, cs_time at, cs_view event, cs_err *err) {
    static const char last[] = "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1";
    static const char add[] = "INSERT INTO audit (sequence, at, event, hash) VALUES (?1, ?2, ?3, ?4)";
    uint8_t before[CS_SHA256_LEN] = {0}, hash[CS_SHA256_LEN];
    int64_t sequence = 1;
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, last, &s, err));
    cs_status status = store_stmt_step(s, err);
    if (status != CS_OK && status != CS_AGAIN) return status;
    if (status == CS_OK) {
        cs_view v = store_col_blob(s, 1);
        sequence = store_col_i64(s, 0) + 1;
        if (v.n == sizeof before) memcpy(before, v.p, sizeof before);
    }
    store_stmt_done(s);
    TRY(cs_sha256_two(cs_view_of(before, sizeof before), event, hash, err));
    TRY(store_stmt_open(st, add, &s, err));
    store_stmt_i64(s, 1, sequence);
    store_stmt_i64(s, 2, at);
    store_stmt_text_view(s, 3, event);
    store_stmt_blob(s, 4, cs_view_of(hash, sizeof hash));
    return store_stmt_run(s, err);
}

cs_status store_audit_check(store *st, uint64_t *ret_records, cs_err *err) {
    static const char sql[] = "SELECT sequence, event, hash FROM audit ORDER BY sequence";
    uint8_t chain[CS_SHA256_LEN] = {0};
    uint64_t n = 0;
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    cs_status status = CS_OK;
    while ((status = store_stmt_step(s, err)) == CS_OK) {
        uint8_t hash[CS_SHA256_LEN];
        cs_view event = store_col_text(s, 1);
        status = cs_sha256_two(cs_view_of(chain, sizeof chain), event, hash, err);
        if (status == CS_OK &&
            ((uint64_t)store_col_i64(s, 0) != ++n || !cs_view_eq(store_col_blob(s, 2), cs_view_of(hash, sizeof hash))))
            status = cs_fail(err, CS_REFUSED, CS_R_STATE_CORRUPT, "%s: audit record %llu was changed or one is missing",
                             st->name, (unsigned long long)n);
        memcpy(chain, hash, sizeof chain);
        if (status == CS_OK) continue;
        store_stmt_done(s);
        return status;
    }
    *ret_records = n;
    return status == CS_AGAIN ? CS_OK : status;
}
