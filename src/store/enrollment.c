/* Tokens, requests that wait, and lineages: which certificate was renewed by which. */
#include "store/store_priv.h"

#define TOKEN_COLUMNS                                                                                                  \
    "id, kind, name, profile, created, not_after, uses, revoked_at, made_by, "                                         \
    "(SELECT COUNT(*) FROM certificates WHERE certificates.token = tokens.id AND status <> 3) + "                      \
    "(SELECT COUNT(*) FROM acme_accounts WHERE acme_accounts.token = tokens.id)"
#define REQUEST_COLUMNS                                                                                                \
    "id, kind, name, profile, status, door, source, credential, token, parent, spki_sha256, csr, created, "            \
    "decided_at, decided_by, note, serial"

/* A row by its id; left open, since views may look into it. CS_REFUSED: there is none. */
static cs_status by_id(store *st, const char *sql, const char *id, cs_reason none, store_stmt **ret, cs_err *err) {
    TRY(store_stmt_open(st, sql, ret, err));
    store_stmt_text(*ret, 1, id);
    cs_status status = store_stmt_step(*ret, err);
    return status == CS_AGAIN ? cs_fail(err, CS_REFUSED, none, "%s", id) : status;
}

/* A page, newest first: ?1 narrows, ?2 the id of the row before ("": none) and ?3 when that was made. CS_AGAIN: there
 * is no such row, so nothing behind it. */
static cs_status page(store *st, const char *made, const char *list, const char *after, unsigned limit,
                      store_stmt **ret, cs_err *err) {
    cs_time at = INT64_MAX;
    if (after != NULL) {
        TRY(store_stmt_open(st, made, ret, err));
        store_stmt_text(*ret, 1, after);
        TRY(store_stmt_step(*ret, err));
        at = store_col_i64(*ret, 0);
        store_stmt_done(*ret);
    }
    TRY(store_stmt_open(st, list, ret, err));
    store_stmt_text(*ret, 2, after != NULL ? after : "");
    store_stmt_i64(*ret, 3, at);
    store_stmt_i64(*ret, 4, limit);
    return CS_OK;
}
#define PAGE "created <= ?3 AND (created < ?3 OR id > ?2) ORDER BY created DESC, id LIMIT ?4"

/* ---- tokens ---- */

static void read_token(store_stmt *s, store_token *t) {
    *t = (store_token){.kind = store_col_kind(s, 1)};
    store_col_copy(s, 0, t->id, sizeof t->id);
    store_col_copy(s, 2, t->name, sizeof t->name);
    store_col_copy(s, 3, t->profile, sizeof t->profile);
    t->created = store_col_i64(s, 4);
    t->not_after = store_col_i64(s, 5);
    t->uses = store_col_i64(s, 6);
    t->revoked_at = store_col_i64(s, 7);
    store_col_copy(s, 8, t->by, sizeof t->by);
    t->used = store_col_i64(s, 9);
}

cs_status store_token_add(store *st, const store_token *t, cs_err *err) {
    static const char sql[] = "INSERT INTO tokens (id, kind, name, profile, created, not_after, uses, made_by) "
                              "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, t->id);
    store_stmt_text(s, 2, cs_kind_name(t->kind));
    store_stmt_text(s, 3, t->name);
    store_stmt_text(s, 4, t->profile);
    store_stmt_i64(s, 5, t->created);
    store_stmt_i64(s, 6, t->not_after);
    store_stmt_i64(s, 7, t->uses);
    store_stmt_text(s, 8, t->by);
    return store_stmt_run(s, err);
}

cs_status store_token_get(store *st, const char *id, store_token *ret, cs_err *err) {
    static const char sql[] = "SELECT " TOKEN_COLUMNS " FROM tokens WHERE id = ?1";
    store_stmt *s = NULL;
    TRY(by_id(st, sql, id, CS_R_TOKEN_UNKNOWN, &s, err));
    read_token(s, ret);
    store_stmt_done(s);
    return CS_OK;
}

typedef struct tokens_seen {
    store_token_seen *seen;
    void *cls;
} tokens_seen;

static cs_status take_token(store_stmt *s, void *cls, cs_err *err) {
    const tokens_seen *l = cls;
    store_token t;
    read_token(s, &t);
    return l->seen(l->cls, &t, err);
}

cs_status store_token_list(store *st, const char *name, const char *after, unsigned limit, store_token_seen *seen,
                           void *cls, cs_err *err) {
    static const char made[] = "SELECT created FROM tokens WHERE id = ?1";
    static const char all[] = "SELECT " TOKEN_COLUMNS " FROM tokens WHERE (?1 IS NULL) AND " PAGE;
    static const char named[] = "SELECT " TOKEN_COLUMNS " FROM tokens WHERE name = ?1 AND " PAGE;
    tokens_seen l = {seen, cls};
    store_stmt *s = NULL;
    cs_status status = page(st, made, name != NULL ? named : all, after, limit, &s, err);
    if (status != CS_OK) return status == CS_AGAIN ? CS_OK : status;
    store_stmt_text(s, 1, name);
    return store_stmt_each(s, take_token, &l, err);
}

cs_status store_token_revoke(store *st, const char *id, cs_time at, cs_err *err) {
    static const char sql[] = "UPDATE tokens SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
    store_stmt *s = NULL;
    store_token t;
    TRY(store_token_get(st, id, &t, err));
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, id);
    store_stmt_i64(s, 2, at);
    return store_stmt_run(s, err);
}

cs_status store_token_claim(store *st, const char *id, cs_time now, cs_err *err) {
    /* Two statements: the first locks the token's row where several nodes write, so that the second counts what all of
     * them have done. */
    static const char touch[] =
        "UPDATE tokens SET used_at = ?2 WHERE id = ?1 AND revoked_at IS NULL AND not_after > ?2";
    static const char count[] = "SELECT uses - (SELECT COUNT(*) FROM certificates WHERE token = ?1 AND status <> 3) "
                                "- (SELECT COUNT(*) FROM acme_accounts WHERE token = ?1) FROM tokens WHERE id = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, touch, &s, err));
    store_stmt_text(s, 1, id);
    store_stmt_i64(s, 2, now);
    TRY(store_stmt_run(s, err));
    if (store_stmt_changed(s) != 1)
        return cs_fail(err, CS_REFUSED, CS_R_TOKEN_INVALID, "token %s was revoked or has expired", id);
    TRY(store_stmt_open(st, count, &s, err));
    store_stmt_text(s, 1, id);
    cs_status status = store_stmt_step(s, err);
    if (status == CS_FAILED) return status;
    bool over = status != CS_OK || store_col_i64(s, 0) < 0;
    store_stmt_done(s);
    return over ? cs_fail(err, CS_REFUSED, CS_R_TOKEN_INVALID, "token %s is used up", id) : CS_OK;
}

/* ---- requests that wait ---- */

static void read_request(store_stmt *s, store_request *r) {
    *r = (store_request){.kind = store_col_kind(s, 1), .status = (store_request_status)store_col_i64(s, 4)};
    store_col_copy(s, 0, r->id, sizeof r->id);
    store_col_copy(s, 2, r->name, sizeof r->name);
    store_col_copy(s, 3, r->profile, sizeof r->profile);
    store_col_copy(s, 5, r->door, sizeof r->door);
    store_col_copy(s, 6, r->source, sizeof r->source);
    store_col_copy(s, 7, r->credential, sizeof r->credential);
    store_col_copy(s, 8, r->token, sizeof r->token);
    store_col_copy(s, 9, r->parent, sizeof r->parent);
    store_col_hash(s, 10, r->spki_sha256);
    r->csr = store_col_blob(s, 11);
    r->created = store_col_i64(s, 12);
    r->decided_at = store_col_i64(s, 13);
    store_col_copy(s, 14, r->decided_by, sizeof r->decided_by);
    store_col_copy(s, 15, r->note, sizeof r->note);
    store_col_copy(s, 16, r->serial, sizeof r->serial);
}

cs_status store_request_add(store *st, const store_request *r, cs_err *err) {
    static const char sql[] = "INSERT INTO requests (id, kind, name, profile, status, door, source, credential, token, "
                              "parent, spki_sha256, csr, created) "
                              "VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, r->id);
    store_stmt_text(s, 2, cs_kind_name(r->kind));
    store_stmt_text(s, 3, r->name);
    store_stmt_text(s, 4, r->profile);
    store_stmt_text(s, 5, r->door);
    store_stmt_text(s, 6, r->source);
    store_stmt_text(s, 7, r->credential);
    store_stmt_text(s, 8, r->token[0] != '\0' ? r->token : NULL);
    store_stmt_text(s, 9, r->parent[0] != '\0' ? r->parent : NULL);
    store_stmt_blob(s, 10, cs_view_of(r->spki_sha256, sizeof r->spki_sha256));
    store_stmt_blob(s, 11, r->csr);
    store_stmt_i64(s, 12, r->created);
    return store_stmt_run(s, err);
}

cs_status store_request_get(store *st, const char *id, store_request *ret, cs_err *err) {
    static const char sql[] = "SELECT " REQUEST_COLUMNS " FROM requests WHERE id = ?1";
    store_stmt *s = NULL;
    TRY(by_id(st, sql, id, CS_R_REQUEST_UNKNOWN, &s, err));
    read_request(s, ret); /* csr looks into the row */
    return CS_OK;
}

typedef struct requests_seen {
    store_request_seen *seen;
    void *cls;
} requests_seen;

static cs_status take_request(store_stmt *s, void *cls, cs_err *err) {
    const requests_seen *l = cls;
    store_request r;
    read_request(s, &r);
    return l->seen(l->cls, &r, err);
}

cs_status store_request_by_key(store *st, const uint8_t spki_sha256[32], const char *door, store_request *ret,
                               cs_err *err) {
    static const char sql[] = "SELECT " REQUEST_COLUMNS " FROM requests WHERE spki_sha256 = ?1 AND door = ?2 "
                              "ORDER BY created DESC, id LIMIT 1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_blob(s, 1, cs_view_of(spki_sha256, 32));
    store_stmt_text(s, 2, door);
    cs_status status = store_stmt_step(s, err);
    if (status == CS_AGAIN) return cs_fail(err, CS_REFUSED, CS_R_REQUEST_UNKNOWN, "none waits for that key");
    if (status == CS_OK) read_request(s, ret); /* the row stays open, as above */
    return status;
}

cs_status store_request_list(store *st, int status_wanted, const char *after, unsigned limit, store_request_seen *seen,
                             void *cls, cs_err *err) {
    static const char made[] = "SELECT created FROM requests WHERE id = ?1";
    static const char all[] = "SELECT " REQUEST_COLUMNS " FROM requests WHERE (?1 < 0) AND " PAGE;
    static const char of_status[] = "SELECT " REQUEST_COLUMNS " FROM requests WHERE status = ?1 AND " PAGE;
    requests_seen l = {seen, cls};
    store_stmt *s = NULL;
    cs_status status = page(st, made, status_wanted < 0 ? all : of_status, after, limit, &s, err);
    if (status != CS_OK) return status == CS_AGAIN ? CS_OK : status;
    store_stmt_i64(s, 1, status_wanted);
    return store_stmt_each(s, take_request, &l, err);
}

cs_status store_request_count(store *st, uint64_t *ret, cs_err *err) {
    return store_number(st, "SELECT COUNT(*) FROM requests WHERE status = 0", ret, err);
}

cs_status store_request_decide(store *st, const char *id, store_request_status to, const char *by, const char *note,
                               cs_time at, cs_err *err) {
    static const char sql[] = "UPDATE requests SET status = ?2, decided_by = ?3, note = ?4, decided_at = ?5 WHERE id = "
                              "?1 AND status = 0";
    store_stmt *s = NULL;
    store_request r;
    TRY(store_request_get(st, id, &r, err));
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, id);
    store_stmt_i64(s, 2, to);
    store_stmt_text(s, 3, by);
    store_stmt_text(s, 4, note);
    store_stmt_i64(s, 5, at);
    TRY(store_stmt_run(s, err));
    if (store_stmt_changed(s) == 1) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_REQUEST_DECIDED, "request %s", id);
}

cs_status store_request_issued(store *st, const char *id, const char *serial, cs_err *err) {
    static const char sql[] = "UPDATE requests SET status = 3, serial = ?2 WHERE id = ?1 AND status = 1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, id);
    store_stmt_text(s, 2, serial);
    return store_stmt_run(s, err);
}

/* ---- lineages ---- */

cs_status store_lineage_check(store *st, const store_cert *child, cs_err *err) {
    static const char parent[] = "SELECT status FROM certificates WHERE serial = ?1";
    static const char other[] = "SELECT serial FROM certificates WHERE parent = ?1 AND serial <> ?2 AND spki_sha256 <> "
                                "?3 AND status <> 3 LIMIT 1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, parent, &s, err));
    store_stmt_text(s, 1, child->parent);
    cs_status status = store_stmt_step(s, err);
    if (status == CS_FAILED) return status;
    bool good = status == CS_OK && store_col_i64(s, 0) == STORE_ISSUED;
    store_stmt_done(s);
    if (!good) return cs_fail(err, CS_REFUSED, CS_R_REVOKED, "serial %s", child->parent);
    TRY(store_stmt_open(st, other, &s, err));
    store_stmt_text(s, 1, child->parent);
    store_stmt_text(s, 2, child->serial);
    store_stmt_blob(s, 3, cs_view_of(child->spki_sha256, sizeof child->spki_sha256));
    status = store_stmt_step(s, err);
    if (status != CS_OK) return status == CS_AGAIN ? CS_OK : status;
    status = cs_fail(err, CS_REFUSED, CS_R_LINEAGE_FORKED, "serial %s was renewed as %s", child->parent,
                     store_col_cstr(s, 0));
    store_stmt_done(s);
    return status;
}

typedef struct serials_seen {
    store_serial_seen *seen;
    void *cls;
} serials_seen;

static cs_status take_serial(store_stmt *s, void *cls, cs_err *err) {
    const serials_seen *l = cls;
    char found[STORE_SERIAL_TEXT];
    store_col_copy(s, 0, found, sizeof found);
    return l->seen(l->cls, found, err);
}

cs_status store_lineage_children(store *st, const char *serial, store_serial_seen *seen, void *cls, cs_err *err) {
    static const char sql[] =
        "SELECT serial FROM certificates WHERE parent = ?1 AND status IN (1, 2) ORDER BY sequence";
    serials_seen l = {seen, cls};
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, serial);
    return store_stmt_each(s, take_serial, &l, err);
}
