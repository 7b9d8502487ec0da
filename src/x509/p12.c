/* PKCS#12, made by libcrypto from our own choices. @rfc 7292 */
#include "x509/p12.h"

#include "keys/keys_evp.h"

#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

enum {
    COMPAT_ROUNDS = 10000, /* old importers are slow; the password's 119 bits carry the strength */
    MODERN_ROUNDS = 600000,
    SALT_LEN = 16,
};

static X509 *x509_of(const cs_cert *c) {
    const unsigned char *p = c->der.p;
    return d2i_X509(NULL, &p, (long)c->der.n);
}

static bool push_chain(STACK_OF(X509) * stack, const cs_certs *chain, const cs_cert *leaf) {
    for (size_t i = 0; chain && i < chain->n; i++) {
        if (cs_view_eq(chain->at[i]->der, leaf->der)) continue;
        X509 *x = x509_of(chain->at[i]);
        if (!x || !sk_X509_push(stack, x)) {
            X509_free(x);
            return false;
        }
    }
    return true;
}

/* Without a MAC at first: PKCS12_create would choose its digest by itself. localKeyID on both bags is its doing. */
static PKCS12 *make(EVP_PKEY *pkey, X509 *leaf, STACK_OF(X509) * chain, const char *name, const char *password,
                    cs_p12_form form) {
    bool modern = form == CS_P12_MODERN;
    int pbe = modern ? NID_aes_256_cbc : NID_pbe_WithSHA1And3_Key_TripleDES_CBC;
    int rounds = modern ? MODERN_ROUNDS : COMPAT_ROUNDS;
    PKCS12 *p12 = PKCS12_create(password, name, pkey, leaf, chain, pbe, pbe, rounds, -1, 0);
    if (!p12) return NULL;
    if (PKCS12_set_mac(p12, password, -1, NULL, SALT_LEN, rounds, modern ? EVP_sha256() : EVP_sha1()) == 1) return p12;
    PKCS12_free(p12);
    return NULL;
}

static cs_status encode(PKCS12 *take_p12, cs_buf *b, cs_err *err) {
    unsigned char *der = NULL;
    char words[128];
    int n = take_p12 ? i2d_PKCS12(take_p12, &der) : -1;
    PKCS12_free(take_p12);
    if (n <= 0) return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "making PKCS#12: %s", cs_ossl_words(words));
    (void)cs_buf_add(b, der, (size_t)n);
    OPENSSL_free(der);
    return cs_buf_ok(b, "PKCS#12", err);
}

cs_status cs_p12_make(const cs_key *key, const cs_cert *leaf, const cs_certs *chain, const char *friendly_name,
                      const cs_secret *password, cs_p12_form form, cs_buf *b, cs_err *err) {
    size_t least = form == CS_P12_MODERN ? CS_PASSPHRASE_MIN : CS_P12_PASSWORD_MIN;
    TRY(cs_key_match(key, leaf->spki, "the certificate for PKCS#12", err));
    if (password->n < least)
        return cs_fail(err, CS_REFUSED, CS_R_PASSPHRASE_TOO_SHORT, "%zu characters, the least is %zu", password->n,
                       least);
    if (password->n > CS_PASSPHRASE_MAX || memchr(password->p, 0, password->n))
        return cs_fail(err, CS_REFUSED, CS_R_PASSPHRASE_WRONG, "it is too long or holds a NUL");
    CS_SCOPED(cs_buf) text = cs_buf_secret(CS_PASSPHRASE_MAX + 1);
    (void)cs_buf_add_view(&text, cs_secret_view(password));
    const char *z = cs_buf_cstr(&text);
    STACK_OF(X509) *stack = sk_X509_new_null();
    X509 *x = x509_of(leaf);
    ERR_clear_error();
    bool ready = z && stack && x && push_chain(stack, chain, leaf);
    PKCS12 *p12 = ready ? make(cs_key_evp(key), x, stack, friendly_name, z, form) : NULL;
    X509_free(x);
    sk_X509_pop_free(stack, X509_free);
    return encode(p12, b, err);
}

cs_status cs_password_draw(const cs_rng *rng, cs_secret **ret, cs_err *err) {
    static const char alphabet[] = "23456789abcdefghjkmnpqrstuvwxyz"; /* 31: without 0 o 1 i l */
    enum { GROUPS = 6, GROUP = 4, LEN = GROUPS * GROUP + GROUPS - 1, ALPHABET = sizeof(alphabet) - 1 };
    CS_AUTO(cs_secret) s = NULL;
    TRY(cs_secret_new(LEN, &s, err));
    for (size_t i = 0; i < LEN;) {
        uint8_t octet = 0;
        if (i % (GROUP + 1) == GROUP) {
            s->p[i++] = '-';
            continue;
        }
        TRY(cs_rng_fill(rng, &octet, 1, err));
        if (octet >= 256 / ALPHABET * ALPHABET) continue; /* else some letters would be likelier */
        s->p[i++] = (uint8_t)alphabet[octet % ALPHABET];
    }
    s->n = LEN;
    *ret = CS_TAKE(s);
    return CS_OK;
}
