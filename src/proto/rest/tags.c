#include <string.h>

#include "authority/tags.h"
#include "proto/rest/rest_priv.h"

static cs_status put_one(void *cls, const char *tag, uint64_t identities, cs_err *err) {
    cs_json *j = cls;
    (void)err;
    cs_json_object(j, NULL);
    cs_json_str(j, "tag", tag);
    cs_json_int(j, "identities", (int64_t)identities);
    cs_json_object_end(j);
    return CS_OK;
}

static cs_status run_list(void *cls, store *st, cs_err *err) {
    return store_tag_list(st, put_one, cls, err);
}

cs_status rest_tag_list(rest_call *c, cs_err *err) {
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_array(&j, "tags");
    TRY(authority_read(c->a, run_list, &j, err));
    cs_json_array_end(&j);
    cs_json_object_end(&j);
    return CS_OK;
}

void rest_put_words(cs_json *j, const char *key, cs_view text) {
    cs_json_array(j, key);
    while (text.n > 0) {
        const uint8_t *blank = memchr(text.p, ' ', text.n);
        size_t n = blank != NULL ? (size_t)(blank - text.p) : text.n;
        cs_json_view(j, NULL, cs_view_of(text.p, n));
        n += blank != NULL;
        text = cs_view_of(text.p + n, text.n - n);
    }
    cs_json_array_end(j);
}

static cs_status take_tags(const json_t *body, const char *key, cs_view out[STORE_TAGS_MAX], size_t *ret_n,
                           cs_err *err) {
    const json_t *list = json_object_get(body, key), *v = NULL;
    size_t i = 0;
    *ret_n = 0;
    if (list == NULL) return CS_OK;
    if (!json_is_array(list)) return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "%s: a list is expected", key);
    json_array_foreach(list, i, v) {
        if (!json_is_string(v))
            return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "%s[%zu]: a string is expected", key, i);
        if (*ret_n == STORE_TAGS_MAX)
            return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s: at most %d", key, STORE_TAGS_MAX);
        out[(*ret_n)++] = cs_view_of(json_string_value(v), json_string_length(v));
    }
    return CS_OK;
}

cs_status rest_tag_change(rest_call *c, cs_err *err) {
    __attribute__((cleanup(json_decref_at))) json_t *body = NULL;
    CS_SCOPED(cs_buf) tags = cs_buf_of((STORE_TAG_MAX + 1) * STORE_TAGS_MAX);
    const char *kind_text = NULL, *name = NULL;
    cs_view add[STORE_TAGS_MAX], take[STORE_TAGS_MAX];
    size_t add_n = 0, take_n = 0;
    cs_kind kind = CS_KIND_OTHER;
    TRY(rest_body(c, &body, err));
    TRY(rest_text(body, "kind", true, &kind_text, err));
    TRY(rest_text(body, "name", true, &name, err));
    TRY(take_tags(body, "add", add, &add_n, err));
    TRY(take_tags(body, "remove", take, &take_n, err));
    if (!cs_kind_parse(cs_view_str(kind_text), &kind))
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "%s", kind_text);
    cs_view who = cs_view_of(name, json_string_length(json_object_get(body, "name")));
    TRY(tags_change(c->a, kind, who, add, add_n, take, take_n, &c->who, &tags, err));
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "kind", cs_kind_name(kind));
    cs_json_str(&j, "name", name);
    rest_put_words(&j, "tags", cs_buf_view(&tags));
    cs_json_object_end(&j);
    return CS_OK;
}
