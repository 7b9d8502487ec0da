/* Lists of certificates, a page at a time. Each way of asking goes by an index in the order of its answer, from where
 * the page before ended: a page costs what is on it, however many certificates there are. Conditions that no index
 * serves are looked at row by row, which takes long only when they fit few. */
#include <stdio.h>

#include "store/store_priv.h"

/* ?1 kind ?2 name or pattern ?3 sequence of the row before ?4 state ?5 now ?6 limit ?7 ends before ?8 issuer
 * ?9 profile ?10 tag ?11 not_after, ?12 name, ?13 end of the names, ?14 kind: of the row before, or where to begin */
#define SELECTED "SELECT " STORE_CERT_COLUMNS " FROM certificates "
#define STATE                                                                                                          \
    "(?4 = 0 OR (?4 = 1 AND status = 1 AND not_after >= ?5) OR (?4 = 2 AND status = 1 AND not_after < ?5) OR "         \
    "(?4 = 3 AND status IN (2, 3)) OR (?4 = 4 AND status = 2 AND revocation_reason = 6)) "
#define FITTING                                                                                                        \
    "AND status <> 0 AND " STATE "AND (?1 IS NULL OR certificates.kind = ?1) AND (?8 IS NULL OR issuer = ?8) "         \
    "AND (?9 IS NULL OR profile = ?9) "
#define TAGGED                                                                                                         \
    "AND (?10 IS NULL OR EXISTS (SELECT 1 FROM tags WHERE tags.tag = ?10 AND tags.name = certificates.name AND "       \
    "tags.kind = certificates.kind)) "
#define LIKENESS "AND (?2 IS NULL OR certificates.name LIKE ?2 ESCAPE '\\') "
#define BEHIND "sequence < ?3 "
#define NEWEST "ORDER BY sequence DESC LIMIT ?6"

typedef enum way {
    BY_AGE,
    BY_NAME,
    BY_ENDING,
    BY_PATTERN,
    BY_TAG,
    BY_EXPIRED,
    BY_HELD,
    BY_GONE,
    BY_ISSUER,
    BY_PROFILE,
    BY_KIND,
    WAYS
} way;
/* BY_TAG: kind || '' keeps the planner from going by kind, which all share. */
static const char *const ways[WAYS] = {
    [BY_AGE] = SELECTED "WHERE " BEHIND FITTING NEWEST,
    [BY_NAME] = SELECTED "WHERE name = ?2 AND " BEHIND FITTING TAGGED NEWEST,
    [BY_ENDING] =
        SELECTED "WHERE status = 1 AND not_after < ?7 AND (not_after, sequence) > (?11, ?3) " FITTING LIKENESS TAGGED
                 "ORDER BY not_after, sequence LIMIT ?6",
    [BY_PATTERN] = SELECTED "WHERE name >= ?12 AND name < ?13 AND (name, sequence) > (?12, ?3) " FITTING LIKENESS TAGGED
                            "ORDER BY name, sequence LIMIT ?6",
    [BY_TAG] =
        "SELECT " STORE_CERT_COLUMNS
        " FROM tags CROSS JOIN certificates WHERE tags.tag = ?10 AND certificates.name = tags.name AND "
        "certificates.kind || '' = tags.kind AND tags.name >= ?12 AND (tags.name, tags.kind, sequence) > (?12, ?14, "
        "?3) " FITTING "ORDER BY tags.name, tags.kind, sequence LIMIT ?6",
    [BY_EXPIRED] = SELECTED "WHERE status = 1 AND (not_after, sequence) < (?11, ?3) " FITTING TAGGED
                            "ORDER BY not_after DESC, sequence DESC LIMIT ?6",
    [BY_HELD] = SELECTED "WHERE revocation_reason = 6 AND " BEHIND FITTING TAGGED NEWEST,
    [BY_GONE] = SELECTED "WHERE status >= 2 AND " BEHIND FITTING TAGGED NEWEST,
    [BY_ISSUER] = SELECTED "WHERE issuer = ?8 AND " BEHIND FITTING NEWEST,
    [BY_PROFILE] = SELECTED "WHERE profile = ?9 AND " BEHIND FITTING NEWEST,
    [BY_KIND] = SELECTED "WHERE kind = ?1 AND " BEHIND FITTING NEWEST,
};

static way way_of(const store_filter *f) {
    if (f->name != NULL) return BY_NAME;
    if (f->ends_before != 0) return BY_ENDING;
    if (f->pattern != NULL) return BY_PATTERN;
    if (f->tag != NULL) return BY_TAG;
    if (f->state == STORE_EXPIRED) return BY_EXPIRED;
    if (f->state == STORE_HELD) return BY_HELD;
    if (f->state == STORE_GONE) return BY_GONE;
    if (f->issuer != NULL) return BY_ISSUER;
    if (f->profile != NULL) return BY_PROFILE;
    return f->kind != CS_KIND_OTHER ? BY_KIND : BY_AGE;
}

/* '*' is any text; what LIKE takes for a pattern of its own is escaped. */
static void like_of(const char *pattern, char out[2 * CS_IDENTITY_NAME_MAX + 3]) {
    size_t n = 0;
    for (const char *p = pattern; *p != '\0' && n < 2 * (size_t)CS_IDENTITY_NAME_MAX; p++) {
        if (*p == '%' || *p == '_' || *p == '\\') out[n++] = '\\';
        out[n++] = '*' == *p ? '%' : *p;
    }
    out[n] = '\0';
}

/* Where the page begins: behind a row, or where the list does. */
typedef struct start {
    int64_t sequence;
    cs_time not_after;
    char name[CS_IDENTITY_NAME_MAX + 1], kind[16];
    char end[CS_IDENTITY_NAME_MAX + 5]; /* of the names that begin as the pattern does */
} start;

static void start_of(const store_filter *f, way w, cs_time now, start *ret) {
    bool rises = w == BY_ENDING || w == BY_PATTERN || w == BY_TAG || w == BY_EXPIRED; /* sequences are from 1 */
    *ret = (start){.sequence = rises ? -1 : INT64_MAX, .not_after = INT64_MIN};
    if (w == BY_EXPIRED || f->state == STORE_VALID) ret->not_after = now;
    size_t n = f->pattern != NULL ? strcspn(f->pattern, "*") : 0;
    if (n > CS_IDENTITY_NAME_MAX) n = CS_IDENTITY_NAME_MAX;
    if (n > 0) memcpy(ret->name, f->pattern, n);
    (void)snprintf(ret->end, sizeof ret->end, "%s\xF4\x8F\xBF\xBF", ret->name); /* the highest character there is */
}

/* CS_AGAIN when there is no such row. */
static cs_status start_behind(store *st, const char *serial, start *ret, cs_err *err) {
    static const char sql[] = "SELECT sequence, not_after, name, kind FROM certificates WHERE serial = ?1";
    store_stmt *s = NULL;
    TRY(store_stmt_open(st, sql, &s, err));
    store_stmt_text(s, 1, serial);
    TRY(store_stmt_step(s, err));
    ret->sequence = store_col_i64(s, 0);
    ret->not_after = store_col_i64(s, 1);
    store_col_copy(s, 2, ret->name, sizeof ret->name);
    store_col_copy(s, 3, ret->kind, sizeof ret->kind);
    store_stmt_done(s);
    return CS_OK;
}

typedef struct listing {
    store_cert_seen *seen;
    void *cls;
} listing;

static cs_status take_row(store_stmt *s, void *cls, cs_err *err) {
    const listing *l = cls;
    store_cert c;
    store_cert_read(s, &c);
    return l->seen(l->cls, &c, err);
}

cs_status store_cert_list(store *st, const store_filter *f, cs_time now, store_cert_seen *seen, void *cls,
                          cs_err *err) {
    char like[2 * CS_IDENTITY_NAME_MAX + 3] = "";
    listing l = {seen, cls};
    way w = way_of(f);
    start at;
    store_stmt *s = NULL;
    start_of(f, w, now, &at);
    if (f->after != NULL) {
        cs_status status = start_behind(st, f->after, &at, err);
        if (status != CS_OK) return status == CS_AGAIN ? CS_OK : status;
    }
    if (f->pattern != NULL) like_of(f->pattern, like);
    TRY(store_stmt_open(st, ways[w], &s, err));
    store_stmt_text(s, 1, f->kind != CS_KIND_OTHER ? cs_kind_name(f->kind) : NULL);
    store_stmt_text(s, 2, f->pattern != NULL ? like : f->name);
    store_stmt_i64(s, 3, at.sequence);
    store_stmt_i64(s, 4, (int)f->state);
    store_stmt_i64(s, 5, now);
    store_stmt_i64(s, 6, f->limit);
    store_stmt_i64(s, 7, f->ends_before);
    store_stmt_blob(s, 8, cs_view_of(f->issuer, f->issuer != NULL ? 32 : 0));
    store_stmt_text(s, 9, f->profile);
    store_stmt_text(s, 10, f->tag);
    store_stmt_i64(s, 11, at.not_after);
    store_stmt_text(s, 12, at.name);
    store_stmt_text(s, 13, at.end);
    store_stmt_text(s, 14, at.kind);
    return store_stmt_each(s, take_row, &l, err);
}
