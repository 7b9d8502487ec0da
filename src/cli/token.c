/* countersign token create|list|revoke: what lets an identity enroll, whichever protocol it speaks. */
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"

typedef struct token_said {
    conf_overrides conf;
    const char *profile, *ttl;
    unsigned uses;
    bool json;
} token_said;

static cs_status create(const token_said *said, session *s, const char *kind, const char *name, cs_buf *b,
                        cs_err *err) {
    json_t *answer = NULL;
    cs_time ttl = 0;
    char until[32];
    if (said->ttl != NULL && !cs_duration_parse(cs_view_str(said->ttl), &ttl))
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--ttl \"%s\", expected a duration, such as 24h or 7d", said->ttl);
    json_t *body = json_pack("{s:s, s:s, s:s*}", "kind", kind, "name", name, "profile", said->profile);
    if (body == NULL) return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "the name is not UTF-8 text");
    if (ttl > 0) (void)json_object_set_new(body, "ttl_seconds", json_integer(ttl > CS_SEC ? ttl / CS_SEC : 1));
    if (said->uses > 0) (void)json_object_set_new(body, "uses", json_integer(said->uses));
    cs_status status = session_call(s, "POST", "/api/v1/tokens", body, false, &answer, err);
    json_decref(body);
    if (status != CS_OK) return status;
    bool server = strcmp(kind, "server") == 0;
    if (!said->json && server)
        (void)cs_buf_addf(b, "For ACME: key id %s, HMAC key %s\n", json_text(answer, "name"),
                          json_text(answer, "eab_hmac_key"));
    if (said->json)
        (void)print_json(answer);
    else
        (void)cs_buf_addf(b, "Token for %s %s, until %s, shown this once:\n%s\n", json_text(answer, "kind"),
                          json_text(answer, "name"), short_time(json_text(answer, "not_after"), until),
                          json_text(answer, "token"));
    json_decref(answer);
    return CS_OK;
}

static void add_row(table *t, const json_t *a) {
    char until[32], uses[48];
    (void)snprintf(uses, sizeof uses, "%lld of %lld", (long long)json_number(a, "used"),
                   (long long)json_number(a, "uses"));
    table_add(t, json_text(a, "id"));
    table_add(t, json_text(a, "kind"));
    table_add(t, json_text(a, "name"));
    table_add(t, json_text(a, "state"));
    table_add(t, uses);
    table_add(t, short_time(json_text(a, "not_after"), until));
}

static cs_status list(const token_said *said, session *s, const char *name, cs_buf *b, cs_err *err) {
    static const char *const heads[] = {"ID", "KIND", "NAME", "STATE", "USED", "UNTIL"};
    const list_form form = {.columns = 6, .heads = heads, .add = add_row, .json = said->json};
    CS_SCOPED(cs_buf) path = cs_buf_of(4096);
    (void)cs_buf_add_str(&path, "/api/v1/tokens");
    if (name != NULL && cs_buf_add_str(&path, "?name=")) (void)url_add(&path, name);
    return list_rows(s, cs_buf_cstr(&path), "tokens", 0, &form, b, err);
}

static cs_status revoke(const token_said *said, session *s, const char *id, cs_buf *b, cs_err *err) {
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s}", "id", id);
    if (body == NULL) return cs_fail(err, CS_REFUSED, CS_R_TOKEN_UNKNOWN, "%s", id);
    cs_status status = session_call(s, "POST", "/api/v1/tokens/revoke", body, true, &answer, err);
    json_decref(body);
    if (status != CS_OK) return status;
    if (said->json)
        (void)print_json(answer);
    else
        (void)cs_buf_addf(b, "Revoked: token %s\n", id);
    json_decref(answer);
    return CS_OK;
}

static cs_status run(const token_said *said, const cli_texts *o, cs_buf *b, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    const char *verb = o->at[0];
    cs_process_guard();
    bool creates = strcmp(verb, "create") == 0 && o->n == 3, lists = strcmp(verb, "list") == 0 && o->n <= 2;
    bool revokes = strcmp(verb, "revoke") == 0 && o->n == 2;
    if (!creates && !lists && !revokes)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "expected create KIND NAME, list [NAME] or revoke ID");
    TRY(open_session(&said->conf, &c, &s, err));
    if (creates) return create(said, s, o->at[1], o->at[2], b, err);
    return lists ? list(said, s, o->n == 2 ? o->at[1] : NULL, b, err) : revoke(said, s, o->at[1], b, err);
}

int cli_token(int argc, char **argv) {
    token_said said = {.uses = 0};
    const cli_opt opts[] = {
        {"profile", 0, CLI_TEXT, &said.profile, "NAME", "by which profile (default: the kind's own)"},
        {"ttl", 0, CLI_TEXT, &said.ttl, "TIME", "how long it is good, such as 7d (default: 24h)"},
        {"uses", 0, CLI_NUMBER, &said.uses, "N", "for how many certificates (default: 1)"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "token",
        .synopsis = "create KIND NAME | list [NAME] | revoke ID [OPTION]...",
        .says =
            "Makes a token by which that identity, and no other, may ask for its certificate: EST and REST take it\n"
            "as the password. It is shown once; kept is nothing by which it could be used.",
        .examples = "  countersign token create device pump-17\n"
                    "  countersign token create device pump-17 --ttl 7d --uses 2 --json\n"
                    "  countersign token revoke nv546gjdqkrjfoya",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 3,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    CS_SCOPED(cs_buf) b = cs_buf_secret(4 * 1024 * 1024);
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (run(&said, &operands, &b, &err) != CS_OK) return cli_fail("token", &err, said.json);
    return cli_print(&b) ? CLI_DONE : CLI_FAILED;
}
