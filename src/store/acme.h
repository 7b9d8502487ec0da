/* store/acme.h - verbs of ACME: accounts, orders, authorizations (RFC 8555 7.1). Ownership and threads as store.h.
 * State is bounded by what expires: store_acme_purge goes with each new order. */
#ifndef CS_STORE_ACME_H
#define CS_STORE_ACME_H

#include "store/store.h"

enum {
    STORE_ACME_SPKI_MAX = 1200,
    STORE_THUMBPRINT = 43,
    STORE_CONTACT_MAX = 1024,
    STORE_PROBLEM_MAX = 768,
    STORE_IDENTIFIER_MAX = 255,
};

typedef struct store_account {
    char id[STORE_ID_MAX + 1], thumbprint[STORE_THUMBPRINT + 1];
    uint8_t spki[STORE_ACME_SPKI_MAX];
    size_t spki_n;
    bool deactivated;
    char contact[STORE_CONTACT_MAX + 1]; /* a JSON array */
    char token[STORE_ID_MAX + 1];        /* "": none; then kind is CS_KIND_OTHER */
    cs_kind kind;
    char name[CS_IDENTITY_NAME_MAX + 1], profile[STORE_WORD_MAX + 1];
    cs_time created;
} store_account;
/* account-key-in-use. */
CS_MUST_USE cs_status store_account_add(store *st, const store_account *a, cs_err *err);
/* account-unknown. */
CS_MUST_USE cs_status store_account_get(store *st, const char *id, store_account *ret, cs_err *err);
CS_MUST_USE cs_status store_account_by_key(store *st, const char *thumbprint, store_account *ret, cs_err *err);
CS_MUST_USE cs_status store_account_set(store *st, const char *id, const char *contact, bool deactivated, cs_err *err);
/* account-key-in-use. */
CS_MUST_USE cs_status store_account_key_set(store *st, const char *id, const char *thumbprint, cs_view spki,
                                            cs_err *err);
/* Accounts that no token bound. */
CS_MUST_USE cs_status store_account_count(store *st, uint64_t *ret, cs_err *err);

typedef enum store_order_status { ORDER_PENDING, ORDER_WAITS, ORDER_VALID, ORDER_INVALID } store_order_status;
typedef struct store_order {
    char id[STORE_ID_MAX + 1], account[STORE_ID_MAX + 1];
    store_order_status status;
    char profile[STORE_WORD_MAX + 1];
    cs_time created, expires;
    char replaces[STORE_SERIAL_TEXT], request[STORE_ID_MAX + 1], serial[STORE_SERIAL_TEXT];
    char error[STORE_PROBLEM_MAX + 1]; /* a problem document */
    uint64_t unproven, failed;         /* of its authorizations; read only */
} store_order;
typedef enum store_authz_status { AUTHZ_PENDING, AUTHZ_VALID, AUTHZ_INVALID, AUTHZ_DEACTIVATED } store_authz_status;
typedef struct store_authz {
    char id[STORE_ID_MAX + 1], order[STORE_ID_MAX + 1];
    uint64_t position;
    char type[STORE_WORD_MAX + 1], value[STORE_IDENTIFIER_MAX + 1];
    bool wildcard;
    store_authz_status status;
    char token[STORE_WORD_MAX + 1], challenge[STORE_WORD_MAX + 1];
    cs_time started, validated;
    char error[STORE_PROBLEM_MAX + 1];
    bool attested;
    uint8_t attested_spki[32];      /* of which key a TPM has said so */
    char account[STORE_ID_MAX + 1]; /* read only, of its order; like expires */
    cs_time expires;
} store_authz;

/* already-replaced. */
CS_MUST_USE cs_status store_order_add(store *st, const store_order *o, cs_err *err);
CS_MUST_USE cs_status store_authz_add(store *st, const store_authz *z, cs_err *err);
/* order-unknown. */
CS_MUST_USE cs_status store_order_get(store *st, const char *id, store_order *ret, cs_err *err);
CS_MUST_USE cs_status store_authz_get(store *st, const char *id, store_authz *ret, cs_err *err);
/* By which a certificate was issued; order-unknown. */
CS_MUST_USE cs_status store_order_by_serial(store *st, const char *serial, store_order *ret, cs_err *err);
typedef cs_status store_authz_seen(void *cls, const store_authz *z, cs_err *err);
CS_MUST_USE cs_status store_authz_list(store *st, const char *order, store_authz_seen *seen, void *cls, cs_err *err);
/* Oldest first; after: the id behind which to go on, or NULL. */
typedef cs_status store_order_seen(void *cls, const char *id, cs_err *err);
CS_MUST_USE cs_status store_order_list(store *st, const char *account, const char *after, unsigned limit,
                                       store_order_seen *seen, void *cls, cs_err *err);
/* How many of an account are pending or wait. */
CS_MUST_USE cs_status store_order_count(store *st, const char *account, cs_time now, uint64_t *ret, cs_err *err);
/* Status, request, serial, expires, error. order-not-ready when it is valid or invalid already. */
CS_MUST_USE cs_status store_order_set(store *st, const store_order *o, cs_err *err);
/* Status, challenge, started, validated, error; only of one that is still pending (or, to be deactivated, valid).
 * order-not-ready. */
CS_MUST_USE cs_status store_authz_set(store *st, const store_authz *z, cs_err *err);
/* How many valid authorizations an account has for that name. */
CS_MUST_USE cs_status store_authz_count(store *st, const char *account, const char *type, const char *value,
                                        bool wildcard, cs_time now, uint64_t *ret, cs_err *err);
/* Drops what has expired, a bounded number at a time. */
CS_MUST_USE cs_status store_acme_purge(store *st, cs_time now, cs_err *err);

/* False: it was used before. Forgets those of before `gone`. */
CS_MUST_USE cs_status store_nonce_use(store *st, const char *nonce, cs_time now, cs_time gone, bool *ret_fresh,
                                      cs_err *err);

#endif
