/* Small facts under a name, in meta: how much of a trail is in the log, which profiles are known. */
#include <stdio.h>
#include <stdlib.h>

#include "store/store_priv.h"

enum { NAME_SIZE = 256 };

static cs_status get(store *st, const char *name, char *ret, size_t size, bool *ret_there, cs_err *err) {
    static const char sql[] = "SELECT value FROM meta WHERE name = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, name);
    cs_status status = store_stmt_step(s, err);
    *ret_there = status == CS_OK;
    if (status == CS_AGAIN) return CS_OK;
    TRY(status);
    store_col_copy(s, 0, ret, size);
    store_stmt_done(s);
    return CS_OK;
}

static cs_status set(store *st, const char *name, const char *value, cs_err *err) {
    static const char sql[] = "INSERT INTO meta (name, value) VALUES (?1, ?2) "
                              "ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, name);
    store_stmt_text(s, 2, value);
    return store_stmt_run(s, err);
}

/* ---- trails ---- */

cs_status store_trail_at(store *st, const char *id, uint64_t *ret, cs_err *err) {
    char name[NAME_SIZE], value[24] = "0";
    bool there = false;
    (void)snprintf(name, sizeof name, "trail %s", id);
    TRY(get(st, name, value, sizeof value, &there, err));
    *ret = there ? strtoull(value, NULL, 10) : 0;
    return CS_OK;
}

cs_status store_trail_set(store *st, const char *id, uint64_t at, cs_err *err) {
    char name[NAME_SIZE], value[24];
    (void)snprintf(name, sizeof name, "trail %s", id);
    (void)snprintf(value, sizeof value, "%llu", (unsigned long long)at);
    return set(st, name, value, err);
}

/* ---- profiles ---- */

cs_status store_profile_known(store *st, const char *profile, const char *digest, bool *ret, cs_err *err) {
    char name[NAME_SIZE], value[8];
    (void)snprintf(name, sizeof name, "profile %s %s", profile, digest);
    return get(st, name, value, sizeof value, ret, err);
}

cs_status store_profile_know(store *st, const char *profile, const char *digest, cs_err *err) {
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof name, "profile %s %s", profile, digest);
    return set(st, name, "known", err);
}

cs_status store_profile_any(store *st, bool *ret, cs_err *err) {
    uint64_t n = 0;
    TRY(store_number(st, "SELECT COUNT(*) FROM meta WHERE name LIKE 'profile %'", &n, err));
    *ret = n > 0;
    return CS_OK;
}
