/* Refusals as ACME's clients read them: problem documents with a type of RFC 8555 6.7. */
#include <stdio.h>
#include <string.h>

#include "proto/acme/acme_priv.h"

typedef struct row {
    cs_reason reason;
    const char *type;
    unsigned status; /* 0: the reason's */
} row;

static const row rows[] = {
    {CS_R_NONCE_INVALID, "badNonce", 0},
    {CS_R_JWS_ALGORITHM_UNSUPPORTED, "badSignatureAlgorithm", 0},
    {CS_R_JWS_URL_MISMATCH, "unauthorized", 0},
    {CS_R_ACCOUNT_UNKNOWN, "accountDoesNotExist", 0},
    {CS_R_ACCOUNT_DEACTIVATED, "unauthorized", 0},
    {CS_R_EXTERNAL_ACCOUNT_REQUIRED, "externalAccountRequired", 0},
    {CS_R_TOKEN_INVALID, "unauthorized", 0},
    {CS_R_TOO_MANY_GUESSES, "rateLimited", 0},
    {CS_R_TOO_MANY_ORDERS, "rateLimited", 0},
    {CS_R_CONTACT_UNSUPPORTED, "unsupportedContact", 0},
    {CS_R_IDENTIFIER_UNSUPPORTED, "unsupportedIdentifier", 0},
    {CS_R_NAME_INVALID, "rejectedIdentifier", 0},
    {CS_R_NAME_NOT_ALLOWED, "rejectedIdentifier", 0},
    {CS_R_PROFILE_UNKNOWN, "invalidProfile", 400},
    {CS_R_PROFILE_VIOLATED, "rejectedIdentifier", 0},
    {CS_R_ORDER_NOT_READY, "orderNotReady", 0},
    {CS_R_ALREADY_REPLACED, "alreadyReplaced", 0},
    {CS_R_ALREADY_REVOKED, "alreadyRevoked", 400},
    {CS_R_REASON_INVALID, "badRevocationReason", 0},
    {CS_R_PERMISSION_DENIED, "unauthorized", 0},
    {CS_R_REQUEST_DENIED, "unauthorized", 0},
    {CS_R_KEY_MALFORMED, "badPublicKey", 0},
    {CS_R_KEY_TOO_WEAK, "badPublicKey", 400},
    {CS_R_KEY_UNSUPPORTED, "badPublicKey", 400},
    {CS_R_CSR_MALFORMED, "badCSR", 0},
    {CS_R_CSR_POP_FAILED, "badCSR", 0},
    {CS_R_CSR_ASKS_FOR_CA, "badCSR", 0},
    {CS_R_FILE_WRONG_TYPE, "badCSR", 400},
    {CS_R_FILE_EMPTY, "badCSR", 400},
    {CS_R_ALGORITHM_TOO_WEAK, "badCSR", 0},
    {CS_R_KEY_COMPROMISED, "badCSR", 0},
    {CS_R_ATTESTATION_INVALID, "badAttestationStatement", 0},
    {CS_R_CHALLENGE_FAILED, "incorrectResponse", 0},
    {CS_R_FETCH_FAILED, "connection", 400},
    {CS_R_FETCH_FORBIDDEN, "rejectedIdentifier", 0},
    {CS_R_NETWORK_FAILED, "connection", 400},
    {CS_R_TLS_HANDSHAKE_FAILED, "tls", 0},
    {CS_R_DNS_FAILED, "dns", 0},
    {CS_R_SIGNATURE_INVALID, "malformed", 400},
};

/* What the client may hear in words: what it did itself. What is wrong with a secret, or where a name leads in our
 * network, is not for it. */
static bool may_hear(const cs_err *err) {
    bool outside = err->reason == CS_R_FETCH_FAILED || err->reason == CS_R_NETWORK_FAILED;
    return (cs_reason_of(err->reason)->http < 500 || outside) && err->reason != CS_R_TOKEN_INVALID &&
           err->reason != CS_R_TOO_MANY_GUESSES && err->reason != CS_R_FETCH_FORBIDDEN;
}

static void put(cs_json *j, const cs_err *err, bool csr, unsigned *ret_status) {
    const cs_reason_info *r = cs_reason_of(err->reason);
    const char *type = r->http >= 500 ? "serverInternal" : "malformed";
    char urn[64], detail[CS_DETAIL_MAX + 160];
    *ret_status = (unsigned)r->http;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].reason != err->reason) continue;
        type = rows[i].type;
        if (rows[i].status != 0) *ret_status = rows[i].status;
    }
    bool about_request = strcmp(type, "badPublicKey") == 0 || strcmp(type, "rejectedIdentifier") == 0;
    if (csr && about_request) type = "badCSR";
    (void)snprintf(urn, sizeof urn, "urn:ietf:params:acme:error:%s", type);
    bool told = may_hear(err) && err->detail[0] != '\0';
    (void)snprintf(detail, sizeof detail, "%s%s%s", r->says, told ? ": " : "", told ? err->detail : "");
    cs_json_str(j, "type", urn);
    cs_json_str(j, "detail", detail);
    cs_json_int(j, "status", *ret_status);
    cs_json_str(j, "reason", r->name);
    if (err->reason == CS_R_JWS_ALGORITHM_UNSUPPORTED) cs_json_raw(j, "algorithms", CS_VIEW_LIT(JWS_ALGORITHMS));
}

void acme_refuse(acme_call *x, const cs_err *err) {
    rest_call *c = x->c;
    cs_buf_clear(&c->out);
    c->out.failed = false;
    c->type = "application/problem+json";
    c->etag = NULL;
    c->modified = c->expires = 0;
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    put(&j, err, x->csr, &c->status);
    cs_json_object_end(&j);
    if (c->status == MHD_HTTP_TOO_MANY_REQUESTS) rest_retry_after(c, CS_MIN);
}

void acme_problem_text(const cs_err *err, bool csr, char out[STORE_PROBLEM_MAX + 1]) {
    unsigned status = 0;
    cs_err cut = *err;
    CS_SCOPED(cs_buf) b = cs_buf_of(4 * STORE_PROBLEM_MAX);
    cut.detail[200] = '\0';
    cs_json j = cs_json_to(&b);
    cs_json_object(&j, NULL);
    put(&j, &cut, csr, &status);
    cs_json_object_end(&j);
    const char *text = cs_buf_cstr(&b);
    bool fits = text != NULL && !b.failed && b.n <= STORE_PROBLEM_MAX;
    (void)snprintf(out, STORE_PROBLEM_MAX + 1, "%s",
                   fits ? text : "{\"type\":\"urn:ietf:params:acme:error:serverInternal\"}");
}
