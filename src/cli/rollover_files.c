/* The folder ca/ at each stage of a roll-over. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "cli/rollover.h"

const char *rolling_stage_name(rolling_stage s) {
    static const char *const names[] = {"given-up", "made", "published", "switched", "retired"};
    return names[s];
}

cs_status rolling_init(rolling *r, const conf *c, bool root, const char *old, const char *to, cs_err *err) {
    *r = (rolling){.conf = c, .root = root};
    TRY(conf_path(c, "ca", r->ca, err));
    TRY(files_join(r->ca, "next", r->next, err));
    TRY(files_join(r->ca, "before", r->before, err));
    TRY(files_join(r->ca, "retired", r->retired, err));
    TRY(cas_name_check(old, err));
    TRY(cas_name_check(to, err));
    (void)snprintf(r->old, sizeof r->old, "%s", old);
    (void)snprintf(r->to, sizeof r->to, "%s", to);
    if (!root) return CS_OK;
    int n = snprintf(r->new_with_old, sizeof r->new_with_old, "new-with-old-%s", to);
    (void)snprintf(r->old_with_new, sizeof r->old_with_new, "old-with-new-%s", to);
    if (n > CAS_NAME_MAX) return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "%s: too long for a root's name", to);
    return CS_OK;
}

/* ---- one CA's files, from wherever they are ---- */

static cs_status move_part(const char *from, const char *to, const char *name, const char *part, cs_err *err) {
    char was[FILES_PATH_MAX], is[FILES_PATH_MAX];
    TRY(cas_path(from, name, part, was, err));
    TRY(cas_path(to, name, part, is, err));
    if (!files_exists(was)) return CS_OK;
    CS_FAULT("rollover.move", err);
    return files_rename_new(was, is, err);
}

/* The certificate comes last and goes first: without it nobody counts the CA among those that are there. */
static cs_status place(const rolling *r, const char *name, const char *to, cs_err *err) {
    const char *const folders[] = {r->ca, r->next, r->retired};
    TRY(files_mkdir_private(to, err));
    for (size_t f = 0; f < sizeof folders / sizeof folders[0]; f++) {
        bool leaves = folders[f] == r->ca;
        if (folders[f] == to || !files_exists(folders[f])) continue;
        for (size_t i = 0; i < CA_PARTS; i++)
            TRY(move_part(folders[f], to, name, ca_parts[leaves ? i : CA_PARTS - 1 - i], err));
    }
    return CS_OK;
}

static bool is_in(const char *dir, const char *name) {
    char path[FILES_PATH_MAX];
    cs_err ignored;
    return cas_path(dir, name, "crt", path, &ignored) == CS_OK && files_exists(path);
}

/* ---- certificates of one key and name by the old root and by the next ---- */

static cs_status copy_cert(const char *from, const char *to, const char *name, cs_err *err) {
    char was[FILES_PATH_MAX], is[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) b = cs_buf_of(CS_PEM_FILE_MAX);
    TRY(cas_path(from, name, "crt", was, err));
    TRY(cas_path(to, name, "crt", is, err));
    TRY(files_read(was, CS_PEM_FILE_MAX, &b, err));
    return files_write(is, cs_buf_view(&b), 0644, FILES_REPLACE, err);
}

/* What waits in `from` takes its place in ca/; what stood there is kept in `kept`. */
static cs_status swap_in(const rolling *r, const char *from, const char *kept, const char *name, cs_err *err) {
    char path[FILES_PATH_MAX];
    TRY(files_mkdir_private(kept, err));
    if (!is_in(kept, name)) TRY(copy_cert(r->ca, kept, name, err));
    CS_FAULT("rollover.move", err);
    TRY(copy_cert(from, r->ca, name, err));
    CS_FAULT("rollover.move", err);
    TRY(cas_path(from, name, "crt", path, err));
    if (unlink(path) != 0) return cs_fail(err, CS_FAILED, CS_R_FILE_UNWRITABLE, "%s", path);
    return CS_OK;
}

/* Those of ca/ that have another certificate waiting in `from`. */
static cs_status swap_all(const rolling *r, const char *from, const char *kept, cs_err *err) {
    cas_list waiting;
    if (!files_exists(from)) return CS_OK;
    TRY(cas_list_certs(from, &waiting, err));
    for (size_t i = 0; i < waiting.n; i++)
        if (is_in(r->ca, waiting.at[i])) TRY(swap_in(r, from, kept, waiting.at[i], err));
    return CS_OK;
}

/* ---- stages ---- */

static cs_status bring(const rolling *r, rolling_stage stage, cs_err *err) {
    if (stage >= ROLLING_PUBLISHED) TRY(place(r, r->to, r->ca, err));
    if (stage <= ROLLING_SWITCHED) TRY(place(r, r->old, r->ca, err));
    if (r->root && (stage == ROLLING_PUBLISHED || stage == ROLLING_SWITCHED)) {
        TRY(place(r, r->new_with_old, r->ca, err));
        TRY(place(r, r->old_with_new, r->ca, err));
    }
    return ca_publish_trust(r->conf, err);
}

static cs_status choose(const rolling *r, rolling_stage stage, cs_err *err) {
    bool after = stage >= ROLLING_SWITCHED;
    if (!r->root) return cas_current_set(r->ca, after ? r->to : r->old, err);
    TRY(swap_all(r, after ? r->next : r->before, after ? r->before : r->next, err));
    return ca_publish_trust(r->conf, err);
}

static cs_status send_away(const rolling *r, rolling_stage stage, cs_err *err) {
    const char *const gone[] = {r->to, r->new_with_old, r->old_with_new};
    for (size_t i = 0; stage <= ROLLING_MADE && i < (r->root ? 3 : 1); i++) TRY(place(r, gone[i], r->next, err));
    if (stage == ROLLING_RETIRED) TRY(place(r, r->old, r->retired, err));
    for (size_t i = 1; stage == ROLLING_RETIRED && i < (r->root ? 3 : 1); i++) TRY(place(r, gone[i], r->retired, err));
    if (stage != ROLLING_GIVEN_UP) return CS_OK;
    TRY(files_remove_tree(r->next, err));
    return files_exists(r->before) ? files_remove_tree(r->before, err) : CS_OK;
}

cs_status rolling_apply(const rolling *r, rolling_stage stage, cs_err *err) {
    if (stage != ROLLING_GIVEN_UP && !is_in(r->ca, r->to) && !is_in(r->next, r->to))
        return cs_fail(err, CS_REFUSED, CS_R_STATE_MISSING, "neither %s nor %s has the certificate of %s", r->ca,
                       r->next, r->to);
    TRY(bring(r, stage, err));
    TRY(choose(r, stage, err));
    TRY(send_away(r, stage, err));
    return ca_publish_trust(r->conf, err);
}

cs_status rolling_is_at(const rolling *r, rolling_stage stage, bool *ret, cs_err *err) {
    char current[CAS_NAME_MAX + 1];
    cas_list waiting = {.n = 0};
    const bool gone = stage == ROLLING_GIVEN_UP, crossed = stage == ROLLING_PUBLISHED || stage == ROLLING_SWITCHED;
    *ret = is_in(r->ca, r->to) == (stage >= ROLLING_PUBLISHED) && is_in(r->ca, r->old) == (stage <= ROLLING_SWITCHED);
    if (gone) *ret = *ret && !is_in(r->next, r->to);
    if (r->root) { /* nothing waits to be put in */
        const char *from = stage >= ROLLING_SWITCHED ? r->next : r->before;
        if (files_exists(from)) TRY(cas_list_certs(from, &waiting, err));
        for (size_t i = 0; i < waiting.n; i++) *ret = *ret && !is_in(r->ca, waiting.at[i]);
        *ret = *ret && is_in(r->ca, r->new_with_old) == crossed && is_in(r->ca, r->old_with_new) == crossed;
        return CS_OK;
    }
    TRY(cas_current(r->ca, current, err));
    *ret = *ret && strcmp(current, stage >= ROLLING_SWITCHED ? r->to : r->old) == 0;
    return CS_OK;
}
