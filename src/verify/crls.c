#include <stdlib.h>

#include "base/text.h"
#include "verify/verify_priv.h"

cs_status cs_crls_new(cs_crls **ret, cs_err *err) {
    cs_crls *s = calloc(1, sizeof *s);
    if (!s) return CS_NOMEM_ERR(err);
    s->refs = 1;
    *ret = s;
    return CS_OK;
}

cs_crls *cs_crls_ref(cs_crls *s) {
    if (s) __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void cs_crls_free(cs_crls *s) {
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    for (size_t i = 0; i < s->n; i++) cs_crl_free(s->at[i]);
    free(s->at);
    free(s);
}

static cs_status add_one(cs_crls *set, cs_buf *take, cs_err *err) {
    CS_AUTO(cs_crl) c = NULL;
    TRY(cs_crl_decode_take(take, &c, err));
    if ((set->n & (set->n - 1)) == 0) { /* full at every power of two */
        cs_crl **grown = realloc(set->at, (set->n ? 2 * set->n : 1) * sizeof *grown);
        if (!grown) return CS_NOMEM_ERR(err);
        set->at = grown;
    }
    set->at[set->n++] = CS_TAKE(c);
    return CS_OK;
}

static cs_status read_pem(cs_crls *set, cs_view text, const char *what, cs_err *err) {
    if (cs_view_trim(text).n == 0) return cs_fail(err, CS_REFUSED, CS_R_FILE_EMPTY, "%s", what);
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_CRL_MAX);
    cs_pem pem = cs_pem_of(text, what);
    char other[sizeof pem.label] = "";
    unsigned found = 0;
    for (;;) {
        cs_status s = cs_pem_next(&pem, &der, err);
        if (s == CS_AGAIN) break;
        if (s != CS_OK) return s;
        if (strcmp(pem.label, "X509 CRL") != 0) {
            memcpy(other, pem.label, sizeof other);
            continue;
        }
        s = add_one(set, &der, err);
        if (s != CS_OK) return cs_fail_in(err, "%s: block %u (line %u)", what, pem.block, pem.line_begun);
        found++;
    }
    if (found) return CS_OK;
    if (other[0]) return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s: holds \"%s\", not a CRL", what, other);
    return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s: neither PEM nor DER", what);
}

cs_status cs_crls_read(cs_crls *set, cs_view text, const char *what, cs_err *err) {
    CS_SCOPED(cs_buf) copy = cs_buf_of(CS_CRL_MAX);
    if (cs_looks_der(text) && !cs_buf_add_view(&copy, text))
        return cs_fail(err, CS_LIMIT, CS_R_FILE_TOO_LARGE, "%s: a CRL of %zu bytes", what, text.n);
    return cs_looks_der(text) ? cs_crls_take(set, &copy, what, err) : read_pem(set, text, what, err);
}

/* A text that holds one CRL and nothing else becomes its own DER, where it stands. */
static bool only_block(cs_view text, const char *what, cs_pem *pem, cs_view *ret) {
    cs_view more;
    cs_err err;
    *pem = cs_pem_of(text, what);
    if (cs_pem_find(pem, ret, &err) != CS_OK || strcmp(pem->label, "X509 CRL") != 0) return false;
    cs_pem rest = *pem;
    return cs_pem_find(&rest, &more, &err) == CS_AGAIN;
}

cs_status cs_crls_take(cs_crls *set, cs_buf *take, const char *what, cs_err *err) {
    cs_pem pem;
    cs_view body;
    if (!cs_looks_der(cs_buf_view(take))) {
        if (!only_block(cs_buf_view(take), what, &pem, &body)) return read_pem(set, cs_buf_view(take), what, err);
        if (!cs_base64_decode_over(body, take->p, &take->n)) return cs_pem_bad(&pem, err);
    }
    cs_status s = add_one(set, take, err);
    return s == CS_OK ? s : cs_fail_in(err, "%s", what);
}

static bool same_line(const cs_crl *a, const cs_crl *b) {
    return a->is_delta == b->is_delta && cs_view_eq(a->idp.whole, b->idp.whole) && cs_view_eq(a->akid, b->akid) &&
           cs_name_eq(a->issuer, b->issuer);
}

static bool is_older(const cs_crl *a, const cs_crl *than) {
    if (a->has_number && than->has_number && cs_integer_cmp(a->number, than->number) != 0)
        return cs_integer_cmp(a->number, than->number) < 0;
    return a->this_update < than->this_update;
}

cs_status cs_crls_no_older(const cs_crls *set, const cs_crls *before, const char *what, cs_err *err) {
    char now[CS_TIME_TEXT_MAX], then[CS_TIME_TEXT_MAX];
    for (size_t i = 0; before && i < before->n; i++) {
        const cs_crl *old = before->at[i], *newest = NULL;
        for (size_t k = 0; k < set->n; k++) {
            const cs_crl *c = set->at[k];
            if (same_line(c, old) && (!newest || is_older(newest, c))) newest = c;
        }
        if (newest && is_older(newest, old))
            return cs_fail(err, CS_REFUSED, CS_R_CRL_ROLLBACK, "%s: the CRL of %s, and one of %s is in force", what,
                           cs_time_text(newest->this_update, now), cs_time_text(old->this_update, then));
    }
    return CS_OK;
}
