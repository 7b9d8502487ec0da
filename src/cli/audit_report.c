#include "cli/audit_report.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum { OF_A_KIND = 20, CELL_MAX = 1024 };

/* ---- known ---- */

cs_status audit_known_add(audit_known *k, uint64_t mark, cs_err *err) {
    if (k->n == k->cap) {
        size_t cap = k->cap == 0 ? 64 : 2 * k->cap;
        uint64_t *more = reallocarray(k->at, cap, sizeof *more);
        if (more == NULL) return CS_NOMEM_ERR(err);
        k->at = more, k->cap = cap;
    }
    k->at[k->n++] = mark;
    return CS_OK;
}

static int by_mark(const void *x, const void *y) {
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return (a > b) - (a < b);
}

void audit_known_drop(audit_known *k, audit *a) {
    size_t left = 0;
    if (k->n == 0) return;
    qsort(k->at, k->n, sizeof *k->at, by_mark);
    for (size_t i = 0; i < a->n; i++)
        if (bsearch(&a->at[i].mark, k->at, k->n, sizeof *k->at, by_mark) == NULL) a->at[left++] = a->at[i];
    k->dropped = a->n - left;
    a->n = left;
}

void audit_known_free(audit_known *k) {
    free(k->at);
}

/* ---- JSON ---- */

static void put_counts(cs_json *j, const audit *a) {
    size_t counts[AUDIT_SEVERITIES] = {0};
    for (size_t i = 0; i < a->n; i++) counts[audit_rule_of(a->at[i].id)->severity]++;
    cs_json_object(j, "counts");
    for (int s = AUDIT_CRITICAL; s >= 0; s--)
        cs_json_int(j, audit_severity_name((audit_severity)s), (int64_t)counts[s]);
    cs_json_object_end(j);
}

void audit_json(cs_buf *b, const audit *a) {
    cs_json j = cs_json_to(b);
    audit_severity worst = AUDIT_NOTE;
    cs_json_object(&j, NULL);
    cs_json_int(&j, "score", audit_score(a, &worst));
    cs_json_str(&j, "worst", a->n > 0 ? audit_severity_name(worst) : NULL);
    cs_json_int(&j, "files", (int64_t)a->files);
    cs_json_int(&j, "certificates", (int64_t)a->certs);
    cs_json_int(&j, "keys", (int64_t)a->keys);
    cs_json_int(&j, "crls", (int64_t)a->crls);
    cs_json_int(&j, "configurations", (int64_t)a->configurations);
    put_counts(&j, a);
    cs_json_int(&j, "left_out", (int64_t)a->left_out);
    cs_json_array(&j, "findings");
    for (size_t i = 0; i < a->n; i++) {
        const audit_finding *f = &a->at[i];
        const audit_rule *r = audit_rule_of(f->id);
        cs_json_object(&j, NULL);
        cs_json_str(&j, "id", r->name);
        cs_json_str(&j, "severity", audit_severity_name(r->severity));
        cs_json_str(&j, "file", audit_text(a, f->file));
        cs_json_str(&j, "subject", audit_text(a, f->subject));
        cs_json_str(&j, "evidence", audit_text(a, f->detail));
        cs_json_str(&j, "says", r->says);
        cs_json_str(&j, "fix", r->fix);
        cs_json_object_end(&j);
    }
    cs_json_array_end(&j);
    cs_json_object_end(&j);
    (void)cs_buf_add_byte(b, '\n');
}

static void put_sarif_rules(cs_json *j) {
    cs_json_array(j, "rules");
    for (int i = 0; i < AUDIT_RULES; i++) {
        const audit_rule *r = audit_rule_of((audit_id)i);
        cs_json_object(j, NULL);
        cs_json_str(j, "id", r->name);
        cs_json_object(j, "shortDescription");
        cs_json_str(j, "text", r->says);
        cs_json_object_end(j);
        cs_json_object(j, "help");
        cs_json_str(j, "text", r->fix);
        cs_json_object_end(j);
        cs_json_object_end(j);
    }
    cs_json_array_end(j);
}

/* A path as a relative or file: URI: what RFC 3986 does not have is written in %XX. */
static void put_uri(cs_json *j, const char *path) {
    CS_SCOPED(cs_buf) b = cs_buf_of(8192);
    if (path[0] == '/') (void)cs_buf_add_str(&b, "file://");
    for (; *path != '\0'; path++) {
        bool plain = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/", *path) != NULL;
        (void)(plain ? cs_buf_add_byte(&b, (uint8_t)*path) : cs_buf_addf(&b, "%%%02X", (unsigned char)*path));
    }
    cs_json_view(j, "uri", cs_buf_view(&b));
}

static void put_sarif_result(cs_json *j, const audit *a, const audit_finding *f) {
    const audit_rule *r = audit_rule_of(f->id);
    CS_SCOPED(cs_buf) text = cs_buf_of(8192);
    char mark[17];
    (void)cs_buf_addf(&text, "%s: %s (%s). %s", audit_text(a, f->subject), r->says, audit_text(a, f->detail), r->fix);
    (void)snprintf(mark, sizeof mark, "%016llx", (unsigned long long)f->mark);
    cs_json_object(j, NULL);
    cs_json_str(j, "ruleId", r->name);
    cs_json_str(j, "level", r->severity >= AUDIT_HIGH ? "error" : r->severity == AUDIT_NOTE ? "note" : "warning");
    cs_json_object(j, "message");
    cs_json_view(j, "text", cs_buf_view(&text));
    cs_json_object_end(j);
    cs_json_array(j, "locations");
    cs_json_object(j, NULL);
    cs_json_object(j, "physicalLocation");
    cs_json_object(j, "artifactLocation");
    put_uri(j, audit_text(a, f->file));
    cs_json_object_end(j);
    cs_json_object_end(j);
    cs_json_object_end(j);
    cs_json_array_end(j);
    cs_json_object(j, "partialFingerprints");
    cs_json_str(j, "countersign/v1", mark);
    cs_json_object_end(j);
    cs_json_object_end(j);
}

void audit_sarif(cs_buf *b, const audit *a) {
    cs_json j = cs_json_to(b);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "$schema", "https://json.schemastore.org/sarif-2.1.0.json");
    cs_json_str(&j, "version", "2.1.0");
    cs_json_array(&j, "runs");
    cs_json_object(&j, NULL);
    cs_json_object(&j, "tool");
    cs_json_object(&j, "driver");
    cs_json_str(&j, "name", "countersign audit");
    cs_json_str(&j, "version", CS_VERSION);
    put_sarif_rules(&j);
    cs_json_object_end(&j);
    cs_json_object_end(&j);
    cs_json_array(&j, "results");
    for (size_t i = 0; i < a->n; i++) put_sarif_result(&j, a, &a->at[i]);
    cs_json_array_end(&j);
    cs_json_object_end(&j);
    cs_json_array_end(&j);
    cs_json_object_end(&j);
    (void)cs_buf_add_byte(b, '\n');
}

/* ---- JUnit ---- */

static void put_xml(cs_buf *b, const char *text) {
    CS_SCOPED(cs_buf) safe = cs_buf_of(16 * 1024);
    (void)cs_text_escape(&safe, cs_view_str(text), CELL_MAX);
    for (size_t i = 0; i < safe.n; i++) {
        const char *as = safe.p[i] == '&'   ? "&amp;"
                         : safe.p[i] == '<' ? "&lt;"
                         : safe.p[i] == '>' ? "&gt;"
                         : safe.p[i] == '"' ? "&quot;"
                                            : NULL;
        (void)(as != NULL ? cs_buf_add_str(b, as) : cs_buf_add_byte(b, safe.p[i]));
    }
}

void audit_junit(cs_buf *b, const audit *a) {
    size_t bad = 0;
    for (size_t i = 0; i < a->n; i++) bad += audit_rule_of(a->at[i].id)->severity > AUDIT_NOTE;
    (void)cs_buf_addf(b,
                      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"countersign audit\" tests=\"%zu\" "
                      "failures=\"%zu\">\n",
                      a->n > 0 ? a->n : 1, bad);
    if (a->n == 0) (void)cs_buf_add_str(b, "  <testcase classname=\"audit\" name=\"nothing was found\"/>\n");
    for (size_t i = 0; i < a->n; i++) {
        const audit_finding *f = &a->at[i];
        const audit_rule *r = audit_rule_of(f->id);
        (void)cs_buf_addf(b, "  <testcase classname=\"%s\" name=\"", r->name);
        put_xml(b, audit_text(a, f->file));
        (void)cs_buf_add_str(b, ": ");
        put_xml(b, audit_text(a, f->subject));
        (void)cs_buf_add_str(b, "\">");
        if (r->severity > AUDIT_NOTE) {
            (void)cs_buf_addf(b, "<failure type=\"%s\" message=\"%s: ", audit_severity_name(r->severity), r->says);
            put_xml(b, audit_text(a, f->detail));
            (void)cs_buf_add_str(b, "\">");
            put_xml(b, r->fix);
            (void)cs_buf_add_str(b, "</failure>");
        }
        (void)cs_buf_add_str(b, "</testcase>\n");
    }
    (void)cs_buf_add_str(b, "</testsuite>\n");
}

/* ---- words ---- */

static void put_one(cs_buf *b, const audit *a, const audit_finding *f) {
    const char *file = audit_text(a, f->file), *subject = audit_text(a, f->subject);
    (void)cs_buf_add_str(b, "    ");
    (void)cs_text_escape(b, cs_view_str(file), CELL_MAX);
    if (strcmp(file, subject) != 0) {
        (void)cs_buf_add_str(b, ": ");
        (void)cs_text_escape(b, cs_view_str(subject), CELL_MAX);
    }
    (void)cs_buf_add_str(b, ": ");
    (void)cs_text_escape(b, cs_view_str(audit_text(a, f->detail)), CELL_MAX);
    (void)cs_buf_add_byte(b, '\n');
}

void audit_words(cs_buf *b, const audit *a, bool all) {
    audit_severity worst = AUDIT_NOTE;
    for (size_t i = 0, n = 0; i < a->n; i += n) {
        const audit_rule *r = audit_rule_of(a->at[i].id);
        for (n = 1; i + n < a->n && a->at[i + n].id == a->at[i].id; n++) {
        }
        (void)cs_buf_addf(b, "%s: %s (%s, %zu)\n    to mend it: %s\n", audit_severity_name(r->severity), r->says,
                          r->name, n, r->fix);
        for (size_t k = 0; k < n && (all || k < OF_A_KIND); k++) put_one(b, a, &a->at[i + k]);
        if (!all && n > OF_A_KIND) (void)cs_buf_addf(b, "    and %zu more: --all\n", n - OF_A_KIND);
        (void)cs_buf_add_byte(b, '\n');
    }
    unsigned score = audit_score(a, &worst);
    (void)cs_buf_addf(b,
                      "%zu files: %zu certificates, %zu private keys, %zu CRLs, %zu configurations of servers\n"
                      "%zu findings%s%s; score %u of 100\n",
                      a->files, a->certs, a->keys, a->crls, a->configurations, a->n, a->n > 0 ? ", the worst " : "",
                      a->n > 0 ? audit_severity_name(worst) : "", score);
    if (a->left_out > 0) (void)cs_buf_addf(b, "%zu more were left out\n", a->left_out);
}
