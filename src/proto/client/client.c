/* What the client halves share. */
#include "proto/client/client.h"

#include <stdio.h>

#include "base/text.h"
#include "verify/verify.h"
#include "x509/pem.h"

void client_free(client *c) {
    cs_certs_free(&c->cas);
    cs_certs_free(&c->chain);
}

/* ---- the CA's certificates ---- */

static bool has(const cs_certs *bag, const cs_cert *c) {
    for (size_t i = 0; bag != NULL && i < bag->n; i++)
        if (memcmp(bag->at[i]->sha256, c->sha256, sizeof c->sha256) == 0) return true;
    return false;
}

static bool is_root(const cs_cert *c) {
    return cs_view_eq(c->subject, c->issuer);
}

static cs_status check_fingerprint(client *c, const cs_certs *bag, cs_err *err) {
    CS_SCOPED(cs_buf) pem = cs_buf_of(CS_PEM_FILE_MAX);
    char hex[65];
    for (size_t i = 0; i < bag->n; i++) {
        if (memcmp(bag->at[i]->sha256, c->fingerprint, 32) != 0) continue;
        if (!cs_pem_add_cert(&pem, bag->at[i])) return CS_NOMEM_ERR(err);
        return call_trust(c->http, cs_buf_view(&pem), err);
    }
    return cs_fail(err, CS_REFUSED, CS_R_SERVER_UNTRUSTED, "none of its %zu CA certificates has the SHA-256 %s", bag->n,
                   cs_hex(cs_view_of(c->fingerprint, 32), hex));
}

static cs_status check_known(const client *c, const cs_certs *bag, cs_err *err) {
    size_t known = 0;
    char name[CS_NAME_TEXT_MAX + 1];
    for (size_t i = 0; i < bag->n; i++) {
        bool it = has(c->trust, bag->at[i]);
        if (it) known++;
        if (!it && is_root(bag->at[i]))
            return cs_fail(err, CS_REFUSED, CS_R_SERVER_UNTRUSTED, "its root %.200s is not one that is trusted",
                           cs_name_text(bag->at[i]->subject, name));
    }
    if (c->trust != NULL && (known > 0 || c->trust->n > 0)) return CS_OK; /* what is below is judged with the chain */
    return cs_fail(err, CS_REFUSED, CS_R_SERVER_UNTRUSTED, "nothing says which CA this server should have");
}

cs_status client_take_cas(client *c, const cs_certs *bag, bool proven, cs_err *err) {
    if (bag->n == 0) return cs_fail(err, CS_FAILED, CS_R_SERVER_ANSWER_INVALID, "it names no CA certificate");
    if (c->fingerprint != NULL) {
        TRY(check_fingerprint(c, bag, err));
    } else if (!proven) {
        TRY(check_known(c, bag, err));
    }
    for (size_t i = 0; i < bag->n; i++) {
        const cs_cert *one = bag->at[i];
        /* a fingerprint vouches for its own certificate, not for other roots that came with it */
        bool vouched = c->fingerprint == NULL || !is_root(one) || memcmp(one->sha256, c->fingerprint, 32) == 0;
        if (!vouched || has(&c->cas, one)) continue;
        TRY(cs_certs_add(&c->cas, cs_cert_ref(one), err));
    }
    return CS_OK;
}

cs_status client_check_signer(const client *c, const cs_cert *signer, const cs_certs *extra, cs_err *err) {
    CS_SCOPED(cs_verdict) v = {.depth = -1};
    CS_AUTO(cs_anchors) anchors = NULL;
    TRY(cs_anchors_new(c->cas.n > 0 ? &c->cas : c->trust, &anchors, err));
    const cs_want want = {
        .purpose = CS_PURPOSE_ANY, .at = cs_now(c->clock), .max_depth = -1, .revocation = CS_REVOCATION_OFF};
    TRY(cs_verify(anchors, signer, extra, &want, &v, err));
    if (v.accepted) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_SERVER_UNTRUSTED, "who signed the answer: %s: %s",
                   cs_reason_of(v.reason)->name, v.detail);
}

/* ---- refusals ---- */

cs_status client_refused(const client *c, unsigned status, cs_view words, cs_err *err) {
    char name[64] = "";
    size_t n = 0;
    CS_SCOPED(cs_buf) said = cs_buf_of(1024);
    while (n < words.n && n < sizeof name - 1 && ((words.p[n] >= 'a' && words.p[n] <= 'z') || words.p[n] == '-')) n++;
    if (n > 0) memcpy(name, words.p, n);
    cs_reason known = n < words.n && words.p[n] == ':' ? cs_reason_by_name(name) : CS_R_NONE;
    (void)cs_text_escape(&said, cs_view_trim(words), 200);
    const char *text = cs_buf_cstr(&said);
    if (known == CS_R_NONE) known = status >= 500 ? CS_R_SERVER_ANSWER_INVALID : CS_R_ENROLLMENT_REFUSED;
    return cs_fail(err, CS_REFUSED, known, "%.200s answers %u: %s", c->url, status, text != NULL ? text : "");
}
