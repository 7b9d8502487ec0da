/* countersign admin: who may use the API, and for what. */
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"

typedef struct admin_said {
    conf_overrides conf;
    const char *role, *kind;
    bool json;
} admin_said;

static void add_row(table *t, const json_t *a) {
    char roles[64] = "", since[32];
    const json_t *role = NULL;
    size_t i = 0, n = 0;
    json_array_foreach(json_object_get(a, "roles"), i, role) {
        const char *text = json_string_value(role);
        n += (size_t)snprintf(roles + n, sizeof roles - n, "%s%s", i > 0 ? "," : "", text != NULL ? text : "");
        if (n >= sizeof roles) break;
    }
    table_add(t, json_text(a, "kind"));
    table_add(t, json_text(a, "name"));
    table_add(t, roles);
    table_add(t, short_time(json_text(a, "since"), since));
    table_add(t, json_text(a, "given_by"));
}

static cs_status list(const admin_said *said, session *s, cs_buf *b, cs_err *err) {
    static const char *const heads[] = {"KIND", "NAME", "ROLES", "SINCE", "GIVEN BY"};
    json_t *answer = NULL;
    const json_t *a = NULL;
    size_t i = 0;
    TRY(session_call(s, "GET", "/api/v1/admins", NULL, true, &answer, err));
    if (said->json) {
        (void)print_json(answer);
    } else {
        table t = table_begin(5, heads);
        json_array_foreach(json_object_get(answer, "admins"), i, a) add_row(&t, a);
        table_end(&t, b);
    }
    json_decref(answer);
    return CS_OK;
}

static cs_status change(const admin_said *said, session *s, const char *verb, const char *name, cs_buf *b,
                        cs_err *err) {
    bool add = strcmp(verb, "add") == 0;
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s, s:s*, s:s*}", "name", name, "role", said->role, "kind", said->kind);
    if (body == NULL) return CS_NOMEM_ERR(err);
    cs_status status =
        session_call(s, "POST", add ? "/api/v1/admins" : "/api/v1/admins/remove", body, false, &answer, err);
    json_decref(body);
    if (status != CS_OK) return status;
    if (said->json)
        (void)print_json(answer);
    else if (strcmp(json_text(answer, "state"), "waiting") == 0)
        (void)cs_buf_addf(b, "Proposal %lld waits for a second administrator\n",
                          (long long)json_number(answer, "proposal"));
    else
        (void)cs_buf_addf(b, "%s: %zu role%s now\n", name, json_array_size(json_object_get(answer, "roles")),
                          json_array_size(json_object_get(answer, "roles")) == 1 ? "" : "s");
    json_decref(answer);
    return CS_OK;
}

static cs_status run(const admin_said *said, const cli_texts *words, cs_buf *b, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    TRY(open_session(&said->conf, &c, &s, err));
    if (strcmp(words->at[0], "list") == 0) return list(said, s, b, err);
    return change(said, s, words->at[0], words->at[1], b, err);
}

static bool check_words(const cli_texts *words, const admin_said *said, int *ret_exit) {
    const char *verb = words->at[0];
    bool is_list = strcmp(verb, "list") == 0, add = strcmp(verb, "add") == 0;
    *ret_exit = 0;
    if (!is_list && !add && strcmp(verb, "remove") != 0)
        *ret_exit = cli_usage("admin", "\"%s\": list, add or remove is expected", verb);
    else if (words->n != (is_list ? 1 : 2))
        *ret_exit = cli_usage("admin", "%s", is_list ? "list takes no name" : "a name is missing");
    else if (add && said->role == NULL)
        *ret_exit = cli_usage("admin", "add needs --role: issuer, approver, auditor, operator or all");
    return *ret_exit == 0;
}

int cli_admin(int argc, char **argv) {
    admin_said said = {0};
    const cli_opt opts[] = {
        {"role", 0, CLI_TEXT, &said.role, "ROLE", "issuer, approver, auditor, operator or all; several with commas"},
        {"kind", 0, CLI_TEXT, &said.kind, "KIND", "of the identity: user (default), device or server"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "admin",
        .synopsis = "list | add NAME --role ROLE | remove NAME [--role ROLE]",
        .says = "Says who may use the API over the gateway, by their certificate, and for what. An issuer issues and\n"
                "revokes, an approver decides, an auditor reads the audit log too, an operator publishes and names\n"
                "administrators. remove without --role takes all.",
        .examples = "  countersign admin add ann@corp.example --role approver\n  countersign admin list",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 2,
    };
    cli_texts words;
    cs_err err;
    int code = 0;
    if (!cli_parse(&use, argc, argv, &words, &code) || !check_words(&words, &said, &code)) return code;
    CS_SCOPED(cs_buf) b = cs_buf_of(1024 * 1024);
    if (run(&said, &words, &b, &err) != CS_OK) return cli_fail("admin", &err, said.json);
    return cli_print(&b) ? CLI_DONE : CLI_FAILED;
}
