/* authority/rollover.h - a CA takes over from another, in stages. What is decided here is one stage more or less; the
 * files of ca/ are moved by whoever owns them (cli/rollover.c), on each node. Any thread. */
#ifndef CS_AUTHORITY_ROLLOVER_H
#define CS_AUTHORITY_ROLLOVER_H

#include "authority/authority.h"
#include "store/rollovers.h"

enum { ROLLOVER_CAS_MAX = CAS_MAX };

/* "issuing", "root"; "made", "published", ... */
const char *rollover_kind_name(rollover_kind kind);
const char *rollover_stage_name(rollover_stage stage);
/* False: there is none of that name. */
bool rollover_stage_parse(cs_view text, rollover_stage *ret);

/* Records what was made and waits in ca/next; r->id comes back. rollover-open when there is another. */
CS_MUST_USE cs_status rollover_begin(authority *a, store_rollover *r, const store_rollover_ca cas[], size_t n,
                                     const authority_who *by, cs_err *err);

typedef struct rollover_ask {
    uint64_t id;
    rollover_stage to; /* the next stage, or the one before */
    bool supersede;    /* revoke what is left of identities that have renewed (to ROLLOVER_RETIRED) */
    const char *force; /* the words that a refusal has named: go on all the same; NULL: no */
    const authority_who *by;
} rollover_ask;
/* rollover-none, rollover-stage, rollover-blocked (saying who, and which words force it). */
CS_MUST_USE cs_status rollover_step(authority *a, const rollover_ask *ask, store_rollover *ret, cs_err *err);

/* Whoever holds that certificate, if it is one of ours, was just given all CA certificates (EST cacerts and the like):
 * counts for a roll-over that is under way. Failures are logged; a client's request is not to fail for it. */
void rollover_told(authority *a, const cs_cert *client);

/* Does the next CA publish its list here? A root's was signed with it. */
bool rollover_lists(authority *a, const store_rollover *r);
/* The nodes that are alive, within a reading of the store. */
CS_MUST_USE cs_status rollover_nodes(authority *a, store *st, const store_rollover *r, store_node_seen *seen, void *cls,
                                     cs_err *err);

#endif
