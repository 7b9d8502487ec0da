#include "verify/verify_priv.h"

#include <stdio.h>
#include <stdlib.h>

bool cs_refuse(cs_refusal *r, cs_reason reason, int depth, const char *fmt, ...) {
    if (r->reason != CS_R_NONE) return false;
    r->reason = reason;
    r->depth = depth;
    va_list args;
    va_start(args, fmt);
    vsnprintf(r->detail, sizeof r->detail, fmt, args);
    va_end(args);
    for (char *p = r->detail; *p; p++) { /* names come escaped; this is the last line of defence */
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
    }
    return false;
}

bool cs_refuse_flaw(cs_refusal *r, const cs_flaw *f, int depth) {
    char text[CS_DETAIL_MAX];
    return cs_refuse(r, f->reason, depth, "%s", cs_flaw_text(f, text));
}

/* ---- anchors ---- */

static int by_subject(const void *a, const void *b) {
    uint64_t x = cs_cert_more_of(*(cs_cert *const *)a)->subject_hash;
    uint64_t y = cs_cert_more_of(*(cs_cert *const *)b)->subject_hash;
    return (x > y) - (x < y);
}

cs_status cs_anchors_new(const cs_certs *certs, cs_anchors **ret, cs_err *err) {
    cs_anchors *a = calloc(1, sizeof *a);
    if (!a) return CS_NOMEM_ERR(err);
    a->refs = 1;
    for (size_t i = 0; certs && i < certs->n; i++) {
        cs_status s = cs_certs_add(&a->certs, cs_cert_ref(certs->at[i]), err);
        if (s != CS_OK) {
            cs_anchors_free(a);
            return s;
        }
    }
    if (a->certs.n) qsort(a->certs.at, a->certs.n, sizeof a->certs.at[0], by_subject);
    *ret = a;
    return CS_OK;
}

cs_anchors *cs_anchors_ref(cs_anchors *a) {
    if (a) __atomic_add_fetch(&a->refs, 1, __ATOMIC_RELAXED);
    return a;
}

void cs_anchors_free(cs_anchors *a) {
    if (!a || __atomic_sub_fetch(&a->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    cs_certs_free(&a->certs);
    free(a);
}

/* ---- the run ---- */

static int by_subject_anchors_first(const void *a, const void *b) {
    const cs_candidate *x = a, *y = b;
    uint64_t p = cs_cert_more_of(x->cert)->subject_hash, q = cs_cert_more_of(y->cert)->subject_hash;
    if (p != q) return p < q ? -1 : 1;
    if (x->anchor != y->anchor) return x->anchor ? -1 : 1;
    return x->healthy == y->healthy ? 0 : x->healthy ? -1 : 1;
}

static bool is_anchor(const cs_anchors *anchors, const cs_cert *c) {
    for (size_t i = 0; i < anchors->certs.n; i++) {
        if (memcmp(anchors->certs.at[i]->sha256, c->sha256, sizeof c->sha256) == 0) return true;
    }
    return false;
}

static bool pool_has(const cs_run *run, const cs_cert *c) {
    for (size_t i = 0; i < run->pool_n; i++) {
        const cs_cert *held = run->pool[i].cert; /* never NULL below pool_n */
        if (held && memcmp(held->sha256, c->sha256, sizeof c->sha256) == 0) return true;
    }
    return false;
}

/* From the anchors downwards by names alone: who cannot reach one is never tried. Costs no signature. */
static void mark_useful(cs_run *run) {
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < run->pool_n; i++) {
            cs_candidate *c = &run->pool[i];
            if (c->useful) continue;
            size_t n, first = cs_pool_find(run, c->cert->issuer, cs_cert_more_of(c->cert)->issuer_hash, &n);
            for (size_t k = first; k < first + n && !c->useful; k++) c->useful = run->pool[k].useful;
            changed |= c->useful;
        }
    }
}

static cs_status run_begin(cs_run *run, const cs_anchors *anchors, const cs_certs *extra, const cs_want *want,
                           cs_err *err) {
    size_t n = anchors->certs.n + (extra ? extra->n : 0);
    run->anchors = anchors;
    run->extra = extra;
    run->want = want;
    run->units_left = CS_WORK_UNITS;
    run->steps_left = CS_WORK_STEPS;
    run->paths_left = CS_WORK_PATHS;
    run->names_left = CS_WORK_NAMES;
    run->pool = calloc(n ? n : 1, sizeof *run->pool);
    if (!run->pool) return CS_NOMEM_ERR(err);
    for (size_t i = 0; i < anchors->certs.n; i++) {
        const cs_cert *c = anchors->certs.at[i];
        if (c->spki.n == 0) continue; /* broken before its key */
        run->pool[run->pool_n++] = (cs_candidate){c, true, cs_issuer_healthy(c, want), true};
    }
    for (size_t i = 0; extra && i < extra->n; i++) {
        const cs_cert *c = extra->at[i];
        if (c->spki.n == 0 || is_anchor(anchors, c) || pool_has(run, c)) continue;
        run->pool[run->pool_n++] = (cs_candidate){c, false, cs_issuer_healthy(c, want), false};
    }
    if (run->pool_n) qsort(run->pool, run->pool_n, sizeof run->pool[0], by_subject_anchors_first);
    mark_useful(run);
    return CS_OK;
}

size_t cs_pool_find(const cs_run *run, cs_view name, uint64_t hash, size_t *ret_n) {
    size_t low = 0, high = run->pool_n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (cs_cert_more_of(run->pool[mid].cert)->subject_hash < hash)
            low = mid + 1;
        else
            high = mid;
    }
    size_t first = low;
    while (low < run->pool_n && cs_cert_more_of(run->pool[low].cert)->subject_hash == hash) low++;
    (void)name; /* equal hashes are a prefilter: whoever uses a candidate compares the names */
    *ret_n = low - first;
    return first;
}

/* Two of them for a key that is used the first time: libcrypto 3.0 takes 0.1 ms to decode one. */
static int cost_of(const cs_cert *signer) {
    const cs_cert_more *m = cs_cert_more_of(signer);
    int decode = __atomic_load_n(&m->key, __ATOMIC_RELAXED) == NULL;
    return (m->key_cost > 0 ? m->key_cost : 1) + decode;
}

bool cs_run_signed(cs_run *run, const void *what, const cs_sigalg *alg, cs_view tbs, cs_view sig,
                   const cs_cert *signer) {
    for (size_t i = 0; i < run->memo_n; i++) {
        const cs_checked *m = &run->memo[i];
        if (m->what == what && memcmp(m->key, signer->spki_sha256, sizeof m->key) == 0) return m->ok;
    }
    int cost = cost_of(signer);
    if (run->units_left < cost) {
        run->spent = true;
        return false;
    }
    run->units_left -= cost;
    run->checks++;
    cs_checked *m = &run->memo[run->memo_n++];
    m->what = what;
    memcpy(m->key, signer->spki_sha256, sizeof m->key);
    m->ok = cs_sig_ok(signer, alg, tbs, sig);
    return m->ok;
}

bool cs_signer_is(const cs_signer *s, const uint8_t key[32]) {
    return __atomic_load_n(&s->state, __ATOMIC_ACQUIRE) == 2 && memcmp(s->key, key, 32) == 0;
}

void cs_signer_keep(const cs_signer *s, const uint8_t key[32]) {
    cs_signer *w = (cs_signer *)(uintptr_t)s; /* the only part of its owner that changes */
    int none = 0;
    if (!__atomic_compare_exchange_n(&w->state, &none, 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return;
    memcpy(w->key, key, 32);
    __atomic_store_n(&w->state, 2, __ATOMIC_RELEASE);
}

bool cs_run_cert_signed(cs_run *run, const cs_cert *c, const cs_cert *signer) {
    const cs_cert_more *m = cs_cert_more_of(c);
    if (c->is_ca && cs_signer_is(&m->signer, signer->spki_sha256)) return true;
    if (!cs_run_signed(run, c, &m->alg, c->tbs, m->sig, signer)) return false;
    if (c->is_ca) cs_signer_keep(&m->signer, signer->spki_sha256);
    return true;
}

/* ---- the question ---- */

static cs_status answer(cs_verdict *v, const cs_path *path, const cs_refusal *r, cs_err *err) {
    v->accepted = r->reason == CS_R_NONE;
    v->reason = r->reason;
    v->depth = v->accepted ? -1 : r->depth;
    snprintf(v->detail, sizeof v->detail, "%s", v->accepted ? "" : r->detail);
    for (size_t i = 0; i < path->n; i++) {
        cs_status s = cs_certs_add(&v->chain, cs_cert_ref(path->at[i]), err);
        if (s == CS_OK) continue;
        v->accepted = false;
        v->reason = CS_R_OUT_OF_MEMORY;
        return s;
    }
    return CS_OK;
}

cs_status cs_verify(const cs_anchors *anchors, const cs_cert *leaf, const cs_certs *extra, const cs_want *want,
                    cs_verdict *ret, cs_err *err) {
    *ret = (cs_verdict){.accepted = false, .reason = CS_R_INTERNAL_ERROR, .depth = -1};
    cs_path path = {.at = {leaf}, .n = 1};
    cs_refusal r = {.reason = CS_R_NONE, .depth = -1};
    cs_considered other = {.why = {.reason = CS_R_NONE}};
    ret->named = want->name_count > 0;
    const cs_cert_more *m = cs_cert_more_of(leaf);
    if (!anchors || anchors->certs.n == 0) cs_refuse(&r, CS_R_NO_TRUST_ANCHOR, -1, "no certificate is trusted");
    if (m->flaw_any.reason != CS_R_NONE) cs_refuse_flaw(&r, &m->flaw_any, 0); /* no path mends these two */
    if (cs_is_strict(want) && m->flaw_strict.reason != CS_R_NONE) cs_refuse_flaw(&r, &m->flaw_strict, 0);
    if (r.reason != CS_R_NONE || !anchors) return answer(ret, &path, &r, err);
    cs_run run;
    memset(&run, 0, offsetof(cs_run, memo));
    memset((char *)&run + offsetof(cs_run, memo_n), 0, sizeof run - offsetof(cs_run, memo_n));
    cs_status s = run_begin(&run, anchors, extra, want, err);
    if (s != CS_OK) {
        ret->reason = CS_R_OUT_OF_MEMORY;
        return s;
    }
    cs_path_find(&run, leaf, want, NULL, &path, &r, &other);
    free(run.pool);
    ret->signature_checks = run.checks;
    ret->good_from = run.good_from;
    ret->good_until = run.good_until;
    ret->late = run.late;
    ret->revocation = run.revocation;
    ret->considered.reason = other.why.reason;
    ret->considered.depth = other.why.depth;
    snprintf(ret->considered.detail, sizeof ret->considered.detail, "%s", other.why.detail);
    for (size_t i = 0; i < other.path.n; i++) {
        s = cs_certs_add(&ret->considered.chain, cs_cert_ref(other.path.at[i]), err);
        if (s == CS_OK) continue;
        ret->reason = CS_R_OUT_OF_MEMORY;
        return s;
    }
    return answer(ret, &path, &r, err);
}

void cs_verdict_free(cs_verdict *v) {
    cs_certs_free(&v->chain);
    cs_certs_free(&v->considered.chain);
    *v = (cs_verdict){.accepted = false, .reason = CS_R_INTERNAL_ERROR, .depth = -1};
}
