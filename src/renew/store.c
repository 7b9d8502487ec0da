#include "renew/store.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/text.h"
#include "x509/pem.h"

static const char *const slot_names[RENEW_SLOTS] = {"a", "b"};

cs_status renew_store_lock(const char *state, int *ret_fd, cs_err *err) {
    char path[FILES_PATH_MAX];
    TRY(files_mkdir_private(state, err));
    TRY(files_join(state, "lock", path, err));
    return files_lock(path, 0, "another agent", ret_fd, err);
}

cs_status renew_store_open(const char *state, const char *name, bool read_only, renew_store *ret, cs_err *err) {
    char slot[FILES_PATH_MAX];
    *ret = (renew_store){.dir = ""};
    TRY(files_join(state, name, ret->dir, err));
    if (read_only) return CS_OK;
    TRY(files_mkdir_private(ret->dir, err));
    TRY(files_remove_leftovers(ret->dir, ".state.json.", err));
    for (int i = 0; i < RENEW_SLOTS; i++) {
        TRY(files_join(ret->dir, slot_names[i], slot, err));
        TRY(files_mkdir_private(slot, err));
        TRY(files_remove_leftovers(slot, ".", err));
    }
    return CS_OK;
}

cs_status renew_store_path(const renew_store *st, int slot, const char *file, char out[FILES_PATH_MAX], cs_err *err) {
    char below[64];
    (void)snprintf(below, sizeof below, "%s/%s", slot_names[slot], file);
    return files_join(st->dir, below, out, err);
}

/* ---- a slot ---- */

cs_status renew_store_key(const renew_store *st, int slot, cs_key **ret, cs_err *err) {
    char path[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) text = cs_buf_secret(CS_KEY_FILE_MAX);
    TRY(renew_store_path(st, slot, "key.pem", path, err));
    TRY(files_read_private(path, CS_KEY_FILE_MAX, &text, err));
    return cs_key_read_pem(cs_buf_view(&text), NULL, path, ret, err);
}

cs_status renew_store_certs(const renew_store *st, int slot, const char *file, cs_certs *bag, cs_err *err) {
    char path[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
    TRY(renew_store_path(st, slot, file, path, err));
    TRY(files_read(path, CS_PEM_FILE_MAX, &text, err));
    return cs_certs_read(cs_buf_view(&text), path, bag, err);
}

static cs_status look(const renew_store *st, int slot, renew_facts *f, cs_err *err) {
    CS_SCOPED(cs_certs) bag = {.n = 0};
    CS_AUTO(cs_key) key = NULL;
    TRY(renew_store_certs(st, slot, "cert.pem", &bag, err));
    TRY(renew_store_key(st, slot, &key, err));
    TRY(cs_key_match(key, bag.at[0]->spki, "its key", err));
    f->life = (renew_life){bag.at[0]->not_before, bag.at[0]->not_after};
    if (bag.at[0]->serial.n <= CS_SERIAL_MAX) (void)cs_hex(bag.at[0]->serial, f->serial);
    f->whole = true;
    return CS_OK;
}

const renew_facts *renew_store_facts(renew_store *st, int slot) {
    char key[FILES_PATH_MAX], cert[FILES_PATH_MAX];
    renew_facts *f = &st->facts[slot];
    cs_err err;
    if (renew_store_path(st, slot, "key.pem", key, &err) != CS_OK ||
        renew_store_path(st, slot, "cert.pem", cert, &err) != CS_OK)
        return f;
    uint64_t ks = files_stamp(key), cs = files_stamp(cert);
    if (cs != 0 && ks == f->key_stamp && cs == f->cert_stamp) return f;
    *f = (renew_facts){.key_stamp = ks, .cert_stamp = cs};
    if (cs != 0 && look(st, slot, f, &err) != CS_OK) (void)snprintf(f->why, sizeof f->why, "%s", err.detail);
    return f;
}

bool renew_store_has_key(const renew_store *st, int slot) {
    char path[FILES_PATH_MAX];
    cs_err err;
    return renew_store_path(st, slot, "key.pem", path, &err) == CS_OK && files_exists(path);
}

cs_status renew_store_put_key(const renew_store *st, int slot, const cs_key *made, cs_err *err) {
    char path[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) pem = cs_buf_secret(CS_KEY_FILE_MAX);
    TRY(renew_store_path(st, slot, "key.pem", path, err));
    TRY(cs_key_write_pem(made, &pem, err));
    return files_write(path, cs_buf_view(&pem), 0600, FILES_REPLACE, err);
}

cs_status renew_store_put_certs(const renew_store *st, int slot, cs_view cert_pem, cs_view ca_pem, cs_err *err) {
    char path[FILES_PATH_MAX];
    TRY(renew_store_path(st, slot, "ca.pem", path, err));
    TRY(files_write(path, ca_pem, 0644, FILES_REPLACE, err));
    CS_FAULT("agent-half-slot", err);
    TRY(renew_store_path(st, slot, "cert.pem", path, err));
    return files_write(path, cert_pem, 0644, FILES_REPLACE, err);
}

/* The certificate first: a slot without one is no pair. */
void renew_store_forget(renew_store *st, int slot) {
    static const char *const files[] = {"cert.pem", "key.pem", "ca.pem"};
    char path[FILES_PATH_MAX];
    cs_err err;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (renew_store_path(st, slot, files[i], path, &err) == CS_OK) (void)unlink(path);
    st->facts[slot] = (renew_facts){.whole = false};
}

cs_status renew_store_point(const renew_store *st, int slot, cs_err *err) {
    char link[FILES_PATH_MAX], temp[FILES_PATH_MAX], now[8] = "";
    TRY(files_join(st->dir, "current", link, err));
    TRY(files_join(st->dir, ".current.new", temp, err));
    if (readlink(link, now, sizeof now - 1) > 0 && strcmp(now, slot_names[slot]) == 0) return CS_OK;
    (void)unlink(temp);
    if (symlink(slot_names[slot], temp) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", temp);
    if (rename(temp, link) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", link);
    return files_sync_all(st->dir, err);
}

/* ---- the state ---- */

static cs_status keep_bad(const char *path, cs_err *err) {
    char bad[FILES_PATH_MAX];
    cs_err why = *err;
    if (snprintf(bad, sizeof bad, "%s.bad", path) < (int)sizeof bad) (void)rename(path, bad);
    return cs_fail(err, CS_REFUSED, CS_R_STATE_CORRUPT, "%s: %s", path, why.detail);
}

cs_status renew_store_load(const renew_store *st, bool read_only, renew_state *ret, cs_err *err) {
    char path[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) text = cs_buf_of(16 * 1024);
    TRY(files_join(st->dir, "state.json", path, err));
    cs_status s = files_read(path, 16 * 1024, &text, err);
    if (s != CS_OK && (err->reason == CS_R_FILE_NOT_FOUND || err->reason == CS_R_FILE_UNREADABLE)) return s;
    if (s == CS_OK) s = renew_state_read(cs_buf_view(&text), ret, err);
    if (s == CS_OK) return CS_OK;
    return read_only ? s : keep_bad(path, err);
}

cs_status renew_store_save(const renew_store *st, const renew_state *s, cs_err *err) {
    char path[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) text = cs_buf_of(16 * 1024);
    TRY(files_join(st->dir, "state.json", path, err));
    renew_state_write(s, &text);
    TRY(cs_buf_ok(&text, "the state", err));
    return files_write(path, cs_buf_view(&text), 0600, FILES_REPLACE, err);
}
