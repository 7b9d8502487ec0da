/* Heads of the audit log: made by the writer soon after something was recorded, at most one a second, signed by the
 * signer, which is shown each time that the log only grew. */
#include "authority/log.h"

#include <stdio.h>

#include "authority/authority_priv.h"
#include "report/log.h"

#define HEAD_DELAY (CS_SEC / 10) /* what comes at once shares a head */
#define HEAD_EVERY CS_SEC
#define HEAD_AGAIN (5 * CS_SEC) /* after a failure */

void head_wanted(authority *a) {
    cs_time at = cs_mono(a->clock) + HEAD_DELAY;
    if (a->head_at != 0) return;
    a->head_at = a->head_last != 0 && a->head_last + HEAD_EVERY > at ? a->head_last + HEAD_EVERY : at;
}

/* What the signer says of its log: u64 size of the last head it signed, vec16 SPKI, vec16 claim. */
static cs_status ask_key(authority *a, uint64_t *ret_size, cs_err *err) {
    cs_view answer;
    signer_link_ask(&a->signer, SIGNING_LOG_KEY, cs_view_of(NULL, 0));
    TRY(signer_link_send(&a->signer, err));
    TRY(signer_link_next(&a->signer, &answer, err));
    cs_rd r = cs_rd_of(answer);
    head_key key;
    char origin[HEAD_ORIGIN_MAX];
    *ret_size = cs_rd_u64(&r);
    cs_view spki = cs_rd_vec16(&r), claim = cs_rd_vec16(&r);
    if (!cs_rd_ended(&r) || claim.n > sizeof a->log_claim)
        return cs_fail(err, CS_FAILED, CS_R_WALL_VIOLATED, "the signer's word on the log's key is malformed");
    (void)snprintf(origin, sizeof origin, "%s/countersign-log", a->conf->trust_domain);
    TRY(head_key_of(origin, spki, &key, err));
    (void)pthread_mutex_lock(&a->log_lock);
    a->log_key = key;
    memcpy(a->log_claim, claim.p, claim.n);
    a->log_claim_n = claim.n;
    (void)pthread_mutex_unlock(&a->log_lock);
    return CS_OK;
}

static cs_status ask_head(authority *a, uint64_t signed_size, uint64_t size, cs_view *ret_note, cs_err *err) {
    merkle_hash root;
    merkle_proof proof = {.n = 0};
    CS_SCOPED(cs_buf) payload = cs_buf_of(8 + CS_SHA256_LEN + sizeof proof);
    TRY(store_log_root(a->store, size, &root, err));
    if (signed_size > 0 && signed_size < size)
        TRY(merkle_consistency(store_log_node, a->store, signed_size, size, &proof, err));
    (void)cs_buf_add_u64(&payload, size);
    (void)cs_buf_add(&payload, root.at, sizeof root.at);
    (void)cs_buf_add(&payload, proof.at, proof.n * sizeof *proof.at);
    TRY(cs_buf_ok(&payload, "a log's head", err));
    signer_link_ask(&a->signer, SIGNING_HEAD, cs_buf_view(&payload));
    TRY(signer_link_send(&a->signer, err));
    return signer_link_next(&a->signer, ret_note, err);
}

static cs_status make(authority *a, cs_err *err) {
    uint64_t size = 0, headed = 0, signed_size = 0;
    cs_view note;
    log_head head;
    TRY(store_log_size(a->store, &size, err));
    TRY(store_head_last(a->store, &headed, NULL, err));
    bool known = a->log_claim_n > 0;
    if (size == headed && known) return CS_OK;
    TRY(signer_link_up(&a->signer, SIGNER_GREET_MS, err));
    TRY(ask_key(a, &signed_size, err));
    if (size == headed) return CS_OK;
    TRY(ask_head(a, signed_size, size, &note, err));
    TRY(head_read(note, &a->log_key, &head, err));
    if (head.size != size) return cs_fail(err, CS_FAILED, CS_R_LOG_HEAD_INVALID, "the signer signed another head");
    TRY(store_begin(a->store, err));
    cs_status status = store_head_add(a->store, size, head.at, note, err);
    if (status == CS_OK) return store_commit(a->store, err);
    store_rollback(a->store);
    return status;
}

cs_status head_make(authority *a, cs_err *err) {
    trail_take_due(a);
    cs_status status = make(a, err);
    cs_time now = cs_mono(a->clock);
    a->head_at = status == CS_OK ? 0 : now + HEAD_AGAIN;
    if (status == CS_OK) a->head_last = now, a->head_said = 0;
    return status;
}

void head_make_due(authority *a) {
    cs_err err;
    cs_time now = cs_mono(a->clock);
    if (head_make(a, &err) == CS_OK || (a->head_said != 0 && now - a->head_said < CS_MIN)) return;
    a->head_said = now;
    log_failure(err.reason == CS_R_SIGNER_UNREACHABLE ? LOG_WARN : LOG_ERROR, "log-head-failed", &err);
}

/* ---- shown ---- */

cs_status log_key(authority *a, head_key *ret, uint8_t claim[LOG_CLAIM_MAX], size_t *ret_n, cs_err *err) {
    (void)pthread_mutex_lock(&a->log_lock);
    *ret = a->log_key;
    *ret_n = a->log_claim_n;
    memcpy(claim, a->log_claim, a->log_claim_n);
    (void)pthread_mutex_unlock(&a->log_lock);
    if (*ret_n > 0) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_SIGNER_UNREACHABLE, "it has not told the log's key yet");
}

cs_status log_head_now(authority *a, cs_err *err) {
    job j = {.type = JOB_HEAD};
    return authority_submit(a, &j, err);
}

void log_proof_free(log_proof *p) {
    cs_buf_free(&p->record);
    cs_buf_free(&p->note);
}

static cs_status keep_record(void *cls, const store_record *r, cs_err *err) {
    log_proof *p = cls;
    p->sequence = r->sequence;
    (void)cs_buf_add_view(&p->record, r->record);
    return cs_buf_ok(&p->record, "an audit record", err);
}

typedef struct proving {
    const char *serial;
    log_proof *proof;
} proving;

static cs_status prove(void *cls, store *st, cs_err *err) {
    const proving *q = cls;
    log_proof *p = q->proof;
    const store_log_filter f = {.serial = q->serial, .event = "issued", .limit = 1};
    TRY(store_log_list(st, &f, keep_record, p, err));
    if (p->sequence == 0) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "no issuance of %s", q->serial);
    TRY(store_head_last(st, &p->size, &p->note, err));
    if (p->size < p->sequence) return CS_OK; /* no head knows it yet */
    return merkle_inclusion(store_log_node, st, p->sequence - 1, p->size, &p->path, err);
}

cs_status log_prove(authority *a, const char *serial, log_proof *ret, cs_err *err) {
    for (int i = 0; i < 2; i++) {
        proving q = {serial, ret};
        *ret = (log_proof){.record = cs_buf_of(64 * 1024), .note = cs_buf_of(HEAD_NOTE_MAX)};
        TRY(authority_read(a, prove, &q, err));
        if (ret->size >= ret->sequence) return CS_OK;
        log_proof_free(ret);
        TRY(log_head_now(a, err));
    }
    return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "no head holds record %llu", (unsigned long long)ret->sequence);
}
