/* New roots: only with proof. */
#include "renew/ask.h"

#include <stdlib.h>
#include <string.h>

#include "verify/verify.h"

static bool is_root(const cs_cert *c) {
    return cs_view_eq(c->subject, c->issuer);
}

static bool is_known(const cs_certs *known, const cs_cert *c) {
    for (size_t i = 0; i < known->n; i++)
        if (memcmp(known->at[i]->sha256, c->sha256, sizeof c->sha256) == 0) return true;
    return false;
}

/* Is there a certificate of that root's name and key, good under a known one? @rfc 4210#4.4 */
static cs_status is_proven(const cs_certs *came, const cs_anchors *anchors, const cs_cert *root, cs_time at, bool *ret,
                           cs_err *err) {
    const cs_want want = {.purpose = CS_PURPOSE_ANY, .at = at, .max_depth = -1, .revocation = CS_REVOCATION_OFF};
    *ret = false;
    for (size_t i = 0; i < came->n && !*ret; i++) {
        CS_SCOPED(cs_verdict) v = {.depth = -1};
        const cs_cert *c = came->at[i];
        if (is_root(c) || !c->is_ca || !cs_view_eq(c->subject, root->subject) || !cs_view_eq(c->spki, root->spki))
            continue;
        TRY(cs_verify(anchors, c, NULL, &want, &v, err));
        *ret = v.accepted;
    }
    return CS_OK;
}

cs_status renew_trust_filter(cs_certs *came, const cs_certs *known, cs_time at, bool *ret_unproven, cs_err *err) {
    CS_AUTO(cs_anchors) anchors = NULL;
    size_t kept = 0;
    *ret_unproven = false;
    if (known->n == 0) return CS_OK;
    TRY(cs_anchors_new(known, &anchors, err));
    bool *keep = calloc(came->n + 1, sizeof *keep);
    if (keep == NULL) return CS_NOMEM_ERR(err);
    cs_status s = CS_OK;
    for (size_t i = 0; i < came->n && s == CS_OK; i++) {
        keep[i] = !is_root(came->at[i]) || is_known(known, came->at[i]);
        if (!keep[i]) s = is_proven(came, anchors, came->at[i], at, &keep[i], err);
    }
    for (size_t i = 0; i < came->n && s == CS_OK; i++) {
        if (keep[i]) {
            came->at[kept++] = came->at[i];
            continue;
        }
        cs_cert_free(came->at[i]);
        *ret_unproven = true;
    }
    if (s == CS_OK) came->n = kept;
    free(keep);
    return s;
}
