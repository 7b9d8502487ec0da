#include "x509/digest.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>

/* Fetched once: by its name it would be looked for at each use, which costs as much as a short text's hash. */
static EVP_MD *sha256;
static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static void fetch(void) {
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

cs_status cs_sha256_two(cs_view a, cs_view b, uint8_t ret[CS_SHA256_LEN], cs_err *err) {
    (void)pthread_once(&fetched, fetch);
    EVP_MD_CTX *ctx = sha256 != NULL ? EVP_MD_CTX_new() : NULL;
    unsigned n = 0;
    bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, sha256, NULL) == 1 && EVP_DigestUpdate(ctx, a.p, a.n) == 1 &&
              EVP_DigestUpdate(ctx, b.p, b.n) == 1 && EVP_DigestFinal_ex(ctx, ret, &n) == 1 && n == CS_SHA256_LEN;
    EVP_MD_CTX_free(ctx);
    return ok ? CS_OK : CS_NOMEM_ERR(err);
}

cs_status cs_sha256(cs_view bytes, uint8_t ret[CS_SHA256_LEN], cs_err *err) {
    return cs_sha256_two(bytes, (cs_view){NULL, 0}, ret, err);
}

cs_status cs_hmac_sha256(cs_view key, cs_view bytes, uint8_t ret[CS_SHA256_LEN], cs_err *err) {
    unsigned n = 0;
    if (key.n > INT_MAX) return CS_NOMEM_ERR(err);
    bool ok = HMAC(EVP_sha256(), key.p, (int)key.n, bytes.p, bytes.n, ret, &n) != NULL && n == CS_SHA256_LEN;
    return ok ? CS_OK : CS_NOMEM_ERR(err);
}

cs_status cs_sha1(cs_view bytes, uint8_t ret[CS_SHA1_LEN], cs_err *err) {
    unsigned n = 0;
    bool ok = EVP_Digest(bytes.p, bytes.n, ret, &n, EVP_sha1(), NULL) == 1 && n == CS_SHA1_LEN;
    return ok ? CS_OK : CS_NOMEM_ERR(err);
}

/* It is libcrypto's own context, under another name. */
static EVP_MD_CTX *ctx_of(cs_digest *d) {
    return (EVP_MD_CTX *)(void *)d;
}

void cs_digest_free(cs_digest *d) {
    EVP_MD_CTX_free(ctx_of(d));
}

cs_status cs_digest_begin(cs_digest **ret, cs_err *err) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        return CS_NOMEM_ERR(err);
    }
    *ret = (cs_digest *)(void *)ctx;
    return CS_OK;
}

cs_status cs_digest_add(cs_digest *d, cs_view bytes, cs_err *err) {
    return EVP_DigestUpdate(ctx_of(d), bytes.p, bytes.n) == 1 ? CS_OK : CS_NOMEM_ERR(err);
}

cs_status cs_digest_end(cs_digest *d, uint8_t ret[CS_SHA256_LEN], cs_err *err) {
    unsigned n = 0;
    return EVP_DigestFinal_ex(ctx_of(d), ret, &n) == 1 && n == CS_SHA256_LEN ? CS_OK : CS_NOMEM_ERR(err);
}
