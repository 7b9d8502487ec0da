/* Many threads of one process share a client of libcountersign, and what it trusts.
 * lib_threads HOST:PORT NAME CA.pem CERT.pem KEY.pem: prints how many of THREADS * TIMES were answered. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <countersign/client.h>

enum { THREADS = 8, TIMES = 6 };

typedef struct shared {
    cs_client *client;
    cs_trust *trust;
    const char *address, *name;
    atomic_int answered;
} shared;

static int once(const shared *s) {
    static const char ask[] = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    char answer[512];
    cs_connection *c = NULL;
    size_t n = 0;
    cs_err err;
    int ok = cs_connect(s->client, s->address, s->name, 60000, &c, &err) == CS_OK &&
             cs_write(c, ask, sizeof ask - 1, &n, &err) == CS_OK &&
             cs_read(c, answer, sizeof answer, &n, &err) == CS_OK && n > 12 && memcmp(answer, "HTTP/1.1 200", 12) == 0;
    /* refused, since the chain's middle is missing: but by every thread alike */
    if (ok && cs_trust_check(s->trust, cs_connection_peer(c), NULL, 0, CS_ROLE_SERVER, "elsewhere.test", &err) == CS_OK)
        ok = 0;
    if (!ok) (void)fprintf(stderr, "%s: %s\n", cs_reason_of(err.reason)->name, err.detail);
    cs_connection_free(c);
    return ok;
}

static void *run(void *data) {
    shared *s = data;
    for (int i = 0; i < TIMES; i++) (void)atomic_fetch_add(&s->answered, once(s));
    return NULL;
}

int main(int argc, char **argv) {
    static shared s;
    pthread_t threads[THREADS];
    cs_credential *who = NULL;
    cs_err err;
    if (argc != 6) return 2;
    s.address = argv[1], s.name = argv[2];
    if (cs_trust_new(&s.trust, &err) != CS_OK || cs_trust_add_file(s.trust, argv[3], &err) != CS_OK ||
        cs_credential_read(argv[4], argv[5], &who, &err) != CS_OK ||
        cs_client_new(s.trust, who, NULL, &s.client, &err) != CS_OK) {
        (void)fprintf(stderr, "%s: %s\n", cs_reason_of(err.reason)->name, err.detail);
        return 1;
    }
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, run, &s) != 0) return 1;
    for (int i = 0; i < THREADS; i++) (void)pthread_join(threads[i], NULL);
    (void)printf("%d of %d\n", atomic_load(&s.answered), THREADS * TIMES);
    cs_client_free(s.client);
    cs_credential_free(who);
    cs_trust_free(s.trust);
    return 0;
}
