#include "audit/audit_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "io/files.h"

enum { TEXT_MAX = 512 * 1024 * 1024, DETAIL_MAX = 400, SMALL_FILE = 2 * 1024 * 1024 };

static const audit_rule rules[] = {
#define X(id, name, severity, says, fix) {name, AUDIT_##severity, says, fix},
#include "audit/rules.def"
#undef X
};
static const char *const severities[] = {"note", "low", "medium", "high", "critical"};

const audit_rule *audit_rule_of(audit_id id) {
    return &rules[id];
}

const char *audit_severity_name(audit_severity s) {
    return severities[s];
}

bool audit_severity_parse(const char *name, audit_severity *ret) {
    for (int i = 0; i < AUDIT_SEVERITIES; i++)
        if (strcmp(severities[i], name) == 0) return *ret = (audit_severity)i, true;
    return false;
}

void audit_begin(audit *a, const audit_plan *plan) {
    *a = (audit){.plan = plan, .text = cs_buf_of(TEXT_MAX)};
}

void audit_free(audit *a) {
    cs_buf_free(&a->text);
    free(a->at);
    free(a->seen);
    *a = (audit){.plan = NULL};
}

cs_status audit_keep(audit *a, const char *text, uint32_t *ret, cs_err *err) {
    *ret = (uint32_t)a->text.n;
    (void)cs_buf_add(&a->text, text, strlen(text) + 1);
    return cs_buf_ok(&a->text, "what was found", err);
}

/* FNV-1a */
static uint64_t hash(uint64_t h, const char *s) {
    for (; *s != '\0'; s++) h = (h ^ (uint8_t)*s) * 0x100000001b3;
    return (h ^ 0xff) * 0x100000001b3;
}

cs_status audit_add(audit *a, audit_id id, uint32_t file, uint32_t subject, cs_err *err, const char *fmt, ...) {
    char detail[DETAIL_MAX];
    va_list ap;
    if (a->n == AUDIT_FINDINGS_MAX) {
        a->left_out++;
        return CS_OK;
    }
    if (a->n == a->cap) {
        size_t cap = a->cap == 0 ? 64 : 2 * a->cap;
        audit_finding *more = reallocarray(a->at, cap, sizeof *more);
        if (more == NULL) return CS_NOMEM_ERR(err);
        a->at = more, a->cap = cap;
    }
    va_start(ap, fmt);
    (void)vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    audit_finding *f = &a->at[a->n];
    *f = (audit_finding){.id = id, .file = file, .subject = subject};
    TRY(audit_keep(a, detail, &f->detail, err));
    f->mark = hash(hash(hash(0xcbf29ce484222325, rules[id].name), audit_text(a, file)), audit_text(a, subject));
    a->n++;
    return CS_OK;
}

/* ---- files ---- */

static cs_status look(audit *a, int dir, const char *name, const char *path, cs_err *err) {
    struct stat st;
    uint32_t at = 0;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && errno == ELOOP) return CS_OK;
    if (++a->files % 256 == 0 && a->plan->seen != NULL) a->plan->seen(a->plan->cls, a->files);
    if (fd < 0) {
        int code = errno;
        TRY(audit_keep(a, path, &at, err));
        return audit_add(a, AUDIT_FILE_UNREADABLE, at, at, err, "%s", strerrordesc_np(code));
    }
    cs_status s = CS_OK;
    size_t n = strlen(name);
    off_t most = n > 4 && (strcmp(name + n - 4, ".crl") == 0 || strstr(name, "crl") != NULL) ? CS_CRL_MAX : SMALL_FILE;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= most) {
        CS_SCOPED(cs_buf) text = cs_buf_secret((size_t)st.st_size);
        uint8_t *p = cs_buf_reserve(&text, (size_t)st.st_size);
        ssize_t got = p != NULL ? pread(fd, p, (size_t)st.st_size, 0) : -1;
        if (got > 0) cs_buf_commit(&text, (size_t)got);
        audit_file f = {.path = path, .mode = st.st_mode, .text = cs_buf_view(&text)};
        size_t before = a->n, seen = a->seen_n, kept = a->text.n;
        if (f.text.n > 0) s = audit_keep(a, path, &f.name, err);
        if (s == CS_OK && f.text.n > 0) s = audit_look(a, &f, err);
        if (s == CS_OK && f.text.n > 0) s = audit_config(a, &f, err);
        if (a->n == before && a->seen_n == seen) a->text.n = kept; /* nobody points there */
    }
    (void)close(fd);
    return s;
}

static cs_status walk(audit *a, int fd, const char *path, unsigned depth, cs_err *err);

static cs_status enter(audit *a, DIR *dir, const struct dirent *e, const char *path, unsigned depth, cs_err *err) {
    char below[FILES_PATH_MAX];
    struct stat st;
    if (snprintf(below, sizeof below, "%s/%s", strcmp(path, "/") == 0 ? "" : path, e->d_name) >= (int)sizeof below)
        return CS_OK;
    if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || S_ISLNK(st.st_mode)) return CS_OK;
    if (S_ISREG(st.st_mode)) return look(a, dirfd(dir), e->d_name, below, err);
    if (!S_ISDIR(st.st_mode) || depth == AUDIT_DEPTH_MAX) return CS_OK;
    int fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) return walk(a, fd, below, depth + 1, err);
    uint32_t at = 0;
    int code = errno;
    TRY(audit_keep(a, below, &at, err));
    return audit_add(a, AUDIT_FILE_UNREADABLE, at, at, err, "%s", strerrordesc_np(code));
}

static cs_status walk(audit *a, int fd, const char *path, unsigned depth, cs_err *err) {
    DIR *dir = fdopendir(fd);
    const struct dirent *e = NULL;
    cs_status s = CS_OK;
    if (dir == NULL) {
        (void)close(fd);
        return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", path);
    }
    while (s == CS_OK && (e = readdir(dir)) != NULL) { // NOLINT(concurrency-mt-unsafe): the stream is ours alone
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        s = a->files < AUDIT_FILES_MAX
                ? enter(a, dir, e, path, depth, err)
                : cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s: more than %d files", path, AUDIT_FILES_MAX);
    }
    (void)closedir(dir);
    return s;
}

cs_status audit_path(audit *a, const char *path, cs_err *err) {
    struct stat st;
    if (stat(path, &st) != 0)
        return cs_fail_errno(err, errno, errno == ENOENT ? CS_R_FILE_NOT_FOUND : CS_R_FILE_UNREADABLE, "%s", path);
    if (!S_ISDIR(st.st_mode)) return look(a, AT_FDCWD, path, path, err);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNREADABLE, "%s", path);
    return walk(a, fd, path, 0, err);
}

/* ---- what spans files ---- */

static int by_key(const void *x, const void *y) {
    const audit_key *a = x, *b = y;
    int d = memcmp(a->spki, b->spki, sizeof a->spki);
    if (d != 0) return d;
    return a->is_private != b->is_private ? a->is_private - b->is_private : (a->file > b->file) - (a->file < b->file);
}

/* All of one key: certificates first, then private keys. */
static cs_status judge_key(audit *a, const audit_key *k, size_t n, cs_err *err) {
    size_t certs = 0, ca = 0;
    while (certs < n && !k[certs].is_private) ca += k[certs].is_ca, certs++;
    for (size_t i = 1; i < certs; i++)
        if (k[i].subject_hash != k[0].subject_hash && !k[i].is_ca)
            TRY(audit_add(a, AUDIT_KEY_SHARED, k[i].file, k[i].subject, err, "the same key as %.160s, %.120s",
                          audit_text(a, k[0].subject), audit_text(a, k[0].file)));
    for (size_t i = certs; i < n; i++) {
        if (certs == 0)
            TRY(audit_add(a, AUDIT_KEY_ORPHAN, k[i].file, k[i].file, err, "looked at were %zu certificates", a->certs));
        if (ca > 0)
            TRY(audit_add(a, AUDIT_KEY_OF_CA, k[i].file, k[0].subject, err, "of %.200s", audit_text(a, k[0].subject)));
        if (i > certs && k[i].file != k[certs].file)
            TRY(audit_add(a, AUDIT_KEY_COPIES, k[i].file, k[i].file, err, "also in %.300s",
                          audit_text(a, k[certs].file)));
    }
    return CS_OK;
}

static int by_severity(const void *x, const void *y) {
    const audit_finding *a = x, *b = y;
    int d = (int)rules[b->id].severity - (int)rules[a->id].severity;
    if (d != 0) return d;
    if (a->id != b->id) return (int)a->id - (int)b->id;
    return (a->file > b->file) - (a->file < b->file);
}

cs_status audit_end(audit *a, cs_err *err) {
    if (a->seen_n > 0) qsort(a->seen, a->seen_n, sizeof *a->seen, by_key);
    for (size_t i = 0, n = 1; i < a->seen_n; i += n) {
        for (n = 1; i + n < a->seen_n && memcmp(a->seen[i].spki, a->seen[i + n].spki, 32) == 0; n++) {
        }
        TRY(judge_key(a, &a->seen[i], n, err));
    }
    if (a->n > 0) qsort(a->at, a->n, sizeof *a->at, by_severity);
    return CS_OK;
}

unsigned audit_score(const audit *a, audit_severity *ret_worst) {
    static const unsigned cost[] = {0, 1, 4, 12, 40};
    size_t total = 0;
    *ret_worst = AUDIT_NOTE;
    for (size_t i = 0; i < a->n; i++) {
        audit_severity s = rules[a->at[i].id].severity;
        total += cost[s];
        if (s > *ret_worst) *ret_worst = s;
    }
    return total >= 100 ? 0 : 100 - (unsigned)total;
}
