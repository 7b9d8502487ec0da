/* proto/est/est_keygen.h - keys that the server makes, and how they come to the client: plain, since TLS protects them,
 * or sealed as well, to a public key that the client named.                                          @rfc 7030#4.4
 * Owner: the request; one thread. */
#ifndef CS_PROTO_EST_KEYGEN_H
#define CS_PROTO_EST_KEYGEN_H

#include "authority/authority.h"
#include "keys/keys.h"
#include "x509/csr.h"

enum { EST_KEY_ID_MAX = 64 };
typedef struct est_keygen {
    cs_key *key;
    cs_buf to;     /* SubjectPublicKeyInfo to which it is sealed; n == 0: it goes plain */
    cs_buf key_id; /* by which the client named that */
} est_keygen;
void est_keygen_free(est_keygen *k);
/* Makes a key of the kind that the request's own is of, and a request with it for the same names, instead of the one in
 * csr_der. A request that names a key to seal to is understood, or refused: client is the certificate that it was asked
 * with, NULL: none. decrypt-key-unknown. */
CS_MUST_USE cs_status est_keygen_make(const cs_csr *asked, const cs_cert *client, cs_buf *csr_der, est_keygen *ret,
                                      cs_err *err);
/* The answer's two parts: the key and the certificate. b must be a cs_buf_secret; a: who signs what is sealed. */
#define EST_BOUNDARY "countersign-est-boundary-6f1d"
CS_MUST_USE cs_status est_keygen_add(cs_buf *b, authority *a, const est_keygen *k, const cs_cert *leaf, bool lines,
                                     cs_err *err);

#endif
