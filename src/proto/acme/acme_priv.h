/* acme_priv.h - one request of ACME on its way through this folder. */
#ifndef CS_PROTO_ACME_PRIV_H
#define CS_PROTO_ACME_PRIV_H

#include <pthread.h>

#include "proto/acme/acme.h"
#include "proto/acme/identifier.h"
#include "proto/acme/jws.h"
#include "proto/rest/rest_priv.h"

enum {
    ACME_LABEL_MAX = 64,
    ACME_URL_MAX = 512,
    ACME_ORDERS_WAITING_MAX = 300, /* of one account */
    ACME_ORDERS_PAGE = 100,
    NONCE_TEXT = 48,          /* characters */
    NONCE_WINDOW = 64 * 1024, /* nonces behind the newest that are still good, where one node answers */
    LOOKERS = 32,             /* challenges that are looked at at once */
    LOOKS_QUEUED_MAX = 4096,
};
#define ACME_NONCE_LIFE CS_HOUR
#define ACME_ORDER_LIFE (7 * CS_DAY)
#define ACME_LOOK_AGAIN (60 * CS_SEC) /* after which a challenge that nobody seems to look at is looked at again */
#define ACME_ASK_AGAIN (6 * CS_HOUR)  /* for a renewal window */

typedef struct look look;

struct acme {
    authority *a;
    enroll *e;
    const conf *conf;
    const cs_clock *clock;
    const cs_rng *rng;
    char fetcher[CONF_PATH_MAX];
    bool shared; /* other nodes answer too */
    /* nonces: under lock */
    pthread_mutex_t lock;
    uint8_t nonce_key[32];
    uint32_t node;       /* drawn at the start: nonces of before are not of this window */
    uint64_t nonce_next; /* counter of the next; the window ends before it */
    uint64_t used[NONCE_WINDOW / 64];
    /* challenges to be looked at: under queue_lock */
    pthread_mutex_t queue_lock;
    pthread_cond_t queue_grew;
    look *first, *last;
    unsigned queued;
    bool stopping;
    pthread_t lookers[LOOKERS];
    unsigned looker_count;
};

/* nonce.c: a new one, NUL-terminated. */
CS_MUST_USE cs_status nonce_make(acme *m, char out[NONCE_TEXT + 1], cs_err *err);
/* Is it one of ours, and young? Then it may be used, once: nonce-invalid. */
CS_MUST_USE cs_status nonce_check(acme *m, const char *text, cs_err *err);
CS_MUST_USE cs_status nonce_use(acme *m, const char *text, cs_err *err);

/* validate.c */
CS_MUST_USE cs_status lookers_start(acme *m, cs_err *err);
void lookers_stop(acme *m);
/* Has the challenge of that authorization looked at; too-many-orders when too many wait. */
CS_MUST_USE cs_status look_later(acme *m, const store_authz *z, const char *thumbprint, cs_err *err);

/* One request. */
typedef struct acme_call {
    rest_call *c;
    acme *m;
    enroll_ask at;                             /* door, profile and policy of the path */
    char label[ACME_LABEL_MAX + 1];            /* "": none */
    char base[ACME_URL_MAX];                   /* "https://ca.example/acme" with the label */
    const char *what;                          /* the resource: "new-order" */
    char id[STORE_SERIAL_TEXT + 128], sub[64]; /* what follows it in the path */
    jws j;
    jws_key key;           /* of jwk */
    store_account account; /* of kid */
    bool csr;              /* a refusal of a key is about the request's */
    authority_who who;
    struct enroll_trace *trace;
} acme_call;

typedef cs_status acme_handler(acme_call *x, cs_err *err);
acme_handler acme_new_account, acme_account, acme_account_orders, acme_key_change;
acme_handler acme_new_order, acme_order, acme_finalize, acme_certificate;
acme_handler acme_authz, acme_challenge;
acme_handler acme_revoke, acme_renewal_info;

/* problem.c: the answer to a refusal. */
void acme_refuse(acme_call *x, const cs_err *err);
/* A problem document for an order or challenge, as text; cut to STORE_PROBLEM_MAX. */
void acme_problem_text(const cs_err *err, bool csr, char out[STORE_PROBLEM_MAX + 1]);

/* The payload as an object; message-malformed. Empty (POST-as-GET) where `may_lack`: then *ret is NULL. */
CS_MUST_USE cs_status acme_payload(acme_call *x, bool may_lack, json_t **ret, cs_err *err);
/* POST-as-GET and nothing else. */
CS_MUST_USE cs_status acme_only_get(const acme_call *x, cs_err *err);
/* 26 letters and digits that nobody guesses. */
CS_MUST_USE cs_status acme_draw_id(acme *m, char out[STORE_ID_MAX + 1], cs_err *err);
void acme_location(acme_call *x, const char *what, const char *id);

/* attest.c: what a TPM says, judged and recorded in z and the store. payload NULL: nothing is asked. */
CS_MUST_USE cs_status acme_attest(acme_call *x, store_authz *z, const json_t *payload, cs_err *err);

/* order.c */
/* An account is as good as the token that bound it: token-invalid when that was revoked. */
CS_MUST_USE cs_status acme_account_check(const acme_call *x, store *st, cs_err *err);
/* An order of the caller's account; order-unknown. */
CS_MUST_USE cs_status acme_order_get(acme_call *x, const char *id, store_order *ret, cs_err *err);
CS_MUST_USE cs_status acme_order_put(acme_call *x, const store_order *o, cs_err *err);
/* "pending", "ready", "processing", "valid", "invalid" */
const char *acme_order_state(const store_order *o, cs_time now);
/* The order's identifiers, in its order; n of at most IDENTIFIERS_MAX. */
CS_MUST_USE cs_status acme_order_identifiers(acme_call *x, const char *order, identifier at[IDENTIFIERS_MAX],
                                             size_t *ret_n, cs_err *err);
/* By which profile is it issued? borrowed of the configuration. */
CS_MUST_USE cs_status acme_order_profile(const acme_call *x, cs_kind kind, const char *said, const cs_profile **ret,
                                         cs_err *err);
/* finalize.c: it was issued, or waits, by what enroll answered. */
CS_MUST_USE cs_status acme_order_settle(acme_call *x, store_order *o, const enroll_answer *answer, cs_err *err);

#endif
