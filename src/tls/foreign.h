/* tls/foreign.h - what a library that makes its own SSL_CTX (libcurl) is to hold to. Nothing is kept. */
#ifndef CS_TLS_FOREIGN_H
#define CS_TLS_FOREIGN_H

#include "base/clock.h"

/* The peer's certificates are judged as of that time instead of the machine's: for a clock that is known to be wrong.
 * False: it could not be set, and nothing may be sent. */
bool tls_foreign_at(void *ssl_ctx, cs_time at);

#endif
