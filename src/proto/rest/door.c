#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "ipc/ipc.h"
#include "proto/rest/rest_priv.h"
#include "report/log.h"

enum { CONNECTIONS_MAX = 256, IDLE_SECONDS = 75, OUT_MAX = 300 * 1024 * 1024 };

struct rest {
    authority *a;
    struct MHD_Daemon *control, *public;
};

typedef struct door {
    authority *a;
    const rest_route *routes;
} door;

static door doors[2]; /* control, public; written before the daemons start */

const char *rest_query(rest_call *c, const char *key) {
    return MHD_lookup_connection_value(c->connection, MHD_GET_ARGUMENT_KIND, key);
}

cs_status rest_body(rest_call *c, json_t **ret, cs_err *err) {
    json_error_t why;
    if (c->too_big) return cs_fail(err, CS_LIMIT, CS_R_HTTP_BODY_TOO_LARGE, "at most %d bytes", CS_API_BODY_MAX);
    json_t *j = json_loadb((const char *)c->body.p, c->body.n, JSON_REJECT_DUPLICATES, &why);
    if (j == NULL) return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "body, line %d: %s", why.line, why.text);
    if (!json_is_object(j)) {
        json_decref(j);
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "body: a JSON object is expected");
    }
    *ret = j;
    return CS_OK;
}

cs_status rest_text(const json_t *object, const char *key, bool needed, const char **ret, cs_err *err) {
    const json_t *v = json_object_get(object, key);
    *ret = json_string_value(v);
    if (*ret != NULL || (v == NULL && !needed)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "%s: a string is expected", key);
}

static void problem(rest_call *c, const cs_err *err) {
    const cs_reason_info *r = cs_reason_of(err->reason);
    cs_buf_clear(&c->out);
    c->status = (unsigned)r->http;
    c->type = "application/problem+json";
    c->etag = NULL;
    c->modified = 0;
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "type", "about:blank");
    cs_json_str(&j, "title", r->says);
    cs_json_int(&j, "status", r->http);
    cs_json_str(&j, "detail", err->detail);
    cs_json_str(&j, "reason", r->name);
    cs_json_str(&j, "advice", r->advice);
    cs_json_object_end(&j);
}

static bool fits(const char *path, const char *route, const char **ret_rest) {
    size_t n = strlen(route);
    bool below = n > 0 && route[n - 1] == '/';
    if (strncmp(path, route, n) != 0 || (!below && path[n] != '\0') || (below && path[n] == '\0')) return false;
    *ret_rest = path + n;
    return true;
}

/* HEAD is answered as GET; the library leaves the body out. */
static bool same_method(const char *asked, const char *route) {
    return strcmp(asked, route) == 0 || (strcmp(asked, MHD_HTTP_METHOD_HEAD) == 0 && strcmp(route, "GET") == 0);
}

static cs_status dispatch(rest_call *c, const rest_route *routes, cs_err *err) {
    bool path_known = false;
    for (const rest_route *r = routes; r->path != NULL; r++) {
        if (!fits(c->path, r->path, &c->rest)) continue;
        path_known = true;
        if (same_method(c->method, r->method)) return r->handler(c, err);
    }
    if (path_known) return cs_fail(err, CS_REFUSED, CS_R_HTTP_METHOD_NOT_ALLOWED, "%s %s", c->method, c->path);
    return cs_fail(err, CS_REFUSED, CS_R_ROUTE_UNKNOWN, "%s", c->path);
}

static void http_date(cs_time t, char out[40]) {
    time_t seconds = (time_t)cs_time_seconds(t);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL || strftime(out, 40, "%a, %d %b %Y %H:%M:%S GMT", &tm) == 0) out[0] = '\0';
}

/* RFC 9110 13.1: If-None-Match decides where there is one, else If-Modified-Since. */
static bool not_modified(const rest_call *c) {
    const char *match = MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, "If-None-Match");
    const char *since = MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, "If-Modified-Since");
    char date[40];
    if (c->status != MHD_HTTP_OK || c->etag == NULL) return false;
    if (match != NULL) return strcmp(match, "*") == 0 || strstr(match, c->etag) != NULL;
    if (since == NULL || c->modified == 0) return false;
    http_date(c->modified, date);
    return strcmp(since, date) == 0;
}

static enum MHD_Result respond(rest_call *c) {
    cs_err err;
    if (c->out.failed) {
        (void)cs_buf_ok(&c->out, "the answer", &err);
        cs_buf_clear(&c->out);
        problem(c, &err);
    }
    bool same = not_modified(c);
    struct MHD_Response *r = MHD_create_response_from_buffer(same ? 0 : c->out.n, c->out.p, MHD_RESPMEM_MUST_COPY);
    if (r == NULL) return MHD_NO;
    char date[40];
    if (!same) (void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, c->type);
    (void)MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (c->etag != NULL) (void)MHD_add_response_header(r, MHD_HTTP_HEADER_ETAG, c->etag);
    (void)MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, c->etag != NULL ? "no-cache" : "no-store");
    if (c->modified != 0) {
        http_date(c->modified, date);
        (void)MHD_add_response_header(r, MHD_HTTP_HEADER_LAST_MODIFIED, date);
    }
    if (c->status == MHD_HTTP_SERVICE_UNAVAILABLE) (void)MHD_add_response_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "2");
    enum MHD_Result done = MHD_queue_response(c->connection, same ? MHD_HTTP_NOT_MODIFIED : c->status, r);
    MHD_destroy_response(r);
    return done;
}

static void take_body(rest_call *c, const char *data, size_t n) {
    if (c->too_big) return;
    if (!cs_buf_add(&c->body, data, n)) c->too_big = true;
}

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *path, const char *method,
                              const char *version, const char *data, size_t *data_size, void **state) {
    const door *d = cls;
    rest_call *c = *state;
    (void)version;
    if (c == NULL) {
        c = calloc(1, sizeof *c);
        if (c == NULL) return MHD_NO;
        *c = (rest_call){.a = d->a, .connection = connection, .body = cs_buf_of(CS_API_BODY_MAX)};
        c->out = cs_buf_of(OUT_MAX);
        *state = c;
        return MHD_YES;
    }
    if (*data_size > 0) {
        take_body(c, data, *data_size);
        *data_size = 0;
        return MHD_YES;
    }
    c->path = path;
    c->method = method;
    c->status = MHD_HTTP_OK;
    c->type = "application/json";
    cs_err err;
    if (dispatch(c, d->routes, &err) != CS_OK) {
        problem(c, &err);
        if (cs_reason_of(err.reason)->http >= 500) log_failure(LOG_ERROR, "request-failed", &err);
    }
    return respond(c);
}

static void completed(void *cls, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode code) {
    rest_call *c = *state;
    (void)cls, (void)connection, (void)code;
    if (c == NULL) return;
    cs_buf_free(&c->body);
    cs_buf_free(&c->out);
    free(c);
    *state = NULL;
}

/* The control socket is the operator's: who connects must be our user or root. The check is made on the connection,
 * since the socket's mode alone would not tell root's processes apart from ours. */
static void arrived(void *cls, struct MHD_Connection *connection, void **state,
                    enum MHD_ConnectionNotificationCode code) {
    const union MHD_ConnectionInfo *info;
    cs_err err;
    (void)cls, (void)state;
    if (code != MHD_CONNECTION_NOTIFY_STARTED) return;
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info != NULL && ipc_peer_check(info->connect_fd, &err) == CS_OK) return;
    log_failure(LOG_WARN, "control-refused", &err);
    (void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 1U);
    *state = &doors; /* marks it: answered with 403 */
}

static enum MHD_Result control_answer(void *cls, struct MHD_Connection *connection, const char *path,
                                      const char *method, const char *version, const char *data, size_t *data_size,
                                      void **state) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (info != NULL && info->socket_context != NULL) return MHD_NO; /* closes it */
    return answer(cls, connection, path, method, version, data, data_size, state);
}

static struct MHD_Daemon *serve(int fd, door *d, MHD_AccessHandlerCallback handler,
                                MHD_NotifyConnectionCallback notify) {
    return MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC, 0, NULL, NULL,
        handler, d, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, notify, NULL, MHD_OPTION_THREAD_STACK_SIZE, (size_t)(512 * 1024), MHD_OPTION_END);
}

static void nobody(void *cls, struct MHD_Connection *connection, void **state,
                   enum MHD_ConnectionNotificationCode code) {
    (void)cls, (void)connection, (void)state, (void)code;
}

cs_status rest_start(authority *a, int control_fd, int public_fd, rest **ret, cs_err *err) {
    rest *r = calloc(1, sizeof *r);
    if (r == NULL) return CS_NOMEM_ERR(err);
    r->a = a;
    doors[0] = (door){a, rest_control_routes};
    doors[1] = (door){a, rest_public_routes};
    r->control = serve(control_fd, &doors[0], control_answer, arrived);
    r->public = serve(public_fd, &doors[1], answer, nobody);
    if (r->control == NULL || r->public == NULL) {
        rest_stop(r);
        return cs_fail(err, CS_FAILED, CS_R_PROCESS_FAILED, "the inherited sockets cannot be served");
    }
    *ret = r;
    return CS_OK;
}

void rest_stop(rest *r) {
    if (r == NULL) return;
    if (r->control != NULL) MHD_stop_daemon(r->control);
    if (r->public != NULL) MHD_stop_daemon(r->public);
    free(r);
}
