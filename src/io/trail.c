/* A line: time, event, by, detail, with tabs between; the first line names the file. */
#include "io/trail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/text.h"
#include "io/files.h"

#define FIRST "trail 1 "
enum { FIRST_LEN = sizeof FIRST - 1 + TRAIL_ID_LEN + 1 };

static cs_status path_of(const char *state, char out[FILES_PATH_MAX], cs_err *err) {
    return files_join(state, "authority/trail", out, err);
}

const char *trail_self(char out[32]) {
    (void)snprintf(out, 32, "uid %u", (unsigned)getuid());
    return out;
}

uint64_t trail_size(const char *state) {
    char path[FILES_PATH_MAX];
    struct stat st;
    cs_err ignored;
    if (path_of(state, path, &ignored) != CS_OK || stat(path, &st) != 0) return 0;
    return (uint64_t)st.st_size;
}

static cs_status add_first(cs_buf *b, cs_err *err) {
    uint8_t id[TRAIL_ID_LEN / 2];
    TRY(cs_rng_fill(cs_rng_system(), id, sizeof id, err));
    (void)cs_buf_add_str(b, FIRST);
    (void)cs_hex_add(b, cs_view_of(id, sizeof id));
    (void)cs_buf_add_byte(b, '\n');
    return CS_OK;
}

/* Behind what is whole: a kill or a full disk may have left half a line, for which nobody was answered. */
static cs_status whole_length(int fd, const char *path, off_t *ret, cs_err *err) {
    char tail[TRAIL_LINE_MAX];
    struct stat st;
    if (fstat(fd, &st) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", path);
    off_t from = st.st_size > (off_t)sizeof tail ? st.st_size - (off_t)sizeof tail : 0;
    ssize_t n = pread(fd, tail, (size_t)(st.st_size - from), from);
    if (n < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", path);
    while (n > 0 && tail[n - 1] != '\n') n--;
    *ret = from + n;
    return CS_OK;
}

static cs_status append(int fd, const char *path, cs_view line, cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of(2 * (size_t)TRAIL_LINE_MAX);
    off_t at = 0;
    TRY(whole_length(fd, path, &at, err));
    if (at == 0) TRY(add_first(&b, err));
    (void)cs_buf_add_view(&b, line);
    TRY(cs_buf_ok(&b, "an entry of the trail", err));
    for (size_t done = 0; done < b.n;) {
        ssize_t n = pwrite(fd, b.p + done, b.n - done, at + (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            int why = n == 0 ? ENOSPC : errno;
            (void)!ftruncate(fd, at);
            return cs_fail_errno(err, why, CS_R_FILE_UNWRITABLE, "%s", path);
        }
        done += (size_t)n;
    }
    if (ftruncate(fd, at + (off_t)b.n) == 0 && fdatasync(fd) == 0) return CS_OK;
    return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
}

cs_status trail_add(const char *state, int64_t at_us, const char *event, const char *by, const char *detail,
                    cs_err *err) {
    char dir[FILES_PATH_MAX], path[FILES_PATH_MAX], at[CS_TIME_TEXT_MAX];
    CS_SCOPED(cs_buf) line = cs_buf_of(TRAIL_LINE_MAX);
    TRY(files_join(state, "authority", dir, err));
    TRY(path_of(state, path, err));
    TRY(files_mkdir_private(dir, err));
    (void)cs_buf_addf(&line, "%s\t%s\t%s\t", cs_time_text(at_us, at), event, by);
    (void)cs_text_escape(&line, cs_view_str(detail), 3000);
    (void)cs_buf_add_byte(&line, '\n');
    TRY(cs_buf_ok(&line, "an entry of the trail", err));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
    cs_status s = CS_OK;
    while (flock(fd, LOCK_EX) != 0 && s == CS_OK)
        if (errno != EINTR) s = cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
    if (s == CS_OK) s = append(fd, path, cs_buf_view(&line), err);
    (void)close(fd);
    return s;
}

/* ---- read ---- */

static cs_status read_at(int fd, const char *path, uint64_t offset, size_t most, cs_buf *b, cs_err *err) {
    uint8_t *p = cs_buf_reserve(b, most);
    if (p == NULL) return cs_buf_ok(b, path, err);
    ssize_t n = pread(fd, p, most, (off_t)offset);
    if (n < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", path);
    while (n > 0 && p[n - 1] != '\n') n--;
    cs_buf_commit(b, (size_t)n);
    return CS_OK;
}

static cs_status open_to_read(const char *state, char path[FILES_PATH_MAX], int *ret_fd, cs_err *err) {
    TRY(path_of(state, path, err));
    *ret_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return *ret_fd >= 0 ? CS_OK : cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", path);
}

cs_status trail_id(const char *state, char ret[TRAIL_ID_LEN + 1], cs_err *err) {
    CS_SCOPED(cs_buf) first = cs_buf_of(FIRST_LEN);
    char path[FILES_PATH_MAX];
    int fd = -1;
    TRY(open_to_read(state, path, &fd, err));
    cs_status s = read_at(fd, path, 0, FIRST_LEN, &first, err);
    (void)close(fd);
    TRY(s);
    if (first.n != FIRST_LEN || memcmp(first.p, FIRST, sizeof FIRST - 1) != 0)
        return cs_fail(err, CS_FAILED, CS_R_STATE_CORRUPT, "%s: its first line is not that of a trail", path);
    memcpy(ret, first.p + sizeof FIRST - 1, TRAIL_ID_LEN);
    ret[TRAIL_ID_LEN] = '\0';
    return CS_OK;
}

cs_status trail_read(const char *state, uint64_t *offset, cs_buf *b, cs_err *err) {
    char path[FILES_PATH_MAX];
    size_t had = b->n;
    int fd = -1;
    if (*offset < FIRST_LEN) *offset = FIRST_LEN;
    TRY(open_to_read(state, path, &fd, err));
    cs_status s = read_at(fd, path, *offset, TRAIL_READ_MAX, b, err);
    (void)close(fd);
    *offset += b->n - had;
    return s;
}

static cs_view cut(cs_view *line) {
    const uint8_t *tab = line->n > 0 ? memchr(line->p, '\t', line->n) : NULL;
    cs_view field = cs_view_of(line->p, tab != NULL ? (size_t)(tab - line->p) : line->n);
    size_t used = field.n + (tab != NULL);
    *line = cs_view_of(line->p + used, line->n - used);
    return field;
}

bool trail_next(cs_view *left, trail_entry *ret) {
    const uint8_t *end = left->n > 0 ? memchr(left->p, '\n', left->n) : NULL;
    cs_time at = 0;
    if (end == NULL) return false;
    cs_view line = cs_view_of(left->p, (size_t)(end - left->p)), whole = line;
    *left = cs_view_of(end + 1, left->n - line.n - 1);
    *ret = (trail_entry){.at = cut(&line)};
    ret->event = cut(&line);
    ret->by = cut(&line);
    ret->detail = line;
    bool good = cs_time_parse(ret->at, &at) && ret->event.n > 0 && ret->by.n > 0 && cs_utf8_valid(whole);
    if (!good) *ret = (trail_entry){.detail = whole};
    return true;
}
