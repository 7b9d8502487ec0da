/* countersign show NAME|SERIAL: one certificate. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/print.h"

typedef struct show_said {
    conf_overrides conf;
    bool pem, json;
} show_said;

static cs_status by_serial(session *s, const char *serial, json_t **ret, cs_err *err) {
    char path[128];
    (void)snprintf(path, sizeof path, "/api/v1/certificates/%s", serial);
    return session_call(s, "GET", path, NULL, true, ret, err);
}

/* The valid certificate of that name that lasts longest; without a valid one, of all. */
static cs_status newest_of(session *s, const char *name, const char *status, char out[2 * CS_SERIAL_MAX + 1],
                           cs_err *err) {
    CS_SCOPED(cs_buf) path = cs_buf_of(4096);
    json_t *page = NULL;
    const json_t *c = NULL;
    size_t i = 0;
    const char *until = "";
    (void)cs_buf_addf(&path, "/api/v1/certificates?limit=500&status=%s&name=", status);
    (void)url_add(&path, name);
    TRY(cs_buf_ok(&path, "the name", err));
    TRY(session_call(s, "GET", cs_buf_cstr(&path), NULL, true, &page, err));
    out[0] = '\0';
    json_array_foreach(json_object_get(page, "certificates"), i, c) {
        if (strcmp(json_text(c, "not_after"), until) <= 0) continue;
        until = json_text(c, "not_after");
        (void)snprintf(out, 2 * CS_SERIAL_MAX + 1, "%s", json_text(c, "serial"));
    }
    json_decref(page);
    return CS_OK;
}

static cs_status find(session *s, const char *said, json_t **ret, cs_err *err) {
    char serial[2 * CS_SERIAL_MAX + 1];
    if (serial_like(said, serial)) {
        cs_status got = by_serial(s, serial, ret, err);
        if (got == CS_OK || err->reason != CS_R_CERTIFICATE_UNKNOWN) return got;
    }
    TRY(newest_of(s, said, "valid", serial, err));
    if (serial[0] == '\0') TRY(newest_of(s, said, "all", serial, err));
    if (serial[0] == '\0') return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "%s", said);
    return by_serial(s, serial, ret, err);
}

static void add_line(cs_buf *b, const char *label, const char *value) {
    if (value[0] == '\0') return;
    (void)cs_buf_addf(b, "%-12s ", label);
    (void)cs_text_escape(b, cs_view_str(value), 1000);
    (void)cs_buf_add_byte(b, '\n');
}

static void add_words(const json_t *c, cs_buf *b) {
    const json_t *san = NULL;
    size_t i = 0;
    char when[CS_TIME_TEXT_MAX * 2 + 64];
    add_line(b, "name", json_text(c, "name"));
    add_line(b, "kind", json_text(c, "kind"));
    add_line(b, "status", json_text(c, "status"));
    if (json_text(c, "revoked_at")[0] != '\0') {
        (void)snprintf(when, sizeof when, "%s (%s)", json_text(c, "revoked_at"), json_text(c, "revocation_reason"));
        add_line(b, "revoked", when);
    }
    add_line(b, "serial", json_text(c, "serial"));
    add_line(b, "subject", json_text(c, "subject"));
    json_array_foreach(json_object_get(c, "sans"), i, san) {
        if (json_is_string(san)) add_line(b, i == 0 ? "names" : "", json_string_value(san));
    }
    add_line(b, "issuer", json_text(c, "issuer"));
    add_line(b, "from", json_text(c, "not_before"));
    add_line(b, "until", json_text(c, "not_after"));
    const json_t *renewal = json_object_get(c, "renewal");
    if (renewal != NULL && json_number(renewal, "renewal_window") > 0)
        (void)snprintf(when, sizeof when, "%s (renewal window %lld)", json_text(renewal, "start"),
                       (long long)json_number(renewal, "renewal_window"));
    else
        (void)snprintf(when, sizeof when, "%s", json_text(renewal, "start"));
    add_line(b, "renew from", when);
    add_line(b, "sha256", json_text(c, "sha256"));
}

static cs_status run(const show_said *said, const char *what, json_t **ret, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    TRY(open_session(&said->conf, &c, &s, err));
    return find(s, what, ret, err);
}

int cli_show(int argc, char **argv) {
    show_said said = {0};
    const cli_opt opts[] = {
        {"pem", 0, CLI_FLAG, &said.pem, NULL, "print the certificate itself"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "show",
        .synopsis = "NAME|SERIAL [OPTION]...",
        .says = "Shows one certificate that was issued: by its serial number, or the newest valid one of a name.",
        .examples = "  countersign show pump-17\n  countersign show pump-17 --pem | openssl x509 -noout -text",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 1,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    json_t *c = NULL;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (run(&said, operands.at[0], &c, &err) != CS_OK) return cli_fail("show", &err, said.json);
    CS_SCOPED(cs_buf) b = cs_buf_of(256 * 1024);
    if (said.json)
        code = print_json(c);
    else if (said.pem)
        (void)cs_buf_add_str(&b, json_text(c, "certificate"));
    else
        add_words(c, &b);
    json_decref(c);
    return code == CLI_DONE && cli_print(&b) ? CLI_DONE : CLI_FAILED;
}
