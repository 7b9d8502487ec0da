/* Orders: made and looked at (RFC 8555 7.4). */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "proto/acme/acme_priv.h"
#include "x509/profile.h"

/* ---- what the client sees ---- */

const char *acme_order_state(const store_order *o, cs_time now) {
    switch (o->status) {
    case ORDER_VALID: return "valid";
    case ORDER_INVALID: return "invalid";
    case ORDER_WAITS: return "processing";
    case ORDER_PENDING: break;
    }
    if (o->failed > 0 || o->expires <= now) return "invalid";
    return o->unproven == 0 ? "ready" : "pending";
}

typedef struct reading {
    const char *id;
    store_order *order;
    identifier *at;
    size_t n;
    cs_json *j; /* of the authorizations' URLs; NULL: the identifiers go to at */
    const acme_call *x;
} reading;

static cs_status authz_seen(void *cls, const store_authz *z, cs_err *err) {
    reading *r = cls;
    char url[ACME_URL_MAX + 64];
    (void)err;
    if (r->j != NULL) {
        (void)snprintf(url, sizeof url, "%s/authz/%s", r->x->base, z->id);
        cs_json_str(r->j, NULL, url);
    } else if (r->n < IDENTIFIERS_MAX) {
        identifier_of(z, &r->at[r->n++]);
    }
    return CS_OK;
}

static cs_status run_authzs(void *cls, store *st, cs_err *err) {
    reading *r = cls;
    return store_authz_list(st, r->id, authz_seen, r, err);
}

cs_status acme_order_identifiers(acme_call *x, const char *order, identifier at[IDENTIFIERS_MAX], size_t *ret_n,
                                 cs_err *err) {
    reading r = {.id = order, .at = at, .x = x};
    TRY(authority_read(x->m->a, run_authzs, &r, err));
    *ret_n = r.n;
    return CS_OK;
}

static void put_url(cs_json *j, const acme_call *x, const char *key, const char *what, const char *id,
                    const char *sub) {
    char url[ACME_URL_MAX + 128];
    (void)snprintf(url, sizeof url, "%s/%s/%s%s", x->base, what, id, sub);
    cs_json_str(j, key, url);
}

cs_status acme_order_put(acme_call *x, const store_order *o, cs_err *err) {
    identifier at[IDENTIFIERS_MAX];
    size_t n = 0;
    cs_json j = cs_json_to(&x->c->out);
    reading r = {.id = o->id, .j = &j, .x = x};
    TRY(acme_order_identifiers(x, o->id, at, &n, err));
    cs_json_object(&j, NULL);
    cs_json_str(&j, "status", acme_order_state(o, authority_now(x->m->a)));
    cs_json_time(&j, "expires", o->expires - o->expires % CS_SEC);
    cs_json_array(&j, "identifiers");
    for (size_t i = 0; i < n; i++) {
        char text[STORE_IDENTIFIER_MAX + 3];
        identifier_text(&at[i], text);
        cs_json_object(&j, NULL);
        cs_json_str(&j, "type", identifier_type(&at[i]));
        cs_json_str(&j, "value", text);
        cs_json_object_end(&j);
    }
    cs_json_array_end(&j);
    cs_json_array(&j, "authorizations");
    TRY(authority_read(x->m->a, run_authzs, &r, err));
    cs_json_array_end(&j);
    put_url(&j, x, "finalize", "order", o->id, "/finalize");
    if (o->profile[0] != '\0') cs_json_str(&j, "profile", o->profile);
    if (o->status == ORDER_VALID) put_url(&j, x, "certificate", "certificate", o->serial, "");
    if (o->error[0] != '\0') cs_json_raw(&j, "error", cs_view_str(o->error));
    cs_json_object_end(&j);
    return CS_OK;
}

/* ---- made ---- */

cs_status acme_order_profile(const acme_call *x, cs_kind kind, const char *said, const cs_profile **ret, cs_err *err) {
    const char *own = x->account.profile[0] != '\0' ? x->account.profile : NULL;
    const char *name = x->at.profile != NULL ? x->at.profile : own != NULL ? own : said;
    TRY(conf_profile_find(x->m->conf, name, name != NULL ? CS_KIND_OTHER : kind, ret, err));
    bool agree = (said == NULL || strcmp(said, (*ret)->name) == 0) && (own == NULL || strcmp(own, (*ret)->name) == 0);
    if (!agree)
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "%.64s was asked for, and here is %s",
                       said != NULL ? said : own, (*ret)->name);
    if ((*ret)->kind != kind)
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "profile %s is not for %ss", (*ret)->name,
                       cs_kind_name(kind));
    return cs_profile_door_check(*ret, "acme", err);
}

/* Who is bound to a name orders that name; others beside it as the profile has it. */
static cs_status check_names(const acme_call *x, const cs_profile *p, const identifier at[], size_t n, cs_err *err) {
    bool own = x->account.token[0] == '\0';
    for (size_t i = 0; i < n; i++) {
        uint8_t octets[CS_IDENTITY_NAME_MAX + 1];
        char text[STORE_IDENTIFIER_MAX + 3];
        cs_san san;
        if (at[i].type != CS_SAN_OTHER) {
            TRY(identifier_san(&at[i], octets, &san, err));
            TRY(cs_profile_name_check(p, &san, err));
        }
        identifier_text(&at[i], text);
        own = own || strcmp(text, x->account.name) == 0;
    }
    if (own) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_NAME_NOT_ALLOWED, "the account is for %s %s, which the order lacks",
                   cs_kind_name(x->account.kind), x->account.name);
}

typedef struct ordering {
    acme_call *x;
    store_order order;
    identifier at[IDENTIFIERS_MAX];
    size_t n;
} ordering;

static cs_status check_replaced(const ordering *o, store *st, cs_err *err) {
    store_order was;
    store_cert cert;
    if (o->order.replaces[0] == '\0') return CS_OK;
    TRY(store_cert_by_serial(st, o->order.replaces, &cert, err));
    TRY(store_order_by_serial(st, o->order.replaces, &was, err));
    if (strcmp(was.account, o->order.account) == 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_PERMISSION_DENIED, "replaces: %s is another account's", o->order.replaces);
}

/* 192 bits; base64url of whole threes, since some clients decode it and encode it again. @rfc 8555#8.1 */
static cs_status draw_token(acme *m, char out[STORE_WORD_MAX + 1], cs_err *err) {
    uint8_t octets[24];
    CS_SCOPED(cs_buf) text = cs_buf_of(STORE_WORD_MAX);
    TRY(cs_rng_fill(m->rng, octets, sizeof octets, err));
    (void)cs_base64url_add(&text, cs_view_of(octets, sizeof octets));
    TRY(cs_buf_ok(&text, "a token", err));
    memcpy(out, text.p, text.n);
    out[text.n] = '\0';
    return CS_OK;
}

static cs_status add_authz(const ordering *o, store *st, size_t i, cs_err *err) {
    store_authz z = {.position = i, .wildcard = o->at[i].wildcard};
    (void)snprintf(z.order, sizeof z.order, "%s", o->order.id);
    (void)snprintf(z.type, sizeof z.type, "%s", identifier_type(&o->at[i]));
    (void)snprintf(z.value, sizeof z.value, "%s", o->at[i].value);
    TRY(acme_draw_id(o->x->m, z.id, err));
    TRY(draw_token(o->x->m, z.token, err));
    return store_authz_add(st, &z, err);
}

cs_status acme_account_check(const acme_call *x, store *st, cs_err *err) {
    store_token t;
    if (x->account.token[0] == '\0') return CS_OK;
    TRY(store_token_get(st, x->account.token, &t, err));
    if (t.revoked_at == 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_TOKEN_INVALID, "token %s of account %s was revoked", t.id, x->account.id);
}

static cs_status run_add(authority *a, store *st, void *cls, cs_err *err) {
    ordering *o = cls;
    uint64_t waiting = 0;
    cs_time now = authority_now(a);
    TRY(acme_account_check(o->x, st, err));
    TRY(store_order_count(st, o->order.account, now, &waiting, err));
    if (waiting >= ACME_ORDERS_WAITING_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_TOO_MANY_ORDERS, "%d of account %s wait", ACME_ORDERS_WAITING_MAX,
                       o->order.account);
    TRY(check_replaced(o, st, err));
    TRY(store_acme_purge(st, now, err));
    TRY(store_order_add(st, &o->order, err));
    for (size_t i = 0; i < o->n; i++) TRY(add_authz(o, st, i, err));
    o->order.unproven = o->n;
    return CS_OK;
}

static cs_status read_order(acme_call *x, const json_t *payload, ordering *o, cs_err *err) {
    const cs_profile *p = NULL;
    char aki[2 * 64 + 1];
    const char *said = NULL, *replaces = NULL;
    if (json_object_get(payload, "notBefore") != NULL || json_object_get(payload, "notAfter") != NULL)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "notBefore and notAfter are the profile's to say");
    TRY(identifiers_read(json_object_get(payload, "identifiers"), o->at, &o->n, err));
    TRY(rest_text(payload, "profile", false, &said, err));
    TRY(rest_text(payload, "replaces", false, &replaces, err));
    bool device = o->at[0].type == CS_SAN_OTHER;
    TRY(acme_order_profile(x, device ? CS_KIND_DEVICE : CS_KIND_SERVER, said, &p, err));
    TRY(check_names(x, p, o->at, o->n, err));
    if (replaces != NULL) TRY(cert_id_read(replaces, aki, o->order.replaces, err));
    (void)snprintf(o->order.profile, sizeof o->order.profile, "%s", p->name);
    (void)snprintf(o->order.account, sizeof o->order.account, "%s", x->account.id);
    o->order.created = authority_now(x->m->a);
    o->order.expires = o->order.created + ACME_ORDER_LIFE;
    return acme_draw_id(x->m, o->order.id, err);
}

cs_status acme_new_order(acme_call *x, cs_err *err) {
    SCOPED_JSON payload = NULL;
    ordering o = {.x = x};
    bool open = x->at.at != NULL && x->at.at->open_accounts;
    if (x->account.token[0] == '\0' && !open)
        return cs_fail(err, CS_REFUSED, CS_R_EXTERNAL_ACCOUNT_REQUIRED, "account %s was made where none was needed",
                       x->account.id);
    TRY(acme_payload(x, false, &payload, err));
    TRY(read_order(x, payload, &o, err));
    TRY(authority_change(x->m->a, run_add, &o, err));
    x->c->status = MHD_HTTP_CREATED;
    acme_location(x, "order", o.order.id);
    return acme_order_put(x, &o.order, err);
}

/* ---- looked at ---- */

static cs_status run_get(void *cls, store *st, cs_err *err) {
    reading *r = cls;
    return store_order_get(st, r->id, r->order, err);
}

cs_status acme_order_get(acme_call *x, const char *id, store_order *ret, cs_err *err) {
    reading r = {.id = id, .order = ret};
    TRY(authority_read(x->m->a, run_get, &r, err));
    if (strcmp(ret->account, x->account.id) == 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_ORDER_UNKNOWN, "order %.32s is another account's", id);
}

/* One that waits may have been decided meanwhile. */
static cs_status look_again(acme_call *x, store_order *o, cs_err *err) {
    CS_SCOPED(enroll_answer) answer = {.leaf = NULL};
    cs_err why;
    cs_status status = enroll_poll(x->m->e, o->request, NULL, &answer, &why);
    if (status == CS_OK) return acme_order_settle(x, o, &answer, err);
    if (status != CS_REFUSED) {
        *err = why;
        return status;
    }
    acme_problem_text(&why, true, o->error);
    o->status = ORDER_INVALID;
    return acme_order_settle(x, o, NULL, err);
}

cs_status acme_order(acme_call *x, cs_err *err) {
    store_order o;
    TRY(acme_only_get(x, err));
    TRY(acme_order_get(x, x->id, &o, err));
    if (o.status == ORDER_WAITS) TRY(look_again(x, &o, err));
    return acme_order_put(x, &o, err);
}
