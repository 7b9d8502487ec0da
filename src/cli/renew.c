/* countersign renew NAME|SERIAL: the next certificate of an identity, with the names and profile of the one it has.
 * countersign reissue NAME|SERIAL: the same when its key was lost, which ends those that it has. */
#include <stdlib.h>
#include <string.h>

#include "cli/issuing.h"
#include "cli/print.h"

typedef struct renew_said {
    conf_overrides conf;
    const char *csr, *key_type, *out, *kind, *reason;
    bool force, proof, json, lost;
} renew_said;

typedef struct renewing {
    session *s;
    const char *kind;                   /* NULL: not said */
    const char *what;                   /* "name" or "serial" */
    char serial[2 * CS_SERIAL_MAX + 1]; /* when it is one */
    char name[CS_IDENTITY_NAME_MAX + 1];
    const char *path;
    const char *reason; /* NULL: not said */
    json_t *ended;      /* what has ended for it */
} renewing;

static void renewing_free(renewing *r) {
    json_decref(r->ended);
}

/* What issue_run would ask a new certificate with: the request alone is of use here. */
static cs_status renew_over_session(void *to, const char *path, const char *body, char **ret, cs_err *err) {
    renewing *r = to;
    json_t *sent = json_loads(body, 0, NULL), *answer = NULL;
    json_t *ours = json_pack("{s:s, s:s, s:s*, s:s*}", r->what, r->serial[0] != '\0' ? r->serial : r->name, "csr",
                             json_text(sent, "csr"), "kind", r->kind, "reason", r->reason);
    (void)path;
    json_decref(sent);
    if (ours == NULL) return CS_NOMEM_ERR(err);
    cs_status status = session_call(r->s, "POST", r->path, ours, true, &answer, err);
    json_decref(ours);
    if (status != CS_OK) return status;
    r->ended = json_incref(json_object_get(answer, "ended"));
    *ret = json_dumps(answer, JSON_COMPACT);
    json_decref(answer);
    return *ret != NULL ? CS_OK : CS_NOMEM_ERR(err);
}

/* The name that a serial stands for; a name may look like a serial. */
static cs_status find(renewing *r, const char *operand, cs_err *err) {
    CS_SCOPED(cs_buf) path = cs_buf_of(4096);
    json_t *row = NULL;
    r->what = "name";
    (void)snprintf(r->name, sizeof r->name, "%s", operand);
    if (!serial_like(operand, r->serial)) {
        r->serial[0] = '\0';
        return CS_OK;
    }
    (void)cs_buf_addf(&path, "/api/v1/certificates/%s", r->serial);
    cs_status status = session_call(r->s, "GET", cs_buf_cstr(&path), NULL, true, &row, err);
    if (status == CS_REFUSED && err->reason == CS_R_CERTIFICATE_UNKNOWN) {
        r->serial[0] = '\0';
        return CS_OK;
    }
    TRY(status);
    r->what = "serial";
    (void)snprintf(r->name, sizeof r->name, "%s", json_text(row, "name"));
    json_decref(row);
    return CS_OK;
}

static cs_status run(const renew_said *said, const char *operand, renewing *r, issue_made *made, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    issue_ask ask = {.kind = CS_KIND_DEVICE, .csr = said->csr, .force = said->force, .proof = said->proof};
    cs_process_guard();
    if (said->csr != NULL && said->key_type != NULL)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--key-type is for a new key, and --csr has one");
    if (said->key_type != NULL) TRY(cs_key_spec_parse(cs_view_str(said->key_type), &ask.spec, err));
    TRY(open_session(&said->conf, &c, &s, err));
    r->s = s;
    r->kind = said->kind;
    r->reason = said->reason;
    if (said->lost)
        r->path = said->proof ? "/api/v1/reissues?proof=1" : "/api/v1/reissues";
    else
        r->path = said->proof ? "/api/v1/renewals?proof=1" : "/api/v1/renewals";
    TRY(find(r, operand, err));
    ask.name = r->name;
    ask.out = said->out != NULL ? said->out : ".";
    cs_status status = issue_run(&ask, c, renew_over_session, r, made, err);
    r->s = NULL;
    return status;
}

static void add_answer(const renew_said *said, const renewing *r, const issue_made *made, cs_buf *b) {
    const json_t *one = NULL;
    size_t i = 0;
    if (!said->json) {
        (void)cs_buf_addf(b, "%s for %s: serial %s, until %s\n  %s  certificate and its issuer\n",
                          said->lost ? "Reissued" : "Renewed", r->name, made->serial, made->not_after, made->crt);
        if (made->key[0] != '\0') (void)cs_buf_addf(b, "  %s  private key\n", made->key);
        if (made->proof[0] != '\0') (void)cs_buf_addf(b, "  %s  proof that the audit log holds it\n", made->proof);
        json_array_foreach(r->ended, i, one)(void) cs_buf_addf(
            b, "Ended (%s): serial %s\n", r->reason != NULL ? r->reason : "superseded", json_text(one, "serial"));
        return;
    }
    cs_json j = cs_json_to(b);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "result", "done");
    cs_json_str(&j, "name", r->name);
    cs_json_str(&j, "serial", made->serial);
    cs_json_str(&j, "not_before", made->not_before);
    cs_json_str(&j, "not_after", made->not_after);
    cs_json_str(&j, "certificate_file", made->crt);
    cs_json_str(&j, "key_file", made->key[0] != '\0' ? made->key : NULL);
    if (made->proof[0] != '\0') cs_json_str(&j, "proof_file", made->proof);
    if (said->lost) {
        cs_json_array(&j, "ended");
        json_array_foreach(r->ended, i, one) cs_json_str(&j, NULL, json_text(one, "serial"));
        cs_json_array_end(&j);
    }
    cs_json_object_end(&j);
    (void)cs_buf_add_byte(b, '\n');
}

/* The two commands, but for their options. */
static int renew(const cli_use *use, renew_said *said, int argc, char **argv) {
    cli_texts operands;
    CS_SCOPED(renewing) r = {.s = NULL};
    CS_SCOPED(issue_made) made = {.password = NULL};
    CS_SCOPED(cs_buf) b = cs_buf_of(64 * 1024);
    cs_err err;
    int code = 0;
    if (!cli_parse(use, argc, argv, &operands, &code)) return code;
    if (run(said, operands.at[0], &r, &made, &err) != CS_OK) return cli_fail(use->name, &err, said->json);
    add_answer(said, &r, &made, &b);
    return cli_print(&b) ? CLI_DONE : CLI_FAILED;
}

int cli_renew(int argc, char **argv) {
    renew_said said = {.csr = NULL};
    const cli_opt opts[] = {
        {"csr", 0, CLI_TEXT, &said.csr, "FILE", "a request made where the key is, with the old key or a new one"},
        {"key-type", 0, CLI_TEXT, &said.key_type, "TYPE", "of the new key, as for issue"},
        {"kind", 0, CLI_TEXT, &said.kind, "KIND", "device, user or server, where the name is that of several"},
        {"out", 'o', CLI_TEXT, &said.out, "DIR", "where the files go (default: here)"},
        {"force", 0, CLI_FLAG, &said.force, NULL, "replace files that are there"},
        {"proof", 0, CLI_FLAG, &said.proof, NULL, "also NAME.proof.json, that the audit log holds the issuance"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "renew",
        .synopsis = "NAME|SERIAL [OPTION]...",
        .says =
            "Issues the next certificate of an identity: the names and the profile of the newest one it has, or of\n"
            "that serial, with a new key. Revoked ones are not renewed, ended ones within their grace only.",
        .examples = "  countersign renew pump-17 --out new/\n  countersign renew pump-17 --csr pump-17.csr",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 1,
    };
    return renew(&use, &said, argc, argv);
}

int cli_reissue(int argc, char **argv) {
    renew_said said = {.lost = true};
    const cli_opt opts[] = {
        {"reason", 0, CLI_TEXT, &said.reason, "WORD",
         "why the others end: superseded (default), key-compromise when the key is in other hands ..."},
        {"csr", 0, CLI_TEXT, &said.csr, "FILE", "a request made where the new key is"},
        {"key-type", 0, CLI_TEXT, &said.key_type, "TYPE", "of the new key, as for issue"},
        {"kind", 0, CLI_TEXT, &said.kind, "KIND", "device, user or server, where the name is that of several"},
        {"out", 'o', CLI_TEXT, &said.out, "DIR", "where the files go (default: here)"},
        {"force", 0, CLI_FLAG, &said.force, NULL, "replace files that are there"},
        {"proof", 0, CLI_FLAG, &said.proof, NULL, "also NAME.proof.json, that the audit log holds the issuance"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "reissue",
        .synopsis = "NAME|SERIAL [OPTION]...",
        .says = "After a loss: a new key and certificate, with the names and the profile of the newest one that the\n"
                "identity had. Its other certificates end: before the new one is issued when --reason is\n"
                "key-compromise, else after.",
        .examples = "  countersign reissue pump-17 --out new/\n"
                    "  countersign reissue ann@corp.example --reason key-compromise",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 1,
    };
    return renew(&use, &said, argc, argv);
}
