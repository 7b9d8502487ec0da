/* device-attest-01: a TPM says that it holds the key for which a device's certificate is ordered
 * (draft-ietf-acme-device-attest). It is judged where it arrives: there is nothing to be fetched. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "proto/acme/acme_priv.h"
#include "proto/acme/attest_msg.h"
#include "x509/digest.h"

typedef struct outcome {
    store_authz *z;
    const authority_who *by;
    const char *key; /* hex */
} outcome;

static cs_status run_record(authority *a, store *st, void *cls, cs_err *err) {
    const outcome *o = cls;
    store_cert about = {.kind = CS_KIND_DEVICE};
    char detail[STORE_WORD_MAX + 120];
    bool met = o->z->status == AUTHZ_VALID;
    TRY(store_authz_set(st, o->z, err));
    (void)snprintf(about.name, sizeof about.name, "%.250s", o->z->value);
    (void)snprintf(detail, sizeof detail, "%s of order %s%s%s", o->z->challenge, o->z->order, met ? ", key " : "",
                   met ? o->key : "");
    return authority_audit(a, st, met ? "name-proven" : "name-not-proven", o->by, &about, detail, err);
}

static cs_status read_chain(const attest_msg *m, cs_certs *chain, cs_err *err) {
    for (size_t i = 0; i < m->x5c_n; i++) {
        cs_cert *one = NULL;
        if (cs_cert_decode(m->x5c[i], &one, err) != CS_OK)
            return err->status == CS_NOMEM ? CS_NOMEM : cs_fail_in(err, "x5c[%zu]", i);
        TRY(cs_certs_add(chain, one, err));
    }
    return CS_OK;
}

static cs_status judge(acme_call *x, store_authz *z, cs_view object, cs_err *err) {
    attest_msg m;
    uint8_t digest[CS_SHA256_LEN];
    char wanted[KEY_AUTHORIZATION_MAX + 1];
    CS_SCOPED(cs_certs) chain = {NULL, 0};
    CS_SCOPED(cs_buf) spki = cs_buf_of(ATTEST_SPKI_MAX);
    TRY(attest_msg_read(object, &m, err));
    TRY(read_chain(&m, &chain, err));
    if (chain.n == 0) return cs_fail(err, CS_REFUSED, CS_R_ATTESTATION_INVALID, "x5c is empty");
    (void)snprintf(wanted, sizeof wanted, "%s.%s", z->token, x->account.thumbprint);
    TRY(cs_sha256(cs_view_str(wanted), digest, err));
    TRY(attest_msg_judge(&m, chain.at[0], digest, &spki, err));
    enroll_ask ask = x->at;
    ask.certificate = chain.at[0];
    ask.chain = &chain;
    TRY(enroll_attested(x->m->e, &ask, z->value, err));
    z->attested = true;
    return cs_sha256(cs_buf_view(&spki), z->attested_spki, err);
}

/* Once: what was not believed ends the authorization, as with every other challenge. */
cs_status acme_attest(acme_call *x, store_authz *z, const json_t *payload, cs_err *err) {
    CS_SCOPED(cs_buf) object = cs_buf_of(ATTEST_MAX);
    char key[2 * CS_SHA256_LEN + 1];
    const char *text = NULL;
    cs_err why = {.status = CS_OK};
    if (z->status != AUTHZ_PENDING || payload == NULL) return CS_OK;
    if (z->expires <= authority_now(x->m->a))
        return cs_fail(err, CS_REFUSED, CS_R_ORDER_NOT_READY, "the authorization has expired");
    TRY(enroll_may_try(x->m->e, x->at.source, err));
    TRY(rest_text(payload, "attObj", true, &text, err));
    cs_status status = cs_base64url_decode(cs_view_str(text), &object)
                           ? judge(x, z, cs_buf_view(&object), &why)
                           : cs_fail(&why, CS_REFUSED, CS_R_ATTESTATION_INVALID, "attObj: base64url is expected");
    if (status != CS_OK && status != CS_REFUSED) {
        *err = why;
        return status;
    }
    (void)snprintf(z->challenge, sizeof z->challenge, "%s", ACME_ATTEST);
    z->started = authority_now(x->m->a);
    z->status = status == CS_OK ? AUTHZ_VALID : AUTHZ_INVALID;
    if (status == CS_OK) z->validated = z->started;
    if (status != CS_OK) acme_problem_text(&why, false, z->error);
    if (status != CS_OK) enroll_refused(x->m->e, &x->at, z->value, &why);
    outcome o = {.z = z, .by = &x->who, .key = cs_hex(cs_view_of(z->attested_spki, CS_SHA256_LEN), key)};
    return authority_change(x->m->a, run_record, &o, err);
}
