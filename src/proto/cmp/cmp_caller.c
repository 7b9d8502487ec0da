/* Who protected a message: the holder of a token, by its secret (senderKID says whose), or of a certificate. */
#include <stdio.h>

#include "proto/cmp/cmp_door.h"
#include "x509/digest.h"

void cmp_ask_of(const cmp_exchange *x, enroll_ask *ret) {
    *ret = x->at;
    ret->source = rest_header(x->c, "X-Forwarded-For");
    ret->certificate = x->signer;
    ret->chain = &x->in.extra;
    ret->trace = x->trace;
    ret->token = x->token[0] != '\0' ? x->token : NULL;
    if (x->how == CMP_BY_SECRET) ret->name = cs_view_str(x->name);
}

/* ---- by a secret ---- */

typedef struct trying {
    cmp_exchange *x;
    cs_view covered;
    unsigned work; /* left */
} trying;

static bool fits(void *cls, cs_view text) {
    trying *t = cls;
    uint8_t mac[CS_CMP_MAC_MAX];
    size_t n = 0;
    cs_err ignored;
    unsigned work = cs_cmp_mac_work(&t->x->mac);
    if (work > t->work) return false;
    t->work -= work;
    if (cs_cmp_mac_compute(&t->x->mac, text, t->covered, mac, &n, &ignored) != CS_OK) return false;
    if (!cs_view_eq_consttime(cs_view_of(mac, n), t->x->in.protection)) return false;
    cs_buf_clear(&t->x->secret);
    return cs_buf_add_view(&t->x->secret, text);
}

/* The reference is the identity's name, as the token was made for: senderKID, else the sender's commonName. */
static bool reference(const cmp_exchange *x, cs_view *ret) {
    *ret = x->in.h.sender_kid;
    return ret->n > 0 || (x->in.h.sender.n > 0 && cs_name_cn(x->in.h.sender, ret));
}

static cs_status by_secret(cmp_exchange *x, cs_view covered, cs_err *err) {
    trying t = {x, covered, CS_CMP_WORK_MAX};
    cs_view name;
    enroll_ask ask;
    cmp_ask_of(x, &ask);
    TRY(cs_cmp_mac_read(x->in.h.protection_alg, &x->mac, err));
    if (!reference(x, &name) || name.n > CMP_TEXT_MAX || memchr(name.p, '\0', name.n) != NULL)
        return cs_fail(err, CS_REFUSED, CS_R_TOKEN_INVALID, "neither senderKID nor sender says whose token it is");
    memcpy(x->name, name.p, name.n);
    x->name[name.n] = '\0';
    TRY(enroll_token_try(x->c->e, name, ask.source, fits, &t, x->token, err));
    x->how = CMP_BY_SECRET;
    return cs_sha256(cs_view_str(x->token), x->who, err);
}

/* ---- by a certificate ---- */

/* The first of extraCerts (RFC 9483 3.3), unless another is the one that senderKID names. */
static const cs_cert *find_signer(const cmp_message *m) {
    for (size_t i = 0; m->h.sender_kid.n > 0 && i < m->extra.n; i++)
        if (cs_view_eq(m->extra.at[i]->skid, m->h.sender_kid)) return m->extra.at[i];
    return m->extra.n > 0 ? m->extra.at[0] : NULL;
}

static cs_status by_certificate(cmp_exchange *x, cs_view covered, cs_err *err) {
    const cs_cert *signer = find_signer(&x->in);
    if (signer == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_REQUIRED, "extraCerts lacks the certificate that protects it");
    x->signer = signer; /* for the record, should it be refused */
    TRY(cs_cmp_signature_check(signer, x->in.h.protection_alg, covered, x->in.protection, err));
    if (x->in.h.sender.n > 0 && !cs_view_eq(x->in.h.sender, signer->subject))
        return cs_fail(err, CS_REFUSED, CS_R_SIGNATURE_INVALID, "the sender is not the holder of the certificate");
    x->how = CMP_BY_CERTIFICATE;
    memcpy(x->who, signer->sha256, sizeof x->who);
    return CS_OK;
}

static cs_status prove(cmp_exchange *x, cs_err *err) {
    CS_SCOPED(cs_buf) covered = cs_buf_of(CMP_MESSAGE_MAX + 8);
    TRY(cmp_covered(&x->in, &covered, err));
    if (cs_cmp_mac_is(x->in.h.protection_alg)) return by_secret(x, cs_buf_view(&covered), err);
    return by_certificate(x, cs_buf_view(&covered), err);
}

cs_status cmp_caller(cmp_exchange *x, cs_err *err) {
    enroll_ask ask;
    if (x->in.protection.n == 0) return CS_OK;
    TRY(enroll_may_try(x->c->e, rest_header(x->c, "X-Forwarded-For"), err));
    cs_status status = prove(x, err);
    if (status == CS_OK) return CS_OK;
    if (status == CS_REFUSED && err->reason != CS_R_TOO_MANY_GUESSES) {
        cmp_ask_of(x, &ask);
        enroll_refused(x->c->e, &ask, x->name, err);
    }
    x->how = CMP_BY_NOBODY;
    x->signer = NULL;
    return status;
}
