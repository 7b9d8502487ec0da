/* A library context for servers in which nothing decodes keys: OpenSSL 3.0 decodes the key of every certificate that it
 * parses, by asking all decoders there are, which costs more than the rest of a handshake's bookkeeping. Clients' keys
 * are decoded once, when a certificate is new here (judge.c), and put in the place of the parsed one; for that there is
 * a second context, with the three decoders that a certificate's key may need: a third of what all of them cost.
 *
 * All but the decoders of OpenSSL's default provider is passed on, through its own interface for providers. */
#include <pthread.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/provider.h>

#include "tls/tls_priv.h"

static OSSL_PROVIDER *base;
static OSSL_LIB_CTX *lean, *knowing;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Kinds of key that TLS as we speak it has no use for; even to find that nothing decodes a key, libcrypto makes an
 * object of each kind there is. */
static bool needless(const char *names) {
    static const char *const kinds[] = {"DH",       "DHX",      "dhKeyAgreement", "DSA",       "SM2",
                                        "CMAC",     "HKDF",     "SCRYPT",         "id-scrypt", "SIPHASH",
                                        "POLY1305", "TLS1-PRF", "SLH-DSA"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t n = strlen(kinds[i]);
        bool family = strcmp(kinds[i], "SLH-DSA") == 0;
        if (strncmp(names, kinds[i], n) == 0 && (family || names[n] == ':' || names[n] == '\0')) return true;
    }
    return false;
}

/* Made once, by the thread that makes the context. */
static const OSSL_ALGORITHM *few_kinds(const OSSL_ALGORITHM *all) {
    static OSSL_ALGORITHM few[64];
    size_t n = 0;
    if (all == NULL || few[0].algorithm_names != NULL) return few;
    for (; all->algorithm_names != NULL && n + 1 < sizeof few / sizeof few[0]; all++)
        if (!needless(all->algorithm_names)) few[n++] = *all;
    return few;
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
    const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(base, operation, no_cache);
    return operation == OSSL_OP_KEYMGMT ? few_kinds(all) : all;
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
    (void)query(NULL, OSSL_OP_KEYMGMT, &no_cache);
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
