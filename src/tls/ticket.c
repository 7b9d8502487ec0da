/* Sessions live with the client, in tickets that only we can open, or here (sessions.c); what one may still do is
 * decided each time it comes back. */
#include <pthread.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/secret.h"
#include "base/text.h"
#include "tls/tls_priv.h"

enum { OWN_KEYS = 3, NAME_SIZE = 16, GRANT_MAX = 512, GRANT_VERSION = 1 };

typedef struct ticket_key {
    uint8_t name[NAME_SIZE], aes[32], mac[32];
} ticket_key;
_Static_assert(sizeof(ticket_key) == TLS_TICKET_KEY, "a name, a key for AES, a key for HMAC");

struct tls_tickets {
    tls_sessions *sessions; /* NULL: sealed into tickets */
    pthread_mutex_t lock;
    unsigned count; /* of keys, the newest first */
    bool shared;    /* by others' will: not rotated here */
    ticket_key key[TLS_TICKET_KEYS_MAX];
    EVP_CIPHER *cipher;
};

cs_status tls_tickets_rotate(tls_tickets *t, const cs_rng *rng, cs_err *err) {
    ticket_key fresh;
    TRY(cs_rng_fill(rng, &fresh, sizeof fresh, err));
    (void)pthread_mutex_lock(&t->lock);
    if (!t->shared) {
        memmove(&t->key[1], &t->key[0], sizeof t->key[0] * (OWN_KEYS - 1));
        t->key[0] = fresh;
        if (t->count < OWN_KEYS) t->count++;
    }
    (void)pthread_mutex_unlock(&t->lock);
    cs_wipe(&fresh, sizeof fresh);
    return CS_OK;
}

void tls_tickets_share(tls_tickets *t, const uint8_t (*keys)[TLS_TICKET_KEY], size_t count) {
    if (count > TLS_TICKET_KEYS_MAX) count = TLS_TICKET_KEYS_MAX;
    if (count == 0) return;
    (void)pthread_mutex_lock(&t->lock);
    cs_wipe(t->key, sizeof t->key);
    memcpy(t->key, keys, count * sizeof t->key[0]);
    t->count = (unsigned)count;
    t->shared = true;
    (void)pthread_mutex_unlock(&t->lock);
}

static cs_status read_key(cs_view line, const uint8_t (*before)[TLS_TICKET_KEY], size_t count, uint8_t *out,
                          cs_err *err) {
    static const uint8_t zero[TLS_TICKET_KEY];
    size_t n = 0;
    if (line.n != 2 * (size_t)TLS_TICKET_KEY || !cs_hex_decode(line, out, TLS_TICKET_KEY, &n))
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "key %zu: expected %d hexadecimal digits", count + 1,
                       2 * TLS_TICKET_KEY);
    if (CRYPTO_memcmp(out, zero, NAME_SIZE) == 0 || CRYPTO_memcmp(out + NAME_SIZE, zero, 32) == 0 ||
        CRYPTO_memcmp(out + NAME_SIZE + 32, zero, 32) == 0) /* W06 */
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "key %zu: zeros are no key", count + 1);
    for (size_t i = 0; i < count; i++)
        if (memcmp(before[i], out, NAME_SIZE) == 0)
            return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "key %zu begins as key %zu does: each is drawn anew",
                           count + 1, i + 1);
    return CS_OK;
}

cs_status tls_ticket_keys_read(cs_view text, const char *what, uint8_t (*out)[TLS_TICKET_KEY], size_t *ret_count,
                               cs_err *err) {
    size_t count = 0;
    while (text.n > 0) {
        const uint8_t *end = memchr(text.p, '\n', text.n);
        size_t n = end != NULL ? (size_t)(end - text.p) : text.n, used = n + (end != NULL);
        const uint8_t *hash = n > 0 ? memchr(text.p, '#', n) : NULL;
        cs_view line = cs_view_of(text.p, hash != NULL ? (size_t)(hash - text.p) : n);
        while (line.n > 0 && line.p[line.n - 1] <= ' ') line.n--;
        text = cs_view_of(text.p + used, text.n - used);
        if (line.n == 0) continue;
        if (count == TLS_TICKET_KEYS_MAX)
            return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s: more than %d keys", what, TLS_TICKET_KEYS_MAX);
        cs_status s = read_key(line, (const uint8_t(*)[TLS_TICKET_KEY])out, count, out[count], err);
        if (s != CS_OK) return cs_fail_in(err, "%s", what);
        count++;
    }
    *ret_count = count;
    return count > 0 ? CS_OK
                     : cs_fail(err, CS_REFUSED, CS_R_FILE_EMPTY, "%s: no keys; openssl rand -hex %d draws one", what,
                               TLS_TICKET_KEY);
}

cs_status tls_tickets_new(const cs_rng *rng, size_t kept, tls_tickets **ret, cs_err *err) {
    CS_AUTO(tls_tickets) t = calloc(1, sizeof *t);
    if (t == NULL) return CS_NOMEM_ERR(err);
    (void)pthread_mutex_init(&t->lock, NULL);
    t->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    if (t->cipher == NULL) return tls_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "ticket cipher");
    TRY(tls_tickets_rotate(t, rng, err));
    if (kept > 0) TRY(tls_sessions_new(kept, &t->sessions, err));
    *ret = CS_TAKE(t);
    return CS_OK;
}

void tls_tickets_free(tls_tickets *t) {
    if (t == NULL) return;
    tls_sessions_free(t->sessions);
    EVP_CIPHER_free(t->cipher);
    (void)pthread_mutex_destroy(&t->lock);
    cs_wipe(t->key, sizeof t->key);
    free(t);
}

/* The key to seal with (name == NULL) or the one of that name; which of them it is comes back, -1: none. */
static int pick(tls_tickets *t, const uint8_t *name, ticket_key *out) {
    int found = -1;
    (void)pthread_mutex_lock(&t->lock);
    for (unsigned i = 0; i < t->count && found < 0; i++)
        if (name == NULL || memcmp(t->key[i].name, name, NAME_SIZE) == 0) found = (int)i;
    if (found >= 0) *out = t->key[found];
    (void)pthread_mutex_unlock(&t->lock);
    return found;
}

static int on_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                  int seal) {
    tls_tickets *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    ticket_key key;
    int which = t != NULL ? pick(t, seal ? NULL : name, &key) : -1;
    if (which < 0) return 0; /* unknown key: a full handshake */
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac, sizeof key.mac),
                                 OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
    bool ok = EVP_MAC_CTX_set_params(mac, params) == 1;
    if (seal) {
        memcpy(name, key.name, NAME_SIZE);
        ok = ok && cs_rng_fill(cs_rng_system(), iv, 16, &(cs_err){.status = CS_OK}) == CS_OK &&
             EVP_EncryptInit_ex2(cipher, t->cipher, key.aes, iv, NULL) == 1;
    } else {
        ok = ok && EVP_DecryptInit_ex2(cipher, t->cipher, key.aes, iv, NULL) == 1;
    }
    cs_wipe(&key, sizeof key);
    if (!ok) return -1;
    return seal || which == 0 ? 1 : 2;
}

static void grant_write(const tls_grant *g, cs_buf *b) {
    (void)cs_buf_add_byte(b, GRANT_VERSION);
    (void)cs_buf_add(b, g->policy, sizeof g->policy);
    (void)cs_buf_add_u64(b, (uint64_t)g->since);
    (void)cs_buf_add_u64(b, (uint64_t)g->good_until);
    unsigned count = g->path != NULL ? g->path->count : 0;
    (void)cs_buf_add_byte(b, (uint8_t)count);
    for (unsigned i = 0; i < count; i++) {
        (void)cs_buf_add(b, g->path->at[i].issuer, 32);
        (void)cs_buf_add_vec16(b, cs_view_of(g->path->at[i].serial, g->path->at[i].serial_n));
    }
}

/* *g: to be cleared, also on failure. */
static bool grant_read(cs_view data, tls_grant *g) {
    cs_rd r = cs_rd_of(data);
    *g = (tls_grant){.since = 0};
    if (cs_rd_u8(&r) != GRANT_VERSION) return false;
    cs_view policy = cs_rd_bytes(&r, 32);
    if (policy.n == 32) memcpy(g->policy, policy.p, 32);
    g->since = (cs_time)cs_rd_u64(&r);
    g->good_until = (cs_time)cs_rd_u64(&r);
    unsigned count = cs_rd_u8(&r);
    if (count > TLS_PATH_MAX) return false;
    g->path = count > 0 ? tls_path_new(count) : NULL;
    if (count > 0 && g->path == NULL) return false;
    for (unsigned i = 0; i < count; i++) {
        tls_link *l = &g->path->at[i];
        cs_view issuer = cs_rd_bytes(&r, 32), serial = cs_rd_vec16(&r);
        if (issuer.n != 32 || serial.n > sizeof l->serial) return false;
        memcpy(l->issuer, issuer.p, 32);
        memcpy(l->serial, serial.p, serial.n);
        l->serial_n = (uint8_t)serial.n;
    }
    return cs_rd_ended(&r);
}

void tls_grant_of_anonymous(tls_conn *c) {
    if (c->site == NULL || c->peer.leaf != NULL || SSL_get0_peer_certificate(c->ssl) != NULL || c->grant.since != 0)
        return;
    memcpy(c->grant.policy, c->site->policy, sizeof c->grant.policy);
    c->grant.since = cs_now(c->judge->clock);
}

tls_sessions *tls_tickets_sessions(tls_tickets *t) {
    return t != NULL ? t->sessions : NULL;
}

static int on_seal(SSL *ssl, void *arg) {
    tls_conn *c = tls_conn_of(ssl);
    (void)arg;
    CS_SCOPED(cs_buf) b = cs_buf_of(GRANT_MAX);
    /* a path that does not fit the grant cannot be looked after: its session carries none, and is never resumed */
    tls_grant_of_anonymous(c);
    if (c->site != NULL && c->grant.since != 0) grant_write(&c->grant, &b);
    return b.failed ? 0 : SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), b.p, b.n);
}

static cs_reason judge_grant(const tls_conn *c, const tls_grant *g, bool certificate) {
    if (c->site == NULL || memcmp(g->policy, c->site->policy, sizeof g->policy) != 0) return CS_R_HOST_MISDIRECTED;
    cs_time now = cs_now(c->judge->clock);
    if (now < g->since || now - g->since > TLS_SESSION_MAX) return CS_R_SESSION_ENDED;
    if ((g->path == NULL) == certificate) return CS_R_CERTIFICATE_REQUIRED;
    if (!certificate) return CS_R_NONE;
    if (now > g->good_until) return CS_R_CERTIFICATE_EXPIRED;
    if (!tls_revocation_known(c->judge)) return CS_R_REVOCATION_UNKNOWN;
    return tls_grant_revoked(g, c->judge->revset) ? CS_R_REVOKED : CS_R_NONE;
}

bool tls_grant_holds(tls_conn *c, const tls_grant *g, bool certificate) {
    c->not_resumed = judge_grant(c, g, certificate);
    return c->not_resumed == CS_R_NONE;
}

static bool may_resume(tls_conn *c, SSL_SESSION *s, tls_grant *g) {
    void *p = NULL;
    size_t n = 0;
    *g = (tls_grant){.since = 0};
    if (SSL_SESSION_get0_ticket_appdata(s, &p, &n) != 1 || n == 0 || !grant_read(cs_view_of(p, n), g)) return false;
    return tls_grant_holds(c, g, SSL_SESSION_get0_peer(s) != NULL);
}

static SSL_TICKET_RETURN on_open(SSL *ssl, SSL_SESSION *s, const unsigned char *name, size_t name_n,
                                 SSL_TICKET_STATUS status, void *arg) {
    tls_conn *c = tls_conn_of(ssl);
    tls_grant g;
    (void)name, (void)name_n, (void)arg;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (!may_resume(c, s, &g)) {
        tls_grant_clear(&g);
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    tls_grant_clear(&c->grant);
    c->grant = g;
    /* TLS 1.3 clients use a ticket once (RFC 8446 C.4), so each resumption must leave them the next; its grant stays
     * the first one's, with the first one's beginning. */
    bool keep = status == SSL_TICKET_SUCCESS && SSL_version(ssl) < TLS1_3_VERSION;
    return keep ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

cs_status tls_tickets_use(SSL_CTX *ctx, tls_tickets *t, cs_err *err) {
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_timeout(ctx, (long)(TLS_SESSION_MAX / CS_SEC));
    if (t == NULL) {
        (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        return SSL_CTX_set_num_tickets(ctx, 0) == 1 ? CS_OK : tls_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "tickets");
    }
    (void)SSL_CTX_set_app_data(ctx, t);
    if (t->sessions != NULL) {
        tls_sessions_use(ctx);
        return SSL_CTX_set_num_tickets(ctx, 1) == 1 ? CS_OK : tls_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "tickets");
    }
    if (SSL_CTX_set_num_tickets(ctx, 1) != 1 || SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_key) != 1 ||
        SSL_CTX_set_session_ticket_cb(ctx, on_seal, on_open, NULL) != 1)
        return tls_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "tickets");
    return CS_OK;
}
