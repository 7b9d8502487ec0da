/* store_priv.h - statements, over whichever database it is. Only inside this room.
 *
 * A verb is written once, for SQLite and PostgreSQL alike:
 *   store_stmt_open(st, sql, &s, err)    sql: a static text (kept by its address); placeholders ?1 ?2 ...
 *   store_stmt_i64(s, 1, v) _text _blob  every placeholder, each time, with the same type; NULL text and blob bind
 * NULL; what is bound must outlive the steps store_stmt_run(s, err)               to the end; then
 * store_stmt_changed(s) says how many rows store_stmt_step(s, err)              a row: CS_OK; no more: CS_AGAIN.
 * Columns from 0: store_col_i64, _blob, ... store_stmt_done(s)                   when it is left before CS_AGAIN What
 * must be unique: INSERT ... ON CONFLICT DO NOTHING and look at store_stmt_changed: a statement that fails ends the
 * transaction in PostgreSQL. Both read: COALESCE, CASE, COUNT(*) FILTER (WHERE ...), window functions, RETURNING,
 * LIMIT. Not: SUM of a condition, OR REPLACE, rowid, AUTOINCREMENT, typeless columns, "x'..'". A change of the schema:
 * a new file sql/NNN_what.sql with the next number, and its line in meson.build; it runs once, in a transaction of its
 * own, in both databases. Types: TEXT, BIGINT, INTEGER, BLOB. Files that have landed stay as they are. */
#ifndef CS_STORE_PRIV_H
#define CS_STORE_PRIV_H

#include "store/store.h"

enum {
    STORE_STATEMENTS_MAX = 512, /* of one connection; a power of two */
    STORE_PARAMS_MAX = 32,
};

typedef enum store_type { STORE_NULL, STORE_I64, STORE_TEXT, STORE_BLOB } store_type;
typedef struct store_param {
    store_type type;
    int64_t i64;
    const void *p; /* text, blob; NULL: NULL */
    size_t n;
} store_param;

typedef struct store_stmt {
    store *st;
    const char *sql;
    bool running;                         /* stepped, not at its end */
    bool rows_many;                       /* its rows may be too many to be held at once */
    int count;                            /* the highest placeholder bound */
    store_param params[STORE_PARAMS_MAX]; /* of ?1 ... */
    void *impl;                           /* the driver's */
    char *own;                            /* sql, when it was made for this statement */
} store_stmt;

cs_status store_stmt_open(store *st, const char *sql, store_stmt **ret, cs_err *err);
/* The same, of a text that was made: it is the statement's from now on, which lives as long as the store. */
cs_status store_stmt_open_own(store *st, char *take_sql, store_stmt **ret, cs_err *err);
void store_stmt_i64(store_stmt *s, int i, int64_t v);
void store_stmt_text(store_stmt *s, int i, const char *text);
void store_stmt_text_view(store_stmt *s, int i, cs_view text);
void store_stmt_blob(store_stmt *s, int i, cs_view bytes);
/* Before the first step: a hundred thousand rows and more may come, to be read one by one. Until its end no other
 * statement of this store may run. */
void store_stmt_many(store_stmt *s);
cs_status store_stmt_step(store_stmt *s, cs_err *err);
cs_status store_stmt_run(store_stmt *s, cs_err *err);
/* Every row, in order; the first failure of row ends it. */
typedef cs_status store_row(store_stmt *s, void *cls, cs_err *err);
cs_status store_stmt_each(store_stmt *s, store_row *row, void *cls, cs_err *err);
int64_t store_stmt_changed(const store_stmt *s);
void store_stmt_done(store_stmt *s);

/* Of the row; valid until the statement's next step. */
int64_t store_col_i64(const store_stmt *s, int i); /* NULL: 0 */
cs_view store_col_blob(const store_stmt *s, int i);
cs_view store_col_text(const store_stmt *s, int i);
const char *store_col_cstr(const store_stmt *s, int i); /* text; NULL: "" */
bool store_col_null(const store_stmt *s, int i);
void store_col_copy(const store_stmt *s, int i, char *out, size_t size); /* text, cut to size - 1 */
void store_col_hash(const store_stmt *s, int i, uint8_t out[32]);

/* identity.kind as we write it. */
cs_kind store_col_kind(const store_stmt *s, int i);

/* A row of certificates. */
#define STORE_CERT_COLUMNS                                                                                             \
    "serial, certificates.kind, certificates.name, status, issuer, spki_sha256, tbs_sha256, request_sha256, sha256, "  \
    "idempotency_key, created, not_before, not_after, subject, der, revoked_at, revocation_reason, token, parent, "    \
    "profile, (SELECT tags FROM tagged WHERE tagged.name = certificates.name AND tagged.kind = certificates.kind), "   \
    "shard"
void store_cert_read(store_stmt *s, store_cert *c);

/* SELECT of one number, 0 when it is NULL or there is no row. */
cs_status store_number(store *st, const char *sql, uint64_t *ret, cs_err *err);

/* ---- what a database does ---- */
typedef struct store_driver {
    const char *before_first;                  /* SQL that the first migration needs; NULL: none */
    cs_status (*open)(store *st, cs_err *err); /* st->where says which */
    void (*close)(store *st);                  /* its statements are gone */
    cs_status (*exec)(store *st, const char *sql, const char *what, cs_err *err); /* several statements, no rows */
    cs_status (*begin)(store *st, cs_err *err);                                   /* as the one writer */
    cs_status (*commit)(store *st, cs_err *err);
    void (*rollback)(store *st);                                 /* nothing, outside of a transaction */
    cs_status (*version)(store *st, uint64_t *ret, cs_err *err); /* of the schema; 0: there is none */
    cs_status (*version_set)(store *st, uint64_t version, cs_err *err);
    int (*watch)(store *st, bool *ret_anew); /* NULL: nothing changes but through this process */
    bool (*watched)(store *st);
    /* NULL: there is one node. */
    cs_status (*node_set)(store *st, cs_err *err);
    cs_status (*turn_take)(store *st, bool *ret_mine, cs_err *err);
    void (*turn_end)(store *st);
    cs_status (*step)(store_stmt *s, bool first, cs_err *err);
    void (*reset)(store_stmt *s);
    void (*drop)(store_stmt *s);
    int64_t (*changed)(const store_stmt *s);
    int64_t (*col_i64)(const store_stmt *s, int i);
    cs_view (*col_bytes)(const store_stmt *s, int i); /* of text: a NUL follows */
    bool (*col_null)(const store_stmt *s, int i);
    /* ---- upkeep ---- */
    const char *columns;                             /* SELECT table, column, type of every table, in order */
    cs_status (*begin_read)(store *st, cs_err *err); /* one snapshot, until store_rollback */
    cs_status (*alone)(store *st, cs_err *err);      /* nobody else has it open, now: state-busy */
    /* The database's own check: what it says, one line each, into out; nothing when all is well. */
    cs_status (*sound)(store *st, cs_buf *out, cs_err *err);
    /* Rows into a table by COPY; NULL: by INSERT. load_end(good: false) gives them up. */
    cs_status (*load_begin)(store *st, const char *sql, cs_err *err);
    cs_status (*load_row)(store *st, const store_param *values, size_t n, cs_err *err);
    cs_status (*load_end)(store *st, bool good, cs_err *err);
} store_driver;
extern const store_driver store_sqlite, store_postgres;

typedef enum store_mode {
    STORE_LIVE,  /* an authority's */
    STORE_AS_IS, /* what is there; nothing is made */
    STORE_BARE,  /* to be filled by upkeep */
} store_mode;

struct store {
    const store_driver *driver;
    store_mode mode;
    void *impl;                             /* the driver's */
    store_stmt *kept[STORE_STATEMENTS_MAX]; /* hashed by the text's address */
    uint32_t node;                          /* 0: not said */
    bool fed;                               /* this transaction adds to the feed: others are to be told */
    int journal_pages;                      /* the driver's: that wait to be read back */
    char *where;                            /* path or URL, for the driver */
    merkle_edge edge;                       /* of the log, as this transaction has it */
    bool edge_good;
    char name[256]; /* for messages: without secrets */
};

/* Connected; the schema is what it is. */
cs_status store_new(const char *where, store_mode mode, store **ret, cs_err *err);

typedef struct store_migration {
    const char *file, *sql;
} store_migration;
/* Brings the schema up to date: store-schema-newer. */
cs_status store_migrate(store *st, cs_err *err);
/* The schema of that version, in a database without one; inside of a transaction. */
cs_status store_schema_make(store *st, uint64_t version, cs_err *err);
enum { STORE_VERSION_LOG = 6 }; /* the first that has the log */

#define STORE_MOVED_TO "moved_to" /* in meta: where this store went */
/* store-moved */
cs_status store_moved_check(store *st, cs_err *err);

#endif
