/* tls/tls.h - the server side of TLS 1.2 and 1.3 as the gateway speaks it: sans-I/O, octets in, octets out.
 *
 * Owner: a tls_site and a tls_front are immutable and counted, any thread may use them; a tls_judge and the tls_conn
 * that were made with it belong to one thread; tls_tickets is shared and locks for itself. What this room refuses to
 * do: renegotiation, compression, early data, post-handshake authentication, TLS 1.1 and older, cipher suites without
 * forward secrecy or AEAD. A client's certificate is judged by verify/, never by libssl; a resumed session's
 * certificate is judged again, every time. */
#ifndef CS_TLS_TLS_H
#define CS_TLS_TLS_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/rng.h"
#include "verify/vendors.h"
#include "verify/verify.h"

/* ---- sessions: one set a process, so that one is resumed by whichever thread it comes back to ---- */
typedef struct tls_tickets tls_tickets;
#define TLS_SESSION_MAX CS_HOUR /* from the full handshake, however often it is resumed */
/* kept: how many sessions are kept in memory, at about 700 octets each and their certificates, which makes a resumption
 * three times cheaper; the oldest go first. 0: none; each goes to its client, sealed by our keys. */
CS_MUST_USE cs_status tls_tickets_new(const cs_rng *rng, size_t kept, tls_tickets **ret, cs_err *err);
/* A new key seals from now on; the two before it still open. Every TLS_SESSION_MAX / 2. */
CS_MUST_USE cs_status tls_tickets_rotate(tls_tickets *t, const cs_rng *rng, cs_err *err);
/* Keys that other processes have too, so that a session of one is resumed at another: the newest first, which seals;
 * all open. Replaces what there was; from then on tls_tickets_rotate does nothing. t keeps no sessions (kept was 0). */
enum { TLS_TICKET_KEY = 80, TLS_TICKET_KEYS_MAX = 16 };
void tls_tickets_share(tls_tickets *t, const uint8_t (*keys)[TLS_TICKET_KEY], size_t count);
/* Such keys from a text: 160 hexadecimal digits a line, the newest first; '#' begins a comment. *ret_count >= 1. */
CS_MUST_USE cs_status tls_ticket_keys_read(cs_view text, const char *what, uint8_t (*out)[TLS_TICKET_KEY],
                                           size_t *ret_count, cs_err *err);
void tls_tickets_free(tls_tickets *t); /* after every front that was made with it */
CS_AUTO_DEFINE(tls_tickets)

/* SHA-256. */
CS_MUST_USE cs_status tls_digest(cs_view data, uint8_t out[32], cs_err *err);

/* ---- a site: a name, who we are there, whom we let in ---- */
typedef enum tls_client { TLS_CLIENT_OFF, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRE } tls_client;

/* Who we are: the leaf and its intermediates, the private key, PEM; borrowed. */
typedef struct tls_identity {
    cs_view certificate, key;
    const char *certificate_what, *key_what; /* named in errors */
} tls_identity;
enum { TLS_IDENTITIES_MAX = 5 };

typedef struct tls_site_plan { /* all borrowed for the call, but for the counted ones, which get a reference */
    const char *name;          /* exact, "*.example", or "*" for every other name */
    tls_identity ids[TLS_IDENTITIES_MAX]; /* of different key types; libssl takes the one that the client can check */
    size_t id_count;
    cs_view staple;           /* OCSP response for the first, DER; n == 0: none */
    bool staple_optional;     /* one that is of no use is left out; else it is refused */
    const char *groups;       /* NULL: ours */
    const cs_certs *ca_names; /* CAs that clients are told; NULL: the anchors */
    bool no_ca_names;
    cs_pins *pins; /* NULL: none */
    tls_client client;
    /* Clients without a certificate, or with one whose only fault is that it has ended, come in too: whoever asks
     * tls_conn_lacks decides how far. */
    bool enroll;
    bool only_13;
    bool own_records;    /* TLS 1.3's record layer is ours after the handshake, where the judge has ciphers */
    const char *alpn;    /* protocols, with commas between: a client that offers others only is refused; NULL: any */
    cs_anchors *anchors; /* NULL with TLS_CLIENT_OFF */
    cs_crls *crls;       /* NULL: none */
    cs_vendors *vendors; /* whose certificates let devices in as far as the site's enroll does; NULL: nobody's */
    const cs_certs *issuers; /* CA certificates that clients need not send (browsers often do not); NULL: none */
    uint8_t trust[32];       /* digest of the anchors' and CRLs' octets: sessions made under another are not resumed */
    tls_tickets *tickets;    /* borrowed by the site for its life */
    const cs_clock *clock;   /* likewise */
    void *user;              /* for whoever asks tls_conn_site_user */
} tls_site_plan;

typedef struct tls_site tls_site;
/* key-mismatch, certificate-expired and the like name the file. The leaf must be for servers and be valid now. */
CS_MUST_USE cs_status tls_site_new(const tls_site_plan *plan, tls_site **ret, cs_err *err);
void tls_site_free(tls_site *s);
CS_AUTO_DEFINE(tls_site)
void *tls_site_user(const tls_site *s);
const char *tls_site_name(const tls_site *s);

/* ---- asking: what is needed to be a client ---- */
typedef struct tls_dialer tls_dialer;
typedef struct tls_dial_plan { /* all borrowed for the call, but for the counted ones, which get a reference */
    cs_anchors *anchors;
    cs_crls *crls;            /* of servers; NULL: none */
    cs_pins *pins;            /* NULL: none */
    bool require_revocation;  /* each certificate but the anchor needs a current, usable CRL */
    cs_view certificate, key; /* PEM; n == 0: none */
    const char *certificate_what, *key_what;
    const char *alpn; /* names with commas between; NULL: none */
    const cs_clock *clock;
} tls_dial_plan;
/* Counted and immutable; any thread. */
CS_MUST_USE cs_status tls_dialer_new(const tls_dial_plan *plan, tls_dialer **ret, cs_err *err);
tls_dialer *tls_dialer_ref(tls_dialer *d);
void tls_dialer_free(tls_dialer *d);
CS_AUTO_DEFINE(tls_dialer)

/* ---- the front: all sites of a configuration ---- */
typedef struct tls_front tls_front;
/* Takes the sites, also on failure. Names must differ. alone: the one site there is serves every name. */
CS_MUST_USE cs_status tls_front_new(tls_site **take_sites, size_t count, bool alone, tls_front **ret, cs_err *err);
tls_front *tls_front_ref(tls_front *f);
void tls_front_free(tls_front *f);
CS_AUTO_DEFINE(tls_front)
/* The site for a host name, in any case, maybe with a last dot; n == 0 or an IP address: the default site. NULL: none
 * serves it. */
tls_site *tls_front_find(const tls_front *f, cs_view host);

/* ---- what a thread judges clients with ---- */
/* Clients that were found good, by certificate and site: bounded to 4,096 of them, about 7 KiB each with their keys. */
typedef struct tls_memory tls_memory;
CS_MUST_USE cs_status tls_memory_new(tls_memory **ret, cs_err *err);
void tls_memory_free(tls_memory *m);

/* What our own record layer works with (tls/record.h); outlives the thread's connections. */
typedef struct tls_ciphers tls_ciphers;
CS_MUST_USE cs_status tls_ciphers_new(tls_ciphers **ret, cs_err *err);
void tls_ciphers_free(tls_ciphers *c);
CS_AUTO_DEFINE(tls_ciphers)

enum { TLS_INTERN_COUNT = 256 };
typedef struct tls_judge {
    const cs_clock *clock;
    tls_memory *memory;   /* NULL: none */
    tls_ciphers *ciphers; /* NULL: libssl protects all records */
    cs_revset *revset;    /* NULL: none; the thread swaps it between handshakes */
    /* Monotonic time until which revocation is known well enough to admit; NULL: no feed is needed. */
    const _Atomic int64_t *fresh_until;
    cs_cert *known[TLS_INTERN_COUNT]; /* intermediates that clients send, so that thousands share one */
} tls_judge;
void tls_judge_clear(tls_judge *j); /* drops references */

/* Who the client is. reason != CS_R_NONE: it was refused for that. */
typedef struct tls_peer {
    cs_cert *leaf;  /* NULL: sent none */
    cs_certs chain; /* the path from the leaf to the anchor; empty when resumed */
    cs_reason reason;
    char *detail; /* of the refusal, or NULL */
    bool resumed;
    bool late;       /* the leaf has ended, and nothing else is wrong with it: the site has enroll */
    bool vendor;     /* none of the site's anchors knows it, but a maker of devices: no identity of ours */
    bool remembered; /* the verdict is one of before that still holds */
    cs_time took;    /* to reach it, in a full handshake with a certificate; else 0 */
} tls_peer;

/* ---- a connection ---- */
typedef struct tls_conn tls_conn;
CS_MUST_USE cs_status tls_conn_new(tls_front *front, tls_judge *judge, tls_conn **ret, cs_err *err);
/* A client's side. name: the DNS name or address that the server's certificate must be for. The handshake refuses with
 * the verdict's reason. */
CS_MUST_USE cs_status tls_conn_dial(tls_dialer *d, const char *name, tls_conn **ret, cs_err *err);
void tls_conn_free(tls_conn *c);
CS_AUTO_DEFINE(tls_conn)

void tls_conn_idle(tls_conn *c); /* nothing is under way: gives buffers back */
void tls_conn_eof(tls_conn *c);  /* the peer closed its side */
/* What is to be sent; tell how much of it was. */
cs_view tls_conn_out(const tls_conn *c);
void tls_conn_sent(tls_conn *c, size_t n);

/* CS_OK: done, the client is who tls_conn_peer says, and admitted. CS_AGAIN: feed more (and send what is there).
 * Refusals: an alert may stand in the output. The detail has no secrets but outside text, escaped. */
CS_MUST_USE cs_status tls_conn_handshake(tls_conn *c, cs_err *err);
/* What came from the network; n == 0: nothing new. Kept until the handshake is done, then opened, up to where `plain`
 * has `most` octets or a record more. Refusals: limit-reached (the peer sent far more than a handshake or record may
 * have); tls-peer-closed when it was cut without close_notify; tls-alert-received; tls-record-invalid: an alert may
 * stand in the output. What came before stands in `plain`. */
CS_MUST_USE cs_status tls_conn_open(tls_conn *c, cs_view data, size_t most, cs_buf *plain, cs_err *err);
bool tls_conn_ended(const tls_conn *c); /* the peer's close_notify came: no more will be opened */
CS_MUST_USE cs_status tls_conn_write(tls_conn *c, cs_view data, cs_err *err); /* all of it, into the output */
void tls_conn_close(tls_conn *c);                                             /* close_notify into the output */

/* Why the connection ends now, as a fatal alert, where the records are ours: libssl has no call for it, and then the
 * peer sees a connection that was cut. */
void tls_conn_alert(tls_conn *c, cs_reason reason);

void tls_conn_discard(tls_conn *c); /* what came and was not read, and all that comes */

/* Why a session that the client came back with was not resumed; CS_R_NONE: it was, or there was none. */
cs_reason tls_conn_not_resumed(const tls_conn *c);
const tls_peer *tls_conn_peer(const tls_conn *c);
tls_site *tls_conn_site(const tls_conn *c);      /* NULL before the client's hello named one */
const char *tls_conn_sni(const tls_conn *c);     /* canonical; "" when it sent none or nonsense */
const char *tls_conn_version(const tls_conn *c); /* "TLSv1.3" */
const char *tls_conn_cipher(const tls_conn *c);  /* "TLS_AES_128_GCM_SHA256" */
const char *tls_conn_group(const tls_conn *c);   /* of the key exchange, "x25519"; "" when there was none */
cs_view tls_conn_alpn(const tls_conn *c);        /* the protocol agreed upon; n == 0: none */
/* What only the two ends of this connection know, on sites that enroll: tls-exporter (32 octets, RFC 9266) with
 * TLS 1.3, tls-unique (12, RFC 5929) with TLS 1.2, if that has the extended master secret (RFC 7627 7); n == 0: none.
 */
cs_view tls_conn_binding(const tls_conn *c);
bool tls_conn_is_13(const tls_conn *c);
bool tls_conn_own(const tls_conn *c); /* the records are protected by us, not by libssl */

/* What it would take to be a client like others: CS_R_NONE; certificate-required; certificate-expired;
 * vendor-certificate-only. The site's as
 * the connection began; `client` is as the site has it now. */
cs_reason tls_conn_lacks(const tls_conn *c, tls_client client);
/* Is the client revoked by that set? */
bool tls_conn_revoked(const tls_conn *c, const cs_revset *set);
/* Until when the certificates hold by which it was admitted. */
cs_time tls_conn_ends(const tls_conn *c);
/* Would it be admitted to `site` (of a newer configuration) by a full handshake now? For live connections after a
 * reload. CS_REFUSED with the reason. */
CS_MUST_USE cs_status tls_conn_again(tls_conn *c, tls_site *site, tls_judge *judge, cs_err *err);

#endif
