/* countersign crl: publishes the list of revoked certificates. */
#include <stdlib.h>
#include <string.h>

#include "cli/crl_refresh.h"
#include "cli/print.h"
#include "io/files.h"
#include "x509/pem.h"

typedef struct crl_said {
    conf_overrides conf;
    const char *out, *list, *with, *then;
    cli_texts of, url;
    bool current, json;
} crl_said;

/* One at work. */
typedef struct crl_work {
    const crl_said *said;
    conf *conf;
    json_t *answer;
    const json_t *list; /* within it: what was asked for */
    cs_buf pem;
} crl_work;

static void crl_work_free(crl_work *w) {
    json_decref(w->answer);
    cs_buf_free(&w->pem);
    conf_free(w->conf);
}

/* Which list: the one that was named, else that of all of the CA that issues. */
static cs_status find(crl_work *w, cs_err *err) {
    const char *name = w->said->list != NULL ? w->said->list : json_text(w->answer, "name");
    const json_t *one = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(w->answer, "lists"), i, one) {
        if (strcmp(json_text(one, "name"), name) != 0) continue;
        w->list = one;
        return CS_OK;
    }
    return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--list %.64s: there is none; countersign crl --json names them", name);
}

/* The authority leaves each list as a file, too. */
static cs_status read_list(crl_work *w, cs_err *err) {
    char below[128], path[CONF_PATH_MAX];
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_CRL_MAX);
    (void)snprintf(below, sizeof below, "crl/%s.crl", json_text(w->list, "name"));
    TRY(conf_path(w->conf, below, path, err));
    TRY(files_read(path, CS_CRL_MAX, &der, err));
    (void)cs_pem_add(&w->pem, CS_PEM_CRL, cs_buf_view(&der));
    return cs_buf_ok(&w->pem, "the CRL", err);
}

static cs_status run(crl_work *w, cs_err *err) {
    const crl_said *said = w->said;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    TRY(open_session(&said->conf, &w->conf, &s, err));
    TRY(session_call(s, said->current ? "GET" : "POST", "/api/v1/crls", NULL, said->current, &w->answer, err));
    TRY(find(w, err));
    if (said->out == NULL) return CS_OK;
    TRY(read_list(w, err));
    if (strcmp(said->out, "-") == 0) return CS_OK;
    return files_write(said->out, cs_buf_view(&w->pem), 0644, FILES_REPLACE, err);
}

static void add_words(const crl_work *w, cs_buf *b) {
    const char *out = w->said->out;
    if (out != NULL && strcmp(out, "-") == 0) {
        (void)cs_buf_add_view(b, cs_buf_view(&w->pem));
        return;
    }
    (void)cs_buf_addf(b, "CRL number %lld: %lld entries, of %s, next by %s\n",
                      (long long)json_number(w->list, "number"), (long long)json_number(w->list, "entries"),
                      json_text(w->list, "this_update"), json_text(w->list, "next_update"));
    if (out != NULL) (void)cs_buf_addf(b, "  %s\n", out);
}

/* ---- of any authority, for a server that is not ours ---- */

static int refresh(const crl_said *said) {
    const crl_refresh_ask ask = {
        .of = &said->of, .url = &said->url, .out = said->out, .with = said->with, .then = said->then};
    crl_refresh_made made;
    cs_err err;
    if (said->out == NULL || said->list != NULL || said->current)
        return cli_usage("crl", "--of goes with --out FILE, and not with --list or --current");
    if (crl_refresh(&ask, cs_now(cs_clock_system()), &made, &err) != CS_OK) return cli_fail("crl", &err, said->json);
    CS_SCOPED(cs_buf) b = cs_buf_of(4096);
    if (said->json)
        (void)cs_buf_addf(&b, "{\"result\":\"done\",\"lists\":%zu,\"entries\":%llu,\"changed\":%s}\n", made.lists,
                          (unsigned long long)made.entries, made.changed ? "true" : "false");
    else
        (void)cs_buf_addf(&b, "%zu CRLs, %llu entries: %s\n  %s\n", made.lists, (unsigned long long)made.entries,
                          made.changed ? "new" : "as before", said->out);
    return cli_print(&b) ? CLI_DONE : CLI_FAILED;
}

int cli_crl(int argc, char **argv) {
    crl_said said = {0};
    const cli_opt opts[] = {
        {"out", 'o', CLI_TEXT, &said.out, "FILE", "write the CRL there as PEM; - is standard output"},
        {"list", 'l', CLI_TEXT, &said.list, "NAME",
         "issuing, issuing.3, issuing.delta, ...; that of the CA that issues"},
        {"of", 0, CLI_LIST, &said.of, "FILE",
         "certificates, of any authority: fetch the CRLs that they name; they must hold who signs those"},
        {"url", 0, CLI_LIST, &said.url, "URL", "with --of: a CRL that they do not name"},
        {"with", 0, CLI_TEXT, &said.with, "FILE",
         "with --of: what stands before the CRLs in the file, as a CA does for some"},
        {"then", 0, CLI_TEXT, &said.then, "COMMAND", "with --of: run when something changed; no shell reads it"},
        {"current", 0, CLI_FLAG, &said.current, NULL, "the one that is published already; make none"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "crl",
        .synopsis = "[OPTION]...",
        .says = "Makes and publishes the CRLs of all CAs. countersign up does so by itself, in time and after each\n"
                "revocation; this is for taking one elsewhere. With --of it keeps a file of CRLs fresh, of whatever "
                "authority,\n"
                "for a server that is not ours (nginx, Apache, HAProxy, Mosquitto...).",
        .examples = "  countersign crl --out issuing.crl.pem\n"
                    "  countersign crl --of server.crt --of ca.pem --out crl.pem --then 'systemctl reload nginx'",
        .opts = opts,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (said.of.n > 0) return refresh(&said);
    if (said.url.n > 0 || said.with != NULL || said.then != NULL)
        return cli_usage("crl", "--url, --with and --then go with --of FILE");
    __attribute__((cleanup(crl_work_free))) crl_work w = {.said = &said, .pem = cs_buf_of((size_t)2 * CS_CRL_MAX)};
    if (run(&w, &err) != CS_OK) return cli_fail("crl", &err, said.json);
    CS_SCOPED(cs_buf) b = cs_buf_of((size_t)2 * CS_CRL_MAX);
    if (said.json)
        code = print_json(w.answer);
    else
        add_words(&w, &b);
    return code == CLI_DONE && cli_print(&b) ? CLI_DONE : CLI_FAILED;
}
