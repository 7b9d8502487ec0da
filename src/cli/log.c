/* countersign log: the audit log. */
#include "cli/log.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

enum { PAGE = 500, NEWEST = 50, FOLLOW_US = 500 * 1000 };

static void add_filter(cs_buf *path, const char *key, const char *value) {
    if (value == NULL) return;
    (void)cs_buf_addf(path, "&%s=", key);
    (void)url_add(path, value);
}

static cs_status page(const log_said *said, session *s, const char *order, uint64_t after, unsigned limit, json_t **ret,
                      cs_err *err) {
    CS_SCOPED(cs_buf) path = cs_buf_of(4096);
    char serial[2 * CS_SERIAL_MAX + 1];
    (void)cs_buf_addf(&path, "/api/v1/log?order=%s&after=%llu&limit=%u", order, (unsigned long long)after, limit);
    add_filter(&path, "event", said->event);
    add_filter(&path, "by", said->by);
    add_filter(&path, "name", said->name);
    if (said->serial != NULL) add_filter(&path, "serial", serial_like(said->serial, serial) ? serial : said->serial);
    TRY(cs_buf_ok(&path, "the request's address", err));
    return session_call(s, "GET", cs_buf_cstr(&path), NULL, true, ret, err);
}

/* One line for people: when, what, who, of what. */
static void say_words(const char *text, cs_buf *b) {
    json_t *r = json_loads(text, 0, NULL);
    static const char *const more[] = {"kind", "name", "serial", "detail", "from", "by_certificate"};
    char at[32];
    (void)cs_buf_addf(b, "%s  %-18s ", short_time(json_text(r, "at"), at), json_text(r, "event"));
    (void)cs_text_escape(b, cs_view_str(json_text(r, "by")), 80);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        if (json_text(r, more[i])[0] == '\0') continue;
        (void)cs_buf_addf(b, i == 0 ? "  " : i == 1 ? " " : "  %s ", more[i]);
        (void)cs_text_escape(b, cs_view_str(json_text(r, more[i])), 300);
    }
    (void)cs_buf_add_byte(b, '\n');
    json_decref(r);
}

/* With --json a record is printed as it was hashed. */
static cs_status say(const log_said *said, const json_t *one, cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of(128 * 1024);
    const char *record = json_text(one, "record");
    if (said->json)
        (void)cs_buf_addf(&b, "%s\n", record);
    else
        say_words(record, &b);
    return cli_print(&b) ? CS_OK : cs_fail(err, CS_FAILED, CS_R_FILE_UNWRITABLE, "standard output");
}

/* Everything behind *after, in order. */
static cs_status say_since(const log_said *said, session *s, uint64_t *after, cs_err *err) {
    for (bool more = true; more;) {
        json_t *got = NULL;
        const json_t *one = NULL;
        size_t i = 0;
        cs_status status = CS_OK;
        TRY(page(said, s, "oldest", *after, PAGE, &got, err));
        json_array_foreach(json_object_get(got, "records"), i, one) {
            if (status == CS_OK) status = say(said, one, err);
            *after = (uint64_t)json_number(one, "sequence");
        }
        more = json_object_get(got, "next") != NULL;
        if (!more && (uint64_t)json_number(got, "size") > *after && said->follow)
            *after = (uint64_t)json_number(got, "size"); /* what the filter leaves out is not looked at again */
        json_decref(got);
        TRY(status);
    }
    return fflush(stdout) == 0 ? CS_OK : cs_fail(err, CS_FAILED, CS_R_FILE_UNWRITABLE, "standard output");
}

/* The newest, oldest of them first. */
static cs_status say_newest(const log_said *said, session *s, unsigned limit, uint64_t *ret_after, cs_err *err) {
    json_t *got = NULL;
    cs_status status = CS_OK;
    TRY(page(said, s, "newest", 0, limit, &got, err));
    const json_t *all = json_object_get(got, "records");
    for (size_t i = json_array_size(all); status == CS_OK && i-- > 0;) status = say(said, json_array_get(all, i), err);
    *ret_after = (uint64_t)json_number(got, "size");
    json_decref(got);
    return status;
}

static cs_status list(const log_said *said, session *s, cs_err *err) {
    uint64_t after = 0;
    bool all = said->json && said->limit == 0;
    unsigned limit = said->limit > 0 ? said->limit : NEWEST;
    if (limit > 1000) return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--limit: at most 1000; --json prints all");
    if (!all) TRY(say_newest(said, s, limit, &after, err));
    if (all) TRY(say_since(said, s, &after, err));
    while (said->follow) {
        TRY(say_since(said, s, &after, err));
        (void)usleep(FOLLOW_US);
    }
    return CS_OK;
}

/* ---- verbs ---- */

static cs_status newest_head(const log_said *said, session *s, cs_err *err) {
    json_t *got = NULL;
    CS_SCOPED(cs_buf) b = cs_buf_of(64 * 1024);
    TRY(session_call(s, "GET", "/api/v1/log/head", NULL, true, &got, err));
    if (said->json)
        (void)print_json(got);
    else
        (void)cs_buf_add_str(&b, json_text(got, "head"));
    json_decref(got);
    return cli_print(&b) ? CS_OK : cs_fail(err, CS_FAILED, CS_R_FILE_UNWRITABLE, "standard output");
}

static cs_status key(session *s, cs_err *err) {
    json_t *got = NULL;
    TRY(session_call(s, "GET", "/api/v1/log/head", NULL, true, &got, err));
    int done = printf("%s\n", json_text(json_object_get(got, "key"), "vkey"));
    json_decref(got);
    return done > 0 ? CS_OK : cs_fail(err, CS_FAILED, CS_R_FILE_UNWRITABLE, "standard output");
}

static cs_status prove(session *s, const char *what, cs_err *err) {
    char serial[2 * CS_SERIAL_MAX + 1];
    CS_SCOPED(cs_buf) path = cs_buf_of(1024);
    json_t *got = NULL;
    if (!serial_like(what, serial))
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "%s is no serial number", what);
    (void)cs_buf_addf(&path, "/api/v1/log/proof/%s", serial);
    TRY(session_call(s, "GET", cs_buf_cstr(&path), NULL, true, &got, err));
    int code = print_json(got);
    json_decref(got);
    return code == CLI_DONE ? CS_OK : cs_fail(err, CS_FAILED, CS_R_FILE_UNWRITABLE, "standard output");
}

static cs_status run(const log_said *said, const cli_texts *words, cs_buf *b, cs_err *err) {
    const char *verb = words->n > 0 ? words->at[0] : "list";
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    if (strcmp(verb, "check") == 0) return log_check_proof(said, words->at[1], b, err);
    if (strcmp(verb, "verify") == 0) return log_verify(said, b, err);
    TRY(open_session(&said->conf, &c, &s, err));
    if (strcmp(verb, "head") == 0) return newest_head(said, s, err);
    if (strcmp(verb, "key") == 0) return key(s, err);
    if (strcmp(verb, "prove") == 0) return prove(s, words->at[1], err);
    return list(said, s, err);
}

static bool check_words(const cli_texts *words, int *ret_exit) {
    static const struct {
        const char *verb, *what;
    } verbs[] = {{"list", NULL},   {"head", NULL},      {"key", NULL},
                 {"verify", NULL}, {"prove", "SERIAL"}, {"check", "FILE"}};
    size_t i = 0;
    *ret_exit = 0;
    if (words->n == 0) return true;
    while (i < sizeof verbs / sizeof *verbs && strcmp(verbs[i].verb, words->at[0]) != 0) i++;
    if (i == sizeof verbs / sizeof *verbs)
        *ret_exit = cli_usage("log", "\"%s\": head, key, prove, check or verify is expected", words->at[0]);
    else if (words->n != (verbs[i].what != NULL ? 2 : 1))
        *ret_exit = verbs[i].what != NULL ? cli_usage("log", "%s needs %s", verbs[i].verb, verbs[i].what)
                                          : cli_usage("log", "\"%s\" is one too many", words->at[1]);
    return *ret_exit == 0;
}

int cli_log(int argc, char **argv) {
    log_said said = {0};
    const cli_opt opts[] = {
        {"follow", 'f', CLI_FLAG, &said.follow, NULL, "go on as records come"},
        {"limit", 'n', CLI_NUMBER, &said.limit, "N", "the newest N (default 50; with --json all)"},
        {"event", 0, CLI_TEXT, &said.event, "EVENT", "only these: issued, revoked, refused, ..."},
        {"by", 0, CLI_TEXT, &said.by, "WHO", "only what they did: \"user ann@corp.example\", \"uid 0\""},
        {"name", 0, CLI_TEXT, &said.name, "NAME", "only what was done to that identity"},
        {"serial", 0, CLI_TEXT, &said.serial, "SERIAL", "only what was done to that certificate"},
        {"head", 0, CLI_LIST, &said.heads, "FILE", "verify: a head that was kept elsewhere"},
        {"from", 0, CLI_TEXT, &said.from, "FILE", "verify: records as log --json prints them, with --key and --head"},
        {"key", 0, CLI_TEXT, &said.key, "KEY", "verify, check: the log's key, as log key prints it"},
        {"trust", 0, CLI_TEXT, &said.trust, "FILE", "check: CA certificates that must stand behind the log's key"},
        {"certificate", 0, CLI_TEXT, &said.certificate, "FILE", "check: the proof must be that of this certificate"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "log",
        .synopsis = "[head | key | verify | prove SERIAL | check FILE] [OPTION]...",
        .says =
            "The audit log: who did what, from where, by which certificate. It is a Merkle tree with signed heads:\n"
            "verify proves it whole, prove gives a proof of one issuance that a stranger can check.",
        .examples = "  countersign log --follow\n  countersign log head > head.txt\n"
                    "  countersign log verify --head head.txt\n  countersign log prove SERIAL > proof.json",
        .opts = opts,
        .operands_max = 2,
    };
    cli_texts words;
    cs_err err;
    int code = 0;
    if (!cli_parse(&use, argc, argv, &words, &code) || !check_words(&words, &code)) return code;
    CS_SCOPED(cs_buf) b = cs_buf_of(1024 * 1024);
    if (run(&said, &words, &b, &err) != CS_OK) return cli_fail("log", &err, said.json);
    return cli_print(&b) ? CLI_DONE : CLI_FAILED;
}
