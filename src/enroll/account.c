/* Accounts of ACME: who may have one, and whose it is. */
#include <stdio.h>

#include "enroll/enroll_priv.h"

typedef struct adding {
    store_account *account;
    const char *token;
    const authority_who *by;
} adding;

/* The token's use is the account itself: it is counted in the transaction that adds it. */
static cs_status bind_to_token(const adding *add, store *st, cs_err *err) {
    store_token t;
    store_account *a = add->account;
    TRY(store_token_get(st, add->token, &t, err));
    a->kind = t.kind;
    (void)snprintf(a->token, sizeof a->token, "%s", t.id);
    (void)snprintf(a->name, sizeof a->name, "%s", t.name);
    (void)snprintf(a->profile, sizeof a->profile, "%s", t.profile);
    if (t.used >= t.uses) return cs_fail(err, CS_REFUSED, CS_R_TOKEN_INVALID, "token %s is used up", t.id);
    return CS_OK;
}

static cs_status run_add(authority *a, store *st, void *cls, cs_err *err) {
    const adding *add = cls;
    store_cert about = {.kind = CS_KIND_OTHER};
    store_account was;
    char detail[STORE_ID_MAX + STORE_THUMBPRINT + 32];
    uint64_t there = 0;
    cs_status status = store_account_by_key(st, add->account->thumbprint, &was, err);
    if (status == CS_OK) return cs_fail(err, CS_REFUSED, CS_R_ACCOUNT_KEY_IN_USE, "account %s", was.id);
    if (status != CS_REFUSED) return status;
    if (add->token != NULL) TRY(bind_to_token(add, st, err));
    if (add->token == NULL) TRY(store_account_count(st, &there, err));
    if (there >= ENROLL_OPEN_ACCOUNTS_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_TOO_MANY_ORDERS, "%d accounts that no token bound",
                       ENROLL_OPEN_ACCOUNTS_MAX);
    if (add->token != NULL) TRY(store_token_claim(st, add->token, authority_now(a), err));
    TRY(store_account_add(st, add->account, err));
    about.kind = add->account->kind;
    (void)snprintf(about.name, sizeof about.name, "%s", add->account->name);
    (void)snprintf(detail, sizeof detail, "account %s, %s%s", add->account->id,
                   add->token != NULL ? "token " : "no token", add->token != NULL ? add->token : "");
    return authority_audit(a, st, "account-created", add->by, &about, detail, err);
}

cs_status enroll_account_add(enroll *e, const char *token, const authority_who *by, store_account *account,
                             cs_err *err) {
    adding add = {.account = account, .token = token, .by = by};
    account->created = cs_now(e->clock);
    account->kind = CS_KIND_OTHER;
    return authority_change(e->a, run_add, &add, err);
}
