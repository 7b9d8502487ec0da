/* What every connection of a client shares. */
#include <stdlib.h>

#include "lib/lib_priv.h"

cs_status cs_client_new(cs_trust *trust, cs_credential *who, const char *alpn, cs_client **ret, cs_err *err) {
    CS_AUTO(cs_client) c = calloc(1, sizeof *c);
    if (c == NULL) return CS_NOMEM_ERR(err);
    atomic_init(&c->refs, 1);
    tls_dial_plan plan = {.anchors = trust->anchors,
                          .crls = trust->crls,
                          .pins = trust->pins,
                          .require_revocation = trust->require_revocation,
                          .alpn = alpn,
                          .clock = cs_clock_system()};
    if (who != NULL) {
        plan.certificate = cs_buf_view(&who->chain_pem), plan.key = cs_buf_view(&who->key_pem);
        plan.certificate_what = "the credential's certificate", plan.key_what = "the credential's key";
    }
    TRY(tls_dialer_new(&plan, &c->dialer, err));
    *ret = CS_TAKE(c);
    return CS_OK;
}

cs_client *cs_client_ref(cs_client *c) {
    (void)atomic_fetch_add(&c->refs, 1);
    return c;
}

void cs_client_free(cs_client *c) {
    if (c == NULL || atomic_fetch_sub(&c->refs, 1) != 1) return;
    tls_dialer_free(c->dialer);
    free(c);
}
