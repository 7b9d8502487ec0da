/* http/body.h - message bodies: counting, validating and un-chunking what comes in, chunking what goes out.
 * Sans-I/O, no allocation. Owner: the caller, one for each message; views look into the caller's octets. */
#ifndef CS_HTTP_BODY_H
#define CS_HTTP_BODY_H

#include "base/buf.h"
#include "http/h1.h"

typedef struct http_body {
    http_framing framing;
    bool done;         /* the message is complete */
    uint8_t state;     /* of the chunk decoder */
    uint8_t digits;    /* of the chunk size so far */
    uint16_t line;     /* octets of the current chunk-size or trailer line */
    uint32_t trailers; /* octets of the trailer section so far */
    uint64_t left;     /* of the body or of the chunk */
    uint64_t total;    /* data octets so far */
    cs_buf *keep;      /* where trailer lines go as they came; NULL: nowhere. The caller's */
    uint64_t max;      /* of total; 0: no limit */
} http_body;

/* max: http-body-too-large beyond it (0: no limit); a Content-Length over it is refused by the first read. */
void http_body_init(http_body *b, const http_head *head, uint64_t max);

/* Reads on. *ret_used octets of `in` are done with; *ret_data (maybe empty) is the next piece of the body among them.
 * Call again with what is left while CS_OK, ret_used > 0 and not b->done. CS_OK with b->done: what follows in `in` is
 * the next message's. CS_AGAIN: nothing could be used, more input is needed. Never reads past the message's end. Chunk
 * extensions and trailer fields are checked and bounded; the former are dropped, the latter too without b->keep. @rfc
 * 9112#7.1 CS_REFUSED/http-malformed; CS_LIMIT/http-body-too-large, http-header-too-large (trailers). */
CS_MUST_USE cs_status http_body_read(http_body *b, cs_view in, size_t *ret_used, cs_view *ret_data, cs_err *err);

/* The sender closed. CS_OK when the message may end so (and b->done is set), else CS_REFUSED/http-malformed. */
CS_MUST_USE cs_status http_body_eof(http_body *b, cs_err *err);

/* May a field of that name stand behind a body? */
bool http_trailer_may(cs_view name);
/* Leaves those lines that may be passed on, as "name: value", CRLF after each. */
void http_trailers_filter(cs_buf *lines);

/* A chunk is: head, data, CRLF. The head of a chunk of n > 0 octets into out; returns its length. */
enum { HTTP_CHUNK_HEAD_MAX = 18 };
size_t http_chunk_head(uint64_t n, char out[HTTP_CHUNK_HEAD_MAX]);
#define HTTP_CHUNK_TAIL CS_VIEW_LIT("\r\n")
#define HTTP_CHUNK_LAST CS_VIEW_LIT("0\r\n") /* then trailer lines, then HTTP_CHUNK_TAIL */
/* All of it at once. */
bool http_chunk_add(cs_buf *b, cs_view data);

#endif
