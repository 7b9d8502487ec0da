/* countersign/verify.h - whom we trust, and whether a certificate is good: by the engine of countersign-verify(1), also
 * within an OpenSSL program of one's own.
 *
 * A cs_trust is made and filled by one thread; from its first use on it must not be changed, and any thread may use it.
 * It is counted. Nothing here opens a socket, follows links in certificates, or takes a common name for a host. */
#ifndef COUNTERSIGN_VERIFY_H
#define COUNTERSIGN_VERIFY_H

#include <countersign/cert.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ssl_ctx_st; /* SSL_CTX of OpenSSL */
struct ssl_st;     /* SSL */

typedef struct cs_trust cs_trust;

typedef enum cs_role {
    CS_ROLE_ANY = 0, /* RFC 5280 alone */
    CS_ROLE_SERVER,  /* extended key usage serverAuth */
    CS_ROLE_CLIENT,  /* clientAuth */
} cs_role;

/* Trusts nobody yet. */
CS_API CS_MUST_USE cs_status cs_trust_new(cs_trust **ret, cs_err *err);

/* One more reference to the same trust. */
CS_API cs_trust *cs_trust_ref(cs_trust *t);

/* Gives a reference back; NULL is fine. */
CS_API void cs_trust_free(cs_trust *t);

/* Adds every certificate of a file (PEM, DER, PKCS#7) to the anchors. */
CS_API CS_MUST_USE cs_status cs_trust_add_file(cs_trust *t, const char *path, cs_err *err);

/* The same, of a text in PEM. */
CS_API CS_MUST_USE cs_status cs_trust_add_pem(cs_trust *t, const char *text, cs_err *err);

/* Adds every revocation list of a file (PEM or DER); what they list is revoked. */
CS_API CS_MUST_USE cs_status cs_trust_add_crl_file(cs_trust *t, const char *path, cs_err *err);

/* From here on every certificate of a path but the anchor needs a current, usable list. */
CS_API void cs_trust_require_revocation(cs_trust *t);

/* Adds a pin, "[leaf:|issuer:|anchor:]sha256/BASE64": with any, a key of the path must be one of them. */
CS_API CS_MUST_USE cs_status cs_trust_add_pin(cs_trust *t, const char *pin, cs_err *err);

/* Is this certificate good, now, in that role, for that name (a DNS name or IP address; NULL: any)? `extra` are
 * intermediates in any order; NULL when extra_count is 0. CS_OK: yes. CS_REFUSED: *err has the first rule broken. */
CS_API CS_MUST_USE cs_status cs_trust_check(const cs_trust *t, const cs_certificate *leaf,
                                            const cs_certificate *const *extra, size_t extra_count, cs_role role,
                                            const char *name, cs_err *err);

/* The peers of that SSL_CTX are judged by t from here on, instead of by OpenSSL's own rules: servers' certificates
 * where it is a client's, which must have said whom it expects (SSL_set1_host, or X509_VERIFY_PARAM_set1_ip_asc) or is
 * refused; clients' where it is a server's. SSL_CTX_set_verify stays the program's: SSL_VERIFY_PEER, for a server with
 * SSL_VERIFY_FAIL_IF_NO_PEER_CERT. The context keeps a reference to t.
 *
 * A session that is resumed is not judged again by OpenSSL: this turns the session cache and tickets of the context
 * off. */
CS_API CS_MUST_USE cs_status cs_trust_install(cs_trust *t, struct ssl_ctx_st *ctx, cs_err *err);

/* Why the handshake of that connection was refused by cs_trust_install's judgement: CS_REFUSED with reason and detail.
 * CS_OK: it was not. */
CS_API CS_MUST_USE cs_status cs_trust_refusal(const struct ssl_st *ssl, cs_err *err);

/* The certificate that the peer has shown, of a connection that is established; certificate-required when it has
 * shown none. */
CS_API CS_MUST_USE cs_status cs_trust_peer(const struct ssl_st *ssl, cs_certificate **ret, cs_err *err);

#ifdef __cplusplus
}
#endif
#endif
