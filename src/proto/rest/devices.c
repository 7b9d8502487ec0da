/* The list of devices that may enroll by what their makers gave them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "proto/rest/rest_priv.h"

static cs_status copy(const json_t *from, const char *key, size_t max, char *out, cs_err *err) {
    const char *text = NULL;
    TRY(rest_text(from, key, false, &text, err));
    if (text == NULL) return CS_OK;
    if (strlen(text) > max) return cs_fail(err, CS_LIMIT, CS_R_DEVICE_INVALID, "%s: at most %zu octets", key, max);
    memcpy(out, text, strlen(text) + 1);
    return CS_OK;
}

/* A device that says no name is called by its serial number. */
static cs_status read_device(const json_t *from, store_device *d, cs_err *err) {
    const char *key = NULL, *until = NULL;
    size_t n = 0;
    *d = (store_device){.name = ""};
    if (!json_is_object(from)) return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "devices: objects are expected");
    TRY(copy(from, "name", sizeof d->name - 1, d->name, err));
    TRY(copy(from, "vendor", sizeof d->vendor - 1, d->vendor, err));
    TRY(copy(from, "serial", sizeof d->serial - 1, d->serial, err));
    TRY(copy(from, "profile", sizeof d->profile - 1, d->profile, err));
    TRY(rest_text(from, "key_sha256", false, &key, err));
    TRY(rest_text(from, "not_after", false, &until, err));
    d->has_key = key != NULL;
    if (key != NULL && (!cs_hex_decode(cs_view_str(key), d->key_sha256, sizeof d->key_sha256, &n) || n != 32))
        return cs_fail(err, CS_REFUSED, CS_R_DEVICE_INVALID, "key_sha256: 64 hexadecimal digits are expected");
    if (until != NULL && !cs_time_parse(cs_view_str(until), &d->not_after))
        return cs_fail(err, CS_REFUSED, CS_R_DEVICE_INVALID, "not_after: a time such as 2027-01-31T00:00:00Z");
    if (d->name[0] == '\0' && strlen(d->serial) < sizeof d->name)
        (void)snprintf(d->name, sizeof d->name, "%s", d->serial);
    if (d->name[0] == '\0') return cs_fail(err, CS_REFUSED, CS_R_DEVICE_INVALID, "a name or a serial is needed");
    return CS_OK;
}

static void put_device(cs_json *j, const store_device *d) {
    cs_json_str(j, "name", d->name);
    if (d->vendor[0] != '\0') cs_json_str(j, "vendor", d->vendor);
    if (d->serial[0] != '\0') cs_json_str(j, "serial", d->serial);
    if (d->has_key) cs_json_hex(j, "key_sha256", cs_view_of(d->key_sha256, sizeof d->key_sha256));
    if (d->profile[0] != '\0') cs_json_str(j, "profile", d->profile);
    if (d->not_after != 0) cs_json_time(j, "not_after", d->not_after);
    cs_json_time(j, "created", d->created);
    cs_json_str(j, "made_by", d->by);
}

cs_status rest_device_allow(rest_call *c, cs_err *err) {
    SCOPED_JSON body = NULL;
    TRY(rest_body(c, &body, err));
    const json_t *list = json_object_get(body, "devices");
    size_t n = json_array_size(list), good = 0;
    if (!json_is_array(list) || n == 0 || n > ENROLL_DEVICES_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "devices: a list of 1 to %d is expected",
                       ENROLL_DEVICES_MAX);
    enroll_device *at = calloc(n, sizeof *at);
    if (at == NULL) return CS_NOMEM_ERR(err);
    for (size_t i = 0; i < n; i++) {
        cs_err why = {.status = CS_OK};
        if (read_device(json_array_get(list, i), &at[i].row, &why) != CS_OK) at[i].err = why;
    }
    cs_status status = enroll_devices_allow(c->e, at, n, &c->who, err);
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_array(&j, "refused");
    for (size_t i = 0; i < n; i++) {
        good += at[i].err.status == CS_OK;
        if (at[i].err.status == CS_OK) continue;
        cs_json_object(&j, NULL);
        cs_json_int(&j, "index", (int64_t)i);
        rest_put_problem(&j, &at[i].err);
        cs_json_object_end(&j);
    }
    cs_json_array_end(&j);
    cs_json_int(&j, "allowed", (int64_t)good);
    cs_json_object_end(&j);
    free(at);
    return status;
}

cs_status rest_device_remove(rest_call *c, cs_err *err) {
    SCOPED_JSON body = NULL;
    const char *name = NULL;
    TRY(rest_body(c, &body, err));
    TRY(rest_text(body, "name", true, &name, err));
    TRY(enroll_device_remove(c->e, name, &c->who, err));
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "name", name);
    cs_json_str(&j, "state", "removed");
    cs_json_object_end(&j);
    return CS_OK;
}

typedef struct devices {
    cs_json j;
    const char *after, *name;
    unsigned limit, n;
    char last[CS_IDENTITY_NAME_MAX + 1];
} devices;

static cs_status device_seen(void *cls, const store_device *d, cs_err *err) {
    devices *l = cls;
    (void)err;
    if (l->n++ == l->limit) return CS_OK;
    (void)snprintf(l->last, sizeof l->last, "%s", d->name);
    cs_json_object(&l->j, NULL);
    put_device(&l->j, d);
    cs_json_object_end(&l->j);
    return CS_OK;
}

static cs_status run_list(void *cls, store *st, cs_err *err) {
    devices *l = cls;
    store_device one;
    if (l->name == NULL) return store_device_list(st, l->after, l->limit + 1, device_seen, l, err);
    cs_status status = store_device_get(st, l->name, &one, err);
    return status == CS_OK ? device_seen(l, &one, err) : status == CS_REFUSED ? CS_OK : status;
}

cs_status rest_device_list(rest_call *c, cs_err *err) {
    devices l = {.j = cs_json_to(&c->out), .after = rest_query(c, "after"), .name = rest_query(c, "name")};
    TRY(rest_page(c, &l.limit, err));
    cs_json_object(&l.j, NULL);
    cs_json_array(&l.j, "devices");
    TRY(authority_read(c->a, run_list, &l, err));
    cs_json_array_end(&l.j);
    if (l.n > l.limit) cs_json_str(&l.j, "next", l.last);
    cs_json_object_end(&l.j);
    return CS_OK;
}
