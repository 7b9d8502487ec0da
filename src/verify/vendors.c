#include "verify/vendors.h"

#include <stdlib.h>
#include <string.h>

typedef struct vendor {
    char *name;
    cs_anchors *anchors;
    cs_certs certs;
    cs_crls *crls;
} vendor;

struct cs_vendors {
    int refs;
    vendor *at;
    size_t n;
};

cs_status cs_vendors_new(cs_vendors **ret, cs_err *err) {
    cs_vendors *v = calloc(1, sizeof *v);
    if (v == NULL) return CS_NOMEM_ERR(err);
    v->refs = 1;
    *ret = v;
    return CS_OK;
}

cs_vendors *cs_vendors_ref(cs_vendors *v) {
    (void)__atomic_add_fetch(&v->refs, 1, __ATOMIC_RELAXED);
    return v;
}

static void vendor_clear(vendor *one) {
    free(one->name);
    cs_anchors_free(one->anchors);
    cs_certs_free(&one->certs);
    cs_crls_free(one->crls);
}

void cs_vendors_free(cs_vendors *v) {
    if (v == NULL || __atomic_sub_fetch(&v->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    for (size_t i = 0; i < v->n; i++) vendor_clear(&v->at[i]);
    free(v->at);
    free(v);
}

static cs_status add_certs(const cs_certs *from, cs_certs *to, cs_err *err) {
    for (size_t i = 0; i < from->n; i++) TRY(cs_certs_add(to, cs_cert_ref(from->at[i]), err));
    return CS_OK;
}

cs_status cs_vendors_add(cs_vendors *v, const char *name, const cs_certs *anchors, cs_crls *crls, cs_err *err) {
    vendor *at = realloc(v->at, (v->n + 1) * sizeof *at);
    if (at == NULL) return CS_NOMEM_ERR(err);
    v->at = at;
    vendor *one = &v->at[v->n++];
    *one = (vendor){.name = strdup(name), .crls = crls != NULL ? cs_crls_ref(crls) : NULL};
    if (one->name == NULL) return CS_NOMEM_ERR(err);
    TRY(add_certs(anchors, &one->certs, err));
    return cs_anchors_new(anchors, &one->anchors, err);
}

cs_status cs_vendors_anchors(const cs_vendors *v, cs_certs *bag, cs_err *err) {
    for (size_t i = 0; i < v->n; i++) TRY(add_certs(&v->at[i].certs, bag, err));
    return CS_OK;
}

static cs_status check_leaf(const cs_cert *leaf, cs_err *err) {
    if (leaf->is_ca) return cs_fail(err, CS_REFUSED, CS_R_KEY_USAGE_WRONG, "it is a CA's certificate, no device's");
    if (leaf->has_key_usage && (leaf->key_usage & CS_KU_DIGITAL_SIGNATURE) == 0)
        return cs_fail(err, CS_REFUSED, CS_R_KEY_USAGE_WRONG, "the device's key is not for signatures");
    return CS_OK;
}

/* No path to its anchors says only that it is another's. */
static bool says_more(cs_reason reason) {
    return reason != CS_R_UNKNOWN_ISSUER && reason != CS_R_CHAIN_INCOMPLETE && reason != CS_R_NO_TRUST_ANCHOR;
}

cs_status cs_vendors_verify(const cs_vendors *v, const cs_cert *leaf, const cs_certs *extra, cs_time at,
                            const char **ret_name, cs_verdict *ret, cs_err *err) {
    cs_err nearest = {.status = CS_OK};
    for (size_t i = 0; i < v->n; i++) {
        const vendor *one = &v->at[i];
        const cs_want want = {
            .purpose = CS_PURPOSE_ANY, .at = at, .max_depth = -1, .revocation = CS_REVOCATION_GIVEN, .crls = one->crls};
        cs_verdict_free(ret);
        *ret = (cs_verdict){.depth = -1};
        TRY(cs_verify(one->anchors, leaf, extra, &want, ret, err));
        if (ret->accepted) {
            *ret_name = one->name;
            return check_leaf(leaf, err);
        }
        (void)cs_fail(err, CS_REFUSED, ret->reason, "vendor %s: %.400s", one->name, ret->detail);
        if (nearest.status == CS_OK || (!says_more(nearest.reason) && says_more(err->reason))) nearest = *err;
    }
    if (nearest.status == CS_OK)
        return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "no vendor's certificates are taken");
    *err = nearest;
    return nearest.status;
}
