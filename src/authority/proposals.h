/* authority/proposals.h - the two-person rule: what one administrator asks for, another one decides on. Any thread. */
#ifndef CS_AUTHORITY_PROPOSALS_H
#define CS_AUTHORITY_PROPOSALS_H

#include "authority/authority.h"

#define PROPOSAL_LIFE (7 * CS_DAY) /* then nobody can approve it, nor use a permit */

/* Is two_person configured for that (CONF_TWO_...)? */
bool proposal_needed(const authority *a, unsigned what);
/* A request (method, path, body) to be carried out on approval. */
CS_MUST_USE cs_status proposal_add(authority *a, const char *method, const char *what, cs_view body,
                                   const authority_who *by, uint64_t *ret_id, cs_err *err);
/* May it be done now? A permit of that name that was approved is used up; else it is proposed, or waits already:
 * *ret_id is its number, and *ret_permitted false. */
CS_MUST_USE cs_status proposal_permit(authority *a, const char *what, const authority_who *by, bool *ret_permitted,
                                      uint64_t *ret_id, cs_err *err);
/* The same within a change. */
CS_MUST_USE cs_status proposal_permit_within(authority *a, store *st, const char *what, const authority_who *by,
                                             bool *ret_permitted, uint64_t *ret_id, cs_err *err);
/* By another than the proposer, who is known by a certificate. proposal-unknown, proposal-decided, approval-by-another.
 * *ret: as it is now; its body is appended to `body`. */
CS_MUST_USE cs_status proposal_decide(authority *a, uint64_t id, bool approve, const authority_who *by,
                                      store_proposal *ret, cs_buf *body, cs_err *err);

#endif
