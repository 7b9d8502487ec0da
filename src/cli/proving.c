#include "cli/proving.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "io/files.h"
#include "io/net.h"

enum { LISTENERS = 1, REQUEST_MAX = 4096, REQUEST_WAIT_MS = 5000 };
#define PLACE ".well-known/acme-challenge"

struct proving {
    client_prover prover;
    proving_ask ask;
    int fd; /* of our web server; -1: none */
    pthread_t server;
    bool serving;
    pthread_mutex_t lock;
    int stop[2];        /* a pipe */
    client_proof shown; /* under lock */
};

/* ---- a file of somebody's web server ---- */

static cs_status path_of(const proving *p, const client_proof *proof, bool make, char out[FILES_PATH_MAX],
                         cs_err *err) {
    static const char *const parts[] = {".well-known", PLACE};
    for (size_t i = 0; make && i < 2; i++) {
        TRY(files_join(p->ask.webroot, parts[i], out, err));
        if (mkdir(out, 0755) != 0 && errno != EEXIST) return cs_fail_errno(err, errno, CS_R_FILE_UNWRITABLE, "%s", out);
    }
    char name[300];
    (void)snprintf(name, sizeof name, PLACE "/%s", proof->token);
    return files_join(p->ask.webroot, name, out, err);
}

static cs_status show_file(void *cls, const client_proof *proof, cs_err *err) {
    const proving *p = cls;
    char path[FILES_PATH_MAX];
    TRY(path_of(p, proof, true, path, err));
    return files_write(path, cs_view_str(proof->authorization), 0644, FILES_REPLACE, err);
}

static void hide_file(void *cls, const client_proof *proof) {
    char path[FILES_PATH_MAX];
    cs_err ignored;
    if (path_of(cls, proof, false, path, &ignored) == CS_OK) (void)unlink(path);
}

/* ---- somebody's program ---- */

static cs_status run_hook(const proving *p, const char *verb, const client_proof *proof, cs_err *err) {
    char name[300];
    int status = 0;
    (void)snprintf(name, sizeof name, "_acme-challenge.%s", proof->name);
    char *const argv[] = {(char *)(uintptr_t)p->ask.hook, (char *)(uintptr_t)verb, name,
                          (char *)(uintptr_t)proof->digest, NULL}; /* execv does not write to them */
    pid_t pid = fork();
    if (pid == 0) {
        (void)execv(p->ask.hook, argv);
        _exit(127);
    }
    if (pid < 0) return cs_fail_errno(err, errno, CS_R_PROCESS_FAILED, "%s", p->ask.hook);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_PROCESS_FAILED, "%s %s %s ended with %d", p->ask.hook, verb, name,
                   WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static cs_status show_text(void *cls, const client_proof *proof, cs_err *err) {
    return run_hook(cls, "show", proof, err);
}

static void hide_text(void *cls, const client_proof *proof) {
    cs_err ignored;
    if (run_hook(cls, "hide", proof, &ignored) != CS_OK)
        (void)fprintf(stderr, "countersign enroll: %s\n", ignored.detail);
}

/* ---- a web server of our own ---- */

static void answer(proving *p, int fd) {
    char in[REQUEST_MAX + 1], wanted[300];
    size_t have = 0, n = 0;
    cs_err err;
    CS_SCOPED(cs_buf) out = cs_buf_of(4096);
    while (have < REQUEST_MAX) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, REQUEST_WAIT_MS) <= 0) return;
        cs_status s = net_recv(fd, in + have, REQUEST_MAX - have, &n, &err);
        if (s == CS_AGAIN) continue;
        if (s != CS_OK || n == 0) return;
        have += n;
        in[have] = '\0';
        if (strstr(in, "\r\n\r\n") != NULL) break;
    }
    (void)pthread_mutex_lock(&p->lock);
    const char *body = p->shown.authorization;
    (void)snprintf(wanted, sizeof wanted, "GET /" PLACE "/%s ", p->shown.token != NULL ? p->shown.token : "/");
    bool found = body[0] != '\0' && strncmp(in, wanted, strlen(wanted)) == 0;
    (void)cs_buf_addf(&out,
                      "HTTP/1.1 %s\r\nContent-Type: application/octet-stream\r\nContent-Length: %zu\r\n"
                      "Connection: close\r\n\r\n%s",
                      found ? "200 OK" : "404 Not Found", found ? strlen(body) : 0, found ? body : "");
    (void)pthread_mutex_unlock(&p->lock);
    if (net_send(fd, out.p, out.n, &n, &err) == CS_OK) net_shutdown_write(fd);
}

static void *serve(void *arg) {
    proving *p = arg;
    for (;;) {
        struct pollfd fds[2] = {{.fd = p->fd, .events = POLLIN}, {.fd = p->stop[0], .events = POLLIN}};
        net_addr peer;
        cs_err err;
        int fd = -1;
        if (poll(fds, 2, -1) < 0 && errno != EINTR) return NULL;
        if (fds[1].revents != 0) return NULL;
        if (net_accept(p->fd, &fd, &peer, &err) != CS_OK) continue;
        answer(p, fd);
        net_close(fd);
    }
}

static cs_status show_here(void *cls, const client_proof *proof, cs_err *err) {
    proving *p = cls;
    (void)err;
    (void)pthread_mutex_lock(&p->lock);
    p->shown = *proof;
    (void)pthread_mutex_unlock(&p->lock);
    return CS_OK;
}

static void hide_here(void *cls, const client_proof *proof) {
    proving *p = cls;
    (void)proof;
    (void)pthread_mutex_lock(&p->lock);
    p->shown = (client_proof){.name = NULL};
    (void)pthread_mutex_unlock(&p->lock);
}

static cs_status begin_serving(proving *p, cs_err *err) {
    net_addr at;
    TRY(net_addr_parse(p->ask.listen != NULL ? p->ask.listen : "0.0.0.0:80", &at, err));
    TRY(net_listen(&at, "--listen", &p->fd, LISTENERS, err));
    if (pipe(p->stop) != 0) return cs_fail_errno(err, errno, CS_R_PROCESS_FAILED, "pipe");
    if (pthread_create(&p->server, NULL, serve, p) != 0) return CS_NOMEM_ERR(err);
    p->serving = true;
    return CS_OK;
}

/* ---- the whole ---- */

cs_status proving_new(const proving_ask *ask, proving **ret, cs_err *err) {
    int said = (ask->webroot != NULL) + (ask->hook != NULL) + (ask->listen != NULL);
    if (said > 1) return cs_fail(err, CS_REFUSED, CS_R_USAGE, "one of --webroot, --listen and --hook");
    if (ask->hook != NULL && ask->hook[0] != '/')
        return cs_fail(err, CS_REFUSED, CS_R_USAGE, "--hook: an absolute path is expected");
    CS_AUTO(proving) p = calloc(1, sizeof *p);
    if (p == NULL) return CS_NOMEM_ERR(err);
    p->ask = *ask;
    p->fd = p->stop[0] = p->stop[1] = -1;
    (void)pthread_mutex_init(&p->lock, NULL);
    p->prover = (client_prover){.challenge = "http-01", .show = show_here, .hide = hide_here, .cls = p};
    if (ask->webroot != NULL) p->prover.show = show_file, p->prover.hide = hide_file;
    if (ask->hook != NULL)
        p->prover = (client_prover){.challenge = "dns-01", .show = show_text, .hide = hide_text, .cls = p};
    if (ask->webroot == NULL && ask->hook == NULL) TRY(begin_serving(p, err));
    *ret = CS_TAKE(p);
    return CS_OK;
}

const client_prover *proving_prover(const proving *p) {
    return &p->prover;
}

void proving_free(proving *p) {
    if (p == NULL) return;
    if (p->serving) {
        (void)!write(p->stop[1], "", 1);
        (void)pthread_join(p->server, NULL);
    }
    for (int i = 0; i < 2; i++)
        if (p->stop[i] >= 0) (void)close(p->stop[i]);
    if (p->fd >= 0) net_close(p->fd);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}
