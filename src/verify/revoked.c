/* Revocation by CRLs. @rfc 5280#6.3.3, for CRLs that are at hand instead of fetched.
 * Three answers for a certificate: revoked, good, not known. A CRL counts towards "good" only when it is current, its
 * scope covers the certificate, and its signer is authorised under the same anchor; what an authentic CRL lists is
 * revoked even when the CRL is out of date. */
#include "verify/verify_priv.h"

typedef struct point {                  /* one distribution point, or the one implied by the issuer's name */
    cs_view full, relative, crl_issuer; /* contents; n == 0: absent */
    unsigned reasons;                   /* CS_REASONS_ALL unless given */
} point;

typedef struct inquiry {
    cs_run *run;
    const cs_path *path;
    const cs_want *want;
    const cs_cert *cert, *issuer;
    size_t depth;
    unsigned covered; /* reasons for which the certificate is known to be good */
    cs_time until;    /* least next update of what covers it */
    bool revoked;
    int reason;
    cs_time revoked_at;
    cs_refusal why_not; /* the most telling cause for a CRL not to count */
    bool rolled_back;   /* one that is older than what was seen was given */
    bool late;          /* something that counts is out of date, within the grace */
    bool ocsp_why;      /* why_not is about an OCSP response */
    bool bad;           /* an authentic CRL of the issuer breaks a rule */
} inquiry;

static const char *reason_text(int reason) {
    static const char *const names[] = {
        "unspecified",   "keyCompromise",        "cACompromise",    "affiliationChanged",
        "superseded",    "cessationOfOperation", "certificateHold", "",
        "removeFromCRL", "privilegeWithdrawn",   "aACompromise"};
    return reason >= 0 && reason <= 10 ? names[reason] : "";
}

static bool same_name(cs_view a, uint64_t a_hash, cs_view b, uint64_t b_hash) {
    return a_hash == b_hash && cs_name_eq(a, b);
}

/* ---- who signed it: @rfc 5280#6.3.3 (f), (g) ---- */

static bool may_sign(const cs_cert *signer, inquiry *q) {
    if (!signer->has_key_usage || signer->key_usage & CS_KU_CRL_SIGN) return true;
    cs_refuse(&q->why_not, CS_R_KEY_USAGE_WRONG, (int)q->depth + 1, "keyUsage: cRLSign is not set in the CRL's signer");
    q->bad = true;
    return false;
}

static bool in_path(const cs_path *path, const cs_cert *c) {
    for (size_t i = 1; i < path->n; i++) {
        if (path->at[i] == c || memcmp(path->at[i]->sha256, c->sha256, sizeof c->sha256) == 0) return true;
    }
    return false;
}

/* A signer that is not in the path needs a path of its own, to the same anchor, itself not revoked. */
static bool signer_trusted(inquiry *q, const cs_cert *signer) {
    cs_run *run = q->run;
    for (int i = 0; i < run->nesting; i++) {
        if (run->signers[i] == signer) return true; /* its own CRL: being asked about already */
    }
    if (run->nesting >= CS_CRL_NESTING) return false;
    cs_want want = *q->want;
    want.purpose = CS_PURPOSE_ANY;
    want.name_count = 0;
    want.max_depth = -1;
    want.policy_count = 0;
    want.explicit_policy = false;
    want.pins = NULL; /* these two are about whom was asked; nobody who is denied signs CRLs */
    want.allow = NULL;
    cs_path path;
    cs_refusal r = {.reason = CS_R_NONE};
    run->signers[run->nesting++] = signer;
    bool good = cs_path_find(run, signer, &want, q->path->at[q->path->n - 1], &path, &r, NULL);
    run->nesting--;
    return good;
}

static bool signed_by(inquiry *q, const cs_crl *crl, const cs_cert *c) {
    if (crl->alg.flaw.reason != CS_R_NONE || cs_cert_more_of(c)->flaw_key.reason != CS_R_NONE) return false;
    if (!same_name(crl->issuer, crl->issuer_hash, c->subject, cs_cert_more_of(c)->subject_hash)) return false;
    if (crl->akid.n && c->skid.n && !cs_view_eq(crl->akid, c->skid)) return false;
    if (cs_signer_is(&crl->signer, c->spki_sha256)) return true;
    if (!cs_run_signed(q->run, crl, &crl->alg, crl->tbs, crl->sig, c)) return false;
    cs_signer_keep(&crl->signer, c->spki_sha256);
    return true;
}

/* Is the CRL authentic? First by the keys of the path, then by any other certificate of its issuer's name. */
static bool authentic(inquiry *q, const cs_crl *crl) {
    for (size_t i = 1; i < q->path->n; i++) {
        if (signed_by(q, crl, q->path->at[i])) return may_sign(q->path->at[i], q);
    }
    size_t n, first = cs_pool_find(q->run, crl->issuer, crl->issuer_hash, &n);
    for (size_t i = first; i < first + n; i++) {
        const cs_cert *c = q->run->pool[i].cert;
        if (in_path(q->path, c) || !signed_by(q, crl, c)) continue;
        bool anchor = c == q->path->at[q->path->n - 1];
        if (may_sign(c, q) && (anchor || signer_trusted(q, c))) return true;
    }
    cs_refuse(&q->why_not, CS_R_CRL_SIGNATURE_INVALID, (int)q->depth,
              "no authorised key of the CRL's issuer signed it");
    return false;
}

/* ---- what it covers: @rfc 5280#6.3.3 (b) ---- */

static bool general_names_meet(cs_view a, cs_view b) {
    cs_der_fault fault = {0};
    cs_der x = cs_der_of(a, &fault);
    while (cs_der_more(&x)) {
        cs_san_type s, t;
        cs_view p = cs_general_name(&x, &s, false);
        cs_der y = cs_der_of(b, &fault);
        while (cs_der_more(&y)) {
            cs_view q = cs_general_name(&y, &t, false);
            if (fault.rule || s != t) continue;
            if (s == CS_SAN_DIRNAME ? cs_name_eq(p, q) : cs_view_eq(p, q)) return true;
        }
    }
    return false;
}

/* Is one of the dirNames in `names` that Name? */
static bool names_have(cs_view names, cs_view name) {
    cs_der_fault fault = {0};
    cs_der d = cs_der_of(names, &fault);
    while (cs_der_more(&d)) {
        cs_san_type type;
        cs_view v = cs_general_name(&d, &type, false);
        if (cs_der_ok(&d) && type == CS_SAN_DIRNAME && cs_name_eq(v, name)) return true;
    }
    return false;
}

/* Does a dirName among `names` equal base plus one relative name? */
static bool names_have_relative(cs_view names, cs_view base, cs_view rdn) {
    cs_der_fault fault = {0};
    cs_der d = cs_der_of(names, &fault);
    while (cs_der_more(&d)) {
        cs_san_type type;
        cs_view v = cs_general_name(&d, &type, false);
        if (cs_der_ok(&d) && type == CS_SAN_DIRNAME && cs_name_eq_with_rdn(v, base, rdn)) return true;
    }
    return false;
}

static bool names_meet(const inquiry *q, const point *p, const cs_crl *crl) {
    const cs_idp *i = &crl->idp;
    if (i->full_name.n == 0 && i->relative.n == 0) return true;
    /* A relative name hangs under the CRL issuer's: in a point, its cRLIssuer's or else the certificate issuer's. */
    cs_view base = p->crl_issuer.n ? crl->issuer : q->cert->issuer;
    if (p->relative.n) {
        if (i->relative.n) return cs_name_eq(base, crl->issuer) && cs_view_eq(p->relative, i->relative);
        return names_have_relative(i->full_name, base, p->relative);
    }
    cs_view names = p->full.n ? p->full : p->crl_issuer;
    if (names.n == 0) { /* the implied point: the issuer's own name */
        cs_der_fault fault = {0};
        cs_der d = cs_der_of(i->full_name, &fault);
        while (cs_der_more(&d)) {
            cs_san_type type;
            cs_view v = cs_general_name(&d, &type, false);
            if (cs_der_ok(&d) && type == CS_SAN_DIRNAME && cs_name_eq(v, q->cert->issuer)) return true;
        }
        return false;
    }
    if (i->relative.n) return names_have_relative(names, crl->issuer, i->relative);
    return general_names_meet(names, i->full_name);
}

static bool in_scope(const inquiry *q, const point *p, const cs_crl *crl) {
    const cs_idp *i = &crl->idp;
    const cs_cert_more *m = cs_cert_more_of(q->cert);
    if (p->crl_issuer.n) {
        if (!i->indirect || !names_have(p->crl_issuer, crl->issuer)) return false;
    } else if (!same_name(crl->issuer, crl->issuer_hash, q->cert->issuer, m->issuer_hash)) {
        return false;
    }
    if (i->only_attribute || (i->only_user && q->cert->is_ca) || (i->only_ca && !q->cert->is_ca)) return false;
    return names_meet(q, p, crl);
}

static bool is_current(inquiry *q, const cs_crl *crl) {
    char then[CS_TIME_TEXT_MAX];
    int64_t now = cs_time_seconds(q->want->at);
    if (cs_time_seconds(crl->this_update) > now)
        return cs_refuse(&q->why_not, CS_R_CRL_NOT_YET_VALID, (int)q->depth, "thisUpdate is %s",
                         cs_time_text(crl->this_update, then));
    if (!crl->has_next_update) /* @rfc 5280#5.1.2.5: a must */
        return cs_refuse(&q->why_not, CS_R_CRL_INVALID, (int)q->depth, "nextUpdate: missing");
    if (cs_time_seconds(crl->next_update) < now - cs_time_seconds(q->want->grace))
        return cs_refuse(&q->why_not, CS_R_CRL_STALE, (int)q->depth, "nextUpdate was %s",
                         cs_time_text(crl->next_update, then));
    q->late |= cs_time_seconds(crl->next_update) < now;
    return true;
}

static bool has_no_flaw(inquiry *q, const cs_crl *crl) {
    const cs_flaw *f = crl->flaw.reason != CS_R_NONE            ? &crl->flaw
                       : crl->flaw_critical.reason != CS_R_NONE ? &crl->flaw_critical
                       : cs_is_strict(q->want)                  ? &crl->flaw_strict
                                                                : NULL;
    if (!f || f->reason == CS_R_NONE) return true;
    q->bad = true;
    return cs_refuse_flaw(&q->why_not, f, (int)q->depth);
}

static bool is_newest(inquiry *q, const cs_crl *crl) {
    if (!q->want->marks || cs_mark_ok(q->want->marks, crl, q->issuer, q->depth, &q->why_not)) return true;
    q->rolled_back = true;
    return false;
}

/* ---- deltas: @rfc 5280#6.3.3 (c) and 5.2.4 ---- */

static bool delta_fits(const cs_crl *base, const cs_crl *delta) {
    if (!delta->is_delta || !base->has_number || !delta->has_number) return false;
    if (base->idp.present != delta->idp.present || !cs_view_eq(base->idp.whole, delta->idp.whole)) return false;
    if (!same_name(base->issuer, base->issuer_hash, delta->issuer, delta->issuer_hash)) return false;
    if (!cs_view_eq(base->akid, delta->akid)) return false;
    return cs_integer_cmp(base->number, delta->base_number) >= 0 && cs_integer_cmp(base->number, delta->number) < 0;
}

/* The newest usable delta on that base, or NULL. */
static const cs_crl *delta_of(inquiry *q, const cs_crl *base) {
    const cs_crls *set = q->want->crls;
    const cs_crl *best = NULL;
    for (size_t i = 0; i < set->n; i++) {
        const cs_crl *d = set->at[i];
        if (!delta_fits(base, d) || (best && cs_integer_cmp(d->number, best->number) <= 0)) continue;
        if (has_no_flaw(q, d) && is_current(q, d) && authentic(q, d) && is_newest(q, d)) best = d;
    }
    return best;
}

static void note_revoked(inquiry *q, const cs_crl_entry *e) {
    q->revoked = true;
    q->reason = e->reason;
    q->revoked_at = e->at;
}

static void consider(inquiry *q, const point *p, const cs_crl *crl) {
    bool own = same_name(crl->issuer, crl->issuer_hash, q->cert->issuer, cs_cert_more_of(q->cert)->issuer_hash);
    if (own && crl->flaw.reason != CS_R_NONE) (void)has_no_flaw(q, crl); /* its scope is not to be relied on */
    if (crl->is_delta || !in_scope(q, p, crl)) return;
    unsigned mask = p->reasons & (crl->idp.has_reasons ? crl->idp.reasons : CS_REASONS_ALL); /* (d) */
    bool usable = has_no_flaw(q, crl);
    usable = is_current(q, crl) && usable;
    if (!usable || !(mask & ~q->covered) || !authentic(q, crl) || !is_newest(q, crl)) return; /* (e) */
    const cs_crl *delta = delta_of(q, crl);
    cs_crl_entry e;
    bool listed = delta && cs_crl_find(delta, q->cert->issuer, q->cert->serial, &e);
    if (!listed) listed = cs_crl_find(crl, q->cert->issuer, q->cert->serial, &e);
    if (listed && e.reason != 8) {
        note_revoked(q, &e);
        return;
    }
    q->covered |= mask;
    if (crl->next_update < q->until) q->until = crl->next_update;
    if (delta && delta->next_update < q->until) q->until = delta->next_update;
}

/* ---- the certificate's points ---- */

static void all_crls(inquiry *q, const point *p) {
    for (size_t i = 0; i < q->want->crls->n && !q->revoked; i++) consider(q, p, q->want->crls->at[i]);
}

static void all_points(inquiry *q) {
    const cs_ext *x = &cs_cert_more_of(q->cert)->ext[CS_EXT_CRL_POINTS];
    cs_der_fault fault = {0};
    cs_der d = cs_der_of(x->value, &fault);
    cs_der list = x->present ? cs_der_in(&d, CS_DER_SEQUENCE) : cs_der_of((cs_view){NULL, 0}, &fault);
    while (cs_der_more(&list) && !q->revoked && q->covered != CS_REASONS_ALL) {
        point p = {.reasons = CS_REASONS_ALL};
        cs_der s = cs_der_in(&list, CS_DER_SEQUENCE), name;
        cs_view v;
        if (cs_der_in_opt(&s, CS_DER_CTX_CONS(0), &name) && !cs_der_opt(&name, CS_DER_CTX_CONS(0), &p.full))
            cs_der_opt(&name, CS_DER_CTX_CONS(1), &p.relative);
        if (cs_der_opt(&s, CS_DER_CTX(1), &v)) p.reasons = cs_der_named_bits_of(&s, v) & CS_REASONS_ALL;
        cs_der_opt(&s, CS_DER_CTX_CONS(2), &p.crl_issuer);
        if (!fault.rule) all_crls(q, &p);
    }
    if (q->revoked || q->covered == CS_REASONS_ALL) return;
    point own = {.reasons = CS_REASONS_ALL}; /* the last paragraph of 6.3.3 */
    all_crls(q, &own);
}

/* What an authentic CRL lists is revoked, whatever its dates and its scope: nobody lists by accident. A delta that
 * releases (reason 8) takes an older listing back. */
static void listed_anywhere(inquiry *q) {
    const cs_crls *set = q->want->crls;
    for (size_t i = 0; i < set->n && !q->revoked; i++) {
        const cs_crl *crl = set->at[i];
        cs_crl_entry e, later;
        if (crl->idp.only_attribute || !cs_crl_find(crl, q->cert->issuer, q->cert->serial, &e) || e.reason == 8)
            continue;
        bool own = same_name(crl->issuer, crl->issuer_hash, q->cert->issuer, cs_cert_more_of(q->cert)->issuer_hash);
        if (!own && !crl->idp.indirect) continue;
        if (!authentic(q, crl)) continue;
        const cs_crl *delta = crl->is_delta ? NULL : delta_of(q, crl);
        if (delta && cs_crl_find(delta, q->cert->issuer, q->cert->serial, &later) && later.reason == 8) continue;
        bool superseded = false; /* a newer complete CRL of the same scope no longer lists it: a hold was lifted */
        for (size_t k = 0; k < set->n && !superseded; k++) {
            const cs_crl *newer = set->at[k];
            if (newer == crl || newer->is_delta || !newer->has_number || !crl->has_number) continue;
            if (!same_name(newer->issuer, newer->issuer_hash, crl->issuer, crl->issuer_hash)) continue;
            if (!cs_view_eq(newer->idp.whole, crl->idp.whole) || cs_integer_cmp(newer->number, crl->number) <= 0)
                continue;
            superseded = !cs_crl_find(newer, q->cert->issuer, q->cert->serial, &later) && is_current(q, newer) &&
                         has_no_flaw(q, newer) && authentic(q, newer);
        }
        if (!superseded) note_revoked(q, &e);
    }
}

/* Without --require-revocation: a CRL of this certificate's own issuer that is authentic but breaks a rule is not
 * passed over in silence, unless another one covers the certificate. */
static bool given_bad(inquiry *q) {
    const cs_crls *set = q->want->crls;
    if (!q->bad || q->covered == CS_REASONS_ALL) return false;
    for (size_t i = 0; i < set->n; i++) {
        const cs_crl *crl = set->at[i];
        bool flawed = crl->flaw.reason != CS_R_NONE || crl->flaw_critical.reason != CS_R_NONE ||
                      (cs_is_strict(q->want) && crl->flaw_strict.reason != CS_R_NONE) ||
                      (q->issuer->has_key_usage && !(q->issuer->key_usage & CS_KU_CRL_SIGN));
        if (flawed && signed_by(q, crl, q->issuer)) return true;
    }
    return false;
}

/* Whichever of the two says revoked wins: a good answer by OCSP takes no listing in a CRL back. */
static void ask_ocsp(inquiry *q) {
    cs_ocsp_single one;
    cs_time until = INT64_MAX;
    bool had = q->why_not.reason != CS_R_NONE;
    cs_ocsp_says says = cs_ocsp_ask(q->run, q->path, q->depth, q->want, &one, &until, &q->why_not);
    q->ocsp_why = !had && q->why_not.reason != CS_R_NONE;
    if (says == CS_OCSP_SAYS_REVOKED) {
        q->revoked = true;
        q->reason = one.reason;
        q->revoked_at = one.revoked_at;
    } else if (says == CS_OCSP_SAYS_GOOD) {
        if (q->covered != CS_REASONS_ALL || until > q->until) q->until = until;
        q->covered = CS_REASONS_ALL;
        q->late |= cs_time_seconds(until) < cs_time_seconds(q->want->at);
    }
}

static bool refuse_revoked(const inquiry *q, cs_refusal *r) {
    char when[CS_TIME_TEXT_MAX];
    return cs_refuse(r, CS_R_REVOKED, (int)q->depth, "revoked %s (%s)", cs_time_text(q->revoked_at, when),
                     reason_text(q->reason));
}

/* The worst of the path; true. */
static bool note_state(cs_run *run, cs_revocation_state state) {
    if (run->nesting == 0 && state > run->revocation) run->revocation = state;
    return true;
}

static bool cert_unrevoked(cs_run *run, const cs_path *path, size_t depth, const cs_want *want, cs_refusal *r) {
    inquiry q = {.run = run,
                 .path = path,
                 .want = want,
                 .cert = path->at[depth],
                 .issuer = path->at[depth + 1],
                 .depth = depth,
                 .until = INT64_MAX,
                 .why_not = {.reason = CS_R_NONE}};
    bool require = want->revocation == CS_REVOCATION_REQUIRE, prefer = want->revocation == CS_REVOCATION_PREFER;
    if (want->revset && cs_revset_has(want->revset, q.issuer->spki_sha256, q.cert->serial, &q.reason))
        return cs_refuse(r, CS_R_REVOKED, (int)depth, "revoked (%s)", reason_text(q.reason));
    bool crls = want->crls && want->crls->n > 0, ocsps = want->ocsps && want->ocsps->n > 0;
    if (!crls && !ocsps) {
        if (!require) return note_state(run, CS_REVOCATION_NOT_ASKED);
        return cs_refuse(r, CS_R_REVOCATION_UNKNOWN, (int)depth, "neither CRL nor OCSP response was given");
    }
    if (crls) all_points(&q);
    if (crls && !q.revoked) listed_anywhere(&q);
    if (ocsps && !q.revoked) ask_ocsp(&q);
    if (q.revoked) return refuse_revoked(&q, r);
    bool stale = q.why_not.reason == CS_R_CRL_STALE || q.why_not.reason == CS_R_OCSP_STALE;
    if (q.covered != CS_REASONS_ALL && (require || (prefer && stale) || q.rolled_back)) {
        if (run->spent) return cs_refuse(r, CS_R_PATH_BUDGET_SPENT, (int)depth, "%u signature checks", run->checks);
        if (q.why_not.reason != CS_R_NONE)
            return cs_refuse(r, q.why_not.reason, (int)depth, "%s: %.480s", q.ocsp_why ? "OCSP" : "CRL",
                             q.why_not.detail);
        return cs_refuse(r, CS_R_REVOCATION_UNKNOWN, (int)depth, "nothing that was given covers it%s",
                         q.covered ? " for every reason" : "");
    }
    if (!require && crls && given_bad(&q))
        return cs_refuse(r, q.why_not.reason, (int)depth, "CRL: %.480s", q.why_not.detail);
    if (q.covered != CS_REASONS_ALL) return note_state(run, CS_REVOCATION_UNKNOWN);
    cs_time until = q.until < INT64_MAX - want->grace ? q.until + want->grace : INT64_MAX;
    if ((require || prefer) && run->nesting == 0 && until < run->good_until) run->good_until = until;
    return note_state(run, q.late ? CS_REVOCATION_GRACE : CS_REVOCATION_GOOD);
}

bool cs_path_unrevoked(cs_run *run, const cs_path *path, const cs_want *want, cs_refusal *r) {
    if (want->revocation == CS_REVOCATION_OFF) return true;
    if (!want->crls && !want->ocsps && !want->revset && want->revocation == CS_REVOCATION_GIVEN) return true;
    for (size_t i = path->n - 1; i-- > 0;) {
        if (!cert_unrevoked(run, path, i, want, r)) return false;
    }
    return true;
}
