/* http/h2_priv.h - heads of HTTP/2 as text and back. */
#ifndef CS_HTTP_H2_PRIV_H
#define CS_HTTP_H2_PRIV_H

#include <nghttp2/nghttp2.h>

#include "http/h2.h"

/* A header block on its way in. One at a time a connection: RFC 9113 4.3 lets nothing come between its frames. */
typedef struct h2_block {
    cs_buf method, path, authority, lines, cookie;
    unsigned count, status;
    bool length;    /* Content-Length is among the lines */
    bool websocket; /* :protocol says so: CONNECT to a path. @rfc 8441#4 */
    bool big;       /* beyond the limits */
} h2_block;

void h2_block_begin(h2_block *b);
void h2_block_free(h2_block *b);
void h2_block_field(h2_block *b, cs_view name, cs_view value);
/* The whole as text. An authority that differs from Host makes two Host lines, which the parser refuses. */
bool h2_block_request(const h2_block *b, bool end, cs_buf *text);
bool h2_block_response(const h2_block *b, cs_buf *text);
/* Those that may be passed on. */
bool h2_block_trailers(const h2_block *b, cs_buf *text);

/* Text as fields: pointers into `scratch`, which is overwritten. */
typedef struct h2_fields {
    cs_buf scratch;
    size_t n;
    nghttp2_nv at[CS_HTTP_HEADER_COUNT + 32];
} h2_fields;
bool h2_fields_request(h2_fields *f, cs_view text, unsigned how); /* HTTP2_* */
bool h2_fields_response(h2_fields *f, cs_view text);
bool h2_fields_trailers(h2_fields *f, cs_view lines);

#endif
