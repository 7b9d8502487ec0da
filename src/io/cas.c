#include "io/cas.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool well_formed(const char *name) {
    size_t n = strlen(name);
    return n >= 1 && n <= CAS_NAME_MAX && name[0] >= 'a' && name[0] <= 'z' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

cs_status cas_name_check(const char *name, cs_err *err) {
    if (well_formed(name)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID,
                   "CA \"%.64s\": lower-case letters, digits and - are expected, a letter first, at most %d", name,
                   CAS_NAME_MAX);
}

bool cas_is_root(const char *name) {
    return strncmp(name, "root", 4) == 0;
}

cs_status cas_path(const char *dir, const char *name, const char *ext, char out[FILES_PATH_MAX], cs_err *err) {
    char file[CAS_NAME_MAX + 16];
    (void)snprintf(file, sizeof file, "%.*s.%s", CAS_NAME_MAX, name, ext);
    return files_join(dir, file, out, err);
}

typedef enum wanted { WANT_CERTS, WANT_KEYS, WANT_ROOTS } wanted;

static cs_status has_key(const char *dir, const char *name, bool *ret, cs_err *err) {
    char path[FILES_PATH_MAX];
    TRY(cas_path(dir, name, "key", path, err));
    *ret = files_exists(path);
    if (*ret) return CS_OK;
    TRY(cas_path(dir, name, "uri", path, err));
    *ret = files_exists(path);
    return CS_OK;
}

static cs_status consider(const char *dir, const char *file, wanted want, cas_list *list, cs_err *err) {
    char name[CAS_NAME_MAX + 1];
    size_t n = strlen(file);
    if (n < 5 || n - 4 > CAS_NAME_MAX || strcmp(file + n - 4, ".crt") != 0) return CS_OK;
    memcpy(name, file, n - 4);
    name[n - 4] = '\0';
    if (!well_formed(name) || cas_is_root(name) != (want == WANT_ROOTS)) return CS_OK;
    bool counts = true;
    if (want == WANT_KEYS) TRY(has_key(dir, name, &counts, err));
    if (!counts) return CS_OK;
    if (list->n == CAS_MAX) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s: over %d CAs", dir, CAS_MAX);
    memcpy(list->at[list->n++], name, sizeof name);
    return CS_OK;
}

static int compare(const void *a, const void *b) {
    return strcmp(a, b);
}

static cs_status read_list(const char *dir, wanted want, cas_list *ret, cs_err *err) {
    *ret = (cas_list){.n = 0};
    DIR *d = opendir(dir);
    if (d == NULL)
        return cs_fail_errno(err, errno, errno == ENOENT ? CS_R_STATE_MISSING : CS_R_FILE_UNREADABLE, "%s", dir);
    cs_status status = CS_OK;
    for (const struct dirent *e; status == CS_OK && (e = readdir(d)) != NULL;) // NOLINT(concurrency-mt-unsafe)
        status = consider(dir, e->d_name, want, ret, err);
    (void)closedir(d);
    qsort(ret->at, ret->n, sizeof ret->at[0], compare);
    return status;
}

cs_status cas_list_certs(const char *dir, cas_list *ret, cs_err *err) {
    return read_list(dir, WANT_CERTS, ret, err);
}

cs_status cas_list_keys(const char *dir, cas_list *ret, cs_err *err) {
    return read_list(dir, WANT_KEYS, ret, err);
}

cs_status cas_list_roots(const char *dir, cas_list *ret, cs_err *err) {
    return read_list(dir, WANT_ROOTS, ret, err);
}

cs_status cas_current(const char *dir, char ret[CAS_NAME_MAX + 1], cs_err *err) {
    char path[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) text = cs_buf_of(256);
    (void)snprintf(ret, CAS_NAME_MAX + 1, "%s", CAS_FIRST);
    TRY(files_join(dir, "current", path, err));
    if (!files_exists(path)) return CS_OK;
    TRY(files_read(path, 128, &text, err));
    cs_view name = cs_view_trim(cs_buf_view(&text));
    (void)snprintf(ret, CAS_NAME_MAX + 1, "%.*s", (int)name.n, (const char *)name.p);
    if (well_formed(ret) && strlen(ret) == name.n) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_STATE_CORRUPT, "%s: a CA's name is expected", path);
}

cs_status cas_current_set(const char *dir, const char *name, cs_err *err) {
    char path[FILES_PATH_MAX], line[CAS_NAME_MAX + 2];
    TRY(cas_name_check(name, err));
    TRY(files_join(dir, "current", path, err));
    (void)snprintf(line, sizeof line, "%s\n", name);
    return files_write(path, cs_view_str(line), 0644, FILES_REPLACE, err);
}

cs_status cas_retired(const char *dir, const char *name, bool *ret, cs_err *err) {
    char path[FILES_PATH_MAX];
    TRY(cas_path(dir, name, "retired", path, err));
    *ret = files_exists(path);
    return CS_OK;
}

cs_status cas_retired_set(const char *dir, const char *name, bool retired, cs_err *err) {
    char path[FILES_PATH_MAX];
    TRY(cas_path(dir, name, "retired", path, err));
    if (retired) return files_write(path, CS_VIEW_LIT("it issues no more\n"), 0644, FILES_REPLACE, err);
    if (unlink(path) == 0 || errno == ENOENT) return CS_OK;
    return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
}
