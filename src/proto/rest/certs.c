#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "proto/rest/rest_priv.h"
#include "report/log.h"
#include "x509/build.h"
#include "x509/pem.h"

enum { LIST_DEFAULT = 100, LIST_MAX = 10000 };

static void json_pem(cs_json *j, const char *key, const cs_cert *const certs[], size_t n) {
    CS_SCOPED(cs_buf) pem = cs_buf_of((size_t)8 * CS_CERT_MAX);
    for (size_t i = 0; i < n; i++) (void)cs_pem_add_cert(&pem, certs[i]);
    cs_json_view(j, key, cs_buf_view(&pem));
}

static cs_status take_names(const json_t *body, const char *key, cs_san_type type, issue_ask *ask, cs_err *err) {
    const json_t *list = json_object_get(body, key);
    size_t i = 0;
    json_t *v = NULL;
    if (list == NULL) return CS_OK;
    if (!json_is_array(list)) return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "%s: a list is expected", key);
    json_array_foreach(list, i, v) {
        if (!json_is_string(v))
            return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "%s[%zu]: a string is expected", key, i);
        if (ask->name_count == ISSUE_NAMES_MAX)
            return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "more than %d names", ISSUE_NAMES_MAX);
        ask->names[ask->name_count].type = type;
        ask->names[ask->name_count++].text = cs_view_of(json_string_value(v), json_string_length(v));
    }
    return CS_OK;
}

static cs_status take_ask(const rest_call *c, const json_t *body, issue_ask *ask, cs_err *err) {
    ask->asked_by = &c->who;
    ask->door = c->local ? "cli" : "rest";
    const char *kind = NULL, *name = NULL, *csr = NULL, *key = NULL;
    TRY(rest_text(body, "kind", true, &kind, err));
    TRY(rest_text(body, "name", true, &name, err));
    TRY(rest_text(body, "csr", true, &csr, err));
    TRY(rest_text(body, "idempotency_key", false, &key, err));
    TRY(rest_text(body, "profile", false, &ask->profile, err));
    if (!cs_kind_parse(cs_view_str(kind), &ask->kind))
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "%s", kind);
    ask->name = cs_view_of(name, json_string_length(json_object_get(body, "name")));
    ask->csr = cs_view_str(csr);
    if (key != NULL) ask->idempotency_key = cs_view_str(key);
    const json_t *issuer = json_object_get(body, "issuer");
    if (issuer != NULL && !json_is_string(issuer))
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "issuer: the name of a CA is expected");
    if (issuer != NULL) ask->issuer = cs_view_str(json_string_value(issuer));
    const json_t *lifetime = json_object_get(body, "lifetime_seconds");
    if (lifetime != NULL) {
        json_int_t s = json_integer_value(lifetime);
        if (s <= 0 || s > 100 * (CS_YEAR / CS_SEC))
            return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED,
                           "lifetime_seconds: a positive whole number is expected");
        ask->lifetime = s * CS_SEC;
    }
    TRY(take_names(body, "dns", CS_SAN_DNS, ask, err));
    TRY(take_names(body, "ip", CS_SAN_IP, ask, err));
    return take_names(body, "email", CS_SAN_EMAIL, ask, err);
}

static void put_issued(rest_call *c, cs_json *j, cs_kind kind, cs_view name_text, const cs_cert *leaf) {
    const cs_cert *chain[AUTHORITY_CHAIN_MAX], *root = authority_root(c->a);
    size_t n = authority_chain(c->a, leaf, chain);
    char profile[CS_PROFILE_NAME_MAX + 1];
    char name[CS_NAME_TEXT_MAX + 1];
    cs_json_hex(j, "serial", leaf->serial);
    cs_json_str(j, "kind", cs_kind_name(kind));
    cs_json_view(j, "name", name_text);
    if (cs_profile_of_cert(leaf, profile))
        cs_json_str(j, "profile", profile);
    else
        cs_json_str(j, "profile", cs_kind_name(kind));
    json_pem(j, "certificate", (const cs_cert *const[]){leaf}, 1);
    json_pem(j, "chain", chain, n);
    json_pem(j, "ca", (const cs_cert *const[]){root}, 1);
    cs_json_time(j, "not_before", leaf->not_before);
    cs_json_time(j, "not_after", leaf->not_after);
    cs_json_str(j, "issuer", cs_name_text(leaf->issuer, name));
    cs_json_hex(j, "sha256", cs_view_of(leaf->sha256, sizeof leaf->sha256));
    rest_put_proof(c, j, leaf->serial);
}

void rest_put_issued(rest_call *c, cs_json *j, cs_kind kind, cs_view name, const cs_cert *leaf) {
    cs_json_object(j, NULL);
    put_issued(c, j, kind, name, leaf);
    cs_json_object_end(j);
}

static void put_rows(cs_json *j, const char *what, const revoke_answer *answer) {
    cs_json_array(j, what);
    for (size_t i = 0; i < answer->n; i++) {
        cs_json_object(j, NULL);
        cs_json_str(j, "serial", answer->at[i].serial);
        cs_json_str(j, "name", answer->at[i].name);
        cs_json_str(j, "kind", cs_kind_name(answer->at[i].kind));
        cs_json_object_end(j);
    }
    cs_json_array_end(j);
}

void rest_put_reissued(rest_call *c, const enroll_answer *a, const revoke_answer *ended) {
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    put_issued(c, &j, a->who.kind, cs_view_str(a->who.name), a->leaf);
    put_rows(&j, "ended", ended);
    cs_json_object_end(&j);
    c->status = MHD_HTTP_CREATED;
}

/* What was refused is recorded too, except what could not be understood. */
static void note_refusal(rest_call *c, const issue_ask *ask, const issue_answer *answer) {
    char detail[CS_DETAIL_MAX + 64];
    store_cert about = {.kind = ask->kind};
    const cs_err *why = &answer->err;
    cs_err err;
    if (why->status != CS_REFUSED || answer->recorded) return;
    (void)snprintf(about.name, sizeof about.name, "%.*s", (int)(ask->name.n < CS_IDENTITY_NAME_MAX ? ask->name.n : 0),
                   (const char *)ask->name.p);
    (void)snprintf(detail, sizeof detail, "%s: %s", cs_reason_of(why->reason)->name, why->detail);
    if (authority_note(c->a, "issue-refused", &c->who, &about, detail, &err) != CS_OK)
        log_failure(LOG_ERROR, "audit-failed", &err);
}

cs_status rest_issue(rest_call *c, cs_err *err) {
    SCOPED_JSON body = NULL;
    issue_ask ask = {.kind = CS_KIND_OTHER};
    issue_answer answer = {.leaf = NULL};
    TRY(rest_body(c, &body, err));
    TRY(take_ask(c, body, &ask, err));
    TRY(authority_issue_many(c->a, &ask, 1, &answer, err));
    CS_AUTO(cs_cert) leaf = answer.leaf; /* freed on every way out */
    if (answer.err.status != CS_OK) {
        note_refusal(c, &ask, &answer);
        *err = answer.err;
        return err->status;
    }
    cs_json j = cs_json_to(&c->out);
    rest_put_issued(c, &j, ask.kind, ask.name, leaf);
    c->status = MHD_HTTP_CREATED;
    return CS_OK;
}

/* The items of a batch: what was asked, and why one cannot be asked at all. */
typedef struct batch {
    issue_ask *asks;
    issue_answer *answers; /* of the asks that were understood, in their order */
    cs_err *bad;           /* by item; CS_OK: it is among the asks */
    size_t n, asked;
} batch;

static void batch_free(batch *b) {
    for (size_t i = 0; b->answers != NULL && i < b->asked; i++) cs_cert_free(b->answers[i].leaf);
    free(b->asks);
    free(b->answers);
    free(b->bad);
}

static cs_status take_batch(const rest_call *c, const json_t *body, batch *b, cs_err *err) {
    const json_t *list = json_object_get(body, "requests");
    if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > ISSUE_MANY_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "requests: a list of 1 to %d is expected",
                       ISSUE_MANY_MAX);
    b->n = json_array_size(list);
    b->asks = calloc(b->n, sizeof *b->asks);
    b->answers = calloc(b->n, sizeof *b->answers);
    b->bad = calloc(b->n, sizeof *b->bad);
    if (b->asks == NULL || b->answers == NULL || b->bad == NULL) return CS_NOMEM_ERR(err);
    for (size_t i = 0; i < b->n; i++) {
        issue_ask *ask = &b->asks[b->asked];
        b->bad[i].status = take_ask(c, json_array_get(list, i), ask, &b->bad[i]);
        if (b->bad[i].status == CS_OK) b->asked++;
    }
    return CS_OK;
}

/* Each for itself: the answer is 200 and says of each item what became of it. */
cs_status rest_issue_many(rest_call *c, cs_err *err) {
    SCOPED_JSON body = NULL;
    CS_SCOPED(batch) b = {.n = 0};
    TRY(rest_body(c, &body, err));
    TRY(take_batch(c, body, &b, err));
    if (b.asked > 0) TRY(authority_issue_many(c->a, b.asks, b.asked, b.answers, err));
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_array(&j, "results");
    for (size_t i = 0, k = 0; i < b.n; i++) {
        const cs_err *why = &b.bad[i];
        if (why->status == CS_OK && b.answers[k].leaf != NULL) {
            rest_put_issued(c, &j, b.asks[k].kind, b.asks[k].name, b.answers[k].leaf);
            k++;
            continue;
        }
        if (why->status == CS_OK) {
            why = &b.answers[k].err;
            note_refusal(c, &b.asks[k], &b.answers[k]);
            k++;
        }
        cs_json_object(&j, NULL);
        rest_put_problem(&j, why);
        cs_json_object_end(&j);
    }
    cs_json_array_end(&j);
    cs_json_object_end(&j);
    return CS_OK;
}

static const char *status_name(const store_cert *s, cs_time now) {
    if (s->status == STORE_REVOKED) return s->revocation_reason == CS_CRL_HOLD ? "held" : "revoked";
    if (s->status == STORE_ABANDONED) return "abandoned";
    return s->not_after < now ? "expired" : s->not_before > now ? "not-yet-valid" : "valid";
}

static void put_row(const rest_call *c, cs_json *j, const store_cert *s, cs_time now) {
    const authority_ca *ca = authority_ca_of(c->a, s->issuer);
    cs_json_str(j, "serial", s->serial);
    cs_json_str(j, "kind", cs_kind_name(s->kind));
    cs_json_str(j, "name", s->name);
    if (s->profile[0] != '\0') cs_json_str(j, "profile", s->profile);
    if (ca != NULL) cs_json_str(j, "ca", ca->name);
    rest_put_words(j, "tags", s->tags);
    cs_json_str(j, "subject", s->subject);
    cs_json_str(j, "status", status_name(s, now));
    cs_json_time(j, "not_before", s->not_before);
    cs_json_time(j, "not_after", s->not_after);
    if (s->status == STORE_REVOKED || s->status == STORE_ABANDONED) {
        cs_json_time(j, "revoked_at", s->revoked_at);
        cs_json_str(j, "revocation_reason", cs_crl_reason_name(s->revocation_reason));
    }
    cs_json_hex(j, "sha256", cs_view_of(s->sha256, sizeof s->sha256));
}

typedef struct listing {
    const rest_call *c;
    cs_json j;
    store_filter filter;
    cs_time now;
    unsigned n;
    char last[STORE_SERIAL_TEXT];
} listing;

static cs_status list_one(void *cls, const store_cert *s, cs_err *err) {
    listing *l = cls;
    (void)err;
    if (l->n++ >= l->filter.limit - 1) return CS_OK; /* one more than asked for: there is a next page */
    cs_json_object(&l->j, NULL);
    put_row(l->c, &l->j, s, l->now);
    cs_json_object_end(&l->j);
    memcpy(l->last, s->serial, sizeof l->last);
    return CS_OK;
}

static cs_status run_list(void *cls, store *st, cs_err *err) {
    listing *l = cls;
    return store_cert_list(st, &l->filter, l->now, list_one, l, err);
}

static cs_status take_filter(rest_call *c, store_filter *f, cs_err *err) {
    static const struct {
        const char *name;
        store_state state;
    } states[] = {{"all", STORE_ANY},
                  {"valid", STORE_VALID},
                  {"expired", STORE_EXPIRED},
                  {"revoked", STORE_GONE},
                  {"held", STORE_HELD}};
    const char *kind = rest_query(c, "kind"), *status = rest_query(c, "status"), *limit = rest_query(c, "limit");
    if (kind != NULL && !cs_kind_parse(cs_view_str(kind), &f->kind))
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "kind=%s", kind);
    size_t i = 0;
    while (status != NULL && i < sizeof states / sizeof *states && strcmp(states[i].name, status) != 0) i++;
    if (i == sizeof states / sizeof *states)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "status=%s: all, valid, expired, revoked or held",
                       status);
    f->state = states[i].state;
    const char *within = rest_query(c, "expires_within");
    cs_time t = 0;
    if (within != NULL && !cs_duration_parse(cs_view_str(within), &t))
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "expires_within=%s: a duration, such as 30d", within);
    if (within != NULL) f->ends_before = authority_now(c->a) + t;
    f->name = rest_query(c, "name");
    if (f->name != NULL && rest_query(c, "exact") == NULL && (strchr(f->name, '*') != NULL || within != NULL)) {
        f->pattern = f->name;
        f->name = NULL;
    }
    const char *issuer = rest_query(c, "issuer");
    const authority_ca *ca = issuer != NULL ? authority_ca_named(c->a, cs_view_str(issuer)) : NULL;
    if (issuer != NULL && ca == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "issuer=%s: no CA of that name issues here", issuer);
    if (ca != NULL) f->issuer = ca->cert->spki_sha256;
    f->profile = rest_query(c, "profile");
    f->tag = rest_query(c, "tag");
    f->after = rest_query(c, "after");
    long n = limit != NULL ? strtol(limit, NULL, 10) : LIST_DEFAULT;
    if (n < 1 || n > LIST_MAX) return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "limit: 1 to %d", LIST_MAX);
    f->limit = (unsigned)n + 1;
    return CS_OK;
}

cs_status rest_list(rest_call *c, cs_err *err) {
    listing l = {.c = c, .j = cs_json_to(&c->out), .now = authority_now(c->a)};
    TRY(take_filter(c, &l.filter, err));
    cs_json_object(&l.j, NULL);
    cs_json_array(&l.j, "certificates");
    TRY(authority_read(c->a, run_list, &l, err));
    cs_json_array_end(&l.j);
    if (l.n == l.filter.limit) cs_json_str(&l.j, "next", l.last);
    cs_json_object_end(&l.j);
    return CS_OK;
}

typedef struct showing {
    rest_call *c;
    const char *serial;
    bool renewable;
    enroll_window window;
} showing;

static cs_status run_show(void *cls, store *st, cs_err *err) {
    showing *s = cls;
    store_cert row;
    CS_AUTO(cs_cert) leaf = NULL;
    TRY(store_cert_by_serial(st, s->serial, &row, err));
    cs_json j = cs_json_to(&s->c->out);
    cs_json_object(&j, NULL);
    put_row(s->c, &j, &row, authority_now(s->c->a));
    if (row.der.n > 0) {
        TRY(cs_cert_decode(row.der, &leaf, err));
        char text[CS_NAME_TEXT_MAX + 1];
        cs_json_str(&j, "issuer", cs_name_text(leaf->issuer, text));
        cs_json_array(&j, "sans");
        for (size_t i = 0; i < leaf->san_count; i++) {
            CS_SCOPED(cs_buf) san = cs_buf_of(4096);
            (void)cs_san_add(&san, &leaf->sans[i]);
            cs_json_view(&j, NULL, cs_buf_view(&san));
        }
        cs_json_array_end(&j);
        char key[CS_KEY_TEXT_MAX];
        cs_json_str(&j, "key", cs_key_spki_text(leaf->spki, key));
        json_pem(&j, "certificate", (const cs_cert *const[]){leaf}, 1);
        const cs_cert *chain[AUTHORITY_CHAIN_MAX];
        json_pem(&j, "chain", chain, authority_chain(s->c->a, leaf, chain));
    }
    if (s->renewable && row.status == STORE_ISSUED) {
        cs_json_object(&j, "renewal");
        cs_json_time(&j, "start", s->window.start);
        cs_json_time(&j, "end", s->window.end);
        if (s->window.id != 0) cs_json_int(&j, "renewal_window", (int64_t)s->window.id);
        cs_json_object_end(&j);
    }
    cs_json_object_end(&j);
    return CS_OK;
}

cs_status rest_show(rest_call *c, cs_err *err) {
    uint8_t bytes[CS_SERIAL_MAX];
    char serial[STORE_SERIAL_TEXT];
    size_t n = 0;
    if (!cs_hex_decode(cs_view_str(c->rest), bytes, sizeof bytes, &n))
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "%s is no serial number", c->rest);
    showing s = {.c = c, .serial = cs_hex(cs_view_of(bytes, n), serial)};
    s.renewable = enroll_window_of(c->e, serial, NULL, &s.window, err) == CS_OK;
    return authority_read(c->a, run_show, &s, err);
}

static void put_revoked(rest_call *c, const char *what, const revoke_answer *answer) {
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    put_rows(&j, what, answer);
    cs_json_int(&j, "sequence", (int64_t)answer->sequence);
    cs_json_object_end(&j);
}

static cs_status change(rest_call *c, bool revoke, cs_err *err) {
    SCOPED_JSON body = NULL;
    const char *name = NULL, *serial = NULL, *word = NULL;
    int reason = CS_CRL_UNSPECIFIED;
    TRY(rest_body(c, &body, err));
    TRY(rest_text(body, "name", false, &name, err));
    TRY(rest_text(body, "serial", false, &serial, err));
    TRY(rest_text(body, "reason", false, &word, err));
    if ((name == NULL) == (serial == NULL))
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "either name or serial is expected");
    if (word != NULL) TRY(cs_crl_reason_parse(cs_view_str(word), &reason, err));
    if (reason == CS_CRL_REMOVE) return cs_fail(err, CS_REFUSED, CS_R_REASON_INVALID, "%s", word);
    __attribute__((cleanup(revoke_answer_free))) revoke_answer answer = {0};
    revoke_by by = name != NULL ? REVOKE_BY_NAME : REVOKE_BY_SERIAL;
    cs_view who = cs_view_str(name != NULL ? name : serial);
    TRY(revoke ? authority_revoke(c->a, by, who, reason, &c->who, &answer, err)
               : authority_release(c->a, by, who, &c->who, &answer, err));
    put_revoked(c, revoke ? "revoked" : "released", &answer);
    return CS_OK;
}

cs_status rest_revoke(rest_call *c, cs_err *err) {
    return change(c, true, err);
}
cs_status rest_release(rest_call *c, cs_err *err) {
    return change(c, false, err);
}
