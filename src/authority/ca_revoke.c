/* The certificate of a CA that a CA of ours has signed is revoked. Such certificates are made by commands, not here:
 * this is when the store hears of one, so that the feed, the lists and OCSP hold it. */
#include <stdio.h>

#include "authority/authority_priv.h"
#include "base/text.h"
#include "x509/build.h"
#include "x509/digest.h"

typedef struct ending {
    const cs_cert *cert, *issuer;
    cs_view name;
    int reason;
    const authority_who *by;
    uint64_t sequence;
} ending;

static const cs_cert *signed_by(const authority *a, const cs_cert *c) {
    cs_err ignored;
    const cs_cert *const *lists[] = {(const cs_cert *const *)a->roots, (const cs_cert *const *)a->certs};
    const size_t counts[] = {a->names.roots.n, a->names.certs.n};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < counts[k]; i++)
            if (cs_view_eq(lists[k][i]->subject, c->issuer) &&
                cs_signed_check(c->der, c->tbs, lists[k][i], &ignored) == CS_OK)
                return lists[k][i];
    return NULL;
}

static cs_status add_row(store *st, const ending *e, store_cert *row, cs_time now, cs_err *err) {
    char subject[CS_NAME_TEXT_MAX + 1];
    const cs_cert *c = e->cert;
    row->created = now;
    row->not_before = c->not_before;
    row->not_after = c->not_after;
    memcpy(row->issuer, e->issuer->spki_sha256, sizeof row->issuer);
    memcpy(row->spki_sha256, c->spki_sha256, sizeof row->spki_sha256);
    TRY(cs_sha256(c->tbs, row->tbs_sha256, err));
    TRY(store_intent_add(st, row, err));
    return store_issued_set(st, row->serial, cs_name_text(c->subject, subject), c->sha256, c->der, err);
}

static cs_status run(authority *a, store *st, void *cls, cs_err *err) {
    ending *e = cls;
    store_cert row = {.kind = CS_KIND_OTHER}, was;
    cs_err why;
    cs_time now = cs_now(a->clock);
    (void)cs_hex(e->cert->serial, row.serial);
    (void)snprintf(row.name, sizeof row.name, "%.*s", (int)(e->name.n < CS_IDENTITY_NAME_MAX ? e->name.n : 0),
                   (const char *)e->name.p);
    memcpy(row.sha256, e->cert->sha256, sizeof row.sha256);
    cs_status s = store_cert_by_serial(st, row.serial, &was, &why);
    if (s == CS_REFUSED)
        TRY(add_row(st, e, &row, now, err));
    else if (s != CS_OK)
        *err = why;
    if (s != CS_OK && s != CS_REFUSED) return s;
    TRY(store_revoke(st, row.serial, e->reason, now, &e->sequence, err));
    return audit(a, st, "ca-revoked", e->by, &row, cs_crl_reason_name(e->reason), err);
}

cs_status authority_ca_revoke(authority *a, const cs_cert *cert, cs_view name, int reason, const authority_who *by,
                              uint64_t *ret_sequence, cs_err *err) {
    ending e = {.cert = cert, .issuer = signed_by(a, cert), .name = name, .reason = reason, .by = by};
    if (!cert->is_ca) return cs_fail(err, CS_REFUSED, CS_R_NOT_A_CA, "the certificate");
    if (e.issuer == NULL) return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "no CA here has signed it");
    if (cert->serial.n > CS_SERIAL_MAX) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "its serial number");
    TRY(authority_change(a, run, &e, err));
    revoke_tell(a);
    *ret_sequence = e.sequence;
    return CS_OK;
}
