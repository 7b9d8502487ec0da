/* countersign config RECIPE [NAME]: configuration for other people's servers and clients. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/text.h"
#include "cli/issuing.h"
#include "cli/print.h"
#include "cli/session.h"
#include "recipes/recipe.h"

typedef struct config_said {
    conf_overrides conf;
    const char *server, *dir, *cert, *key, *ca, *crl, *out, *kind;
    cli_texts set;
    bool no_crl, issue, force, values, json;
} config_said;

/* ---- the values that every recipe may use ---- */

/* What a name of a section or variable may hold everywhere. */
static void to_word(const char *stem, char out[ISSUE_STEM_MAX]) {
    (void)snprintf(out, ISSUE_STEM_MAX, "%s", stem);
    for (char *c = out; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && *c != '-') *c = '-';
}

/* Dots as a regular expression has them. */
static void to_pattern(const char *name, char out[RECIPE_VALUE_MAX + 1]) {
    size_t n = 0;
    for (; *name != '\0' && n + 4 < RECIPE_VALUE_MAX; name++)
        n += (size_t)snprintf(out + n, RECIPE_VALUE_MAX - n, *name == '.' ? "[%c]" : "%c", *name);
}

static cs_status set_names(recipe_gaps *g, const char *name, cs_err *err) {
    char stem[ISSUE_STEM_MAX], text[ISSUE_STEM_MAX], pattern[RECIPE_VALUE_MAX + 1] = "";
    const char *at = strchr(name, '@'), *dot = strchr(name, '.');
    const char *domain = at != NULL ? at + 1 : dot != NULL ? dot + 1 : name;
    issue_stem(name, stem);
    TRY(recipe_set(g, "name", name, err));
    TRY(recipe_set(g, "stem", stem, err));
    to_word(stem, text);
    TRY(recipe_set(g, "stem_word", text, err));
    TRY(recipe_set(g, "domain", domain, err));
    to_pattern(domain, pattern);
    TRY(recipe_set(g, "domain_re", pattern, err));
    (void)snprintf(text, sizeof text, "%.*s", at != NULL ? (int)(at - name) : (int)strlen(name), name);
    return recipe_set(g, "local", text, err);
}

/* HOST[:PORT], [ADDRESS]:PORT */
static cs_status set_server(recipe_gaps *g, const char *server, cs_err *err) {
    char host[300];
    const char *colon = strrchr(server, ':'), *bracket = strrchr(server, ']');
    bool port = colon != NULL && (bracket != NULL ? colon > bracket : strchr(server, ':') == colon);
    size_t n = port ? (size_t)(colon - server) : strlen(server);
    if (n == 0 || n >= sizeof host || (port && strspn(colon + 1, "0123456789") != strlen(colon + 1)))
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--server \"%.64s\", expected HOST[:PORT]", server);
    (void)snprintf(host, sizeof host, "%.*s", (int)n, server);
    TRY(recipe_set(g, "server", server, err));
    TRY(recipe_set(g, "server_host", host, err));
    return recipe_set(g, "server_port", port ? colon + 1 : "443", err);
}

static cs_status set_file(recipe_gaps *g, const char *gap, const char *said, const char *dir, const char *stem,
                          const char *end, cs_err *err) {
    char path[RECIPE_VALUE_MAX + 1];
    (void)snprintf(path, sizeof path, "%s/%s%s", dir, stem, end);
    return recipe_set(g, gap, said != NULL ? said : path, err);
}

static cs_status set_files(recipe_gaps *g, const config_said *said, const char *dir, cs_err *err) {
    const char *stem = recipe_value(g, "stem");
    TRY(recipe_set(g, "dir", dir, err));
    TRY(set_file(g, "cert", said->cert, dir, stem, ".crt", err));
    TRY(set_file(g, "key", said->key, dir, stem, ".key", err));
    TRY(set_file(g, "ca", said->ca, dir, "ca", ".pem", err));
    TRY(set_file(g, "crl", said->no_crl ? "" : said->crl, dir, "crl", ".pem", err));
    /* of programs that read both from one file */
    return set_file(g, "ca_and_crl", said->no_crl ? recipe_value(g, "ca") : NULL, dir, "ca-and-crl", ".pem", err);
}

/* Where the files stand when they are used: --dir, else --out, as an absolute path. */
static cs_status folder_of(const config_said *said, char out[FILES_PATH_MAX], cs_err *err) {
    char here[FILES_PATH_MAX / 2];
    const char *dir = said->dir != NULL ? said->dir : said->out != NULL ? said->out : "/etc/countersign";
    if (dir[0] == '/') {
        (void)snprintf(out, FILES_PATH_MAX, "%s", dir);
        return CS_OK;
    }
    if (getcwd(here, sizeof here) == NULL) return cs_fail(err, CS_FAILED, CS_R_FILE_UNREADABLE, "the current folder");
    return files_join(here, strcmp(dir, ".") == 0 ? "" : dir, out, err);
}

/* VALUE, or @FILE: its one line, so that a secret stands in no process list. */
static cs_status set_one(recipe_gaps *g, const char *gap, const char *value, cs_err *err) {
    CS_AUTO(cs_secret) line = NULL;
    char text[RECIPE_VALUE_MAX + 1];
    if (value[0] != '@') return recipe_set(g, gap, value, err);
    TRY(cli_read_secret(value + 1, &line, err));
    cs_view v = cs_secret_view(line);
    if (v.n > RECIPE_VALUE_MAX || memchr(v.p, 0, v.n) != NULL)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "%s: %s holds no line of at most %d octets", gap, value + 1,
                       RECIPE_VALUE_MAX);
    (void)snprintf(text, sizeof text, "%.*s", (int)v.n, (const char *)v.p);
    cs_status s = recipe_set(g, gap, text, err);
    cs_wipe(text, sizeof text);
    return s;
}

/* For what two programs share and nobody need remember. */
static cs_status set_random(recipe_gaps *g, cs_err *err) {
    uint8_t bytes[20];
    char text[2 * sizeof bytes + 1];
    TRY(cs_rng_fill(cs_rng_system(), bytes, sizeof bytes, err));
    return recipe_set(g, "random", cs_hex(cs_view_of(bytes, sizeof bytes), text), err);
}

static cs_status set_all(recipe_gaps *g, const config_said *said, const char *name, cs_err *err) {
    char dir[FILES_PATH_MAX];
    TRY(set_names(g, name, err));
    TRY(set_random(g, err));
    TRY(set_server(g, said->server != NULL ? said->server : "localhost:8443", err));
    TRY(folder_of(said, dir, err));
    for (size_t n = strlen(dir); n > 1 && dir[n - 1] == '/'; n--) dir[n - 1] = '\0';
    TRY(set_files(g, said, dir, err));
    for (size_t i = 0; i < said->set.n; i++) {
        const char *eq = strchr(said->set.at[i], '=');
        char gap[32];
        if (eq == NULL || eq == said->set.at[i] || (size_t)(eq - said->set.at[i]) >= sizeof gap)
            return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--set \"%.64s\", expected NAME=VALUE", said->set.at[i]);
        (void)snprintf(gap, sizeof gap, "%.*s", (int)(eq - said->set.at[i]), said->set.at[i]);
        TRY(set_one(g, gap, eq + 1, err));
    }
    return CS_OK;
}

/* A name after --set that no recipe asks for would be forgotten without a word. */
static cs_status check_set(const recipe_gaps *g, const recipe *r, const config_said *said, cs_err *err) {
    for (size_t i = 0; i < said->set.n; i++) {
        size_t n = strcspn(said->set.at[i], "=");
        bool known = false;
        for (size_t k = 0; k < g->n; k++)
            known =
                known || (g->at[k].own && strlen(g->at[k].name) == n && memcmp(g->at[k].name, said->set.at[i], n) == 0);
        if (!known)
            return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--set \"%.64s\": %s has no such value; --values lists them",
                           said->set.at[i], r->name);
    }
    return CS_OK;
}

/* ---- the certificate ---- */

static cs_status kind_of(const config_said *said, const recipe_made *made, const char *name, cs_kind *ret,
                         cs_err *err) {
    *ret = made->server ? CS_KIND_SERVER : strchr(name, '@') != NULL ? CS_KIND_USER : CS_KIND_DEVICE;
    if (said->kind != NULL && !cs_kind_parse(cs_view_str(said->kind), ret))
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--kind \"%s\", expected server, user or device", said->kind);
    return CS_OK;
}

/* What the authority left for servers that read one file, and, for those that read the root from it too, both. */
static cs_status copy_crls(const config_said *said, const conf *c, const recipe_gaps *g, cs_err *err) {
    char path[CONF_PATH_MAX];
    CS_SCOPED(cs_buf) crls = cs_buf_of((size_t)2 * CS_CRL_MAX), both = cs_buf_of((size_t)2 * CS_CRL_MAX);
    if (said->no_crl || said->crl != NULL) return CS_OK;
    TRY(conf_path(c, "crl/all.crl.pem", path, err));
    TRY(files_read(path, (size_t)2 * CS_CRL_MAX, &crls, err));
    TRY(files_write(recipe_value(g, "crl"), cs_buf_view(&crls), 0644, FILES_REPLACE, err));
    TRY(files_read(recipe_value(g, "ca"), CS_PEM_FILE_MAX, &both, err));
    (void)cs_buf_add_view(&both, cs_buf_view(&crls));
    TRY(cs_buf_ok(&both, "CA and CRLs", err));
    return files_write(recipe_value(g, "ca_and_crl"), cs_buf_view(&both), 0644, FILES_REPLACE, err);
}

static cs_status issue_it(const config_said *said, const recipe_gaps *g, const recipe_made *made, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    CS_SCOPED(issue_made) issued = {.password = NULL};
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    cs_identity who;
    cs_kind kind = CS_KIND_OTHER;
    cli_texts dns = {.n = 0}, ip = {.n = 0};
    const char *name = recipe_value(g, "name");
    cs_process_guard();
    TRY(kind_of(said, made, name, &kind, err));
    TRY(cs_identity_make(kind, cs_view_str(name), &who, err));
    TRY(open_session(&said->conf, &c, &s, err));
    const issue_ask ask = {
        .kind = kind, .name = who.name, .dns = &dns, .ip = &ip, .out = said->out, .force = said->force};
    TRY(issue_run(&ask, c, issue_over_session, s, &issued, err));
    return made->server ? copy_crls(said, c, g, err) : CS_OK;
}

/* ---- saying ---- */

static void add_json(const config_said *said, const recipe *r, const recipe_made *made, cs_buf *b) {
    cs_json j = cs_json_to(b);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "recipe", r->name);
    cs_json_str(&j, "title", made->title);
    cs_json_array(&j, "files");
    for (size_t i = 0; i < made->n; i++) {
        cs_json_object(&j, NULL);
        cs_json_str(&j, "path", made->files[i].path);
        cs_json_view(&j, "text", cs_buf_view(&made->files[i].text));
        cs_json_object_end(&j);
    }
    cs_json_array_end(&j);
    cs_json_view(&j, "then", cs_buf_view(&made->then));
    if (said->out != NULL) cs_json_str(&j, "folder", said->out);
    cs_json_object_end(&j);
    (void)cs_buf_add_byte(b, '\n');
}

/* Without --out the files are the output, so that one can be sent where it belongs; the rest goes to stderr. */
static void add_words(const config_said *said, const recipe_gaps *g, const recipe_made *made, cs_buf *b) {
    for (size_t i = 0; i < made->n; i++) {
        if (said->out != NULL) {
            (void)cs_buf_addf(b, "  %s/%s\n", said->out, made->files[i].path);
            continue;
        }
        if (made->n > 1) (void)cs_buf_addf(b, "%s==> %s <==\n", i > 0 ? "\n" : "", made->files[i].path);
        (void)cs_buf_add_view(b, cs_buf_view(&made->files[i].text));
    }
    if (said->issue)
        (void)cs_buf_addf(b, "  %s\n  %s\n  %s\n", recipe_value(g, "cert"), recipe_value(g, "key"),
                          recipe_value(g, "ca"));
    if (said->issue && made->server && recipe_value(g, "crl")[0] != '\0')
        (void)cs_buf_addf(b, "  %s\n", recipe_value(g, "crl"));
}

static int list_recipes(bool json) {
    CS_SCOPED(cs_buf) b = cs_buf_of(64 * 1024);
    cs_json j = cs_json_to(&b);
    const recipe *r = NULL;
    cs_err err;
    if (json) cs_json_array(&j, NULL);
    for (size_t i = 0; (r = recipe_at(i)) != NULL; i++) {
        recipe_gaps g = {.n = 0};
        CS_SCOPED(recipe_made) made = {.n = 0};
        config_said none = {.out = NULL};
        if (set_all(&g, &none, "localhost", &err) != CS_OK || recipe_head(r, &g, &made, &err) != CS_OK)
            return cli_fail("config", &err, json);
        if (made.person) continue;
        if (json) {
            cs_json_object(&j, NULL);
            cs_json_str(&j, "recipe", r->name);
            cs_json_str(&j, "title", made.title);
            cs_json_str(&j, "for", made.server ? "server" : "client");
            cs_json_object_end(&j);
        } else {
            (void)cs_buf_addf(&b, "%-15s %s\n", r->name, made.title);
        }
    }
    if (json) cs_json_array_end(&j), (void)cs_buf_add_byte(&b, '\n');
    return cli_print(&b) ? CLI_DONE : CLI_FAILED;
}

static void add_values(const recipe_gaps *g, cs_buf *b) {
    for (size_t i = 0; i < g->n; i++)
        if (g->at[i].own)
            (void)cs_buf_addf(b, "%-16s %s\n%-16s %s\n", g->at[i].name, g->at[i].says, "", g->at[i].value);
}

/* ---- at work ---- */

static cs_status write_files(const config_said *said, const recipe_made *made, cs_err *err) {
    char path[FILES_PATH_MAX];
    TRY(files_mkdir(said->out, err));
    for (int write = 0; write < 2; write++) /* first look whether all can be written */
        for (size_t i = 0; i < made->n; i++) {
            TRY(files_join(said->out, made->files[i].path, path, err));
            if (!write && !said->force && files_exists(path))
                return cs_fail(err, CS_REFUSED, CS_R_FILE_EXISTS, "%s; --force replaces it", path);
            if (write)
                TRY(files_write(path, cs_buf_view(&made->files[i].text), made->files[i].is_private ? 0600 : 0644,
                                FILES_REPLACE, err));
        }
    return CS_OK;
}

static cs_status run(const config_said *said, const cli_texts *operands, recipe_gaps *g, recipe_made *made,
                     recipe_made *timer, const recipe **ret, cs_err *err) {
    const char *name = operands->n > 1 ? operands->at[1] : "localhost";
    const recipe *refresh = NULL;
    TRY(recipe_find(operands->at[0], ret, err));
    TRY(set_all(g, said, name, err));
    TRY(recipe_head(*ret, g, made, err));
    if (made->person)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "%s is made by: countersign bundle NAME", (*ret)->name);
    recipe_made_free(made);
    TRY(recipe_fill(*ret, g, made, err));
    TRY(check_set(g, *ret, said, err));
    if (said->issue && said->out == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--issue writes files: give --out DIR");
    if (said->issue && operands->n < 2)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--issue needs the name: countersign config %s NAME", (*ret)->name);
    if (said->out == NULL || said->values) return CS_OK;
    TRY(write_files(said, made, err));
    if (made->looks_up && recipe_value(g, "reload") != NULL && !said->no_crl) {
        TRY(recipe_find("refresh", &refresh, err));
        TRY(recipe_fill(refresh, g, timer, err));
        TRY(write_files(said, timer, err));
    }
    return said->issue ? issue_it(said, g, made, err) : CS_OK;
}

static int say(const config_said *said, const recipe *r, const recipe_gaps *g, recipe_made *made,
               const recipe_made *timer) {
    CS_SCOPED(cs_buf) b = cs_buf_of((size_t)4 * RECIPE_TEXT_MAX);
    if (said->values) {
        add_values(g, &b);
    } else if (said->json) {
        add_json(said, r, made, &b);
    } else {
        add_words(said, g, made, &b);
        for (size_t i = 0; i < timer->n; i++) (void)cs_buf_addf(&b, "  %s/%s\n", said->out, timer->files[i].path);
    }
    if (said->out != NULL && !said->values && !said->json) {
        (void)cs_buf_add_byte(&b, '\n');
        (void)cs_buf_add_view(&b, cs_buf_view(&made->then));
        (void)cs_buf_add_view(&b, cs_buf_view(&timer->then));
    }
    if (!cli_print(&b)) return CLI_FAILED;
    if (said->out == NULL && !said->values && !said->json) (void)fprintf(stderr, "\n%s", cs_buf_cstr(&made->then));
    return CLI_DONE;
}

int cli_config(int argc, char **argv) {
    config_said said = {.out = NULL};
    const cli_opt opts[] = {
        {"out", 'o', CLI_TEXT, &said.out, "DIR", "write the files there (default: print them)"},
        {"issue", 0, CLI_FLAG, &said.issue, NULL, "issue the certificate too, and put it, the root and CRLs there"},
        {"kind", 0, CLI_TEXT, &said.kind, "KIND", "server, user or device (default: as the recipe and name say)"},
        {"server", 0, CLI_TEXT, &said.server, "HOST[:PORT]", "clients: whom to connect to"},
        {"dir", 0, CLI_TEXT, &said.dir, "DIR", "where certificate, key and CA stand (default: DIR of --out)"},
        {"cert", 0, CLI_TEXT, &said.cert, "FILE", "the certificate with its issuer (default: NAME.crt there)"},
        {"key", 0, CLI_TEXT, &said.key, "FILE", "its key (default: NAME.key there)"},
        {"ca", 0, CLI_TEXT, &said.ca, "FILE", "whom it trusts (default: ca.pem there)"},
        {"crl", 0, CLI_TEXT, &said.crl, "FILE", "who is revoked (default: crl.pem there)"},
        {"no-crl", 0, CLI_FLAG, &said.no_crl, NULL, "look nobody up: for short-lived certificates"},
        {"set", 0, CLI_LIST, &said.set, "NAME=VALUE",
         "a value of the recipe's own; @FILE: the line in it, as for secrets"},
        {"values", 0, CLI_FLAG, &said.values, NULL, "list the recipe's own values and what they are for"},
        {"force", 0, CLI_FLAG, &said.force, NULL, "replace files that are there"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "config",
        .synopsis = "[RECIPE [NAME] [OPTION]...]",
        .says =
            "Prints working mutual-TLS configuration for a server or client that is not ours; without an operand, for\n"
            "which. NAME is the server's DNS name, or of the user or device that the client is.",
        .examples = "  countersign config\n"
                    "  countersign config nginx gw.corp.example --set upstream=http://127.0.0.1:3000\n"
                    "  countersign config nginx gw.corp.example --issue --out /etc/countersign\n"
                    "  countersign config requests pump-17 --server gw.corp.example --dir /etc/pump",
        .opts = opts,
        .operands_max = 2,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (operands.n == 0) return list_recipes(said.json);
    recipe_gaps gaps = {.n = 0};
    CS_SCOPED(recipe_made) made = {.n = 0}, timer = {.n = 0};
    const recipe *r = NULL;
    if (run(&said, &operands, &gaps, &made, &timer, &r, &err) != CS_OK) return cli_fail("config", &err, said.json);
    return say(&said, r, &gaps, &made, &timer);
}
