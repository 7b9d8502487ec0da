/* The authority's paths: what anybody may fetch, and the doors at which one asks for a certificate. */
#include "gate/gate_priv.h"

enum { PUBLIC = 1, PLAIN = 2, KNOCK = 4, MEMBERS = 8 };
enum { NO_PROTOCOL = -1 };

/* PUBLIC: GET by anybody. PLAIN: also without TLS, since what is said there is protected by itself (RFC 8894 2.1,
 * RFC 9811 3). KNOCK: also for who lacks a good certificate. MEMBERS: for who has one; the authority decides who may
 * what. */
typedef struct door {
    const char *path; /* and what lies below it; alone without below: just that */
    bool below, alone;
    unsigned who;
    int protocol; /* conf_protocol_door, of which the configuration may say more */
} door;
static const door doors[] = {
    {"/crl", true, false, PUBLIC, NO_PROTOCOL},
    {"/ca", true, false, PUBLIC, NO_PROTOCOL},
    {"/healthz", false, true, PUBLIC, NO_PROTOCOL},
    {"/renewal-info", true, true, PUBLIC | KNOCK, NO_PROTOCOL},
    {"/ocsp", true, true, PUBLIC | PLAIN | KNOCK, NO_PROTOCOL}, /* POST too */
    {"/scep", true, true, PLAIN | KNOCK, CONF_DOOR_SCEP},
    {"/cgi-bin/pkiclient.exe", false, true, PLAIN, CONF_DOOR_SCEP},   /* where Cisco's devices ask */
    {"/certsrv/mscep/mscep.dll", false, true, PLAIN, CONF_DOOR_SCEP}, /* where those ask that know Windows' server */
    {"/.well-known/cmp", true, true, PLAIN | KNOCK, CONF_DOOR_CMP},
    {"/.well-known/est", true, true, KNOCK, CONF_DOOR_EST},
    {"/acme", true, true, KNOCK, CONF_DOOR_ACME},
    {"/api/v1/enroll", true, true, KNOCK | MEMBERS, NO_PROTOCOL},
    {"/api/v1", true, false, MEMBERS, NO_PROTOCOL},
    {"/console", true, true, MEMBERS, NO_PROTOCOL},
};

static const door *door_of(cs_view path) {
    for (size_t i = 0; i < sizeof doors / sizeof *doors; i++) {
        cs_view d = cs_view_str(doors[i].path);
        if (!cs_view_starts(path, d)) continue;
        if (path.n == d.n ? doors[i].alone : doors[i].below && path.p[d.n] == '/') return &doors[i];
    }
    return NULL;
}

/* The segment of the path that may be a label: CMP's stands behind "p". @rfc 9811#3.4 */
static cs_view label_of(const door *d, cs_view path) {
    size_t at = strlen(d->path), end = 0;
    if (d->protocol == CONF_DOOR_CMP && cs_view_starts(cs_view_of(path.p + at, path.n - at), CS_VIEW_LIT("/p/")))
        at += 2;
    if (at < path.n) at++;
    for (end = at; end < path.n && path.p[end] != '/'; end++)
        ;
    return cs_view_of(path.p + at, end - at);
}

/* Is it open here? site NULL: the plain listener. What is said of no label holds for all of which nothing is said. */
static bool is_open(const conf *c, const char *site, const door *d, cs_view path) {
    if (d->protocol == NO_PROTOCOL) return true;
    const conf_door *said = conf_door_at(c, (conf_protocol_door)d->protocol, label_of(d, path));
    if (said == NULL) return true;
    if (said->closed || (site == NULL && !said->plain)) return false;
    for (unsigned i = 0; site != NULL && i < said->sites.n; i++)
        if (strcmp(said->sites.at[i], site) == 0) return true;
    return site == NULL || said->sites.n == 0;
}

/* What lies below /ocsp/ is base64, whose slashes may be written as they are, twice in a row, or as %2F: the authority
 * takes all of it as one text and nothing else. @rfc 6960#A.1 */
static unsigned door_to(const conf *c, const char *site, cs_view path) {
    const door *d = NULL;
    if (cs_view_starts(path, CS_VIEW_LIT("/ocsp/")))
        d = door_of(CS_VIEW_LIT("/ocsp"));
    else if (http_path_is_clean(path))
        d = door_of(path);
    return d != NULL && is_open(c, site, d, path) ? d->who : 0;
}

static cs_status fetching(const http_head *h, unsigned who, cs_err *err) {
    if (h->method_id == HTTP_GET || h->method_id == HTTP_HEAD || (who & ~(unsigned)PUBLIC) != 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_HTTP_METHOD_NOT_ALLOWED, "%s", "the authority's files are for GET");
}

cs_status doors_plain(const conf *c, const http_head *h, cs_err *err) {
    unsigned who = door_to(c, NULL, h->path);
    if ((who & (PUBLIC | PLAIN)) != 0) return fetching(h, who, err);
    return cs_fail(err, CS_REFUSED, CS_R_ROUTE_UNKNOWN, "%s",
                   "the plain listener has the authority's files, and the protocols that protect themselves");
}

cs_status doors_tls(const conn *c, const http_head *h, bool *ret, cs_err *err) {
    const gate_site *site = c->site;
    cs_reason lacks = site->enroll ? tls_conn_lacks(c->wire.tls, policy_client(site)) : CS_R_NONE;
    unsigned who = door_to(worker_conf(c->w), site->conf->name, h->path);
    bool open = ((who & PUBLIC) != 0 && site->conf->authority) || ((who & KNOCK) != 0 && site->enroll);
    *ret = open || ((who & MEMBERS) != 0 && (site->conf->authority || site->enroll));
    if (open) return fetching(h, who, err);
    if (*ret && c->who == NULL) lacks = CS_R_CERTIFICATE_REQUIRED; /* also where others do without */
    if (lacks != CS_R_NONE)
        return cs_fail(err, CS_REFUSED, lacks, "%s",
                       "without a certificate that is good, only enrollment is served here");
    return CS_OK;
}
