/* Lists of keys that others know, from the files and folders that the configuration names. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "authority/authority.h"
#include "io/files.h"
#include "report/log.h"

enum { LIST_MAX_BYTES = 64 * 1024 * 1024 };

static cs_status add_file(cs_known_keys *k, const char *path, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(LIST_MAX_BYTES);
    TRY(files_read(path, LIST_MAX_BYTES, &text, err));
    return cs_known_keys_add(k, cs_buf_view(&text), path, err);
}

static cs_status add_folder(cs_known_keys *k, const char *dir, DIR *open, cs_err *err) {
    for (const struct dirent *e; (e = readdir(open)) != NULL;) { // NOLINT(concurrency-mt-unsafe): the stream is ours
        char path[FILES_PATH_MAX];
        struct stat st;
        if (e->d_name[0] == '.') continue;
        TRY(files_join(dir, e->d_name, path, err));
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) TRY(add_file(k, path, err));
    }
    return CS_OK;
}

static cs_status add(cs_known_keys *k, const char *path, cs_err *err) {
    DIR *open = opendir(path);
    if (open == NULL && errno == ENOTDIR) return add_file(k, path, err);
    if (open == NULL) return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", path);
    cs_status s = add_folder(k, path, open, err);
    (void)closedir(open);
    return s;
}

cs_status authority_known_keys(const conf *c, cs_known_keys **ret, cs_err *err) {
    CS_AUTO(cs_known_keys) k = cs_known_keys_new();
    if (k == NULL) return CS_NOMEM_ERR(err);
    if (c->weak_keys.n == 0 && files_exists(CONF_WEAK_KEYS)) TRY(add(k, CONF_WEAK_KEYS, err));
    for (unsigned i = 0; i < c->weak_keys.n; i++)
        if (add(k, c->weak_keys.at[i], err) != CS_OK) return cs_fail_in(err, "weak_keys");
    size_t n = cs_known_keys_count(k);
    if (n == 0) return CS_OK;
    cs_known_keys_sort(k);
    log_event e = log_begin(LOG_INFO, "weak-keys-known");
    log_int(&e, "count", (int64_t)n);
    log_end(&e);
    *ret = CS_TAKE(k);
    return CS_OK;
}
