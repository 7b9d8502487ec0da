/* Removing what was left behind, by descriptors, so that a symbolic link is never followed out of the tree. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "io/files.h"

enum { TREE_DEPTH_MAX = 8 };

static cs_status remove_at(int parent, const char *name, unsigned depth, cs_err *err);

static cs_status empty_dir(int fd, const char *name, const char *prefix, unsigned depth, cs_err *err) {
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        (void)close(fd);
        return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", name);
    }
    cs_status s = CS_OK;
    const struct dirent *e;
    while (s == CS_OK && (e = readdir(dir)) != NULL) { // NOLINT(concurrency-mt-unsafe): the stream is ours alone
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (strncmp(e->d_name, prefix, strlen(prefix)) != 0) continue;
        s = remove_at(dirfd(dir), e->d_name, depth + 1, err);
    }
    (void)closedir(dir);
    return s;
}

static cs_status remove_at(int parent, const char *name, unsigned depth, cs_err *err) {
    if (depth > TREE_DEPTH_MAX) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "folders too deep at %s", name);
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return CS_OK;
    if (errno != EISDIR && errno != EPERM) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", name);
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", name);
    TRY(empty_dir(fd, name, "", depth, err));
    if (unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", name);
    return CS_OK;
}

cs_status files_remove_tree(const char *dir, cs_err *err) {
    return remove_at(AT_FDCWD, dir, 0, err);
}

cs_status files_remove_leftovers(const char *dir, const char *prefix, cs_err *err) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return CS_OK;
    if (fd < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", dir);
    return empty_dir(fd, dir, prefix, 0, err);
}
