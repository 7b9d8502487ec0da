/* tls/tls_priv.h - what the files of this room share. */
#ifndef CS_TLS_TLS_PRIV_H
#define CS_TLS_TLS_PRIV_H

#include "tls/record.h"
#include "tls/tls.h"

#include <openssl/ssl.h>

enum { TLS_SNI_MAX = 255, TLS_PATH_MAX = 6, TLS_IN_MAX = 256 * 1024, TLS_OUT_MAX = 4 * 1024 * 1024 };

/* A certificate of a client's path, by what a revocation names. */
typedef struct tls_link {
    uint8_t issuer[32]; /* SHA-256 of the issuer's SPKI */
    uint8_t serial_n, serial[CS_SERIAL_MAX + 1];
} tls_link;

/* A client's path, without the anchor. Counted and immutable: connections, sessions and verdicts share it. */
typedef struct tls_path {
    atomic_uint refs;
    unsigned count;
    tls_link at[];
} tls_path;

/* What a session remembers, beside the leaf; sealed into the ticket. */
typedef struct tls_grant {
    uint8_t policy[32]; /* of the site */
    cs_time since;      /* of the full handshake */
    cs_time good_until;
    tls_path *path; /* NULL: without a certificate */
} tls_grant;

struct tls_site {
    atomic_uint refs;
    SSL_CTX *ctx;
    char *name;
    tls_client client;
    bool enroll, own_records;
    cs_anchors *anchors;
    cs_crls *crls;
    cs_vendors *vendors;
    cs_pins *pins;
    uint8_t *staple; /* DER, or NULL */
    size_t staple_n;
    cs_time staple_until;
    const X509 *first; /* the certificate that the staple is for */
    char *groups;      /* NULL: ours */
    cs_certs issuers;  /* of clients' certificates, known without being sent */
    uint8_t *alpn;     /* protocol names as RFC 7301 3.1 has them, or NULL */
    unsigned alpn_n;
    uint8_t policy[32];
    void *user;
};

struct tls_front {
    atomic_uint refs;
    SSL_CTX *ctx;     /* sees the hello, then hands over to a site's */
    tls_site **sites; /* sorted by name, "*" is not among them */
    size_t count;
    tls_site *fallback; /* "*" */
};

/* The traffic secrets of a connection whose handshake goes on, and how many records each has protected. */
typedef struct tls_capture {
    uint8_t in[TLS_SECRET_MAX], out[TLS_SECRET_MAX];
    uint8_t in_n, out_n;
    unsigned in_seq, out_seq;
} tls_capture;

/* What is left of libssl's object. */
typedef struct tls_own {
    tls_records records;
    const char *group; /* the site's context has it */
    cs_view alpn;      /* the site has it */
} tls_own;

struct tls_conn {
    SSL *ssl;             /* NULL: own is there */
    tls_own *own;         /* our record layer; NULL: libssl's */
    tls_capture *capture; /* NULL: none, or not yet */
    tls_front *front;     /* serving */
    tls_judge *judge;     /* serving */
    tls_dialer *dialer;   /* asking; else NULL */
    tls_site *site;
    cs_buf in, out;
    size_t in_at, out_at;
    bool eof, established, ended, sni_unknown, not_tls_seen;
    cs_reason not_resumed; /* why the session that the client named counts for nothing */
    unsigned key_updates;  /* since application data last came */
    tls_peer peer;
    tls_grant grant;
    /* Of a kept session that the client has named: names are no secrets, so that it counts only once the handshake has
     * proved that the client knows the session's. */
    struct {
        cs_cert *leaf;
        tls_grant grant;
    } named;
    char *name;                  /* the client's SNI; of the server that we dial; NULL: none */
    struct tls_binding *binding; /* NULL: none, or not a site for it */
};

/* binding.c */
void tls_binding_keep(tls_conn *c); /* while libssl's object is there */

/* bio.c */
BIO *tls_bio_new(tls_conn *c);
/* hello.c: chooses the site. */
int tls_on_hello(SSL *ssl, int *alert, void *arg);
bool tls_host_canonical(cs_view host, char out[TLS_SNI_MAX + 1]);
/* judge.c */
int tls_on_certificate(X509_STORE_CTX *store, void *arg);
void tls_peer_clear(tls_peer *p);
tls_path *tls_path_new(unsigned count); /* zeroed; NULL: no memory */
void tls_path_free(tls_path *p);
void tls_grant_copy(tls_grant *to, const tls_grant *from); /* `to` holds nothing */
void tls_grant_clear(tls_grant *g);
bool tls_grant_revoked(const tls_grant *g, const cs_revset *set);
bool tls_revocation_known(const tls_judge *j);
/* After a resumption: the leaf of the session becomes the peer. */
cs_status tls_peer_resumed(tls_conn *c, cs_err *err);
/* memory.c */
/* Was this certificate found good at c's site, and is it still? Then c->peer and c->grant are filled. */
bool tls_memory_find(tls_memory *m, const uint8_t leaf[32], tls_conn *c, X509 **ret_peer);
void tls_memory_keep(tls_memory *m, const tls_conn *c, X509 *peer); /* c was found good; peer: with its key */
/* ticket.c */
cs_status tls_tickets_use(SSL_CTX *ctx, tls_tickets *t, cs_err *err);
void tls_grant_of_anonymous(tls_conn *c); /* one without a certificate may be resumed too */
/* May a session with that grant be resumed on c? certificate: the session has one. */
bool tls_grant_holds(tls_conn *c, const tls_grant *g, bool certificate);
typedef struct tls_sessions tls_sessions;
tls_sessions *tls_tickets_sessions(tls_tickets *t); /* NULL: none are kept */
/* sessions.c */
cs_status tls_sessions_new(size_t capacity, tls_sessions **ret, cs_err *err);
void tls_sessions_free(tls_sessions *t);
void tls_sessions_use(SSL_CTX *ctx);
void tls_sessions_adopt(tls_conn *c); /* after a resumption: what was named is the peer's */
/* lib.c: NULL: the default one has to do */
OSSL_LIB_CTX *tls_lib(void);
/* One in which a certificate's key is decoded, of the kinds that are common. */
OSSL_LIB_CTX *tls_lib_knowing(void);
/* conn.c */
static inline tls_conn *tls_conn_of(const SSL *ssl) {
    return SSL_get_app_data(ssl);
}
/* own.c */
void tls_own_use(SSL_CTX *ctx);            /* connections of that context may be taken */
void tls_own_count(tls_conn *c, int sent); /* a record, during the handshake */
/* From libssl, when all is known that is needed; else it keeps the connection. */
void tls_own_take(tls_conn *c);
void tls_own_free(tls_conn *c);
cs_status tls_own_open(tls_conn *c, cs_view data, cs_buf *plain, cs_err *err);
/* conn.c */
cs_status tls_alert_received(int code, cs_err *err);
void tls_on_message(int sent, int version, int type, const void *p, size_t n, SSL *ssl, void *arg);
cs_status tls_conn_make(SSL_CTX *ctx, tls_conn **ret, cs_err *err);
/* judge.c */
cs_status tls_decode(X509 *x, cs_cert **ret, cs_err *err);
/* libssl chooses the alert by the error; this gives the error of an alert. */
int tls_error_of_alert(int alert);
/* hook.c: what the peer has sent, decoded; *leaf is the caller's also on failure. */
cs_status tls_gather(X509_STORE_CTX *store, cs_cert **leaf, cs_certs *extra, cs_err *err);
int tls_refuse_peer(tls_conn *c, X509_STORE_CTX *store, const cs_err *err); /* what a verify callback returns */
/* ctx.c */
cs_status tls_ctx_base(OSSL_LIB_CTX *lib, const SSL_METHOD *method, bool only_13, SSL_CTX **ret, cs_err *err);
enum tls_role { TLS_FOR_SERVER, TLS_FOR_CLIENT };
cs_status tls_use_identity(SSL_CTX *ctx, const tls_identity *id, enum tls_role role, const cs_clock *clock,
                           cs_err *err);
/* "a,b" as RFC 7301 3.1 has it. */
cs_status tls_alpn_list(const char *text, cs_buf *out, cs_err *err);
cs_status tls_ctx_new(tls_tickets *t, bool only_13, SSL_CTX **ret, cs_err *err);
/* A failed call: empties the queue; its last words become the detail. */
cs_status tls_fail(cs_err *err, cs_status status, cs_reason reason, const char *what);

#endif
