#include "authority/tags.h"

#include <stdio.h>

#include "authority/authority_priv.h"

typedef struct change {
    cs_identity id;
    const cs_view *add, *take;
    size_t add_n, take_n;
    const authority_who *by;
    cs_buf *out;
} change;

cs_status tag_check(cs_view tag, cs_err *err) {
    bool good = tag.n > 0 && tag.n <= STORE_TAG_MAX;
    for (size_t i = 0; good && i < tag.n; i++) {
        uint8_t c = tag.p[i];
        good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c != '\0' && strchr("._:=/+@-", c) != NULL);
    }
    if (good) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_TAG_INVALID, "\"%.*s\"", (int)(tag.n < 80 ? tag.n : 80), (const char *)tag.p);
}

static cs_status seen(void *cls, const store_cert *c, cs_err *err) {
    bool *found = cls;
    (void)c, (void)err;
    *found = true;
    return CS_OK;
}

/* A name that was mistyped would be tagged for ever. */
static cs_status must_be_known(store *st, const cs_identity *id, cs_time now, cs_err *err) {
    const store_filter f = {.kind = id->kind, .name = id->name, .limit = 1};
    bool found = false;
    TRY(store_cert_list(st, &f, now, seen, &found, err));
    if (found) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "%s %s never had one", cs_kind_name(id->kind), id->name);
}

static bool has(cs_view list, cs_view tag) {
    while (list.n > 0) {
        const uint8_t *blank = memchr(list.p, ' ', list.n);
        size_t n = blank != NULL ? (size_t)(blank - list.p) : list.n;
        if (cs_view_eq(cs_view_of(list.p, n), tag)) return true;
        n += blank != NULL;
        list = cs_view_of(list.p + n, list.n - n);
    }
    return false;
}

/* Before anything is written: how many would there be? */
static cs_status count(const change *c, cs_view had, cs_err *err) {
    size_t n = had.n > 0 ? 1 : 0;
    for (size_t i = 0; i < had.n; i++) n += had.p[i] == ' ';
    for (size_t i = 0; i < c->add_n; i++) n += !has(had, c->add[i]);
    for (size_t i = 0; i < c->take_n; i++) n -= has(had, c->take[i]);
    if (n <= STORE_TAGS_MAX) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_LIMIT_REACHED, "at most %d tags an identity", STORE_TAGS_MAX);
}

static cs_status set(store *st, const change *c, cs_view tag, bool there, cs_err *err) {
    char text[STORE_TAG_MAX + 1];
    (void)snprintf(text, sizeof text, "%.*s", (int)tag.n, (const char *)tag.p);
    return store_tag_set(st, c->id.kind, c->id.name, text, there, err);
}

static cs_status apply(authority *a, store *st, void *cls, cs_err *err) {
    const change *c = cls;
    CS_SCOPED(cs_buf) had = cs_buf_of(sizeof(char[STORE_TAG_MAX + 1]) * STORE_TAGS_MAX);
    store_cert about = {.kind = c->id.kind};
    TRY(must_be_known(st, &c->id, cs_now(a->clock), err));
    TRY(store_tags_of(st, c->id.kind, c->id.name, &had, err));
    TRY(count(c, cs_buf_view(&had), err));
    for (size_t i = 0; i < c->take_n; i++) TRY(set(st, c, c->take[i], false, err));
    for (size_t i = 0; i < c->add_n; i++) TRY(set(st, c, c->add[i], true, err));
    TRY(store_tags_of(st, c->id.kind, c->id.name, c->out, err));
    (void)snprintf(about.name, sizeof about.name, "%s", c->id.name);
    return audit(a, st, "tagged", c->by, &about, cs_buf_cstr(c->out), err);
}

cs_status tags_change(authority *a, cs_kind kind, cs_view name, const cs_view add[], size_t add_n, const cs_view take[],
                      size_t take_n, const authority_who *by, cs_buf *out, cs_err *err) {
    change c = {.add = add, .add_n = add_n, .take = take, .take_n = take_n, .by = by, .out = out};
    TRY(cs_identity_make(kind, name, &c.id, err));
    for (size_t i = 0; i < add_n; i++) TRY(tag_check(add[i], err));
    for (size_t i = 0; i < take_n; i++) TRY(tag_check(take[i], err));
    return authority_change(a, apply, &c, err);
}
