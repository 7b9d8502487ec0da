#include "io/inout.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 64 * 1024 };

struct inout {
    int fd; /* our end; -1: standard input is the socket itself */
    bool carries;
    pthread_t out;
};

static bool same_socket(int fd, const struct stat *as) {
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_dev == as->st_dev && st.st_ino == as->st_ino;
}

static cs_status of_socket(const struct stat *st, int *ret_fd, cs_err *err) {
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    int flags = fd >= 0 ? fcntl(fd, F_GETFL) : -1;
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return cs_fail_errno(err, errno, CS_R_NETWORK_FAILED, "%s", "standard input");
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; nowhere >= 0 && i <= STDERR_FILENO; i++)
        if (same_socket(i, st)) (void)dup2(nowhere, i); /* a line of the log is no answer; and the last copy closes */
    if (nowhere > STDERR_FILENO) (void)close(nowhere);
    *ret_fd = fd;
    return CS_OK;
}

cs_status inout_new(inout **ret, int *ret_fd, cs_err *err) {
    struct stat st;
    int both[2] = {-1, -1};
    CS_AUTO(inout) io = calloc(1, sizeof *io);
    if (io == NULL) return CS_NOMEM_ERR(err);
    io->fd = -1;
    if (fstat(STDIN_FILENO, &st) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", "standard input");
    if (S_ISSOCK(st.st_mode)) {
        TRY(of_socket(&st, ret_fd, err));
        *ret = CS_TAKE(io);
        return CS_OK;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) != 0)
        return cs_fail_errno(err, errno, CS_R_NETWORK_FAILED, "%s", "a pair of sockets");
    io->fd = both[0];
    *ret_fd = both[1];
    if (fcntl(both[1], F_SETFL, O_NONBLOCK) != 0)
        return cs_fail_errno(err, errno, CS_R_NETWORK_FAILED, "%s", "a pair of sockets");
    *ret = CS_TAKE(io);
    return CS_OK;
}

/* Until the end, or until nobody takes it. */
static void carry(int from, int to) {
    char *piece = malloc(PIECE);
    for (ssize_t n = 1; piece != NULL && n > 0;) {
        do n = read(from, piece, PIECE);
        while (n < 0 && errno == EINTR);
        for (ssize_t at = 0; at < n;) {
            ssize_t put = write(to, piece + at, (size_t)(n - at));
            if (put < 0 && errno == EINTR) continue;
            if (put <= 0) n = 0;
            at += put > 0 ? put : 0;
        }
    }
    free(piece);
}

/* It may wait for a terminal when all else has ended: it looks at nothing that is freed. */
static void *carry_in(void *data) {
    int fd = (int)(intptr_t)data;
    carry(STDIN_FILENO, fd);
    (void)shutdown(fd, SHUT_WR);
    return NULL;
}

static void *carry_out(void *data) {
    const inout *io = data;
    carry(io->fd, STDOUT_FILENO);
    (void)close(STDOUT_FILENO);
    return NULL;
}

cs_status inout_start(inout *io, cs_err *err) {
    pthread_t in;
    if (io->fd < 0) return CS_OK;
    if (pthread_create(&io->out, NULL, carry_out, io) != 0)
        return cs_fail(err, CS_FAILED, CS_R_PROCESS_FAILED, "%s", "a thread could not be made");
    io->carries = true;
    if (pthread_create(&in, NULL, carry_in, (void *)(intptr_t)io->fd) != 0)
        return cs_fail(err, CS_FAILED, CS_R_PROCESS_FAILED, "%s", "a thread could not be made");
    (void)pthread_detach(in);
    return CS_OK;
}

void inout_free(inout *io) {
    if (io == NULL) return;
    if (io->carries)
        (void)pthread_join(io->out, NULL); /* the descriptor stays the other thread's */
    else if (io->fd >= 0)
        (void)close(io->fd);
    free(io);
}
