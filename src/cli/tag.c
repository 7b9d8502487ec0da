/* countersign tag list|add|remove: words by which identities are found. */
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"

typedef struct tag_said {
    conf_overrides conf;
    bool json;
} tag_said;

static cs_status list(const tag_said *said, session *s, cs_buf *b, cs_err *err) {
    static const char *const heads[] = {"TAG", "IDENTITIES"};
    json_t *answer = NULL;
    const json_t *one = NULL;
    size_t i = 0;
    TRY(session_call(s, "GET", "/api/v1/tags", NULL, true, &answer, err));
    if (said->json) {
        (void)print_json(answer);
    } else {
        table t = table_begin(2, heads);
        json_array_foreach(json_object_get(answer, "tags"), i, one) {
            char n[24];
            (void)snprintf(n, sizeof n, "%lld", (long long)json_number(one, "identities"));
            table_add(&t, json_text(one, "tag"));
            table_add(&t, n);
        }
        table_end(&t, b);
    }
    json_decref(answer);
    return CS_OK;
}

static cs_status change(const tag_said *said, session *s, const cli_texts *o, cs_buf *b, cs_err *err) {
    json_t *answer = NULL, *tags = json_array();
    const json_t *one = NULL;
    size_t i = 0;
    for (size_t k = 3; k < o->n; k++)
        if (json_array_append_new(tags, json_string(o->at[k])) != 0) {
            json_decref(tags);
            return cs_fail(err, CS_REFUSED, CS_R_TAG_INVALID, "not UTF-8 text");
        }
    json_t *body = json_pack("{s:s, s:s, s:o}", "kind", o->at[1], "name", o->at[2], o->at[0], tags);
    if (body == NULL) return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "the name is not UTF-8 text");
    cs_status status = session_call(s, "POST", "/api/v1/tags", body, true, &answer, err);
    json_decref(body);
    if (status != CS_OK) return status;
    if (said->json) {
        (void)print_json(answer);
    } else {
        (void)cs_buf_addf(b, "%s %s:", json_text(answer, "kind"), json_text(answer, "name"));
        json_array_foreach(json_object_get(answer, "tags"), i, one) {
            (void)cs_buf_addf(b, " %s", json_string_value(one));
        }
        (void)cs_buf_add_str(b, i == 0 ? " no tags\n" : "\n");
    }
    json_decref(answer);
    return CS_OK;
}

static cs_status run(const tag_said *said, const cli_texts *o, cs_buf *b, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    bool lists = strcmp(o->at[0], "list") == 0 && o->n == 1;
    if (!lists && ((strcmp(o->at[0], "add") != 0 && strcmp(o->at[0], "remove") != 0) || o->n < 4))
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "expected list, add KIND NAME TAG... or remove KIND NAME TAG...");
    TRY(open_session(&said->conf, &c, &s, err));
    return lists ? list(said, s, b, err) : change(said, s, o, b, err);
}

int cli_tag(int argc, char **argv) {
    tag_said said = {.json = false};
    const cli_opt opts[] = {
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "tag",
        .synopsis = "list | add KIND NAME TAG... | remove KIND NAME TAG...",
        .says = "Words by which an identity is found, whichever certificates it has: countersign list --tag TAG.\n"
                "A renewal keeps them. They decide nothing.",
        .examples = "  countersign tag add device pump-17 site=berlin owner=ann\n  countersign list --tag site=berlin",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 35,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    CS_SCOPED(cs_buf) b = cs_buf_of(4 * 1024 * 1024);
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (run(&said, &operands, &b, &err) != CS_OK) return cli_fail("tag", &err, said.json);
    return cli_print(&b) ? CLI_DONE : CLI_FAILED;
}
