#include "cli/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "io/files.h"

enum { COLUMNS_MAX = 16 };

static const fleet_column identities[] = {
    {"kind", false, false},     {"name", false, true},      {"dns", true, false},
    {"ip", true, false},        {"email", true, false},     {"csr", false, false},
    {"key_type", false, false}, {"lifetime", false, false}, {"profile", false, false},
};

typedef struct place {
    size_t at, n; /* in the text, without the line's end */
    unsigned line;
} place;

struct fleet {
    char *path;
    cs_kind kind;
    cs_buf text;
    bool json;
    char separator;
    size_t columns;
    size_t column[COLUMNS_MAX]; /* into known */
    const fleet_column *known;
    size_t known_n;
    place *rows;
    size_t n, room;
};

void fleet_free(fleet *f) {
    if (f == NULL) return;
    cs_buf_free(&f->text);
    free(f->rows);
    free(f->path);
    free(f);
}

size_t fleet_count(const fleet *f) {
    return f->n;
}

unsigned fleet_line(const fleet *f, size_t i) {
    return f->rows[i].line;
}

static size_t known_by(const fleet *f, cs_view name) {
    size_t i = 0;
    while (i < f->known_n && !cs_view_eq_nocase(cs_view_str(f->known[i].name), name)) i++;
    return i;
}

static cs_status unknown_column(const fleet *f, const char *name, cs_err *err) {
    CS_SCOPED(cs_buf) all = cs_buf_of(512);
    for (size_t i = 0; i < f->known_n; i++) {
        (void)cs_buf_addf(&all, "%s%s", i > 0 ? ", " : "", f->known[i].name);
        if (cs_text_distance(cs_view_str(f->known[i].name), cs_view_str(name)) <= 2)
            return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "there is no \"%s\", did you mean \"%s\"?", name,
                           f->known[i].name);
    }
    const char *text = cs_buf_cstr(&all);
    return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "there is no \"%s\"; there are %s", name,
                   text != NULL ? text : "others");
}

/* The first column that must be there and is not; NULL: none. */
static const char *lacking(const fleet *f, const bool has[COLUMNS_MAX]) {
    for (size_t i = 0; i < f->known_n; i++)
        if (f->known[i].needed && !has[i]) return f->known[i].name;
    return NULL;
}

/* ---- records ---- */

static cs_status add_place(fleet *f, size_t at, size_t end, unsigned line, cs_err *err) {
    const uint8_t *p = f->text.p;
    while (end > at && (p[end - 1] == '\r' || p[end - 1] == '\n')) end--;
    if (cs_view_trim(cs_view_of(p + at, end - at)).n == 0) return CS_OK;
    if (end - at > FLEET_ROW_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "line %u: %zu bytes, at most %d", line, end - at,
                       FLEET_ROW_MAX);
    if (f->n == FLEET_ROWS_MAX) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "more than %d rows", FLEET_ROWS_MAX);
    if (f->n == f->room) {
        size_t room = f->room > 0 ? 2 * f->room : 1024;
        place *rows = realloc(f->rows, room * sizeof *rows);
        if (rows == NULL) return CS_NOMEM_ERR(err);
        f->rows = rows;
        f->room = room;
    }
    f->rows[f->n++] = (place){at, end - at, line};
    return CS_OK;
}

/* A line's end inside quotes belongs to the field. JSON has none inside its texts. */
static cs_status find_rows(fleet *f, cs_err *err) {
    size_t at = f->text.n >= 3 && memcmp(f->text.p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    unsigned line = 1, from = 1;
    bool quoted = false;
    for (size_t i = at; i < f->text.n; i++) {
        uint8_t b = f->text.p[i];
        if (b == '\0') return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "line %u: it holds a NUL: no text", line);
        if (b == '"' && !f->json) quoted = !quoted;
        if (b != '\n') continue;
        line++;
        if (quoted) continue;
        TRY(add_place(f, at, i + 1, from, err));
        at = i + 1;
        from = line;
    }
    if (quoted) return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "line %u: a quote is not closed", from);
    return add_place(f, at, f->text.n, from, err);
}

/* ---- CSV ---- */

/* The next field into out, unquoted; false: there is none. */
static bool next_field(cs_view *row, char separator, cs_buf *out, bool *more, cs_err *err) {
    size_t i = 0;
    cs_buf_clear(out);
    if (!*more) return false;
    if (row->n > 0 && row->p[0] == '"') {
        for (i = 1; i < row->n; i++) {
            if (row->p[i] != '"') {
                (void)cs_buf_add_byte(out, row->p[i]);
            } else if (i + 1 < row->n && row->p[i + 1] == '"') {
                (void)cs_buf_add_byte(out, '"');
                i++;
            } else {
                break;
            }
        }
        i++; /* behind the closing quote */
    } else {
        while (i < row->n && row->p[i] != (uint8_t)separator) (void)cs_buf_add_byte(out, row->p[i++]);
    }
    err->status = CS_OK;
    if (i < row->n && row->p[i] != (uint8_t)separator)
        (void)cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "text behind a closing quote");
    *more = i < row->n;
    *row = *more ? cs_view_of(row->p + i + 1, row->n - i - 1) : cs_view_of(NULL, 0);
    return true;
}

static char separator_of(cs_view heading) {
    if (memchr(heading.p, ',', heading.n) != NULL) return ',';
    return memchr(heading.p, ';', heading.n) != NULL ? ';' : memchr(heading.p, '\t', heading.n) != NULL ? '\t' : ',';
}

static cs_status read_heading(fleet *f, cs_err *err) {
    if (f->n == 0) return cs_fail(err, CS_REFUSED, CS_R_FILE_EMPTY, "it holds no rows");
    cs_view row = cs_view_of(f->text.p + f->rows[0].at, f->rows[0].n);
    bool more = true, has[COLUMNS_MAX] = {false};
    CS_SCOPED(cs_buf) field = cs_buf_of(FLEET_ROW_MAX);
    f->separator = separator_of(row);
    while (next_field(&row, f->separator, &field, &more, err)) {
        if (err->status != CS_OK) return cs_fail_in(err, "line %u", f->rows[0].line);
        cs_view name = cs_view_trim(cs_buf_view(&field));
        size_t which = known_by(f, name);
        char text[64];
        (void)snprintf(text, sizeof text, "%.*s", (int)(name.n < 60 ? name.n : 60),
                       name.n > 0 ? (const char *)name.p : "");
        if (which == f->known_n) {
            (void)unknown_column(f, text, err);
            return cs_fail_in(err, "line %u (the heading), column %zu", f->rows[0].line, f->columns + 1);
        }
        if (f->columns == COLUMNS_MAX) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%d columns", COLUMNS_MAX);
        has[which] = true;
        f->column[f->columns++] = which;
    }
    const char *lacks = lacking(f, has);
    if (lacks != NULL)
        return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "line %u (the heading): there is no column \"%s\"",
                       f->rows[0].line, lacks);
    memmove(f->rows, f->rows + 1, (f->n - 1) * sizeof *f->rows);
    f->n--;
    return CS_OK;
}

/* Words between blanks, or semicolons where they do not separate fields. */
static json_t *list_of(cs_view text, char separator) {
    json_t *list = json_array();
    for (size_t i = 0, from = 0; i <= text.n; i++) {
        bool ends = i == text.n || text.p[i] == ' ' || (text.p[i] == ';' && separator != ';');
        if (!ends) continue;
        if (i > from) (void)json_array_append_new(list, json_stringn((const char *)text.p + from, i - from));
        from = i + 1;
    }
    return list;
}

static cs_status csv_row(const fleet *f, cs_view row, json_t *to, cs_err *err) {
    CS_SCOPED(cs_buf) field = cs_buf_of(FLEET_ROW_MAX);
    bool more = true;
    size_t i = 0;
    for (; next_field(&row, f->separator, &field, &more, err); i++) {
        TRY(err->status);
        cs_view v = cs_view_trim(cs_buf_view(&field));
        if (i >= f->columns)
            return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "more fields than the heading's %zu", f->columns);
        if (!cs_utf8_valid(v)) return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "field %zu is not UTF-8", i + 1);
        if (v.n == 0) continue;
        size_t which = f->column[i];
        json_t *value = f->known[which].list ? list_of(v, f->separator) : json_stringn((const char *)v.p, v.n);
        if (json_object_set_new(to, f->known[which].name, value) != 0) return CS_NOMEM_ERR(err);
    }
    if (i < f->columns)
        return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "%zu fields, the heading has %zu", i, f->columns);
    return CS_OK;
}

/* ---- JSON ---- */

static cs_status json_row(const fleet *f, cs_view row, json_t **ret, cs_err *err) {
    json_error_t why;
    const char *key = NULL;
    const json_t *value = NULL;
    *ret = json_loadb((const char *)row.p, row.n, JSON_REJECT_DUPLICATES, &why);
    if (*ret == NULL) return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "column %d: %s", why.column, why.text);
    if (!json_is_object(*ret)) return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "a JSON object is expected");
    json_object_foreach(*ret, key, value) {
        size_t which = known_by(f, cs_view_str(key));
        if (which == f->known_n) return unknown_column(f, key, err);
        bool fits = f->known[which].list ? json_is_array(value) : json_is_string(value);
        if (!fits)
            return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "%s: a %s is expected", key,
                           f->known[which].list ? "list" : "string");
    }
    return CS_OK;
}

/* ---- a row ---- */

static cs_status check_names(const json_t *said, const char *key, cs_san_type type, json_t *ask, cs_err *err) {
    json_t *list = json_object_get(said, key), *v = NULL;
    uint8_t store[CS_IDENTITY_NAME_MAX + 1];
    cs_san san;
    size_t i = 0;
    if (list == NULL) return CS_OK;
    json_array_foreach(list, i, v) {
        if (!json_is_string(v)) return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "%s: strings are expected", key);
        TRY(cs_san_make(type, cs_view_of(json_string_value(v), json_string_length(v)), store, &san, err));
    }
    return json_object_set(ask, key, list) == 0 ? CS_OK : CS_NOMEM_ERR(err);
}

static const char *text_of(const json_t *said, const char *key) {
    return json_string_value(json_object_get(said, key));
}

static cs_status judge(const fleet *f, fleet_row *r, cs_err *err) {
    const char *kind = text_of(r->said, "kind"), *type = text_of(r->said, "key_type");
    const char *lifetime = text_of(r->said, "lifetime"), *profile = text_of(r->said, "profile");
    const json_t *name = json_object_get(r->said, "name");
    cs_kind k = f->kind;
    if (kind != NULL && !cs_kind_parse(cs_view_str(kind), &k))
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "kind \"%s\"", kind);
    if (k == CS_KIND_OTHER)
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "it does not say its kind, and neither did the command");
    TRY(cs_identity_make(k, cs_view_of(json_string_value(name), json_string_length(name)), &r->who, err));
    r->csr = text_of(r->said, "csr");
    if (type != NULL && r->csr != NULL)
        return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "key_type is for a new key, and csr has one");
    if (type != NULL) TRY(cs_key_spec_parse(cs_view_str(type), &r->spec, err));
    r->ask = json_pack("{s:s, s:s}", "kind", cs_kind_name(k), "name", r->who.name);
    if (r->ask == NULL) return CS_NOMEM_ERR(err);
    TRY(check_names(r->said, "dns", CS_SAN_DNS, r->ask, err));
    TRY(check_names(r->said, "ip", CS_SAN_IP, r->ask, err));
    TRY(check_names(r->said, "email", CS_SAN_EMAIL, r->ask, err));
    if (profile != NULL && json_object_set_new(r->ask, "profile", json_string(profile)) != 0) return CS_NOMEM_ERR(err);
    if (lifetime == NULL) return CS_OK;
    cs_time t = 0;
    if (!cs_duration_parse(cs_view_str(lifetime), &t))
        return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "lifetime \"%s\", expected a duration, such as 90d",
                       lifetime);
    return json_object_set_new(r->ask, "lifetime_seconds", json_integer(t / CS_SEC)) == 0 ? CS_OK : CS_NOMEM_ERR(err);
}

void fleet_row_free(fleet_row *r) {
    json_decref(r->ask);
    json_decref(r->said);
    r->ask = r->said = NULL;
}

static cs_status row_said(const fleet *f, size_t i, json_t **ret, cs_err *err) {
    const place *p = &f->rows[i];
    cs_view row = cs_view_of(f->text.p + p->at, p->n);
    if (f->json) return json_row(f, row, ret, err);
    *ret = json_object();
    return *ret != NULL ? csv_row(f, row, *ret, err) : CS_NOMEM_ERR(err);
}

cs_status fleet_said(const fleet *f, size_t i, json_t **ret, cs_err *err) {
    json_t *said = NULL;
    if (row_said(f, i, &said, err) == CS_OK) {
        *ret = said;
        return CS_OK;
    }
    json_decref(said);
    return cs_fail_in(err, "line %u", f->rows[i].line);
}

cs_status fleet_row_read(const fleet *f, size_t i, fleet_row *ret, cs_err *err) {
    *ret = (fleet_row){.line = f->rows[i].line, .spec = CS_KEYSPEC_ECDSA_P256};
    TRY(fleet_said(f, i, &ret->said, err));
    if (judge(f, ret, err) == CS_OK) return CS_OK;
    fleet_row_free(ret);
    return cs_fail_in(err, "line %u", f->rows[i].line);
}

cs_status fleet_open(const char *path, cs_kind kind, fleet **ret, cs_err *err) {
    TRY(fleet_open_columns(path, identities, sizeof identities / sizeof identities[0], ret, err));
    (*ret)->kind = kind;
    return CS_OK;
}

cs_status fleet_open_columns(const char *path, const fleet_column *columns, size_t n, fleet **ret, cs_err *err) {
    CS_AUTO(fleet) f = calloc(1, sizeof *f);
    if (f == NULL) return CS_NOMEM_ERR(err);
    f->known = columns;
    f->known_n = n;
    f->text = cs_buf_of(FLEET_FILE_MAX);
    f->path = strdup(path);
    if (f->path == NULL) return CS_NOMEM_ERR(err);
    TRY(strcmp(path, "-") == 0 ? files_read_input(FLEET_FILE_MAX, &f->text, err)
                               : files_read(path, FLEET_FILE_MAX, &f->text, err));
    cs_view first = cs_view_trim(cs_buf_view(&f->text));
    f->json = first.n > 0 && first.p[0] == '{';
    cs_status s = find_rows(f, err);
    if (s == CS_OK && !f->json) s = read_heading(f, err);
    if (s == CS_OK && f->n == 0) s = cs_fail(err, CS_REFUSED, CS_R_FILE_EMPTY, "it holds no rows");
    if (s != CS_OK) return cs_fail_in(err, "%s", path);
    *ret = CS_TAKE(f);
    return CS_OK;
}
