#include "store/store_priv.h"

#define COLUMNS "id, method, what, body, proposed_by, proposed_at, ends, state, decided_by, decided_at"

static void read_row(const store_stmt *s, store_proposal *p) {
    *p = (store_proposal){.id = (uint64_t)store_col_i64(s, 0), .body = store_col_text(s, 3)};
    store_col_copy(s, 1, p->method, sizeof p->method);
    store_col_copy(s, 2, p->what, sizeof p->what);
    store_col_copy(s, 4, p->proposed_by, sizeof p->proposed_by);
    p->proposed_at = store_col_i64(s, 5);
    p->ends = store_col_i64(s, 6);
    p->state = (store_proposal_state)store_col_i64(s, 7);
    store_col_copy(s, 8, p->decided_by, sizeof p->decided_by);
    p->decided_at = store_col_i64(s, 9);
}

cs_status store_proposal_add(store *st, store_proposal *p, cs_err *err) {
    static const char sql[] = "INSERT INTO proposals (id, method, what, body, proposed_by, proposed_at, ends, state) "
                              "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0)";
    uint64_t last = 0;
    store_stmt *s = NULL;
    TRY(store_number(st, "SELECT MAX(id) FROM proposals", &last, err));
    p->id = last + 1;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)p->id);
    store_stmt_text(s, 2, p->method);
    store_stmt_text(s, 3, p->what);
    store_stmt_text_view(s, 4, p->body);
    store_stmt_text(s, 5, p->proposed_by);
    store_stmt_i64(s, 6, p->proposed_at);
    store_stmt_i64(s, 7, p->ends);
    return store_stmt_run(s, err);
}

cs_status store_proposal_set(store *st, uint64_t id, store_proposal_state state, const char *by, cs_time at,
                             cs_err *err) {
    static const char sql[] = "UPDATE proposals SET state = ?2, decided_by = ?3, decided_at = ?4 WHERE id = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)id);
    store_stmt_i64(s, 2, (int64_t)state);
    store_stmt_text(s, 3, by);
    store_stmt_i64(s, 4, at);
    return store_stmt_run(s, err);
}

cs_status store_proposal_get(store *st, uint64_t id, store_proposal *ret, cs_err *err) {
    static const char sql[] = "SELECT " COLUMNS " FROM proposals WHERE id = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_i64(s, 1, (int64_t)id);
    cs_status status = store_stmt_step(s, err);
    if (status == CS_OK) read_row(s, ret);
    if (status != CS_AGAIN) return status;
    return cs_fail(err, CS_REFUSED, CS_R_PROPOSAL_UNKNOWN, "proposal %llu", (unsigned long long)id);
}

typedef struct listing {
    store_proposal_seen *seen;
    void *cls;
} listing;

static cs_status take(store_stmt *s, void *cls, cs_err *err) {
    const listing *l = cls;
    store_proposal p;
    read_row(s, &p);
    return l->seen(l->cls, &p, err);
}

cs_status store_proposal_list(store *st, store_proposal_seen *seen, void *cls, cs_err *err) {
    static const char sql[] = "SELECT " COLUMNS " FROM proposals ORDER BY id DESC LIMIT 200";
    listing l = {seen, cls};
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    return store_stmt_each(s, take, &l, err);
}
