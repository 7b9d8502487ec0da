/* keys/known.h - keys that others know: lists of them, as distributions and researchers publish. Built once, then
 * immutable: any thread may ask. */
#ifndef CS_KEYS_KNOWN_H
#define CS_KEYS_KNOWN_H

#include "base/err.h"
#include "base/view.h"

typedef struct cs_known_keys cs_known_keys;
cs_known_keys *cs_known_keys_new(void); /* NULL: no memory */
void cs_known_keys_free(cs_known_keys *k);
CS_AUTO_DEFINE(cs_known_keys)

/* Adds the lines of a list; empty ones and those that begin with # are none. 20 hex digits: as in the package
 * openssl-blacklist, the last 20 of SHA-1 over "Modulus=", the RSA modulus in upper-case hex, line feed. 64 hex digits:
 * SHA-256 of a SubjectPublicKeyInfo, for any type of key. file-malformed naming the line. */
CS_MUST_USE cs_status cs_known_keys_add(cs_known_keys *k, cs_view text, const char *name, cs_err *err);
/* After the last list, before the first question. */
void cs_known_keys_sort(cs_known_keys *k);
size_t cs_known_keys_count(const cs_known_keys *k);

/* key-weak-known when it is on one of them. k may be NULL: there are none. */
CS_MUST_USE cs_status cs_known_keys_check(const cs_known_keys *k, cs_view spki, const uint8_t spki_sha256[32],
                                          cs_err *err);

#endif
