/* countersign COMMAND ...: finds the command and runs it. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"

static int show_version(int argc, char **argv) {
    (void)argc, (void)argv;
    return puts("countersign " CS_VERSION) < 0 ? CLI_FAILED : CLI_DONE;
}

static int show_help(int argc, char **argv);

static const cli_command commands[] = {
    {"up", cli_up, "everything on one machine: authority and gateway"},
    {"gateway", cli_gateway, "the gateway alone, before any service"},
    {"tunnel", cli_tunnel, "a program without TLS, through mutual TLS to a remote"},
    {"authority", cli_authority, "the authority alone"},
    {"init", cli_init, "make a root and an issuing CA"},
    {"issue", cli_issue, "issue a certificate to a server, user or device"},
    {"list", cli_list, "list what was issued"},
    {"show", cli_show, "show one certificate"},
    {"revoke", cli_revoke, "revoke a certificate"},
    {"hold", cli_hold, "revoke a certificate for the time being"},
    {"release", cli_release, "take a hold back"},
    {"renew", cli_renew, "issue an identity's next certificate"},
    {"reissue", cli_reissue, "replace the certificates of an identity whose key was lost"},
    {"renew-window", cli_renew_window, "have a cohort renewed before its time"},
    {"enroll", cli_enroll, "ask an authority elsewhere for a certificate"},
    {"agent", cli_agent, "keep identities renewed: enroll, renew, install, reload what uses them"},
    {"token", cli_token, "let a server, user or device ask for its certificate itself"},
    {"device", cli_device, "devices that enroll by their maker's certificate, or by a key"},
    {"request", cli_request, "requests that wait: look, approve, deny"},
    {"tag", cli_tag, "words by which identities are found"},
    {"admin", cli_admin, "who may use the API, and for what"},
    {"ca", cli_ca, "the CAs: make, request, sign, install, choose, retire"},
    {"rollover", cli_rollover, "a CA takes over from another, in stages"},
    {"crl", cli_crl, "publish the list of revoked certificates"},
    {"notify", cli_notify, "tell of certificates that end soon"},
    {"status", cli_status, "what runs, what was issued, what expires next"},
    {"proposal", cli_proposal, "what waits for a second administrator"},
    {"log", cli_log, "the audit log: read, proven, verified"},
    {"store", cli_store, "the database: checked, backed up, restored, moved"},
    {"top", cli_top, "what the gateway does now, and who is connected"},
    {"reload", cli_reload, "the gateway reads its configuration again"},
    {"verify", cli_verify, "the verdict on a certificate, with its reason"},
    {"doctor", cli_doctor, "why mutual TLS with a server fails, and what mends it"},
    {"explain", cli_explain, "what an error text or a finding means, and what mends it"},
    {"profile", cli_profile, "what certificates say, and what a request would get"},
    {"bundle", cli_bundle, "what a person needs to use a certificate on his machines"},
    {"config", cli_config, "configuration for servers and clients that are not ours"},
    {"audit", cli_audit, "what is weak, open, wrong or about to end, in files"},
    {"lint", cli_lint, "which rules a certificate, CRL or request breaks"},
    {"version", show_version, "the version"},
    {"help", show_help, "this, or the help of a command"},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static const cli_command *find(const char *name) {
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    return NULL;
}

static int unknown(const char *name) {
    const char *nearest = NULL;
    size_t best = 3;
    for (size_t i = 0; i < COMMANDS; i++) {
        size_t d = cs_text_distance(cs_view_str(commands[i].name), cs_view_str(name));
        if (d < best) best = d, nearest = commands[i].name;
    }
    if (nearest != NULL) return cli_usage(NULL, "unknown command \"%s\", did you mean \"%s\"?", name, nearest);
    return cli_usage(NULL, "unknown command \"%s\"; countersign help shows what there is", name);
}

static void list_commands(FILE *f) {
    (void)fputs("Mutual TLS, whole: the authority, the gateway and what checks both.\n\n"
                "  countersign up                      a CA, a gateway and an example, ready to try\n"
                "  countersign issue device pump-17    key and certificate for a device\n\n"
                "Usage: countersign COMMAND [OPTION]...\n\n",
                f);
    for (size_t i = 0; i < COMMANDS; i++) (void)fprintf(f, "  %-9s %s\n", commands[i].name, commands[i].says);
    (void)fputs("\ncountersign COMMAND --help says more. Exit: 0 done, 1 refused or failed, 2 usage.\n", f);
}

static int show_help(int argc, char **argv) {
    if (argc < 2 || argv[1][0] == '-') {
        list_commands(stdout);
        return CLI_DONE;
    }
    const cli_command *c = find(argv[1]);
    if (c == NULL) return unknown(argv[1]);
    if (c->run == show_help || c->run == show_version) {
        (void)printf("countersign %s: %s\n", c->name, c->says);
        return CLI_DONE;
    }
    char name[16], help[] = "--help";
    (void)snprintf(name, sizeof name, "%s", c->name);
    char *args[] = {name, help, NULL};
    return c->run(2, args);
}

int main(int argc, char **argv) {
    (void)signal(SIGPIPE, SIG_IGN); /* a closed pipe is a failed write, said like any other */
    if (argc < 2) {
        list_commands(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) return show_version(argc - 1, argv + 1);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) return show_help(1, argv + 1);
    const cli_command *c = find(argv[1]);
    int code = c != NULL ? c->run(argc - 1, argv + 1) : unknown(argv[1]);
    if (fflush(stdout) != 0 && code == CLI_DONE) {
        if (errno != EPIPE) (void)fputs("countersign: standard output cannot be written\n", stderr);
        code = CLI_FAILED;
    }
    return code;
}
