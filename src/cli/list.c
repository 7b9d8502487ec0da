/* countersign list: what was issued. */
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"

typedef struct list_said {
    conf_overrides conf;
    const char *kind, *name, *status, *within, *issuer, *profile, *tag;
    unsigned limit;
    bool all, json, csv;
} list_said;

static cs_status path_of(const list_said *said, cs_buf *path, cs_err *err) {
    const struct {
        const char *key, *value;
    } conditions[] = {{"kind", said->kind},       {"name", said->name}, {"issuer", said->issuer},
                      {"profile", said->profile}, {"tag", said->tag},   {"expires_within", said->within}};
    (void)cs_buf_add_str(path, "/api/v1/certificates?status=");
    (void)url_add(path, said->status != NULL ? said->status : "valid");
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++) {
        if (conditions[i].value == NULL) continue;
        (void)cs_buf_addf(path, "&%s=", conditions[i].key);
        (void)url_add(path, conditions[i].value);
    }
    return cs_buf_ok(path, "the request's address", err);
}

static void add_row(table *t, const json_t *c) {
    char until[32];
    table_add(t, json_text(c, "serial"));
    table_add(t, json_text(c, "kind"));
    table_add(t, json_text(c, "name"));
    table_add(t, json_text(c, "profile"));
    table_add(t, json_text(c, "status"));
    table_add(t, short_time(json_text(c, "not_after"), until));
}

/* RFC 4180; a cell that a spreadsheet would take for a formula begins with an apostrophe. */
static void add_cell(cs_buf *b, const char *text, bool last) {
    bool quote = strpbrk(text, ",\"\r\n") != NULL, formula = text[0] != '\0' && strchr("=+-@\t", text[0]) != NULL;
    if (quote) (void)cs_buf_add_byte(b, '"');
    if (formula) (void)cs_buf_add_byte(b, '\'');
    for (; *text != '\0'; text++) {
        if (*text == '"') (void)cs_buf_add_byte(b, '"');
        (void)cs_buf_add_byte(b, (uint8_t)*text);
    }
    if (quote) (void)cs_buf_add_byte(b, '"');
    (void)cs_buf_add_str(b, last ? "\r\n" : ",");
}

static const char *const exported[] = {
    "serial",  "kind",   "name",    "status", "not_before", "not_after", "revoked_at", "revocation_reason",
    "subject", "sha256", "profile", "ca",     "tags"};
enum { EXPORTED = sizeof exported / sizeof exported[0] };

/* A list is one cell, with blanks between. */
static void add_member(cs_buf *b, const json_t *c, const char *key, bool last) {
    const json_t *list = json_object_get(c, key), *one = NULL;
    CS_SCOPED(cs_buf) words = cs_buf_of(64 * 1024);
    size_t i = 0;
    if (!json_is_array(list)) {
        add_cell(b, json_text(c, key), last);
        return;
    }
    json_array_foreach(list, i, one) {
        (void)cs_buf_addf(&words, "%s%s", i > 0 ? " " : "", json_string_value(one));
    }
    add_cell(b, cs_buf_cstr(&words), last);
}

static bool print_csv(const json_t *c) {
    CS_SCOPED(cs_buf) b = cs_buf_of(64 * 1024);
    for (size_t i = 0; i < EXPORTED; i++) {
        if (c != NULL)
            add_member(&b, c, exported[i], i + 1 == EXPORTED);
        else
            add_cell(&b, exported[i], i + 1 == EXPORTED);
    }
    return cli_print(&b);
}

static cs_status take_csv(void *cls, const json_t *c, cs_err *err) {
    (void)cls;
    return print_csv(c) ? CS_OK : cs_fail(err, CS_FAILED, CS_R_FILE_UNWRITABLE, "standard output");
}

/* One certificate a line as JSON or CSV, so that a million of them need no memory; else rows of the table. */
static cs_status run(const list_said *said, cs_buf *b, cs_err *err) {
    static const char *const heads[] = {"SERIAL", "KIND", "NAME", "PROFILE", "STATUS", "UNTIL"};
    const list_form form = {.columns = 6, .heads = heads, .add = add_row, .json = said->json};
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    CS_SCOPED(cs_buf) path = cs_buf_of(4096);
    TRY(path_of(said, &path, err));
    TRY(open_session(&said->conf, &c, &s, err));
    if (!said->csv) return list_rows(s, cs_buf_cstr(&path), "certificates", said->limit, &form, b, err);
    return each_row(session_get, s, cs_buf_cstr(&path), "certificates", said->limit, take_csv, NULL, err);
}

int cli_list(int argc, char **argv) {
    list_said said = {0};
    const cli_opt opts[] = {
        {"kind", 0, CLI_TEXT, &said.kind, "KIND", "only server, user or device"},
        {"name", 0, CLI_TEXT, &said.name, "NAME", "only those of that name; * stands for any text"},
        {"issuer", 0, CLI_TEXT, &said.issuer, "CA", "only those that this CA issued"},
        {"profile", 0, CLI_TEXT, &said.profile, "PROFILE", "only those of that profile"},
        {"tag", 0, CLI_TEXT, &said.tag, "TAG", "only those of identities with that tag"},
        {"status", 0, CLI_TEXT, &said.status, "STATUS", "valid (default), expired, revoked, held or all"},
        {"expires-within", 0, CLI_TEXT, &said.within, "TIME", "only those that end within, such as 30d, soonest first"},
        {"csv", 0, CLI_FLAG, &said.csv, NULL, "print CSV with a heading"},
        {"all", 'a', CLI_FLAG, &said.all, NULL, "the same as --status all"},
        {"limit", 'n', CLI_NUMBER, &said.limit, "N", "at most N"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "list",
        .synopsis = "[OPTION]...",
        .says = "Lists the certificates that were issued. With --json, one object a line.",
        .examples = "  countersign list --kind device --name 'pump-*'\n  countersign list --expires-within 30d\n"
                    "  countersign list --status all --csv > inventory.csv",
        .opts = opts,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (said.all) said.status = "all";
    if (said.csv && said.json) return cli_usage("list", "--csv or --json");
    if (said.csv && !print_csv(NULL)) return CLI_FAILED;
    CS_SCOPED(cs_buf) b = cs_buf_of(64 * 1024 * 1024);
    cs_status s = run(&said, &b, &err);
    if (s != CS_OK) return cli_fail("list", &err, said.json);
    if (said.json || said.csv) return CLI_DONE;
    return cli_print(&b) ? CLI_DONE : CLI_FAILED;
}
