#include <string.h>

#include "proto/rest/rest_priv.h"

static void put(cs_json *j, cs_kind kind, const char *name, unsigned roles) {
    char text[ROLE_TEXT_MAX];
    cs_json_str(j, "kind", cs_kind_name(kind));
    cs_json_str(j, "name", name);
    cs_json_array(j, "roles");
    (void)admin_roles_text(roles, text);
    for (char *left = text, *word; (word = strsep(&left, ",")) != NULL;)
        if (word[0] != '\0') cs_json_str(j, NULL, word);
    cs_json_array_end(j);
}

static cs_status put_one(void *cls, cs_kind kind, const char *name, unsigned roles, cs_time since, const char *by,
                         cs_err *err) {
    cs_json *j = cls;
    (void)err;
    cs_json_object(j, NULL);
    put(j, kind, name, roles);
    cs_json_time(j, "since", since);
    cs_json_str(j, "given_by", by);
    cs_json_object_end(j);
    return CS_OK;
}

static cs_status run_list(void *cls, store *st, cs_err *err) {
    return store_admin_list(st, put_one, cls, err);
}

cs_status rest_admin_list(rest_call *c, cs_err *err) {
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_array(&j, "admins");
    TRY(authority_read(c->a, run_list, &j, err));
    cs_json_array_end(&j);
    cs_json_object_end(&j);
    return CS_OK;
}

static cs_status change(rest_call *c, bool add, cs_err *err) {
    __attribute__((cleanup(json_decref_at))) json_t *body = NULL;
    const char *kind_text = NULL, *name = NULL, *text = NULL;
    cs_kind kind = CS_KIND_USER;
    unsigned roles = ROLE_ANY, left = 0;
    TRY(rest_body(c, &body, err));
    TRY(rest_text(body, "kind", false, &kind_text, err));
    TRY(rest_text(body, "name", true, &name, err));
    TRY(rest_text(body, "role", add, &text, err));
    if (kind_text != NULL && !cs_kind_parse(cs_view_str(kind_text), &kind))
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "%s", kind_text);
    if (text != NULL) TRY(admin_roles_parse(cs_view_str(text), &roles, err));
    cs_view who = cs_view_of(name, json_string_length(json_object_get(body, "name")));
    TRY(add ? admin_add(c->a, kind, who, roles, &c->who, &left, err)
            : admin_remove(c->a, kind, who, roles, &c->who, &left, err));
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    put(&j, kind, name, left);
    cs_json_object_end(&j);
    return CS_OK;
}

cs_status rest_admin_add(rest_call *c, cs_err *err) {
    return change(c, true, err);
}
cs_status rest_admin_remove(rest_call *c, cs_err *err) {
    return change(c, false, err);
}
