/* Is this client good? Asked once in a full handshake (by certificate), once in a resumption (by ticket), and for live
 * connections when trust changes. */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "tls/tls_priv.h"

/* libssl chooses the alert by the error; these give back the alerts of reasons.def. */
int tls_error_of_alert(int alert) {
    switch (alert) {
    case 42: return X509_V_ERR_CERT_REJECTED;
    case 43: return X509_V_ERR_INVALID_PURPOSE;
    case 44: return X509_V_ERR_CERT_REVOKED;
    case 45: return X509_V_ERR_CERT_HAS_EXPIRED;
    case 48: return X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
    case 51: return X509_V_ERR_CERT_SIGNATURE_FAILURE;
    case 80: return X509_V_ERR_OUT_OF_MEM;
    default: return X509_V_ERR_PERMITTED_VIOLATION; /* certificate_unknown, 46 */
    }
}

int tls_refuse_peer(tls_conn *c, X509_STORE_CTX *store, const cs_err *err) {
    c->peer.reason = err->reason != CS_R_NONE ? err->reason : CS_R_INTERNAL_ERROR;
    c->peer.detail = strdup(err->detail);
    X509_STORE_CTX_set_error(store, tls_error_of_alert(cs_reason_of(c->peer.reason)->alert));
    return 0;
}

void tls_peer_clear(tls_peer *p) {
    cs_cert_free(p->leaf);
    cs_certs_free(&p->chain);
    free(p->detail);
    *p = (tls_peer){.leaf = NULL};
}

void tls_judge_clear(tls_judge *j) {
    for (size_t i = 0; i < TLS_INTERN_COUNT; i++) {
        cs_cert_free(j->known[i]);
        j->known[i] = NULL;
    }
    cs_revset_free(j->revset);
    j->revset = NULL;
}

bool tls_revocation_known(const tls_judge *j) {
    return j->fresh_until == NULL || cs_mono(j->clock) <= atomic_load_explicit(j->fresh_until, memory_order_relaxed);
}

tls_path *tls_path_new(unsigned count) {
    tls_path *p = calloc(1, sizeof *p + count * sizeof p->at[0]);
    if (p == NULL) return NULL;
    atomic_init(&p->refs, 1);
    p->count = count;
    return p;
}

void tls_path_free(tls_path *p) {
    if (p != NULL && atomic_fetch_sub(&p->refs, 1) == 1) free(p);
}

void tls_grant_copy(tls_grant *to, const tls_grant *from) {
    *to = *from;
    if (to->path != NULL) (void)atomic_fetch_add(&to->path->refs, 1);
}

void tls_grant_clear(tls_grant *g) {
    tls_path_free(g->path);
    *g = (tls_grant){.since = 0};
}

bool tls_grant_revoked(const tls_grant *g, const cs_revset *set) {
    const tls_path *p = g->path;
    for (unsigned i = 0; set != NULL && p != NULL && i < p->count; i++)
        if (cs_revset_has(set, p->at[i].issuer, cs_view_of(p->at[i].serial, p->at[i].serial_n), NULL)) return true;
    return false;
}

cs_status tls_decode(X509 *x, cs_cert **ret, cs_err *err) {
    unsigned char *der = NULL;
    int n = i2d_X509(x, &der);
    if (n <= 0) return tls_fail(err, CS_REFUSED, CS_R_CERTIFICATE_MALFORMED, "the peer's certificate");
    cs_status s = n > CS_PEER_CERT_MAX ? cs_fail(err, CS_LIMIT, CS_R_CHAIN_TOO_BIG,
                                                 "a certificate of %d bytes, at most %d", n, (int)CS_PEER_CERT_MAX)
                                       : cs_cert_decode(cs_view_of(der, (size_t)n), ret, err);
    OPENSSL_free(der);
    return s;
}

/* The same intermediate comes with thousands of clients: one object for all of them, decoded once. */
static cs_status decode_shared(tls_judge *j, X509 *x, cs_cert **ret, cs_err *err) {
    uint8_t digest[32];
    unsigned n = 0;
    if (X509_digest(x, EVP_sha256(), digest, &n) != 1 || n != 32)
        return tls_fail(err, CS_REFUSED, CS_R_CERTIFICATE_MALFORMED, "an intermediate of the peer");
    cs_cert **slot = &j->known[digest[0] % TLS_INTERN_COUNT];
    if (*slot != NULL && memcmp((*slot)->sha256, digest, 32) == 0) {
        *ret = cs_cert_ref(*slot);
        return CS_OK;
    }
    TRY(tls_decode(x, ret, err));
    cs_cert_free(*slot);
    *slot = cs_cert_ref(*ret);
    return CS_OK;
}

static cs_status gather(tls_conn *c, X509_STORE_CTX *store, cs_certs *extra, cs_err *err) {
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
    if (leaf == NULL) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_REQUIRED, "%s", "");
    int count = sent != NULL ? sk_X509_num(sent) : 0;
    if (count > CS_PEER_CHAIN_COUNT)
        return cs_fail(err, CS_LIMIT, CS_R_CHAIN_TOO_BIG, "%d certificates, at most %d", count,
                       (int)CS_PEER_CHAIN_COUNT);
    TRY(tls_decode(leaf, &c->peer.leaf, err));
    for (int i = 0; i < count; i++) {
        cs_cert *one = NULL;
        X509 *x = sk_X509_value(sent, i);
        if (x == leaf || X509_cmp(x, leaf) == 0) continue;
        TRY(decode_shared(c->judge, x, &one, err));
        TRY(cs_certs_add(extra, one, err));
    }
    return CS_OK;
}

/* By this the connection is found when one of its certificates is revoked, so that a path that does not fit is none. */
static cs_status remember(tls_conn *c, const cs_verdict *v, cs_err *err) {
    tls_grant *g = &c->grant;
    size_t count = v->chain.n > 0 ? v->chain.n - 1 : 0;
    if (count > TLS_PATH_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_CHAIN_TOO_BIG, "a path of %zu certificates, at most %d", count,
                       (int)TLS_PATH_MAX);
    tls_grant_clear(g);
    g->path = count > 0 ? tls_path_new((unsigned)count) : NULL;
    if (count > 0 && g->path == NULL) return CS_NOMEM_ERR(err);
    g->good_until = v->good_until;
    memcpy(g->policy, c->site->policy, sizeof g->policy);
    for (size_t i = 0; i < count; i++) {
        const cs_cert *cert = v->chain.at[i];
        tls_link *l = &g->path->at[i];
        if (cert->serial.n > sizeof l->serial)
            return cs_fail(err, CS_REFUSED, CS_R_CHAIN_TOO_BIG, "a serial number of %zu octets", cert->serial.n);
        memcpy(l->issuer, v->chain.at[i + 1]->spki_sha256, 32);
        memcpy(l->serial, cert->serial.p, cert->serial.n);
        l->serial_n = (uint8_t)cert->serial.n;
    }
    g->since = cs_now(c->judge->clock);
    return CS_OK;
}

static cs_status ask(tls_conn *c, const tls_site *site, tls_judge *j, const cs_certs *extra, cs_verdict *v,
                     cs_err *err) {
    const cs_want want = {.purpose = CS_PURPOSE_CLIENT,
                          .at = cs_now(j->clock),
                          .max_depth = -1,
                          .revocation = CS_REVOCATION_GIVEN,
                          .crls = site->crls,
                          .pins = site->pins,
                          .late = site->enroll,
                          .revset = j->revset};
    if (!tls_revocation_known(j))
        return cs_fail(err, CS_REFUSED, CS_R_REVOCATION_UNKNOWN, "%s",
                       "the authority's feed has been silent for too long");
    TRY(cs_verify(site->anchors, c->peer.leaf, extra, &want, v, err));
    return v->accepted ? CS_OK : cs_fail(err, CS_REFUSED, v->reason, "%s", v->detail);
}

static cs_status add_issuers(const tls_site *site, cs_certs *extra, cs_err *err) {
    for (size_t i = 0; i < site->issuers.n; i++) TRY(cs_certs_add(extra, cs_cert_ref(site->issuers.at[i]), err));
    return CS_OK;
}

static bool remembered(tls_conn *c, X509_STORE_CTX *store, X509 **ret_peer) {
    uint8_t digest[32];
    unsigned n = 0;
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    if (c->judge->memory == NULL || leaf == NULL || !tls_revocation_known(c->judge)) return false;
    if (X509_digest(leaf, EVP_sha256(), digest, &n) != 1 || n != 32) return false;
    return tls_memory_find(c->judge->memory, digest, c, ret_peer);
}

/* What the client has sent gives way to a certificate that has its key decoded and is shared by all its connections;
 * of the rest, nothing is needed any more. */
static bool put_peer(X509_STORE_CTX *store, X509 *peer) {
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
    if (sent == NULL || sk_X509_num(sent) == 0 || X509_up_ref(peer) != 1) return false;
    X509_free(sk_X509_value(sent, 0));
    (void)sk_X509_set(sent, 0, peer);
    while (sk_X509_num(sent) > 1) X509_free(sk_X509_pop(sent));
    return true;
}

/* Of a kind that the small context does not know, by all decoders there are. */
static X509 *with_key(const cs_cert *leaf) {
    OSSL_LIB_CTX *const in[] = {tls_lib_knowing(), NULL};
    for (size_t i = 0; i < sizeof in / sizeof in[0]; i++) {
        const unsigned char *p = leaf->der.p;
        X509 *x = X509_new_ex(in[i], NULL);
        if (x != NULL && d2i_X509(&x, &p, (long)leaf->der.n) != NULL && X509_get0_pubkey(x) != NULL) return x;
        X509_free(x);
    }
    return NULL;
}

/* Whom the site's anchors do not know may be a device that has nothing yet but its maker's certificate. */
static cs_status ask_vendors(tls_conn *c, const cs_certs *extra, cs_verdict *v, cs_err *err) {
    const char *name = NULL;
    bool unknown = err->reason == CS_R_UNKNOWN_ISSUER || err->reason == CS_R_CHAIN_INCOMPLETE;
    cs_err why;
    if (err->status != CS_REFUSED || !unknown || c->site->vendors == NULL) return err->status;
    cs_status status =
        cs_vendors_verify(c->site->vendors, c->peer.leaf, extra, cs_now(c->judge->clock), &name, v, &why);
    c->peer.vendor = status == CS_OK;
    bool another = why.reason == CS_R_UNKNOWN_ISSUER || why.reason == CS_R_CHAIN_INCOMPLETE;
    if (status != CS_OK && !(status == CS_REFUSED && another)) *err = why;
    return status == CS_OK ? CS_OK : err->status;
}

static cs_status judge_anew(tls_conn *c, X509_STORE_CTX *store, cs_err *err) {
    CS_SCOPED(cs_certs) extra = {NULL, 0};
    CS_SCOPED(cs_verdict) v = {.depth = -1};
    TRY(gather(c, store, &extra, err));
    TRY(add_issuers(c->site, &extra, err));
    if (ask(c, c->site, c->judge, &extra, &v, err) != CS_OK) TRY(ask_vendors(c, &extra, &v, err));
    TRY(remember(c, &v, err));
    c->peer.late = v.late;
    if (v.late || c->peer.vendor) c->grant.since = 0; /* no session stands for it, no thread remembers it */
    c->peer.chain = v.chain;                          /* ours now */
    v.chain = (cs_certs){NULL, 0};
    return CS_OK;
}

static cs_status judge_client(tls_conn *c, X509_STORE_CTX *store, cs_err *err) {
    X509 *peer = NULL;
    if (c->site == NULL || c->site->anchors == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_NO_TRUST_ANCHOR, "%s", "the site has no anchors for clients");
    if (remembered(c, store, &peer)) {
        c->peer.remembered = true;
        return put_peer(store, peer) ? CS_OK : CS_NOMEM_ERR(err);
    }
    TRY(judge_anew(c, store, err));
    peer = with_key(c->peer.leaf);
    if (peer == NULL) return tls_fail(err, CS_REFUSED, CS_R_CERTIFICATE_MALFORMED, "the key of the peer's certificate");
    bool put = put_peer(store, peer);
    if (c->judge->memory != NULL && !c->peer.late && !c->peer.vendor) tls_memory_keep(c->judge->memory, c, peer);
    X509_free(peer);
    return put ? CS_OK : CS_NOMEM_ERR(err);
}

int tls_on_certificate(X509_STORE_CTX *store, void *arg) {
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    tls_conn *c = tls_conn_of(ssl);
    cs_err err = {.status = CS_OK};
    (void)arg;
    tls_peer_clear(&c->peer);
    tls_grant_clear(&c->grant);
    cs_time began = cs_mono(c->judge->clock);
    cs_status s = judge_client(c, store, &err);
    c->peer.took = cs_mono(c->judge->clock) - began + 1;
    if (s == CS_OK) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    return tls_refuse_peer(c, store, &err);
}

cs_status tls_peer_resumed(tls_conn *c, cs_err *err) {
    X509 *leaf = SSL_get0_peer_certificate(c->ssl);
    c->peer.resumed = true;
    if (c->peer.leaf != NULL) return CS_OK; /* from a session that is kept here */
    if (leaf == NULL) return CS_OK;
    return tls_decode(leaf, &c->peer.leaf, err);
}

cs_reason tls_conn_lacks(const tls_conn *c, tls_client client) {
    if (c->peer.leaf == NULL) return client == TLS_CLIENT_REQUIRE ? CS_R_CERTIFICATE_REQUIRED : CS_R_NONE;
    if (c->peer.vendor) return CS_R_VENDOR_CERTIFICATE_ONLY;
    return c->peer.late ? CS_R_CERTIFICATE_EXPIRED : CS_R_NONE;
}

bool tls_conn_revoked(const tls_conn *c, const cs_revset *set) {
    return tls_grant_revoked(&c->grant, set);
}

cs_time tls_conn_ends(const tls_conn *c) {
    return c->grant.path != NULL ? c->grant.good_until : INT64_MAX;
}

cs_status tls_conn_again(tls_conn *c, tls_site *site, tls_judge *j, cs_err *err) {
    CS_SCOPED(cs_verdict) v = {.depth = -1};
    if (c->site != NULL && memcmp(c->site->policy, site->policy, sizeof site->policy) == 0) return CS_OK;
    if (site->client == TLS_CLIENT_OFF) return CS_OK;
    if (c->peer.leaf == NULL)
        return site->client == TLS_CLIENT_OPTIONAL || site->enroll
                   ? CS_OK
                   : cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_REQUIRED, "%s", "the site asks for one now");
    if (site->anchors == NULL) return cs_fail(err, CS_REFUSED, CS_R_NO_TRUST_ANCHOR, "%s", site->name);
    cs_certs extra = c->peer.chain;
    /* a resumed client did not send its chain: those that others sent */
    CS_SCOPED(cs_certs) others = {NULL, 0};
    for (size_t i = 0; extra.n == 0 && i < TLS_INTERN_COUNT; i++)
        if (j->known[i] != NULL) TRY(cs_certs_add(&others, cs_cert_ref(j->known[i]), err));
    if (extra.n == 0) TRY(add_issuers(site, &others, err));
    TRY(ask(c, site, j, extra.n > 0 ? &extra : &others, &v, err));
    c->peer.late = v.late;
    return CS_OK;
}
