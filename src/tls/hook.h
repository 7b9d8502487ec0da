/* tls/hook.h - the judgement of verify/ within TLS contexts that are another program's.
 * Owner: a context keeps what it needs of the plan, and frees it with itself. Any thread that may use the context. */
#ifndef CS_TLS_HOOK_H
#define CS_TLS_HOOK_H

#include "base/clock.h"
#include "verify/verify.h"

struct ssl_ctx_st;
struct ssl_st;

typedef struct tls_hook_plan { /* the counted ones get a reference */
    cs_anchors *anchors;
    cs_crls *crls; /* NULL: none */
    cs_pins *pins; /* NULL: none */
    bool require_revocation;
    const cs_clock *clock; /* borrowed for the context's life */
} tls_hook_plan;

/* From here on the context's peers are judged so: servers must be who the connection expects (its X509_VERIFY_PARAM),
 * and one that expects nobody is refused. Sessions are not kept: a resumed one would not be judged. */
CS_MUST_USE cs_status tls_hook_install(const tls_hook_plan *plan, struct ssl_ctx_st *ctx, cs_err *err);
/* Why the connection's peer was refused; CS_OK: it was not. */
CS_MUST_USE cs_status tls_hook_refusal(const struct ssl_st *ssl, cs_err *err);
/* certificate-required: it has shown none. */
CS_MUST_USE cs_status tls_hook_peer(const struct ssl_st *ssl, cs_cert **ret, cs_err *err);

#endif
