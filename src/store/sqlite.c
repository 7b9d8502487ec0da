#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "schema.h" /* made from sql/schema.sql */
#include "store/store_priv.h"

enum { SCHEMA_VERSION = 5, BUSY_WAIT_MS = 5000 };

#define SET_VERSION "PRAGMA user_version = 5" /* takes no parameter */
_Static_assert(SCHEMA_VERSION == 5, "SET_VERSION and the head of schema.sql say which");

/* What brings a schema of version i + 1 to the next; schema.sql is the newest whole. */
static const char *const upgrades[] = {
    "CREATE INDEX certificates_by_key ON certificates (spki_sha256) WHERE status = 2 AND revocation_reason = 1",
    "DROP INDEX certificates_by_expiry; CREATE INDEX certificates_by_expiry ON certificates (status, not_after, kind); "
    "CREATE INDEX certificates_revoked ON certificates (not_after, serial, issuer, revoked_at, revocation_reason, "
    "status) "
    "WHERE status >= 2",
    "CREATE TABLE admins (kind TEXT NOT NULL, name TEXT NOT NULL, roles INTEGER NOT NULL, since BIGINT NOT NULL, "
    "given_by TEXT NOT NULL, PRIMARY KEY (kind, name))",
    "ALTER TABLE crls ADD COLUMN issuer BLOB",
};

cs_status store_fail(store *st, int code, const char *what, cs_err *err) {
    cs_reason reason = CS_R_STORE_FAILED;
    int base = code & 0xff;
    if (base == SQLITE_FULL) reason = CS_R_DISK_FULL;
    if (base == SQLITE_NOMEM) reason = CS_R_OUT_OF_MEMORY;
    if (base == SQLITE_READONLY || base == SQLITE_CANTOPEN || base == SQLITE_PERM) reason = CS_R_FILE_UNWRITABLE;
    if (base == SQLITE_CORRUPT || base == SQLITE_NOTADB) reason = CS_R_STATE_CORRUPT;
    if (base == SQLITE_BUSY || base == SQLITE_LOCKED) reason = CS_R_STATE_BUSY;
    if (base == SQLITE_IOERR && sqlite3_system_errno(st->db) == ENOSPC) reason = CS_R_DISK_FULL;
    return cs_fail(err, CS_FAILED, reason, "%s: %s: %s", st->path, what, sqlite3_errmsg(st->db));
}

cs_status store_prepare(store *st, const char *sql, sqlite3_stmt **ret, cs_err *err) {
    size_t i = 0;
    while (i < STORE_STATEMENTS_MAX && st->kept[i].sql != NULL && st->kept[i].sql != sql) i++;
    if (i == STORE_STATEMENTS_MAX) return cs_fail(err, CS_LIMIT, CS_R_INTERNAL_ERROR, "too many statements");
    if (st->kept[i].sql == NULL) {
        int code = sqlite3_prepare_v3(st->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st->kept[i].stmt, NULL);
        if (code != SQLITE_OK) return store_fail(st, code, "prepare", err);
        st->kept[i].sql = sql;
    }
    (void)sqlite3_reset(st->kept[i].stmt);
    (void)sqlite3_clear_bindings(st->kept[i].stmt);
    *ret = st->kept[i].stmt;
    return CS_OK;
}

void store_bind_text(sqlite3_stmt *s, int i, const char *text) {
    if (text != NULL) (void)sqlite3_bind_text(s, i, text, -1, SQLITE_STATIC);
}

void store_bind_blob(sqlite3_stmt *s, int i, cs_view bytes) {
    (void)sqlite3_bind_blob64(s, i, bytes.p, bytes.n, SQLITE_STATIC);
}

cs_status store_step(store *st, sqlite3_stmt *s, cs_err *err) {
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW) return CS_OK;
    if (code == SQLITE_DONE) {
        (void)sqlite3_reset(s);
        return CS_AGAIN;
    }
    cs_status status = store_fail(st, code, sqlite3_sql(s) != NULL ? "statement" : "step", err);
    (void)sqlite3_reset(s);
    return status;
}

cs_status store_run(store *st, sqlite3_stmt *s, cs_err *err) {
    cs_status status = CS_OK;
    while (status == CS_OK) status = store_step(st, s, err);
    return status == CS_AGAIN ? CS_OK : status;
}

void store_done(sqlite3_stmt *s) {
    (void)sqlite3_reset(s);
}

cs_view store_column_blob(sqlite3_stmt *s, int i) {
    const void *p = sqlite3_column_blob(s, i);
    int n = sqlite3_column_bytes(s, i);
    return cs_view_of(p, p != NULL && n > 0 ? (size_t)n : 0);
}

cs_status store_number(store *st, const char *sql, uint64_t *ret, cs_err *err) {
    sqlite3_stmt *s = NULL;
    TRY(store_prepare(st, sql, &s, err));
    cs_status status = store_step(st, s, err);
    if (status == CS_FAILED) return status;
    *ret = status == CS_OK ? (uint64_t)sqlite3_column_int64(s, 0) : 0;
    store_done(s);
    return CS_OK;
}

static cs_status exec(store *st, const char *sql, const char *what, cs_err *err) {
    int code = sqlite3_exec(st->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? CS_OK : store_fail(st, code, what, err);
}

cs_status store_begin(store *st, cs_err *err) {
    store_settle(st);
    return exec(st, "BEGIN IMMEDIATE", "begin", err);
}

cs_status store_commit(store *st, cs_err *err) {
    cs_status status = exec(st, "COMMIT", "commit", err);
    if (status != CS_OK) store_rollback(st);
    return status;
}

void store_rollback(store *st) {
    if (sqlite3_get_autocommit(st->db) == 0) (void)sqlite3_exec(st->db, "ROLLBACK", NULL, NULL, NULL);
}

void store_free(store *st) {
    if (st == NULL) return;
    for (size_t i = 0; i < STORE_STATEMENTS_MAX; i++) (void)sqlite3_finalize(st->kept[i].stmt);
    (void)sqlite3_close(st->db);
    free(st);
}

void store_settle(store *st) {
    for (size_t i = 0; i < STORE_STATEMENTS_MAX; i++) (void)sqlite3_reset(st->kept[i].stmt);
}

static cs_status migrate(store *st, cs_err *err) {
    uint64_t version = 0;
    TRY(store_number(st, "PRAGMA user_version", &version, err));
    if (version > SCHEMA_VERSION)
        return cs_fail(err, CS_REFUSED, CS_R_STORE_SCHEMA_NEWER, "%s: schema %llu, this program knows %d", st->path,
                       (unsigned long long)version, SCHEMA_VERSION);
    if (version == SCHEMA_VERSION) return CS_OK;
    TRY(store_begin(st, err));
    cs_status status = store_number(st, "PRAGMA user_version", &version, err); /* another thread may have been first */
    if (status == CS_OK && version == 0) {
        status = exec(st, store_schema_sql, "schema", err);
        version = SCHEMA_VERSION;
    }
    for (; status == CS_OK && version < SCHEMA_VERSION; version++)
        status = exec(st, upgrades[version - 1], "upgrade", err);
    if (status == CS_OK) status = exec(st, SET_VERSION, "schema", err);
    if (status == CS_OK) return store_commit(st, err);
    store_rollback(st);
    return status;
}

/* SQLite makes the file with the umask's mode; a private one must be so from its first byte. */
static cs_status make_private(const char *path, cs_err *err) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
    (void)close(fd);
    return CS_OK;
}

cs_status store_open(const char *path, store **ret, cs_err *err) {
    TRY(make_private(path, err));
    CS_AUTO(store) st = calloc(1, sizeof *st + strlen(path) + 1);
    if (st == NULL) return CS_NOMEM_ERR(err);
    memcpy(st->path, path, strlen(path) + 1);
    int code = sqlite3_open_v2(path, &st->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK) return store_fail(st, code, "open", err);
    (void)sqlite3_busy_timeout(st->db, BUSY_WAIT_MS);
    (void)sqlite3_extended_result_codes(st->db, 1);
    TRY(exec(st, "PRAGMA journal_mode = WAL", "journal_mode", err));
    TRY(exec(st, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF", "settings", err));
    TRY(exec(st, "PRAGMA temp_store = MEMORY", "settings", err)); /* the sandbox leaves no folder for a file */
    TRY(migrate(st, err));
    *ret = CS_TAKE(st);
    return CS_OK;
}
