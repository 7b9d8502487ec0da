/* CRLs: made, told of, given out. */
#include <string.h>

#include "proto/rest/rest_priv.h"
#include "x509/digest.h"

static void put_facts(cs_json *j, const authority_blob *b) {
    cs_json_int(j, "number", (int64_t)b->crl.number);
    if (b->crl.base > 0) cs_json_int(j, "base", (int64_t)b->crl.base);
    cs_json_time(j, "this_update", b->crl.this_update);
    cs_json_time(j, "next_update", b->crl.next_update);
    cs_json_int(j, "entries", (int64_t)b->crl.entries);
    cs_json_int(j, "size", (int64_t)b->crl.size);
    cs_json_hex(j, "sha256", cs_view_of(b->crl.sha256, sizeof b->crl.sha256));
}

void rest_put_current_crl(rest_call *c, cs_json *j) {
    CS_AUTO(authority_blob) b = NULL;
    cs_err none;
    const authority_list l = {.ca = authority_ca_current(c->a)};
    if (authority_crl(c->a, &l, &b, &none) == CS_OK) put_facts(j, b);
}

static void put_one(rest_call *c, cs_json *j, const authority_list *l) {
    char name[AUTHORITY_LIST_NAME], url[512];
    CS_AUTO(authority_blob) b = NULL;
    cs_err none;
    cs_json_object(j, NULL);
    cs_json_str(j, "name", authority_list_name(l, name));
    cs_json_str(j, "ca", l->ca->name);
    if (l->shard > 0) cs_json_int(j, "shard", l->shard);
    cs_json_bool(j, "delta", l->delta);
    cs_json_str(j, "url", authority_crl_url(c->a, l, url));
    if (authority_crl(c->a, l, &b, &none) == CS_OK) put_facts(j, b);
    cs_json_object_end(j);
}

/* The list itself is not in it: it may be large, and stands at its url. */
cs_status rest_crl_list(rest_call *c, cs_err *err) {
    authority_list l;
    CS_AUTO(authority_blob) b = NULL;
    const authority_list current = {.ca = authority_ca_current(c->a)};
    TRY(authority_crl(c->a, &current, &b, err));
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "name", current.ca->name);
    put_facts(&j, b);
    cs_json_array(&j, "lists");
    for (size_t i = 0; authority_list_at(c->a, i, &l); i++) put_one(c, &j, &l);
    cs_json_array_end(&j);
    cs_json_object_end(&j);
    return CS_OK;
}

cs_status rest_crl_make(rest_call *c, cs_err *err) {
    TRY(authority_crl_publish(c->a, NULL, &c->who, err));
    return rest_crl_list(c, err);
}

cs_view rest_name_before(const char *file, const char *ext) {
    size_t n = strlen(file), k = strlen(ext);
    if (n <= k || strcmp(file + n - k, ext) != 0) return (cs_view){NULL, 0};
    return cs_view_of(file, n - k);
}

/* Others may keep it until the next is due, where only time makes a new one; else they ask each time. */
static cs_status put_list(rest_call *c, const authority_list *l, cs_err *err) {
    const uint8_t *sha256 = NULL;
    TRY(authority_crl(c->a, l, &c->file, err));
    sha256 = c->file->crl.sha256;
    TRY(rest_put_file(c, cs_view_of(NULL, 0), "application/pkix-crl", sha256, c->file->crl.this_update));
    if (l->ca->policy->delta > 0 && !l->delta) c->expires = c->file->crl.this_update + l->ca->policy->interval;
    return CS_OK;
}

/* unknown: what is said when there is none. */
static cs_status put_named(rest_call *c, cs_reason unknown, cs_err *err) {
    authority_list l;
    if (authority_list_named(c->a, rest_name_before(c->rest, ".crl"), &l)) return put_list(c, &l, err);
    return cs_fail(err, CS_REFUSED, unknown, "no CA has a CRL %.64s", c->rest);
}

cs_status rest_crl_file(rest_call *c, cs_err *err) {
    return put_named(c, CS_R_UNKNOWN_ISSUER, err);
}

cs_status rest_ca_crl(rest_call *c, cs_err *err) {
    cs_view name = rest_name_before(c->rest, ".crl"), der = authority_root_crl(c->a, name);
    uint8_t sha256[32];
    if (der.n == 0) return put_named(c, CS_R_ROUTE_UNKNOWN, err);
    TRY(cs_sha256(der, sha256, err));
    return rest_put_file(c, der, "application/pkix-crl", sha256, authority_cert_named(c->a, name)->not_before);
}
