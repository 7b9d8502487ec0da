#include "io/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/rng.h"
#include "base/secret.h"
#include "base/text.h"

/* A descriptor that is closed on every way out: CS_SCOPED(files_fd) fd = -1; */
typedef int files_fd;
static void files_fd_free(files_fd *fd) {
    if (*fd >= 0) (void)close(*fd);
}

cs_status files_join(const char *dir, const char *name, char out[FILES_PATH_MAX], cs_err *err) {
    int n = snprintf(out, FILES_PATH_MAX, "%s/%s", dir, name);
    if (n < 0 || n >= FILES_PATH_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a path of %d bytes, at most %d: %.80s...", n,
                       FILES_PATH_MAX - 1, dir);
    return CS_OK;
}

uint64_t files_stamp(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) return 0;
    uint64_t parts[] = {(uint64_t)st.st_ino,          (uint64_t)st.st_size,        (uint64_t)st.st_mtim.tv_sec,
                        (uint64_t)st.st_mtim.tv_nsec, (uint64_t)st.st_ctim.tv_sec, (uint64_t)st.st_ctim.tv_nsec};
    uint64_t h = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) h = (h ^ parts[i]) * 0x100000001b3ULL;
    return h | 1;
}

bool files_exists(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0;
}

/* ---- reading ---- */

static cs_status check_private(const char *path, const struct stat *st, cs_err *err) {
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return cs_fail(err, CS_REFUSED, CS_R_FILE_PERMISSIONS_TOO_OPEN, "%s belongs to user %u, not to us (%u)", path,
                       (unsigned)st->st_uid, (unsigned)geteuid());
    if ((st->st_mode & 077) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_FILE_PERMISSIONS_TOO_OPEN, "%s has mode %04o, 0600 is needed", path,
                       (unsigned)(st->st_mode & 07777));
    return CS_OK;
}

static cs_status read_all(int fd, const char *path, size_t max, cs_buf *b, cs_err *err) {
    size_t total = 0;
    for (;;) {
        uint8_t part[16 * 1024];
        ssize_t n = read(fd, part, sizeof part);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", path);
        if (n == 0) break;
        total += (size_t)n;
        bool fits = total <= max && cs_buf_add(b, part, (size_t)n);
        if (b->secret) cs_wipe(part, (size_t)n);
        if (!fits) return cs_fail(err, CS_LIMIT, CS_R_FILE_TOO_LARGE, "%s has more than %zu bytes", path, max);
    }
    if (total == 0) return cs_fail(err, CS_REFUSED, CS_R_FILE_EMPTY, "%s", path);
    return CS_OK;
}

static cs_status read_file(const char *path, size_t max, bool is_private, cs_buf *b, cs_err *err) {
    struct stat st;
    /* non-blocking, so that a FIFO without a writer does not hold us; regular files ignore it */
    CS_SCOPED(files_fd) fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", path);
    if (fstat(fd, &st) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", path);
    if (S_ISDIR(st.st_mode)) return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s is a folder", path);
    if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) && strcmp(path, "/dev/null") != 0)
        return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s is neither a file nor a pipe", path);
    if (is_private && S_ISREG(st.st_mode)) TRY(check_private(path, &st, err));
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max)
        return cs_fail(err, CS_LIMIT, CS_R_FILE_TOO_LARGE, "%s has %lld bytes, at most %zu", path,
                       (long long)st.st_size, max);
    if (S_ISFIFO(st.st_mode) && fcntl(fd, F_SETFL, 0) != 0)
        return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", path);
    return read_all(fd, path, max, b, err);
}

cs_status files_read(const char *path, size_t max, cs_buf *b, cs_err *err) {
    return read_file(path, max, false, b, err);
}

cs_status files_read_input(size_t max, cs_buf *b, cs_err *err) {
    return read_all(STDIN_FILENO, "standard input", max, b, err);
}

cs_status files_read_private(const char *path, size_t max, cs_buf *b, cs_err *err) {
    return read_file(path, max, true, b, err);
}

cs_status files_read_stdin(size_t max, cs_buf *b, cs_err *err) {
    return read_all(STDIN_FILENO, "standard input", max, b, err);
}

/* ---- writing ---- */

/* The folder of path into dir: "." when it has none. */
static cs_status folder_of(const char *path, char dir[FILES_PATH_MAX], cs_err *err) {
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    if (n >= FILES_PATH_MAX || strlen(path) >= FILES_PATH_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a path of %zu bytes, at most %d", strlen(path),
                       FILES_PATH_MAX - 1);
    memcpy(dir, n == 0 ? "." : path, n == 0 ? 1 : n);
    dir[n == 0 ? 1 : n] = '\0';
    return CS_OK;
}

static cs_status sync_dir(const char *dir, cs_err *err) {
    CS_SCOPED(files_fd) fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", dir);
    if (fsync(fd) != 0 && errno != EINVAL && errno != EROFS)
        return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", dir);
    return CS_OK;
}

/* ".NAME.XXXXXXXX.tmp" beside path: leading dot and suffix let files_remove_leftovers and people know it. */
static cs_status temp_name(const char *path, char out[FILES_PATH_MAX], cs_err *err) {
    uint8_t random[6];
    char hex[2 * sizeof random + 1], dir[FILES_PATH_MAX];
    const char *slash = strrchr(path, '/');
    TRY(cs_rng_fill(cs_rng_system(), random, sizeof random, err));
    TRY(folder_of(path, dir, err));
    int n = snprintf(out, FILES_PATH_MAX, "%s/.%s.%s.tmp", dir, slash != NULL ? slash + 1 : path,
                     cs_hex(cs_view_of(random, sizeof random), hex));
    if (n < 0 || n >= FILES_PATH_MAX) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "the path %.80s...", path);
    return CS_OK;
}

static cs_status write_all(int fd, cs_view bytes, const char *path, cs_err *err) {
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
        bytes.p += n;
        bytes.n -= (size_t)n;
    }
    return CS_OK;
}

static cs_status write_temp(const char *temp, const char *path, cs_view bytes, mode_t mode, bool sync, cs_err *err) {
    /* mode from the first byte: opened with no more than the owner's bits, widened only once all is written */
    CS_SCOPED(files_fd) fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0600);
    if (fd < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
    TRY(write_all(fd, bytes, path, err));
    CS_FAULT("files-write", err);
    if (fchmod(fd, mode) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
    if (sync && fsync(fd) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
    return CS_OK;
}

static cs_status put_in_place(const char *temp, const char *path, files_how how, cs_err *err) {
    unsigned flags = how == FILES_NEW ? RENAME_NOREPLACE : 0;
    if (renameat2(AT_FDCWD, temp, AT_FDCWD, path, flags) == 0) return CS_OK;
    if (errno == EINVAL && how == FILES_NEW) { /* a file system without RENAME_NOREPLACE: a hard link refuses too */
        if (link(temp, path) == 0) {
            (void)unlink(temp);
            return CS_OK;
        }
    }
    if (errno == EEXIST) return cs_fail(err, CS_REFUSED, CS_R_FILE_EXISTS, "%s", path);
    return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
}

static cs_status write_file(const char *path, cs_view bytes, mode_t mode, files_how how, bool sync, cs_err *err) {
    char temp[FILES_PATH_MAX], dir[FILES_PATH_MAX];
    if (how == FILES_NEW && files_exists(path)) return cs_fail(err, CS_REFUSED, CS_R_FILE_EXISTS, "%s", path);
    TRY(folder_of(path, dir, err));
    TRY(temp_name(path, temp, err));
    cs_status s = write_temp(temp, path, bytes, mode, sync, err);
    if (s == CS_OK) s = put_in_place(temp, path, how, err);
    if (s != CS_OK) {
        (void)unlink(temp);
        return s;
    }
    return sync ? sync_dir(dir, err) : CS_OK;
}

cs_status files_write(const char *path, cs_view bytes, mode_t mode, files_how how, cs_err *err) {
    return write_file(path, bytes, mode, how, true, err);
}

cs_status files_write_unsynced(const char *path, cs_view bytes, mode_t mode, files_how how, cs_err *err) {
    return write_file(path, bytes, mode, how, false, err);
}

cs_status files_sync_all(const char *dir, cs_err *err) {
    CS_SCOPED(files_fd) fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", dir);
    return CS_OK;
}

cs_status files_rename_new(const char *from, const char *to, cs_err *err) {
    char dir[FILES_PATH_MAX];
    TRY(folder_of(to, dir, err));
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) != 0) {
        if (errno == EEXIST) return cs_fail(err, CS_REFUSED, CS_R_FILE_EXISTS, "%s", to);
        return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", to);
    }
    return sync_dir(dir, err);
}

cs_status files_dir_writable(const char *dir, cs_err *err) {
    char probe[FILES_PATH_MAX], temp[FILES_PATH_MAX];
    TRY(files_join(dir, "probe", probe, err));
    TRY(temp_name(probe, temp, err));
    CS_SCOPED(files_fd) fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", dir);
    /* one block: on a full disk the name alone can still be made */
    static const uint8_t block[4096];
    cs_status s = write_all(fd, cs_view_of(block, sizeof block), dir, err);
    (void)unlink(temp);
    return s;
}

/* ---- folders ---- */

static cs_status mkdir_parents(const char *path, mode_t mode, cs_err *err) {
    char part[FILES_PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a folder's path of %zu bytes", n);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != '\0') continue;
        part[i] = '\0';
        if (mkdir(part, mode) != 0 && errno != EEXIST) {
            struct stat st;
            int failed = errno;
            /* a parent may refuse mkdir yet exist (read-only root, no permission there) */
            if (stat(part, &st) != 0 || !S_ISDIR(st.st_mode))
                return cs_fail_errno(err, failed, CS_R_FILE_UNWRITABLE, "%s", part);
        }
        if (i < n) part[i] = '/';
    }
    struct stat st;
    if (stat(path, &st) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
    if (!S_ISDIR(st.st_mode)) return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s is not a folder", path);
    return CS_OK;
}

cs_status files_mkdir(const char *path, cs_err *err) {
    return mkdir_parents(path, 0755, err);
}

cs_status files_mkdir_private(const char *path, cs_err *err) {
    struct stat st;
    TRY(mkdir_parents(path, 0700, err));
    if (stat(path, &st) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return cs_fail(err, CS_REFUSED, CS_R_FILE_PERMISSIONS_TOO_OPEN,
                       "the folder %s belongs to user %u, not to us (%u)", path, (unsigned)st.st_uid,
                       (unsigned)geteuid());
    if ((st.st_mode & 022) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_FILE_PERMISSIONS_TOO_OPEN, "others may write to the folder %s (mode %04o)",
                       path, (unsigned)(st.st_mode & 07777));
    return CS_OK;
}

/* ---- locks ---- */

cs_status files_lock(const char *path, int wait_ms, const char *what, int *ret_fd, cs_err *err) {
    CS_SCOPED(files_fd) fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
    cs_time until = cs_mono(cs_clock_system()) + (cs_time)wait_ms * 1000;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR) continue;
        if (errno != EWOULDBLOCK) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
        if (cs_mono(cs_clock_system()) >= until)
            return cs_fail(err, CS_REFUSED, CS_R_STATE_BUSY, "%s holds %s", what, path);
        (void)usleep(20 * 1000);
    }
    *ret_fd = fd;
    fd = -1;
    return CS_OK;
}
