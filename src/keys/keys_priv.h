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
} cs_key_alg;
/* NULL when it is none that we use. */
const cs_key_alg *cs_key_alg_of(cs_view spki);

#endif
