/* verify/cache.h - was this certificate found good a moment ago, and is it still? What makes a returning device cost
 * its signature and nothing else. Owner: one thread (the gateway's worker has its own); no locks. Only acceptances are
 * kept: a refusal may be mended by the next chain that the peer sends, an acceptance cannot be undone by it. Bound: the
 * number of entries given at the start, of 320 bytes each; the oldest of four gives way. */
#ifndef CS_VERIFY_CACHE_H
#define CS_VERIFY_CACHE_H

#include "verify/verify.h"

typedef struct cs_cache cs_cache;
/* entries: rounded up to a power of two, at least 64. */
CS_MUST_USE cs_status cs_cache_new(size_t entries, cs_cache **ret, cs_err *err);
void cs_cache_free(cs_cache *c);
CS_AUTO_DEFINE(cs_cache)

/* True: accepted for that purpose under that generation of trust (count it up whenever anchors, CRLs or policy change),
 * and still good: every validity of its path, and the next update of the CRLs it needed, includes `now`, and `revset`
 * (NULL: none; may be newer than the one it was verified with) lists no certificate of the path. False: ask cs_verify,
 * and on acceptance cs_cache_put. */
bool cs_cache_good(cs_cache *c, const uint8_t leaf_sha256[32], cs_purpose purpose, uint64_t generation, cs_time now,
                   const cs_revset *revset);
/* Keeps an accepted verdict that was asked without names; anything else, and a path over 6 certificates, is not kept.
 */
void cs_cache_put(cs_cache *c, cs_purpose purpose, uint64_t generation, const cs_verdict *v);
size_t cs_cache_hits(const cs_cache *c);
size_t cs_cache_misses(const cs_cache *c);

#endif
