/* signer/serials.h - every serial number that was ever signed, to tell a second use. Open addressing, 16 bytes a
 * slot, at most two thirds full; hashed under a key of this process, so that nobody can choose serials that collide. */
#ifndef CS_SIGNER_SERIALS_H
#define CS_SIGNER_SERIALS_H

#include "base/rng.h"
#include "x509/profile.h"

typedef struct serials {
    uint8_t (*slot)[CS_SERIAL_LEN]; /* all zero: free (no serial begins with 0) */
    size_t n, cap;                  /* cap: a power of two */
    uint64_t key[2];
} serials;

CS_MUST_USE cs_status serials_init(serials *s, const cs_rng *rng, cs_err *err);
void serials_free(serials *s);
bool serials_has(const serials *s, const uint8_t serial[CS_SERIAL_LEN]);
CS_MUST_USE cs_status serials_add(serials *s, const uint8_t serial[CS_SERIAL_LEN], cs_err *err);

#endif
