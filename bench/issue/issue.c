/* From a CSR to a durable certificate: the authority's room with a real signer process and a real store, asked by many
 * threads. Prints the rate, and the CPU time of both processes for each certificate.
 *   bench-issue SIGNER STATE COUNT CLIENTS     (STATE: made by `countersign init`) */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "authority/authority.h"
#include "io/spawn.h"
#include "keys/keys.h"
#include "x509/build.h"

enum { CSR_ROOM = 1024, MANY = ISSUE_MANY_MAX };

typedef struct question {
    char name[40];
    uint8_t csr[CSR_ROOM];
    size_t n;
} question;

typedef struct bench {
    authority *a;
    const question *at;
    size_t count;
    atomic_size_t next;
    atomic_size_t failed;
} bench;

static void die(const char *what, const cs_err *err) {
    (void)fprintf(stderr, "bench-issue: %s: %s: %s\n", what, cs_reason_of(err->reason)->name, err->detail);
    exit(1);
}

static double seconds(clockid_t of) {
    struct timespec t;
    (void)clock_gettime(of, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static question *make(size_t count) {
    question *at = calloc(count, sizeof *at);
    cs_err err;
    for (size_t i = 0; at != NULL && i < count; i++) {
        CS_AUTO(cs_key) key = NULL;
        CS_SCOPED(cs_buf) der = cs_buf_of(CSR_ROOM);
        (void)snprintf(at[i].name, sizeof at[i].name, "bench-%07zu", i);
        cs_status status = cs_key_generate(CS_KEYSPEC_ECDSA_P256, &key, &err);
        if (status == CS_OK) status = cs_csr_make(key, at[i].name, NULL, 0, &der, &err);
        if (status != CS_OK) die("a request", &err);
        memcpy(at[i].csr, der.p, der.n);
        at[i].n = der.n;
    }
    return at;
}

static void *client(void *cls) {
    bench *b = cls;
    const authority_who self = {.by = "bench"};
    for (;;) {
        size_t i = atomic_fetch_add(&b->next, 1);
        if (i >= b->count) return NULL;
        const question *q = &b->at[i];
        CS_AUTO(cs_cert) leaf = NULL;
        cs_err err;
        const issue_ask ask = {
            .kind = CS_KIND_DEVICE, .name = cs_view_str(q->name), .csr = cs_view_of(q->csr, q->n), .asked_by = &self};
        if (authority_issue(b->a, &ask, &leaf, &err) != CS_OK) {
            if (atomic_fetch_add(&b->failed, 1) == 0) die("issuing", &err);
        }
    }
}

static double parse_cost(const bench *b) {
    size_t n = b->count < 2000 ? b->count : 2000;
    double before = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t i = 0; i < n; i++) {
        CS_AUTO(cs_csr) csr = NULL;
        cs_err err;
        if (cs_csr_read(cs_view_of(b->at[i].csr, b->at[i].n), "csr", &csr, &err) != CS_OK) die("csr", &err);
    }
    return (seconds(CLOCK_PROCESS_CPUTIME_ID) - before) / (double)n * 1e6;
}

static pid_t start_signer(const char *program, const char *state, const char *trust_domain, const char *socket) {
    char ca[CONF_PATH_MAX], journal[CONF_PATH_MAX], fd[12], notify[12], line[16] = "";
    int listener = -1, said[2];
    cs_err err;
    if (spawn_listen(socket, 0600, &listener, &err) != CS_OK) die("the signer's socket", &err);
    (void)snprintf(ca, sizeof ca, "%s/ca", state);
    (void)snprintf(journal, sizeof journal, "%s/signer", state);
    if (pipe(said) != 0) exit(1);
    pid_t pid = fork();
    if (pid == 0) {
        (void)snprintf(fd, sizeof fd, "%d", dup(listener)); /* without close-on-exec */
        (void)snprintf(notify, sizeof notify, "%d", said[1]);
        (void)execl(program, "countersign-signer", "--ca", ca, "--journal", journal, "--trust-domain", trust_domain,
                    "--listen", fd, "--notify", notify, "--state", state, (char *)NULL);
        _exit(127);
    }
    (void)close(listener);
    (void)close(said[1]);
    if (read(said[0], line, sizeof line) <= 0) exit(1);
    (void)close(said[0]);
    return pid;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        (void)fprintf(stderr, "bench-issue SIGNER STATE COUNT CLIENTS\n");
        return 2;
    }
    cs_err err;
    CS_AUTO(conf) c = NULL;
    char socket[CONF_PATH_MAX];
    authority_cas cas;
    bench b = {.count = strtoul(argv[3], NULL, 10)};
    size_t clients = strtoul(argv[4], NULL, 10);
    pthread_t *threads = calloc(clients, sizeof *threads);
    if (conf_load(&(conf_overrides){.state = argv[2]}, &c, &err) != CS_OK) die("the configuration", &err);
    if (authority_cas_find(c, &cas, &err) != CS_OK) die("the CAs", &err);
    (void)snprintf(socket, sizeof socket, "%s/bench.sock", argv[2]);
    (void)unlink(socket);
    pid_t signer = start_signer(argv[1], argv[2], c->trust_domain, socket);
    const authority_setup setup = {
        .conf = c, .cas = &cas, .signer_path = socket, .clock = cs_clock_system(), .rng = cs_rng_system()};
    if (authority_open(&setup, &b.a, &err) != CS_OK) die("the authority", &err);
    b.at = make(b.count);
    double parse = parse_cost(&b);
    clockid_t theirs = 0;
    (void)clock_getcpuclockid(signer, &theirs);
    double wall = seconds(CLOCK_MONOTONIC), ours = seconds(CLOCK_PROCESS_CPUTIME_ID), its = seconds(theirs);
    for (size_t i = 0; i < clients; i++) (void)pthread_create(&threads[i], NULL, client, &b);
    for (size_t i = 0; i < clients; i++) (void)pthread_join(threads[i], NULL);
    double n = (double)b.count;
    wall = seconds(CLOCK_MONOTONIC) - wall;
    ours = (seconds(CLOCK_PROCESS_CPUTIME_ID) - ours) / n * 1e6;
    its = (seconds(theirs) - its) / n * 1e6;
    printf("{\"count\": %zu, \"clients\": %zu, \"per_second\": %.0f, \"csr_us\": %.1f, \"authority_us\": %.1f, "
           "\"signer_us\": %.1f, \"per_core_second\": %.0f, \"per_core_second_after_csr\": %.0f}\n",
           b.count, clients, n / wall, parse, ours, its, 1e6 / (ours + its), 1e6 / (ours + its - parse));
    authority_free(b.a);
    (void)kill(signer, SIGTERM);
    (void)waitpid(signer, NULL, 0);
    free(threads);
    free((void *)b.at);
    return 0;
}
