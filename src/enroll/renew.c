/* Renewing: an identity's certificate is the credential for its next one. A certificate and those that renew it are a
 * lineage; two with different keys that renew the same one mean that somebody has a copy of its key. */
#include <stdio.h>

#include "base/text.h"
#include "enroll/enroll_priv.h"
#include "report/log.h"
#include "x509/build.h"
#include "x509/profile.h"

typedef struct lookup {
    const cs_cert *cert;
    const cs_csr *csr;
    char serial[STORE_SERIAL_TEXT];
    store_cert row;
    bool found, other; /* other: it was renewed with another key */
} lookup;

static cs_status run_lookup(void *cls, store *st, cs_err *err) {
    lookup *l = cls;
    cs_err why;
    cs_status status = store_cert_by_serial(st, l->serial, &l->row, &why);
    if (status == CS_REFUSED) return CS_OK;
    if (status != CS_OK) *err = why;
    TRY(status);
    l->row.der = (cs_view){NULL, 0}; /* borrowed of this verb */
    l->found = memcmp(l->row.sha256, l->cert->sha256, sizeof l->row.sha256) == 0;
    if (!l->found || l->csr == NULL || l->row.status != STORE_ISSUED) return CS_OK;
    store_cert child = {.serial = ""};
    memcpy(child.parent, l->serial, sizeof child.parent);
    memcpy(child.spki_sha256, l->csr->spki_sha256, sizeof child.spki_sha256);
    status = store_lineage_check(st, &child, &why);
    l->other = status == CS_REFUSED && why.reason == CS_R_LINEAGE_FORKED;
    if (status == CS_OK || status == CS_REFUSED) return CS_OK;
    *err = why;
    return status;
}

/* Only what is good now, or was until a short while ago and is the newest of its lineage. */
static cs_status check_times(enroll *e, const lookup *l, cs_err *err) {
    const store_cert *row = &l->row;
    char grace[CS_TIME_TEXT_MAX];
    cs_time now = cs_now(e->clock), allowed = e->conf->enroll[row->kind].grace;
    if (row->status == STORE_REVOKED || row->status == STORE_ABANDONED)
        return cs_fail(err, CS_REFUSED, CS_R_REVOKED, "serial %s", row->serial);
    if (row->status != STORE_ISSUED) return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "serial %s", row->serial);
    if (row->not_before > now) return cs_fail(err, CS_REFUSED, CS_R_NOT_YET_VALID, "serial %s", row->serial);
    if (row->not_after >= now) return CS_OK;
    if (now - row->not_after > allowed)
        return cs_fail(err, CS_REFUSED, CS_R_RENEWAL_TOO_LATE, "serial %s; the grace of a %s is %s", row->serial,
                       cs_kind_name(row->kind), allowed > 0 ? cs_duration_text(allowed, grace) : "none");
    if (l->other)
        return cs_fail(err, CS_REFUSED, CS_R_RENEWAL_TOO_LATE, "serial %s has expired and was renewed", row->serial);
    return CS_OK;
}

cs_status renew_entitle(enroll *e, const cs_cert *cert, const cs_csr *csr, entitled *ret, cs_err *err) {
    lookup l = {.cert = cert, .csr = csr};
    char profile[CS_PROFILE_NAME_MAX + 1];
    if (cert->serial.n > CS_SERIAL_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "its serial is longer than any of ours");
    (void)cs_hex(cert->serial, l.serial);
    TRY(authority_read(e->a, run_lookup, &l, err));
    if (!l.found) return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "serial %s is none of ours", l.serial);
    TRY(check_times(e, &l, err));
    ret->who.kind = l.row.kind;
    (void)snprintf(ret->who.name, sizeof ret->who.name, "%s", l.row.name);
    if (cs_profile_of_cert(cert, profile))
        (void)snprintf(ret->profile, sizeof ret->profile, "%s", profile);
    else
        (void)snprintf(ret->profile, sizeof ret->profile, "%s", cs_kind_name(l.row.kind));
    (void)snprintf(ret->credential, sizeof ret->credential, "certificate %s", l.serial);
    ret->parent = cs_cert_ref(cert);
    return CS_OK;
}

/* ---- a fork ---- */

typedef struct lineage {
    char at[LINEAGE_MAX][STORE_SERIAL_TEXT];
    size_t n, looked;
} lineage;

static cs_status keep(void *cls, const char *serial, cs_err *err) {
    lineage *l = cls;
    (void)err;
    if (l->n < LINEAGE_MAX) (void)snprintf(l->at[l->n++], STORE_SERIAL_TEXT, "%s", serial);
    return CS_OK;
}

static cs_status run_walk(void *cls, store *st, cs_err *err) {
    lineage *l = cls;
    for (; l->looked < l->n; l->looked++) TRY(store_lineage_children(st, l->at[l->looked], keep, l, err));
    return CS_OK;
}

void renew_forked(enroll *e, const cs_cert *parent, const authority_who *by) {
    lineage l = {.n = 1};
    size_t held = 0;
    cs_err err;
    (void)cs_hex(parent->serial, l.at[0]);
    if (authority_read(e->a, run_walk, &l, &err) != CS_OK) log_failure(LOG_ERROR, "lineage-failed", &err);
    for (size_t i = 0; i < l.n; i++) {
        __attribute__((cleanup(revoke_answer_free))) revoke_answer answer = {0};
        if (authority_revoke(e->a, REVOKE_BY_SERIAL, cs_view_str(l.at[i]), CS_CRL_HOLD, by, &answer, &err) == CS_OK)
            held++;
        else if (err.reason != CS_R_ALREADY_REVOKED)
            log_failure(LOG_ERROR, "lineage-failed", &err);
    }
    log_event ev = log_begin(LOG_WARN, "lineage-forked");
    log_str(&ev, "by", by->by);
    log_str(&ev, "from", by->from);
    log_str(&ev, "serial", l.at[0]);
    log_int(&ev, "held", (int64_t)held);
    log_end(&ev);
}

/* ---- by an operator ---- */

typedef struct by_serial {
    const char *serial;
    cs_cert *cert;
} by_serial;

static cs_status run_get(void *cls, store *st, cs_err *err) {
    by_serial *b = cls;
    store_cert row;
    TRY(store_cert_by_serial(st, b->serial, &row, err));
    if (row.der.n == 0) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "%s", b->serial);
    return cs_cert_decode(row.der, &b->cert, err);
}

cs_status enroll_renew(enroll *e, const char *serial, cs_view csr_text, const authority_who *by, enroll_answer *ret,
                       cs_err *err) {
    CS_SCOPED(entitled) who = {.parent = NULL};
    CS_AUTO(cs_csr) csr = NULL;
    by_serial b = {.serial = serial};
    TRY(cs_csr_read(csr_text, "csr", &csr, err));
    TRY(authority_read(e->a, run_get, &b, err));
    CS_AUTO(cs_cert) cert = b.cert;
    TRY(renew_entitle(e, cert, csr, &who, err));
    TRY(submit_fits(&who, csr, err));
    return submit_issue(e, &who, csr, by, ret, err);
}
