/* Unix listeners that outlive the processes which serve them: the supervisor makes them, children inherit them. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/spawn.h"

static cs_status address_of(const char *path, struct sockaddr_un *ret, cs_err *err) {
    size_t n = strlen(path);
    if (n > SPAWN_SOCKET_PATH_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED,
                       "the socket's path has %zu bytes, at most %d: use a shorter state folder: %s", n,
                       SPAWN_SOCKET_PATH_MAX, path);
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret->sun_path, path, n + 1);
    return CS_OK;
}

static cs_status bind_private(int fd, const struct sockaddr_un *a, mode_t mode, cs_err *err) {
    mode_t before = umask(0777 & ~mode); /* the mode from the first moment */
    int rc = bind(fd, (const struct sockaddr *)a, sizeof *a);
    int failed = errno;
    (void)umask(before);
    if (rc != 0) return cs_fail_errno(err, failed, CS_R_FILE_UNWRITABLE, "%s", a->sun_path);
    if (listen(fd, 512) != 0) return cs_fail_errno(err, errno, CS_R_NETWORK_FAILED, "%s", a->sun_path);
    return CS_OK;
}

cs_status spawn_listen(const char *path, mode_t mode, int *ret_fd, cs_err *err) {
    struct sockaddr_un a;
    TRY(address_of(path, &a, err));
    if (unlink(path) != 0 && errno != ENOENT) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return cs_fail_errno(err, errno, CS_R_NETWORK_FAILED, "%s", path);
    cs_status s = bind_private(fd, &a, mode, err);
    if (s != CS_OK) {
        (void)close(fd);
        return s;
    }
    *ret_fd = fd;
    return CS_OK;
}

bool spawn_answers(const char *path) {
    struct sockaddr_un a;
    cs_err err;
    if (address_of(path, &a, &err) != CS_OK) return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answers = fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0) (void)close(fd);
    return answers;
}
