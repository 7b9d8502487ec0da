#include "prog/page_view.h"

#include <strings.h>

#include "base/json.h"
#include "base/text.h"

/* The policy names this text by its SHA-256: a changed style needs a new hash (tests/e2e/test_cli_page.py). */
#define STYLE                                                                                                          \
    "body{font:16px/1.5 system-ui,sans-serif;margin:3rem auto;max-width:46rem;padding:0 1rem;color:#1c2430;"           \
    "background:#f6f7f9}h1{font-size:1.6rem;margin-bottom:.2rem}p{color:#566}table{border-collapse:collapse;"          \
    "width:100%;background:#fff;border:1px solid #dde}td,th{text-align:left;padding:.45rem .7rem;border-top:1px "      \
    "solid #eef;vertical-align:top}td{font-family:ui-monospace,monospace;font-size:.85rem;overflow-wrap:anywhere}"     \
    "th{white-space:nowrap;font-weight:500;color:#345}footer{margin-top:2rem;font-size:.85rem;color:#788}"
#define STYLE_HASH "mzyqTnkKng+gD/jnX2zJ5/Lv4+PLE/rnxU763rhUljw="

const char *page_policy(void) {
    return "default-src 'none'; style-src 'sha256-" STYLE_HASH "'; base-uri 'none'; form-action 'none'; "
           "frame-ancestors 'none'";
}

void page_tell(page_told *t, const char *name, const char *value) {
    static const char *const prefixes[] = {"x-countersign-", "client-cert", "x-forwarded-", "forwarded", "via"};
    const struct {
        const char *name;
        const char **to;
    } known[] = {
        {"x-countersign-identity", &t->identity},
        {"x-countersign-kind", &t->kind},
        {"x-countersign-serial", &t->serial},
        {"x-countersign-fingerprint", &t->fingerprint},
    };
    bool ours = false;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        ours = ours || strncasecmp(name, prefixes[i], strlen(prefixes[i])) == 0;
    if (!ours || value == NULL) return;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcasecmp(name, known[i].name) == 0) *known[i].to = value;
    if (t->n < PAGE_FIELDS_MAX) t->fields[t->n++] = (page_field){name, value};
}

/* Text into HTML: the five characters that mean something there, and nothing that is not UTF-8. */
static void add_escaped(cs_buf *b, const char *text) {
    if (!cs_utf8_valid(cs_view_str(text))) {
        (void)cs_text_escape(b, CS_VIEW_LIT("(not UTF-8)"), 64);
        return;
    }
    for (const char *p = text; *p != '\0'; p++) {
        switch (*p) {
        case '<': (void)cs_buf_add_str(b, "&lt;"); break;
        case '>': (void)cs_buf_add_str(b, "&gt;"); break;
        case '&': (void)cs_buf_add_str(b, "&amp;"); break;
        case '"': (void)cs_buf_add_str(b, "&quot;"); break;
        case '\'': (void)cs_buf_add_str(b, "&#39;"); break;
        default: (void)cs_buf_add_byte(b, (uint8_t)*p); break;
        }
    }
}

void page_html(const page_told *t, cs_buf *b) {
    (void)cs_buf_add_str(
        b, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
           "<meta name=\"viewport\" content=\"width=device-width\"><title>countersign</title><style>" STYLE
           "</style></head>\n<body><h1>");
    if (t->identity != NULL) {
        (void)cs_buf_add_str(b, "Hello, <span id=\"identity\">");
        add_escaped(b, t->identity);
        (void)cs_buf_add_str(b, "</span></h1>\n<p>The gateway checked your certificate and let you in. This is what it "
                                "tells the service behind it:</p>\n");
    } else {
        (void)cs_buf_add_str(b, "Hello, <span id=\"identity\">nobody</span></h1>\n<p>The gateway told no identity: no "
                                "certificate was asked for here. This is what it tells the service behind it:</p>\n");
    }
    (void)cs_buf_add_str(b, "<table>\n<tr><th>Request</th><td>");
    add_escaped(b, t->method);
    (void)cs_buf_add_byte(b, ' ');
    add_escaped(b, t->path);
    (void)cs_buf_add_str(b, "</td></tr>\n");
    for (size_t i = 0; i < t->n; i++) {
        (void)cs_buf_add_str(b, "<tr><th>");
        add_escaped(b, t->fields[i].name);
        (void)cs_buf_add_str(b, "</th><td>");
        add_escaped(b, t->fields[i].value);
        (void)cs_buf_add_str(b, "</td></tr>\n");
    }
    (void)cs_buf_add_str(b, "</table>\n<footer>The built-in page of countersign. Put your own service here with "
                            "countersign up --upstream http://127.0.0.1:3000. The same as JSON: "
                            "<a href=\"/?format=json\">/?format=json</a></footer></body></html>\n");
}

void page_json(const page_told *t, cs_buf *b) {
    cs_json j = cs_json_to(b);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "identity", t->identity);
    cs_json_str(&j, "kind", t->kind);
    cs_json_str(&j, "serial", t->serial);
    cs_json_str(&j, "fingerprint", t->fingerprint);
    cs_json_str(&j, "method", t->method);
    cs_json_str(&j, "path", t->path);
    cs_json_array(&j, "headers");
    for (size_t i = 0; i < t->n; i++) {
        cs_json_object(&j, NULL);
        cs_json_str(&j, "name", t->fields[i].name);
        cs_json_str(&j, "value", t->fields[i].value);
        cs_json_object_end(&j);
    }
    cs_json_array_end(&j);
    cs_json_object_end(&j);
    (void)cs_buf_add_byte(b, '\n');
}
