/* proto/est/est_msg.h - EST's messages (RFC 7030, RFC 8951): bytes in, bytes out. Nothing is kept; any thread. */
#ifndef CS_PROTO_EST_MSG_H
#define CS_PROTO_EST_MSG_H

#include "keys/keys.h"
#include "x509/cert.h"

typedef enum est_op {
    EST_CACERTS,
    EST_CSRATTRS,
    EST_SIMPLEENROLL,
    EST_SIMPLEREENROLL,
    EST_SERVERKEYGEN,
    EST_FULLCMC,
} est_op;
enum { EST_LABEL_MAX = 64 };
/* What follows "/.well-known/est/": OPERATION or LABEL/OPERATION. route-unknown. */
CS_MUST_USE cs_status est_path_read(cs_view rest, est_op *ret, char label[EST_LABEL_MAX + 1], cs_err *err);

/* A request's body as DER or PEM, appended to der: base64 of DER whatever the transfer encoding says (RFC 8951 3.1),
 * and, for people with curl, DER or PEM as they are. csr-malformed. */
CS_MUST_USE cs_status est_csr_read(cs_view body, cs_buf *der, cs_err *err);

/* Authorization: Basic. user and password look into decoded, a cs_buf_secret. False: it is none. */
bool est_basic_read(cs_view header, cs_buf *decoded, cs_view *ret_user, cs_view *ret_password);

/* base64 in one line (RFC 8951 2.1), of which strongSwan reads no more, or in `lines` of 64 characters, without which
 * libest reads nothing. */
bool est_base64_add(cs_buf *b, cs_view der, bool lines);
/* A certs-only answer: base64 of a degenerate SignedData.                                             @rfc 5652#5.1 */
CS_MUST_USE cs_status est_certs_add(cs_buf *b, const cs_cert *const certs[], size_t n, bool lines, cs_err *err);
/* CsrAttrs: which key and signature are wanted; bound: and a channel binding (RFC 7030 3.5). @rfc 8951#3.2 */
CS_MUST_USE cs_status est_csrattrs_add(cs_buf *b, bool bound, bool lines, cs_err *err);

#endif
