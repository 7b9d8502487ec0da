/* Certificates asked for by EST: the frame around proto/est's client half. @rfc 7030 */
#include <stdlib.h>
#include <string.h>

#include "lib/call.h"
#include "proto/client/client.h"
#include "x509/csr.h"

struct cs_enrollment {
    client c;
    cs_trust *trust;
    cs_credential *old;
    cs_key *key;
    cs_secret *token;
    cs_buf csr;
    cs_identity who;
    char *url, *user;
    call *http;
};
CS_AUTO_DEFINE(cs_enrollment)

void cs_enrollment_free(cs_enrollment *e) {
    if (e == NULL) return;
    client_free(&e->c);
    cs_trust_free(e->trust);
    cs_credential_free(e->old);
    cs_key_free(e->key);
    cs_secret_free(e->token);
    cs_buf_free(&e->csr);
    free(e->url);
    free(e->user);
    call_free(e->http);
    free(e);
}

static cs_status begin(const char *url, cs_trust *trust, cs_credential *old, unsigned timeout, cs_enrollment **ret,
                       cs_err *err) {
    CS_AUTO(cs_enrollment) e = calloc(1, sizeof *e);
    if (e == NULL) return CS_NOMEM_ERR(err);
    e->trust = cs_trust_ref(trust);
    e->old = old != NULL ? cs_credential_ref(old) : NULL;
    e->csr = cs_buf_of(CS_CSR_MAX);
    e->url = strdup(url);
    if (e->url == NULL) return CS_NOMEM_ERR(err);
    TRY(lib_call_new(trust, old, timeout, &e->http, err));
    e->c.url = e->url;
    e->c.clock = cs_clock_system();
    e->c.rng = cs_rng_system();
    e->c.http = e->http;
    e->c.trust = &e->trust->certs;
    if (old != NULL) e->c.old = &e->old->chain, e->c.old_key = e->old->key;
    *ret = CS_TAKE(e);
    return CS_OK;
}

/* It is ours, and good under what is trusted; its intermediates are put in order. */
static cs_status judge(cs_enrollment *e, cs_certs *path, cs_err *err) {
    CS_SCOPED(cs_verdict) v = {.depth = -1};
    CS_SCOPED(cs_certs) extra = {NULL, 0};
    client *c = &e->c;
    const cs_want want = {.purpose = CS_PURPOSE_ANY,
                          .at = cs_now(c->clock),
                          .max_depth = -1,
                          .revocation = CS_REVOCATION_GIVEN,
                          .crls = e->trust->crls};
    if (c->chain.n == 0) return cs_fail(err, CS_FAILED, CS_R_SERVER_ANSWER_INVALID, "%s: no certificate", e->url);
    TRY(cs_key_match(e->key, c->chain.at[0]->spki, "what the server sent", err));
    for (size_t i = 1; i < c->chain.n; i++) TRY(cs_certs_add(&extra, cs_cert_ref(c->chain.at[i]), err));
    for (size_t i = 0; i < c->cas.n; i++) TRY(cs_certs_add(&extra, cs_cert_ref(c->cas.at[i]), err));
    TRY(cs_verify(e->trust->anchors, c->chain.at[0], &extra, &want, &v, err));
    if (!v.accepted) return cs_fail(err, CS_REFUSED, v.reason, "what the server issued: %s", v.detail);
    for (size_t i = 0; i + 1 < v.chain.n || i == 0; i++) TRY(cs_certs_add(path, cs_cert_ref(v.chain.at[i]), err));
    return CS_OK;
}

static cs_status ask(cs_enrollment *e, cs_credential **ret, unsigned *ret_wait, cs_err *err) {
    CS_SCOPED(cs_certs) path = {NULL, 0};
    cs_certs_free(&e->c.chain);
    e->c.chain = (cs_certs){NULL, 0};
    cs_status s = client_est.ask(&e->c, err);
    if (s == CS_AGAIN) *ret_wait = (unsigned)(e->c.retry / CS_SEC);
    TRY(s);
    TRY(judge(e, &path, err));
    cs_key *key = CS_TAKE(e->key);
    return lib_credential_of(&path, key, "what the server issued", "its key", ret, err);
}

static cs_status first(cs_enrollment *e, const char *name, const cs_san *sans, size_t san_count, cs_credential **ret,
                       unsigned *ret_wait, cs_err *err) {
    e->c.name = name;
    TRY(client_est.prepare(&e->c, err));
    TRY(cs_key_generate(e->c.spec, &e->key, err));
    TRY(cs_csr_make(e->key, name, sans, san_count, &e->csr, err));
    e->c.key = e->key;
    e->c.csr = cs_buf_view(&e->csr);
    return ask(e, ret, ret_wait, err);
}

/* One that waits is the caller's. */
static cs_status settle(cs_enrollment *take, cs_status s, cs_enrollment **ret_pending) {
    *ret_pending = NULL;
    if (s == CS_AGAIN)
        *ret_pending = take;
    else
        cs_enrollment_free(take);
    return s;
}

static cs_status take_token(cs_enrollment *e, const char *user, const char *token, cs_err *err) {
    if (token == NULL) return CS_OK;
    size_t n = strlen(token);
    e->user = strdup(user != NULL ? user : e->who.name);
    if (e->user == NULL) return CS_NOMEM_ERR(err);
    TRY(cs_secret_new(n + 1, &e->token, err));
    memcpy(e->token->p, token, n);
    e->token->n = n;
    e->c.user = e->user;
    e->c.secret = e->token;
    return CS_OK;
}

cs_status cs_enroll(const char *url, cs_trust *trust, const char *name, const char *user, const char *token,
                    unsigned timeout, cs_credential **ret, cs_enrollment **ret_pending, unsigned *ret_wait,
                    cs_err *err) {
    cs_enrollment *e = NULL;
    *ret_pending = NULL;
    size_t n = strlen(name);
    if (n == 0 || n > CS_IDENTITY_NAME_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "a name has 1 to %d octets", (int)CS_IDENTITY_NAME_MAX);
    TRY(begin(url, trust, NULL, timeout, &e, err));
    memcpy(e->who.name, name, n + 1);
    cs_status s = take_token(e, user, token, err);
    if (s == CS_OK) s = first(e, e->who.name, NULL, 0, ret, ret_wait, err);
    return settle(e, s, ret_pending);
}

cs_status cs_renew(const char *url, cs_trust *trust, cs_credential *old, unsigned timeout, cs_credential **ret,
                   cs_enrollment **ret_pending, unsigned *ret_wait, cs_err *err) {
    cs_enrollment *e = NULL;
    cs_view cn;
    *ret_pending = NULL;
    TRY(begin(url, trust, old, timeout, &e, err));
    const cs_cert *leaf = old->chain.at[0];
    cs_identity_of_cert(leaf, &e->who);
    if (cs_name_cn(leaf->subject, &cn) && cn.n > 0 && cn.n <= CS_IDENTITY_NAME_MAX) {
        memcpy(e->who.name, cn.p, cn.n);
        e->who.name[cn.n] = '\0';
    }
    return settle(e, first(e, e->who.name, leaf->sans, leaf->san_count, ret, ret_wait, err), ret_pending);
}

cs_status cs_enroll_again(cs_enrollment *pending, cs_credential **ret, unsigned *ret_wait, cs_err *err) {
    if (pending->key == NULL) return cs_fail(err, CS_REFUSED, CS_R_USAGE, "%s", "it has been answered");
    return ask(pending, ret, ret_wait, err);
}
