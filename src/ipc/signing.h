/* ipc/signing.h - the wall between authority and signer: what may be asked of the process that holds the CA key. */
#ifndef CS_IPC_SIGNING_H
#define CS_IPC_SIGNING_H

#include "base/limits.h"
#include "ipc/ipc.h"

enum {
    SIGNING_HELLO = 1,   /* nothing -> ISSUER */
    SIGNING_ISSUER = 2,  /* vec32 DER of the CA certificate, u64 highest CRL number signed */
    SIGNING_CERT = 3,    /* u8 kind, vec32 TBSCertificate -> SIGNED or REFUSED */
    SIGNING_CRL = 4,     /* vec32 TBSCertList -> SIGNED or REFUSED */
    SIGNING_SIGNED = 5,  /* vec32 DER */
    SIGNING_REFUSED = 6, /* vec16 reason's name, vec16 detail */
};

extern const ipc_rule signing_from_authority[], signing_from_signer[];

/* Requests that the authority sends before it reads the first answer; answers come in order. */
enum { SIGNING_PIPELINE = 64 };

#endif
