/* countersign ca VERB ...: the CAs of this authority. What signs CA certificates reads the root's key for this one
 * command; the authority that runs has no part in it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/ca_work.h"
#include "cli/print.h"
#include "x509/csr.h"
#include "x509/pem.h"
#include "x509/profile.h"

static cs_status read_constraints(const cli_texts *said, cs_constraint list[], size_t *ret_n, cs_err *err) {
    if (said->n > CS_CONSTRAINTS_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "at most %d constraints", CS_CONSTRAINTS_MAX);
    for (*ret_n = 0; *ret_n < said->n; (*ret_n)++)
        TRY(cs_constraint_parse(cs_view_str(said->at[*ret_n]), &list[*ret_n], err));
    return CS_OK;
}

static cs_status read_terms(const ca_said *said, ca_terms *t, cs_err *err) {
    *t = (ca_terms){.path_len = (int)said->path_length, .lifetime = (cs_time)said->days * CS_DAY};
    if (said->path_length > CS_PATH_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--path-length: at most %d", CS_PATH_MAX);
    if (said->days > 40 * 366) return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--days: at most 40 years");
    TRY(read_constraints(&said->permit, t->permit, &t->permit_n, err));
    return read_constraints(&said->exclude, t->exclude, &t->exclude_n, err);
}

static cs_status open_root(const ca_work *w, ca_root *r, cs_err *err) {
    const ca_said *said = w->said;
    char usual[CAS_NAME_MAX + 1] = "root";
    if (said->parent == NULL && said->root == NULL) {
        cs_err ignored; /* on the root's machine there may be no CA that issues */
        if (ca_root_current(w->dir, usual, &ignored) != CS_OK) (void)snprintf(usual, sizeof usual, "root");
    }
    const char *name = said->parent != NULL ? said->parent : said->root != NULL ? said->root : usual;
    if (said->parent != NULL && said->root != NULL)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--root and --parent: one CA signs");
    if (said->root != NULL && !cas_is_root(name))
        return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "--root %.64s is no root; --parent names another CA", name);
    return ca_root_open(w->conf, name, said->root_key, said->passphrase_file, r, err);
}

static cs_status key_spec(const ca_said *said, cs_key_spec *ret, cs_err *err) {
    *ret = CS_KEYSPEC_ECDSA_P256;
    return said->key_type != NULL ? cs_key_spec_parse(cs_view_str(said->key_type), ret, err) : CS_OK;
}

static void say_ca(const ca_work *w, const char *name, const cs_cert *c, const char *then) {
    char text[CS_NAME_TEXT_MAX + 1], until[CS_TIME_TEXT_MAX];
    if (w->said->json) {
        cs_json j = cs_json_to(w->out);
        cs_json_object(&j, NULL);
        cs_json_str(&j, "name", name);
        cs_json_str(&j, "subject", cs_name_text(c->subject, text));
        cs_json_time(&j, "not_after", c->not_after);
        cs_json_hex(&j, "sha256", cs_view_of(c->sha256, sizeof c->sha256));
        cs_json_object_end(&j);
        (void)cs_buf_add_byte(w->out, '\n');
        return;
    }
    (void)cs_buf_addf(w->out, "%s: %s, until %s\n%s", name, cs_name_text(c->subject, text),
                      cs_time_text(c->not_after, until), then);
}

/* ---- verbs ---- */

static cs_status get_key(const ca_work *w, const char *name, cs_key_spec spec, cs_key **ret, cs_err *err) {
    const ca_said *said = w->said;
    if (said->key_uri == NULL) return ca_make_key(w->dir, name, spec, ret, err);
    return ca_point_to_key(w->dir, name, said->key_uri, &said->allow, ret, err);
}

/* Remembers what it has written, to take it back when a later step fails. */
static cs_status create(ca_work *w, cs_err *err) {
    const char *name = w->words->at[1];
    char path[FILES_PATH_MAX];
    ca_terms terms;
    cs_key_spec spec;
    CS_SCOPED(ca_root) root = {.conf = NULL};
    CS_AUTO(cs_key) key = NULL;
    CS_AUTO(cs_cert) made = NULL;
    TRY(ca_name_free(w->dir, name, err));
    if (cas_is_root(name)) return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "%s: such names are for roots", name);
    TRY(key_spec(w->said, &spec, err));
    TRY(read_terms(w->said, &terms, err));
    TRY(open_root(w, &root, err));
    TRY(get_key(w, name, spec, &key, err));
    cs_status s = ca_root_sign(&root, cs_key_spki(key), (cs_view){NULL, 0}, &terms, &made, err);
    if (s == CS_OK) s = ca_root_publish_crl(&root, err);
    if (s == CS_OK) s = ca_put_cert(w->dir, name, made, err);
    if (s != CS_OK) {
        cs_err ignored;
        if (cas_path(w->dir, name, "key", path, &ignored) == CS_OK) (void)unlink(path);
        if (cas_path(w->dir, name, "uri", path, &ignored) == CS_OK) (void)unlink(path);
        return s;
    }
    TRY(ca_publish_trust(w->conf, err));
    say_ca(w, name, made, "It issues what is asked of it by name; countersign ca use makes it the one for the rest.\n");
    return CS_OK;
}

static cs_status put_out(const ca_work *w, const char *usual, cs_view pem, cs_err *err) {
    const char *to = w->said->out != NULL ? w->said->out : usual;
    if (strcmp(to, "-") == 0) return cs_buf_add_view(w->out, pem) ? CS_OK : cs_buf_ok(w->out, "output", err);
    TRY(files_write(to, pem, 0644, w->said->force ? FILES_REPLACE : FILES_NEW, err));
    if (!w->said->json) (void)cs_buf_addf(w->out, "%s\n", to);
    return CS_OK;
}

static cs_status request(ca_work *w, cs_err *err) {
    const char *name = w->words->at[1];
    char path[FILES_PATH_MAX];
    cs_key_spec spec;
    CS_AUTO(cs_key) key = NULL;
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_CSR_MAX), pem = cs_buf_of(2 * CS_CSR_MAX);
    TRY(ca_name_free(w->dir, name, err));
    if (cas_is_root(name)) return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "%s: such names are for roots", name);
    TRY(key_spec(w->said, &spec, err));
    TRY(get_key(w, name, spec, &key, err));
    TRY(cs_csr_make(key, name, NULL, 0, &der, err));
    (void)cs_pem_add(&pem, CS_PEM_CSR, cs_buf_view(&der));
    TRY(cs_buf_ok(&pem, "request", err));
    TRY(cas_path(w->dir, name, "csr", path, err));
    return put_out(w, path, cs_buf_view(&pem), err);
}

static cs_status read_request(const char *path, cs_csr **ret, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(2 * CS_CSR_MAX);
    TRY(files_read(path, 2 * CS_CSR_MAX, &text, err));
    return cs_csr_read(cs_buf_view(&text), path, ret, err);
}

/* On the root's machine. The name in the request is not taken over: each CA's name is made from its key. */
static cs_status sign(ca_work *w, cs_err *err) {
    ca_terms terms;
    CS_SCOPED(ca_root) root = {.conf = NULL};
    CS_AUTO(cs_csr) csr = NULL;
    CS_AUTO(cs_cert) made = NULL;
    CS_SCOPED(cs_buf) pem = cs_buf_of(2 * CS_CERT_MAX);
    TRY(read_terms(w->said, &terms, err));
    TRY(read_request(w->words->at[1], &csr, err));
    TRY(open_root(w, &root, err));
    if (cs_view_eq(csr->spki, root.cert->spki))
        return cs_fail(err, CS_REFUSED, CS_R_NAME_NOT_ALLOWED, "the request is for the root's own key");
    TRY(ca_root_sign(&root, csr->spki, (cs_view){NULL, 0}, &terms, &made, err));
    TRY(ca_root_publish_crl(&root, err));
    (void)cs_pem_add_cert(&pem, made);
    TRY(cs_buf_ok(&pem, "certificate", err));
    return put_out(w, "-", cs_buf_view(&pem), err);
}

static cs_status cross_sign(ca_work *w, cs_err *err) {
    ca_terms terms;
    CS_SCOPED(ca_root) root = {.conf = NULL};
    CS_AUTO(cs_cert) other = NULL;
    CS_AUTO(cs_cert) made = NULL;
    CS_SCOPED(cs_buf) pem = cs_buf_of(2 * CS_CERT_MAX);
    TRY(read_terms(w->said, &terms, err));
    TRY(ca_read_cert(w->words->at[1], &other, err));
    if (!other->is_ca) return cs_fail(err, CS_REFUSED, CS_R_NOT_A_CA, "%s", w->words->at[1]);
    TRY(open_root(w, &root, err));
    if (cs_view_eq(other->subject, root.cert->subject) || cs_view_eq(other->spki, root.cert->spki))
        return cs_fail(err, CS_REFUSED, CS_R_NAME_NOT_ALLOWED, "%s is this root's own", w->words->at[1]);
    if (terms.path_len == 0) terms.path_len = -1; /* as far as the other CA's own certificates reach */
    TRY(ca_root_sign(&root, other->spki, other->subject, &terms, &made, err));
    (void)cs_pem_add_cert(&pem, made);
    TRY(cs_buf_ok(&pem, "certificate", err));
    return put_out(w, "-", cs_buf_view(&pem), err);
}

static cs_status signed_by_one(const ca_work *w, const cas_list *names, const cs_cert *c, bool *ret, cs_err *err) {
    for (size_t i = 0; i < names->n && !*ret; i++) {
        CS_AUTO(cs_cert) by = NULL;
        char path[FILES_PATH_MAX];
        TRY(cas_path(w->dir, names->at[i], "crt", path, err));
        TRY(ca_read_cert(path, &by, err));
        *ret = by->is_ca && cs_view_eq(by->subject, c->issuer) && cs_signed_check(c->der, c->tbs, by, err) == CS_OK;
    }
    return CS_OK;
}

static cs_status signed_here(const ca_work *w, const cs_cert *c, cs_err *err) {
    cas_list above;
    bool found = false;
    TRY(cas_list_roots(w->dir, &above, err));
    TRY(signed_by_one(w, &above, c, &found, err));
    TRY(cas_list_certs(w->dir, &above, err));
    TRY(signed_by_one(w, &above, c, &found, err));
    if (found) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "no CA of %s has signed %s", w->dir, w->words->at[2]);
}

/* Without a key beside it, it stands above others only: a cross-certificate, a parent CA. */
static cs_status check_install(const ca_work *w, const cs_cert *c, cs_err *err) {
    char key[FILES_PATH_MAX], uri[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) pem = cs_buf_secret(CS_KEY_FILE_MAX);
    CS_AUTO(cs_key) k = NULL;
    cs_time now = cs_now(cs_clock_system());
    if (!c->is_ca) return cs_fail(err, CS_REFUSED, CS_R_NOT_A_CA, "%s", w->words->at[2]);
    if (now > c->not_after) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_EXPIRED, "%s", w->words->at[2]);
    if (now < c->not_before) return cs_fail(err, CS_REFUSED, CS_R_NOT_YET_VALID, "%s", w->words->at[2]);
    TRY(signed_here(w, c, err));
    TRY(cas_path(w->dir, w->words->at[1], "key", key, err));
    TRY(cas_path(w->dir, w->words->at[1], "uri", uri, err));
    if (files_exists(uri) || !files_exists(key)) return CS_OK; /* the signer looks at the start */
    TRY(files_read_private(key, CS_KEY_FILE_MAX, &pem, err));
    TRY(cs_key_read_pem(cs_buf_view(&pem), NULL, key, &k, err));
    return cs_key_match(k, c->spki, w->words->at[2], err);
}

static cs_status install(ca_work *w, cs_err *err) {
    const char *name = w->words->at[1];
    CS_AUTO(cs_cert) c = NULL;
    TRY(cas_name_check(name, err));
    if (cas_is_root(name)) return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "%s: such names are for roots", name);
    TRY(ca_read_cert(w->words->at[2], &c, err));
    TRY(check_install(w, c, err));
    TRY(ca_put_cert(w->dir, name, c, err));
    TRY(ca_publish_trust(w->conf, err));
    say_ca(w, name, c, "");
    return CS_OK;
}

static cs_status use(ca_work *w, cs_err *err) {
    const char *name = w->words->at[1];
    CS_AUTO(cs_cert) c = NULL;
    cas_list keys;
    size_t i = 0;
    TRY(ca_read_named(w->dir, name, &c, err));
    TRY(cas_list_keys(w->dir, &keys, err));
    while (i < keys.n && strcmp(keys.at[i], name) != 0) i++;
    if (i == keys.n) return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "%s: its key is not here", name);
    TRY(cas_retired_set(w->dir, name, false, err));
    TRY(cas_current_set(w->dir, name, err));
    say_ca(w, name, c, "It issues from now on.\n");
    return CS_OK;
}

/* ---- what hangs on a CA: the authority knows ---- */

static cs_status ask(const ca_work *w, const char *name, json_t **ret, cs_err *err) {
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    char path[64];
    (void)snprintf(path, sizeof path, "/api/v1/cas%s%s", name != NULL ? "/" : "", name != NULL ? name : "");
    TRY(session_open(w->conf, &w->said->conf, &s, err));
    return session_call(s, "GET", path, NULL, true, ret, err);
}

/* How many valid certificates hang on it. */
static cs_status count_valid(const ca_work *w, const char *name, long long *ret, char last[32], cs_err *err) {
    json_t *answer = NULL;
    TRY(ask(w, name, &answer, err));
    *ret = (long long)json_number(answer, "valid");
    (void)snprintf(last, 32, "%s", json_text(answer, "last_not_after"));
    json_decref(answer);
    return CS_OK;
}

/* Who relies on its certificates must go on to hear which are revoked: its files go when the last has ended. */
static cs_status retire(ca_work *w, cs_err *err) {
    const char *name = w->words->at[1];
    char current[CAS_NAME_MAX + 1], last[32], then[200];
    long long valid = 0;
    CS_AUTO(cs_cert) c = NULL;
    TRY(ca_read_named(w->dir, name, &c, err));
    TRY(cas_current(w->dir, current, err));
    if (strcmp(current, name) == 0)
        return cs_fail(err, CS_REFUSED, CS_R_CA_IN_USE, "%s issues; countersign ca use chooses another first", name);
    TRY(count_valid(w, name, &valid, last, err));
    if (valid > 0 && !w->said->force)
        return cs_fail(err, CS_REFUSED, CS_R_CA_IN_USE,
                       "%lld valid certificates hang on %s (countersign ca show %s names them)", valid, name, name);
    if (valid > 0) {
        TRY(cas_retired_set(w->dir, name, true, err));
        (void)snprintf(then, sizeof then,
                       "It issues no more. Its CRLs and OCSP answers go on for %lld certificates, the last until %s; "
                       "countersign ca retire then moves its files away.\n",
                       valid, last);
        say_ca(w, name, c, then);
        return CS_OK;
    }
    TRY(ca_move_away(w->dir, name, err));
    TRY(ca_publish_trust(w->conf, err));
    say_ca(w, name, c, "Its files are in ca/retired; it neither issues nor publishes CRLs.\n");
    return CS_OK;
}

static void add_ca(table *t, const json_t *ca) {
    char number[24], until[32];
    table_add(t, json_text(ca, "name"));
    table_add(t, json_is_true(json_object_get(ca, "current"))   ? "issues"
                 : json_is_true(json_object_get(ca, "retired")) ? "retired"
                                                                : "");
    (void)snprintf(number, sizeof number, "%lld", (long long)json_number(ca, "valid"));
    table_add(t, number);
    table_add(t, short_time(json_text(ca, "not_after"), until));
    table_add(t, json_text(ca, "subject"));
}

static cs_status list(ca_work *w, cs_err *err) {
    static const char *const heads[] = {"CA", "", "VALID", "UNTIL", "SUBJECT"};
    json_t *answer = NULL;
    size_t i = 0;
    const json_t *ca = NULL;
    TRY(ask(w, NULL, &answer, err));
    if (w->said->json) {
        char *text = json_dumps(answer, JSON_COMPACT);
        (void)cs_buf_addf(w->out, "%s\n", text != NULL ? text : "{}");
        free(text);
    } else {
        table t = table_begin(sizeof heads / sizeof heads[0], heads);
        json_array_foreach(json_object_get(answer, "cas"), i, ca) add_ca(&t, ca);
        table_end(&t, w->out);
    }
    json_decref(answer);
    return CS_OK;
}

static cs_status show(ca_work *w, cs_err *err) {
    json_t *answer = NULL;
    const json_t *who = NULL;
    size_t i = 0;
    TRY(cas_name_check(w->words->at[1], err));
    TRY(ask(w, w->words->at[1], &answer, err));
    if (w->said->json) {
        char *text = json_dumps(answer, JSON_COMPACT);
        (void)cs_buf_addf(w->out, "%s\n", text != NULL ? text : "{}");
        free(text);
    } else {
        (void)cs_buf_addf(w->out, "%s%s\n  subject  %s\n  issuer   %s\n  until    %s\n  SHA-256  %s\n  valid    %lld\n",
                          json_text(answer, "name"),
                          json_is_true(json_object_get(answer, "current")) ? " (issues)" : "",
                          json_text(answer, "subject"), json_text(answer, "issuer"), json_text(answer, "not_after"),
                          json_text(answer, "sha256"), (long long)json_number(answer, "valid"));
        json_array_foreach(json_object_get(answer, "identities"), i, who)(void)
            cs_buf_addf(w->out, "    %s %s, %lld until %s\n", json_text(who, "kind"), json_text(who, "name"),
                        (long long)json_number(who, "certificates"), json_text(who, "not_after"));
    }
    json_decref(answer);
    return CS_OK;
}

/* ---- the command ---- */

static const struct {
    const char *name;
    cs_status (*run)(ca_work *w, cs_err *err);
    size_t words;
    const char *wants;
} verbs[] = {
    {"list", list, 1, "list"},
    {"show", show, 2, "show NAME"},
    {"create", create, 2, "create NAME"},
    {"request", request, 2, "request NAME"},
    {"sign", sign, 2, "sign REQUEST.csr"},
    {"install", install, 3, "install NAME CERTIFICATE.crt"},
    {"use", use, 2, "use NAME"},
    {"retire", retire, 2, "retire NAME"},
    {"cross-sign", cross_sign, 2, "cross-sign CERTIFICATE.crt"},
    {"revoke", ca_revoke, 2, "revoke NAME|CERTIFICATE.crt"},
};
enum { VERBS = sizeof verbs / sizeof verbs[0] };

static cs_status ask_permit(const conf *c, const ca_said *said, const cli_texts *words, cs_err *err) {
    char what[128];
    if (strcmp(words->at[0], "list") == 0 || strcmp(words->at[0], "show") == 0) return CS_OK;
    (void)snprintf(what, sizeof what, "ca %s%s%s", words->at[0], words->n > 1 ? " " : "",
                   words->n > 1 ? words->at[1] : "");
    return ca_ask_permit(c, &said->conf, what, err);
}

cs_status ca_ask_permit(const conf *c, const conf_overrides *said, const char *what, cs_err *err) {
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    json_t *answer = NULL;
    if ((c->two_person & CONF_TWO_CAS) == 0) return ca_trail(c, "ca-command", what, err);
    json_t *body = json_pack("{s:s}", "what", what);
    if (body == NULL) return CS_NOMEM_ERR(err);
    cs_status status = session_open(c, said, &s, err);
    if (status == CS_OK) status = session_call(s, "POST", "/api/v1/permits", body, false, &answer, err);
    json_decref(body);
    TRY(status);
    bool permitted = strcmp(json_text(answer, "state"), "permitted") == 0;
    long long id = (long long)json_number(answer, "proposal");
    json_decref(answer);
    if (!permitted) return cs_fail(err, CS_REFUSED, CS_R_PROPOSAL_WAITING, "%s: proposal %lld", what, id);
    return ca_trail(c, "ca-command", what, err);
}

static cs_status run(const ca_said *said, const cli_texts *words, size_t verb, cs_buf *out, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    ca_work w = {.said = said, .words = words, .out = out};
    int held = -1;
    TRY(conf_load(&said->conf, &c, err));
    w.conf = c;
    TRY(conf_path(c, "ca", w.dir, err));
    if (!files_exists(w.dir)) return cs_fail(err, CS_REFUSED, CS_R_STATE_MISSING, "%s", c->state);
    TRY(ask_permit(c, said, words, err));
    TRY(ca_lock(c, &held, err));
    cs_status s = verbs[verb].run(&w, err);
    (void)close(held);
    return s;
}

int cli_ca(int argc, char **argv) {
    ca_said said = {0};
    const cli_opt opts[] = {
        {"permit", 0, CLI_LIST, &said.permit, "CONSTRAINT",
         "only names within: dns:corp.example, email:, uri:, ip:10.0.0.0/8 (may repeat)"},
        {"exclude", 0, CLI_LIST, &said.exclude, "CONSTRAINT", "no names within (may repeat)"},
        {"path-length", 0, CLI_NUMBER, &said.path_length, "N", "CAs that may stand beneath it (default 0)"},
        {"days", 0, CLI_NUMBER, &said.days, "N", "how long it lives (default 5 years; never longer than the root)"},
        {"key-type", 0, CLI_TEXT, &said.key_type, "TYPE",
         "ecdsa-p256 (default), ecdsa-p384, ed25519, rsa-3072, rsa-4096, ml-dsa-65 ..."},
        {"key-uri", 0, CLI_TEXT, &said.key_uri, "URI",
         "the key is in a token: pkcs11:token=...;object=...?module-path=..."},
        {"allow", 0, CLI_LIST, &said.allow, "FOLDER",
         "what the token's module needs when it signs; network too (may repeat)"},
        {"parent", 0, CLI_TEXT, &said.parent, "NAME", "a CA that is no root signs: the new one stands beneath it"},
        {"root", 0, CLI_TEXT, &said.root, "NAME", "the root that signs (default: that of the CA that issues)"},
        {"root-key", 0, CLI_TEXT, &said.root_key, "FILE", "its key, where it is not ca/NAME.key"},
        {"passphrase-file", 0, CLI_TEXT, &said.passphrase_file, "FILE",
         "private file with the root key's passphrase; - is standard input"},
        {"out", 'o', CLI_TEXT, &said.out, "FILE", "request, sign, cross-sign: write there; - is standard output"},
        {"reason", 0, CLI_TEXT, &said.reason, "WORD",
         "revoke: ca-compromise, superseded, cessation-of-operation ... (default unspecified)"},
        {"crl", 0, CLI_TEXT, &said.crl, "FILE", "revoke: the root's CRL, as the root's machine made it"},
        {"force", 0, CLI_FLAG, &said.force, NULL,
         "retire: issue no more, though certificates hang on it; replace --out's file"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "ca",
        .synopsis =
            "list | show NAME | create NAME | request NAME | sign CSR | install NAME CRT | use NAME | retire NAME |\n"
            "       cross-sign CRT | revoke NAME|CRT  [OPTION]...",
        .says =
            "The CAs of this authority. create makes one under the root that is here; where the root is on another\n"
            "machine, request makes a key and a request, sign (there) a certificate of it, install takes it over.\n"
            "use chooses which CA issues when none is named. What runs takes a change over within seconds.",
        .examples =
            "  countersign ca create plant-7 --permit dns:plant7.corp.example --permit email:plant7.corp.example\n"
            "  countersign ca request issuing-2 --out issuing-2.csr\n"
            "  countersign ca sign issuing-2.csr --out issuing-2.crt      (on the root's machine)\n"
            "  countersign ca install issuing-2 issuing-2.crt\n"
            "  countersign ca use issuing-2",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 3,
    };
    cli_texts words;
    cs_err err;
    int code = 0;
    size_t verb = 0;
    if (!cli_parse(&use, argc, argv, &words, &code)) return code;
    while (verb < VERBS && strcmp(verbs[verb].name, words.at[0]) != 0) verb++;
    if (verb == VERBS)
        return cli_usage("ca",
                         "\"%s\": list, show, create, request, sign, install, use, retire, cross-sign or revoke is "
                         "expected",
                         words.at[0]);
    if (words.n != verbs[verb].words) return cli_usage("ca", "countersign ca %s is expected", verbs[verb].wants);
    CS_SCOPED(cs_buf) out = cs_buf_of(4 * 1024 * 1024);
    if (run(&said, &words, verb, &out, &err) != CS_OK) return cli_fail("ca", &err, said.json);
    return cli_print(&out) ? CLI_DONE : CLI_FAILED;
}
