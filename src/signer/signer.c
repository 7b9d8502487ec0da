#include "signer/signer.h"

#include <stdlib.h>

#include "base/fault.h"
#include "base/text.h"
#include "io/journal.h"
#include "signer/heads.h"
#include "signer/serials.h"
#include "verify/verify.h"
#include "x509/build.h"
#include "x509/digest.h"
#include "x509/ocsp.h"
#include "x509/profile.h"

/* One record of the journal, 96 bytes: u8 type (SIGNING_CERT, SIGNING_CRL), u8 kind, 6 bytes issuer (the first of its
 * SPKI's SHA-256; zero in records from the time of one CA), u64 time, 16 bytes serial (or 8 zero and u64 CRL number),
 * 32 bytes SHA-256 of the TBS, 32 bytes SHA-256 of the record before and this one, so that none can be changed or taken
 * out unseen. */
enum { RECORD_LEN = 96, RECORD_BODY = 64, RECORD_ISSUER = 6 };
enum { RECORD_RESPONDER = 0xff }; /* in the place of a kind: who answers in the CA's name, OCSP or RA */

/* A CA whose key is here. */
typedef struct issuer {
    cs_key *key;
    cs_cert *ca;
    cs_certs above;      /* those between it and its root, the nearest first */
    uint64_t crl_number; /* highest signed */
    uint64_t synced;     /* as of the last sync: where a batch that fails goes back to */
} issuer;

struct signer {
    issuer issuers[CS_CAS_MAX];
    size_t issuer_count;
    char *trust_domain;
    const cs_profile *profiles;
    size_t profile_count;
    const cs_clock *clock;
    heads heads;
    journal *log;
    serials used;
    cs_time last; /* of the newest record */
    uint8_t chain[CS_SHA256_LEN], synced_chain[CS_SHA256_LEN];
    cs_buf batch; /* records that wait for the sync */
};

void signer_free(signer *s) {
    if (s == NULL) return;
    for (size_t i = 0; i < s->issuer_count; i++) {
        cs_key_free(s->issuers[i].key);
        cs_cert_free(s->issuers[i].ca);
        cs_certs_free(&s->issuers[i].above);
    }
    heads_free(&s->heads);
    journal_free(s->log);
    serials_free(&s->used);
    cs_buf_free(&s->batch);
    free(s->trust_domain);
    free(s);
}

bool signer_broken(const signer *s) {
    return journal_broken(s->log);
}

/* A record without an issuer counts for all: a number that is higher than need be is no harm. */
static void note_crl_number(signer *s, cs_view tag, uint64_t number) {
    static const uint8_t nobody[RECORD_ISSUER] = {0};
    bool all = memcmp(tag.p, nobody, sizeof nobody) == 0;
    for (size_t i = 0; i < s->issuer_count; i++) {
        issuer *of = &s->issuers[i];
        if ((all || memcmp(tag.p, of->ca->spki_sha256, RECORD_ISSUER) == 0) && number > of->crl_number)
            of->crl_number = number;
    }
}

static cs_status replay(void *cls, cs_view record, cs_err *err) {
    signer *s = cls;
    cs_rd r = cs_rd_of(record);
    uint8_t type = cs_rd_u8(&r);
    (void)cs_rd_u8(&r);
    cs_view tag = cs_rd_bytes(&r, RECORD_ISSUER);
    s->last = (cs_time)cs_rd_u64(&r);
    cs_view serial = cs_rd_bytes(&r, CS_SERIAL_LEN);
    uint8_t hash[CS_SHA256_LEN];
    TRY(cs_sha256_two(cs_view_of(s->chain, sizeof s->chain), cs_view_of(record.p, RECORD_BODY), hash, err));
    if (memcmp(hash, record.p + RECORD_BODY, sizeof hash) != 0)
        return cs_fail(err, CS_FAILED, CS_R_STATE_CORRUPT, "the hash chain is broken");
    memcpy(s->chain, hash, sizeof hash);
    if (type == SIGNING_CERT) return serials_add(&s->used, serial.p, err);
    if (type == SIGNING_HEAD) {
        heads_replay(&s->heads, serial, cs_rd_bytes(&r, CS_SHA256_LEN));
        return CS_OK;
    }
    cs_rd number = cs_rd_of(cs_view_of(serial.p + 8, 8));
    note_crl_number(s, tag, cs_rd_u64(&number));
    return CS_OK;
}

/* The CA that the authority names; NULL: its key is not here. */
static issuer *issuer_of(signer *s, cs_view spki_sha256) {
    for (size_t i = 0; i < s->issuer_count; i++)
        if (cs_view_eq(spki_sha256, cs_view_of(s->issuers[i].ca->spki_sha256, SIGNING_ISSUER_LEN)))
            return &s->issuers[i];
    return NULL;
}

static cs_status read_ca(signer *s, issuer *of, cs_view pem, const char *name, cs_err *err) {
    CS_SCOPED(cs_certs) bag = {0};
    TRY(cs_certs_read(pem, name, &bag, err));
    if (bag.n != 1)
        return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "%s: holds %zu certificates, not one", name, bag.n);
    TRY(cs_key_match(of->key, bag.at[0]->spki, name, err));
    if (!bag.at[0]->is_ca) return cs_fail(err, CS_REFUSED, CS_R_NOT_A_CA, "%s", name);
    for (size_t i = 0; i < s->issuer_count; i++)
        if (s->issuers[i].ca != NULL && cs_view_eq(s->issuers[i].ca->spki, bag.at[0]->spki))
            return cs_fail(err, CS_REFUSED, CS_R_STATE_CORRUPT, "%s: another CA has the same key", name);
    of->ca = cs_cert_ref(bag.at[0]);
    return CS_OK;
}

static cs_status find_above(issuer *of, const cs_certs *all, cs_err *err) {
    const cs_cert *below = of->ca;
    for (size_t i = 0; all != NULL && i < all->n && of->above.n < CS_PATH_MAX; i++) {
        const cs_cert *c = all->at[i];
        if (!cs_view_eq(c->subject, below->issuer) || !cs_view_eq(c->skid, below->akid)) continue;
        TRY(cs_certs_add(&of->above, cs_cert_ref(c), err));
        below = c;
        i = (size_t)-1; /* from the first again */
    }
    return CS_OK;
}

static cs_status read_cas(signer *s, const signer_setup *setup, cs_err *err) {
    if (setup->ca_count == 0) return cs_fail(err, CS_REFUSED, CS_R_STATE_MISSING, "no CA has a key here");
    for (size_t i = 0; i < setup->ca_count; i++) {
        TRY(read_ca(s, &s->issuers[i], setup->ca[i].pem, setup->ca[i].name, err));
        TRY(find_above(&s->issuers[i], setup->above, err));
    }
    return CS_OK;
}

static void mark_synced(signer *s) {
    for (size_t i = 0; i < s->issuer_count; i++) s->issuers[i].synced = s->issuers[i].crl_number;
    s->heads.synced = s->heads.last;
    memcpy(s->synced_chain, s->chain, sizeof s->chain);
}

cs_status signer_new(signer_setup *setup, signer **ret, cs_err *err) {
    CS_AUTO(signer) s = calloc(1, sizeof *s);
    if (s == NULL) {
        for (size_t i = 0; i < setup->ca_count; i++) cs_key_free(CS_TAKE(setup->ca[i].take_key));
        cs_key_free(CS_TAKE(setup->take_log_key));
        return CS_NOMEM_ERR(err);
    }
    for (size_t i = 0; i < setup->ca_count; i++) s->issuers[i].key = CS_TAKE(setup->ca[i].take_key);
    cs_key *log_key = CS_TAKE(setup->take_log_key);
    s->heads.key = log_key; /* ours from here on, whatever fails */
    s->issuer_count = setup->ca_count;
    s->clock = setup->clock;
    s->last = INT64_MIN;
    s->batch = cs_buf_of((size_t)RECORD_LEN * SIGNING_PIPELINE);
    s->profiles = setup->profiles;
    s->profile_count = setup->profile_count;
    s->trust_domain = strdup(setup->trust_domain);
    if (s->trust_domain == NULL) return CS_NOMEM_ERR(err);
    TRY(read_cas(s, setup, err));
    if (log_key != NULL) TRY(heads_init(&s->heads, log_key, setup->trust_domain, s->issuers[0].key, err));
    TRY(serials_init(&s->used, cs_rng_system(), err));
    TRY(journal_open(setup->journal_path, RECORD_LEN, replay, s, &s->log, err));
    mark_synced(s);
    *ret = CS_TAKE(s);
    return CS_OK;
}

/* A record, chained to the one before; serial holds 16 bytes, hash 32. */
static cs_status note(signer *s, const issuer *of, uint16_t type, uint8_t kind, const uint8_t serial[CS_SERIAL_LEN],
                      const uint8_t signed_hash[CS_SHA256_LEN], cs_time now, cs_err *err) {
    static const uint8_t nobody[RECORD_ISSUER] = {0};
    uint8_t hash[CS_SHA256_LEN];
    size_t start = s->batch.n;
    cs_buf_add_byte(&s->batch, (uint8_t)type);
    cs_buf_add_byte(&s->batch, kind);
    cs_buf_add(&s->batch, of != NULL ? of->ca->spki_sha256 : nobody, RECORD_ISSUER);
    cs_buf_add_u64(&s->batch, (uint64_t)now);
    cs_buf_add(&s->batch, serial, CS_SERIAL_LEN);
    cs_buf_add(&s->batch, signed_hash, CS_SHA256_LEN);
    TRY(cs_buf_ok(&s->batch, "the signer's batch", err));
    TRY(cs_sha256_two(cs_view_of(s->chain, sizeof s->chain), cs_view_of(s->batch.p + start, RECORD_BODY), hash, err));
    cs_buf_add(&s->batch, hash, sizeof hash);
    TRY(cs_buf_ok(&s->batch, "the signer's batch", err));
    memcpy(s->chain, hash, sizeof hash);
    s->last = now;
    return CS_OK;
}

static cs_status choose_issuer(signer *s, cs_view by, signer_job *job, cs_err *err) {
    char hex[2 * SIGNING_ISSUER_LEN + 1];
    const issuer *of = issuer_of(s, by);
    if (of == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "no key of the CA with SPKI SHA-256 %s", cs_hex(by, hex));
    job->issuer = (size_t)(of - s->issuers);
    return CS_OK;
}

/* The signer's own description of the profile that the authority names; both must have read the same. */
static cs_status find_profile(const signer *s, cs_view name, cs_kind kind, cs_view digest, const cs_profile **ret,
                              cs_err *err) {
    const cs_profile *found = NULL;
    for (size_t i = 0; i < s->profile_count; i++)
        if (cs_view_eq_str(name, s->profiles[i].name)) found = &s->profiles[i];
    if (s->profiles == NULL && cs_view_eq_str(name, cs_kind_name(kind))) found = cs_profile_of(kind);
    if (found == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "the signer has no profile %.*s", (int)name.n,
                       (const char *)name.p);
    if (!cs_view_eq(digest, cs_view_of(found->digest, sizeof found->digest)))
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED,
                       "profile %s: the signer has read another one than the authority; start both again", found->name);
    *ret = found;
    return CS_OK;
}

/* What relying parties would refuse is not signed. */
static cs_status check_constraints(const issuer *of, cs_view tbs, cs_err *err) {
    CS_AUTO(cs_cert) c = NULL;
    TRY(cs_tbs_decode(tbs, of->ca, &c, err));
    TRY(cs_constraints_check(of->ca, c, err));
    for (size_t i = 0; i < of->above.n; i++) TRY(cs_constraints_check(of->above.at[i], c, err));
    return CS_OK;
}

static cs_status check_cert(signer *s, cs_view payload, signer_job *job, cs_time now, cs_err *err) {
    cs_rd r = cs_rd_of(payload);
    cs_view by = cs_rd_bytes(&r, SIGNING_ISSUER_LEN);
    uint8_t kind = cs_rd_u8(&r);
    job->tbs = cs_rd_vec32(&r);
    cs_view name = cs_rd_vec16(&r), digest = cs_rd_bytes(&r, CS_SHA256_LEN);
    if (!cs_rd_ended(&r) || name.n == 0 || kind == CS_KIND_OTHER || kind >= CS_KIND_COUNT)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "SIGN_CERT of %zu bytes", payload.n);
    TRY(choose_issuer(s, by, job, err));
    const issuer *of = &s->issuers[job->issuer];
    cs_profile_rule rule = {.issuer = of->ca, .trust_domain = s->trust_domain, .now = now};
    TRY(find_profile(s, name, (cs_kind)kind, digest, &rule.profile, err));
    cs_identity who;
    uint8_t serial[CS_SERIAL_LEN], hash[CS_SHA256_LEN];
    char hex[2 * CS_SERIAL_LEN + 1];
    TRY(cs_profile_check(job->tbs, (cs_kind)kind, &rule, &who, serial, err));
    TRY(check_constraints(of, job->tbs, err));
    if (serials_has(&s->used, serial))
        return cs_fail(err, CS_REFUSED, CS_R_SERIAL_REUSED, "serial %s",
                       cs_hex(cs_view_of(serial, sizeof serial), hex));
    TRY(cs_sha256(job->tbs, hash, err));
    TRY(note(s, of, SIGNING_CERT, kind, serial, hash, now, err));
    return serials_add(&s->used, serial, err);
}

static cs_status begin_crl(signer *s, signer_crl *crl, cs_view payload, cs_err *err) {
    cs_rd r = cs_rd_of(payload);
    signer_job job = {.type = SIGNING_CRL};
    cs_view by = cs_rd_bytes(&r, SIGNING_ISSUER_LEN);
    if (!cs_rd_ok(&r)) return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "SIGN_CRL of %zu bytes", payload.n);
    TRY(choose_issuer(s, by, &job, err));
    const issuer *of = &s->issuers[job.issuer];
    signer_crl_begin(crl, job.issuer, of->ca, of->key, cs_rd_bytes(&r, r.left));
    return CS_OK;
}

static cs_status end_crl(signer *s, signer_crl *crl, cs_view back, signer_job *job, cs_time now, cs_err *err) {
    issuer *of = &s->issuers[crl->issuer];
    cs_crl_facts facts;
    uint8_t number[CS_SERIAL_LEN] = {0}, hash[CS_SHA256_LEN];
    cs_status status = signer_crl_end(crl, back, of->crl_number, now, &facts, hash, err);
    /* It leaves the connection: whatever else comes before the answer is no part of it. */
    job->issuer = crl->issuer;
    job->signing = CS_TAKE(crl->signing);
    signer_crl_free(crl);
    TRY(status);
    for (unsigned i = 0; i < 8; i++) number[8 + i] = (uint8_t)(facts.number >> (56 - 8 * i));
    TRY(note(s, of, SIGNING_CRL, 0, number, hash, now, err));
    of->crl_number = facts.number;
    return CS_OK;
}

/* Pieces are not answered; what is wrong with one is said at the end. */
static void take_crl(signer *s, signer_crl *crl, const ipc_frame *request) {
    cs_err err;
    if (request->type == SIGNING_CRL_PART) {
        signer_crl_part(crl, request->payload);
    } else if (begin_crl(s, crl, request->payload, &err) != CS_OK) {
        signer_crl_free(crl);
        *crl = (signer_crl){.open = true, .why = err};
    }
}

static cs_status check_head(signer *s, cs_view payload, signer_job *job, cs_time now, cs_err *err) {
    uint8_t serial[CS_SERIAL_LEN];
    TRY(heads_check(&s->heads, payload, now, serial, &job->head, err));
    return note(s, NULL, SIGNING_HEAD, 0, serial, job->head.root.at, now, err);
}

/* Built again from what is said of it: nothing else can be signed under this head. */
static cs_status check_responder(signer *s, cs_view payload, signer_job *job, cs_time now, cs_err *err) {
    cs_rd r = cs_rd_of(payload);
    CS_SCOPED(cs_buf) again = cs_buf_of(CS_CERT_MAX);
    uint8_t hash[CS_SHA256_LEN];
    cs_view by = cs_rd_bytes(&r, SIGNING_ISSUER_LEN), serial = cs_rd_bytes(&r, CS_SERIAL_LEN);
    bool ra = job->type == SIGNING_RA;
    cs_responder_ask ask = {.use = ra ? CS_RESPONDER_RA : CS_RESPONDER_OCSP, .serial = serial};
    ask.not_before = (cs_time)cs_rd_u64(&r);
    ask.not_after = (cs_time)cs_rd_u64(&r);
    ask.spki = cs_rd_vec16(&r);
    job->tbs = cs_rd_vec32(&r);
    if (!cs_rd_ended(&r) || serial.p[0] == 0 || (serial.p[0] & 0x80) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "SIGN_RESPONDER of %zu bytes", payload.n);
    TRY(choose_issuer(s, by, job, err));
    const issuer *of = &s->issuers[job->issuer];
    ask.issuer = of->ca;
    if (ask.not_before > now || ask.not_before < now - CS_HOUR)
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "validity: notBefore is not about now");
    TRY(cs_responder_build(&ask, &again, err));
    if (!cs_view_eq(cs_buf_view(&again), job->tbs))
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "not in the form of %s certificate",
                       ra ? "an RA's" : "an OCSP responder's");
    if (serials_has(&s->used, serial.p)) return cs_fail(err, CS_REFUSED, CS_R_SERIAL_REUSED, "a responder's");
    TRY(cs_sha256(job->tbs, hash, err));
    TRY(note(s, of, SIGNING_CERT, RECORD_RESPONDER, serial.p, hash, now, err));
    return serials_add(&s->used, serial.p, err);
}

/* A clock that runs backwards would backdate certificates; a minute of correction is life. */
static cs_status check_clock(const signer *s, cs_time now, cs_err *err) {
    char was[CS_TIME_TEXT_MAX], is[CS_TIME_TEXT_MAX];
    if (s->last == INT64_MIN || now >= s->last - CS_MIN) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_CLOCK_SUSPECT, "it is %s, but something was signed at %s",
                   cs_time_text(now, is), cs_time_text(s->last, was));
}

static bool is_piece(uint16_t type) {
    return type == SIGNING_CRL || type == SIGNING_CRL_PART;
}

void signer_check(signer *s, signer_crl *crl, const ipc_frame *request, signer_job *ret) {
    *ret = (signer_job){.type = request->type};
    cs_time now = cs_now(s->clock);
    if (is_piece(request->type)) {
        take_crl(s, crl, request);
        return;
    }
    if (request->type == SIGNING_HELLO || request->type == SIGNING_LOG_KEY) return;
    cs_status status = check_clock(s, now, &ret->why);
    if (status != CS_OK) return;
    switch (request->type) {
    case SIGNING_CERT: status = check_cert(s, request->payload, ret, now, &ret->why); break;
    case SIGNING_HEAD: status = check_head(s, request->payload, ret, now, &ret->why); break;
    case SIGNING_RA:
    case SIGNING_RESPONDER: status = check_responder(s, request->payload, ret, now, &ret->why); break;
    default: status = end_crl(s, crl, request->payload, ret, now, &ret->why); break;
    }
    if (status == CS_OK) ret->why.status = CS_OK;
}

cs_status signer_commit(signer *s, signer_job jobs[], size_t n, cs_err *err) {
    cs_status status = CS_OK;
    if (s->batch.n > 0) status = journal_append(s->log, cs_buf_view(&s->batch), err);
    cs_buf_clear(&s->batch);
    if (status == CS_OK) {
        mark_synced(s);
        return CS_OK;
    }
    for (size_t i = 0; i < s->issuer_count; i++) s->issuers[i].crl_number = s->issuers[i].synced;
    s->heads.last = s->heads.synced;
    memcpy(s->chain, s->synced_chain, sizeof s->chain);
    for (size_t i = 0; i < n; i++)
        if (jobs[i].why.status == CS_OK) jobs[i].why = *err;
    return status;
}

static cs_status sign(signer *s, const signer_job *job, cs_buf *out, cs_err *err) {
    CS_FAULT("signer.sign", err);
    size_t mark = ipc_open(out, SIGNING_SIGNED);
    CS_SCOPED(cs_buf) der = cs_buf_of(2 * CS_CERT_MAX);
    cs_status status = CS_OK;
    switch (job->type) {
    case SIGNING_LOG_KEY: status = heads_tell(&s->heads, &der, err); break;
    case SIGNING_HEAD: status = head_sign(&job->head, &s->heads.public, s->heads.key, &der, err); break;
    case SIGNING_CRL_END: status = cs_stream_sign_end(job->signing, &der, err); break;
    default: status = cs_signed_make(s->issuers[job->issuer].key, job->tbs, &der, err); break;
    }
    if (status == CS_OK) cs_buf_add_vec32(out, cs_buf_view(&der));
    if (status != CS_OK) out->n = mark;
    if (status == CS_OK) ipc_close(out, mark);
    return status;
}

static void refuse(const cs_err *why, cs_buf *out) {
    size_t mark = ipc_open(out, SIGNING_REFUSED);
    cs_buf_add_vec16(out, cs_view_str(cs_reason_of(why->reason)->name));
    cs_buf_add_vec16(out, cs_view_str(why->detail));
    ipc_close(out, mark);
}

void signer_answer(signer *s, signer_job *job, cs_buf *out) {
    CS_AUTO(cs_stream) signing = job->signing; /* freed on every way out */
    (void)signing;
    if (is_piece(job->type)) return;
    if (job->why.status == CS_OK && job->type == SIGNING_HELLO) {
        size_t mark = ipc_open(out, SIGNING_ISSUER);
        for (size_t i = 0; i < s->issuer_count; i++) {
            cs_buf_add_vec32(out, s->issuers[i].ca->der);
            cs_buf_add_u64(out, s->issuers[i].crl_number);
        }
        ipc_close(out, mark);
        return;
    }
    if (job->why.status == CS_OK && sign(s, job, out, &job->why) == CS_OK) return;
    refuse(&job->why, out);
}
