/* ipc/signing.h - the wall between authority and signer: what may be asked of the process that holds the CA key. */
#ifndef CS_IPC_SIGNING_H
#define CS_IPC_SIGNING_H

#include "base/limits.h"
#include "ipc/ipc.h"

enum {
    SIGNING_HELLO = 1,  /* nothing -> ISSUER */
    SIGNING_ISSUER = 2, /* for each CA whose key it holds: vec32 DER of its certificate, u64 highest CRL number */
    SIGNING_CERT = 3,   /* 32 octets issuer, u8 kind, vec32 TBSCertificate, vec16 profile, its 32-octet digest -> SIGNED
                           or REFUSED */
    /* A TBSCertList in pieces: 32 octets issuer, and what stands before the first entry; any number of PART,
     * of whole entries; END: what stands behind the last -> SIGNED of the signature's octets, or REFUSED. Only END is
     * answered; others may be asked between. */
    SIGNING_CRL = 4,
    SIGNING_CRL_PART = 8,
    SIGNING_CRL_END = 9,
    SIGNING_SIGNED = 5,   /* vec32 DER */
    SIGNING_REFUSED = 6,  /* vec16 reason's name, vec16 detail */
    SIGNING_LOG_KEY = 20, /* nothing -> SIGNED of u64 size of the last head, vec16 SPKI, vec16 claim (signer/heads.h) */
    SIGNING_HEAD = 21,    /* u64 size, 32 octets root, consistency proof -> SIGNED of a note, or REFUSED */
    /* 32 octets issuer, 16 octets serial, u64 notBefore, u64 notAfter, vec16 SPKI, vec32 TBSCertificate of the OCSP
     * responder that these make -> SIGNED or REFUSED */
    SIGNING_RESPONDER = 7,
    SIGNING_RA = 22, /* likewise, of who answers in SCEP and CMP */
};

/* An issuer is named by the SHA-256 of its SubjectPublicKeyInfo. */
enum { SIGNING_ISSUER_LEN = 32 };

extern const ipc_rule signing_from_authority[], signing_from_signer[];

/* What a profile's name and digest add to a request. */
enum { SIGNING_PROFILE_MAX = 2 + 64 + 32 };

enum { SIGNING_PART_MAX = 48 * 1024 }; /* of a list */

/* Requests that the authority sends before it reads the first answer; answers come in order. */
enum { SIGNING_PIPELINE = 64 };

#endif
