/* countersign renew-window: have a cohort of certificates renewed before their time, a few at a time. */
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"

typedef struct window_said {
    conf_overrides conf;
    const char *kind, *name, *tag, *profile, *issuer, *key_type, *begins, *spread, *why;
    bool all, json;
} window_said;

static cs_status make_body(const window_said *said, json_t **ret, cs_err *err) {
    cs_time spread = 0;
    if (said->spread != NULL && !cs_duration_parse(cs_view_str(said->spread), &spread))
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--spread %s: a duration is expected, such as 4h", said->spread);
    *ret = json_pack("{s:s*, s:s*, s:s*, s:s*, s:s*, s:s*, s:s*, s:s*, s:I}", "kind", said->kind, "name", said->name,
                     "tag", said->tag, "profile", said->profile, "issuer", said->issuer, "key_type", said->key_type,
                     "begins", said->begins, "why", said->why, "spread_seconds", (json_int_t)(spread / CS_SEC));
    return *ret != NULL ? CS_OK : cs_fail(err, CS_REFUSED, CS_R_USAGE, "an option is not UTF-8 text");
}

/* "name pump-*, tag site=berlin" */
static void add_conditions(const json_t *w, cs_buf *b) {
    static const char *const keys[] = {"kind", "name", "tag", "profile", "issuer", "key_type"};
    const char *comma = "";
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (json_text(w, keys[i])[0] == '\0') continue;
        (void)cs_buf_addf(b, "%s%s %s", comma, keys[i], json_text(w, keys[i]));
        comma = ", ";
    }
}

static void add_list(const json_t *answer, cs_buf *b) {
    static const char *const heads[] = {"ID", "BEGINS", "ENDS", "WHICH", "WHY", "REMOVED"};
    const json_t *w = NULL;
    size_t i = 0;
    table t = table_begin(6, heads);
    json_array_foreach(json_object_get(answer, "renewal_windows"), i, w) {
        char id[24], begins[32], ends[32], removed[32];
        CS_SCOPED(cs_buf) which = cs_buf_of(2048);
        (void)snprintf(id, sizeof id, "%lld", (long long)json_number(w, "id"));
        add_conditions(w, &which);
        const char *text = cs_buf_cstr(&which);
        table_add(&t, id);
        table_add(&t, short_time(json_text(w, "begins"), begins));
        table_add(&t, short_time(json_text(w, "ends"), ends));
        table_add(&t, text != NULL ? text : "");
        table_add(&t, json_text(w, "why"));
        table_add(&t, short_time(json_text(w, "removed"), removed));
    }
    table_end(&t, b);
}

static void add_one(const json_t *w, cs_buf *b) {
    bool more = json_is_true(json_object_get(w, "more"));
    (void)cs_buf_addf(b, "Renewal window %lld: ", (long long)json_number(w, "id"));
    add_conditions(w, b);
    (void)cs_buf_addf(b, "\n  from %s to %s%s%s\n  %s%lld certificates, %lld of them renewed\n", json_text(w, "begins"),
                      json_text(w, "ends"), json_text(w, "removed")[0] != '\0' ? ", removed " : "",
                      json_text(w, "removed"), more ? "at least " : "", (long long)json_number(w, "certificates"),
                      (long long)json_number(w, "renewed"));
}

static cs_status ask(const window_said *said, session *s, const cli_texts *o, json_t **ret, cs_err *err) {
    json_t *body = NULL;
    char path[64];
    const char *verb = o->at[0];
    if (strcmp(verb, "list") == 0) {
        (void)snprintf(path, sizeof path, "/api/v1/renewal-windows%s", said->all ? "?status=all" : "");
        return session_call(s, "GET", path, NULL, true, ret, err);
    }
    if (strcmp(verb, "show") == 0) {
        (void)snprintf(path, sizeof path, "/api/v1/renewal-windows/%.20s", o->at[1]);
        return session_call(s, "GET", path, NULL, true, ret, err);
    }
    bool set = strcmp(verb, "set") == 0;
    if (set)
        TRY(make_body(said, &body, err));
    else
        body = json_pack("{s:I}", "id", (json_int_t)strtoll(o->at[1], NULL, 10));
    if (body == NULL) return CS_NOMEM_ERR(err);
    cs_status status = session_call(s, "POST", set ? "/api/v1/renewal-windows" : "/api/v1/renewal-windows/remove", body,
                                    true, ret, err);
    json_decref(body);
    return status;
}

static cs_status check_words(const cli_texts *o, cs_err *err) {
    static const struct {
        const char *verb;
        size_t words;
    } verbs[] = {{"set", 1}, {"list", 1}, {"show", 2}, {"remove", 2}};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(o->at[0], verbs[i].verb) == 0 && o->n == verbs[i].words) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_USAGE, "expected set, list, show ID or remove ID");
}

static cs_status run(const window_said *said, const cli_texts *o, cs_buf *b, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    json_t *answer = NULL;
    TRY(check_words(o, err));
    TRY(open_session(&said->conf, &c, &s, err));
    TRY(ask(said, s, o, &answer, err));
    if (said->json)
        (void)print_json(answer);
    else if (strcmp(o->at[0], "list") == 0)
        add_list(answer, b);
    else if (strcmp(o->at[0], "remove") == 0)
        (void)cs_buf_addf(b, "Renewal window %s is removed\n", o->at[1]);
    else
        add_one(answer, b);
    json_decref(answer);
    return CS_OK;
}

int cli_renew_window(int argc, char **argv) {
    window_said said = {.kind = NULL};
    const cli_opt opts[] = {
        {"tag", 0, CLI_TEXT, &said.tag, "TAG", "certificates of identities with that tag"},
        {"name", 0, CLI_TEXT, &said.name, "NAME", "of that name; * stands for any text, alone for all"},
        {"kind", 0, CLI_TEXT, &said.kind, "KIND", "of servers, users or devices"},
        {"profile", 0, CLI_TEXT, &said.profile, "PROFILE", "of that profile"},
        {"issuer", 0, CLI_TEXT, &said.issuer, "CA", "that this CA issued"},
        {"key-type", 0, CLI_TEXT, &said.key_type, "TYPE", "with such keys: rsa-2048, or all that begin so: rsa"},
        {"begins", 0, CLI_TEXT, &said.begins, "TIME", "when the first is to renew, as RFC 3339 (default: now)"},
        {"spread", 0, CLI_TEXT, &said.spread, "TIME",
         "over how long they are divided, such as 4h (default: all at once)"},
        {"why", 0, CLI_TEXT, &said.why, "TEXT", "for whoever looks"},
        {"all", 'a', CLI_FLAG, &said.all, NULL, "list: those that were removed too"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "renew-window",
        .synopsis = "set CONDITION... [OPTION]... | list | show ID | remove ID",
        .says = "Tells the holders of certificates to renew them before their time, spread over a while. Who fits all\n"
                "conditions and was issued before is meant; ACME's clients (ARI), agents and whoever asks at\n"
                "/renewal-info learn their own part of the window. Nothing is revoked, nobody is forced.",
        .examples = "  countersign renew-window set --tag site=berlin --spread 6h --why 'the CA moves'\n"
                    "  countersign renew-window set --key-type rsa --spread 7d\n"
                    "  countersign renew-window show 1\n  countersign renew-window remove 1",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 2,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    CS_SCOPED(cs_buf) b = cs_buf_of(1024 * 1024);
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (run(&said, &operands, &b, &err) != CS_OK) return cli_fail("renew-window", &err, said.json);
    return cli_print(&b) ? CLI_DONE : CLI_FAILED;
}
