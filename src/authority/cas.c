/* The CAs that have their certificates in ca/: which issue here, and what stands above them. */
#include <stdio.h>

#include "authority/authority_priv.h"
#include "x509/pem.h"

const authority_ca *authority_ca_at(const authority *a, size_t i) {
    return i < a->ca_count ? &a->cas[i].ca : NULL;
}

const authority_ca *authority_ca_named(const authority *a, cs_view name) {
    for (size_t i = 0; i < a->ca_count; i++)
        if (cs_view_eq_str(name, a->cas[i].ca.name)) return &a->cas[i].ca;
    return NULL;
}

const authority_ca *authority_ca_of(const authority *a, const uint8_t spki_sha256[32]) {
    for (size_t i = 0; i < a->ca_count; i++)
        if (memcmp(a->cas[i].ca.cert->spki_sha256, spki_sha256, 32) == 0) return &a->cas[i].ca;
    return NULL;
}

const authority_ca *authority_ca_current(const authority *a) {
    return a->current;
}

const cs_cert *authority_issuing(const authority *a) {
    return a->current->cert;
}

const cs_cert *authority_root(const authority *a) {
    return a->roots[0];
}

const cs_cert *authority_root_at(const authority *a, size_t i) {
    return i < a->names.roots.n ? a->roots[i] : NULL;
}

const cs_cert *authority_cert_at(const authority *a, size_t i) {
    return i < a->names.certs.n ? a->certs[i] : NULL;
}

const cs_cert *authority_cert_named(const authority *a, cs_view name) {
    for (size_t i = 0; i < a->names.roots.n; i++)
        if (cs_view_eq_str(name, a->names.roots.at[i])) return a->roots[i];
    for (size_t i = 0; i < a->names.certs.n; i++)
        if (cs_view_eq_str(name, a->names.certs.at[i])) return a->certs[i];
    return NULL;
}

cs_view authority_root_crl(const authority *a, cs_view name) {
    for (size_t i = 0; i < a->names.roots.n; i++)
        if (cs_view_eq_str(name, a->names.roots.at[i])) return cs_buf_view(&a->root_crls[i]);
    return (cs_view){NULL, 0};
}

/* ---- chains ---- */

static bool is_above(const cs_cert *above, const cs_cert *c) {
    return cs_view_eq(above->subject, c->issuer) && cs_view_eq(above->skid, c->akid);
}

static bool has(const cs_cert *const list[], size_t n, const cs_cert *c) {
    for (size_t i = 0; i < n; i++)
        if (cs_view_eq(list[i]->subject, c->subject) && cs_view_eq(list[i]->spki, c->spki)) return true;
    return false;
}

static bool is_a_root(const authority *a, const cs_cert *c) {
    for (size_t i = 0; i < a->names.roots.n; i++)
        if (cs_view_eq(a->roots[i]->subject, c->subject) && cs_view_eq(a->roots[i]->spki, c->spki)) return true;
    return false;
}

/* Upwards by name and key. A root that another has certified (roll-over) is followed by that certificate: a relying
 * party that knows either root gets there; what that other root has been given is of no use to anybody. */
size_t authority_chain(const authority *a, const cs_cert *leaf, const cs_cert *ret[AUTHORITY_CHAIN_MAX]) {
    size_t n = 0;
    const cs_cert *next = leaf;
    while (next != NULL && n < AUTHORITY_CHAIN_MAX && (n == 0 || !is_a_root(a, ret[n - 1]))) {
        const cs_cert *below = next;
        ret[n++] = next;
        next = NULL;
        for (size_t i = 0; next == NULL && i < a->names.certs.n; i++)
            if (is_above(a->certs[i], below) && !has(ret, n, a->certs[i])) next = a->certs[i];
    }
    return n;
}

/* ---- loaded ---- */

static cs_status read_cert(const char *dir, const char *name, cs_cert **ret, cs_err *err) {
    char path[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) b = cs_buf_of(CS_CERT_MAX);
    CS_SCOPED(cs_certs) bag = {NULL, 0};
    TRY(cas_path(dir, name, "crt", path, err));
    TRY(files_read(path, CS_CERT_MAX, &b, err));
    TRY(cs_certs_read(cs_buf_view(&b), path, &bag, err));
    *ret = cs_cert_ref(bag.at[0]);
    return CS_OK;
}

/* A root's own CRL was signed when its CAs were made; PEM or DER, or missing. */
static cs_status read_root_crl(const char *dir, const char *name, cs_buf *ret, cs_err *err) {
    char path[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) b = cs_buf_of(CS_PEM_FILE_MAX);
    *ret = cs_buf_of(CS_PEM_FILE_MAX);
    TRY(cas_path(dir, name, "crl", path, err));
    if (!files_exists(path)) return CS_OK;
    TRY(files_read(path, CS_PEM_FILE_MAX, &b, err));
    return cs_pem_to_der(cs_buf_view(&b), CS_PEM_CRL, path, ret, err);
}

static cs_status add_ca(authority *a, const char *name, bool retired, cs_err *err) {
    ca_here *h = &a->cas[a->ca_count];
    size_t i = 0;
    if (a->ca_count == CS_CAS_MAX) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "keys of over %d CAs", CS_CAS_MAX);
    while (i < a->names.certs.n && strcmp(a->names.certs.at[i], name) != 0) i++;
    if (i == a->names.certs.n) return cs_fail(err, CS_FAILED, CS_R_STATE_CORRUPT, "ca/%s.crt has gone", name);
    h->ca.name = a->names.certs.at[i];
    h->ca.cert = a->certs[i];
    h->ca.retired = retired;
    h->ca.policy = conf_crl_of(a->conf, h->ca.name);
    (void)snprintf(h->ca.ca_url, sizeof h->ca.ca_url, "%s/ca/%s.crt", a->conf->public_url, name);
    (void)snprintf(h->ca.ocsp_url, sizeof h->ca.ocsp_url, "%s/ocsp", a->conf->public_url);
    a->ca_count++;
    return CS_OK;
}

cs_status authority_cas_find(const conf *c, authority_cas *ret, cs_err *err) {
    char dir[FILES_PATH_MAX];
    TRY(conf_path(c, "ca", dir, err));
    TRY(cas_list_roots(dir, &ret->roots, err));
    TRY(cas_list_certs(dir, &ret->certs, err));
    TRY(cas_list_keys(dir, &ret->keys, err));
    for (size_t i = 0; i < ret->keys.n; i++) TRY(cas_retired(dir, ret->keys.at[i], &ret->retired[i], err));
    if (ret->roots.n == 0 || ret->keys.n == 0) return cs_fail(err, CS_REFUSED, CS_R_STATE_MISSING, "%s", c->state);
    return cas_current(dir, ret->current, err);
}

cs_status cas_load(authority *a, const authority_cas *cas, cs_err *err) {
    char dir[FILES_PATH_MAX];
    a->names = *cas;
    TRY(conf_path(a->conf, "ca", dir, err));
    for (size_t i = 0; i < cas->roots.n; i++) {
        TRY(read_cert(dir, cas->roots.at[i], &a->roots[i], err));
        TRY(read_root_crl(dir, cas->roots.at[i], &a->root_crls[i], err));
    }
    for (size_t i = 0; i < cas->certs.n; i++) TRY(read_cert(dir, cas->certs.at[i], &a->certs[i], err));
    for (size_t i = 0; i < cas->keys.n; i++) TRY(add_ca(a, cas->keys.at[i], cas->retired[i], err));
    a->current = authority_ca_named(a, cs_view_str(cas->current));
    if (a->current != NULL) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_STATE_CORRUPT, "%s: %s is to issue, but has no certificate or no key", dir,
                   cas->current);
}

void cas_unload(authority *a) {
    for (size_t i = 0; i < CAS_MAX; i++) {
        cs_cert_free(a->roots[i]);
        cs_cert_free(a->certs[i]);
        cs_buf_free(&a->root_crls[i]);
    }
    for (size_t i = 0; i < a->ca_count; i++) cs_checker_free(a->cas[i].checker);
}
