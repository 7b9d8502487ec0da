/* Windows that an operator sets for a cohort of certificates, to have them renewed before their time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/tags.h"
#include "base/text.h"
#include "enroll/enroll_priv.h"

enum { PAGE = 500 };
#define SPREAD_MAX CS_YEAR

typedef struct change {
    store_window *w;
    uint64_t id;
    const authority_who *by;
} change;

static const char *conditions(const store_window *w, const char *ca, char out[512]) {
    char spread[CS_TIME_TEXT_MAX];
    (void)snprintf(out, 512, "window %llu%s%s%s%s%s%s%s%s%s%s%s%s, spread over %s%s%.100s", (unsigned long long)w->id,
                   w->kind != CS_KIND_OTHER ? ", kind " : "", w->kind != CS_KIND_OTHER ? cs_kind_name(w->kind) : "",
                   w->pattern[0] != '\0' ? ", name " : "", w->pattern, w->tag[0] != '\0' ? ", tag " : "", w->tag,
                   w->profile[0] != '\0' ? ", profile " : "", w->profile, w->has_issuer ? ", issuer " : "",
                   w->has_issuer ? ca : "", w->key_type[0] != '\0' ? ", key " : "", w->key_type,
                   cs_duration_text(w->spread, spread), w->why[0] != '\0' ? ": " : "", w->why);
    return out;
}

static cs_status run_add(authority *a, store *st, void *cls, cs_err *err) {
    const change *c = cls;
    char text[512];
    TRY(store_window_add(st, c->w, err));
    const authority_ca *ca = c->w->has_issuer ? authority_ca_of(a, c->w->issuer) : NULL;
    return authority_audit(a, st, "renewal-window-set", c->by, NULL, conditions(c->w, ca != NULL ? ca->name : "", text),
                           err);
}

static cs_status check_key_type(const char *text, cs_err *err) {
    size_t n = strlen(text);
    for (int i = 0; i < CS_KEYSPEC_COUNT; i++)
        if (strncmp(cs_key_spec_name((cs_key_spec)i), text, n) == 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED,
                   "key_type %.64s: the beginning of a key type is expected, such as rsa or ecdsa-p256", text);
}

cs_status enroll_window_add(enroll *e, store_window *w, const authority_who *by, cs_err *err) {
    const cs_profile *p = NULL;
    change c = {.w = w, .by = by};
    bool any = w->kind != CS_KIND_OTHER || w->pattern[0] != '\0' || w->tag[0] != '\0' || w->profile[0] != '\0' ||
               w->has_issuer || w->key_type[0] != '\0';
    if (!any)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED,
                       "which certificates? name \"*\" stands for all of them");
    if (w->tag[0] != '\0') TRY(tag_check(cs_view_str(w->tag), err));
    if (w->profile[0] != '\0') TRY(conf_profile_find(e->conf, w->profile, CS_KIND_OTHER, &p, err));
    if (w->key_type[0] != '\0') TRY(check_key_type(w->key_type, err));
    w->created = cs_now(e->clock);
    if (w->begins == 0) w->begins = w->created;
    if (w->spread < 0 || w->spread > SPREAD_MAX || w->begins < w->created - CS_YEAR ||
        w->begins > w->created + 10 * CS_YEAR)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a window begins within ten years and is spread over one");
    (void)snprintf(w->made_by, sizeof w->made_by, "%s", by->by);
    return authority_change(e->a, run_add, &c, err);
}

static cs_status run_remove(authority *a, store *st, void *cls, cs_err *err) {
    const change *c = cls;
    char detail[64];
    TRY(store_window_remove(st, c->id, c->by->by, authority_now(a), err));
    (void)snprintf(detail, sizeof detail, "window %llu", (unsigned long long)c->id);
    return authority_audit(a, st, "renewal-window-removed", c->by, NULL, detail, err);
}

cs_status enroll_window_remove(enroll *e, uint64_t id, const authority_who *by, cs_err *err) {
    change c = {.id = id, .by = by};
    return authority_change(e->a, run_remove, &c, err);
}

/* ---- how far is it? ---- */

typedef struct counting {
    const store_window *w;
    enroll_window_state *to;
    cs_time now;
    store_filter filter;
    char (*serials)[STORE_SERIAL_TEXT]; /* PAGE, of those that fit */
    size_t n, seen;
    char last[STORE_SERIAL_TEXT];
} counting;

static cs_status take(void *cls, const store_cert *row, cs_err *err) {
    counting *c = cls;
    hint_about about;
    (void)err;
    c->seen++;
    memcpy(c->last, row->serial, sizeof c->last);
    hint_look(row, &about);
    if (hint_fits(c->w, &about)) memcpy(c->serials[c->n++], row->serial, STORE_SERIAL_TEXT);
    return CS_OK;
}

static cs_status found(void *cls, const char *serial, cs_err *err) {
    bool *renewed = cls;
    (void)serial, (void)err;
    *renewed = true;
    return CS_OK;
}

/* A page; between pages others may read. */
static cs_status run_page(void *cls, store *st, cs_err *err) {
    counting *c = cls;
    c->n = c->seen = 0;
    TRY(store_cert_list(st, &c->filter, c->now, take, c, err));
    for (size_t i = 0; i < c->n; i++) {
        bool renewed = false;
        TRY(store_lineage_children(st, c->serials[i], found, &renewed, err));
        c->to->certificates++;
        c->to->renewed += renewed;
    }
    return CS_OK;
}

cs_status enroll_window_count(enroll *e, const store_window *w, enroll_window_state *ret, cs_err *err) {
    counting c = {.w = w, .to = ret, .now = cs_now(e->clock)};
    *ret = (enroll_window_state){.certificates = 0};
    c.filter = (store_filter){.kind = w->kind,
                              .pattern = w->pattern[0] != '\0' ? w->pattern : NULL,
                              .issuer = w->has_issuer ? w->issuer : NULL,
                              .profile = w->profile[0] != '\0' ? w->profile : NULL,
                              .tag = w->tag[0] != '\0' ? w->tag : NULL,
                              .state = STORE_VALID,
                              .limit = PAGE};
    c.serials = calloc(PAGE, sizeof *c.serials);
    if (c.serials == NULL) return CS_NOMEM_ERR(err);
    cs_status status = CS_OK;
    size_t looked = 0;
    do {
        status = authority_read(e->a, run_page, &c, err);
        c.filter.after = c.last;
        looked += c.seen;
        ret->more = looked >= ENROLL_WINDOW_LOOKED_MAX;
    } while (status == CS_OK && c.seen == PAGE && !ret->more);
    free(c.serials);
    return status;
}

typedef struct getting {
    uint64_t id;
    store_window *to;
} getting;

static cs_status run_get(void *cls, store *st, cs_err *err) {
    const getting *g = cls;
    return store_window_get(st, g->id, g->to, err);
}

cs_status enroll_window_get(enroll *e, uint64_t id, store_window *ret, cs_err *err) {
    getting g = {id, ret};
    return authority_read(e->a, run_get, &g, err);
}
