/* OCSP over HTTP: POST to /ocsp, GET of /ocsp/BASE64. @rfc 6960#A.1 @rfc 5019#5 */
#include "base/text.h"
#include "proto/rest/rest_priv.h"
#include "report/log.h"
#include "x509/digest.h"
#include "x509/ocsp.h"

static void reply_free(ocsp_reply *r) {
    cs_buf_free(&r->der);
}

static cs_status answer(rest_call *c, cs_view request, cs_err *err) {
    __attribute__((cleanup(reply_free))) ocsp_reply reply = {.cacheable = false};
    c->quiet = true; /* whatever it was, the answer says it */
    if (authority_ocsp(c->a, request, &reply, err) != CS_OK && cs_reason_of(err->reason)->http >= 500)
        log_failure(LOG_ERROR, "ocsp-failed", err);
    c->type = "application/ocsp-response";
    (void)cs_buf_add_view(&c->out, cs_buf_view(&reply.der));
    if (reply.cacheable) {
        uint8_t sha256[CS_SHA256_LEN];
        char hex[2 * CS_SHA256_LEN + 1];
        TRY(cs_sha256(cs_buf_view(&reply.der), sha256, err));
        (void)snprintf(c->etag_text, sizeof c->etag_text, "\"%s\"", cs_hex(cs_view_of(sha256, sizeof sha256), hex));
        c->etag = c->etag_text;
        c->modified = reply.this_update;
        c->expires = reply.next_update;
    }
    return CS_OK;
}

cs_status rest_ocsp_post(rest_call *c, cs_err *err) {
    const char *type = MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    cs_view want = CS_VIEW_LIT("application/ocsp-request");
    cs_view got = cs_view_str(type != NULL ? type : "");
    if (got.n > want.n && (got.p[want.n] == ';' || got.p[want.n] == ' ')) got.n = want.n;
    if (!cs_view_eq_nocase(got, want))
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "Content-Type: application/ocsp-request is expected");
    return answer(c, cs_buf_view(&c->body), err);
}

/* The path arrives with %XX decoded; base64 has '/' in it. */
cs_status rest_ocsp_get(rest_call *c, cs_err *err) {
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_OCSP_REQUEST_MAX);
    if (!cs_base64_decode(cs_view_str(c->rest), true, &der)) cs_buf_clear(&der); /* malformedRequest */
    return answer(c, cs_buf_view(&der), err);
}

/* ---- for who serves a certificate of ours: what to staple ---- */

typedef struct stapled {
    rest_call *c;
    const char *serial;
    cs_buf request;
} stapled;

static cs_status make_request(void *cls, store *st, cs_err *err) {
    stapled *s = cls;
    store_cert row;
    CS_AUTO(cs_cert) leaf = NULL;
    TRY(store_cert_by_serial(st, s->serial, &row, err));
    const authority_ca *ca = authority_ca_of(s->c->a, row.issuer);
    if (row.der.n == 0 || ca == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "%s: no CA here answers for it", s->serial);
    TRY(cs_cert_decode(row.der, &leaf, err));
    return cs_ocsp_request(leaf, ca->cert, (cs_view){NULL, 0}, &s->request, err);
}

cs_status rest_ocsp_of(rest_call *c, cs_err *err) {
    uint8_t bytes[CS_SERIAL_MAX];
    char serial[STORE_SERIAL_TEXT];
    size_t n = 0;
    __attribute__((cleanup(reply_free))) ocsp_reply reply = {.cacheable = false};
    CS_SCOPED(cs_buf) text = cs_buf_of((size_t)2 * CS_OCSP_MAX);
    if (!cs_hex_decode(cs_view_str(c->rest), bytes, sizeof bytes, &n))
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "%.64s is no serial number", c->rest);
    stapled s = {.c = c, .serial = cs_hex(cs_view_of(bytes, n), serial), .request = cs_buf_of(CS_OCSP_REQUEST_MAX)};
    cs_status status = authority_read(c->a, make_request, &s, err);
    if (status == CS_OK) status = authority_ocsp(c->a, cs_buf_view(&s.request), &reply, err);
    cs_buf_free(&s.request);
    TRY(status);
    (void)cs_base64_add(&text, cs_buf_view(&reply.der));
    TRY(cs_buf_ok(&text, "the answer", err));
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "serial", serial);
    cs_json_time(&j, "this_update", reply.this_update);
    cs_json_time(&j, "next_update", reply.next_update);
    cs_json_view(&j, "der", cs_buf_view(&text));
    cs_json_object_end(&j);
    return CS_OK;
}
