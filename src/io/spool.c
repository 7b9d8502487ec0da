#include "io/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static cs_status open_temp(spool *s, const char *path, mode_t mode, cs_err *err) {
    *s = (spool){.fd = -1, .held = cs_buf_of(2 * SPOOL_PIECE)};
    if (snprintf(s->path, sizeof s->path, "%s", path) >= FILES_PATH_MAX ||
        snprintf(s->temp, sizeof s->temp, "%s.XXXXXX", path) >= FILES_PATH_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s: a path may have %d bytes", path, FILES_PATH_MAX - 8);
    s->fd = mkostemp(s->temp, O_CLOEXEC); /* 0600 from its first byte */
    if (s->fd < 0) {
        s->temp[0] = '\0';
        return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
    }
    if (fchmod(s->fd, mode) == 0) return CS_OK;
    (void)cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
    spool_free(s);
    return err->status;
}

cs_status spool_open(spool *s, const char *path, mode_t mode, cs_err *err) {
    return open_temp(s, path, mode, err);
}

cs_status spool_open_nameless(spool *s, const char *dir, cs_err *err) {
    char path[FILES_PATH_MAX];
    *s = (spool){.fd = -1};
    TRY(files_join(dir, ".spool", path, err));
    TRY(open_temp(s, path, 0600, err));
    (void)unlink(s->temp);
    s->temp[0] = '\0';
    return CS_OK;
}

void spool_free(spool *s) {
    if (s->fd >= 0) (void)close(s->fd);
    if (s->temp[0] != '\0') (void)unlink(s->temp);
    cs_buf_free(&s->held);
    s->fd = -1;
    s->temp[0] = '\0';
}

cs_status spool_flush(spool *s, cs_err *err) {
    for (size_t done = 0; done < s->held.n;) {
        ssize_t n = write(s->fd, s->held.p + done, s->held.n - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", s->path);
        done += (size_t)n;
    }
    cs_buf_clear(&s->held);
    return CS_OK;
}

cs_status spool_add(spool *s, cs_view bytes, cs_err *err) {
    s->n += bytes.n;
    while (bytes.n > 0) {
        size_t n = bytes.n < SPOOL_PIECE ? bytes.n : SPOOL_PIECE;
        if (!cs_buf_add(&s->held, bytes.p, n)) return cs_buf_ok(&s->held, s->path, err);
        bytes = cs_view_of(bytes.p + n, bytes.n - n);
        if (s->held.n >= SPOOL_PIECE) TRY(spool_flush(s, err));
    }
    return CS_OK;
}

cs_status spool_read(int fd, size_t at, size_t max, cs_buf *b, const char *what, cs_err *err) {
    uint8_t *p = cs_buf_reserve(b, max);
    if (p == NULL) return cs_buf_ok(b, what, err);
    size_t got = 0;
    while (got < max) {
        ssize_t n = pread(fd, p + got, max - got, (off_t)(at + got));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", what);
        if (n == 0) break;
        got += (size_t)n;
    }
    cs_buf_commit(b, got);
    return CS_OK;
}

static cs_status sync_folder_of(const char *path, cs_err *err) {
    char dir[FILES_PATH_MAX];
    const char *slash = strrchr(path, '/');
    (void)snprintf(dir, sizeof dir, "%.*s", slash != NULL ? (int)(slash - path) : 1, slash != NULL ? path : ".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", dir);
    int failed = fsync(fd) != 0 ? errno : 0;
    (void)close(fd);
    return failed == 0 ? CS_OK : cs_fail_errno(err, failed, CS_R_FILE_UNWRITABLE, "%s", dir);
}

cs_status spool_commit(spool *s, int *ret_fd, cs_err *err) {
    TRY(spool_flush(s, err));
    if (fsync(s->fd) != 0 || rename(s->temp, s->path) != 0)
        return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", s->path);
    s->temp[0] = '\0';
    TRY(sync_folder_of(s->path, err));
    if (ret_fd == NULL) return CS_OK;
    *ret_fd = s->fd;
    s->fd = -1;
    return CS_OK;
}
