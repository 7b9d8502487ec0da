/* CMP's messages, written. @rfc 9810#5 */
#include <stdio.h>

#include "proto/cmp/cmp_msg.h"

static const char it_confirm[] = "\x2b\x06\x01\x05\x05\x07\x04\x0d", it_wait[] = "\x2b\x06\x01\x05\x05\x07\x04\x0e",
                  it_profile[] = "\x2b\x06\x01\x05\x05\x07\x04\x15";

static void put_general_name(cs_buf *b, cs_view name) {
    static const uint8_t nobody[] = {CS_DER_SEQUENCE, 0};
    cs_der_put(b, CS_DER_CTX_CONS(4), name.n > 0 ? name : cs_view_of(nobody, sizeof nobody));
}

static void put_time(cs_buf *b, cs_time t) {
    char text[24];
    cs_civil c = cs_civil_of_time(t);
    (void)snprintf(text, sizeof text, "%04d%02d%02d%02d%02d%02dZ", c.year, c.month, c.day, c.hour, c.minute, c.second);
    cs_der_put_str(b, CS_DER_GENERALIZED_TIME, text);
}

static void put_octets(cs_buf *b, unsigned n, cs_view octets) {
    if (octets.n == 0) return;
    cs_der_mark x = cs_der_open(b, (uint8_t)CS_DER_CTX_CONS(n));
    cs_der_put(b, CS_DER_OCTET_STRING, octets);
    cs_der_close(b, x);
}

static cs_der_mark open_info(cs_buf *b, const char *oid) {
    cs_der_mark one = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_oid(b, cs_view_str(oid));
    return one;
}

static void put_info(cs_buf *b, const cmp_head *h) {
    if (!h->implicit_confirm && h->confirm_wait == 0 && h->profile == NULL) return;
    cs_der_mark x = cs_der_open(b, CS_DER_CTX_CONS(8)), list = cs_der_open(b, CS_DER_SEQUENCE);
    if (h->implicit_confirm) {
        cs_der_mark one = open_info(b, it_confirm);
        cs_der_put(b, CS_DER_NULL, (cs_view){NULL, 0});
        cs_der_close(b, one);
    }
    if (h->confirm_wait > 0) {
        cs_der_mark one = open_info(b, it_wait);
        put_time(b, h->time + h->confirm_wait * CS_SEC);
        cs_der_close(b, one);
    }
    if (h->profile != NULL) {
        cs_der_mark one = open_info(b, it_profile), names = cs_der_open(b, CS_DER_SEQUENCE);
        cs_der_put_str(b, CS_DER_UTF8_STRING, h->profile);
        cs_der_close(b, names);
        cs_der_close(b, one);
    }
    cs_der_close(b, list);
    cs_der_close(b, x);
}

static cs_status put_header(const cmp_head *h, const cmp_protector *by, cs_buf *b, cs_err *err) {
    cs_der_mark header = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_uint(b, CS_DER_INTEGER, h->pvno);
    put_general_name(b, h->sender);
    put_general_name(b, h->recipient);
    cs_der_mark time = cs_der_open(b, CS_DER_CTX_CONS(0));
    put_time(b, h->time);
    cs_der_close(b, time);
    if (by->key != NULL || by->mac != NULL) {
        cs_view algorithm = {NULL, 0};
        cs_der_mark alg = cs_der_open(b, CS_DER_CTX_CONS(1));
        if (by->key != NULL) TRY(cs_key_algorithm(cs_key_spki(by->key), &algorithm, err));
        if (by->key != NULL)
            (void)cs_buf_add_view(b, algorithm);
        else
            (void)cs_cmp_mac_put(b, by->mac);
        cs_der_close(b, alg);
    }
    put_octets(b, 2, h->sender_kid);
    put_octets(b, 4, h->transaction);
    put_octets(b, 5, h->sender_nonce);
    put_octets(b, 6, h->recip_nonce);
    put_info(b, h);
    cs_der_close(b, header);
    return cs_buf_ok(b, "a CMP message", err);
}

static cs_status protect(const cmp_protector *by, cs_view covered, cs_buf *b, cs_err *err) {
    CS_SCOPED(cs_buf) whole = cs_buf_of(CMP_ANSWER_MAX), made = cs_buf_of(4096);
    uint8_t mac[CS_CMP_MAC_MAX];
    size_t n = 0;
    if (by->key == NULL && by->mac == NULL) return CS_OK;
    cs_der_put(&whole, CS_DER_SEQUENCE, covered);
    TRY(cs_buf_ok(&whole, "a CMP message", err));
    if (by->key != NULL) {
        TRY(cs_key_sign(by->key, cs_buf_view(&whole), &made, err));
    } else {
        TRY(cs_cmp_mac_compute(by->mac, by->secret, cs_buf_view(&whole), mac, &n, err));
        (void)cs_buf_add(&made, mac, n);
    }
    cs_der_mark x = cs_der_open(b, CS_DER_CTX_CONS(0));
    cs_der_put_bits(b, cs_buf_view(&made));
    cs_der_close(b, x);
    return cs_buf_ok(&made, "a CMP message", err);
}

cs_status cmp_seal(const cmp_head *head, cmp_body body, cs_view content, const cmp_protector *by,
                   const cs_cert *const extra[], size_t extra_n, cs_buf *b, cs_err *err) {
    CS_SCOPED(cs_buf) covered = cs_buf_of(CMP_ANSWER_MAX);
    TRY(put_header(head, by, &covered, err));
    cs_der_put(&covered, (uint8_t)CS_DER_CTX_CONS(body), content);
    TRY(cs_buf_ok(&covered, "a CMP message", err));
    cs_der_mark all = cs_der_open(b, CS_DER_SEQUENCE);
    (void)cs_buf_add_view(b, cs_buf_view(&covered));
    TRY(protect(by, cs_buf_view(&covered), b, err));
    if (extra_n > 0) {
        cs_der_mark x = cs_der_open(b, CS_DER_CTX_CONS(1)), list = cs_der_open(b, CS_DER_SEQUENCE);
        for (size_t i = 0; i < extra_n; i++) (void)cs_buf_add_view(b, extra[i]->der);
        cs_der_close(b, list);
        cs_der_close(b, x);
    }
    cs_der_close(b, all);
    return cs_buf_ok(b, "a CMP message", err);
}

/* ---- bodies ---- */

void cmp_put_long(cs_buf *b, long v) {
    uint8_t octets[4] = {(uint8_t)((unsigned long)v >> 24), (uint8_t)((unsigned long)v >> 16),
                         (uint8_t)((unsigned long)v >> 8), (uint8_t)(unsigned long)v};
    size_t skip = 0;
    while (skip < 3 && ((octets[skip] == 0 && (octets[skip + 1] & 0x80) == 0) ||
                        (octets[skip] == 0xff && (octets[skip + 1] & 0x80) != 0)))
        skip++;
    cs_der_put(b, CS_DER_INTEGER, cs_view_of(octets + skip, 4 - skip));
}

/* A named-bit list, first bit first, trailing zeros dropped. */
static void put_failure(cs_buf *b, unsigned bits) {
    uint8_t out[5] = {0};
    size_t last = 0;
    for (size_t i = 0; i < 32; i++) {
        if ((bits & 1U << i) == 0) continue;
        out[1 + i / 8] |= (uint8_t)(0x80 >> i % 8);
        last = i;
    }
    out[0] = (uint8_t)(7 - last % 8);
    cs_der_put(b, CS_DER_BIT_STRING, cs_view_of(out, 2 + last / 8));
}

void cmp_put_status(cs_buf *b, const cmp_status *status) {
    cs_der_mark info = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_uint(b, CS_DER_INTEGER, (uint64_t)status->status);
    if (status->text[0] != '\0') {
        cs_der_mark texts = cs_der_open(b, CS_DER_SEQUENCE);
        cs_der_put_str(b, CS_DER_UTF8_STRING, status->text);
        cs_der_close(b, texts);
    }
    if (status->failure != 0) put_failure(b, status->failure);
    cs_der_close(b, info);
}

void cmp_put_answer(cs_buf *b, long id, const cmp_status *status, const cs_cert *leaf, const cs_cert *const roots[],
                    size_t root_n) {
    cs_der_mark all = cs_der_open(b, CS_DER_SEQUENCE);
    if (root_n > 0) {
        cs_der_mark x = cs_der_open(b, CS_DER_CTX_CONS(1)), list = cs_der_open(b, CS_DER_SEQUENCE);
        for (size_t i = 0; i < root_n; i++) (void)cs_buf_add_view(b, roots[i]->der);
        cs_der_close(b, list);
        cs_der_close(b, x);
    }
    cs_der_mark list = cs_der_open(b, CS_DER_SEQUENCE), one = cs_der_open(b, CS_DER_SEQUENCE);
    cmp_put_long(b, id);
    cmp_put_status(b, status);
    if (leaf != NULL) {
        cs_der_mark pair = cs_der_open(b, CS_DER_SEQUENCE);
        cs_der_put(b, CS_DER_CTX_CONS(0), leaf->der);
        cs_der_close(b, pair);
    }
    cs_der_close(b, one);
    cs_der_close(b, list);
    cs_der_close(b, all);
}

/* ---- refusals ---- */

unsigned cmp_failure_of(cs_reason reason) {
    switch (reason) {
    case CS_R_ALGORITHM_TOO_WEAK:
    case CS_R_ALGORITHM_UNSUPPORTED: return CMP_BAD_ALG;
    case CS_R_TOKEN_INVALID:
    case CS_R_SIGNATURE_INVALID: return CMP_BAD_MESSAGE_CHECK;
    case CS_R_NONCE_WRONG: return CMP_BAD_RECIPIENT_NONCE;
    case CS_R_NONCE_MISSING: return CMP_BAD_SENDER_NONCE;
    case CS_R_TRANSACTION_IN_USE: return CMP_TRANSACTION_IN_USE;
    case CS_R_VERSION_UNSUPPORTED: return CMP_UNSUPPORTED_VERSION;
    case CS_R_CREDENTIAL_NEEDED:
    case CS_R_CERTIFICATE_REQUIRED: return CMP_WRONG_INTEGRITY;
    case CS_R_UNKNOWN_ISSUER:
    case CS_R_RENEWAL_TOO_LATE:
    case CS_R_NOT_YET_VALID: return CMP_SIGNER_NOT_TRUSTED;
    case CS_R_REVOKED:
    case CS_R_ALREADY_REVOKED: return CMP_CERT_REVOKED;
    case CS_R_CERTIFICATE_UNKNOWN: return CMP_BAD_CERT_ID;
    case CS_R_CSR_POP_FAILED: return CMP_BAD_POP;
    case CS_R_PROFILE_UNKNOWN:
    case CS_R_PROFILE_VIOLATED: return CMP_UNACCEPTED_POLICY;
    case CS_R_CSR_MALFORMED:
    case CS_R_CSR_ASKS_FOR_CA:
    case CS_R_CSR_ATTRIBUTE_REFUSED:
    case CS_R_KEY_TOO_WEAK:
    case CS_R_KEY_UNSUPPORTED:
    case CS_R_KEY_MALFORMED:
    case CS_R_NAME_INVALID: return CMP_BAD_CERT_TEMPLATE;
    case CS_R_MESSAGE_MALFORMED: return CMP_BAD_DATA_FORMAT;
    case CS_R_NAME_NOT_ALLOWED:
    case CS_R_PERMISSION_DENIED:
    case CS_R_REQUEST_DENIED:
    case CS_R_LINEAGE_FORKED:
    case CS_R_APPROVAL_NEEDED:
    case CS_R_KEY_COMPROMISED: return CMP_NOT_AUTHORIZED;
    case CS_R_TOO_MANY_GUESSES:
    case CS_R_SIGNER_UNREACHABLE:
    case CS_R_CLOCK_SUSPECT:
    case CS_R_STORE_FAILED:
    case CS_R_STORE_UNREACHABLE: return CMP_SYSTEM_UNAVAIL;
    case CS_R_INTERNAL_ERROR:
    case CS_R_OUT_OF_MEMORY: return CMP_SYSTEM_FAILURE;
    default: return CMP_BAD_REQUEST;
    }
}
