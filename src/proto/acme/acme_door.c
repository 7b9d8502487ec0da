/* ACME's door: whose request it is, and whether it is what its signer meant (RFC 8555 6): the media type, the signature
 * by the key of the account, the URL, the nonce. What is asked for is for the other files of this folder. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "enroll/trace.h"
#include "proto/acme/acme_priv.h"
#include "report/log.h"

enum signed_by { BY_NOBODY = 0, BY_KEY = 1, BY_ACCOUNT = 2 }; /* jwk, kid */

static acme_handler directory, new_nonce;

/* What there is. below: an id follows; BY_NOBODY: GET, else POST. */
static const struct resource {
    const char *name, *sub; /* "order", "finalize"; sub NULL: none */
    bool below;
    unsigned by;
    acme_handler *handler;
} resources[] = {
    {"directory", NULL, false, BY_NOBODY, directory},
    {"new-nonce", NULL, false, BY_NOBODY, new_nonce},
    {"renewal-info", NULL, true, BY_NOBODY, acme_renewal_info},
    {"new-account", NULL, false, BY_KEY, acme_new_account},
    {"account", NULL, true, BY_ACCOUNT, acme_account},
    {"account", "orders", true, BY_ACCOUNT, acme_account_orders},
    {"key-change", NULL, false, BY_ACCOUNT, acme_key_change},
    {"new-order", NULL, false, BY_ACCOUNT, acme_new_order},
    {"order", NULL, true, BY_ACCOUNT, acme_order},
    {"order", "finalize", true, BY_ACCOUNT, acme_finalize},
    {"authz", NULL, true, BY_ACCOUNT, acme_authz},
    {"challenge", ACME_HTTP, true, BY_ACCOUNT, acme_challenge},
    {"challenge", ACME_DNS, true, BY_ACCOUNT, acme_challenge},
    {"challenge", ACME_ALPN, true, BY_ACCOUNT, acme_challenge},
    {"challenge", ACME_ATTEST, true, BY_ACCOUNT, acme_challenge},
    {"certificate", NULL, true, BY_ACCOUNT, acme_certificate},
    {"certificate", "1", true, BY_ACCOUNT, acme_certificate},
    {"revoke-cert", NULL, false, BY_KEY | BY_ACCOUNT, acme_revoke},
};
enum { RESOURCES = sizeof resources / sizeof resources[0] };

/* ---- where ---- */

static bool is_resource(cs_view name) {
    for (size_t i = 0; i < RESOURCES; i++)
        if (cs_view_eq_str(name, resources[i].name)) return true;
    return false;
}

/* Up to the next '/'. */
static cs_view take_segment(cs_view *left) {
    const uint8_t *slash = left->n > 0 ? memchr(left->p, '/', left->n) : NULL;
    cs_view one = cs_view_of(left->p, slash != NULL ? (size_t)(slash - left->p) : left->n);
    size_t used = slash != NULL ? one.n + 1 : one.n;
    *left = cs_view_of(left->p + used, left->n - used);
    return one;
}

static bool keep_segment(cs_view v, char *out, size_t size) {
    if (v.n >= size) return false;
    if (v.n > 0) memcpy(out, v.p, v.n);
    out[v.n] = '\0';
    return true;
}

/* [LABEL/]RESOURCE[/ID[/SUB]] */
static const struct resource *find(acme_call *x, cs_err *err) {
    cs_view left = cs_view_str(x->c->rest), name = take_segment(&left);
    bool ok = true;
    if (!is_resource(name)) {
        ok = keep_segment(name, x->label, sizeof x->label);
        name = take_segment(&left);
    }
    cs_view id = take_segment(&left), sub = take_segment(&left);
    ok = ok && left.n == 0 && keep_segment(id, x->id, sizeof x->id) && keep_segment(sub, x->sub, sizeof x->sub);
    for (size_t i = 0; ok && i < RESOURCES; i++) {
        const struct resource *r = &resources[i];
        if (!cs_view_eq_str(name, r->name) || r->below != (id.n > 0)) continue;
        if ((r->sub == NULL) != (sub.n == 0) || (r->sub != NULL && strcmp(x->sub, r->sub) != 0)) continue;
        x->what = r->name;
        return r;
    }
    (void)cs_fail(err, CS_REFUSED, CS_R_ROUTE_UNKNOWN, "%.200s is nothing of ACME's", x->c->path);
    return NULL;
}

/* The URL by which we are known: the configuration's, else what the client connected to, which the gateway has compared
 * with its sites. */
static cs_status take_base(acme_call *x, cs_err *err) {
    const char *host = rest_header(x->c, "Host"), *slash = x->label[0] != '\0' ? "/" : "";
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:[]";
    if (x->m->conf->acme.url != NULL) {
        (void)snprintf(x->base, sizeof x->base, "%s/acme%s%s", x->m->conf->acme.url, slash, x->label);
        return CS_OK;
    }
    if (host[0] == '\0' || strspn(host, letters) != strlen(host) || strlen(host) > 280)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "Host: a name is expected");
    (void)snprintf(x->base, sizeof x->base, "https://%s/acme%s%s", host, slash, x->label);
    return CS_OK;
}

void acme_location(acme_call *x, const char *what, const char *id) {
    char url[ACME_URL_MAX + 100];
    (void)snprintf(url, sizeof url, "%s/%s/%s", x->base, what, id);
    rest_extra(x->c, MHD_HTTP_HEADER_LOCATION, url);
}

/* ---- who ---- */

static cs_status check_media(acme_call *x, cs_err *err) {
    cs_view want = CS_VIEW_LIT("application/jose+json"), got = cs_view_str(rest_header(x->c, "Content-Type"));
    if (got.n > want.n && (got.p[want.n] == ';' || got.p[want.n] == ' ')) got.n = want.n;
    if (cs_view_eq_nocase(got, want)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_CONTENT_TYPE_UNSUPPORTED, "Content-Type: application/jose+json is expected");
}

static cs_status check_url(const acme_call *x, cs_err *err) {
    char url[ACME_URL_MAX + 512];
    bool id = x->id[0] != '\0', sub = x->sub[0] != '\0';
    const char *after = rest_query(x->c, "after");
    (void)snprintf(url, sizeof url, "%s/%s%s%s%s%s%s%.40s", x->base, x->what, id ? "/" : "", x->id, sub ? "/" : "",
                   x->sub, after != NULL ? "?after=" : "", after != NULL ? after : "");
    if (x->j.url == NULL) return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "JWS: url is missing");
    if (strcmp(url, x->j.url) == 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_JWS_URL_MISMATCH, "it was signed for %.200s, and asked is %.200s", x->j.url,
                   url);
}

typedef struct get_account {
    const char *id;
    store_account *to;
} get_account;

static cs_status run_account(void *cls, store *st, cs_err *err) {
    const get_account *g = cls;
    return store_account_get(st, g->id, g->to, err);
}

/* kid is the account's URL, letter for letter. */
static cs_status take_account(acme_call *x, cs_err *err) {
    char prefix[ACME_URL_MAX + 16];
    (void)snprintf(prefix, sizeof prefix, "%s/account/", x->base);
    size_t n = strlen(prefix);
    if (strncmp(x->j.kid, prefix, n) != 0 || strlen(x->j.kid + n) > STORE_ID_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_ACCOUNT_UNKNOWN, "kid: %.200s", x->j.kid);
    get_account g = {.id = x->j.kid + n, .to = &x->account};
    TRY(authority_read(x->m->a, run_account, &g, err));
    (void)snprintf(x->who.by, sizeof x->who.by, "acme account %s", x->account.id);
    return CS_OK;
}

static cs_status check_signature(acme_call *x, unsigned by, cs_err *err) {
    if (x->j.nonce == NULL) return cs_fail(err, CS_REFUSED, CS_R_NONCE_INVALID, "there is none");
    if (((by & BY_KEY) == 0 && x->j.jwk != NULL) || ((by & BY_ACCOUNT) == 0 && x->j.kid != NULL))
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "JWS: %s is expected here",
                       (by & BY_KEY) != 0 ? "jwk" : "kid");
    if (x->j.alg == JWS_HS256)
        return cs_fail(err, CS_REFUSED, CS_R_JWS_ALGORITHM_UNSUPPORTED, "HS256 is for external account bindings");
    TRY(nonce_check(x->m, x->j.nonce, err));
    if (x->j.jwk != NULL) {
        TRY(jws_key_read(x->j.jwk, &x->key, err));
        TRY(jws_verify(&x->j, jws_key_spki(&x->key), err));
    } else {
        TRY(take_account(x, err));
        TRY(jws_verify(&x->j, cs_view_of(x->account.spki, x->account.spki_n), err));
    }
    TRY(nonce_use(x->m, x->j.nonce, err));
    if (x->j.kid != NULL && x->account.deactivated)
        return cs_fail(err, CS_REFUSED, CS_R_ACCOUNT_DEACTIVATED, "account %s", x->account.id);
    return CS_OK;
}

static cs_status run_signed(acme_call *x, const struct resource *r, cs_err *err) {
    if (x->c->too_big) return cs_fail(err, CS_LIMIT, CS_R_HTTP_BODY_TOO_LARGE, "at most %d octets", CS_API_BODY_MAX);
    TRY(check_media(x, err));
    TRY(jws_read(cs_buf_view(&x->c->body), &x->j, err));
    TRY(check_url(x, err));
    TRY(check_signature(x, r->by, err));
    return r->handler(x, err);
}

cs_status acme_payload(acme_call *x, bool may_lack, json_t **ret, cs_err *err) {
    if (x->j.payload.n == 0 && may_lack) return CS_OK;
    return json_read_object(cs_buf_view(&x->j.payload), "payload", ret, err);
}

cs_status acme_only_get(const acme_call *x, cs_err *err) {
    if (x->j.payload.n == 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "payload: none is expected (POST-as-GET)");
}

cs_status acme_draw_id(acme *m, char out[STORE_ID_MAX + 1], cs_err *err) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t octets[26];
    TRY(cs_rng_fill(m->rng, octets, sizeof octets, err));
    for (size_t i = 0; i < sizeof octets; i++) out[i] = letters[octets[i] % 32];
    out[sizeof octets] = '\0';
    return CS_OK;
}

/* ---- the directory ---- */

static void put_profiles(const acme_call *x, cs_json *j) {
    const conf *c = x->m->conf;
    cs_err ignored;
    cs_json_object(j, "profiles");
    for (unsigned i = 0; i < c->profile_count; i++) {
        const cs_profile *p = &c->profiles[i];
        bool offered = x->at.profile != NULL ? strcmp(p->name, x->at.profile) == 0 : p->kind == CS_KIND_SERVER;
        if (offered && cs_profile_door_check(p, "acme", &ignored) == CS_OK)
            cs_json_str(j, p->name, cs_kind_name(p->kind));
    }
    cs_json_object_end(j);
}

static cs_status directory(acme_call *x, cs_err *err) {
    static const char *const rows[][2] = {{"newNonce", "new-nonce"},   {"newAccount", "new-account"},
                                          {"newOrder", "new-order"},   {"revokeCert", "revoke-cert"},
                                          {"keyChange", "key-change"}, {"renewalInfo", "renewal-info"}};
    char url[ACME_URL_MAX + 32];
    cs_json j = cs_json_to(&x->c->out);
    (void)err;
    cs_json_object(&j, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)snprintf(url, sizeof url, "%s/%s", x->base, rows[i][1]);
        cs_json_str(&j, rows[i][0], url);
    }
    cs_json_object(&j, "meta");
    cs_json_bool(&j, "externalAccountRequired", x->at.at == NULL || !x->at.at->open_accounts);
    put_profiles(x, &j);
    cs_json_object_end(&j);
    cs_json_object_end(&j);
    return CS_OK;
}

static cs_status new_nonce(acme_call *x, cs_err *err) {
    (void)err;
    if (strcmp(x->c->method, MHD_HTTP_METHOD_HEAD) != 0) x->c->status = MHD_HTTP_NO_CONTENT;
    return CS_OK;
}

/* ---- the whole ---- */

static cs_status add_headers(acme_call *x, bool nonce, cs_err *err) {
    char text[ACME_URL_MAX + 40];
    if (nonce) {
        TRY(nonce_make(x->m, text, err));
        rest_extra(x->c, "Replay-Nonce", text);
    }
    (void)snprintf(text, sizeof text, "<%s/directory>;rel=\"index\"", x->base);
    rest_extra(x->c, "Link", text);
    return CS_OK;
}

static cs_status run(acme_call *x, cs_err *err) {
    bool post = strcmp(x->c->method, MHD_HTTP_METHOD_POST) == 0;
    if (strcmp(rest_header(x->c, "X-Forwarded-Proto"), "https") != 0)
        return cs_fail(err, CS_REFUSED, CS_R_ROUTE_UNKNOWN, "ACME is served over TLS");
    const struct resource *r = find(x, err);
    if (r == NULL) return err->status;
    TRY(enroll_at(x->m->e, CONF_DOOR_ACME, x->label, &x->at, err));
    TRY(take_base(x, err));
    TRY(add_headers(x, post || r->handler == new_nonce, err));
    if (post != (r->by != BY_NOBODY))
        return cs_fail(err, CS_REFUSED, CS_R_HTTP_METHOD_NOT_ALLOWED, "%s is for this", post ? "GET" : "POST");
    return post ? run_signed(x, r, err) : r->handler(x, err);
}

/* What a signed request said, and what it was answered. */
static void tell_trace(acme_call *x) {
    static const char *const names[JWS_ALG_COUNT] = {
        [JWS_ES256] = "ES256", [JWS_ES384] = "ES384", [JWS_ES512] = "ES512",
        [JWS_EDDSA] = "EdDSA", [JWS_RS256] = "RS256", [JWS_HS256] = "HS256"};
    bool read = x->j.header != NULL;
    enroll_trace_line(x->trace, "resource", "%s%s%s", x->what != NULL ? x->what : "", x->id[0] != '\0' ? " " : "",
                      x->id);
    enroll_trace_line(x->trace, "signed", "%s", read ? names[x->j.alg] : "no");
    enroll_trace_line(x->trace, "signed for", "%s", read && x->j.url != NULL ? x->j.url : "none");
    enroll_trace_line(x->trace, "account", "%s", read && x->j.kid != NULL ? x->j.kid : "none");
    if (x->key.spki_n > 0) enroll_trace_line(x->trace, "key", "%s", x->key.thumbprint);
    enroll_trace_line(x->trace, "payload", "%.*s", (int)x->j.payload.n, (const char *)x->j.payload.p);
    enroll_trace_line(x->trace, "answer", "%u %.*s", x->c->status, (int)x->c->out.n, (const char *)x->c->out.p);
}

cs_status acme_door(rest_call *c, cs_err *err) {
    acme_call x = {.c = c, .m = c->acme, .at = {.source = rest_header(c, "X-Forwarded-For")}};
    c->quiet = true;
    (void)snprintf(x.who.by, sizeof x.who.by, "nobody");
    (void)snprintf(x.who.via, sizeof x.who.via, "acme");
    (void)snprintf(x.who.from, sizeof x.who.from, "%s", x.at.source);
    bool post = strcmp(c->method, MHD_HTTP_METHOD_POST) == 0;
    x.trace = post ? enroll_trace_begin(c->e, c->path, x.at.source) : NULL;
    cs_status status = run(&x, err);
    cs_err refused = status == CS_OK ? (cs_err){.status = CS_OK} : *err;
    if (status != CS_OK) {
        const cs_reason_info *why = cs_reason_of(err->reason);
        if (why->http >= 500) log_failure(LOG_ERROR, "acme-failed", err);
        if (why->http < 500 && err->reason != CS_R_NONCE_INVALID) log_failure(LOG_INFO, "acme-refused", err);
        acme_refuse(&x, err);
    }
    tell_trace(&x);
    enroll_trace_end(x.trace, status == CS_OK ? NULL : &refused);
    jws_free(&x.j);
    return CS_OK;
}

cs_status acme_new(enroll *e, acme **ret, cs_err *err) {
    uint32_t node = 0;
    CS_AUTO(acme) m = calloc(1, sizeof *m);
    if (m == NULL) return CS_NOMEM_ERR(err);
    (void)pthread_mutex_init(&m->lock, NULL);
    (void)pthread_mutex_init(&m->queue_lock, NULL);
    (void)pthread_cond_init(&m->queue_grew, NULL);
    m->e = e;
    m->a = enroll_authority(e);
    m->conf = enroll_conf(e);
    m->clock = enroll_clock(e);
    m->rng = enroll_rng(e);
    m->shared = m->conf->store != NULL;
    m->nonce_next = NONCE_WINDOW;
    TRY(cs_rng_fill(m->rng, &node, sizeof node, err));
    m->node = node;
    TRY(enroll_derive(e, "acme nonce 1", m->nonce_key, err));
    TRY(conf_path(m->conf, "run/fetcher.sock", m->fetcher, err));
    TRY(lookers_start(m, err));
    *ret = CS_TAKE(m);
    return CS_OK;
}

void acme_free(acme *m) {
    if (m == NULL) return;
    lookers_stop(m);
    (void)pthread_cond_destroy(&m->queue_grew);
    (void)pthread_mutex_destroy(&m->queue_lock);
    (void)pthread_mutex_destroy(&m->lock);
    cs_wipe(m->nonce_key, sizeof m->nonce_key);
    free(m);
}
