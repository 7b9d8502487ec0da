/* countersign request list|show|approve|deny: requests for certificates that wait for a person. */
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"

typedef struct request_said {
    conf_overrides conf;
    const char *note, *state;
    bool all, json;
} request_said;

static void add_row(table *t, const json_t *r) {
    char since[32];
    table_add(t, json_text(r, "id"));
    table_add(t, json_text(r, "kind"));
    table_add(t, json_text(r, "name"));
    table_add(t, json_text(r, "state"));
    table_add(t, json_text(r, "source"));
    table_add(t, short_time(json_text(r, "created"), since));
}

static cs_status list(const request_said *said, session *s, cs_buf *b, cs_err *err) {
    static const char *const heads[] = {"ID", "KIND", "NAME", "STATE", "FROM", "SINCE"};
    const list_form form = {.columns = 6, .heads = heads, .add = add_row, .json = said->json};
    CS_SCOPED(cs_buf) path = cs_buf_of(4096);
    (void)cs_buf_add_str(&path, "/api/v1/requests?state=");
    (void)url_add(&path, said->all ? "all" : said->state != NULL ? said->state : "waiting");
    return list_rows(s, cs_buf_cstr(&path), "requests", 0, &form, b, err);
}

static cs_status show(const request_said *said, session *s, const char *id, cs_buf *b, cs_err *err) {
    static const char *const rows[] = {"id",      "kind",       "name",       "profile", "state",  "door", "source",
                                       "created", "credential", "key_sha256", "note",    "serial", "csr"};
    CS_SCOPED(cs_buf) path = cs_buf_of(4096);
    json_t *r = NULL;
    (void)cs_buf_add_str(&path, "/api/v1/requests/");
    (void)url_add(&path, id);
    TRY(session_call(s, "GET", cs_buf_cstr(&path), NULL, true, &r, err));
    if (said->json) {
        (void)print_json(r);
    } else {
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            if (json_text(r, rows[i])[0] != '\0')
                (void)cs_buf_addf(b, "%-11s %s%s\n", rows[i], strcmp(rows[i], "csr") == 0 ? "\n" : "",
                                  json_text(r, rows[i]));
    }
    json_decref(r);
    return CS_OK;
}

static cs_status decide(const request_said *said, session *s, const char *id, bool approve, cs_buf *b, cs_err *err) {
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s, s:s*}", "id", id, "note", said->note);
    if (body == NULL) return cs_fail(err, CS_REFUSED, CS_R_REQUEST_UNKNOWN, "not UTF-8 text");
    cs_status status = session_call(s, "POST", approve ? "/api/v1/requests/approve" : "/api/v1/requests/deny", body,
                                    false, &answer, err);
    json_decref(body);
    if (status != CS_OK) return status;
    if (said->json)
        (void)print_json(answer);
    else if (approve)
        (void)cs_buf_addf(b, "Issued to %s %s: serial %s, until %s\n", json_text(answer, "kind"),
                          json_text(answer, "name"), json_text(answer, "serial"), json_text(answer, "not_after"));
    else
        (void)cs_buf_addf(b, "Denied: request %s\n", id);
    json_decref(answer);
    return CS_OK;
}

static cs_status run(const request_said *said, const cli_texts *o, cs_buf *b, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    static const char *const verbs[] = {"list", "show", "approve", "deny"};
    size_t v = 0;
    while (v < 4 && strcmp(verbs[v], o->at[0]) != 0) v++;
    if (v == 4 || (v == 0) != (o->n == 1))
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "expected list, show ID, approve ID or deny ID");
    TRY(open_session(&said->conf, &c, &s, err));
    if (v == 0) return list(said, s, b, err);
    return v == 1 ? show(said, s, o->at[1], b, err) : decide(said, s, o->at[1], v == 2, b, err);
}

int cli_request(int argc, char **argv) {
    request_said said = {.note = NULL};
    const cli_opt opts[] = {
        {"note", 0, CLI_TEXT, &said.note, "TEXT", "why, for whoever looks later"},
        {"status", 0, CLI_TEXT, &said.state, "STATUS", "waiting (default), approved, denied, issued or all"},
        {"all", 'a', CLI_FLAG, &said.all, NULL, "the same as --status all"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "request",
        .synopsis = "list | show ID | approve ID | deny ID [OPTION]...",
        .says = "Requests for certificates that wait for a person: who asks, from where, with which key. What is\n"
                "approved is issued at once; its requester gets it when it asks again.",
        .examples = "  countersign request list\n  countersign request approve pkuzq2tzqk4vmd3i --note \"seen it\"",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 2,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    CS_SCOPED(cs_buf) b = cs_buf_of(4 * 1024 * 1024);
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (run(&said, &operands, &b, &err) != CS_OK) return cli_fail("request", &err, said.json);
    return cli_print(&b) ? CLI_DONE : CLI_FAILED;
}
