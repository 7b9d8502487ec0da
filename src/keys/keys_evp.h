/* keys/keys_evp.h - a key as libcrypto sees it, for the rooms of this floor that hand it on (x509, tls).
 * Ownership and threads as keys.h. */
#ifndef CS_KEYS_KEYS_EVP_H
#define CS_KEYS_KEYS_EVP_H

#include "keys/keys.h"

#include <openssl/evp.h>

/* Borrowed; lives as long as the key (a holder that must live longer takes EVP_PKEY_up_ref). */
EVP_PKEY *cs_key_evp(const cs_key *k);

/* A SubjectPublicKeyInfo, whole, as a key of the caller's; NULL when libcrypto does not know it. It is not judged
 * (cs_key_spki_check). libcrypto's error queue is left as it was. */
EVP_PKEY *cs_key_public_evp(cs_view spki);

/* Empties libcrypto's error queue; its last words in out. */
const char *cs_ossl_words(char out[128]);

#endif
