#include "store/store_priv.h"
#include "x509/digest.h"

cs_status store_audit_add(store *st, cs_time at, cs_view event, cs_err *err) {
    static const char last[] = "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1";
    static const char add[] = "INSERT INTO audit (sequence, at, event, hash) VALUES (?1, ?2, ?3, ?4)";
    uint8_t before[CS_SHA256_LEN] = {0}, hash[CS_SHA256_LEN];
    sqlite3_int64 sequence = 1;
    sqlite3_stmt *s = NULL;
    TRY(store_prepare(st, last, &s, err));
    cs_status status = store_step(st, s, err);
    if (status == CS_FAILED) return status;
    if (status == CS_OK) {
        cs_view v = store_column_blob(s, 1);
        sequence = sqlite3_column_int64(s, 0) + 1;
        if (v.n == sizeof before) memcpy(before, v.p, sizeof before);
    }
    store_done(s);
    TRY(cs_sha256_two(cs_view_of(before, sizeof before), event, hash, err));
    TRY(store_prepare(st, add, &s, err));
    (void)sqlite3_bind_int64(s, 1, sequence);
    (void)sqlite3_bind_int64(s, 2, at);
    (void)sqlite3_bind_text64(s, 3, (const char *)event.p, event.n, SQLITE_STATIC, SQLITE_UTF8);
    store_bind_blob(s, 4, cs_view_of(hash, sizeof hash));
    return store_run(st, s, err);
}

cs_status store_audit_check(store *st, uint64_t *ret_records, cs_err *err) {
    static const char sql[] = "SELECT sequence, event, hash FROM audit ORDER BY sequence";
    uint8_t chain[CS_SHA256_LEN] = {0};
    uint64_t n = 0;
    sqlite3_stmt *s = NULL;
    TRY(store_prepare(st, sql, &s, err));
    cs_status status = CS_OK;
    while ((status = store_step(st, s, err)) == CS_OK) {
        uint8_t hash[CS_SHA256_LEN];
        cs_view event = cs_view_of(sqlite3_column_text(s, 1), (size_t)sqlite3_column_bytes(s, 1));
        status = cs_sha256_two(cs_view_of(chain, sizeof chain), event, hash, err);
        if (status == CS_OK && ((uint64_t)sqlite3_column_int64(s, 0) != ++n ||
                                !cs_view_eq(store_column_blob(s, 2), cs_view_of(hash, sizeof hash))))
            status = cs_fail(err, CS_REFUSED, CS_R_STATE_CORRUPT, "%s: audit record %llu was changed or one is missing",
                             st->path, (unsigned long long)n);
        memcpy(chain, hash, sizeof chain);
        if (status == CS_OK) continue;
        store_done(s);
        return status;
    }
    *ret_records = n;
    return status == CS_AGAIN ? CS_OK : status;
}
