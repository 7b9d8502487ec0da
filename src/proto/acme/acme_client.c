/* ACME's client half (RFC 8555, RFC 9773's replaces): works against other people's servers too. How a name is proven is
 * for whoever asks (client.h's client_prover): a file of a web server, a text of the DNS. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "proto/acme/jws.h"
#include "proto/client/client.h"

enum { NONCES_TRIED = 20, POLLS_MAX = 90, POLL_MS = 1000, TEXT_MAX = 600, TOKEN_TEXT = 49, TOKEN_DASH = 16 };

typedef struct session {
    json_t *directory, *order;
    char nonce[TEXT_MAX], kid[TEXT_MAX], order_url[TEXT_MAX];
    bool finalized;
} session;

typedef struct reply {
    call_answer a;
    json_t *json; /* NULL: the body is none */
} reply;

static void reply_free(reply *r) {
    json_decref(r->json);
    call_answer_free(&r->a);
    *r = (reply){.json = NULL};
}

static void close_session(client *c) {
    session *s = c->state;
    json_decref(s->directory);
    json_decref(s->order);
    free(s);
    c->state = NULL;
}

static cs_status invalid(const client *c, const char *what, cs_err *err) {
    return cs_fail(err, CS_FAILED, CS_R_SERVER_ANSWER_INVALID, "%.200s: %s", c->url, what);
}

static bool keep(cs_view v, char out[TEXT_MAX]) {
    if (v.n == 0 || v.n >= TEXT_MAX || memchr(v.p, '\0', v.n) != NULL) return false;
    memcpy(out, v.p, v.n);
    out[v.n] = '\0';
    return true;
}

static const char *text_in(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

static bool state_is(const json_t *object, const char *state) {
    const char *now = text_in(object, "status");
    return now != NULL && strcmp(now, state) == 0;
}

/* ---- asking ---- */

static cs_status perform(client *c, const call_ask *ask, reply *ret, cs_err *err) {
    session *s = c->state;
    cs_err ignored;
    reply_free(ret);
    TRY(call_perform(c->http, ask, &ret->a, err));
    (void)keep(call_header(&ret->a, "Replay-Nonce"), s->nonce);
    if (json_read_object(cs_buf_view(&ret->a.body), "answer", &ret->json, &ignored) != CS_OK) ret->json = NULL;
    return CS_OK;
}

/* A problem document in its own words. */
static cs_status refused(const client *c, const reply *r, cs_err *err) {
    CS_SCOPED(cs_buf) words = cs_buf_of(4096);
    const char *type = text_in(r->json, "type"), *detail = text_in(r->json, "detail"),
               *ours = text_in(r->json, "reason");
    if (ours != NULL) (void)cs_buf_addf(&words, "%.60s: ", ours);
    if (type != NULL) (void)cs_buf_addf(&words, "%.80s: ", type);
    if (detail != NULL) (void)cs_buf_addf(&words, "%.300s", detail);
    return client_refused(c, r->a.status, words.n > 0 ? cs_buf_view(&words) : cs_buf_view(&r->a.body), err);
}

static cs_status fresh_nonce(client *c, cs_err *err) {
    session *s = c->state;
    reply r = {.json = NULL};
    call_ask ask = {.method = "HEAD", .url = text_in(s->directory, "newNonce")};
    if (ask.url == NULL) return invalid(c, "its directory lacks newNonce", err);
    cs_status status = s->nonce[0] != '\0' ? CS_OK : perform(c, &ask, &r, err);
    reply_free(&r);
    TRY(status);
    return s->nonce[0] != '\0' ? CS_OK : invalid(c, "it gives no nonce", err);
}

static cs_status put_header(const client *c, const char *url, cs_buf *b, cs_err *err) {
    const session *s = c->state;
    cs_json j = cs_json_to(b);
    CS_SCOPED(cs_buf) jwk = cs_buf_of(4096);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "alg", jws_alg_of_key(cs_key_spki(c->account_key)));
    cs_json_str(&j, "nonce", s->nonce);
    cs_json_str(&j, "url", url);
    if (s->kid[0] == '\0') TRY(jws_key_write(cs_key_spki(c->account_key), &jwk, err));
    if (s->kid[0] != '\0')
        cs_json_str(&j, "kid", s->kid);
    else
        cs_json_raw(&j, "jwk", cs_buf_view(&jwk));
    cs_json_object_end(&j);
    return cs_buf_ok(b, "a request", err);
}

static bool bad_nonce(const reply *r) {
    const char *type = r->a.status == 400 ? text_in(r->json, "type") : NULL;
    return type != NULL && strcmp(type, "urn:ietf:params:acme:error:badNonce") == 0;
}

/* One signed request; payload n == 0: POST-as-GET. A nonce that the server does not want is no refusal. */
static cs_status post(client *c, const char *url, cs_view payload, reply *ret, cs_err *err) {
    session *s = c->state;
    if (url == NULL || strncmp(url, "https://", 8) != 0)
        return invalid(c, "it names no https:// URL to go on with", err);
    for (int i = 0; i < NONCES_TRIED; i++) {
        CS_SCOPED(cs_buf) header = cs_buf_of(16 * 1024), body = cs_buf_of(CS_API_BODY_MAX);
        TRY(fresh_nonce(c, err));
        TRY(put_header(c, url, &header, err));
        s->nonce[0] = '\0';
        TRY(jws_sign(c->account_key, cs_buf_view(&header), payload, &body, err));
        call_ask ask = {.url = url, .body = cs_buf_view(&body), .type = "application/jose+json"};
        TRY(perform(c, &ask, ret, err));
        if (!bad_nonce(ret)) return ret->a.status < 300 ? CS_OK : refused(c, ret, err);
    }
    return refused(c, ret, err);
}

static cs_status post_json(client *c, const char *url, cs_buf *payload, reply *ret, cs_err *err) {
    TRY(cs_buf_ok(payload, "a request", err));
    return post(c, url, cs_buf_view(payload), ret, err);
}

/* ---- before a key is made ---- */

static cs_status prepare(client *c, cs_err *err) {
    CS_SCOPED(cs_buf) url = cs_buf_of(CALL_URL_MAX);
    CS_SCOPED(reply) r = {.json = NULL};
    const char *path = strchr(c->url + strlen("https://"), '/');
    if (c->fingerprint != NULL)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "ACME tells no CA certificate; say whom to trust with --ca FILE");
    if (c->account_key == NULL || c->prover == NULL) return CS_NOMEM_ERR(err);
    session *s = calloc(1, sizeof *s);
    if (s == NULL) return CS_NOMEM_ERR(err);
    c->state = s;
    bool bare = path == NULL || path[1] == '\0';
    (void)cs_buf_addf(&url, "%s%s", c->url, !bare ? "" : path != NULL ? "acme/directory" : "/acme/directory");
    call_ask ask = {.url = cs_buf_cstr(&url)};
    TRY(perform(c, &ask, &r, err));
    if (r.a.status != 200) return refused(c, &r, err);
    if (r.json == NULL || text_in(r.json, "newOrder") == NULL) return invalid(c, "it has no ACME directory", err);
    s->directory = json_incref(r.json);
    return CS_OK;
}

/* ---- the account ---- */

/* A token of ours is the MAC's key as it stands; other servers' keys come in base64url. @rfc 8555#7.3.4 */
static cs_status put_binding(client *c, cs_json *j, cs_err *err) {
    const session *s = c->state;
    CS_SCOPED(cs_buf)
    header = cs_buf_of(4096), jwk = cs_buf_of(4096), made = cs_buf_of(16 * 1024), decoded = cs_buf_secret(1024);
    cs_view key = cs_view_trim(cs_secret_view(c->secret));
    bool ours = key.n == TOKEN_TEXT && key.p[TOKEN_DASH] == '-';
    if (!ours && !cs_base64url_decode(key, &decoded))
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "the token is neither one of ours nor a MAC key in base64url");
    cs_json h = cs_json_to(&header);
    cs_json_object(&h, NULL);
    cs_json_str(&h, "alg", "HS256");
    cs_json_str(&h, "kid", c->user);
    cs_json_str(&h, "url", text_in(s->directory, "newAccount"));
    cs_json_object_end(&h);
    TRY(jws_key_write(cs_key_spki(c->account_key), &jwk, err));
    TRY(jws_mac(ours ? key : cs_buf_view(&decoded), cs_buf_view(&header), cs_buf_view(&jwk), &made, err));
    cs_json_raw(j, "externalAccountBinding", cs_buf_view(&made));
    return CS_OK;
}

/* Found by its key when it is there; then a token is not used again. */
static cs_status take_account(client *c, cs_err *err) {
    session *s = c->state;
    CS_SCOPED(reply) r = {.json = NULL};
    CS_SCOPED(cs_buf) payload = cs_buf_of(32 * 1024);
    cs_json j = cs_json_to(&payload);
    cs_err why;
    const char *url = text_in(s->directory, "newAccount");
    cs_status status = post(c, url, CS_VIEW_LIT("{\"onlyReturnExisting\":true}"), &r, &why);
    if (status == CS_REFUSED) {
        cs_json_object(&j, NULL);
        cs_json_bool(&j, "termsOfServiceAgreed", true);
        if (c->secret != NULL) TRY(put_binding(c, &j, err));
        cs_json_object_end(&j);
        status = post_json(c, url, &payload, &r, err);
    } else if (status != CS_OK) {
        *err = why;
    }
    TRY(status);
    return keep(call_header(&r.a, "Location"), s->kid) ? CS_OK : invalid(c, "it names no account", err);
}

/* ---- the order ---- */

/* AKI "." serial of what is renewed. @rfc 9773#4.1 */
static void put_replaces(const client *c, cs_json *j) {
    const session *s = c->state;
    CS_SCOPED(cs_buf) id = cs_buf_of(256);
    if (c->old == NULL || text_in(s->directory, "renewalInfo") == NULL || c->old->at[0]->akid.n == 0) return;
    (void)cs_base64url_add(&id, c->old->at[0]->akid);
    (void)cs_buf_add_byte(&id, '.');
    (void)cs_base64url_add(&id, c->old->at[0]->serial);
    if (!id.failed) cs_json_view(j, "replaces", cs_buf_view(&id));
}

static cs_status put_order(const client *c, bool replaces, cs_buf *payload, cs_err *err) {
    cs_json j = cs_json_to(payload);
    size_t n = 0;
    cs_json_object(&j, NULL);
    cs_json_array(&j, "identifiers");
    for (size_t i = 0; i < c->san_count; i++) {
        CS_SCOPED(cs_buf) text = cs_buf_of(1024);
        if (c->sans[i].type != CS_SAN_DNS && c->sans[i].type != CS_SAN_IP) continue;
        (void)cs_san_add(&text, &c->sans[i]); /* "DNS:gw.example" */
        const char *value = cs_buf_cstr(&text);
        value = value != NULL ? strchr(value, ':') : NULL;
        if (value == NULL) return CS_NOMEM_ERR(err);
        cs_json_object(&j, NULL);
        cs_json_str(&j, "type", c->sans[i].type == CS_SAN_IP ? "ip" : "dns");
        cs_json_str(&j, "value", value + 1);
        cs_json_object_end(&j);
        n++;
    }
    cs_json_array_end(&j);
    if (c->profile != NULL) cs_json_str(&j, "profile", c->profile);
    if (replaces) put_replaces(c, &j);
    cs_json_object_end(&j);
    return n > 0 ? CS_OK
                 : cs_fail(err, CS_REFUSED, CS_R_USAGE, "ACME proves servers: say --kind server, --dns or --ip");
}

/* What another account ordered, or has replaced already, is ordered without a word of it. */
static cs_status order(client *c, cs_err *err) {
    session *s = c->state;
    CS_SCOPED(reply) r = {.json = NULL};
    const char *url = text_in(s->directory, "newOrder");
    cs_err why;
    cs_status status = CS_REFUSED;
    for (int i = c->old != NULL ? 0 : 1; status == CS_REFUSED && i < 2; i++) {
        CS_SCOPED(cs_buf) payload = cs_buf_of(64 * 1024);
        TRY(put_order(c, i == 0, &payload, err));
        status = post_json(c, url, &payload, &r, &why);
    }
    if (status != CS_OK) *err = why;
    TRY(status);
    if (r.json == NULL || !keep(call_header(&r.a, "Location"), s->order_url))
        return invalid(c, "it names no order", err);
    s->order = json_incref(r.json);
    return CS_OK;
}

static cs_status look_at_order(client *c, cs_err *err) {
    session *s = c->state;
    CS_SCOPED(reply) r = {.json = NULL};
    TRY(post(c, s->order_url, (cs_view){NULL, 0}, &r, err));
    if (r.json == NULL) return invalid(c, "its order is none", err);
    json_decref(s->order);
    s->order = json_incref(r.json);
    c->retry = r.a.retry;
    return CS_OK;
}

/* ---- proving ---- */

static cs_status make_proof(const client *c, const json_t *authz, const char *token, client_proof *p, cs_err *err) {
    jws_key key;
    const json_t *identifier = json_object_get(authz, "identifier");
    CS_SCOPED(cs_buf) text = cs_buf_of(64);
    uint8_t digest[CS_SHA256_LEN];
    p->name = text_in(identifier, "value");
    p->token = token;
    if (p->name == NULL || token == NULL || strlen(token) > 200 ||
        strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != strlen(token))
        return invalid(c, "its challenge has no token", err);
    TRY(jws_key_of_spki(cs_key_spki(c->account_key), &key, err));
    (void)snprintf(p->authorization, sizeof p->authorization, "%s.%s", token, key.thumbprint);
    TRY(cs_sha256(cs_view_str(p->authorization), digest, err));
    (void)cs_base64url_add(&text, cs_view_of(digest, sizeof digest));
    (void)snprintf(p->digest, sizeof p->digest, "%s", cs_buf_cstr(&text));
    return CS_OK;
}

static const json_t *challenge_in(const json_t *authz, const char *type) {
    const json_t *all = json_object_get(authz, "challenges");
    for (size_t i = 0; i < json_array_size(all); i++) {
        const char *is = text_in(json_array_get(all, i), "type");
        if (is != NULL && strcmp(is, type) == 0) return json_array_get(all, i);
    }
    return NULL;
}

/* Why it failed, in the challenge's own words. */
static cs_status not_proven(const client *c, const json_t *authz, cs_err *err) {
    const json_t *why = json_object_get(challenge_in(authz, c->prover->challenge), "error");
    const char *name = text_in(json_object_get(authz, "identifier"), "value"), *detail = text_in(why, "detail");
    CS_SCOPED(cs_buf) said = cs_buf_of(2048);
    (void)cs_text_escape(&said, cs_view_str(detail != NULL ? detail : "it does not say why"), 300);
    return cs_fail(err, CS_REFUSED, CS_R_CHALLENGE_FAILED, "%.200s by %s: %s", name != NULL ? name : "a name",
                   c->prover->challenge, cs_buf_cstr(&said));
}

static cs_status await_authz(client *c, const char *url, cs_err *err) {
    for (int i = 0; i < POLLS_MAX; i++) {
        CS_SCOPED(reply) r = {.json = NULL};
        TRY(post(c, url, (cs_view){NULL, 0}, &r, err));
        if (state_is(r.json, "valid")) return CS_OK;
        if (!state_is(r.json, "pending") && !state_is(r.json, "processing")) return not_proven(c, r.json, err);
        (void)poll(NULL, 0, POLL_MS);
    }
    return cs_fail(err, CS_FAILED, CS_R_CHALLENGE_FAILED, "%.200s does not come to an end", url);
}

static cs_status prove(client *c, const char *url, cs_err *err) {
    CS_SCOPED(reply) authz = {.json = NULL}, r = {.json = NULL};
    client_proof proof = {.name = NULL};
    TRY(post(c, url, (cs_view){NULL, 0}, &authz, err));
    if (state_is(authz.json, "valid")) return CS_OK;
    const json_t *challenge = challenge_in(authz.json, c->prover->challenge);
    if (challenge == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_CHALLENGE_FAILED, "%.200s offers no %s for %.200s", c->url,
                       c->prover->challenge, text_in(json_object_get(authz.json, "identifier"), "value"));
    TRY(make_proof(c, authz.json, text_in(challenge, "token"), &proof, err));
    TRY(c->prover->show(c->prover->cls, &proof, err));
    cs_status status = post(c, text_in(challenge, "url"), CS_VIEW_LIT("{}"), &r, err);
    if (status == CS_OK) status = await_authz(c, url, err);
    c->prover->hide(c->prover->cls, &proof);
    return status;
}

static cs_status prove_all(client *c, cs_err *err) {
    const session *s = c->state;
    const json_t *all = json_object_get(s->order, "authorizations");
    for (size_t i = 0; i < json_array_size(all); i++) TRY(prove(c, json_string_value(json_array_get(all, i)), err));
    return CS_OK;
}

/* ---- the certificate ---- */

static cs_status finalize(client *c, cs_err *err) {
    session *s = c->state;
    CS_SCOPED(reply) r = {.json = NULL};
    CS_SCOPED(cs_buf) payload = cs_buf_of((size_t)2 * CS_CSR_MAX);
    (void)cs_buf_add_str(&payload, "{\"csr\":\"");
    (void)cs_base64url_add(&payload, c->csr);
    (void)cs_buf_add_str(&payload, "\"}");
    for (int i = 0; i < POLLS_MAX && state_is(s->order, "pending"); i++) { /* some servers take a while to notice */
        if (i > 0) (void)poll(NULL, 0, POLL_MS);
        TRY(look_at_order(c, err));
    }
    TRY(post_json(c, text_in(s->order, "finalize"), &payload, &r, err));
    s->finalized = true;
    return look_at_order(c, err);
}

static cs_status take_chain(client *c, cs_err *err) {
    const session *s = c->state;
    CS_SCOPED(reply) r = {.json = NULL};
    TRY(post(c, text_in(s->order, "certificate"), (cs_view){NULL, 0}, &r, err));
    if (cs_certs_read(cs_buf_view(&r.a.body), "the certificate", &c->chain, err) == CS_OK) return CS_OK;
    err->reason = CS_R_SERVER_ANSWER_INVALID;
    return cs_fail_in(err, "%.200s", c->url);
}

static cs_status ask_again(client *c, cs_err *err) {
    session *s = c->state;
    if (s->kid[0] == '\0') TRY(take_account(c, err));
    if (s->order == NULL) TRY(order(c, err));
    if (!s->finalized) TRY(prove_all(c, err));
    TRY(s->finalized ? look_at_order(c, err) : finalize(c, err));
    if (state_is(s->order, "valid")) return take_chain(c, err);
    if (state_is(s->order, "processing")) {
        if (c->retry <= 0) c->retry = 3 * CS_SEC;
        (void)snprintf(c->waits, sizeof c->waits, "%.120s", s->order_url);
        return CS_AGAIN;
    }
    const char *why = text_in(json_object_get(s->order, "error"), "detail");
    return client_refused(c, 403, cs_view_str(why != NULL ? why : "the order came to nothing"), err);
}

const client_protocol client_acme = {
    .name = "acme",
    .paths = {"/acme", "/directory"},
    .prepare = prepare,
    .ask = ask_again,
    .close = close_session,
};
