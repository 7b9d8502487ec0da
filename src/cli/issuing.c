#include "cli/issuing.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <jansson.h>

#include "base/text.h"
#include "cli/ca_root.h"
#include "cli/session.h"
#include "x509/csr.h"
#include "x509/p12.h"
#include "x509/pem.h"

/* What is made on the way from the ask to the files. */
typedef struct work {
    const issue_ask *ask;
    const conf *conf;
    char crt[FILES_PATH_MAX], key[FILES_PATH_MAX], ca[FILES_PATH_MAX], staged[FILES_PATH_MAX];
    char proof[FILES_PATH_MAX];
    cs_buf root_pem; /* of ca/root.crt */
    bool ca_there;   /* ca.pem is there already with the right content */
    cs_key *made_key;
    cs_buf csr_pem, key_pem;
    json_t *answer;
    cs_certs chain; /* leaf first */
    cs_secret *password;
} work;

static void work_free(work *w) {
    if (w->staged[0] != '\0') (void)unlink(w->staged);
    cs_buf_free(&w->root_pem);
    cs_buf_free(&w->csr_pem);
    cs_buf_free(&w->key_pem);
    cs_key_free(w->made_key);
    json_decref(w->answer);
    cs_certs_free(&w->chain);
    cs_secret_free(w->password);
}

void issue_made_free(issue_made *m) {
    cs_secret_free(m->password);
    m->password = NULL;
}

/* ---- before anything is asked for ---- */

void issue_stem(const char *name, char out[ISSUE_STEM_MAX]) {
    (void)snprintf(out, ISSUE_STEM_MAX, "%s", name);
    for (char *p = out; *p != '\0'; p++)
        if (*p == '/' || *p == '*' || (unsigned char)*p < 0x20) *p = '_';
    if (out[0] == '.' || out[0] == '-') out[0] = '_';
}

static void stem_of(const issue_ask *ask, char out[ISSUE_STEM_MAX]) {
    issue_stem(ask->stem != NULL ? ask->stem : ask->name, out);
}

static cs_status free_or_forced(const issue_ask *ask, const char *path, cs_err *err) {
    if (ask->force || !files_exists(path)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_FILE_EXISTS, "%s (--force replaces it)", path);
}

static cs_status parent_writable(const char *path, cs_err *err) {
    char dir[FILES_PATH_MAX];
    const char *slash = strrchr(path, '/');
    (void)snprintf(dir, sizeof dir, "%.*s",
                   slash == NULL   ? 1
                   : slash == path ? 1
                                   : (int)(slash - path),
                   slash == NULL ? "." : path);
    return files_dir_writable(dir, err);
}

static cs_status check_ca_file(work *w, cs_err *err) {
    char root[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) there = cs_buf_of(CS_PEM_FILE_MAX);
    TRY(ca_trust_path(w->conf, root, err));
    TRY(files_read(root, CS_PEM_FILE_MAX, &w->root_pem, err));
    if (w->ask->no_ca || !files_exists(w->ca)) return CS_OK;
    TRY(files_read(w->ca, CS_PEM_FILE_MAX, &there, err));
    w->ca_there = cs_view_eq(cs_buf_view(&there), cs_buf_view(&w->root_pem));
    return w->ca_there ? CS_OK : free_or_forced(w->ask, w->ca, err);
}

static cs_status check_outputs(work *w, cs_err *err) {
    const issue_ask *ask = w->ask;
    char stem[ISSUE_STEM_MAX], name[ISSUE_STEM_MAX + 16];
    stem_of(ask, stem);
    (void)snprintf(name, sizeof name, "%s.crt", stem);
    TRY(files_join(ask->out, name, w->crt, err));
    (void)snprintf(name, sizeof name, "%s.key", stem);
    TRY(files_join(ask->out, name, w->key, err));
    (void)snprintf(name, sizeof name, "%s.proof.json", stem);
    TRY(files_join(ask->out, name, w->proof, err));
    TRY(files_join(ask->out, "ca.pem", w->ca, err));
    TRY(files_mkdir(ask->out, err));
    TRY(files_dir_writable(ask->out, err));
    if (!ask->no_pem) TRY(free_or_forced(ask, w->crt, err));
    if (!ask->no_pem && ask->csr == NULL) TRY(free_or_forced(ask, w->key, err));
    if (ask->proof) TRY(free_or_forced(ask, w->proof, err));
    if (ask->p12 != NULL) {
        TRY(free_or_forced(ask, ask->p12, err));
        TRY(parent_writable(ask->p12, err));
    }
    if (ask->password_file != NULL) {
        TRY(free_or_forced(ask, ask->password_file, err));
        TRY(parent_writable(ask->password_file, err));
    }
    return check_ca_file(w, err);
}

/* ---- key and request ---- */

static cs_status make_key_and_csr(work *w, cs_err *err) {
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_CSR_MAX);
    TRY(cs_key_generate(w->ask->spec, &w->made_key, err));
    TRY(cs_key_write_pem(w->made_key, &w->key_pem, err));
    TRY(cs_csr_make(w->made_key, NULL, NULL, 0, &der, err));
    (void)cs_pem_add(&w->csr_pem, CS_PEM_CSR, cs_buf_view(&der));
    TRY(cs_buf_ok(&w->csr_pem, "request", err));
    if (w->ask->no_pem) return CS_OK;
    /* on disk before the certificate exists: whoever holds one must not find that its key was never written */
    char name[ISSUE_STEM_MAX + 16], stem[ISSUE_STEM_MAX];
    stem_of(w->ask, stem);
    (void)snprintf(name, sizeof name, ".%s.key.new", stem);
    TRY(files_join(w->ask->out, name, w->staged, err));
    return files_write(w->staged, cs_buf_view(&w->key_pem), 0600, FILES_REPLACE, err);
}

static cs_status read_csr(work *w, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_CSR_MAX * 2);
    CS_AUTO(cs_csr) csr = NULL;
    if (strcmp(w->ask->csr, "-") == 0) {
        TRY(files_read_input(CS_CSR_MAX * 2, &text, err));
    } else {
        TRY(files_read(w->ask->csr, CS_CSR_MAX * 2, &text, err));
    }
    TRY(cs_csr_read(cs_buf_view(&text), w->ask->csr, &csr, err));
    (void)cs_pem_add(&w->csr_pem, CS_PEM_CSR, csr->der);
    return cs_buf_ok(&w->csr_pem, w->ask->csr, err);
}

/* ---- asking ---- */

static json_t *list_of(const cli_texts *texts) {
    json_t *list = json_array();
    for (size_t i = 0; texts != NULL && i < texts->n; i++) (void)json_array_append_new(list, json_string(texts->at[i]));
    return list;
}

static cs_status make_body(work *w, char **ret, cs_err *err) {
    const issue_ask *ask = w->ask;
    uint8_t random[16];
    char key[2 * sizeof random + 1];
    TRY(cs_rng_fill(cs_rng_system(), random, sizeof random, err));
    json_t *body = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:s}", "kind", cs_kind_name(ask->kind), "name", ask->name,
                             "csr", cs_buf_cstr(&w->csr_pem), "dns", list_of(ask->dns), "ip", list_of(ask->ip), "email",
                             list_of(ask->email), "idempotency_key", cs_hex(cs_view_of(random, sizeof random), key));
    if (body == NULL) return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "a name is not UTF-8 text");
    if (ask->profile != NULL) (void)json_object_set_new(body, "profile", json_string(ask->profile));
    if (ask->issuer != NULL) (void)json_object_set_new(body, "issuer", json_string(ask->issuer));
    if (ask->lifetime > 0) (void)json_object_set_new(body, "lifetime_seconds", json_integer(ask->lifetime / CS_SEC));
    *ret = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return *ret != NULL ? CS_OK : CS_NOMEM_ERR(err);
}

static cs_status ask_for_it(work *w, issue_call call, void *to, cs_err *err) {
    char *body = NULL, *text = NULL;
    json_error_t why;
    TRY(make_body(w, &body, err));
    cs_status s = call(to, w->ask->proof ? "/api/v1/certificates?proof=1" : "/api/v1/certificates", body, &text, err);
    free(body);
    if (s != CS_OK) return s;
    w->answer = json_loads(text, 0, &why);
    free(text);
    const char *chain = json_text(w->answer, "chain");
    TRY(cs_certs_read(cs_view_str(chain), "the authority's answer", &w->chain, err));
    if (w->made_key == NULL) return CS_OK;
    return cs_key_match(w->made_key, w->chain.at[0]->spki, "the authority's answer", err);
}

/* ---- writing ---- */

static cs_status put(const issue_ask *ask, const char *path, cs_view bytes, mode_t mode, cs_err *err) {
    return files_write(path, bytes, mode, ask->force ? FILES_REPLACE : FILES_NEW, err);
}

const char *issue_friendly(const char *name, const cs_cert *leaf, char out[ISSUE_FRIENDLY_MAX]) {
    cs_civil end = cs_civil_of_time(leaf->not_after);
    (void)snprintf(out, ISSUE_FRIENDLY_MAX, "%s until %04d-%02d", name, end.year, end.month);
    return out;
}

static cs_status write_p12(work *w, cs_err *err) {
    CS_SCOPED(cs_buf) der = cs_buf_secret(CS_P12_MAX);
    char friendly[ISSUE_FRIENDLY_MAX];
    const cs_cert *leaf = w->chain.at[0];
    cs_certs rest = {.at = w->chain.at + 1, .n = w->chain.n - 1};
    TRY(cs_password_draw(cs_rng_system(), &w->password, err));
    TRY(cs_p12_make(w->made_key, leaf, &rest, issue_friendly(w->ask->name, leaf, friendly), w->password,
                    w->ask->modern ? CS_P12_MODERN : CS_P12_COMPAT, &der, err));
    TRY(put(w->ask, w->ask->p12, cs_buf_view(&der), 0600, err));
    if (w->ask->password_file == NULL) return CS_OK;
    CS_SCOPED(cs_buf) line = cs_buf_secret(256);
    (void)cs_buf_add_view(&line, cs_secret_view(w->password));
    (void)cs_buf_add_byte(&line, '\n');
    return put(w->ask, w->ask->password_file, cs_buf_view(&line), 0600, err);
}

static cs_status write_pem(work *w, cs_err *err) {
    if (w->ask->no_pem) return CS_OK;
    if (w->staged[0] != '\0') {
        if (w->ask->force) {
            if (rename(w->staged, w->key) != 0) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", w->key);
        } else {
            TRY(files_rename_new(w->staged, w->key, err));
        }
        w->staged[0] = '\0';
    }
    return put(w->ask, w->crt, cs_view_str(json_text(w->answer, "chain")), 0644, err);
}

static cs_status write_proof(work *w, cs_err *err) {
    const json_t *proof = json_object_get(w->answer, "proof"), *why = json_object_get(w->answer, "proof_problem");
    if (!json_is_object(proof))
        return cs_fail(err, CS_FAILED, cs_reason_by_name(json_text(why, "reason")),
                       "no proof of its issuance: %s (countersign log prove gives it later)", json_text(why, "detail"));
    char *text = json_dumps(proof, JSON_COMPACT);
    if (text == NULL) return CS_NOMEM_ERR(err);
    cs_status s = put(w->ask, w->proof, cs_view_str(text), 0644, err);
    free(text);
    return s;
}

static cs_status write_all(work *w, cs_err *err) {
    TRY(write_pem(w, err));
    if (w->ask->proof) TRY(write_proof(w, err));
    if (!w->ask->no_ca && !w->ca_there) TRY(put(w->ask, w->ca, cs_buf_view(&w->root_pem), 0644, err));
    return w->ask->p12 != NULL ? write_p12(w, err) : CS_OK;
}

static void tell(work *w, issue_made *ret) {
    (void)snprintf(ret->serial, sizeof ret->serial, "%s", json_text(w->answer, "serial"));
    (void)snprintf(ret->not_before, sizeof ret->not_before, "%s", json_text(w->answer, "not_before"));
    (void)snprintf(ret->not_after, sizeof ret->not_after, "%s", json_text(w->answer, "not_after"));
    if (!w->ask->no_pem) (void)snprintf(ret->crt, sizeof ret->crt, "%s", w->crt);
    if (!w->ask->no_pem && w->ask->csr == NULL) (void)snprintf(ret->key, sizeof ret->key, "%s", w->key);
    if (w->ask->proof) (void)snprintf(ret->proof, sizeof ret->proof, "%s", w->proof);
    if (!w->ask->no_ca) (void)snprintf(ret->ca, sizeof ret->ca, "%s", w->ca);
    if (w->ask->password_file == NULL) ret->password = CS_TAKE(w->password);
}

cs_status issue_run(const issue_ask *ask, const conf *c, issue_call call, void *to, issue_made *ret, cs_err *err) {
    CS_SCOPED(work)
    w = {.ask = ask,
         .conf = c,
         .root_pem = cs_buf_of(CS_PEM_FILE_MAX),
         .csr_pem = cs_buf_of(CS_CSR_MAX * 2),
         .key_pem = cs_buf_secret(CS_KEY_FILE_MAX)};
    *ret = (issue_made){.password = NULL};
    TRY(check_outputs(&w, err));
    TRY(ask->csr != NULL ? read_csr(&w, err) : make_key_and_csr(&w, err));
    TRY(ask_for_it(&w, call, to, err));
    if (write_all(&w, err) != CS_OK)
        return cs_fail_in(err, "certificate %s was issued but not all of it written; countersign show --pem has it",
                          json_text(w.answer, "serial"));
    tell(&w, ret);
    return CS_OK;
}

cs_status issue_over_session(void *to, const char *path, const char *body, char **ret, cs_err *err) {
    json_t *sent = json_loads(body, 0, NULL), *answer = NULL;
    cs_status s = session_call(to, "POST", path, sent, true, &answer, err);
    json_decref(sent);
    if (s != CS_OK) return s;
    *ret = json_dumps(answer, JSON_COMPACT);
    json_decref(answer);
    return *ret != NULL ? CS_OK : CS_NOMEM_ERR(err);
}
