#include "recipes/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "recipes/texts.h"

const recipe *recipe_at(size_t i) {
    return i < sizeof recipe_texts / sizeof recipe_texts[0] ? &recipe_texts[i] : NULL;
}

cs_status recipe_find(const char *name, const recipe **ret, cs_err *err) {
    const recipe *r = NULL, *near = NULL;
    size_t best = 3;
    for (size_t i = 0; (r = recipe_at(i)) != NULL; i++) {
        size_t d = cs_text_distance(cs_view_str(r->name), cs_view_str(name));
        if (d == 0) {
            *ret = r;
            return CS_OK;
        }
        if (d < best) best = d, near = r;
    }
    return cs_fail(err, CS_REFUSED, CS_R_USAGE, "\"%.64s\": there is no such recipe%s%s; countersign config lists them",
                   name, near != NULL ? "; did you mean " : "", near != NULL ? near->name : "");
}

/* ---- gaps ---- */

static recipe_gap *gap_of(const recipe_gaps *g, const char *name, size_t n) {
    for (size_t i = 0; i < g->n; i++)
        if (strlen(g->at[i].name) == n && memcmp(g->at[i].name, name, n) == 0)
            return (recipe_gap *)(uintptr_t)&g->at[i];
    return NULL;
}

const char *recipe_value(const recipe_gaps *g, const char *name) {
    const recipe_gap *one = gap_of(g, name, strlen(name));
    if (one == NULL) return NULL;
    return one->lent != NULL ? one->lent : one->value;
}

static cs_status gap_for(recipe_gaps *g, const char *name, recipe_gap **ret, cs_err *err) {
    *ret = gap_of(g, name, strlen(name));
    if (*ret != NULL) return CS_OK;
    if (g->n == RECIPE_GAPS_MAX || strlen(name) >= sizeof g->at[0].name)
        return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "too many values, or too long a name: %.64s", name);
    *ret = &g->at[g->n++];
    **ret = (recipe_gap){.own = false};
    (void)snprintf((*ret)->name, sizeof g->at[0].name, "%s", name);
    return CS_OK;
}

cs_status recipe_lend(recipe_gaps *g, const char *name, const char *value, cs_err *err) {
    recipe_gap *one = NULL;
    TRY(gap_for(g, name, &one, err));
    one->lent = value;
    return CS_OK;
}

cs_status recipe_set(recipe_gaps *g, const char *name, const char *value, cs_err *err) {
    static const char never[] = "\"'`;#{}$\\<>";
    recipe_gap *one = NULL;
    if (strlen(value) > RECIPE_VALUE_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "%s: longer than %d octets", name, RECIPE_VALUE_MAX);
    for (const char *c = value; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f || strchr(never, *c) != NULL)
            return cs_fail(err, CS_REFUSED, CS_R_USAGE,
                           "%s: octet 0x%02x would be read as something else in a configuration; expected none of %s "
                           "and no control character",
                           name, (unsigned char)*c, never);
    TRY(gap_for(g, name, &one, err));
    one->lent = NULL;
    (void)snprintf(one->value, sizeof one->value, "%s", value);
    return CS_OK;
}

/* ---- filling ---- */

typedef struct filling {
    const recipe *r;
    recipe_gaps *g;
    recipe_made *made;
    cs_buf *to; /* NULL: before the first file */
    unsigned line;
    bool head_only, xml;
    unsigned depth, off; /* of "if"; the depth at which lines began to be left out, 0: none */
} filling;

static cs_status wrong(const filling *f, const char *what, cs_view v, cs_err *err) {
    return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "recipe %s, line %u: %s %.*s", f->r->name, f->line, what,
                   (int)v.n, (const char *)v.p);
}

/* What else XML reads as something else may not stand in a value. */
static void put_value(const filling *f, const char *value, cs_buf *to) {
    for (; *value != '\0'; value++)
        (void)(f->xml && *value == '&' ? cs_buf_add_str(to, "&amp;") : cs_buf_add_byte(to, (uint8_t)*value));
}

static cs_status fill_line(const filling *f, cs_view text, cs_buf *to, cs_err *err) {
    for (size_t i = 0; i < text.n;) {
        if (text.p[i] != '@' || i + 1 == text.n || text.p[i + 1] != '{') {
            (void)cs_buf_add_byte(to, text.p[i++]);
            continue;
        }
        const uint8_t *from = text.p + i + 2, *to_brace = memchr(from, '}', text.n - i - 2);
        if (to_brace == NULL) return wrong(f, "a gap without its end:", text, err);
        cs_view name = {from, (size_t)(to_brace - from)};
        const recipe_gap *one = gap_of(f->g, (const char *)from, name.n);
        if (one == NULL) return wrong(f, "nobody knows", name, err);
        if (one->lent != NULL)
            (void)cs_buf_add_str(to, one->lent);
        else
            put_value(f, one->value, to);
        i += name.n + 3;
    }
    return cs_buf_ok(to, "a recipe's text", err);
}

/* The line filled, as a string. */
static cs_status filled(const filling *f, cs_view text, char *out, size_t cap, cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of(RECIPE_TEXT_MAX);
    TRY(fill_line(f, text, &b, err));
    if (b.n >= cap) return wrong(f, "too long:", text, err);
    memcpy(out, b.p != NULL ? (const char *)b.p : "", b.n);
    out[b.n] = '\0';
    return CS_OK;
}

static bool word(cs_view *v, const char *w) {
    size_t n = strlen(w);
    if (v->n < n || memcmp(v->p, w, n) != 0 || (v->n > n && v->p[n] != ' ')) return false;
    *v = (cs_view){v->p + n, v->n - n};
    while (v->n > 0 && *v->p == ' ') v->p++, v->n--;
    return true;
}

/* NAME DEFAULT | WHAT */
static cs_status on_set(const filling *f, cs_view v, cs_err *err) {
    const uint8_t *bar = memchr(v.p, '|', v.n), *space = memchr(v.p, ' ', v.n);
    if (bar == NULL || space == NULL || space >= bar) return wrong(f, "expected NAME DEFAULT | WHAT:", v, err);
    char name[32], value[RECIPE_VALUE_MAX + 1];
    (void)snprintf(name, sizeof name, "%.*s", (int)(space - v.p), (const char *)v.p);
    cs_view def = {space + 1, (size_t)(bar - space - 1)}, says = {bar + 1, v.n - (size_t)(bar + 1 - v.p)};
    while (def.n > 0 && def.p[def.n - 1] == ' ') def.n--;
    while (says.n > 0 && *says.p == ' ') says.p++, says.n--;
    if (recipe_value(f->g, name) == NULL) {
        TRY(filled(f, def, value, sizeof value, err));
        TRY(recipe_set(f->g, name, value, err));
    }
    recipe_gap *one = gap_of(f->g, name, strlen(name));
    one->own = true;
    (void)snprintf(one->says, sizeof one->says, "%.*s", (int)says.n, (const char *)says.p);
    return CS_OK;
}

static cs_status on_if(filling *f, cs_view name, bool wanted, cs_err *err) {
    const recipe_gap *one = gap_of(f->g, (const char *)name.p, name.n);
    if (one == NULL && !f->head_only) return wrong(f, "nobody knows", name, err);
    f->depth++;
    if (one == NULL) return CS_OK; /* of whoever fills it */
    if (strcmp(one->name, "crl") == 0) f->made->looks_up = true;
    if (f->off == 0 && (recipe_value(f->g, one->name)[0] != '\0') != wanted) f->off = f->depth;
    return CS_OK;
}

static cs_status on_file(filling *f, cs_view path, bool is_private, cs_err *err) {
    recipe_made *m = f->made;
    if (m->n == RECIPE_FILES_MAX) return wrong(f, "too many files:", path, err);
    recipe_file *file = &m->files[m->n];
    TRY(filled(f, path, file->path, sizeof file->path, err));
    file->text = cs_buf_secret(RECIPE_TEXT_MAX);
    file->is_private = is_private;
    m->n++;
    f->to = &file->text;
    return CS_OK;
}

static cs_status directive(filling *f, cs_view v, cs_err *err) {
    if (word(&v, "if")) return on_if(f, v, true, err);
    if (word(&v, "unless")) return on_if(f, v, false, err);
    if (word(&v, "end")) {
        if (f->depth == 0) return wrong(f, "an end too many", v, err);
        if (f->off == f->depth) f->off = 0;
        f->depth--;
        return CS_OK;
    }
    if (f->off != 0) return CS_OK;
    if (word(&v, "title")) {
        (void)snprintf(f->made->title, sizeof f->made->title, "%.*s", (int)v.n, (const char *)v.p);
        return CS_OK;
    }
    if (word(&v, "for")) {
        f->made->server = word(&v, "server");
        f->made->person = word(&v, "person");
        bool known = f->made->server || f->made->person || word(&v, "client");
        return known ? CS_OK : wrong(f, "expected server, client or person:", v, err);
    }
    if (word(&v, "xml")) {
        f->xml = true;
        return CS_OK;
    }
    if (word(&v, "set")) return on_set(f, v, err);
    if (f->head_only) return CS_OK;
    if (word(&v, "file")) return on_file(f, v, false, err);
    if (word(&v, "private")) return on_file(f, v, true, err);
    if (word(&v, "then")) {
        f->to = &f->made->then;
        return CS_OK;
    }
    return wrong(f, "what is", v, err);
}

static cs_status run(filling *f, cs_err *err) {
    const char *at = f->r->text;
    f->made->then = cs_buf_of(RECIPE_TEXT_MAX);
    for (f->line = 1; *at != '\0'; f->line++) {
        size_t n = strcspn(at, "\n");
        cs_view line = {(const uint8_t *)at, n};
        at += n + (at[n] == '\n');
        if (word(&line, "#:")) {
            TRY(directive(f, line, err));
        } else if (f->off == 0 && f->to != NULL) {
            TRY(fill_line(f, line, f->to, err));
            (void)cs_buf_add_byte(f->to, '\n');
        } else if (f->to == NULL && n > 0 && !f->head_only) {
            return wrong(f, "text before the first file:", line, err);
        }
    }
    return f->depth == 0 ? CS_OK : wrong(f, "an end is missing after", cs_view_str(f->r->name), err);
}

cs_status recipe_head(const recipe *r, recipe_gaps *g, recipe_made *ret, cs_err *err) {
    *ret = (recipe_made){.n = 0};
    filling f = {.r = r, .g = g, .made = ret, .head_only = true};
    return run(&f, err);
}

cs_status recipe_fill(const recipe *r, recipe_gaps *g, recipe_made *ret, cs_err *err) {
    *ret = (recipe_made){.n = 0};
    filling f = {.r = r, .g = g, .made = ret};
    return run(&f, err);
}

void recipe_made_free(recipe_made *m) {
    for (size_t i = 0; i < m->n; i++) cs_buf_free(&m->files[i].text);
    cs_buf_free(&m->then);
}
