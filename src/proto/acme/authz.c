/* Authorizations and their challenges (RFC 8555 7.5). */
#include <stdio.h>
#include <string.h>

#include "proto/acme/acme_priv.h"

static const char *const authz_states[] = {"pending", "valid", "invalid", "deactivated"};

static const char *state_of(const store_authz *z, cs_time now) {
    if (z->status == AUTHZ_PENDING && z->expires <= now) return "expired";
    return authz_states[z->status];
}

static const char *challenge_state(const store_authz *z, const char *name) {
    if (strcmp(z->challenge, name) != 0) return "pending";
    return z->status == AUTHZ_VALID ? "valid" : z->status == AUTHZ_PENDING ? "processing" : "invalid";
}

static void put_challenge(cs_json *j, const acme_call *x, const store_authz *z, const char *key, const char *name) {
    char url[ACME_URL_MAX + 100];
    (void)snprintf(url, sizeof url, "%s/challenge/%s/%s", x->base, z->id, name);
    bool chosen = strcmp(z->challenge, name) == 0;
    cs_json_object(j, key);
    cs_json_str(j, "type", name);
    cs_json_str(j, "url", url);
    cs_json_str(j, "status", challenge_state(z, name));
    cs_json_str(j, "token", z->token);
    if (chosen && z->validated != 0) cs_json_time(j, "validated", z->validated - z->validated % CS_SEC);
    if (chosen && z->error[0] != '\0') cs_json_raw(j, "error", cs_view_str(z->error));
    cs_json_object_end(j);
}

static bool is_attest(const char *name, const identifier *i) {
    return i->type == CS_SAN_OTHER && strcmp(name, ACME_ATTEST) == 0;
}

static void put_authz(acme_call *x, const store_authz *z) {
    static const char *const names[] = {ACME_HTTP, ACME_DNS, ACME_ALPN, ACME_ATTEST};
    cs_json j = cs_json_to(&x->c->out);
    challenge_kind kind = CHALLENGE_HTTP;
    identifier i;
    identifier_of(z, &i);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "status", state_of(z, authority_now(x->m->a)));
    cs_json_time(&j, "expires", z->expires - z->expires % CS_SEC);
    cs_json_object(&j, "identifier");
    cs_json_str(&j, "type", z->type);
    cs_json_str(&j, "value", z->value);
    cs_json_object_end(&j);
    if (z->wildcard) cs_json_bool(&j, "wildcard", true);
    cs_json_array(&j, "challenges");
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        /* of one that was decided, the one that decided it */
        bool shown = z->status == AUTHZ_PENDING || z->challenge[0] == '\0' || strcmp(z->challenge, names[k]) == 0;
        if (shown && (is_attest(names[k], &i) || challenge_kind_of(names[k], &i, &kind)))
            put_challenge(&j, x, z, NULL, names[k]);
    }
    cs_json_array_end(&j);
    cs_json_object_end(&j);
}

typedef struct at {
    const char *id;
    store_authz *z;
} at;

static cs_status run_get(void *cls, store *st, cs_err *err) {
    const at *a = cls;
    return store_authz_get(st, a->id, a->z, err);
}

static cs_status run_set(authority *a, store *st, void *cls, cs_err *err) {
    (void)a;
    return store_authz_set(st, cls, err);
}

static cs_status get(acme_call *x, store_authz *ret, cs_err *err) {
    at a = {.id = x->id, .z = ret};
    TRY(authority_read(x->m->a, run_get, &a, err));
    if (strcmp(ret->account, x->account.id) == 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_ORDER_UNKNOWN, "authorization %.32s is another account's", x->id);
}

/* {} says that the challenge is met. One that is being looked at goes on; one that nobody looks at any more, since its
 * node was stopped, is begun again. */
static cs_status begin(acme_call *x, store_authz *z, const char *challenge, cs_err *err) {
    cs_time now = authority_now(x->m->a);
    bool another = z->challenge[0] != '\0' && strcmp(z->challenge, challenge) != 0;
    if (z->status != AUTHZ_PENDING) return CS_OK;
    if (another)
        return cs_fail(err, CS_REFUSED, CS_R_ORDER_NOT_READY, "%s of that authorization is being looked at",
                       z->challenge);
    if (z->expires <= now) return cs_fail(err, CS_REFUSED, CS_R_ORDER_NOT_READY, "the authorization has expired");
    if (z->challenge[0] != '\0' && now - z->started < ACME_LOOK_AGAIN) return CS_OK;
    (void)snprintf(z->challenge, sizeof z->challenge, "%s", challenge);
    z->started = now;
    TRY(authority_change(x->m->a, run_set, z, err));
    return look_later(x->m, z, x->account.thumbprint, err);
}

cs_status acme_authz(acme_call *x, cs_err *err) {
    SCOPED_JSON payload = NULL;
    store_authz z;
    TRY(get(x, &z, err));
    TRY(acme_payload(x, true, &payload, err));
    const char *status = payload != NULL ? json_string_value(json_object_get(payload, "status")) : NULL;
    if (payload != NULL && (status == NULL || strcmp(status, "deactivated") != 0))
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "status: deactivated is expected");
    if (status != NULL && z.status != AUTHZ_DEACTIVATED) {
        z.status = AUTHZ_DEACTIVATED;
        TRY(authority_change(x->m->a, run_set, &z, err));
    }
    if (z.status == AUTHZ_PENDING && z.challenge[0] != '\0' && strcmp(z.challenge, ACME_ATTEST) != 0) {
        TRY(begin(x, &z, z.challenge, err));
        rest_retry_after(x->c, 2 * CS_SEC);
    }
    put_authz(x, &z);
    return CS_OK;
}

cs_status acme_challenge(acme_call *x, cs_err *err) {
    SCOPED_JSON payload = NULL;
    store_authz z;
    identifier i;
    challenge_kind kind;
    char up[ACME_URL_MAX + 100];
    TRY(get(x, &z, err));
    identifier_of(&z, &i);
    bool attest = is_attest(x->sub, &i);
    if (!attest && !challenge_kind_of(x->sub, &i, &kind))
        return cs_fail(err, CS_REFUSED, CS_R_ORDER_UNKNOWN, "%s does not prove %s", x->sub, z.value);
    TRY(acme_payload(x, true, &payload, err));
    if (attest) TRY(acme_attest(x, &z, payload, err));
    if (!attest && (payload != NULL || (z.challenge[0] != '\0' && z.status == AUTHZ_PENDING)))
        TRY(begin(x, &z, x->sub, err));
    (void)snprintf(up, sizeof up, "<%s/authz/%s>;rel=\"up\"", x->base, z.id);
    rest_extra(x->c, "Link", up);
    if (z.status == AUTHZ_PENDING && z.challenge[0] != '\0') rest_retry_after(x->c, 2 * CS_SEC);
    cs_json j = cs_json_to(&x->c->out);
    put_challenge(&j, x, &z, NULL, x->sub);
    return CS_OK;
}
