#include "store/rollovers.h"

#include "store/store_priv.h"

#define COLUMNS                                                                                                        \
    "id, kind, old_ca, next_ca, next_issuer, published_mark, switched_mark, stage, started, changed, published, "      \
    "switched, started_by"

static void read_row(const store_stmt *s, store_rollover *r) {
    *r = (store_rollover){.id = (uint64_t)store_col_i64(s, 0), .kind = (rollover_kind)store_col_i64(s, 1)};
    store_col_copy(s, 2, r->old_ca, sizeof r->old_ca);
    store_col_copy(s, 3, r->next_ca, sizeof r->next_ca);
    store_col_hash(s, 4, r->next_issuer);
    store_col_hash(s, 5, r->published_mark);
    store_col_hash(s, 6, r->switched_mark);
    r->stage = (rollover_stage)store_col_i64(s, 7);
    r->started = store_col_i64(s, 8);
    r->changed = store_col_i64(s, 9);
    r->published = store_col_i64(s, 10);
    r->switched = store_col_i64(s, 11);
    store_col_copy(s, 12, r->started_by, sizeof r->started_by);
}

static cs_status add_cas(store *st, uint64_t id, const store_rollover_ca cas[], size_t n, cs_err *err) {
    static const char sql[] = "INSERT INTO rollover_cas (rollover, issuer, name) VALUES (?1, ?2, ?3)";
    for (size_t i = 0; i < n; i++) {
        store_stmt *s = NULL;
        TRY(store_stmt_open(st, sql, &s, err));
        store_stmt_i64(s, 1, (int64_t)id);
        store_stmt_blob(s, 2, cs_view_of(cas[i].issuer, 32));
        store_stmt_text(s, 3, cas[i].name);
        TRY(store_stmt_run(s, err));
    }
    return CS_OK;
}

cs_status store_rollover_add(store *st, store_rollover *r, const store_rollover_ca cas[], size_t n, cs_err *err) {
    static const char sql[] = "INSERT INTO rollovers (id, kind, old_ca, next_ca, next_issuer, published_mark, "
                              "switched_mark, stage, started, changed, started_by) "
                              "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8, ?8, ?9)";
    uint64_t last = 0;
    store_stmt *s = NULL;
    TRY(store_number(st, "SELECT MAX(id) FROM rollovers", &last, err));
    r->id = last + 1;
    r->stage = ROLLOVER_MADE;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)r->id);
    store_stmt_i64(s, 2, (int64_t)r->kind);
    store_stmt_text(s, 3, r->old_ca);
    store_stmt_text(s, 4, r->next_ca);
    store_stmt_blob(s, 5, cs_view_of(r->next_issuer, 32));
    store_stmt_blob(s, 6, cs_view_of(r->published_mark, 32));
    store_stmt_blob(s, 7, cs_view_of(r->switched_mark, 32));
    store_stmt_i64(s, 8, r->started);
    store_stmt_text(s, 9, r->started_by);
    TRY(store_stmt_run(s, err));
    return add_cas(st, r->id, cas, n, err);
}

cs_status store_rollover_list(store *st, store_rollover_seen *seen, void *cls, cs_err *err) {
    static const char sql[] = "SELECT " COLUMNS " FROM rollovers ORDER BY id DESC LIMIT 100";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    cs_status status = store_stmt_step(s, err);
    for (; status == CS_OK; status = status == CS_OK ? store_stmt_step(s, err) : status) {
        store_rollover r;
        read_row(s, &r);
        status = seen(cls, &r, err);
        if (status != CS_OK) store_stmt_done(s);
    }
    return status == CS_AGAIN ? CS_OK : status;
}

cs_status store_rollover_last(store *st, store_rollover *ret, cs_err *err) {
    static const char sql[] = "SELECT " COLUMNS " FROM rollovers ORDER BY id DESC LIMIT 1";
    store_stmt *s = NULL;
    *ret = (store_rollover){.id = 0};
    TRY(store_stmt_open(st, sql, &s, err));
    cs_status status = store_stmt_step(s, err);
    if (status == CS_AGAIN) return CS_OK;
    TRY(status);
    read_row(s, ret);
    store_stmt_done(s);
    return CS_OK;
}

cs_status store_rollover_cas(store *st, uint64_t id, store_rollover_ca_seen *seen, void *cls, cs_err *err) {
    static const char sql[] = "SELECT issuer, name FROM rollover_cas WHERE rollover = ?1 ORDER BY name";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)id);
    cs_status status = store_stmt_step(s, err);
    for (; status == CS_OK; status = status == CS_OK ? store_stmt_step(s, err) : status) {
        store_rollover_ca ca;
        store_col_hash(s, 0, ca.issuer);
        store_col_copy(s, 1, ca.name, sizeof ca.name);
        status = seen(cls, &ca, err);
        if (status != CS_OK) store_stmt_done(s);
    }
    return status == CS_AGAIN ? CS_OK : status;
}

cs_status store_rollover_stage_set(store *st, uint64_t id, rollover_stage to, cs_time at, cs_err *err) {
    /* a stage that is taken back is as if it had not been */
    static const char sql[] = "UPDATE rollovers SET stage = ?2, changed = ?3, "
                              "published = CASE WHEN ?2 = 2 AND stage = 1 THEN ?3 WHEN ?2 < 2 THEN NULL "
                              "ELSE published END, "
                              "switched = CASE WHEN ?2 = 3 AND stage = 2 THEN ?3 WHEN ?2 < 3 THEN NULL "
                              "ELSE switched END WHERE id = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)id);
    store_stmt_i64(s, 2, (int64_t)to);
    store_stmt_i64(s, 3, at);
    return store_stmt_run(s, err);
}

cs_status store_rollover_told(store *st, uint64_t id, cs_kind kind, const char *name, cs_time at, bool *ret_new,
                              cs_err *err) {
    static const char sql[] = "INSERT INTO rollover_told (rollover, kind, name, at) VALUES (?1, ?2, ?3, ?4) "
                              "ON CONFLICT DO NOTHING";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)id);
    store_stmt_text(s, 2, cs_kind_name(kind));
    store_stmt_text(s, 3, name);
    store_stmt_i64(s, 4, at);
    TRY(store_stmt_run(s, err));
    *ret_new = store_stmt_changed(s) == 1;
    return CS_OK;
}

cs_status store_rollover_knows(store *st, uint64_t id, cs_kind kind, const char *name, bool *ret, cs_err *err) {
    static const char sql[] = "SELECT 1 FROM rollover_told WHERE rollover = ?1 AND kind = ?2 AND name = ?3";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)id);
    store_stmt_text(s, 2, cs_kind_name(kind));
    store_stmt_text(s, 3, name);
    cs_status status = store_stmt_step(s, err);
    *ret = status == CS_OK;
    if (*ret) store_stmt_done(s);
    return status == CS_AGAIN ? CS_OK : status;
}

/* ---- who hangs on the old one ---- */

/* ?1 now, ?2 the roll-over, ?3 the next issuer, ?4 issued since then is of the new */
#define OF_NEXT "(c.issuer = ?3 OR c.created >= ?4)"
#define OF_OLD "(NOT " OF_NEXT " AND c.issuer IN (SELECT issuer FROM rollover_cas WHERE rollover = ?2))"
#define IDENTITIES                                                                                                     \
    "SELECT c.name AS name, c.kind AS kind, COUNT(*) FILTER (WHERE " OF_OLD ") AS old_n, "                             \
    "COUNT(*) FILTER (WHERE " OF_NEXT ") AS next_n, "                                                                  \
    "COALESCE(MAX(CASE WHEN " OF_OLD " THEN c.not_after END), 0) AS ends "                                             \
    "FROM certificates c WHERE c.status = 1 AND c.not_after >= ?1 "

static void bind_old(store_stmt *s, const store_rollover *r, cs_time now) {
    static const uint8_t nobody[1] = {0};
    bool root = r->kind == ROLLOVER_ROOT;
    store_stmt_i64(s, 1, now);
    store_stmt_i64(s, 2, (int64_t)r->id);
    store_stmt_blob(s, 3, root ? cs_view_of(nobody, 1) : cs_view_of(r->next_issuer, 32));
    store_stmt_i64(s, 4, root && r->switched != 0 ? r->switched : INT64_MAX);
}

cs_status store_clinging_list(store *st, const store_rollover *r, cs_time now, const char *after_kind,
                              const char *after_name, unsigned limit, store_clinging_seen *seen, void *cls,
                              cs_err *err) {
    static const char sql[] =
        "SELECT i.kind, i.name, i.old_n, i.next_n, i.ends, t.at FROM (" IDENTITIES
        "AND (?5 IS NULL OR c.name > ?5 OR (c.name = ?5 AND c.kind > ?6)) GROUP BY c.name, c.kind) i "
        "LEFT JOIN rollover_told t ON t.rollover = ?2 AND t.kind = i.kind AND t.name = i.name "
        "WHERE i.old_n > 0 ORDER BY i.name, i.kind LIMIT ?7";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    bind_old(s, r, now);
    store_stmt_text(s, 5, after_name);
    store_stmt_text(s, 6, after_kind);
    store_stmt_i64(s, 7, limit);
    cs_status status = store_stmt_step(s, err);
    for (; status == CS_OK; status = status == CS_OK ? store_stmt_step(s, err) : status) {
        store_clinging c = {.kind = CS_KIND_OTHER, .old_n = store_col_i64(s, 2), .next_n = store_col_i64(s, 3)};
        (void)cs_kind_parse(store_col_text(s, 0), &c.kind);
        store_col_copy(s, 1, c.name, sizeof c.name);
        c.not_after = store_col_i64(s, 4);
        c.told = store_col_i64(s, 5);
        status = seen(cls, &c, err);
        if (status != CS_OK) store_stmt_done(s);
    }
    return status == CS_AGAIN ? CS_OK : status;
}

cs_status store_clinging_count(store *st, const store_rollover *r, cs_time now, store_clinging_counts *ret,
                               cs_err *err) {
    static const char sql[] =
        "SELECT COUNT(*) FILTER (WHERE i.old_n > 0 AND i.next_n = 0), "
        "COUNT(*) FILTER (WHERE i.old_n > 0 AND i.next_n = 0 AND t.at IS NOT NULL), "
        "COUNT(*) FILTER (WHERE i.old_n > 0 AND i.next_n > 0), COUNT(*) FILTER (WHERE i.old_n = 0 AND i.next_n > 0), "
        "CAST(COALESCE(SUM(i.old_n), 0) AS BIGINT), COALESCE(MAX(i.ends), 0) FROM (" IDENTITIES
        "GROUP BY c.name, c.kind) i LEFT JOIN rollover_told t ON t.rollover = ?2 AND t.kind = i.kind AND t.name = "
        "i.name";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    bind_old(s, r, now);
    TRY(store_stmt_step(s, err));
    *ret = (store_clinging_counts){.old = store_col_i64(s, 0),
                                   .told = store_col_i64(s, 1),
                                   .both = store_col_i64(s, 2),
                                   .moved = store_col_i64(s, 3),
                                   .certificates = store_col_i64(s, 4),
                                   .last = store_col_i64(s, 5)};
    store_stmt_done(s);
    return CS_OK;
}

cs_status store_leftovers(store *st, const store_rollover *r, cs_time now, unsigned limit, store_serial_seen *seen,
                          void *cls, cs_err *err) {
    static const char sql[] =
        "SELECT c.serial FROM certificates c WHERE c.status = 1 AND c.not_after >= ?1 AND " OF_OLD
        " AND EXISTS (SELECT 1 FROM certificates n WHERE n.name = c.name AND n.kind = c.kind AND n.status = 1 AND "
        "n.not_after >= ?1 AND (n.issuer = ?3 OR n.created >= ?4)) ORDER BY c.sequence LIMIT ?5";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    bind_old(s, r, now);
    store_stmt_i64(s, 5, limit);
    cs_status status = store_stmt_step(s, err);
    for (; status == CS_OK; status = status == CS_OK ? store_stmt_step(s, err) : status) {
        status = seen(cls, store_col_cstr(s, 0), err);
        if (status != CS_OK) store_stmt_done(s);
    }
    return status == CS_AGAIN ? CS_OK : status;
}

cs_status store_is_of_old(store *st, const store_rollover *r, cs_time now, const char *serial, bool *ret, cs_err *err) {
    static const char sql[] =
        "SELECT 1 FROM certificates c WHERE c.serial = ?5 AND c.status = 1 AND c.not_after >= ?1 AND " OF_OLD;
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    bind_old(s, r, now);
    store_stmt_text(s, 5, serial);
    cs_status status = store_stmt_step(s, err);
    *ret = status == CS_OK;
    if (*ret) store_stmt_done(s);
    return status == CS_AGAIN ? CS_OK : status;
}

/* ---- nodes ---- */

cs_status store_node_cas_set(store *st, const char *host, const store_node_ca cas[], size_t n, cs_err *err) {
    static const char drop[] = "DELETE FROM node_cas WHERE node = ?1 OR node NOT IN (SELECT node FROM nodes_alive)";
    static const char add[] = "INSERT INTO node_cas (node, host, sha256, issues) VALUES (?1, ?2, ?3, ?4) "
                              "ON CONFLICT DO NOTHING";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, drop, &s, err));
    store_stmt_i64(s, 1, st->node);
    TRY(store_stmt_run(s, err));
    for (size_t i = 0; i < n; i++) {
        TRY(store_stmt_open(st, add, &s, err));
        store_stmt_i64(s, 1, st->node);
        store_stmt_text(s, 2, host);
        store_stmt_blob(s, 3, cs_view_of(cas[i].sha256, 32));
        store_stmt_i64(s, 4, cas[i].issues);
        TRY(store_stmt_run(s, err));
    }
    return CS_OK;
}

cs_status store_node_list(store *st, uint32_t own, const store_rollover *r, store_node_seen *seen, void *cls,
                          cs_err *err) {
    static const char sql[] = "SELECT node, MAX(host), COUNT(*) FILTER (WHERE sha256 = ?2), "
                              "COUNT(*) FILTER (WHERE sha256 = ?3 AND (issues = 1 OR ?4 = 2)) FROM node_cas "
                              "WHERE node = ?1 OR node IN (SELECT node FROM nodes_alive) GROUP BY node ORDER BY 2, 1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, own);
    store_stmt_blob(s, 2, cs_view_of(r->published_mark, 32));
    store_stmt_blob(s, 3, cs_view_of(r->switched_mark, 32));
    store_stmt_i64(s, 4, (int64_t)r->kind); /* of a root: that certificate is in ca/ only then */
    cs_status status = store_stmt_step(s, err);
    for (; status == CS_OK; status = status == CS_OK ? store_stmt_step(s, err) : status) {
        store_node_state n = {.own = store_col_i64(s, 0) == own,
                              .published = store_col_i64(s, 2) > 0,
                              .switched = store_col_i64(s, 3) > 0};
        store_col_copy(s, 1, n.host, sizeof n.host);
        status = seen(cls, &n, err);
        if (status != CS_OK) store_stmt_done(s);
    }
    return status == CS_AGAIN ? CS_OK : status;
}
