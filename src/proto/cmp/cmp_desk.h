/* proto/cmp/cmp_desk.h - transactions of CMP that are not over: a certificate that is to be confirmed, a request that
 * waits for a person. Owner: the door; any thread. One that is taken is nobody else's until it is put back; what has
 * ended is swept. Bound: CMP_TRANSACTIONS_MAX, of whoever was let in; beyond it new ones are refused.
 * In memory alone: after a restart a client begins again and gets the same certificate. */
#ifndef CS_PROTO_CMP_DESK_H
#define CS_PROTO_CMP_DESK_H

#include "enroll/enroll.h"
#include "proto/cmp/cmp_msg.h"

enum { CMP_TRANSACTIONS_MAX = 4096, CMP_CONFIRM_SECONDS = 300 };
#define CMP_POLL_LIFE CS_DAY

typedef enum cmp_state { CMP_TO_CONFIRM, CMP_CONFIRMED, CMP_TO_APPROVE } cmp_state;

typedef struct cmp_transaction {
    uint8_t id[CMP_ID_MAX];
    size_t id_n;
    uint8_t who[32];       /* of the credential that began it */
    uint8_t nonce[CMP_ID]; /* our last */
    cmp_state state;
    cmp_body answer; /* ip, cp or kup */
    long request_id;
    bool implicit;                  /* no confirmation is wanted */
    uint8_t spki_sha256[32];        /* of the key */
    char request[STORE_ID_MAX + 1]; /* that waits */
    cs_cert *leaf;                  /* that is to be confirmed; a reference */
    cs_time ends;                   /* monotonic */
} cmp_transaction;
void cmp_transaction_free(cmp_transaction *t);
CS_AUTO_DEFINE(cmp_transaction)

typedef struct cmp_desk cmp_desk;
CS_MUST_USE cs_status cmp_desk_new(const cs_clock *clock, cmp_desk **ret, cs_err *err);
void cmp_desk_free(cmp_desk *d);
CS_AUTO_DEFINE(cmp_desk)

/* limit-reached: the desk is full. */
CS_MUST_USE cs_status cmp_desk_put(cmp_desk *d, cmp_transaction *take, cs_err *err);
/* The caller's; NULL: there is none of that id. */
cmp_transaction *cmp_desk_take(cmp_desk *d, cs_view id);
/* One whose time is over; NULL: none. */
cmp_transaction *cmp_desk_ended(cmp_desk *d);

#endif
