/* A library context for servers in which nothing decodes keys: OpenSSL 3.0 decodes the key of every certificate that it
 * parses, by asking all decoders there are, which costs more than the rest of a handshake's bookkeeping. Clients' keys
 * are decoded once, when a certificate is new here (judge.c), and put in the place of the parsed one; for that there is
 * a second context, with the three decoders that a certificate's key may need: a third of what all of them cost.
 *
 * Of OpenSSL's default provider, what TLS needs is passed on, through its own interface for providers. */
#include <pthread.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/provider.h>

#include "tls/tls_priv.h"

static OSSL_PROVIDER *base;
static OSSL_LIB_CTX *lean, *knowing;
static pthread_once_t once = PTHREAD_ONCE_INIT;

enum { MOST = 64 };

/* What TLS as we speak it needs of an operation, each by one of its names. Even to find that nothing decodes a key,
 * libcrypto looks at every algorithm that it holds, of whatever operation, and makes an object of each kind of key. */
typedef struct needs {
    int operation;
    const char *const *names; /* a last '*' stands for the rest of a name */
    OSSL_ALGORITHM few[MOST]; /* filled once, by the thread that makes the contexts */
} needs;

static const char *const ciphers[] = {"AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305", NULL};
/* SHA-1: libcrypto's name for a certificate; MD5: a context of libssl has it at hand */
static const char *const digests[] = {"SHA1", "SHA2-224", "SHA2-256", "SHA2-384", "SHA2-512", "MD5", NULL};
static const char *const macs[] = {"HMAC", NULL};
static const char *const kdfs[] = {"HKDF", "TLS13-KDF", "TLS1-PRF", NULL};
static const char *const exchanges[] = {"ECDH", "X25519", "X448", NULL};
static const char *const signatures[] = {"ECDSA", "RSA", "ED25519", "ED448", "ML-DSA-*", "HMAC", NULL};
/* HMAC: of what proves that a client knows its session. Hybrid groups, where there are any. */
static const char *const kinds[] = {"EC",    "RSA",      "RSA-PSS",  "X25519",         "X448",          "ED25519",
                                    "ED448", "ML-DSA-*", "ML-KEM-*", "X25519MLKEM768", "X448MLKEM1024", "SecP*",
                                    "HMAC",  NULL};
static const char *const ciphers_of_keys[] = {NULL};

static needs passed[] = {
    {.operation = OSSL_OP_CIPHER, .names = ciphers},    {.operation = OSSL_OP_DIGEST, .names = digests},
    {.operation = OSSL_OP_MAC, .names = macs},          {.operation = OSSL_OP_KDF, .names = kdfs},
    {.operation = OSSL_OP_KEYEXCH, .names = exchanges}, {.operation = OSSL_OP_SIGNATURE, .names = signatures},
    {.operation = OSSL_OP_KEYMGMT, .names = kinds},     {.operation = OSSL_OP_ASYM_CIPHER, .names = ciphers_of_keys},
};
enum { OPERATIONS = sizeof passed / sizeof passed[0] };

/* `names` are one algorithm's, with colons between. */
static bool is_named(const char *names, const char *name) {
    size_t n = strlen(name);
    bool open = n > 0 && name[n - 1] == '*';
    if (open) n--;
    for (const char *at = names; at != NULL; at = strchr(at, ':')) {
        at += *at == ':';
        if (OPENSSL_strncasecmp(at, name, n) == 0 && (open || at[n] == ':' || at[n] == '\0')) return true;
    }
    return false;
}

static bool is_needed(const needs *of, const OSSL_ALGORITHM *one) {
    for (const char *const *name = of->names; *name != NULL; name++)
        if (is_named(one->algorithm_names, *name)) return true;
    return false;
}

static void fill(needs *of) {
    int no_cache = 0;
    size_t n = 0;
    const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(base, of->operation, &no_cache);
    for (; all != NULL && all->algorithm_names != NULL && n + 1 < MOST; all++)
        if (is_needed(of, all)) of->few[n++] = *all;
}

/* Likewise: of a SubjectPublicKeyInfo in DER, of the kinds that keys/ takes. */
static const OSSL_ALGORITHM *few_decoders(const OSSL_ALGORITHM *all) {
    static OSSL_ALGORITHM few[4];
    size_t n = 0;
    if (all == NULL || few[0].algorithm_names != NULL) return few;
    for (; all->algorithm_names != NULL && n + 1 < sizeof few / sizeof few[0]; all++) {
        const char *names = all->algorithm_names, *how = all->property_definition;
        bool kind = strcmp(names, "EC") == 0 || strcmp(names, "RSA") == 0 || strcmp(names, "ED25519") == 0;
        if (kind && strstr(how, "input=der") != NULL && strstr(how, "structure=SubjectPublicKeyInfo") != NULL)
            few[n++] = *all;
    }
    return few;
}

static const OSSL_ALGORITHM *query_most(int operation, int *no_cache) {
    for (size_t i = 0; i < OPERATIONS; i++) {
        if (passed[i].operation != operation) continue;
        *no_cache = 0;
        return passed[i].few;
    }
    return OSSL_PROVIDER_query_operation(base, operation, no_cache);
}

static const OSSL_ALGORITHM *query(void *ctx, int operation, int *no_cache) {
    (void)ctx;
    if (operation != OSSL_OP_DECODER) return query_most(operation, no_cache);
    *no_cache = 0;
    return NULL;
}

static const OSSL_ALGORITHM *query_knowing(void *ctx, int operation, int *no_cache) {
    (void)ctx;
    if (operation != OSSL_OP_DECODER) return query_most(operation, no_cache);
    return few_decoders(OSSL_PROVIDER_query_operation(base, operation, no_cache));
}

static int capabilities(void *ctx, const char *name, OSSL_CALLBACK *cb, void *arg) {
    (void)ctx;
    return OSSL_PROVIDER_get_capabilities(base, name, cb, arg);
}

static int answer(const OSSL_DISPATCH *table, const OSSL_DISPATCH **out, void **provider) {
    *out = table;
    *provider = OSSL_PROVIDER_get0_provider_ctx(base);
    return 1;
}

static int lean_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                     void **provider) {
    static const OSSL_DISPATCH table[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
        {OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))capabilities},
        {0, NULL},
    };
    (void)handle, (void)in;
    return answer(table, out, provider);
}

static int knowing_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                        void **provider) {
    static const OSSL_DISPATCH table[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query_knowing},
        {OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))capabilities},
        {0, NULL},
    };
    (void)handle, (void)in;
    return answer(table, out, provider);
}

/* A context with that provider alone; NULL: it cannot be had. */
static OSSL_LIB_CTX *with(const char *name, OSSL_provider_init_fn *init) {
    OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
    bool ok = ctx != NULL && OSSL_PROVIDER_add_builtin(ctx, name, init) == 1 && OSSL_PROVIDER_load(ctx, name) != NULL;
    if (ok) return ctx;
    OSSL_LIB_CTX_free(ctx);
    return NULL;
}

/* All live as long as the process. The lists are made here, by one thread. */
static void make(void) {
    OSSL_LIB_CTX *inner = OSSL_LIB_CTX_new();
    int no_cache = 0;
    if (inner != NULL) base = OSSL_PROVIDER_load(inner, "default");
    if (base == NULL) return;
    for (size_t i = 0; i < OPERATIONS; i++) fill(&passed[i]);
    (void)query_knowing(NULL, OSSL_OP_DECODER, &no_cache);
    lean = with("lean", lean_init);
    knowing = with("knowing", knowing_init);
}

OSSL_LIB_CTX *tls_lib_knowing(void) {
    (void)pthread_once(&once, make);
    return knowing;
}

OSSL_LIB_CTX *tls_lib(void) {
    (void)pthread_once(&once, make);
    return lean;
}
