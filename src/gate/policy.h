/* gate/policy.h - one configuration, read and validated as a whole: sites, whom they trust, where their routes lead.
 * Owner: counted (policy_ref, policy_free); immutable once loaded, so all threads share it. A reload makes another one;
 * the old dies with the last connection that was begun under it. */
#ifndef CS_GATE_POLICY_H
#define CS_GATE_POLICY_H

#include <stdatomic.h>

#include "conf/conf.h"
#include "io/net.h"
#include "tls/tls.h"

enum { GATE_DOORS_MAX = 32 };

/* One server of an upstream. What is atomic changes while it serves; all threads share it. */
typedef struct gate_server {
    net_addr at;
    const char *text;           /* as configured */
    char name[256];             /* of its host, for TLS */
    uint64_t id;                /* of this process's life */
    atomic_uint active;         /* exchanges that it has */
    atomic_uint fails;          /* connections that could not be made, one after the other */
    atomic_bool down;           /* as the log has it */
    _Atomic int64_t down_until; /* monotonic; it is passed over until then */
} gate_server;

/* Where requests lead: one server, or several that do the same. */
typedef struct gate_group {
    const char *name;
    const conf_upstream *conf; /* NULL: a URL in place */
    gate_server *servers;
    unsigned count;
    bool http2, tls;
    conf_starttls starttls;
    tls_dialer *dialer; /* with tls */
    atomic_uint turn;   /* who is asked first among equals */
} gate_group;

typedef struct gate_allow {
    const conf_allow *conf;
    uint8_t print[32];     /* with conf->fingerprint */
    uint8_t (*prints)[32]; /* of conf->fingerprints, sorted */
    size_t print_count;
} gate_allow;

typedef struct gate_route {
    const conf_route *conf; /* NULL: the only route of a site without */
    cs_view path;
    gate_allow *allow;
    unsigned allow_count;
    gate_group *group;
} gate_route;

typedef struct gate_site {
    const conf_site *conf;
    bool enroll;   /* carries the doors of enrollment */
    cs_crls *crls; /* of client_crl, or NULL */
    gate_group *group;
    gate_route *routes; /* the longest path first */
    unsigned route_count;
} gate_site;

/* Where TLS is served: an address and the sites that are reached by it. */
typedef struct gate_door {
    const char *listen; /* as configured */
    tls_front *front;
    conf_protocol protocol; /* of all its sites, or CONF_HTTP */
    conf_starttls starttls;
    const gate_site *plain; /* its one site, where no TLS is spoken: then there is no front; else NULL */
} gate_door;

typedef struct policy {
    atomic_uint refs;
    const cs_clock *clock;
    conf *conf;
    gate_door *doors; /* conf.https first, if a site is there */
    unsigned door_count;
    gate_site *sites;
    unsigned site_count;
    gate_group **groups;
    unsigned group_count;
    gate_group *authority;
    char authority_url[CONF_PATH_MAX + 8];
    uint8_t (*ticket_keys)[TLS_TICKET_KEY]; /* of conf->ticket_keys, when that is a file */
    size_t ticket_key_count;
    bool feed; /* there is an authority of ours, whose feed must be heard */
} policy;

CS_MUST_USE cs_status policy_load(const conf_overrides *said, tls_tickets *tickets, const cs_clock *clock, policy **ret,
                                  cs_err *err);
/* May p follow `before`? crl-rollback: a CRL file of a site has become older. */
CS_MUST_USE cs_status policy_follows(const policy *p, const policy *before, cs_err *err);
policy *policy_ref(policy *p);
void policy_free(policy *p);
CS_AUTO_DEFINE(policy)

tls_client policy_client(const gate_site *site);
/* The door at that address; NULL: this configuration has none there. */
const gate_door *policy_door(const policy *p, const char *listen);
/* Where a request leads. NULL: nowhere (route-unknown). The default of a site without routes is a route without a list.
 */
const gate_route *policy_route(const gate_site *site, cs_view host, cs_view method, cs_view path);
/* May that identity (NULL: none) with that certificate use the route? A stream's is the first. */
bool policy_allows(const gate_route *route, cs_kind kind, const char *who, const cs_cert *leaf);

/* allow.c. *ret is the caller's also on failure. */
CS_MUST_USE cs_status gate_allows_load(const conf_allow *from, unsigned count, gate_allow **ret, cs_err *err);
void gate_allows_free(gate_allow *a, unsigned count);
/* The CRLs of a file; their digest is appended to trust, unless that is NULL. */
CS_MUST_USE cs_status policy_crls(const char *path, cs_crls **ret, cs_buf *trust, cs_err *err);
/* groups.c: the upstream of that name or URL; made when it is not there yet. The policy's. */
CS_MUST_USE cs_status policy_group(policy *p, const char *said, gate_group **ret, cs_err *err);
void policy_groups_free(policy *p);

#endif
