/* Verification beside OpenSSL's on the same chain (leaf, intermediate, root), the verdict cache, and the revocation set
 * beside X509_CRL. One thread. Prints one line a figure.  build/bench-verify [ENTRIES] */
#include <malloc.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "verify/cache.h"
#include "verify/verify.h"

typedef struct made {
    EVP_PKEY *key;
    X509 *cert;
    uint8_t *der;
    int n;
} made;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void add(X509 *c, X509V3_CTX *ctx, int nid, const char *value) {
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
    X509_add_ext(c, e, -1);
    X509_EXTENSION_free(e);
}

static made make(const char *name, const made *issuer, bool ca, bool rsa) {
    static long serial = 1000;
    made m = {.key = rsa ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048) : EVP_EC_gen("P-256"),
              .cert = X509_new()};
    X509_set_version(m.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(m.cert), serial++);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(m.cert), "CN", MBSTRING_UTF8, (const uint8_t *)name, -1, -1, 0);
    X509_set_issuer_name(m.cert, X509_get_subject_name(issuer ? issuer->cert : m.cert));
    X509_gmtime_adj(X509_getm_notBefore(m.cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(m.cert), 86400);
    X509_set_pubkey(m.cert, m.key);
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer ? issuer->cert : m.cert, m.cert, NULL, NULL, 0);
    add(m.cert, &ctx, NID_basic_constraints, ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    add(m.cert, &ctx, NID_key_usage, ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
    add(m.cert, &ctx, NID_subject_key_identifier, "hash");
    add(m.cert, &ctx, NID_authority_key_identifier, "keyid:always");
    if (!ca) {
        add(m.cert, &ctx, NID_ext_key_usage, "clientAuth");
        add(m.cert, &ctx, NID_subject_alt_name, "DNS:device-17.example,URI:spiffe://example/device/device-17");
    }
    X509_sign(m.cert, issuer ? issuer->key : m.key, EVP_sha256());
    m.n = i2d_X509(m.cert, &m.der);
    return m;
}

static cs_cert *decode(const made *m) {
    cs_err err;
    cs_cert *c = NULL;
    if (cs_cert_decode(cs_view_of(m->der, (size_t)m->n), &c, &err) != CS_OK) {
        fprintf(stderr, "%s\n", err.detail);
        exit(1);
    }
    return c;
}

/* OpenSSL: a fresh context each time, strict, trusted root in a store; `parse`: peer's certificates from DER each time.
 */
static double openssl_us(const made *root, const made *mid, const made *leaf, int rounds, bool parse) {
    X509_STORE *store = X509_STORE_new();
    X509_STORE_add_cert(store, root->cert);
    double start = now();
    for (int i = 0; i < rounds; i++) {
        const uint8_t *p = leaf->der, *q = mid->der;
        X509 *l = parse ? d2i_X509(NULL, &p, leaf->n) : leaf->cert, *m = parse ? d2i_X509(NULL, &q, mid->n) : mid->cert;
        STACK_OF(X509) *chain = sk_X509_new_null();
        sk_X509_push(chain, m);
        X509_STORE_CTX *ctx = X509_STORE_CTX_new();
        X509_STORE_CTX_init(ctx, store, l, chain);
        X509_STORE_CTX_set_default(ctx, "ssl_client");
        X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(ctx), X509_V_FLAG_X509_STRICT);
        if (X509_verify_cert(ctx) != 1) exit(fprintf(stderr, "openssl: %d\n", X509_STORE_CTX_get_error(ctx)));
        X509_STORE_CTX_free(ctx);
        sk_X509_free(chain);
        if (parse) X509_free(l), X509_free(m);
    }
    double us = (now() - start) / rounds * 1e6;
    X509_STORE_free(store);
    return us;
}

static double ours_us(const made *root, const made *mid, const made *leaf, int rounds, bool parse) {
    cs_err err;
    cs_anchors *anchors = NULL;
    cs_certs trust = {0};
    cs_cert *l = decode(leaf), *m = decode(mid);
    if (cs_certs_add(&trust, decode(root), &err) != CS_OK || cs_anchors_new(&trust, &anchors, &err) != CS_OK) exit(1);
    cs_want want = {.purpose = CS_PURPOSE_CLIENT, .at = cs_now(cs_clock_system()), .max_depth = -1};
    double start = now();
    for (int i = 0; i < rounds; i++) {
        cs_verdict v;
        cs_certs extra = {0};
        cs_cert *pl = parse ? decode(leaf) : cs_cert_ref(l);
        if (cs_certs_add(&extra, parse ? decode(mid) : cs_cert_ref(m), &err) != CS_OK) exit(1);
        if (cs_verify(anchors, pl, &extra, &want, &v, &err) != CS_OK || !v.accepted)
            exit(fprintf(stderr, "%s\n", v.detail));
        cs_verdict_free(&v);
        cs_certs_free(&extra);
        cs_cert_free(pl);
    }
    double us = (now() - start) / rounds * 1e6;
    cs_certs_free(&trust);
    cs_anchors_free(anchors);
    cs_cert_free(l);
    cs_cert_free(m);
    return us;
}

static void bench_cache(const made *root, const made *mid, const made *leaf) {
    cs_err err;
    cs_cache *cache = NULL;
    cs_revset *set = NULL;
    cs_revoked none = {.reason = 1, .serial = CS_VIEW_LIT("\x7f")};
    cs_verdict v = {.accepted = true, .good_from = 0, .good_until = INT64_MAX};
    if (cs_cache_new(1024, &cache, &err) != CS_OK || cs_revset_build(&none, 1, &set, &err) != CS_OK) exit(1);
    for (int i = 0; i < 3; i++)
        if (cs_certs_add(&v.chain, decode(i == 0 ? leaf : i == 1 ? mid : root), &err) != CS_OK) exit(1);
    cs_cache_put(cache, CS_PURPOSE_CLIENT, 1, &v);
    enum { N = 10000000 };
    double start = now();
    for (int i = 0; i < N; i++) {
        if (!cs_cache_good(cache, v.chain.at[0]->sha256, CS_PURPOSE_CLIENT, 1, CS_SEC, set)) exit(1);
    }
    printf("cached verdict                        %8.1f ns\n", (now() - start) / N * 1e9);
    cs_verdict_free(&v);
    cs_cache_free(cache);
    cs_revset_free(set);
}

/* 8 layers of 8 CAs of one name each, every one signed by all 8 above, no key identifiers to tell them apart, and an
 * anchor of the right name with another key: each path is followed to its end in vain. */
enum { LAYERS = 8, WIDE = 8 };

static X509 *hostile_cert(const char *name, const char *by, EVP_PKEY *key, EVP_PKEY *signer, bool ca) {
    static long serial = 1;
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, (const uint8_t *)name, -1, -1, 0);
    X509_NAME_add_entry_by_txt(X509_get_issuer_name(x), "CN", MBSTRING_UTF8, (const uint8_t *)by, -1, -1, 0);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_pubkey(x, key);
    add(x, NULL, NID_basic_constraints, ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    X509_sign(x, signer, EVP_PKEY_is_a(signer, "ED25519") ? NULL : EVP_sha256());
    return x;
}

static cs_cert *taken(X509 *x) {
    made m = {.cert = x};
    m.n = i2d_X509(x, &m.der);
    cs_cert *c = decode(&m);
    OPENSSL_free(m.der);
    X509_free(x);
    return c;
}

static EVP_PKEY *key_of(const char *kind) {
    if (strcmp(kind, "RSA") == 0) return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    return strcmp(kind, "ED25519") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, kind) : EVP_EC_gen(kind);
}

static void bench_hostile(const char *kind) {
    cs_err err;
    EVP_PKEY *above[WIDE], *here[WIDE];
    char name[16] = "Root", up[16];
    cs_certs extra = {0}, trust = {0};
    cs_anchors *anchors = NULL;
    cs_verdict v;
    for (int i = 0; i < WIDE; i++) above[i] = key_of(kind);
    for (int layer = 0; layer < LAYERS; layer++) {
        snprintf(up, sizeof up, "%s", name);
        snprintf(name, sizeof name, "L%d", layer);
        for (int i = 0; i < WIDE; i++) {
            here[i] = key_of(kind);
            for (int k = 0; k < WIDE; k++)
                if (cs_certs_add(&extra, taken(hostile_cert(name, up, here[i], above[k], true)), &err) != CS_OK)
                    exit(1);
        }
        for (int i = 0; i < WIDE; i++) {
            EVP_PKEY_free(above[i]);
            above[i] = here[i];
        }
    }
    EVP_PKEY *other = key_of(kind);
    cs_cert *leaf = taken(hostile_cert("leaf", name, other, above[WIDE - 1], false));
    if (cs_certs_add(&trust, taken(hostile_cert("Root", "Root", other, other, true)), &err) != CS_OK) exit(1);
    if (cs_anchors_new(&trust, &anchors, &err) != CS_OK) exit(1);
    cs_want want = {.purpose = CS_PURPOSE_ANY, .at = cs_now(cs_clock_system()), .max_depth = -1};
    double start = now();
    if (cs_verify(anchors, leaf, &extra, &want, &v, &err) != CS_OK || v.accepted) exit(1);
    printf("8 layers of 8 cross-signed CAs, %-15s %5.1f ms, %u signature checks (%s)\n", kind, (now() - start) * 1e3,
           v.signature_checks, cs_reason_of(v.reason)->name);
    cs_verdict_free(&v);
    cs_certs_free(&extra);
    cs_certs_free(&trust);
    cs_anchors_free(anchors);
    cs_cert_free(leaf);
    EVP_PKEY_free(other);
    for (int i = 0; i < WIDE; i++) EVP_PKEY_free(above[i]);
}

/* ---- look-ups while another thread makes one set after another ---- */

typedef struct shared {
    cs_revset *_Atomic set;
    atomic_bool over;
    const cs_revoked *list;
    size_t n, swaps;
} shared;

static void *swap_sets(void *data) {
    shared *s = data;
    cs_err err;
    cs_revset *kept[64] = {NULL}; /* let go much later than any look-up could still hold it */
    while (!atomic_load(&s->over)) {
        cs_revset *next = NULL;
        if (cs_revset_build(s->list, s->n, &next, &err) != CS_OK) exit(1);
        cs_revset_free(kept[s->swaps % 4]);
        kept[s->swaps++ % 4] = atomic_exchange(&s->set, next);
    }
    for (size_t i = 0; i < 4; i++) cs_revset_free(kept[i]);
    return NULL;
}

static void bench_swaps(const cs_revset *set, const cs_revoked *list, size_t n) {
    shared s = {.list = list, .n = n};
    pthread_t thread;
    size_t hits = 0, rounds = 0;
    atomic_init(&s.set, cs_revset_ref(set));
    if (pthread_create(&thread, NULL, swap_sets, &s) != 0) exit(1);
    double start = now();
    for (; now() - start < 2; rounds += 1000)
        for (size_t i = 0; i < 1000; i++) {
            const cs_revoked *r = &list[(rounds + i) * 7919 % n];
            hits += cs_revset_has(atomic_load_explicit(&s.set, memory_order_acquire), r->issuer, r->serial, NULL);
        }
    double ns = (now() - start) / (double)rounds * 1e9;
    atomic_store(&s.over, true);
    (void)pthread_join(thread, NULL);
    printf("revocation set of %zu: hit, while %zu new sets were built and swapped in in 2 s %8.1f ns (%s)\n", n,
           s.swaps, ns, hits == rounds ? "all found" : "SOME MISSED");
    cs_revset_free(atomic_load(&s.set));
}

static void bench_revset(size_t n) {
    cs_err err;
    cs_revoked *list = calloc(n, sizeof *list);
    uint8_t(*serials)[16] = malloc(n * 16);
    uint64_t x = 42;
    for (size_t i = 0; i < n; i++) {
        for (int k = 0; k < 16; k++) {
            x = x * 6364136223846793005ULL + 1442695040888963407ULL;
            serials[i][k] = (uint8_t)(x >> 56);
        }
        serials[i][0] = (uint8_t)((serials[i][0] & 0x7f) | 1);
        list[i] = (cs_revoked){.serial = cs_view_of(serials[i], 16), .reason = 1};
        memset(list[i].issuer, 7, 32);
    }
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    cs_revset *set = NULL, *next = NULL;
    double start = now();
    if (cs_revset_build(list, n, &set, &err) != CS_OK) exit(1);
    printf("revocation set of %zu: build      %8.1f ms\n", n, (now() - start) * 1e3);
    size_t bytes = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    printf("revocation set of %zu: memory     %8.1f MB\n", n, (double)bytes / 1e6);
    size_t hits = 0, rounds = n;
    uint8_t(*asked)[16] = malloc(n * 16); /* the questions lie in a row: what is measured is the set's memory */
    for (size_t i = 0; i < n; i++) memcpy(asked[i], serials[i * 7919 % n], 16);
    start = now();
    for (size_t i = 0; i < rounds; i++) hits += cs_revset_has(set, list[0].issuer, cs_view_of(asked[i], 16), NULL);
    printf("revocation set of %zu: hit        %8.1f ns\n", n, (now() - start) / (double)rounds * 1e9);
    if (hits != rounds) exit(1);
    start = now();
    for (size_t i = 0; i < rounds; i++) {
        asked[i][15] ^= 0x55;
        hits += cs_revset_has(set, list[0].issuer, cs_view_of(asked[i], 16), NULL);
    }
    printf("revocation set of %zu: miss       %8.1f ns\n", n, (now() - start) / (double)rounds * 1e9);
    bench_swaps(set, list, n);
    cs_revoked change = list[0];
    change.serial = CS_VIEW_LIT("\x12\x34");
    start = now();
    if (cs_revset_apply(set, &change, 1, &next, &err) != CS_OK) exit(1);
    printf("revocation set of %zu: one more   %8.1f ms\n", n, (now() - start) * 1e3);
    cs_revset_free(set);
    cs_revset_free(next);
    before = mallinfo2().uordblks + mallinfo2().hblkhd;
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *t = ASN1_TIME_set(NULL, 1700000000);
    start = now();
    for (size_t i = 0; i < n; i++) {
        X509_REVOKED *r = X509_REVOKED_new();
        BIGNUM *b = BN_bin2bn(serials[i], 16, NULL);
        ASN1_INTEGER *a = BN_to_ASN1_INTEGER(b, NULL);
        X509_REVOKED_set_serialNumber(r, a);
        X509_REVOKED_set_revocationDate(r, t);
        X509_CRL_add0_revoked(crl, r);
        ASN1_INTEGER_free(a);
        BN_free(b);
    }
    X509_CRL_sort(crl);
    printf("X509_CRL of %zu: build            %8.1f ms\n", n, (now() - start) * 1e3);
    bytes = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    printf("X509_CRL of %zu: memory           %8.1f MB\n", n, (double)bytes / 1e6);
    rounds = 500000;
    start = now();
    hits = 0;
    for (size_t i = 0; i < rounds; i++) {
        X509_REVOKED *r = NULL;
        ASN1_INTEGER a = {.length = 16, .type = V_ASN1_INTEGER, .data = serials[i * 7919 % n]};
        hits += X509_CRL_get0_by_serial(crl, &r, &a) == 1;
    }
    printf("X509_CRL of %zu: hit              %8.1f ns\n", n, (now() - start) / (double)rounds * 1e9);
    X509_CRL_free(crl);
    ASN1_TIME_free(t);
    free(asked);
    free(list);
    free(serials);
}

int main(int argc, char **argv) {
    static const char *const kinds[] = {"P-256",           "ED25519",        "RSA", "P-384", "P-521", "brainpoolP256r1",
                                        "brainpoolP384r1", "brainpoolP512r1"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) bench_hostile(kinds[i]);
    size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    for (int rsa = 0; rsa < 2; rsa++) {
        made root = make("root", NULL, true, rsa), mid = make("mid", &root, true, rsa),
             leaf = make("leaf", &mid, false, rsa);
        for (int parse = 0; parse < 2; parse++) {
            int rounds = 5000;
            openssl_us(&root, &mid, &leaf, 200, parse);
            ours_us(&root, &mid, &leaf, 200, parse);
            double theirs = openssl_us(&root, &mid, &leaf, rounds, parse),
                   ours = ours_us(&root, &mid, &leaf, rounds, parse);
            printf("%s %-22s openssl %7.1f us, ours %7.1f us (%.2f)\n", rsa ? "RSA 2048" : "P-256   ",
                   parse ? "from DER" : "parsed", theirs, ours, ours / theirs);
        }
        if (!rsa) bench_cache(&root, &mid, &leaf);
    }
    bench_revset(n);
    return 0;
}
