/* Tokens. A token is "ID-SECRET"; SECRET = HMAC-SHA256(key file, ID and what it is bound to), so that the store holds
 * nothing by which a token can be used or a guess tested, and yet the protocols that use the secret as a key have it.
 */
#include <stdio.h>

#include "enroll/enroll_priv.h"
#include "io/files.h"
#include "x509/digest.h"

enum { KEY_LEN = 32, ID_LEN = 10, ID_TEXT = 16, SECRET_LEN = 20, SECRET_TEXT = 32 };
_Static_assert((int)ID_TEXT + 1 + (int)SECRET_TEXT == (int)ENROLL_TOKEN_TEXT, "ID-SECRET");

void token_base32(cs_view bytes, char *out) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    unsigned bits = 0, have = 0;
    for (size_t i = 0; i < bytes.n; i++) {
        bits = (bits << 8 | bytes.p[i]) & 0xfff;
        for (have += 8; have >= 5; have -= 5) *out++ = letters[bits >> (have - 5) & 31];
    }
    if (have > 0) *out++ = letters[bits << (5 - have) & 31];
    *out = '\0';
}

static cs_status make_key(enroll *e, const char *path, cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_secret(KEY_LEN);
    uint8_t *p = cs_buf_reserve(&b, KEY_LEN);
    if (p == NULL) return CS_NOMEM_ERR(err);
    TRY(cs_rng_fill(e->rng, p, KEY_LEN, err));
    cs_buf_commit(&b, KEY_LEN);
    cs_status status = files_write(path, cs_buf_view(&b), 0600, FILES_NEW, err);
    return status != CS_OK && err->reason == CS_R_FILE_EXISTS ? CS_OK : status; /* another node was first */
}

cs_status token_open(enroll *e, cs_err *err) {
    char path[CONF_PATH_MAX];
    CS_SCOPED(cs_buf) b = cs_buf_secret(KEY_LEN + 1);
    TRY(conf_path(e->conf, "authority/enroll.key", path, err));
    if (!files_exists(path)) TRY(make_key(e, path, err));
    TRY(files_read_private(path, KEY_LEN + 1, &b, err));
    if (b.n != KEY_LEN) return cs_fail(err, CS_REFUSED, CS_R_STATE_CORRUPT, "%s: %d octets expected", path, KEY_LEN);
    TRY(cs_secret_new(KEY_LEN, &e->key, err));
    memcpy(e->key->p, b.p, KEY_LEN);
    e->key->n = KEY_LEN;
    return CS_OK;
}

cs_status enroll_derive(const enroll *e, const char *use, uint8_t ret[32], cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of(256);
    (void)cs_buf_addf(&b, "countersign %s", use);
    TRY(cs_buf_ok(&b, use, err));
    return cs_hmac_sha256(cs_secret_view(e->key), cs_buf_view(&b), ret, err);
}

/* The whole text of a token, NUL-terminated. */
static cs_status write_text(const enroll *e, const store_token *t, char out[ENROLL_TOKEN_TEXT + 1], cs_err *err) {
    uint8_t mac[CS_SHA256_LEN];
    CS_SCOPED(cs_buf) b = cs_buf_of(4096);
    (void)cs_buf_add_str(&b, "countersign token 1");
    (void)cs_buf_add_vec16(&b, cs_view_str(t->id));
    (void)cs_buf_add_byte(&b, (uint8_t)t->kind);
    (void)cs_buf_add_vec16(&b, cs_view_str(t->name));
    (void)cs_buf_add_vec16(&b, cs_view_str(t->profile));
    TRY(cs_buf_ok(&b, "a token", err));
    TRY(cs_hmac_sha256(cs_secret_view(e->key), cs_buf_view(&b), mac, err));
    memcpy(out, t->id, ID_TEXT);
    out[ID_TEXT] = '-';
    token_base32(cs_view_of(mac, SECRET_LEN), out + ID_TEXT + 1);
    cs_wipe(mac, sizeof mac);
    return CS_OK;
}

/* ---- making and taking back ---- */

typedef struct change {
    const store_token *token;
    const char *id;
    const authority_who *by;
} change;

static cs_status audit_token(authority *a, store *st, const char *event, const store_token *t, const authority_who *by,
                             cs_err *err) {
    store_cert about = {.kind = t->kind};
    char detail[STORE_ID_MAX + 16];
    (void)snprintf(about.name, sizeof about.name, "%s", t->name);
    (void)snprintf(detail, sizeof detail, "token %s", t->id);
    return authority_audit(a, st, event, by, &about, detail, err);
}

static cs_status run_create(authority *a, store *st, void *cls, cs_err *err) {
    const change *c = cls;
    TRY(store_token_add(st, c->token, err));
    return audit_token(a, st, "token-created", c->token, c->by, err);
}

static cs_status draw_id(const enroll *e, char out[STORE_ID_MAX + 1], cs_err *err) {
    uint8_t bytes[ID_LEN];
    TRY(cs_rng_fill(e->rng, bytes, sizeof bytes, err));
    token_base32(cs_view_of(bytes, sizeof bytes), out);
    return CS_OK;
}

cs_status enroll_token_create(enroll *e, const enroll_token_ask *ask, store_token *ret, cs_secret **ret_text,
                              cs_err *err) {
    cs_identity who;
    CS_AUTO(cs_secret) text = NULL;
    store_token t = {.kind = ask->kind, .created = cs_now(e->clock), .uses = ask->uses > 0 ? ask->uses : 1};
    cs_time ttl = ask->ttl > 0 ? ask->ttl : ENROLL_TOKEN_TTL;
    if (ask->kind == CS_KIND_OTHER) return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "kind");
    TRY(cs_identity_make(ask->kind, ask->name, &who, err));
    TRY(submit_profile(e, ask->kind, ask->profile, t.profile, err));
    if (t.uses > ENROLL_TOKEN_USES_MAX || ttl > 10 * CS_YEAR)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a token has at most %d uses in ten years",
                       ENROLL_TOKEN_USES_MAX);
    t.not_after = t.created + ttl;
    (void)snprintf(t.name, sizeof t.name, "%s", who.name);
    (void)snprintf(t.by, sizeof t.by, "%s", ask->by->by);
    TRY(draw_id(e, t.id, err));
    TRY(cs_secret_new(ENROLL_TOKEN_TEXT + 1, &text, err));
    TRY(write_text(e, &t, (char *)text->p, err));
    text->n = ENROLL_TOKEN_TEXT;
    change c = {.token = &t, .by = ask->by};
    TRY(authority_change(e->a, run_create, &c, err));
    *ret = t;
    *ret_text = CS_TAKE(text);
    return CS_OK;
}

static cs_status run_revoke(authority *a, store *st, void *cls, cs_err *err) {
    const change *c = cls;
    store_token t;
    TRY(store_token_get(st, c->id, &t, err));
    TRY(store_token_revoke(st, c->id, authority_now(a), err));
    return audit_token(a, st, "token-revoked", &t, c->by, err);
}

cs_status enroll_token_revoke(enroll *e, const char *id, const authority_who *by, cs_err *err) {
    change c = {.id = id, .by = by};
    return authority_change(e->a, run_revoke, &c, err);
}

/* ---- using ---- */

typedef struct look {
    const char *id;
    store_token token;
} look;

static cs_status run_get(void *cls, store *st, cs_err *err) {
    look *l = cls;
    return store_token_get(st, l->id, &l->token, err);
}

static cs_status get(enroll *e, const char *id, store_token *ret, cs_err *err) {
    look l = {.id = id};
    cs_status status = authority_read(e->a, run_get, &l, err);
    if (status == CS_REFUSED && err->reason == CS_R_TOKEN_UNKNOWN)
        return cs_fail(err, CS_REFUSED, CS_R_TOKEN_INVALID, "there is no token %s", id);
    TRY(status);
    *ret = l.token;
    return CS_OK;
}

/* How many uses are left is the writer's to say: store_token_claim. */
static cs_status check_live(const enroll *e, const store_token *t, cs_err *err) {
    if (t->revoked_at != 0) return cs_fail(err, CS_REFUSED, CS_R_TOKEN_INVALID, "token %s was revoked", t->id);
    if (t->not_after <= cs_now(e->clock))
        return cs_fail(err, CS_REFUSED, CS_R_TOKEN_INVALID, "token %s has expired", t->id);
    return CS_OK;
}

static cs_status check_secret(enroll *e, cs_view secret, store_token *ret, cs_err *err) {
    char id[ID_TEXT + 1], text[ENROLL_TOKEN_TEXT + 1];
    if (secret.n != ENROLL_TOKEN_TEXT || secret.p[ID_TEXT] != '-')
        return cs_fail(err, CS_REFUSED, CS_R_TOKEN_INVALID, "it has not the form of a token");
    memcpy(id, secret.p, ID_TEXT);
    id[ID_TEXT] = '\0';
    if (strspn(id, "abcdefghijklmnopqrstuvwxyz234567") != ID_TEXT)
        return cs_fail(err, CS_REFUSED, CS_R_TOKEN_INVALID, "it has not the form of a token");
    TRY(get(e, id, ret, err));
    TRY(write_text(e, ret, text, err));
    bool same = cs_view_eq_consttime(secret, cs_view_of(text, ENROLL_TOKEN_TEXT));
    cs_wipe(text, sizeof text);
    return same ? CS_OK : cs_fail(err, CS_REFUSED, CS_R_TOKEN_INVALID, "the secret of token %s is another", id);
}

cs_status token_entitle(enroll *e, const enroll_ask *ask, entitled *ret, cs_err *err) {
    store_token t;
    TRY(ask->token != NULL ? get(e, ask->token, &t, err) : check_secret(e, ask->secret, &t, err));
    TRY(check_live(e, &t, err));
    if (ask->name.n > 0 && !cs_view_eq_nocase(ask->name, cs_view_str(t.name)))
        return cs_fail(err, CS_REFUSED, CS_R_TOKEN_INVALID, "token %s is for %s %s", t.id, cs_kind_name(t.kind),
                       t.name);
    ret->who.kind = t.kind;
    (void)snprintf(ret->who.name, sizeof ret->who.name, "%s", t.name);
    (void)snprintf(ret->profile, sizeof ret->profile, "%s", t.profile);
    (void)snprintf(ret->token, sizeof ret->token, "%s", t.id);
    (void)snprintf(ret->credential, sizeof ret->credential, "token %s", t.id);
    ret->waits = submit_approval(e, ask, t.kind) == CONF_APPROVAL_ALWAYS;
    return CS_OK;
}

/* ---- tokens as keys ---- */

typedef struct tokens {
    store_token at[TOKENS_TRIED];
    size_t n;
    char name[CS_IDENTITY_NAME_MAX + 1];
    cs_time now;
} tokens;

static cs_status keep(void *cls, const store_token *t, cs_err *err) {
    tokens *all = cls;
    (void)err;
    if (all->n < TOKENS_TRIED && t->revoked_at == 0 && t->not_after > all->now) all->at[all->n++] = *t;
    return CS_OK;
}

static cs_status run_list(void *cls, store *st, cs_err *err) {
    tokens *all = cls;
    return store_token_list(st, all->name, NULL, 4 * TOKENS_TRIED, keep, all, err);
}

cs_status enroll_token_try(enroll *e, cs_view name, const char *source, enroll_token_fits *fits, void *cls,
                           char ret_id[STORE_ID_MAX + 1], cs_err *err) {
    tokens all = {.now = cs_now(e->clock)};
    TRY(guard_check(e, source, err));
    if (name.n > 0 && name.n <= CS_IDENTITY_NAME_MAX && memchr(name.p, '\0', name.n) == NULL) {
        memcpy(all.name, name.p, name.n);
        TRY(authority_read(e->a, run_list, &all, err));
    }
    for (size_t i = 0; i < all.n; i++) {
        char text[ENROLL_TOKEN_TEXT + 1];
        TRY(write_text(e, &all.at[i], text, err));
        bool it = fits(cls, cs_view_of(text, ENROLL_TOKEN_TEXT));
        cs_wipe(text, sizeof text);
        if (!it) continue;
        (void)snprintf(ret_id, STORE_ID_MAX + 1, "%s", all.at[i].id);
        return CS_OK;
    }
    guard_wrong(e, source);
    return cs_fail(err, CS_REFUSED, CS_R_TOKEN_INVALID, "none of the %zu live tokens of that name fits", all.n);
}
