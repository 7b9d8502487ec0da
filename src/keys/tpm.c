#include "keys/tpm.h"

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "keys/keys_priv.h"

#define PREFIX "tpm2:"
#define USUAL_TCTI "device:/dev/tpmrm0"
#define IN_TPM "?provider=tpm2"

typedef struct tpm {
    pthread_mutex_t lock;
    cs_tpm_uri uri;
    uint8_t *pem; /* NULL: a handle */
    size_t pem_n;
    cs_secret *password; /* for the next time that it is opened; NULL: none */
    OSSL_LIB_CTX *ctx;   /* of its own: nobody else's keys may end up in the TPM */
    OSSL_PROVIDER *tpm2, *usual;
    EVP_PKEY *pkey;
} tpm;

/* ---- URIs ---- */

bool cs_tpm_uri_is(cs_view text) {
    return cs_view_starts(text, cs_view_str(PREFIX));
}

static bool plain(const char *s, size_t n) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/:=,._-";
    return n > 0 && strspn(s, allowed) >= n;
}

static bool take(const char *s, size_t n, char *out, size_t size) {
    if (out[0] != '\0' || n >= size || !plain(s, n)) return false;
    memcpy(out, s, n);
    out[n] = '\0';
    return true;
}

static bool take_attribute(const char *s, size_t n, cs_tpm_uri *u) {
    const struct {
        const char *name;
        char *to;
        size_t size;
    } known[] = {{"handle=", u->handle, sizeof u->handle},
                 {"file=", u->file, sizeof u->file},
                 {"tcti=", u->tcti, sizeof u->tcti},
                 {"pin-source=", u->pin_source, sizeof u->pin_source}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t k = strlen(known[i].name);
        if (n > k && strncmp(s, known[i].name, k) == 0) return take(s + k, n - k, known[i].to, known[i].size);
    }
    return false;
}

static bool is_handle(const char *s) {
    size_t n = strlen(s);
    return n == 10 && strncmp(s, "0x81", 4) == 0 && strspn(s + 2, "0123456789abcdefABCDEF") == 8;
}

cs_status cs_tpm_uri_parse(const char *text, cs_tpm_uri *ret, cs_err *err) {
    const char *at = text + sizeof PREFIX - 1;
    *ret = (cs_tpm_uri){.handle = ""};
    if (!cs_tpm_uri_is(cs_view_str(text))) return cs_fail(err, CS_REFUSED, CS_R_URI_INVALID, "no tpm2: URI");
    for (bool more = true; more;) {
        size_t n = strcspn(at, "?&");
        if (!take_attribute(at, n, ret))
            return cs_fail(err, CS_REFUSED, CS_R_URI_INVALID,
                           "tpm2: \"%.*s\": handle=, file=, tcti= or pin-source= is expected, each once",
                           (int)(n < 60 ? n : 60), at);
        more = at[n] != '\0';
        at += n + more;
    }
    if (ret->tcti[0] == '\0') (void)snprintf(ret->tcti, sizeof ret->tcti, "%s", USUAL_TCTI);
    if ((ret->handle[0] == '\0') == (ret->file[0] == '\0'))
        return cs_fail(err, CS_REFUSED, CS_R_URI_INVALID, "tpm2: either handle= or file= is expected");
    if (ret->handle[0] != '\0' && !is_handle(ret->handle))
        return cs_fail(err, CS_REFUSED, CS_R_URI_INVALID, "tpm2: handle %s: a persistent one is expected, 0x81......",
                       ret->handle);
    if (ret->file[0] != '\0' && ret->file[0] != '/')
        return cs_fail(err, CS_REFUSED, CS_R_URI_INVALID, "tpm2: file is not absolute");
    return CS_OK;
}

void cs_tpm_reach(const cs_tpm_uri *uri, char path[256], bool *ret_network) {
    static const char device[] = "device:", socket[] = "path=";
    const char *at = strstr(uri->tcti, socket);
    path[0] = '\0';
    *ret_network = false;
    if (strncmp(uri->tcti, device, sizeof device - 1) == 0)
        (void)snprintf(path, 256, "%s", uri->tcti + sizeof device - 1);
    else if (at != NULL)
        (void)snprintf(path, 256, "%s", at + sizeof socket - 1);
    else
        *ret_network = true;
}

/* ---- the provider ---- */

static void close_tpm(tpm *t) {
    EVP_PKEY_free(t->pkey);
    t->pkey = NULL;
    if (t->tpm2 != NULL) (void)OSSL_PROVIDER_unload(t->tpm2);
    if (t->usual != NULL) (void)OSSL_PROVIDER_unload(t->usual);
    t->tpm2 = t->usual = NULL;
    OSSL_LIB_CTX_free(t->ctx);
    t->ctx = NULL;
}

static void tpm_free(void *self) {
    tpm *t = self;
    close_tpm(t);
    OPENSSL_free(t->pem);
    cs_secret_free(t->password);
    (void)pthread_mutex_destroy(&t->lock);
    free(t);
}

/* A module that cannot be loaded is another matter than a TPM that does not answer. */
static cs_status no_provider(const tpm *t, cs_err *err) {
    bool module = false;
    char words[128];
    for (unsigned long code; (code = ERR_peek_error()) != 0; (void)ERR_get_error()) {
        if (ERR_GET_LIB(code) == ERR_LIB_DSO) module = true;
        if (ERR_peek_last_error() == code) break;
    }
    (void)cs_ossl_words(words);
    if (module)
        return cs_fail(err, CS_FAILED, CS_R_KEY_UNAVAILABLE,
                       "OpenSSL's provider tpm2 is not installed (package tpm2-openssl)");
    return cs_fail(err, CS_FAILED, CS_R_KEY_UNAVAILABLE, "no TPM answers at %s", t->uri.tcti);
}

/* The provider reads where its TPM is from the environment, while it is loaded. */
static cs_status open_provider(tpm *t, cs_err *err) {
    t->ctx = OSSL_LIB_CTX_new();
    if (t->ctx == NULL) return CS_NOMEM_ERR(err);
    ERR_clear_error();
    t->usual = OSSL_PROVIDER_load(t->ctx, "default");
    (void)setenv("TSS2_LOG", "all+NONE", 0); /* what went wrong is said by us */
    (void)setenv("TPM2OPENSSL_TCTI", t->uri.tcti, 1);
    t->tpm2 = OSSL_PROVIDER_load(t->ctx, "tpm2");
    (void)unsetenv("TPM2OPENSSL_TCTI");
    return t->tpm2 != NULL && t->usual != NULL ? CS_OK : no_provider(t, err);
}

static int give_password(char *out, int size, int writing, void *arg) {
    const cs_secret *password = arg;
    if (password == NULL || password->n > (size_t)size) return -1;
    memcpy(out, password->p, password->n);
    return (int)password->n;
}

static EVP_PKEY *load_handle(tpm *t) {
    char uri[40];
    EVP_PKEY *found = NULL;
    UI_METHOD *ui = UI_UTIL_wrap_read_pem_callback(give_password, 0);
    (void)snprintf(uri, sizeof uri, "handle:%s%s", t->uri.handle, t->password != NULL ? "?pass" : "");
    OSSL_STORE_CTX *s = OSSL_STORE_open_ex(uri, t->ctx, IN_TPM, ui, t->password, NULL, NULL, NULL);
    while (s != NULL && found == NULL && !OSSL_STORE_eof(s)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(s);
        if (info == NULL) break;
        if (OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY) found = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    (void)OSSL_STORE_close(s);
    UI_destroy_method(ui);
    return found;
}

static EVP_PKEY *load_file(tpm *t) {
    EVP_PKEY *found = NULL;
    const unsigned char *at = t->pem;
    size_t n = t->pem_n;
    OSSL_DECODER_CTX *d = OSSL_DECODER_CTX_new_for_pkey(&found, "PEM", NULL, NULL, EVP_PKEY_KEYPAIR, t->ctx, IN_TPM);
    if (d != NULL && t->password != NULL) (void)OSSL_DECODER_CTX_set_passphrase(d, t->password->p, t->password->n);
    if (d == NULL || OSSL_DECODER_from_data(d, &at, &n) != 1) found = NULL;
    OSSL_DECODER_CTX_free(d);
    return found;
}

static cs_status open_key(tpm *t, cs_err *err) {
    char words[128];
    TRY(open_provider(t, err));
    t->pkey = t->uri.handle[0] != '\0' ? load_handle(t) : load_file(t);
    if (t->pkey != NULL) {
        ERR_clear_error();
        return CS_OK;
    }
    return cs_fail(err, CS_FAILED, CS_R_KEY_UNAVAILABLE, "the TPM at %s does not open %s: %s", t->uri.tcti,
                   t->uri.handle[0] != '\0' ? t->uri.handle : t->uri.file, cs_ossl_words(words));
}

/* ---- signing ---- */

/* The TPM signs a hash that was made here: it takes long for a list of 40 MB. */
static bool sign_once(tpm *t, const cs_key_alg *alg, cs_view hash, uint8_t *out, size_t *n) {
    if (t->pkey == NULL) return false;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(t->ctx, t->pkey, IN_TPM);
    EVP_MD *md = EVP_MD_fetch(t->ctx, alg->digest, "provider=default");
    bool good = c != NULL && md != NULL && EVP_PKEY_sign_init(c) == 1;
    if (good && alg->curve == 0) good = EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) == 1;
    good = good && EVP_PKEY_CTX_set_signature_md(c, md) == 1 && EVP_PKEY_sign(c, out, n, hash.p, hash.n) == 1;
    EVP_MD_free(md);
    EVP_PKEY_CTX_free(c);
    return good;
}

/* A TPM that was restarted has forgotten the key: all is opened anew, once. */
static cs_status sign_healing(tpm *t, const cs_key_alg *alg, cs_view hash, uint8_t *out, size_t *n, cs_err *err) {
    const size_t room = *n;
    char words[128];
    if (sign_once(t, alg, hash, out, n)) return CS_OK;
    close_tpm(t);
    ERR_clear_error();
    TRY(open_key(t, err));
    *n = room;
    if (sign_once(t, alg, hash, out, n)) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_KEY_UNAVAILABLE, "the TPM at %s does not sign: %s", t->uri.tcti,
                   cs_ossl_words(words));
}

static cs_status tpm_sign_hash(void *self, const cs_key_alg *alg, cs_view hash, cs_buf *signature, cs_err *err) {
    tpm *t = self;
    uint8_t out[1024];
    size_t n = sizeof out;
    if (alg->digest == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "a TPM does not sign with %s", alg->text);
    (void)pthread_mutex_lock(&t->lock);
    cs_status s = sign_healing(t, alg, hash, out, &n, err);
    (void)pthread_mutex_unlock(&t->lock);
    TRY(s);
    return cs_buf_add(signature, out, n) ? CS_OK : cs_buf_ok(signature, "signature", err);
}

static cs_status tpm_sign(void *self, const cs_key_alg *alg, cs_view tbs, cs_buf *signature, cs_err *err) {
    uint8_t hash[EVP_MAX_MD_SIZE];
    size_t n = 0;
    if (alg->digest == NULL) return tpm_sign_hash(self, alg, tbs, signature, err);
    if (EVP_Q_digest(NULL, alg->digest, NULL, tbs.p, tbs.n, hash, &n) != 1) return CS_NOMEM_ERR(err);
    return tpm_sign_hash(self, alg, cs_view_of(hash, n), signature, err);
}

/* ---- opened ---- */

static cs_status fill(tpm *t, cs_view pem, const cs_secret *password, cs_err *err) {
    if (password != NULL) {
        TRY(cs_secret_new(password->n, &t->password, err));
        memcpy(t->password->p, password->p, password->n);
    }
    if (t->uri.file[0] == '\0') return CS_OK;
    if (memmem(pem.p, pem.n, "TSS2 PRIVATE KEY", 16) == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s: no TSS2 PRIVATE KEY", t->uri.file);
    t->pem = OPENSSL_memdup(pem.p, pem.n);
    t->pem_n = pem.n;
    return t->pem != NULL ? CS_OK : CS_NOMEM_ERR(err);
}

cs_status cs_key_open_tpm(const cs_tpm_uri *uri, cs_view pem, const cs_secret *password, cs_key **ret, cs_err *err) {
    static const cs_key_far far = {.sign = tpm_sign, .sign_hash = tpm_sign_hash, .free = tpm_free};
    uint8_t *spki = NULL;
    char words[128];
    tpm *t = calloc(1, sizeof *t);
    if (t == NULL) return CS_NOMEM_ERR(err);
    (void)pthread_mutex_init(&t->lock, NULL);
    t->uri = *uri;
    cs_status s = fill(t, pem, password, err);
    if (s == CS_OK) s = open_key(t, err);
    int n = s == CS_OK ? i2d_PUBKEY(t->pkey, &spki) : 0;
    if (s == CS_OK && n <= 0)
        s = cs_fail(err, CS_FAILED, CS_R_KEY_UNAVAILABLE, "the TPM's public key: %s", cs_ossl_words(words));
    if (s == CS_OK)
        s = cs_key_of_far(&far, t, cs_view_of(spki, (size_t)n), ret, err);
    else
        tpm_free(t);
    OPENSSL_free(spki);
    return s;
}
