/* The schema's versions: number N is made from N - 1 by sql/N_what.sql. */
#include "store/store_priv.h"
#include "store/upkeep.h"

#include "migrations.h" /* made from sql/ by tools/migrations */

enum { NEWEST = sizeof store_migrations / sizeof store_migrations[0] };

static cs_status make_one(store *st, uint64_t from, cs_err *err) {
    if (from == 0 && st->driver->before_first != NULL)
        TRY(st->driver->exec(st, st->driver->before_first, "schema", err));
    return st->driver->exec(st, store_migrations[from].sql, store_migrations[from].file, err);
}

cs_status store_schema_make(store *st, uint64_t version, cs_err *err) {
    for (uint64_t from = 0; from < version; from++) TRY(make_one(st, from, err));
    return st->driver->version_set(st, version, err);
}

static cs_status newer(const store *st, uint64_t version, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_STORE_SCHEMA_NEWER, "%s: schema %llu, this program knows %d", st->name,
                   (unsigned long long)version, (int)NEWEST);
}

/* One step; another connection may have been first. */
static cs_status step(store *st, uint64_t from, cs_err *err) {
    uint64_t version = 0;
    TRY(store_begin(st, err));
    cs_status status = st->driver->version(st, &version, err);
    if (status == CS_OK && version == from) {
        status = make_one(st, from, err);
        if (status == CS_OK) status = st->driver->version_set(st, from + 1, err);
    }
    if (status == CS_OK) return store_commit(st, err);
    store_rollback(st);
    return status;
}

cs_status store_migrate(store *st, cs_err *err) {
    for (;;) {
        uint64_t version = 0;
        TRY(st->driver->version(st, &version, err));
        if (version > NEWEST) return newer(st, version, err);
        if (version == NEWEST) return CS_OK;
        TRY(step(st, version, err));
    }
}

/* ---- opened by upkeep ---- */

static cs_status opened(const char *where, store_mode mode, store **ret, cs_err *err) {
    CS_AUTO(store) st = NULL;
    uint64_t version = 0;
    TRY(store_new(where, mode, &st, err));
    TRY(st->driver->version(st, &version, err));
    if (version > NEWEST) return newer(st, version, err);
    if (mode == STORE_AS_IS && version == 0)
        return cs_fail(err, CS_REFUSED, CS_R_STATE_MISSING, "%s: there is no store in it", st->name);
    if (mode == STORE_BARE && version != 0) return cs_fail(err, CS_REFUSED, CS_R_STORE_NOT_EMPTY, "%s", st->name);
    *ret = CS_TAKE(st);
    return CS_OK;
}

cs_status store_open_as_is(const char *where, store **ret, cs_err *err) {
    return opened(where, STORE_AS_IS, ret, err);
}

cs_status store_open_bare(const char *where, store **ret, cs_err *err) {
    return opened(where, STORE_BARE, ret, err);
}

const char *store_name(const store *st) {
    return st->name;
}
