#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "ipc/ipc.h"
#include "proto/acme/acme.h"
#include "proto/cmp/cmp_desk.h"
#include "proto/rest/rest_priv.h"
#include "report/log.h"

enum {
    IDLE_SECONDS = 75,
    OUT_MAX = 64 * 1024 * 1024,
    DRAIN_STEP_MS = 10,
    DRAIN_STEPS_MAX = 500, /* five seconds for the requests under way */
};

typedef struct door {
    authority *a;
    enroll *e;
    cmp_desk *cmp;
    acme *acme;
    bool private;         /* the control socket: the API, and for our user and root only */
    atomic_int under_way; /* requests whose answer has not been sent */
} door;

struct rest {
    acme *acme;
    struct MHD_Daemon *control, *public;
    cmp_desk *cmp;
    int listeners[2]; /* control's, public's; not accepted from any more: -1 */
    door doors[2];
};

/* A connection. One that has asked nothing yet counts as a request under way: its first may be on its way. */
typedef struct guest {
    bool stranger; /* of another user: answered with 403, whatever it asks; of the public door: only what is public */
    unsigned uid;
    bool counted; /* in under_way, until its first request is */
} guest;

const char *rest_query(rest_call *c, const char *key) {
    return MHD_lookup_connection_value(c->connection, MHD_GET_ARGUMENT_KIND, key);
}

cs_status rest_body(rest_call *c, json_t **ret, cs_err *err) {
    if (c->too_big) return cs_fail(err, CS_LIMIT, CS_R_HTTP_BODY_TOO_LARGE, "at most %d bytes", CS_API_BODY_MAX);
    return json_read_object(cs_buf_view(&c->body), "body", ret, err);
}

cs_status rest_text(const json_t *object, const char *key, bool needed, const char **ret, cs_err *err) {
    const json_t *v = json_object_get(object, key);
    *ret = json_string_value(v);
    if (*ret != NULL || (v == NULL && !needed)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "%s: a string is expected", key);
}

void rest_put_problem(cs_json *j, const cs_err *err) {
    const cs_reason_info *r = cs_reason_of(err->reason);
    cs_json_str(j, "type", "about:blank");
    cs_json_str(j, "title", r->says);
    cs_json_int(j, "status", r->http);
    cs_json_str(j, "detail", err->detail);
    cs_json_str(j, "reason", r->name);
    cs_json_str(j, "advice", r->advice);
}

static void problem(rest_call *c, const cs_err *err) {
    cs_buf_clear(&c->out);
    authority_blob_free(CS_TAKE(c->file));
    c->status = (unsigned)cs_reason_of(err->reason)->http;
    c->type = "application/problem+json";
    c->etag = NULL;
    c->modified = c->expires = 0;
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    rest_put_problem(&j, err);
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

static const rest_route *find(rest_call *c, const rest_route *routes, cs_err *err) {
    bool path_known = false;
    for (const rest_route *r = routes; r->path != NULL; r++) {
        if (!fits(c->path, r->path, &c->rest)) continue;
        path_known = true;
        if (same_method(c->method, r->method)) return r;
    }
    if (path_known)
        (void)cs_fail(err, CS_REFUSED, CS_R_HTTP_METHOD_NOT_ALLOWED, "%s %s", c->method, c->path);
    else
        (void)cs_fail(err, CS_REFUSED, CS_R_ROUTE_UNKNOWN, "%s", c->path);
    return NULL;
}

static cs_status dispatch(rest_call *c, const door *d, const guest *g, cs_err *err) {
    bool knocks = strcmp(c->path, REST_ENROLL) == 0; /* for who is nobody yet */
    bool api = d->private || (strncmp(c->path, REST_API, sizeof REST_API - 1) == 0 && !knocks);
    if (g->stranger && api) return cs_fail(err, CS_REFUSED, CS_R_PERMISSION_DENIED, "a connection of another user");
    if (d->private)
        rest_caller_local(c, g->uid);
    else if (api)
        TRY(rest_caller_told(c, err)); /* before the path: who is unknown learns nothing of what there is */
    if (api && c->roles == 0) TRY(rest_caller_needs(c, ROLE_ANY, err));
    const rest_route *r = find(c, api ? rest_api_routes : rest_public_routes, err);
    if (r == NULL) return err->status;
    if (api) TRY(rest_caller_needs(c, r->needs, err));
    if (api && rest_guarded(c, r)) return rest_propose(c, err);
    return r->handler(c, err);
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

static void add_cache_headers(const rest_call *c, struct MHD_Response *r) {
    char date[40], control[80];
    cs_time left = c->expires - authority_now(c->a);
    if (c->expires == 0 || left <= 0) {
        (void)MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, c->etag != NULL ? "no-cache" : "no-store");
        return;
    }
    (void)snprintf(control, sizeof control, "max-age=%lld, public, no-transform, must-revalidate",
                   (long long)(left / CS_SEC));
    http_date(c->expires, date);
    (void)MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, control);
    (void)MHD_add_response_header(r, MHD_HTTP_HEADER_EXPIRES, date);
}

/* A file is sent from where it stands: whoever reads slowly holds none of its octets in memory. */
static struct MHD_Response *body_of(const rest_call *c, bool none) {
    if (none || c->file == NULL)
        return MHD_create_response_from_buffer(none ? 0 : c->out.n, c->out.p, MHD_RESPMEM_MUST_COPY);
    int fd = fcntl(c->file->fd, F_DUPFD_CLOEXEC, 0);
    struct MHD_Response *r = fd >= 0 ? MHD_create_response_from_fd64(c->file->crl.size, fd) : NULL;
    if (r == NULL && fd >= 0) (void)close(fd);
    return r;
}

static enum MHD_Result respond(rest_call *c) {
    cs_err err;
    if (c->out.failed) {
        (void)cs_buf_ok(&c->out, "the answer", &err);
        cs_buf_clear(&c->out);
        problem(c, &err);
    }
    bool same = not_modified(c);
    struct MHD_Response *r = body_of(c, same);
    if (r == NULL) return MHD_NO;
    char date[40];
    if (!same) (void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, c->type);
    (void)MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (c->etag != NULL) (void)MHD_add_response_header(r, MHD_HTTP_HEADER_ETAG, c->etag);
    add_cache_headers(c, r);
    if (c->modified != 0) {
        http_date(c->modified, date);
        (void)MHD_add_response_header(r, MHD_HTTP_HEADER_LAST_MODIFIED, date);
    }
    for (size_t i = 0; i < c->extra_count; i++) (void)MHD_add_response_header(r, c->extra[i].name, c->extra[i].value);
    if (c->status == MHD_HTTP_SERVICE_UNAVAILABLE) (void)MHD_add_response_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "2");
    enum MHD_Result done = MHD_queue_response(c->connection, same ? MHD_HTTP_NOT_MODIFIED : c->status, r);
    MHD_destroy_response(r);
    return done;
}

static void take_body(rest_call *c, const char *data, size_t n) {
    if (c->too_big) return;
    if (!cs_buf_add(&c->body, data, n)) c->too_big = true;
}

static guest *guest_of(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

static enum MHD_Result begin(door *d, struct MHD_Connection *connection, void **state) {
    guest *g = guest_of(connection);
    rest_call *c = calloc(1, sizeof *c);
    if (c == NULL || g == NULL) {
        free(c);
        return MHD_NO;
    }
    *c = (rest_call){.a = d->a,
                     .e = d->e,
                     .acme = d->acme,
                     .cmp = d->cmp,
                     .connection = connection,
                     .body = cs_buf_of(CS_API_BODY_MAX)};
    c->out = cs_buf_of(OUT_MAX);
    c->under_way = &d->under_way;
    if (!g->counted) (void)atomic_fetch_add(c->under_way, 1);
    g->counted = false;
    *state = c;
    return MHD_YES;
}

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *path, const char *method,
                              const char *version, const char *data, size_t *data_size, void **state) {
    door *d = cls;
    rest_call *c = *state;
    (void)version;
    if (c == NULL) return begin(d, connection, state);
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
    cs_status status = dispatch(c, d, guest_of(connection), &err);
    if (status != CS_OK) {
        problem(c, &err);
        if (!c->quiet && cs_reason_of(err.reason)->http >= 500) log_failure(LOG_ERROR, "request-failed", &err);
    }
    return respond(c);
}

static void completed(void *cls, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode code) {
    rest_call *c = *state;
    (void)cls, (void)connection, (void)code;
    if (c == NULL) return;
    (void)atomic_fetch_sub(c->under_way, 1);
    cs_buf_free(&c->body);
    cs_buf_free(&c->out);
    authority_blob_free(c->file);
    free(c);
    *state = NULL;
}

/* The control socket is the operator's: who connects must be our user or root. The check is made on the connection,
 * since the socket's mode alone would not tell root's processes apart from ours. */
static bool is_stranger(struct MHD_Connection *connection, bool private, unsigned *ret_uid) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    cs_err err;
    if (info != NULL) *ret_uid = ipc_peer_uid(info->connect_fd);
    if (info != NULL && ipc_peer_check(info->connect_fd, &err) == CS_OK) return false;
    if (!private) return true;
    if (info != NULL) log_failure(LOG_WARN, "control-refused", &err);
    (void)MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 1U);
    return true;
}

static void come_and_go(void *cls, struct MHD_Connection *connection, void **state,
                        enum MHD_ConnectionNotificationCode code) {
    door *d = cls;
    guest *g = *state;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        g = *state = calloc(1, sizeof *g);
        if (g == NULL) return;
        g->stranger = is_stranger(connection, d->private, &g->uid);
        g->counted = true;
        (void)atomic_fetch_add(&d->under_way, 1);
    } else if (g != NULL) {
        if (g->counted) (void)atomic_fetch_sub(&d->under_way, 1);
        free(g);
        *state = NULL;
    }
}

static struct MHD_Daemon *serve(int fd, door *d) {
    return MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
                                MHD_USE_ITC,
                            0, NULL, NULL, answer, d, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
                            (unsigned)CS_AUTHORITY_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
                            MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, come_and_go, d,
                            MHD_OPTION_THREAD_STACK_SIZE, (size_t)(512 * 1024), MHD_OPTION_END);
}

cs_status rest_start(authority *a, enroll *e, int control_fd, int public_fd, rest **ret, cs_err *err) {
    rest *r = calloc(1, sizeof *r);
    if (r == NULL) return CS_NOMEM_ERR(err);
    r->listeners[0] = r->listeners[1] = -1;
    cs_status status = cmp_desk_new(cs_clock_system(), &r->cmp, err);
    if (status == CS_OK) status = acme_new(e, &r->acme, err);
    if (status != CS_OK) {
        rest_stop(r);
        return status;
    }
    r->doors[0] = (door){.a = a, .e = e, .acme = r->acme, .private = true};
    r->doors[1] = (door){.a = a, .e = e, .acme = r->acme, .cmp = r->cmp};
    r->control = serve(control_fd, &r->doors[0]);
    r->public = serve(public_fd, &r->doors[1]);
    if (r->control == NULL || r->public == NULL) {
        rest_stop(r);
        return cs_fail(err, CS_FAILED, CS_R_PROCESS_FAILED, "the inherited sockets cannot be served");
    }
    *ret = r;
    return CS_OK;
}

/* No new connection is taken (they wait in the listener for the next process); what was asked is answered. */
static void drain(rest *r) {
    if (r->control != NULL) r->listeners[0] = MHD_quiesce_daemon(r->control);
    if (r->public != NULL) r->listeners[1] = MHD_quiesce_daemon(r->public);
    for (int i = 0; i < DRAIN_STEPS_MAX; i++) {
        if (atomic_load(&r->doors[0].under_way) + atomic_load(&r->doors[1].under_way) == 0) return;
        (void)poll(NULL, 0, DRAIN_STEP_MS);
    }
}

void rest_stop(rest *r) {
    if (r == NULL) return;
    drain(r);
    if (r->control != NULL) MHD_stop_daemon(r->control);
    if (r->public != NULL) MHD_stop_daemon(r->public);
    for (size_t i = 0; i < 2; i++)
        if (r->listeners[i] >= 0) (void)close(r->listeners[i]);
    cmp_desk_free(r->cmp);
    acme_free(r->acme);
    free(r);
}
