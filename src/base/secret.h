/* base/secret.h - bytes that must not outlive their use: pinned in memory, kept out of core dumps, wiped.
 * A cs_secret is owned by its holder, is never copied implicitly and has no printf form. */
#ifndef CS_BASE_SECRET_H
#define CS_BASE_SECRET_H

#include "base/err.h"
#include "base/view.h"

/* Overwrites; never optimised away. */
void cs_wipe(void *p, size_t n);

typedef struct cs_secret {
    uint8_t *p;
    size_t n;   /* used */
    size_t cap; /* mapped */
} cs_secret;

/* A locked mapping of at least `n` bytes, zeroed. Locking may fail for want of a limit: not an error, since the
 * mapping is excluded from dumps all the same. */
cs_status cs_secret_new(size_t n, cs_secret **ret, cs_err *err);
void cs_secret_free(cs_secret *s); /* wipes; NULL is fine */
CS_AUTO_DEFINE(cs_secret)
static inline cs_view cs_secret_view(const cs_secret *s) {
    return (cs_view){s->p, s->n};
}

/* No core dumps, no ptrace by others of this user: called first thing by every process that holds a key. */
void cs_process_guard(void);

#endif
