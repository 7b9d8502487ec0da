/* Sessions kept here: what libssl needs to resume one, without the client's certificate, which is the largest part of
 * it and known to us in another form. A ticket (TLS 1.3) or session id (1.2) is only a name, 32 random octets. All
 * threads share them. */
#include <pthread.h>
#include <stdlib.h>

#include <openssl/ssl.h>

#include "base/secret.h"
#include "tls/tls_priv.h"

enum { WAYS = 4, LOCKS = 64, DER_MAX = 256, USED_LINGER = 2 * CS_MIN };

typedef struct entry {
    uint8_t id[SSL_MAX_SSL_SESSION_ID_LENGTH];
    cs_time until; /* by our clock */
    cs_cert *leaf; /* NULL: without a certificate */
    tls_grant grant;
    uint16_t der_n;
    uint8_t der[];
} entry;

typedef entry *set[WAYS];

struct tls_sessions {
    size_t sets;
    set *at;
    pthread_mutex_t lock[LOCKS];
};

cs_status tls_sessions_new(size_t capacity, tls_sessions **ret, cs_err *err) {
    tls_sessions *t = calloc(1, sizeof *t);
    if (t == NULL) return CS_NOMEM_ERR(err);
    t->sets = (capacity + WAYS - 1) / WAYS;
    t->at = calloc(t->sets, sizeof *t->at);
    if (t->at == NULL) {
        free(t);
        return CS_NOMEM_ERR(err);
    }
    for (unsigned i = 0; i < LOCKS; i++) (void)pthread_mutex_init(&t->lock[i], NULL);
    *ret = t;
    return CS_OK;
}

static void forget(entry *e) {
    if (e == NULL) return;
    cs_cert_free(e->leaf);
    tls_path_free(e->grant.path);
    cs_wipe(e, sizeof *e + e->der_n);
    free(e);
}

void tls_sessions_free(tls_sessions *t) {
    if (t == NULL) return;
    for (size_t i = 0; i < t->sets; i++)
        for (unsigned k = 0; k < WAYS; k++) forget(t->at[i][k]);
    for (unsigned i = 0; i < LOCKS; i++) (void)pthread_mutex_destroy(&t->lock[i]);
    free(t->at);
    free(t);
}

static size_t set_of(const tls_sessions *t, const uint8_t *id) {
    uint64_t h = 0;
    for (unsigned i = 0; i < 8; i++) h = h << 8 | id[i];
    return (size_t)(h % t->sets);
}

/* An element of SSL_SESSION_ASN1 after `r`: its tag, and all of it. */
static bool element(cs_rd *r, uint8_t *tag, cs_view *whole) {
    const uint8_t *start = r->p;
    *tag = cs_rd_u8(r);
    size_t n = cs_rd_u8(r);
    if (n == 0x81)
        n = cs_rd_u8(r);
    else if (n == 0x82)
        n = cs_rd_u16(r);
    else if (n >= 0x80)
        return false;
    (void)cs_rd_bytes(r, n);
    *whole = cs_view_of(start, (size_t)(r->p - start));
    return cs_rd_ok(r);
}

/* Copies the session's DER without [3], the peer's certificate. 0: it does not fit. */
static size_t strip(cs_view der, uint8_t out[DER_MAX]) {
    uint8_t tag = 0, body[DER_MAX];
    size_t n = 0;
    cs_rd r = cs_rd_of(der);
    if (cs_rd_u8(&r) != 0x30) return 0;
    uint8_t first = cs_rd_u8(&r);
    if (first > 0x80) (void)cs_rd_bytes(&r, first & 0x7fU);
    while (r.left > 0) {
        cs_view whole;
        if (!element(&r, &tag, &whole)) return 0;
        if (tag == 0xa3) continue;
        if (n + whole.n > DER_MAX - 3) return 0;
        memcpy(body + n, whole.p, whole.n);
        n += whole.n;
    }
    size_t at = 0;
    out[at++] = 0x30;
    if (n >= 0x80) out[at++] = 0x81;
    out[at++] = (uint8_t)n;
    if (n > 0xff) return 0;
    memcpy(out + at, body, n);
    cs_wipe(body, sizeof body);
    return at + n;
}

/* The oldest goes. */
static entry **place_for(set s, const uint8_t *id, cs_time now) {
    entry **oldest = &s[0];
    for (unsigned i = 0; i < WAYS; i++) {
        if (s[i] == NULL || s[i]->until < now || memcmp(s[i]->id, id, sizeof s[i]->id) == 0) return &s[i];
        if (s[i]->until < (*oldest)->until) oldest = &s[i];
    }
    return oldest;
}

void tls_sessions_adopt(tls_conn *c) {
    if (c->named.grant.since == 0 || SSL_session_reused(c->ssl) != 1) return;
    tls_peer_clear(&c->peer);
    tls_grant_clear(&c->grant);
    c->peer.leaf = c->named.leaf;
    c->grant = c->named.grant;
    c->named.leaf = NULL;
    c->named.grant = (tls_grant){.since = 0};
}

static int on_new(SSL *ssl, SSL_SESSION *session) {
    tls_conn *c = tls_conn_of(ssl);
    tls_sessions *t = tls_tickets_sessions(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
    uint8_t small[DER_MAX];
    unsigned char *der = NULL;
    unsigned id_n = 0;
    const uint8_t *id = SSL_SESSION_get_id(session, &id_n);
    tls_sessions_adopt(c);
    tls_grant_of_anonymous(c);
    /* a path that does not fit the grant cannot be looked after: its session is never resumed */
    if (t == NULL || c->site == NULL || c->grant.since == 0 || id_n != SSL_MAX_SSL_SESSION_ID_LENGTH) return 0;
    int n = i2d_SSL_SESSION(session, &der);
    size_t small_n = n > 0 ? strip(cs_view_of(der, (size_t)n), small) : 0;
    if (n > 0) OPENSSL_clear_free(der, (size_t)n);
    if (small_n == 0) return 0;
    entry *e = malloc(sizeof *e + small_n);
    if (e == NULL) return 0;
    *e = (entry){.until = c->grant.since + TLS_SESSION_MAX, .der_n = (uint16_t)small_n};
    tls_grant_copy(&e->grant, &c->grant);
    memcpy(e->id, id, sizeof e->id);
    memcpy(e->der, small, small_n);
    e->leaf = c->peer.leaf != NULL ? cs_cert_ref(c->peer.leaf) : NULL;
    size_t which = set_of(t, id);
    (void)pthread_mutex_lock(&t->lock[which % LOCKS]);
    entry **place = place_for(t->at[which], id, cs_now(c->judge->clock)), *old = *place;
    *place = e;
    (void)pthread_mutex_unlock(&t->lock[which % LOCKS]);
    forget(old);
    cs_wipe(small, sizeof small);
    return 0; /* libssl's reference stays its own */
}

/* A copy of the entry, with references to its leaf and path. In TLS 1.3 each resumption leaves the client another, so
 * that one that was used lives on only as long as connections that were begun beside it need it. */
static bool take(tls_sessions *t, const uint8_t *id, bool once, cs_time now, entry *head, uint8_t der[DER_MAX]) {
    size_t which = set_of(t, id);
    bool found = false;
    (void)pthread_mutex_lock(&t->lock[which % LOCKS]);
    for (unsigned i = 0; i < WAYS && !found; i++) {
        entry *e = t->at[which][i];
        if (e == NULL || memcmp(e->id, id, sizeof e->id) != 0 || e->until < now) continue;
        found = true;
        *head = *e;
        memcpy(der, e->der, e->der_n);
        if (head->leaf != NULL) head->leaf = cs_cert_ref(head->leaf);
        tls_grant_copy(&head->grant, &e->grant);
        if (once && e->until > now + USED_LINGER) e->until = now + USED_LINGER;
    }
    (void)pthread_mutex_unlock(&t->lock[which % LOCKS]);
    return found;
}

static SSL_SESSION *on_get(SSL *ssl, const unsigned char *id, int id_n, int *copy) {
    tls_conn *c = tls_conn_of(ssl);
    tls_sessions *t = tls_tickets_sessions(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
    uint8_t der[DER_MAX];
    entry e;
    *copy = 0;
    if (t == NULL || c->site == NULL || id_n != SSL_MAX_SSL_SESSION_ID_LENGTH) return NULL;
    if (!take(t, id, SSL_version(ssl) >= TLS1_3_VERSION, cs_now(c->judge->clock), &e, der)) return NULL;
    const unsigned char *p = der;
    SSL_SESSION *s = tls_grant_holds(c, &e.grant, e.leaf != NULL) ? d2i_SSL_SESSION(NULL, &p, e.der_n) : NULL;
    if (s != NULL) {
        cs_cert_free(c->named.leaf);
        tls_grant_clear(&c->named.grant);
        c->named.leaf = e.leaf;
        c->named.grant = e.grant;
        e.leaf = NULL;
        e.grant.path = NULL;
    }
    cs_cert_free(e.leaf);
    tls_path_free(e.grant.path);
    cs_wipe(der, sizeof der);
    return s;
}

void tls_sessions_use(SSL_CTX *ctx) {
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL |
                                                  SSL_SESS_CACHE_NO_AUTO_CLEAR);
    SSL_CTX_sess_set_new_cb(ctx, on_new);
    SSL_CTX_sess_set_get_cb(ctx, on_get);
}
