/* Requests that a person decides. Who asks again, with the same credential and key, finds the same request. */
#include <stdio.h>
#include <stdlib.h>

#include "enroll/enroll_priv.h"
#include "report/log.h"
#include "x509/digest.h"

enum { ID_LEN = 10 };

static cs_status make_id(const entitled *who, const cs_csr *csr, char out[STORE_ID_MAX + 1], cs_err *err) {
    uint8_t hash[CS_SHA256_LEN];
    CS_SCOPED(cs_buf) b = cs_buf_of(4096);
    (void)cs_buf_add_byte(&b, (uint8_t)who->who.kind);
    (void)cs_buf_add_vec16(&b, cs_view_str(who->who.name));
    (void)cs_buf_add_vec16(&b, cs_view_str(who->profile));
    (void)cs_buf_add_vec16(&b, cs_view_str(who->credential));
    (void)cs_buf_add_vec16(&b, cs_view_of(csr->spki_sha256, sizeof csr->spki_sha256));
    TRY(cs_buf_ok(&b, "a request", err));
    TRY(cs_sha256(cs_buf_view(&b), hash, err));
    token_base32(cs_view_of(hash, ID_LEN), out);
    return CS_OK;
}

typedef struct stored {
    const char *id;
    store_request row;
    cs_csr *csr; /* when wanted */
    bool want_csr;
} stored;

static cs_status run_get(void *cls, store *st, cs_err *err) {
    stored *s = cls;
    TRY(store_request_get(st, s->id, &s->row, err));
    cs_status status = s->want_csr ? cs_csr_read(s->row.csr, "csr", &s->csr, err) : CS_OK;
    s->row.csr = (cs_view){NULL, 0}; /* borrowed of this verb */
    return status;
}

typedef struct served {
    const char *serial;
    cs_cert *leaf;
} served;

static cs_status run_leaf(void *cls, store *st, cs_err *err) {
    served *s = cls;
    store_cert row;
    TRY(store_cert_by_serial(st, s->serial, &row, err));
    return cs_cert_decode(row.der, &s->leaf, err);
}

/* What was decided, when it was. */
static cs_status answer(enroll *e, const store_request *r, enroll_answer *ret, bool *ret_go, cs_err *err) {
    served s = {.serial = r->serial};
    (void)snprintf(ret->request, sizeof ret->request, "%s", r->id);
    ret->who.kind = r->kind;
    (void)snprintf(ret->who.name, sizeof ret->who.name, "%s", r->name);
    ret->retry = e->conf->enroll[r->kind].retry;
    switch (r->status) {
    case STORE_REQUEST_WAITS: return CS_OK;
    case STORE_REQUEST_DENIED:
        return cs_fail(err, CS_REFUSED, CS_R_REQUEST_DENIED, "request %s%s%s", r->id, r->note[0] != '\0' ? ": " : "",
                       r->note);
    case STORE_REQUEST_APPROVED: *ret_go = true; return CS_OK;
    case STORE_REQUEST_ISSUED: break;
    }
    TRY(authority_read(e->a, run_leaf, &s, err));
    ret->leaf = s.leaf;
    return CS_OK;
}

static cs_status run_add(authority *a, store *st, void *cls, cs_err *err) {
    const store_request *r = cls;
    store_request was;
    store_cert about = {.kind = r->kind};
    authority_who by = {.by = "nobody"};
    char detail[STORE_ID_MAX + STORE_WORD_MAX + 16];
    uint64_t waiting = 0;
    cs_err ignored;
    if (store_request_get(st, r->id, &was, &ignored) == CS_OK) return CS_OK; /* asked twice at once */
    TRY(store_request_count(st, &waiting, err));
    if (waiting >= WAITING_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%d requests wait already", WAITING_MAX);
    TRY(store_request_add(st, r, err));
    (void)snprintf(about.name, sizeof about.name, "%s", r->name);
    (void)snprintf(by.from, sizeof by.from, "%s", r->source);
    (void)snprintf(by.via, sizeof by.via, "%.15s", r->door);
    (void)snprintf(detail, sizeof detail, "request %s, %s", r->id, r->credential);
    return authority_audit(a, st, "request-waits", &by, &about, detail, err);
}

cs_status request_wait(enroll *e, const enroll_ask *ask, const cs_csr *csr, entitled *who, enroll_answer *ret,
                       bool *ret_go, cs_err *err) {
    store_request r = {.kind = who->who.kind, .created = cs_now(e->clock), .csr = csr->der};
    TRY(make_id(who, csr, r.id, err));
    stored s = {.id = r.id};
    cs_status status = authority_read(e->a, run_get, &s, err);
    (void)snprintf(who->request, sizeof who->request, "%s", r.id);
    if (status == CS_OK) return answer(e, &s.row, ret, ret_go, err);
    if (status != CS_REFUSED) return status;
    (void)snprintf(r.name, sizeof r.name, "%s", who->who.name);
    (void)snprintf(r.profile, sizeof r.profile, "%s", who->profile);
    (void)snprintf(r.door, sizeof r.door, "%s", ask->door);
    (void)snprintf(r.source, sizeof r.source, "%s", ask->source);
    (void)snprintf(r.credential, sizeof r.credential, "%s", who->credential);
    (void)snprintf(r.token, sizeof r.token, "%s", who->again ? "" : who->token);
    memcpy(r.spki_sha256, csr->spki_sha256, sizeof r.spki_sha256);
    TRY(authority_change(e->a, run_add, &r, err));
    return answer(e, &r, ret, ret_go, err);
}

/* ---- issuing what was approved ---- */

static cs_status run_issued(authority *a, store *st, void *cls, cs_err *err) {
    const stored *s = cls;
    (void)a;
    return store_request_issued(st, s->id, s->row.serial, err);
}

static cs_status issue(enroll *e, stored *s, const authority_who *by, enroll_answer *ret, cs_err *err) {
    CS_SCOPED(entitled) who = {.parent = NULL};
    who.who.kind = s->row.kind;
    (void)snprintf(who.who.name, sizeof who.who.name, "%s", s->row.name);
    (void)snprintf(who.profile, sizeof who.profile, "%s", s->row.profile);
    (void)snprintf(who.token, sizeof who.token, "%s", s->row.token);
    (void)snprintf(who.request, sizeof who.request, "%s", s->row.id);
    /* its names were proven before it waited */
    if (strcmp(s->row.door, "acme") == 0) (void)snprintf(who.order, sizeof who.order, "%s", s->row.id);
    return submit_issue(e, &who, s->csr, by, ret, err);
}

static cs_status get_with_csr(enroll *e, const char *id, stored *s, cs_err *err) {
    *s = (stored){.id = id, .want_csr = true};
    return authority_read(e->a, run_get, s, err);
}

cs_status enroll_poll(enroll *e, const char *request, const uint8_t *spki_sha256, enroll_answer *ret, cs_err *err) {
    stored s;
    bool go = false;
    *ret = (enroll_answer){.leaf = NULL};
    TRY(get_with_csr(e, request, &s, err));
    CS_AUTO(cs_csr) csr = s.csr; /* freed on every way out */
    (void)csr;
    if (spki_sha256 != NULL && memcmp(s.row.spki_sha256, spki_sha256, sizeof s.row.spki_sha256) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_REQUEST_UNKNOWN, "request %s is for another key", request);
    TRY(answer(e, &s.row, ret, &go, err));
    authority_who by = {.by = "nobody"};
    (void)snprintf(by.via, sizeof by.via, "%.15s", s.row.door);
    return go ? issue(e, &s, &by, ret, err) : CS_OK;
}

typedef struct by_key {
    const uint8_t *spki_sha256;
    const char *door;
    char id[STORE_ID_MAX + 1];
} by_key;

static cs_status run_by_key(void *cls, store *st, cs_err *err) {
    by_key *b = cls;
    store_request row;
    TRY(store_request_by_key(st, b->spki_sha256, b->door, &row, err));
    (void)snprintf(b->id, sizeof b->id, "%s", row.id);
    return CS_OK;
}

cs_status enroll_poll_key(enroll *e, const char *door, const uint8_t spki_sha256[32], enroll_answer *ret, cs_err *err) {
    by_key b = {.spki_sha256 = spki_sha256, .door = door};
    *ret = (enroll_answer){.leaf = NULL};
    TRY(authority_read(e->a, run_by_key, &b, err));
    return enroll_poll(e, b.id, spki_sha256, ret, err);
}

/* ---- deciding ---- */

typedef struct decision {
    const char *id, *note;
    const authority_who *by;
    store_request_status to;
} decision;

static cs_status run_decide(authority *a, store *st, void *cls, cs_err *err) {
    const decision *d = cls;
    store_request r;
    store_cert about = {.kind = CS_KIND_OTHER};
    char detail[STORE_ID_MAX + STORE_KEY_MAX + 16];
    TRY(store_request_get(st, d->id, &r, err));
    about.kind = r.kind;
    (void)snprintf(about.name, sizeof about.name, "%s", r.name);
    TRY(store_request_decide(st, d->id, d->to, d->by->by, d->note, authority_now(a), err));
    (void)snprintf(detail, sizeof detail, "request %s%s%s", d->id, d->note != NULL ? ": " : "",
                   d->note != NULL ? d->note : "");
    return authority_audit(a, st, d->to == STORE_REQUEST_APPROVED ? "request-approved" : "request-denied", d->by,
                           &about, detail, err);
}

static cs_status decide(enroll *e, const char *id, const char *note, store_request_status to, const authority_who *by,
                        cs_err *err) {
    decision d = {id, note, by, to};
    if (note != NULL && strlen(note) > STORE_KEY_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "note: at most %d octets", STORE_KEY_MAX);
    return authority_change(e->a, run_decide, &d, err);
}

cs_status enroll_approve(enroll *e, const char *request, const char *note, const authority_who *by, enroll_answer *ret,
                         cs_err *err) {
    stored s;
    *ret = (enroll_answer){.leaf = NULL};
    cs_status status = decide(e, request, note, STORE_REQUEST_APPROVED, by, err);
    bool again = status == CS_REFUSED && err->reason == CS_R_REQUEST_DECIDED;
    if (status != CS_OK && !again) return status;
    cs_err decided = *err;
    TRY(get_with_csr(e, request, &s, err));
    CS_AUTO(cs_csr) csr = s.csr; /* freed on every way out */
    (void)csr;
    if (again && s.row.status != STORE_REQUEST_APPROVED) { /* approved before, and could not be issued then: go on */
        *err = decided;
        return decided.status;
    }
    return issue(e, &s, by, ret, err);
}

cs_status enroll_deny(enroll *e, const char *request, const char *note, const authority_who *by, cs_err *err) {
    return decide(e, request, note, STORE_REQUEST_DENIED, by, err);
}

void request_mark_issued(enroll *e, const char *id, const char *serial) {
    stored s = {.id = id};
    cs_err err;
    (void)snprintf(s.row.serial, sizeof s.row.serial, "%s", serial);
    /* what is not marked is asked for again by its idempotency key: the same certificate */
    if (authority_change(e->a, run_issued, &s, &err) != CS_OK) log_failure(LOG_WARN, "request-unmarked", &err);
}
