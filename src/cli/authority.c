/* countersign authority: the CA without a gateway, for where that is another process or another machine. */
#include "cli/cli.h"
#include "cli/up.h"

int cli_authority(int argc, char **argv) {
    up_said said = {.no_gateway = true, .no_examples = true};
    const cli_opt opts[] = {
        {"public-url", 0, CLI_TEXT, &said.conf.public_url, "URL", "what certificates name for their CRL"},
        {"trust-domain", 0, CLI_TEXT, &said.conf.trust_domain, "DOMAIN", "devices are spiffe://DOMAIN/device/NAME"},
        {"check", 0, CLI_FLAG, &said.check, NULL, "only check the configuration"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "authority",
        .synopsis = "[OPTION]...",
        .says =
            "Runs the authority and its signer until SIGTERM or Ctrl-C, on unix sockets below STATE/run; a gateway "
            "with\n"
            "the same state folder finds it there. The first start makes the CA, as up does. It says ready on stderr\n"
            "when it serves.",
        .examples = "  countersign authority -c authority.yaml",
        .opts = opts,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (up_run(&said, &err) != CS_OK) return cli_fail("authority", &err, said.json);
    if (said.check) (void)fputs("The configuration is valid\n", stdout);
    return CLI_DONE;
}
