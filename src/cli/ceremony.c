#include "cli/ceremony.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/ca_root.h"
#include "io/files.h"
#include "io/trail.h"
#include "x509/build.h"
#include "x509/digest.h"
#include "x509/pem.h"
#include "x509/profile.h"

enum { LOCK_WAIT_MS = 3000 };

typedef struct made_ca {
    cs_key *key;
    cs_cert *cert;
} made_ca;

static void made_ca_free(made_ca *m) {
    cs_key_free(m->key);
    cs_cert_free(m->cert);
}

/* ---- certificates ---- */

/* The name of a CA: organization and a common name that no other key has. */
static cs_status add_name(const ceremony_ask *ask, cs_ca_role role, const cs_key *key, cs_buf *b, cs_err *err) {
    char cn[CS_CA_CN_MAX], org[65];
    cs_time now = cs_now(ask->clock);
    /* X.520 allows 64 characters; cut at a whole one */
    size_t n = strlen(ask->organization);
    if (n > 64) {
        n = 64;
        while (n > 0 && ((unsigned char)ask->organization[n] & 0xc0) == 0x80) n--;
    }
    memcpy(org, ask->organization, n);
    org[n] = '\0';
    const cs_dn dn = {.organization = org,
                      .common_name = cs_ca_common_name(role, ask->organization, cs_key_spki(key), now, cn)};
    return cs_dn_build(&dn, b, err);
}

static cs_status make_ca(const ceremony_ask *ask, cs_ca_role role, const made_ca *root, made_ca *ret, cs_err *err) {
    CS_SCOPED(cs_buf)
    name = cs_buf_of(CS_NAME_TEXT_MAX), tbs = cs_buf_of(CS_CERT_MAX), der = cs_buf_of(CS_CERT_MAX);
    char crl_url[1024], ca_url[1024];
    uint8_t serial[CS_SERIAL_LEN];
    cs_time now = cs_now(ask->clock) / CS_SEC * CS_SEC;
    TRY(cs_key_generate(ask->spec, &ret->key, err));
    TRY(add_name(ask, role, ret->key, &name, err));
    TRY(cs_serial_draw(ask->rng, serial, err));
    (void)snprintf(crl_url, sizeof crl_url, "%s/crl/root.crl", ask->public_url);
    (void)snprintf(ca_url, sizeof ca_url, "%s/ca/root.crt", ask->public_url);
    const cs_ca_ask ca = {
        .role = role,
        .subject = cs_buf_view(&name),
        .spki = cs_key_spki(ret->key),
        .issuer = root != NULL ? root->cert : NULL,
        .serial = cs_view_of(serial, sizeof serial),
        .not_before = now - CS_BACKDATE,
        .not_after = now + (role == CS_CA_ROOT ? CS_CA_ROOT_LIFETIME : CS_CA_ISSUING_LIFETIME),
        .crl_url = role == CS_CA_ROOT ? NULL : crl_url,
        .ca_url = role == CS_CA_ROOT ? NULL : ca_url,
    };
    TRY(cs_ca_build(&ca, &tbs, err));
    TRY(cs_signed_make(root != NULL ? root->key : ret->key, cs_buf_view(&tbs), &der, err));
    TRY(cs_cert_decode(cs_buf_view(&der), &ret->cert, err));
    return cs_key_match(ret->key, ret->cert->spki, "the new CA certificate", err);
}

cs_status ceremony_make_root(const ceremony_ask *ask, cs_key **ret_key, cs_cert **ret_cert, cs_err *err) {
    CS_SCOPED(made_ca) root = {NULL, NULL};
    TRY(make_ca(ask, CS_CA_ROOT, NULL, &root, err));
    *ret_key = CS_TAKE(root.key);
    *ret_cert = CS_TAKE(root.cert);
    return CS_OK;
}

/* Empty, and good as long as the issuing CA: the root's key is not needed again
 * until there is another one. */
static cs_status make_root_crl(const ceremony_ask *ask, const made_ca *root, const made_ca *issuing, cs_buf *pem,
                               cs_err *err) {
    CS_SCOPED(cs_buf) tbs = cs_buf_of(CS_CERT_MAX), der = cs_buf_of(CS_CERT_MAX);
    cs_crl_builder b;
    cs_time now = cs_now(ask->clock) / CS_SEC * CS_SEC;
    TRY(cs_crl_begin(&b, root->cert, 1, now - CS_CRL_BACKDATE, issuing->cert->not_after, &tbs, err));
    TRY(cs_crl_end(&b, err));
    TRY(cs_signed_make(root->key, cs_buf_view(&tbs), &der, err));
    (void)cs_pem_add(pem, CS_PEM_CRL, cs_buf_view(&der));
    return cs_buf_ok(pem, "root.crl", err);
}

/* ---- files ---- */

static cs_status put(const char *dir, const char *name, const cs_buf *b, mode_t mode, cs_err *err) {
    char path[FILES_PATH_MAX];
    TRY(cs_buf_ok(b, name, err));
    TRY(files_join(dir, name, path, err));
    TRY(files_write(path, cs_buf_view(b), mode, FILES_NEW, err));
    CS_FAULT("ceremony-file", err);
    return CS_OK;
}

static cs_status put_cert(const char *dir, const char *name, const cs_cert *c, cs_err *err) {
    CS_SCOPED(cs_buf) pem = cs_buf_of(CS_CERT_MAX * 2);
    (void)cs_pem_add_cert(&pem, c);
    return put(dir, name, &pem, 0644, err);
}

static cs_status put_keys(const ceremony_ask *ask, const char *dir, const made_ca *root, const made_ca *issuing,
                          cs_err *err) {
    CS_SCOPED(cs_buf)
    sealed = cs_buf_secret(CS_KEY_FILE_MAX), plain = cs_buf_secret(CS_KEY_FILE_MAX);
    TRY(cs_key_write_pem_encrypted(root->key, ask->passphrase, &sealed, err));
    TRY(put(dir, "root.key", &sealed, 0600, err));
    TRY(cs_key_write_pem(issuing->key, &plain, err));
    return put(dir, "issuing.key", &plain, 0600, err);
}

static cs_status put_about(const ceremony_ask *ask, const char *dir, const made_ca *root, const made_ca *issuing,
                           cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of(16 * 1024);
    cs_json j = cs_json_to(&b);
    cs_json_object(&j, NULL);
    cs_json_int(&j, "version", 1);
    cs_json_str(&j, "organization", ask->organization);
    cs_json_str(&j, "trust_domain", ask->trust_domain);
    cs_json_str(&j, "public_url", ask->public_url);
    cs_json_str(&j, "key_type", cs_key_spec_name(ask->spec));
    cs_json_time(&j, "created", cs_now(ask->clock));
    cs_json_hex(&j, "root_sha256", cs_view_of(root->cert->sha256, 32));
    cs_json_hex(&j, "issuing_sha256", cs_view_of(issuing->cert->sha256, 32));
    cs_json_object_end(&j);
    (void)cs_buf_add_byte(&b, '\n');
    return put(dir, "ca.json", &b, 0644, err);
}

/* The first uses of the root's key; the log that is to come begins with them. */
static cs_status note(const ceremony_ask *ask, const made_ca *root, const made_ca *issuing, cs_err *err) {
    char who[32], text[256], hex[2][2 * CS_SHA256_LEN + 1];
    (void)snprintf(text, sizeof text,
                   "a root and an issuing CA are made: certificates sha256 %s and %s; the key of root signs both and "
                   "its CRL number 1",
                   cs_hex(cs_view_of(root->cert->sha256, CS_SHA256_LEN), hex[0]),
                   cs_hex(cs_view_of(issuing->cert->sha256, CS_SHA256_LEN), hex[1]));
    return trail_add(ask->state, cs_now(ask->clock), "ca-key-used", trail_self(who), text, err);
}

static cs_status make_all(const ceremony_ask *ask, const char *dir, cs_err *err) {
    CS_SCOPED(made_ca) root = {NULL, NULL};
    CS_SCOPED(made_ca) issuing = {NULL, NULL};
    CS_SCOPED(cs_buf) crl = cs_buf_of(CS_CERT_MAX);
    TRY(make_ca(ask, CS_CA_ROOT, NULL, &root, err));
    TRY(make_ca(ask, CS_CA_ISSUING, &root, &issuing, err));
    TRY(make_root_crl(ask, &root, &issuing, &crl, err));
    TRY(put_keys(ask, dir, &root, &issuing, err));
    TRY(put_cert(dir, "root.crt", root.cert, err));
    TRY(put_cert(dir, "issuing.crt", issuing.cert, err));
    TRY(put(dir, "root.crl", &crl, 0644, err));
    TRY(put_about(ask, dir, &root, &issuing, err));
    return note(ask, &root, &issuing, err);
}

/* ---- what is there ---- */

static cs_status corrupt(const char *path, cs_err *err) {
    cs_err why = *err;
    return cs_fail(err, CS_FAILED, CS_R_STATE_CORRUPT, "%s: %s (%s)", path, cs_reason_of(why.reason)->says, why.detail);
}

static cs_status check_cert(const char *dir, const char *name, cs_cert **ret, cs_err *err) {
    char path[FILES_PATH_MAX];
    TRY(cas_path(dir, name, "crt", path, err));
    return ca_read_cert(path, ret, err) == CS_OK ? CS_OK : corrupt(path, err);
}

/* The key is the signer's to read: here only whether there is something. */
static cs_status check_there(const char *dir, const char *name, cs_err *err) {
    char path[FILES_PATH_MAX];
    struct stat st;
    TRY(files_join(dir, name, path, err));
    if (stat(path, &st) == 0 && st.st_size > 0) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_STATE_CORRUPT, "%s is missing or empty", path);
}

static cs_status check_key(const char *dir, const char *name, cs_err *err) {
    char file[CAS_NAME_MAX + 8], path[FILES_PATH_MAX];
    TRY(cas_path(dir, name, "uri", path, err));
    if (files_exists(path)) return CS_OK; /* the key is elsewhere */
    (void)snprintf(file, sizeof file, "%s.key", name);
    return check_there(dir, file, err);
}

/* The CA that issues is beneath one of the roots, at once or through others. */
static cs_status check_issuer(const char *dir, const char *name, const cs_cert *issuing, cs_err *err) {
    cas_list above[2];
    TRY(cas_list_roots(dir, &above[0], err));
    TRY(cas_list_certs(dir, &above[1], err));
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < above[k].n; i++) {
            CS_AUTO(cs_cert) c = NULL;
            TRY(check_cert(dir, above[k].at[i], &c, err));
            if (cs_view_eq(issuing->akid, c->skid)) return CS_OK;
        }
    }
    return cs_fail(err, CS_FAILED, CS_R_STATE_CORRUPT, "%s/%s.crt was not issued by a CA beside it", dir, name);
}

/* The first one, until another has taken over from it. */
static cs_status check_roots(const char *dir, cs_err *err) {
    cas_list roots;
    TRY(cas_list_roots(dir, &roots, err));
    for (size_t i = 0; i == 0 || i < roots.n; i++) {
        const char *name = roots.n > 0 ? roots.at[i] : "root";
        char crl[CAS_NAME_MAX + 8];
        CS_AUTO(cs_cert) c = NULL;
        (void)snprintf(crl, sizeof crl, "%s.crl", name);
        TRY(check_there(dir, crl, err));
        TRY(check_cert(dir, name, &c, err));
    }
    return CS_OK;
}

cs_status ceremony_check(const char *state, cs_err *err) {
    char dir[FILES_PATH_MAX], current[CAS_NAME_MAX + 1];
    struct stat st;
    CS_AUTO(cs_cert) issuing = NULL;
    TRY(files_join(state, "ca", dir, err));
    if (stat(dir, &st) != 0 && errno == EACCES) return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", dir);
    if (!files_exists(dir)) return cs_fail(err, CS_REFUSED, CS_R_STATE_MISSING, "%s", state);
    TRY(cas_current(dir, current, err));
    TRY(check_there(dir, "ca.json", err));
    TRY(check_key(dir, current, err));
    TRY(check_roots(dir, err));
    TRY(check_cert(dir, current, &issuing, err));
    return check_issuer(dir, current, issuing, err);
}

/* ---- the whole ---- */

static cs_status make_and_rename(const ceremony_ask *ask, cs_err *err) {
    char name[32], hex[13], temp[FILES_PATH_MAX], final[FILES_PATH_MAX];
    uint8_t random[6];
    TRY(cs_rng_fill(ask->rng, random, sizeof random, err));
    (void)snprintf(name, sizeof name, "ca.tmp-%s", cs_hex(cs_view_of(random, sizeof random), hex));
    TRY(files_join(ask->state, name, temp, err));
    TRY(files_join(ask->state, "ca", final, err));
    TRY(files_mkdir_private(temp, err));
    cs_status s = make_all(ask, temp, err);
    if (s == CS_OK) s = files_rename_new(temp, final, err);
    if (s != CS_OK) {
        cs_err ignored;
        (void)files_remove_tree(temp, &ignored);
        if (err->reason == CS_R_FILE_EXISTS) err->reason = CS_R_STATE_EXISTS;
    }
    return s;
}

cs_status ceremony_refuse(const char *state, cs_err *err) {
    char path[FILES_PATH_MAX];
    TRY(files_join(state, "ca", path, err));
    if (!files_exists(path)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_STATE_EXISTS, "%s", path);
}

cs_status ceremony_run(const ceremony_ask *ask, cs_err *err) {
    char lock[FILES_PATH_MAX];
    int held = -1;
    if (ask->passphrase->n < CS_PASSPHRASE_MIN)
        return cs_fail(err, CS_REFUSED, CS_R_PASSPHRASE_TOO_SHORT, "%zu characters, at least %d", ask->passphrase->n,
                       CS_PASSPHRASE_MIN);
    cs_process_guard();
    TRY(ceremony_refuse(ask->state, err));
    TRY(files_mkdir_private(ask->state, err));
    TRY(files_join(ask->state, ".init.lock", lock, err));
    TRY(files_lock(lock, LOCK_WAIT_MS, "another countersign init", &held, err));
    cs_status s = ceremony_refuse(ask->state, err);
    if (s == CS_OK) s = files_remove_leftovers(ask->state, "ca.tmp-", err);
    if (s == CS_OK) s = make_and_rename(ask, err);
    (void)close(held);
    return s;
}

cs_status ceremony_apart(const ceremony_ask *ask, cs_err *err) {
    int ends[2], status = 0;
    if (pipe(ends) != 0) return cs_fail_errno(err, errno, CS_R_PROCESS_FAILED, "pipe");
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        (void)close(ends[0]);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) _exit(3);
        cs_err why = {.status = CS_OK};
        cs_status s = ceremony_run(ask, &why);
        if (s != CS_OK && write(ends[1], &why, sizeof why) != (ssize_t)sizeof why) _exit(3);
        _exit(s == CS_OK ? 0 : 1);
    }
    (void)close(ends[1]);
    ssize_t n = pid > 0 ? read(ends[0], err, sizeof *err) : 0; /* less than PIPE_BUF: comes whole */
    (void)close(ends[0]);
    if (pid < 0) return cs_fail_errno(err, errno, CS_R_PROCESS_FAILED, "fork");
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (status == 0) return CS_OK;
    if (n != (ssize_t)sizeof *err)
        return cs_fail(err, CS_FAILED, CS_R_PROCESS_FAILED, "the ceremony ended unexpectedly");
    return err->status;
}
