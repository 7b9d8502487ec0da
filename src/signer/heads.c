#include "signer/heads.h"

#include <stdio.h>

cs_status heads_init(heads *h, cs_key *take_key, const char *trust_domain, const cs_key *ca, cs_err *err) {
    char origin[HEAD_ORIGIN_MAX];
    CS_SCOPED(cs_buf) claim = cs_buf_of(1024);
    CS_SCOPED(cs_buf) signature = cs_buf_of(sizeof h->claim);
    *h = (heads){.key = take_key};
    (void)snprintf(origin, sizeof origin, "%s/countersign-log", trust_domain);
    TRY(head_key_of(origin, cs_key_spki(take_key), &h->public, err));
    (void)head_key_claim_add(&claim, &h->public);
    TRY(cs_buf_ok(&claim, "the log key's claim", err));
    TRY(cs_key_sign(ca, cs_buf_view(&claim), &signature, err));
    TRY(cs_buf_ok(&signature, "the log key's claim", err));
    memcpy(h->claim, signature.p, signature.n);
    h->claim_len = signature.n;
    return CS_OK;
}

void heads_free(heads *h) {
    cs_key_free(h->key);
    h->key = NULL;
}

void heads_replay(heads *h, cs_view serial, cs_view root) {
    cs_rd r = cs_rd_of(serial);
    cs_view id = cs_rd_bytes(&r, HEAD_KEY_ID);
    (void)cs_rd_u32(&r);
    uint64_t size = cs_rd_u64(&r);
    /* of a key before this one: that was another log */
    if (!cs_rd_ended(&r) || !cs_view_eq(id, cs_view_of(h->public.id, HEAD_KEY_ID))) return;
    h->last.size = size;
    memcpy(h->last.root.at, root.p, sizeof h->last.root.at);
    h->synced = h->last;
}

static cs_status read_proof(cs_rd *r, merkle_proof *ret, cs_err *err) {
    ret->n = 0;
    while (!cs_rd_ended(r) && cs_rd_ok(r)) {
        if (ret->n == sizeof ret->at / sizeof *ret->at) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a proof");
        cs_view v = cs_rd_bytes(r, CS_SHA256_LEN);
        if (cs_rd_ok(r)) memcpy(ret->at[ret->n++].at, v.p, CS_SHA256_LEN);
    }
    return CS_OK;
}

cs_status heads_check(heads *h, cs_view payload, cs_time now, uint8_t serial[16], log_head *ret, cs_err *err) {
    merkle_proof proof;
    cs_rd r = cs_rd_of(payload);
    *ret = (log_head){.size = cs_rd_u64(&r), .at = cs_time_seconds(now) * CS_SEC};
    cs_view root = cs_rd_bytes(&r, CS_SHA256_LEN);
    if (h->key == NULL) return cs_fail(err, CS_REFUSED, CS_R_STATE_MISSING, "no key for the audit log");
    TRY(read_proof(&r, &proof, err));
    if (!cs_rd_ended(&r) || ret->size == 0)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "SIGN_HEAD of %zu bytes", payload.n);
    memcpy(ret->root.at, root.p, sizeof ret->root.at);
    TRY(merkle_consistency_check(h->last.size, &h->last.root, ret->size, &ret->root, &proof, err));
    memcpy(serial, h->public.id, HEAD_KEY_ID);
    memset(serial + HEAD_KEY_ID, 0, 4);
    for (unsigned i = 0; i < 8; i++) serial[8 + i] = (uint8_t)(ret->size >> (56 - 8 * i));
    h->last = *ret;
    return CS_OK;
}

cs_status heads_tell(const heads *h, cs_buf *out, cs_err *err) {
    if (h->key == NULL) return cs_fail(err, CS_REFUSED, CS_R_STATE_MISSING, "no key for the audit log");
    (void)cs_buf_add_u64(out, h->last.size);
    (void)cs_buf_add_vec16(out, cs_view_of(h->public.spki, HEAD_SPKI));
    (void)cs_buf_add_vec16(out, cs_view_of(h->claim, h->claim_len));
    return cs_buf_ok(out, "the log's key", err);
}
