/* http/message.h - small messages of our own: whole responses, problem documents (RFC 9457), dates.
 * Nothing is owned; any thread. */
#ifndef CS_HTTP_MESSAGE_H
#define CS_HTTP_MESSAGE_H

#include "base/buf.h"
#include "base/clock.h"
#include "http/h1.h"

/* "Not Found"; "" for a status that we do not know. */
const char *http_phrase(unsigned status);

/* "Mon, 23 Nov 2026 16:08:00 GMT" (IMF-fixdate). @rfc 9110#5.6.7 */
enum { HTTP_DATE_MAX = 30 };
const char *http_date(cs_time t, char out[HTTP_DATE_MAX]);
/* IMF-fixdate only. */
bool http_date_parse(cs_view text, cs_time *ret);

typedef struct http_reply {
    unsigned status;
    const char *media; /* Content-Type; NULL: none */
    cs_view body;
    bool head_only;    /* answer to HEAD: Content-Length, but no body */
    bool close;        /* Connection: close */
    cs_time date;      /* 0: no Date */
    const char *etag;  /* quoted; NULL: none */
    cs_time modified;  /* Last-Modified; 0: none */
    const char *extra; /* more lines, CRLF after each; NULL: none. Never outside text. */
} http_reply;

/* A whole response (status line to the end of the body), appended. False: b's ceiling. */
bool http_reply_add(cs_buf *b, const http_reply *r);

/* application/problem+json for err: type, title, status, reason, advice; its detail only where the reader may see it
 * (the operator's own socket), never to peers. media and body of `shape` are ignored, the status is the reason's. */
bool http_problem_add(cs_buf *b, const cs_err *err, bool with_detail, const http_reply *shape);
/* The JSON object alone. */
bool http_problem_json(cs_buf *b, const cs_err *err, bool with_detail);

/* Would a conditional GET be answered 304? If-None-Match against etag (quoted) first, else If-Modified-Since. @rfc
 * 9110#13.2.2 */
bool http_not_modified(const http_head *request, const char *etag, cs_time modified);

#endif
