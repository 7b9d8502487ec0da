/* countersign crl: publishes the list of revoked certificates. */
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "io/files.h"

typedef struct crl_said {
    conf_overrides conf;
    const char *out;
    bool current, json;
} crl_said;

static cs_status run(const crl_said *said, json_t **ret, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    TRY(open_session(&said->conf, &c, &s, err));
    TRY(session_call(s, said->current ? "GET" : "POST", "/api/v1/crls", NULL, said->current, ret, err));
    if (said->out == NULL || strcmp(said->out, "-") == 0) return CS_OK;
    cs_status got = files_write(said->out, cs_view_str(json_text(*ret, "pem")), 0644, FILES_REPLACE, err);
    if (got != CS_OK) json_decref(*ret);
    return got;
}

static void add_words(const crl_said *said, const json_t *crl, cs_buf *b) {
    if (said->out != NULL && strcmp(said->out, "-") == 0) {
        (void)cs_buf_add_str(b, json_text(crl, "pem"));
        return;
    }
    (void)cs_buf_addf(b, "CRL number %lld: %lld entries, of %s, next by %s\n", (long long)json_number(crl, "number"),
                      (long long)json_number(crl, "entries"), json_text(crl, "this_update"),
                      json_text(crl, "next_update"));
    if (said->out != NULL) (void)cs_buf_addf(b, "  %s\n", said->out);
}

int cli_crl(int argc, char **argv) {
    crl_said said = {0};
    const cli_opt opts[] = {
        {"out", 'o', CLI_TEXT, &said.out, "FILE", "write the CRL there as PEM; - is standard output"},
        {"current", 0, CLI_FLAG, &said.current, NULL, "the one that is published already; make none"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "crl",
        .synopsis = "[OPTION]...",
        .says =
            "Makes and publishes the CRL of the issuing CA. countersign up does so by itself, in time and after each\n"
            "revocation; this is for taking it elsewhere.",
        .examples = "  countersign crl --out issuing.crl.pem",
        .opts = opts,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    json_t *crl = NULL;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (run(&said, &crl, &err) != CS_OK) return cli_fail("crl", &err, said.json);
    CS_SCOPED(cs_buf) b = cs_buf_of(CS_CRL_MAX);
    if (said.json)
        code = print_json(crl);
    else
        add_words(&said, crl, &b);
    json_decref(crl);
    return code == CLI_DONE && cli_print(&b) ? CLI_DONE : CLI_FAILED;
}
