/* PROXY protocol version 2: who the client is and by which certificate, in front of a stream.
 * @haproxy proxy-protocol.txt 2.2 (header, TLVs of type SSL). */
#include <netinet/in.h>
#include <string.h>

#include "gate/gate_priv.h"

enum {
    PROXY_VERSION_COMMAND = 0x21, /* 2, PROXY */
    PROXY_TCP4 = 0x11,
    PROXY_TCP6 = 0x21,
    TLV_ALPN = 0x01,
    TLV_AUTHORITY = 0x02,
    TLV_SSL = 0x20,
    TLV_SSL_VERSION = 0x21,
    TLV_SSL_CN = 0x22,
    TLV_SSL_CIPHER = 0x23,
    CLIENT_SSL = 0x01,
    CLIENT_CERT_CONN = 0x02, /* in this connection's own handshake */
    CLIENT_CERT_SESS = 0x04, /* in this TLS session */
};

static void add_tlv(cs_buf *b, uint8_t type, cs_view value) {
    if (value.n == 0) return;
    (void)cs_buf_add_byte(b, type);
    (void)cs_buf_add_vec16(b, value);
}

/* As 16 octets; IPv4 as ::ffff:a.b.c.d. */
static bool as_v6(const net_addr *a, uint8_t out[16], uint16_t *port) {
    if (a->at.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&a->at;
        memset(out, 0, 10);
        memset(out + 10, 0xff, 2);
        memcpy(out + 12, &in->sin_addr, 4);
        *port = ntohs(in->sin_port);
        return true;
    }
    if (a->at.ss_family != AF_INET6) return false;
    const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&a->at;
    memcpy(out, &in->sin6_addr, 16);
    *port = ntohs(in->sin6_port);
    return true;
}

static bool is_v4(const uint8_t a[16]) {
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return memcmp(a, mapped, sizeof mapped) == 0;
}

static bool add_addresses(const conn *c, cs_buf *b) {
    net_addr own;
    uint8_t from[16], to[16];
    uint16_t from_port = 0, to_port = 0;
    if (!net_local(c->wire.fd, &own) || !as_v6(&c->peer, from, &from_port) || !as_v6(&own, to, &to_port)) return false;
    bool v4 = is_v4(from) && is_v4(to);
    size_t skip = v4 ? 12 : 0;
    (void)cs_buf_add_byte(b, v4 ? PROXY_TCP4 : PROXY_TCP6);
    (void)cs_buf_add_u16(b, 0); /* the length, known at the end */
    (void)cs_buf_add(b, from + skip, 16 - skip);
    (void)cs_buf_add(b, to + skip, 16 - skip);
    (void)cs_buf_add_u16(b, from_port);
    return cs_buf_add_u16(b, to_port);
}

static void add_ssl(const conn *c, cs_buf *b) {
    CS_SCOPED(cs_buf) ssl = cs_buf_of(1024);
    const tls_peer *peer = tls_conn_peer(c->wire.tls);
    uint8_t client = CLIENT_SSL;
    cs_view cn;
    if (peer->leaf != NULL) client |= (uint8_t)(CLIENT_CERT_SESS | (peer->resumed ? 0 : CLIENT_CERT_CONN));
    (void)cs_buf_add_byte(&ssl, client);
    (void)cs_buf_add_u32(&ssl, peer->leaf != NULL ? 0 : 1); /* 0: there was one, and it is good */
    add_tlv(&ssl, TLV_SSL_VERSION, cs_view_str(tls_conn_version(c->wire.tls)));
    if (peer->leaf != NULL && cs_name_cn(peer->leaf->subject, &cn)) add_tlv(&ssl, TLV_SSL_CN, cn);
    add_tlv(&ssl, TLV_SSL_CIPHER, cs_view_str(tls_conn_cipher(c->wire.tls)));
    add_tlv(b, TLV_SSL, cs_buf_view(&ssl));
}

bool proxy_header_add(const conn *c, cs_buf *out) {
    static const uint8_t signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
    CS_SCOPED(cs_buf) b = cs_buf_of(4096);
    (void)cs_buf_add(&b, signature, sizeof signature);
    (void)cs_buf_add_byte(&b, PROXY_VERSION_COMMAND);
    if (!add_addresses(c, &b)) return false;
    add_tlv(&b, TLV_ALPN, tls_conn_alpn(c->wire.tls));
    add_tlv(&b, TLV_AUTHORITY, cs_view_str(tls_conn_sni(c->wire.tls)));
    add_ssl(c, &b);
    if (b.failed) return false;
    size_t rest = b.n - 16;
    b.p[14] = (uint8_t)(rest >> 8);
    b.p[15] = (uint8_t)rest;
    return cs_buf_add_view(out, cs_buf_view(&b));
}
