/* A line sent through mutual TLS, and the answer. minimal HOST:PORT NAME CA.pem CERT.pem KEY.pem LINE */
#include <stdio.h>
#include <string.h>

#include <countersign/client.h>

int main(int argc, char **argv) {
    cs_trust *trust = NULL;
    cs_credential *who = NULL;
    cs_client *client = NULL;
    cs_connection *c = NULL;
    char answer[4096];
    size_t n = 0;
    cs_err err;
    if (argc != 7) return 2;
    int ok = cs_trust_new(&trust, &err) == CS_OK && cs_trust_add_file(trust, argv[3], &err) == CS_OK &&
             cs_credential_read(argv[4], argv[5], &who, &err) == CS_OK &&
             cs_client_new(trust, who, NULL, &client, &err) == CS_OK &&
             cs_connect(client, argv[1], argv[2], 5000, &c, &err) == CS_OK &&
             cs_write(c, argv[6], strlen(argv[6]), &n, &err) == CS_OK && cs_write(c, "\n", 1, &n, &err) == CS_OK &&
             cs_read(c, answer, sizeof answer, &n, &err) == CS_OK;
    if (ok)
        printf("%s says %.*s", cs_certificate_subject(cs_connection_peer(c)), (int)n, answer);
    else
        fprintf(stderr, "%s: %s\n%s\n", cs_reason_of(err.reason)->name, err.detail, cs_reason_of(err.reason)->advice);
    cs_connection_free(c);
    cs_client_free(client);
    cs_credential_free(who);
    cs_trust_free(trust);
    return ok ? 0 : 1;
}
