#include "io/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct journal {
    int fd;
    size_t record_len;
    off_t length; /* of what is synced */
    bool broken;
    char path[]; /* for messages */
};

void journal_free(journal *j) {
    if (j == NULL) return;
    if (j->fd >= 0) (void)close(j->fd);
    free(j);
}

bool journal_broken(const journal *j) {
    return j->broken;
}

static cs_status open_locked(journal *j, cs_err *err) {
    j->fd = open(j->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (j->fd < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", j->path);
    if (flock(j->fd, LOCK_EX | LOCK_NB) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_STATE_BUSY, "%s is open in another process", j->path);
    struct stat st;
    if (fstat(j->fd, &st) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", j->path);
    j->length = st.st_size - st.st_size % (off_t)j->record_len;
    if (j->length != st.st_size && ftruncate(j->fd, j->length) != 0)
        return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", j->path);
    return CS_OK;
}

static cs_status replay_all(journal *j, journal_replay *replay, void *cls, cs_err *err) {
    const size_t step = j->record_len * 1024;
    CS_SCOPED(cs_buf) b = cs_buf_of(step);
    uint8_t *p = cs_buf_reserve(&b, step);
    if (p == NULL) return CS_NOMEM_ERR(err);
    for (off_t at = 0; at < j->length;) {
        size_t want = (size_t)(j->length - at) < step ? (size_t)(j->length - at) : step;
        ssize_t n = pread(j->fd, p, want, at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return cs_fail_errno(err, n == 0 ? EIO : errno, CS_R_FILE_UNREADABLE, "%s", j->path);
        size_t whole = (size_t)n - (size_t)n % j->record_len;
        if (whole == 0) return cs_fail(err, CS_FAILED, CS_R_STATE_CORRUPT, "%s: short read", j->path);
        for (size_t k = 0; k < whole; k += j->record_len)
            if (replay(cls, cs_view_of(p + k, j->record_len), err) != CS_OK)
                return cs_fail_in(err, "%s, record %lld", j->path,
                                  (long long)((size_t)at + k) / (long long)j->record_len);
        at += (off_t)whole;
    }
    return CS_OK;
}

cs_status journal_open(const char *path, size_t record_len, journal_replay *replay, void *cls, journal **ret,
                       cs_err *err) {
    CS_AUTO(journal) j = calloc(1, sizeof *j + strlen(path) + 1);
    if (j == NULL) return CS_NOMEM_ERR(err);
    j->fd = -1;
    j->record_len = record_len;
    memcpy(j->path, path, strlen(path) + 1);
    TRY(open_locked(j, err));
    TRY(replay_all(j, replay, cls, err));
    *ret = CS_TAKE(j);
    return CS_OK;
}

/* What failed is taken back, so that no later append stands behind half a record. */
static cs_status take_back(journal *j, cs_status failed) {
    if (ftruncate(j->fd, j->length) != 0) j->broken = true;
    return failed;
}

cs_status journal_append(journal *j, cs_view records, cs_err *err) {
    if (j->broken) return cs_fail(err, CS_FAILED, CS_R_STATE_CORRUPT, "%s: an earlier write failed", j->path);
    if (records.n % j->record_len != 0)
        return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "%s: half a record", j->path);
    for (size_t done = 0; done < records.n;) {
        ssize_t n = pwrite(j->fd, records.p + done, records.n - done, j->length + (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return take_back(j, cs_fail_errno(err, n == 0 ? ENOSPC : errno, CS_R_FILE_UNWRITABLE, "%s", j->path));
        done += (size_t)n;
    }
    if (fdatasync(j->fd) != 0) {
        /* After a failed sync nobody knows what is on disk; a second try would report success falsely. */
        j->broken = true;
        return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s: fdatasync", j->path);
    }
    j->length += (off_t)records.n;
    return CS_OK;
}
