#include "cli/ca_root.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "cli/cli.h"
#include "io/trail.h"
#include "signer/keyfile.h"
#include "verify/verify.h"
#include "x509/crl.h"
#include "x509/pem.h"
#include "x509/profile.h"

void ca_root_free(ca_root *r) {
    cs_cert_free(r->cert);
    cs_key_free(r->key);
}

static cs_status read_root_key(const char *path, const char *passphrase_file, cs_key **ret, cs_err *err) {
    CS_SCOPED(cs_buf) pem = cs_buf_secret(CS_KEY_FILE_MAX);
    CS_AUTO(cs_secret) passphrase = NULL;
    TRY(files_read_private(path, CS_KEY_FILE_MAX, &pem, err));
    TRY(cli_root_passphrase(passphrase_file, false, &passphrase, err));
    return cs_key_read_pem(cs_buf_view(&pem), passphrase, path, ret, err);
}

static cs_status read_key(const ca_root *r, const char *key_file, const char *passphrase_file, cs_key **ret,
                          cs_err *err) {
    char path[FILES_PATH_MAX];
    if (key_file == NULL && !cas_is_root(r->name)) {
        keyfile_needs *needs = calloc(1, sizeof *needs); /* this command is not confined */
        if (needs == NULL) return CS_NOMEM_ERR(err);
        cs_status s = keyfile_open(r->dir, r->name, needs, ret, err);
        free(needs);
        return s;
    }
    TRY(cas_path(r->dir, r->name, "key", path, err));
    return read_root_key(key_file != NULL ? key_file : path, passphrase_file, ret, err);
}

cs_status ca_root_open(const conf *c, const char *name, const char *key_file, const char *passphrase_file, ca_root *r,
                       cs_err *err) {
    char path[FILES_PATH_MAX];
    cs_view org = {NULL, 0};
    size_t pos = 0;
    *r = (ca_root){.conf = c};
    cs_process_guard();
    TRY(cas_name_check(name, err));
    (void)snprintf(r->name, sizeof r->name, "%s", name);
    TRY(conf_path(c, "ca", r->dir, err));
    TRY(cas_path(r->dir, name, "crt", path, err));
    TRY(ca_read_cert(path, &r->cert, err));
    if (!r->cert->is_ca) return cs_fail(err, CS_REFUSED, CS_R_NOT_A_CA, "%s", path);
    TRY(read_key(r, key_file, passphrase_file, &r->key, err));
    TRY(cs_key_match(r->key, r->cert->spki, key_file != NULL ? key_file : path, err));
    if (cs_name_next(r->cert->subject, CS_NAME_O, &pos, &org))
        (void)snprintf(r->organization, sizeof r->organization, "%.*s", (int)org.n, (const char *)org.p);
    return CS_OK;
}

static cs_status make_subject(const ca_root *r, cs_view spki, cs_buf *b, cs_err *err) {
    char cn[CS_CA_CN_MAX];
    const cs_dn dn = {.organization = r->organization,
                      .common_name =
                          cs_ca_common_name(CS_CA_ISSUING, r->organization, spki, cs_now(cs_clock_system()), cn)};
    return cs_dn_build(&dn, b, err);
}

/* A name that stands for all that a constraint permits, as far as its issuer can compare it. */
static void probe_of(const cs_constraint *c, uint8_t store[CS_CONSTRAINT_BASE_MAX + 16], cs_san *ret) {
    const bool hosts = c->n > 0 && c->base[0] == '.';
    const char *before = c->type == CS_SAN_EMAIL ? (hosts ? "x@x" : "x@") : c->type == CS_SAN_URI ? "x://" : "";
    size_t n = strlen(before), skip = c->type == CS_SAN_DNS && hosts;
    if (c->type == CS_SAN_URI && hosts) before = "x://x", n++;
    memcpy(store, before, n); // NOLINT(bugprone-not-null-terminated-result): octets of a name
    memcpy(store + n, c->base + skip, c->n - skip);
    n += c->n - skip;
    *ret = (cs_san){c->type, {store, c->type == CS_SAN_IP ? c->n / 2 : n}};
}

/* Nobody would accept what such a CA certifies outside of what stands above it: say so before it is signed. */
static cs_status check_terms(const ca_root *r, const ca_terms *t, cs_err *err) {
    if (r->cert->path_len >= 0 && (t->path_len < 0 || t->path_len >= r->cert->path_len))
        return cs_fail(err, CS_REFUSED, CS_R_PATH_TOO_LONG,
                       "%d CAs may stand beneath %s, --path-length asks for %d more", r->cert->path_len, r->name,
                       t->path_len + 1);
    for (size_t i = 0; i < t->permit_n; i++) {
        uint8_t store[CS_CONSTRAINT_BASE_MAX + 16];
        cs_san one;
        probe_of(&t->permit[i], store, &one);
        const cs_cert probe = {.sans = &one, .san_count = 1};
        if (cs_constraints_check(r->cert, &probe, err) != CS_OK)
            return cs_fail_in(err, "%s may not permit it", r->name);
    }
    return CS_OK;
}

cs_status ca_trail(const conf *c, const char *event, const char *what, cs_err *err) {
    char who[32];
    return trail_add(c->state, cs_now(cs_clock_system()), event, trail_self(who), what, err);
}

/* Each use of the key is in the audit log before there is anything to show for it. */
static cs_status note_use(const ca_root *r, const char *what, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(2048);
    (void)cs_buf_addf(&text, "the key of %s signs %s", r->name, what);
    TRY(cs_buf_ok(&text, "an entry of the trail", err));
    return ca_trail(r->conf, "ca-key-used", cs_buf_cstr(&text), err);
}

static cs_status note_cert(const ca_root *r, cs_view serial, cs_view subject, cs_err *err) {
    char hex[2 * CS_SERIAL_LEN + 1], name[CS_NAME_TEXT_MAX + 1], text[CS_NAME_TEXT_MAX + 128];
    (void)snprintf(text, sizeof text, "the certificate of a CA: serial %s, %.1000s", cs_hex(serial, hex),
                   cs_name_text(subject, name));
    return note_use(r, text, err);
}

cs_status ca_root_sign(const ca_root *r, cs_view spki, cs_view subject, const ca_terms *terms, cs_cert **ret,
                       cs_err *err) {
    CS_SCOPED(cs_buf) name = cs_buf_of(CS_NAME_TEXT_MAX), tbs = cs_buf_of(CS_CERT_MAX), der = cs_buf_of(CS_CERT_MAX);
    char crl_url[1024], ca_url[1024];
    uint8_t serial[CS_SERIAL_LEN];
    cs_time now = cs_now(cs_clock_system()) / CS_SEC * CS_SEC, from = now - CS_BACKDATE;
    cs_time until = now + (terms->lifetime > 0 ? terms->lifetime : CS_CA_ISSUING_LIFETIME);
    TRY(check_terms(r, terms, err));
    if (subject.n == 0) TRY(make_subject(r, spki, &name, err));
    TRY(cs_serial_draw(cs_rng_system(), serial, err));
    (void)snprintf(crl_url, sizeof crl_url, "%s/crl/%s.crl", r->conf->public_url, r->name);
    (void)snprintf(ca_url, sizeof ca_url, "%s/ca/%s.crt", r->conf->public_url, r->name);
    const cs_ca_ask ask = {.role = CS_CA_ISSUING,
                           .subject = subject.n > 0 ? subject : cs_buf_view(&name),
                           .spki = spki,
                           .issuer = r->cert,
                           .serial = cs_view_of(serial, sizeof serial),
                           .not_before = from > r->cert->not_before ? from : r->cert->not_before,
                           .not_after = until < r->cert->not_after ? until : r->cert->not_after,
                           .crl_url = crl_url,
                           .ca_url = ca_url,
                           .path_len = terms->path_len,
                           .permit = terms->permit,
                           .permit_n = terms->permit_n,
                           .exclude = terms->exclude,
                           .exclude_n = terms->exclude_n,
                           .constraints = terms->constraints};
    TRY(cs_ca_build(&ask, &tbs, err));
    TRY(note_cert(r, ask.serial, ask.subject, err));
    TRY(cs_signed_make(r->key, cs_buf_view(&tbs), &der, err));
    return cs_cert_decode(cs_buf_view(&der), ret, err);
}

/* ---- the root's CRL ---- */

static cs_status read_crl(const char *path, cs_crl **ret, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX), der = cs_buf_of(CS_PEM_FILE_MAX);
    if (!files_exists(path)) return CS_OK;
    TRY(files_read(path, CS_PEM_FILE_MAX, &text, err));
    TRY(cs_pem_to_der(cs_buf_view(&text), CS_PEM_CRL, path, &der, err));
    return cs_crl_decode(cs_buf_view(&der), ret, err);
}

static uint64_t number_of(const cs_crl *c) {
    uint64_t n = 0;
    for (size_t i = 0; c != NULL && i < c->number.n; i++) n = n << 8 | c->number.p[i];
    return n;
}

static cs_status publish_crl(const ca_root *r, const cs_view *more, int reason, cs_err *err) {
    CS_SCOPED(cs_buf)
    tbs = cs_buf_of(CS_PEM_FILE_MAX), der = cs_buf_of(CS_PEM_FILE_MAX), pem = cs_buf_of(2 * CS_PEM_FILE_MAX);
    CS_AUTO(cs_crl) was = NULL;
    char path[FILES_PATH_MAX], what[64];
    cs_crl_builder b;
    cs_crl_entry e;
    cs_view serial;
    size_t pos = 0;
    cs_time now = cs_now(cs_clock_system()) / CS_SEC * CS_SEC;
    TRY(cas_path(r->dir, r->name, "crl", path, err));
    TRY(read_crl(path, &was, err));
    TRY(cs_crl_begin(&b, r->cert, number_of(was) + 1, now - CS_CRL_BACKDATE, r->cert->not_after, &tbs, err));
    while (was != NULL && cs_crl_next(was, &pos, &serial, &e)) TRY(cs_crl_add(&b, serial, e.at, e.reason, err));
    if (more != NULL) TRY(cs_crl_add(&b, *more, now, reason, err));
    TRY(cs_crl_end(&b, err));
    (void)snprintf(what, sizeof what, "its CRL number %llu", (unsigned long long)number_of(was) + 1);
    TRY(note_use(r, what, err));
    TRY(cs_signed_make(r->key, cs_buf_view(&tbs), &der, err));
    (void)cs_pem_add(&pem, CS_PEM_CRL, cs_buf_view(&der));
    TRY(cs_buf_ok(&pem, path, err));
    return files_write(path, cs_buf_view(&pem), 0644, FILES_REPLACE, err);
}

cs_status ca_root_publish_crl(const ca_root *r, cs_err *err) {
    return cas_is_root(r->name) ? publish_crl(r, NULL, 0, err) : CS_OK;
}

cs_status ca_root_revoke(const ca_root *r, cs_view serial, int reason, cs_err *err) {
    return publish_crl(r, &serial, reason, err);
}

cs_status ca_root_crl_has(const char *dir, const char *root, cs_view serial, bool *ret, cs_err *err) {
    CS_AUTO(cs_crl) crl = NULL;
    char path[FILES_PATH_MAX];
    cs_crl_entry e;
    TRY(cas_path(dir, root, "crl", path, err));
    TRY(read_crl(path, &crl, err));
    *ret = crl != NULL && cs_crl_find(crl, crl->issuer, serial, &e);
    return CS_OK;
}

cs_status ca_root_take_crl(const char *dir, const char *root, const cs_cert *by, const char *file, cs_err *err) {
    CS_SCOPED(cs_buf) pem = cs_buf_of(2 * CS_PEM_FILE_MAX);
    CS_AUTO(cs_crl) was = NULL;
    CS_AUTO(cs_crl) now = NULL;
    char path[FILES_PATH_MAX];
    TRY(cas_path(dir, root, "crl", path, err));
    TRY(read_crl(path, &was, err));
    TRY(read_crl(file, &now, err));
    if (now == NULL) return cs_fail(err, CS_REFUSED, CS_R_FILE_NOT_FOUND, "%s", file);
    if (!cs_view_eq(now->issuer, by->subject))
        return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "%s is not of %s", file, root);
    if (cs_signed_check(now->der, now->tbs, by, err) != CS_OK) return cs_fail_in(err, "%s", file);
    if (number_of(now) < number_of(was))
        return cs_fail(err, CS_REFUSED, CS_R_CRL_STALE, "%s has number %llu, %s has %llu", file,
                       (unsigned long long)number_of(now), path, (unsigned long long)number_of(was));
    (void)cs_pem_add(&pem, CS_PEM_CRL, now->der);
    TRY(cs_buf_ok(&pem, path, err));
    return files_write(path, cs_buf_view(&pem), 0644, FILES_REPLACE, err);
}
