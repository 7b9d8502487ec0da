/* countersign status: what runs, what was issued, what expires next, who was let in and who was not. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "cli/print.h"
#include "io/files.h"

enum { METRICS_MAX = 4 * 1024 * 1024, STATUS_MAX = 64 * 1024, METRICS_SECONDS = 3 };

typedef struct status_said {
    conf_overrides conf;
    bool json;
} status_said;

/* ---- the supervisor's file ---- */

/* NULL when no `up` runs. */
static json_t *read_up(const conf *c) {
    char path[FILES_PATH_MAX];
    CS_SCOPED(cs_buf) b = cs_buf_of(STATUS_MAX);
    cs_err err;
    if (files_join(c->state, "run/status.json", path, &err) != CS_OK) return NULL;
    if (files_read(path, STATUS_MAX, &b, &err) != CS_OK) return NULL;
    json_t *up = json_loadb((const char *)b.p, b.n, 0, NULL);
    pid_t pid = (pid_t)json_number(up, "pid");
    if (pid > 0 && kill(pid, 0) == 0) return up; /* else it was killed, and its file is what remains */
    json_decref(up);
    return NULL;
}

/* ---- the gateway's metrics ---- */

static size_t take(char *p, size_t size, size_t n, void *to) {
    return cs_buf_add(to, p, size * n) ? size * n : 0;
}

static bool fetch_metrics(const char *address, cs_buf *text) {
    char url[256];
    CURL *curl = address[0] != '\0' ? curl_easy_init() : NULL;
    if (curl == NULL) return false;
    (void)snprintf(url, sizeof url, "http://%s/metrics", address);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)METRICS_SECONDS);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, text);
    bool got = curl_easy_perform(curl) == CURLE_OK;
    curl_easy_cleanup(curl);
    return got;
}

/* name{label="value"} NUMBER, or name NUMBER. */
static bool sample_of(const char *line, const char *name, char label[64], double *ret) {
    size_t n = strlen(name);
    label[0] = '\0';
    if (strncmp(line, name, n) != 0 || (line[n] != '{' && line[n] != ' ')) return false;
    const char *quote = line[n] == '{' ? strchr(line, '"') : NULL;
    if (quote != NULL) (void)snprintf(label, 64, "%.*s", (int)strcspn(quote + 1, "\""), quote + 1);
    const char *number = strrchr(line, ' ');
    *ret = number != NULL ? strtod(number, NULL) : 0;
    return true;
}

static json_t *read_metrics(const char *address) {
    CS_SCOPED(cs_buf) text = cs_buf_of(METRICS_MAX);
    if (!fetch_metrics(address, &text)) return NULL;
    double admitted = 0, open = 0, value = 0;
    char label[64];
    json_t *refused = json_object();
    char *at = (char *)(uintptr_t)cs_buf_cstr(&text);
    for (char *line = at; line != NULL && *line != '\0';) {
        char *end = strchr(line, '\n');
        if (end != NULL) *end = '\0';
        if (sample_of(line, "countersign_handshakes_total", label, &value)) admitted += value;
        if (sample_of(line, "countersign_connections_open", label, &value)) open += value;
        if (sample_of(line, "countersign_handshakes_refused_total", label, &value) && value > 0)
            (void)json_object_set_new(refused, label, json_integer((json_int_t)value));
        line = end != NULL ? end + 1 : NULL;
    }
    return json_pack("{s:I, s:I, s:o}", "admitted", (json_int_t)admitted, "connections_open", (json_int_t)open,
                     "refused", refused);
}

/* ---- for people ---- */

static void add_processes(const json_t *up, cs_buf *b) {
    static const char *const heads[] = {"PROCESS", "STATE", "PID", "SINCE", "RESTARTS"};
    const json_t *p = NULL;
    size_t i = 0;
    if (!json_is_object(up)) {
        (void)cs_buf_add_str(b, "countersign is not running (countersign up starts it)\n");
        return;
    }
    table t = table_begin(5, heads);
    json_array_foreach(json_object_get(up, "processes"), i, p) {
        char pid[24], restarts[24], since[32];
        (void)snprintf(pid, sizeof pid, "%lld", (long long)json_number(p, "pid"));
        (void)snprintf(restarts, sizeof restarts, "%lld", (long long)json_number(p, "restarts"));
        table_add(&t, json_text(p, "name"));
        table_add(&t, json_text(p, "state"));
        table_add(&t, pid);
        table_add(&t, short_time(json_text(p, "started"), since));
        table_add(&t, restarts);
    }
    table_end(&t, b);
    (void)cs_buf_addf(b, "\nGateway    https %s", json_text(up, "https"));
    if (json_text(up, "http")[0] != '\0') (void)cs_buf_addf(b, "   http %s", json_text(up, "http"));
    if (json_text(up, "metrics")[0] != '\0') (void)cs_buf_addf(b, "   metrics %s", json_text(up, "metrics"));
    (void)cs_buf_add_byte(b, '\n');
}

static void add_issued(const json_t *a, cs_buf *b) {
    const json_t *issued = json_object_get(a, "issued"), *next = json_object_get(a, "expires_next"),
                 *crl = json_object_get(a, "crl");
    char until[32];
    (void)cs_buf_addf(b, "Issued     %lld user, %lld device, %lld server: %lld valid, %lld revoked, %lld expired\n",
                      (long long)json_number(issued, "user"), (long long)json_number(issued, "device"),
                      (long long)json_number(issued, "server"), (long long)json_number(a, "valid"),
                      (long long)json_number(a, "revoked"), (long long)json_number(a, "expired"));
    if (json_is_object(next))
        (void)cs_buf_addf(b, "Expires    next: %s %s, %s\n", json_text(next, "kind"), json_text(next, "name"),
                          short_time(json_text(next, "not_after"), until));
    if (json_is_object(crl))
        (void)cs_buf_addf(b, "CRL        number %lld, %lld entries, good until %s\n",
                          (long long)json_number(crl, "number"), (long long)json_number(crl, "entries"),
                          short_time(json_text(crl, "next_update"), until));
    (void)cs_buf_addf(b, "Signer     %s\n", json_text(a, "signer"));
}

static void add_gateway(const json_t *m, cs_buf *b) {
    const char *reason = NULL;
    const json_t *n = NULL;
    if (!json_is_object(m)) return;
    (void)cs_buf_addf(b, "Admitted   %lld handshakes, %lld connections open\n", (long long)json_number(m, "admitted"),
                      (long long)json_number(m, "connections_open"));
    /* json_object_foreach wants a pointer that it may pass on; nothing is changed */
    json_object_foreach((json_t *)(uintptr_t)json_object_get(m, "refused"), reason, n) {
        (void)cs_buf_addf(b, "Refused    %lld  %s\n", (long long)json_integer_value(n), reason);
    }
}

/* ---- the whole ---- */

static cs_status run(const status_said *said, json_t **ret, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    json_t *authority = NULL;
    TRY(open_session(&said->conf, &c, &s, err));
    TRY(session_call(s, "GET", "/api/v1/status", NULL, true, &authority, err));
    json_t *up = read_up(c);
    json_t *metrics = up != NULL ? read_metrics(json_text(up, "metrics")) : NULL;
    *ret = json_pack("{s:s, s:b, s:o, s:o?, s:o?}", "state", c->state, "running", up != NULL, "authority", authority,
                     "up", up, "gateway", metrics);
    return *ret != NULL ? CS_OK : CS_NOMEM_ERR(err);
}

int cli_status(int argc, char **argv) {
    status_said said = {0};
    const cli_opt opts[] = {
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "status",
        .synopsis = "[OPTION]...",
        .says = "What runs, what was issued, what expires next, how fresh the CRL is, and how many handshakes the\n"
                "gateway admitted and refused, by reason.",
        .opts = opts,
    };
    cli_texts operands;
    cs_err err;
    int code = 0;
    json_t *all = NULL;
    if (!cli_parse(&use, argc, argv, &operands, &code)) return code;
    if (run(&said, &all, &err) != CS_OK) return cli_fail("status", &err, said.json);
    CS_SCOPED(cs_buf) b = cs_buf_of(1024 * 1024);
    if (said.json) {
        code = print_json(all);
    } else {
        add_processes(json_object_get(all, "up"), &b);
        add_issued(json_object_get(all, "authority"), &b);
        add_gateway(json_object_get(all, "gateway"), &b);
    }
    json_decref(all);
    return code == CLI_DONE && cli_print(&b) ? CLI_DONE : CLI_FAILED;
}
