/* store/rollovers.h - a CA that takes over from another, in stages, and who still hangs on the old one. Owner, threads
 * and transactions as store.h. */
#ifndef CS_STORE_ROLLOVERS_H
#define CS_STORE_ROLLOVERS_H

#include "store/store.h"

typedef enum rollover_kind { ROLLOVER_ISSUING = 1, ROLLOVER_ROOT = 2 } rollover_kind;
typedef enum rollover_stage {
    ROLLOVER_GIVEN_UP = 0,
    ROLLOVER_MADE = 1,      /* the next CA has its key and certificates; nobody sees them */
    ROLLOVER_PUBLISHED = 2, /* they stand beside the old ones; the old CA issues */
    ROLLOVER_SWITCHED = 3,  /* the next one issues; what is of the old one drains */
    ROLLOVER_RETIRED = 4,   /* the old one has gone */
} rollover_stage;
enum { STORE_CA_NAME = 33, STORE_HOST_MAX = 64 };

typedef struct store_rollover {
    uint64_t id; /* 0: there is none */
    rollover_kind kind;
    rollover_stage stage;
    char old_ca[STORE_CA_NAME], next_ca[STORE_CA_NAME];
    uint8_t next_issuer[32], published_mark[32], switched_mark[32];
    cs_time started, changed, published, switched; /* 0: not yet */
    char started_by[CS_IDENTITY_NAME_MAX + 16];
} store_rollover;
static inline bool store_rollover_open(const store_rollover *r) {
    return r->id != 0 && r->stage != ROLLOVER_GIVEN_UP && r->stage != ROLLOVER_RETIRED;
}

typedef struct store_rollover_ca {
    uint8_t issuer[32];
    char name[STORE_CA_NAME];
} store_rollover_ca;

/* Sets the id. */
CS_MUST_USE cs_status store_rollover_add(store *st, store_rollover *r, const store_rollover_ca cas[], size_t n,
                                         cs_err *err);
/* The newest; id 0: there was never one. */
CS_MUST_USE cs_status store_rollover_last(store *st, store_rollover *ret, cs_err *err);
typedef cs_status store_rollover_seen(void *cls, const store_rollover *r, cs_err *err);
/* The newest 100. */
CS_MUST_USE cs_status store_rollover_list(store *st, store_rollover_seen *seen, void *cls, cs_err *err);
typedef cs_status store_rollover_ca_seen(void *cls, const store_rollover_ca *ca, cs_err *err);
CS_MUST_USE cs_status store_rollover_cas(store *st, uint64_t id, store_rollover_ca_seen *seen, void *cls, cs_err *err);
CS_MUST_USE cs_status store_rollover_stage_set(store *st, uint64_t id, rollover_stage to, cs_time at, cs_err *err);
/* That identity has fetched the CA certificates; *ret_new false: it was known. */
CS_MUST_USE cs_status store_rollover_told(store *st, uint64_t id, cs_kind kind, const char *name, cs_time at,
                                          bool *ret_new, cs_err *err);

/* Is it known already? */
CS_MUST_USE cs_status store_rollover_knows(store *st, uint64_t id, cs_kind kind, const char *name, bool *ret,
                                           cs_err *err);

/* An identity with valid certificates. Of the old: by a CA of the roll-over, and for a root not issued since the
 * switch. */
typedef struct store_clinging {
    cs_kind kind;
    char name[CS_IDENTITY_NAME_MAX + 1];
    int64_t old_n, next_n;
    cs_time not_after; /* of the last of the old */
    cs_time told;      /* when it fetched the CA certificates; 0: not that we know */
} store_clinging;
typedef cs_status store_clinging_seen(void *cls, const store_clinging *c, cs_err *err);
/* Those with certificates of the old, by name; after_kind and after_name NULL: from the first. */
CS_MUST_USE cs_status store_clinging_list(store *st, const store_rollover *r, cs_time now, const char *after_kind,
                                          const char *after_name, unsigned limit, store_clinging_seen *seen, void *cls,
                                          cs_err *err);
typedef struct store_clinging_counts {
    int64_t old, told, both, moved; /* identities: old ones alone; of these those that were told; old and new; new */
    int64_t certificates;           /* of the old */
    cs_time last;                   /* the end of the last of these */
} store_clinging_counts;
CS_MUST_USE cs_status store_clinging_count(store *st, const store_rollover *r, cs_time now, store_clinging_counts *ret,
                                           cs_err *err);
/* Is that one of the old, and valid? */
CS_MUST_USE cs_status store_is_of_old(store *st, const store_rollover *r, cs_time now, const char *serial, bool *ret,
                                      cs_err *err);
/* Certificates of the old whose identities have one of the new. */
CS_MUST_USE cs_status store_leftovers(store *st, const store_rollover *r, cs_time now, unsigned limit,
                                      store_serial_seen *seen, void *cls, cs_err *err);

/* ---- nodes ---- */
typedef struct store_node_ca {
    uint8_t sha256[32];
    bool issues;
} store_node_ca;
/* What this node (store_node_set) serves; nodes that are gone are forgotten. */
CS_MUST_USE cs_status store_node_cas_set(store *st, const char *host, const store_node_ca cas[], size_t n, cs_err *err);
typedef struct store_node_state {
    char host[STORE_HOST_MAX + 1];
    bool own, published, switched;
} store_node_state;
typedef cs_status store_node_seen(void *cls, const store_node_state *n, cs_err *err);
/* The nodes that are alive, and how far each has come. */
CS_MUST_USE cs_status store_node_list(store *st, uint32_t own, const store_rollover *r, store_node_seen *seen,
                                      void *cls, cs_err *err);

#endif
