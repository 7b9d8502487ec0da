/* Revocation by OCSP responses that are at hand: stapled, fetched or from a file. @rfc 6960#3.2
 * A response counts when an authorised responder signed it, it is about this certificate of this issuer, and it is
 * current. One that is authentic and says "revoked" for good is believed out of date too. */
#include <stdlib.h>

#include "verify/verify_priv.h"

cs_status cs_ocsps_new(cs_ocsps **ret, cs_err *err) {
    cs_ocsps *s = calloc(1, sizeof *s);
    if (!s) return CS_NOMEM_ERR(err);
    s->refs = 1;
    *ret = s;
    return CS_OK;
}

cs_ocsps *cs_ocsps_ref(cs_ocsps *s) {
    if (s) __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void cs_ocsps_free(cs_ocsps *s) {
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    for (size_t i = 0; i < s->n; i++) cs_ocsp_free(s->at[i]);
    free(s->at);
    free(s);
}

cs_status cs_ocsps_read(cs_ocsps *set, cs_view der, const char *what, cs_err *err) {
    CS_AUTO(cs_ocsp) o = NULL;
    if (der.n == 0) return cs_fail(err, CS_REFUSED, CS_R_FILE_EMPTY, "%s", what);
    cs_status s = cs_ocsp_decode(der, &o, err);
    if (s != CS_OK) return cs_fail_in(err, "%s", what);
    cs_ocsp **grown = realloc(set->at, (set->n + 1) * sizeof(cs_ocsp *));
    if (!grown) return CS_NOMEM_ERR(err);
    set->at = grown;
    set->at[set->n++] = CS_TAKE(o);
    return CS_OK;
}

typedef struct asking {
    cs_run *run;
    const cs_cert *issuer;
    const cs_want *want;
    size_t depth;
    cs_refusal *why_not;
} asking;

static bool no(const asking *a, const char *why) {
    return cs_refuse(a->why_not, CS_R_OCSP_INVALID, (int)a->depth, "%s", why);
}

/* ---- may it answer for this issuer? @rfc 6960#4.2.2.2 ---- */

/* A delegate without id-pkix-ocsp-nocheck is itself looked up in what was given. */
static bool delegate_revoked(const asking *a, const cs_cert *c) {
    cs_crl_entry e;
    if (cs_cert_has_nocheck(c)) return false;
    if (a->want->revset && cs_revset_has(a->want->revset, a->issuer->spki_sha256, c->serial, NULL)) return true;
    for (size_t i = 0; a->want->crls && i < a->want->crls->n; i++) {
        const cs_crl *crl = a->want->crls->at[i];
        if (!cs_name_eq(crl->issuer, a->issuer->subject) || !cs_crl_find(crl, c->issuer, c->serial, &e)) continue;
        if (e.reason != 8 && cs_run_signed(a->run, crl, &crl->alg, crl->tbs, crl->sig, a->issuer)) return true;
    }
    return false;
}

/* Issued directly by the same key, and for this alone. */
static bool is_delegate(const asking *a, const cs_cert *c) {
    const cs_cert_more *m = cs_cert_more_of(c);
    int64_t now = cs_time_seconds(a->want->at);
    if (m->flaw_any.reason != CS_R_NONE || m->flaw_critical.reason != CS_R_NONE || m->flaw_key.reason != CS_R_NONE ||
        m->alg.flaw.reason != CS_R_NONE)
        return no(a, "the responder's certificate is malformed or has a weak key or signature");
    if (!cs_name_eq(c->issuer, a->issuer->subject) ||
        (c->akid.n && a->issuer->skid.n && !cs_view_eq(c->akid, a->issuer->skid)))
        return no(a, "the responder's certificate is not of the issuer of the certificate in question");
    if (!c->has_eku || !(c->eku & CS_EKU_OCSP_SIGNING))
        return no(a, "extendedKeyUsage: the responder's certificate is not for OCSP signing");
    if (c->has_key_usage && !(c->key_usage & (CS_KU_DIGITAL_SIGNATURE | CS_KU_NON_REPUDIATION)))
        return no(a, "keyUsage: digitalSignature is not set in the responder's certificate");
    if (now < cs_time_seconds(c->not_before) || now > cs_time_seconds(c->not_after))
        return no(a, "the responder's certificate is not valid at that time");
    if (!cs_run_cert_signed(a->run, c, a->issuer))
        return no(a, "the responder's certificate was not signed by the issuer of the certificate in question");
    if (delegate_revoked(a, c)) return no(a, "the responder's certificate is revoked");
    return true;
}

static bool signed_by(const asking *a, const cs_ocsp *o, const cs_cert *c) {
    if (cs_cert_more_of(c)->flaw_key.reason != CS_R_NONE) return false;
    return cs_run_signed(a->run, o, &o->alg, o->tbs, o->sig, c);
}

static bool authorised(const asking *a, const cs_ocsp *o) {
    if (o->alg.flaw.reason != CS_R_NONE) return no(a, "signatureAlgorithm: too weak, or not supported");
    if (cs_ocsp_is_by(o, a->issuer) && signed_by(a, o, a->issuer)) return true;
    for (size_t i = 0; i < o->certs.n; i++) {
        const cs_cert *c = o->certs.at[i];
        if (!cs_ocsp_is_by(o, c) || !is_delegate(a, c)) continue;
        if (signed_by(a, o, c)) return true;
    }
    return no(a, "no responder that the issuer has authorised signed it");
}

/* ---- is it of now? ---- */

static bool current(const asking *a, const cs_ocsp_single *s, cs_time *until) {
    char then[CS_TIME_TEXT_MAX];
    int64_t now = cs_time_seconds(a->want->at);
    cs_time ends = s->this_update + (s->has_next_update ? CS_OCSP_AGE_MAX : CS_OCSP_AGE_WITHOUT_NEXT);
    if (s->has_next_update && s->next_update < ends) ends = s->next_update;
    if (cs_time_seconds(s->this_update) > now)
        return cs_refuse(a->why_not, CS_R_OCSP_STALE, (int)a->depth, "thisUpdate is %s, in the future",
                         cs_time_text(s->this_update, then));
    if (cs_time_seconds(ends) < now - cs_time_seconds(a->want->grace))
        return cs_refuse(a->why_not, CS_R_OCSP_STALE, (int)a->depth, "it counted until %s", cs_time_text(ends, then));
    *until = ends;
    return true;
}

cs_ocsp_says cs_ocsp_ask(cs_run *run, const cs_path *path, size_t depth, const cs_want *want, cs_ocsp_single *ret,
                         cs_time *until, cs_refusal *why_not) {
    const asking a = {run, path->at[depth + 1], want, depth, why_not};
    cs_ocsp_says says = CS_OCSP_SAYS_NOTHING;
    for (size_t i = 0; i < want->ocsps->n; i++) {
        const cs_ocsp *o = want->ocsps->at[i];
        cs_ocsp_single one;
        cs_time ends = 0;
        if (o->status != 0) {
            cs_refuse(why_not, CS_R_OCSP_INVALID, (int)depth, "responseStatus %d: no answer", o->status);
            continue;
        }
        if (!cs_ocsp_find(o, path->at[depth], a.issuer, &one) || !authorised(&a, o)) continue;
        bool is_current = current(&a, &one, &ends);
        if (one.status == CS_OCSP_REVOKED && (is_current || one.reason != 6)) { /* a hold may have been lifted since */
            *ret = one;
            return CS_OCSP_SAYS_REVOKED;
        }
        if (one.status == CS_OCSP_UNKNOWN)
            cs_refuse(why_not, CS_R_REVOCATION_UNKNOWN, (int)depth, "the responder does not know it");
        if (one.status != CS_OCSP_GOOD || !is_current) continue;
        if (says == CS_OCSP_SAYS_NOTHING || ends > *until) {
            *ret = one;
            *until = ends;
        }
        says = CS_OCSP_SAYS_GOOD;
    }
    return says;
}
