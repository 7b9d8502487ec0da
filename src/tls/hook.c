#include "tls/hook.h"

#include <pthread.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "tls/tls_priv.h"

/* Where a context keeps its hook, and a connection why its peer was refused: numbers that libcrypto gives out once. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int of_ctx = -1, of_ssl = -1;

static void hook_free(tls_hook_plan *h) {
    if (h == NULL) return;
    cs_anchors_free(h->anchors);
    cs_crls_free(h->crls);
    cs_pins_free(h->pins);
    free(h);
}

static void on_ctx_free(void *parent, void *p, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp) {
    (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
    hook_free(p);
}

static void on_ssl_free(void *parent, void *p, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp) {
    (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
    free(p);
}

/* A copy of a connection (SSL_dup) begins without. */
static int on_ssl_dup(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **p, int idx, long argl, void *argp) {
    (void)to, (void)from, (void)idx, (void)argl, (void)argp;
    *p = NULL;
    return 1;
}

static void get_numbers(void) {
    of_ctx = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_ctx_free);
    of_ssl = SSL_get_ex_new_index(0, NULL, NULL, on_ssl_dup, on_ssl_free);
}

cs_status tls_gather(X509_STORE_CTX *store, cs_cert **leaf, cs_certs *extra, cs_err *err) {
    X509 *first = X509_STORE_CTX_get0_cert(store);
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
    int count = sent != NULL ? sk_X509_num(sent) : 0;
    if (first == NULL) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_REQUIRED, "%s", "the peer sent none");
    if (count > CS_PEER_CHAIN_COUNT)
        return cs_fail(err, CS_LIMIT, CS_R_CHAIN_TOO_BIG, "%d certificates, at most %d", count,
                       (int)CS_PEER_CHAIN_COUNT);
    TRY(tls_decode(first, leaf, err));
    for (int i = 0; i < count; i++) {
        cs_cert *one = NULL;
        TRY(tls_decode(sk_X509_value(sent, i), &one, err));
        TRY(cs_certs_add(extra, one, err));
    }
    return CS_OK;
}

/* Whom a client's connection expects; NULL: nobody, which no server is. */
static const char *expected(SSL *ssl, char **ip) {
    X509_VERIFY_PARAM *p = SSL_get0_param(ssl);
    *ip = X509_VERIFY_PARAM_get1_ip_asc(p);
    return *ip != NULL ? *ip : X509_VERIFY_PARAM_get0_host(p, 0);
}

static cs_status judge(const tls_hook_plan *h, SSL *ssl, X509_STORE_CTX *store, cs_err *err) {
    CS_SCOPED(cs_certs) extra = {NULL, 0};
    CS_SCOPED(cs_verdict) v = {.depth = -1};
    CS_AUTO(cs_cert) leaf = NULL;
    char *ip = NULL;
    bool server = SSL_is_server(ssl) == 1;
    const char *name = server ? NULL : expected(ssl, &ip);
    const cs_name_want want_name = {.type = ip != NULL ? CS_SAN_IP : CS_SAN_DNS, .value = name};
    const cs_want want = {.purpose = server ? CS_PURPOSE_CLIENT : CS_PURPOSE_SERVER,
                          .at = cs_now(h->clock),
                          .names = &want_name,
                          .name_count = name != NULL ? 1 : 0,
                          .max_depth = -1,
                          .revocation = h->require_revocation ? CS_REVOCATION_REQUIRE : CS_REVOCATION_GIVEN,
                          .crls = h->crls,
                          .pins = h->pins};
    cs_status s = CS_OK;
    if (!server && name == NULL)
        s = cs_fail(err, CS_REFUSED, CS_R_NAME_MISMATCH, "%s",
                    "the program expects nobody: SSL_set1_host says whom, before the handshake");
    if (s == CS_OK) s = tls_gather(store, &leaf, &extra, err);
    if (s == CS_OK) s = cs_verify(h->anchors, leaf, &extra, &want, &v, err);
    if (s == CS_OK && !v.accepted) s = cs_fail(err, CS_REFUSED, v.reason, "%s", v.detail);
    OPENSSL_free(ip);
    return s;
}

static int on_certificate(X509_STORE_CTX *store, void *arg) {
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const tls_hook_plan *h = arg;
    cs_err err = {.status = CS_OK};
    cs_err *kept = SSL_get_ex_data(ssl, of_ssl);
    if (judge(h, ssl, store, &err) == CS_OK) {
        (void)SSL_set_ex_data(ssl, of_ssl, NULL);
        free(kept);
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    if (kept == NULL) {
        kept = calloc(1, sizeof *kept);
        if (kept != NULL && SSL_set_ex_data(ssl, of_ssl, kept) != 1) {
            free(kept);
            kept = NULL;
        }
    }
    if (kept != NULL) *kept = err;
    X509_STORE_CTX_set_error(store, tls_error_of_alert(cs_reason_of(err.reason)->alert));
    return 0;
}

cs_status tls_hook_install(const tls_hook_plan *plan, SSL_CTX *ctx, cs_err *err) {
    (void)pthread_once(&once, get_numbers);
    tls_hook_plan *h = calloc(1, sizeof *h);
    if (h == NULL || of_ctx < 0 || of_ssl < 0) {
        free(h);
        return CS_NOMEM_ERR(err);
    }
    *h = *plan;
    h->anchors = cs_anchors_ref(plan->anchors);
    h->crls = plan->crls != NULL ? cs_crls_ref(plan->crls) : NULL;
    h->pins = plan->pins != NULL ? cs_pins_ref(plan->pins) : NULL;
    hook_free(SSL_CTX_get_ex_data(ctx, of_ctx)); /* of an earlier installation */
    if (SSL_CTX_set_ex_data(ctx, of_ctx, h) != 1) {
        hook_free(h);
        SSL_CTX_set_cert_verify_callback(ctx, NULL, NULL);
        return CS_NOMEM_ERR(err);
    }
    SSL_CTX_set_cert_verify_callback(ctx, on_certificate, h);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    (void)SSL_CTX_set_num_tickets(ctx, 0);
    return CS_OK;
}

cs_status tls_hook_refusal(const SSL *ssl, cs_err *err) {
    const cs_err *kept = of_ssl >= 0 ? SSL_get_ex_data(ssl, of_ssl) : NULL;
    if (kept == NULL) return CS_OK;
    *err = *kept;
    return kept->status;
}

cs_status tls_hook_peer(const SSL *ssl, cs_cert **ret, cs_err *err) {
    X509 *peer = SSL_get0_peer_certificate(ssl);
    if (peer == NULL) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_REQUIRED, "%s", "the peer has shown none");
    return tls_decode(peer, ret, err);
}
