/* The embedded database: one file in WAL mode. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store_priv.h"

enum { BUSY_WAIT_MS = 5000, JOURNAL_PAGES = 4000 };

static cs_status fail(store *st, int code, const char *what, cs_err *err) {
    sqlite3 *db = st->impl;
    cs_reason reason = CS_R_STORE_FAILED;
    int base = code & 0xff;
    if (base == SQLITE_FULL) reason = CS_R_DISK_FULL;
    if (base == SQLITE_NOMEM) reason = CS_R_OUT_OF_MEMORY;
    if (base == SQLITE_READONLY || base == SQLITE_CANTOPEN || base == SQLITE_PERM) reason = CS_R_FILE_UNWRITABLE;
    if (base == SQLITE_CORRUPT || base == SQLITE_NOTADB) reason = CS_R_STATE_CORRUPT;
    if (base == SQLITE_BUSY || base == SQLITE_LOCKED) reason = CS_R_STATE_BUSY;
    if (base == SQLITE_IOERR && sqlite3_system_errno(db) == ENOSPC) reason = CS_R_DISK_FULL;
    return cs_fail(err, CS_FAILED, reason, "%s: %s: %s", st->name, what, sqlite3_errmsg(db));
}

static cs_status exec(store *st, const char *sql, const char *what, cs_err *err) {
    int code = sqlite3_exec(st->impl, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? CS_OK : fail(st, code, what, err);
}

static cs_status bind_all(store_stmt *s, cs_err *err) {
    sqlite3_stmt *stmt = s->impl;
    int code = SQLITE_OK, last = sqlite3_bind_parameter_count(stmt);
    /* of statements that are bound alike, some do not use the last placeholders */
    for (int i = 0; i < s->count && i < last && code == SQLITE_OK; i++) {
        const store_param *p = &s->params[i];
        if (p->type == STORE_I64)
            code = sqlite3_bind_int64(stmt, i + 1, p->i64);
        else if (p->type == STORE_TEXT && p->p != NULL)
            code = sqlite3_bind_text64(stmt, i + 1, p->p, p->n, SQLITE_STATIC, SQLITE_UTF8);
        else if (p->type == STORE_BLOB && p->p != NULL)
            code = sqlite3_bind_blob64(stmt, i + 1, p->p, p->n, SQLITE_STATIC);
        else
            code = sqlite3_bind_null(stmt, i + 1);
    }
    return code == SQLITE_OK ? CS_OK : fail(s->st, code, s->sql, err);
}

static cs_status begin_statement(store_stmt *s, cs_err *err) {
    if (s->impl == NULL) {
        sqlite3_stmt *stmt = NULL;
        int code = sqlite3_prepare_v3(s->st->impl, s->sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
        if (code != SQLITE_OK) return fail(s->st, code, "prepare", err);
        s->impl = stmt;
    }
    (void)sqlite3_reset(s->impl);
    return bind_all(s, err);
}

static cs_status step(store_stmt *s, bool first, cs_err *err) {
    if (first) TRY(begin_statement(s, err));
    int code = sqlite3_step(s->impl);
    if (code == SQLITE_ROW) return CS_OK;
    cs_status status = code == SQLITE_DONE ? CS_AGAIN : fail(s->st, code, "statement", err);
    (void)sqlite3_reset(s->impl);
    return status;
}

static void reset(store_stmt *s) {
    (void)sqlite3_reset(s->impl);
}

static void drop(store_stmt *s) {
    (void)sqlite3_finalize(s->impl);
}

static int64_t changed(const store_stmt *s) {
    return sqlite3_changes64(s->st->impl);
}

static int64_t col_i64(const store_stmt *s, int i) {
    return sqlite3_column_int64(s->impl, i);
}

static cs_view col_bytes(const store_stmt *s, int i) {
    bool text = sqlite3_column_type(s->impl, i) == SQLITE_TEXT; /* only its text ends in NUL */
    const void *p = text ? sqlite3_column_text(s->impl, i) : sqlite3_column_blob(s->impl, i);
    int n = sqlite3_column_bytes(s->impl, i);
    return cs_view_of(p, p != NULL && n > 0 ? (size_t)n : 0);
}

static bool col_null(const store_stmt *s, int i) {
    return sqlite3_column_type(s->impl, i) == SQLITE_NULL;
}

static int committed(void *cls, sqlite3 *db, const char *schema, int pages) {
    store *st = cls;
    st->journal_pages = pages;
    return SQLITE_OK;
}

/* Pages that many commits touch go into the database once, not with each thousand (SQLite's own default). Before a
 * transaction, not behind one: there statements that were left open would keep the journal from being read back, for
 * good, and who waits for the commit would wait for this too. Readers may be in the way; then it is tried again. */
static void read_back(store *st) {
    if (st->journal_pages < JOURNAL_PAGES) return;
    st->journal_pages = 0;
    (void)sqlite3_wal_checkpoint_v2(st->impl, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static cs_status begin(store *st, cs_err *err) {
    read_back(st);
    return exec(st, "BEGIN IMMEDIATE", "begin", err);
}

static cs_status commit(store *st, cs_err *err) {
    return exec(st, "COMMIT", "commit", err);
}

static void rollback(store *st) {
    if (sqlite3_get_autocommit(st->impl) == 0) (void)sqlite3_exec(st->impl, "ROLLBACK", NULL, NULL, NULL);
}

static cs_status version(store *st, uint64_t *ret, cs_err *err) {
    return store_number(st, "PRAGMA user_version", ret, err);
}

static cs_status version_set(store *st, uint64_t version, cs_err *err) {
    char sql[64]; /* it takes no parameter */
    (void)snprintf(sql, sizeof sql, "PRAGMA user_version = %llu", (unsigned long long)version);
    return exec(st, sql, "schema", err);
}

/* SQLite makes the file with the umask's mode; a private one must be so from its first byte. What is there is not
 * opened: closing it would drop the locks that other connections of this process have on it (fcntl's way), and who
 * comes after them would take the journal away as nobody's. */
static cs_status make_private(const char *path, cs_err *err) {
    struct stat st;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) {
        (void)close(fd);
        return CS_OK;
    }
    int why = errno;
    if (why != EEXIST) return cs_fail_errno(err, why, CS_R_FILE_UNWRITABLE, "%s", path);
    if (lstat(path, &st) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
    return S_ISREG(st.st_mode) ? CS_OK : cs_fail_errno(err, ELOOP, CS_R_FILE_UNWRITABLE, "%s", path);
}

/* A backup is one file, whole without a journal beside it; SQLite gives a file that is to be filled its own form. */
static cs_status set_up(store *st, cs_err *err) {
    if (st->mode == STORE_LIVE) TRY(exec(st, "PRAGMA journal_mode = WAL", "journal_mode", err));
    const char *cache = st->mode == STORE_LIVE ? "PRAGMA cache_size = -16000" : "PRAGMA cache_size = -200000";
    TRY(exec(st, cache, "cache_size", err)); /* kilobytes */
    TRY(exec(st, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF", "settings", err));
    TRY(exec(st, "PRAGMA temp_store = MEMORY", "settings", err));      /* the sandbox leaves no folder for a file */
    TRY(exec(st, "PRAGMA case_sensitive_like = ON", "settings", err)); /* as in PostgreSQL */
    (void)sqlite3_wal_hook(st->impl, committed, st);                   /* instead of SQLite's own */
    return exec(st, "CREATE TEMP VIEW nodes_alive AS SELECT 0 AS node WHERE 0", "settings", err);
}

static cs_status is_there(const char *path, cs_err *err) {
    if (access(path, R_OK) == 0) return CS_OK;
    return cs_fail_errno(err, errno, errno == ENOENT ? CS_R_STATE_MISSING : CS_R_FILE_UNREADABLE, "%s", path);
}

static cs_status sqlite_open(store *st, cs_err *err) {
    sqlite3 *db = NULL;
    TRY(st->mode == STORE_AS_IS ? is_there(st->where, err) : make_private(st->where, err));
    int code = sqlite3_open_v2(st->where, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    st->impl = db;
    if (code != SQLITE_OK) return fail(st, code, "open", err);
    (void)sqlite3_busy_timeout(db, BUSY_WAIT_MS);
    (void)sqlite3_extended_result_codes(db, 1);
    return set_up(st, err);
}

static void sqlite_close(store *st) {
    (void)sqlite3_close(st->impl);
}

/* ---- upkeep ---- */

static cs_status begin_read(store *st, cs_err *err) {
    return exec(st, "BEGIN", "begin", err);
}

/* A connection holds a lock on the file as long as it is open; another one that asks for all of it, before anything
 * else, gets it when there is no other. */
static cs_status alone(store *st, cs_err *err) {
    for (size_t i = 0; i < STORE_STATEMENTS_MAX; i++) {
        if (st->kept[i] == NULL) continue;
        drop(st->kept[i]);
        st->kept[i]->impl = NULL;
    }
    sqlite3 *db = NULL;
    (void)sqlite3_close(st->impl);
    int code = sqlite3_open_v2(st->where, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    st->impl = db;
    if (code != SQLITE_OK) return fail(st, code, "open", err);
    TRY(exec(st, "PRAGMA locking_mode = EXCLUSIVE", "locking_mode", err));
    TRY(exec(st, "BEGIN EXCLUSIVE; ROLLBACK", "another process has it open", err));
    return set_up(st, err);
}

static cs_status sound(store *st, cs_buf *out, cs_err *err) {
    store_stmt *s = NULL;
    cs_status status = CS_OK;
    TRY(store_stmt_open(st, "PRAGMA integrity_check", &s, err));
    while ((status = store_stmt_step(s, err)) == CS_OK)
        if (strcmp(store_col_cstr(s, 0), "ok") != 0) (void)cs_buf_addf(out, "%s\n", store_col_cstr(s, 0));
    return status == CS_AGAIN ? CS_OK : status;
}

const store_driver store_sqlite = {
    .open = sqlite_open,
    .close = sqlite_close,
    .exec = exec,
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .version = version,
    .version_set = version_set,
    .step = step,
    .reset = reset,
    .drop = drop,
    .changed = changed,
    .col_i64 = col_i64,
    .col_bytes = col_bytes,
    .col_null = col_null,
    .columns = "SELECT m.name, p.name, p.type FROM sqlite_schema m, pragma_table_info(m.name) p WHERE m.type = 'table' "
               "AND m.name NOT GLOB 'sqlite_*' ORDER BY m.name, p.name",
    .begin_read = begin_read,
    .alone = alone,
    .sound = sound,
};
