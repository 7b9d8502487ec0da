/* Answers: with what they are protected, which certificates go along. A request by a secret is answered by the same
 * secret; everything else, refusals too, is signed by the RA, whose certificate says cmcRA.    @rfc 9483#3 */
#include <stdio.h>

#include "proto/cmp/cmp_door.h"

enum { EXTRA = 2 * AUTHORITY_CHAIN_MAX + 1 };

void cmp_status_of(const cs_err *why, cmp_status *ret) {
    const cs_reason_info *r = cs_reason_of(why->reason);
    *ret = (cmp_status){.status = CMP_REJECTION, .failure = cmp_failure_of(why->reason)};
    (void)snprintf(ret->text, sizeof ret->text, "%s: %s", r->name, r->says);
}

void cmp_answer_error(cmp_exchange *x, const cs_err *why) {
    cmp_status status;
    cmp_status_of(why, &status);
    x->body = CMP_ERROR;
    cs_buf_clear(&x->content);
    cs_der_mark all = cs_der_open(&x->content, CS_DER_SEQUENCE);
    cmp_put_status(&x->content, &status);
    cs_der_close(&x->content, all);
}

static size_t add_chain(const cmp_exchange *x, const cs_cert *leaf, bool itself, const cs_cert *to[EXTRA], size_t n) {
    const cs_cert *chain[AUTHORITY_CHAIN_MAX];
    size_t k = authority_chain(x->c->a, leaf, chain);
    for (size_t i = itself ? 0 : 1; i < k && n < EXTRA; i++) {
        bool there = false;
        for (size_t j = 0; j < n; j++) there = there || memcmp(to[j]->sha256, chain[i]->sha256, 32) == 0;
        if (!there) to[n++] = chain[i];
    }
    return n;
}

cs_status cmp_answer_seal(cmp_exchange *x, cs_err *err) {
    authority_ra *ras[AUTHORITY_RA_MAX] = {NULL};
    size_t ra_n = 0, extra_n = 0;
    const cs_cert *extra[EXTRA];
    cs_cmp_mac mac;
    cmp_protector by = {.key = NULL};
    cs_status status = CS_OK;
    cmp_head head = {.pvno = x->in.h.pvno == 3 ? 3 : 2,
                     .recipient = x->in.h.sender,
                     .transaction = x->in.h.transaction,
                     .sender_nonce = cs_view_of(x->nonce, sizeof x->nonce),
                     .recip_nonce = x->in.h.sender_nonce,
                     .time = authority_now(x->c->a),
                     .implicit_confirm = x->implicit,
                     .confirm_wait = x->confirm ? CMP_CONFIRM_SECONDS : 0};
    if (x->how == CMP_BY_SECRET) {
        status = cs_cmp_mac_again(&x->mac, cs_rng_system(), &mac, err);
        by = (cmp_protector){.mac = &mac, .secret = cs_buf_view(&x->secret)};
        head.sender = authority_issuing(x->c->a)->subject;
        head.sender_kid = x->in.h.sender_kid;
    } else {
        status = authority_ras(x->c->a, ras, &ra_n, err);
        if (status == CS_OK) {
            by.key = ras[0]->key;
            head.sender = ras[0]->cert->subject;
            head.sender_kid = ras[0]->cert->skid;
            extra_n = add_chain(x, ras[0]->cert, true, extra, 0);
        }
    }
    if (x->leaf != NULL) extra_n = add_chain(x, x->leaf, false, extra, extra_n);
    if (status == CS_OK)
        status = cmp_seal(&head, x->body, cs_buf_view(&x->content), &by, extra, extra_n, &x->c->out, err);
    for (size_t i = 0; i < ra_n; i++) authority_ra_free(ras[i]);
    return status;
}
