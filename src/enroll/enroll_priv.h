/* enroll_priv.h - what the files of this room share. */
#ifndef CS_ENROLL_PRIV_H
#define CS_ENROLL_PRIV_H

#include <pthread.h>

#include "conf/vendors.h"
#include "enroll/enroll.h"

enum {
    GUARD_SOURCES = 1024, /* addresses remembered; beyond, the oldest is forgotten */
    GUARD_WRONG_MAX = 10, /* wrong credentials from one of them in GUARD_WINDOW */
    WAITING_MAX = 10000,  /* requests that wait at once */
    TOKENS_TRIED = 16,    /* of one name */
    LINEAGE_MAX = 100,    /* certificates put on hold when one forks */
};
#define GUARD_WINDOW CS_MIN

typedef struct guard_row {
    char source[STORE_WORD_MAX + 1];
    cs_time since; /* monotonic */
    unsigned wrong;
} guard_row;

struct enroll {
    authority *a;
    const conf *conf;
    const cs_clock *clock;
    const cs_rng *rng;
    cs_secret *key;        /* of tokens */
    cs_vendors *attestors; /* of TPMs; NULL: there are none */
    cs_vendors *idevids;   /* NULL: there are none */
    pthread_mutex_t guard_lock;
    guard_row *guard; /* GUARD_SOURCES, under guard_lock */
};

/* What a credential entitles to. */
typedef struct entitled {
    cs_identity who;
    char profile[STORE_WORD_MAX + 1];         /* by name */
    char token[STORE_ID_MAX + 1];             /* its id, or STORE_ONCE and what tells a device's credential; "": none */
    bool again;                               /* that one is good for more than one certificate */
    char serial[STORE_DEVICE_SERIAL_MAX + 1]; /* the maker's, "": none: what the device may call itself */
    char credential[STORE_WORD_MAX + 1];      /* for people: "token ID", "certificate SERIAL", "none" */
    cs_cert *parent;                          /* renewed; NULL: none */
    char order[STORE_ID_MAX + 1];             /* of ACME: the names of the request were proven; "": none */
    bool waits;                               /* a person decides first */
    char request[STORE_ID_MAX + 1];           /* by which it was approved; "": none */
} entitled;
void entitled_free(entitled *e);

/* guard.c: too-many-guesses when that address showed too many wrong credentials of late. */
CS_MUST_USE cs_status guard_check(enroll *e, const char *source, cs_err *err);
void guard_wrong(enroll *e, const char *source);

/* token.c */
CS_MUST_USE cs_status token_open(enroll *e, cs_err *err);
CS_MUST_USE cs_status token_entitle(enroll *e, const enroll_ask *ask, entitled *ret, cs_err *err);
/* Adds what SHA-256-sized or shorter bytes are in base32 (RFC 4648, lower case, no padding), NUL-terminated. */
void token_base32(cs_view bytes, char *out);

/* renew.c: the holder of a certificate of ours. csr may be NULL: not known. */
CS_MUST_USE cs_status renew_entitle(enroll *e, const cs_cert *cert, const cs_csr *csr, entitled *ret, cs_err *err);
/* Everything of the lineage goes on hold: somebody has a copy of its key. */
void renew_forked(enroll *e, const cs_cert *parent, const authority_who *by);

/* hint.c: what a window's conditions are about; of a row whose der and tags are still there. */
typedef struct hint_about {
    const store_cert *row;
    const char *key_type; /* static; "": none of ours */
    char tags[(STORE_TAG_MAX + 1) * STORE_TAGS_MAX + 1];
} hint_about;
void hint_look(const store_cert *row, hint_about *ret);
bool hint_fits(const store_window *w, const hint_about *about);
/* vendor.c: the holder of a vendor's certificate. */
CS_MUST_USE cs_status vendor_entitle(enroll *e, const enroll_ask *ask, entitled *ret, cs_err *err);
/* revoked: the device's newest certificate was. */
CS_MUST_USE cs_status vendor_check_revoked(enroll *e, const char *name, cs_err *err);
/* A device whose key is on the list. *ret_there: it is, and err, if any, counts. */
CS_MUST_USE cs_status vendor_listed_key(enroll *e, const enroll_ask *ask, const cs_csr *csr, entitled *ret,
                                        bool *ret_there, cs_err *err);

/* request.c: looks the request up or adds it. *ret_go: it was approved, to be issued now. */
CS_MUST_USE cs_status request_wait(enroll *e, const enroll_ask *ask, const cs_csr *csr, entitled *who,
                                   enroll_answer *ret, bool *ret_go, cs_err *err);
/* It was issued; when this is lost, the next poll finds the same certificate. */
void request_mark_issued(enroll *e, const char *id, const char *serial);

/* submit.c: issues what someone is entitled to. */
conf_approval submit_approval(const enroll *e, const enroll_ask *ask, cs_kind kind);
CS_MUST_USE cs_status submit_issue(enroll *e, const entitled *who, const cs_csr *csr, const authority_who *by,
                                   enroll_answer *ret, cs_err *err);
/* Names beside the identity's own, as a certificate or a request has them; their texts go into b. */
CS_MUST_USE cs_status submit_names(const cs_san *sans, size_t n, issue_ask *ask, cs_buf *b, cs_err *err);
CS_MUST_USE cs_status submit_fits(const entitled *who, const cs_csr *csr, cs_err *err);
/* The profile of that name (NULL or "": the kind's own) and kind; its name goes to ret. profile-unknown. */
CS_MUST_USE cs_status submit_profile(const enroll *e, cs_kind kind, const char *profile, char ret[STORE_WORD_MAX + 1],
                                     cs_err *err);

#endif
