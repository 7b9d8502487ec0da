/* An order becomes a certificate, which is handed out (RFC 8555 7.4, 7.4.2). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "proto/acme/acme_priv.h"
#include "x509/digest.h"
#include "x509/pem.h"

static cs_status run_set(authority *a, store *st, void *cls, cs_err *err) {
    store_order now;
    const store_order *o = cls;
    (void)a;
    TRY(store_order_get(st, o->id, &now, err));
    /* asked twice at once: the other was first, with the same certificate */
    if (now.status == o->status && strcmp(now.serial, o->serial) == 0 && strcmp(now.request, o->request) == 0)
        return CS_OK;
    return store_order_set(st, o, err);
}

cs_status acme_order_settle(acme_call *x, store_order *o, const enroll_answer *answer, cs_err *err) {
    if (answer != NULL && answer->leaf != NULL) {
        o->status = ORDER_VALID;
        o->expires = answer->leaf->not_after;
        (void)cs_hex(answer->leaf->serial, o->serial);
    } else if (answer != NULL) {
        o->status = ORDER_WAITS;
        (void)snprintf(o->request, sizeof o->request, "%s", answer->request);
        rest_retry_after(x->c, answer->retry);
    }
    return authority_change(x->m->a, run_set, o, err);
}

static cs_status run_check(void *cls, store *st, cs_err *err) {
    return acme_account_check(cls, st, err);
}

static cs_status read_csr(acme_call *x, cs_buf *der, cs_err *err) {
    SCOPED_JSON payload = NULL;
    const char *text = NULL;
    TRY(acme_payload(x, false, &payload, err));
    TRY(rest_text(payload, "csr", true, &text, err));
    if (cs_base64url_decode(cs_view_str(text), der) && der->n > 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_CSR_MALFORMED, "csr: base64url of DER is expected");
}

static cs_status check_state(acme_call *x, const store_order *o, cs_err *err) {
    const char *state = acme_order_state(o, authority_now(x->m->a));
    if (strcmp(state, "ready") == 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_ORDER_NOT_READY, "order %s is %s", o->id, state);
}

typedef struct attested {
    const char *order;
    uint8_t spki[CS_SHA256_LEN];
    bool there;
} attested;

static cs_status authz_seen(void *cls, const store_authz *z, cs_err *err) {
    attested *a = cls;
    (void)err;
    a->there = z->attested && z->status == AUTHZ_VALID;
    memcpy(a->spki, z->attested_spki, sizeof a->spki);
    return CS_OK;
}

static cs_status run_attested(void *cls, store *st, cs_err *err) {
    attested *a = cls;
    return store_authz_list(st, a->order, authz_seen, a, err);
}

/* The key in the request must be the one that the TPM spoke of. */
static cs_status check_attested(acme_call *x, const store_order *o, const identifier *i, const cs_csr *csr,
                                cs_err *err) {
    attested a = {.order = o->id};
    TRY(identifier_fits_device(i, csr, err));
    TRY(authority_read(x->m->a, run_attested, &a, err));
    if (a.there && memcmp(a.spki, csr->spki_sha256, sizeof a.spki) == 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_ATTESTATION_INVALID, "the request is for another key than the attested one");
}

/* The names of an order as a request has them, and by whom they were proven, become what enroll/ is asked. */
static cs_status issue(acme_call *x, const store_order *o, cs_view csr_der, enroll_answer *ret, cs_err *err) {
    CS_AUTO(cs_csr) csr = NULL;
    identifier at[IDENTIFIERS_MAX];
    char first[STORE_IDENTIFIER_MAX + 3];
    size_t n = 0;
    TRY(cs_csr_read(csr_der, "csr", &csr, err));
    TRY(acme_order_identifiers(x, o->id, at, &n, err));
    if (n == 0) return cs_fail(err, CS_REFUSED, CS_R_ORDER_UNKNOWN, "order %s has no names", o->id);
    bool device = at[0].type == CS_SAN_OTHER;
    TRY(device ? check_attested(x, o, &at[0], csr, err) : identifiers_fit(at, n, csr, err));
    if (cs_view_eq(csr->spki, cs_view_of(x->account.spki, x->account.spki_n)))
        return cs_fail(err, CS_REFUSED, CS_R_NAME_NOT_ALLOWED, "the request is for the account's own key");
    identifier_text(&at[0], first);
    bool bound = x->account.token[0] != '\0';
    const enroll_proven proven = {.kind = device ? CS_KIND_DEVICE : CS_KIND_SERVER,
                                  .name = bound ? x->account.name : first,
                                  .profile = o->profile[0] != '\0' ? o->profile : NULL,
                                  .order = o->id};
    enroll_ask ask = x->at;
    ask.csr = csr->der;
    ask.proven = &proven;
    ask.trace = x->trace;
    return enroll_submit(x->m->e, &ask, ret, err);
}

cs_status acme_finalize(acme_call *x, cs_err *err) {
    CS_SCOPED(cs_buf) csr = cs_buf_of(CS_CSR_MAX + 1);
    CS_SCOPED(enroll_answer) answer = {.leaf = NULL};
    store_order o;
    TRY(acme_order_get(x, x->id, &o, err));
    TRY(check_state(x, &o, err));
    TRY(authority_read(x->m->a, run_check, x, err));
    x->csr = true;
    TRY(read_csr(x, &csr, err));
    TRY(issue(x, &o, cs_buf_view(&csr), &answer, err));
    x->csr = false;
    TRY(acme_order_settle(x, &o, &answer, err));
    acme_location(x, "order", o.id);
    return acme_order_put(x, &o, err);
}

/* ---- handed out ---- */

typedef struct handing {
    const char *serial;
    store_order order;
    cs_cert *leaf;
} handing;

static cs_status run_leaf(void *cls, store *st, cs_err *err) {
    handing *h = cls;
    store_cert row;
    TRY(store_order_by_serial(st, h->serial, &h->order, err));
    TRY(store_cert_by_serial(st, h->serial, &row, err));
    return cs_cert_decode(row.der, &h->leaf, err);
}

/* Leaf first. The alternate has the root too, for clients that keep no anchors of their own. */
cs_status acme_certificate(acme_call *x, cs_err *err) {
    handing h = {.serial = x->id};
    const cs_cert *chain[AUTHORITY_CHAIN_MAX];
    char link[ACME_URL_MAX + 100];
    TRY(acme_only_get(x, err));
    TRY(authority_read(x->m->a, run_leaf, &h, err));
    CS_AUTO(cs_cert) leaf = h.leaf;
    if (strcmp(h.order.account, x->account.id) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_ORDER_UNKNOWN, "certificate %s is another account's", x->id);
    size_t n = authority_chain(x->m->a, leaf, chain);
    for (size_t i = 0; i < n; i++) (void)cs_pem_add_cert(&x->c->out, chain[i]);
    bool with_root = x->sub[0] != '\0';
    if (with_root) (void)cs_pem_add_cert(&x->c->out, authority_root(x->m->a));
    (void)snprintf(link, sizeof link, "<%s/certificate/%s%s>;rel=\"alternate\"", x->base, x->id, with_root ? "" : "/1");
    rest_extra(x->c, "Link", link);
    x->c->type = "application/pem-certificate-chain";
    return CS_OK;
}
