/* proto/client/client.h - asking an authority, ours or another's, for a certificate: what every protocol's client half
 * (proto/X/X_client.c) does, and what it is given. The frame (cli/enroll.c, the agent) makes the key, waits between
 * questions, judges what came and writes it; a client half only speaks its protocol.
 * Owner: whoever asks; one thread; one object an enrollment. */
#ifndef CS_PROTO_CLIENT_H
#define CS_PROTO_CLIENT_H

#include "base/rng.h"
#include "fetch/call.h"
#include "keys/keys.h"
#include "x509/cert.h"

typedef struct client client;

typedef struct client_protocol {
    const char *name; /* "est" */
    /* A URL with one of these in its path, as whole segments, is this protocol's; NULL ends. */
    const char *paths[6];
    bool plain; /* protects itself: http:// will do */
    /* What is to be known before a key is made: the CA's certificates (client_take_cas), its wishes about keys. */
    cs_status (*prepare)(client *c, cs_err *err);
    /* Asks for the certificate, or again. CS_OK: c->chain has it, leaf first. CS_AGAIN: it waits for somebody; to be
     * called again after c->retry. */
    cs_status (*ask)(client *c, cs_err *err);
    void (*close)(client *c); /* frees c->state; NULL: it has none */
} client_protocol;
/* est, scep, cmp, acme; NULL ends. */
extern const client_protocol *const client_protocols[];
extern const client_protocol client_est, client_scep, client_cmp, client_acme;
/* By name, or (name NULL) by the URL. usage, naming those that there are. */
CS_MUST_USE cs_status client_protocol_find(const char *name, const char *url, const client_protocol **ret, cs_err *err);

/* How names are proven to a server (ACME): what it looks for is shown before it is asked to look, and hidden after. */
typedef struct client_proof {
    const char *name;        /* what is proven: a DNS name or an address */
    const char *token;       /* letters, digits, - and _ */
    char authorization[300]; /* http-01: what /.well-known/acme-challenge/TOKEN says */
    char digest[64];         /* dns-01: the text of _acme-challenge.NAME */
} client_proof;
typedef struct client_prover {
    const char *challenge; /* "http-01", "dns-01" */
    cs_status (*show)(void *cls, const client_proof *proof, cs_err *err);
    void (*hide)(void *cls, const client_proof *proof);
    void *cls;
} client_prover;

struct client {
    /* Said by whoever asks; borrowed. */
    const char *url;
    const char *profile; /* NULL: the server's choice */
    const char *name;    /* of the identity: the request's commonName, a token's user */
    const char *user;    /* to whom the secret belongs */
    const cs_san *sans;  /* further names that are asked for */
    size_t san_count;
    const cs_secret *secret;     /* token, challenge, password; NULL: none */
    const cs_certs *old;         /* the certificate that is renewed, leaf first; NULL: none */
    const cs_key *old_key;       /* its key */
    const uint8_t *fingerprint;  /* SHA-256 of the CA's certificate, 32 octets: the first trust; NULL: none */
    const cs_certs *trust;       /* CAs that are trusted already; NULL: none */
    const cs_key *account_key;   /* ACME: of the account; NULL: none */
    const client_prover *prover; /* ACME */
    const cs_clock *clock;
    const cs_rng *rng;
    call *http;       /* trusts `trust`; authenticates with old and old_key over TLS */
    cs_key_spec spec; /* of the key that will be made: prepare may change it unless spec_said */
    bool spec_said;
    /* Set by the frame between prepare and ask. */
    const cs_key *key; /* the new certificate's */
    cs_view csr;       /* PKCS#10 of it: name and sans, DER */
    /* Is c->chain ours, and good under what is trusted? For protocols that confirm what they got. */
    cs_status (*judge)(client *c, cs_err *err);
    void *frame; /* the frame's own */
    /* What came of it. */
    cs_certs cas;   /* the server's CA certificates, as far as they are proven: roots and those below */
    cs_certs chain; /* leaf first; what else came with it may follow in any order */
    cs_time retry;
    char waits[128]; /* what the server says of a request that waits; "": nothing */
    void *state;     /* the client half's own */
};
void client_free(client *c); /* what came of it; not what is borrowed */

/* The server's CA certificates came in that bag. proven: over a channel that authenticated the server; else the bag
 * must hold the certificate of the fingerprint, or every root of it must be trusted already. What holds is added to
 * c->cas; with a fingerprint, TLS trusts its certificate from here on. server-untrusted, server-answer-invalid. */
CS_MUST_USE cs_status client_take_cas(client *c, const cs_certs *bag, bool proven, cs_err *err);

/* Is that certificate, of who answers in the server's name, good under c->cas (else c->trust)? extra: what is between.
 * server-untrusted. */
CS_MUST_USE cs_status client_check_signer(const client *c, const cs_cert *signer, const cs_certs *extra, cs_err *err);

/* A refusal in the server's words, cut and escaped: ours by its reason's name when the text begins with one. */
cs_status client_refused(const client *c, unsigned status, cs_view words, cs_err *err);

#endif
