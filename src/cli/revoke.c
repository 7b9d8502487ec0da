/* countersign revoke, hold, release NAME|SERIAL: what a certificate opened is closed within a second, for good or until
 * it is released. */
#include <stdlib.h>

#include "cli/print.h"
#include "x509/build.h"

/* What the three differ in. */
typedef struct verb {
    const char *name, *path, *list, *word, *none;
    const char *reason; /* fixed; NULL: none, or asked for by --reason */
} verb;

static const verb revoke = {"revoke",  "/api/v1/revocations",          "revoked",
                            "Revoked", "Nothing was left to revoke\n", NULL};
static const verb hold = {"hold",    "/api/v1/revocations",        "revoked",
                          "On hold", "Nothing was left to hold\n", "certificate-hold"};
static const verb release = {"release", "/api/v1/releases", "released", "Released", "Nothing was on hold\n", NULL};

typedef struct revoke_said {
    const verb *verb;
    conf_overrides conf;
    const char *reason;
    bool json;
} revoke_said;

static cs_status ask(const revoke_said *said, session *s, const char *key, const char *what, json_t **ret,
                     cs_err *err) {
    json_t *body = json_pack("{s:s}", key, what);
    if (body == NULL) return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "the name is not UTF-8 text");
    if (said->reason != NULL) (void)json_object_set_new(body, "reason", json_string(said->reason));
    cs_status got = session_call(s, "POST", said->verb->path, body, false, ret, err);
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
        cs_status got = ask(said, s, "serial", serial, ret, err);
        if (got == CS_OK || err->reason != CS_R_CERTIFICATE_UNKNOWN) return got;
    }
    return ask(said, s, "name", what, ret, err);
}

static void add_words(const verb *v, const json_t *answer, cs_buf *b) {
    const json_t *r = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(answer, v->list), i, r) {
        (void)cs_buf_addf(b, "%s: %s %s, serial %s\n", v->word, json_text(r, "kind"), json_text(r, "name"),
                          json_text(r, "serial"));
    }
    if (i == 0) (void)cs_buf_add_str(b, v->none);
}

/* With the command line read into *said: does it and prints what was done. */
static int carry_out(const cli_use *use, revoke_said *said, int argc, char **argv) {
    cli_texts operands;
    cs_err err;
    int code = 0;
    json_t *answer = NULL;
    if (!cli_parse(use, argc, argv, &operands, &code)) return code;
    if (said->verb->reason != NULL) said->reason = said->verb->reason;
    if (run(said, operands.at[0], &answer, &err) != CS_OK) return cli_fail(said->verb->name, &err, said->json);
    CS_SCOPED(cs_buf) b = cs_buf_of(4 * 1024 * 1024);
    if (said->json)
        code = print_json(answer);
    else
        add_words(said->verb, answer, &b);
    json_decref(answer);
    return code == CLI_DONE && cli_print(&b) ? CLI_DONE : CLI_FAILED;
}

int cli_revoke(int argc, char **argv) {
    revoke_said said = {.verb = &revoke};
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
    return carry_out(&use, &said, argc, argv);
}

int cli_hold(int argc, char **argv) {
    revoke_said said = {.verb = &hold};
    const cli_opt opts[] = {CLI_OPT_STATE(said.conf), CLI_OPT_JSON(said.json), CLI_OPT_END};
    const cli_use use = {
        .name = "hold",
        .synopsis = "NAME|SERIAL [OPTION]...",
        .says = "Revokes for the time being: as revoke, but countersign release takes it back.",
        .examples = "  countersign hold pump-17",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 1,
    };
    return carry_out(&use, &said, argc, argv);
}

int cli_release(int argc, char **argv) {
    revoke_said said = {.verb = &release};
    const cli_opt opts[] = {CLI_OPT_STATE(said.conf), CLI_OPT_JSON(said.json), CLI_OPT_END};
    const cli_use use = {
        .name = "release",
        .synopsis = "NAME|SERIAL [OPTION]...",
        .says = "Takes a hold back: the certificate is good again at once. What is revoked for good stays so.",
        .examples = "  countersign release pump-17",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 1,
    };
    return carry_out(&use, &said, argc, argv);
}
