#include "cli/tarball.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/files.h"

enum { FILE_MAX = 1024 * 1024 };

struct tarball {
    char path[FILES_PATH_MAX], temp[FILES_PATH_MAX];
    struct archive *to;
    int fd;
};

void tarball_free(tarball *t) {
    if (t == NULL) return;
    if (t->to != NULL) (void)archive_write_free(t->to);
    if (t->fd >= 0) {
        (void)close(t->fd);
        (void)unlink(t->temp);
    }
    free(t);
}

static cs_status failed(const tarball *t, cs_err *err) {
    int code = archive_errno(t->to);
    if (code > 0) return cs_fail_errno(err, code, CS_R_FILE_UNWRITABLE, "%s", t->path);
    return cs_fail(err, CS_FAILED, CS_R_FILE_UNWRITABLE, "%s: %s", t->path, archive_error_string(t->to));
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

cs_status tarball_new(const char *path, tarball **ret, cs_err *err) {
    CS_AUTO(tarball) t = calloc(1, sizeof *t);
    if (t == NULL) return CS_NOMEM_ERR(err);
    t->fd = -1;
    int n = snprintf(t->temp, sizeof t->temp, "%s.tmp", path);
    if (n < 0 || n >= (int)sizeof t->temp) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "the path %.80s...", path);
    (void)snprintf(t->path, sizeof t->path, "%s", path);
    t->to = archive_write_new();
    if (t->to == NULL) return CS_NOMEM_ERR(err);
    int ok = archive_write_set_format_pax_restricted(t->to);
    if (ends_with(path, ".tar.gz") || ends_with(path, ".tgz"))
        ok = archive_write_add_filter_gzip(t->to);
    else if (ends_with(path, ".tar.zst"))
        ok = archive_write_add_filter_zstd(t->to);
    else if (!ends_with(path, ".tar"))
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--archive \"%s\", expected .tar, .tar.gz or .tar.zst", path);
    (void)unlink(t->temp); /* of a run that was killed */
    t->fd = open(t->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (t->fd < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
    if (ok != ARCHIVE_OK || archive_write_open_fd(t->to, t->fd) != ARCHIVE_OK) return failed(t, err);
    *ret = CS_TAKE(t);
    return CS_OK;
}

cs_status tarball_add(tarball *t, const char *dir, const char *name, cs_err *err) {
    char path[FILES_PATH_MAX];
    struct stat st;
    CS_SCOPED(cs_buf) bytes = cs_buf_secret(FILE_MAX);
    TRY(files_join(dir, name, path, err));
    if (stat(path, &st) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", path);
    TRY(files_read(path, FILE_MAX, &bytes, err));
    struct archive_entry *e = archive_entry_new();
    if (e == NULL) return CS_NOMEM_ERR(err);
    archive_entry_set_pathname(e, name);
    archive_entry_set_size(e, (la_int64_t)bytes.n);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, st.st_mode & 0777);
    archive_entry_set_mtime(e, st.st_mtime, 0);
    bool ok = archive_write_header(t->to, e) == ARCHIVE_OK &&
              archive_write_data(t->to, bytes.p, bytes.n) == (la_ssize_t)bytes.n;
    archive_entry_free(e);
    return ok ? CS_OK : failed(t, err);
}

cs_status tarball_close(tarball *t, cs_err *err) {
    if (archive_write_close(t->to) != ARCHIVE_OK) return failed(t, err);
    if (fsync(t->fd) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", t->path);
    TRY(files_rename_new(t->temp, t->path, err));
    (void)close(t->fd);
    t->fd = -1;
    return CS_OK;
}
