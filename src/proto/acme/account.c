/* Accounts: made, found, changed, given another key (RFC 8555 7.3). */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "proto/acme/acme_priv.h"

/* ---- what the client sees ---- */

static cs_status put_account(acme_call *x, const store_account *a, cs_err *err) {
    char url[ACME_URL_MAX + 100];
    cs_json j = cs_json_to(&x->c->out);
    (void)err;
    (void)snprintf(url, sizeof url, "%s/account/%s/orders", x->base, a->id);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "status", a->deactivated ? "deactivated" : "valid");
    cs_json_raw(&j, "contact", cs_view_str(a->contact));
    cs_json_str(&j, "orders", url);
    cs_json_object_end(&j);
    return CS_OK;
}

/* A list of mailto: URLs with one address each; what is stored is JSON of our own making. @rfc 8555#7.3 */
static cs_status read_contact(const json_t *list, char out[STORE_CONTACT_MAX + 1], cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of(STORE_CONTACT_MAX);
    cs_json j = cs_json_to(&b);
    if (list != NULL && !json_is_array(list))
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "contact: a list is expected");
    cs_json_array(&j, NULL);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *text = json_string_value(one);
        bool ok = text != NULL && strlen(text) == json_string_length(one) && strncmp(text, "mailto:", 7) == 0 &&
                  strchr(text, '@') != NULL && strpbrk(text, "?, \"<>\\") == NULL;
        if (!ok) return cs_fail(err, CS_REFUSED, CS_R_CONTACT_UNSUPPORTED, "%.100s", text != NULL ? text : "no text");
        cs_json_str(&j, NULL, text);
    }
    cs_json_array_end(&j);
    TRY(cs_buf_ok(&b, "contact", err));
    memcpy(out, b.p, b.n);
    out[b.n] = '\0';
    return CS_OK;
}

/* ---- external account binding: @rfc 8555#7.3.4 ---- */

static bool fits(void *cls, cs_view token) {
    return jws_verify_mac(cls, token);
}

/* Whose token is the inner JWS's key? */
static cs_status read_binding(acme_call *x, const json_t *eab, char ret_token[STORE_ID_MAX + 1], cs_err *err) {
    CS_SCOPED(jws) inner = {.header = NULL};
    SCOPED_JSON key = NULL;
    jws_key bound;
    TRY(jws_of(eab, &inner, err));
    if (inner.alg != JWS_HS256)
        return cs_fail(err, CS_REFUSED, CS_R_JWS_ALGORITHM_UNSUPPORTED, "externalAccountBinding: HS256 is expected");
    if (inner.kid == NULL || inner.nonce != NULL || inner.url == NULL || strcmp(inner.url, x->j.url) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED,
                       "externalAccountBinding: kid and the request's url are expected, and no nonce");
    TRY(json_read_object(cs_buf_view(&inner.payload), "externalAccountBinding: payload", &key, err));
    TRY(jws_key_read(key, &bound, err));
    if (strcmp(bound.thumbprint, x->key.thumbprint) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "externalAccountBinding: the key is another");
    return enroll_token_try(x->m->e, cs_view_str(inner.kid), x->at.source, fits, &inner, ret_token, err);
}

/* ---- new ---- */

typedef struct by_key {
    const char *thumbprint;
    store_account *to;
} by_key;

static cs_status run_by_key(void *cls, store *st, cs_err *err) {
    const by_key *k = cls;
    return store_account_by_key(st, k->thumbprint, k->to, err);
}

/* The account of that key; false: there is none. */
static cs_status find_by_key(acme_call *x, const char *thumbprint, store_account *ret, bool *ret_there, cs_err *err) {
    by_key k = {.thumbprint = thumbprint, .to = ret};
    cs_status status = authority_read(x->m->a, run_by_key, &k, err);
    *ret_there = status == CS_OK;
    return status == CS_REFUSED ? CS_OK : status;
}

static cs_status make_account(acme_call *x, const json_t *payload, cs_err *err) {
    char token[STORE_ID_MAX + 1] = "";
    const json_t *eab = json_object_get(payload, "externalAccountBinding");
    bool open = x->at.at != NULL && x->at.at->open_accounts;
    store_account *a = &x->account;
    *a = (store_account){.spki_n = x->key.spki_n};
    if (eab == NULL && !open) return cs_fail(err, CS_REFUSED, CS_R_EXTERNAL_ACCOUNT_REQUIRED, "newAccount");
    TRY(read_contact(json_object_get(payload, "contact"), a->contact, err));
    if (eab != NULL) TRY(read_binding(x, eab, token, err));
    TRY(acme_draw_id(x->m, a->id, err));
    memcpy(a->thumbprint, x->key.thumbprint, sizeof a->thumbprint);
    memcpy(a->spki, x->key.spki, x->key.spki_n);
    TRY(enroll_account_add(x->m->e, eab != NULL ? token : NULL, &x->who, a, err));
    x->c->status = MHD_HTTP_CREATED;
    return CS_OK;
}

cs_status acme_new_account(acme_call *x, cs_err *err) {
    SCOPED_JSON payload = NULL;
    bool there = false;
    TRY(acme_payload(x, false, &payload, err));
    TRY(find_by_key(x, x->key.thumbprint, &x->account, &there, err));
    if (there && x->account.deactivated)
        return cs_fail(err, CS_REFUSED, CS_R_ACCOUNT_DEACTIVATED, "account %s", x->account.id);
    if (!there && json_is_true(json_object_get(payload, "onlyReturnExisting")))
        return cs_fail(err, CS_REFUSED, CS_R_ACCOUNT_UNKNOWN, "no account has that key");
    if (!there) TRY(make_account(x, payload, err));
    acme_location(x, "account", x->account.id);
    return put_account(x, &x->account, err);
}

/* ---- changed ---- */

typedef struct change {
    acme_call *x;
    const jws_key *key; /* NULL: contact and status */
} change;

static cs_status run_change(authority *a, store *st, void *cls, cs_err *err) {
    const change *ch = cls;
    const store_account *acc = &ch->x->account;
    store_cert about = {.kind = acc->kind};
    char detail[STORE_ID_MAX + 32];
    (void)snprintf(about.name, sizeof about.name, "%s", acc->name);
    (void)snprintf(detail, sizeof detail, "account %s", acc->id);
    if (ch->key != NULL)
        TRY(store_account_key_set(st, acc->id, ch->key->thumbprint, jws_key_spki(ch->key), err));
    else
        TRY(store_account_set(st, acc->id, acc->contact, acc->deactivated, err));
    const char *event = ch->key != NULL    ? "account-key-changed"
                        : acc->deactivated ? "account-deactivated"
                                           : "account-changed";
    return authority_audit(a, st, event, &ch->x->who, &about, detail, err);
}

cs_status acme_account(acme_call *x, cs_err *err) {
    SCOPED_JSON payload = NULL;
    change ch = {.x = x};
    if (strcmp(x->id, x->account.id) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_PERMISSION_DENIED, "account %.32s is another's", x->id);
    TRY(acme_payload(x, true, &payload, err));
    const char *status = json_string_value(json_object_get(payload, "status"));
    const json_t *contact = json_object_get(payload, "contact");
    if (status != NULL && strcmp(status, "deactivated") != 0)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "status: deactivated is expected");
    if (contact != NULL) TRY(read_contact(contact, x->account.contact, err));
    x->account.deactivated = status != NULL;
    if (status != NULL || contact != NULL) TRY(authority_change(x->m->a, run_change, &ch, err));
    return put_account(x, &x->account, err);
}

/* The new key signs that it takes over the account, and the account's old key signs that. @rfc 8555#7.3.5 */
cs_status acme_key_change(acme_call *x, cs_err *err) {
    CS_SCOPED(jws) inner = {.header = NULL};
    SCOPED_JSON payload = NULL;
    jws_key fresh, old;
    store_account other;
    bool there = false;
    change ch = {.x = x, .key = &fresh};
    TRY(jws_read(cs_buf_view(&x->j.payload), &inner, err));
    if (inner.jwk == NULL || inner.nonce != NULL || inner.url == NULL || strcmp(inner.url, x->j.url) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED,
                       "the inner JWS: jwk and the same url are expected, and no nonce");
    TRY(jws_key_read(inner.jwk, &fresh, err));
    TRY(jws_verify(&inner, jws_key_spki(&fresh), err));
    TRY(json_read_object(cs_buf_view(&inner.payload), "the inner payload", &payload, err));
    const char *account = json_string_value(json_object_get(payload, "account"));
    TRY(jws_key_read(json_object_get(payload, "oldKey"), &old, err));
    if (account == NULL || strcmp(account, x->j.kid) != 0 || strcmp(old.thumbprint, x->account.thumbprint) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "account and oldKey are another account's");
    TRY(find_by_key(x, fresh.thumbprint, &other, &there, err));
    if (there) {
        acme_location(x, "account", other.id);
        return cs_fail(err, CS_REFUSED, CS_R_ACCOUNT_KEY_IN_USE, "the new key");
    }
    TRY(authority_change(x->m->a, run_change, &ch, err));
    return put_account(x, &x->account, err);
}

/* ---- its orders ---- */

typedef struct listing {
    acme_call *x;
    cs_json j;
    const char *after;
    unsigned n;
    char last[STORE_ID_MAX + 1];
} listing;

static cs_status order_seen(void *cls, const char *id, cs_err *err) {
    listing *l = cls;
    char url[ACME_URL_MAX + 64];
    (void)err;
    if (l->n++ == ACME_ORDERS_PAGE) return CS_OK;
    (void)snprintf(url, sizeof url, "%s/order/%s", l->x->base, id);
    (void)snprintf(l->last, sizeof l->last, "%s", id);
    cs_json_str(&l->j, NULL, url);
    return CS_OK;
}

static cs_status run_orders(void *cls, store *st, cs_err *err) {
    listing *l = cls;
    return store_order_list(st, l->x->account.id, l->after, ACME_ORDERS_PAGE + 1, order_seen, l, err);
}

cs_status acme_account_orders(acme_call *x, cs_err *err) {
    listing l = {.x = x, .j = cs_json_to(&x->c->out), .after = rest_query(x->c, "after")};
    char link[ACME_URL_MAX + 100];
    TRY(acme_only_get(x, err));
    if (strcmp(x->id, x->account.id) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_PERMISSION_DENIED, "account %.32s is another's", x->id);
    cs_json_object(&l.j, NULL);
    cs_json_array(&l.j, "orders");
    TRY(authority_read(x->m->a, run_orders, &l, err));
    cs_json_array_end(&l.j);
    cs_json_object_end(&l.j);
    if (l.n <= ACME_ORDERS_PAGE) return CS_OK;
    (void)snprintf(link, sizeof link, "<%s/account/%s/orders?after=%s>;rel=\"next\"", x->base, x->id, l.last);
    rest_extra(x->c, "Link", link);
    return CS_OK;
}
