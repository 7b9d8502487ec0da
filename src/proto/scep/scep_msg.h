/* proto/scep/scep_msg.h - SCEP's messages (RFC 8894), from either side: bytes in, bytes out. Nothing is kept; any
 * thread. A message is a SignedData with SCEP's attributes over an EnvelopedData; what is inside depends on its type.
 */
#ifndef CS_PROTO_SCEP_MSG_H
#define CS_PROTO_SCEP_MSG_H

#include "x509/cms_message.h"
#include "x509/csr.h"

/* By what the RFC calls them, and no others: whatever else is read is SCEP_NO_TYPE. */
typedef enum scep_type {
    SCEP_NO_TYPE = 0,
    SCEP_CERT_REP = 3,
    SCEP_RENEWAL_REQ = 17,
    SCEP_PKCS_REQ = 19,
    SCEP_CERT_POLL = 20,
    SCEP_GET_CERT = 21,
    SCEP_GET_CRL = 22,
} scep_type;
const char *scep_type_name(scep_type type);
typedef enum scep_status { SCEP_SUCCESS = 0, SCEP_FAILURE = 2, SCEP_PENDING = 3 } scep_status;
typedef enum scep_fail {
    SCEP_BAD_ALG = 0,
    SCEP_BAD_MESSAGE_CHECK = 1,
    SCEP_BAD_REQUEST = 2,
    SCEP_BAD_TIME = 3,
    SCEP_BAD_CERT_ID = 4,
} scep_fail;
const char *scep_fail_name(scep_fail fail);

enum { SCEP_NONCE_LEN = 16, SCEP_TRANSACTION_MAX = 128, SCEP_LABEL_MAX = 64, SCEP_TEXT_MAX = 200 };
#define SCEP_MEDIA "application/x-pki-message"

typedef struct scep_msg {
    cs_cms_signed cms; /* its content is the envelope */
    scep_type type;
    char transaction[SCEP_TRANSACTION_MAX + 1];
    bool has_sender_nonce, has_recipient_nonce;
    uint8_t sender_nonce[SCEP_NONCE_LEN], recipient_nonce[SCEP_NONCE_LEN];
    /* of a CertRep */
    scep_status status;
    bool has_fail;
    scep_fail fail;
    char fail_text[SCEP_TEXT_MAX + 1]; /* failInfoText; "": none */
} scep_msg;
void scep_msg_free(scep_msg *m);
/* Reads and verifies it. *ret is the caller's to free, and is filled as far as it was read, also when it is refused:
 * who asked can be told so. signature-invalid, algorithm-too-weak and the like, message-malformed: an attribute is
 * missing, doubled or not of its form. */
CS_MUST_USE cs_status scep_msg_read(cs_view ber, bool weak, scep_msg *ret, cs_err *err);

/* What is said around the content of a message that is made. */
typedef struct scep_say {
    scep_type type;
    const char *transaction;
    const uint8_t *sender_nonce, *recipient_nonce; /* SCEP_NONCE_LEN; NULL: left out */
    scep_status status;                            /* of a CertRep, as what follows */
    scep_fail fail;
    const char *fail_text;  /* NULL: none */
    const cs_view *content; /* the envelope; NULL: none */
    const cs_key *key;
    const cs_cert *signer;
    const cs_cert *const *more; /* certificates beside the signer's */
    size_t more_count;
    cs_cms_digest digest;
} scep_say;
CS_MUST_USE cs_status scep_msg_make(const scep_say *say, cs_buf *out, cs_err *err);

/* ---- what is inside ---- */
/* IssuerAndSubject: views into der. message-malformed. @rfc 8894#3.3.3 */
CS_MUST_USE cs_status scep_issuer_subject_read(cs_view der, cs_view *ret_issuer, cs_view *ret_subject, cs_err *err);
void scep_issuer_subject_put(cs_buf *b, cs_view issuer, cs_view subject);
/* IssuerAndSerialNumber; serial: contents of the INTEGER. */
CS_MUST_USE cs_status scep_issuer_serial_read(cs_view der, cs_view *ret_issuer, cs_view *ret_serial, cs_err *err);

/* ---- HTTP ---- */
typedef enum scep_op {
    SCEP_OP_CAPS,
    SCEP_OP_CACERT,
    SCEP_OP_NEXT_CACERT,
    SCEP_OP_PKI,
} scep_op;
/* By the word of `operation`, whatever its case; "" stands for PKIOperation. operation-unsupported. */
CS_MUST_USE cs_status scep_op_read(cs_view text, scep_op *ret, cs_err *err);
/* What follows "/scep": "", "/LABEL", either with "/pkiclient.exe" behind it, as many devices add. route-unknown. */
CS_MUST_USE cs_status scep_path_read(cs_view rest, char label[SCEP_LABEL_MAX + 1], cs_err *err);
/* The value of `message` as the query's decoder left it ('+' has become a space), as DER. message-malformed. */
CS_MUST_USE cs_status scep_query_read(cs_view text, cs_buf *der, cs_err *err);

/* What the other side can, as GetCACaps tells it. */
typedef enum scep_cap {
    SCEP_CAP_AES = 1 << 0,
    SCEP_CAP_3DES = 1 << 1,
    SCEP_CAP_POST = 1 << 2,
    SCEP_CAP_RENEWAL = 1 << 3,
    SCEP_CAP_SHA1 = 1 << 4,
    SCEP_CAP_SHA256 = 1 << 5,
    SCEP_CAP_SHA512 = 1 << 6,
    SCEP_CAP_NEXT_CA = 1 << 7,
    SCEP_CAP_STANDARD = 1 << 8, /* AES, POST, SHA-256 */
    SCEP_CAP_SHA384 = 1 << 9,   /* none of the RFC's; strongSwan 5.9 goes on with nothing else */
} scep_cap;
bool scep_caps_put(cs_buf *b, unsigned caps);
unsigned scep_caps_read(cs_view text);

#endif
