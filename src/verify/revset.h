/* verify/revset.h - which serials are revoked, by issuer key: the index that every handshake asks.
 * Immutable and counted: build new, swap, the old dies with its last user. Any thread may look up.
 * Bound: about 26 bytes an entry (16-byte serials) however many issuers there are. */
#ifndef CS_VERIFY_REVSET_H
#define CS_VERIFY_REVSET_H

#include "base/buf.h"
#include "base/clock.h"

typedef struct cs_revset cs_revset;

typedef struct cs_revoked {
    uint8_t issuer[32]; /* SHA-256 of the issuer's SubjectPublicKeyInfo */
    cs_view serial;     /* INTEGER contents; a leading zero octet makes no difference */
    cs_time at;
    int reason; /* CRLReason, RFC 5280 5.3.1; 6 = hold */
} cs_revoked;

/* From entries in any order; of doubles the last wins. Copies. */
CS_MUST_USE cs_status cs_revset_build(const cs_revoked *entries, size_t n, cs_revset **ret, cs_err *err);
/* base plus changes (reason 8 = removeFromCRL takes one out) in a new set; base is borrowed and may be NULL. */
CS_MUST_USE cs_status cs_revset_apply(const cs_revset *base, const cs_revoked *changes, size_t n, cs_revset **ret,
                                      cs_err *err);
cs_revset *cs_revset_ref(const cs_revset *s);
void cs_revset_free(cs_revset *s);
CS_AUTO_DEFINE(cs_revset)

/* True when the serial of that issuer is revoked; *ret_reason (may be NULL) is then its CRLReason. */
bool cs_revset_has(const cs_revset *s, const uint8_t issuer_spki_sha256[32], cs_view serial, int *ret_reason);
size_t cs_revset_count(const cs_revset *s);

#endif
