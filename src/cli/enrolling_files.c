#include "cli/enrolling_files.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/issuing.h"

static cs_status path_of(const char *dir, const char *before, const char *stem, const char *behind,
                         char out[FILES_PATH_MAX], cs_err *err) {
    char name[ISSUE_STEM_MAX + 16];
    (void)snprintf(name, sizeof name, "%s%s%s", before, stem, behind);
    return files_join(dir, name, out, err);
}

static cs_status move(const char *from, const char *to, bool force, cs_err *err) {
    if (!force) return files_rename_new(from, to, err);
    if (rename(from, to) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", to);
    return CS_OK;
}

static bool belongs(const char *key_path, const char *crt_path) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX), secret = cs_buf_secret(CS_KEY_FILE_MAX);
    CS_SCOPED(cs_certs) bag = {.n = 0};
    CS_AUTO(cs_key) key = NULL;
    cs_err err;
    return files_read(crt_path, CS_PEM_FILE_MAX, &text, &err) == CS_OK &&
           cs_certs_read(cs_buf_view(&text), crt_path, &bag, &err) == CS_OK &&
           files_read_private(key_path, CS_KEY_FILE_MAX, &secret, &err) == CS_OK &&
           cs_key_read_pem(cs_buf_view(&secret), NULL, key_path, &key, &err) == CS_OK &&
           cs_key_match(key, bag.at[0]->spki, key_path, &err) == CS_OK;
}

/* A command was killed after the key had taken its place and before the certificate had. */
static cs_status settle(const enrolling_files *f, cs_err *err) {
    if (!files_exists(f->new_crt)) return CS_OK;
    if (!files_exists(f->new_key) && belongs(f->key, f->new_crt)) return move(f->new_crt, f->crt, true, err);
    (void)unlink(f->new_crt);
    return CS_OK;
}

static cs_status must_be_free(const char *path, bool force, cs_err *err) {
    if (force || !files_exists(path)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_FILE_EXISTS, "%s (--force replaces it)", path);
}

cs_status enrolling_files_open(enrolling_files *f, const char *dir, const char *name, bool force, cs_err *err) {
    char stem[ISSUE_STEM_MAX];
    f->force = force;
    issue_stem(name, stem);
    TRY(path_of(dir, "", stem, ".crt", f->crt, err));
    TRY(path_of(dir, "", stem, ".key", f->key, err));
    TRY(path_of(dir, ".", stem, ".crt.new", f->new_crt, err));
    TRY(path_of(dir, ".", stem, ".key.new", f->new_key, err));
    TRY(files_join(dir, "ca.pem", f->ca, err));
    TRY(files_mkdir(dir, err));
    TRY(files_dir_writable(dir, err));
    TRY(settle(f, err));
    TRY(must_be_free(f->crt, force, err));
    return must_be_free(f->key, force, err);
}

static cs_status read_waiting(const enrolling_files *f, cs_key **ret, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_secret(CS_KEY_FILE_MAX);
    TRY(files_read_private(f->new_key, CS_KEY_FILE_MAX, &text, err));
    return cs_key_read_pem(cs_buf_view(&text), NULL, f->new_key, ret, err);
}

cs_status enrolling_files_key(enrolling_files *f, cs_key_spec spec, bool spec_said, cs_key **ret, cs_err *err) {
    CS_AUTO(cs_key) key = NULL;
    CS_SCOPED(cs_buf) pem = cs_buf_secret(CS_KEY_FILE_MAX);
    if (files_exists(f->new_key)) {
        cs_key_spec is = CS_KEYSPEC_COUNT;
        TRY(read_waiting(f, &key, err));
        if (!spec_said || (cs_key_spec_of(cs_key_spki(key), &is) && is == spec)) {
            *ret = CS_TAKE(key);
            return CS_OK;
        }
        cs_key_free(CS_TAKE(key));
    }
    TRY(cs_key_generate(spec, &key, err));
    TRY(cs_key_write_pem(key, &pem, err));
    TRY(files_write(f->new_key, cs_buf_view(&pem), 0600, FILES_REPLACE, err));
    *ret = CS_TAKE(key);
    return CS_OK;
}

void enrolling_files_forget(const enrolling_files *f) {
    (void)unlink(f->new_key);
}

static bool same_content(const char *path, cs_view bytes) {
    CS_SCOPED(cs_buf) there = cs_buf_of(CS_PEM_FILE_MAX);
    cs_err ignored;
    return files_exists(path) && files_read(path, CS_PEM_FILE_MAX, &there, &ignored) == CS_OK &&
           cs_view_eq(cs_buf_view(&there), bytes);
}

cs_status enrolling_files_write(enrolling_files *f, cs_view crt_pem, cs_view ca_pem, cs_err *err) {
    if (!same_content(f->ca, ca_pem)) TRY(files_write(f->ca, ca_pem, 0644, f->force ? FILES_REPLACE : FILES_NEW, err));
    TRY(files_write(f->new_crt, crt_pem, 0644, FILES_REPLACE, err));
    TRY(move(f->new_key, f->key, f->force, err));
    return move(f->new_crt, f->crt, f->force, err);
}
