/* The authority's paths: what anybody may fetch, and the doors at which one asks for a certificate. */
#include "gate/gate_priv.h"

enum { PUBLIC = 1, PLAIN = 2, KNOCK = 4, MEMBERS = 8 };

/* PUBLIC: GET by anybody. PLAIN: also without TLS, since what is said there is protected by itself (RFC 8894 2.1,
 * RFC 9811 3). KNOCK: also for who lacks a good certificate. MEMBERS: for who has one; the authority decides who may
 * what. */
static const struct {
    const char *path; /* and what lies below it; alone without below: just that */
    bool below, alone;
    unsigned who;
} doors[] = {
    {"/crl", true, false, PUBLIC},
    {"/ca", true, false, PUBLIC},
    {"/healthz", false, true, PUBLIC},
    {"/ocsp", true, true, PUBLIC | PLAIN | KNOCK}, /* POST too */
    {"/scep", true, true, PLAIN | KNOCK},
    {"/.well-known/cmp", true, true, PLAIN | KNOCK},
    {"/.well-known/est", true, true, KNOCK},
    {"/acme", true, true, KNOCK},
    {"/api/v1/enroll", true, true, KNOCK | MEMBERS},
    {"/api/v1", true, false, MEMBERS},
    {"/console", true, true, MEMBERS},
};

static unsigned door_of(cs_view path) {
    for (size_t i = 0; i < sizeof doors / sizeof *doors; i++) {
        cs_view d = cs_view_str(doors[i].path);
        if (!cs_view_starts(path, d)) continue;
        if (path.n == d.n ? doors[i].alone : doors[i].below && path.p[d.n] == '/') return doors[i].who;
    }
    return 0;
}

/* What lies below /ocsp/ is base64, whose slashes may be written as they are, twice in a row, or as %2F: the authority
 * takes all of it as one text and nothing else. @rfc 6960#A.1 */
static unsigned door_to(cs_view path) {
    if (cs_view_starts(path, CS_VIEW_LIT("/ocsp/"))) return door_of(CS_VIEW_LIT("/ocsp"));
    return http_path_is_clean(path) ? door_of(path) : 0;
}

static cs_status fetching(const http_head *h, unsigned who, cs_err *err) {
    if (h->method_id == HTTP_GET || h->method_id == HTTP_HEAD || (who & ~(unsigned)PUBLIC) != 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_HTTP_METHOD_NOT_ALLOWED, "%s", "the authority's files are for GET");
}

cs_status doors_plain(const http_head *h, cs_err *err) {
    unsigned who = door_to(h->path);
    if ((who & (PUBLIC | PLAIN)) != 0) return fetching(h, who, err);
    return cs_fail(err, CS_REFUSED, CS_R_ROUTE_UNKNOWN, "%s",
                   "the plain listener has the authority's files, and the protocols that protect themselves");
}

cs_status doors_tls(const conn *c, const http_head *h, bool *ret, cs_err *err) {
    const gate_site *site = c->site;
    cs_reason lacks = site->enroll ? tls_conn_lacks(c->wire.tls, policy_client(site)) : CS_R_NONE;
    unsigned who = door_to(h->path);
    bool open = ((who & PUBLIC) != 0 && site->conf->authority) || ((who & KNOCK) != 0 && site->enroll);
    *ret = open || ((who & MEMBERS) != 0 && (site->conf->authority || site->enroll));
    if (open) return fetching(h, who, err);
    if (*ret && c->who == NULL) lacks = CS_R_CERTIFICATE_REQUIRED; /* also where others do without */
    if (lacks != CS_R_NONE)
        return cs_fail(err, CS_REFUSED, lacks, "%s",
                       "without a certificate that is good, only enrollment is served here");
    return CS_OK;
}
