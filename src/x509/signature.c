#include "keys/keys_evp.h"
#include "x509/cert_priv.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

/* OpenSSL's queue is left as it was found: a stale entry would be taken for a TLS failure elsewhere. */
EVP_PKEY *cs_cert_key(const cs_cert *c) {
    cs_cert_more *m = cs_cert_more_of(c);
    EVP_PKEY *key = __atomic_load_n(&m->key, __ATOMIC_ACQUIRE), *none = NULL;
    if (key || m->flaw_key.reason != CS_R_NONE || c->spki.n == 0) return key;
    key = cs_key_public_evp(c->spki);
    if (!key) return NULL;
    if (__atomic_compare_exchange_n(&m->key, &none, key, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) return key;
    EVP_PKEY_free(key); /* another thread was first */
    return none;
}

static bool key_fits(const cs_cert_more *signer, const cs_sigalg *alg) {
    if (alg->scheme == CS_SIG_UNKNOWN || alg->flaw.reason != CS_R_NONE) return false;
    if (signer->key_type == CS_KEY_RSA_PSS) return alg->scheme == CS_SIG_PSS;
    return signer->key_type == alg->key;
}

bool cs_sig_ok(const cs_cert *signer, const cs_sigalg *alg, cs_view tbs, cs_view sig) {
    if (!key_fits(cs_cert_more_of(signer), alg)) return false;
    EVP_PKEY *key = cs_cert_key(signer);
    if (!key) return false;
    ERR_set_mark();
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit_ex(ctx, &pctx, alg->digest, NULL, NULL, key, NULL) == 1;
    if (ok && alg->scheme == CS_SIG_PSS) {
        ok = EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, alg->salt) == 1;
    }
    ok = ok && EVP_DigestVerify(ctx, sig.p, sig.n, tbs.p, tbs.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_pop_to_mark();
    return ok;
}
