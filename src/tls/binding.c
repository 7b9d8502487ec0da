/* Channel bindings: a request that holds one was made by who is at the other end of this very connection. */
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/tls_priv.h"

enum { BINDING_MAX = 64 };

struct tls_binding {
    size_t n;
    uint8_t at[BINDING_MAX];
};

/* The first Finished of the handshake: the client's, in a resumed one the server's. @rfc 5929#3.1 */
static size_t unique(SSL *ssl, uint8_t out[BINDING_MAX]) {
    if (SSL_get_extms_support(ssl) != 1) return 0;
    return SSL_session_reused(ssl) ? SSL_get_finished(ssl, out, BINDING_MAX)
                                   : SSL_get_peer_finished(ssl, out, BINDING_MAX);
}

/* @rfc 9266#2 */
static size_t exported(SSL *ssl, uint8_t out[BINDING_MAX]) {
    static const char label[] = "EXPORTER-Channel-Binding";
    enum { LEN = 32 };
    bool ok = SSL_export_keying_material(ssl, out, LEN, label, sizeof label - 1, (const uint8_t *)"", 0, 1) == 1;
    return ok ? LEN : 0;
}

void tls_binding_keep(tls_conn *c) {
    if (c->site == NULL || !c->site->enroll) return;
    struct tls_binding *b = calloc(1, sizeof *b);
    if (b == NULL) return; /* then there is none, and what needs one is refused */
    b->n = SSL_version(c->ssl) == TLS1_3_VERSION ? exported(c->ssl, b->at) : unique(c->ssl, b->at);
    ERR_clear_error();
    c->binding = b;
}

cs_view tls_conn_binding(const tls_conn *c) {
    return c->binding != NULL ? cs_view_of(c->binding->at, c->binding->n) : cs_view_of(NULL, 0);
}
