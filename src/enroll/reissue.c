/* A new certificate in the place of those whose key was lost. */
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "enroll/enroll_priv.h"
#include "x509/build.h"
#include "x509/profile.h"

enum { ENDED_MAX = 1000 };

typedef struct reissuing {
    const char *serial;
    store_cert row; /* of the certificate that says who it is */
    cs_cert *cert;
    cs_csr *csr;
    cs_time now;
    char (*ends)[STORE_SERIAL_TEXT]; /* what is good, or on hold */
    size_t n;
} reissuing;

static void reissuing_free(reissuing *r) {
    cs_cert_free(r->cert);
    cs_csr_free(r->csr);
    free(r->ends);
}

static cs_status run_get(void *cls, store *st, cs_err *err) {
    reissuing *r = cls;
    TRY(store_cert_by_serial(st, r->serial, &r->row, err));
    if (r->row.der.n == 0 || r->row.kind == CS_KIND_OTHER)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "%s", r->serial);
    cs_status s = cs_cert_decode(r->row.der, &r->cert, err);
    r->row.der = r->row.tags = (cs_view){NULL, 0}; /* borrowed of this verb */
    return s;
}

/* A certificate for the request's key is what an earlier try of the same has made. */
static cs_status keep(void *cls, const store_cert *c, cs_err *err) {
    reissuing *r = cls;
    if (memcmp(c->spki_sha256, r->csr->spki_sha256, sizeof c->spki_sha256) == 0) return CS_OK;
    if (r->n == ENDED_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s has more than %d certificates", c->name, ENDED_MAX);
    (void)snprintf(r->ends[r->n++], STORE_SERIAL_TEXT, "%s", c->serial);
    return CS_OK;
}

static cs_status run_list(void *cls, store *st, cs_err *err) {
    reissuing *r = cls;
    store_filter f = {.kind = r->row.kind, .name = r->row.name, .state = STORE_VALID, .limit = ENDED_MAX + 1};
    TRY(store_cert_list(st, &f, r->now, keep, r, err));
    f.state = STORE_HELD;
    return store_cert_list(st, &f, r->now, keep, r, err);
}

/* Those that were there before; one that somebody else has just revoked is no failure. */
static cs_status end_all(enroll *e, const reissuing *r, int reason, const authority_who *by, revoke_answer *ended,
                         cs_err *err) {
    for (size_t i = 0; i < r->n; i++) {
        __attribute__((cleanup(revoke_answer_free))) revoke_answer one = {0};
        cs_status s = authority_revoke(e->a, REVOKE_BY_SERIAL, cs_view_str(r->ends[i]), reason, by, &one, err);
        if (s == CS_REFUSED && err->reason == CS_R_ALREADY_REVOKED) continue;
        TRY(s);
        ended->at[ended->n++] = one.at[0];
        ended->sequence = one.sequence;
    }
    return CS_OK;
}

static cs_status issue(enroll *e, const reissuing *r, const authority_who *by, enroll_answer *ret, cs_err *err) {
    char key[STORE_KEY_MAX + 1], spki[2 * 16 + 1], profile[CS_PROFILE_NAME_MAX + 1];
    CS_SCOPED(cs_buf) names = cs_buf_of(CS_CERT_MAX);
    issue_ask ask = {.kind = r->row.kind,
                     .name = cs_view_str(r->row.name),
                     .csr = r->csr->der,
                     .profile = cs_profile_of_cert(r->cert, profile) ? profile : NULL,
                     .approved = true,
                     .asked_by = by};
    (void)snprintf(key, sizeof key, "reissue %s %s", r->row.serial,
                   cs_hex(cs_view_of(r->csr->spki_sha256, sizeof spki / 2), spki));
    ask.idempotency_key = cs_view_str(key);
    TRY(submit_names(r->cert->sans, r->cert->san_count, &ask, &names, err));
    (void)snprintf(ret->who.name, sizeof ret->who.name, "%s", r->row.name);
    ret->who.kind = r->row.kind;
    return authority_issue(e->a, &ask, &ret->leaf, err);
}

cs_status enroll_reissue(enroll *e, const char *serial, cs_view csr_text, int reason, const authority_who *by,
                         enroll_answer *ret, revoke_answer *ended, cs_err *err) {
    CS_SCOPED(reissuing) r = {.serial = serial, .now = cs_now(e->clock)};
    TRY(cs_csr_read(csr_text, "csr", &r.csr, err));
    TRY(authority_read(e->a, run_get, &r, err));
    if (cs_view_eq(r.csr->spki, r.cert->spki))
        return cs_fail(err, CS_REFUSED, CS_R_KEY_NOT_NEW, "it is that of serial %s", r.row.serial);
    r.ends = calloc(ENDED_MAX, sizeof *r.ends);
    ended->at = calloc(ENDED_MAX, sizeof *ended->at);
    if (r.ends == NULL || ended->at == NULL) return CS_NOMEM_ERR(err);
    TRY(authority_read(e->a, run_list, &r, err));
    bool first = reason == CS_CRL_KEY_COMPROMISE;
    if (first) TRY(end_all(e, &r, reason, by, ended, err));
    TRY(issue(e, &r, by, ret, err));
    return first ? CS_OK : end_all(e, &r, reason, by, ended, err);
}
