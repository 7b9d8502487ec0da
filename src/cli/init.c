/* countersign init: a root and an issuing CA. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/ceremony.h"
#include "cli/cli.h"
#include "io/files.h"

typedef struct init_said {
    conf_overrides conf;
    const char *key_type, *passphrase_file;
    bool json;
} init_said;

/* An organization that is a domain name is the trust domain too. */
static const char *domain_of(const char *organization) {
    size_t n = strlen(organization);
    bool dot = strchr(organization, '.') != NULL;
    bool ldh = strspn(organization, "abcdefghijklmnopqrstuvwxyz0123456789.-") == n;
    return dot && ldh && organization[0] != '.' && organization[n - 1] != '.' ? organization : NULL;
}

static bool print_made(const init_said *said, const ceremony_ask *ask) {
    CS_SCOPED(cs_buf) b = cs_buf_of(16 * 1024);
    if (said->json) {
        cs_json j = cs_json_to(&b);
        cs_json_object(&j, NULL);
        cs_json_str(&j, "result", "done");
        cs_json_str(&j, "state", ask->state);
        cs_json_str(&j, "organization", ask->organization);
        cs_json_str(&j, "trust_domain", ask->trust_domain);
        cs_json_str(&j, "public_url", ask->public_url);
        cs_json_str(&j, "key_type", cs_key_spec_name(ask->spec));
        cs_json_object_end(&j);
        (void)cs_buf_add_byte(&b, '\n');
    } else {
        (void)cs_buf_addf(&b,
                          "A root and an issuing CA for %s are in %s/ca\n"
                          "  root.crt     what everybody is to trust\n"
                          "  root.key     encrypted; needed only to make another "
                          "issuing CA: keep it offline\n"
                          "  issuing.crt  signs certificates (5 years); "
                          "issuing.key is read by the signer alone\n"
                          "Certificates will name %s for their CRL; devices are "
                          "spiffe://%s/device/NAME\n\n"
                          "Next:\n"
                          "  countersign issue server gw.example --state %s\n"
                          "  countersign up --state %s\n",
                          ask->organization, ask->state, ask->public_url, ask->trust_domain, ask->state, ask->state);
    }
    return cli_print(&b);
}

static cs_status run(const init_said *said, const char *organization, conf **ret_conf, ceremony_ask *ask, cs_err *err) {
    CS_AUTO(cs_secret) passphrase = NULL;
    conf_overrides over = said->conf;
    if (said->key_type != NULL) TRY(cs_key_spec_parse(cs_view_str(said->key_type), &ask->spec, err));
    if (ask->spec == CS_KEYSPEC_RSA_2048)
        return cs_fail(err, CS_REFUSED, CS_R_KEY_TOO_WEAK, "a CA's RSA key has 3072 or 4096 bits");
    if (!cs_utf8_valid(cs_view_str(organization)) || organization[0] == '\0')
        return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "the authority's name must be UTF-8 text");
    if (over.trust_domain == NULL) over.trust_domain = domain_of(organization);
    TRY(conf_load(&over, ret_conf, err));
    const conf *c = *ret_conf;
    TRY(ceremony_refuse(c->state, err));
    TRY(cli_root_passphrase(said->passphrase_file, true, &passphrase, err));
    ask->state = c->state;
    ask->organization = organization;
    ask->trust_domain = c->trust_domain;
    ask->public_url = c->public_url;
    ask->passphrase = passphrase;
    ask->clock = cs_clock_system();
    ask->rng = cs_rng_system();
    TRY(ceremony_run(ask, err));
    ask->passphrase = NULL;
    return CS_OK;
}

int cli_init(int argc, char **argv) {
    init_said said = {0};
    const char *never = NULL;
    const cli_opt opts[] = {
        {"key-type", 0, CLI_TEXT, &said.key_type, "TYPE",
         "ecdsa-p256 (default), ecdsa-p384, ed25519, rsa-3072, rsa-4096, ml-dsa-65 ..."},
        {"trust-domain", 0, CLI_TEXT, &said.conf.trust_domain, "DOMAIN",
         "devices are spiffe://DOMAIN/device/NAME (default: NAME if it is a "
         "domain)"},
        {"public-url", 0, CLI_TEXT, &said.conf.public_url, "URL",
         "http://HOST[:PORT] that certificates name for CRL and CA"},
        {"passphrase-file", 0, CLI_TEXT, &said.passphrase_file, "FILE",
         "private file with the root key's passphrase; - is standard input"},
        {"passphrase", 0, CLI_NEVER, &never, NULL,
         "other users see a command line; use --passphrase-file FILE, or type it "
         "when asked"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "init",
        .synopsis = "[NAME] [OPTION]...",
        .says = "Makes a root and an issuing CA in the state folder. The root's "
                "key is encrypted under a passphrase,\n"
                "asked at the terminal (twice), read from a file or from "
                "systemd's credential root-passphrase.\n"
                "Nothing is overwritten; killed half way, it leaves nothing half "
                "made.",
        .examples = "  countersign init acme.example\n"
                    "  countersign init \"ACME Corporation\" --trust-domain "
                    "acme.example --key-type ecdsa-p384",
        .opts = opts,
        .operands_max = 1,
    };
    cli_texts operands;
    CS_AUTO(conf) c = NULL;
    ceremony_ask ask = {0};
    cs_err err;
    int code = 0;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (run(&said, operands.n > 0 ? operands.at[0] : "Countersign", &c, &ask, &err) != CS_OK)
        return cli_fail("init", &err, said.json);
    return print_made(&said, &ask) ? CLI_DONE : CLI_FAILED;
}
