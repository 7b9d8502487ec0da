/* Revocation by whoever ordered the certificate, controls all its names, or holds its key (RFC 8555 7.6). */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "proto/acme/acme_priv.h"
#include "x509/build.h"

typedef struct holding {
    const acme_call *x;
    const cs_cert *cert;
    const char *serial;
    bool ours, may;
} holding;

/* Does the account hold a valid authorization for that name? */
static cs_status controls(const holding *h, store *st, const cs_san *san, bool *ret, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(1024);
    uint64_t n = 0;
    *ret = false;
    if (san->type != CS_SAN_DNS && san->type != CS_SAN_IP) return CS_OK;
    (void)cs_san_add(&text, san); /* "DNS:gw.example" */
    const char *all = cs_buf_cstr(&text), *value = all != NULL ? strchr(all, ':') : NULL;
    if (value == NULL) return CS_OK;
    value++;
    bool wildcard = san->type == CS_SAN_DNS && strncmp(value, "*.", 2) == 0;
    TRY(store_authz_count(st, h->x->account.id, san->type == CS_SAN_IP ? "ip" : "dns", wildcard ? value + 2 : value,
                          wildcard, authority_now(h->x->m->a), &n, err));
    *ret = n > 0;
    return CS_OK;
}

static cs_status controls_all(holding *h, store *st, cs_err *err) {
    h->may = h->cert->san_count > 0;
    for (size_t i = 0; h->may && i < h->cert->san_count; i++) TRY(controls(h, st, &h->cert->sans[i], &h->may, err));
    return CS_OK;
}

static cs_status run_look(void *cls, store *st, cs_err *err) {
    holding *h = cls;
    store_cert row;
    store_order order;
    TRY(store_cert_by_serial(st, h->serial, &row, err));
    h->ours = memcmp(row.sha256, h->cert->sha256, sizeof row.sha256) == 0;
    if (!h->ours || h->x->j.kid == NULL) return CS_OK;
    cs_status status = store_order_by_serial(st, h->serial, &order, err);
    if (status != CS_OK && status != CS_REFUSED) return status;
    h->may = status == CS_OK && strcmp(order.account, h->x->account.id) == 0;
    return h->may ? CS_OK : controls_all(h, st, err);
}

static cs_status check_may(acme_call *x, const cs_cert *cert, const char *serial, cs_err *err) {
    holding h = {.x = x, .cert = cert, .serial = serial};
    TRY(authority_read(x->m->a, run_look, &h, err));
    if (!h.ours) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "serial %s is none of ours", serial);
    if (x->j.jwk != NULL) h.may = cs_view_eq(cert->spki, jws_key_spki(&x->key));
    if (h.may) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_PERMISSION_DENIED,
                   "neither the certificate's key nor an account that ordered it or controls its names");
}

static cs_status take_reason(const json_t *payload, int *ret, cs_err *err) {
    static const int offered[] = {CS_CRL_UNSPECIFIED, CS_CRL_KEY_COMPROMISE, CS_CRL_AFFILIATION_CHANGED,
                                  CS_CRL_SUPERSEDED,  CS_CRL_CESSATION,      CS_CRL_PRIVILEGE_WITHDRAWN};
    const json_t *reason = json_object_get(payload, "reason");
    *ret = CS_CRL_UNSPECIFIED;
    if (reason == NULL) return CS_OK;
    for (size_t i = 0; json_is_integer(reason) && i < sizeof offered / sizeof offered[0]; i++) {
        *ret = offered[i];
        if (json_integer_value(reason) == offered[i]) return CS_OK;
    }
    return cs_fail(err, CS_REFUSED, CS_R_REASON_INVALID, "0, 1, 3, 4, 5 or 9 is expected");
}

cs_status acme_revoke(acme_call *x, cs_err *err) {
    SCOPED_JSON payload = NULL;
    CS_AUTO(cs_cert) cert = NULL;
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_CERT_MAX);
    __attribute__((cleanup(revoke_answer_free))) revoke_answer answer = {0};
    char serial[STORE_SERIAL_TEXT];
    const char *text = NULL;
    int reason = 0;
    TRY(acme_payload(x, false, &payload, err));
    TRY(rest_text(payload, "certificate", true, &text, err));
    if (!cs_base64url_decode(cs_view_str(text), &der))
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "certificate: base64url of DER is expected");
    TRY(cs_cert_decode(cs_buf_view(&der), &cert, err));
    if (cert->serial.n > CS_SERIAL_MAX) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "its serial");
    (void)cs_hex(cert->serial, serial);
    TRY(check_may(x, cert, serial, err));
    TRY(take_reason(payload, &reason, err));
    if (x->j.jwk != NULL) (void)snprintf(x->who.by, sizeof x->who.by, "the key of %s", serial);
    return authority_revoke(x->m->a, REVOKE_BY_SERIAL, cs_view_str(serial), reason, &x->who, &answer, err);
}
