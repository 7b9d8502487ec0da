/* CMP's door: a PKIMessage over HTTP to enroll/, its answer back. @rfc 9811#3  @rfc 9483
 * What is the protocol's is settled here (protection, nonces, transactions, confirmations); who may have what is
 * enroll/'s. A message that cannot be read is HTTP's 400; whatever else is refused is told in a CMP message under 200,
 * since clients do not look for one elsewhere. */
#include "proto/cmp/cmp_door.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "enroll/trace.h"
#include "report/log.h"
#include "x509/build.h"
#include "x509/csr.h"
#include "x509/digest.h"

enum { NONCE_MIN = 16 };

typedef cmp_exchange exchange;

static void exchange_free(cmp_exchange *x) {
    cmp_message_free(&x->in);
    cs_buf_free(&x->secret);
    cs_buf_free(&x->content);
    cs_cert_free(x->leaf);
}

/* ---- the transaction ---- */

static cs_status make_transaction(const cmp_exchange *x, cmp_transaction **ret, cs_err *err) {
    cmp_transaction *t = calloc(1, sizeof *t);
    if (t == NULL) return CS_NOMEM_ERR(err);
    t->id_n = x->in.h.transaction.n;
    memcpy(t->id, x->in.h.transaction.p, t->id_n);
    memcpy(t->who, x->who, sizeof t->who);
    memcpy(t->nonce, x->nonce, sizeof t->nonce);
    t->implicit = x->in.h.implicit_confirm;
    *ret = t;
    return CS_OK;
}

/* The one that is gone on with: whoever began it, and in answer to our last message. */
static cs_status take_transaction(cmp_exchange *x, cmp_transaction **ret, cs_err *err) {
    CS_AUTO(cmp_transaction) t = cmp_desk_take(x->c->cmp, x->in.h.transaction);
    if (t == NULL) return cs_fail(err, CS_REFUSED, CS_R_REQUEST_UNKNOWN, "no such transaction is open");
    cs_status status = CS_OK;
    if (!cs_view_eq_consttime(cs_view_of(t->who, sizeof t->who), cs_view_of(x->who, sizeof x->who)))
        status = cs_fail(err, CS_REFUSED, CS_R_SIGNATURE_INVALID, "the transaction is another's");
    else if (!cs_view_eq(x->in.h.recip_nonce, cs_view_of(t->nonce, sizeof t->nonce)))
        status = cs_fail(err, CS_REFUSED, CS_R_NONCE_WRONG, "recipNonce is not that of the message before");
    if (status == CS_OK) {
        *ret = CS_TAKE(t);
        return CS_OK;
    }
    cs_err ignored;
    (void)!cmp_desk_put(x->c->cmp, CS_TAKE(t), &ignored); /* its place is still there, or somebody begins anew */
    return status;
}

static void revoke_unwanted(authority *a, const cs_cert *leaf, const char *why) {
    __attribute__((cleanup(revoke_answer_free))) revoke_answer answer = {0};
    char serial[STORE_SERIAL_TEXT];
    cs_err err;
    cs_status status = authority_revoke(a, REVOKE_BY_SERIAL, cs_view_str(cs_hex(leaf->serial, serial)),
                                        CS_CRL_CESSATION, AUTHORITY_SELF("cmp"), &answer, &err);
    if (status != CS_OK && err.reason != CS_R_ALREADY_REVOKED) log_failure(LOG_ERROR, "revocation-failed", &err);
    if (authority_note(a, why, AUTHORITY_SELF("cmp"), NULL, serial, &err) != CS_OK)
        log_failure(LOG_ERROR, "audit-failed", &err);
}

/* What was never confirmed is not used (RFC 9483 4.1.1). */
static void sweep(rest_call *c) {
    for (cmp_transaction *t = NULL; (t = cmp_desk_ended(c->cmp)) != NULL; cmp_transaction_free(t))
        if (t->state == CMP_TO_CONFIRM) revoke_unwanted(c->a, t->leaf, "certificate-unconfirmed");
}

/* ---- certificates ---- */

static cmp_body answer_to(cmp_body body) {
    return body == CMP_IR ? CMP_IP : body == CMP_KUR ? CMP_KUP : CMP_CP;
}

static void put_issued(cmp_exchange *x, long id) {
    const cs_cert *roots[CMP_EXTRA_MAX], *one = NULL;
    size_t n = 0;
    cmp_status status = {.status = CMP_ACCEPTED};
    /* @rfc 9810#5.3.2: caPubs mean something under a shared secret alone */
    for (; x->how == CMP_BY_SECRET && n < CMP_EXTRA_MAX && (one = authority_root_at(x->c->a, n)) != NULL; n++)
        roots[n] = one;
    cmp_put_answer(&x->content, id, &status, x->leaf, roots, n);
}

static void put_refused(cmp_exchange *x, long id, const cs_err *why) {
    cmp_status status;
    cmp_status_of(why, &status);
    cs_buf_clear(&x->content);
    cmp_put_answer(&x->content, id, &status, NULL, NULL, 0);
}

/* Issued, or waiting: the transaction goes on unless nothing is to come. */
static cs_status settle(cmp_exchange *x, cmp_transaction *take_t, enroll_answer *a, cs_err *err) {
    CS_AUTO(cmp_transaction) t = take_t;
    cs_time now = cs_mono(cs_clock_system());
    const cmp_status waiting = {.status = CMP_WAITING, .text = "a person decides"};
    memcpy(t->nonce, x->nonce, sizeof t->nonce);
    if (a->leaf == NULL) {
        t->state = CMP_TO_APPROVE;
        t->ends = now + CMP_POLL_LIFE;
        (void)snprintf(t->request, sizeof t->request, "%s", a->request);
        cmp_put_answer(&x->content, t->request_id, &waiting, NULL, NULL, 0);
        return cmp_desk_put(x->c->cmp, CS_TAKE(t), err);
    }
    x->leaf = cs_cert_ref(a->leaf);
    x->implicit = t->implicit;
    x->confirm = !t->implicit;
    put_issued(x, t->request_id);
    if (t->implicit) return CS_OK;
    t->state = CMP_TO_CONFIRM;
    t->ends = now + CMP_CONFIRM_SECONDS * CS_SEC;
    cs_cert_free(t->leaf);
    t->leaf = cs_cert_ref(a->leaf);
    return cmp_desk_put(x->c->cmp, CS_TAKE(t), err);
}

/* kur renews the certificate that protects it, and no other. */
static cs_status check_update(const cmp_exchange *x, const cmp_request *r, cs_err *err) {
    if (x->how != CMP_BY_CERTIFICATE)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_REQUIRED,
                       "kur is protected by the certificate that it updates");
    bool same = r->old_serial.n == 0 ||
                (cs_view_eq(r->old_serial, x->signer->serial) && cs_view_eq(r->old_issuer, x->signer->issuer));
    return same ? CS_OK
                : cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN,
                          "oldCertId is not the certificate that protects kur");
}

static cs_status submit(cmp_exchange *x, const cmp_request *r, cmp_transaction *t, enroll_answer *ret, cs_err *err) {
    enroll_ask ask;
    CS_AUTO(cs_csr) csr = NULL;
    cmp_ask_of(x, &ask);
    ask.csr = r->csr;
    ask.renewal = x->in.body == CMP_KUR;
    if (ask.renewal) TRY(check_update(x, r, err));
    TRY(cs_csr_read(r->csr, "certReqMsg", &csr, err));
    memcpy(t->spki_sha256, csr->spki_sha256, sizeof t->spki_sha256);
    return enroll_submit(x->c->e, &ask, ret, err);
}

/* A request that is sent again in an open transaction, because its answer was lost, is answered again; another one in
 * its place is refused. */
static cs_status may_begin(cmp_exchange *x, const cmp_request *r, cs_err *err) {
    CS_AUTO(cmp_transaction) t = cmp_desk_take(x->c->cmp, x->in.h.transaction);
    CS_AUTO(cs_csr) csr = NULL;
    cs_err ignored;
    if (t == NULL) return CS_OK;
    bool again = memcmp(t->who, x->who, sizeof t->who) == 0 && cs_csr_read(r->csr, "", &csr, &ignored) == CS_OK &&
                 memcmp(csr->spki_sha256, t->spki_sha256, sizeof t->spki_sha256) == 0;
    if (again && t->state != CMP_CONFIRMED) return CS_OK;
    (void)!cmp_desk_put(x->c->cmp, CS_TAKE(t), &ignored);
    return cs_fail(err, CS_REFUSED, CS_R_TRANSACTION_IN_USE, "transactionID");
}

static cs_status run_request(cmp_exchange *x, cs_err *err) {
    cmp_request r;
    CS_AUTO(cmp_transaction) t = NULL;
    CS_SCOPED(enroll_answer) a = {.leaf = NULL};
    cs_err why;
    cs_status read = cmp_request_read(&x->in, &r, &why);
    if (read != CS_OK && why.reason == CS_R_MESSAGE_MALFORMED) {
        *err = why;
        return read;
    }
    x->body = answer_to(x->in.body);
    cs_status status = read;
    if (status == CS_OK) {
        TRY(may_begin(x, &r, err));
        TRY(make_transaction(x, &t, err));
        t->answer = x->body;
        t->request_id = r.id;
        status = submit(x, &r, t, &a, &why);
        if (status == CS_OK) return settle(x, CS_TAKE(t), &a, err);
    }
    put_refused(x, r.id, &why);
    return CS_OK;
}

/* ---- afterwards ---- */

static void say_confirmed(cmp_exchange *x) {
    x->body = CMP_PKICONF;
    cs_der_put(&x->content, CS_DER_NULL, (cs_view){NULL, 0});
}

static cs_status check_confirmation(const cmp_transaction *t, const cmp_confirm *c, cs_err *err) {
    uint8_t hash[CS_CMP_HASH_MAX];
    size_t n = 0;
    TRY(cs_cmp_cert_hash(t->leaf, c->hash_alg, hash, &n, err));
    if (c->id == t->request_id && cs_view_eq(c->hash, cs_view_of(hash, n))) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "certHash or certReqId is not of what was issued");
}

static cs_status confirm(cmp_exchange *x, cmp_transaction *t, cs_err *err) {
    cmp_confirm c;
    bool any = false;
    TRY(cmp_confirm_read(&x->in, &c, &any, err));
    if (t->state == CMP_TO_APPROVE)
        return cs_fail(err, CS_REFUSED, CS_R_REQUEST_UNKNOWN, "there is nothing to confirm yet");
    if (any) TRY(check_confirmation(t, &c, err));
    if (t->state == CMP_CONFIRMED) return CS_OK;
    if (!any || !c.accepted) revoke_unwanted(x->c->a, t->leaf, "certificate-rejected");
    t->state = CMP_CONFIRMED;
    return CS_OK;
}

/* Confirmed for good; kept until its end, should the answer get lost. */
static cs_status run_confirm(cmp_exchange *x, cs_err *err) {
    CS_AUTO(cmp_transaction) t = NULL;
    cs_err ignored;
    TRY(take_transaction(x, &t, err));
    cs_status status = confirm(x, t, err);
    if (status == CS_OK) say_confirmed(x);
    (void)!cmp_desk_put(x->c->cmp, CS_TAKE(t), &ignored);
    return status;
}

/* The client gives up: what it was given is not used. */
static cs_status run_error(cmp_exchange *x, cs_err *err) {
    CS_AUTO(cmp_transaction) t = NULL;
    TRY(take_transaction(x, &t, err));
    if (t->state == CMP_TO_CONFIRM) revoke_unwanted(x->c->a, t->leaf, "certificate-rejected");
    say_confirmed(x);
    return CS_OK;
}

static cs_status still_waits(cmp_exchange *x, cmp_transaction *take_t, const enroll_answer *a, cs_err *err) {
    memcpy(take_t->nonce, x->nonce, sizeof take_t->nonce);
    x->body = CMP_POLLREP;
    cs_der_mark list = cs_der_open(&x->content, CS_DER_SEQUENCE), one = cs_der_open(&x->content, CS_DER_SEQUENCE);
    cmp_put_long(&x->content, take_t->request_id);
    cs_der_put_uint(&x->content, CS_DER_INTEGER, (uint64_t)(a->retry > CS_SEC ? a->retry / CS_SEC : 1));
    cs_der_close(&x->content, one);
    cs_der_close(&x->content, list);
    return cmp_desk_put(x->c->cmp, take_t, err);
}

static cs_status run_poll(cmp_exchange *x, cs_err *err) {
    CS_AUTO(cmp_transaction) t = NULL;
    CS_SCOPED(enroll_answer) a = {.leaf = NULL};
    cs_err why, ignored;
    long id = 0;
    TRY(cmp_poll_read(&x->in, &id, err));
    TRY(take_transaction(x, &t, err));
    if (t->state != CMP_TO_APPROVE || (id != t->request_id && id != -1)) {
        (void)!cmp_desk_put(x->c->cmp, CS_TAKE(t), &ignored);
        return cs_fail(err, CS_REFUSED, CS_R_REQUEST_UNKNOWN, "nothing of that certReqId waits");
    }
    cs_status status = enroll_poll(x->c->e, t->request, t->spki_sha256, &a, &why);
    if (status == CS_OK && a.leaf == NULL) return still_waits(x, CS_TAKE(t), &a, err);
    x->body = t->answer;
    if (status == CS_OK) return settle(x, CS_TAKE(t), &a, err);
    put_refused(x, t->request_id, &why);
    if (status != CS_REFUSED) (void)!cmp_desk_put(x->c->cmp, CS_TAKE(t), &ignored);
    return CS_OK;
}

static cs_status run_revocation(cmp_exchange *x, cs_err *err) {
    cmp_revocation r;
    cs_err why;
    cmp_status status = {.status = CMP_ACCEPTED};
    TRY(cmp_revocation_read(&x->in, &r, err));
    if (x->how != CMP_BY_CERTIFICATE)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_REQUIRED,
                       "rr is protected by a certificate of the same holder");
    const enroll_revocation ask = {.door = "cmp",
                                   .source = rest_header(x->c, "X-Forwarded-For"),
                                   .certificate = x->signer,
                                   .issuer = r.issuer,
                                   .serial = r.serial,
                                   .reason = r.reason};
    if (enroll_revoke(x->c->e, &ask, &why) != CS_OK) cmp_status_of(&why, &status);
    x->body = CMP_RP;
    cs_der_mark all = cs_der_open(&x->content, CS_DER_SEQUENCE), list = cs_der_open(&x->content, CS_DER_SEQUENCE);
    cmp_put_status(&x->content, &status);
    cs_der_close(&x->content, list);
    cs_der_close(&x->content, all);
    return cs_buf_ok(&x->content, "the answer", err);
}

/* ---- one message ---- */

/* @rfc 9483#3.1: what every message must have. */
static cs_status check_header(const cmp_exchange *x, cs_err *err) {
    const cmp_header *h = &x->in.h;
    if (h->pvno != 2 && h->pvno != 3)
        return cs_fail(err, CS_REFUSED, CS_R_VERSION_UNSUPPORTED, "pvno %u, spoken are 2 and 3", h->pvno);
    if (h->transaction.n == 0) return cs_fail(err, CS_REFUSED, CS_R_TRANSACTION_MISSING, "transactionID");
    if (h->sender_nonce.n < NONCE_MIN)
        return cs_fail(err, CS_REFUSED, CS_R_NONCE_MISSING, "senderNonce has at least %d octets", NONCE_MIN);
    return CS_OK;
}

/* By the path (RFC 9811 3.4: p/NAME) or the message; both must agree. */
static cs_status choose_profile(cmp_exchange *x, cs_err *err) {
    cs_view said = x->in.h.profile;
    TRY(enroll_at(x->c->e, CONF_DOOR_CMP, x->label, &x->at, err));
    if (said.n == 0) return CS_OK;
    bool fits = said.n <= CS_PROFILE_NAME_MAX && memchr(said.p, '\0', said.n) == NULL;
    if (!fits || (x->at.profile != NULL && !cs_view_eq_str(said, x->at.profile)))
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "certProfile and the path name different ones");
    memcpy(x->profile, said.p, said.n);
    x->at.profile = x->profile;
    return CS_OK;
}

static cs_status run(cmp_exchange *x, cs_err *err) {
    TRY(check_header(x, err));
    TRY(choose_profile(x, err));
    TRY(cmp_caller(x, err));
    switch (x->in.body) {
    case CMP_IR:
    case CMP_CR:
    case CMP_KUR:
    case CMP_P10CR: return run_request(x, err);
    case CMP_CERTCONF: return run_confirm(x, err);
    case CMP_POLLREQ: return run_poll(x, err);
    case CMP_RR: return run_revocation(x, err);
    case CMP_GENM: return cmp_info_answer(x, err);
    case CMP_ERROR: return run_error(x, err);
    default: return cs_fail(err, CS_REFUSED, CS_R_OPERATION_UNSUPPORTED, "a body of type %d", (int)x->in.body);
    }
}

static const char *body_name(cmp_body body) {
    static const char *const names[] = {
        [CMP_IR] = "ir",           [CMP_IP] = "ip",          [CMP_CR] = "cr",
        [CMP_CP] = "cp",           [CMP_P10CR] = "p10cr",    [CMP_KUR] = "kur",
        [CMP_KUP] = "kup",         [CMP_RR] = "rr",          [CMP_RP] = "rp",
        [CMP_PKICONF] = "pkiconf", [CMP_NESTED] = "nested",  [CMP_GENM] = "genm",
        [CMP_GENP] = "genp",       [CMP_ERROR] = "error",    [CMP_CERTCONF] = "certConf",
        [CMP_POLLREQ] = "pollReq", [CMP_POLLREP] = "pollRep"};
    bool known = (size_t)body < sizeof names / sizeof *names && names[body] != NULL;
    return known ? names[body] : "unknown";
}

/* What was understood of the message. */
static void tell_trace(cmp_exchange *x) {
    static const char *const how[] = {
        [CMP_BY_NOBODY] = "nobody", [CMP_BY_SECRET] = "secret", [CMP_BY_CERTIFICATE] = "certificate"};
    char transaction[2 * CMP_ID_MAX + 1] = "";
    const cmp_header *h = &x->in.h;
    if (h->transaction.n <= CMP_ID_MAX) (void)cs_hex(h->transaction, transaction);
    enroll_trace_line(x->trace, "type", "%s", body_name(x->in.body));
    enroll_trace_line(x->trace, "version", "%u", h->pvno);
    enroll_trace_line(x->trace, "transaction", "%s", transaction);
    enroll_trace_line(x->trace, "reference", "%.*s", (int)h->sender_kid.n, (const char *)h->sender_kid.p);
    enroll_trace_line(x->trace, "implicit confirmation", "%s", h->implicit_confirm ? "asked for" : "no");
    enroll_trace_line(x->trace, "protected by", "%s", how[x->how]);
    enroll_trace_cert(x->trace, "signer", x->signer);
    enroll_trace_line(x->trace, "answer", "%s", body_name(x->body));
}

static cs_status answer(rest_call *c, const char label[CS_PROFILE_NAME_MAX + 1], cs_err *err) {
    CS_SCOPED(exchange)
    x = {.c = c, .content = cs_buf_of(CMP_ANSWER_MAX), .secret = cs_buf_secret(ENROLL_TOKEN_TEXT + 1)};
    cs_err why;
    memcpy(x.label, label, sizeof x.label);
    TRY(cs_rng_fill(cs_rng_system(), x.nonce, sizeof x.nonce, err));
    if (c->body.n > CMP_MESSAGE_MAX || c->too_big)
        return cs_fail(err, CS_LIMIT, CS_R_HTTP_BODY_TOO_LARGE, "at most %d octets", CMP_MESSAGE_MAX);
    x.trace = enroll_trace_begin(c->e, c->path, rest_header(c, "X-Forwarded-For"));
    enroll_trace_bytes(x.trace, "message", cs_buf_view(&c->body));
    cs_status status = cmp_read(cs_buf_view(&c->body), &x.in, &why);
    if (status != CS_OK) c->status = MHD_HTTP_BAD_REQUEST;
    if (status == CS_OK) status = run(&x, &why);
    if (status != CS_OK) cmp_answer_error(&x, &why);
    tell_trace(&x);
    enroll_trace_end(CS_TAKE(x.trace), status == CS_OK ? NULL : &why);
    c->type = CMP_TYPE;
    return cmp_answer_seal(&x, err);
}

/* What stands behind /.well-known/cmp: nothing, an operation's name, p/PROFILE, or p/PROFILE/OPERATION. Which operation
 * it is, the message says. */
static cs_status read_path(const char *path, char label[CS_PROFILE_NAME_MAX + 1], cs_err *err) {
    label[0] = '\0';
    if (strncmp(path, "p/", 2) != 0) return CS_OK;
    size_t n = strcspn(path + 2, "/");
    if (n == 0 || n > CS_PROFILE_NAME_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_ROUTE_UNKNOWN, "a profile's name has 1 to %d characters",
                       CS_PROFILE_NAME_MAX);
    memcpy(label, path + 2, n);
    label[n] = '\0';
    return CS_OK;
}

static cs_status check_type(rest_call *c, cs_err *err) {
    const char *type = rest_header(c, "Content-Type");
    size_t n = strcspn(type, "; \t");
    cs_view is = cs_view_of(type, n);
    if (cs_view_eq_nocase(is, CS_VIEW_LIT(CMP_TYPE)) || cs_view_eq_nocase(is, CS_VIEW_LIT(CMP_TYPE "-poll")))
        return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_MEDIA_TYPE_WRONG, "%s is expected", CMP_TYPE);
}

/* HTTP's own refusals. */
static void refuse(rest_call *c, const cs_err *err) {
    const cs_reason_info *r = cs_reason_of(err->reason);
    c->status = (unsigned)r->http;
    c->type = "text/plain";
    cs_buf_clear(&c->out);
    (void)cs_buf_addf(&c->out, "%s: %s\n", r->name, r->says);
}

cs_status cmp_door(rest_call *c, cs_err *err) {
    char label[CS_PROFILE_NAME_MAX + 1];
    c->quiet = true;
    sweep(c);
    cs_status status = check_type(c, err);
    if (status == CS_OK) status = read_path(c->rest, label, err);
    if (status == CS_OK) status = answer(c, label, err);
    if (status != CS_OK) refuse(c, err);
    return CS_OK;
}
