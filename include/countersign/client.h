/* countersign/client.h - connections through mutual TLS, blocking or not; and certificates asked for by EST.
 *
 * A cs_client is immutable and counted: any thread may connect by it. A cs_connection belongs to one thread at a time.
 * TLS 1.2 and 1.3; no renegotiation, compression, early data or resumption: each connection is a full handshake, with
 * the server's certificate judged before anything is sent. */
#ifndef COUNTERSIGN_CLIENT_H
#define COUNTERSIGN_CLIENT_H

#include <countersign/verify.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cs_client cs_client;
typedef struct cs_connection cs_connection;

/* Whom we trust, who we are (NULL: nobody), and which protocols are offered (ALPN, names with commas between; NULL:
 * none). Takes references. */
CS_API CS_MUST_USE cs_status cs_client_new(cs_trust *trust, cs_credential *who, const char *alpn, cs_client **ret,
                                           cs_err *err);

/* One more reference to the same client. */
CS_API cs_client *cs_client_ref(cs_client *c);

/* Gives a reference back; NULL is fine. Connections keep what they need. */
CS_API void cs_client_free(cs_client *c);

/* Connects to "HOST:PORT" and shakes hands. name: whom the certificate must be for, and who is asked for (SNI); NULL:
 * HOST. timeout: milliseconds for all of it, and from then on for each read and write; 0: none. Addresses of HOST are
 * tried in turn. network-failed; the verdict's reason when the server is not who it should be. */
CS_API CS_MUST_USE cs_status cs_connect(cs_client *c, const char *address, const char *name, unsigned timeout,
                                        cs_connection **ret, cs_err *err);

/* The same without waiting, but for the resolver when HOST is a name: the connection is used with poll(2) from here on.
 * Call cs_connection_turn until it is CS_OK. */
CS_API CS_MUST_USE cs_status cs_connect_begin(cs_client *c, const char *address, const char *name, cs_connection **ret,
                                              cs_err *err);

/* Goes on with what is under way: connecting, the handshake, octets that wait to be sent. CS_OK: established, and
 * nothing waits. CS_AGAIN: when the descriptor has cs_connection_events. The descriptor may be another after each turn
 * until the first CS_OK. */
CS_API CS_MUST_USE cs_status cs_connection_turn(cs_connection *c, cs_err *err);

/* The descriptor, for poll(2). It stays the connection's. */
CS_API int cs_connection_fd(const cs_connection *c);

/* POLLIN, POLLOUT: what to wait for. */
CS_API short cs_connection_events(const cs_connection *c);

/* Reads up to n octets. *ret_n 0: the server said its end in order; one that was cut off is tls-peer-closed.
 * CS_AGAIN: nothing is there (of a connection that was begun; of the other, network-failed when the timeout has
 * passed). What came in one piece may be read in several: after CS_OK, read again before waiting. */
CS_API CS_MUST_USE cs_status cs_read(cs_connection *c, void *p, size_t n, size_t *ret_n, cs_err *err);

/* Writes all n octets, or, of a connection that was begun, as much as is taken now: *ret_n, at least 1 with CS_OK.
 * CS_AGAIN: nothing was taken. */
CS_API CS_MUST_USE cs_status cs_write(cs_connection *c, const void *p, size_t n, size_t *ret_n, cs_err *err);

/* Says our end in order (close_notify); what the server still sends can be read. */
CS_API CS_MUST_USE cs_status cs_connection_end(cs_connection *c, cs_err *err);

/* Closes; NULL is fine. */
CS_API void cs_connection_free(cs_connection *c);

/* The server's certificate, borrowed; NULL before the handshake is done. */
CS_API const cs_certificate *cs_connection_peer(const cs_connection *c);

/* The protocol agreed upon by ALPN, "TLSv1.3", "TLS_AES_128_GCM_SHA256"; "" for none, or before the handshake. */
CS_API const char *cs_connection_alpn(const cs_connection *c);
CS_API const char *cs_connection_version(const cs_connection *c);
CS_API const char *cs_connection_cipher(const cs_connection *c);

/* Asks an EST server (RFC 7030), "https://HOST[:PORT]" with or without its path, for a certificate: a new key is made
 * here, and only the request leaves. trust: the server, and what it issues, are judged by it. user and token: HTTP
 * Basic, as an authority of ours takes a token (user: the identity's name). name: of the identity asked for.
 * timeout: milliseconds for each question. CS_AGAIN: the server wants to be asked again after *ret_wait seconds (a
 * person decides): call cs_enroll_again with *ret_pending. */
typedef struct cs_enrollment cs_enrollment;
CS_API CS_MUST_USE cs_status cs_enroll(const char *url, cs_trust *trust, const char *name, const char *user,
                                       const char *token, unsigned timeout, cs_credential **ret,
                                       cs_enrollment **ret_pending, unsigned *ret_wait, cs_err *err);

/* The next certificate of that credential, with a new key and the names that it has: simplereenroll. */
CS_API CS_MUST_USE cs_status cs_renew(const char *url, cs_trust *trust, cs_credential *old, unsigned timeout,
                                      cs_credential **ret, cs_enrollment **ret_pending, unsigned *ret_wait,
                                      cs_err *err);

/* Asks again, with the same key. As cs_enroll. */
CS_API CS_MUST_USE cs_status cs_enroll_again(cs_enrollment *pending, cs_credential **ret, unsigned *ret_wait,
                                             cs_err *err);

/* NULL is fine. */
CS_API void cs_enrollment_free(cs_enrollment *e);

#ifdef __cplusplus
}
#endif
#endif
