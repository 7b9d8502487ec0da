/* http/h2.h - HTTP/2 (RFC 9113), both sides, over nghttp2: frames, streams, flow control, and the limits that keep a
 * peer from making us work for nothing. Sans-I/O. A head goes in and comes out as the text of an HTTP/1.1 head, so that
 * one parser (http/h1.h) judges every head there is and one filter (http/filter.h) rebuilds it.
 *
 * Owner: the caller, one thread. Owners of streams are the caller's objects, borrowed until `closed` or http2_reset. No
 * function here may be called from a handler but http2_answer, http2_write, http2_end, http2_consumed, http2_forget and
 * http2_reset. */
#ifndef CS_HTTP_H2_H
#define CS_HTTP_H2_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"

enum {
    HTTP2_STREAMS = 100,            /* requests at once that a client may have */
    HTTP2_WINDOW = 256 * 1024,      /* octets of one body that may be under way to us */
    HTTP2_WINDOW_ALL = 1024 * 1024, /* of all bodies of a connection: what it may make us hold */
    HTTP2_QUEUE_HIGH = 128 * 1024,  /* of one stream, waiting to be taken by the peer */
    HTTP2_QUEUE_ALL = 1024 * 1024,  /* of all of them: with many streams each has less */
    HTTP2_TEXT_MAX = 2 * CS_HTTP_HEADERS_MAX,
};

typedef struct http2 http2;

typedef enum http2_fate {
    HTTP2_WHOLE,   /* both sides ended in order */
    HTTP2_REFUSED, /* the peer has not looked at it: it may be sent again */
    HTTP2_BROKEN,  /* reset, or the connection is over */
} http2_fate;

typedef struct http2_handler {
    /* A head has come, whole. Serving: a request; the return value owns the stream, NULL resets it. Asking: a response,
     * interim ones too; owner is given back. end: no body follows. text is the caller's to read during the call. */
    void *(*head)(void *user, void *owner, int32_t stream, cs_view text, bool end);
    void (*data)(void *owner, cs_view data);    /* acknowledge with http2_consumed when it has gone on */
    void (*end)(void *owner, cs_view trailers); /* field lines with CRLF, those that may be passed on */
    void (*room)(void *owner);                  /* http2_room said no, and would not any more */
    void (*closed)(void *owner, http2_fate fate);
    void *user;
} http2_handler;

/* serve: a server's side; else a client's. */
CS_MUST_USE cs_status http2_new(bool serve, const http2_handler *handler, http2 **ret, cs_err *err);
void http2_free(http2 *h); /* calls no handler */
CS_AUTO_DEFINE(http2)

/* CS_REFUSED/http2-abuse: more frames that bring nothing than anybody needs; the output ends with GOAWAY.
 * CS_REFUSED/http-malformed: no HTTP/2. */
CS_MUST_USE cs_status http2_feed(http2 *h, cs_view in, cs_time now, cs_err *err);
/* The next piece of output, to be sent whole; false: none now. Valid until the next call. */
bool http2_out(http2 *h, cs_view *ret);
/* Nothing more will come of this connection: flush and close. */
bool http2_over(const http2 *h);
/* The peer takes no new streams any more. */
bool http2_closing(const http2 *h);
/* GOAWAY: no new streams; those under way may end. */
void http2_leave(http2 *h);
/* GOAWAY with the peer's fault as its code; nothing goes on. */
void http2_stop(http2 *h);

/* Asking: a new stream. text: a request's head as http_request_rebuild makes it.
 * CS_LIMIT: the peer takes no more streams now. */
enum {
    HTTP2_SECURE = 1 << 0,    /* its scheme is https */
    HTTP2_TRAILERS = 1 << 1,  /* says TE: trailers */
    HTTP2_END = 1 << 2,       /* no body follows */
    HTTP2_WEBSOCKET = 1 << 3, /* an upgrade, said by CONNECT; only when http2_connects */
};
CS_MUST_USE cs_status http2_ask(http2 *h, cs_view text, unsigned how, void *owner, int32_t *ret_stream, cs_err *err);
/* Asking: the peer's first SETTINGS have come. */
bool http2_settled(const http2 *h);
/* Asking: it takes WebSockets, as far as its SETTINGS have come. @rfc 8441#3 */
bool http2_connects(const http2 *h);
/* How many more streams the peer takes. */
unsigned http2_spare(const http2 *h);
/* Serving: a response's head (interim ones too), as http_response_rebuild makes it. False: the stream is gone. */
bool http2_answer(http2 *h, int32_t stream, cs_view text, bool end);
bool http2_write(http2 *h, int32_t stream, cs_view data);
/* No more data. trailers: field lines, may be empty. */
bool http2_end(http2 *h, int32_t stream, cs_view trailers);
/* May more be written? After a no, `room` tells when. */
bool http2_room(http2 *h, int32_t stream);
void http2_consumed(http2 *h, int32_t stream, size_t n);
/* The owner is done with it: no handler is called for it any more. */
void http2_forget(http2 *h, int32_t stream);
/* The same, and the peer is told that it ends here. internal: by our fault, or the upstream's; else nobody wants it. */
void http2_reset(http2 *h, int32_t stream, bool internal);

#endif
