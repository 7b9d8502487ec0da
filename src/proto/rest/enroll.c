/* Tokens, requests that wait, renewals, and one enrollment by bearer token. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "proto/rest/rest_priv.h"
#include "x509/build.h"
#include "x509/pem.h"

enum { PAGE_DEFAULT = 100, PAGE_MAX = 1000 };

cs_status rest_page(rest_call *c, unsigned *ret, cs_err *err) {
    const char *limit = rest_query(c, "limit");
    long n = limit != NULL ? strtol(limit, NULL, 10) : PAGE_DEFAULT;
    if (n < 1 || n > PAGE_MAX) return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "limit: 1 to %d", PAGE_MAX);
    *ret = (unsigned)n;
    return CS_OK;
}

static cs_status take_count(const json_t *body, const char *key, json_int_t most, json_int_t *ret, cs_err *err) {
    const json_t *v = json_object_get(body, key);
    if (v == NULL) return CS_OK;
    *ret = json_integer_value(v);
    if (*ret >= 1 && *ret <= most) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "%s: a whole number from 1 to %lld is expected", key,
                   (long long)most);
}

/* ---- tokens ---- */

static const char *token_state(const store_token *t, cs_time now) {
    if (t->revoked_at != 0) return "revoked";
    return t->not_after <= now ? "expired" : t->used >= t->uses ? "used" : "live";
}

static void put_token(cs_json *j, const store_token *t, cs_time now) {
    cs_json_str(j, "id", t->id);
    cs_json_str(j, "kind", cs_kind_name(t->kind));
    cs_json_str(j, "name", t->name);
    cs_json_str(j, "profile", t->profile);
    cs_json_str(j, "state", token_state(t, now));
    cs_json_time(j, "created", t->created);
    cs_json_time(j, "not_after", t->not_after);
    cs_json_int(j, "uses", t->uses);
    cs_json_int(j, "used", t->used);
    cs_json_str(j, "made_by", t->by);
}

/* The same as ACME's clients want it: the key of a MAC, base64url. */
static cs_status put_eab_key(cs_json *j, const cs_secret *text, cs_err *err) {
    CS_SCOPED(cs_buf) key = cs_buf_secret(2 * (size_t)ENROLL_TOKEN_TEXT);
    (void)cs_base64url_add(&key, cs_secret_view(text));
    cs_json_view(j, "eab_hmac_key", cs_buf_view(&key));
    return cs_buf_ok(&key, "the key", err);
}

cs_status rest_token_create(rest_call *c, cs_err *err) {
    SCOPED_JSON body = NULL;
    CS_AUTO(cs_secret) text = NULL;
    const char *kind = NULL, *name = NULL, *profile = NULL;
    json_int_t ttl = 0, uses = 0;
    store_token t;
    enroll_token_ask ask = {.by = &c->who};
    TRY(rest_body(c, &body, err));
    TRY(rest_text(body, "kind", true, &kind, err));
    TRY(rest_text(body, "name", true, &name, err));
    TRY(rest_text(body, "profile", false, &profile, err));
    TRY(take_count(body, "ttl_seconds", 10 * (CS_YEAR / CS_SEC), &ttl, err));
    TRY(take_count(body, "uses", ENROLL_TOKEN_USES_MAX, &uses, err));
    if (!cs_kind_parse(cs_view_str(kind), &ask.kind)) return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "%s", kind);
    ask.name = cs_view_of(name, json_string_length(json_object_get(body, "name")));
    ask.profile = profile;
    ask.ttl = ttl * CS_SEC;
    ask.uses = (unsigned)uses;
    TRY(enroll_token_create(c->e, &ask, &t, &text, err));
    c->status = MHD_HTTP_CREATED;
    c->out.secret = true;
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    put_token(&j, &t, authority_now(c->a));
    cs_json_view(&j, "token", cs_secret_view(text));
    TRY(put_eab_key(&j, text, err));
    cs_json_object_end(&j);
    return CS_OK;
}

typedef struct listing {
    cs_json j;
    cs_time now;
    const char *name, *after, *id;
    int status;
    unsigned limit, n;
    char last[STORE_ID_MAX + 1];
} listing;

/* False: one more than was asked for: there is a next page. */
static bool within(listing *l, const char *id) {
    if (l->n++ == l->limit) return false;
    (void)snprintf(l->last, sizeof l->last, "%s", id);
    return true;
}

static void put_next(const listing *l, cs_json *j) {
    if (l->n > l->limit) cs_json_str(j, "next", l->last);
}

static cs_status token_seen(void *cls, const store_token *t, cs_err *err) {
    listing *l = cls;
    (void)err;
    if (!within(l, t->id)) return CS_OK;
    cs_json_object(&l->j, NULL);
    put_token(&l->j, t, l->now);
    cs_json_object_end(&l->j);
    return CS_OK;
}

static cs_status run_tokens(void *cls, store *st, cs_err *err) {
    listing *l = cls;
    return store_token_list(st, l->name, l->after, l->limit + 1, token_seen, l, err);
}

cs_status rest_token_list(rest_call *c, cs_err *err) {
    listing l = {.j = cs_json_to(&c->out), .now = authority_now(c->a)};
    TRY(rest_page(c, &l.limit, err));
    l.name = rest_query(c, "name");
    l.after = rest_query(c, "after");
    cs_json_object(&l.j, NULL);
    cs_json_array(&l.j, "tokens");
    TRY(authority_read(c->a, run_tokens, &l, err));
    cs_json_array_end(&l.j);
    put_next(&l, &l.j);
    cs_json_object_end(&l.j);
    return CS_OK;
}

cs_status rest_token_revoke(rest_call *c, cs_err *err) {
    SCOPED_JSON body = NULL;
    const char *id = NULL;
    TRY(rest_body(c, &body, err));
    TRY(rest_text(body, "id", true, &id, err));
    TRY(enroll_token_revoke(c->e, id, &c->who, err));
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "id", id);
    cs_json_str(&j, "state", "revoked");
    cs_json_object_end(&j);
    return CS_OK;
}

/* ---- requests that wait ---- */

static const char *const request_states[] = {"waiting", "approved", "denied", "issued"};

static void put_request(cs_json *j, const store_request *r) {
    cs_json_str(j, "id", r->id);
    cs_json_str(j, "kind", cs_kind_name(r->kind));
    cs_json_str(j, "name", r->name);
    cs_json_str(j, "profile", r->profile);
    cs_json_str(j, "state", request_states[r->status]);
    cs_json_str(j, "door", r->door);
    cs_json_str(j, "source", r->source);
    cs_json_str(j, "credential", r->credential);
    cs_json_hex(j, "key_sha256", cs_view_of(r->spki_sha256, sizeof r->spki_sha256));
    cs_json_time(j, "created", r->created);
    if (r->decided_at != 0) cs_json_time(j, "decided_at", r->decided_at);
    if (r->decided_by[0] != '\0') cs_json_str(j, "decided_by", r->decided_by);
    if (r->note[0] != '\0') cs_json_str(j, "note", r->note);
    if (r->serial[0] != '\0') cs_json_str(j, "serial", r->serial);
}

static cs_status request_seen(void *cls, const store_request *r, cs_err *err) {
    listing *l = cls;
    (void)err;
    if (!within(l, r->id)) return CS_OK;
    cs_json_object(&l->j, NULL);
    put_request(&l->j, r);
    cs_json_object_end(&l->j);
    return CS_OK;
}

static cs_status run_requests(void *cls, store *st, cs_err *err) {
    listing *l = cls;
    return store_request_list(st, l->status, l->after, l->limit + 1, request_seen, l, err);
}

cs_status rest_request_list(rest_call *c, cs_err *err) {
    listing l = {.j = cs_json_to(&c->out), .status = STORE_REQUEST_WAITS};
    const char *state = rest_query(c, "state");
    TRY(rest_page(c, &l.limit, err));
    l.after = rest_query(c, "after");
    if (state != NULL && strcmp(state, "all") == 0) {
        l.status = -1;
    } else if (state != NULL) {
        while (l.status < 4 && strcmp(request_states[l.status], state) != 0) l.status++;
        if (l.status == 4)
            return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED,
                           "state=%s: waiting, approved, denied, issued or all is expected", state);
    }
    cs_json_object(&l.j, NULL);
    cs_json_array(&l.j, "requests");
    TRY(authority_read(c->a, run_requests, &l, err));
    cs_json_array_end(&l.j);
    put_next(&l, &l.j);
    cs_json_object_end(&l.j);
    return CS_OK;
}

static cs_status run_request(void *cls, store *st, cs_err *err) {
    listing *l = cls;
    store_request r;
    CS_SCOPED(cs_buf) pem = cs_buf_of((size_t)2 * CS_CSR_MAX);
    TRY(store_request_get(st, l->id, &r, err));
    (void)cs_pem_add(&pem, CS_PEM_CSR, r.csr);
    cs_json_object(&l->j, NULL);
    put_request(&l->j, &r);
    cs_json_view(&l->j, "csr", cs_buf_view(&pem));
    cs_json_object_end(&l->j);
    return CS_OK;
}

cs_status rest_request_show(rest_call *c, cs_err *err) {
    listing l = {.j = cs_json_to(&c->out), .id = c->rest};
    return authority_read(c->a, run_request, &l, err);
}

/* ---- what was issued ---- */

static void put_answer(rest_call *c, const enroll_answer *a) {
    cs_json j = cs_json_to(&c->out);
    if (a->leaf != NULL) {
        rest_put_issued(c, &j, a->who.kind, cs_view_str(a->who.name), a->leaf);
        c->status = MHD_HTTP_CREATED;
        return;
    }
    cs_json_object(&j, NULL);
    cs_json_str(&j, "state", "waiting");
    cs_json_str(&j, "request", a->request);
    cs_json_str(&j, "kind", cs_kind_name(a->who.kind));
    cs_json_str(&j, "name", a->who.name);
    cs_json_int(&j, "retry_after_seconds", a->retry / CS_SEC);
    cs_json_object_end(&j);
    rest_retry_after(c, a->retry);
    c->status = MHD_HTTP_ACCEPTED;
}

static cs_status decide(rest_call *c, bool approve, cs_err *err) {
    SCOPED_JSON body = NULL;
    CS_SCOPED(enroll_answer) answer = {.leaf = NULL};
    const char *id = NULL, *note = NULL;
    TRY(rest_body(c, &body, err));
    TRY(rest_text(body, "id", true, &id, err));
    TRY(rest_text(body, "note", false, &note, err));
    if (approve) {
        TRY(enroll_approve(c->e, id, note, &c->who, &answer, err));
        put_answer(c, &answer);
        return CS_OK;
    }
    TRY(enroll_deny(c->e, id, note, &c->who, err));
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "id", id);
    cs_json_str(&j, "state", "denied");
    cs_json_object_end(&j);
    return CS_OK;
}

cs_status rest_request_approve(rest_call *c, cs_err *err) {
    return decide(c, true, err);
}
cs_status rest_request_deny(rest_call *c, cs_err *err) {
    return decide(c, false, err);
}

/* ---- renewing on behalf ---- */

typedef struct newest {
    const char *name;
    cs_kind kind; /* CS_KIND_OTHER: not said */
    bool gone;    /* one that is revoked will do */
    cs_time now;
    char serial[STORE_SERIAL_TEXT];
} newest;

static cs_status newest_seen(void *cls, const store_cert *row, cs_err *err) {
    newest *n = cls;
    (void)err;
    (void)snprintf(n->serial, sizeof n->serial, "%s", row->serial);
    return CS_OK;
}

/* One name may be that of a device and of a server: then it says nothing. */
static cs_status run_newest(void *cls, store *st, cs_err *err) {
    static const store_state states[] = {STORE_VALID, STORE_EXPIRED, STORE_GONE};
    newest *n = cls;
    cs_kind found = CS_KIND_OTHER;
    for (size_t i = 0; i < (n->gone ? 3 : 2) && n->serial[0] == '\0'; i++)
        for (int kind = CS_KIND_SERVER; kind < CS_KIND_COUNT; kind++) {
            newest one = {.name = n->name, .serial = ""};
            const store_filter f = {.name = n->name, .kind = (cs_kind)kind, .state = states[i], .limit = 1};
            if (n->kind != CS_KIND_OTHER && n->kind != (cs_kind)kind) continue;
            TRY(store_cert_list(st, &f, n->now, newest_seen, &one, err));
            if (one.serial[0] == '\0') continue;
            if (found != CS_KIND_OTHER)
                return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_AMBIGUOUS, "%s is a %s and a %s: say which kind",
                               n->name, cs_kind_name(found), cs_kind_name((cs_kind)kind));
            found = (cs_kind)kind;
            memcpy(n->serial, one.serial, sizeof n->serial);
        }
    if (n->serial[0] != '\0') return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "nothing of %s can be renewed", n->name);
}

/* What is to be renewed or reissued, and the request for it. */
static cs_status take_newest(rest_call *c, const json_t *body, newest *n, const char **ret_serial, const char **ret_csr,
                             cs_err *err) {
    const char *kind = NULL;
    TRY(rest_text(body, "serial", false, ret_serial, err));
    TRY(rest_text(body, "name", false, &n->name, err));
    TRY(rest_text(body, "kind", false, &kind, err));
    TRY(rest_text(body, "csr", true, ret_csr, err));
    if (kind != NULL && !cs_kind_parse(cs_view_str(kind), &n->kind))
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "%s", kind);
    if ((*ret_serial == NULL) == (n->name == NULL))
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "either name or serial is expected");
    if (*ret_serial != NULL) return CS_OK;
    TRY(authority_read(c->a, run_newest, n, err));
    *ret_serial = n->serial;
    return CS_OK;
}

cs_status rest_renew(rest_call *c, cs_err *err) {
    SCOPED_JSON body = NULL;
    CS_SCOPED(enroll_answer) answer = {.leaf = NULL};
    const char *serial = NULL, *csr = NULL;
    newest n = {.now = authority_now(c->a)};
    TRY(rest_body(c, &body, err));
    TRY(take_newest(c, body, &n, &serial, &csr, err));
    TRY(enroll_renew(c->e, serial, cs_view_str(csr), &c->who, &answer, err));
    put_answer(c, &answer);
    return CS_OK;
}

cs_status rest_reissue(rest_call *c, cs_err *err) {
    SCOPED_JSON body = NULL;
    CS_SCOPED(enroll_answer) answer = {.leaf = NULL};
    __attribute__((cleanup(revoke_answer_free))) revoke_answer ended = {0};
    const char *serial = NULL, *csr = NULL, *word = NULL;
    int reason = CS_CRL_SUPERSEDED;
    newest n = {.now = authority_now(c->a), .gone = true};
    TRY(rest_body(c, &body, err));
    TRY(rest_text(body, "reason", false, &word, err));
    if (word != NULL) TRY(cs_crl_reason_parse(cs_view_str(word), &reason, err));
    if (reason == CS_CRL_REMOVE || reason == CS_CRL_HOLD)
        return cs_fail(err, CS_REFUSED, CS_R_REASON_INVALID, "%s: what was lost ends for good", word);
    TRY(take_newest(c, body, &n, &serial, &csr, err));
    TRY(enroll_reissue(c->e, serial, cs_view_str(csr), reason, &c->who, &answer, &ended, err));
    rest_put_reissued(c, &answer, &ended);
    return CS_OK;
}

/* ---- one enrollment ---- */

cs_status rest_enroll(rest_call *c, cs_err *err) {
    SCOPED_JSON body = NULL;
    CS_AUTO(cs_cert) client = NULL;
    CS_SCOPED(enroll_answer) answer = {.leaf = NULL};
    CS_SCOPED(cs_certs) chain = {NULL, 0};
    const char *csr = NULL, *name = NULL, *profile = NULL, *bearer = rest_header(c, "Authorization");
    c->quiet = true;
    if (strcmp(rest_header(c, "X-Forwarded-Proto"), "https") != 0)
        return cs_fail(err, CS_REFUSED, CS_R_ROUTE_UNKNOWN, "enrollment is served over TLS");
    TRY(rest_body(c, &body, err));
    TRY(rest_text(body, "csr", true, &csr, err));
    TRY(rest_text(body, "name", false, &name, err));
    TRY(rest_text(body, "profile", false, &profile, err));
    TRY(rest_client_cert(c, &client, err));
    TRY(rest_client_chain(c, &chain, err));
    enroll_ask ask = {.door = "rest",
                      .source = rest_header(c, "X-Forwarded-For"),
                      .profile = profile,
                      .csr = cs_view_str(csr),
                      .certificate = client,
                      .chain = &chain};
    if (name != NULL) ask.name = cs_view_str(name);
    if (strncasecmp(bearer, "Bearer ", 7) == 0) ask.secret = cs_view_trim(cs_view_str(bearer + 7));
    cs_status status = enroll_submit(c->e, &ask, &answer, err);
    if (status == CS_OK) put_answer(c, &answer);
    if (status != CS_OK && err->reason == CS_R_TOKEN_INVALID) err->detail[0] = '\0'; /* what is wrong is not theirs */
    return status;
}
