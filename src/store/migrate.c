/* The schema's versions: number N is made from N - 1 by sql/N_what.sql. */
#include "store/store_priv.h"

#include "migrations.h" /* made from sql/ by tools/migrations */

enum { NEWEST = sizeof store_migrations / sizeof store_migrations[0] };

/* One step; another connection may have been first. */
static cs_status step(store *st, uint64_t from, cs_err *err) {
    uint64_t version = 0;
    TRY(store_begin(st, err));
    cs_status status = st->driver->version(st, &version, err);
    if (status == CS_OK && version == from) {
        if (from == 0 && st->driver->before_first != NULL)
            status = st->driver->exec(st, st->driver->before_first, "schema", err);
        if (status == CS_OK)
            status = st->driver->exec(st, store_migrations[from].sql, store_migrations[from].file, err);
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
        if (version > NEWEST)
            return cs_fail(err, CS_REFUSED, CS_R_STORE_SCHEMA_NEWER, "%s: schema %llu, this program knows %d", st->name,
                           (unsigned long long)version, (int)NEWEST);
        if (version == NEWEST) return CS_OK;
        TRY(step(st, version, err));
    }
}
