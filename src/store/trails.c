#include <stdio.h>
#include <stdlib.h>

#include "store/store_priv.h"

enum { NAME_MAX_LEN = 64 };

static const char *name_of(const char *id, char out[NAME_MAX_LEN]) {
    (void)snprintf(out, NAME_MAX_LEN, "trail %s", id);
    return out;
}

cs_status store_trail_at(store *st, const char *id, uint64_t *ret, cs_err *err) {
    static const char sql[] = "SELECT value FROM meta WHERE name = ?1";
    char name[NAME_MAX_LEN];
    store_stmt *s = NULL;
    *ret = 0;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, name_of(id, name));
    cs_status status = store_stmt_step(s, err);
    if (status == CS_AGAIN) return CS_OK;
    TRY(status);
    *ret = strtoull(store_col_cstr(s, 0), NULL, 10);
    store_stmt_done(s);
    return CS_OK;
}

cs_status store_trail_set(store *st, const char *id, uint64_t at, cs_err *err) {
    static const char sql[] = "INSERT INTO meta (name, value) VALUES (?1, ?2) "
                              "ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value";
    char name[NAME_MAX_LEN], value[24];
    store_stmt *s = NULL;
    (void)snprintf(value, sizeof value, "%llu", (unsigned long long)at);
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, name_of(id, name));
    store_stmt_text(s, 2, value);
    return store_stmt_run(s, err);
}
