/* countersign doctor HOST:PORT: why does this mutual TLS fail, and what mends it? */
#include "doctor/doctor.h"

#include <stdlib.h>

#include "base/text.h"
#include "cli/cli.h"

typedef struct asked {
    doctor_plan plan;
    const char *proto, *password_file;
    unsigned timeout;
    bool json;
} asked;

static void put_json(cs_buf *b, const asked *a, const doctor_report *r) {
    cs_json j = cs_json_to(b);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "verdict", findings_problem(&r->found) ? "problem" : "ok");
    cs_json_str(&j, "target", a->plan.where);
    findings_json(&r->found, &j);
    cs_json_object(&j, "facts");
    for (size_t i = 0; i < r->facts; i++) {
        bool again = false; /* one address after the other: members of an object are to differ */
        for (size_t k = 0; k < i; k++) again = again || strcmp(r->fact[k].what, r->fact[i].what) == 0;
        if (!again) cs_json_str(&j, r->fact[i].what, r->fact[i].says);
    }
    cs_json_object_end(&j);
    cs_json_int(&j, "connections", r->connections);
    cs_json_object_end(&j);
    (void)cs_buf_add_byte(b, '\n');
}

static void add_safe(cs_buf *b, const char *text) {
    (void)cs_text_escape(b, cs_view_str(text), 1024);
}

static void put_words(cs_buf *b, const doctor_report *r) {
    for (size_t i = 0; i < r->facts; i++) {
        (void)cs_buf_addf(b, "%s: ", r->fact[i].what);
        add_safe(b, r->fact[i].says);
        (void)cs_buf_add_byte(b, '\n');
    }
    bool problem = findings_problem(&r->found), notes = false;
    (void)cs_buf_addf(b, "\n%s\n", problem ? "What is wrong, most likely first:" : "Nothing is wrong.");
    for (size_t i = 0; i < r->found.n; i++) {
        const finding *f = &r->found.at[i];
        if (f->note && !notes) (void)cs_buf_add_str(b, "\nWorth knowing:\n"), notes = true;
        (void)cs_buf_addf(b, "\n%s %s", f->info->id, f->info->is);
        if (!f->note) (void)cs_buf_addf(b, " (%u %%)", f->confidence < 99 ? f->confidence : 99);
        (void)cs_buf_add_str(b, "\n  seen: ");
        add_safe(b, f->evidence);
        (void)cs_buf_addf(b, "\n  try:  %s\n", f->info->fix);
    }
    if (r->found.n > 0) (void)cs_buf_addf(b, "\ncountersign explain %s says more.\n", r->found.at[0].info->id);
}

static int run(asked *a, const char *where) {
    cs_err err;
    doctor_report *r = calloc(1, sizeof *r);
    CS_AUTO(cs_secret) password = NULL;
    CS_SCOPED(cs_buf) b = cs_buf_of(1 << 20);
    int code = CLI_FAILED;
    if (r == NULL) return CLI_FAILED;
    a->plan.where = where;
    cs_status s = a->password_file != NULL ? cli_read_secret(a->password_file, &password, &err) : CS_OK;
    a->plan.creds.password = password;
    if (s == CS_OK) s = doctor_run(&a->plan, r, &err);
    if (s != CS_OK) {
        (void)cli_fail("doctor", &err, a->json);
        code = CLI_USAGE;
    } else {
        if (a->json)
            put_json(&b, a, r);
        else
            put_words(&b, r);
        code = cli_print(&b) && !findings_problem(&r->found) ? CLI_DONE : CLI_FAILED;
    }
    doctor_report_free(r);
    free(r);
    return code;
}

int cli_doctor(int argc, char **argv) {
    asked a = {
        .plan = {.path = "/", .clock = cs_clock_system(), .rng = cs_rng_system()}, .proto = "http", .timeout = 2};
    creds_plan *c = &a.plan.creds;
    const cli_opt opts[] = {
        {"cert", 0, CLI_TEXT, &c->cert, "FILE", "the client's certificate with its intermediates, or PKCS#12"},
        {"key", 0, CLI_TEXT, &c->key, "FILE", "its private key (else in the certificate's file)"},
        {"ca", 0, CLI_TEXT, &c->ca, "FILE", "the CA certificates that the client trusts"},
        {"password-file", 0, CLI_TEXT, &a.password_file, "FILE", "holds the password of the key or of PKCS#12"},
        {"name", 'n', CLI_TEXT, &a.plan.name, "NAME", "the server's name, when it is not HOST"},
        {"proto", 0, CLI_TEXT, &a.proto, "PROTOCOL", "http (the default), mqtt, postgres, smtp, raw"},
        {"path", 0, CLI_TEXT, &a.plan.path, "PATH", "that HTTP is asked for; / by default"},
        {"user", 0, CLI_TEXT, &a.plan.user, "NAME", "PostgreSQL's user; else the certificate's common name"},
        {"server-config", 0, CLI_TEXT, &a.plan.server_config, "FILE",
         "the server's configuration: nginx, Apache, HAProxy, mosquitto; read, not run"},
        {"timeout", 0, CLI_NUMBER, &a.timeout, "SECONDS", "how long each step may take; 2 by default"},
        CLI_OPT_JSON(a.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "doctor",
        .synopsis = "HOST:PORT [OPTION]...",
        .says = "Says why mutual TLS with that server fails, and what mends it, most likely first: it makes a few "
                "connections\n"
                "as normal clients do, with and without the certificate, and looks at the files. Exit 1: something is "
                "wrong.",
        .examples = "  countersign doctor gw.example:443 --cert pump.crt --key pump.key --ca ca.pem\n"
                    "  countersign doctor broker:8883 --proto mqtt --json",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 1,
    };
    cli_texts words;
    int code = 0;
    if (!cli_parse(&use, argc, argv, &words, &code)) return code;
    if (!probe_proto_of(a.proto, &a.plan.proto))
        return cli_usage("doctor", "--proto \"%s\", expected http, mqtt, postgres, smtp or raw", a.proto);
    if (a.plan.path[0] != '/' || strpbrk(a.plan.path, " \r\n") != NULL)
        return cli_usage("doctor", "--path \"%s\", expected a path that begins with /", a.plan.path);
    if (a.timeout < 1 || a.timeout > 60)
        return cli_usage("doctor", "--timeout %u, expected 1 to 60 seconds", a.timeout);
    if (c->key != NULL && c->cert == NULL) return cli_usage("doctor", "--key without --cert");
    a.plan.wait = a.timeout * CS_SEC;
    c->now = cs_now(a.plan.clock);
    return run(&a, words.at[0]);
}
