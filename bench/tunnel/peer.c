/* Both ends of a tunnel's measurement, in the clear. A connection's first octet says what it is for: 'e', the rest
 * comes back; 's', zeros come until it is closed.
 *
 * peer serve PORT               what stands behind the remote, a thread a connection
 * peer bulk PORT MEGABYTES      how fast octets come: prints megabytes a second
 * peer ping PORT COUNT          a hundred octets there and back: prints the median in microseconds
 * peer fresh PORT COUNT         a connection, an octet there and back, the end: prints how many a second
 * peer hold PORT COUNT          opens connections, tries each once, says "held", and keeps them until its input ends */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 256 * 1024, PING = 100, STACK = 512 * 1024 };

static double now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void all(int fd, const void *p, size_t n) {
    for (const char *at = p; n > 0;) {
        ssize_t put = send(fd, at, n, MSG_NOSIGNAL);
        if (put <= 0) die("send");
        at += put;
        n -= (size_t)put;
    }
}

static void whole(int fd, void *p, size_t n) {
    for (char *at = p; n > 0;) {
        ssize_t got = recv(fd, at, n, 0);
        if (got <= 0) die("recv");
        at += got;
        n -= (size_t)got;
    }
}

static void *serve_one(void *data) {
    int fd = (int)(intptr_t)data;
    char *piece = calloc(1, PIECE), what = 0;
    ssize_t n = piece != NULL ? recv(fd, &what, 1, 0) : 0;
    if (what == 's')
        while (send(fd, piece, PIECE, MSG_NOSIGNAL) > 0) continue;
    while (n > 0 && what == 'e' && (n = recv(fd, piece, PIECE, 0)) > 0)
        for (ssize_t at = 0, put = 1; at < n && put > 0; at += put)
            put = send(fd, piece + at, (size_t)(n - at), MSG_NOSIGNAL);
    free(piece);
    (void)close(fd);
    return NULL;
}

static struct sockaddr_in loopback(const char *port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
}

static void no_delay(int fd) {
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void serve(const char *port) {
    struct sockaddr_in at = loopback(port);
    int on = 1, l = socket(AF_INET, SOCK_STREAM, 0);
    pthread_attr_t attr;
    (void)setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (l < 0 || bind(l, (const struct sockaddr *)&at, sizeof at) != 0 || listen(l, 4096) != 0) die("listen");
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attr, STACK);
    for (;;) {
        pthread_t t;
        int fd = accept(l, NULL, NULL);
        if (fd < 0) continue;
        no_delay(fd);
        if (pthread_create(&t, &attr, serve_one, (void *)(intptr_t)fd) != 0) die("pthread_create");
    }
}

static int dial(const char *port, char what) {
    struct sockaddr_in at = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof at) != 0) die("connect");
    no_delay(fd);
    all(fd, &what, 1);
    return fd;
}

static void bulk(const char *port, size_t megabytes) {
    char *piece = malloc(PIECE);
    int fd = dial(port, 's');
    if (piece == NULL) die("malloc");
    whole(fd, piece, PIECE);
    double t = now();
    for (size_t left = megabytes * 1000000; left > 0;) {
        ssize_t n = recv(fd, piece, left < PIECE ? left : PIECE, 0);
        if (n <= 0) die("recv");
        left -= (size_t)n;
    }
    printf("%.0f\n", (double)megabytes / (now() - t));
    free(piece);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void ping(const char *port, size_t count) {
    char text[PING] = {1};
    double *took = calloc(count, sizeof *took);
    int fd = dial(port, 'e');
    if (took == NULL) die("calloc");
    for (size_t i = 0; i < count; i++) {
        double t = now();
        all(fd, text, sizeof text);
        whole(fd, text, sizeof text);
        took[i] = now() - t;
    }
    qsort(took, count, sizeof *took, by_size);
    printf("%.1f\n", took[count / 2] * 1e6);
    free(took);
}

static void fresh(const char *port, size_t count) {
    char octet = 1;
    double t = now();
    for (size_t i = 0; i < count; i++) {
        int fd = dial(port, 'e');
        all(fd, &octet, 1);
        whole(fd, &octet, 1);
        (void)close(fd);
    }
    printf("%.0f\n", (double)count / (now() - t));
}

static void hold(const char *port, size_t count) {
    char octet = 1;
    int *fds = calloc(count, sizeof *fds);
    if (fds == NULL) die("calloc");
    for (size_t i = 0; i < count; i++) {
        fds[i] = dial(port, 'e');
        all(fds[i], &octet, 1);
        whole(fds[i], &octet, 1);
    }
    puts("held");
    (void)fflush(stdout);
    while (read(STDIN_FILENO, &octet, 1) > 0) continue;
    free(fds);
}

int main(int argc, char **argv) {
    struct rlimit most;
    if (getrlimit(RLIMIT_NOFILE, &most) == 0) {
        most.rlim_cur = most.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &most);
    }
    if (argc == 3 && strcmp(argv[1], "serve") == 0) serve(argv[2]);
    if (argc != 4) return 2;
    size_t n = (size_t)atol(argv[3]);
    if (strcmp(argv[1], "bulk") == 0) bulk(argv[2], n);
    if (strcmp(argv[1], "ping") == 0) ping(argv[2], n);
    if (strcmp(argv[1], "fresh") == 0) fresh(argv[2], n);
    if (strcmp(argv[1], "hold") == 0) hold(argv[2], n);
    return 0;
}
