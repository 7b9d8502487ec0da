/* A server of one's own with OpenSSL: the library judges its clients' certificates, and a policy says who may pass:
 * devices whose name begins with PREFIX. Serves COUNT connections.
 * admit PORT CA.pem SERVER.crt SERVER.key PREFIX COUNT */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include <countersign/verify.h>

static int listen_at(unsigned short port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 16) == 0) return fd;
    close(fd);
    return -1;
}

static void serve(SSL *ssl, const char *prefix) {
    cs_err err;
    char line[256];
    cs_certificate *peer = NULL;
    if (SSL_accept(ssl) != 1) {
        if (cs_trust_refusal(ssl, &err) != CS_OK)
            printf("refused %s: %s\n", cs_reason_of(err.reason)->name, err.detail);
        else
            puts("refused: no certificate, or no handshake");
        return;
    }
    if (cs_trust_peer(ssl, &peer, &err) != CS_OK) return;
    int may = cs_certificate_holder(peer) == CS_HOLDER_DEVICE &&
              strncmp(cs_certificate_name(peer), prefix, strlen(prefix)) == 0;
    int n = snprintf(line, sizeof line, "%s %.200s\n", may ? "hello" : "not for", cs_certificate_name(peer));
    (void)SSL_write(ssl, line, n);
    (void)SSL_shutdown(ssl);
    printf("%s %s\n", may ? "admitted" : "turned away", cs_certificate_name(peer));
    cs_certificate_free(peer);
}

int main(int argc, char **argv) {
    cs_trust *trust = NULL;
    cs_err err;
    if (argc != 7) return 2;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL || SSL_CTX_use_certificate_chain_file(ctx, argv[3]) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, argv[4], SSL_FILETYPE_PEM) != 1)
        return 1;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (cs_trust_new(&trust, &err) != CS_OK || cs_trust_add_file(trust, argv[2], &err) != CS_OK ||
        cs_trust_install(trust, ctx, &err) != CS_OK) {
        fprintf(stderr, "%s: %s\n", cs_reason_of(err.reason)->name, err.detail);
        return 1;
    }
    cs_trust_free(trust); /* the context has its own reference */
    int listener = listen_at((unsigned short)atoi(argv[1]));
    if (listener < 0) return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    for (int i = 0; i < atoi(argv[6]); i++) {
        int fd = accept(listener, NULL, NULL);
        SSL *ssl = SSL_new(ctx);
        if (fd >= 0 && ssl != NULL && SSL_set_fd(ssl, fd) == 1) serve(ssl, argv[5]);
        SSL_free(ssl);
        if (fd >= 0) close(fd);
    }
    close(listener);
    SSL_CTX_free(ctx);
    return 0;
}
