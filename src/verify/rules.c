/* One path against RFC 5280 section 6.1, from the anchor down to the leaf. Signatures were checked while it was built.
 * Which certificate is refused, and the first rule that it breaks, is the verdict's reason. */
#include "verify/verify_priv.h"

static bool is_valid_at(const cs_cert *c, cs_time at) {
    /* Inclusive, to the second: a fraction is dropped. @rfc 5280#4.1.2.5 */
    int64_t now = cs_time_seconds(at);
    return now >= cs_time_seconds(c->not_before) && now <= cs_time_seconds(c->not_after);
}

bool cs_issuer_healthy(const cs_cert *c, const cs_want *want) {
    const cs_cert_more *m = cs_cert_more_of(c);
    if (m->flaw_any.reason != CS_R_NONE || m->flaw_critical.reason != CS_R_NONE || m->flaw_key.reason != CS_R_NONE)
        return false;
    if (cs_is_strict(want) && m->flaw_strict.reason != CS_R_NONE) return false;
    return is_valid_at(c, want->at);
}

static bool form_ok(const cs_cert *c, int depth, bool anchor, const cs_want *want, cs_refusal *r) {
    const cs_cert_more *m = cs_cert_more_of(c);
    if (m->flaw_any.reason != CS_R_NONE) return cs_refuse_flaw(r, &m->flaw_any, depth);
    if (cs_is_strict(want) && m->flaw_strict.reason != CS_R_NONE) return cs_refuse_flaw(r, &m->flaw_strict, depth);
    if (cs_is_strict(want) && m->flaw_serial.reason != CS_R_NONE && (!anchor || depth == 0))
        return cs_refuse_flaw(r, &m->flaw_serial, depth);
    if (m->flaw_critical.reason != CS_R_NONE) return cs_refuse_flaw(r, &m->flaw_critical, depth);
    if (m->flaw_key.reason != CS_R_NONE) return cs_refuse_flaw(r, &m->flaw_key, depth);
    if (cs_is_strict(want) && m->flaw_key_strict.reason != CS_R_NONE)
        return cs_refuse_flaw(r, &m->flaw_key_strict, depth);
    return true;
}

static bool validity_ok(cs_run *run, const cs_cert *c, int depth, const cs_want *want, cs_refusal *r) {
    char then[CS_TIME_TEXT_MAX], now[CS_TIME_TEXT_MAX];
    if (cs_time_seconds(want->at) < cs_time_seconds(c->not_before))
        return cs_refuse(r, CS_R_NOT_YET_VALID, depth, "notBefore is %s, now is %s", cs_time_text(c->not_before, then),
                         cs_time_text(want->at, now));
    bool ended = cs_time_seconds(want->at) > cs_time_seconds(c->not_after);
    bool late = ended && want->late && depth == 0 && run->nesting == 0;
    if (ended && !late)
        return cs_refuse(r, CS_R_CERTIFICATE_EXPIRED, depth, "notAfter is %s, now is %s",
                         cs_time_text(c->not_after, then), cs_time_text(want->at, now));
    if (run->nesting == 0) {
        if (c->not_before > run->good_from) run->good_from = c->not_before;
        if (late)
            run->late = true;
        else if (c->not_after < run->good_until)
            run->good_until = c->not_after;
    }
    return true;
}

/* @rfc 5280#6.1.4 (k), (n) and what RFC 5280 4.2.1 demands of CAs. */
static bool ca_ok(const cs_cert *c, int depth, bool anchor, const cs_want *want, cs_refusal *r) {
    const cs_cert_more *m = cs_cert_more_of(c);
    bool strict = cs_is_strict(want);
    if (!c->has_basic_constraints && anchor && m->version < 3 && !strict) return true; /* trusted out of band */
    if (!c->is_ca)
        return cs_refuse(r, CS_R_NOT_A_CA, depth, "basicConstraints: %s",
                         c->has_basic_constraints ? "cA is FALSE" : "missing");
    if (c->has_key_usage && !(c->key_usage & CS_KU_CERT_SIGN))
        return cs_refuse(r, CS_R_KEY_USAGE_WRONG, depth, "keyUsage: keyCertSign is not set");
    if (!strict) return true;
    if (!m->ext[CS_EXT_BASIC_CONSTRAINTS].critical)
        return cs_refuse(r, CS_R_CERTIFICATE_MALFORMED, depth,
                         "basicConstraints: must be critical in a CA certificate");
    if (c->skid.n == 0)
        return cs_refuse(r, CS_R_CERTIFICATE_MALFORMED, depth, "subjectKeyIdentifier: missing in a CA certificate");
    return true;
}

/* @rfc 5280#4.2.1.1: a key identifier in all but self-signed ones; in a self-signed one, its own or none. */
static bool key_id_ok(cs_run *run, const cs_cert *c, int depth, bool anchor, cs_refusal *r) {
    const cs_cert_more *m = cs_cert_more_of(c);
    if (!m->self_issued && c->akid.n == 0 && !(anchor && cs_run_cert_signed(run, c, c)))
        return cs_refuse(r, CS_R_CERTIFICATE_MALFORMED, depth, "authorityKeyIdentifier: keyIdentifier is missing");
    if (!m->self_issued || !anchor) return true;
    if (!m->ext[CS_EXT_AKI].present) return true;
    if (c->akid.n == 0)
        return cs_refuse(r, CS_R_CERTIFICATE_MALFORMED, depth, "authorityKeyIdentifier: without keyIdentifier");
    if (m->akid_issuer || m->akid_serial)
        return cs_refuse(r, CS_R_CERTIFICATE_MALFORMED, depth,
                         "authorityKeyIdentifier: issuer and serial number in a self-signed certificate");
    if (!cs_view_eq(c->akid, c->skid) && cs_view_eq(c->issuer, c->subject))
        return cs_refuse(r, CS_R_CERTIFICATE_MALFORMED, depth,
                         "authorityKeyIdentifier: differs from subjectKeyIdentifier in a self-signed certificate");
    return true;
}

/* @rfc 5280#6.1.4 (l), (m): self-issued ones do not count. */
static bool lengths_ok(const cs_path *path, const cs_want *want, cs_refusal *r) {
    int left = path->at[path->n - 1]->path_len, total = 0;
    for (size_t i = path->n - 1; i-- > 1;) {
        const cs_cert *c = path->at[i];
        if (!cs_cert_more_of(c)->self_issued) {
            if (left == 0)
                return cs_refuse(r, CS_R_PATH_TOO_LONG, (int)i,
                                 "a CA above allows no further intermediate "
                                 "(pathLenConstraint)");
            if (left > 0) left--;
            total++;
        }
        if (c->path_len >= 0 && (left < 0 || c->path_len < left)) left = c->path_len;
    }
    if (want->max_depth >= 0 && total > want->max_depth)
        return cs_refuse(r, CS_R_PATH_TOO_LONG, (int)path->n - 2, "%d intermediates; at most %d are wanted", total,
                         want->max_depth);
    return true;
}

static bool constraints_ok(cs_run *run, const cs_path *path, cs_refusal *r) {
    for (size_t ca = path->n - 1; ca > 0; ca--) {
        if (!cs_cert_more_of(path->at[ca])->ext[CS_EXT_NAME_CONSTRAINTS].present) continue;
        for (size_t i = ca; i-- > 0;) { /* @rfc 5280#6.1.3 (b), (c): self-issued intermediates are let off */
            if (i > 0 && cs_cert_more_of(path->at[i])->self_issued) continue;
            if (!cs_constraints_ok(run, path, ca, i, r)) return false;
        }
    }
    return true;
}

bool cs_path_judge(cs_run *run, const cs_path *path, const cs_want *want, cs_refusal *r) {
    if (run->nesting == 0) {
        run->good_from = INT64_MIN;
        run->good_until = INT64_MAX;
        run->late = false;
        run->revocation = CS_REVOCATION_NOT_ASKED;
    }
    for (size_t i = path->n; i-- > 0;) {
        const cs_cert *c = path->at[i];
        int depth = (int)i;
        bool anchor = i == path->n - 1;
        if (!form_ok(c, depth, anchor, want, r) || !validity_ok(run, c, depth, want, r)) return false;
        if (!anchor && cs_cert_more_of(c)->alg.flaw.reason != CS_R_NONE)
            return cs_refuse_flaw(r, &cs_cert_more_of(c)->alg.flaw, depth);
        if (i > 0 && !ca_ok(c, depth, anchor, want, r)) return false;
        if (i > 0 && !cs_ca_purpose_ok(c, depth, want, r)) return false;
        if (cs_is_strict(want) && !key_id_ok(run, c, depth, anchor, r)) return false;
    }
    if (!lengths_ok(path, want, r) || !constraints_ok(run, path, r) || !cs_policies_ok(path, want, r)) return false;
    if (!cs_leaf_judge(path->at[0], want, r) || !cs_names_match(path->at[0], want, r)) return false;
    if (!cs_lists_ok(path, want, r) || !cs_pins_ok(run, path, want, r)) return false;
    return cs_path_unrevoked(run, path, want, r);
}
