#include "proto/client/frame.h"

#include <string.h>

#include "base/text.h"
#include "verify/verify.h"
#include "x509/pem.h"

/* ---- for whom ---- */

static cs_status add_san(client_who *w, cs_san_type type, const char *text, cs_err *err) {
    if (w->san_count == CS_ISSUE_SAN_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "more than %d names", CS_ISSUE_SAN_MAX);
    TRY(cs_san_make(type, cs_view_str(text), w->bytes[w->san_count], &w->sans[w->san_count], err));
    w->san_count++;
    return CS_OK;
}

static cs_status add_sans(client_who *w, cs_san_type type, const client_texts *texts, cs_err *err) {
    for (size_t i = 0; texts != NULL && i < texts->n; i++) TRY(add_san(w, type, texts->at[i], err));
    return CS_OK;
}

static cs_status take_name(client_who *w, const char *name, cs_kind kind, const cs_certs *old, cs_err *err) {
    cs_view cn;
    if (name != NULL && kind != CS_KIND_OTHER) return cs_identity_make(kind, cs_view_str(name), &w->who, err);
    if (name != NULL) {
        size_t n = strlen(name);
        if (n == 0 || n > CS_IDENTITY_NAME_MAX || !cs_utf8_valid(cs_view_of(name, n)))
            return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "--name has 1 to %d octets of UTF-8",
                           CS_IDENTITY_NAME_MAX);
        memcpy(w->who.name, name, n + 1);
        return CS_OK;
    }
    if (old->n == 0) return cs_fail(err, CS_REFUSED, CS_R_USAGE, "say for whom: --name NAME");
    if (cs_name_cn(old->at[0]->subject, &cn) && cn.n > 0 && cn.n <= CS_IDENTITY_NAME_MAX)
        memcpy(w->who.name, cn.p, cn.n);
    else
        cs_identity_of_cert(old->at[0], &w->who);
    return CS_OK;
}

static size_t count(const client_texts *texts) {
    return texts != NULL ? texts->n : 0;
}

cs_status client_decide_who(client_who *w, const char *name, cs_kind kind, const client_texts *dns,
                            const client_texts *ip, const client_texts *email, const cs_certs *old, cs_err *err) {
    cs_err ignored;
    TRY(take_name(w, name, kind, old, err));
    if (old->n > 0 && count(dns) + count(ip) + count(email) == 0) { /* who renews keeps its names */
        for (size_t i = 0; i < old->at[0]->san_count && w->san_count < CS_ISSUE_SAN_MAX; i++)
            w->sans[w->san_count++] = old->at[0]->sans[i];
        return CS_OK;
    }
    /* other people's servers take a server's and a user's name from the request */
    if (kind == CS_KIND_USER) TRY(add_san(w, CS_SAN_EMAIL, w->who.name, err));
    if (kind == CS_KIND_SERVER && add_san(w, CS_SAN_IP, w->who.name, &ignored) != CS_OK)
        TRY(add_san(w, CS_SAN_DNS, w->who.name, err));
    TRY(add_sans(w, CS_SAN_DNS, dns, err));
    TRY(add_sans(w, CS_SAN_IP, ip, err));
    return add_sans(w, CS_SAN_EMAIL, email, err);
}

/* ---- what came ---- */

cs_status client_put_pem(const cs_certs *bag, const char *what, cs_buf *pem, cs_err *err) {
    for (size_t i = 0; i < bag->n; i++) (void)cs_pem_add_cert(pem, bag->at[i]);
    return cs_buf_ok(pem, what, err);
}

static bool is_root(const cs_cert *c) {
    return cs_view_eq(c->subject, c->issuer);
}

static cs_status gather(const client *c, cs_certs *anchors, cs_certs *extra, cs_err *err) {
    for (size_t i = 0; i < c->cas.n; i++)
        TRY(cs_certs_add(is_root(c->cas.at[i]) ? anchors : extra, cs_cert_ref(c->cas.at[i]), err));
    for (size_t i = 0; c->trust != NULL && i < c->trust->n; i++)
        TRY(cs_certs_add(anchors, cs_cert_ref(c->trust->at[i]), err));
    for (size_t i = 1; i < c->chain.n; i++) TRY(cs_certs_add(extra, cs_cert_ref(c->chain.at[i]), err));
    return CS_OK;
}

static cs_status write_chain(const client *c, const cs_certs *chain, const cs_certs *anchors, cs_buf *crt_pem,
                             cs_buf *ca_pem, cs_err *err) {
    for (size_t i = 0; i < chain->n && (i == 0 || i + 1 < chain->n); i++) (void)cs_pem_add_cert(crt_pem, chain->at[i]);
    for (size_t i = 0; i < c->cas.n; i++)
        if (is_root(c->cas.at[i])) (void)cs_pem_add_cert(ca_pem, c->cas.at[i]);
    for (size_t i = 0; ca_pem->n == 0 && i < anchors->n; i++) (void)cs_pem_add_cert(ca_pem, anchors->at[i]);
    TRY(cs_buf_ok(crt_pem, "the certificates", err));
    return cs_buf_ok(ca_pem, "the CA's certificates", err);
}

cs_status client_judge(const client *c, const cs_key *key, cs_time at, cs_buf *crt_pem, cs_buf *ca_pem, cs_err *err) {
    CS_SCOPED(cs_certs) anchors = {.n = 0}, extra = {.n = 0};
    CS_SCOPED(cs_verdict) v = {.depth = -1};
    CS_AUTO(cs_anchors) set = NULL;
    const cs_certs *got = &c->chain;
    cs_buf_clear(crt_pem);
    cs_buf_clear(ca_pem);
    if (got->n == 0) return cs_fail(err, CS_FAILED, CS_R_SERVER_ANSWER_INVALID, "no certificate came");
    TRY(cs_key_match(key, got->at[0]->spki, "the certificate that came", err));
    TRY(gather(c, &anchors, &extra, err));
    TRY(cs_anchors_new(&anchors, &set, err));
    cs_want want = {.purpose = CS_PURPOSE_ANY, .at = at, .max_depth = -1, .revocation = CS_REVOCATION_OFF};
    TRY(cs_verify(set, got->at[0], &extra, &want, &v, err));
    if (!v.accepted) return cs_fail(err, CS_REFUSED, v.reason, "the certificate that came: %s", v.detail);
    return write_chain(c, &v.chain, &anchors, crt_pem, ca_pem, err);
}
