/* countersign profile: the profiles that there are, and what a request would get. */
#include "cli/profile.h"

#include <string.h>

#include "cli/print.h"

typedef struct profile_said {
    try_said trial;
    bool json;
} profile_said;

static void list(const conf *c, cs_buf *b) {
    static const char *const heads[] = {"NAME", "KIND", "LIFETIME", "LONGEST", "KEYS", "ASK"};
    table t = table_begin(6, heads);
    for (unsigned i = 0; i < c->profile_count; i++) {
        const cs_profile *p = &c->profiles[i];
        char text[CS_TIME_TEXT_MAX];
        CS_SCOPED(cs_buf) words = cs_buf_of(1024);
        table_add(&t, p->name);
        table_add(&t, cs_kind_name(p->kind));
        table_add(&t, cs_duration_text(p->lifetime, text));
        table_add(&t, cs_duration_text(p->lifetime_limit, text));
        words_of_keys(p, &words);
        table_add(&t, cs_buf_cstr(&words));
        words_of_doors(p, &words);
        table_add(&t, cs_buf_cstr(&words));
    }
    table_end(&t, b);
}

static void list_json(const conf *c, cs_json *j) {
    cs_json_array(j, NULL);
    for (unsigned i = 0; i < c->profile_count; i++) {
        const cs_profile *p = &c->profiles[i];
        cs_json_object(j, NULL);
        cs_json_str(j, "name", p->name);
        cs_json_str(j, "kind", cs_kind_name(p->kind));
        cs_json_int(j, "lifetime_seconds", p->lifetime / CS_SEC);
        cs_json_int(j, "longest_seconds", p->lifetime_limit / CS_SEC);
        cs_json_bool(j, "approval", p->approval);
        cs_json_bool(j, "shared_key", p->shared_key);
        if (p->supersede_said) cs_json_bool(j, "supersede", p->supersede);
        cs_json_hex(j, "digest", cs_view_of(p->digest, sizeof p->digest));
        cs_json_object_end(j);
    }
    cs_json_array_end(j);
}

/* Opens {"fields": [ ... and closes it with how it ended. */
static void begin_fields(saying *s, cs_json *j, bool json) {
    if (!json) return;
    s->j = j;
    cs_json_object(j, NULL);
    cs_json_array(j, "fields");
}

static void end_fields(saying *s, const char *key, bool value) {
    if (s->j == NULL) return;
    cs_json_array_end(s->j);
    if (key != NULL) cs_json_bool(s->j, key, value);
    cs_json_object_end(s->j);
    (void)cs_buf_add_byte(s->b, '\n');
}

static cs_status show(const profile_said *said, const conf *c, const char *name, cs_buf *b, cs_err *err) {
    const cs_profile *p = NULL;
    cs_json j = cs_json_to(b);
    saying s = {b, NULL};
    TRY(conf_profile_find(c, name, CS_KIND_OTHER, &p, err));
    begin_fields(&s, &j, said->json);
    say_profile(&s, p);
    end_fields(&s, NULL, false);
    return CS_OK;
}

static cs_status try_it(const profile_said *said, const conf *c, cs_buf *b, int *ret_exit, cs_err *err) {
    bool refused = false;
    cs_json j = cs_json_to(b);
    saying s = {b, NULL};
    begin_fields(&s, &j, said->json);
    TRY(try_request(&said->trial, c, &s, &refused, err));
    end_fields(&s, "would_be_issued", !refused);
    if (!said->json)
        (void)cs_buf_addf(b, "\n%s\n", refused ? "Nothing would be issued." : "It would be issued; nothing was.");
    *ret_exit = refused ? CLI_FAILED : CLI_DONE;
    return CS_OK;
}

static cs_status run(profile_said *said, const cli_texts *words, cs_buf *b, int *ret_exit, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    const char *verb = words->at[0];
    cs_json j = cs_json_to(b);
    if (strcmp(verb, "check") == 0 && words->n == 2) said->trial.conf.file = words->at[1];
    TRY(conf_load(&said->trial.conf, &c, err));
    if (strcmp(verb, "show") == 0) return show(said, c, words->at[1], b, err);
    if (strcmp(verb, "try") == 0) return try_it(said, c, b, ret_exit, err);
    if (strcmp(verb, "check") == 0 && !said->json) {
        (void)cs_buf_addf(b, "%s: %u profiles, all can be kept to\n", c->file != NULL ? c->file : "no file",
                          c->profile_count);
        return CS_OK;
    }
    if (!said->json) {
        list(c, b);
        return CS_OK;
    }
    list_json(c, &j);
    (void)cs_buf_add_byte(b, '\n');
    return CS_OK;
}

static bool check_words(const cli_texts *words, const profile_said *said, int *ret_exit) {
    static const struct {
        const char *verb;
        size_t min, max;
    } verbs[] = {{"list", 1, 1}, {"show", 2, 2}, {"check", 1, 2}, {"try", 1, 1}};
    size_t i = 0;
    *ret_exit = 0;
    while (i < 4 && strcmp(verbs[i].verb, words->at[0]) != 0) i++;
    if (i == 4)
        *ret_exit = cli_usage("profile", "\"%s\": list, show, check or try is expected", words->at[0]);
    else if (words->n < verbs[i].min || words->n > verbs[i].max)
        *ret_exit = cli_usage("profile", "%s takes %s", words->at[0], verbs[i].max == 1 ? "no name" : "one name");
    else if (i == 3 && (said->trial.csr == NULL || said->trial.profile == NULL))
        *ret_exit = cli_usage("profile", "try needs --csr FILE and --profile NAME");
    return *ret_exit == 0;
}

int cli_profile(int argc, char **argv) {
    profile_said said = {.json = false};
    try_said *t = &said.trial;
    const cli_opt opts[] = {
        {"csr", 0, CLI_TEXT, &t->csr, "FILE", "try: the request, PEM or DER"},
        {"profile", 0, CLI_TEXT, &t->profile, "NAME", "try: by which profile"},
        {"name", 0, CLI_TEXT, &t->name, "NAME", "try: the identity (else the first name of the request)"},
        {"dns", 0, CLI_LIST, &t->dns, "NAME", "try: another DNS name"},
        {"ip", 0, CLI_LIST, &t->ip, "ADDRESS", "try: an IP address"},
        {"email", 0, CLI_LIST, &t->email, "ADDRESS", "try: another e-mail address"},
        {"lifetime", 0, CLI_TEXT, &t->lifetime, "TIME", "try: such as 30d or 8h"},
        {"door", 0, CLI_TEXT, &t->door, "DOOR", "try: cli, rest, est, scep, cmp or acme"},
        CLI_OPT_STATE(said.trial.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "profile",
        .synopsis = "list | show NAME | check [FILE] | try --csr FILE --profile NAME [OPTION]...",
        .says = "Says what certificates of each profile hold; whether a configuration's profiles can be kept to; and\n"
                "what a request would get, field by field, and why. Nothing is issued; the exit is 1 when it would be\n"
                "refused.",
        .examples = "  countersign profile show server\n"
                    "  countersign profile try --csr gw.csr --profile server --dns www.corp.example",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 2,
    };
    cli_texts words;
    cs_err err;
    int code = 0, ended = CLI_DONE;
    if (!cli_parse(&use, argc, argv, &words, &code) || !check_words(&words, &said, &code)) return code;
    CS_SCOPED(cs_buf) b = cs_buf_of(1024 * 1024);
    if (run(&said, &words, &b, &ended, &err) != CS_OK) return cli_fail("profile", &err, said.json);
    return cli_print(&b) ? ended : CLI_FAILED;
}
