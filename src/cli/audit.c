/* countersign audit PATH...: what is weak, open, wrong or about to end. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit/audit.h"
#include "base/text.h"
#include "cli/audit_report.h"
#include "cli/progress.h"
#include "io/files.h"

typedef struct audit_said {
    const char *fail_on, *baseline, *accept, *soon, *sarif, *junit, *out;
    bool json, encrypted, all;
} audit_said;

/* ---- what is known and accepted ---- */

static cs_status read_baseline(const char *path, audit_known *known, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of((size_t)64 * 1024 * 1024);
    TRY(files_read(path, (size_t)64 * 1024 * 1024, &text, err));
    const char *at = cs_buf_cstr(&text);
    if (at == NULL) return CS_NOMEM_ERR(err);
    for (unsigned line = 1; *at != '\0'; line++) {
        size_t n = strcspn(at, "\n");
        uint8_t mark[8];
        size_t got = 0;
        if (n > 0 && *at != '#') {
            if (n < 16 || !cs_hex_decode((cs_view){(const uint8_t *)at, 16}, mark, sizeof mark, &got) || got != 8)
                return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                               "%s:%u: expected 16 hex digits, as --accept writes them", path, line);
            uint64_t m = 0;
            for (size_t i = 0; i < 8; i++) m = m << 8 | mark[i];
            TRY(audit_known_add(known, m, err));
        }
        at += n + (at[n] == '\n');
    }
    return CS_OK;
}

static cs_status write_baseline(const char *path, const audit *a, cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of((size_t)512 * 1024 * 1024);
    (void)cs_buf_add_str(&b, "# countersign audit: what is known and accepted, a finding a line; what is behind the "
                             "number is for people\n");
    for (size_t i = 0; i < a->n; i++) {
        const audit_finding *f = &a->at[i];
        (void)cs_buf_addf(&b, "%016llx %s ", (unsigned long long)f->mark, audit_rule_of(f->id)->name);
        (void)cs_text_escape(&b, cs_view_str(audit_text(a, f->file)), 1024);
        (void)cs_buf_add_byte(&b, '\n');
    }
    TRY(cs_buf_ok(&b, path, err));
    return files_write(path, cs_buf_view(&b), 0644, FILES_REPLACE, err);
}

/* ---- at work ---- */

static void seen(void *cls, size_t files) {
    progress_at(cls, files);
}

static cs_status look(const audit_said *said, const cli_texts *paths, audit *a, audit_known *known, cs_err *err) {
    if (said->baseline != NULL) TRY(read_baseline(said->baseline, known, err));
    for (size_t i = 0; i < paths->n; i++) TRY(audit_path(a, paths->at[i], err));
    TRY(audit_end(a, err));
    if (said->accept != NULL) TRY(write_baseline(said->accept, a, err));
    audit_known_drop(known, a);
    return CS_OK;
}

static cs_status write_report(const char *path, audit_report *make, const audit *a, cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of((size_t)1024 * 1024 * 1024);
    if (path == NULL) return CS_OK;
    make(&b, a);
    TRY(cs_buf_ok(&b, path, err));
    return files_write(path, cs_buf_view(&b), 0644, FILES_REPLACE, err);
}

static cs_status run(const audit_said *said, const cli_texts *paths, audit *a, cs_err *err) {
    audit_known known = {.n = 0};
    cs_status s = look(said, paths, a, &known, err);
    audit_known_free(&known);
    if (s != CS_OK) return s;
    TRY(write_report(said->sarif, audit_sarif, a, err));
    return write_report(said->junit, audit_junit, a, err);
}

static int say(const audit_said *said, const audit *a, audit_severity fail_on) {
    CS_SCOPED(cs_buf) b = cs_buf_of((size_t)1024 * 1024 * 1024);
    if (said->json)
        audit_json(&b, a);
    else
        audit_words(&b, a, said->all);
    if (!cli_print(&b)) return CLI_FAILED;
    for (size_t i = 0; i < a->n; i++)
        if (audit_rule_of(a->at[i].id)->severity >= fail_on) return CLI_FAILED;
    return CLI_DONE;
}

int cli_audit(int argc, char **argv) {
    audit_said said = {.fail_on = "medium"};
    const cli_opt opts[] = {
        {"fail-on", 0, CLI_TEXT, &said.fail_on, "SEVERITY",
         "exit 1 from there on: note, low, medium (default), high, critical"},
        {"soon", 0, CLI_TEXT, &said.soon, "TIME", "what ends within that ends soon (default: 30d)"},
        {"encrypted", 0, CLI_FLAG, &said.encrypted, NULL, "private keys shall be encrypted"},
        {"baseline", 0, CLI_TEXT, &said.baseline, "FILE", "leave out what is known and accepted there"},
        {"accept", 0, CLI_TEXT, &said.accept, "FILE", "write what was found there, as a baseline"},
        {"sarif", 0, CLI_TEXT, &said.sarif, "FILE", "also as SARIF 2.1.0, which code hosts show"},
        {"junit", 0, CLI_TEXT, &said.junit, "FILE", "also as JUnit's XML, which CI systems show"},
        {"all", 0, CLI_FLAG, &said.all, NULL, "every finding (default: at most 20 of a kind)"},
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "audit",
        .synopsis = "PATH... [OPTION]...",
        .says =
            "Looks at all certificates, keys, CRLs and TLS configuration of servers in files and folders, and says\n"
            "what is weak, open, wrong or about to end, worst first, with what mends it. Nothing is changed.",
        .examples = "  countersign audit /etc/nginx /etc/ssl/private\n"
                    "  countersign audit --baseline known.txt --fail-on high --sarif audit.sarif /etc",
        .opts = opts,
        .operands_min = 1,
        .operands_max = CLI_LIST_MAX,
    };
    cli_texts paths;
    cs_err err;
    int code = 0;
    audit_severity fail_on = AUDIT_MEDIUM;
    if (!cli_parse(&use, argc, argv, &paths, &code)) return code;
    progress p = progress_begin("files", 0);
    audit_plan plan = {.now = cs_now(cs_clock_system()),
                       .soon = 30 * 86400 * CS_SEC,
                       .encrypted = said.encrypted,
                       .seen = seen,
                       .cls = &p};
    if (!audit_severity_parse(said.fail_on, &fail_on))
        return cli_usage("audit", "--fail-on \"%.32s\", expected note, low, medium, high or critical", said.fail_on);
    if (said.soon != NULL && !cs_duration_parse(cs_view_str(said.soon), &plan.soon))
        return cli_usage("audit", "--soon \"%.32s\", expected a duration, such as 30d", said.soon);
    CS_SCOPED(audit) a;
    audit_begin(&a, &plan);
    cs_process_guard();
    cs_status s = run(&said, &paths, &a, &err);
    progress_end(&p);
    return s != CS_OK ? cli_fail("audit", &err, said.json) : say(&said, &a, fail_on);
}
