/* Path building: depth first from the leaf, likeliest issuer first, within stated bounds. @rfc 4158
 * A certificate is tried when its subject is the issuer's name, an anchor can be reached from it by names, and it does
 * not repeat a subject and key of the path (a loop). Signatures are checked as the path grows, each once. A path that
 * reaches an anchor is judged by all rules; if they refuse it, the search goes on. */
#include "verify/verify_priv.h"

#include <stdlib.h>

enum { R_INCOMPLETE = 1, R_SIGNATURE, R_COMPLETE }; /* which refusal tells most */

typedef struct search {
    cs_run *run;
    const cs_want *want;
    const cs_cert *must;
    cs_path path;
    bool sick;            /* second pass: also candidates that cannot be accepted, to say why */
    bool skipped;         /* the first pass left such out */
    const cs_path *avoid; /* the answer already: another one is looked for */
    int rank;
    cs_path best;
    cs_refusal why;
    int other_rank;
    cs_considered other; /* the next best */
} search;

/* One that goes on where the other stopped is the same candidate, unless both reached an anchor. */
static bool same_candidate(const cs_path *a, const cs_path *b) {
    size_t n = a->n < b->n ? a->n : b->n;
    if (a->anchored && b->anchored && a->n != b->n) return false;
    return memcmp(a->at, b->at, n * sizeof a->at[0]) == 0;
}

static void note_other(search *s, int rank, const cs_path *path, const cs_refusal *r) {
    if (rank <= s->other_rank) return;
    s->other_rank = rank;
    s->other = (cs_considered){.path = *path, .why = *r};
}

static void note(search *s, int rank, const cs_refusal *r) {
    if (s->avoid && same_candidate(&s->path, s->avoid)) return;
    if (rank < s->rank || (rank == s->rank && (rank == R_COMPLETE || s->path.n <= s->best.n))) {
        if (!same_candidate(&s->path, &s->best)) note_other(s, rank, &s->path, r);
        return;
    }
    if (s->rank && !same_candidate(&s->path, &s->best)) note_other(s, s->rank, &s->best, &s->why);
    s->rank = rank;
    s->best = s->path;
    s->why = *r;
}

static bool loops(const cs_path *path, const cs_cert *c) {
    for (size_t i = 0; i < path->n; i++) {
        const cs_cert *p = path->at[i];
        if (p == c || memcmp(p->sha256, c->sha256, sizeof c->sha256) == 0) return true;
        if (memcmp(p->spki_sha256, c->spki_sha256, sizeof c->spki_sha256) == 0 &&
            cs_cert_more_of(p)->subject_hash == cs_cert_more_of(c)->subject_hash && cs_name_eq(p->subject, c->subject))
            return true;
    }
    return false;
}

typedef enum fit { FIT_NO, FIT_MAYBE, FIT_KEY_ID } fit;

/* AKI of the child against the candidate. @rfc 5280#4.2.1.1 */
static fit key_ids_fit(const cs_cert *child, const cs_cert *issuer) {
    const cs_cert_more *m = cs_cert_more_of(child);
    if (m->akid_serial && m->akid_issuer) {
        cs_der_fault fault = {0};
        cs_der names = cs_der_of(m->akid_issuer_names, &fault);
        bool named = cs_integer_cmp(m->akid_sn, issuer->serial) == 0;
        bool found = false;
        while (named && cs_der_more(&names)) {
            cs_san_type type;
            cs_view v = cs_general_name(&names, &type, false);
            found |= cs_der_ok(&names) && type == CS_SAN_DIRNAME && cs_name_eq(v, issuer->issuer);
        }
        if (!found && child->akid.n == 0) return FIT_NO;
    }
    if (child->akid.n == 0 || issuer->skid.n == 0) return FIT_MAYBE;
    return cs_view_eq(child->akid, issuer->skid) ? FIT_KEY_ID : FIT_NO;
}

static bool up(search *s);

static bool complete(search *s) {
    cs_refusal r = {.reason = CS_R_NONE, .depth = -1};
    s->path.anchored = true;
    bool good = false;
    if (s->avoid && s->avoid->anchored && same_candidate(&s->path, s->avoid)) {
        s->path.anchored = false;
        return false;
    }
    if (s->run->paths_left-- <= 0) {
        s->run->spent = true;
    } else {
        good = cs_path_judge(s->run, &s->path, s->want, &r);
        if (!good) note(s, R_COMPLETE, &r);
    }
    if (!good) s->path.anchored = false;
    return good;
}

/* True: the path is complete and accepted. */
static bool try_candidate(search *s, const cs_candidate *c) {
    cs_refusal r = {.reason = CS_R_NONE};
    const cs_cert *child = s->path.at[s->path.n - 1];
    int depth = (int)s->path.n - 1;
    if (!cs_run_cert_signed(s->run, child, c->cert)) {
        const cs_cert_more *m = cs_cert_more_of(child);
        const cs_cert_more *im = cs_cert_more_of(c->cert);
        if (s->run->spent) return false;
        if (m->flaw_any.reason != CS_R_NONE)
            cs_refuse_flaw(&r, &m->flaw_any, depth);
        else if (m->alg.flaw.reason != CS_R_NONE)
            cs_refuse_flaw(&r, &m->alg.flaw, depth);
        else if (im->flaw_key.reason != CS_R_NONE)
            cs_refuse_flaw(&r, &im->flaw_key, depth + 1);
        else
            cs_refuse(&r, CS_R_SIGNATURE_INVALID, depth, "signatureValue: not made by the key of its issuer");
        s->path.at[s->path.n++] = c->cert;
        note(s, R_SIGNATURE, &r);
        s->path.n--;
        return false;
    }
    s->path.at[s->path.n++] = c->cert;
    bool good = c->anchor && (!s->must || s->must == c->cert) && complete(s);
    if (!good) good = up(s); /* an anchor may also be an intermediate on the way to another anchor */
    if (!good) s->path.n--;
    return good;
}

static void nobody_above(search *s, const cs_cert *top) {
    char name[CS_NAME_TEXT_MAX + 1];
    cs_refusal r = {.reason = CS_R_NONE};
    int depth = (int)s->path.n - 1;
    bool self_signed = cs_cert_more_of(top)->self_issued && (top->akid.n == 0 || cs_view_eq(top->akid, top->skid));
    if (self_signed && s->path.n == 1)
        cs_refuse(&r, CS_R_SELF_SIGNED, depth, "subject and issuer are \"%.200s\"", cs_name_text(top->issuer, name));
    else if (self_signed)
        cs_refuse(&r, CS_R_UNKNOWN_ISSUER, depth, "the chain ends at \"%.200s\", which is not a trust anchor",
                  cs_name_text(top->issuer, name));
    else
        cs_refuse(&r, s->path.n == 1 ? CS_R_CHAIN_INCOMPLETE : CS_R_UNKNOWN_ISSUER, depth,
                  "issuer \"%.200s\" is neither a trust anchor nor among the intermediates",
                  cs_name_text(top->issuer, name));
    note(s, R_INCOMPLETE, &r);
}

/* Key identifiers that differ rule a candidate out, except for --purpose any, which tries it last: RFC 5280 has them as
 * a help in building paths. */
static bool up(search *s) {
    cs_run *run = s->run;
    const cs_cert *top = s->path.at[s->path.n - 1];
    const cs_cert_more *m = cs_cert_more_of(top);
    size_t n, first = cs_pool_find(run, top->issuer, m->issuer_hash, &n);
    bool tried = false;
    if (s->path.n >= CS_PATH_MAX) return false;
    for (int pass = 0; pass < 3; pass++) {
        fit wanted = pass == 0 ? FIT_KEY_ID : pass == 1 ? FIT_MAYBE : FIT_NO;
        for (size_t i = first; i < first + n; i++) {
            const cs_candidate *c = &run->pool[i];
            if (run->spent || run->steps_left-- <= 0) {
                run->spent = true;
                return false;
            }
            if (key_ids_fit(top, c->cert) != wanted) continue;
            if (wanted == FIT_NO && cs_is_strict(s->want)) continue;
            if (!c->useful && !s->sick) continue;
            if (!cs_name_eq(top->issuer, c->cert->subject)) continue;
            if (!c->healthy && !s->sick) {
                s->skipped = true;
                continue;
            }
            if (loops(&s->path, c->cert)) continue;
            tried = true;
            if (try_candidate(s, c)) return true;
        }
    }
    if (!tried) nobody_above(s, top);
    return false;
}

/* The leaf may be an anchor itself: then there is nothing to sign it, and it is judged alone. */
static bool from_leaf(search *s, const cs_cert *leaf) {
    s->path = (cs_path){.at = {leaf}, .n = 1};
    for (size_t i = 0; i < s->run->pool_n; i++) {
        const cs_candidate *c = &s->run->pool[i];
        if (!c->anchor || memcmp(c->cert->sha256, leaf->sha256, sizeof leaf->sha256) != 0) continue;
        if ((!s->must || s->must == c->cert) && complete(s)) return true;
    }
    return up(s);
}

/* What else there was, at little cost: whatever is out of date or no CA too, which the answer passed over. */
static void explain(search *s, const cs_cert *leaf, const cs_path *answer, cs_considered *other) {
    cs_run *run = s->run;
    search more = {.run = run, .want = s->want, .must = s->must, .sick = true, .avoid = answer};
    cs_time from = run->good_from, until = run->good_until;
    cs_revocation_state revocation = run->revocation;
    if (run->spent) return;
    if (run->units_left > CS_WORK_EXPLAIN) run->units_left = CS_WORK_EXPLAIN;
    if (run->steps_left > CS_WORK_EXPLAIN) run->steps_left = CS_WORK_EXPLAIN;
    bool good = from_leaf(&more, leaf);
    *other = good ? (cs_considered){.path = more.path, .why = {.reason = CS_R_NONE, .depth = -1}}
                  : (cs_considered){.path = more.best, .why = more.why};
    run->good_from = from;
    run->good_until = until;
    run->revocation = revocation;
    run->spent = false; /* the answer stands */
}

bool cs_path_find(cs_run *run, const cs_cert *leaf, const cs_want *want, const cs_cert *must, cs_path *path,
                  cs_refusal *r, cs_considered *other) {
    search s = {.run = run, .want = want, .must = must};
    bool good = from_leaf(&s, leaf);
    if (!good && !run->spent && s.rank < R_COMPLETE) { /* nothing usable: look at the rest, only to say why */
        s.sick = true;
        from_leaf(&s, leaf);
    }
    if (good) {
        *path = s.path;
        if (other && s.rank) *other = (cs_considered){.path = s.best, .why = s.why};
        if (other && !s.rank && want->explain) explain(&s, leaf, path, other);
        return true;
    }
    if (other && s.other_rank && !same_candidate(&s.other.path, &s.best)) *other = s.other;
    if (other && s.rank && other->path.n == 0 && want->explain) explain(&s, leaf, &s.best, other);
    *path = s.rank ? s.best : (cs_path){.at = {leaf}, .n = 1};
    if (run->spent && s.rank < R_COMPLETE)
        return cs_refuse(r, CS_R_PATH_BUDGET_SPENT, -1, "%u signature checks and %d candidates were tried", run->checks,
                         CS_WORK_STEPS - (run->steps_left > 0 ? run->steps_left : 0));
    *r = s.why;
    return false;
}
