/* x509/csr.h - a certificate request (PKCS#10, or CMP's form), read strictly and proven, or made.  @rfc 2986  @rfc 4211
 * Owner: whoever read it (cs_csr_free). Immutable: any thread may read it; views look into its own copy.
 * What a request asks for is only material: the profile alone decides what a certificate says. */
#ifndef CS_X509_CSR_H
#define CS_X509_CSR_H

#include "keys/keys.h"
#include "x509/cert.h"

typedef struct cs_csr {
    cs_view der;     /* the whole request */
    cs_view subject; /* DER of the Name */
    cs_view spki;    /* DER of SubjectPublicKeyInfo; has passed cs_key_spki_check */
    uint8_t sha256[32], spki_sha256[32];
    cs_san *sans; /* subjectAltName asked for */
    size_t san_count;
    cs_view challenge;    /* challengePassword; n == 0: none */
    cs_view seal_to;      /* AsymmetricDecryptKeyIdentifier; n == 0: none. @rfc 7030#4.4.1.2 */
    bool seals_symmetric; /* it has a DecryptKeyIdentifier */
    bool asks_ca;         /* basicConstraints CA:TRUE, or keyCertSign or cRLSign */
    bool has_key_usage, has_eku;
    unsigned key_usage, eku; /* CS_KU_*, CS_EKU_* asked for */
    unsigned other_exts;     /* extensions asked for that are none of the above */
    uint8_t *copy;           /* what the views look into */
} cs_csr;

/* One request: PEM ("CERTIFICATE REQUEST" or "NEW CERTIFICATE REQUEST") or DER of PKCS#10, or DER of a CRMF CertReqMsg
 * whose popo is a signature. `what` names the source in errors.
 * CS_OK means: well-formed, its signature proves possession, key and signature algorithm are strong enough.
 * asks_ca is not refused here; cs_csr_refuse_ca does it.
 * file-empty, file-wrong-type, file-malformed, csr-malformed (field and rule), csr-pop-failed, algorithm-too-weak
 * (MD5, SHA-1), algorithm-unsupported as csr-malformed, key-too-weak, key-unsupported; CS_LIMIT over CS_CSR_MAX. */
CS_MUST_USE cs_status cs_csr_read(cs_view text, const char *what, cs_csr **ret, cs_err *err);
void cs_csr_free(cs_csr *csr);
CS_AUTO_DEFINE(cs_csr)

/* csr-asks-for-ca when it does. */
CS_MUST_USE cs_status cs_csr_refuse_ca(const cs_csr *csr, cs_err *err);

/* CertReqMessages of one request (CRMF), proven by its key. subject: Name; sans as in cs_cert; old: the certificate
 * that is updated, NULL: none.                                                                              @rfc 4211#3
 */
CS_MUST_USE cs_status cs_crmf_make(const cs_key *key, cs_view subject, const cs_san *sans, size_t san_count,
                                   const cs_cert *old, cs_buf *b, cs_err *err);
/* Makes a request, DER, appended to b. cn may be NULL (empty subject); sans as in cs_cert. PEM: cs_pem_add. */
/* The same with a challengePassword (RFC 2985 5.4.1); challenge.n == 0: none. b should be a cs_buf_secret. */
CS_MUST_USE cs_status cs_csr_make_asking(const cs_key *key, const char *cn, const cs_san *sans, size_t san_count,
                                         cs_view challenge, cs_buf *b, cs_err *err);
CS_MUST_USE cs_status cs_csr_make(const cs_key *key, const char *cn, const cs_san *sans, size_t san_count, cs_buf *b,
                                  cs_err *err);

#endif
