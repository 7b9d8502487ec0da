/* proto/cmp/cmp_door.h - one exchange at CMP's door, as its files see it. Owner: the thread of the connection. */
#ifndef CS_PROTO_CMP_DOOR_H
#define CS_PROTO_CMP_DOOR_H

#include "proto/cmp/cmp_desk.h"
#include "proto/rest/rest_priv.h"

typedef enum cmp_how { CMP_BY_NOBODY, CMP_BY_SECRET, CMP_BY_CERTIFICATE } cmp_how;

typedef struct cmp_exchange {
    rest_call *c;
    cmp_message in;
    enroll_ask at; /* the door, as the configuration has it, and the profile that path or message name */
    char label[CS_PROFILE_NAME_MAX + 1], profile[CS_PROFILE_NAME_MAX + 1];
    /* Who protected it, once that is proven. */
    cmp_how how;
    const cs_cert *signer;
    char token[STORE_ID_MAX + 1], name[CMP_TEXT_MAX + 1];
    cs_cmp_mac mac;
    cs_buf secret; /* of the token: the answer is MACed by it */
    uint8_t who[32];
    /* The answer. */
    cmp_body body;
    cs_buf content;
    uint8_t nonce[CMP_ID];
    bool implicit, confirm;
    cs_cert *leaf; /* issued; a reference */
    struct enroll_trace *trace;
} cmp_exchange;

/* cmp_caller.c: who protected the message? Nobody, when it has no protection. token-invalid, signature-invalid,
 * algorithm-*, certificate-required; recorded. */
CS_MUST_USE cs_status cmp_caller(cmp_exchange *x, cs_err *err);
void cmp_ask_of(const cmp_exchange *x, enroll_ask *ret); /* credential, door, address, profile */

/* cmp_info.c: genm's answer. */
CS_MUST_USE cs_status cmp_info_answer(cmp_exchange *x, cs_err *err);

/* cmp_answer.c: seals body and content: as the request was protected, by the RA where it was not by a secret. */
CS_MUST_USE cs_status cmp_answer_seal(cmp_exchange *x, cs_err *err);
void cmp_answer_error(cmp_exchange *x, const cs_err *why); /* body and content: error */
void cmp_status_of(const cs_err *why, cmp_status *ret);    /* rejection */

#endif
