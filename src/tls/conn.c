#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/tls_priv.h"

/* Each costs the derivation of keys, and an answer if it asks for one (RFC 8446 4.6.3); nobody needs many in a row. */
void tls_on_message(int sent, int version, int type, const void *p, size_t n, SSL *ssl, void *arg) {
    tls_conn *c = tls_conn_of(ssl);
    (void)version, (void)arg;
    if (c == NULL) return;
    if (type == SSL3_RT_HEADER) tls_own_count(c, sent);
    if (sent != 0 || type != SSL3_RT_HANDSHAKE || n == 0) return;
    if (*(const uint8_t *)p == SSL3_MT_KEY_UPDATE) c->key_updates++;
}

cs_status tls_conn_make(SSL_CTX *ctx, tls_conn **ret, cs_err *err) {
    CS_AUTO(tls_conn) c = calloc(1, sizeof *c);
    if (c == NULL) return CS_NOMEM_ERR(err);
    c->in = cs_buf_of(TLS_IN_MAX);
    c->out = cs_buf_of(TLS_OUT_MAX);
    c->ssl = SSL_new(ctx);
    BIO *bio = c->ssl != NULL ? tls_bio_new(c) : NULL;
    if (bio == NULL || SSL_set_app_data(c->ssl, c) != 1) {
        BIO_free(bio);
        ERR_clear_error();
        return CS_NOMEM_ERR(err);
    }
    SSL_set_bio(c->ssl, bio, bio);
    *ret = CS_TAKE(c);
    return CS_OK;
}

cs_status tls_conn_new(tls_front *front, tls_judge *judge, tls_conn **ret, cs_err *err) {
    TRY(tls_conn_make(front->ctx, ret, err));
    (*ret)->judge = judge;
    (*ret)->front = tls_front_ref(front);
    SSL_set_accept_state((*ret)->ssl);
    return CS_OK;
}

void tls_conn_free(tls_conn *c) {
    if (c == NULL) return;
    SSL_free(c->ssl);
    tls_own_free(c);
    tls_front_free(c->front);
    tls_dialer_free(c->dialer);
    tls_peer_clear(&c->peer);
    cs_cert_free(c->named.leaf);
    tls_grant_clear(&c->grant);
    tls_grant_clear(&c->named.grant);
    free(c->name);
    free(c->binding);
    cs_buf_free(&c->in);
    cs_buf_free(&c->out);
    free(c);
}

void tls_conn_eof(tls_conn *c) {
    c->eof = true;
}

cs_view tls_conn_out(const tls_conn *c) {
    return c->out.p != NULL ? cs_view_of(c->out.p + c->out_at, c->out.n - c->out_at) : cs_view_of(NULL, 0);
}

/* An idle connection holds no buffers. */
void tls_conn_sent(tls_conn *c, size_t n) {
    c->out_at += n;
    if (c->out_at < c->out.n) return;
    c->out_at = 0;
    if (c->out.cap > 4096)
        cs_buf_free(&c->out), c->out = cs_buf_of(TLS_OUT_MAX);
    else
        cs_buf_clear(&c->out);
    if (c->in.n == 0 && c->in.cap > 4096) cs_buf_free(&c->in), c->in = cs_buf_of(TLS_IN_MAX);
}

void tls_conn_idle(tls_conn *c) {
    if (c->own != NULL) tls_records_idle(&c->own->records);
    if (c->in.n == 0 && c->in.cap > 0) {
        c->in_at = 0;
        cs_buf_free(&c->in);
        c->in = cs_buf_of(TLS_IN_MAX);
    }
    if (c->out.n == 0 && c->out.cap > 0) {
        c->out_at = 0;
        cs_buf_free(&c->out);
        c->out = cs_buf_of(TLS_OUT_MAX);
    }
}

cs_status tls_alert_received(int code, cs_err *err) {
    const char *words = code == SSL_AD_CERTIFICATE_REQUIRED ? "certificate required" : SSL_alert_desc_string_long(code);
    return cs_fail(err, CS_REFUSED, CS_R_TLS_ALERT_RECEIVED, "the peer sent the alert \"%s\" (%d)", words, code);
}

/* libssl's words, as one of our reasons. */
static cs_status explain(tls_conn *c, unsigned long e, cs_err *err) {
    int r = ERR_GET_REASON(e);
    const char *words = ERR_reason_error_string(e);
    if (words == NULL) words = "no reason given";
    if (c->sni_unknown)
        return cs_fail(err, CS_REFUSED, CS_R_SNI_UNKNOWN, "%s", c->name != NULL ? c->name : "the client named no host");
    if (c->peer.reason != CS_R_NONE)
        return cs_fail(err, CS_REFUSED, c->peer.reason, "%s", c->peer.detail != NULL ? c->peer.detail : "");
    if (ERR_GET_LIB(e) != ERR_LIB_SSL) return cs_fail(err, CS_REFUSED, CS_R_TLS_HANDSHAKE_FAILED, "%s", words);
    if (r >= SSL_AD_REASON_OFFSET) return tls_alert_received(r - SSL_AD_REASON_OFFSET, err);
    switch (r) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_REQUIRED, "site %s", c->site != NULL ? c->site->name : "");
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_VERSION_TOO_HIGH:
    case SSL_R_NO_PROTOCOLS_AVAILABLE: return cs_fail(err, CS_REFUSED, CS_R_TLS_VERSION_UNSUPPORTED, "%s", words);
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS: return cs_fail(err, CS_REFUSED, CS_R_TLS_NO_SHARED_CIPHER, "%s", words);
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return cs_fail(err, CS_REFUSED, CS_R_TLS_ALPN_MISMATCH, "site %s", c->site != NULL ? c->site->name : "");
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST: return cs_fail(err, CS_REFUSED, CS_R_TLS_NOT_TLS, "%s", words);
    case SSL_R_EXCESSIVE_MESSAGE_SIZE: return cs_fail(err, CS_LIMIT, CS_R_CHAIN_TOO_BIG, "%s", words);
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
        return cs_fail(err, CS_REFUSED, CS_R_TLS_PEER_CLOSED, "%s", "without close_notify");
    default:
        return cs_fail(err, CS_REFUSED, c->established ? CS_R_TLS_RECORD_INVALID : CS_R_TLS_HANDSHAKE_FAILED, "%s",
                       words);
    }
}

/* After every call of libssl: what came of it, and an empty queue. The first error of the queue is the cause. */
static cs_status outcome(tls_conn *c, int rc, cs_err *err) {
    int why = SSL_get_error(c->ssl, rc);
    unsigned long e = ERR_peek_error();
    cs_status s = CS_AGAIN;
    switch (why) {
    case SSL_ERROR_WANT_READ:
        if (c->eof) s = cs_fail(err, CS_REFUSED, CS_R_TLS_PEER_CLOSED, "%s", "without close_notify");
        break;
    case SSL_ERROR_WANT_WRITE:
    case SSL_ERROR_WANT_CLIENT_HELLO_CB: break;
    case SSL_ERROR_ZERO_RETURN: s = cs_fail(err, CS_REFUSED, CS_R_TLS_PEER_CLOSED, "%s", "with close_notify"); break;
    case SSL_ERROR_SYSCALL:
        s = c->out.failed ? cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s", "a connection's output")
                          : cs_fail(err, CS_REFUSED, CS_R_TLS_PEER_CLOSED, "%s", "without close_notify");
        break;
    default: s = explain(c, e, err); break;
    }
    ERR_clear_error();
    return s;
}

/* A TLS 1.2 or 1.3 client begins with a handshake record; anything else is told from a broken one here. */
static cs_status looks_like_tls(tls_conn *c, cs_err *err) {
    size_t have = c->in.n - c->in_at;
    if (c->not_tls_seen || have == 0 || c->dialer != NULL) return CS_OK;
    c->not_tls_seen = true;
    uint8_t first = c->in.p[c->in_at];
    if (first == 0x16) return CS_OK;
    if (first == 0x80)
        return cs_fail(err, CS_REFUSED, CS_R_TLS_VERSION_UNSUPPORTED, "%s", "a hello in the form of SSL 2.0");
    return cs_fail(err, CS_REFUSED, CS_R_TLS_NOT_TLS, "the first octet is 0x%02x", first);
}

static cs_status established(tls_conn *c, cs_err *err) {
    c->established = true;
    if (c->dialer != NULL) return CS_OK;
    if (c->site == NULL) return cs_fail(err, CS_REFUSED, CS_R_INTERNAL_ERROR, "%s", "no site was chosen");
    if (SSL_session_reused(c->ssl)) {
        tls_sessions_adopt(c);
        TRY(tls_peer_resumed(c, err));
    } else if (c->peer.leaf == NULL && c->grant.since == 0) {
        memcpy(c->grant.policy, c->site->policy, sizeof c->grant.policy);
        c->grant.since = cs_now(c->judge->clock);
    }
    if (c->site->client == TLS_CLIENT_REQUIRE && c->peer.leaf == NULL && !c->site->enroll)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_REQUIRED, "site %s", c->site->name);
    return CS_OK;
}

/* libssl keeps both sides' ephemeral keys as long as the connection lives. They have done their work: our private one
 * is wiped, so that what is in memory later tells nothing of the secrets that came of it, and half a KiB is free (with
 * hybrid groups several). Giving a key another type empties it. */
static void drop_ephemeral_keys(SSL *ssl) {
    EVP_PKEY *ours = NULL, *theirs = NULL;
    if (SSL_get_tmp_key(ssl, &ours) == 1) (void)EVP_PKEY_set_type(ours, EVP_PKEY_EC);
    if (SSL_get_peer_tmp_key(ssl, &theirs) == 1) (void)EVP_PKEY_set_type(theirs, EVP_PKEY_EC);
    EVP_PKEY_free(ours);
    EVP_PKEY_free(theirs);
    ERR_clear_error();
}

cs_status tls_conn_handshake(tls_conn *c, cs_err *err) {
    if (c->established) return CS_OK;
    TRY(looks_like_tls(c, err));
    ERR_clear_error();
    int rc = SSL_do_handshake(c->ssl);
    if (rc == 1) {
        drop_ephemeral_keys(c->ssl);
        TRY(established(c, err));
        tls_binding_keep(c);
        tls_own_take(c);
        return CS_OK;
    }
    return outcome(c, rc, err);
}

/* One record of libssl's, by way of a buffer of the thread: a connection holds what has come, not room for what may
 * come, or the heap of ten thousand idle ones would be full of holes of that size. */
static cs_status read_record(tls_conn *c, cs_buf *plain, cs_err *err) {
    static _Thread_local uint8_t shared[TLS_RECORD_PLAIN_MAX];
    size_t n = 0;
    ERR_clear_error();
    int rc = SSL_read_ex(c->ssl, shared, sizeof shared, &n);
    if (c->key_updates > TLS_KEY_UPDATES_MAX) {
        ERR_clear_error();
        return cs_fail(err, CS_REFUSED, CS_R_TLS_RECORD_INVALID, "%u KeyUpdates and no data", c->key_updates);
    }
    if (rc == 1) {
        c->key_updates = 0;
        return cs_buf_add(plain, shared, n) ? CS_OK : cs_buf_ok(plain, "a connection's input", err);
    }
    c->ended = SSL_get_error(c->ssl, rc) == SSL_ERROR_ZERO_RETURN;
    if (!c->ended) return outcome(c, rc, err);
    ERR_clear_error();
    return CS_AGAIN;
}

static bool keep(tls_conn *c, cs_view data) {
    if (data.n > 0 && c->in_at > 0) {
        cs_buf_consume(&c->in, c->in_at);
        c->in_at = 0;
    }
    return cs_buf_add_view(&c->in, data);
}

cs_status tls_conn_open(tls_conn *c, cs_view data, size_t most, cs_buf *plain, cs_err *err) {
    cs_status s = CS_OK;
    if (c->ended) return CS_OK;
    if (c->own != NULL) {
        s = tls_own_open(c, data, plain, err);
        if (s != CS_OK || !c->eof || c->ended) return s;
        return cs_fail(err, CS_REFUSED, CS_R_TLS_PEER_CLOSED, "%s", "without close_notify");
    }
    if (!keep(c, data)) return cs_buf_ok(&c->in, "a connection's input", err);
    if (!c->established) return CS_OK;
    while (s == CS_OK && !c->ended && plain->n < most) s = read_record(c, plain, err);
    return s == CS_AGAIN ? CS_OK : s;
}

bool tls_conn_ended(const tls_conn *c) {
    return c->ended;
}

cs_status tls_conn_write(tls_conn *c, cs_view data, cs_err *err) {
    if (c->own != NULL) return tls_records_seal(&c->own->records, data, &c->out, err);
    while (data.n > 0) {
        size_t put = 0;
        ERR_clear_error();
        int rc = SSL_write_ex(c->ssl, data.p, data.n, &put);
        if (rc != 1) {
            cs_status s = outcome(c, rc, err);
            return s == CS_AGAIN ? cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "%s", "TLS write would wait") : s;
        }
        data.p += put;
        data.n -= put;
    }
    return CS_OK;
}

void tls_conn_close(tls_conn *c) {
    if (c->own != NULL) {
        tls_records_close(&c->own->records, &c->out);
        return;
    }
    ERR_clear_error();
    if (c->established) (void)SSL_shutdown(c->ssl);
    ERR_clear_error();
}

void tls_conn_alert(tls_conn *c, cs_reason reason) {
    int alert = cs_reason_of(reason)->alert;
    if (c->own != NULL) tls_records_alert(&c->own->records, alert > 0 ? (uint8_t)alert : SSL_AD_ACCESS_DENIED, &c->out);
}

void tls_conn_discard(tls_conn *c) {
    c->in_at = 0;
    c->ended = true;
    cs_buf_clear(&c->in);
}

cs_reason tls_conn_not_resumed(const tls_conn *c) {
    return c->not_resumed;
}

const tls_peer *tls_conn_peer(const tls_conn *c) {
    return &c->peer;
}

tls_site *tls_conn_site(const tls_conn *c) {
    return c->site;
}

const char *tls_conn_sni(const tls_conn *c) {
    return c->name != NULL ? c->name : "";
}

const char *tls_conn_version(const tls_conn *c) {
    return c->own != NULL ? "TLSv1.3" : SSL_get_version(c->ssl);
}

const char *tls_conn_cipher(const tls_conn *c) {
    return c->own != NULL ? c->own->records.suite->name : SSL_get_cipher_name(c->ssl);
}

const char *tls_conn_group(const tls_conn *c) {
    if (c->own != NULL) return c->own->group;
    long id = SSL_get_negotiated_group((SSL *)(uintptr_t)c->ssl);
    const char *name = id > 0 ? SSL_group_to_name(c->ssl, (int)id) : NULL;
    return name != NULL ? name : "";
}

cs_view tls_conn_alpn(const tls_conn *c) {
    const unsigned char *p = NULL;
    unsigned n = 0;
    if (c->own != NULL) return c->own->alpn;
    SSL_get0_alpn_selected(c->ssl, &p, &n);
    return cs_view_of(p, n);
}

bool tls_conn_is_13(const tls_conn *c) {
    return c->own != NULL || SSL_version(c->ssl) == TLS1_3_VERSION;
}

bool tls_conn_own(const tls_conn *c) {
    return c->own != NULL;
}
