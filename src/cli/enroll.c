/* countersign enroll URL: a certificate from an authority elsewhere, ours or another's, over EST, SCEP, CMP or ACME. */
#include <stdlib.h>
#include <string.h>

#include "cli/enrolling.h"

typedef struct enroll_said {
    const char *protocol, *kind, *token_fd, *wait;
    char fd_path[32], credential[FILES_PATH_MAX];
    cli_texts dns, ip, email;
    enrolling_ask ask;
    bool no_wait, json;
} enroll_said;

#define WAIT_DEFAULT (10 * CS_MIN)

static cs_status judge_wait(enroll_said *said, cs_err *err) {
    said->ask.wait = WAIT_DEFAULT;
    if (said->no_wait) said->ask.wait = 0;
    if (said->wait == NULL) return CS_OK;
    if (said->no_wait) return cs_fail(err, CS_REFUSED, CS_R_USAGE, "either --wait or --no-wait");
    if (cs_duration_parse(cs_view_str(said->wait), &said->ask.wait)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--wait \"%s\", expected a duration, such as 15m or 2d", said->wait);
}

/* From --token-file, from a descriptor that is open already, or systemd's credential `token`; else there is none. */
static cs_status find_token(enroll_said *said, cs_err *err) {
    enrolling_ask *ask = &said->ask;
    if (said->token_fd != NULL) {
        char *end = NULL;
        unsigned long fd = strtoul(said->token_fd, &end, 10);
        if (ask->token_file != NULL) return cs_fail(err, CS_REFUSED, CS_R_USAGE, "either --token-file or --token-fd");
        if (said->token_fd[0] < '0' || said->token_fd[0] > '9' || *end != '\0' || fd > 65535)
            return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--token-fd \"%s\", expected a number", said->token_fd);
        (void)snprintf(said->fd_path, sizeof said->fd_path, "/dev/fd/%lu", fd);
        ask->token_file = fd == 0 ? "-" : said->fd_path;
    }
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    if (ask->token_file != NULL || ask->cert != NULL || credentials == NULL || credentials[0] != '/') return CS_OK;
    TRY(files_join(credentials, "token", said->credential, err));
    if (files_exists(said->credential)) ask->token_file = said->credential;
    return CS_OK;
}

static cs_status run(enroll_said *said, const char *url, enrolling_made *made, cs_err *err) {
    enrolling_ask *ask = &said->ask;
    cs_process_guard();
    ask->url = url;
    ask->dns = &said->dns;
    ask->ip = &said->ip;
    ask->email = &said->email;
    if (ask->out == NULL) ask->out = ".";
    if (said->kind != NULL && !cs_kind_parse(cs_view_str(said->kind), &ask->kind))
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--kind \"%s\", expected server, user or device", said->kind);
    TRY(judge_wait(said, err));
    TRY(client_protocol_find(said->protocol, url, &ask->protocol, err));
    if (ask->protocol == &client_acme && said->kind == NULL) ask->kind = CS_KIND_SERVER;
    TRY(find_token(said, err));
    return enrolling_run(ask, made, err);
}

static void add_answer(const enroll_said *said, const enrolling_made *made, cs_buf *b) {
    if (!said->json) {
        (void)cs_buf_addf(b, "Enrolled %s: serial %s, until %s\n", made->name, made->serial, made->not_after);
        (void)cs_buf_addf(b, "  %s  certificate and its issuers\n  %s  private key\n", made->crt, made->key);
        (void)cs_buf_addf(b, "  %s  whom to trust\n", made->ca);
        return;
    }
    cs_json j = cs_json_to(b);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "result", "done");
    cs_json_str(&j, "protocol", said->ask.protocol->name);
    cs_json_str(&j, "name", made->name);
    cs_json_str(&j, "serial", made->serial);
    cs_json_str(&j, "not_before", made->not_before);
    cs_json_str(&j, "not_after", made->not_after);
    cs_json_str(&j, "certificate", made->crt);
    cs_json_str(&j, "key", made->key);
    cs_json_str(&j, "ca", made->ca);
    cs_json_object_end(&j);
    (void)cs_buf_add_byte(b, '\n');
}

static const char says[] =
    "Makes a key here and asks the authority at URL for its certificate: ours, or any that speaks the protocol.\n"
    "A token or password proves a newcomer; --cert and --key renew. Writes NAME.key, NAME.crt (with its\n"
    "issuers) and ca.pem. While a person decides, it asks again; given once more, the command goes on with the\n"
    "same key.";

int cli_enroll(int argc, char **argv) {
    enroll_said said = {.protocol = NULL};
    enrolling_ask *ask = &said.ask;
    const cli_opt opts[] = {
        {"protocol", 0, CLI_TEXT, &said.protocol, "NAME", "est, scep, cmp or acme (default: as the URL's path says)"},
        {"name", 0, CLI_TEXT, &ask->name, "NAME", "for whom (renewing: as the certificate says)"},
        {"kind", 0, CLI_TEXT, &said.kind, "KIND", "server, user or device: its name is then a name of that kind"},
        {"dns", 0, CLI_LIST, &said.dns, "NAME", "a further DNS name"},
        {"ip", 0, CLI_LIST, &said.ip, "ADDRESS", "a further IP address"},
        {"email", 0, CLI_LIST, &said.email, "ADDRESS", "a further e-mail address"},
        {"profile", 0, CLI_TEXT, &ask->profile, "NAME", "the profile or label to ask for"},
        {"user", 0, CLI_TEXT, &ask->user, "NAME", "whose token or password it is (default: as --name)"},
        {"token-file", 0, CLI_TEXT, &ask->token_file, "FILE", "holds the token or password; - is standard input"},
        {"token-fd", 0, CLI_TEXT, &said.token_fd, "N", "the same, from an open descriptor"},
        {"token", 0, CLI_NEVER, NULL, NULL, "others see the command line; use --token-file"},
        {"cert", 0, CLI_TEXT, &ask->cert, "FILE", "the certificate that is renewed"},
        {"key", 0, CLI_TEXT, &ask->key, "FILE", "its key"},
        {"ca", 0, CLI_TEXT, &ask->ca, "FILE", "whom to trust (default: this machine's CAs)"},
        {"ca-fingerprint", 0, CLI_TEXT, &ask->fingerprint, "HEX", "SHA-256 of the CA's certificate: the first trust"},
        {"key-type", 0, CLI_TEXT, &ask->key_type, "TYPE", "of the new key, such as ecdsa-p256 or rsa-3072"},
        {"webroot", 0, CLI_TEXT, &ask->proving.webroot, "DIR",
         "ACME: the folder of a web server that names are proven by"},
        {"listen", 0, CLI_TEXT, &ask->proving.listen, "ADDR:PORT", "ACME: or our own web server (default: 0.0.0.0:80)"},
        {"hook", 0, CLI_TEXT, &ask->proving.hook, "PROGRAM", "ACME: or the DNS: PROGRAM show|hide NAME TEXT"},
        {"account-key", 0, CLI_TEXT, &ask->account_key, "FILE",
         "ACME: the account's key (default: account.key beside --out's)"},
        {"out", 'o', CLI_TEXT, &ask->out, "DIR", "where the files go (default: here)"},
        {"wait", 0, CLI_TEXT, &said.wait, "TIME", "how long to wait for an approval (default: 10m)"},
        {"no-wait", 0, CLI_FLAG, &said.no_wait, NULL, "do not wait: ask once"},
        {"force", 0, CLI_FLAG, &ask->force, NULL, "replace files that are there"},
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "enroll",
        .synopsis = "URL [OPTION]...",
        .says = says,
        .examples =
            "  countersign enroll https://ca.example:8443 --protocol est --name pump-17 --token-file token --ca "
            "ca.pem\n"
            "  countersign enroll https://ca.example:8443/.well-known/est --cert pump-17.crt --key pump-17.key --force",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 1,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    enrolling_made made;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (run(&said, operands.at[0], &made, &err) != CS_OK) return cli_fail("enroll", &err, said.json);
    CS_SCOPED(cs_buf) b = cs_buf_of(16 * 1024);
    add_answer(&said, &made, &b);
    return cli_print(&b) ? CLI_DONE : CLI_FAILED;
}
