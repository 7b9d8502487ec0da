/* proto/acme/attest_msg.h - a TPM's word that it holds a key (WebAuthn's format "tpm", as draft-ietf-acme-device-attest
 * has it): read strictly, and judged as far as it can be without knowing whose TPM it is. Bytes in, bytes out; views
 * look into the input; any thread. */
#ifndef CS_PROTO_ACME_ATTEST_MSG_H
#define CS_PROTO_ACME_ATTEST_MSG_H

#include "base/buf.h"
#include "x509/cert.h"

enum {
    ATTEST_MAX = 64 * 1024, /* of an attestation object; certificates are most of it */
    ATTEST_CHAIN_MAX = 8,
    ATTEST_SPKI_MAX = 1200,
};

typedef struct attest_msg {
    int64_t alg;                   /* COSE: -7 ES256, -257 RS256 */
    cs_view x5c[ATTEST_CHAIN_MAX]; /* DER; the attestation key's first */
    size_t x5c_n;
    cs_view signature, cert_info, public_area;
} attest_msg;
/* The attestation object: CBOR of definite lengths, each number in its shortest form, each key once, nothing behind it.
 * attestation-invalid. */
CS_MUST_USE cs_status attest_msg_read(cs_view cbor, attest_msg *ret, cs_err *err);

/* Does the holder of that key say that its TPM has made the key of public_area, which cannot leave it, and say so for
 * this challenge? extra: SHA-256 of the key authorization. The key's SubjectPublicKeyInfo is appended to spki. Whose
 * the certificate is, is the caller's matter; that it is an attestation key's (tcg-kp-AIKCertificate), so a restricted
 * one, which signs nothing that only looks like a TPM's word, is looked at. attestation-invalid, signature-invalid,
 * key-unsupported. */
CS_MUST_USE cs_status attest_msg_judge(const attest_msg *m, const cs_cert *ak, const uint8_t extra[32], cs_buf *spki,
                                       cs_err *err);

#endif
