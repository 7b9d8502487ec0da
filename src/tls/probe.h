/* tls/probe.h - a handshake as a client that only looks: which certificate and protocol does the server show under a
 * name? Nothing is verified and nothing is sent afterwards. Sans I/O. Owner: one thread. */
#ifndef CS_TLS_PROBE_H
#define CS_TLS_PROBE_H

#include "base/buf.h"

typedef struct tls_probe tls_probe;
/* sni: the name that is asked for; alpn: the one protocol that is offered; NULL: none. */
CS_MUST_USE cs_status tls_probe_new(const char *sni, const char *alpn, tls_probe **ret, cs_err *err);
void tls_probe_free(tls_probe *p);
CS_AUTO_DEFINE(tls_probe)
/* Takes what came and appends what is to be sent. CS_OK: done. CS_AGAIN: more is needed. tls-handshake-failed. */
CS_MUST_USE cs_status tls_probe_turn(tls_probe *p, cs_view in, cs_buf *out, cs_err *err);
/* After CS_OK: the leaf's DER, appended; false: there was none. The protocol agreed upon; n == 0: none. */
bool tls_probe_leaf(const tls_probe *p, cs_buf *der);
cs_view tls_probe_alpn(const tls_probe *p);

#endif
