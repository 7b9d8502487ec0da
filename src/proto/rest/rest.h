/* proto/rest/rest.h - the authority's HTTP: requests in, verbs of authority/ out. Decides nothing itself.
 * Two doors on inherited unix listeners: control (the operator's JSON API; the peer must be our user or root) and
 * public (what a gateway forwards: CA certificates, CRLs and health for anybody, the API for administrators). One
 * thread a connection, bounded. */
#ifndef CS_PROTO_REST_REST_H
#define CS_PROTO_REST_REST_H

#include "enroll/enroll.h"

typedef struct rest rest;

CS_MUST_USE cs_status rest_start(authority *a, enroll *e, int control_fd, int public_fd, rest **ret, cs_err *err);
/* Stops accepting, finishes the requests under way. */
void rest_stop(rest *r);

#endif
