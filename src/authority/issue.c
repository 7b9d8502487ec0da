/* Issuing, in the asker's thread: what is asked, checked and built. issue_batch.c has the writer's part. */
#include <stdio.h>
#include <stdlib.h>

#include "authority/authority_priv.h"
#include "base/text.h"
#include "x509/build.h"
#include "x509/digest.h"

/* What the asker's thread makes of the question. */
typedef struct wanted {
    cs_identity who;
    const cs_profile *profile;
    cs_csr *csr;
    const authority_ca *by;
    cs_san sans[ISSUE_NAMES_MAX];
    uint8_t values[ISSUE_NAMES_MAX][CS_IDENTITY_NAME_MAX + 1];
    size_t san_count;
} wanted;

static void wanted_free(wanted *w) {
    cs_csr_free(w->csr);
}

/* Is the name that the request carries among those that were asked for? */
static bool was_asked_for(const wanted *w, const cs_san *san) {
    for (size_t i = 0; i < w->san_count; i++)
        if (w->sans[i].type == san->type && cs_view_eq_nocase(w->sans[i].value, san->value)) return true;
    return false;
}

/* A name that the request carries is the identity's own, was asked for, or is one that the profile takes. */
static cs_status take_request_names(wanted *w, const conf *c, cs_err *err) {
    uint8_t own[CS_IDENTITY_NAME_MAX + 1];
    cs_san self = {0};
    TRY(cs_identity_san(&w->who, c->trust_domain, own, &self, err));
    for (size_t i = 0; i < w->csr->san_count; i++) {
        const cs_san *san = &w->csr->sans[i];
        if (san->type == self.type && cs_view_eq_nocase(san->value, self.value)) continue;
        if (was_asked_for(w, san)) continue;
        TRY(cs_profile_request_name_check(w->profile, san, err));
        if (w->san_count == ISSUE_NAMES_MAX)
            return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "more than %d names", ISSUE_NAMES_MAX);
        w->sans[w->san_count++] = *san;
    }
    return CS_OK;
}

static cs_status refuse_ca_keys(const authority *a, cs_view spki, cs_err *err) {
    bool found = false;
    for (size_t i = 0; i < a->names.roots.n; i++) found = found || cs_view_eq(spki, a->roots[i]->spki);
    for (size_t i = 0; i < a->names.certs.n; i++) found = found || cs_view_eq(spki, a->certs[i]->spki);
    if (!found) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_NAME_NOT_ALLOWED, "the request is for a CA's own key");
}

/* By which profile, and may it be asked for this way? */
static cs_status choose_profile(authority *a, const issue_ask *ask, wanted *w, cs_err *err) {
    TRY(conf_profile_find(a->conf, ask->profile, ask->kind, &w->profile, err));
    if (ask->door != NULL) TRY(cs_profile_door_check(w->profile, ask->door, err));
    TRY(profile_in_force(a, w->profile, err));
    if (w->profile->approval && !ask->approved)
        return cs_fail(err, CS_REFUSED, CS_R_APPROVAL_NEEDED, "profile %s (approval)", w->profile->name);
    return CS_OK;
}

static cs_status understand(authority *a, const issue_ask *ask, wanted *w, cs_err *err) {
    if (ask->kind == CS_KIND_OTHER) return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "kind");
    TRY(choose_profile(a, ask, w, err));
    TRY(cs_identity_make(ask->kind, ask->name, &w->who, err));
    TRY(cs_csr_read(ask->csr, "csr", &w->csr, err));
    TRY(cs_csr_refuse_ca(w->csr, err));
    TRY(refuse_ca_keys(a, w->csr->spki, err));
    TRY(cs_known_keys_check(a->known_keys, w->csr->spki, w->csr->spki_sha256, err));
    w->by = ask->issuer.n > 0 ? authority_ca_named(a, ask->issuer) : authority_ca_current(a);
    if (w->by == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "no CA %.*s issues here",
                       (int)(ask->issuer.n < CAS_NAME_MAX ? ask->issuer.n : CAS_NAME_MAX), (const char *)ask->issuer.p);
    if (w->by->retired) return cs_fail(err, CS_REFUSED, CS_R_CA_RETIRED, "%s", w->by->name);
    for (; w->san_count < ask->name_count; w->san_count++)
        TRY(cs_san_make(ask->names[w->san_count].type, ask->names[w->san_count].text, w->values[w->san_count],
                        &w->sans[w->san_count], err));
    return take_request_names(w, a->conf, err);
}

/* What was asked, as a hash, so that a repeated idempotency key with another question is told apart. */
static cs_status hash_request(const issue_ask *ask, const wanted *w, uint8_t ret[32], cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of((size_t)64 * 1024);
    cs_buf_add_byte(&b, (uint8_t)w->who.kind);
    cs_buf_add_vec16(&b, cs_view_str(w->who.name));
    cs_buf_add_vec16(&b, w->csr->spki);
    cs_buf_add_u64(&b, (uint64_t)ask->lifetime);
    cs_buf_add_vec16(&b, ask->issuer);
    cs_buf_add_vec16(&b, cs_view_str(w->profile->name));
    for (size_t i = 0; i < w->san_count; i++) {
        cs_buf_add_byte(&b, (uint8_t)w->sans[i].type);
        cs_buf_add_vec16(&b, w->sans[i].value);
    }
    TRY(cs_buf_ok(&b, "the request", err));
    return cs_sha256(cs_buf_view(&b), ret, err);
}

typedef struct named_list {
    char url[512], delta_url[512];
} named_list;

/* Which list of its CA a certificate is on, if it comes to that; by a number that is as good as drawn. */
static unsigned choose_list(const authority *a, const authority_ca *by, const uint8_t serial[CS_SERIAL_LEN],
                            named_list *ret) {
    const conf_crl *policy = by->policy;
    unsigned drawn = (unsigned)serial[14] << 8 | serial[15];
    authority_list l = {.ca = by, .shard = policy->shards > 0 ? 1 + drawn % policy->shards : 0};
    (void)authority_crl_url(a, &l, ret->url);
    l.delta = true;
    ret->delta_url[0] = '\0';
    if (policy->delta > 0 && policy->delta_in_certificates) (void)authority_crl_url(a, &l, ret->delta_url);
    return l.shard;
}

static cs_status build(authority *a, const issue_ask *ask, const wanted *w, job *j, cs_err *err) {
    store_cert *row = &j->row;
    uint8_t serial[CS_SERIAL_LEN];
    cs_time now = cs_now(a->clock);
    TRY(cs_serial_draw(a->rng, serial, err));
    row->kind = ask->kind;
    j->profile = w->profile;
    row->created = now;
    (void)snprintf(row->name, sizeof row->name, "%s", w->who.name);
    (void)snprintf(row->profile, sizeof row->profile, "%s", w->profile->name);
    (void)cs_hex(cs_view_of(serial, sizeof serial), row->serial);
    j->ca = w->by;
    named_list list;
    row->shard = choose_list(a, w->by, serial, &list);
    memcpy(row->issuer, w->by->cert->spki_sha256, sizeof row->issuer);
    memcpy(row->spki_sha256, w->csr->spki_sha256, sizeof row->spki_sha256);
    TRY(hash_request(ask, w, row->request_sha256, err));
    if (ask->idempotency_key.n > STORE_KEY_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "idempotency_key: at most %d characters", STORE_KEY_MAX);
    if (ask->idempotency_key.n > 0) memcpy(row->idempotency_key, ask->idempotency_key.p, ask->idempotency_key.n);
    if (ask->token != NULL) (void)snprintf(row->token, sizeof row->token, "%s", ask->token);
    if (ask->parent != NULL) (void)snprintf(row->parent, sizeof row->parent, "%s", ask->parent);
    TRY(cs_profile_validity(w->profile, ask->lifetime, now, w->by->cert, &row->not_before, &row->not_after, err));
    const cs_profile_ask want = {.profile = w->profile,
                                 .who = &w->who,
                                 .subject = w->csr->subject,
                                 .sans = w->sans,
                                 .san_count = w->san_count,
                                 .spki = w->csr->spki,
                                 .issuer = w->by->cert,
                                 .serial = cs_view_of(serial, sizeof serial),
                                 .not_before = row->not_before,
                                 .not_after = row->not_after,
                                 .crl_url = list.url,
                                 .delta_url = list.delta_url,
                                 .ca_url = w->by->ca_url,
                                 .ocsp_url = w->by->ocsp_url,
                                 .trust_domain = a->conf->trust_domain};
    TRY(cs_profile_build(&want, &j->tbs, err));
    return cs_sha256(cs_buf_view(&j->tbs), row->tbs_sha256, err);
}

/* ---- a repeated question ---- */
typedef struct repeated {
    const store_cert *row;
    cs_cert *leaf;
} repeated;

static cs_status look_up(void *cls, store *st, cs_err *err) {
    repeated *r = cls;
    store_cert was;
    cs_status status = store_cert_by_key(st, r->row->idempotency_key, &was, err);
    if (status != CS_OK && err->reason == CS_R_CERTIFICATE_UNKNOWN) return CS_OK;
    TRY(status);
    if (memcmp(was.request_sha256, r->row->request_sha256, sizeof was.request_sha256) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_IDEMPOTENCY_CONFLICT, "idempotency_key %s", was.idempotency_key);
    if (was.der.n == 0) return CS_OK; /* it is being worked on: behind it in the queue we shall know */
    return cs_cert_decode(was.der, &r->leaf, err);
}

/* A key that the writer finds taken was taken by the same question a moment ago, or by another. */
static void look_again(authority *a, job *j) {
    repeated r = {.row = &j->row};
    cs_err err;
    cs_status status = authority_read(a, look_up, &r, &err);
    if (status == CS_OK && r.leaf == NULL) return; /* by another */
    j->leaf = r.leaf;
    j->err = status == CS_OK ? authority_no_error() : err;
}

/* One ask on its way: what it means, and its job. */
typedef struct asked {
    wanted w;
    job j;
    bool known; /* answered before, or refused: it does not go to the writer */
} asked;

static void prepare(authority *a, const issue_ask *ask, asked *q) {
    cs_err *err = &q->j.err;
    q->j = (job){.type = JOB_ISSUE, .asked_by = ask->asked_by, .tbs = cs_buf_of(CS_CERT_MAX)};
    cs_status status = understand(a, ask, &q->w, err);
    if (status == CS_OK) status = build(a, ask, &q->w, &q->j, err);
    if (status == CS_OK && q->j.row.idempotency_key[0] != '\0') {
        repeated r = {.row = &q->j.row};
        status = authority_read(a, look_up, &r, err);
        q->j.leaf = r.leaf;
    }
    q->known = status != CS_OK || q->j.leaf != NULL;
    if (status == CS_OK) q->j.err = authority_no_error();
}

static void submit(authority *a, asked at[], size_t n) {
    job *jobs[ISSUE_MANY_MAX];
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (!at[i].known) jobs[k++] = &at[i].j;
    if (k > 0) authority_submit_all(a, jobs, k);
    for (size_t i = 0; i < k; i++)
        if (jobs[i]->err.status == CS_REFUSED && jobs[i]->row.idempotency_key[0] != '\0' &&
            jobs[i]->err.reason == CS_R_IDEMPOTENCY_CONFLICT)
            look_again(a, jobs[i]);
}

cs_status authority_issue_many(authority *a, const issue_ask asks[], size_t n, issue_answer answers[], cs_err *err) {
    if (n > ISSUE_MANY_MAX) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "at most %d requests", ISSUE_MANY_MAX);
    asked *at = calloc(n, sizeof *at);
    if (at == NULL) return CS_NOMEM_ERR(err);
    for (size_t i = 0; i < n; i++) prepare(a, &asks[i], &at[i]);
    submit(a, at, n);
    for (size_t i = 0; i < n; i++) {
        wanted_free(&at[i].w);
        cs_buf_free(&at[i].j.tbs);
        answers[i] = (issue_answer){.leaf = at[i].j.leaf, .err = at[i].j.err, .recorded = at[i].j.recorded};
    }
    free(at);
    return CS_OK;
}

cs_status authority_issue(authority *a, const issue_ask *ask, cs_cert **ret_leaf, cs_err *err) {
    issue_answer answer;
    TRY(authority_issue_many(a, ask, 1, &answer, err));
    if (answer.err.status == CS_OK) *ret_leaf = answer.leaf;
    if (answer.err.status != CS_OK) *err = answer.err;
    return answer.err.status;
}
