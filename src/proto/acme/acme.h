/* proto/acme/acme.h - ACME's server (RFC 8555, 8737, 8738, 9773): what lives as long as the authority: nonces, and
 * those who look at challenges. Owner: the authority process; any thread. */
#ifndef CS_PROTO_ACME_H
#define CS_PROTO_ACME_H

#include "enroll/enroll.h"

typedef struct acme acme;
CS_MUST_USE cs_status acme_new(enroll *e, acme **ret, cs_err *err);
/* Waits for the challenges that are being looked at. */
void acme_free(acme *m);
CS_AUTO_DEFINE(acme)

#endif
