/* countersign top: what the gateway does now. countersign reload: reads its configuration again. Both ask the gateway's
 * own socket in the state folder. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/print.h"
#include "io/files.h"
#include "io/trail.h"
#include "ipc/ipc.h"

enum { ANSWER_MAX = 4 * 1024 * 1024, ANSWER_WAIT = 5000, ROWS = 16, REASONS_SHOWN = 8 };

typedef struct top_said {
    conf_overrides conf;
    bool json, once;
} top_said;

static volatile sig_atomic_t stopped;

static void on_stop(int signum) {
    (void)signum;
    stopped = 1;
}

cs_status gateway_ask(const conf *c, const char *line, json_t **ret, cs_err *err) {
    char path[FILES_PATH_MAX];
    int fd = -1;
    CS_SCOPED(cs_buf) out = cs_buf_of(64), in = cs_buf_of(ANSWER_MAX);
    TRY(files_join(c->state, "run/gateway.sock", path, err));
    TRY(ipc_connect(path, CS_R_GATEWAY_UNREACHABLE, &fd, err));
    (void)cs_buf_addf(&out, "%s\n", line);
    cs_status s = ipc_flush(fd, &out, ANSWER_WAIT, CS_R_GATEWAY_UNREACHABLE, err);
    if (s == CS_OK) s = ipc_read_all(fd, &in, ANSWER_WAIT, CS_R_GATEWAY_UNREACHABLE, err);
    (void)close(fd);
    TRY(s);
    *ret = json_loadb((const char *)in.p, in.n, 0, NULL);
    return *ret != NULL ? CS_OK : cs_fail(err, CS_FAILED, CS_R_GATEWAY_UNREACHABLE, "%s: its answer is no JSON", path);
}

/* ---- the picture ---- */

static double rate(const json_t *now, const json_t *before, const char *key) {
    double us = (double)(json_number(now, "microseconds") - json_number(before, "microseconds"));
    return us > 0 ? (double)(json_number(now, key) - json_number(before, key)) * 1e6 / us : 0;
}

static void add_totals(const json_t *now, const json_t *before, cs_buf *b) {
    static const struct {
        const char *key, *name;
    } rows[] = {{"full", "handshakes, full"}, {"resumed", "handshakes, resumed"}, {"requests", "requests"},
                {"streams", "streams"},       {"bytes_in", "octets in"},          {"bytes_out", "octets out"}};
    (void)cs_buf_addf(b, "%lld connections open\n\n%-24s %14s %14s\n", (long long)json_number(now, "open"), "",
                      "in all", "a second");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)cs_buf_addf(b, "%-24s %14lld", rows[i].name, (long long)json_number(now, rows[i].key));
        if (before != NULL) (void)cs_buf_addf(b, " %14.1f", rate(now, before, rows[i].key));
        (void)cs_buf_add_str(b, "\n");
    }
}

static int most_first(const void *a, const void *b) {
    long long x = json_integer_value(json_object_iter_value(*(void *const *)a)),
              y = json_integer_value(json_object_iter_value(*(void *const *)b));
    return x > y ? -1 : x < y;
}

static void add_refused(json_t *now, const json_t *before, cs_buf *b) {
    json_t *refused = json_object_get(now, "refused");
    const json_t *then = before != NULL ? json_object_get(before, "refused") : NULL;
    void *all[256];
    size_t n = 0;
    for (void *it = json_object_iter(refused); it != NULL && n < 256; it = json_object_iter_next(refused, it))
        all[n++] = it;
    if (n == 0) return;
    qsort(all, n, sizeof all[0], most_first);
    (void)cs_buf_add_str(b, "\nrefused\n");
    for (size_t i = 0; i < n && i < REASONS_SHOWN; i++) {
        const char *name = json_object_iter_key(all[i]);
        long long total = json_integer_value(json_object_iter_value(all[i]));
        (void)cs_buf_addf(b, "  %-22s %14lld", name, total);
        if (before != NULL) (void)cs_buf_addf(b, " %+14lld", total - json_integer_value(json_object_get(then, name)));
        (void)cs_buf_add_str(b, "\n");
    }
}

static void add_slowest(json_t *now, cs_buf *b) {
    static const char *const heads[] = {"SLOWEST OF THE LAST MINUTE", "STATUS", "IDENTITY", "MILLISECONDS"};
    json_t *list = json_object_get(now, "slowest");
    if (json_array_size(list) == 0) return;
    table t = table_begin(4, heads);
    for (size_t i = 0; i < json_array_size(list) && i < REASONS_SHOWN; i++) {
        const json_t *s = json_array_get(list, i);
        char status[16], took[32];
        (void)snprintf(status, sizeof status, "%lld", (long long)json_number(s, "status"));
        (void)snprintf(took, sizeof took, "%.1f", (double)json_number(s, "microseconds") / 1000);
        table_add(&t, json_text(s, "request"));
        table_add(&t, status);
        table_add(&t, json_text(s, "identity"));
        table_add(&t, took);
    }
    (void)cs_buf_add_str(b, "\n");
    table_end(&t, b);
}

static void add_connected(json_t *now, cs_buf *b) {
    static const char *const heads[] = {"IDENTITY", "FROM", "SITE", "PROTOCOL", "SECONDS", "REQUESTS"};
    json_t *list = json_object_get(now, "connected");
    if (json_array_size(list) == 0) return;
    table t = table_begin(6, heads);
    for (size_t i = 0; i < json_array_size(list) && i < ROWS; i++) {
        const json_t *c = json_array_get(list, i);
        char seconds[32], requests[32];
        (void)snprintf(seconds, sizeof seconds, "%lld", (long long)json_number(c, "seconds"));
        (void)snprintf(requests, sizeof requests, "%lld", (long long)json_number(c, "requests"));
        table_add(&t, json_text(c, "identity")[0] != '\0' ? json_text(c, "identity") : "-");
        table_add(&t, json_text(c, "peer"));
        table_add(&t, json_text(c, "site"));
        table_add(&t, json_text(c, "protocol"));
        table_add(&t, seconds);
        table_add(&t, requests);
    }
    (void)cs_buf_add_str(b, "\n");
    table_end(&t, b);
}

static bool draw(json_t *now, const json_t *before, bool terminal) {
    CS_SCOPED(cs_buf) b = cs_buf_of(ANSWER_MAX);
    if (terminal) (void)cs_buf_add_str(&b, "\x1b[H\x1b[2J");
    add_totals(now, before, &b);
    add_refused(now, before, &b);
    add_slowest(now, &b);
    add_connected(now, &b);
    return cli_print(&b);
}

static void pause_for(long ms) {
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

/* The workers leave their pictures twice a second, once somebody has asked. */
static cs_status first_look(const conf *c, json_t **ret, cs_err *err) {
    TRY(gateway_ask(c, "top", ret, err));
    json_decref(*ret);
    pause_for(1100);
    return gateway_ask(c, "top", ret, err);
}

static int watch(const conf *c, const top_said *said) {
    cs_err err;
    json_t *before = NULL, *now = NULL;
    bool terminal = isatty(STDOUT_FILENO) == 1;
    cs_status s = first_look(c, &now, &err);
    int code = CLI_DONE;
    while (s == CS_OK && code == CLI_DONE) {
        code = said->json ? print_json(now) : draw(now, before, terminal && !said->once) ? CLI_DONE : CLI_FAILED;
        if (said->once || stopped) break;
        pause_for(1000);
        if (stopped) break;
        json_decref(before);
        before = now;
        now = NULL;
        s = gateway_ask(c, "top", &now, &err);
    }
    json_decref(before);
    json_decref(now);
    return s == CS_OK ? code : cli_fail("top", &err, said->json);
}

int cli_top(int argc, char **argv) {
    top_said said = {0};
    const cli_opt opts[] = {
        {"once", '1', CLI_FLAG, &said.once, NULL, "one picture, then end"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "top",
        .synopsis = "[OPTION]...",
        .says = "What the gateway does now, once a second until Ctrl-C: handshakes, requests and octets, what was\n"
                "refused and why, the slowest requests, who is connected.",
        .examples = "  countersign top\n  countersign top --once --json",
        .opts = opts,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    CS_AUTO(conf) c = NULL;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (conf_load(&said.conf, &c, &err) != CS_OK) return cli_fail("top", &err, said.json);
    (void)signal(SIGINT, on_stop);
    (void)signal(SIGTERM, on_stop);
    return watch(c, &said);
}

/* Where an authority is, its log holds it. */
static cs_status note_reload(const conf *c, bool done, const json_t *answer, cs_err *err) {
    char dir[FILES_PATH_MAX], who[32], text[CONF_FILE_TEXT_MAX + CS_DETAIL_MAX];
    TRY(files_join(c->state, "authority", dir, err));
    if (!files_exists(dir)) return CS_OK;
    if (done)
        (void)conf_file_text(c, text);
    else
        (void)snprintf(text, sizeof text, "%.80s: %.900s", json_text(answer, "reason"), json_text(answer, "detail"));
    return trail_add(c->state, cs_now(cs_clock_system()), done ? "config-taken" : "config-refused", trail_self(who),
                     text, err);
}

int cli_reload(int argc, char **argv) {
    top_said said = {0};
    const cli_opt opts[] = {
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "reload",
        .synopsis = "[OPTION]...",
        .says = "The gateway reads its configuration, certificates, anchors, CRLs and lists again. No connection is\n"
                "dropped but those that are not admitted any more. What is bad is refused whole: what runs goes on.",
        .opts = opts,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    json_t *answer = NULL;
    CS_AUTO(conf) c = NULL;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    cs_status s = conf_load(&said.conf, &c, &err);
    if (s == CS_OK) s = gateway_ask(c, "reload", &answer, &err);
    if (s != CS_OK) return cli_fail("reload", &err, said.json);
    bool done = strcmp(json_text(answer, "result"), "reloaded") == 0;
    if (note_reload(c, done, answer, &err) != CS_OK) code = cli_fail("reload", &err, said.json);
    if (said.json) {
        code = print_json(answer);
    } else if (done) {
        CS_SCOPED(cs_buf) b = cs_buf_of(64);
        (void)cs_buf_add_str(&b, "reloaded\n");
        code = cli_print(&b) ? CLI_DONE : CLI_FAILED;
    } else {
        (void)fprintf(stderr, "countersign reload: %s: %s\n", json_text(answer, "reason"), json_text(answer, "detail"));
        if (json_text(answer, "advice")[0] != '\0') (void)fprintf(stderr, "  %s\n", json_text(answer, "advice"));
    }
    json_decref(answer);
    return done ? code : CLI_FAILED;
}
