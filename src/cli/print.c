#include "cli/print.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

cs_status open_session(const conf_overrides *said, conf **ret_conf, session **ret, cs_err *err) {
    TRY(conf_load(said, ret_conf, err));
    return session_open(*ret_conf, said, ret, err);
}

bool url_add(cs_buf *b, const char *text) {
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '.' || c == '_' || c == '~';
        if (plain)
            (void)cs_buf_add_byte(b, c);
        else
            (void)cs_buf_addf(b, "%%%02X", c);
    }
    return !b->failed;
}

bool serial_like(const char *text, char out[2 * CS_SERIAL_MAX + 1]) {
    uint8_t bytes[CS_SERIAL_MAX];
    size_t n = 0;
    if (!cs_hex_decode(cs_view_str(text), bytes, sizeof bytes, &n) || n < 8) return false;
    (void)cs_hex(cs_view_of(bytes, n), out);
    return true;
}

enum { TABLE_MAX = 64 * 1024 * 1024, CELL_MAX = 300, PAGE = 500 };

table table_begin(size_t columns, const char *const heads[]) {
    table t = {.cells = cs_buf_of(TABLE_MAX), .columns = columns};
    for (size_t i = 0; i < columns; i++) table_add(&t, heads[i]);
    return t;
}

/* Columns on the screen: UTF-8's following bytes take none. */
static size_t width_of(cs_view text) {
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) n += (text.p[i] & 0xc0) != 0x80;
    return n;
}

void table_add(table *t, const char *text) {
    size_t from = t->cells.n, column = t->at++ % t->columns;
    (void)cs_text_escape(&t->cells, cs_view_str(text), CELL_MAX);
    if (t->cells.failed) return;
    size_t width = width_of(cs_view_of(t->cells.p + from, t->cells.n - from));
    if (width > t->width[column]) t->width[column] = width;
    (void)cs_buf_add_byte(&t->cells, '\0');
}

void table_end(table *t, cs_buf *b) {
    size_t at = 0;
    for (size_t i = 0; i < t->at && !t->cells.failed; i++) {
        size_t column = i % t->columns;
        cs_view cell = cs_view_str((const char *)t->cells.p + at);
        at += cell.n + 1;
        (void)cs_buf_add_view(b, cell);
        if (column + 1 == t->columns) {
            (void)cs_buf_add_byte(b, '\n');
            continue;
        }
        for (size_t pad = width_of(cell); pad < t->width[column] + 2; pad++) (void)cs_buf_add_byte(b, ' ');
    }
    if (t->cells.failed) b->failed = true;
    cs_buf_free(&t->cells);
}

int print_json(const json_t *j) {
    char *text = json_dumps(j, JSON_COMPACT);
    bool ok = text != NULL && puts(text) >= 0;
    free(text);
    return ok ? CLI_DONE : CLI_FAILED;
}

const char *short_time(const char *rfc3339, char out[32]) {
    cs_time t;
    if (!cs_time_parse(cs_view_str(rfc3339), &t)) {
        (void)snprintf(out, 32, "%.31s", rfc3339);
        return out;
    }
    cs_civil c = cs_civil_of_time(t);
    (void)snprintf(out, 32, "%04d-%02d-%02d %02d:%02d", c.year, c.month, c.day, c.hour, c.minute);
    return out;
}

/* ---- lists ---- */

cs_status session_get(void *to, const char *path, json_t **ret, cs_err *err) {
    return session_call(to, "GET", path, NULL, true, ret, err);
}

cs_status each_row(page_get *get, void *to, const char *path, const char *member, unsigned limit, page_row *row,
                   void *cls, cs_err *err) {
    CS_SCOPED(cs_buf) at = cs_buf_of(8192);
    char after[128] = "";
    unsigned left = limit;
    do {
        json_t *page = NULL;
        const json_t *one = NULL;
        size_t i = 0;
        cs_status status = CS_OK;
        cs_buf_clear(&at);
        (void)cs_buf_addf(&at, "%s%climit=%u", path, strchr(path, '?') != NULL ? '&' : '?',
                          limit > 0 && left < PAGE ? left : (unsigned)PAGE);
        if (after[0] != '\0' && cs_buf_add_str(&at, "&after=")) (void)url_add(&at, after);
        TRY(cs_buf_ok(&at, "the request's address", err));
        TRY(get(to, cs_buf_cstr(&at), &page, err));
        json_array_foreach(json_object_get(page, member), i, one) {
            if (status == CS_OK) status = row(cls, one, err);
        }
        left -= i < left ? (unsigned)i : left;
        (void)snprintf(after, sizeof after, "%s", json_text(page, "next"));
        json_decref(page);
        TRY(status);
    } while (after[0] != '\0' && (limit == 0 || left > 0));
    return CS_OK;
}

typedef struct listing {
    const list_form *form;
    table t;
} listing;

static cs_status take_row(void *cls, const json_t *row, cs_err *err) {
    listing *l = cls;
    if (!l->form->json) l->form->add(&l->t, row);
    if (!l->form->json || print_json(row) == CLI_DONE) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_FILE_UNWRITABLE, "standard output");
}

cs_status list_rows(session *s, const char *path, const char *member, unsigned limit, const list_form *form, cs_buf *b,
                    cs_err *err) {
    listing l = {.form = form, .t = table_begin(form->columns, form->heads)};
    cs_status status = each_row(session_get, s, path, member, limit, take_row, &l, err);
    if (status == CS_OK && !form->json)
        table_end(&l.t, b);
    else
        cs_buf_free(&l.t.cells);
    return status;
}
