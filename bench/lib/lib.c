/* What a connection costs a program with libcountersign, beside one with OpenSSL alone: connect, handshake with
 * certificates on both sides, an octet there and back, the end. Both in one process and in turns, against one server
 * (OpenSSL, a thread of another process); OpenSSL verifies by its own rules, path and host.
 *
 * lib CA.pem CLIENT.crt CLIENT.key SERVER.crt SERVER.key ROUNDS CONNECTIONS-A-ROUND
 * Prints, for each: the median of the rounds, processor and elapsed microseconds a connection; and their ratio. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include <countersign/client.h>

enum { ROUNDS_MAX = 101 };

typedef struct cost {
    double cpu, wall;
} cost;

static void die(const char *what) {
    (void)fprintf(stderr, "lib: %s\n", what);
    exit(1);
}

static SSL_CTX *context(const SSL_METHOD *m, char **files, int server) {
    SSL_CTX *ctx = SSL_CTX_new(m);
    if (ctx == NULL || SSL_CTX_load_verify_locations(ctx, files[0], NULL) != 1 ||
        SSL_CTX_use_certificate_chain_file(ctx, files[server ? 3 : 1]) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, files[server ? 4 : 2], SSL_FILETYPE_PEM) != 1)
        die("a context");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return ctx;
}

static int no_delay(int fd) {
    int on = 1;
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void serve(int listener, char **files) {
    SSL_CTX *ctx = context(TLS_server_method(), files, 1);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(ctx, 0);
    for (;;) {
        char octet = 0;
        int fd = accept(listener, NULL, NULL);
        SSL *ssl = SSL_new(ctx);
        if (fd < 0 || no_delay(fd) != 0 || ssl == NULL || SSL_set_fd(ssl, fd) != 1) die("a connection");
        if (SSL_accept(ssl) == 1 && SSL_read(ssl, &octet, 1) == 1) (void)SSL_write(ssl, &octet, 1);
        (void)SSL_shutdown(ssl);
        SSL_free(ssl);
        (void)close(fd);
    }
}

static void by_openssl(SSL_CTX *ctx, const struct sockaddr_in *at) {
    char octet = 'x';
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    SSL *ssl = SSL_new(ctx);
    int ok = fd >= 0 && no_delay(fd) == 0 && connect(fd, (const struct sockaddr *)at, sizeof *at) == 0 && ssl != NULL &&
             SSL_set_tlsext_host_name(ssl, "localhost") == 1 && SSL_set1_host(ssl, "localhost") == 1 &&
             SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1 && SSL_write(ssl, &octet, 1) == 1 &&
             SSL_read(ssl, &octet, 1) == 1;
    if (!ok) die("OpenSSL's connection");
    (void)SSL_shutdown(ssl);
    SSL_free(ssl);
    (void)close(fd);
}

static void by_library(cs_client *client, const char *address) {
    cs_connection *c = NULL;
    char octet = 'x';
    size_t n = 0;
    cs_err err;
    if (cs_connect(client, address, "localhost", 0, &c, &err) != CS_OK || cs_write(c, &octet, 1, &n, &err) != CS_OK ||
        cs_read(c, &octet, 1, &n, &err) != CS_OK || cs_connection_end(c, &err) != CS_OK)
        die(err.detail);
    cs_connection_free(c);
}

static double seconds(struct timeval t) {
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static cost measured(void) {
    struct rusage r;
    struct timespec t;
    (void)getrusage(RUSAGE_SELF, &r);
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (cost){seconds(r.ru_utime) + seconds(r.ru_stime), (double)t.tv_sec + (double)t.tv_nsec / 1e9};
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v, size_t n) {
    qsort(v, n, sizeof *v, by_size);
    return v[n / 2];
}

static int listen_anywhere(struct sockaddr_in *at) {
    socklen_t n = sizeof *at;
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)at, sizeof *at) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)at, &n) != 0)
        die("a listener");
    return fd;
}

static cs_client *library(char **files) {
    cs_trust *trust = NULL;
    cs_credential *who = NULL;
    cs_client *client = NULL;
    cs_err err;
    if (cs_trust_new(&trust, &err) != CS_OK || cs_trust_add_file(trust, files[0], &err) != CS_OK ||
        cs_credential_read(files[1], files[2], &who, &err) != CS_OK ||
        cs_client_new(trust, who, NULL, &client, &err) != CS_OK)
        die(err.detail);
    cs_credential_free(who);
    cs_trust_free(trust);
    return client;
}

int main(int argc, char **argv) {
    static double cpu[2][ROUNDS_MAX], wall[2][ROUNDS_MAX], ratio[2][ROUNDS_MAX];
    struct sockaddr_in at;
    char address[32];
    if (argc != 8) return 2;
    char **files = argv + 1;
    size_t rounds = (size_t)atoi(argv[6]), count = (size_t)atoi(argv[7]);
    if (rounds == 0 || rounds > ROUNDS_MAX || count == 0) return 2;
    int listener = listen_anywhere(&at);
    pid_t server = fork();
    if (server == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(listener, files);
    }
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(at.sin_port));
    SSL_CTX *ctx = context(TLS_client_method(), files, 0);
    cs_client *client = library(files);
    for (size_t r = 0; r < rounds; r++) {
        for (int which = 0; which < 2; which++) {
            cost before = measured();
            for (size_t i = 0; i < count; i++) {
                if (which == 0)
                    by_openssl(ctx, &at);
                else
                    by_library(client, address);
            }
            cost after = measured();
            cpu[which][r] = (after.cpu - before.cpu) * 1e6 / (double)count;
            wall[which][r] = (after.wall - before.wall) * 1e6 / (double)count;
        }
        ratio[0][r] = cpu[1][r] / cpu[0][r];
        ratio[1][r] = wall[1][r] / wall[0][r];
    }
    for (int which = 0; which < 2; which++)
        (void)printf("%-16s %7.1f us of the client's CPU, %7.1f us elapsed\n",
                     which == 0 ? "OpenSSL alone" : "libcountersign", median(cpu[which], rounds),
                     median(wall[which], rounds));
    (void)printf("%-16s %7.3f %31.3f\n", "ratio", median(ratio[0], rounds), median(ratio[1], rounds));
    cs_client_free(client);
    SSL_CTX_free(ctx);
    (void)kill(server, SIGKILL);
    return 0;
}
