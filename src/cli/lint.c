/* countersign lint FILE...: which rules a certificate, CRL or request breaks. */
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"
#include "io/files.h"
#include "x509/lint.h"

enum { LINT_OUT_MAX = 64 * 1024 * 1024 };

typedef struct linting {
    const char *file;
    unsigned object; /* of the file, 1 first */
    bool as_json;
    cs_json j;
    cs_buf *b;
    size_t objects, errors, warnings;
} linting;

static void put_json(linting *l, const cs_lint_report *r) {
    cs_json_object(&l->j, NULL);
    cs_json_str(&l->j, "file", l->file);
    cs_json_int(&l->j, "object", l->object);
    cs_json_str(&l->j, "type", cs_lint_of_name(r->of));
    cs_json_str(&l->j, "name", r->name);
    cs_json_array(&l->j, "findings");
    for (size_t i = 0; i < r->n; i++) {
        const cs_lint_finding *f = &r->at[i];
        cs_json_object(&l->j, NULL);
        cs_json_str(&l->j, "rule", f->rule->id);
        cs_json_str(&l->j, "severity", cs_lint_severity_name(f->rule->severity));
        cs_json_str(&l->j, "source", f->rule->source);
        cs_json_str(&l->j, "demands", f->rule->says);
        if (f->field[0] != '\0') cs_json_str(&l->j, "field", f->field);
        cs_json_str(&l->j, "found", f->detail);
        cs_json_object_end(&l->j);
    }
    cs_json_array_end(&l->j);
    cs_json_object_end(&l->j);
}

static void put_words(linting *l, const cs_lint_report *r) {
    (void)cs_buf_addf(l->b, "%s, %s %u: ", l->file, cs_lint_of_name(r->of), l->object);
    (void)cs_text_escape(l->b, cs_view_str(r->name), CS_NAME_TEXT_MAX);
    (void)cs_buf_addf(l->b, "%s%s\n", r->name[0] != '\0' ? ": " : "", r->n == 0 ? "keeps all rules" : "");
    for (size_t i = 0; i < r->n; i++) {
        const cs_lint_finding *f = &r->at[i];
        (void)cs_buf_addf(l->b, "  %-7s  %s: %s%s%s; demanded is %s (%s)\n", cs_lint_severity_name(f->rule->severity),
                          f->rule->id, f->field, f->field[0] != '\0' ? " " : "", f->detail, f->rule->says,
                          f->rule->source);
    }
}

static void seen(void *cls, const cs_lint_report *r) {
    linting *l = cls;
    l->object++;
    l->objects++;
    l->errors += r->errors;
    l->warnings += r->warnings;
    if (l->as_json)
        put_json(l, r);
    else
        put_words(l, r);
}

static cs_status lint_file(linting *l, const char *path, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_CRL_MAX);
    TRY(files_read(path, CS_CRL_MAX, &text, err));
    l->file = path;
    l->object = 0;
    return cs_lint_text(cs_buf_view(&text), path, seen, l, err);
}

/* The table, for docs/lint.md. */
static void put_rules(cs_buf *b) {
    (void)cs_buf_add_str(b, "| rule | of | severity | demands | source |\n| --- | --- | --- | --- | --- |\n");
    const cs_lint_rule *r = NULL;
    for (size_t i = 0; (r = cs_lint_rule_at(i)) != NULL; i++)
        (void)cs_buf_addf(b, "| `%s` | %s | %s | %s | %s |\n", r->id, cs_lint_of_name(r->of),
                          cs_lint_severity_name(r->severity), r->says, r->source);
}

static cs_status lint_all(linting *l, const cli_texts *files, cs_err *err) {
    l->j = cs_json_to(l->b);
    if (l->as_json) cs_json_array(&l->j, NULL);
    for (size_t i = 0; i < files->n; i++) TRY(lint_file(l, files->at[i], err));
    if (l->as_json) {
        cs_json_array_end(&l->j);
        (void)cs_buf_add_byte(l->b, '\n');
    } else if (l->objects > 1) {
        (void)cs_buf_addf(l->b, "%zu objects, %zu errors, %zu warnings\n", l->objects, l->errors, l->warnings);
    }
    return cs_buf_ok(l->b, "the findings", err);
}

int cli_lint(int argc, char **argv) {
    bool json = false, rules = false, strict = false;
    const cli_opt opts[] = {
        {"strict", 0, CLI_FLAG, &strict, NULL, "warnings count as errors"},
        {"rules", 0, CLI_FLAG, &rules, NULL, "print the table of rules, and nothing else"},
        CLI_OPT_JSON(json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "lint",
        .synopsis = "FILE...",
        .says = "Says which rules of RFC 5280, and of our own, certificates, CRLs and requests break (PEM or DER).\n"
                "Exit 1 when an error is found. It judges each by itself; countersign verify judges paths.",
        .examples = "  countersign lint gw.crt\n  countersign lint --json *.pem",
        .opts = opts,
        .operands_min = 0,
        .operands_max = CLI_LIST_MAX,
    };
    cli_texts files;
    cs_err err;
    int code = 0;
    CS_SCOPED(cs_buf) b = cs_buf_of(LINT_OUT_MAX);
    linting l = {.as_json = json, .b = &b};
    if (!cli_parse(&use, argc, argv, &files, &code)) return code;
    l.as_json = json;
    if (rules) {
        put_rules(&b);
        return cli_print(&b) ? CLI_DONE : CLI_FAILED;
    }
    if (files.n == 0) return cli_usage("lint", "something is missing; it is: countersign lint FILE...");
    if (lint_all(&l, &files, &err) != CS_OK) return cli_fail("lint", &err, json);
    if (!cli_print(&b)) return CLI_FAILED;
    return l.errors > 0 || (strict && l.warnings > 0) ? CLI_FAILED : CLI_DONE;
}
