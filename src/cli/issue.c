/* countersign issue KIND NAME: key and certificate for a server, user or device. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/bulk.h"
#include "cli/issuing.h"
#include "cli/session.h"

typedef struct issue_said {
    conf_overrides conf;
    cli_texts dns, ip, email;
    const char *csr, *key_type, *lifetime, *profile, *issuer, *out, *p12, *password_file, *from, *archive, *labels;
    bool modern, force, json, keep_going, each_p12, proof;
} issue_said;

static cs_status judge(const issue_said *said, const cli_texts *operands, issue_ask *ask, cs_identity *who,
                       cs_err *err) {
    if (!cs_kind_parse(cs_view_str(operands->at[0]), &ask->kind))
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "\"%s\", expected server, user or device", operands->at[0]);
    TRY(cs_identity_make(ask->kind, cs_view_str(operands->at[1]), who, err));
    ask->name = who->name;
    if (said->key_type != NULL) TRY(cs_key_spec_parse(cs_view_str(said->key_type), &ask->spec, err));
    ask->profile = said->profile;
    ask->issuer = said->issuer;
    if (said->lifetime != NULL && !cs_duration_parse(cs_view_str(said->lifetime), &ask->lifetime))
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--lifetime \"%s\", expected a duration, such as 90d or 8h",
                       said->lifetime);
    if (said->csr != NULL && said->p12 != NULL)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE,
                       "--p12 needs the private key, and --csr keeps it where it was made");
    if (said->csr != NULL && said->key_type != NULL)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--key-type is for a new key, and --csr has one");
    if (said->p12 == NULL && (said->modern || said->password_file != NULL))
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--modern and --password-file go with --p12");
    ask->dns = &said->dns;
    ask->ip = &said->ip;
    ask->email = &said->email;
    ask->csr = said->csr;
    ask->out = said->out != NULL ? said->out : ".";
    ask->p12 = said->p12;
    ask->modern = said->modern;
    ask->password_file = said->password_file;
    ask->force = said->force;
    ask->proof = said->proof;
    return CS_OK;
}

static void add_json(const issue_ask *ask, const issue_made *made, cs_buf *b) {
    cs_json j = cs_json_to(b);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "result", "done");
    cs_json_str(&j, "kind", cs_kind_name(ask->kind));
    cs_json_str(&j, "name", ask->name);
    cs_json_str(&j, "serial", made->serial);
    cs_json_str(&j, "not_before", made->not_before);
    cs_json_str(&j, "not_after", made->not_after);
    cs_json_str(&j, "certificate_file", made->crt);
    cs_json_str(&j, "key_file", made->key[0] != '\0' ? made->key : NULL);
    cs_json_str(&j, "ca_file", made->ca);
    if (made->proof[0] != '\0') cs_json_str(&j, "proof_file", made->proof);
    if (ask->p12 != NULL) cs_json_str(&j, "p12_file", ask->p12);
    if (made->password != NULL) cs_json_view(&j, "p12_password", cs_secret_view(made->password));
    if (ask->password_file != NULL) cs_json_str(&j, "p12_password_file", ask->password_file);
    cs_json_object_end(&j);
    (void)cs_buf_add_byte(b, '\n');
}

static void add_words(const issue_ask *ask, const issue_made *made, cs_buf *b) {
    (void)cs_buf_addf(b, "Issued to %s %s: serial %s, until %s\n", cs_kind_name(ask->kind), ask->name, made->serial,
                      made->not_after);
    (void)cs_buf_addf(b, "  %s  certificate and its issuer\n", made->crt);
    if (made->key[0] != '\0') (void)cs_buf_addf(b, "  %s  private key\n", made->key);
    (void)cs_buf_addf(b, "  %s  the root that the other side trusts\n", made->ca);
    if (made->proof[0] != '\0') (void)cs_buf_addf(b, "  %s  proof that the audit log holds it\n", made->proof);
    if (ask->p12 == NULL) return;
    (void)cs_buf_addf(b, "  %s  key and certificates for a browser\n", ask->p12);
    if (ask->password_file != NULL) {
        (void)cs_buf_addf(b, "  %s  its password\n", ask->password_file);
    } else if (made->password != NULL) {
        (void)cs_buf_add_str(b, "\nIts password, shown this once: ");
        (void)cs_buf_add_view(b, cs_secret_view(made->password));
        (void)cs_buf_add_byte(b, '\n');
    }
}

static cs_status run(const issue_said *said, const cli_texts *operands, issue_ask *ask, cs_identity *who,
                     issue_made *made, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    cs_process_guard();
    TRY(judge(said, operands, ask, who, err));
    TRY(conf_load(&said->conf, &c, err));
    TRY(session_open(c, &said->conf, &s, err));
    return issue_run(ask, c, issue_over_session, s, made, err);
}

/* ---- a list of them ---- */

static cs_status judge_list(const issue_said *said, const cli_texts *operands, bulk_ask *ask, cs_err *err) {
    if (operands->n > 1 || said->csr != NULL || said->p12 != NULL || said->password_file != NULL || said->force ||
        said->proof || said->key_type != NULL || said->lifetime != NULL || said->profile != NULL ||
        said->issuer != NULL || said->dns.n + said->ip.n + said->email.n > 0)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE,
                       "--from takes names, requests, key types and lifetimes and profiles from the file's columns");
    if (operands->n == 1 && !cs_kind_parse(cs_view_str(operands->at[0]), &ask->kind))
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "\"%s\", expected server, user or device", operands->at[0]);
    if (said->modern && !said->each_p12) return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--modern goes with --each-p12");
    if (said->labels != NULL && said->each_p12)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--labels reads NAME.crt, which --each-p12 leaves out");
    ask->from = said->from;
    ask->out = said->out != NULL ? said->out : ".";
    ask->keep_going = said->keep_going;
    ask->p12 = said->each_p12;
    ask->modern = said->modern;
    ask->archive = said->archive;
    ask->labels = said->labels;
    return CS_OK;
}

static cs_status run_list(const issue_said *said, const cli_texts *operands, bulk_ask *ask, bulk_made *made,
                          cs_err *err) {
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    cs_process_guard();
    TRY(judge_list(said, operands, ask, err));
    TRY(conf_load(&said->conf, &c, err));
    TRY(session_open(c, &said->conf, &s, err));
    return bulk_run(ask, c, s, made, err);
}

static int issue_list(const issue_said *said, const cli_texts *operands) {
    bulk_ask ask = {.kind = CS_KIND_OTHER};
    bulk_made made = {.rows = 0};
    CS_SCOPED(cs_buf) b = cs_buf_of((size_t)64 * 1024 * 1024);
    cs_err err;
    cs_status s = run_list(said, operands, &ask, &made, &err);
    if (said->json && s == CS_OK) {
        cs_json j = cs_json_to(&b);
        cs_json_object(&j, NULL);
        cs_json_str(&j, "result", made.bad == 0 ? "done" : "failed");
        cs_json_int(&j, "rows", (int64_t)made.rows);
        cs_json_int(&j, "issued", (int64_t)made.issued);
        cs_json_int(&j, "there", (int64_t)made.there);
        cs_json_array(&j, "bad");
        cs_json_raw(&j, NULL, cs_buf_view(&made.bad_json));
        cs_json_array_end(&j);
        cs_json_object_end(&j);
        (void)cs_buf_add_byte(&b, '\n');
    } else if (s == CS_OK) {
        (void)cs_buf_addf(&b, "Issued %zu of %zu into %s", made.issued, made.rows, ask.out);
        if (made.there > 0) (void)cs_buf_addf(&b, "; %zu were there", made.there);
        if (made.bad > 0) (void)cs_buf_addf(&b, "; %zu rows were bad", made.bad);
        (void)cs_buf_add_byte(&b, '\n');
    }
    cs_buf_free(&made.bad_json);
    if (s != CS_OK) return cli_fail("issue", &err, said->json);
    return cli_print(&b) && made.bad == 0 ? CLI_DONE : CLI_FAILED;
}

int cli_issue(int argc, char **argv) {
    issue_said said = {0};
    const cli_opt opts[] = {
        {"dns", 0, CLI_LIST, &said.dns, "NAME", "one more DNS name"},
        {"ip", 0, CLI_LIST, &said.ip, "ADDRESS", "one more IP address"},
        {"email", 0, CLI_LIST, &said.email, "ADDRESS", "one more e-mail address"},
        {"csr", 0, CLI_TEXT, &said.csr, "FILE", "a request (PKCS#10) made where the key is; - is standard input"},
        {"key-type", 0, CLI_TEXT, &said.key_type, "TYPE",
         "ecdsa-p256 (default), ecdsa-p384, ed25519, rsa-2048, rsa-3072, rsa-4096, ml-dsa-65 ..."},
        {"profile", 0, CLI_TEXT, &said.profile, "NAME", "of the configuration (default: the one of its kind)"},
        {"issuer", 0, CLI_TEXT, &said.issuer, "CA", "which CA signs (default: the one that countersign ca use chose)"},
        {"lifetime", 0, CLI_TEXT, &said.lifetime, "TIME", "such as 30d or 8h (default: the profile's)"},
        {"out", 'o', CLI_TEXT, &said.out, "DIR", "where the files go (default: here)"},
        {"p12", 0, CLI_TEXT, &said.p12, "FILE", "also as PKCS#12, in the form that imports everywhere"},
        {"modern", 0, CLI_FLAG, &said.modern, NULL, "PKCS#12 with AES-256 (not for macOS, iOS, old Windows)"},
        {"password-file", 0, CLI_TEXT, &said.password_file, "FILE",
         "write the PKCS#12 password there, not to the screen"},
        {"force", 0, CLI_FLAG, &said.force, NULL, "replace files that are there"},
        {"proof", 0, CLI_FLAG, &said.proof, NULL, "also NAME.proof.json, that the audit log holds the issuance"},
        {"from", 0, CLI_TEXT, &said.from, "FILE", "issue to all of a CSV or JSON lines file; - is standard input"},
        {"keep-going", 0, CLI_FLAG, &said.keep_going, NULL, "with --from: leave out bad rows, else none is issued"},
        {"each-p12", 0, CLI_FLAG, &said.each_p12, NULL, "with --from: NAME.p12 and its password, not PEM"},
        {"archive", 0, CLI_TEXT, &said.archive, "FILE", "with --from: all files also as .tar, .tar.gz or .tar.zst"},
        {"labels", 0, CLI_TEXT, &said.labels, "DIR",
         "with --from: a label with a QR code each, NAME.svg, and labels.html"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "issue",
        .synopsis = "server|user|device NAME [OPTION]... | [KIND] --from FILE [OPTION]...",
        .says = "Issues a certificate and writes NAME.crt (with its issuer), NAME.key (0600) and ca.pem.\n"
                "A server's NAME is a DNS name or IP address, a user's an e-mail address, a device's a word.",
        .examples = "  countersign issue server gw.corp.example --ip 10.0.0.5\n"
                    "  countersign issue user ann@corp.example --p12 ann.p12\n"
                    "  countersign issue device pump-17 --csr pump-17.csr\n"
                    "  countersign issue --from fleet.csv --out fleet/",
        .opts = opts,
        .operands_min = 0,
        .operands_max = 2,
    };
    cli_texts operands;
    issue_ask ask = {.kind = CS_KIND_OTHER};
    CS_SCOPED(issue_made) made = {.password = NULL};
    cs_identity who;
    cs_err err;
    int code = 0;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (said.from != NULL) return issue_list(&said, &operands);
    if (operands.n < 2) return cli_usage("issue", "something is missing; it is: countersign issue %s", use.synopsis);
    if (said.keep_going || said.each_p12 || said.archive != NULL || said.labels != NULL)
        return cli_usage("issue", "--keep-going, --each-p12, --archive and --labels go with --from");
    if (run(&said, &operands, &ask, &who, &made, &err) != CS_OK) return cli_fail("issue", &err, said.json);
    CS_SCOPED(cs_buf) b = cs_buf_secret(16 * 1024);
    if (said.json)
        add_json(&ask, &made, &b);
    else
        add_words(&ask, &made, &b);
    return cli_print(&b) ? CLI_DONE : CLI_FAILED;
}
