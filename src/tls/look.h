/* tls/look.h - a handshake as a client that looks: what a server shows, asks for, and answers to a credential. Nothing
 * is verified, nothing is refused: old versions, weak keys and unknown CAs are to be seen. Not for traffic of worth.
 * Sans I/O. Owner: one thread. */
#ifndef CS_TLS_LOOK_H
#define CS_TLS_LOOK_H

#include "keys/keys.h"
#include "x509/cert.h"

typedef struct tls_look tls_look;

typedef struct tls_look_plan { /* borrowed for the call */
    const char *sni;           /* NULL: none is sent */
    const char *alpn;          /* names with commas between; NULL: none */
    int min, max;              /* 0x0301 to 0x0304; 0: any */
    const cs_certs *chain;     /* leaf first; NULL: no certificate */
    const cs_key *key;
    size_t chain_most;      /* how many of the chain are sent; 0: all */
    const tls_look *resume; /* offers that one's session; NULL: none */
} tls_look_plan;

enum { TLS_LOOK_CAS_MAX = 512, TLS_LOOK_SIGALGS_MAX = 64, TLS_LOOK_IN_MAX = 256 * 1024 };

typedef struct tls_look_seen {
    bool hello;                                /* the server's hello came */
    bool done;                                 /* our side takes the handshake for done */
    bool asked, asked_late;                    /* for a certificate; late: after the handshake */
    bool sent;                                 /* a certificate of ours went out */
    bool resumed, session;                     /* this one is resumed; a session to resume was given */
    bool stapled, unsafe_renegotiation, ended; /* ended: the peer's close_notify came */
    int alert;                                 /* that came, fatal; -1: none */
    int version;                               /* 0x0304; 0 before the server's hello */
    const char *version_text, *cipher;
    char alpn[32];
    size_t in_octets;                       /* of the handshake, from the server */
    uint16_t sigalgs[TLS_LOOK_SIGALGS_MAX]; /* of the CertificateRequest, RFC 8446 4.2.3 */
    size_t sigalg_count;
    cs_buf cas;      /* its CA names: DER after DER, each behind 16 bits of its length */
    size_t ca_count; /* all, also those over TLS_LOOK_CAS_MAX, which are left out of cas */
    cs_certs chain;  /* what the server sent, flaws noted */
} tls_look_seen;

CS_MUST_USE cs_status tls_look_new(const tls_look_plan *plan, tls_look **ret, cs_err *err);
void tls_look_free(tls_look *p);
CS_AUTO_DEFINE(tls_look)
/* Takes what came, appends what is to be sent to `out` and what was said under TLS to `plain`. CS_OK: the handshake is
 * done. CS_AGAIN: more is needed. tls-alert-received; tls-handshake-failed in libssl's words; limit-reached. */
CS_MUST_USE cs_status tls_look_turn(tls_look *p, cs_view in, cs_buf *out, cs_buf *plain, cs_err *err);
CS_MUST_USE cs_status tls_look_write(tls_look *p, cs_view plain, cs_buf *out, cs_err *err); /* after CS_OK */
const tls_look_seen *tls_look_at(const tls_look *p);                                        /* lives as long as p */
bool tls_look_lists(const tls_look_seen *s, cs_view name); /* is that Name among the CAs? */
const char *tls_look_alert_text(int alert);                /* "unknown_ca", as RFC 8446 6 has it */

#endif
