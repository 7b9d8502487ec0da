/* OCSP: requests answered from the store, signed by responders whose keys live here, in memory alone, under
 * certificates that end soon. What was signed is kept and given again as long as it is true. @rfc 6960 @rfc 5019 */
#include <stdlib.h>

#include "authority/authority_priv.h"
#include "base/fault.h"
#include "base/text.h"
#include "report/log.h"
#include "x509/build.h"
#include "x509/digest.h"

enum {
    KEPT = 16 * 1024, /* answers that are kept: at 600 octets, 10 MB */
    KEPT_WAYS = 4,    /* places in which one of a hash may stand */
    REPLY_MAX = 16 * 1024,
};
#define LOOK_AGAIN                                                                                                     \
    CS_SEC /* what is kept is compared with the store when it was not for so long: other nodes write too */

/* A key and its certificate: immutable, counted. */
typedef struct responder {
    int refs;
    cs_key *key;
    cs_cert *cert;
} responder;

/* What the store says of a serial, as answers say it. */
typedef struct verdict {
    cs_ocsp_status status;
    int reason;
    cs_time revoked_at;
} verdict;

typedef struct kept {
    bool used;
    uint8_t id[CS_SHA256_LEN]; /* of the CertID as it was asked */
    cs_buf der;                /* n == 0: only what the store says */
    verdict is;
    cs_time this_update, next_update, refresh; /* refresh: from then on a new one is made */
    uint64_t changes;                          /* of the authority, when it was last compared with the store */
    cs_time looked;                            /* monotonic, likewise */
} kept;

struct ocsp_desk {
    pthread_mutex_t responder_lock; /* held while one is made: others wait for it */
    responder *of[CS_CAS_MAX];      /* by CA; NULL: none yet */
    pthread_mutex_t kept_lock;
    kept *all; /* KEPT of them */
};

/* ---- responders ---- */

static void responder_free(responder *r) {
    if (r == NULL || __atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    cs_key_free(r->key);
    cs_cert_free(r->cert);
    free(r);
}
CS_AUTO_DEFINE(responder)

/* The writer's part: asked of the signer, proven, audited. */
static cs_status ask_signer(authority *a, job *j, cs_err *err) {
    cs_view der, tbs = cs_buf_view(&j->tbs);
    TRY(signer_link_up(&a->signer, SIGNER_GREET_MS, err));
    signer_link_ask_responder(&a->signer, j->ca, j->responder, tbs);
    TRY(signer_link_send(&a->signer, err));
    TRY(signer_link_next(&a->signer, &der, err));
    TRY(cs_signed_check(der, tbs, j->ca->cert, err));
    TRY(cs_cert_decode(der, &j->leaf, err));
    TRY(store_begin(a->store, err));
    char hex[2 * CS_SERIAL_LEN + 1];
    const char *event = j->responder->use == CS_RESPONDER_RA ? "ra-issued" : "ocsp-responder-issued";
    cs_status status = audit(a, a->store, event, j->asked_by, NULL, cs_hex(j->responder->serial, hex), err);
    if (status == CS_OK) return store_commit(a->store, err);
    store_rollback(a->store);
    return status;
}

void responder_job(authority *a, job *j) {
    cs_err err;
    j->err = authority_no_error();
    if (ask_signer(a, j, &err) == CS_OK) return;
    cs_cert_free(CS_TAKE(j->leaf));
    j->err = err;
}

cs_status responder_issue(authority *a, const authority_ca *ca, cs_responder_use use, const cs_key *key,
                          cs_time lifetime, cs_cert **ret, cs_err *err) {
    uint8_t serial[CS_SERIAL_LEN];
    TRY(cs_serial_draw(a->rng, serial, err));
    cs_time now = cs_time_seconds(cs_now(a->clock)) * CS_SEC;
    cs_responder_ask ask = {.use = use,
                            .issuer = ca->cert,
                            .spki = cs_key_spki(key),
                            .serial = cs_view_of(serial, sizeof serial),
                            .not_before = now - CS_BACKDATE,
                            .not_after = now + lifetime};
    if (ask.not_before < ca->cert->not_before) ask.not_before = ca->cert->not_before;
    if (ask.not_after > ca->cert->not_after) ask.not_after = ca->cert->not_after;
    job j = {.type = JOB_RESPONDER,
             .asked_by = use == CS_RESPONDER_RA ? AUTHORITY_SELF("ra") : AUTHORITY_SELF("ocsp"),
             .ca = ca,
             .responder = &ask,
             .tbs = cs_buf_of(CS_CERT_MAX)};
    cs_status status = cs_responder_build(&ask, &j.tbs, err);
    if (status == CS_OK) status = authority_submit(a, &j, err);
    cs_buf_free(&j.tbs);
    TRY(status);
    *ret = j.leaf;
    return CS_OK;
}

static cs_status make_responder(authority *a, const authority_ca *ca, responder **ret, cs_err *err) {
    CS_AUTO(responder) r = calloc(1, sizeof *r);
    if (r == NULL) return CS_NOMEM_ERR(err);
    r->refs = 1;
    TRY(cs_key_generate(CS_KEYSPEC_ECDSA_P256, &r->key, err));
    /* by half of its life it is changed: answers never outlive it */
    TRY(responder_issue(a, ca, CS_RESPONDER_OCSP, r->key, 2 * a->conf->ocsp_lifetime + CS_HOUR, &r->cert, err));
    *ret = CS_TAKE(r);
    return CS_OK;
}

/* One that ends with its CA is not to be bettered: without this each request of the CA's last day would make another.
 */
static bool fresh(const authority *a, const authority_ca *ca, const responder *r, cs_time now) {
    if (r == NULL || now < r->cert->not_before) return false;
    cs_time needed = r->cert->not_after < ca->cert->not_after ? a->conf->ocsp_lifetime : 0;
    return now + needed < r->cert->not_after;
}

/* *ret: a reference. One that could not be changed in time serves until its end. */
static cs_status responder_of(authority *a, size_t i, responder **ret, cs_err *err) {
    struct ocsp_desk *d = a->ocsp;
    cs_time now = cs_now(a->clock);
    cs_status status = CS_OK;
    (void)pthread_mutex_lock(&d->responder_lock);
    if (!fresh(a, &a->cas[i].ca, d->of[i], now)) {
        responder *made = NULL;
        status = make_responder(a, &a->cas[i].ca, &made, err);
        if (status == CS_OK) {
            responder_free(d->of[i]);
            d->of[i] = made;
        } else if (d->of[i] != NULL && now < d->of[i]->cert->not_after - CS_HOUR) {
            status = CS_OK;
        }
    }
    if (status == CS_OK) {
        *ret = d->of[i];
        (void)__atomic_add_fetch(&(*ret)->refs, 1, __ATOMIC_ACQ_REL);
    }
    (void)pthread_mutex_unlock(&d->responder_lock);
    return status;
}

/* ---- what the store says ---- */

typedef struct looking {
    const authority *a;
    const cs_ocsp_asked *asked;
    const size_t *ca; /* by item: whose certificate it is said to be; CS_CAS_MAX: of none of ours */
    verdict *is;
} looking;

static void judge(const store_cert *row, verdict *ret) {
    *ret = (verdict){.status = CS_OCSP_UNKNOWN};
    if (row->status == STORE_ISSUED) ret->status = CS_OCSP_GOOD;
    if (row->status != STORE_REVOKED && row->status != STORE_ABANDONED) return;
    *ret = (verdict){CS_OCSP_REVOKED, row->revocation_reason, row->revoked_at};
}

static cs_status look(void *cls, store *st, cs_err *err) {
    const looking *l = cls;
    for (size_t i = 0; i < l->asked->n; i++) {
        char serial[STORE_SERIAL_TEXT];
        store_cert row;
        l->is[i] = (verdict){.status = CS_OCSP_UNKNOWN};
        cs_view s = l->asked->ids[i].serial;
        if (l->ca[i] == CS_CAS_MAX || s.n > CS_SERIAL_MAX) continue;
        cs_status status = store_cert_by_serial(st, cs_hex(s, serial), &row, err);
        if (status != CS_OK && err->reason == CS_R_CERTIFICATE_UNKNOWN) continue;
        TRY(status);
        if (memcmp(row.issuer, l->a->cas[l->ca[i]].ca.cert->spki_sha256, sizeof row.issuer) == 0)
            judge(&row, &l->is[i]);
    }
    return CS_OK;
}

/* ---- what is kept ---- */

static kept *place_of(struct ocsp_desk *d, const uint8_t id[CS_SHA256_LEN]) {
    size_t at = ((size_t)id[0] | (size_t)id[1] << 8 | (size_t)id[2] << 16) % (KEPT / KEPT_WAYS) * KEPT_WAYS;
    kept *oldest = &d->all[at];
    for (size_t i = 0; i < KEPT_WAYS; i++) {
        kept *k = &d->all[at + i];
        if (k->used && memcmp(k->id, id, CS_SHA256_LEN) == 0) return k;
        if (k->looked < oldest->looked) oldest = k;
    }
    return oldest;
}

static bool same_verdict(const verdict *a, const verdict *b) {
    return a->status == b->status && a->reason == b->reason && a->revoked_at == b->revoked_at;
}

static void give(const kept *k, ocsp_reply *ret) {
    (void)cs_buf_add_view(&ret->der, cs_buf_view(&k->der));
    ret->this_update = k->this_update;
    ret->next_update = k->next_update;
    ret->cacheable = true;
}

static bool is_of(const kept *k, const uint8_t id[CS_SHA256_LEN]) {
    return k->used && memcmp(k->id, id, CS_SHA256_LEN) == 0;
}

static bool is_true_still(const kept *k, uint64_t changes, cs_time mono) {
    return k->changes == changes && mono - k->looked < LOOK_AGAIN;
}

/* What the store said a moment ago, and nothing changed since. */
static bool recall_verdict(authority *a, const uint8_t id[CS_SHA256_LEN], uint64_t changes, verdict *ret) {
    struct ocsp_desk *d = a->ocsp;
    (void)pthread_mutex_lock(&d->kept_lock);
    const kept *k = place_of(d, id);
    bool known = is_of(k, id) && is_true_still(k, changes, cs_mono(a->clock));
    if (known) *ret = k->is;
    (void)pthread_mutex_unlock(&d->kept_lock);
    return known;
}

/* True: *ret is answered. is: what the store says now; NULL: it was not asked, and need not be if nothing changed. */
static bool recall(authority *a, const uint8_t id[CS_SHA256_LEN], uint64_t changes, const verdict *is,
                   ocsp_reply *ret) {
    struct ocsp_desk *d = a->ocsp;
    cs_time mono = cs_mono(a->clock);
    (void)pthread_mutex_lock(&d->kept_lock);
    kept *k = place_of(d, id);
    bool here = is_of(k, id) && k->der.n > 0 && cs_now(a->clock) < k->refresh;
    bool true_still = is != NULL ? same_verdict(is, &k->is) : is_true_still(k, changes, mono);
    if (here && true_still) {
        if (is != NULL) {
            k->changes = changes;
            k->looked = mono;
        }
        give(k, ret);
    }
    (void)pthread_mutex_unlock(&d->kept_lock);
    return here && true_still;
}

/* reply NULL: only what the store says; an answer that says the same stays beside it. */
static void keep(authority *a, const uint8_t id[CS_SHA256_LEN], uint64_t changes, const verdict *is,
                 const ocsp_reply *reply) {
    struct ocsp_desk *d = a->ocsp;
    (void)pthread_mutex_lock(&d->kept_lock);
    kept *k = place_of(d, id);
    if (reply != NULL || !is_of(k, id) || !same_verdict(&k->is, is)) {
        cs_buf_free(&k->der);
        *k = (kept){.used = true, .der = cs_buf_of(REPLY_MAX), .is = *is};
        memcpy(k->id, id, CS_SHA256_LEN);
    }
    k->changes = changes;
    k->looked = cs_mono(a->clock);
    if (reply != NULL) {
        k->this_update = reply->this_update;
        k->next_update = reply->next_update;
        k->refresh = reply->next_update - a->conf->ocsp_lifetime / 2;
        if (!cs_buf_add_view(&k->der, cs_buf_view(&reply->der))) cs_buf_free(&k->der);
    }
    (void)pthread_mutex_unlock(&d->kept_lock);
}

/* ---- answering ---- */

static cs_status write_reply(authority *a, const cs_ocsp_asked *asked, const verdict is[], const responder *r,
                             ocsp_reply *ret, cs_err *err) {
    cs_ocsp_answer answers[CS_OCSP_ASKED_MAX];
    CS_SCOPED(cs_buf) data = cs_buf_of(REPLY_MAX);
    cs_time now = cs_time_seconds(cs_now(a->clock)) * CS_SEC;
    ret->this_update = now;
    ret->next_update = now + a->conf->ocsp_lifetime;
    if (ret->next_update > r->cert->not_after) ret->next_update = r->cert->not_after;
    for (size_t i = 0; i < asked->n; i++)
        answers[i] = (cs_ocsp_answer){.id = &asked->ids[i],
                                      .is = {.status = is[i].status,
                                             .reason = is[i].reason,
                                             .revoked_at = is[i].revoked_at,
                                             .this_update = ret->this_update,
                                             .next_update = ret->next_update,
                                             .has_next_update = true}};
    TRY(cs_ocsp_data_build(answers, asked->n, r->cert, now, asked->nonce, &data, err));
    return cs_ocsp_response_make(r->key, cs_buf_view(&data), r->cert, &ret->der, err);
}

/* Whose each is said to be; the first of ours answers for all. CS_CAS_MAX: none is. */
static size_t find_cas(const authority *a, const cs_ocsp_asked *asked, size_t ca[CS_OCSP_ASKED_MAX]) {
    size_t first = CS_CAS_MAX;
    for (size_t i = 0; i < asked->n; i++) {
        ca[i] = 0;
        while (ca[i] < a->ca_count && !cs_ocsp_id_is_of(&asked->ids[i], a->cas[ca[i]].ca.cert)) ca[i]++;
        if (ca[i] == a->ca_count) ca[i] = CS_CAS_MAX;
        if (first == CS_CAS_MAX) first = ca[i];
    }
    return first;
}

static cs_status answer(authority *a, cs_view request, ocsp_reply *ret, int *ret_status, cs_err *err) {
    cs_ocsp_asked asked;
    size_t ca[CS_OCSP_ASKED_MAX];
    verdict is[CS_OCSP_ASKED_MAX];
    uint8_t id[CS_SHA256_LEN];
    CS_AUTO(responder) r = NULL;
    *ret_status = CS_OCSP_MALFORMED;
    TRY(cs_ocsp_request_read(request, &asked, err));
    *ret_status = CS_OCSP_INTERNAL;
    bool plain = asked.n == 1 && asked.nonce.n == 0;
    uint64_t changes = atomic_load(&a->changes); /* before the store is read: what changes meanwhile is seen again */
    TRY(cs_sha256(asked.ids[0].whole, id, err));
    if (plain && recall(a, id, changes, NULL, ret)) return CS_OK;
    *ret_status = CS_OCSP_UNAUTHORIZED; /* @rfc 5019#2.2.3 */
    size_t by = find_cas(a, &asked, ca);
    if (by == CS_CAS_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "an OCSP request about certificates of another CA");
    *ret_status = CS_OCSP_TRY_LATER;
    looking l = {a, &asked, ca, is};
    bool known = asked.n == 1 && !plain && recall_verdict(a, id, changes, &is[0]);
    if (!known) TRY(authority_read(a, look, &l, err));
    if (plain && recall(a, id, changes, &is[0], ret)) return CS_OK;
    TRY(responder_of(a, by, &r, err));
    *ret_status = CS_OCSP_INTERNAL;
    TRY(write_reply(a, &asked, is, r, ret, err));
    ret->cacheable = plain;
    /* of a serial that we never gave out nothing is kept: there is no end of those */
    if (asked.n == 1 && !known && is[0].status != CS_OCSP_UNKNOWN) keep(a, id, changes, &is[0], plain ? ret : NULL);
    return CS_OK;
}

cs_status authority_ocsp(authority *a, cs_view request, ocsp_reply *ret, cs_err *err) {
    int status = CS_OCSP_INTERNAL;
    *ret = (ocsp_reply){.der = cs_buf_of(REPLY_MAX)};
    cs_status got = answer(a, request, ret, &status, err);
    if (got == CS_OK) return CS_OK;
    cs_buf_clear(&ret->der);
    ret->cacheable = false;
    cs_ocsp_error_put(status, &ret->der);
    return got;
}

cs_status ocsp_open(authority *a, cs_err *err) {
    struct ocsp_desk *d = calloc(1, sizeof *d);
    if (d == NULL) return CS_NOMEM_ERR(err);
    a->ocsp = d;
    (void)pthread_mutex_init(&d->responder_lock, NULL);
    (void)pthread_mutex_init(&d->kept_lock, NULL);
    d->all = calloc(KEPT, sizeof *d->all);
    return d->all != NULL ? CS_OK : CS_NOMEM_ERR(err);
}

void ocsp_close(authority *a) {
    struct ocsp_desk *d = a->ocsp;
    if (d == NULL) return;
    for (size_t i = 0; i < CS_CAS_MAX; i++) responder_free(d->of[i]);
    for (size_t i = 0; d->all != NULL && i < KEPT; i++) cs_buf_free(&d->all[i].der);
    free(d->all);
    free(d);
    a->ocsp = NULL;
}
