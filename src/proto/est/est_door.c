/* EST's door: a request of RFC 7030 to enroll/, its answer back. TLS, and who proved which certificate, is the
 * gateway's. Refusals are plain text that names the reason: what the operator must know stands in the log. */
#include <string.h>

#include "proto/est/est_keygen.h"
#include "proto/est/est_msg.h"
#include "proto/rest/rest_priv.h"
#include "x509/csr.h"

enum { CACERTS_MAX = 64 };
#define CERTS_ONLY "application/pkcs7-mime; smime-type=certs-only"

static void as_base64(rest_call *c, const char *type) {
    c->type = type;
    rest_extra(c, "Content-Transfer-Encoding", "base64"); /* libest looks for it; RFC 8951's clients pass over it */
}

/* Of the clients that care, libest says who it is and strongSwan does not. */
static bool wants_lines(rest_call *c) {
    return rest_header(c, "User-Agent")[0] != '\0';
}

/* The roots, and every CA below them: those of a roll-over too (RFC 7030 4.1.3). */
static cs_status put_cacerts(rest_call *c, cs_err *err) {
    const cs_cert *certs[CACERTS_MAX], *one = NULL;
    size_t n = 0;
    for (size_t i = 0; n < CACERTS_MAX && (one = authority_root_at(c->a, i)) != NULL; i++) certs[n++] = one;
    for (size_t i = 0; n < CACERTS_MAX && (one = authority_cert_at(c->a, i)) != NULL; i++) certs[n++] = one;
    as_base64(c, CERTS_ONLY);
    TRY(est_certs_add(&c->out, certs, n, wants_lines(c), err));
    rest_told_cas(c);
    return CS_OK;
}

static cs_status put_answer(rest_call *c, const enroll_answer *a, const est_keygen *made, cs_err *err) {
    if (a->leaf == NULL) {
        c->status = MHD_HTTP_ACCEPTED;
        c->type = "text/plain";
        rest_retry_after(c, a->retry);
        (void)cs_buf_addf(&c->out, "request %s waits for approval\n", a->request);
        return CS_OK;
    }
    if (made->key != NULL) {
        c->type = "multipart/mixed; boundary=" EST_BOUNDARY;
        c->out.secret = true;
        return est_keygen_add(&c->out, c->a, made, a->leaf, wants_lines(c), err);
    }
    as_base64(c, CERTS_ONLY);
    return est_certs_add(&c->out, (const cs_cert *const[]){a->leaf}, 1, wants_lines(c), err);
}

/* For serverkeygen the request counts for its subject, its attributes and its key's kind. */
static cs_status make_key(const enroll_ask *ask, cs_buf *csr_der, est_keygen *ret, cs_err *err) {
    CS_AUTO(cs_csr) asked = NULL;
    TRY(cs_csr_read(cs_buf_view(csr_der), "csr", &asked, err));
    TRY(enroll_binding_check(ask, asked->challenge, err));
    return est_keygen_make(asked, ask->certificate, csr_der, ret, err);
}

/* An RSA key is a second's work: not for who shows nothing. */
static cs_status may_make_key(rest_call *c, const enroll_ask *ask, cs_err *err) {
    if (ask->certificate == NULL && ask->secret.n == 0)
        return cs_fail(err, CS_REFUSED, CS_R_CREDENTIAL_NEEDED, "serverkeygen");
    return enroll_may_try(c->e, ask->source, err);
}

static cs_status run_enroll(rest_call *c, est_op op, const char *label, cs_err *err) {
    CS_AUTO(cs_cert) client = NULL;
    CS_SCOPED(est_keygen) made = {.key = NULL};
    CS_SCOPED(cs_buf) csr = cs_buf_of((size_t)2 * CS_CSR_MAX), basic = cs_buf_secret(4096);
    CS_SCOPED(enroll_answer) answer = {.leaf = NULL};
    CS_SCOPED(cs_certs) chain = {NULL, 0};
    cs_view header = cs_view_str(rest_header(c, "Authorization"));
    TRY(rest_client_cert(c, &client, err));
    TRY(rest_client_chain(c, &chain, err));
    enroll_ask ask = {.source = rest_header(c, "X-Forwarded-For"),
                      .certificate = client,
                      .chain = &chain,
                      .renewal = op == EST_SIMPLEREENROLL,
                      .binds = true,
                      .binding = cs_view_str(rest_header(c, "X-Countersign-Channel-Binding"))};
    TRY(enroll_at(c->e, CONF_DOOR_EST, label, &ask, err));
    if (header.n > 0 && !est_basic_read(header, &basic, &ask.name, &ask.secret))
        return cs_fail(err, CS_REFUSED, CS_R_CREDENTIAL_NEEDED, "Authorization is not Basic");
    if (c->too_big) return cs_fail(err, CS_LIMIT, CS_R_HTTP_BODY_TOO_LARGE, "at most %d octets", CS_API_BODY_MAX);
    TRY(est_csr_read(cs_buf_view(&c->body), &csr, err));
    if (op == EST_SERVERKEYGEN) {
        TRY(may_make_key(c, &ask, err));
        TRY(make_key(&ask, &csr, &made, err));
        ask.binds = false;
    }
    ask.csr = cs_buf_view(&csr);
    TRY(enroll_submit(c->e, &ask, &answer, err));
    if (made.key != NULL && answer.leaf == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_APPROVAL_NEEDED, "serverkeygen: no key is kept for a request that waits");
    return put_answer(c, &answer, &made, err);
}

static cs_status put_csrattrs(rest_call *c, const char *label, cs_err *err) {
    enroll_ask ask = {.csr.n = 0};
    TRY(enroll_at(c->e, CONF_DOOR_EST, label, &ask, err));
    as_base64(c, "application/csrattrs");
    bool bound = ask.at != NULL && ask.at->binding == CONF_BINDING_REQUIRED;
    return est_csrattrs_add(&c->out, bound, wants_lines(c), err);
}

static cs_status run(rest_call *c, est_op op, const char *label, cs_err *err) {
    bool get = op == EST_CACERTS || op == EST_CSRATTRS;
    if (get != (strcmp(c->method, "POST") != 0))
        return cs_fail(err, CS_REFUSED, CS_R_HTTP_METHOD_NOT_ALLOWED, "%s is for this", get ? "GET" : "POST");
    switch (op) {
    case EST_CACERTS: return put_cacerts(c, err);
    case EST_CSRATTRS: return put_csrattrs(c, label, err);
    case EST_SIMPLEENROLL:
    case EST_SIMPLEREENROLL:
    case EST_SERVERKEYGEN: return run_enroll(c, op, label, err);
    case EST_FULLCMC: break;
    }
    return cs_fail(err, CS_REFUSED, CS_R_OPERATION_UNSUPPORTED, "fullcmc");
}

/* RFC 7030 4.2.3: text for people. 401 invites to authenticate; libest opens a second connection for it. */
static void refuse(rest_call *c, const cs_err *err) {
    const cs_reason_info *r = cs_reason_of(err->reason);
    c->extra_count = 0;
    c->status = (unsigned)r->http;
    c->type = "text/plain";
    cs_buf_clear(&c->out);
    (void)cs_buf_addf(&c->out, "%s: %s\n", r->name, r->says);
    if (c->status == MHD_HTTP_UNAUTHORIZED)
        rest_extra(c, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Basic realm=\"countersign\"");
    if (c->status == MHD_HTTP_TOO_MANY_REQUESTS) rest_retry_after(c, CS_MIN);
}

cs_status est_door(rest_call *c, cs_err *err) {
    est_op op = EST_CACERTS;
    char label[EST_LABEL_MAX + 1];
    c->quiet = true;
    cs_status status = strcmp(rest_header(c, "X-Forwarded-Proto"), "https") == 0
                           ? est_path_read(cs_view_str(c->rest), &op, label, err)
                           : cs_fail(err, CS_REFUSED, CS_R_ROUTE_UNKNOWN, "EST is served over TLS");
    if (status == CS_OK) status = run(c, op, label, err);
    if (status != CS_OK) refuse(c, err);
    return CS_OK;
}
