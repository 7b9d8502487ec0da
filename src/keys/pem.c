/* Private keys as PEM: read with an exact reason for what is wrong, and written as PKCS#8. */
#include "keys/keys_priv.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

enum { PBKDF2_ROUNDS = 600000, SALT_LEN = 16 };

/* ---- read ---- */

#define LABEL_BEGIN "-----BEGIN "
#define LABEL_END "-----"

/* The next label in *left, which is moved behind it; *ret_block begins at its line. */
static bool next_label(cs_view *left, cs_view *ret_label, cs_view *ret_block) {
    const uint8_t *at = memmem(left->p, left->n, LABEL_BEGIN, sizeof(LABEL_BEGIN) - 1);
    if (!at) return false;
    size_t after = left->n - (size_t)(at - left->p);
    cs_view rest = {at + sizeof(LABEL_BEGIN) - 1, after - (sizeof(LABEL_BEGIN) - 1)};
    const uint8_t *end = memmem(rest.p, rest.n < 80 ? rest.n : 80, LABEL_END, sizeof(LABEL_END) - 1);
    *ret_block = (cs_view){at, after};
    *ret_label = (cs_view){rest.p, end ? (size_t)(end - rest.p) : 0};
    *left = rest;
    return true;
}

static bool ends_with(cs_view v, const char *end) {
    size_t n = strlen(end);
    return v.n >= n && memcmp(v.p + v.n - n, end, n) == 0;
}

static cs_status wrong_type(cs_view label, cs_view text, const char *what, cs_err *err) {
    static const struct {
        const char *end, *is;
    } kinds[] = {
        {"CERTIFICATE REQUEST", "a certificate request"},
        {"CERTIFICATE", "a certificate"},
        {"PUBLIC KEY", "a public key"},
        {"X509 CRL", "a CRL"},
        {"PKCS7", "a PKCS#7 bundle"},
        {"PARAMETERS", "key parameters only"},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (ends_with(label, kinds[i].end))
            return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s: holds %s, not a private key", what, kinds[i].is);
    }
    if (label.n > 0)
        return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s: holds \"%.*s\", not a private key", what,
                       (int)label.n, (const char *)label.p);
    if (text.n > 2 && text.p[0] == 0x30 && (text.p[1] & 0x80 || text.p[1] > 0x10))
        return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE,
                       "%s: holds DER, not PEM (a key: openssl pkey -inform DER -in FILE makes PEM of it)", what);
    return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s: holds no PEM block", what);
}

static cs_status find_key(cs_view text, const char *what, cs_view *ret_label, cs_view *ret_block, cs_err *err) {
    cs_view left = text, label, block, first = {NULL, 0};
    bool found = false;
    if (cs_view_trim(text).n == 0) return cs_fail(err, CS_REFUSED, CS_R_FILE_EMPTY, "%s", what);
    while (next_label(&left, &label, &block)) {
        if (!first.p) first = label;
        if (!ends_with(label, "PRIVATE KEY")) continue;
        if (found) return cs_fail(err, CS_REFUSED, CS_R_KEY_MALFORMED, "%s: holds more than one private key", what);
        found = true;
        *ret_label = label;
        *ret_block = block;
    }
    return found ? CS_OK : wrong_type(first, text, what, err);
}

typedef struct asked {
    const cs_secret *passphrase;
    bool was;
} asked;

static int give_passphrase(char *out, int size, int writing, void *arg) {
    asked *a = arg;
    a->was = true;
    if (!a->passphrase || a->passphrase->n > (size_t)size) return -1;
    memcpy(out, a->passphrase->p, a->passphrase->n);
    return (int)a->passphrase->n;
}

/* Why could it not be opened? An unknown method is not the passphrase's fault. Empties the queue. */
static cs_status not_opened(const char *what, cs_err *err) {
    bool unsupported = false;
    for (unsigned long code; (code = ERR_get_error()) != 0;) {
        int r = ERR_GET_REASON(code);
        if (r == ERR_R_UNSUPPORTED) unsupported = true;
        if (ERR_GET_LIB(code) != ERR_LIB_EVP) continue;
        if (r == EVP_R_UNKNOWN_PBE_ALGORITHM || r == EVP_R_UNSUPPORTED_CIPHER || r == EVP_R_UNSUPPORTED_PRF ||
            r == EVP_R_UNSUPPORTED_KEY_DERIVATION_FUNCTION || r == EVP_R_UNSUPPORTED_ALGORITHM)
            unsupported = true;
    }
    if (unsupported)
        return cs_fail(err, CS_REFUSED, CS_R_KEY_MALFORMED, "%s: encrypted in a way that is not supported", what);
    return cs_fail(err, CS_REFUSED, CS_R_PASSPHRASE_WRONG, "%s", what);
}

static cs_status read_encrypted(BIO *in, const cs_secret *passphrase, const char *what, EVP_PKEY **ret, cs_err *err) {
    X509_SIG *locked = PEM_read_bio_PKCS8(in, NULL, NULL, NULL);
    char words[128];
    if (!locked)
        return cs_fail(err, CS_REFUSED, CS_R_KEY_MALFORMED, "%s: damaged encrypted private key: %s", what,
                       cs_ossl_words(words));
    if (!passphrase) {
        X509_SIG_free(locked);
        return cs_fail(err, CS_REFUSED, CS_R_PASSPHRASE_NEEDED, "%s", what);
    }
    PKCS8_PRIV_KEY_INFO *plain = PKCS8_decrypt(locked, (const char *)passphrase->p, (int)passphrase->n);
    X509_SIG_free(locked);
    if (!plain) return not_opened(what, err);
    *ret = EVP_PKCS82PKEY(plain);
    PKCS8_PRIV_KEY_INFO_free(plain); /* clears the key's octets */
    return CS_OK;
}

static cs_status read_plain(BIO *in, const cs_secret *passphrase, const char *what, EVP_PKEY **ret, cs_err *err) {
    asked a = {passphrase, false};
    *ret = PEM_read_bio_PrivateKey(in, NULL, give_passphrase, &a);
    if (*ret || !a.was) return CS_OK;
    if (!passphrase) {
        ERR_clear_error();
        return cs_fail(err, CS_REFUSED, CS_R_PASSPHRASE_NEEDED, "%s", what);
    }
    return not_opened(what, err);
}

cs_status cs_key_read_pem(cs_view text, const cs_secret *passphrase, const char *what, cs_key **ret, cs_err *err) {
    cs_view label = {NULL, 0}, block = {NULL, 0};
    EVP_PKEY *pkey = NULL;
    char words[128];
    if (text.n > CS_KEY_FILE_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_FILE_TOO_LARGE, "%s: a key file of over %d bytes", what, CS_KEY_FILE_MAX);
    TRY(find_key(text, what, &label, &block, err));
    ERR_clear_error();
    BIO *in = BIO_new_mem_buf(block.p, (int)block.n);
    if (!in) return CS_NOMEM_ERR(err);
    cs_status status = cs_view_eq_str(label, "ENCRYPTED PRIVATE KEY") ? read_encrypted(in, passphrase, what, &pkey, err)
                                                                      : read_plain(in, passphrase, what, &pkey, err);
    BIO_free(in);
    TRY(status);
    if (!pkey)
        return cs_fail(err, CS_REFUSED, CS_R_KEY_MALFORMED, "%s: damaged \"%.*s\": %s", what, (int)label.n,
                       (const char *)label.p, cs_ossl_words(words));
    return cs_key_of_evp(pkey, what, ret, err);
}

/* ---- written ---- */

static cs_status secret_only(const cs_buf *b, cs_err *err) {
    if (b->secret) return CS_OK;
    return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "a private key goes into a secret buffer only");
}

/* What was written to `out` (NULL or a failed write: an error), appended to b. */
static cs_status take_bio(BIO *take_out, bool written, cs_buf *b, cs_err *err) {
    char *p = NULL, words[128];
    long n = take_out ? BIO_get_mem_data(take_out, &p) : 0;
    bool good = take_out && written && n > 0;
    if (good) (void)cs_buf_add(b, p, (size_t)n);
    BIO_free(take_out);
    if (!good) return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "writing a key: %s", cs_ossl_words(words));
    return cs_buf_ok(b, "private key", err);
}

cs_status cs_key_write_pem(const cs_key *k, cs_buf *b, cs_err *err) {
    TRY(secret_only(b, err));
    BIO *out = BIO_new(BIO_s_secmem());
    bool written = out && PEM_write_bio_PKCS8PrivateKey(out, cs_key_evp(k), NULL, NULL, 0, NULL, NULL) == 1;
    return take_bio(out, written, b, err);
}

cs_status cs_key_write_der(const cs_key *k, cs_buf *b, cs_err *err) {
    TRY(secret_only(b, err));
    BIO *out = BIO_new(BIO_s_secmem());
    bool written = out && i2d_PKCS8PrivateKeyInfo_bio(out, cs_key_evp(k)) == 1;
    return take_bio(out, written, b, err);
}

cs_status cs_key_write_pem_encrypted(const cs_key *k, const cs_secret *passphrase, cs_buf *b, cs_err *err) {
    if (passphrase->n < CS_PASSPHRASE_MIN)
        return cs_fail(err, CS_REFUSED, CS_R_PASSPHRASE_TOO_SHORT, "%zu characters, the least is %d", passphrase->n,
                       CS_PASSPHRASE_MIN);
    if (passphrase->n > CS_PASSPHRASE_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a passphrase of over %d bytes", CS_PASSPHRASE_MAX);
    PKCS8_PRIV_KEY_INFO *plain = EVP_PKEY2PKCS8(cs_key_evp(k));
    X509_ALGOR *how = PKCS5_pbe2_set_iv(EVP_aes_256_cbc(), PBKDF2_ROUNDS, NULL, SALT_LEN, NULL, NID_hmacWithSHA256);
    X509_SIG *locked =
        plain && how ? PKCS8_set0_pbe((const char *)passphrase->p, (int)passphrase->n, plain, how) : NULL;
    if (!locked) X509_ALGOR_free(how); /* else it belongs to locked */
    PKCS8_PRIV_KEY_INFO_free(plain);
    BIO *out = locked ? BIO_new(BIO_s_mem()) : NULL;
    bool written = out && PEM_write_bio_PKCS8(out, locked) == 1;
    X509_SIG_free(locked);
    return take_bio(out, written, b, err);
}
