/* fetch/call.h - HTTP asked of a server that somebody named: for enrolling elsewhere. libcurl speaks it; who is
 * trusted, who we are, how much and how long is settled here: no redirects, no proxies, TLS 1.2 at least.
 * Owner: whoever made it; one thread; one call at a time, over a connection that is kept. */
#ifndef CS_FETCH_CALL_H
#define CS_FETCH_CALL_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/secret.h"

typedef struct call call;
enum {
    CALL_URL_MAX = 16 * 1024 /* a message of SCEP may be in it */,
    CALL_ANSWER_MAX = 4 * 1024 * 1024,
    CALL_HEADERS_MAX = 64 * 1024,
    CALL_FIELDS_MAX = 8
};

CS_MUST_USE cs_status call_new(call **ret, cs_err *err);
void call_free(call *c);
CS_AUTO_DEFINE(call)
/* Whom TLS trusts from here on, PEM, copied; until then, and with none: this machine's CAs. */
CS_MUST_USE cs_status call_trust(call *c, cs_view pem, cs_err *err);
/* With which certificate (PEM, leaf first) and key (PEM) TLS authenticates us; copied, wiped with the call. */
CS_MUST_USE cs_status call_identity(call *c, cs_view certs_pem, cs_view key_pem, cs_err *err);

/* The server's key must be one of these: "sha256//BASE64;sha256//BASE64", beside all else; copied. NULL: none. */
CS_MUST_USE cs_status call_pins(call *c, const char *pins, cs_err *err);
/* The server's certificate is judged as of that time, not the machine's; 0: the machine's. */
void call_at(call *c, cs_time at);
/* How long a call may take, instead of two minutes. */
void call_deadline(call *c, cs_time deadline);

typedef struct call_ask {
    const char *method; /* NULL: POST when there is a body, else GET */
    const char *url;    /* http:// or https:// */
    cs_view body;
    const char *type;                    /* of the body */
    const char *fields[CALL_FIELDS_MAX]; /* further "Name: value" */
    size_t field_count;
    const char *user;      /* HTTP Basic, or Digest where the server wants that; NULL: none */
    const cs_secret *pass; /* with user; over https alone */
    bool unproven;         /* the server proves nothing: for what is public, and judged otherwise. Says nothing of us */
} call_ask;

typedef struct call_answer {
    unsigned status;
    cs_time retry;     /* Retry-After in seconds; 0: none */
    cs_buf head, body; /* head: the last header section, as it came */
} call_answer;
void call_answer_free(call_answer *a);

/* CS_OK: it answered, with whatever status. server-unreachable, server-untrusted, pin-mismatch; uri-invalid;
 * limit-reached.
 */
CS_MUST_USE cs_status call_perform(call *c, const call_ask *ask, call_answer *ret, cs_err *err);
/* The value of the first header of that name; n == 0: none. Looks into the answer. */
cs_view call_header(const call_answer *a, const char *name);

#endif
