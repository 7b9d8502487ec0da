/* conf/conf.h - the one configuration: defaults, then one YAML file, then the command line; the same for every process.
 * Owner: whoever called conf_load, freed by conf_free; immutable once loaded, so threads may share it. */
#ifndef CS_CONF_CONF_H
#define CS_CONF_CONF_H

#include "base/clock.h"
#include "base/err.h"
#include "io/addr_class.h"
#include "x509/maker.h"
#include "x509/profile.h"

typedef enum conf_client { CONF_CLIENT_REQUIRE, CONF_CLIENT_OPTIONAL, CONF_CLIENT_OFF } conf_client;
typedef enum conf_tls { CONF_TLS_1_2, CONF_TLS_1_3 } conf_tls;
typedef enum conf_protocol { CONF_HTTP, CONF_TCP } conf_protocol;
typedef enum conf_said { CONF_NOT_SAID, CONF_NO, CONF_YES } conf_said;
/* What a client says in the clear before TLS begins. */
typedef enum conf_starttls { CONF_STARTTLS_NONE, CONF_STARTTLS_POSTGRES } conf_starttls;

/* Who may pass a route: all that is said must hold. An empty list allows every admitted identity. Patterns have '*' for
 * any run of octets; NULL: any. */
typedef struct conf_allow {
    const char *kind;             /* "user", "device", "server" */
    const char *name;             /* of the identity */
    const char *dns, *email, *ip; /* one of the certificate's names of that type */
    const char *uri, *spiffe;     /* likewise; spiffe: only such URIs */
    const char *issuer;           /* its name, RFC 4514 */
    const char *o, *ou;           /* one of the subject's */
    const char *profile;          /* by which it was issued, as the certificate says */
    const char *fingerprint;      /* SHA-256 of the certificate, 64 hex digits */
    const char *fingerprints;     /* a file of them, one a line */
} conf_allow;

typedef struct conf_texts {
    const char **at;
    unsigned n;
} conf_texts;

typedef struct conf_route {
    const char *path;     /* prefix, "/" for all; the longest that fits wins */
    const char *host;     /* exact or "*.example"; NULL: any of the site's */
    conf_texts methods;   /* none: all */
    const char *upstream; /* as a site's; NULL: the site's */
    conf_allow *allow;
    unsigned allow_count;
} conf_route;

/* Servers that do the same; or one, when it is said in place. */
typedef struct conf_upstream {
    const char *name;
    conf_texts servers;            /* URLs of one scheme */
    const char *ca;                /* PEM anchors for https, h2 and tls; NULL: this machine's */
    const char *certificate, *key; /* ours, when they ask for one; NULL: none */
    const char *crl;               /* CRLs of those anchors, PEM or DER; NULL: none */
    conf_texts pins;               /* as verify/lists.h has them */
    const char *alpn;              /* of streams: protocols that are offered, with commas between; NULL: none */
    conf_starttls starttls;        /* of streams: how TLS is asked for */
    const char *server_name;       /* whom we expect; NULL: the URL's host */
    const char *health;            /* path that must answer 2xx or 3xx; NULL: a connection is enough */
    cs_time interval;              /* between such questions; 0: none are asked */
} conf_upstream;

typedef struct conf_pair {
    const char *certificate; /* PEM: leaf + intermediates */
    const char *key;         /* PEM */
} conf_pair;

typedef struct conf_site {
    const char *name;        /* SNI, exact or "*.example"; "*" is the default site */
    const char *certificate; /* PEM: leaf + intermediates; NULL: the state folder's gateway/server.crt */
    const char *key;         /* PEM; NULL: gateway/server.key */
    const char *client_ca;   /* PEM anchors for clients; NULL: the authority's root, ca/root.crt */
    conf_pair *more;         /* further certificates, of other key types */
    unsigned more_count;
    const char *ocsp;       /* an OCSP response for the first certificate, DER, sent to clients that ask; NULL: none */
    const char *groups;     /* for key exchange, "X25519:P-256"; NULL: ours */
    const char *ca_names;   /* which CAs clients are told: "all", "none", or a PEM file of those; NULL: all */
    conf_texts pins;        /* as verify/lists.h has them */
    const char *client_crl; /* CRLs of those anchors, PEM or DER; NULL: none but the authority's feed */
    conf_client client;
    conf_tls min_tls;
    const char *upstream;
    bool authority;   /* carry the authority's own paths (/ca/, /crl/, /healthz, ...) */
    conf_said enroll; /* whether /.well-known/est and its like lead to the authority; not said: where it has paths */
    conf_protocol protocol;
    conf_starttls starttls;
    bool plain;          /* CONF_TCP: its clients speak no TLS: programs of this machine, whose octets go out in TLS */
    bool proxy_protocol; /* CONF_TCP: the upstream is told who the client is by PROXY protocol version 2 */
    const char *listen;  /* ADDR:PORT of its own, for this site alone or with others that name it; NULL: conf.https;
                            plain: or unix:/PATH */
    const char
        *alpn; /* protocols, with commas between; NULL: http/1.1 and 1.0, or whatever the client of a stream wants */
    conf_allow *allow; /* whom the site admits, where a route has no list of its own */
    unsigned allow_count;
    conf_route *routes;
    unsigned route_count;
} conf_site;

/* Who is told of certificates that end soon. */
enum { CONF_NOTICES_MAX = 8 };
typedef struct conf_notices {
    cs_time before[CONF_NOTICES_MAX]; /* how long, longest first */
    unsigned before_count;            /* 0: nobody is told */
    conf_texts mail_to;
    const char *mail_from, *sendmail;                      /* sendmail: a program */
    const char *smtp;                                      /* smtp:// or smtps://; NULL: sendmail */
    const char *smtp_user, *smtp_password, *webhook_token; /* the latter two: private files */
    const char *webhook;                                   /* https://, or http:// of this machine */
} conf_notices;
/* When does a person decide on an enrollment? */
typedef enum conf_approval {
    CONF_APPROVAL_NEVER,   /* who has a credential gets its certificate, who has none is refused */
    CONF_APPROVAL_UNKNOWN, /* who has no credential waits */
    CONF_APPROVAL_ALWAYS,  /* who has a token waits too; renewals do not */
} conf_approval;
typedef struct conf_enroll {
    conf_approval approval;
    cs_time grace;  /* how long after its end a certificate may still be renewed */
    cs_time retry;  /* when one that waits is told to ask again */
    bool supersede; /* a renewal revokes what it renews */
} conf_enroll;

/* A protocol's path of its own: what is not said of it is as everywhere. */
typedef enum conf_protocol_door { CONF_DOOR_EST, CONF_DOOR_SCEP, CONF_DOOR_CMP, CONF_DOOR_ACME } conf_protocol_door;
/* Which certificates SCEP's GetCACert tells beside the RA's. */
typedef enum conf_ca_chain { CONF_CHAIN_ALL, CONF_CHAIN_NO_ROOT, CONF_CHAIN_RA } conf_ca_chain;
/* Whether a request must be bound to its connection. CHECKED: if it looks as if it were. */
typedef enum conf_binding { CONF_BINDING_CHECKED, CONF_BINDING_REQUIRED, CONF_BINDING_IGNORED } conf_binding;
typedef struct conf_door {
    conf_protocol_door protocol;
    const char *label;   /* in the path; "": the protocol's own path */
    bool closed;         /* nobody is served there */
    bool plain;          /* SCEP, CMP: over the http listener too */
    conf_texts sites;    /* names of those that serve it; none: each that enrolls */
    const char *profile; /* NULL: the one that the label names, else the credential's */
    bool has_approval;
    conf_approval approval; /* instead of the kind's */
    bool legacy;            /* SCEP: 3DES, SHA-1 and MD5 too */
    conf_ca_chain ca_certificates;
    bool open_accounts;   /* ACME: who proves control of a name needs no token */
    conf_binding binding; /* EST */
} conf_door;

/* A maker of devices, whose certificates let them in, once or again. */
enum { CONF_VENDORS_MAX = 32 };
typedef struct conf_vendor {
    const char *name;
    bool tpm;             /* it certifies attestation keys of TPMs; else initial device identities (IDevID) */
    const char *anchors;  /* PEM */
    const char *crl;      /* PEM or DER; NULL: none */
    cs_serial_at serial;  /* where its certificates say the device's */
    const char *identity; /* with "{serial}": what the device is called that is not on the list; NULL: it must be */
    bool listed;          /* it must be on the list (countersign device) all the same */
    const char *profile;  /* NULL: the kind's own */
    bool again;           /* a device may have more than one certificate by it */
    conf_texts sites;     /* that let it in; none: each that enrolls */
    conf_texts doors;     /* "est", "rest", ...; none: all */
} conf_vendor;

/* How a CA's lists are published. */
enum { CONF_SHARDS_MAX = 256 };
typedef struct conf_crl {
    const char *ca;             /* NULL: every CA that has no entry of its own */
    cs_time lifetime, interval; /* nextUpdate - thisUpdate; how often a complete list is made without need */
    cs_time delta;              /* how often a delta is made without need; 0: there are none */
    unsigned shards;            /* lists among which new certificates are divided; 0: one list of all */
    bool delta_in_certificates; /* they name the delta too, not only the list */
} conf_crl;

/* ACME: under which name we are known, and where its challenges may be looked for. */
enum { CONF_NETWORKS_MAX = 64 };
typedef struct conf_acme {
    const char *url;        /* https://HOST[:PORT]; NULL: as the request's Host says */
    conf_texts resolvers;   /* ADDRESS[:PORT]; none: the system's */
    addr_range *fetch_from; /* networks that are asked although they are not global */
    unsigned fetch_from_count;
    unsigned http_port, tls_port; /* of http-01 and tls-alpn-01 */
} conf_acme;

enum { CONF_TWO_ADMINS = 1 << 0, CONF_TWO_CAS = 1 << 1, CONF_TWO_PROFILES = 1 << 2 };
extern const char *const conf_two_words[]; /* "admins", "cas", "profiles": by bit; NULL ends */

typedef struct conf {
    const char *state; /* the folder, absolute, without trailing slash */
    const char *file;  /* the YAML file; NULL: none */
    uint8_t file_sha256[32];
    const char *https;      /* ADDR:PORT of the gateway */
    const char *http;       /* plain listener for CRLs; "" = none */
    bool http_said;         /* it is not the default */
    const char *metrics;    /* "" = none */
    const char *public_url; /* http://HOST:PORT that certificates name for CRL and CA; default from http */
    const char *trust_domain;
    const char *store; /* postgresql://...; NULL: SQLite in the state folder */
    unsigned threads;  /* 0: one a core */
    conf_site *sites;  /* at least one */
    unsigned site_count;
    conf_upstream *upstreams;
    unsigned upstream_count;
    const char *ticket_keys; /* file of keys that seal sessions; "" = the authority's; NULL: sessions are kept here */
    bool own_records;        /* the record layer of TLS 1.3 is ours after the handshake, not libssl's */
    cs_time follow;          /* how often files are looked at for changes; 0: never */
    cs_profile *profiles;    /* server, user and device first; then as the file has them. Sealed */
    unsigned profile_count;
    conf_enroll enroll[CS_KIND_COUNT]; /* by cs_kind */
    conf_door *doors;
    unsigned door_count;
    conf_acme acme;
    conf_vendor *vendors;
    unsigned vendor_count;
    bool listed_keys;  /* a key that is on the list of devices enrolls without a token */
    bool enroll_trace; /* transcripts of enrollments are kept */
    conf_crl crl;      /* of CAs that have no entry in crl_of */
    conf_crl *crl_of;
    unsigned crl_of_count;
    cs_time ocsp_lifetime; /* of an answer; it is made anew at half of it */
    struct {
        cs_time handshake, header, idle, connect, upstream, drain;
        cs_time stream; /* how long nothing may pass in a stream or a tunnel */
        unsigned connections, connections_per_address;
        unsigned handshakes, handshakes_per_address; /* full ones a second; 0: no limit */
        unsigned body_rate; /* octets a second that a request's body must bring, after a while; 0: none */
        uint64_t body;      /* bytes of a request body; 0: no limit */
    } limits;
    cs_time revocation_grace; /* how long the gateway admits with a feed that has gone silent */
    unsigned two_person;      /* what needs a second administrator: CONF_TWO_... */
    conf_texts weak_keys;     /* lists of keys that are not certified: files, or folders of them */
    const char *log_format;   /* "json" or "text" */
    bool access_log;
    conf_notices notices;
    bool tunnel;  /* made of the command line alone: one plain site, no state folder */
    void *memory; /* what conf_free frees */
} conf;

/* `countersign tunnel`: one plain site and where it leads. */
typedef struct conf_tunnel {
    const char *listen; /* NULL: no tunnel. ADDR:PORT, unix:/PATH, "-": standard input and output */
    const char *remote; /* tls://HOST:PORT */
    const char *ca, *certificate, *key, *crl, *server_name, *alpn, *starttls;
    const char *pins; /* with commas between */
} conf_tunnel;

/* What the command line says; NULL or 0: not said. */
typedef struct conf_overrides {
    const char *state, *file, *https, *http, *metrics, *upstream, *public_url, *trust_domain;
    unsigned threads;
    conf_tunnel tunnel;
} conf_overrides;

/* config-invalid names file:line:column, the key and what is expected; unknown keys are refused. */
CS_MUST_USE cs_status conf_load(const conf_overrides *said, conf **ret, cs_err *err);
void conf_free(conf *c);
CS_AUTO_DEFINE(conf)

/* "FILE sha256 HEX", or that there is none: for the audit log. */
enum { CONF_FILE_TEXT_MAX = 600 };
const char *conf_file_text(const conf *c, char out[CONF_FILE_TEXT_MAX]);

/* The profile of that name; name NULL or "": the kind's own. profile-unknown naming those that there are;
 * profile-violated when it is for another kind (CS_KIND_OTHER: any). */
CS_MUST_USE cs_status conf_profile_find(const conf *c, const char *name, cs_kind kind, const cs_profile **ret,
                                        cs_err *err);

/* How the lists of the CA of that name are published. */
const conf_crl *conf_crl_of(const conf *c, const char *ca);

/* Where distributions put such lists; read when it is there and no other is said. */
#define CONF_WEAK_KEYS "/usr/share/openssl-blacklist"
#define CONF_SYSTEM_CAS "/etc/ssl/certs/ca-certificates.crt" /* whom TLS to an upstream trusts when no ca is said */
/* What is said of that protocol's path with that label (""); NULL: nothing. */
const conf_door *conf_door_find(const conf *c, conf_protocol_door protocol, cs_view label);
/* What holds there: of a label of which nothing is said, what is said of the path without one. */
const conf_door *conf_door_at(const conf *c, conf_protocol_door protocol, cs_view label);

/* Is text among them? No texts: all are. */
bool conf_texts_have(const conf_texts *t, const char *text);

/* Each file that the configuration names, itself among them; not those of the state folder. */
typedef void conf_file_cb(void *data, const char *path);
void conf_each_file(const conf *c, conf_file_cb *cb, void *data);

/* PATH below the state folder into out; CS_LIMIT when it would not fit. */
enum { CONF_PATH_MAX = 1024 };
CS_MUST_USE cs_status conf_path(const conf *c, const char *below, char out[CONF_PATH_MAX], cs_err *err);

/* Where the OCSP answer stands that is fetched for a site's certificate of ours, by the certificate's SHA-256. */
CS_MUST_USE cs_status conf_staple_path(const conf *c, const uint8_t sha256[32], char out[CONF_PATH_MAX], cs_err *err);

/* The options that every process and `up` take (--state, -c, --https, --http, --metrics, --upstream, --public-url,
 * --trust-domain, --threads, and a tunnel's), as argv for a child: appends to a NULL-terminated array of the caller. */
enum { CONF_ARGV_MAX = 64 };
int conf_argv(const conf_overrides *said, const char *argv[CONF_ARGV_MAX], int at);
/* The child's side: is argv[at] one of these options? Then its value goes into *said (a pointer into argv) and the
 * number of words used (2) comes back; 0 when it is another option, -1 when its value is missing. */
int conf_take(conf_overrides *said, int argc, char *const argv[], int at);

#endif
