/* http/h1.h - HTTP/1.1 as RFC 9112 has it, and nothing that two readers could read in two ways.
 * Sans-I/O: octets in, structure out; no allocation. Owner: the caller; any thread, one at a time for each object.
 * Every view looks into the octets that were parsed and lives as long as they stay where they are.
 *
 * Refused, each with a detail that names the field or octet: bare LF or CR, obs-fold, space before a colon, a name that
 * is no token, controls and NUL, Content-Length beside Transfer-Encoding, two Content-Lengths (even equal ones), one
 * with sign, comma, space or more than 18 digits, a transfer coding other than exactly "chunked" or in HTTP/1.0, no
 * Host or two, a Host that is not host[:port] or differs from an absolute target, CONNECT and TRACE, versions other
 * than 1.0 and 1.1. After a refusal the connection must be closed: where the next message begins is unknown. */
#ifndef CS_HTTP_H1_H
#define CS_HTTP_H1_H

#include "base/err.h"
#include "base/limits.h"
#include "base/view.h"

typedef enum http_method {
    HTTP_OTHER = 0, /* see head->method */
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_PATCH,
    HTTP_OPTIONS,
} http_method;

/* What a field is to a gateway. Names compare without regard to case; those marked "like" also with '_' or '.' for '-'.
 */
typedef enum http_field_id {
    HTTP_F_PLAIN = 0, /* end-to-end, forwarded as it is */
    HTTP_F_ODD,       /* a token, but with octets outside [A-Za-z0-9-]: never forwarded to an upstream, which may read
                         '_' or '.' as '-' */
    HTTP_F_IDENTITY,  /* like one of the names by which an upstream is told who the client is: only we may say that */
    HTTP_F_FORWARDED, /* like X-Forwarded-*, Forwarded, X-Real-IP: likewise */
    HTTP_F_HOP,       /* TE, Trailer, Keep-Alive, Proxy-Connection, HTTP2-Settings, ...: for this connection only */
    HTTP_F_CONNECTION,
    HTTP_F_UPGRADE,
    HTTP_F_HOST,
    HTTP_F_CONTENT_LENGTH,
    HTTP_F_TRANSFER_ENCODING,
    HTTP_F_EXPECT,
    HTTP_F_DATE,
} http_field_id;

typedef struct http_field {
    cs_view name, value; /* the value without the white space around it */
    http_field_id id;
} http_field;

typedef enum http_framing {
    HTTP_BODY_NONE = 0,    /* no body follows */
    HTTP_BODY_LENGTH,      /* head->length octets follow (never 0) */
    HTTP_BODY_CHUNKED,     /* chunks, trailers */
    HTTP_BODY_UNTIL_CLOSE, /* responses only */
} http_framing;

/* About 4 KiB: hold one a thread, not one a connection; only the first field_count entries of fields are written. */
typedef struct http_head {
    size_t size; /* octets of the head in the input, the empty line included: the body begins there */
    bool is_response;
    bool http10;     /* the sender speaks HTTP/1.0 */
    bool keep_alive; /* the sender is willing to go on after this message */
    bool upgrade;    /* asks (request) or agrees (101) to switch to WebSocket */

    /* requests */
    http_method method_id;
    cs_view method;
    cs_view target; /* as sent */
    cs_view path;   /* begins with '/', or is "*" (OPTIONS only); never decoded */
    cs_view query;  /* after '?', without it; has_query tells an empty one from none */
    bool has_query;
    bool expect_continue; /* the client waits for 100 (Continue) before it sends the body */
    cs_view authority;    /* host[:port]; empty only in HTTP/1.0 */
    cs_view host;         /* without the port, without the brackets of an IPv6 address */

    /* responses */
    unsigned status; /* 100..599 */
    cs_view phrase;
    bool interim; /* 1xx but 101: another head follows */
    http_method asked;

    http_framing framing;
    bool has_length;
    uint64_t length; /* Content-Length, also where no body follows (HEAD, 304) */

    bool connection_names; /* Connection names fields other than those that go anyway */
    unsigned field_count;
    http_field fields[CS_HTTP_HEADER_COUNT];
} http_head;

/* The head at the beginning of `in`. *scanned is 0 for a new message and carries between calls what was already looked
 * at, so that a head that comes octet by octet costs no more than one that comes whole; it is set back to 0 with CS_OK.
 * One empty line before a request is skipped (RFC 9112 2.2).
 * CS_AGAIN: not all there yet, *ret is not usable.  CS_REFUSED/http-malformed, http-framing-ambiguous,
 * http-version-unsupported, http-method-not-allowed, http-expectation-unknown.  CS_LIMIT/http-header-too-large (more
 * than CS_HTTP_HEADERS_MAX octets or CS_HTTP_HEADER_COUNT fields), http-uri-too-long (first line over
 * CS_HTTP_LINE_MAX).
 * @rfc 9112#3  @rfc 9112#5  @rfc 9112#6 */
CS_MUST_USE cs_status http_request_parse(cs_view in, size_t *scanned, http_head *ret, cs_err *err);

/* A response's head; `asked` is the method of the request that it answers (HEAD has no body). @rfc 9112#4 */
CS_MUST_USE cs_status http_response_parse(cs_view in, size_t *scanned, http_method asked, http_head *ret, cs_err *err);

/* The value of the first field of that name (any case); false when there is none. */
bool http_head_get(const http_head *h, const char *name, cs_view *ret);

/* Is the path one that every server reads alike? No "//", no "." or ".." segments, no ';', no backslash, no
 * percent-encoding that is broken or that stands for '/', '\\', '.', ';', '%', a control or NUL. Routes that protect
 * something refuse any other path, because the upstream might decode it into a path that they would have refused. */
bool http_path_is_clean(cs_view path);

/* host[:port] (RFC 3986 3.2, without userinfo): letters, digits, '-', '.', '_' or an IPv6 address in brackets. */
bool http_authority_split(cs_view authority, cs_view *ret_host, unsigned *ret_port);

/* What a name is to a gateway; the name must be a token. */
http_field_id http_field_classify(cs_view name);

#endif
