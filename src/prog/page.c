/* countersign-page: the built-in service behind the gateway, on a unix socket that it inherits. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <microhttpd.h>

#include "io/sandbox.h"
#include "prog/page_view.h"

enum { CONNECTIONS_MAX = 256, IDLE_SECONDS = 90 };

static enum MHD_Result take_field(void *told, enum MHD_ValueKind kind, const char *name, const char *value) {
    (void)kind;
    page_tell(told, name, value);
    return MHD_YES;
}

static bool wants_json(struct MHD_Connection *c) {
    const char *format = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "format");
    const char *accept = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Accept");
    if (format != NULL) return strcmp(format, "json") == 0;
    return accept != NULL && strstr(accept, "application/json") != NULL && strstr(accept, "text/html") == NULL;
}

static enum MHD_Result respond(struct MHD_Connection *c, unsigned status, cs_buf *b, const char *type) {
    struct MHD_Response *r = b->failed ? NULL : MHD_create_response_from_buffer(b->n, b->p, MHD_RESPMEM_MUST_COPY);
    if (r == NULL) return MHD_NO;
    (void)MHD_add_response_header(r, "Content-Type", type);
    (void)MHD_add_response_header(r, "Cache-Control", "no-store");
    (void)MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    (void)MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
    (void)MHD_add_response_header(r, "Content-Security-Policy", page_policy());
    enum MHD_Result done = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return done;
}

/* Called at the header section (state NULL), for each part of a body, and at the end. A body is read and dropped. */
static enum MHD_Result answer(void *cls, struct MHD_Connection *c, const char *path, const char *method,
                              const char *version, const char *data, size_t *data_size, void **state) {
    static int seen;
    (void)cls, (void)version, (void)data;
    if (*state == NULL) {
        *state = &seen;
        return MHD_YES;
    }
    if (*data_size > 0) {
        *data_size = 0;
        return MHD_YES;
    }
    CS_SCOPED(cs_buf) b = cs_buf_of(PAGE_BODY_MAX);
    page_told told = {.method = method, .path = path};
    (void)MHD_get_connection_values(c, MHD_HEADER_KIND, take_field, &told);
    if (wants_json(c)) {
        page_json(&told, &b);
        return respond(c, MHD_HTTP_OK, &b, "application/json");
    }
    page_html(&told, &b);
    return respond(c, MHD_HTTP_OK, &b, "text/html; charset=utf-8");
}

static int serve(int listen_fd, int notify_fd, const sigset_t *ending) {
    int sig = 0;
    struct MHD_Daemon *d = MHD_start_daemon(
        MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, answer, NULL, MHD_OPTION_LISTEN_SOCKET,
        listen_fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)(128 * 1024), MHD_OPTION_END);
    if (d == NULL) {
        (void)fputs("countersign-page: cannot serve on the socket that was inherited\n", stderr);
        return 1;
    }
    if (notify_fd >= 0) {
        (void)!write(notify_fd, "ready\n", 6);
        (void)close(notify_fd);
    }
    do {
        if (sigwait(ending, &sig) != 0) break;
    } while (sig == SIGHUP); /* nothing to reload */
    MHD_stop_daemon(d);
    return 0;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"listen", required_argument, NULL, 'l'}, {"notify", required_argument, NULL, 'n'}, {NULL, 0, NULL, 0}};
    int listen_fd = -1, notify_fd = -1, o = 0;
    while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) { // NOLINT(concurrency-mt-unsafe): no threads yet
        if (o == 'l') listen_fd = (int)strtol(optarg, NULL, 10);
        if (o == 'n') notify_fd = (int)strtol(optarg, NULL, 10);
    }
    if (listen_fd < 0) {
        (void)fputs("countersign-page: started by countersign up; needs --listen FD\n", stderr);
        return 2;
    }
    sigset_t ending;
    (void)sigemptyset(&ending);
    (void)sigaddset(&ending, SIGTERM);
    (void)sigaddset(&ending, SIGINT);
    (void)sigaddset(&ending, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &ending, NULL);
    const sandbox_plan plan = {.paths = (const sandbox_path[]){{NULL, 0}}};
    cs_err err;
    if (sandbox_enter(&plan, &err) != CS_OK) {
        (void)fprintf(stderr, "countersign-page: %s: %s\n", cs_reason_of(err.reason)->name, err.detail);
        return 1;
    }
    return serve(listen_fd, notify_fd, &ending);
}
