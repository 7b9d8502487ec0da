/* What SCEP's door says. */
#include <stdio.h>
#include <string.h>

#include "proto/scep/scep_priv.h"
#include "store/rollovers.h"

enum { CHAIN_MAX = 64, CERTS_MAX = 64 * 1024 };

static scep_fail fail_of(cs_reason why) {
    switch (why) {
    case CS_R_ALGORITHM_TOO_WEAK:
    case CS_R_ALGORITHM_UNSUPPORTED:
    case CS_R_KEY_TOO_WEAK:
    case CS_R_KEY_UNSUPPORTED: return SCEP_BAD_ALG;
    case CS_R_SIGNATURE_INVALID:
    case CS_R_ENVELOPE_UNREADABLE:
    case CS_R_MESSAGE_MALFORMED: return SCEP_BAD_MESSAGE_CHECK;
    case CS_R_CERTIFICATE_UNKNOWN:
    case CS_R_REQUEST_UNKNOWN:
    case CS_R_UNKNOWN_ISSUER: return SCEP_BAD_CERT_ID;
    case CS_R_NOT_YET_VALID:
    case CS_R_RENEWAL_TOO_LATE: return SCEP_BAD_TIME;
    default: return SCEP_BAD_REQUEST;
    }
}

static cs_status put(scep_exchange *x, scep_say say, cs_err *err) {
    uint8_t nonce[SCEP_NONCE_LEN];
    TRY(cs_rng_fill(cs_rng_system(), nonce, sizeof nonce, err));
    say.type = SCEP_CERT_REP;
    say.transaction = x->in.transaction;
    say.sender_nonce = nonce; /* older clients want one */
    say.recipient_nonce = x->in.has_sender_nonce ? x->in.sender_nonce : NULL;
    say.key = x->by->key;
    say.signer = x->by->cert;
    say.digest = x->in.cms.digest;
    x->c->type = SCEP_MEDIA;
    cs_buf_clear(&x->c->out);
    return scep_msg_make(&say, &x->c->out, err);
}

cs_status scep_answer_certs(scep_exchange *x, const cs_cert *const certs[], size_t n, cs_view crl, cs_err *err) {
    CS_SCOPED(cs_buf)
    bag = cs_buf_of((size_t)CERTS_MAX + 64 + crl.n), sealed = cs_buf_of((size_t)2 * CERTS_MAX + crl.n);
    TRY(cs_cms_certs_make(certs, n, crl, &bag, err));
    TRY(cs_cms_seal(cs_buf_view(&bag), x->cipher, x->in.cms.signer, &sealed, err));
    cs_view envelope = cs_buf_view(&sealed);
    return put(x, (scep_say){.status = SCEP_SUCCESS, .content = &envelope}, err);
}

/* Nothing is in it; but there is an empty content, without which clients that verify by OpenSSL see no answer at all.
 */
static const cs_view nothing = {(const uint8_t *)"", 0};

cs_status scep_answer_pending(scep_exchange *x, cs_err *err) {
    return put(x, (scep_say){.status = SCEP_PENDING, .content = &nothing}, err);
}

cs_status scep_answer_failure(scep_exchange *x, const cs_err *why, cs_err *err) {
    char text[SCEP_TEXT_MAX + 1];
    const cs_reason_info *r = cs_reason_of(why->reason);
    (void)snprintf(text, sizeof text, "%s: %s", r->name, r->says);
    return put(x,
               (scep_say){.status = SCEP_FAILURE, .content = &nothing, .fail = fail_of(why->reason), .fail_text = text},
               err);
}

/* ---- what the CA is and can ---- */

static cs_status run_rollover(void *cls, store *st, cs_err *err) {
    return store_rollover_last(st, cls, err);
}

/* Certificates of the CA that takes over, as long as it is published and does not yet issue: its own, and those by
 * which others vouch for it. */
static cs_status find_next(const scep_exchange *x, const cs_cert *certs[CHAIN_MAX], size_t *ret_n, cs_err *err) {
    store_rollover r = {.id = 0};
    const cs_cert *one = NULL;
    *ret_n = 0;
    TRY(authority_read(x->c->a, run_rollover, &r, err));
    if (!store_rollover_open(&r) || r.stage != ROLLOVER_PUBLISHED) return CS_OK;
    for (size_t i = 0; *ret_n < CHAIN_MAX && (one = authority_cert_at(x->c->a, i)) != NULL; i++)
        if (memcmp(one->spki_sha256, r.next_issuer, sizeof r.next_issuer) == 0) certs[(*ret_n)++] = one;
    for (size_t i = 0; *ret_n < CHAIN_MAX && (one = authority_root_at(x->c->a, i)) != NULL; i++)
        if (memcmp(one->spki_sha256, r.next_issuer, sizeof r.next_issuer) == 0) certs[(*ret_n)++] = one;
    return CS_OK;
}

cs_status scep_tell_caps(scep_exchange *x, cs_err *err) {
    unsigned caps = SCEP_CAP_AES | SCEP_CAP_POST | SCEP_CAP_RENEWAL | SCEP_CAP_SHA256 | SCEP_CAP_SHA384 |
                    SCEP_CAP_SHA512 | SCEP_CAP_STANDARD;
    const cs_cert *next[CHAIN_MAX];
    size_t n = 0;
    TRY(find_next(x, next, &n, err));
    if (n > 0) caps |= SCEP_CAP_NEXT_CA;
    if (x->legacy) caps |= SCEP_CAP_3DES | SCEP_CAP_SHA1;
    x->c->type = "text/plain";
    (void)scep_caps_put(&x->c->out, caps);
    return cs_buf_ok(&x->c->out, "capabilities", err);
}

cs_status scep_tell_cacert(scep_exchange *x, cs_err *err) {
    const cs_cert *certs[CHAIN_MAX], *path[AUTHORITY_CHAIN_MAX];
    conf_ca_chain which = x->ask.at != NULL ? x->ask.at->ca_certificates : CONF_CHAIN_ALL;
    size_t n = 0, in_path = authority_chain(x->c->a, x->by->cert, path);
    rest_told_cas(x->c);
    for (size_t i = 0; i < in_path && (i == 0 || which != CONF_CHAIN_RA); i++) certs[n++] = path[i];
    const cs_cert *root = NULL;
    for (size_t i = 0; which == CONF_CHAIN_ALL && n < CHAIN_MAX && (root = authority_root_at(x->c->a, i)) != NULL; i++)
        certs[n++] = root;
    if (n == 1) { /* @rfc 8894#4.2.1.1 */
        x->c->type = "application/x-x509-ca-cert";
        (void)cs_buf_add_view(&x->c->out, certs[0]->der);
        return cs_buf_ok(&x->c->out, "the certificate", err);
    }
    x->c->type = "application/x-x509-ca-ra-cert";
    return cs_cms_certs_make(certs, n, (cs_view){NULL, 0}, &x->c->out, err);
}

/* Signed by the RA, whom clients know. @rfc 8894#4.7.1 */
cs_status scep_tell_next(scep_exchange *x, cs_err *err) {
    const cs_cert *certs[CHAIN_MAX];
    CS_SCOPED(cs_buf) bag = cs_buf_of(CERTS_MAX);
    size_t n = 0;
    TRY(find_next(x, certs, &n, err));
    if (n == 0) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "no CA takes over");
    rest_told_cas(x->c);
    TRY(cs_cms_certs_make(certs, n, (cs_view){NULL, 0}, &bag, err));
    cs_view content = cs_buf_view(&bag);
    x->c->type = "application/x-x509-next-ca-cert";
    return cs_cms_sign(&(cs_cms_sign_ask){.content = &content, .key = x->by->key, .signer = x->by->cert}, &x->c->out,
                       err);
}
