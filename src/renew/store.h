/* renew/store.h - what the agent keeps of an identity, on disk: STATE/NAME/, 0700, with two slots and the state.
 *
 *   a/ b/        key.pem (0600), ca.pem, cert.pem: leaf first; cert.pem comes last, so that a slot that has one is
 * whole current      a symbolic link to the slot in use: programs may be pointed at current/cert.pem and
 * current/key.pem state.json   renew_state, replaced in one step
 *
 * Owner: the agent; one thread; one process (renew_store_lock). */
#ifndef CS_RENEW_STORE_H
#define CS_RENEW_STORE_H

#include "io/files.h"
#include "keys/keys.h"
#include "renew/conf.h"
#include "renew/step.h"
#include "x509/cert.h"

typedef struct renew_facts {
    bool whole;                     /* key and certificate are there and match */
    uint64_t key_stamp, cert_stamp; /* of which files */
    renew_life life;
    char serial[2 * CS_SERIAL_MAX + 1];
    char why[RENEW_DETAIL_MAX]; /* when not whole though there is something */
} renew_facts;

typedef struct renew_store {
    char dir[FILES_PATH_MAX];
    renew_facts facts[RENEW_SLOTS]; /* as they were read last */
} renew_store;

/* One agent a state folder: state-busy. The lock goes with the descriptor. */
CS_MUST_USE cs_status renew_store_lock(const char *state, int *ret_fd, cs_err *err);
/* Makes the folders that are missing, unless read_only, and removes leftovers. */
CS_MUST_USE cs_status renew_store_open(const char *state, const char *name, bool read_only, renew_store *ret,
                                       cs_err *err);

/* "key.pem", "cert.pem", "ca.pem" of a slot. */
CS_MUST_USE cs_status renew_store_path(const renew_store *st, int slot, const char *file, char out[FILES_PATH_MAX],
                                       cs_err *err);
/* What is known of a slot, read again when its files changed. */
const renew_facts *renew_store_facts(renew_store *st, int slot);
/* A slot's pair. certs and ca may be NULL: not wanted. */
CS_MUST_USE cs_status renew_store_key(const renew_store *st, int slot, cs_key **ret, cs_err *err);
CS_MUST_USE cs_status renew_store_certs(const renew_store *st, int slot, const char *file, cs_certs *bag, cs_err *err);
/* The slot's key: the one that waits there for its certificate, or `made` put there. */
CS_MUST_USE cs_status renew_store_put_key(const renew_store *st, int slot, const cs_key *made, cs_err *err);
bool renew_store_has_key(const renew_store *st, int slot);
CS_MUST_USE cs_status renew_store_put_certs(const renew_store *st, int slot, cs_view cert_pem, cs_view ca_pem,
                                            cs_err *err);
void renew_store_forget(renew_store *st, int slot);
/* The link `current`. */
CS_MUST_USE cs_status renew_store_point(const renew_store *st, int slot, cs_err *err);

/* state.json. CS_REFUSED/state-corrupt: it is there and cannot be read; it is kept as state.json.bad.
 * file-not-found: there is none. */
CS_MUST_USE cs_status renew_store_load(const renew_store *st, bool read_only, renew_state *ret, cs_err *err);
CS_MUST_USE cs_status renew_store_save(const renew_store *st, const renew_state *s, cs_err *err);
/* The text of state.json, and back. state-corrupt. */
void renew_state_write(const renew_state *s, cs_buf *b);
CS_MUST_USE cs_status renew_state_read(cs_view text, renew_state *ret, cs_err *err);

#endif
