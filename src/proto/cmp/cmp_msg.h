/* proto/cmp/cmp_msg.h - CMP's messages: bytes in, bytes out, for door and client half.  @rfc 9810#5  @rfc 9483
 * Strict DER. Views look into the message that was read, which the caller keeps. Nothing is kept; any thread. */
#ifndef CS_PROTO_CMP_MSG_H
#define CS_PROTO_CMP_MSG_H

#include "keys/keys.h"
#include "x509/cmp.h"
#include "x509/der_write.h"

enum {
    CMP_MESSAGE_MAX = 64 * 1024,  /* a request with a chain of RSA certificates has 8 KiB */
    CMP_ANSWER_MAX = 1024 * 1024, /* with CRLs, for clients */
    CMP_EXTRA_MAX = 16,           /* certificates that go along */
    CMP_ID_MAX = 32,              /* octets of transactionID and of nonces; 16 is usual */
    CMP_ID = 16,                  /* ours */
    CMP_INFO_MAX = 16,            /* items of general information */
    CMP_TEXT_MAX = 256,
};
#define CMP_TYPE "application/pkixcmp"

typedef enum cmp_body { /* tags of PKIBody */
                        CMP_IR = 0,
                        CMP_IP = 1,
                        CMP_CR = 2,
                        CMP_CP = 3,
                        CMP_P10CR = 4,
                        CMP_KUR = 7,
                        CMP_KUP = 8,
                        CMP_RR = 11,
                        CMP_RP = 12,
                        CMP_PKICONF = 19,
                        CMP_NESTED = 20,
                        CMP_GENM = 21,
                        CMP_GENP = 22,
                        CMP_ERROR = 23,
                        CMP_CERTCONF = 24,
                        CMP_POLLREQ = 25,
                        CMP_POLLREP = 26,
} cmp_body;

enum { /* PKIStatus */
       CMP_ACCEPTED = 0,
       CMP_GRANTED_WITH_MODS = 1,
       CMP_REJECTION = 2,
       CMP_WAITING = 3
};

enum { /* PKIFailureInfo's bits */
       CMP_BAD_ALG = 1 << 0,
       CMP_BAD_MESSAGE_CHECK = 1 << 1,
       CMP_BAD_REQUEST = 1 << 2,
       CMP_BAD_CERT_ID = 1 << 4,
       CMP_BAD_DATA_FORMAT = 1 << 5,
       CMP_BAD_POP = 1 << 9,
       CMP_CERT_REVOKED = 1 << 10,
       CMP_CERT_CONFIRMED = 1 << 11,
       CMP_WRONG_INTEGRITY = 1 << 12,
       CMP_BAD_RECIPIENT_NONCE = 1 << 13,
       CMP_UNACCEPTED_POLICY = 1 << 15,
       CMP_BAD_SENDER_NONCE = 1 << 18,
       CMP_BAD_CERT_TEMPLATE = 1 << 19,
       CMP_SIGNER_NOT_TRUSTED = 1 << 20,
       CMP_TRANSACTION_IN_USE = 1 << 21,
       CMP_UNSUPPORTED_VERSION = 1 << 22,
       CMP_NOT_AUTHORIZED = 1 << 23,
       CMP_SYSTEM_UNAVAIL = 1 << 24,
       CMP_SYSTEM_FAILURE = 1 << 25
};

/* ---- read: cmp_read.c ---- */
typedef struct cmp_header {
    unsigned pvno;
    cs_view sender;         /* the Name (DER) of a directoryName; n == 0: it is something else */
    cs_view protection_alg; /* AlgorithmIdentifier, whole; n == 0: unprotected */
    cs_view sender_kid, transaction, sender_nonce, recip_nonce; /* n == 0: absent */
    bool implicit_confirm;
    cs_view profile;       /* the first certProfile */
    uint64_t confirm_wait; /* not read */
} cmp_header;

typedef struct cmp_message {
    cmp_header h;
    cmp_body body;
    cs_view content;    /* the body's one element, whole */
    cs_view covered;    /* header and body: what the protection covers, without a SEQUENCE around it */
    cs_view protection; /* n == 0: none */
    cs_certs extra;     /* in their order */
} cmp_message;
void cmp_message_free(cmp_message *m);
/* message-malformed names field and rule; limit-reached over CMP_EXTRA_MAX; what breaks the header's own rules, such as
 * a version that is not spoken, is left to the caller. */
CS_MUST_USE cs_status cmp_read(cs_view der, cmp_message *ret, cs_err *err);
/* The octets that are signed or MACed. */
CS_MUST_USE cs_status cmp_covered(const cmp_message *m, cs_buf *b, cs_err *err);

/* ir, cr, kur, p10cr: the one request in it. */
typedef struct cmp_request {
    long id;                        /* certReqId; -1 for p10cr */
    cs_view csr;                    /* CertReqMsg or PKCS#10, whole: cs_csr_read takes both */
    cs_view old_issuer, old_serial; /* oldCertId: Name, INTEGER contents; n == 0: none */
} cmp_request;
CS_MUST_USE cs_status cmp_request_read(const cmp_message *m, cmp_request *ret, cs_err *err);

typedef struct cmp_confirm {
    long id;
    cs_view hash, hash_alg; /* hash_alg.n == 0: the certificate's own */
    bool accepted;
} cmp_confirm;
/* None in it (count 0) is a rejection of all. */
CS_MUST_USE cs_status cmp_confirm_read(const cmp_message *m, cmp_confirm *ret, bool *ret_any, cs_err *err);
CS_MUST_USE cs_status cmp_poll_read(const cmp_message *m, long *ret_id, cs_err *err);

typedef struct cmp_revocation {
    cs_view issuer, serial; /* Name, INTEGER contents */
    int reason;             /* CRLReason; 0 when none is said */
} cmp_revocation;
CS_MUST_USE cs_status cmp_revocation_read(const cmp_message *m, cmp_revocation *ret, cs_err *err);

typedef struct cmp_info {
    cs_view oid, value; /* value: whole element; n == 0: none */
} cmp_info;
CS_MUST_USE cs_status cmp_infos_read(const cmp_message *m, cmp_info ret[CMP_INFO_MAX], size_t *ret_n, cs_err *err);

/* Of an answer: PKIStatusInfo. */
typedef struct cmp_status {
    int status;
    unsigned failure;        /* CMP_BAD_... */
    char text[CMP_TEXT_MAX]; /* as it came, cut */
} cmp_status;
typedef struct cmp_answer {
    long id;
    cmp_status is;
    cs_view cert;    /* DER; n == 0: none */
    cs_view ca_pubs; /* contents of the SEQUENCE OF */
} cmp_answer;
CS_MUST_USE cs_status cmp_answer_read(const cmp_message *m, cmp_answer *ret, cs_err *err);     /* ip, cp, kup */
CS_MUST_USE cs_status cmp_error_read(const cmp_message *m, cmp_status *ret, cs_err *err);      /* error */
CS_MUST_USE cs_status cmp_wait_read(const cmp_message *m, uint64_t *ret_seconds, cs_err *err); /* pollRep */
/* Appends each certificate of a SEQUENCE OF's contents. */
CS_MUST_USE cs_status cmp_certs_read(cs_view contents, cs_certs *bag, cs_err *err);

/* ---- written: cmp_write.c ---- */
typedef struct cmp_head {
    unsigned pvno;
    cs_view sender, recipient;                                  /* Names; n == 0: the empty one */
    cs_view sender_kid, transaction, sender_nonce, recip_nonce; /* n == 0: left out */
    cs_time time;
    bool implicit_confirm;
    unsigned confirm_wait; /* seconds from time; 0: left out */
    const char *profile;   /* NULL: left out */
} cmp_head;

/* How a message is protected: by a key, else by a secret, else not at all. */
typedef struct cmp_protector {
    const cs_key *key;
    const cs_cmp_mac *mac; /* with secret */
    cs_view secret;
} cmp_protector;

/* PKIMessage, appended to b; body: tag and content. extra: certificates that go along. */
CS_MUST_USE cs_status cmp_seal(const cmp_head *head, cmp_body body, cs_view content, const cmp_protector *by,
                               const cs_cert *const extra[], size_t extra_n, cs_buf *b, cs_err *err);

void cmp_put_long(cs_buf *b, long v);                     /* INTEGER, also negative */
void cmp_put_status(cs_buf *b, const cmp_status *status); /* PKIStatusInfo */
/* CertRepMessage. leaf NULL: none. roots: caPubs. */
void cmp_put_answer(cs_buf *b, long id, const cmp_status *status, const cs_cert *leaf, const cs_cert *const roots[],
                    size_t root_n);
/* Which bits tell a client of that reason. */
unsigned cmp_failure_of(cs_reason reason);

#endif
