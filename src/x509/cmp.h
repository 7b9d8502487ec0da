/* x509/cmp.h - CMP's arithmetic: MACs by a shared secret, and the hash by which a certificate is confirmed.
 * Nothing is kept; any thread.                                                    @rfc 9810#5.1.3.1  @rfc 9481#6.1 */
#ifndef CS_X509_CMP_H
#define CS_X509_CMP_H

#include "base/rng.h"
#include "base/secret.h"
#include "x509/cert.h"

enum {
    CS_CMP_ITERATIONS_MAX = 100 * 1000, /* of one key derivation: OpenSSL's clients do 500, its own limit is this */
    CS_CMP_WORK_MAX = 400 * 1000,       /* of all that are done for one message, in hashes: 0.1 s */
    CS_CMP_SALT_MAX = 64,
    CS_CMP_MAC_MAX = 64,
    CS_CMP_HASH_MAX = 64,
};

typedef struct cs_cmp_mac {
    bool pbmac1;           /* PBKDF2 (RFC 8018); else id-PasswordBasedMac */
    const char *owf, *mac; /* static names of digests */
    uint8_t salt[CS_CMP_SALT_MAX];
    size_t salt_n, key_n; /* key_n: PBMAC1 */
    unsigned iterations;
} cs_cmp_mac;

/* An AlgorithmIdentifier (whole DER). algorithm-unsupported: another; algorithm-too-weak: a one-way function below
 * SHA-256, under 100 rounds, a salt under 8 octets; limit-reached: over the limits above. */
CS_MUST_USE cs_status cs_cmp_mac_read(cs_view algorithm, cs_cmp_mac *ret, cs_err *err);
bool cs_cmp_mac_is(cs_view algorithm); /* is it one of a shared secret at all? */
/* What a client proposes: PasswordBasedMac, SHA-256, HMAC-SHA256, 10,000 rounds. */
CS_MUST_USE cs_status cs_cmp_mac_make(const cs_rng *rng, cs_cmp_mac *ret, cs_err *err);
/* The same with a salt of its own. */
CS_MUST_USE cs_status cs_cmp_mac_again(const cs_cmp_mac *as, const cs_rng *rng, cs_cmp_mac *ret, cs_err *err);
bool cs_cmp_mac_put(cs_buf *b, const cs_cmp_mac *mac); /* as AlgorithmIdentifier */
unsigned cs_cmp_mac_work(const cs_cmp_mac *mac);       /* hashes, about */
CS_MUST_USE cs_status cs_cmp_mac_compute(const cs_cmp_mac *mac, cs_view secret, cs_view bytes,
                                         uint8_t ret[CS_CMP_MAC_MAX], size_t *ret_n, cs_err *err);

/* certHash: by the digest of the certificate's own signature (Ed25519: SHA-512), or, algorithm.n > 0, by that one.
 * algorithm-unsupported.                                                                       @rfc 9810#5.3.18 */
CS_MUST_USE cs_status cs_cmp_cert_hash(const cs_cert *cert, cs_view algorithm, uint8_t ret[CS_CMP_HASH_MAX],
                                       size_t *ret_n, cs_err *err);

/* Does `signature` over `bytes` verify under that certificate's key, made as the AlgorithmIdentifier (whole DER) says?
 * algorithm-too-weak, algorithm-unsupported, signature-invalid. Whose certificate it is, is the caller's matter. */
CS_MUST_USE cs_status cs_cmp_signature_check(const cs_cert *signer, cs_view algorithm, cs_view bytes, cs_view signature,
                                             cs_err *err);

#endif
