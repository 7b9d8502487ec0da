/* The files of ca/ and trust/. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/ca_root.h"
#include "signer/keyfile.h"
#include "x509/pem.h"

const char *const ca_parts[CA_PARTS] = {"crt", "key", "uri", "csr", "crl", "retired"};

bool ca_is_below(const cs_cert *c, const cs_cert *above) {
    return cs_view_eq(c->issuer, above->subject) && cs_view_eq(c->akid, above->skid);
}

cs_status ca_read_named(const char *dir, const char *name, cs_cert **ret, cs_err *err) {
    char path[FILES_PATH_MAX];
    TRY(cas_name_check(name, err));
    TRY(cas_path(dir, name, "crt", path, err));
    return ca_read_cert(path, ret, err);
}

cs_status ca_lock(const conf *c, int *ret_fd, cs_err *err) {
    char lock[FILES_PATH_MAX];
    TRY(files_join(c->state, ".init.lock", lock, err));
    return files_lock(lock, 3000, "another command that changes the CAs", ret_fd, err);
}

cs_status ca_root_current(const char *dir, char ret[CAS_NAME_MAX + 1], cs_err *err) {
    char current[CAS_NAME_MAX + 1];
    cas_list roots;
    CS_AUTO(cs_cert) issuing = NULL;
    TRY(cas_list_roots(dir, &roots, err));
    (void)snprintf(ret, CAS_NAME_MAX + 1, "%s", roots.n > 0 ? roots.at[0] : "root");
    TRY(cas_current(dir, current, err));
    TRY(ca_read_named(dir, current, &issuing, err));
    for (size_t i = 0; i < roots.n; i++) {
        CS_AUTO(cs_cert) root = NULL;
        TRY(ca_read_named(dir, roots.at[i], &root, err));
        if (ca_is_below(issuing, root)) (void)snprintf(ret, CAS_NAME_MAX + 1, "%s", roots.at[i]);
    }
    return CS_OK;
}

cs_status ca_read_cert(const char *path, cs_cert **ret, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
    CS_SCOPED(cs_certs) bag = {NULL, 0};
    TRY(files_read(path, CS_PEM_FILE_MAX, &text, err));
    TRY(cs_certs_read(cs_buf_view(&text), path, &bag, err));
    *ret = cs_cert_ref(bag.at[0]);
    return CS_OK;
}

cs_status ca_put_cert(const char *dir, const char *name, const cs_cert *c, cs_err *err) {
    CS_SCOPED(cs_buf) pem = cs_buf_of(2 * CS_CERT_MAX);
    char path[FILES_PATH_MAX];
    (void)cs_pem_add_cert(&pem, c);
    TRY(cs_buf_ok(&pem, name, err));
    TRY(cas_path(dir, name, "crt", path, err));
    return files_write(path, cs_buf_view(&pem), 0644, FILES_NEW, err);
}

cs_status ca_make_key(const char *dir, const char *name, cs_key_spec spec, cs_key **ret, cs_err *err) {
    CS_SCOPED(cs_buf) pem = cs_buf_secret(CS_KEY_FILE_MAX);
    char path[FILES_PATH_MAX];
    if (spec == CS_KEYSPEC_RSA_2048)
        return cs_fail(err, CS_REFUSED, CS_R_KEY_TOO_WEAK, "a CA's RSA key has 3072 or 4096 bits");
    TRY(cs_key_generate(spec, ret, err));
    TRY(cs_key_write_pem(*ret, &pem, err));
    TRY(cas_path(dir, name, "key", path, err));
    return files_write(path, cs_buf_view(&pem), 0600, FILES_NEW, err);
}

cs_status ca_point_to_key(const char *dir, const char *name, const char *uri, const cli_texts *allow, cs_key **ret,
                          cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(8 * 1024);
    keyfile_needs *needs = calloc(1, sizeof *needs);
    char path[FILES_PATH_MAX];
    if (needs == NULL) return CS_NOMEM_ERR(err);
    (void)cs_buf_addf(&text, "%s\n", uri);
    for (size_t i = 0; i < allow->n; i++) (void)cs_buf_addf(&text, "allow %s\n", allow->at[i]);
    cs_status s = cs_buf_ok(&text, "uri", err);
    if (s == CS_OK) s = cas_path(dir, name, "uri", path, err);
    if (s == CS_OK) s = files_write(path, cs_buf_view(&text), 0600, FILES_NEW, err);
    if (s == CS_OK) {
        s = keyfile_open(dir, name, needs, ret, err);
        if (s != CS_OK) (void)unlink(path);
    }
    free(needs);
    return s;
}

cs_status ca_name_free(const char *dir, const char *name, cs_err *err) {
    char path[FILES_PATH_MAX];
    TRY(cas_name_check(name, err));
    for (size_t i = 0; i < CA_PARTS; i++) {
        TRY(cas_path(dir, name, ca_parts[i], path, err));
        if (files_exists(path)) return cs_fail(err, CS_REFUSED, CS_R_FILE_EXISTS, "%s", path);
    }
    return CS_OK;
}

static cs_status gather(const char *dir, const cas_list *names, cs_buf *pem, cs_err *err) {
    for (size_t i = 0; i < names->n; i++) {
        CS_AUTO(cs_cert) c = NULL;
        char path[FILES_PATH_MAX];
        TRY(cas_path(dir, names->at[i], "crt", path, err));
        TRY(ca_read_cert(path, &c, err));
        (void)cs_pem_add_cert(pem, c);
    }
    return cs_buf_ok(pem, "the bundle", err);
}

cs_status ca_publish_trust(const conf *c, cs_err *err) {
    char dir[FILES_PATH_MAX], trust[FILES_PATH_MAX], path[FILES_PATH_MAX];
    cas_list roots, others;
    CS_SCOPED(cs_buf) anchors = cs_buf_of(CS_PEM_FILE_MAX), issuers = cs_buf_of(CS_PEM_FILE_MAX);
    TRY(conf_path(c, "ca", dir, err));
    TRY(conf_path(c, "trust", trust, err));
    TRY(files_mkdir_private(trust, err));
    TRY(cas_list_roots(dir, &roots, err));
    TRY(cas_list_certs(dir, &others, err));
    TRY(gather(dir, &roots, &anchors, err));
    TRY(gather(dir, &others, &issuers, err));
    TRY(files_join(trust, "issuers.pem", path, err));
    TRY(files_write(path, cs_buf_view(&issuers), 0644, FILES_REPLACE, err));
    TRY(files_join(trust, "ca.pem", path, err));
    return files_write(path, cs_buf_view(&anchors), 0644, FILES_REPLACE, err);
}

cs_status ca_move_away(const char *dir, const char *name, cs_err *err) {
    char from[FILES_PATH_MAX], to[FILES_PATH_MAX], away[FILES_PATH_MAX];
    TRY(files_join(dir, "retired", away, err));
    TRY(files_mkdir_private(away, err));
    TRY(ca_name_free(away, name, err));
    for (size_t i = 0; i < CA_PARTS;
         i++) { /* the certificate first: without it nobody counts the CA among those that are */
        TRY(cas_path(dir, name, ca_parts[i], from, err));
        TRY(cas_path(away, name, ca_parts[i], to, err));
        if (files_exists(from)) TRY(files_rename_new(from, to, err));
    }
    return CS_OK;
}

cs_status ca_trust_path(const conf *c, char out[FILES_PATH_MAX], cs_err *err) {
    TRY(conf_path(c, "trust/ca.pem", out, err));
    return files_exists(out) ? CS_OK : conf_path(c, "ca/root.crt", out, err);
}
