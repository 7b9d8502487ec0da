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

typedef struct gate_upstream {
    net_addr at;
    const char *text; /* as configured */
} gate_upstream;

typedef struct gate_route {
    cs_view path;
    const conf_allow *allow;
    unsigned allow_count;
    gate_upstream upstream;
} gate_route;

typedef struct gate_site {
    const conf_site *conf;
    cs_crls *crls; /* of client_crl, or NULL */
    gate_upstream upstream;
    gate_route *routes; /* the longest path first */
    unsigned route_count;
} gate_site;

/* Where TLS is served: an address and the sites that are reached by it. */
typedef struct gate_door {
    const char *listen; /* as configured */
    tls_front *front;
    conf_protocol protocol; /* of all its sites, or CONF_HTTP */
    conf_starttls starttls;
} gate_door;

typedef struct policy {
    atomic_uint refs;
    conf *conf;
    gate_door *doors; /* conf.https first, if a site is there */
    unsigned door_count;
    gate_site *sites;
    unsigned site_count;
    gate_upstream authority;
    char authority_url[CONF_PATH_MAX + 8];
    bool feed; /* there is an authority of ours, whose feed must be heard */
} policy;

CS_MUST_USE cs_status policy_load(const conf_overrides *said, tls_tickets *tickets, const cs_clock *clock, policy **ret,
                                  cs_err *err);
/* May p follow `before`? crl-rollback: a CRL file of a site has become older. */
CS_MUST_USE cs_status policy_follows(const policy *p, const policy *before, cs_err *err);
policy *policy_ref(policy *p);
void policy_free(policy *p);
CS_AUTO_DEFINE(policy)

/* The door at that address; NULL: this configuration has none there. */
const gate_door *policy_door(const policy *p, const char *listen);
/* Where a request for that path leads. NULL: nowhere (route-unknown). The default of a site without routes is a route
 * without a list. */
const gate_route *policy_route(const gate_site *site, cs_view path);
/* May that identity (NULL: none) use the route? A stream's is the first. */
bool policy_allows(const gate_route *route, const cs_identity *who);

#endif
