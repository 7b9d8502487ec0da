/* http/filter.h - what may cross the gateway: the head that came in, rebuilt for the other side. Nothing is copied
 * through unread: names are those that the parser took as tokens, the framing is ours, what only we may say is removed
 * first (whatever its spelling) and added last, so that no field from outside, named in Connection or not, can forge or
 * strip it. Sans-I/O. Owner: the caller; any thread. */
#ifndef CS_HTTP_FILTER_H
#define CS_HTTP_FILTER_H

#include "base/buf.h"
#include "http/h1.h"
#include "x509/cert.h"

/* Which headers tell the upstream who the client is. */
enum {
    HTTP_TELL_SIMPLE = 1 << 0, /* X-Countersign-Identity, -Kind, -Serial, -Fingerprint, -Verified */
    HTTP_TELL_CERT = 1 << 1,   /* Client-Cert, RFC 9440 */
    HTTP_TELL_CHAIN = 1 << 2,  /* Client-Cert-Chain, RFC 9440; left out when it would be over HTTP_TELL_MAX */
    HTTP_TELL_XFCC = 1 << 3,   /* X-Forwarded-Client-Cert, as Envoy writes it */
    HTTP_TELL_ALL = 15,
    HTTP_TELL_MAX = 12 * 1024, /* octets of one such line: servers commonly take 16 KiB of headers */
};

/* Who the client is; all borrowed for the call. Texts may hold anything: they are escaped. */
typedef struct http_identity {
    const char *kind;     /* "user", "device", "server", "other" */
    const char *name;     /* "pump-17" */
    const char *subject;  /* RFC 4514 text */
    cs_view serial;       /* octets, as in cs_cert */
    cs_view sha256;       /* 32 octets, of the leaf's DER */
    cs_view leaf;         /* DER */
    const cs_view *chain; /* DER of what follows the leaf, in its order; not the anchor */
    size_t chain_count;
    const cs_san *sans;
    size_t san_count;
    const char *verified; /* "success", or the reason's name when it was let in with a fault */
} http_identity;

/* The lines that tell it, CRLF after each, appended to `out`: made once a connection, given to http_request_rebuild for
 * each request. CS_LIMIT when out's ceiling is met. @rfc 9440#2 */
CS_MUST_USE cs_status http_identity_render(const http_identity *id, unsigned tell, cs_buf *out, cs_err *err);
/* For a client without a certificate: X-Countersign-Verified: none. */
CS_MUST_USE cs_status http_identity_render_none(unsigned tell, cs_buf *out, cs_err *err);
/* X-Forwarded-For, X-Forwarded-Proto and Via, likewise once a connection. peer: the address without port. */
CS_MUST_USE cs_status http_forwarded_render(const char *peer, bool tls, cs_buf *out, cs_err *err);

/* Does the client say TE: trailers? The upstream is told, and the client gets those that may be passed on.
 * @rfc 9110#10.1.4 */
bool http_trailers_welcome(const http_head *request);

/* The request's head for the upstream, appended to `out`: origin-form target, Host first, end-to-end fields in their
 * order, framing by ours (chunked or Content-Length as head->framing), then `lines` (what the render functions made).
 * Expect: 100-continue goes on if the client sent it; Upgrade: websocket only if `upgrade` allows it. False: out's
 * ceiling. */
bool http_request_rebuild(const http_head *head, cs_view lines, bool upgrade, cs_buf *out);

/* What a rebuilt head may be longer than the head that came in, besides `lines`. */
enum { HTTP_REBUILD_SPARE = 512 };

typedef struct http_reply_plan {
    http_framing framing; /* how the body goes to the client */
    bool keep_alive;      /* the client's connection may be used again */
    bool http10;          /* the client speaks HTTP/1.0 */
} http_reply_plan;

/* How a response goes to a client that sent `request`: chunked if its length is unknown and the client speaks 1.1,
 * until close if it speaks 1.0. `close`: we want the connection to end. */
http_reply_plan http_reply_plan_of(const http_head *response, bool client_http10, bool client_keep_alive, bool close);

/* The response's head for the client. date: added when the response has none (RFC 9110 6.6.1), may be empty.
 * Interim responses are rebuilt likewise (100 and 103). False: out's ceiling. */
bool http_response_rebuild(const http_head *head, const http_reply_plan *plan, cs_view date, cs_buf *out);

#endif
