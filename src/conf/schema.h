/* conf/schema.h - the configuration file as it is written: keys, types and structure, for libcyaml.
 * Static storage; read by any thread. Durations, addresses and names arrive as text; conf/value.h judges them. */
#ifndef CS_CONF_SCHEMA_H
#define CS_CONF_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include <cyaml/cyaml.h>

/* NULL everywhere: not written. */
typedef struct file_allow {
    char *kind, *name, *dns, *email, *ip, *uri, *spiffe, *issuer, *o, *ou, *profile, *fingerprint, *fingerprints;
} file_allow;

typedef struct file_route {
    char *path, *host, *upstream;
    char **methods;
    unsigned methods_count;
    file_allow *allow;
    unsigned allow_count;
} file_route;

typedef struct file_pair {
    char *certificate, *key;
} file_pair;

typedef struct file_upstream {
    char *name, *ca, *certificate, *key, *crl, *server_name, *alpn, *starttls, *health, *interval;
    char **pins;
    unsigned pins_count;
    char **servers;
    unsigned servers_count;
} file_upstream;

typedef struct file_site {
    char *name, *certificate, *key, *client_ca, *client_crl, *upstream, *min_tls, *client;
    char *listen, *protocol, *tls, *alpn, *starttls, *ocsp, *groups, *ca_names;
    file_pair *certificates;
    unsigned certificates_count;
    char **pins;
    unsigned pins_count;
    bool *authority, *enroll, *proxy_protocol;
    file_allow *allow;
    unsigned allow_count;
    file_route *routes;
    unsigned routes_count;
} file_site;

typedef struct file_subject {
    char *cn, *o, *ou, *c, *serial_number;
} file_subject;

typedef struct file_extension {
    char *oid, *der;
    bool *critical;
} file_extension;

typedef struct file_profile {
    char *name, *kind, *lifetime, *longest, *backdate;
    file_subject subject;
    char **keys, **key_usage, **extended_key_usage, **names, **deny_names, **fixed_names, **policies, **ask;
    unsigned keys_count, key_usage_count, extended_key_usage_count, names_count, deny_names_count, fixed_names_count,
        policies_count, ask_count;
    file_extension *extensions;
    unsigned extensions_count;
    unsigned *most_names;
    bool *names_from_request, *must_staple, *approval, *shared_key, *supersede;
} file_profile;

typedef struct file_enroll {
    char *approval, *grace, *retry;
    bool *supersede;
} file_enroll;

/* A door of enrollment: which protocol, where, and what holds there. */
typedef struct file_door {
    char *protocol, *label, *profile, *approval, *ca_certificates, *accounts, *channel_binding;
    char **sites;
    unsigned sites_count;
    bool *serve, *plain, *legacy;
} file_door;

/* A maker of devices, whose certificates are credentials. */
typedef struct file_vendor {
    char *name, *as, *anchors, *crl, *serial, *identity, *profile, *use;
    char **sites, **doors;
    unsigned sites_count, doors_count;
    bool *listed;
} file_vendor;

typedef struct file_crl_of {
    char *ca, *lifetime, *interval, *delta;
    unsigned *shards;
    bool *delta_in_certificates;
} file_crl_of;

/* Where ACME's challenges are looked for. */
typedef struct file_acme {
    char *url;
    char **resolvers, **fetch_from;
    unsigned resolvers_count, fetch_from_count;
    unsigned *http_port, *tls_port;
} file_acme;

typedef struct file_conf {
    char *state, *https, *http, *metrics, *public_url, *trust_domain, *store, *upstream, *revocation_grace,
        *ticket_keys, *tls_records;
    unsigned *threads;
    file_site *sites;
    unsigned sites_count;
    file_upstream *upstreams;
    unsigned upstreams_count;
    char *follow;
    file_profile *profiles;
    unsigned profiles_count;
    struct {
        file_enroll server, user, device;
        file_door *doors;
        unsigned doors_count;
        file_vendor *vendors;
        unsigned vendors_count;
        bool *trace, *listed_keys;
    } enroll;
    file_acme acme;
    struct {
        char *lifetime, *interval, *delta;
        unsigned *shards;
        bool *delta_in_certificates;
        file_crl_of *cas;
        unsigned cas_count;
    } crl;
    struct {
        char *lifetime;
    } ocsp;
    struct {
        char *handshake, *header, *idle, *stream, *connect, *upstream, *drain;
        unsigned *connections, *connections_per_address, *handshakes, *handshakes_per_address, *body_rate;
        uint64_t *body;
    } limits;
    char **two_person, **weak_keys;
    unsigned two_person_count, weak_keys_count;
    struct {
        char *format;
        bool *access;
    } log;
    struct {
        char **before, **mail_to;
        unsigned before_count, mail_to_count;
        char *mail_from, *sendmail, *smtp, *smtp_user, *smtp_password, *webhook, *webhook_token;
    } notices;
} file_conf;

extern const cyaml_schema_value_t conf_schema;

#endif
