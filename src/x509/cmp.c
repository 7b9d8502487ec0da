#include "x509/cmp.h"

#include "x509/cert_priv.h"
#include "x509/der_write.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define OID_PBM CS_OID_LIT("\x2a\x86\x48\x86\xf6\x7d\x07\x42\x0d")
#define OID_PBMAC1 CS_OID_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0e")
#define OID_PBKDF2 CS_OID_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c")

enum { SALT_MIN = 8, SALT_OURS = 16, ROUNDS_MIN = 100, ROUNDS_OURS = 10000, COUNT_MAX = 0x7fffffff };

typedef struct alg_row {
    const char *oid;
    uint8_t oid_n;
    const char *digest;
    bool null; /* parameters NULL are written */
} alg_row;
#define ROW(oid, digest, null)                                                                                         \
    { oid, sizeof(oid) - 1, digest, null }
#define NIST_HASH "\x60\x86\x48\x01\x65\x03\x04\x02"
#define RSADSI "\x2a\x86\x48\x86\xf7\x0d\x02"
static const alg_row hashes[] = {ROW(NIST_HASH "\x01", "SHA256", false), ROW(NIST_HASH "\x02", "SHA384", false),
                                 ROW(NIST_HASH "\x03", "SHA512", false), ROW("\x2b\x0e\x03\x02\x1a", "SHA1", false)};
static const alg_row hmacs[] = {
    ROW(RSADSI "\x09", "SHA256", true), ROW(RSADSI "\x0a", "SHA384", true), ROW(RSADSI "\x0b", "SHA512", true),
    /* OpenSSL's default; HMAC does not need collision resistance */
    ROW("\x2b\x06\x01\x05\x05\x08\x01\x02", "SHA1", true), ROW(RSADSI "\x07", "SHA1", true)};

static const char *by_oid(const alg_row rows[], size_t n, cs_view oid) {
    for (size_t i = 0; i < n; i++)
        if (cs_view_eq(oid, cs_view_of(rows[i].oid, rows[i].oid_n))) return rows[i].digest;
    return NULL;
}

/* AlgorithmIdentifier without parameters, or NULL ones. */
static const char *read_plain(cs_der *d, const alg_row rows[], size_t n) {
    cs_view null;
    cs_der a = cs_der_in(d, CS_DER_SEQUENCE);
    const char *digest = by_oid(rows, n, cs_der_oid(&a));
    if (cs_der_opt(&a, CS_DER_NULL, &null) && null.n > 0) (void)cs_der_bad(&a, "a NULL that is not empty");
    cs_der_end(&a);
    return digest;
}

enum { HASHES = sizeof hashes / sizeof *hashes, HMACS = sizeof hmacs / sizeof *hmacs };

static void read_pbm(cs_der *a, cs_cmp_mac *ret, cs_view *salt, uint64_t *rounds) {
    cs_der p = cs_der_in(a, CS_DER_SEQUENCE);
    *salt = cs_der_get(&p, CS_DER_OCTET_STRING);
    ret->owf = read_plain(&p, hashes, HASHES);
    *rounds = cs_der_uint(&p, COUNT_MAX);
    ret->mac = read_plain(&p, hmacs, HMACS);
    cs_der_end(&p);
}

/* @rfc 8018#A.5 */
static void read_pbmac1(cs_der *a, cs_cmp_mac *ret, cs_view *salt, uint64_t *rounds) {
    cs_der p = cs_der_in(a, CS_DER_SEQUENCE), kdf = cs_der_in(&p, CS_DER_SEQUENCE);
    if (!cs_view_eq(cs_der_oid(&kdf), OID_PBKDF2)) (void)cs_der_bad(&kdf, "a key derivation other than PBKDF2");
    cs_der k = cs_der_in(&kdf, CS_DER_SEQUENCE);
    cs_der_end(&kdf);
    *salt = cs_der_get(&k, CS_DER_OCTET_STRING);
    *rounds = cs_der_uint(&k, COUNT_MAX);
    ret->key_n = 32;
    if (cs_der_peek(&k) == CS_DER_INTEGER) ret->key_n = (size_t)cs_der_uint(&k, CS_CMP_MAC_MAX);
    ret->owf = cs_der_more(&k) ? read_plain(&k, hmacs, HMACS) : "SHA1";
    cs_der_end(&k);
    ret->mac = read_plain(&p, hmacs, HMACS);
    cs_der_end(&p);
    ret->pbmac1 = true;
}

static cs_status judge(const cs_cmp_mac *m, cs_view salt, uint64_t rounds, cs_err *err) {
    if (m->owf == NULL || m->mac == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_ALGORITHM_UNSUPPORTED, "the MAC uses a hash that is not known here");
    if (!m->pbmac1 && strcmp(m->owf, "SHA1") == 0)
        return cs_fail(err, CS_REFUSED, CS_R_ALGORITHM_TOO_WEAK, "the MAC's one-way function is SHA-1");
    if (salt.n < SALT_MIN || rounds < ROUNDS_MIN || (m->pbmac1 && m->key_n < 16))
        return cs_fail(err, CS_REFUSED, CS_R_ALGORITHM_TOO_WEAK,
                       "the MAC: %llu rounds, salt of %zu octets; the least is %d and %d", (unsigned long long)rounds,
                       salt.n, ROUNDS_MIN, SALT_MIN);
    if (rounds > CS_CMP_ITERATIONS_MAX || salt.n > CS_CMP_SALT_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED,
                       "the MAC: %llu rounds, salt of %zu octets; the most is %d and %d", (unsigned long long)rounds,
                       salt.n, CS_CMP_ITERATIONS_MAX, CS_CMP_SALT_MAX);
    return CS_OK;
}

bool cs_cmp_mac_is(cs_view algorithm) {
    cs_der_fault fault = {.rule = NULL};
    cs_der d = cs_der_of(algorithm, &fault), a = cs_der_in(&d, CS_DER_SEQUENCE);
    cs_view oid = cs_der_oid(&a);
    return cs_view_eq(oid, OID_PBM) || cs_view_eq(oid, OID_PBMAC1);
}

cs_status cs_cmp_mac_read(cs_view algorithm, cs_cmp_mac *ret, cs_err *err) {
    cs_der_fault fault = {.rule = NULL};
    cs_der d = cs_der_of(algorithm, &fault), a = cs_der_in(&d, CS_DER_SEQUENCE);
    cs_view oid = cs_der_oid(&a), salt = {NULL, 0};
    uint64_t rounds = 0;
    *ret = (cs_cmp_mac){.pbmac1 = false};
    if (cs_view_eq(oid, OID_PBM))
        read_pbm(&a, ret, &salt, &rounds);
    else if (cs_view_eq(oid, OID_PBMAC1))
        read_pbmac1(&a, ret, &salt, &rounds);
    else
        return cs_fail(err, CS_REFUSED, CS_R_ALGORITHM_UNSUPPORTED, "not a MAC that is known here");
    cs_der_end(&a);
    if (fault.rule != NULL) return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "protectionAlg: %s", fault.rule);
    TRY(judge(ret, salt, rounds, err));
    ret->iterations = (unsigned)rounds;
    ret->salt_n = salt.n;
    memcpy(ret->salt, salt.p, salt.n);
    return CS_OK;
}

static cs_status draw_salt(cs_cmp_mac *m, const cs_rng *rng, cs_err *err) {
    m->salt_n = SALT_OURS;
    return cs_rng_fill(rng, m->salt, SALT_OURS, err);
}

cs_status cs_cmp_mac_make(const cs_rng *rng, cs_cmp_mac *ret, cs_err *err) {
    *ret = (cs_cmp_mac){.owf = "SHA256", .mac = "SHA256", .iterations = ROUNDS_OURS};
    return draw_salt(ret, rng, err);
}

cs_status cs_cmp_mac_again(const cs_cmp_mac *as, const cs_rng *rng, cs_cmp_mac *ret, cs_err *err) {
    *ret = *as;
    return draw_salt(ret, rng, err);
}

static void put_plain(cs_buf *b, const alg_row rows[], size_t n, const char *digest) {
    size_t i = 0;
    while (i + 1 < n && strcmp(rows[i].digest, digest) != 0) i++;
    cs_der_mark a = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_oid(b, cs_view_of(rows[i].oid, rows[i].oid_n));
    if (rows[i].null) cs_der_put(b, CS_DER_NULL, (cs_view){NULL, 0});
    cs_der_close(b, a);
}

static void put_pbkdf2(cs_buf *b, const cs_cmp_mac *m) {
    cs_der_mark kdf = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_oid(b, OID_PBKDF2);
    cs_der_mark k = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put(b, CS_DER_OCTET_STRING, cs_view_of(m->salt, m->salt_n));
    cs_der_put_uint(b, CS_DER_INTEGER, m->iterations);
    cs_der_put_uint(b, CS_DER_INTEGER, m->key_n);
    put_plain(b, hmacs, HMACS, m->owf);
    cs_der_close(b, k);
    cs_der_close(b, kdf);
}

bool cs_cmp_mac_put(cs_buf *b, const cs_cmp_mac *m) {
    cs_der_mark a = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_oid(b, m->pbmac1 ? OID_PBMAC1 : OID_PBM);
    cs_der_mark p = cs_der_open(b, CS_DER_SEQUENCE);
    if (m->pbmac1) {
        put_pbkdf2(b, m);
    } else {
        cs_der_put(b, CS_DER_OCTET_STRING, cs_view_of(m->salt, m->salt_n));
        put_plain(b, hashes, HASHES, m->owf);
        cs_der_put_uint(b, CS_DER_INTEGER, m->iterations);
    }
    put_plain(b, hmacs, HMACS, m->mac);
    cs_der_close(b, p);
    cs_der_close(b, a);
    return !b->failed;
}

unsigned cs_cmp_mac_work(const cs_cmp_mac *m) {
    return m->pbmac1 ? 4 * m->iterations : m->iterations; /* HMAC with a key of two blocks' state: four at most */
}

/* owf(owf(...owf(secret || salt))) */
static bool derive_pbm(const cs_cmp_mac *m, cs_view secret, uint8_t key[EVP_MAX_MD_SIZE], size_t *ret_n) {
    const EVP_MD *md = EVP_get_digestbyname(m->owf);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned n = 0;
    bool ok = md != NULL && ctx != NULL && EVP_DigestInit_ex(ctx, md, NULL) == 1 &&
              EVP_DigestUpdate(ctx, secret.p, secret.n) == 1 && EVP_DigestUpdate(ctx, m->salt, m->salt_n) == 1 &&
              EVP_DigestFinal_ex(ctx, key, &n) == 1;
    for (unsigned i = 1; ok && i < m->iterations; i++)
        ok = EVP_DigestInit_ex(ctx, NULL, NULL) == 1 && EVP_DigestUpdate(ctx, key, n) == 1 &&
             EVP_DigestFinal_ex(ctx, key, &n) == 1;
    EVP_MD_CTX_free(ctx);
    *ret_n = n;
    return ok;
}

static bool derive(const cs_cmp_mac *m, cs_view secret, uint8_t key[EVP_MAX_MD_SIZE], size_t *ret_n) {
    if (!m->pbmac1) return derive_pbm(m, secret, key, ret_n);
    *ret_n = m->key_n;
    return PKCS5_PBKDF2_HMAC((const char *)secret.p, (int)secret.n, m->salt, (int)m->salt_n, (int)m->iterations,
                             EVP_get_digestbyname(m->owf), (int)m->key_n, key) == 1;
}

cs_status cs_cmp_mac_compute(const cs_cmp_mac *m, cs_view secret, cs_view bytes, uint8_t ret[CS_CMP_MAC_MAX],
                             size_t *ret_n, cs_err *err) {
    uint8_t key[EVP_MAX_MD_SIZE];
    size_t key_n = 0;
    unsigned n = 0;
    bool ok = secret.n <= 4096 && derive(m, secret, key, &key_n) &&
              HMAC(EVP_get_digestbyname(m->mac), key, (int)key_n, bytes.p, bytes.n, ret, &n) != NULL;
    cs_wipe(key, sizeof key);
    *ret_n = n;
    return ok ? CS_OK : cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "a MAC could not be computed");
}

/* ---- certificates ---- */

cs_status cs_cmp_cert_hash(const cs_cert *cert, cs_view algorithm, uint8_t ret[CS_CMP_HASH_MAX], size_t *ret_n,
                           cs_err *err) {
    const cs_cert_more *more = cs_cert_more_of(cert);
    const char *name = more->alg.digest;
    unsigned n = 0;
    if (algorithm.n > 0) {
        cs_der_fault fault = {.rule = NULL};
        cs_der d = cs_der_of(algorithm, &fault);
        name = read_plain(&d, hashes, HASHES - 1);
        if (fault.rule != NULL) name = NULL;
    } else if (name == NULL && more->alg.key == CS_KEY_ED25519) {
        name = "SHA512"; /* @rfc 9481#3.3 */
    }
    if (name == NULL || EVP_Digest(cert->der.p, cert->der.n, ret, &n, EVP_get_digestbyname(name), NULL) != 1)
        return cs_fail(err, CS_REFUSED, CS_R_ALGORITHM_UNSUPPORTED, "no hash is known by which it could be confirmed");
    *ret_n = n;
    return CS_OK;
}

cs_status cs_cmp_signature_check(const cs_cert *signer, cs_view algorithm, cs_view bytes, cs_view signature,
                                 cs_err *err) {
    cs_sigalg alg = {.scheme = CS_SIG_UNKNOWN};
    char text[CS_DETAIL_MAX];
    cs_sigalg_read(algorithm, &alg);
    if (alg.flaw.reason == CS_R_ALGORITHM_TOO_WEAK)
        return cs_fail(err, CS_REFUSED, CS_R_ALGORITHM_TOO_WEAK, "the protection's %s", cs_flaw_text(&alg.flaw, text));
    if (alg.flaw.reason != CS_R_NONE || alg.scheme == CS_SIG_UNKNOWN)
        return cs_fail(err, CS_REFUSED, CS_R_ALGORITHM_UNSUPPORTED, "the protection's signature algorithm");
    if (cs_sig_ok(signer, &alg, bytes, signature)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_SIGNATURE_INVALID, "the message's protection");
}
