/* countersign explain ID|TEXT: a finding of the table, or the likely causes of what a program said. */
#include "base/text.h"
#include "cli/cli.h"
#include "doctor/findings.h"
#include "io/files.h"

static void put_info(cs_buf *b, const finding_info *f) {
    (void)cs_buf_addf(b, "%s %s\n  %s\n", f->id, f->name, f->is);
    if (f->how[0] != '\0') (void)cs_buf_addf(b, "  %s\n", f->how);
    (void)cs_buf_addf(b, "  try: %s\n", f->fix);
    if (f->source[0] != '\0') (void)cs_buf_addf(b, "  see: %s\n", f->source);
}

static void put_json(cs_buf *b, const explained *e) {
    cs_json j = cs_json_to(b);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "program", e->program);
    cs_json_str(&j, "recognised", e->pattern);
    cs_json_array(&j, "causes");
    for (size_t i = 0; i < e->n; i++) {
        cs_json_object(&j, NULL);
        cs_json_str(&j, "id", e->at[i]->id);
        cs_json_str(&j, "name", e->at[i]->name);
        cs_json_str(&j, "is", e->at[i]->is);
        cs_json_str(&j, "how", e->at[i]->how);
        cs_json_str(&j, "fix", e->at[i]->fix);
        cs_json_str(&j, "source", e->at[i]->source);
        cs_json_object_end(&j);
    }
    cs_json_array_end(&j);
    cs_json_object_end(&j);
    (void)cs_buf_add_byte(b, '\n');
}

static cs_status gather(const cli_texts *words, cs_buf *text, cs_err *err) {
    if (words->n == 0 || (words->n == 1 && strcmp(words->at[0], "-") == 0))
        return files_read_input(EXPLAIN_TEXT_MAX, text, err);
    for (size_t i = 0; i < words->n; i++) (void)cs_buf_addf(text, "%s%s", i > 0 ? " " : "", words->at[i]);
    return cs_buf_ok(text, "the text", err);
}

static int list_all(bool json) {
    CS_SCOPED(cs_buf) b = cs_buf_of(1 << 20);
    const finding_info *f = NULL;
    cs_json j = cs_json_to(&b);
    if (json) cs_json_array(&j, NULL);
    for (size_t i = 0; (f = finding_at(i)) != NULL; i++) {
        if (!json) {
            (void)cs_buf_addf(&b, "%-4s %s\n", f->id, f->is);
            continue;
        }
        cs_json_object(&j, NULL);
        cs_json_str(&j, "id", f->id);
        cs_json_str(&j, "name", f->name);
        cs_json_str(&j, "is", f->is);
        cs_json_object_end(&j);
    }
    if (json) cs_json_array_end(&j);
    return cli_print(&b) ? CLI_DONE : CLI_FAILED;
}

static int answer(const explained *e, bool json) {
    CS_SCOPED(cs_buf) b = cs_buf_of(1 << 20);
    if (json) {
        put_json(&b, e);
    } else {
        if (e->pattern != NULL) (void)cs_buf_addf(&b, "recognised: %s (%s)\n", e->pattern, e->program);
        for (size_t i = 0; i < e->n; i++) put_info(&b, e->at[i]);
        if (e->n > 1) (void)cs_buf_add_str(&b, "Which of them it is, countersign doctor HOST:PORT finds out.\n");
    }
    if (e->n == 0)
        (void)fputs("countersign explain: nothing of this text is known; countersign doctor HOST:PORT looks at the "
                    "connection itself\n",
                    stderr);
    if (b.n > 0 && !cli_print(&b)) return CLI_FAILED;
    return e->n > 0 ? CLI_DONE : CLI_FAILED;
}

int cli_explain(int argc, char **argv) {
    bool json = false, all = false;
    const cli_opt opts[] = {
        {"list", 0, CLI_FLAG, &all, NULL, "list all findings"},
        CLI_OPT_JSON(json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "explain",
        .synopsis = "ID|TEXT...",
        .says =
            "Explains a finding of countersign doctor, or names the likely causes of an error text of curl, OpenSSL,\n"
            "nginx, Apache, HAProxy, Envoy, browsers, Python, Node, Java, Go, mosquitto and others, most likely "
            "first.\n"
            "Without TEXT it is read from standard input, a whole log if need be.",
        .examples = "  countersign explain F01\n"
                    "  countersign explain \"tlsv1 alert unknown ca\"\n"
                    "  tail -50 /var/log/nginx/error.log | countersign explain",
        .opts = opts,
        .operands_min = 0,
        .operands_max = CLI_LIST_MAX,
    };
    cli_texts words;
    cs_err err;
    int code = 0;
    explained e = {.n = 0};
    CS_SCOPED(cs_buf) text = cs_buf_of(EXPLAIN_TEXT_MAX + 1024);
    if (!cli_parse(&use, argc, argv, &words, &code)) return code;
    if (all) return list_all(json);
    const finding_info *one = words.n == 1 ? finding_by_id(cs_view_str(words.at[0])) : NULL;
    if (one != NULL) {
        e.at[e.n++] = one;
        return answer(&e, json);
    }
    if (gather(&words, &text, &err) != CS_OK) return cli_fail("explain", &err, json);
    explain_text(cs_buf_view(&text), &e);
    return answer(&e, json);
}
