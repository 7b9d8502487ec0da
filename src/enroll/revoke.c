/* A holder ends a certificate of its own. */
#include <stdio.h>

#include "base/text.h"
#include "enroll/enroll_priv.h"
#include "x509/build.h"

typedef struct target {
    char serial[STORE_SERIAL_TEXT];
    store_cert row;
} target;

static cs_status run_get(void *cls, store *st, cs_err *err) {
    target *t = cls;
    TRY(store_cert_by_serial(st, t->serial, &t->row, err));
    t->row.der = (cs_view){NULL, 0}; /* borrowed of this verb */
    return CS_OK;
}

static cs_status check_reason(int reason, cs_err *err) {
    if (reason == CS_CRL_REMOVE)
        return cs_fail(err, CS_REFUSED, CS_R_PERMISSION_DENIED, "a hold is taken back by an operator");
    bool of_a_ca = reason == CS_CRL_CA_COMPROMISE || reason == CS_CRL_AA_COMPROMISE;
    if (cs_crl_reason_name(reason) == NULL || of_a_ca)
        return cs_fail(err, CS_REFUSED, CS_R_REASON_INVALID, "CRLReason %d of a leaf", reason);
    return CS_OK;
}

static cs_status find(enroll *e, const enroll_revocation *ask, const entitled *who, target *t, cs_err *err) {
    if (ask->serial.n == 0 || ask->serial.n > CS_SERIAL_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "its serial is none of ours");
    (void)cs_hex(ask->serial, t->serial);
    TRY(authority_read(e->a, run_get, t, err));
    const authority_ca *ca = authority_ca_of(e->a, t->row.issuer);
    bool other_ca = ask->issuer.n > 0 && (ca == NULL || !cs_view_eq(ca->cert->subject, ask->issuer));
    if (other_ca) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "serial %s of that issuer", t->serial);
    if (t->row.kind != who->who.kind || strcmp(t->row.name, who->who.name) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_PERMISSION_DENIED, "serial %s is not of %s %s", t->serial,
                       cs_kind_name(who->who.kind), who->who.name);
    return CS_OK;
}

cs_status enroll_revoke(enroll *e, const enroll_revocation *ask, cs_err *err) {
    CS_SCOPED(entitled) who = {.parent = NULL};
    __attribute__((cleanup(revoke_answer_free))) revoke_answer answer = {0};
    target t = {.serial = ""};
    authority_who by = {.by = ""};
    TRY(guard_check(e, ask->source, err));
    TRY(check_reason(ask->reason, err));
    TRY(renew_entitle(e, ask->certificate, NULL, &who, err));
    TRY(find(e, ask, &who, &t, err));
    (void)snprintf(by.by, sizeof by.by, "%s %s", cs_kind_name(who.who.kind), who.who.name);
    (void)snprintf(by.from, sizeof by.from, "%s", ask->source);
    (void)snprintf(by.via, sizeof by.via, "%s", ask->door);
    (void)cs_hex(ask->certificate->serial, by.serial);
    return authority_revoke(e->a, REVOKE_BY_SERIAL, cs_view_str(t.serial), ask->reason, &by, &answer, err);
}
