/* The client's side of TLS: a server that is judged by verify/, our own certificate when it asks for one. */
#include <arpa/inet.h>
#include <stdlib.h>

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "tls/tls_priv.h"

struct tls_dialer {
    atomic_uint refs;
    SSL_CTX *ctx;
    cs_anchors *anchors;
    cs_crls *crls;
    cs_pins *pins;
    bool require_revocation;
    const cs_clock *clock;
};

static cs_status judge_server(tls_conn *c, X509_STORE_CTX *store, cs_err *err) {
    CS_SCOPED(cs_certs) extra = {NULL, 0};
    CS_SCOPED(cs_verdict) v = {.depth = -1};
    uint8_t ip[16];
    bool is_ip = inet_pton(AF_INET, c->name, ip) == 1 || inet_pton(AF_INET6, c->name, ip) == 1;
    const cs_name_want name = {.type = is_ip ? CS_SAN_IP : CS_SAN_DNS, .value = c->name};
    const cs_want want = {.purpose = CS_PURPOSE_SERVER,
                          .at = cs_now(c->dialer->clock),
                          .names = &name,
                          .name_count = 1,
                          .max_depth = -1,
                          .revocation = c->dialer->require_revocation ? CS_REVOCATION_REQUIRE : CS_REVOCATION_GIVEN,
                          .crls = c->dialer->crls,
                          .pins = c->dialer->pins};
    TRY(tls_gather(store, &c->peer.leaf, &extra, err));
    TRY(cs_verify(c->dialer->anchors, c->peer.leaf, &extra, &want, &v, err));
    return v.accepted ? CS_OK : cs_fail(err, CS_REFUSED, v.reason, "%s", v.detail);
}

static int on_server_certificate(X509_STORE_CTX *store, void *arg) {
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    tls_conn *c = tls_conn_of(ssl);
    cs_err err = {.status = CS_OK};
    (void)arg;
    tls_peer_clear(&c->peer);
    if (judge_server(c, store, &err) == CS_OK) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    return tls_refuse_peer(c, store, &err);
}

cs_status tls_dialer_new(const tls_dial_plan *plan, tls_dialer **ret, cs_err *err) {
    CS_AUTO(tls_dialer) d = calloc(1, sizeof *d);
    if (d == NULL) return CS_NOMEM_ERR(err);
    atomic_init(&d->refs, 1);
    d->clock = plan->clock;
    d->require_revocation = plan->require_revocation;
    d->anchors = cs_anchors_ref(plan->anchors);
    if (plan->crls != NULL) d->crls = cs_crls_ref(plan->crls);
    if (plan->pins != NULL) d->pins = cs_pins_ref(plan->pins);
    TRY(tls_ctx_base(NULL, TLS_client_method(), false, &d->ctx, err));
    SSL_CTX_set_verify(d->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(d->ctx, on_server_certificate, NULL);
    (void)SSL_CTX_set_session_cache_mode(d->ctx, SSL_SESS_CACHE_OFF);
    if (plan->certificate.n > 0) {
        const tls_identity id = {plan->certificate, plan->key, plan->certificate_what, plan->key_what};
        TRY(tls_use_identity(d->ctx, &id, TLS_FOR_CLIENT, plan->clock, err));
    }
    CS_SCOPED(cs_buf) alpn = cs_buf_of(1024);
    TRY(tls_alpn_list(plan->alpn, &alpn, err));
    if (alpn.n > 0 && SSL_CTX_set_alpn_protos(d->ctx, alpn.p, (unsigned)alpn.n) != 0) return CS_NOMEM_ERR(err);
    *ret = CS_TAKE(d);
    return CS_OK;
}

tls_dialer *tls_dialer_ref(tls_dialer *d) {
    (void)atomic_fetch_add(&d->refs, 1);
    return d;
}

void tls_dialer_free(tls_dialer *d) {
    if (d == NULL || atomic_fetch_sub(&d->refs, 1) != 1) return;
    SSL_CTX_free(d->ctx);
    cs_anchors_free(d->anchors);
    cs_crls_free(d->crls);
    cs_pins_free(d->pins);
    free(d);
}

cs_status tls_conn_dial(tls_dialer *d, const char *name, tls_conn **ret, cs_err *err) {
    CS_AUTO(tls_conn) c = NULL;
    uint8_t ip[16];
    if (strlen(name) > TLS_SNI_MAX) return cs_fail(err, CS_REFUSED, CS_R_ADDRESS_INVALID, "%.100s...: too long", name);
    TRY(tls_conn_make(d->ctx, &c, err));
    c->dialer = tls_dialer_ref(d);
    c->name = strdup(name);
    if (c->name == NULL) return CS_NOMEM_ERR(err);
    bool is_ip = inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1;
    if (!is_ip && SSL_set_tlsext_host_name(c->ssl, name) != 1) return CS_NOMEM_ERR(err);
    SSL_set_connect_state(c->ssl);
    *ret = CS_TAKE(c);
    return CS_OK;
}
