/* bench/load.h - the parts of the load generator: who the clients are (pki.c), what they do (client.c), what came of it
 * (load.c). One thread; everything lives until the process ends. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum load_mode { LOAD_FULL, LOAD_RESUME, LOAD_KEEPALIVE, LOAD_IDLE, LOAD_H2 } load_mode;

typedef struct load_options {
    load_mode mode;
    struct sockaddr_in server;
    const char *name; /* SNI and Host */
    const char *path; /* of the GET */
    const char *pki;  /* folder that `load pki` made */
    const char *asks; /* full: file of whole requests, each behind its length in 4 octets, instead of the GET; each is
                       * sent once, without a client certificate */
    int tls;          /* TLS1_2_VERSION or TLS1_3_VERSION */
    int at_once;      /* connections at one time */
    long clients;     /* different client certificates */
    long connections; /* idle: how many */
    double seconds, warm_up;
    double rate;    /* full, resume: connections begun a second, whatever becomes of them; 0: as fast as they end */
    int server_pid; /* whose CPU time is measured, with its threads and children */
} load_options;

/* ---- pki.c ---- */
typedef struct load_client {
    X509 *certificate;
    EVP_PKEY *key;
} load_client;
typedef struct load_pki {
    X509 *issuing;
    load_client *clients;
    long count;
} load_pki;
/* Makes root, issuing CA and a certificate for localhost in the folder. */
void pki_make(const char *folder);
/* Issues `count` client certificates, each with a key of its own, by the folder's issuing CA. */
void pki_issue(const char *folder, long count, load_pki *ret);

/* ---- client.c ---- */
typedef struct load_totals {
    long done, resumed, failed;
    uint64_t *took; /* microseconds of each operation in the measured time */
    size_t took_count, took_cap;
    char first_failure[256];
} load_totals;
typedef struct load_run load_run;
load_run *run_new(const load_options *o, const load_pki *pki);
/* Drives connections for that long. Only with `count` do operations that complete go into totals. */
void run_for(load_run *r, double seconds, bool count, load_totals *totals);
long run_begun(const load_run *r); /* connections, of other clients each */
/* idle: opens all and has each answer one request; false when that takes longer than a minute. */
bool run_open_all(load_run *r, load_totals *totals);

/* ---- h2.c ---- */
typedef struct load_h2 load_h2;
load_h2 *h2_new(const load_options *o);
/* What came; ended(arg, when its request began) for each whole answer. -1: not what was asked for. */
int h2_take(load_h2 *h, const uint8_t *p, size_t n, void (*ended)(void *, uint64_t), void *arg);
int h2_say(load_h2 *h, SSL *ssl); /* what waits to be sent; as SSL_write */
void h2_free(load_h2 *h);

/* ---- load.c ---- */
uint64_t now_us(void);
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

#endif
