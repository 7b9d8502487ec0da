/* countersign proposal: what waits for a second administrator. Approving takes a certificate of one's own, over the
 * gateway: users of the machine are all the same to it. */
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "cli/print.h"

enum { ANSWER_MAX = 4 * 1024 * 1024, TIMEOUT_SECONDS = 60 };

typedef struct proposal_said {
    conf_overrides conf;
    const char *url, *cert, *key, *cacert;
    bool json;
} proposal_said;

static size_t take(char *p, size_t size, size_t n, void *to) {
    return cs_buf_add(to, p, size * n) ? size * n : 0;
}

static cs_status answer_of(const cs_buf *text, long status, json_t **ret, cs_err *err) {
    json_t *j = json_loadb((const char *)text->p, text->n, 0, NULL);
    cs_reason reason = cs_reason_by_name(json_text(j, "reason"));
    if (j != NULL && status >= 200 && status <= 299) {
        *ret = j;
        return CS_OK;
    }
    cs_status s =
        cs_fail(err, reason != CS_R_NONE ? CS_REFUSED : CS_FAILED, reason != CS_R_NONE ? reason : CS_R_INTERNAL_ERROR,
                "%s", j != NULL ? json_text(j, "detail") : "the answer is not JSON");
    json_decref(j);
    return s;
}

static cs_status remote(const proposal_said *said, const char *path, const char *body, json_t **ret, cs_err *err) {
    char url[1024];
    long status = 0;
    CS_SCOPED(cs_buf) text = cs_buf_of(ANSWER_MAX);
    CURL *curl = curl_easy_init();
    if (curl == NULL) return CS_NOMEM_ERR(err);
    struct curl_slist *fields = curl_slist_append(NULL, "Content-Type: application/json");
    (void)snprintf(url, sizeof url, "%s%s", said->url, path);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)TIMEOUT_SECONDS);
    (void)curl_easy_setopt(curl, CURLOPT_SSLCERT, said->cert);
    (void)curl_easy_setopt(curl, CURLOPT_SSLKEY, said->key);
    if (said->cacert != NULL) (void)curl_easy_setopt(curl, CURLOPT_CAINFO, said->cacert);
    if (body != NULL) (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &text);
    CURLcode rc = curl_easy_perform(curl);
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(fields);
    curl_easy_cleanup(curl);
    if (rc != CURLE_OK)
        return cs_fail(err, CS_FAILED, CS_R_AUTHORITY_UNREACHABLE, "%s: %s", said->url, curl_easy_strerror(rc));
    return answer_of(&text, status, ret, err);
}

static cs_status call(const proposal_said *said, const char *path, json_t *body, json_t **ret, cs_err *err) {
    CS_AUTO(conf) c = NULL;
    __attribute__((cleanup(session_auto_))) session *s = NULL;
    if (said->url != NULL) {
        char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
        cs_status status = remote(said, path, text, ret, err);
        free(text);
        return status;
    }
    TRY(open_session(&said->conf, &c, &s, err));
    return session_call(s, body != NULL ? "POST" : "GET", path, body, false, ret, err);
}

static void add_rows(const json_t *answer, cs_buf *b) {
    static const char *const heads[] = {"ID", "STATE", "WHAT", "PROPOSED BY", "SINCE", "DECIDED BY"};
    const json_t *p = NULL;
    size_t i = 0;
    table t = table_begin(6, heads);
    json_array_foreach(json_object_get(answer, "proposals"), i, p) {
        char id[24], since[32], what[300];
        (void)snprintf(id, sizeof id, "%lld", (long long)json_number(p, "id"));
        (void)snprintf(what, sizeof what, "%s%s%s %s", json_text(p, "method"),
                       json_text(p, "method")[0] != '\0' ? " " : "", json_text(p, "what"), json_text(p, "body"));
        table_add(&t, id);
        table_add(&t, json_text(p, "state"));
        table_add(&t, what);
        table_add(&t, json_text(p, "proposed_by"));
        table_add(&t, short_time(json_text(p, "proposed_at"), since));
        table_add(&t, json_text(p, "decided_by"));
    }
    table_end(&t, b);
}

static cs_status run(const proposal_said *said, const cli_texts *words, cs_buf *b, cs_err *err) {
    bool list = strcmp(words->at[0], "list") == 0, approve = strcmp(words->at[0], "approve") == 0;
    json_t *answer = NULL, *body = NULL;
    if (!list) body = json_pack("{s:I}", "id", (json_int_t)strtoll(words->at[1], NULL, 10));
    cs_status status = call(said,
                            list      ? "/api/v1/proposals"
                            : approve ? "/api/v1/proposals/approve"
                                      : "/api/v1/proposals/deny",
                            body, &answer, err);
    json_decref(body);
    if (status != CS_OK) return status;
    if (said->json)
        (void)print_json(answer);
    else if (list)
        add_rows(answer, b);
    else
        (void)cs_buf_addf(b, "Proposal %s is %s\n", words->at[1], approve ? "approved" : "denied");
    json_decref(answer);
    return CS_OK;
}

static bool check_words(const cli_texts *words, const proposal_said *said, int *ret_exit) {
    const char *verb = words->at[0];
    bool list = strcmp(verb, "list") == 0;
    *ret_exit = 0;
    if (!list && strcmp(verb, "approve") != 0 && strcmp(verb, "deny") != 0)
        *ret_exit = cli_usage("proposal", "\"%s\": list, approve or deny is expected", verb);
    else if (words->n != (list ? 1 : 2))
        *ret_exit = cli_usage("proposal", "%s", list ? "list takes no number" : "the proposal's number is missing");
    else if (said->url != NULL && (said->cert == NULL || said->key == NULL))
        *ret_exit = cli_usage("proposal", "--url needs --cert and --key");
    return *ret_exit == 0;
}

int cli_proposal(int argc, char **argv) {
    proposal_said said = {0};
    const cli_opt opts[] = {
        {"url", 0, CLI_TEXT, &said.url, "URL", "of a gateway: https://gw.corp.example:8443"},
        {"cert", 0, CLI_TEXT, &said.cert, "FILE", "your certificate, PEM"},
        {"key", 0, CLI_TEXT, &said.key, "FILE", "its key, PEM"},
        {"cacert", 0, CLI_TEXT, &said.cacert, "FILE", "whom to trust (else this machine's CAs)"},
        CLI_OPT_STATE(said.conf),
        CLI_OPT_JSON(said.json),
        CLI_OPT_END,
    };
    const cli_use use = {
        .name = "proposal",
        .synopsis = "list | approve ID | deny ID [OPTION]...",
        .says = "What waits for a second administrator, where the configuration says two_person. Approving takes an\n"
                "approver's certificate, over the gateway, of another person than the proposer.",
        .examples = "  countersign proposal list\n"
                    "  countersign proposal approve 3 --url https://gw.corp.example:8443 --cert bob.crt --key bob.key",
        .opts = opts,
        .operands_min = 1,
        .operands_max = 2,
    };
    cli_texts words;
    cs_err err;
    int code = 0;
    if (!cli_parse(&use, argc, argv, &words, &code) || !check_words(&words, &said, &code)) return code;
    CS_SCOPED(cs_buf) b = cs_buf_of(1024 * 1024);
    if (run(&said, &words, &b, &err) != CS_OK) return cli_fail("proposal", &err, said.json);
    return cli_print(&b) ? CLI_DONE : CLI_FAILED;
}
