#include "cli/bulk.h"
#include "cli/ca_root.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/issuing.h"
#include "cli/labels.h"
#include "cli/progress.h"
#include "cli/tarball.h"
#include "x509/csr.h"
#include "x509/digest.h"
#include "x509/p12.h"
#include "x509/pem.h"

enum { BATCH = 64, BODY_MAX = 200 * 1024, RUN_HEX = 32, SAID_MAX = 20 };
/* While a run is not at its end: its name, keys whose certificate is not there yet, files on their way. */
#define RUN_DIR ".countersign-fleet"

/* One row on its way. */
typedef struct item {
    fleet_row row;
    char crt[FILES_PATH_MAX], key[FILES_PATH_MAX], p12[FILES_PATH_MAX], password[FILES_PATH_MAX];
    char staged[FILES_PATH_MAX]; /* where the key is until its certificate is there; "": it stays where it is */
    cs_key *made;
    cs_buf csr_pem;
} item;

typedef struct bulk {
    const bulk_ask *ask;
    session *session;
    fleet *fleet;
    char run[RUN_HEX + 1], dir[FILES_PATH_MAX];
    bool resumed;
    bool *skip; /* by row: bad, and told */
    item *items;
    size_t n;
    bool wrote; /* keys that have not been synced */
    bulk_made *made;
} bulk;

static void item_free(item *it) {
    fleet_row_free(&it->row);
    cs_key_free(CS_TAKE(it->made));
    cs_buf_free(&it->csr_pem);
}

static void bulk_free(bulk *b) {
    for (size_t i = 0; i < b->n; i++) item_free(&b->items[i]);
    free(b->items);
    free(b->skip);
    fleet_free(b->fleet);
}

/* ---- bad rows ---- */

static void tell_bad(bulk *b, unsigned line, const char *name, const cs_err *why) {
    const cs_reason_info *r = cs_reason_of(why->reason);
    cs_json j = cs_json_to(&b->made->bad_json);
    if (b->made->bad++ > 0) (void)cs_buf_add_byte(&b->made->bad_json, ',');
    cs_json_object(&j, NULL);
    cs_json_int(&j, "line", line);
    cs_json_str(&j, "name", name);
    cs_json_str(&j, "reason", r->name);
    cs_json_str(&j, "detail", why->detail);
    cs_json_object_end(&j);
    if (b->ask->keep_going || b->made->bad <= SAID_MAX)
        (void)fprintf(stderr, "countersign issue: %s: %s (%s): %s\n", b->ask->from, r->says, r->name, why->detail);
}

/* ---- judged before anything is asked for ---- */

typedef struct stem_line {
    uint8_t hash[CS_SHA256_LEN];
    size_t i;
} stem_line;

static int by_hash(const void *a, const void *b) {
    const stem_line *x = a, *y = b;
    int c = memcmp(x->hash, y->hash, sizeof x->hash);
    return c != 0 ? c : x->i < y->i ? -1 : x->i > y->i;
}

/* Two rows of one name would write the same files. */
static void tell_twice(bulk *b, stem_line *seen, size_t n) {
    qsort(seen, n, sizeof *seen, by_hash);
    for (size_t i = 1; i < n; i++) {
        cs_err why;
        if (memcmp(seen[i].hash, seen[i - 1].hash, sizeof seen[i].hash) != 0) continue;
        (void)cs_fail(&why, CS_REFUSED, CS_R_FILE_MALFORMED, "line %u: the same name as in line %u",
                      fleet_line(b->fleet, seen[i].i), fleet_line(b->fleet, seen[i - 1].i));
        b->skip[seen[i].i] = true;
        tell_bad(b, fleet_line(b->fleet, seen[i].i), NULL, &why);
    }
}

static cs_status check_csr(const char *path, cs_buf *pem, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of((size_t)CS_CSR_MAX * 2);
    CS_AUTO(cs_csr) csr = NULL;
    TRY(files_read(path, (size_t)CS_CSR_MAX * 2, &text, err));
    TRY(cs_csr_read(cs_buf_view(&text), path, &csr, err));
    (void)cs_pem_add(pem, CS_PEM_CSR, csr->der);
    return cs_buf_ok(pem, path, err);
}

static cs_status check_row(const bulk *b, size_t i, stem_line *ret, cs_err *err) {
    CS_SCOPED(fleet_row) row = {.line = 0};
    char stem[ISSUE_STEM_MAX];
    TRY(fleet_row_read(b->fleet, i, &row, err));
    issue_stem(row.who.name, stem);
    ret->i = i;
    TRY(cs_sha256(cs_view_str(stem), ret->hash, err));
    if (row.csr == NULL) return CS_OK;
    if (b->ask->p12)
        return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "line %u: PKCS#12 needs the private key, and csr has none",
                       row.line);
    CS_SCOPED(cs_buf) pem = cs_buf_of((size_t)CS_CSR_MAX * 2);
    if (check_csr(row.csr, &pem, err) != CS_OK) return cs_fail_in(err, "line %u", row.line);
    return CS_OK;
}

static cs_status check_all(bulk *b, cs_err *err) {
    size_t n = fleet_count(b->fleet), k = 0;
    stem_line *seen = calloc(n, sizeof *seen);
    if (seen == NULL) return CS_NOMEM_ERR(err);
    for (size_t i = 0; i < n; i++) {
        cs_err why;
        if (check_row(b, i, &seen[k], &why) == CS_OK) {
            k++;
            continue;
        }
        b->skip[i] = true;
        tell_bad(b, fleet_line(b->fleet, i), NULL, &why);
    }
    tell_twice(b, seen, k);
    free(seen);
    if (b->made->bad == 0 || b->ask->keep_going) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "%s: %zu of %zu rows are bad, nothing was issued",
                   b->ask->from, b->made->bad, n);
}

/* ---- the run ---- */

static cs_status open_run(bulk *b, cs_err *err) {
    char path[FILES_PATH_MAX];
    uint8_t random[RUN_HEX / 2];
    CS_SCOPED(cs_buf) text = cs_buf_of(RUN_HEX);
    TRY(files_mkdir(b->ask->out, err));
    TRY(files_dir_writable(b->ask->out, err));
    TRY(files_join(b->ask->out, RUN_DIR, b->dir, err));
    TRY(files_mkdir_private(b->dir, err));
    TRY(files_join(b->dir, "run", path, err));
    if (files_exists(path)) {
        TRY(files_read(path, RUN_HEX, &text, err));
        (void)snprintf(b->run, sizeof b->run, "%s", cs_buf_cstr(&text));
        b->resumed = true;
        return CS_OK;
    }
    TRY(cs_rng_fill(cs_rng_system(), random, sizeof random, err));
    return files_write(path, cs_view_str(cs_hex(cs_view_of(random, sizeof random), b->run)), 0600, FILES_NEW, err);
}

static cs_status close_run(const bulk *b, cs_err *err) {
    TRY(files_sync_all(b->ask->out, err));
    return files_remove_tree(b->dir, err);
}

static cs_status join(const char *dir, const char *stem, const char *suffix, char out[FILES_PATH_MAX], cs_err *err) {
    char name[ISSUE_STEM_MAX + 32];
    (void)snprintf(name, sizeof name, "%s%s", stem, suffix);
    return files_join(dir, name, out, err);
}

/* Whole, as far as a power cut could have cut it: files are written in one go. */
static bool is_there(const char *path) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
    cs_err ignored;
    return files_exists(path) && files_read(path, CS_PEM_FILE_MAX, &text, &ignored) == CS_OK;
}

static cs_status name_files(const bulk *b, item *it, cs_err *err) {
    char stem[ISSUE_STEM_MAX];
    issue_stem(it->row.who.name, stem);
    TRY(join(b->ask->out, stem, ".crt", it->crt, err));
    TRY(join(b->ask->out, stem, ".key", it->key, err));
    TRY(join(b->ask->out, stem, ".p12", it->p12, err));
    TRY(join(b->ask->out, stem, ".p12.password", it->password, err));
    return it->row.csr == NULL ? join(b->dir, stem, ".key", it->staged, err) : CS_OK;
}

static bool is_done(const bulk *b, const item *it) {
    if (b->ask->p12) return is_there(it->p12) && is_there(it->password);
    return is_there(it->crt) && (it->row.csr != NULL || is_there(it->key));
}

/* What another run or hand put there is not ours to replace. */
static cs_status refuse_strangers(const bulk *b, const item *it, cs_err *err) {
    const char *const paths[] = {b->ask->p12 ? it->p12 : it->crt, b->ask->p12 || it->row.csr != NULL ? NULL : it->key};
    for (size_t i = 0; i < 2 && !b->resumed; i++)
        if (paths[i] != NULL && files_exists(paths[i]))
            return cs_fail(err, CS_REFUSED, CS_R_FILE_EXISTS, "line %u: %s", it->row.line, paths[i]);
    return CS_OK;
}

static cs_status read_key(item *it, const char *path, cs_err *err) {
    CS_SCOPED(cs_buf) pem = cs_buf_secret(CS_KEY_FILE_MAX);
    TRY(files_read_private(path, CS_KEY_FILE_MAX, &pem, err));
    return cs_key_read_pem(cs_buf_view(&pem), NULL, path, &it->made, err);
}

/* The key of an earlier try, or a new one, written before anybody certifies it. */
static cs_status get_key(bulk *b, item *it, cs_err *err) {
    if (b->resumed && !b->ask->p12 && is_there(it->key)) {
        it->staged[0] = '\0';
        return read_key(it, it->key, err);
    }
    if (b->resumed && is_there(it->staged)) return read_key(it, it->staged, err);
    CS_SCOPED(cs_buf) pem = cs_buf_secret(CS_KEY_FILE_MAX);
    TRY(cs_key_generate(it->row.spec, &it->made, err));
    TRY(cs_key_write_pem(it->made, &pem, err));
    b->wrote = true;
    return files_write_unsynced(it->staged, cs_buf_view(&pem), 0600, FILES_REPLACE, err);
}

static cs_status prepare(bulk *b, item *it, cs_err *err) {
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_CSR_MAX);
    TRY(refuse_strangers(b, it, err));
    if (it->row.csr != NULL) return check_csr(it->row.csr, &it->csr_pem, err);
    TRY(get_key(b, it, err));
    TRY(cs_csr_make(it->made, NULL, NULL, 0, &der, err));
    (void)cs_pem_add(&it->csr_pem, CS_PEM_CSR, cs_buf_view(&der));
    return cs_buf_ok(&it->csr_pem, "request", err);
}

/* ---- a batch ---- */

static cs_status idempotency_key(const bulk *b, const item *it, char out[2 * CS_SHA256_LEN + 1], cs_err *err) {
    char text[RUN_HEX + CS_IDENTITY_NAME_MAX + 32];
    uint8_t hash[CS_SHA256_LEN];
    (void)snprintf(text, sizeof text, "%s %s %s", b->run, cs_kind_name(it->row.who.kind), it->row.who.name);
    TRY(cs_sha256(cs_view_str(text), hash, err));
    (void)cs_hex(cs_view_of(hash, sizeof hash), out);
    return CS_OK;
}

static cs_status make_body(bulk *b, json_t **ret, cs_err *err) {
    json_t *list = json_array();
    *ret = json_pack("{s:o}", "requests", list);
    if (*ret == NULL) return CS_NOMEM_ERR(err);
    for (size_t i = 0; i < b->n; i++) {
        char key[2 * CS_SHA256_LEN + 1];
        item *it = &b->items[i];
        TRY(idempotency_key(b, it, key, err));
        if (json_object_set_new(it->row.ask, "csr", json_string(cs_buf_cstr(&it->csr_pem))) != 0 ||
            json_object_set_new(it->row.ask, "idempotency_key", json_string(key)) != 0 ||
            json_array_append(list, it->row.ask) != 0)
            return CS_NOMEM_ERR(err);
    }
    return CS_OK;
}

/* Whole under its name, or not at all. */
static cs_status put(const bulk *b, const char *path, cs_view bytes, mode_t mode, cs_err *err) {
    char staged[FILES_PATH_MAX];
    TRY(files_join(b->dir, strrchr(path, '/') + 1, staged, err));
    TRY(files_write_unsynced(staged, bytes, mode, FILES_REPLACE, err));
    if (rename(staged, path) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", path);
    return CS_OK;
}

static cs_status write_p12(const bulk *b, item *it, const cs_certs *chain, cs_err *err) {
    CS_SCOPED(cs_buf) der = cs_buf_secret(CS_P12_MAX), line = cs_buf_secret(256);
    CS_AUTO(cs_secret) password = NULL;
    char friendly[ISSUE_FRIENDLY_MAX];
    cs_certs rest = {.at = chain->at + 1, .n = chain->n - 1};
    TRY(cs_password_draw(cs_rng_system(), &password, err));
    TRY(cs_p12_make(it->made, chain->at[0], &rest, issue_friendly(it->row.who.name, chain->at[0], friendly), password,
                    b->ask->modern ? CS_P12_MODERN : CS_P12_COMPAT, &der, err));
    (void)cs_buf_add_view(&line, cs_secret_view(password));
    (void)cs_buf_add_byte(&line, '\n');
    TRY(put(b, it->password, cs_buf_view(&line), 0600, err));
    TRY(put(b, it->p12, cs_buf_view(&der), 0600, err));
    (void)unlink(it->staged);
    return CS_OK;
}

static cs_status finish(const bulk *b, item *it, const json_t *answer, cs_err *err) {
    CS_SCOPED(cs_certs) chain = {NULL, 0};
    const char *pem = json_text(answer, "chain");
    TRY(cs_certs_read(cs_view_str(pem), "the authority's answer", &chain, err));
    if (it->made != NULL) TRY(cs_key_match(it->made, chain.at[0]->spki, "the authority's answer", err));
    if (b->ask->p12) return write_p12(b, it, &chain, err);
    if (it->staged[0] != '\0' && it->row.csr == NULL && rename(it->staged, it->key) != 0)
        return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", it->key);
    return put(b, it->crt, cs_view_str(pem), 0644, err);
}

/* The authority's word on one: a refusal is the row's, unless the authority itself is in trouble. */
static cs_status take_answer(bulk *b, item *it, const json_t *answer, cs_err *err) {
    cs_reason reason = cs_reason_by_name(json_text(answer, "reason"));
    if (reason == CS_R_NONE) {
        TRY(finish(b, it, answer, err));
        b->made->issued++;
        return CS_OK;
    }
    cs_status s = cs_fail(err, CS_REFUSED, reason, "line %u: %s", it->row.line, json_text(answer, "detail"));
    if (cs_reason_of(reason)->http >= 500) return s; /* tried again with the next run */
    if (it->staged[0] != '\0') (void)unlink(it->staged);
    tell_bad(b, it->row.line, it->row.who.name, err);
    return CS_OK;
}

static cs_status send_batch(bulk *b, cs_err *err) {
    json_t *body = NULL, *answer = NULL;
    if (b->n == 0) return CS_OK;
    cs_status s = b->wrote ? files_sync_all(b->ask->out, err) : CS_OK;
    b->wrote = false;
    if (s == CS_OK) s = make_body(b, &body, err);
    if (s == CS_OK) s = session_call(b->session, "POST", "/api/v1/certificates/batch", body, true, &answer, err);
    const json_t *results = json_object_get(answer, "results");
    if (s == CS_OK && json_array_size(results) != b->n)
        s = cs_fail(err, CS_FAILED, CS_R_MESSAGE_MALFORMED, "the authority answered %zu of %zu requests",
                    json_array_size(results), b->n);
    for (size_t i = 0; s == CS_OK && i < b->n; i++) s = take_answer(b, &b->items[i], json_array_get(results, i), err);
    json_decref(body);
    json_decref(answer);
    for (size_t i = 0; i < b->n; i++) item_free(&b->items[i]);
    b->n = 0;
    if (s == CS_OK && b->made->bad > 0 && !b->ask->keep_going)
        s = cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED,
                    "%s: the authority refused a row; the same command goes on when that is mended", b->ask->from);
    return s;
}

/* Into the batch, unless it is done. */
static cs_status add_row(bulk *b, size_t i, cs_err *err) {
    item *it = &b->items[b->n];
    bool done = false;
    *it = (item){.csr_pem = cs_buf_of((size_t)CS_CSR_MAX * 2)};
    cs_status s = fleet_row_read(b->fleet, i, &it->row, err);
    if (s == CS_OK) s = name_files(b, it, err);
    if (s == CS_OK) done = is_done(b, it);
    if (s == CS_OK && !done) s = prepare(b, it, err);
    if (s == CS_OK && !done) {
        b->n++;
        return CS_OK;
    }
    if (done) b->made->there++;
    item_free(it);
    if (s != CS_REFUSED || !b->ask->keep_going) return s;
    tell_bad(b, fleet_line(b->fleet, i), NULL, err);
    return CS_OK;
}

static size_t body_size(const bulk *b) {
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) n += b->items[i].csr_pem.n + 1024;
    return n;
}

static cs_status issue_all(bulk *b, cs_err *err) {
    size_t n = fleet_count(b->fleet);
    progress p = progress_begin("certificates", n);
    cs_status s = CS_OK;
    for (size_t i = 0; s == CS_OK && i < n; i++) {
        progress_at(&p, i);
        if (b->skip[i]) continue;
        s = add_row(b, i, err);
        if (s == CS_OK && (b->n == BATCH || body_size(b) > BODY_MAX)) s = send_batch(b, err);
    }
    if (s == CS_OK) s = send_batch(b, err);
    progress_end(&p);
    return s;
}

static cs_status write_ca(const bulk *b, const conf *c, cs_err *err) {
    char root[FILES_PATH_MAX], ca[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) pem = cs_buf_of(CS_PEM_FILE_MAX);
    TRY(ca_trust_path(c, root, err));
    TRY(files_join(b->ask->out, "ca.pem", ca, err));
    TRY(files_read(root, CS_PEM_FILE_MAX, &pem, err));
    return files_write(ca, cs_buf_view(&pem), 0644, FILES_REPLACE, err);
}

static cs_status pack(const bulk *b, cs_err *err) {
    static const char *const suffixes[] = {".crt", ".key", ".p12", ".p12.password"};
    CS_AUTO(tarball) a = NULL;
    TRY(tarball_new(b->ask->archive, &a, err));
    TRY(tarball_add(a, b->ask->out, "ca.pem", err));
    for (size_t i = 0; i < fleet_count(b->fleet); i++) {
        CS_SCOPED(fleet_row) row = {.line = 0};
        char stem[ISSUE_STEM_MAX], name[ISSUE_STEM_MAX + 32];
        if (b->skip[i]) continue;
        TRY(fleet_row_read(b->fleet, i, &row, err));
        issue_stem(row.who.name, stem);
        for (size_t k = b->ask->p12 ? 2 : 0; k < (b->ask->p12 ? 4U : 2U); k++) {
            char path[FILES_PATH_MAX];
            (void)snprintf(name, sizeof name, "%s%s", stem, suffixes[k]);
            TRY(files_join(b->ask->out, name, path, err));
            if (files_exists(path)) TRY(tarball_add(a, b->ask->out, name, err));
        }
    }
    return tarball_close(a, err);
}

/* ---- labels ---- */

static cs_status add_label(const bulk *b, const conf *c, size_t i, cs_buf *sheet, cs_err *err) {
    CS_SCOPED(fleet_row) row = {.line = 0};
    CS_SCOPED(cs_buf) pem = cs_buf_of(CS_PEM_FILE_MAX), svg = cs_buf_of(256 * 1024);
    CS_SCOPED(cs_certs) chain = {NULL, 0};
    char stem[ISSUE_STEM_MAX], name[ISSUE_STEM_MAX + 8], path[FILES_PATH_MAX];
    TRY(fleet_row_read(b->fleet, i, &row, err));
    issue_stem(row.who.name, stem);
    TRY(join(b->ask->out, stem, ".crt", path, err));
    if (!files_exists(path)) return CS_OK; /* it was refused, and told */
    TRY(files_read(path, CS_PEM_FILE_MAX, &pem, err));
    TRY(cs_certs_read(cs_buf_view(&pem), path, &chain, err));
    const label l = {.kind = row.who.kind, .name = row.who.name, .cert = chain.at[0], .url = c->public_url};
    TRY(label_svg(&l, &svg, err));
    (void)snprintf(name, sizeof name, "%s.svg", stem);
    TRY(files_join(b->ask->labels, name, path, err));
    TRY(files_write_unsynced(path, cs_buf_view(&svg), 0644, FILES_REPLACE, err));
    label_sheet_add(sheet, name);
    return cs_buf_ok(sheet, "the sheet of labels", err);
}

static cs_status write_labels(const bulk *b, const conf *c, cs_err *err) {
    CS_SCOPED(cs_buf) sheet = cs_buf_of((size_t)64 * 1024 * 1024);
    char path[FILES_PATH_MAX];
    TRY(files_mkdir(b->ask->labels, err));
    label_sheet_begin(&sheet);
    for (size_t i = 0; i < fleet_count(b->fleet); i++)
        if (!b->skip[i]) TRY(add_label(b, c, i, &sheet, err));
    TRY(files_join(b->ask->labels, "labels.html", path, err));
    TRY(files_write_unsynced(path, cs_buf_view(&sheet), 0644, FILES_REPLACE, err));
    return files_sync_all(b->ask->labels, err);
}

cs_status bulk_run(const bulk_ask *ask, const conf *c, session *s, bulk_made *ret, cs_err *err) {
    CS_SCOPED(bulk) b = {.ask = ask, .session = s, .made = ret};
    *ret = (bulk_made){.bad_json = cs_buf_of((size_t)64 * 1024 * 1024)};
    if (ask->archive != NULL && files_exists(ask->archive))
        return cs_fail(err, CS_REFUSED, CS_R_FILE_EXISTS, "%s", ask->archive);
    TRY(fleet_open(ask->from, ask->kind, &b.fleet, err));
    ret->rows = fleet_count(b.fleet);
    b.items = calloc(BATCH, sizeof *b.items);
    b.skip = calloc(ret->rows, sizeof *b.skip);
    if (b.items == NULL || b.skip == NULL) return CS_NOMEM_ERR(err);
    TRY(check_all(&b, err));
    TRY(open_run(&b, err));
    TRY(write_ca(&b, c, err));
    TRY(issue_all(&b, err));
    if (ask->labels != NULL) TRY(write_labels(&b, c, err));
    TRY(close_run(&b, err));
    return ask->archive != NULL ? pack(&b, err) : CS_OK;
}
