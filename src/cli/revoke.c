/* countersign revoke NAME|SERIAL: what it opened is closed within a second. */
#include <stdlib.h>

#include "cli/print.h"
#include "x509/build.h"

typedef struct revoke_said {
    conf_overrides conf;
    const char *reason;
    bool json;
} revoke_said;

static cs_status ask(session *s, const char *key, const char *what, const char *reason, json_t **ret, cs_err *err) {
    json_t *body = json_pack("{s:s}", key, what);
    if (body == NULL) return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "the name is not UTF-8 text");
    if (reason != NULL) (void)json_object_set_new(body, "reason", json_string(reason));
    cs_status got = session_call(s, "POST", "/api/v1/revocations", body, false, ret, err);
    json_decref(body);
    return got;
}

static cs_status run(const revoke_said *said, const char *what, json_t **ret, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    char serial[2 * CS_SERIAL_MAX + 1];
    int code = 0;
    if (said->reason != NULL) TRY(cs_crl_reason_parse(cs_view_str(said->reason), &code, err));
    TRY(open_session(&said->conf, &c, &s, err));
    if (serial_like(what, serial)) {
        cs_status got = ask(s, "serial", serial, said->reason, ret, err);
        if (got == CS_OK || err->reason != CS_R_CERTIFICATE_UNKNOWN) return got;
    }
    return ask(s, "name", what, said->reason, ret, err);
}

static void add_words(const json_t *answer, cs_buf *b) {
    const json_t *r = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(answer, "revoked"), i, r) {
        (void)cs_buf_addf(b, "Revoked: %s %s, serial %s\n", json_text(r, "kind"), json_text(r, "name"),
                          json_text(r, "serial"));
    }
    if (i == 0) (void)cs_buf_add_str(b, "Nothing was left to revoke\n");
}

int cli_revoke(int argc, char **argv) {
    revoke_said said = {0};
    const cli_opt opts[] = {
        {"reason", 0, CLI_TEXT, &said.reason, "REASON",
         "unspecified (default), key-compromise, affiliation-changed, superseded, cessation-of-operation, "
         "certificate-hold or privilege-withdrawn"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "revoke",
        .synopsis = "NAME|SERIAL [OPTION]...",
        .says =
            "Revokes one certificate by its serial number, or all valid ones of a name. A gateway that runs beside\n"
            "closes their connections within a second; the next CRL lists them.",
        .examples = "  countersign revoke pump-17 --reason key-compromise",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 1,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    json_t *answer = NULL;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (run(&said, operands.at[0], &answer, &err) != CS_OK) return cli_fail("revoke", &err, said.json);
    CS_SCOPED(cs_buf) b = cs_buf_of(4 * 1024 * 1024);
    if (said.json)
        code = print_json(answer);
    else
        add_words(answer, &b);
    json_decref(answer);
    return code == CLI_DONE && cli_print(&b) ? CLI_DONE : CLI_FAILED;
}
