/* Windows in which a cohort is to be renewed: /api/v1/renewal-windows. */
#include <stdio.h>
#include <string.h>

#include "proto/rest/rest_priv.h"

static void put_text(cs_json *j, const char *key, const char *text) {
    if (text[0] != '\0') cs_json_str(j, key, text);
}

static void put_window(const rest_call *c, cs_json *j, const store_window *w) {
    const authority_ca *ca = w->has_issuer ? authority_ca_of(c->a, w->issuer) : NULL;
    cs_json_int(j, "id", (int64_t)w->id);
    cs_json_time(j, "created", w->created);
    cs_json_str(j, "made_by", w->made_by);
    put_text(j, "why", w->why);
    cs_json_time(j, "begins", w->begins);
    cs_json_time(j, "ends", w->begins + w->spread);
    cs_json_int(j, "spread_seconds", w->spread / CS_SEC);
    if (w->kind != CS_KIND_OTHER) cs_json_str(j, "kind", cs_kind_name(w->kind));
    put_text(j, "name", w->pattern);
    put_text(j, "tag", w->tag);
    put_text(j, "profile", w->profile);
    if (w->has_issuer) cs_json_str(j, "issuer", ca != NULL ? ca->name : "one that is gone");
    put_text(j, "key_type", w->key_type);
    if (w->removed == 0) return;
    cs_json_time(j, "removed", w->removed);
    cs_json_str(j, "removed_by", w->removed_by);
}

/* With how far it is. */
static cs_status put_whole(rest_call *c, const store_window *w, cs_err *err) {
    enroll_window_state state;
    TRY(enroll_window_count(c->e, w, &state, err));
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    put_window(c, &j, w);
    cs_json_int(&j, "certificates", (int64_t)state.certificates);
    cs_json_int(&j, "renewed", (int64_t)state.renewed);
    cs_json_bool(&j, "more", state.more);
    cs_json_object_end(&j);
    return CS_OK;
}

static cs_status copy(const json_t *body, const char *key, char *out, size_t size, cs_err *err) {
    const char *text = NULL;
    TRY(rest_text(body, key, false, &text, err));
    if (text == NULL) return CS_OK;
    if (strlen(text) != json_string_length(json_object_get(body, key)) || strlen(text) >= size || text[0] == '\0')
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "%s: 1 to %zu characters are expected", key, size - 1);
    (void)snprintf(out, size, "%s", text);
    return CS_OK;
}

static cs_status take_times(const json_t *body, store_window *w, cs_err *err) {
    const json_t *spread = json_object_get(body, "spread_seconds");
    const char *begins = NULL;
    TRY(rest_text(body, "begins", false, &begins, err));
    if (begins != NULL && !cs_time_parse(cs_view_str(begins), &w->begins))
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "begins: a time of RFC 3339 is expected");
    json_int_t s = json_integer_value(spread);
    if (spread != NULL && (!json_is_integer(spread) || s < 0 || s > CS_YEAR / CS_SEC))
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "spread_seconds: a whole number up to a year's");
    w->spread = s * CS_SEC;
    return CS_OK;
}

static cs_status take_window(const rest_call *c, const json_t *body, store_window *w, cs_err *err) {
    const char *kind = NULL, *issuer = NULL;
    TRY(rest_text(body, "kind", false, &kind, err));
    TRY(rest_text(body, "issuer", false, &issuer, err));
    if (kind != NULL && !cs_kind_parse(cs_view_str(kind), &w->kind))
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "%s", kind);
    const authority_ca *ca = issuer != NULL ? authority_ca_named(c->a, cs_view_str(issuer)) : NULL;
    if (issuer != NULL && ca == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "issuer %.64s: no CA of that name issues here", issuer);
    w->has_issuer = ca != NULL;
    if (ca != NULL) memcpy(w->issuer, ca->cert->spki_sha256, sizeof w->issuer);
    TRY(copy(body, "name", w->pattern, sizeof w->pattern, err));
    TRY(copy(body, "tag", w->tag, sizeof w->tag, err));
    TRY(copy(body, "profile", w->profile, sizeof w->profile, err));
    TRY(copy(body, "key_type", w->key_type, sizeof w->key_type, err));
    TRY(copy(body, "why", w->why, sizeof w->why, err));
    return take_times(body, w, err);
}

cs_status rest_window_add(rest_call *c, cs_err *err) {
    SCOPED_JSON body = NULL;
    store_window w = {.kind = CS_KIND_OTHER};
    TRY(rest_body(c, &body, err));
    TRY(take_window(c, body, &w, err));
    TRY(enroll_window_add(c->e, &w, &c->who, err));
    c->status = MHD_HTTP_CREATED;
    return put_whole(c, &w, err);
}

typedef struct listing {
    const rest_call *c;
    cs_json j;
    bool all;
} listing;

static cs_status put_one(void *cls, const store_window *w, cs_err *err) {
    listing *l = cls;
    (void)err;
    cs_json_object(&l->j, NULL);
    put_window(l->c, &l->j, w);
    cs_json_object_end(&l->j);
    return CS_OK;
}

static cs_status run_list(void *cls, store *st, cs_err *err) {
    listing *l = cls;
    return store_window_list(st, l->all, put_one, l, err);
}

cs_status rest_window_list(rest_call *c, cs_err *err) {
    const char *status = rest_query(c, "status");
    listing l = {.c = c, .j = cs_json_to(&c->out), .all = status != NULL && strcmp(status, "all") == 0};
    cs_json_object(&l.j, NULL);
    cs_json_array(&l.j, "renewal_windows");
    TRY(authority_read(c->a, run_list, &l, err));
    cs_json_array_end(&l.j);
    cs_json_object_end(&l.j);
    return CS_OK;
}

static cs_status read_id(const char *text, uint64_t *ret, cs_err *err) {
    size_t n = strlen(text);
    *ret = 0;
    for (size_t i = 0; i < n && n < 18; i++) {
        if (text[i] < '0' || text[i] > '9') *ret = 0, i = n;
        if (i < n) *ret = *ret * 10 + (uint64_t)(text[i] - '0');
    }
    return *ret != 0 ? CS_OK : cs_fail(err, CS_REFUSED, CS_R_RENEWAL_WINDOW_UNKNOWN, "%.40s", text);
}

cs_status rest_window_show(rest_call *c, cs_err *err) {
    store_window w;
    uint64_t id = 0;
    TRY(read_id(c->rest, &id, err));
    TRY(enroll_window_get(c->e, id, &w, err));
    return put_whole(c, &w, err);
}

cs_status rest_window_remove(rest_call *c, cs_err *err) {
    SCOPED_JSON body = NULL;
    store_window w;
    TRY(rest_body(c, &body, err));
    const json_t *id = json_object_get(body, "id");
    if (!json_is_integer(id) || json_integer_value(id) < 1)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "id: a positive whole number is expected");
    TRY(enroll_window_remove(c->e, (uint64_t)json_integer_value(id), &c->who, err));
    TRY(enroll_window_get(c->e, (uint64_t)json_integer_value(id), &w, err));
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    put_window(c, &j, &w);
    cs_json_object_end(&j);
    return CS_OK;
}
