/* The way from libssl's object to our own record layer, when a handshake of TLS 1.3 is done. The traffic secrets come
 * by libssl's call for key logs, the only one that tells them; they go nowhere but into the connection's records. */
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/secret.h"
#include "base/text.h"
#include "tls/tls_priv.h"

static void capture_free(tls_conn *c) {
    if (c->capture != NULL) cs_wipe(c->capture, sizeof *c->capture);
    free(c->capture);
    c->capture = NULL;
}

/* "LABEL CLIENT-RANDOM SECRET", in hexadecimal. */
static bool read_line(const char *line, const char *label, uint8_t *out, uint8_t *ret_n) {
    size_t label_n = strlen(label), n = 0;
    if (strncmp(line, label, label_n) != 0) return false;
    const char *secret = strchr(line + label_n, ' ');
    bool ok = secret != NULL && cs_hex_decode(cs_view_str(secret + 1), out, TLS_SECRET_MAX, &n);
    *ret_n = ok ? (uint8_t)n : 0;
    return true;
}

static void on_key(const SSL *ssl, const char *line) {
    tls_conn *c = tls_conn_of(ssl);
    if (c == NULL || c->judge == NULL || c->judge->ciphers == NULL) return;
    if (c->capture == NULL) c->capture = calloc(1, sizeof *c->capture);
    tls_capture *k = c->capture;
    if (k == NULL) return; /* libssl keeps the connection */
    (void)(read_line(line, "CLIENT_TRAFFIC_SECRET_0 ", k->in, &k->in_n) ||
           read_line(line, "SERVER_TRAFFIC_SECRET_0 ", k->out, &k->out_n));
}

void tls_own_use(SSL_CTX *ctx) {
    SSL_CTX_set_keylog_callback(ctx, on_key);
}

/* Tickets are sent under the keys that we take over. */
void tls_own_count(tls_conn *c, int sent) {
    tls_capture *k = c->capture;
    if (k == NULL) return;
    if (sent && k->out_n > 0) k->out_seq++;
    if (!sent && k->in_n > 0) k->in_seq++;
}

/* The name in the site's own list, which lives as long as the connection. */
static bool keep_alpn(const tls_conn *c, cs_view *ret) {
    cs_view chosen = tls_conn_alpn(c);
    cs_rd r = cs_rd_of(cs_view_of(c->site->alpn, c->site->alpn_n));
    *ret = cs_view_of(NULL, 0);
    while (chosen.n > 0 && r.left > 0) {
        cs_view one = cs_rd_bytes(&r, cs_rd_u8(&r));
        if (!cs_view_eq(one, chosen)) continue;
        *ret = one;
        return true;
    }
    return chosen.n == 0;
}

static bool make(tls_conn *c, const tls_capture *k, tls_own *own) {
    cs_err err;
    const tls_suite *suite = tls_suite_of(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(c->ssl)));
    if (suite == NULL || k->in_n != suite->hash_n || k->out_n != suite->hash_n) return false;
    /* nothing that came may be left with libssl */
    if (k->in_seq != 0 || SSL_has_pending(c->ssl) == 1 || SSL_get_shutdown(c->ssl) != 0) return false;
    const tls_records_plan plan = {.suite = suite, .in = k->in, .out = k->out, .out_seq = k->out_seq};
    own->group = tls_conn_group(c);
    return keep_alpn(c, &own->alpn) && tls_records_init(&own->records, c->judge->ciphers, &plan, &err) == CS_OK;
}

void tls_own_take(tls_conn *c) {
    if (c->capture == NULL) return;
    tls_own *own = SSL_version(c->ssl) == TLS1_3_VERSION ? calloc(1, sizeof *own) : NULL;
    if (own != NULL && make(c, c->capture, own)) {
        SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* its session stays good */
        SSL_free(c->ssl);
        c->ssl = NULL;
        c->own = own;
    } else if (own != NULL) {
        tls_records_wipe(&own->records);
        free(own);
    }
    ERR_clear_error();
    capture_free(c);
}

void tls_own_free(tls_conn *c) {
    capture_free(c);
    if (c->own == NULL) return;
    tls_records_wipe(&c->own->records);
    free(c->own);
}

/* What is missing to the header, or to the whole, of the record that waits. */
static size_t missing(cs_view have) {
    if (have.n < TLS_RECORD_HEADER) return TLS_RECORD_HEADER - have.n;
    size_t whole = TLS_RECORD_HEADER + ((size_t)have.p[3] << 8 | have.p[4]);
    return have.n < whole ? whole - have.n : 0;
}

static cs_status keep(tls_conn *c, const uint8_t *p, size_t n, cs_err *err) {
    if (n > 0 && c->in_at > 0) {
        cs_buf_consume(&c->in, c->in_at);
        c->in_at = 0;
    }
    return cs_buf_add(&c->in, p, n) ? CS_OK : cs_buf_ok(&c->in, "a connection's input", err);
}

/* A record that came in pieces is put together; all others are opened where they lie. */
cs_status tls_own_open(tls_conn *c, cs_view data, cs_buf *plain, cs_err *err) {
    tls_records *r = &c->own->records;
    size_t used = 0;
    while (c->in.n > c->in_at) {
        cs_view have = cs_view_of(c->in.p + c->in_at, c->in.n - c->in_at);
        size_t some = missing(have);
        if (some > data.n) some = data.n;
        TRY(keep(c, data.p, some, err));
        data.p += some;
        data.n -= some;
        have = cs_view_of(c->in.p + c->in_at, c->in.n - c->in_at);
        TRY(tls_records_open(r, have, &used, plain, &c->out, err));
        c->in_at += used;
        if (c->in_at == c->in.n) c->in_at = c->in.n = 0;
        if (used == 0 && data.n == 0) return CS_OK;
    }
    TRY(tls_records_open(r, data, &used, plain, &c->out, err));
    c->ended = r->ended;
    return keep(c, data.p + used, data.n - used, err);
}
