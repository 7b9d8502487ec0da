/* countersign bundle user NAME: what a person needs to use a certificate on his own machines. */
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/text.h"
#include "cli/issuing.h"
#include "cli/print.h"
#include "cli/qr.h"
#include "cli/session.h"
#include "recipes/recipe.h"
#include "x509/pem.h"

enum { UUID_TEXT = 37 };

typedef struct bundle_said {
    conf_overrides conf;
    const char *out, *organization, *ssid, *radius_name, *url, *scep, *server, *password_file, *lifetime, *profile;
    bool modern, force, json;
} bundle_said;

typedef struct bundling {
    const bundle_said *said;
    conf *conf;
    session *s;
    issue_made made;
    recipe_gaps gaps;
    cs_buf p12, ca, qr; /* as base64, base64, svg */
    cs_buf token;
    char out[FILES_PATH_MAX], p12_path[FILES_PATH_MAX];
} bundling;

static void bundling_free(bundling *w) {
    issue_made_free(&w->made);
    cs_buf_free(&w->p12);
    cs_buf_free(&w->ca);
    cs_buf_free(&w->qr);
    cs_buf_free(&w->token);
    session_free(w->s);
    conf_free(w->conf);
}

/* ---- what is issued ---- */

static cs_status issue_p12(bundling *w, const cs_identity *who, const char *stem, cs_err *err) {
    const bundle_said *said = w->said;
    char file[ISSUE_STEM_MAX + 8];
    issue_ask ask = {.kind = CS_KIND_USER,
                     .name = who->name,
                     .profile = said->profile,
                     .out = w->out,
                     .no_pem = true,
                     .p12 = w->p12_path,
                     .modern = said->modern,
                     .password_file = said->password_file,
                     .force = said->force};
    if (said->lifetime != NULL && !cs_duration_parse(cs_view_str(said->lifetime), &ask.lifetime))
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--lifetime \"%.64s\", expected a duration, such as 90d",
                       said->lifetime);
    (void)snprintf(file, sizeof file, "%s.p12", stem);
    TRY(files_join(w->out, file, w->p12_path, err));
    TRY(files_mkdir_private(w->out, err));
    return issue_run(&ask, w->conf, issue_over_session, w->s, &w->made, err);
}

/* A token that is the challenge of the profile's SCEP request: the key is then made on the device and never leaves it.
 */
static cs_status make_token(bundling *w, const cs_identity *who, cs_err *err) {
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s, s:s, s:i}", "kind", "user", "name", who->name, "ttl_seconds", 7 * 86400);
    if (body == NULL) return CS_NOMEM_ERR(err);
    cs_status s = session_call(w->s, "POST", "/api/v1/tokens", body, false, &answer, err);
    json_decref(body);
    if (s != CS_OK) return s;
    (void)cs_buf_add_str(&w->token, json_text(answer, "token"));
    json_decref(answer);
    return cs_buf_ok(&w->token, "a token", err);
}

/* ---- the values ---- */

static cs_status set_uuid(recipe_gaps *g, const char *name, cs_err *err) {
    uint8_t u[16];
    char hex[33], text[UUID_TEXT];
    TRY(cs_rng_fill(cs_rng_system(), u, sizeof u, err));
    u[6] = (uint8_t)((u[6] & 0x0f) | 0x40); /* @rfc 9562#5.4 */
    u[8] = (uint8_t)((u[8] & 0x3f) | 0x80);
    (void)cs_hex(cs_view_of(u, sizeof u), hex);
    (void)snprintf(text, sizeof text, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
    return recipe_set(g, name, text, err);
}

static cs_status set_texts(bundling *w, const cs_identity *who, const char *stem, cs_err *err) {
    const bundle_said *said = w->said;
    recipe_gaps *g = &w->gaps;
    char text[RECIPE_VALUE_MAX];
    const char *at = strchr(who->name, '@');
    (void)snprintf(text, sizeof text, "%s", stem);
    for (char *c = text; *c != '\0'; c++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", *c) == NULL) *c = '-';
    TRY(recipe_set(g, "name", who->name, err));
    TRY(recipe_set(g, "stem", stem, err));
    TRY(recipe_set(g, "stem_word", text, err));
    TRY(recipe_set(g, "organization",
                   said->organization != NULL ? said->organization
                   : at != NULL               ? at + 1
                                              : stem,
                   err));
    TRY(recipe_set(g, "ssid", said->ssid != NULL ? said->ssid : "", err));
    TRY(recipe_set(g, "radius_name", said->radius_name != NULL ? said->radius_name : "", err));
    TRY(recipe_set(g, "and_wifi", said->ssid != NULL ? ", and the Wi-Fi" : "", err));
    TRY(recipe_set(g, "not_after", w->made.not_after, err));
    (void)snprintf(text, sizeof text, "%s%s", said->server != NULL ? " at " : "",
                   said->server != NULL ? said->server : "");
    TRY(recipe_set(g, "where", text, err));
    (void)snprintf(text, sizeof text, "%s",
                   said->url != NULL ? "Point the camera at the square and open the link."
                                     : "Open the .mobileconfig file.");
    return recipe_set(g, "get_apple", text, err);
}

static cs_status read_base64(const char *path, const char *label, cs_buf *to, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_secret(CS_PEM_FILE_MAX);
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_PEM_FILE_MAX);
    TRY(files_read(path, CS_PEM_FILE_MAX, &text, err));
    if (label != NULL) TRY(cs_pem_to_der(cs_buf_view(&text), label, path, &der, err));
    (void)cs_base64_add(to, label != NULL ? cs_buf_view(&der) : cs_buf_view(&text));
    return cs_buf_ok(to, path, err);
}

/* Windows and Android take the root as DER, under this name's end. */
static cs_status write_cer(bundling *w, cs_err *err) {
    char path[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_PEM_FILE_MAX);
    if (!cs_base64_decode(cs_buf_view(&w->ca), false, &der))
        return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "root");
    TRY(files_join(w->out, "ca.cer", path, err));
    return files_write(path, cs_buf_view(&der), 0644, FILES_REPLACE, err);
}

static cs_status set_data(bundling *w, const char *stem, cs_err *err) {
    static const char *const uuids[] = {"uuid_profile", "uuid_root", "uuid_identity", "uuid_wifi"};
    const bundle_said *said = w->said;
    for (size_t i = 0; i < sizeof uuids / sizeof *uuids; i++) TRY(set_uuid(&w->gaps, uuids[i], err));
    TRY(read_base64(w->p12_path, NULL, &w->p12, err));
    TRY(read_base64(w->made.ca, CS_PEM_CERT, &w->ca, err));
    TRY(write_cer(w, err));
    if (said->url != NULL) {
        CS_SCOPED(cs_buf) url = cs_buf_of(QR_TEXT_MAX);
        (void)cs_buf_addf(&url, "%s%s%s.mobileconfig", said->url, said->url[strlen(said->url) - 1] == '/' ? "" : "/",
                          stem);
        TRY(cs_buf_ok(&url, "--url", err));
        TRY(qr_svg(&w->qr, cs_buf_cstr(&url), 32, err));
    }
    TRY(recipe_lend(&w->gaps, "p12_base64", cs_buf_cstr(&w->p12), err));
    TRY(recipe_lend(&w->gaps, "ca_base64", cs_buf_cstr(&w->ca), err));
    TRY(recipe_lend(&w->gaps, "qr", cs_buf_cstr(&w->qr), err));
    TRY(recipe_lend(&w->gaps, "challenge", cs_buf_cstr(&w->token), err));
    return recipe_set(&w->gaps, "scep", said->scep != NULL ? said->scep : "", err);
}

/* ---- the files ---- */

static cs_status write_recipe(bundling *w, const char *name, cs_buf *said, cs_err *err) {
    const recipe *r = NULL;
    char path[FILES_PATH_MAX];
    CS_SCOPED(recipe_made) made = {.n = 0};
    TRY(recipe_find(name, &r, err));
    TRY(recipe_fill(r, &w->gaps, &made, err));
    for (size_t i = 0; i < made.n; i++) {
        TRY(files_join(w->out, made.files[i].path, path, err));
        TRY(files_write(path, cs_buf_view(&made.files[i].text), 0600, w->said->force ? FILES_REPLACE : FILES_NEW, err));
        (void)cs_buf_addf(said, "  %s\n", path);
    }
    return CS_OK;
}

static cs_status judge(const bundle_said *said, const cli_texts *o, cs_identity *who, cs_err *err) {
    if (strcmp(o->at[0], "user") != 0)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "\"%.32s\", expected user: devices enroll, servers have config",
                       o->at[0]);
    if ((said->ssid != NULL) != (said->radius_name != NULL))
        return cs_fail(err, CS_REFUSED, CS_R_USAGE,
                       "--ssid and --radius-name go together: a phone must know whom it gives its certificate to");
    if (said->url != NULL && strncmp(said->url, "https://", 8) != 0)
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--url \"%.64s\", expected https://...", said->url);
    return cs_identity_make(CS_KIND_USER, cs_view_str(o->at[1]), who, err);
}

static cs_status run(bundling *w, const cli_texts *o, cs_buf *said, cs_err *err) {
    static const char *const recipes[] = {"bundle-apple", "bundle-windows", "bundle-linux", "bundle-guide"};
    cs_identity who;
    char stem[ISSUE_STEM_MAX];
    cs_process_guard();
    TRY(judge(w->said, o, &who, err));
    issue_stem(who.name, stem);
    (void)snprintf(w->out, sizeof w->out, "%s", w->said->out != NULL ? w->said->out : stem);
    TRY(open_session(&w->said->conf, &w->conf, &w->s, err));
    TRY(issue_p12(w, &who, stem, err));
    if (w->said->scep != NULL) TRY(make_token(w, &who, err));
    TRY(set_texts(w, &who, stem, err));
    TRY(set_data(w, stem, err));
    (void)cs_buf_addf(said, "  %s\n  %s\n  %s/ca.cer\n", w->p12_path, w->made.ca, w->out);
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) TRY(write_recipe(w, recipes[i], said, err));
    return CS_OK;
}

static void add_json(const bundling *w, const char *name, cs_buf *b) {
    cs_json j = cs_json_to(b);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "result", "done");
    cs_json_str(&j, "name", name);
    cs_json_str(&j, "serial", w->made.serial);
    cs_json_str(&j, "not_after", w->made.not_after);
    cs_json_str(&j, "folder", w->out);
    if (w->made.password != NULL) cs_json_view(&j, "p12_password", cs_secret_view(w->made.password));
    cs_json_object_end(&j);
    (void)cs_buf_add_byte(b, '\n');
}

static int bundle(const bundle_said *said, const cli_texts *operands) {
    __attribute__((cleanup(bundling_free))) bundling w = {.said = said,
                                                          .p12 = cs_buf_secret(CS_PEM_FILE_MAX),
                                                          .ca = cs_buf_of(CS_PEM_FILE_MAX),
                                                          .qr = cs_buf_of(256 * 1024),
                                                          .token = cs_buf_secret(4096)};
    CS_SCOPED(cs_buf) b = cs_buf_secret(64 * 1024);
    CS_SCOPED(cs_buf) files = cs_buf_of(32 * 1024);
    cs_err err;
    if (run(&w, operands, &files, &err) != CS_OK) return cli_fail("bundle", &err, said->json);
    if (said->json) {
        add_json(&w, operands->at[1], &b);
        return cli_print(&b) ? CLI_DONE : CLI_FAILED;
    }
    (void)cs_buf_addf(&b, "For %s: serial %s, until %s\n", operands->at[1], w.made.serial, w.made.not_after);
    (void)cs_buf_add_view(&b, cs_buf_view(&files));
    (void)cs_buf_addf(&b, "\nHand over the folder; what to do on each machine is on the page.\n");
    if (w.made.password != NULL) {
        (void)cs_buf_add_str(&b, "The password, shown this once, goes another way: ");
        (void)cs_buf_add_view(&b, cs_secret_view(w.made.password));
        (void)cs_buf_add_byte(&b, '\n');
    }
    return cli_print(&b) ? CLI_DONE : CLI_FAILED;
}

int cli_bundle(int argc, char **argv) {
    bundle_said said = {.out = NULL};
    const cli_opt opts[] = {
        {"out", 'o', CLI_TEXT, &said.out, "DIR", "where the files go (default: a folder of the name)"},
        {"organization", 0, CLI_TEXT, &said.organization, "NAME", "as its owner knows it (default: the name's domain)"},
        {"server", 0, CLI_TEXT, &said.server, "URL", "where it is used, for the page"},
        {"ssid", 0, CLI_TEXT, &said.ssid, "NAME", "the Wi-Fi that it logs in to (EAP-TLS)"},
        {"radius-name", 0, CLI_TEXT, &said.radius_name, "NAME",
         "with --ssid: the name in the RADIUS server's certificate"},
        {"url", 0, CLI_TEXT, &said.url, "URL", "where the folder will be put: a QR code for phones leads there"},
        {"scep", 0, CLI_TEXT, &said.scep, "URL",
         "Apple's profile asks for its certificate there; the key is made on the device"},
        {"profile", 0, CLI_TEXT, &said.profile, "NAME", "of the configuration (default: that of users)"},
        {"lifetime", 0, CLI_TEXT, &said.lifetime, "TIME", "such as 30d (default: the profile's)"},
        {"modern", 0, CLI_FLAG, &said.modern, NULL, "PKCS#12 with AES-256 (not for macOS, iOS, old Windows)"},
        {"password-file", 0, CLI_TEXT, &said.password_file, "FILE",
         "write the PKCS#12 password there, not to the screen"},
        {"force", 0, CLI_FLAG, &said.force, NULL, "replace files that are there"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "bundle",
        .synopsis = "user NAME [OPTION]...",
        .says = "Issues a certificate to a person and makes what his own machines take: PKCS#12, an Apple profile, "
                "scripts\n"
                "for Windows and Linux, the root, and one page to print that says what to do on each.",
        .examples = "  countersign bundle user ann@corp.example\n"
                    "  countersign bundle user ann@corp.example --ssid Corp --radius-name radius.corp.example",
        .opts = opts,
        .operands_min = 2,
        .operands_max = 2,
    };
    cli_texts operands;
    int code = 0;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    return bundle(&said, &operands);
}
