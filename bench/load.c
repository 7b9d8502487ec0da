/* load - drives a mutual-TLS server and says what it cost that server.
 *
 *   load pki FOLDER                       root, issuing CA and a certificate for localhost
 *   load full|resume|keepalive|h2|idle PORT --pki FOLDER [options]
 *     --tls 1.2|1.3 (1.3)   --at-once N (16)   --seconds S (5)   --warm-up S (1)   --clients N (1000)
 *     --name NAME (localhost)   --path PATH (/)   --server-pid PID   --connections N (idle: 1000)
 *     --rate N   full, resume: N connections begun a second, at most --at-once at one time
 *     --asks FILE   full: whole requests, each once, without a client certificate; no --pki
 *
 * full       a handshake, one GET and its answer, close; each connection another of N client certificates
 * resume     the same with the session of the slot's last connection
 * keepalive  connections stay; an operation is one GET and its answer
 * h2         connections stay, each with 16 requests at one time
 * idle       opens N connections, has each answer one GET, says so on stdout and holds them until stdin ends
 *
 * Prints one JSON object. The server's CPU time comes from /proc/PID/task/TID/schedstat (nanoseconds that it ran), for
 * all its threads and children, over the same time in which the operations were counted. */
#include <arpa/inet.h>
#include <dirent.h>
#include <getopt.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

enum { WARM_UPS_MAX = 20 };

static const char *const mode_names[] = {"full", "resume", "keepalive", "idle", "h2"};

void die(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    ERR_print_errors_fp(stderr);
    exit(2);
}

uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static double cpu_of(long pid);

/* The first number of a thread's schedstat, in seconds, and its children. */
static double cpu_of_thread(long pid, const char *tid) {
    char path[128];
    double ran = 0;
    unsigned long long ns;
    long child;
    snprintf(path, sizeof path, "/proc/%ld/task/%.20s/schedstat", pid, tid);
    FILE *f = fopen(path, "r");
    if (f != NULL) {
        if (fscanf(f, "%llu", &ns) == 1) ran += (double)ns / 1e9;
        fclose(f);
    }
    snprintf(path, sizeof path, "/proc/%ld/task/%.20s/children", pid, tid);
    f = fopen(path, "r");
    if (f != NULL) {
        while (fscanf(f, "%ld", &child) == 1) ran += cpu_of(child);
        fclose(f);
    }
    return ran;
}

static double cpu_of(long pid) {
    char path[64];
    double ran = 0;
    snprintf(path, sizeof path, "/proc/%ld/task", pid);
    DIR *d = opendir(path);
    if (d == NULL) return 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') ran += cpu_of_thread(pid, e->d_name);
    closedir(d);
    return ran;
}

static double cpu_of_self(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t quantile(const load_totals *t, double q) {
    return t->took_count == 0 ? 0 : t->took[(size_t)(q * (double)(t->took_count - 1))];
}

static load_options read_options(int argc, char **argv) {
    static const struct option names[] = {
        {"pki", 1, NULL, 'k'},        {"tls", 1, NULL, 't'},
        {"at-once", 1, NULL, 'c'},    {"seconds", 1, NULL, 's'},
        {"warm-up", 1, NULL, 'w'},    {"clients", 1, NULL, 'n'},
        {"name", 1, NULL, 'h'},       {"path", 1, NULL, 'p'},
        {"server-pid", 1, NULL, 'P'}, {"connections", 1, NULL, 'N'},
        {"rate", 1, NULL, 'r'},       {"asks", 1, NULL, 'a'},
        {NULL, 0, NULL, 0},
    };
    load_options o = {.name = "localhost",
                      .path = "/",
                      .tls = TLS1_3_VERSION,
                      .at_once = 16,
                      .clients = 1000,
                      .connections = 1000,
                      .seconds = 5,
                      .warm_up = 1};
    int mode = 0;
    while (mode <= LOAD_H2 && strcmp(argv[1], mode_names[mode]) != 0) mode++;
    if (mode > LOAD_H2) die("unknown mode %s", argv[1]);
    o.mode = (load_mode)mode;
    o.server = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int c; (c = getopt_long(argc - 2, argv + 2, "", names, NULL)) != -1;) switch (c) {
        case 'k': o.pki = optarg; break;
        case 't': o.tls = strcmp(optarg, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION; break;
        case 'c': o.at_once = atoi(optarg); break;
        case 's': o.seconds = atof(optarg); break;
        case 'w': o.warm_up = atof(optarg); break;
        case 'n': o.clients = atol(optarg); break;
        case 'h': o.name = optarg; break;
        case 'p': o.path = optarg; break;
        case 'P': o.server_pid = atoi(optarg); break;
        case 'a': o.asks = optarg; break;
        case 'r': o.rate = atof(optarg); break;
        case 'N': o.connections = atol(optarg); break;
        default: exit(2);
        }
    if ((o.pki == NULL && o.asks == NULL) || o.at_once < 1 || o.clients < 1 || o.connections < 1)
        die("--pki FOLDER is needed, and counts of 1 or more");
    return o;
}

static void print(const load_options *o, load_totals *t, double seconds, double server, double client) {
    double done = t->done > 0 ? (double)t->done : 1;
    qsort(t->took, t->took_count, sizeof *t->took, by_size);
    printf("{\"mode\":\"%s\",\"tls\":\"%s\",\"at_once\":%d,\"seconds\":%.3f,\"done\":%ld,\"per_second\":%.1f,"
           "\"resumed\":%ld,\"failed\":%ld,"
           "\"p50_us\":%llu,\"p99_us\":%llu,\"max_us\":%llu,\"server_cpu_us\":%.2f,\"server_busy\":%.3f,\"client_"
           "busy\":%.3f,"
           "\"failure\":\"%s\"}\n",
           mode_names[o->mode], o->tls == TLS1_2_VERSION ? "1.2" : "1.3", o->at_once, seconds, t->done,
           (double)t->done / seconds, t->resumed, t->failed, (unsigned long long)quantile(t, 0.5),
           (unsigned long long)quantile(t, 0.99), (unsigned long long)quantile(t, 1), server / done * 1e6,
           server / seconds, client / seconds, t->first_failure);
}

/* Opens all, says so, holds them until stdin ends. */
static int hold(load_run *r, load_totals *t, const load_options *o) {
    bool all = run_open_all(r, t);
    printf("{\"mode\":\"idle\",\"connections\":%ld,\"open\":%s,\"failed\":%ld,\"failure\":\"%s\"}\n", o->connections,
           all ? "true" : "false", t->failed, t->first_failure);
    fflush(stdout);
    while (getchar() != EOF) continue;
    return all ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "pki") == 0) {
        pki_make(argv[2]);
        return 0;
    }
    if (argc < 3) die("usage: load pki FOLDER | load full|resume|keepalive|h2|idle PORT --pki FOLDER [options]");
    load_options o = read_options(argc, argv);
    load_pki pki = {.count = 0};
    load_totals warm = {0}, totals = {0};
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (o.asks == NULL) pki_issue(o.pki, o.clients, &pki);
    load_run *r = run_new(&o, &pki);
    if (o.mode == LOAD_IDLE) return hold(r, &totals, &o);
    if (o.asks == NULL) run_for(r, o.warm_up, false, &warm);
    /* each client once: a device that returns is the rule, one never seen the exception */
    for (int i = 0; i < WARM_UPS_MAX && o.mode == LOAD_FULL && o.asks == NULL && o.rate <= 0 && o.warm_up >= 1 &&
                    run_begun(r) < o.clients;
         i++)
        run_for(r, o.warm_up, false, &warm);
    double server = cpu_of(o.server_pid), client = cpu_of_self();
    uint64_t began = now_us();
    run_for(r, o.seconds, true, &totals);
    double seconds = (double)(now_us() - began) / 1e6;
    totals.failed += warm.failed;
    if (totals.first_failure[0] == '\0') memcpy(totals.first_failure, warm.first_failure, sizeof totals.first_failure);
    print(&o, &totals, seconds, cpu_of(o.server_pid) - server, cpu_of_self() - client);
    return totals.done > 0 ? 0 : 1;
}
