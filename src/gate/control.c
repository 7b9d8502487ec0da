/* The operator's socket, STATE/run/gateway.sock: one request line, one JSON answer. "top": what goes on now; "reload":
 * reads the configuration again and says what came of it. Only our own user and root get as far as that. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gate/gate_priv.h"
#include "io/files.h"
#include "ipc/ipc.h"

enum { PEERS_MAX = 8, LINE_MAX = 64, ANSWER_MAX = 2 * 1024 * 1024, PATIENCE = 2 * CS_SEC };

typedef struct peer {
    control *owner;
    int fd; /* -1: free */
    loop_watch *watch;
    loop_timer timer;
    cs_buf in, out;
} peer;

struct control {
    gate *g;
    int fd;
    loop_watch *watch;
    char path[CONF_PATH_MAX];
    peer peers[PEERS_MAX];
};

static void drop(peer *p) {
    if (p->fd < 0) return;
    loop_timer_clear(p->owner->g->loop, &p->timer);
    loop_watch_close(p->watch);
    cs_buf_free(&p->in);
    cs_buf_free(&p->out);
    p->watch = NULL;
    p->fd = -1;
}

static void on_late(void *data) {
    drop(data);
}

static void answer(peer *p, cs_view line) {
    gate *g = p->owner->g;
    cs_err err;
    if (cs_view_eq_str(line, "top")) {
        top_render(g, &p->out);
        gate_ring(g); /* for the next picture; one without connections does nothing by itself */
    } else if (cs_view_eq_str(line, "reload")) {
        if (gate_reload(g, &err) == CS_OK)
            (void)cs_buf_add_str(&p->out, "{\"result\":\"reloaded\"}\n");
        else
            (void)http_problem_json(&p->out, &err, true);
    } else {
        (void)cs_fail(&err, CS_REFUSED, CS_R_USAGE, "%s", "top and reload are what is answered here");
        (void)http_problem_json(&p->out, &err, true);
    }
}

static void on_peer(void *data, unsigned events) {
    peer *p = data;
    cs_err err;
    if ((events & LOOP_READ) != 0 && p->out.n == 0) {
        cs_status s = ipc_fill(p->fd, &p->in, CS_R_NETWORK_FAILED, &err);
        const uint8_t *end = p->in.n > 0 ? memchr(p->in.p, '\n', p->in.n) : NULL;
        if (end != NULL)
            answer(p, cs_view_of(p->in.p, (size_t)(end - p->in.p)));
        else if ((s != CS_OK && s != CS_AGAIN) || p->in.n >= LINE_MAX) {
            drop(p);
            return;
        }
    }
    if (p->out.n == 0) return;
    cs_status s = ipc_push(p->fd, &p->out, CS_R_NETWORK_FAILED, &err);
    if (p->out.n == 0 || (s != CS_OK && s != CS_AGAIN))
        drop(p);
    else
        loop_watch_set(p->watch, LOOP_WRITE);
}

static void on_listener(void *data, unsigned events) {
    control *k = data;
    cs_err err;
    int fd = -1;
    (void)events;
    if (ipc_accept(k->fd, &fd, &err) != CS_OK) return;
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        peer *p = &k->peers[i];
        if (p->fd >= 0) continue;
        *p = (peer){.owner = k, .fd = fd, .in = cs_buf_of(2 * CS_IPC_FRAME_MAX), .out = cs_buf_of(ANSWER_MAX)};
        if (loop_watch_new(k->g->loop, fd, on_peer, p, &p->watch, &err) != CS_OK) {
            p->fd = -1;
            break;
        }
        p->timer.cb = on_late;
        p->timer.data = p;
        loop_timer_set(k->g->loop, &p->timer, PATIENCE);
        loop_watch_set(p->watch, LOOP_READ);
        return;
    }
    net_close(fd);
}

/* Before the sandbox, which lets nothing be made. */
cs_status control_new(gate *g, control **ret, cs_err *err) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char run[CONF_PATH_MAX];
    control *k = calloc(1, sizeof *k);
    if (k == NULL) return CS_NOMEM_ERR(err);
    *ret = k;
    k->g = g;
    k->fd = -1;
    for (unsigned i = 0; i < PEERS_MAX; i++) k->peers[i].fd = -1;
    TRY(conf_path(g->policy->conf, "run", run, err));
    TRY(files_mkdir_private(run, err));
    TRY(conf_path(g->policy->conf, "run/gateway.sock", k->path, err));
    if (strlen(k->path) >= sizeof un.sun_path)
        return cs_fail(err, CS_REFUSED, CS_R_ADDRESS_INVALID, "%s: too long for a socket's path", k->path);
    memcpy(un.sun_path, k->path, strlen(k->path) + 1);
    (void)unlink(k->path);
    k->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t before = umask(0177);
    bool ok = k->fd >= 0 && bind(k->fd, (const struct sockaddr *)&un, sizeof un) == 0 && listen(k->fd, PEERS_MAX) == 0;
    (void)umask(before);
    return ok ? CS_OK : cs_fail(err, CS_FAILED, CS_R_NETWORK_FAILED, "%s: no socket could be made", k->path);
}

cs_status control_start(control *k, cs_err *err) {
    TRY(loop_watch_new(k->g->loop, k->fd, on_listener, k, &k->watch, err));
    loop_watch_set(k->watch, LOOP_READ);
    return CS_OK;
}

void control_free(control *k) {
    if (k == NULL) return;
    for (unsigned i = 0; i < PEERS_MAX; i++) drop(&k->peers[i]);
    if (k->watch != NULL)
        loop_watch_close(k->watch);
    else if (k->fd >= 0)
        net_close(k->fd);
    free(k);
}
