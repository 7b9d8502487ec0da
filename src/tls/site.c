/* Contexts: what libssl may do at all, and what each site adds. */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "keys/keys.h"
#include "tls/tls_priv.h"
#include "x509/identity.h"
#include "x509/ocsp.h"

/* Forward secrecy and AEAD only. */
#define CIPHERS_12                                                                                                     \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:"                       \
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-GCM-SHA384"
#define CIPHERS_13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
/* SHA-1 and what RFC 9155 forbids is not among them. */
#define SIGALGS                                                                                                        \
    "ECDSA+SHA256:ed25519:rsa_pss_rsae_sha256:rsa_pss_pss_sha256:ECDSA+SHA384:ECDSA+SHA512:rsa_pss_rsae_sha384:"       \
    "rsa_pss_rsae_sha512:rsa_pss_pss_sha384:rsa_pss_pss_sha512:RSA+SHA256:RSA+SHA384:RSA+SHA512:ed448"
/* Where libcrypto has them (3.5), behind the others: their signatures are 2.4 to 4.6 KiB. */
#define SIGALGS_ML_DSA SIGALGS ":mldsa65:mldsa87:mldsa44"
#define GROUPS "X25519:P-256:P-384:P-521"

cs_status tls_fail(cs_err *err, cs_status status, cs_reason reason, const char *what) {
    char words[160] = "";
    unsigned long e = ERR_peek_last_error();
    if (e != 0) ERR_error_string_n(e, words, sizeof words);
    ERR_clear_error();
    return cs_fail(err, status, reason, "%s: %s", what, words);
}

static bool set_sigalgs(SSL_CTX *ctx, bool of_clients) {
    static const char *const lists[] = {SIGALGS_ML_DSA, SIGALGS};
    for (size_t i = 0; i < 2; i++) {
        long good =
            of_clients ? SSL_CTX_set1_client_sigalgs_list(ctx, lists[i]) : SSL_CTX_set1_sigalgs_list(ctx, lists[i]);
        if (good == 1) return true;
        ERR_clear_error(); /* a name that is not known here */
    }
    return false;
}

cs_status tls_ctx_base(OSSL_LIB_CTX *lib, const SSL_METHOD *method, bool only_13, SSL_CTX **ret, cs_err *err) {
    SSL_CTX *ctx = SSL_CTX_new_ex(lib, NULL, method);
    if (ctx == NULL) return tls_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "a TLS context");
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                       SSL_OP_PRIORITIZE_CHACHA | SSL_OP_NO_ENCRYPT_THEN_MAC);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_security_level(ctx, 2);
    SSL_CTX_set_max_cert_list(ctx, CS_PEER_CHAIN_MAX);
    SSL_CTX_set_read_ahead(ctx, 0);
    bool ok = SSL_CTX_set_min_proto_version(ctx, only_13 ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
              SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
              SSL_CTX_set_cipher_list(ctx, CIPHERS_12) == 1 && SSL_CTX_set_ciphersuites(ctx, CIPHERS_13) == 1 &&
              set_sigalgs(ctx, false) && SSL_CTX_set1_groups_list(ctx, GROUPS) == 1;
    *ret = ctx;
    if (ok) return CS_OK;
    SSL_CTX_free(ctx);
    *ret = NULL;
    return tls_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "a TLS context");
}

cs_status tls_ctx_new(tls_tickets *t, bool only_13, SSL_CTX **ret, cs_err *err) {
    SSL_CTX *ctx = NULL;
    TRY(tls_ctx_base(tls_lib(), TLS_server_method(), only_13, &ctx, err));
    bool ok = set_sigalgs(ctx, true) && SSL_CTX_set_max_early_data(ctx, 0) == 1 &&
              SSL_CTX_set_recv_max_early_data(ctx, 0) == 1;
    cs_status s = ok ? tls_tickets_use(ctx, t, err) : tls_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "a TLS context");
    if (s != CS_OK) {
        SSL_CTX_free(ctx);
        return s;
    }
    SSL_CTX_set_cert_verify_callback(ctx, tls_on_certificate, NULL);
    SSL_CTX_set_msg_callback(ctx, tls_on_message);
    *ret = ctx;
    return CS_OK;
}

cs_status tls_digest(cs_view data, uint8_t out[32], cs_err *err) {
    if (EVP_Digest(data.p, data.n, out, NULL, EVP_sha256(), NULL) == 1) return CS_OK;
    return tls_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "SHA-256");
}

static X509 *x509_of(const cs_cert *c) {
    const unsigned char *p = c->der.p;
    return d2i_X509(NULL, &p, (long)c->der.n);
}

static cs_status check_leaf(const tls_identity *id, const cs_cert *leaf, const cs_key *key, enum tls_role role,
                            cs_time now, cs_err *err) {
    char when[CS_TIME_TEXT_MAX];
    unsigned use = role == TLS_FOR_SERVER ? CS_EKU_SERVER_AUTH : CS_EKU_CLIENT_AUTH;
    TRY(cs_key_match(key, leaf->spki, id->key_what, err));
    if (now > leaf->not_after)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_EXPIRED, "%s: ended %s", id->certificate_what,
                       cs_time_text(leaf->not_after, when));
    if (now < leaf->not_before)
        return cs_fail(err, CS_REFUSED, CS_R_NOT_YET_VALID, "%s: begins %s", id->certificate_what,
                       cs_time_text(leaf->not_before, when));
    if (!leaf->has_eku || (leaf->eku & (use | CS_EKU_ANY)) != 0) return CS_OK;
    return cs_fail(err, CS_REFUSED,
                   role == TLS_FOR_SERVER ? CS_R_EKU_MISSING_SERVER_AUTH : CS_R_EKU_MISSING_CLIENT_AUTH, "%s",
                   id->certificate_what);
}

static cs_status use_key(SSL_CTX *ctx, const tls_identity *id, cs_err *err) {
    BIO *b = BIO_new_mem_buf(id->key.p, (int)id->key.n);
    EVP_PKEY *pkey = b != NULL ? PEM_read_bio_PrivateKey(b, NULL, NULL, NULL) : NULL;
    bool ok = pkey != NULL && SSL_CTX_use_PrivateKey(ctx, pkey) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(pkey);
    BIO_free(b);
    return ok ? CS_OK : tls_fail(err, CS_REFUSED, CS_R_KEY_MISMATCH, id->key_what);
}

/* The certificates are sent as the file has them, less a self-signed last one: the peer has the root or has not. */
cs_status tls_use_identity(SSL_CTX *ctx, const tls_identity *id, enum tls_role role, const cs_clock *clock,
                           cs_err *err) {
    CS_SCOPED(cs_certs) certs = {NULL, 0};
    CS_AUTO(cs_key) key = NULL;
    TRY(cs_certs_read(id->certificate, id->certificate_what, &certs, err));
    TRY(cs_key_read_pem(id->key, NULL, id->key_what, &key, err));
    if (certs.n == 0) return cs_fail(err, CS_REFUSED, CS_R_FILE_EMPTY, "%s", id->certificate_what);
    TRY(check_leaf(id, certs.at[0], key, role, cs_now(clock), err));
    for (size_t i = 0; i < certs.n; i++) {
        if (i > 0 && cs_view_eq(certs.at[i]->issuer, certs.at[i]->subject)) continue;
        X509 *x = x509_of(certs.at[i]);
        int ok = x == NULL ? 0 : i == 0 ? SSL_CTX_use_certificate(ctx, x) : (int)SSL_CTX_add1_chain_cert(ctx, x);
        X509_free(x);
        if (ok != 1) return tls_fail(err, CS_REFUSED, CS_R_CERTIFICATE_MALFORMED, id->certificate_what);
    }
    return use_key(ctx, id, err);
}

/* @rfc 6066#8, RFC 8446 4.4.2.1: only to clients that ask for it, and only for the first certificate. */
static int on_status(SSL *ssl, void *arg) {
    const tls_conn *c = tls_conn_of(ssl);
    const tls_site *s = c->site;
    (void)arg;
    if (s == NULL || s->staple == NULL || SSL_get_certificate(ssl) != s->first) return SSL_TLSEXT_ERR_NOACK;
    if (cs_now(c->judge->clock) > s->staple_until) return SSL_TLSEXT_ERR_NOACK; /* none is better than an old one */
    unsigned char *copy = OPENSSL_memdup(s->staple, s->staple_n);
    if (copy == NULL) return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)s->staple_n); /* libssl's now */
    return SSL_TLSEXT_ERR_OK;
}

/* It must be about the first certificate, as far as its issuer is there to tell. */
static cs_status check_staple(const tls_site_plan *plan, cs_time *ret_until, cs_err *err) {
    CS_AUTO(cs_ocsp) o = NULL;
    CS_SCOPED(cs_certs) certs = {NULL, 0};
    cs_ocsp_single single = {.has_next_update = false};
    TRY(cs_ocsp_decode(plan->staple, &o, err));
    TRY(cs_certs_read(plan->ids[0].certificate, plan->ids[0].certificate_what, &certs, err));
    if (o->status != 0 || certs.n == 0)
        return cs_fail(err, CS_REFUSED, CS_R_OCSP_INVALID, "a response of status %d says nothing", o->status);
    const cs_cert *issuer = certs.n > 1 ? certs.at[1] : certs.at[0];
    bool about = cs_ocsp_find(o, certs.at[0], issuer, &single);
    if (!about && certs.n > 1)
        return cs_fail(err, CS_REFUSED, CS_R_OCSP_INVALID, "it is not about %s", plan->ids[0].certificate_what);
    if (about && single.status != CS_OCSP_GOOD)
        return cs_fail(err, CS_REFUSED, CS_R_OCSP_INVALID, "it does not say that %s is good",
                       plan->ids[0].certificate_what);
    *ret_until = about && single.has_next_update ? single.next_update : INT64_MAX;
    return CS_OK;
}

static cs_status use_staple(tls_site *s, const tls_site_plan *plan, cs_err *err) {
    if (plan->staple.n == 0) return CS_OK;
    cs_status good = check_staple(plan, &s->staple_until, err);
    if (good != CS_OK && plan->staple_optional) return CS_OK;
    if (good != CS_OK) return cs_fail_in(err, "ocsp");
    s->staple = malloc(plan->staple.n);
    if (s->staple == NULL) return CS_NOMEM_ERR(err);
    memcpy(s->staple, plan->staple.p, plan->staple.n);
    s->staple_n = plan->staple.n;
    (void)SSL_CTX_set_tlsext_status_cb(s->ctx, on_status);
    return CS_OK;
}

static cs_status add_ca_name(SSL_CTX *ctx, cs_view subject, cs_err *err) {
    const unsigned char *p = subject.p;
    X509_NAME *name = d2i_X509_NAME(NULL, &p, (long)subject.n);
    STACK_OF(X509_NAME) *list = NULL;
    if (name == NULL) return tls_fail(err, CS_FAILED, CS_R_CERTIFICATE_MALFORMED, "a CA's name");
    const STACK_OF(X509_NAME) *now = SSL_CTX_get_client_CA_list(ctx);
    if (now == NULL) {
        list = sk_X509_NAME_new_null();
        if (list == NULL || sk_X509_NAME_push(list, name) == 0) {
            sk_X509_NAME_free(list);
            X509_NAME_free(name);
            return CS_NOMEM_ERR(err);
        }
        SSL_CTX_set_client_CA_list(ctx, list);
        return CS_OK;
    }
    int at = sk_X509_NAME_push((STACK_OF(X509_NAME) *)(uintptr_t)now, name);
    if (at > 0) return CS_OK;
    X509_NAME_free(name);
    return CS_NOMEM_ERR(err);
}

/* Which certificates a client may choose from: browsers show only those. @rfc 8446#4.2.4 */
static cs_status use_ca_names(tls_site *s, const tls_site_plan *plan, cs_err *err) {
    if (plan->client == TLS_CLIENT_OFF || plan->no_ca_names) return CS_OK;
    for (size_t i = 0; plan->ca_names != NULL && i < plan->ca_names->n; i++)
        TRY(add_ca_name(s->ctx, plan->ca_names->at[i]->subject, err));
    return CS_OK;
}

/* What a session was granted under. Another key or certificate of ours does not matter, whom we trust does. */
static cs_status digest_policy(const tls_site_plan *plan, uint8_t out[32], cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of(1024);
    (void)cs_buf_add_vec16(&b, cs_view_str(plan->name));
    (void)cs_buf_add_byte(&b, (uint8_t)plan->client);
    (void)cs_buf_add_byte(&b, plan->only_13);
    (void)cs_buf_add_byte(&b, plan->enroll);
    (void)cs_buf_add_vec16(&b, cs_view_str(plan->alpn != NULL ? plan->alpn : ""));
    (void)cs_buf_add(&b, plan->trust, sizeof plan->trust);
    TRY(cs_buf_ok(&b, "a site's policy", err));
    return tls_digest(cs_buf_view(&b), out, err);
}

/* @rfc 7301#3.2: a client that offers protocols, none of them ours, is refused, so that it cannot be made to speak one
 * protocol to a service of another. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned in_n,
                   void *arg) {
    const tls_site *s = arg;
    (void)ssl;
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, out_n, s->alpn, s->alpn_n, in, in_n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

cs_status tls_alpn_list(const char *text, cs_buf *b, cs_err *err) {
    for (const char *p = text; p != NULL && *p != '\0';) {
        size_t n = strcspn(p, ",");
        (void)cs_buf_add_byte(b, (uint8_t)n);
        (void)cs_buf_add(b, p, n);
        p += n + (p[n] == ',');
    }
    return cs_buf_ok(b, "a list of protocols", err);
}

/* In our order of preference. */
static cs_status use_alpn(tls_site *s, const char *text, cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of(1024);
    TRY(tls_alpn_list(text, &b, err));
    if (b.n == 0) return CS_OK;
    s->alpn = malloc(b.n);
    if (s->alpn == NULL) return CS_NOMEM_ERR(err);
    memcpy(s->alpn, b.p, b.n);
    s->alpn_n = (unsigned)b.n;
    SSL_CTX_set_alpn_select_cb(s->ctx, on_alpn, s);
    return CS_OK;
}

static cs_status use_groups(tls_site *s, const char *text, cs_err *err) {
    if (text == NULL) return CS_OK;
    s->groups = strdup(text);
    if (s->groups == NULL) return CS_NOMEM_ERR(err);
    if (SSL_CTX_set1_groups_list(s->ctx, text) == 1) return CS_OK;
    ERR_clear_error();
    return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                   "groups: \"%s\": libssl knows no such list, expected names "
                   "with colons between, such as X25519:P-256",
                   text);
}

cs_status tls_site_new(const tls_site_plan *plan, tls_site **ret, cs_err *err) {
    CS_AUTO(tls_site) s = calloc(1, sizeof *s);
    if (s == NULL) return CS_NOMEM_ERR(err);
    atomic_init(&s->refs, 1);
    char canonical[TLS_SNI_MAX + 1];
    bool wild = strncmp(plan->name, "*.", 2) == 0, any = strcmp(plan->name, "*") == 0;
    if (!any && !tls_host_canonical(cs_view_str(plan->name + (wild ? 2 : 0)), canonical))
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "site %s: neither a DNS name, *.NAME nor *", plan->name);
    size_t size = strlen(plan->name) + 1;
    s->name = malloc(size);
    if (s->name == NULL) return CS_NOMEM_ERR(err);
    (void)snprintf(s->name, size, "%s%s", any ? "*" : wild ? "*." : "", any ? "" : canonical);
    TRY(tls_ctx_new(plan->tickets, plan->only_13, &s->ctx, err));
    for (size_t i = 0; i < plan->id_count; i++) {
        TRY(tls_use_identity(s->ctx, &plan->ids[i], TLS_FOR_SERVER, plan->clock, err));
        if (i == 0) s->first = SSL_CTX_get0_certificate(s->ctx);
    }
    TRY(use_groups(s, plan->groups, err));
    TRY(use_staple(s, plan, err));
    TRY(use_ca_names(s, plan, err));
    TRY(use_alpn(s, plan->alpn, err));
    TRY(digest_policy(plan, s->policy, err));
    s->client = plan->client;
    s->own_records = plan->own_records;
    if (s->own_records) tls_own_use(s->ctx);
    s->enroll = plan->enroll && plan->client != TLS_CLIENT_OFF;
    s->user = plan->user;
    s->anchors = plan->anchors != NULL ? cs_anchors_ref(plan->anchors) : NULL;
    s->pins = plan->pins != NULL ? cs_pins_ref(plan->pins) : NULL;
    s->crls = plan->crls != NULL ? cs_crls_ref(plan->crls) : NULL;
    s->vendors = s->enroll && plan->vendors != NULL ? cs_vendors_ref(plan->vendors) : NULL;
    for (size_t i = 0; plan->issuers != NULL && i < plan->issuers->n; i++)
        TRY(cs_certs_add(&s->issuers, cs_cert_ref(plan->issuers->at[i]), err));
    bool must = plan->client == TLS_CLIENT_REQUIRE && !s->enroll;
    int mode = plan->client == TLS_CLIENT_OFF ? SSL_VERIFY_NONE
               : must                         ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                              : SSL_VERIFY_PEER;
    SSL_CTX_set_verify(s->ctx, mode, NULL);
    if (SSL_CTX_set_session_id_context(s->ctx, s->policy, sizeof s->policy) != 1)
        return tls_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "session id context");
    *ret = CS_TAKE(s);
    return CS_OK;
}

void tls_site_free(tls_site *s) {
    if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1) return;
    SSL_CTX_free(s->ctx);
    cs_anchors_free(s->anchors);
    cs_crls_free(s->crls);
    cs_vendors_free(s->vendors);
    cs_pins_free(s->pins);
    free(s->staple);
    free(s->groups);
    cs_certs_free(&s->issuers);
    free(s->name);
    free(s->alpn);
    free(s);
}

void *tls_site_user(const tls_site *s) {
    return s->user;
}

const char *tls_site_name(const tls_site *s) {
    return s->name;
}
