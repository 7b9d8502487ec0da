/* Roll-overs: which one is under way, who still hangs on the old CA, the next step. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/rollover.h"
#include "base/text.h"
#include "proto/rest/rest_priv.h"

enum { PAGE = 100, PAGE_MAX = 1000 };

static void put_facts(cs_json *j, const store_rollover *r) {
    cs_json_int(j, "id", (int64_t)r->id);
    cs_json_str(j, "kind", rollover_kind_name(r->kind));
    cs_json_str(j, "old", r->old_ca);
    cs_json_str(j, "next", r->next_ca);
    cs_json_str(j, "stage", rollover_stage_name(r->stage));
    cs_json_bool(j, "open", store_rollover_open(r));
    cs_json_time(j, "started", r->started);
    cs_json_time(j, "changed", r->changed);
    if (r->published != 0) cs_json_time(j, "published", r->published);
    if (r->switched != 0) cs_json_time(j, "switched", r->switched);
    cs_json_str(j, "started_by", r->started_by);
}

/* ---- one, with all about it ---- */

typedef struct looking {
    rest_call *c;
    cs_json *j;
    store_rollover r;
    const char *after_kind, *after_name;
    unsigned limit, n;
    cs_kind last_kind;
    char last_name[CS_IDENTITY_NAME_MAX + 1];
} looking;

static cs_status put_ca(void *cls, const store_rollover_ca *ca, cs_err *err) {
    (void)err;
    cs_json_str(cls, NULL, ca->name);
    return CS_OK;
}

static cs_status put_node(void *cls, const store_node_state *n, cs_err *err) {
    cs_json *j = cls;
    (void)err;
    cs_json_object(j, NULL);
    cs_json_str(j, "host", n->host);
    cs_json_bool(j, "this", n->own);
    cs_json_bool(j, "published", n->published);
    cs_json_bool(j, "switched", n->switched);
    cs_json_object_end(j);
    return CS_OK;
}

static cs_status put_clinging(void *cls, const store_clinging *c, cs_err *err) {
    looking *l = cls;
    (void)err;
    cs_json_object(l->j, NULL);
    cs_json_str(l->j, "kind", cs_kind_name(c->kind));
    cs_json_str(l->j, "name", c->name);
    cs_json_str(l->j, "state", c->next_n > 0 ? "both" : c->told != 0 ? "told" : "old");
    cs_json_int(l->j, "certificates", c->old_n);
    cs_json_time(l->j, "not_after", c->not_after);
    if (c->told != 0) cs_json_time(l->j, "told", c->told);
    cs_json_object_end(l->j);
    l->n++;
    l->last_kind = c->kind;
    (void)snprintf(l->last_name, sizeof l->last_name, "%s", c->name);
    return CS_OK;
}

static cs_status put_identities(looking *l, store *st, cs_time now, cs_err *err) {
    store_clinging_counts n;
    TRY(store_clinging_count(st, &l->r, now, &n, err));
    cs_json_object(l->j, "identities");
    cs_json_int(l->j, "old", n.old);
    cs_json_int(l->j, "told", n.told);
    cs_json_int(l->j, "both", n.both);
    cs_json_int(l->j, "moved", n.moved);
    cs_json_int(l->j, "certificates", n.certificates);
    if (n.last != 0) cs_json_time(l->j, "last_not_after", n.last);
    cs_json_object_end(l->j);
    cs_json_array(l->j, "blocks");
    TRY(store_clinging_list(st, &l->r, now, l->after_kind, l->after_name, l->limit, put_clinging, l, err));
    cs_json_array_end(l->j);
    if (l->n == l->limit && l->limit > 0) {
        char after[CS_IDENTITY_NAME_MAX + 32];
        (void)snprintf(after, sizeof after, "%s/%s", cs_kind_name(l->last_kind), l->last_name);
        cs_json_str(l->j, "after", after);
    }
    return CS_OK;
}

static cs_status put_whole(void *cls, store *st, cs_err *err) {
    looking *l = cls;
    TRY(store_rollover_last(st, &l->r, err));
    if (l->r.id == 0) return cs_fail(err, CS_REFUSED, CS_R_ROLLOVER_NONE, "there was never one");
    put_facts(l->j, &l->r);
    cs_json_bool(l->j, "crl", rollover_lists(l->c->a, &l->r));
    cs_json_array(l->j, "cas");
    TRY(store_rollover_cas(st, l->r.id, put_ca, l->j, err));
    cs_json_array_end(l->j);
    cs_json_array(l->j, "nodes");
    TRY(rollover_nodes(l->c->a, st, &l->r, put_node, l->j, err));
    cs_json_array_end(l->j);
    return put_identities(l, st, authority_now(l->c->a), err);
}

static cs_status read_page(rest_call *c, looking *l, char kind[16], cs_err *err) {
    const char *after = rest_query(c, "after"), *limit = rest_query(c, "limit");
    l->limit = PAGE;
    if (limit != NULL) {
        char *end = NULL;
        unsigned long n = strtoul(limit, &end, 10);
        if (limit[0] < '0' || limit[0] > '9' || *end != '\0' || n > PAGE_MAX)
            return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "limit: 0 to %d", PAGE_MAX);
        l->limit = (unsigned)n;
    }
    if (after == NULL) return CS_OK;
    const char *slash = strchr(after, '/');
    if (slash == NULL || slash - after >= 16 || !cs_utf8_valid(cs_view_str(after)))
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "after: KIND/NAME is expected");
    (void)snprintf(kind, 16, "%.*s", (int)(slash - after), after);
    l->after_kind = kind;
    l->after_name = slash + 1;
    return CS_OK;
}

cs_status rest_rollover_show(rest_call *c, cs_err *err) {
    cs_json j = cs_json_to(&c->out);
    char kind[16];
    looking l = {.c = c, .j = &j};
    TRY(read_page(c, &l, kind, err));
    cs_json_object(&j, NULL);
    TRY(authority_read(c->a, put_whole, &l, err));
    cs_json_object_end(&j);
    return CS_OK;
}

static cs_status put_row(void *cls, const store_rollover *r, cs_err *err) {
    cs_json *j = cls;
    (void)err;
    cs_json_object(j, NULL);
    put_facts(j, r);
    cs_json_object_end(j);
    return CS_OK;
}

static cs_status run_list(void *cls, store *st, cs_err *err) {
    return store_rollover_list(st, put_row, cls, err);
}

cs_status rest_rollover_list(rest_call *c, cs_err *err) {
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_array(&j, "rollovers");
    TRY(authority_read(c->a, run_list, &j, err));
    cs_json_array_end(&j);
    cs_json_object_end(&j);
    return CS_OK;
}

/* ---- what clients present now ---- */

enum { PRESENTED_MAX = 1000 };

typedef struct presenting {
    authority *a;
    const json_t *serials;
    cs_json *j;
} presenting;

static cs_status put_presented(void *cls, store *st, cs_err *err) {
    const presenting *p = cls;
    store_rollover r;
    const json_t *one = NULL;
    size_t i = 0;
    TRY(store_rollover_last(st, &r, err));
    if (r.id == 0) return cs_fail(err, CS_REFUSED, CS_R_ROLLOVER_NONE, "there was never one");
    json_array_foreach(p->serials, i, one) {
        const char *serial = json_string_value(one);
        bool old = false;
        if (serial == NULL)
            return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "serials: a list of strings is expected");
        TRY(store_is_of_old(st, &r, authority_now(p->a), serial, &old, err));
        if (old) cs_json_str(p->j, NULL, serial);
    }
    return CS_OK;
}

cs_status rest_rollover_presented(rest_call *c, cs_err *err) {
    __attribute__((cleanup(json_decref_at))) json_t *body = NULL;
    cs_json j = cs_json_to(&c->out);
    TRY(rest_body(c, &body, err));
    presenting p = {c->a, json_object_get(body, "serials"), &j};
    if (!json_is_array(p.serials) || json_array_size(p.serials) > PRESENTED_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "serials: a list of at most %d is expected",
                       PRESENTED_MAX);
    cs_json_object(&j, NULL);
    cs_json_array(&j, "old");
    TRY(authority_read(c->a, put_presented, &p, err));
    cs_json_array_end(&j);
    cs_json_object_end(&j);
    return CS_OK;
}

/* ---- begun, and gone on with ---- */

static cs_status take_hash(const json_t *o, const char *key, uint8_t ret[32], cs_err *err) {
    const char *text = NULL;
    size_t n = 0;
    TRY(rest_text(o, key, true, &text, err));
    if (cs_hex_decode(cs_view_str(text), ret, 32, &n) && n == 32) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "%s: 64 hex digits are expected", key);
}

static cs_status take_ca_name(const json_t *o, const char *key, char ret[STORE_CA_NAME], cs_err *err) {
    const char *text = NULL;
    TRY(rest_text(o, key, true, &text, err));
    TRY(cas_name_check(text, err));
    (void)snprintf(ret, STORE_CA_NAME, "%s", text);
    return CS_OK;
}

static cs_status take_cas(const json_t *body, store_rollover_ca cas[ROLLOVER_CAS_MAX], size_t *ret_n, cs_err *err) {
    const json_t *list = json_object_get(body, "cas"), *one = NULL;
    size_t i = 0;
    if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > ROLLOVER_CAS_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "cas: 1 to %d CAs are expected", ROLLOVER_CAS_MAX);
    json_array_foreach(list, i, one) {
        TRY(take_ca_name(one, "name", cas[i].name, err));
        TRY(take_hash(one, "issuer", cas[i].issuer, err));
    }
    *ret_n = i;
    return CS_OK;
}

static void answer(rest_call *c, const store_rollover *r) {
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    put_facts(&j, r);
    cs_json_object_end(&j);
}

cs_status rest_rollover_begin(rest_call *c, cs_err *err) {
    __attribute__((cleanup(json_decref_at))) json_t *body = NULL;
    store_rollover r = {.id = 0};
    store_rollover_ca cas[ROLLOVER_CAS_MAX];
    const char *kind = NULL;
    size_t n = 0;
    TRY(rest_body(c, &body, err));
    TRY(rest_text(body, "kind", true, &kind, err));
    if (strcmp(kind, "root") != 0 && strcmp(kind, "issuing") != 0)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "kind: issuing or root is expected");
    r.kind = strcmp(kind, "root") == 0 ? ROLLOVER_ROOT : ROLLOVER_ISSUING;
    TRY(take_ca_name(body, "old", r.old_ca, err));
    TRY(take_ca_name(body, "next", r.next_ca, err));
    TRY(take_hash(body, "next_issuer", r.next_issuer, err));
    TRY(take_hash(body, "published_mark", r.published_mark, err));
    TRY(take_hash(body, "switched_mark", r.switched_mark, err));
    TRY(take_cas(body, cas, &n, err));
    TRY(rollover_begin(c->a, &r, cas, n, &c->who, err));
    c->status = MHD_HTTP_CREATED;
    answer(c, &r);
    return CS_OK;
}

cs_status rest_rollover_step(rest_call *c, cs_err *err) {
    __attribute__((cleanup(json_decref_at))) json_t *body = NULL;
    store_rollover r;
    const char *to = NULL;
    rollover_ask ask = {.by = &c->who};
    TRY(rest_body(c, &body, err));
    TRY(rest_text(body, "to", true, &to, err));
    TRY(rest_text(body, "force", false, &ask.force, err));
    json_int_t id = json_integer_value(json_object_get(body, "id"));
    if (id <= 0) return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "id: a roll-over's number is expected");
    if (!rollover_stage_parse(cs_view_str(to), &ask.to))
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED,
                       "to: given-up, made, published, switched or retired is expected");
    ask.id = (uint64_t)id;
    ask.supersede = json_is_true(json_object_get(body, "supersede"));
    TRY(rollover_step(c->a, &ask, &r, err));
    answer(c, &r);
    return CS_OK;
}
