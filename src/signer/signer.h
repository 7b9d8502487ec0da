/* signer/signer.h - the engine of the process that holds the CAs' keys: reads what it is asked to sign, checks it
 * against its own profiles, writes it into its own journal, then signs. A compromised authority cannot make it sign a
 * CA certificate, leave a profile, use a serial twice, go back with a CRL number, or hide what was signed. Owner: the
 * signer process, one thread. Sees frames, not sockets. */
#ifndef CS_SIGNER_SIGNER_H
#define CS_SIGNER_SIGNER_H

#include "base/clock.h"
#include "ipc/signing.h"
#include "keys/keys.h"
#include "merkle/head.h"
#include "signer/crl.h"
#include "x509/profile.h"

typedef struct signer signer;

typedef struct signer_setup {
    struct {
        cs_key *take_key; /* taken even on failure */
        cs_view pem;      /* its certificate */
        const char *name; /* for errors: the certificate's file */
    } ca[CS_CAS_MAX];
    size_t ca_count;       /* at least one */
    const cs_certs *above; /* borrowed: CAs that stand above these (those among them too), without roots; NULL: none */
    cs_key *take_log_key;  /* Ed25519, for heads of the audit log alone; taken even on failure; NULL: none are signed */
    const char *trust_domain;
    const char *journal_path;
    const cs_profile *profiles; /* borrowed until signer_free; NULL: the built-in ones */
    size_t profile_count;
    const cs_clock *clock;
} signer_setup;

/* key-mismatch, state-corrupt (journal), state-busy, clock-suspect (the clock stands before the last record). */
CS_MUST_USE cs_status signer_new(signer_setup *setup, signer **ret, cs_err *err);
void signer_free(signer *s);
CS_AUTO_DEFINE(signer)

/* Requests are worked off in batches, so that one sync serves many: signer_check each, signer_commit once, then
 * signer_answer each, in the order in which they came. */
typedef struct signer_job {
    uint16_t type;      /* of the request */
    size_t issuer;      /* of the CA that is to sign */
    log_head head;      /* of SIGNING_HEAD */
    cs_view tbs;        /* looks into the request's frame */
    cs_stream *signing; /* of SIGNING_CRL_END: hashed already; signer_answer frees it */
    cs_err why;         /* status CS_OK: will be signed */
} signer_job;

/* crl: the connection's own. */
void signer_check(signer *s, signer_crl *crl, const ipc_frame *request, signer_job *ret);
/* Writes and syncs what was checked. On failure every job of the batch is refused with it. */
CS_MUST_USE cs_status signer_commit(signer *s, signer_job jobs[], size_t n, cs_err *err);
/* Appends the answer; nothing for the beginnings of a list. */
void signer_answer(signer *s, signer_job *job, cs_buf *out);
/* The journal can no longer be trusted: end the process. */
bool signer_broken(const signer *s);

#endif
