/* countersign gateway: the front door alone, before any service, for the clients of any CA. Becomes the gateway's
 * program: whoever started the command has it as its own child, to signal and to wait for. */
#include <errno.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/up.h"
#include "io/files.h"
#include "io/spawn.h"

/* What would be refused later, by a process that knows less of how it was asked. */
static cs_status prepare(const conf_overrides *said, bool check, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    char path[CONF_PATH_MAX];
    TRY(conf_load(said, &c, err));
    if (up_page_needed(c))
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                       "%s: a site has no upstream, expected such as http://HOST:PORT",
                       c->file != NULL ? c->file : "no configuration");
    if (check) return CS_OK;
    TRY(files_mkdir_private(c->state, err));
    TRY(conf_path(c, "run", path, err));
    return files_mkdir_private(path, err);
}

cs_status up_become_gateway(const conf_overrides *said, bool alone, bool check, cs_err *err) {
    char program[FILES_PATH_MAX];
    const char *argv[CONF_ARGV_MAX + 4] = {"countersign-gateway"};
    int n = 1;
    if (alone) argv[n++] = "--alone";
    if (check) argv[n++] = "--check";
    (void)conf_argv(said, argv, n);
    TRY(spawn_find("countersign-gateway", program, err));
    (void)fflush(stdout);
    (void)execv(program, (char *const *)(uintptr_t)argv);
    return cs_fail_errno(err, errno, CS_R_PROCESS_FAILED, "%s", program);
}

int cli_gateway(int argc, char **argv) {
    conf_overrides said = {0};
    bool check = false;
    const cli_opt opts[] = {
        {"https", 0, CLI_TEXT, &said.https, "ADDR:PORT", "where it serves (default 127.0.0.1:8443)"},
        {"metrics", 0, CLI_TEXT, &said.metrics, "ADDR:PORT", "Prometheus (default 127.0.0.1:9443; off: none)"},
        {"upstream", 0, CLI_TEXT, &said.upstream, "URL", "what is behind it, where no site says otherwise"},
        {"threads", 0, CLI_NUMBER, &said.threads, "N", "default: one a core"},
        {"check", 0, CLI_FLAG, &check, NULL, "only check the configuration, with every file that it names"},
        CLI_OPT_STATE(said),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "gateway",
        .synopsis = "-c FILE [OPTION]...",
        .says = "Runs the gateway alone until SIGTERM or Ctrl-C: mutual TLS before any service, for the clients of any "
                "CA.\n"
                "SIGHUP, countersign reload and changed files make it read its configuration again. It says ready on\n"
                "stderr when it serves.",
        .examples = "  countersign gateway -c gateway.yaml\n  countersign gateway -c gateway.yaml --check",
        .opts = opts,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (prepare(&said, check, &err) != CS_OK || up_become_gateway(&said, true, check, &err) != CS_OK)
        return cli_fail("gateway", &err, false);
    return CLI_DONE;
}
