/* CRLs: intent with its number, built from the store, signed, stored, shown. */
#include <stdlib.h>

#include "authority/authority_priv.h"
#include "base/fault.h"
#include "x509/build.h"
#include "x509/digest.h"

#define RETRY_AFTER (5 * CS_SEC) /* a CRL that could not be made */
#define BIG_TAKES (CS_SEC / 10)  /* a CRL that takes longer to make ... */
enum {
    BIG_SHARE = 5,      /* ... may take a fifth of the writer's time */
    STRETCH = 4 * 1024, /* revoked certificates read at a stretch, in some milliseconds: then others have a turn */
};

void authority_blob_free(authority_blob *b) {
    if (b != NULL && __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) == 0) free(b);
}

static cs_status blob_new(const store_crl *crl, authority_blob **ret, cs_err *err) {
    authority_blob *b = malloc(sizeof *b + crl->der.n);
    if (b == NULL) return CS_NOMEM_ERR(err);
    *b = (authority_blob){.refs = 1, .modified = crl->this_update, .crl = *crl, .n = crl->der.n};
    memcpy(b->bytes, crl->der.p, crl->der.n);
    b->crl.der = cs_view_of(b->bytes, b->n);
    cs_status status = cs_sha256(b->crl.der, b->sha256, err);
    if (status != CS_OK) {
        free(b);
        return status;
    }
    *ret = b;
    return CS_OK;
}

static void show(authority *a, ca_here *h, authority_blob *take) {
    (void)pthread_mutex_lock(&a->crl_lock);
    authority_blob *old = h->crl;
    h->crl = take;
    (void)pthread_mutex_unlock(&a->crl_lock);
    authority_blob_free(old);
}

cs_status authority_crl(authority *a, const authority_ca *ca, authority_blob **ret, cs_err *err) {
    (void)pthread_mutex_lock(&a->crl_lock);
    *ret = ((const ca_here *)ca)->crl;
    if (*ret != NULL) (void)__atomic_add_fetch(&(*ret)->refs, 1, __ATOMIC_ACQ_REL);
    (void)pthread_mutex_unlock(&a->crl_lock);
    if (*ret == NULL) return cs_fail(err, CS_FAILED, CS_R_STATE_MISSING, "no CRL of %s was published yet", ca->name);
    return CS_OK;
}

static cs_status load(authority *a, ca_here *h, cs_err *err) {
    store_crl crl;
    authority_blob *b = NULL;
    cs_status status = store_crl_last(a->store, h->ca.cert->spki_sha256, &crl, err);
    if (status != CS_OK) return err->reason == CS_R_STATE_MISSING ? CS_OK : status;
    TRY(blob_new(&crl, &b, err));
    uint64_t last = 0;
    show(a, h, b);
    TRY(store_feed_last(a->store, &last, err));
    if (last > b->crl.feed_sequence) revoke_tell(a, h->ca.cert->spki_sha256); /* revoked, and then the power went */
    return CS_OK;
}

static cs_status refresh(authority *a, ca_here *h, cs_err *err) {
    uint64_t newest = 0, last = 0, known = h->crl != NULL ? h->crl->crl.number : 0;
    TRY(store_crl_newest(a->store, h->ca.cert->spki_sha256, &newest, err));
    if (newest > known) {
        h->crl_due = false; /* unless it lacks something, as load finds */
        return load(a, h, err);
    }
    TRY(store_feed_last(a->store, &last, err));
    if (h->crl != NULL && last > h->crl->crl.feed_sequence) crl_want(a, h->ca.cert->spki_sha256);
    return CS_OK;
}

void crl_refresh(authority *a) {
    cs_err ignored; /* the database is away: asked again when it is back */
    for (size_t i = 0; i < a->ca_count; i++) (void)refresh(a, &a->cas[i], &ignored);
}

/* A store from the time of one CA does not say whose its CRLs are: of the first. */
static cs_status adopt(authority *a, cs_err *err) {
    const authority_ca *first = authority_ca_named(a, cs_view_str(CAS_FIRST));
    if (first == NULL) return CS_OK;
    TRY(store_begin(a->store, err));
    cs_status status = store_crl_adopt(a->store, first->cert->spki_sha256, err);
    if (status == CS_OK) return store_commit(a->store, err);
    store_rollback(a->store);
    return status;
}

cs_status crl_load(authority *a, cs_err *err) {
    TRY(adopt(a, err));
    for (size_t i = 0; i < a->ca_count; i++) TRY(load(a, &a->cas[i], err));
    return CS_OK;
}

void crl_want(authority *a, const uint8_t issuer[32]) {
    for (size_t i = 0; i < a->ca_count; i++) {
        ca_here *h = &a->cas[i];
        if (issuer != NULL && memcmp(issuer, h->ca.cert->spki_sha256, 32) != 0) continue;
        if (!h->crl_due) h->crl_due_since = cs_mono(a->clock);
        h->crl_due = true;
    }
}

typedef struct building {
    cs_crl_builder builder;
    const cs_cert *issuer;
    authority *a;
    size_t seen;
} building;

static cs_status add_entry(void *cls, const store_revocation *r, cs_err *err) {
    building *b = cls;
    if (++b->seen % STRETCH == 0) writer_meanwhile(b->a);
    if (!cs_view_eq(r->issuer, cs_view_of(b->issuer->spki_sha256, 32))) return CS_OK; /* of another CA */
    return cs_crl_add(&b->builder, r->serial, r->at, r->reason, err);
}

static cs_status build(authority *a, const ca_here *h, store_crl *crl, cs_buf *tbs, cs_err *err) {
    building b = {.issuer = h->ca.cert, .a = a};
    /* An entry stays until it has been on a CRL made after the certificate's end (RFC 5280 3.3). */
    cs_time since = crl->this_update - a->conf->crl_lifetime;
    TRY(cs_crl_begin(&b.builder, h->ca.cert, crl->number, crl->this_update, crl->next_update, tbs, err));
    /* One statement sees one state of the store, not older than the intent's feed_sequence; what is revoked meanwhile
     * wants a CRL of its own. */
    cs_status status = store_revoked(a->scan, since, add_entry, &b, err);
    store_settle(a->scan);
    if (status != CS_OK) return status;
    TRY(cs_crl_end(&b.builder, err));
    crl->entries = b.builder.entries;
    return CS_OK;
}

static cs_status sign_and_publish(authority *a, ca_here *h, store_crl *crl, cs_view tbs, const authority_who *asked_by,
                                  cs_err *err) {
    signer_link_ask_crl(&a->signer, &h->ca, tbs);
    TRY(signer_link_send(&a->signer, err));
    TRY(signer_link_next(&a->signer, &crl->der, err));
    TRY(cs_signed_check(crl->der, tbs, h->ca.cert, err));
    CS_FAULT("authority.crl.after-sign", err);
    TRY(store_begin(a->store, err));
    cs_status status = store_crl_publish(a->store, crl, err);
    if (status == CS_OK) status = audit(a, a->store, "crl-published", asked_by, NULL, h->ca.name, err);
    if (status != CS_OK) {
        store_rollback(a->store);
        return status;
    }
    TRY(store_commit(a->store, err));
    authority_blob *b = NULL;
    TRY(blob_new(crl, &b, err));
    show(a, h, b);
    h->signed_crl = crl->number;
    return CS_OK;
}

/* Later than that of the CRL before, so that Last-Modified tells two of one second apart; never in the future. */
static cs_time this_update(const ca_here *h, cs_time now) {
    cs_time at = now - CS_CRL_BACKDATE;
    if (h->crl != NULL && at <= h->crl->crl.this_update) at = h->crl->crl.this_update + CS_SEC;
    return at < now ? at : now;
}

static cs_status make_now(authority *a, ca_here *h, const authority_who *asked_by, cs_err *err) {
    store_crl crl = {0};
    memcpy(crl.issuer, h->ca.cert->spki_sha256, sizeof crl.issuer);
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CRL_MAX - 1024);
    TRY(signer_link_up(&a->signer, SIGNER_GREET_MS, err));
    cs_time now = cs_time_seconds(cs_now(a->clock)) * CS_SEC;
    crl.this_update = this_update(h, now);
    crl.next_update = now + a->conf->crl_lifetime;
    if (crl.next_update > h->ca.cert->not_after) crl.next_update = h->ca.cert->not_after;
    TRY(store_begin(a->store, err));
    cs_status status = store_crl_intend(a->store, h->signed_crl + 1, &crl, err);
    if (status != CS_OK) {
        store_rollback(a->store);
        return status;
    }
    TRY(store_commit(a->store, err));
    CS_FAULT("authority.crl.after-intent", err);
    TRY(build(a, h, &crl, &tbs, err));
    TRY(signer_link_up(&a->signer, SIGNER_GREET_MS, err)); /* it may have gone meanwhile */
    return sign_and_publish(a, h, &crl, cs_buf_view(&tbs), asked_by, err);
}

/* Of several nodes one publishes at a time. */
static cs_status make(authority *a, ca_here *h, const authority_who *asked_by, cs_err *err) {
    bool mine = false;
    TRY(store_turn_take(a->store, &mine, err));
    if (!mine) return cs_fail(err, CS_FAILED, CS_R_STATE_BUSY, "another node makes a CRL");
    cs_status status = make_now(a, h, asked_by, err);
    store_turn_end(a->store);
    return status;
}

void crl_make(authority *a, ca_here *h, const authority_who *asked_by, cs_err *err) {
    cs_time began = cs_mono(a->clock);
    bool due = h->crl_due;
    h->crl_due = false; /* first: what is revoked while this one is built sets it again */
    if (make(a, h, asked_by, err) != CS_OK) {
        if (due && !h->crl_due) h->crl_due = true;
        h->crl_again = cs_mono(a->clock) + RETRY_AFTER;
        return;
    }
    cs_time took = cs_mono(a->clock) - began;
    *err = authority_no_error();
    h->crl_again = took > BIG_TAKES ? began + took * BIG_SHARE : 0;
}

static cs_time next_of(const authority *a, const ca_here *h) {
    cs_time mono = cs_mono(a->clock);
    if (h->crl_due || h->crl == NULL) return h->crl_again > h->crl_due_since ? h->crl_again : h->crl_due_since;
    cs_time due = h->crl->crl.this_update + CS_CRL_BACKDATE + a->conf->crl_interval; /* wall clock */
    cs_time at = mono + due - cs_now(a->clock);
    return h->crl_again > at ? h->crl_again : at;
}

cs_time crl_next(authority *a, ca_here **ret) {
    *ret = &a->cas[0];
    for (size_t i = 1; i < a->ca_count; i++)
        if (next_of(a, &a->cas[i]) < next_of(a, *ret)) *ret = &a->cas[i];
    return next_of(a, *ret);
}
