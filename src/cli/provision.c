#include "cli/provision.h"

#include "io/cas.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/issuing.h"
#include "cli/session.h"
#include "cli/staple.h"
#include "report/log.h"

static cs_status call(void *to, const char *path, const char *body, char **ret, cs_err *err) {
    const provision_ask *ask = to;
    json_t *sent = json_loads(body, 0, NULL), *answer = NULL;
    cs_status s = session_call_at(ask->control, "POST", path, sent, &answer, err);
    json_decref(sent);
    if (s != CS_OK) return s;
    *ret = json_dumps(answer, JSON_COMPACT);
    json_decref(answer);
    return *ret != NULL ? CS_OK : CS_NOMEM_ERR(err);
}

/* ---- the gateway's certificate ---- */

static cs_status read_certs(const conf *c, const char *name, cs_certs *bag, cs_err *err) {
    char path[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX);
    TRY(files_join(c->state, name, path, err));
    TRY(files_read(path, CS_PEM_FILE_MAX, &text, err));
    return cs_certs_read(cs_buf_view(&text), path, bag, err);
}

static bool has(const cs_certs *bag, cs_view subject, cs_view skid, bool other_issuer) {
    for (size_t i = 0; i < bag->n; i++) {
        const cs_cert *c = bag->at[i];
        bool self = cs_view_eq(c->subject, c->issuer);
        if (cs_view_eq(c->subject, subject) && cs_view_eq(c->skid, skid) && !(other_issuer && self)) return true;
    }
    return false;
}

/* Does the file hold the issuing CA's certificate of now, and, while one root takes over from another, the certificate
 * that leads to that other? A client may trust only one of them. */
static cs_status check_chain(const conf *c, const cs_certs *chain, const cs_cert *issuing, cs_err *err) {
    CS_SCOPED(cs_certs) above = {NULL, 0};
    char path[FILES_PATH_MAX];
    bool held = false;
    for (size_t i = 1; i < chain->n; i++) held = held || cs_view_eq(chain->at[i]->der, issuing->der);
    if (!held) return cs_fail(err, CS_REFUSED, CS_R_CHAIN_INCOMPLETE, "server.crt lacks its CA's certificate of now");
    TRY(conf_path(c, "trust/issuers.pem", path, err));
    if (!files_exists(path)) return CS_OK;
    TRY(read_certs(c, "trust/issuers.pem", &above, err));
    if (has(&above, issuing->issuer, issuing->akid, true) && !has(chain, issuing->issuer, issuing->akid, true))
        return cs_fail(err, CS_REFUSED, CS_R_CHAIN_INCOMPLETE, "server.crt lacks what leads to the other root");
    return CS_OK;
}

static cs_status check_server(const conf *c, cs_time now, cs_err *err) {
    char path[FILES_PATH_MAX], current[CAS_NAME_MAX + 1], file[CAS_NAME_MAX + 16];
    CS_SCOPED(cs_certs) chain = {NULL, 0};
    CS_SCOPED(cs_certs) issuing = {NULL, 0};
    CS_SCOPED(cs_buf) text = cs_buf_secret(CS_KEY_FILE_MAX);
    CS_AUTO(cs_key) key = NULL;
    TRY(read_certs(c, "gateway/server.crt", &chain, err));
    TRY(conf_path(c, "ca", path, err));
    TRY(cas_current(path, current, err));
    (void)snprintf(file, sizeof file, "ca/%s.crt", current);
    TRY(read_certs(c, file, &issuing, err));
    TRY(files_join(c->state, "gateway/server.key", path, err));
    TRY(files_read_private(path, CS_KEY_FILE_MAX, &text, err));
    TRY(cs_key_read_pem(cs_buf_view(&text), NULL, path, &key, err));
    const cs_cert *leaf = chain.at[0];
    TRY(cs_key_match(key, leaf->spki, "server.crt", err));
    if (!cs_view_eq(leaf->akid, issuing.at[0]->skid))
        return cs_fail(err, CS_REFUSED, CS_R_UNKNOWN_ISSUER, "server.crt is of another CA");
    TRY(check_chain(c, &chain, issuing.at[0], err));
    if (leaf->not_after - now < (leaf->not_after - leaf->not_before) / 3)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_EXPIRED, "server.crt is in the last third of its life");
    return CS_OK;
}

bool provision_server_due(const conf *c, cs_time now) {
    cs_err err;
    return check_server(c, now, &err) != CS_OK;
}

/* The machine's name and the listener's own address, where they can stand in a certificate. */
static void add_names(const conf *c, cli_texts *dns, cli_texts *ip, char host[256], char address[256]) {
    cs_identity id;
    cs_err err;
    if (gethostname(host, 255) == 0 && strcmp(host, "localhost") != 0 &&
        cs_identity_make(CS_KIND_SERVER, cs_view_str(host), &id, &err) == CS_OK)
        dns->at[dns->n++] = host;
    ip->at[ip->n++] = "127.0.0.1";
    ip->at[ip->n++] = "::1";
    (void)snprintf(address, 256, "%s", c->https + (c->https[0] == '[' ? 1 : 0));
    char *end = c->https[0] == '[' ? strchr(address, ']') : strrchr(address, ':');
    if (end != NULL) *end = '\0';
    bool known = strcmp(address, "127.0.0.1") == 0 || strcmp(address, "::1") == 0 || strcmp(address, "localhost") == 0;
    if (!known && strcmp(address, "0.0.0.0") != 0 && strcmp(address, "::") != 0) ip->at[ip->n++] = address;
}

static cs_status make_server(const provision_ask *ask, cs_err *err) {
    char host[256] = "", address[256], out[FILES_PATH_MAX];
    cli_texts dns = {.n = 0}, ip = {.n = 0};
    CS_SCOPED(issue_made) made = {.password = NULL};
    add_names(ask->conf, &dns, &ip, host, address);
    TRY(files_join(ask->conf->state, "gateway", out, err));
    TRY(files_mkdir_private(out, err));
    const issue_ask what = {.kind = CS_KIND_SERVER,
                            .name = "localhost",
                            .dns = &dns,
                            .ip = &ip,
                            .out = out,
                            .stem = "server",
                            .no_ca = true,
                            .force = true};
    return issue_run(&what, ask->conf, call, (void *)(uintptr_t)ask, &made, err);
}

/* ---- examples ---- */

static cs_status make_device(const provision_ask *ask, const char *out, cs_err *err) {
    CS_SCOPED(issue_made) made = {.password = NULL};
    const issue_ask what = {.kind = CS_KIND_DEVICE, .name = "example-device", .out = out, .stem = "device"};
    return issue_run(&what, ask->conf, call, (void *)(uintptr_t)ask, &made, err);
}

static cs_status make_user(const provision_ask *ask, const char *out, const char *who, cs_err *err) {
    char name[300], p12[FILES_PATH_MAX], password[FILES_PATH_MAX], file[64];
    CS_SCOPED(issue_made) made = {.password = NULL};
    (void)snprintf(name, sizeof name, "%s@%s", who, ask->conf->trust_domain);
    (void)snprintf(file, sizeof file, "%s.p12", who);
    TRY(files_join(out, file, p12, err));
    (void)snprintf(file, sizeof file, "%s.p12.password", who);
    TRY(files_join(out, file, password, err));
    const issue_ask what = {
        .kind = CS_KIND_USER, .name = name, .out = out, .no_pem = true, .p12 = p12, .password_file = password};
    return issue_run(&what, ask->conf, call, (void *)(uintptr_t)ask, &made, err);
}

static cs_status make_admin(const provision_ask *ask, const char *who, cs_err *err) {
    char name[300];
    (void)snprintf(name, sizeof name, "%s@%s", who, ask->conf->trust_domain);
    json_t *body = json_pack("{s:s, s:s}", "name", name, "role", "all"), *answer = NULL;
    cs_status s = session_call_at(ask->control, "POST", "/api/v1/admins", body, &answer, err);
    json_decref(body);
    json_decref(answer);
    return s;
}

static cs_status fill_examples(const provision_ask *ask, const char *out, cs_err *err) {
    TRY(make_device(ask, out, err));
    TRY(make_user(ask, out, "user", err));
    TRY(make_user(ask, out, "admin", err));
    return make_admin(ask, "admin", err);
}

static bool examples_due(const provision_ask *ask) {
    char path[FILES_PATH_MAX];
    cs_err err;
    return ask->examples && files_join(ask->conf->state, "examples", path, &err) == CS_OK && !files_exists(path);
}

/* Under another name first: an examples folder is whole or absent. */
static cs_status make_examples(const provision_ask *ask, cs_err *err) {
    char temp[FILES_PATH_MAX], final[FILES_PATH_MAX];
    TRY(files_remove_leftovers(ask->conf->state, "examples.tmp", err));
    TRY(files_join(ask->conf->state, "examples.tmp", temp, err));
    TRY(files_join(ask->conf->state, "examples", final, err));
    TRY(files_mkdir_private(temp, err));
    cs_status s = fill_examples(ask, temp, err);
    if (s == CS_OK) s = files_rename_new(temp, final, err);
    if (s != CS_OK) {
        cs_err ignored;
        (void)files_remove_tree(temp, &ignored);
    }
    return s;
}

bool provision_due(const provision_ask *ask, cs_time now) {
    return provision_server_due(ask->conf, now) || examples_due(ask) || staple_due(ask->conf, now);
}

cs_status provision_run(const provision_ask *ask, cs_err *err) {
    if (provision_server_due(ask->conf, cs_now(cs_clock_system()))) TRY(make_server(ask, err));
    if (examples_due(ask)) TRY(make_examples(ask, err));
    /* Without an answer a site serves all the same: it is asked for again. */
    if (staple_run(ask->conf, ask->control, cs_now(cs_clock_system()), err) != CS_OK)
        log_failure(LOG_WARN, "staple-failed", err);
    return CS_OK;
}
