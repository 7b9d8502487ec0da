/* cli/ceremony.h - the making of a root and an issuing CA in the state folder,
 * whole or not at all. Runs in a process of its own, so that no other ever
 * holds the root's key; any number at once (one wins). */
#ifndef CS_CLI_CEREMONY_H
#define CS_CLI_CEREMONY_H

#include "base/clock.h"
#include "base/rng.h"
#include "keys/keys.h"
#include "x509/cert.h"

typedef struct ceremony_ask {
    const char *state;        /* the state folder; made when missing */
    const char *organization; /* names the CAs */
    const char *trust_domain, *public_url;
    cs_key_spec spec;
    const cs_secret *passphrase; /* encrypts the root's key */
    const cs_clock *clock;
    const cs_rng *rng;
} ceremony_ask;

/* Leaves STATE/ca/{root.crt,root.key,root.crl,issuing.crt,issuing.key,ca.json},
 * made under another name and renamed once all is there and synced. What a
 * killed ceremony left behind is removed first. state-exists when there is one
 * already; state-busy; passphrase-too-short; the reasons of io/files.h. */
CS_MUST_USE cs_status ceremony_run(const ceremony_ask *ask, cs_err *err);

/* Another root, which takes over from one that is there: its key and its certificate, both the caller's. Of ask:
 * organization, spec, clock, rng. */
CS_MUST_USE cs_status ceremony_make_root(const ceremony_ask *ask, cs_key **ret_key, cs_cert **ret_cert, cs_err *err);

/* ceremony_run in a child process, for a caller that lives on. */
CS_MUST_USE cs_status ceremony_apart(const ceremony_ask *ask, cs_err *err);

/* state-exists when there is an authority, whole or not: asked before a passphrase is. */
CS_MUST_USE cs_status ceremony_refuse(const char *state, cs_err *err);

/* Is there an authority in that folder, with all that its processes need? state-missing when there is none at all;
 * state-corrupt naming the file that is missing, empty or no certificate of it (the root's key may be elsewhere). */
CS_MUST_USE cs_status ceremony_check(const char *state, cs_err *err);

#endif
