/* What a roll-over needs, made into ca/next: the next issuing CA; or the next root, the certificates that tie both
 * roots together, and one by the next root for each CA beneath the old. @rfc 9810#4.4 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/ceremony.h"
#include "cli/rollover.h"

typedef struct making {
    const rolling *r;
    const rolling_ask *ask;
    json_t *cas;                  /* of the answer: whose certificates are to be renewed */
    char switched[2 * 32 + 1];    /* SHA-256 of the certificate by which a node is known to have switched */
    char published[2 * 32 + 1];   /* of the next CA's */
    char next_issuer[2 * 32 + 1]; /* of its SubjectPublicKeyInfo */
} making;

static cs_status add_ca(making *m, const char *name, const cs_cert *c, cs_err *err) {
    char hex[2 * 32 + 1];
    json_t *row = json_pack("{s:s, s:s}", "name", name, "issuer", cs_hex(cs_view_of(c->spki_sha256, 32), hex));
    return row != NULL && json_array_append_new(m->cas, row) == 0 ? CS_OK : CS_NOMEM_ERR(err);
}

static void note_next(making *m, const cs_cert *c) {
    (void)cs_hex(cs_view_of(c->sha256, 32), m->published);
    (void)cs_hex(cs_view_of(c->spki_sha256, 32), m->next_issuer);
}

static cs_status key_spec(const making *m, cs_key_spec *ret, cs_err *err) {
    *ret = CS_KEYSPEC_ECDSA_P256;
    return m->ask->key_type != NULL ? cs_key_spec_parse(cs_view_str(m->ask->key_type), ret, err) : CS_OK;
}

/* As free and as bound as the CA that it stands for. */
static ca_terms terms_of(const cs_cert *c, cs_time lifetime) {
    return (ca_terms){.path_len = c->path_len, .constraints = cs_ca_constraints(c), .lifetime = lifetime};
}

/* ---- the next issuing CA ---- */

/* The CA that has signed the old one; is it a root? */
static cs_status find_above(const rolling *r, const cs_cert *old, char ret[CAS_NAME_MAX + 1], cs_err *err) {
    cas_list lists[2];
    TRY(cas_list_roots(r->ca, &lists[0], err));
    TRY(cas_list_certs(r->ca, &lists[1], err));
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < lists[k].n; i++) {
            CS_AUTO(cs_cert) c = NULL;
            TRY(ca_read_named(r->ca, lists[k].at[i], &c, err));
            if (!ca_is_below(old, c)) continue;
            (void)snprintf(ret, CAS_NAME_MAX + 1, "%s", lists[k].at[i]);
            return CS_OK;
        }
    }
    return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "no CA of %s has signed %s", r->ca, r->old);
}

static cs_status make_key(const making *m, cs_key **ret, cs_err *err) {
    cs_key_spec spec;
    TRY(key_spec(m, &spec, err));
    if (m->ask->key_uri == NULL) return ca_make_key(m->r->next, m->r->to, spec, ret, err);
    return ca_point_to_key(m->r->next, m->r->to, m->ask->key_uri, m->ask->allow, ret, err);
}

static cs_status make_issuing(making *m, cs_err *err) {
    const rolling *r = m->r;
    char above[CAS_NAME_MAX + 1];
    CS_AUTO(cs_cert) old = NULL;
    CS_AUTO(cs_cert) made = NULL;
    CS_AUTO(cs_key) key = NULL;
    CS_SCOPED(ca_root) signs = {.conf = NULL};
    TRY(ca_read_named(r->ca, r->old, &old, err));
    TRY(find_above(r, old, above, err));
    TRY(ca_root_open(r->conf, above, m->ask->root_key, m->ask->passphrase_file, &signs, err));
    TRY(make_key(m, &key, err));
    cs_time lifetime = m->ask->days > 0 ? (cs_time)m->ask->days * CS_DAY : old->not_after - old->not_before;
    const ca_terms terms = terms_of(old, lifetime);
    TRY(ca_root_sign(&signs, cs_key_spki(key), (cs_view){NULL, 0}, &terms, &made, err));
    TRY(ca_put_cert(r->next, r->to, made, err));
    note_next(m, made);
    memcpy(m->switched, m->published, sizeof m->switched);
    return add_ca(m, r->old, old, err);
}

/* ---- the next root ---- */

static cs_status make_root(const making *m, const ca_root *old, ca_root *ret, cs_err *err) {
    char path[FILES_PATH_MAX];
    cs_key_spec spec;
    CS_SCOPED(cs_buf) sealed = cs_buf_secret(CS_KEY_FILE_MAX);
    CS_AUTO(cs_secret) passphrase = NULL;
    const char *file = m->ask->new_passphrase_file != NULL ? m->ask->new_passphrase_file : m->ask->passphrase_file;
    TRY(key_spec(m, &spec, err));
    if (file != NULL && strcmp(file, "-") == 0)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE,
                       "standard input gives one passphrase: name a file for the next root's (--new-passphrase-file)");
    TRY(cli_root_passphrase(file, true, &passphrase, err));
    const ceremony_ask ask = {.organization = old->organization,
                              .spec = spec,
                              .public_url = m->r->conf->public_url,
                              .clock = cs_clock_system(),
                              .rng = cs_rng_system()};
    *ret = (ca_root){.conf = m->r->conf};
    (void)snprintf(ret->dir, sizeof ret->dir, "%s", m->r->next);
    (void)snprintf(ret->name, sizeof ret->name, "%s", m->r->to);
    (void)snprintf(ret->organization, sizeof ret->organization, "%s", old->organization);
    TRY(ceremony_make_root(&ask, &ret->key, &ret->cert, err));
    TRY(cs_key_write_pem_encrypted(ret->key, passphrase, &sealed, err));
    TRY(cas_path(m->r->next, m->r->to, "key", path, err));
    TRY(files_write(path, cs_buf_view(&sealed), 0600, FILES_NEW, err));
    TRY(ca_root_publish_crl(ret, err));
    return ca_put_cert(m->r->next, m->r->to, ret->cert, err);
}

static cs_status certify(const rolling *r, const ca_root *by, const cs_cert *c, const char *name, const ca_terms *terms,
                         cs_cert **ret, cs_err *err) {
    TRY(ca_root_sign(by, c->spki, c->subject, terms, ret, err));
    return ca_put_cert(r->next, name, *ret, err);
}

static cs_status tie(const rolling *r, const ca_root *old, const ca_root *next, cs_err *err) {
    const ca_terms terms = {.path_len = -1, .lifetime = CS_CA_ROOT_LIFETIME};
    CS_AUTO(cs_cert) new_with_old = NULL;
    CS_AUTO(cs_cert) old_with_new = NULL;
    TRY(certify(r, old, next->cert, r->new_with_old, &terms, &new_with_old, err));
    return certify(r, next, old->cert, r->old_with_new, &terms, &old_with_new, err);
}

/* A CA at once beneath the old root gets a certificate by the next one: the same key and name, so that what it has
 * issued stays good. */
static cs_status certify_again(making *m, const ca_root *next, const char *name, const cs_cert *c, cs_err *err) {
    const ca_terms terms = terms_of(c, CS_CA_ISSUING_LIFETIME);
    CS_AUTO(cs_cert) made = NULL;
    TRY(certify(m->r, next, c, name, &terms, &made, err));
    if (m->switched[0] == '\0') (void)cs_hex(cs_view_of(made->sha256, 32), m->switched);
    return CS_OK;
}

/* All CAs below the old root, at whatever depth, and other roots that it has certified. */
static cs_status certify_all(making *m, const ca_root *old, const ca_root *next, cs_err *err) {
    cas_list names;
    CS_SCOPED(cs_certs) bag = {NULL, 0};
    bool below[CAS_MAX] = {false};
    TRY(cas_list_certs(m->r->ca, &names, err));
    for (size_t i = 0; i < names.n; i++) {
        CS_AUTO(cs_cert) c = NULL;
        TRY(ca_read_named(m->r->ca, names.at[i], &c, err));
        TRY(cs_certs_add(&bag, CS_TAKE(c), err));
    }
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < bag.n; i++) {
            bool is = ca_is_below(bag.at[i], old->cert);
            for (size_t k = 0; k < bag.n; k++) is = is || (below[k] && ca_is_below(bag.at[i], bag.at[k]));
            if (!is || below[i]) continue;
            below[i] = more = true;
            if (ca_is_below(bag.at[i], old->cert)) TRY(certify_again(m, next, names.at[i], bag.at[i], err));
            TRY(add_ca(m, names.at[i], bag.at[i], err));
        }
    }
    if (m->switched[0] != '\0') return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "no CA here is beneath %s", m->r->old);
}

static cs_status make_next_root(making *m, cs_err *err) {
    const rolling *r = m->r;
    CS_SCOPED(ca_root) old = {.conf = NULL};
    CS_SCOPED(ca_root) next = {.conf = NULL};
    TRY(ca_root_open(r->conf, r->old, m->ask->root_key, m->ask->passphrase_file, &old, err));
    TRY(make_root(m, &old, &next, err));
    note_next(m, next.cert);
    TRY(tie(r, &old, &next, err));
    return certify_all(m, &old, &next, err);
}

/* ---- the whole ---- */

static cs_status body_of(const making *m, json_t **ret, cs_err *err) {
    *ret = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:O}", "kind", m->r->root ? "root" : "issuing", "old", m->r->old,
                     "next", m->r->to, "next_issuer", m->next_issuer, "published_mark", m->published, "switched_mark",
                     m->switched, "cas", m->cas);
    return *ret != NULL ? CS_OK : CS_NOMEM_ERR(err);
}

cs_status rolling_make(const rolling *r, const rolling_ask *ask, json_t **ret_body, cs_err *err) {
    making m = {.r = r, .ask = ask, .cas = json_array()};
    cs_err ignored;
    if (m.cas == NULL) return CS_NOMEM_ERR(err);
    TRY(ca_name_free(r->ca, r->to, err));
    if (files_exists(r->retired)) TRY(ca_name_free(r->retired, r->to, err)); /* they would be taken for one */
    /* what a killed one left behind: nobody has ever seen it */
    if (files_exists(r->next)) TRY(files_remove_tree(r->next, err));
    if (files_exists(r->before)) TRY(files_remove_tree(r->before, err));
    TRY(files_mkdir_private(r->next, err));
    cs_status s = r->root ? make_next_root(&m, err) : make_issuing(&m, err);
    if (s == CS_OK) s = body_of(&m, ret_body, err);
    json_decref(m.cas);
    if (s != CS_OK) (void)files_remove_tree(r->next, &ignored);
    return s;
}
