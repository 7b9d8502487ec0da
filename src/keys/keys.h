/* keys/keys.h - private keys: made, read, written, used; and which public keys are good enough to be certified.
 * Owner: whoever made it (cs_key_free wipes it). A cs_key is immutable: any thread may use it.
 * This room knows nothing of certificates; it sees SubjectPublicKeyInfo. It opens no files. */
#ifndef CS_KEYS_KEYS_H
#define CS_KEYS_KEYS_H

#include "base/buf.h"
#include "base/limits.h"
#include "base/secret.h"

typedef struct cs_key cs_key;
void cs_key_free(cs_key *k);
CS_AUTO_DEFINE(cs_key)

/* ---- made ---- */
typedef enum cs_key_spec {
    CS_KEYSPEC_ECDSA_P256 = 0, /* the default */
    CS_KEYSPEC_ECDSA_P384,
    CS_KEYSPEC_ED25519,
    CS_KEYSPEC_RSA_2048,
    CS_KEYSPEC_RSA_3072,
    CS_KEYSPEC_RSA_4096,
    CS_KEYSPEC_ML_DSA_44, /* FIPS 204; with OpenSSL 3.5 and later */
    CS_KEYSPEC_ML_DSA_65,
    CS_KEYSPEC_ML_DSA_87,
    CS_KEYSPEC_COUNT
} cs_key_spec;

const char *cs_key_spec_name(cs_key_spec spec); /* "ecdsa-p256", ... */
/* usage, naming the choices, when it is none. */
CS_MUST_USE cs_status cs_key_spec_parse(cs_view text, cs_key_spec *ret, cs_err *err);
/* Is that public key of one of these kinds? */
bool cs_key_spec_of(cs_view spki, cs_key_spec *ret);
/* Randomness is libcrypto's own generator. RSA 4096 takes about a second. key-unsupported: this OpenSSL has no such
 * keys. */
CS_MUST_USE cs_status cs_key_generate(cs_key_spec spec, cs_key **ret, cs_err *err);

/* ---- read and written ---- */
/* The one private key of a PEM text: PKCS#8 (plain or encrypted) or the traditional RSA and EC forms.
 *   what        names the source in errors: usually the file's path
 *   passphrase  NULL: none is at hand
 * file-empty; file-wrong-type (says what it holds: a certificate, a request, DER, ...); key-malformed;
 * passphrase-needed; passphrase-wrong; key-too-weak and key-unsupported as cs_key_spki_check. */
CS_MUST_USE cs_status cs_key_read_pem(cs_view text, const cs_secret *passphrase, const char *what, cs_key **ret,
                                      cs_err *err);
/* PKCS#8 PEM, appended. b must be a cs_buf_secret (internal-error otherwise). */
CS_MUST_USE cs_status cs_key_write_pem(const cs_key *k, cs_buf *b, cs_err *err);
/* Encrypted PKCS#8: PBES2 with AES-256-CBC and PBKDF2-HMAC-SHA256 of 600,000 rounds. passphrase-too-short under
 * CS_PASSPHRASE_MIN characters. */
CS_MUST_USE cs_status cs_key_write_pem_encrypted(const cs_key *k, const cs_secret *passphrase, cs_buf *b, cs_err *err);
/* PrivateKeyInfo DER (PKCS#8), for containers. b must be a cs_buf_secret. */
CS_MUST_USE cs_status cs_key_write_der(const cs_key *k, cs_buf *b, cs_err *err);

/* ---- used ---- */
/* SubjectPublicKeyInfo DER; lives as long as the key. */
cs_view cs_key_spki(const cs_key *k);
/* The AlgorithmIdentifier (DER, static) with which that key signs: ECDSA P-256 with SHA-256, P-384 with SHA-384, P-521
 * with SHA-512, RSA PKCS#1 v1.5 with SHA-256, Ed25519. key-unsupported for any other. */
CS_MUST_USE cs_status cs_key_algorithm(cs_view spki, cs_view *ret, cs_err *err);
/* Signs tbs with cs_key_algorithm of its own SPKI; appends the octets that belong into the BIT STRING. */
CS_MUST_USE cs_status cs_key_sign(const cs_key *k, cs_view tbs, cs_buf *signature, cs_err *err);
/* Is `signature` over `tbs` good under spki with exactly cs_key_algorithm(spki)? signature-invalid. */
CS_MUST_USE cs_status cs_key_verify(cs_view spki, cs_view tbs, cs_view signature, cs_err *err);
/* Does the key belong to that SubjectPublicKeyInfo (a certificate's spki)? key-mismatch naming `what`. */
CS_MUST_USE cs_status cs_key_match(const cs_key *k, cs_view spki, const char *what, cs_err *err);

/* ---- judged ---- */
/* May this public key be certified? key-too-weak: RSA under CS_RSA_BITS_MIN, exponent even or under 65537, close
 * primes (Fermat), a factor under 752, ROCA. key-unsupported: RSA over CS_RSA_BITS_MAX, curves other than P-256, P-384,
 * P-521, explicit curve parameters, other algorithms. key-malformed: not DER, not in the one canonical form, a point
 * off the curve. */
CS_MUST_USE cs_status cs_key_spki_check(cs_view spki, cs_err *err);
/* The SPKI of an uncompressed point, or of 32 octets of Ed25519, appended; false for any other. It is not judged. */
bool cs_key_alg_spki(cs_view octets, cs_buf *spki);
/* For people: "ECDSA P-256", "RSA 3072", "Ed25519", "unknown". */
enum { CS_KEY_TEXT_MAX = 32 };
const char *cs_key_spki_text(cs_view spki, char out[CS_KEY_TEXT_MAX]);

#endif
