/* doctor/probe.h - one connection to a server, as a normal client makes it, and how far it came.
 * Owner: whoever made it; one thread; waits, never longer than the plan says. */
#ifndef CS_DOCTOR_PROBE_H
#define CS_DOCTOR_PROBE_H

#include "base/clock.h"
#include "io/net.h"
#include "tls/look.h"

typedef enum probe_proto { PROBE_HTTP, PROBE_MQTT, PROBE_POSTGRES, PROBE_SMTP, PROBE_RAW } probe_proto;
/* "http", ...; false: none of them. */
bool probe_proto_of(const char *text, probe_proto *ret);

typedef enum probe_phase { /* how far it came */
                           PROBE_AT_CONNECT,
                           PROBE_AT_PREFACE, /* the service's own words before TLS (STARTTLS and the like) */
                           PROBE_AT_HELLO,   /* ours is sent, nothing came */
                           PROBE_AT_FLIGHT,  /* the server's messages began */
                           PROBE_AT_JUDGE,   /* all of ours is sent: the server judges */
                           PROBE_AT_ANSWER,  /* the handshake holds, a request is sent */
                           PROBE_AT_END,     /* answered, or as far as one can come without asking */
} probe_phase;

typedef struct probe_plan {
    const net_addr *to;
    probe_proto proto;
    const char *host, *path, *user; /* of HTTP; of PostgreSQL and MQTT */
    bool small;                     /* asks for small packets both ways */
    bool proxy_line;                /* begins with a line of the PROXY protocol */
    tls_look_plan tls;
    cs_time wait; /* for each step */
    const cs_clock *clock;
} probe_plan;

enum { PROBE_ANSWER_MAX = 32 * 1024, PROBE_FIRST_MAX = 48 };
typedef struct probe {
    tls_look *look; /* NULL: TLS was not begun */
    probe_phase phase;
    int sys;                         /* errno of what failed, or 0 */
    bool silent, closed;             /* waited in vain; the peer closed without a word */
    bool not_tls;                    /* what came is no TLS record */
    char first[PROBE_FIRST_MAX + 8]; /* the beginning of what is no TLS, escaped */
    unsigned out_of_order, resent;   /* TCP's own books: what came behind a gap; what we sent again */
    cs_err err;                      /* of TLS; reason CS_R_NONE: none */
    int status;                      /* HTTP's, MQTT's return code + 1; 0: none */
    bool refused;                    /* PostgreSQL: an error came */
    char server[64];                 /* HTTP's Server */
    cs_time date;                    /* HTTP's Date; 0: none */
    cs_buf answer;
} probe;

void probe_run(const probe_plan *plan, probe *ret);
void probe_free(probe *p);
/* Empty before TLS or without it: never NULL. */
const tls_look_seen *probe_seen(const probe *p);
/* Was it let in: the handshake holds, and the answer is no refusal of a certificate? */
bool probe_accepted(const probe *p);
/* Does the answer say so? Case counts. */
bool probe_says(const probe *p, const char *words);

#endif
