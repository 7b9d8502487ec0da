#include "renew/install.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "x509/p12.h"
#include "x509/pem.h"

typedef struct pair {
    cs_key *key;
    cs_certs certs, ca;
} pair;

static void pair_free(pair *p) {
    cs_key_free(p->key);
    cs_certs_free(&p->certs);
    cs_certs_free(&p->ca);
}

typedef struct place {
    const renew_file *file;
    uid_t uid;
    gid_t gid;
    mode_t mode;
    char temp[FILES_PATH_MAX]; /* "": it is as it should be */
} place;

/* ---- what goes into it ---- */

static cs_status put_p12(const renew_identity *id, const renew_file *f, const pair *p, cs_buf *b, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_secret(CS_PASSPHRASE_MAX + 2);
    CS_AUTO(cs_secret) password = NULL;
    cs_certs chain = {p->certs.at + 1, p->certs.n - 1};
    TRY(files_read_private(f->password_file, CS_PASSPHRASE_MAX, &text, err));
    cs_view v = cs_view_trim(cs_buf_view(&text));
    TRY(cs_secret_new(v.n + 1, &password, err));
    memcpy(password->p, v.p, v.n);
    password->n = v.n;
    return cs_p12_make(p->key, p->certs.at[0], &chain, id->name, password, CS_P12_MODERN, b, err);
}

static cs_status content(const renew_identity *id, const renew_file *f, const pair *p, cs_buf *b, cs_err *err) {
    bool leaf = f->what == RENEW_WHAT_CERTIFICATE || f->what == RENEW_WHAT_FULLCHAIN || f->what == RENEW_WHAT_COMBINED;
    bool rest = f->what == RENEW_WHAT_CHAIN || f->what == RENEW_WHAT_FULLCHAIN || f->what == RENEW_WHAT_COMBINED;
    if (f->what == RENEW_WHAT_P12) return put_p12(id, f, p, b, err);
    if (leaf) (void)cs_pem_add_cert(b, p->certs.at[0]);
    for (size_t i = 1; rest && i < p->certs.n; i++) (void)cs_pem_add_cert(b, p->certs.at[i]);
    for (size_t i = 0; f->what == RENEW_WHAT_CA && i < p->ca.n; i++) (void)cs_pem_add_cert(b, p->ca.at[i]);
    if (f->what == RENEW_WHAT_KEY || f->what == RENEW_WHAT_COMBINED) TRY(cs_key_write_pem(p->key, b, err));
    return cs_buf_ok(b, f->path, err);
}

static bool has_key(const renew_file *f) {
    return f->what == RENEW_WHAT_KEY || f->what == RENEW_WHAT_COMBINED || f->what == RENEW_WHAT_P12;
}

/* ---- whose it is ---- */

static cs_status owner_of(place *at, cs_err *err) {
    const renew_file *f = at->file;
    char space[8192];
    struct passwd pw, *user = NULL;
    struct group gr, *group = NULL;
    at->uid = (uid_t)-1;
    at->gid = (gid_t)-1;
    at->mode = f->mode != 0 ? (mode_t)f->mode : has_key(f) ? 0600 : 0644;
    if (f->owner != NULL) {
        if (getpwnam_r(f->owner, &pw, space, sizeof space, &user) != 0 || user == NULL)
            return cs_fail(err, CS_REFUSED, CS_R_PERMISSION_DENIED, "%s: there is no user %.64s", f->path, f->owner);
        at->uid = user->pw_uid;
    }
    if (f->group != NULL) {
        if (getgrnam_r(f->group, &gr, space, sizeof space, &group) != 0 || group == NULL)
            return cs_fail(err, CS_REFUSED, CS_R_PERMISSION_DENIED, "%s: there is no group %.64s", f->path, f->group);
        at->gid = group->gr_gid;
    }
    return CS_OK;
}

/* A P12 is never the same twice (salts): it is compared by what it was made of, which the other files say; alone, it is
 * written anew. */
static bool is_so(const place *at, cs_view bytes) {
    struct stat st;
    cs_err ignored;
    CS_SCOPED(cs_buf) there = cs_buf_secret(CS_PEM_FILE_MAX);
    if (lstat(at->file->path, &st) != 0 || !S_ISREG(st.st_mode)) return false;
    if ((st.st_mode & 07777) != at->mode || (at->uid != (uid_t)-1 && st.st_uid != at->uid) ||
        (at->gid != (gid_t)-1 && st.st_gid != at->gid))
        return false;
    return files_read(at->file->path, CS_PEM_FILE_MAX, &there, &ignored) == CS_OK &&
           cs_view_eq_consttime(cs_buf_view(&there), bytes);
}

/* ---- beside it, then in its place ---- */

static cs_status fill(int fd, const place *at, cs_view bytes, cs_err *err) {
    const char *path = at->file->path;
    for (size_t done = 0; done < bytes.n;) {
        ssize_t n = write(fd, bytes.p + done, bytes.n - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
        done += (size_t)n;
    }
    if ((at->uid != (uid_t)-1 || at->gid != (gid_t)-1) && fchown(fd, at->uid, at->gid) != 0)
        return cs_fail_errno(err, errno, CS_R_PERMISSION_DENIED, "%s: its owner", path);
    if (fchmod(fd, at->mode) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
    if (fsync(fd) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
    return CS_OK;
}

static cs_status write_beside(place *at, cs_view bytes, cs_err *err) {
    const char *path = at->file->path, *slash = strrchr(path, '/');
    int n = snprintf(at->temp, sizeof at->temp, "%.*s/.%s.agent-new", (int)(slash - path), path, slash + 1);
    if (n < 0 || n >= (int)sizeof at->temp) {
        at->temp[0] = '\0';
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "the path %.80s...", path);
    }
    (void)unlink(at->temp); /* of an agent that lost its power here */
    int fd = open(at->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        at->temp[0] = '\0';
        return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
    }
    cs_status s = fill(fd, at, bytes, err);
    (void)close(fd);
    return s;
}

static cs_status make(const renew_identity *id, const pair *p, place *at, cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_secret(CS_PEM_FILE_MAX);
    TRY(owner_of(at, err));
    TRY(content(id, at->file, p, &b, err));
    if (b.n == 0 && at->file->what != RENEW_WHAT_CHAIN)
        return cs_fail(err, CS_FAILED, CS_R_FILE_EMPTY, "nothing is there for %s", at->file->path);
    if (is_so(at, cs_buf_view(&b))) return CS_OK;
    return write_beside(at, cs_buf_view(&b), err);
}

static cs_status sync_folder(const char *path, cs_err *err) {
    char dir[FILES_PATH_MAX];
    const char *slash = strrchr(path, '/');
    (void)snprintf(dir, sizeof dir, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return files_sync_all(dir, err);
}

static cs_status replace_all(place *all, size_t n, cs_err *err) {
    for (size_t i = 0; i < n; i++) {
        if (all[i].temp[0] == '\0') continue;
        if (rename(all[i].temp, all[i].file->path) != 0)
            return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", all[i].file->path);
        all[i].temp[0] = '\0';
        CS_FAULT("agent-half-installed", err);
    }
    for (size_t i = 0; i < n; i++) TRY(sync_folder(all[i].file->path, err));
    return CS_OK;
}

static cs_status load(const renew_store *st, int slot, pair *p, cs_err *err) {
    TRY(renew_store_key(st, slot, &p->key, err));
    TRY(renew_store_certs(st, slot, "cert.pem", &p->certs, err));
    TRY(renew_store_certs(st, slot, "ca.pem", &p->ca, err));
    return cs_key_match(p->key, p->certs.at[0]->spki, "the slot's key", err);
}

cs_status renew_install(const renew_identity *id, const renew_store *st, int slot, bool *ret_changed, cs_err *err) {
    CS_SCOPED(pair) p = {.key = NULL};
    place all[RENEW_FILES_MAX];
    cs_status s = load(st, slot, &p, err);
    *ret_changed = false;
    if (s != CS_OK) return s;
    memset(all, 0, sizeof all);
    for (size_t i = 0; i < id->file_count && s == CS_OK; i++) {
        all[i].file = &id->files[i];
        s = make(id, &p, &all[i], err);
        if (all[i].temp[0] != '\0') *ret_changed = true;
    }
    if (s == CS_OK) CS_FAULT("agent-before-install", err);
    if (s == CS_OK) s = replace_all(all, id->file_count, err);
    for (size_t i = 0; i < id->file_count; i++)
        if (all[i].temp[0] != '\0') (void)unlink(all[i].temp);
    if (s == CS_OK) s = renew_store_point(st, slot, err);
    return s;
}
