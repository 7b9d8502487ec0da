/* x509/p12.h - a key with its certificates as PKCS#12 (RFC 7292), for browsers and phones.
 * Nothing is kept; any thread. The password alone protects the file where old KDFs are used: make it with
 * cs_password_draw. */
#ifndef CS_X509_P12_H
#define CS_X509_P12_H

#include "base/rng.h"
#include "keys/keys.h"
#include "x509/cert.h"

typedef enum cs_p12_form {
    CS_P12_COMPAT, /* PBE-SHA1-3DES and a SHA-1 MAC: imports everywhere, also on macOS, iOS and old Windows */
    CS_P12_MODERN, /* PBES2 AES-256-CBC, PBKDF2-HMAC-SHA256 of 600,000 rounds, a SHA-256 MAC */
} cs_p12_form;

enum { CS_P12_PASSWORD_MIN = 20 };

/* DER, appended to b. chain: what stands between leaf and root, any order (may hold the root; may be NULL).
 * friendly_name: UTF-8, shown by browsers. The localKeyID ties key and leaf. key-mismatch when key is not leaf's;
 * passphrase-too-short under CS_PASSPHRASE_MIN (modern) or CS_P12_PASSWORD_MIN (compat) octets. */
CS_MUST_USE cs_status cs_p12_make(const cs_key *key, const cs_cert *leaf, const cs_certs *chain,
                                  const char *friendly_name, const cs_secret *password, cs_p12_form form, cs_buf *b,
                                  cs_err *err);

/* Does the DER begin as a PFX? */
bool cs_looks_p12(cs_view der);
/* Every certificate of it, flaws noted, appended to the bag, the one of its key first; the key is not opened.
 * passphrase-wrong; file-malformed; file-wrong-type: holds none; limit-reached over CS_P12_ROUNDS_MAX, before any is
 * spent. */
CS_MUST_USE cs_status cs_p12_certs_read(cs_view der, const cs_secret *password, const char *what, cs_certs *bag,
                                        cs_err *err);
/* The first private key of it. As cs_p12_certs_read; file-wrong-type: holds none. */
CS_MUST_USE cs_status cs_p12_key_read(cs_view der, const cs_secret *password, const char *what, cs_key **ret,
                                      cs_err *err);

/* "k7qm-...": 24 characters of 119 bits in six groups of four, without those that are mistaken for each other. */
CS_MUST_USE cs_status cs_password_draw(const cs_rng *rng, cs_secret **ret, cs_err *err);

#endif
