/* Whom this thread found good lately, at which site. A device that returns costs its signature and nothing else:
 * neither its certificates nor their path are looked at anew, while everything that could change the verdict is. */
#include <stdlib.h>

#include "tls/tls_priv.h"

enum { SETS = 1024, WAYS = 4 };

typedef struct entry {
    tls_grant grant;
    cs_certs chain; /* leaf first; empty: free */
    X509 *peer;     /* the leaf as libssl wants it, its key decoded: all its connections share it */
} entry;

struct tls_memory {
    unsigned turn;
    entry at[SETS][WAYS];
};

cs_status tls_memory_new(tls_memory **ret, cs_err *err) {
    tls_memory *m = calloc(1, sizeof *m);
    if (m == NULL) return CS_NOMEM_ERR(err);
    *ret = m;
    return CS_OK;
}

static void forget(entry *e) {
    cs_certs_free(&e->chain);
    X509_free(e->peer);
    tls_grant_clear(&e->grant);
    *e = (entry){.grant = {.since = 0}};
}

void tls_memory_free(tls_memory *m) {
    for (size_t i = 0; m != NULL && i < SETS; i++)
        for (size_t k = 0; k < WAYS; k++) forget(&m->at[i][k]);
    free(m);
}

static entry *set_of(tls_memory *m, const uint8_t leaf[32]) {
    return m->at[(leaf[0] | (unsigned)leaf[1] << 8) % SETS];
}

static bool same(const entry *e, const uint8_t leaf[32], const tls_site *site) {
    return e->chain.n > 0 && memcmp(e->chain.at[0]->sha256, leaf, 32) == 0 &&
           memcmp(e->grant.policy, site->policy, sizeof site->policy) == 0;
}

static cs_status copy_chain(const cs_certs *from, cs_certs *to, cs_err *err) {
    for (size_t i = 0; i < from->n; i++) TRY(cs_certs_add(to, cs_cert_ref(from->at[i]), err));
    return CS_OK;
}

bool tls_memory_find(tls_memory *m, const uint8_t leaf[32], tls_conn *c, X509 **ret_peer) {
    entry *set = set_of(m, leaf);
    cs_time now = cs_now(c->judge->clock);
    cs_err err;
    for (size_t i = 0; i < WAYS; i++) {
        entry *e = &set[i];
        if (!same(e, leaf, c->site)) continue;
        if (now < e->grant.since || now > e->grant.good_until || tls_grant_revoked(&e->grant, c->judge->revset)) {
            forget(e);
            return false;
        }
        if (copy_chain(&e->chain, &c->peer.chain, &err) != CS_OK) {
            cs_certs_free(&c->peer.chain);
            return false;
        }
        c->peer.leaf = cs_cert_ref(e->chain.at[0]);
        tls_grant_clear(&c->grant);
        tls_grant_copy(&c->grant, &e->grant);
        c->grant.since = now; /* a session's life begins with its own handshake */
        *ret_peer = e->peer;
        return true;
    }
    return false;
}

void tls_memory_keep(tls_memory *m, const tls_conn *c, X509 *peer) {
    const cs_certs *chain = &c->peer.chain;
    cs_err err;
    if (chain->n == 0 || c->peer.leaf == NULL || memcmp(chain->at[0]->sha256, c->peer.leaf->sha256, 32) != 0) return;
    entry *set = set_of(m, c->peer.leaf->sha256), *at = &set[m->turn++ % WAYS];
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].chain.n == 0 || same(&set[i], c->peer.leaf->sha256, c->site)) at = &set[i];
    forget(at);
    if (copy_chain(chain, &at->chain, &err) != CS_OK) {
        forget(at);
        return;
    }
    tls_grant_copy(&at->grant, &c->grant);
    (void)X509_up_ref(peer);
    at->peer = peer;
}
