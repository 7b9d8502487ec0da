#include "tls/look.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/tls1.h>

#include "keys/keys_evp.h"
#include "tls/tls_priv.h"

struct tls_look {
    SSL_CTX *ctx;
    SSL *ssl; /* owns both BIOs */
    BIO *in, *out;
    SSL_SESSION *session; /* the newest that the server gave */
    tls_look_seen seen;
    size_t in_all;
};

void tls_look_free(tls_look *p) {
    if (p == NULL) return;
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
    SSL_SESSION_free(p->session);
    cs_buf_free(&p->seen.cas);
    cs_certs_free(&p->seen.chain);
    free(p);
}

/* ---- what goes by ---- */

enum { EMPTY_CERTIFICATE_MAX = 8 }; /* octets of a Certificate message without certificate, with its header */

static void on_handshake_message(tls_look *p, bool sent, const uint8_t *m, size_t n) {
    tls_look_seen *s = &p->seen;
    if (sent) {
        if (m[0] == SSL3_MT_CERTIFICATE) s->sent = n > EMPTY_CERTIFICATE_MAX;
        return;
    }
    if (m[0] == SSL3_MT_SERVER_HELLO) s->hello = true;
    if (m[0] == SSL3_MT_CERTIFICATE_REQUEST && s->done) s->asked_late = true;
    if (m[0] == SSL3_MT_HELLO_REQUEST && s->done) s->asked_late = true;
    if (m[0] == SSL3_MT_CERTIFICATE_REQUEST) s->asked = true;
    if (!s->done) s->in_octets += n;
}

static void on_message(int sent, int version, int type, const void *at, size_t n, SSL *ssl, void *arg) {
    tls_look *p = arg;
    const uint8_t *m = at;
    (void)version, (void)ssl;
    if (type == SSL3_RT_HANDSHAKE && n > 0) on_handshake_message(p, sent != 0, m, n);
    bool fatal = type == SSL3_RT_ALERT && n == 2 && m[1] != SSL3_AD_CLOSE_NOTIFY && m[1] != SSL_AD_USER_CANCELLED;
    if (fatal && !sent) p->seen.alert = m[1];
}

static int on_session(SSL *ssl, SSL_SESSION *take) {
    tls_look *p = SSL_get_app_data(ssl);
    SSL_SESSION_free(p->session);
    p->session = take;
    p->seen.session = true;
    return 1;
}

static void keep_cas(tls_look *p) {
    const STACK_OF(X509_NAME) *names = SSL_get0_peer_CA_list(p->ssl);
    int n = names != NULL ? sk_X509_NAME_num(names) : 0;
    p->seen.ca_count = (size_t)(n > 0 ? n : 0);
    cs_buf_clear(&p->seen.cas);
    for (int i = 0; i < n && i < TLS_LOOK_CAS_MAX; i++) {
        const unsigned char *der = NULL;
        size_t len = 0;
        if (X509_NAME_get0_der(sk_X509_NAME_value(names, i), &der, &len) != 1 || len > UINT16_MAX) continue;
        (void)cs_buf_add_vec16(&p->seen.cas, cs_view_of(der, len));
    }
}

/* When the CertificateRequest is read: libssl goes on with what is set. */
static int on_asked(SSL *ssl, void *arg) {
    tls_look *p = arg;
    int n = SSL_get_sigalgs(ssl, -1, NULL, NULL, NULL, NULL, NULL);
    p->seen.sigalg_count = 0;
    for (int i = 0; i < n && i < TLS_LOOK_SIGALGS_MAX; i++) {
        unsigned char sign = 0, hash = 0;
        (void)SSL_get_sigalgs(ssl, i, NULL, NULL, NULL, &sign, &hash);
        p->seen.sigalgs[p->seen.sigalg_count++] = (uint16_t)(hash << 8 | sign);
    }
    keep_cas(p);
    return 1;
}

/* ---- set up ---- */

static bool use_chain(SSL *ssl, const tls_look_plan *plan) {
    size_t n = plan->chain_most > 0 && plan->chain_most < plan->chain->n ? plan->chain_most : plan->chain->n;
    for (size_t i = 0; i < n; i++) {
        const unsigned char *der = plan->chain->at[i]->der.p;
        X509 *x = d2i_X509(NULL, &der, (long)plan->chain->at[i]->der.n);
        bool good = x != NULL && (i == 0 ? SSL_use_certificate(ssl, x) == 1 : SSL_add1_chain_cert(ssl, x) == 1);
        X509_free(x);
        if (!good) return false;
    }
    return SSL_use_PrivateKey(ssl, cs_key_evp(plan->key)) == 1;
}

static bool make_ctx(tls_look *p, const tls_look_plan *plan) {
    p->ctx = SSL_CTX_new(TLS_client_method());
    if (p->ctx == NULL) return false;
    SSL_CTX_set_security_level(p->ctx, 0);
    SSL_CTX_set_verify(p->ctx, SSL_VERIFY_NONE, NULL);
    (void)SSL_CTX_set_options(p->ctx, SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_session_cache_mode(p->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(p->ctx, on_session);
    SSL_CTX_set_msg_callback(p->ctx, on_message);
    SSL_CTX_set_msg_callback_arg(p->ctx, p);
    (void)SSL_CTX_set_mode(p->ctx, SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_cert_cb(p->ctx, on_asked, p);
    SSL_CTX_set_post_handshake_auth(p->ctx, 1);
    return SSL_CTX_set_cipher_list(p->ctx, "ALL:!aNULL:!eNULL:@SECLEVEL=0") == 1 &&
           SSL_CTX_set_min_proto_version(p->ctx, plan->min != 0 ? plan->min : TLS1_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(p->ctx, plan->max) == 1 &&
           SSL_CTX_set_tlsext_status_type(p->ctx, TLSEXT_STATUSTYPE_ocsp) == 1;
}

static bool make_ssl(tls_look *p, const tls_look_plan *plan) {
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
    SSL_set_app_data(p->ssl, p);
    SSL_set_connect_state(p->ssl);
    if (plan->resume != NULL && plan->resume->session != NULL && SSL_set_session(p->ssl, plan->resume->session) != 1)
        return false;
    if (plan->chain != NULL && plan->key != NULL && plan->chain->n > 0 && !use_chain(p->ssl, plan)) return false;
    return plan->sni == NULL || SSL_set_tlsext_host_name(p->ssl, plan->sni) == 1;
}

cs_status tls_look_new(const tls_look_plan *plan, tls_look **ret, cs_err *err) {
    char words[128];
    CS_SCOPED(cs_buf) alpn = cs_buf_of(256);
    CS_AUTO(tls_look) p = calloc(1, sizeof *p);
    if (p == NULL) return CS_NOMEM_ERR(err);
    p->seen.alert = -1;
    p->seen.cas = cs_buf_of(1 << 20);
    (void)cs_ossl_words(words);
    if (plan->alpn != NULL) TRY(tls_alpn_list(plan->alpn, &alpn, err));
    if (!make_ctx(p, plan) || !make_ssl(p, plan))
        return cs_fail(err, CS_FAILED, CS_R_TLS_HANDSHAKE_FAILED, "%s", cs_ossl_words(words));
    if (alpn.n > 0 && SSL_set_alpn_protos(p->ssl, alpn.p, (unsigned)alpn.n) != 0) return CS_NOMEM_ERR(err);
    *ret = CS_TAKE(p);
    return CS_OK;
}

/* ---- turned ---- */

static void take_out(tls_look *p, cs_buf *out) {
    char *at = NULL;
    long n = BIO_get_mem_data(p->out, &at);
    if (n > 0) (void)cs_buf_add(out, at, (size_t)n);
    (void)BIO_reset(p->out);
}

static cs_status keep_chain(tls_look *p, cs_err *err) {
    STACK_OF(X509) *sent = SSL_get_peer_cert_chain(p->ssl);
    int n = sent != NULL ? sk_X509_num(sent) : 0;
    if (p->seen.chain.n > 0) return CS_OK;
    for (int i = 0; i < n && i < 32; i++) {
        CS_SCOPED(cs_buf) der = cs_buf_of(CS_CERT_MAX);
        X509 *x = sk_X509_value(sent, i);
        int len = i2d_X509(x, NULL);
        uint8_t *to = len > 0 ? cs_buf_reserve(&der, (size_t)len) : NULL;
        cs_cert *one = NULL;
        if (to == NULL) break;
        cs_buf_commit(&der, (size_t)i2d_X509(x, &to));
        if (cs_cert_decode_noting(cs_buf_view(&der), &one, err) != CS_OK) continue;
        TRY(cs_certs_add(&p->seen.chain, one, err));
    }
    return CS_OK;
}

static cs_status note_state(tls_look *p, cs_err *err) {
    tls_look_seen *s = &p->seen;
    const unsigned char *alpn = NULL;
    unsigned n = 0;
    if (s->hello) s->version = SSL_version(p->ssl), s->version_text = SSL_get_version(p->ssl);
    if (s->hello) s->cipher = SSL_get_cipher_name(p->ssl);
    SSL_get0_alpn_selected(p->ssl, &alpn, &n);
    if (n > 0 && n < sizeof s->alpn) (void)snprintf(s->alpn, sizeof s->alpn, "%.*s", (int)n, (const char *)alpn);
    if (!s->done && SSL_is_init_finished(p->ssl)) {
        const unsigned char *ocsp = NULL;
        s->done = true;
        s->resumed = SSL_session_reused(p->ssl) == 1;
        s->stapled = SSL_get_tlsext_status_ocsp_resp(p->ssl, &ocsp) > 0;
        s->unsafe_renegotiation = s->version < TLS1_3_VERSION && SSL_get_secure_renegotiation_support(p->ssl) == 0;
    }
    return s->hello ? keep_chain(p, err) : CS_OK;
}

static cs_status failed(tls_look *p, cs_err *err) {
    char words[128];
    if (p->seen.alert >= 0) {
        ERR_clear_error();
        return cs_fail(err, CS_FAILED, CS_R_TLS_ALERT_RECEIVED, "alert %d, %s", p->seen.alert,
                       tls_look_alert_text(p->seen.alert));
    }
    return cs_fail(err, CS_FAILED, CS_R_TLS_HANDSHAKE_FAILED, "%s", cs_ossl_words(words));
}

/* Reads what came under TLS; alerts and tickets come this way too. */
static cs_status read_plain(tls_look *p, cs_buf *plain, cs_err *err) {
    for (;;) {
        uint8_t piece[4096];
        size_t n = 0;
        int rc = SSL_read_ex(p->ssl, piece, sizeof piece, &n);
        if (rc == 1) {
            if (!cs_buf_add(plain, piece, n)) return cs_buf_ok(plain, "what the server said", err);
            continue;
        }
        int why = SSL_get_error(p->ssl, rc);
        if (why == SSL_ERROR_ZERO_RETURN) p->seen.ended = true;
        if (why == SSL_ERROR_ZERO_RETURN || why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return CS_OK;
        return failed(p, err);
    }
}

cs_status tls_look_turn(tls_look *p, cs_view in, cs_buf *out, cs_buf *plain, cs_err *err) {
    char words[128];
    size_t written = 0;
    (void)cs_ossl_words(words);
    p->in_all += in.n;
    if (p->in_all > TLS_LOOK_IN_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "over %d octets from the server", TLS_LOOK_IN_MAX);
    if (in.n > 0 && BIO_write_ex(p->in, in.p, in.n, &written) != 1) return CS_NOMEM_ERR(err);
    int rc = p->seen.done ? 1 : SSL_do_handshake(p->ssl);
    int why = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(p->ssl, rc);
    cs_status s = CS_OK;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        s = CS_AGAIN;
    else if (why != SSL_ERROR_NONE)
        s = failed(p, err);
    cs_err lost = {.status = CS_OK};
    if (note_state(p, &lost) != CS_OK && s == CS_OK) *err = lost, s = lost.status;
    if (s == CS_OK) s = read_plain(p, plain, err);
    take_out(p, out);
    ERR_clear_error();
    return s;
}

cs_status tls_look_write(tls_look *p, cs_view plain, cs_buf *out, cs_err *err) {
    size_t n = 0;
    if (SSL_write_ex(p->ssl, plain.p, plain.n, &n) != 1) return failed(p, err);
    take_out(p, out);
    return CS_OK;
}

const tls_look_seen *tls_look_at(const tls_look *p) {
    return &p->seen;
}

bool tls_look_lists(const tls_look_seen *s, cs_view name) {
    cs_rd r = cs_rd_of(cs_buf_view(&s->cas));
    while (!cs_rd_ended(&r) && cs_rd_ok(&r))
        if (cs_view_eq(cs_rd_vec16(&r), name)) return true;
    return false;
}

const char *tls_look_alert_text(int alert) {
    static const struct {
        int alert;
        const char *text;
    } known[] = {{10, "unexpected_message"},
                 {20, "bad_record_mac"},
                 {22, "record_overflow"},
                 {40, "handshake_failure"},
                 {42, "bad_certificate"},
                 {43, "unsupported_certificate"},
                 {44, "certificate_revoked"},
                 {45, "certificate_expired"},
                 {46, "certificate_unknown"},
                 {47, "illegal_parameter"},
                 {48, "unknown_ca"},
                 {49, "access_denied"},
                 {50, "decode_error"},
                 {51, "decrypt_error"},
                 {70, "protocol_version"},
                 {71, "insufficient_security"},
                 {80, "internal_error"},
                 {86, "inappropriate_fallback"},
                 {109, "missing_extension"},
                 {110, "unsupported_extension"},
                 {112, "unrecognized_name"},
                 {113, "bad_certificate_status_response"},
                 {116, "certificate_required"},
                 {120, "no_application_protocol"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].alert == alert) return known[i].text;
    return "unknown alert";
}
