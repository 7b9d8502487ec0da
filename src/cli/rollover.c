/* countersign rollover VERB: a CA takes over from another, in stages. The stage is the authority's to record; the files
 * of ca/ are moved here, by the command. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/print.h"
#include "cli/rollover.h"

enum { CONNECTED_MAX = 1000, PICTURE_US = 1200 * 1000 };
enum { SETTLE_STEPS = 75, SETTLE_STEP_US = 200 * 1000 }; /* what runs takes a change over within seconds */

typedef struct roll_said {
    conf_overrides conf;
    rolling_ask make;
    cli_texts allow;
    const char *to, *force, *after;
    unsigned limit;
    bool supersede, no_wait, json;
} roll_said;

typedef struct roll_work {
    const roll_said *said;
    const conf *conf;
    const cli_texts *words;
    json_t *now; /* GET /api/v1/rollover; NULL: there was never one */
    cs_buf *out;
} roll_work;

static cs_status call(const roll_work *w, const char *method, const char *path, const json_t *body, json_t **ret,
                      cs_err *err) {
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    TRY(session_open(w->conf, &w->said->conf, &s, err));
    return session_call(s, method, path, body, strcmp(method, "GET") == 0, ret, err);
}

static cs_status look(roll_work *w, unsigned limit, cs_err *err) {
    CS_SCOPED(cs_buf) path = cs_buf_of(4096);
    json_t *answer = NULL;
    (void)cs_buf_addf(&path, "/api/v1/rollover?limit=%u", limit);
    if (w->said->after != NULL) {
        (void)cs_buf_add_str(&path, "&after=");
        (void)url_add(&path, w->said->after);
    }
    TRY(cs_buf_ok(&path, "--after", err));
    cs_status s = call(w, "GET", cs_buf_cstr(&path), NULL, &answer, err);
    if (s != CS_OK && err->reason != CS_R_ROLLOVER_NONE) return s;
    json_decref(w->now);
    w->now = answer;
    return CS_OK;
}

static cs_status need_one(const roll_work *w, cs_err *err) {
    if (w->now != NULL) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_ROLLOVER_NONE, "there was never one");
}

static bool is_open(const roll_work *w) {
    return json_is_true(json_object_get(w->now, "open"));
}

static rolling_stage stage_of(const json_t *answer) {
    rolling_stage s = ROLLING_GIVEN_UP;
    while (s < ROLLING_RETIRED && strcmp(json_text(answer, "stage"), rolling_stage_name(s)) != 0) s++;
    return s;
}

static cs_status files_of(const roll_work *w, rolling *r, cs_err *err) {
    return rolling_init(r, w->conf, strcmp(json_text(w->now, "kind"), "root") == 0, json_text(w->now, "old"),
                        json_text(w->now, "next"), err);
}

static void say(const roll_work *w, bool at) {
    if (!w->said->json) {
        rolling_say(w->now, at, w->out);
        return;
    }
    (void)json_object_set_new(w->now, "files", json_string(at ? "done" : "follow"));
    char *text = json_dumps(w->now, JSON_COMPACT);
    (void)cs_buf_addf(w->out, "%s\n", text != NULL ? text : "{}");
    free(text);
}

static cs_status say_now(roll_work *w, cs_err *err) {
    rolling r;
    bool at = false;
    TRY(files_of(w, &r, err));
    TRY(rolling_is_at(&r, stage_of(w->now), &at, err));
    say(w, at);
    return CS_OK;
}

/* ---- the files ---- */

static const json_t *this_node(const json_t *answer) {
    const json_t *n = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(answer, "nodes"), i, n) if (json_is_true(json_object_get(n, "this"))) return n;
    return NULL;
}

/* Until the authority that runs here has taken the files over; what does not come is shown by status. */
static cs_status settle(roll_work *w, rolling_stage stage, cs_err *err) {
    for (int i = 0; !w->said->no_wait && i < SETTLE_STEPS; i++) {
        TRY(look(w, 0, err));
        const json_t *n = this_node(w->now);
        bool published = json_is_true(json_object_get(n, "published"));
        bool switched = json_is_true(json_object_get(n, "switched"));
        bool lists = stage < ROLLING_PUBLISHED || json_is_true(json_object_get(w->now, "crl"));
        if (lists && published == (stage >= ROLLING_PUBLISHED) && switched == (stage >= ROLLING_SWITCHED)) return CS_OK;
        (void)usleep(SETTLE_STEP_US);
    }
    return CS_OK;
}

static cs_status follow_to(roll_work *w, rolling_stage stage, cs_err *err) {
    rolling r;
    bool at = false;
    TRY(files_of(w, &r, err));
    TRY(rolling_is_at(&r, stage, &at, err));
    if (!at) TRY(rolling_apply(&r, stage, err));
    return at ? CS_OK : settle(w, stage, err);
}

static cs_status follow(roll_work *w, cs_err *err) {
    TRY(look(w, 0, err));
    TRY(need_one(w, err));
    TRY(follow_to(w, stage_of(w->now), err));
    TRY(look(w, w->said->limit, err));
    return say_now(w, err);
}

/* ---- steps ---- */

static cs_status step_to(roll_work *w, rolling_stage to, cs_err *err) {
    json_t *answer = NULL;
    json_t *body = json_pack("{s:I, s:s, s:b}", "id", (json_int_t)json_number(w->now, "id"), "to",
                             rolling_stage_name(to), "supersede", (int)w->said->supersede);
    if (body == NULL) return CS_NOMEM_ERR(err);
    if (w->said->force != NULL) (void)json_object_set_new(body, "force", json_string(w->said->force));
    cs_status s = call(w, "POST", "/api/v1/rollovers/step", body, &answer, err);
    json_decref(body);
    TRY(s);
    bool waits = strcmp(json_text(answer, "state"), "waiting") == 0;
    long long id = (long long)json_number(answer, "proposal");
    json_decref(answer);
    if (waits)
        return cs_fail(err, CS_REFUSED, CS_R_PROPOSAL_WAITING,
                       "%s: proposal %lld; then countersign rollover follow moves the files", rolling_stage_name(to),
                       id);
    TRY(follow_to(w, to, err));
    TRY(look(w, w->said->limit, err));
    return say_now(w, err);
}

static cs_status next(roll_work *w, cs_err *err) {
    TRY(look(w, 0, err));
    TRY(need_one(w, err));
    if (!is_open(w))
        return cs_fail(err, CS_REFUSED, CS_R_ROLLOVER_NONE, "the last one is %s", json_text(w->now, "stage"));
    TRY(follow_to(w, stage_of(w->now), err)); /* a step that was recorded, but not made before a crash */
    return step_to(w, stage_of(w->now) + 1, err);
}

static cs_status back(roll_work *w, cs_err *err) {
    TRY(look(w, 0, err));
    TRY(need_one(w, err));
    rolling_stage stage = stage_of(w->now);
    if (stage == ROLLING_GIVEN_UP) return cs_fail(err, CS_REFUSED, CS_R_ROLLOVER_NONE, "the last one was given up");
    TRY(follow_to(w, stage, err));
    return step_to(w, stage - 1, err);
}

/* ---- who presents what now ---- */

static bool is_among(const json_t *list, const char *text) {
    const json_t *one = NULL;
    size_t i = 0;
    json_array_foreach(list, i, one) if (strcmp(json_string_value(one), text) == 0) return true;
    return false;
}

static json_t *serials_of(const json_t *connected) {
    json_t *serials = json_array();
    const json_t *c = NULL;
    size_t i = 0;
    json_array_foreach(connected, i, c) {
        const char *serial = json_text(c, "serial");
        if (serial[0] != '\0' && json_array_size(serials) < CONNECTED_MAX && !is_among(serials, serial))
            (void)json_array_append_new(serials, json_string(serial));
    }
    return serials;
}

/* The connections of the gateway that runs here, by certificates of the old CA: {"identity", "kind", "peer", ...}. */
static cs_status look_at_gateway(roll_work *w, cs_err *err) {
    json_t *picture = NULL, *answer = NULL, *list = json_array();
    const json_t *c = NULL;
    size_t i = 0;
    cs_err none;
    for (int k = 0; k < 2; k++) { /* the first time asks the workers for it */
        json_decref(picture);
        picture = NULL;
        if (gateway_ask(w->conf, "top", &picture, &none) != CS_OK) break;
        if (json_number(picture, "open") == 0 || json_array_size(json_object_get(picture, "connected")) > 0) break;
        if (k == 0) (void)usleep(PICTURE_US);
    }
    json_t *connected = json_object_get(picture, "connected");
    json_t *body = json_pack("{s:o}", "serials", serials_of(connected));
    cs_status s = CS_OK;
    if (json_array_size(json_object_get(body, "serials")) > 0)
        s = call(w, "POST", "/api/v1/rollover/presented", body, &answer, err);
    json_array_foreach(connected, i, c) if (is_among(json_object_get(answer, "old"), json_text(c, "serial")))(void)
        json_array_append(list, (json_t *)(uintptr_t)c);
    (void)json_object_set_new(w->now, "connected_old", list);
    json_decref(body);
    json_decref(answer);
    json_decref(picture);
    return s;
}

static cs_status status(roll_work *w, cs_err *err) {
    TRY(look(w, w->said->limit, err));
    TRY(need_one(w, err));
    if (is_open(w)) TRY(look_at_gateway(w, err));
    return say_now(w, err);
}

/* ---- begun ---- */

/* "issuing" and "issuing-2" become "issuing-2" and "issuing-3". */
static void name_after(const char *old, char ret[CAS_NAME_MAX + 1]) {
    char *end = NULL;
    const char *dash = strrchr(old, '-');
    unsigned long n = dash != NULL && dash[1] >= '1' && dash[1] <= '9' ? strtoul(dash + 1, &end, 10) : 0;
    if (n == 0 || *end != '\0' || n > 9999)
        (void)snprintf(ret, CAS_NAME_MAX + 1, "%.28s-2", old);
    else
        (void)snprintf(ret, CAS_NAME_MAX + 1, "%.*s-%lu", (int)(dash - old), old, n + 1);
}

/* The first that nobody has or had. */
static cs_status free_name(const char *dir, const char *old, char ret[CAS_NAME_MAX + 1], cs_err *err) {
    char away[FILES_PATH_MAX], name[CAS_NAME_MAX + 1];
    cs_err taken;
    TRY(files_join(dir, "retired", away, err));
    (void)snprintf(ret, CAS_NAME_MAX + 1, "%s", old);
    do {
        memcpy(name, ret, sizeof name);
        name_after(name, ret);
    } while (ca_name_free(dir, ret, &taken) != CS_OK ||
             (files_exists(away) && ca_name_free(away, ret, &taken) != CS_OK));
    return CS_OK;
}

static cs_status choose(const roll_work *w, rolling *r, cs_err *err) {
    char dir[FILES_PATH_MAX], old[CAS_NAME_MAX + 1], to[CAS_NAME_MAX + 1];
    const char *what = w->words->n > 1 ? w->words->at[1] : "issuing";
    bool root = strcmp(what, "root") == 0;
    TRY(conf_path(w->conf, "ca", dir, err));
    TRY(root ? ca_root_current(dir, old, err) : cas_current(dir, old, err));
    TRY(free_name(dir, old, to, err));
    TRY(rolling_init(r, w->conf, root, old, w->said->to != NULL ? w->said->to : to, err));
    if (cas_is_root(r->to) == root) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "%s: names that begin with root are for roots", r->to);
}

static cs_status start(roll_work *w, cs_err *err) {
    rolling r;
    char what[128];
    json_t *body = NULL, *answer = NULL;
    cs_err ignored;
    rolling_ask make = w->said->make;
    make.allow = &w->said->allow;
    TRY(look(w, 0, err));
    if (is_open(w))
        return cs_fail(err, CS_REFUSED, CS_R_ROLLOVER_OPEN, "from %s to %s", json_text(w->now, "old"),
                       json_text(w->now, "next"));
    TRY(choose(w, &r, err));
    (void)snprintf(what, sizeof what, "rollover start %s to %s", r.old, r.to);
    TRY(ca_ask_permit(w->conf, &w->said->conf, what, err));
    TRY(rolling_make(&r, &make, &body, err));
    cs_status s = call(w, "POST", "/api/v1/rollovers", body, &answer, err);
    json_decref(body);
    if (s != CS_OK) {
        (void)files_remove_tree(r.next, &ignored);
        return s;
    }
    json_decref(answer);
    TRY(look(w, w->said->limit, err));
    return say_now(w, err);
}

/* ---- the command ---- */

static const struct {
    const char *name;
    cs_status (*run)(roll_work *w, cs_err *err);
    size_t words; /* at most */
} verbs[] = {{"start", start, 2}, {"status", status, 1}, {"next", next, 1}, {"back", back, 1}, {"follow", follow, 1}};
enum { VERBS = sizeof verbs / sizeof verbs[0] };

static cs_status run(const roll_said *said, const cli_texts *words, size_t verb, cs_buf *out, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    roll_work w = {.said = said, .words = words, .out = out};
    char dir[FILES_PATH_MAX];
    int held = -1;
    TRY(conf_load(&said->conf, &c, err));
    w.conf = c;
    TRY(conf_path(c, "ca", dir, err));
    if (!files_exists(dir)) return cs_fail(err, CS_REFUSED, CS_R_STATE_MISSING, "%s", c->state);
    if (verbs[verb].run != status) TRY(ca_lock(c, &held, err));
    cs_status s = verbs[verb].run(&w, err);
    if (held >= 0) (void)close(held);
    json_decref(w.now);
    return s;
}

int cli_rollover(int argc, char **argv) {
    roll_said said = {.limit = 100};
    const cli_opt opts[] = {
        {"to", 0, CLI_TEXT, &said.to, "NAME", "start: the next CA's name (default: the old one's, counted on)"},
        {"days", 0, CLI_NUMBER, &said.make.days, "N", "start issuing: how long it lives (default: as long as the old)"},
        {"key-type", 0, CLI_TEXT, &said.make.key_type, "TYPE", "start: of the next CA's key, as for countersign ca"},
        {"key-uri", 0, CLI_TEXT, &said.make.key_uri, "URI", "start issuing: its key is in a token"},
        {"allow", 0, CLI_LIST, &said.allow, "FOLDER", "start issuing: what the token's module needs (may repeat)"},
        {"root-key", 0, CLI_TEXT, &said.make.root_key, "FILE", "start: the root's key, where it is not ca/NAME.key"},
        {"passphrase-file", 0, CLI_TEXT, &said.make.passphrase_file, "FILE", "start: with the root key's passphrase"},
        {"new-passphrase-file", 0, CLI_TEXT, &said.make.new_passphrase_file, "FILE",
         "start root: for the next root's key (default: the same)"},
        {"supersede", 0, CLI_FLAG, &said.supersede, NULL,
         "next, to retired: revoke old certificates of those who have renewed"},
        {"force", 0, CLI_TEXT, &said.force, "WORDS", "next, back: go on although somebody is locked out"},
        {"limit", 0, CLI_NUMBER, &said.limit, "N", "how many identities are listed (default 100, at most 1000)"},
        {"after", 0, CLI_TEXT, &said.after, "KIND/NAME", "list those behind that one"},
        {"no-wait", 0, CLI_FLAG, &said.no_wait, NULL, "do not wait until what runs has taken the files over"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "rollover",
        .synopsis = "start [issuing|root] | status | next | back | follow  [OPTION]...",
        .says = "A CA takes over from another, in stages: made, published, switched, retired. Each is seen in status,\n"
                "with those whom the next step would lock out, and is taken back with back. follow moves the files of\n"
                "ca/ to the stage that was recorded: on other nodes, and after a second administrator has approved.",
        .examples = "  countersign rollover start issuing\n"
                    "  countersign rollover next         published\n"
                    "  countersign rollover status       who still hangs on the old one\n"
                    "  countersign rollover start root --key-type ecdsa-p384",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 2,
    };
    cli_texts words;
    cs_err err;
    int code = 0;
    size_t verb = 0;
    if (!cli_parse(&use, argc, argv, &words, &code)) return code;
    while (verb < VERBS && strcmp(verbs[verb].name, words.at[0]) != 0) verb++;
    if (verb == VERBS || words.n > verbs[verb].words ||
        (words.n > 1 && strcmp(words.at[1], "issuing") != 0 && strcmp(words.at[1], "root") != 0))
        return cli_usage("rollover", "start [issuing|root], status, next, back or follow is expected");
    CS_SCOPED(cs_buf) out = cs_buf_of(4 * 1024 * 1024);
    if (run(&said, &words, verb, &out, &err) != CS_OK) return cli_fail("rollover", &err, said.json);
    return cli_print(&out) ? CLI_DONE : CLI_FAILED;
}
