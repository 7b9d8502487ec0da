#include "signer/crl.h"

void signer_crl_free(signer_crl *c) {
    cs_stream_free(c->signing);
    cs_digest_free(c->hash);
    *c = (signer_crl){.open = false};
}

static cs_status take(signer_crl *c, cs_view piece, cs_err *err) {
    TRY(cs_stream_add(c->signing, piece, err));
    return cs_digest_add(c->hash, piece, err);
}

static cs_status begin(signer_crl *c, const cs_cert *ca, const cs_key *key, cs_view front, cs_err *err) {
    size_t used = 0;
    TRY(cs_crl_check_front(&c->check, ca, front, &used, err));
    if (used != front.n) return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "SIGN_CRL of %zu bytes", front.n);
    TRY(cs_stream_sign_begin(key, &c->signing, err));
    TRY(cs_digest_begin(&c->hash, err));
    return take(c, front, err);
}

void signer_crl_begin(signer_crl *c, size_t issuer, const cs_cert *ca, const cs_key *key, cs_view front) {
    signer_crl_free(c);
    *c = (signer_crl){.open = true, .issuer = issuer, .why = {.status = CS_OK}};
    cs_err err;
    if (begin(c, ca, key, front, &err) != CS_OK) c->why = err;
}

void signer_crl_part(signer_crl *c, cs_view entries) {
    cs_err err;
    if (!c->open || c->why.status != CS_OK) return;
    if (cs_crl_check_entries(&c->check, entries, &err) != CS_OK || take(c, entries, &err) != CS_OK) c->why = err;
}

/* A list of tomorrow, signed today, would hide what is revoked until then. */
static cs_status check_dates(const cs_cert *ca, const cs_crl_facts *f, cs_time now, cs_err *err) {
    if (f->this_update > now || f->this_update < now - CS_HOUR)
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "CRL: thisUpdate: is not about now");
    if (f->next_update > ca->not_after)
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "CRL: nextUpdate: after the issuer's end");
    return CS_OK;
}

cs_status signer_crl_end(signer_crl *c, cs_view back, uint64_t high_water, cs_time now, cs_crl_facts *ret,
                         uint8_t ret_hash[CS_SHA256_LEN], cs_err *err) {
    if (!c->open) return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "the end of a CRL that was not begun");
    if (c->why.status != CS_OK) {
        *err = c->why;
        return err->status;
    }
    TRY(cs_crl_check_back(&c->check, back, high_water, ret, err));
    TRY(check_dates(c->check.issuer, ret, now, err));
    TRY(take(c, back, err));
    return cs_digest_end(c->hash, ret_hash, err);
}
