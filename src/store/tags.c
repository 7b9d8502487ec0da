/* Tags stand once a row, to be searched, and together, to be shown. */
#include "store/store_priv.h"

static cs_status join(store_stmt *s, void *cls, cs_err *err) {
    cs_buf *out = cls;
    if (out->n > 0) (void)cs_buf_add_byte(out, ' ');
    (void)cs_buf_add_view(out, store_col_text(s, 0));
    return cs_buf_ok(out, "tags", err);
}

cs_status store_tags_of(store *st, cs_kind kind, const char *name, cs_buf *out, cs_err *err) {
    static const char sql[] = "SELECT tag FROM tags WHERE name = ?1 AND kind = ?2 ORDER BY tag";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, name);
    store_stmt_text(s, 2, cs_kind_name(kind));
    return store_stmt_each(s, join, out, err);
}

static cs_status put_together(store *st, cs_kind kind, const char *name, cs_err *err) {
    static const char drop[] = "DELETE FROM tagged WHERE name = ?1 AND kind = ?2";
    static const char add[] = "INSERT INTO tagged (name, kind, tags) VALUES (?1, ?2, ?3)";
    CS_SCOPED(cs_buf) all = cs_buf_of((STORE_TAG_MAX + 1) * STORE_TAGS_MAX);
    store_stmt *s = NULL;
    TRY(store_tags_of(st, kind, name, &all, err));
    TRY(store_stmt_open(st, drop, &s, err));
    store_stmt_text(s, 1, name);
    store_stmt_text(s, 2, cs_kind_name(kind));
    TRY(store_stmt_run(s, err));
    if (all.n == 0) return CS_OK;
    TRY(store_stmt_open(st, add, &s, err));
    store_stmt_text(s, 1, name);
    store_stmt_text(s, 2, cs_kind_name(kind));
    store_stmt_text_view(s, 3, cs_buf_view(&all));
    return store_stmt_run(s, err);
}

cs_status store_tag_set(store *st, cs_kind kind, const char *name, const char *tag, bool there, cs_err *err) {
    static const char add[] = "INSERT INTO tags (tag, name, kind) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    static const char drop[] = "DELETE FROM tags WHERE tag = ?1 AND name = ?2 AND kind = ?3";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, there ? add : drop, &s, err));
    store_stmt_text(s, 1, tag);
    store_stmt_text(s, 2, name);
    store_stmt_text(s, 3, cs_kind_name(kind));
    TRY(store_stmt_run(s, err));
    return store_stmt_changed(s) > 0 ? put_together(st, kind, name, err) : CS_OK;
}

typedef struct counting {
    store_tag_seen *seen;
    void *cls;
} counting;

static cs_status take(store_stmt *s, void *cls, cs_err *err) {
    const counting *c = cls;
    return c->seen(c->cls, store_col_cstr(s, 0), (uint64_t)store_col_i64(s, 1), err);
}

cs_status store_tag_list(store *st, store_tag_seen *seen, void *cls, cs_err *err) {
    static const char sql[] = "SELECT tag, COUNT(*) FROM tags GROUP BY tag ORDER BY tag";
    counting c = {seen, cls};
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    return store_stmt_each(s, take, &c, err);
}
