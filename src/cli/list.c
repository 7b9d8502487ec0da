/* countersign list: what was issued. */
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"

typedef struct list_said {
    conf_overrides conf;
    const char *kind, *name, *status, *within;
    unsigned limit;
    bool all, json, csv;
} list_said;

enum { PAGE = 500 };

/* One page's address; `after` is the serial that the page before ended with. */
static cs_status page_path(const list_said *said, const char *after, unsigned left, cs_buf *path, cs_err *err) {
    cs_buf_clear(path);
    (void)cs_buf_addf(path, "/api/v1/certificates?limit=%u&status=", left < PAGE ? left : PAGE);
    (void)url_add(path, said->status != NULL ? said->status : "valid");
    if (said->kind != NULL) {
        (void)cs_buf_add_str(path, "&kind=");
        (void)url_add(path, said->kind);
    }
    if (said->name != NULL) {
        (void)cs_buf_add_str(path, "&name=");
        (void)url_add(path, said->name);
    }
    if (said->within != NULL) {
        (void)cs_buf_add_str(path, "&expires_within=");
        (void)url_add(path, said->within);
    }
    if (after != NULL && after[0] != '\0') {
        (void)cs_buf_add_str(path, "&after=");
        (void)url_add(path, after);
    }
    return cs_buf_ok(path, "the request's address", err);
}

static void add_row(table *t, const json_t *c) {
    char until[32];
    table_add(t, json_text(c, "serial"));
    table_add(t, json_text(c, "kind"));
    table_add(t, json_text(c, "name"));
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

static const char *const exported[] = {"serial",     "kind",      "name",       "status",
                                       "not_before", "not_after", "revoked_at", "revocation_reason",
                                       "subject",    "sha256"};
enum { EXPORTED = sizeof exported / sizeof exported[0] };

static bool print_csv(const json_t *c) {
    CS_SCOPED(cs_buf) b = cs_buf_of(64 * 1024);
    for (size_t i = 0; i < EXPORTED; i++)
        add_cell(&b, c != NULL ? json_text(c, exported[i]) : exported[i], i + 1 == EXPORTED);
    return cli_print(&b);
}

/* One certificate a line as JSON or CSV, so that a million of them need no memory; else rows of the table. */
static cs_status take_page(const list_said *said, const json_t *page, table *t, unsigned *left, cs_err *err) {
    const json_t *all = json_object_get(page, "certificates"), *c = NULL;
    size_t i = 0;
    json_array_foreach(all, i, c) {
        (*left)--;
        if (!said->json && !said->csv)
            add_row(t, c);
        else if (said->csv ? !print_csv(c) : print_json(c) != CLI_DONE)
            return cs_fail(err, CS_FAILED, CS_R_FILE_UNWRITABLE, "standard output");
    }
    return CS_OK;
}

static cs_status run(const list_said *said, table *t, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    CS_SCOPED(cs_buf) path = cs_buf_of(4096);
    char after[2 * CS_SERIAL_MAX + 1] = "";
    unsigned left = said->limit > 0 ? said->limit : 1000000000;
    TRY(open_session(&said->conf, &c, &s, err));
    do {
        json_t *page = NULL;
        TRY(page_path(said, after, left, &path, err));
        TRY(session_call(s, "GET", cs_buf_cstr(&path), NULL, true, &page, err));
        cs_status got = take_page(said, page, t, &left, err);
        const json_t *next = json_object_get(page, "next");
        (void)snprintf(after, sizeof after, "%s", json_is_string(next) ? json_string_value(next) : "");
        json_decref(page);
        TRY(got);
    } while (after[0] != '\0' && left > 0);
    return CS_OK;
}

int cli_list(int argc, char **argv) {
    list_said said = {0};
    const cli_opt opts[] = {
        {"kind", 0, CLI_TEXT, &said.kind, "KIND", "only server, user or device"},
        {"name", 0, CLI_TEXT, &said.name, "NAME", "only those of that name; * stands for any text"},
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
    static const char *const heads[] = {"SERIAL", "KIND", "NAME", "STATUS", "UNTIL"};
    cli_texts operands;
    cs_err err;
    int code = 0;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (said.all) said.status = "all";
    if (said.csv && said.json) return cli_usage("list", "--csv or --json");
    if (said.csv && !print_csv(NULL)) return CLI_FAILED;
    CS_SCOPED(cs_buf) b = cs_buf_of(64 * 1024 * 1024);
    table t = table_begin(5, heads);
    cs_status s = run(&said, &t, &err);
    table_end(&t, &b);
    if (s != CS_OK) return cli_fail("list", &err, said.json);
    if (said.json || said.csv) return CLI_DONE;
    return cli_print(&b) ? CLI_DONE : CLI_FAILED;
}
