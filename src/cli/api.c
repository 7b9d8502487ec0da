/* One HTTP request over a unix socket, JSON in and out. */
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "cli/session.h"

enum { ANSWER_MAX = 64 * 1024 * 1024, TIMEOUT_SECONDS = 60 };

const char *json_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

int64_t json_number(const json_t *object, const char *key) {
    return (int64_t)json_integer_value(json_object_get(object, key));
}

static size_t take(char *p, size_t size, size_t n, void *to) {
    return cs_buf_add(to, p, size * n) ? size * n : 0;
}

/* application/problem+json, RFC 9457: the reason's name is ours. */
static cs_status refused(const cs_buf *text, long status, cs_err *err) {
    json_error_t why;
    json_t *problem = json_loadb((const char *)text->p, text->n, 0, &why);
    cs_reason reason = problem != NULL ? cs_reason_by_name(json_text(problem, "reason")) : CS_R_NONE;
    cs_status s;
    if (reason != CS_R_NONE)
        s = cs_fail(err, CS_REFUSED, reason, "%s", json_text(problem, "detail"));
    else
        s = cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "the authority answered %ld without a reason: %.*s", status,
                    (int)(text->n < 200 ? text->n : 200), text->n > 0 ? (const char *)text->p : "");
    json_decref(problem);
    return s;
}

static cs_status judge(CURLcode rc, CURL *curl, const cs_buf *text, json_t **ret, cs_err *err) {
    long status = 0;
    json_error_t why;
    if (rc != CURLE_OK) return cs_fail(err, CS_FAILED, CS_R_AUTHORITY_UNREACHABLE, "%s", curl_easy_strerror(rc));
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299) return refused(text, status, err);
    *ret = json_loadb((const char *)text->p, text->n, 0, &why);
    if (*ret == NULL)
        return cs_fail(err, CS_FAILED, CS_R_MESSAGE_MALFORMED, "the authority's answer is not JSON: %s", why.text);
    return CS_OK;
}

static cs_status perform(CURL *curl, const char *socket, const char *method, const char *path, const char *body,
                         json_t **ret, cs_err *err) {
    char url[1024];
    CS_SCOPED(cs_buf) text = cs_buf_of(ANSWER_MAX);
    struct curl_slist *fields = curl_slist_append(NULL, "Accept: application/json");
    if (body != NULL) fields = curl_slist_append(fields, "Content-Type: application/json");
    (void)snprintf(url, sizeof url, "http://localhost%s", path);
    (void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)TIMEOUT_SECONDS);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &text);
    if (strcmp(method, "POST") == 0) (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body != NULL ? body : "{}");
    cs_status s = judge(curl_easy_perform(curl), curl, &text, ret, err);
    curl_slist_free_all(fields);
    return s;
}

cs_status session_call_at(const char *socket, const char *method, const char *path, const json_t *body, json_t **ret,
                          cs_err *err) {
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    CURL *curl = curl_easy_init();
    cs_status s = curl == NULL || (body != NULL && text == NULL) ? CS_NOMEM_ERR(err)
                                                                 : perform(curl, socket, method, path, text, ret, err);
    if (curl != NULL) curl_easy_cleanup(curl);
    free(text);
    return s;
}
