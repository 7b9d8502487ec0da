/* x509/pem.h - DER as PEM text (RFC 7468): 64 characters a line, LF. Appends; the buffer is the caller's. */
#ifndef CS_X509_PEM_H
#define CS_X509_PEM_H

#include "x509/cert.h"

#define CS_PEM_CERT "CERTIFICATE"
#define CS_PEM_CRL "X509 CRL"
#define CS_PEM_CSR "CERTIFICATE REQUEST"

bool cs_pem_add(cs_buf *b, const char *label, cs_view der);
/* Only the lines between, of a piece: a multiple of 48 octets, but for the last. */
bool cs_pem_add_lines(cs_buf *b, cs_view piece);
static inline bool cs_pem_add_cert(cs_buf *b, const cs_cert *c) {
    return cs_pem_add(b, CS_PEM_CERT, c->der);
}

/* The first block of that label in a PEM text, or the text itself when it is DER already, appended to b. `what` names
 * the source. file-empty, file-malformed; file-wrong-type when it holds no such block. */
CS_MUST_USE cs_status cs_pem_to_der(cs_view text, const char *label, const char *what, cs_buf *b, cs_err *err);

#endif
