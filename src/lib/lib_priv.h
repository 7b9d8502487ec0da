/* lib/lib_priv.h - libcountersign: what stands behind the public headers (include/countersign/), as its files share it.
 * Owner: objects are counted; immutable once they are used, so that any thread may use them. A connection belongs to
 * one thread at a time. No globals. */
#ifndef CS_LIB_LIB_PRIV_H
#define CS_LIB_LIB_PRIV_H

#include <stdatomic.h>

#include <countersign/client.h>

#include "base/clock.h"
#include "io/net.h"
#include "keys/keys.h"
#include "tls/hook.h"
#include "tls/tls.h"
#include "x509/identity.h"

struct cs_certificate {
    atomic_uint refs;
    cs_cert *cert;
    cs_identity who;
    char *subject, *issuer;
    char serial[2 * CS_SERIAL_MAX + 1], fingerprint[65];
    char **names; /* NULL ends */
};
/* Takes a reference of its own. */
CS_MUST_USE cs_status lib_certificate_of(cs_cert *cert, cs_certificate **ret, cs_err *err);
CS_AUTO_DEFINE(cs_certificate)

struct cs_credential {
    atomic_uint refs;
    cs_certs chain; /* leaf first */
    cs_key *key;
    cs_certificate *leaf;
    cs_buf chain_pem, key_pem;
};
/* Judges that they belong together and are valid now. `what` names each in errors. */
CS_MUST_USE cs_status lib_credential_of(const cs_certs *chain, cs_key *take_key, const char *certificate_what,
                                        const char *key_what, cs_credential **ret, cs_err *err);
CS_AUTO_DEFINE(cs_credential)

struct cs_trust {
    atomic_uint refs;
    cs_certs certs;
    cs_anchors *anchors;
    cs_crls *crls; /* NULL: none */
    cs_pins *pins; /* NULL: none */
    bool require_revocation;
};
CS_AUTO_DEFINE(cs_trust)

struct cs_client {
    atomic_uint refs;
    tls_dialer *dialer;
};
CS_AUTO_DEFINE(cs_client)
CS_AUTO_DEFINE(cs_connection)

#endif
