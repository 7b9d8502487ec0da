/* EST's client half (RFC 7030, RFC 8951): works against other people's servers too. */
#include <stdio.h>

#include "base/text.h"
#include "proto/client/client.h"
#include "x509/cms.h"
#include "x509/der.h"

enum { RETRY_DEFAULT_SECONDS = 60 };
#define WELL_KNOWN "/.well-known/est"

/* URL [/.well-known/est] [/LABEL] /OPERATION */
static cs_status op_url(const client *c, const char *op, cs_buf *b, cs_err *err) {
    size_t n = strlen(c->url);
    while (n > 0 && c->url[n - 1] == '/') n--;
    (void)cs_buf_add(b, c->url, n);
    if (strstr(c->url, WELL_KNOWN) == NULL) (void)cs_buf_add_str(b, WELL_KNOWN);
    if (c->profile != NULL) (void)cs_buf_addf(b, "/%s", c->profile);
    (void)cs_buf_addf(b, "/%s", op);
    return cs_buf_cstr(b) != NULL ? cs_buf_ok(b, "the URL", err) : CS_NOMEM_ERR(err);
}

/* A body of base64, whatever its transfer encoding says (RFC 8951 3.1), into DER. */
static cs_status decode(const client *c, const call_answer *a, const char *what, cs_buf *der, cs_err *err) {
    cs_view text = cs_view_trim(cs_buf_view(&a->body));
    if (text.n > 1 && text.p[0] == CS_DER_SEQUENCE && (text.p[1] & 0x80) != 0)
        (void)cs_buf_add_view(der, text);
    else if (!cs_base64_decode(text, true, der) && !der->failed)
        return cs_fail(err, CS_FAILED, CS_R_SERVER_ANSWER_INVALID, "%.200s: %s are not base64", c->url, what);
    return cs_buf_ok(der, what, err);
}

static cs_status certificates(const client *c, const call_answer *a, cs_certs *bag, cs_err *err) {
    CS_SCOPED(cs_buf) der = cs_buf_of(CALL_ANSWER_MAX);
    TRY(decode(c, a, "the certificates", &der, err));
    if (cs_cms_certs_read(cs_buf_view(&der), "the certificates", bag, err) == CS_OK) return CS_OK;
    err->reason = CS_R_SERVER_ANSWER_INVALID;
    return cs_fail_in(err, "%.200s", c->url);
}

/* ---- before a key is made ---- */

static cs_status get_cas(client *c, cs_err *err) {
    CS_SCOPED(cs_buf) url = cs_buf_of(CALL_URL_MAX);
    CS_SCOPED(call_answer) a = {.status = 0};
    CS_SCOPED(cs_certs) bag = {.n = 0};
    TRY(op_url(c, "cacerts", &url, err));
    /* @rfc 7030#4.1.1: with a fingerprint, what comes is judged by it, and only then anything is said of us */
    call_ask ask = {.url = cs_buf_cstr(&url), .unproven = c->fingerprint != NULL};
    TRY(call_perform(c->http, &ask, &a, err));
    if (a.status != 200) return client_refused(c, a.status, cs_buf_view(&a.body), err);
    TRY(certificates(c, &a, &bag, err));
    return client_take_cas(c, &bag, !ask.unproven, err);
}

/* What a server asks of keys is an OID in a list of OIDs and attributes; the rest is passed over. @rfc 8951#3.2 */
static void take_wish(client *c, cs_view oid) {
    static const struct {
        cs_view oid;
        cs_key_spec spec;
    } wishes[] = {{CS_OID_LIT("\x2a\x86\x48\xce\x3d\x03\x01\x07"), CS_KEYSPEC_ECDSA_P256},
                  {CS_OID_LIT("\x2b\x81\x04\x00\x22"), CS_KEYSPEC_ECDSA_P384},
                  {CS_OID_LIT("\x2b\x65\x70"), CS_KEYSPEC_ED25519},
                  {CS_OID_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"), CS_KEYSPEC_RSA_3072}};
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
        if (!c->spec_said && cs_view_eq(oid, wishes[i].oid)) c->spec = wishes[i].spec;
}

static void read_wishes(client *c, cs_view der) {
    cs_der_fault fault = {.rule = NULL};
    cs_der d = cs_der_of(der, &fault), all = cs_der_in(&d, CS_DER_SEQUENCE), attribute;
    while (cs_der_more(&all)) {
        if (cs_der_peek(&all) == CS_DER_OID) {
            take_wish(c, cs_der_oid(&all));
            continue;
        }
        attribute = cs_der_in(&all, CS_DER_SEQUENCE);
        take_wish(c, cs_der_oid(&attribute));
        cs_der values = cs_der_in(&attribute, CS_DER_SET);
        while (cs_der_more(&values)) {
            uint8_t tag = 0;
            cs_view value = cs_der_any(&values, &tag, NULL);
            if (tag == CS_DER_OID) take_wish(c, value);
        }
    }
}

/* Optional (4.5): a server that has none says 204 or 404, and others say what they like. */
static cs_status get_wishes(client *c, cs_err *err) {
    CS_SCOPED(cs_buf) url = cs_buf_of(CALL_URL_MAX), der = cs_buf_of(CALL_ANSWER_MAX);
    CS_SCOPED(call_answer) a = {.status = 0};
    cs_err ignored;
    TRY(op_url(c, "csrattrs", &url, err));
    call_ask ask = {.url = cs_buf_cstr(&url)};
    TRY(call_perform(c->http, &ask, &a, err));
    if (a.status == 200 && decode(c, &a, "csrattrs", &der, &ignored) == CS_OK) read_wishes(c, cs_buf_view(&der));
    return CS_OK;
}

static cs_status prepare(client *c, cs_err *err) {
    TRY(get_cas(c, err));
    return get_wishes(c, err);
}

/* ---- asking ---- */

static cs_status waits(client *c, const call_answer *a) {
    c->retry = a->retry > 0 ? a->retry : RETRY_DEFAULT_SECONDS * CS_SEC;
    cs_view words = cs_view_trim(cs_buf_view(&a->body));
    (void)snprintf(c->waits, sizeof c->waits, "%.*s", (int)(words.n < 100 ? words.n : 100), (const char *)words.p);
    return CS_AGAIN;
}

static cs_status ask_again(client *c, cs_err *err) {
    bool renews = c->old != NULL && c->secret == NULL;
    CS_SCOPED(cs_buf) url = cs_buf_of(CALL_URL_MAX), body = cs_buf_of((size_t)2 * CS_CSR_MAX);
    CS_SCOPED(call_answer) a = {.status = 0};
    TRY(op_url(c, renews ? "simplereenroll" : "simpleenroll", &url, err));
    (void)cs_base64_add(&body, c->csr);
    (void)cs_buf_add_byte(&body, '\n');
    TRY(cs_buf_ok(&body, "the request", err));
    call_ask ask = {.url = cs_buf_cstr(&url),
                    .body = cs_buf_view(&body),
                    .type = "application/pkcs10",
                    .fields = {"Content-Transfer-Encoding: base64"}, /* RFC 7030's servers want it */
                    .field_count = 1,
                    .user = c->secret != NULL ? c->user : NULL,
                    .pass = c->secret};
    TRY(call_perform(c->http, &ask, &a, err));
    if (a.status == 202) return waits(c, &a);
    if (a.status != 200) return client_refused(c, a.status, cs_buf_view(&a.body), err);
    return certificates(c, &a, &c->chain, err);
}

const client_protocol client_est = {
    .name = "est",
    .paths = {WELL_KNOWN},
    .prepare = prepare,
    .ask = ask_again,
};
