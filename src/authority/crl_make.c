/* One list: intent with its number, built from the store into a file, signed as it passes, recorded, put in place. It
 * is never held: a million entries are as much as ten. */
#include <stdio.h>
#include <unistd.h>

#include "authority/crl_priv.h"
#include "base/fault.h"
#include "io/spool.h"
#include "keys/stream.h"
#include "x509/build.h"
#include "x509/der_write.h"
#include "x509/digest.h"

enum { FRAME_MAX = 2 * CS_CERT_MAX, ONE_PART = 1024 * 1024 };

typedef struct making {
    authority *a;
    crl_list *list;
    const authority_who *asked_by;
    char name[AUTHORITY_LIST_NAME], path[CONF_PATH_MAX];
    store_crl crl, base;
    cs_crl_plan plan;
    cs_buf urls; /* what the plan's points look into */
    cs_view points[CS_CRL_POINTS_MAX];
    char freshest[512];
    spool entries;
    cs_buf front, back, signature, one;
} making;

static void making_free(making *m) {
    spool_free(&m->entries);
    cs_buf_free(&m->urls);
    cs_buf_free(&m->front);
    cs_buf_free(&m->back);
    cs_buf_free(&m->signature);
    cs_buf_free(&m->one);
}

/* ---- what it says ---- */

static cs_status add_url(void *cls, cs_view url, cs_err *err) {
    making *m = cls;
    if (m->plan.point_count == CS_CRL_POINTS_MAX) return CS_OK;
    size_t at = m->urls.n;
    if (!cs_buf_add_view(&m->urls, url)) return cs_buf_ok(&m->urls, "addresses", err);
    m->points[m->plan.point_count++] = cs_view_of(m->urls.p + at, url.n);
    return CS_OK;
}

static cs_status make_plan(making *m, cs_err *err) {
    const crl_list *l = m->list;
    m->plan = (cs_crl_plan){.issuer = l->is.ca->cert,
                            .number = m->crl.number,
                            .this_update = m->crl.this_update,
                            .next_update = m->crl.next_update,
                            .points = m->points,
                            .base = m->crl.base};
    (void)cs_buf_reserve(&m->urls, CS_CRL_POINTS_MAX * 512); /* it does not move under the points */
    if (l->is.shard > 0) TRY(store_points(m->a->scan, m->crl.issuer, l->is.shard, add_url, m, err));
    const crl_list *delta = l->is.delta ? NULL : crl_list_twin(l);
    if (delta != NULL) m->plan.freshest = cs_view_str(authority_crl_url(m->a, &delta->is, m->freshest));
    return cs_crl_put_back(&m->plan, &m->back, err);
}

static cs_status add_entry(void *cls, const store_revocation *r, cs_err *err) {
    making *m = cls;
    m->crl.entries++;
    cs_buf_clear(&m->one);
    TRY(cs_crl_put_entry(&m->one, r->serial, r->at, r->reason, err));
    return spool_add(&m->entries, cs_buf_view(&m->one), err);
}

/* One statement sees one state of the store, not older than the intent's feed_sequence; what changes meanwhile wants a
 * list of its own. */
static cs_status build(making *m, cs_err *err) {
    char dir[CONF_PATH_MAX];
    const authority_list *is = &m->list->is;
    /* An entry stays until it has been on a CRL made after the certificate's end (RFC 5280 3.3). */
    cs_time since = m->crl.this_update - is->ca->policy->lifetime;
    TRY(conf_path(m->a->conf, "crl", dir, err));
    TRY(spool_open_nameless(&m->entries, dir, err));
    cs_status status =
        is->delta ? store_changed(m->a->scan, m->crl.issuer, is->shard, m->base.feed_sequence, since, add_entry, m, err)
                  : store_revoked(m->a->scan, m->crl.issuer, is->shard, since, add_entry, m, err);
    if (status == CS_OK) status = make_plan(m, err);
    store_settle(m->a->scan);
    TRY(status);
    TRY(spool_flush(&m->entries, err));
    return cs_crl_put_front(&m->plan, m->entries.n, m->back.n, &m->front, err);
}

/* ---- signed ---- */

/* Entries are shorter than 128 octets: of a piece of the file, those that are whole. */
static size_t whole_entries(cs_view piece) {
    size_t at = 0;
    while (at + 2 <= piece.n && at + 2 + piece.p[at + 1] <= piece.n) at += (size_t)2 + piece.p[at + 1];
    return at;
}

static cs_status send_entries(making *m, cs_stream *proof, cs_err *err) {
    CS_SCOPED(cs_buf) piece = cs_buf_of(SIGNING_PART_MAX);
    for (size_t at = 0; at < m->entries.n;) {
        cs_buf_clear(&piece);
        TRY(spool_read(m->entries.fd, at, SIGNING_PART_MAX, &piece, m->path, err));
        cs_view whole = cs_view_of(piece.p, whole_entries(cs_buf_view(&piece)));
        if (whole.n == 0) return cs_fail(err, CS_FAILED, CS_R_STATE_CORRUPT, "%s: its entries were changed", m->path);
        signer_link_ask(&m->a->crl_signer, SIGNING_CRL_PART, whole);
        TRY(signer_link_send(&m->a->crl_signer, err));
        TRY(cs_stream_add(proof, whole, err));
        at += whole.n;
    }
    return CS_OK;
}

/* The signer's answer is proven before anybody relies on it. */
static cs_status sign(making *m, cs_err *err) {
    signer_link *link = &m->a->crl_signer;
    CS_AUTO(cs_stream) proof = NULL;
    cs_view signature;
    TRY(signer_link_up(link, SIGNER_GREET_MS, err)); /* it may have gone meanwhile */
    TRY(cs_stream_verify_begin(m->list->is.ca->cert->spki, &proof, err));
    signer_link_ask_crl(link, m->list->is.ca, cs_buf_view(&m->front));
    TRY(signer_link_send(link, err));
    TRY(cs_stream_add(proof, cs_buf_view(&m->front), err));
    TRY(send_entries(m, proof, err));
    TRY(cs_stream_add(proof, cs_buf_view(&m->back), err));
    signer_link_ask(link, SIGNING_CRL_END, cs_buf_view(&m->back));
    TRY(signer_link_send(link, err));
    TRY(signer_link_next(link, &signature, err));
    if (!cs_buf_add_view(&m->signature, signature)) return cs_buf_ok(&m->signature, "signature", err);
    return cs_stream_verify_end(proof, cs_buf_view(&m->signature), err);
}

/* ---- written ---- */

/* A file, and its hash. */
typedef struct writing {
    spool to;
    cs_digest *hash;
} writing;

static void writing_free(writing *w) {
    spool_free(&w->to);
    cs_digest_free(w->hash);
}

static cs_status put(writing *w, cs_view bytes, cs_err *err) {
    TRY(cs_digest_add(w->hash, bytes, err));
    return spool_add(&w->to, bytes, err);
}

static cs_status write_file(making *m, writing *w, cs_err *err) {
    CS_SCOPED(cs_buf) head = cs_buf_of(FRAME_MAX), tail = cs_buf_of(FRAME_MAX), piece = cs_buf_of(SPOOL_PIECE);
    cs_view algorithm;
    TRY(cs_key_algorithm(m->list->is.ca->cert->spki, &algorithm, err));
    (void)cs_buf_add_view(&tail, cs_buf_view(&m->back));
    (void)cs_buf_add_view(&tail, algorithm);
    cs_der_put_bits(&tail, cs_buf_view(&m->signature));
    cs_der_put_head(&head, CS_DER_SEQUENCE, m->front.n + m->entries.n + tail.n);
    TRY(cs_buf_ok(&tail, "CRL", err));
    TRY(spool_open(&w->to, m->path, 0644, err));
    TRY(cs_digest_begin(&w->hash, err));
    TRY(put(w, cs_buf_view(&head), err));
    TRY(put(w, cs_buf_view(&m->front), err));
    for (size_t at = 0; at < m->entries.n; at += piece.n) {
        cs_buf_clear(&piece);
        TRY(spool_read(m->entries.fd, at, SPOOL_PIECE, &piece, m->path, err));
        if (piece.n == 0) return cs_fail(err, CS_FAILED, CS_R_STATE_CORRUPT, "%s: its entries were cut", m->path);
        TRY(put(w, cs_buf_view(&piece), err));
    }
    TRY(put(w, cs_buf_view(&tail), err));
    TRY(spool_flush(&w->to, err));
    m->crl.size = w->to.n;
    return cs_digest_end(w->hash, m->crl.sha256, err);
}

/* ---- recorded ---- */

static cs_status intend(authority *a, store *st, void *cls, cs_err *err) {
    making *m = cls;
    size_t i = (size_t)((const ca_here *)m->list->is.ca - a->cas);
    return store_crl_intend(st, a->crl_signer.signed_crl[i] + 1, &m->crl, err);
}

static cs_status publish(authority *a, store *st, void *cls, cs_err *err) {
    making *m = cls;
    TRY(store_crl_publish(st, &m->crl, err));
    return audit(a, st, "crl-published", m->asked_by, NULL, m->name, err);
}

static cs_status put_part(authority *a, const making *m, unsigned part, cs_view bytes, cs_err *err) {
    TRY(store_begin(a->scan, err));
    cs_status status = store_crl_part_add(a->scan, m->crl.number, part, bytes, err);
    if (status == CS_OK) return store_commit(a->scan, err);
    store_rollback(a->scan);
    return status;
}

/* Other nodes have no other way to its octets. A part a transaction: none waits long. */
static cs_status put_parts(making *m, int fd, cs_err *err) {
    CS_SCOPED(cs_buf) piece = cs_buf_of(ONE_PART);
    unsigned part = 0;
    if (!store_is_shared(m->a->scan)) return CS_OK;
    for (size_t at = 0; at < m->crl.size; at += piece.n, part++) {
        cs_buf_clear(&piece);
        TRY(spool_read(fd, at, ONE_PART, &piece, m->path, err));
        if (piece.n == 0) return cs_fail(err, CS_FAILED, CS_R_STATE_CORRUPT, "%s: was cut", m->path);
        TRY(put_part(m->a, m, part, cs_buf_view(&piece), err));
    }
    return CS_OK;
}

/* Later than that of the list before, so that Last-Modified tells two of one second apart; never in the future. */
static cs_time this_update(const crl_list *l, cs_time now) {
    cs_time at = now - CS_CRL_BACKDATE;
    if (l->shown != NULL && at <= l->shown->crl.this_update) at = l->shown->crl.this_update + CS_SEC;
    return at < now ? at : now;
}

static cs_status begin(making *m, cs_err *err) {
    const authority_list *is = &m->list->is;
    const conf_crl *policy = is->ca->policy;
    cs_time now = cs_time_seconds(cs_now(m->a->clock)) * CS_SEC;
    cs_time lifetime = is->delta ? 2 * policy->delta : policy->lifetime; /* of a delta: one may fail */
    (void)authority_list_name(is, m->name);
    TRY(crl_path(m->a, m->name, "crl", m->path, err));
    TRY(signer_link_up(&m->a->crl_signer, SIGNER_GREET_MS, err));
    memcpy(m->crl.issuer, is->ca->cert->spki_sha256, sizeof m->crl.issuer);
    m->crl.shard = is->shard;
    m->crl.this_update = this_update(m->list, now);
    m->crl.next_update = now + lifetime;
    if (m->crl.next_update > is->ca->cert->not_after) m->crl.next_update = is->ca->cert->not_after;
    if (!is->delta) return CS_OK;
    TRY(store_crl_base(m->a->scan, m->crl.issuer, is->shard, now, &m->base, err));
    m->crl.base = m->base.number;
    return CS_OK;
}

static cs_status make(making *m, cs_err *err) {
    authority *a = m->a;
    __attribute__((cleanup(writing_free))) writing w = {.to = {.fd = -1}};
    int fd = -1;
    TRY(begin(m, err));
    TRY(authority_change(a, intend, m, err));
    CS_FAULT("authority.crl.after-intent", err);
    TRY(build(m, err));
    TRY(sign(m, err));
    size_t ca = (size_t)((const ca_here *)m->list->is.ca - a->cas);
    a->crl_signer.signed_crl[ca] = m->crl.number;
    CS_FAULT("authority.crl.after-sign", err);
    TRY(write_file(m, &w, err));
    TRY(put_parts(m, w.to.fd, err));
    TRY(authority_change(a, publish, m, err));
    TRY(spool_commit(&w.to, &fd, err));
    TRY(crl_list_show(a, m->list, &m->crl, fd, err));
    return m->list->is.shard == 0 && !m->list->is.delta ? crl_bundle_write(a, err) : CS_OK;
}

/* Of several nodes one publishes at a time. */
cs_status crl_list_make(authority *a, crl_list *l, const authority_who *asked_by, cs_err *err) {
    bool mine = false;
    __attribute__((cleanup(making_free))) making m = {.a = a,
                                                      .list = l,
                                                      .asked_by = asked_by,
                                                      .urls = cs_buf_of(CS_CRL_POINTS_MAX * 512),
                                                      .entries = {.fd = -1},
                                                      .front = cs_buf_of(FRAME_MAX),
                                                      .back = cs_buf_of(FRAME_MAX),
                                                      .signature = cs_buf_of(FRAME_MAX),
                                                      .one = cs_buf_of(CS_CRL_ENTRY_MAX)};
    TRY(store_turn_take(a->scan, &mine, err));
    if (!mine) return cs_fail(err, CS_FAILED, CS_R_STATE_BUSY, "another node makes a CRL");
    cs_status status = make(&m, err);
    store_turn_end(a->scan);
    return status;
}
