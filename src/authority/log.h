/* authority/log.h - the audit log as it is shown: its newest signed head, and proofs for strangers. Any thread. */
#ifndef CS_AUTHORITY_LOG_H
#define CS_AUTHORITY_LOG_H

#include "authority/authority.h"
#include "merkle/head.h"

enum { LOG_CLAIM_MAX = CS_SIGNATURE_MAX };

/* The log's key, and the issuing CA's signature over head_key_claim_add. signer-unreachable: not known yet. */
CS_MUST_USE cs_status log_key(authority *a, head_key *ret, uint8_t claim[LOG_CLAIM_MAX], size_t *ret_n, cs_err *err);
/* Signs a head now, if the log has grown since the last. */
CS_MUST_USE cs_status log_head_now(authority *a, cs_err *err);

typedef struct log_proof {
    uint64_t sequence, size;
    cs_buf record, note; /* log_proof_free */
    merkle_proof path;
} log_proof;
void log_proof_free(log_proof *p);
/* That the issuance of that certificate is in the log under the newest head (one is made if need be).
 * certificate-unknown: the log has none of that serial. */
CS_MUST_USE cs_status log_prove(authority *a, const char *serial, log_proof *ret, cs_err *err);

#endif
