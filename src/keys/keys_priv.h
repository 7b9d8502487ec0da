/* keys/keys_priv.h - what the files of this room share. Static rows; nothing is owned. */
#ifndef CS_KEYS_KEYS_PRIV_H
#define CS_KEYS_KEYS_PRIV_H

#include "keys/keys_evp.h"

/* Takes pkey, also on failure; refuses what cs_key_spki_check refuses. */
CS_MUST_USE cs_status cs_key_of_evp(EVP_PKEY *take_pkey, const char *what, cs_key **ret, cs_err *err);

/* What we know of a public key's algorithm; static rows. */
typedef struct cs_key_alg {
    const char *text;       /* "ECDSA P-256" */
    cs_view spki_algorithm; /* AlgorithmIdentifier of the key */
    cs_view spki_head;      /* all of the SPKI that stands before the key's own octets; n == 0: it varies (RSA) */
    size_t spki_len;        /* the whole SPKI; 0: it varies */
    int curve;              /* NID, or 0 */
    cs_view sig_algorithm;  /* AlgorithmIdentifier of its signatures */
    const char *digest;     /* NULL: the algorithm hashes by itself */
    const char *raw;        /* libcrypto's name, of keys that are octets alone; NULL: none */
} cs_key_alg;
/* Does this libcrypto know keys of that type (ML-DSA came with 3.5)? key-unsupported. */
CS_MUST_USE cs_status cs_key_type_there(const char *type, cs_err *err);
/* key-too-weak, key-unsupported: cs_key_spki_check of an RSA key. */
CS_MUST_USE cs_status cs_key_rsa_check(EVP_PKEY *pkey, cs_err *err);
/* Is the key, of an algorithm with a curve, a point of it? */
bool cs_key_point_ok(const cs_key_alg *alg, cs_view spki);

/* cs_key_verify, of a key that was decoded. */
CS_MUST_USE cs_status cs_key_verify_evp(const cs_key_alg *alg, EVP_PKEY *key, cs_view tbs, cs_view signature,
                                        cs_err *err);

/* A key that is not in this process; behind pointers, so that programs without tokens do not link their library. */
typedef struct cs_key_far {
    cs_status (*sign)(void *self, const cs_key_alg *alg, cs_view tbs, cs_buf *signature, cs_err *err);
    /* The same of what alg->digest made of the message; NULL: it wants the message. */
    cs_status (*sign_hash)(void *self, const cs_key_alg *alg, cs_view hash, cs_buf *signature, cs_err *err);
    void (*free)(void *self);
} cs_key_far;
/* Takes `self`, also on failure. */
CS_MUST_USE cs_status cs_key_of_far(const cs_key_far *how, void *take_self, cs_view spki, cs_key **ret, cs_err *err);
/* Of a message that was hashed already, with alg->digest; is that possible? */
bool cs_key_signs_hashes(const cs_key *k, const cs_key_alg *alg);
CS_MUST_USE cs_status cs_key_sign_hash(const cs_key *k, const cs_key_alg *alg, cs_view hash, cs_buf *signature,
                                       cs_err *err);
CS_MUST_USE cs_status cs_key_verify_hash(cs_view spki, const cs_key_alg *alg, cs_view hash, cs_view signature,
                                         cs_err *err);
/* NULL when it is none that we use. */
const cs_key_alg *cs_key_alg_of(cs_view spki);

#endif
