/* fetch/fetch.h - what a certificate says where to get (CRLs, OCSP answers), over plain HTTP, many at once, on a loop.
 * libcurl speaks HTTP; what may be asked for, where, how much and how long is settled here: no redirects, no proxies,
 * no credentials, and no address of a class that is not global unless the limits allow it. The address is judged when
 * the socket is made, so that no resolver can change its mind in between. Owner: the thread of the loop. */
#ifndef CS_FETCH_FETCH_H
#define CS_FETCH_FETCH_H

#include "base/buf.h"
#include "io/addr_class.h"
#include "io/loop.h"

typedef struct fetch fetch;

typedef struct fetch_limits {
    cs_time deadline, connect; /* of one fetch; 0: 10 s, 3 s */
    unsigned at_once;          /* 0: 8 */
    const addr_range *allow;   /* classes that are forbidden otherwise; any port. Borrowed for the fetch's life */
    unsigned allow_count;
} fetch_limits;

enum { FETCH_URL_MAX = 2048, FETCH_MAX = 64 }; /* FETCH_MAX: under way and waiting */

typedef struct fetch_ask {
    const char *url;
    cs_view body;             /* n > 0: POST, copied */
    const char *content_type; /* of the body; static */
    size_t most;              /* octets of the answer */
} fetch_ask;

/* On the loop, once for each fetch that was started. CS_OK: *body is the answer, which may be taken (swapped with an
 * empty one). Else *err says why: fetch-forbidden, fetch-failed. */
typedef void fetch_done(void *data, cs_status s, cs_buf *body, const cs_err *err);

CS_MUST_USE cs_status fetch_new(loop *l, const fetch_limits *limits, fetch **ret, cs_err *err);
/* fetch-forbidden at once when the URL is none that may be asked for: http://HOST[:PORT]/..., port 80, 8080 or above
 * 1023. */
CS_MUST_USE cs_status fetch_start(fetch *f, const fetch_ask *ask, fetch_done *done, void *data, cs_err *err);
void fetch_free(fetch *f); /* what is under way ends without a word */
CS_AUTO_DEFINE(fetch)

#endif
