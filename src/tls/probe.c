#include "tls/probe.h"

#include <stdlib.h>

#include <openssl/ssl.h>

#include "keys/keys_evp.h"

struct tls_probe {
    SSL_CTX *ctx;
    SSL *ssl; /* owns both BIOs */
    BIO *in, *out;
};

void tls_probe_free(tls_probe *p) {
    if (p == NULL) return;
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
    free(p);
}

static bool set_up(tls_probe *p, const char *sni, const char *alpn) {
    uint8_t wire[256];
    size_t n = alpn != NULL ? strlen(alpn) : 0;
    if ((alpn != NULL && n == 0) || n > 254) return false;
    wire[0] = (uint8_t)n;
    if (n > 0) memcpy(wire + 1, alpn, n);
    p->ctx = SSL_CTX_new(TLS_client_method());
    if (p->ctx == NULL || SSL_CTX_set_min_proto_version(p->ctx, TLS1_2_VERSION) != 1) return false;
    SSL_CTX_set_verify(p->ctx, SSL_VERIFY_NONE, NULL);
    (void)SSL_CTX_set_session_cache_mode(p->ctx, SSL_SESS_CACHE_OFF);
    p->ssl = SSL_new(p->ctx);
    if (p->ssl == NULL) return false;
    p->in = BIO_new(BIO_s_mem());
    p->out = BIO_new(BIO_s_mem());
    if (p->in == NULL || p->out == NULL) {
        BIO_free(p->in);
        BIO_free(p->out);
        return false;
    }
    SSL_set_bio(p->ssl, p->in, p->out);
    SSL_set_connect_state(p->ssl);
    return SSL_set_tlsext_host_name(p->ssl, sni) == 1 &&
           (n == 0 || SSL_set_alpn_protos(p->ssl, wire, (unsigned)n + 1) == 0);
}

cs_status tls_probe_new(const char *sni, const char *alpn, tls_probe **ret, cs_err *err) {
    char words[128];
    CS_AUTO(tls_probe) p = calloc(1, sizeof *p);
    if (p == NULL) return CS_NOMEM_ERR(err);
    if (!set_up(p, sni, alpn))
        return cs_fail(err, CS_FAILED, CS_R_TLS_HANDSHAKE_FAILED, "%.100s: %s", sni, cs_ossl_words(words));
    *ret = CS_TAKE(p);
    return CS_OK;
}

static void take_out(tls_probe *p, cs_buf *out) {
    char *at = NULL;
    long n = BIO_get_mem_data(p->out, &at);
    if (n > 0) (void)cs_buf_add(out, at, (size_t)n);
    (void)BIO_reset(p->out);
}

cs_status tls_probe_turn(tls_probe *p, cs_view in, cs_buf *out, cs_err *err) {
    char words[128];
    size_t written = 0;
    (void)cs_ossl_words(words); /* an error that another left would be taken for ours */
    if (in.n > 0 && BIO_write_ex(p->in, in.p, in.n, &written) != 1) return CS_NOMEM_ERR(err);
    int rc = SSL_do_handshake(p->ssl);
    int why = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(p->ssl, rc);
    take_out(p, out);
    if (rc == 1) return CS_OK;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return CS_AGAIN;
    return cs_fail(err, CS_FAILED, CS_R_TLS_HANDSHAKE_FAILED, "%s", cs_ossl_words(words));
}

bool tls_probe_leaf(const tls_probe *p, cs_buf *der) {
    X509 *leaf = SSL_get1_peer_certificate(p->ssl);
    int n = leaf != NULL ? i2d_X509(leaf, NULL) : -1;
    uint8_t *to = n > 0 ? cs_buf_reserve(der, (size_t)n) : NULL;
    if (to != NULL) cs_buf_commit(der, (size_t)i2d_X509(leaf, &to));
    X509_free(leaf);
    return to != NULL;
}

cs_view tls_probe_alpn(const tls_probe *p) {
    const unsigned char *at = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(p->ssl, &at, &n);
    return cs_view_of(at, n);
}
