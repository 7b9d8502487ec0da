/* Which key, which signature algorithm: read from their AlgorithmIdentifiers without OpenSSL, so that what is weak or
 * odd never reaches it. @rfc 3279 @rfc 4055 @rfc 5480 @rfc 5758 @rfc 8410 @rfc 9881 */
#include "x509/cert_priv.h"

typedef struct sig_row {
    const char *oid;
    uint8_t oid_n;
    cs_sig_scheme scheme;
    cs_key_type key;
    const char *digest;
    bool weak;
} sig_row;

#define ROW(oid, scheme, key, digest, weak)                                                                            \
    { oid, sizeof(oid) - 1, scheme, key, digest, weak }
#define PKCS1 "\x2a\x86\x48\x86\xf7\x0d\x01\x01"
#define ECDSA "\x2a\x86\x48\xce\x3d\x04"
#define NIST_SIGS "\x60\x86\x48\x01\x65\x03\x04\x03"
static const sig_row sig_rows[] = {
    ROW(PKCS1 "\x0b", CS_SIG_PKCS1, CS_KEY_RSA, "SHA256", false),
    ROW(PKCS1 "\x0c", CS_SIG_PKCS1, CS_KEY_RSA, "SHA384", false),
    ROW(PKCS1 "\x0d", CS_SIG_PKCS1, CS_KEY_RSA, "SHA512", false),
    ROW(PKCS1 "\x0a", CS_SIG_PSS, CS_KEY_RSA, NULL, false),
    ROW(ECDSA "\x03\x02", CS_SIG_ECDSA, CS_KEY_EC, "SHA256", false),
    ROW(ECDSA "\x03\x03", CS_SIG_ECDSA, CS_KEY_EC, "SHA384", false),
    ROW(ECDSA "\x03\x04", CS_SIG_ECDSA, CS_KEY_EC, "SHA512", false),
    ROW("\x2b\x65\x70", CS_SIG_PURE, CS_KEY_ED25519, NULL, false),
    ROW("\x2b\x65\x71", CS_SIG_PURE, CS_KEY_ED448, NULL, false),
    ROW(NIST_SIGS "\x11", CS_SIG_PURE, CS_KEY_ML_DSA, NULL, false),
    ROW(NIST_SIGS "\x12", CS_SIG_PURE, CS_KEY_ML_DSA, NULL, false),
    ROW(NIST_SIGS "\x13", CS_SIG_PURE, CS_KEY_ML_DSA, NULL, false),
    ROW(PKCS1 "\x02", CS_SIG_PKCS1, CS_KEY_RSA, "MD2", true),
    ROW(PKCS1 "\x04", CS_SIG_PKCS1, CS_KEY_RSA, "MD5", true),
    ROW(PKCS1 "\x05", CS_SIG_PKCS1, CS_KEY_RSA, "SHA1", true),
    ROW(PKCS1 "\x0e", CS_SIG_PKCS1, CS_KEY_RSA, "SHA224", true),
    ROW(ECDSA "\x01", CS_SIG_ECDSA, CS_KEY_EC, "SHA1", true),
    ROW(ECDSA "\x03\x01", CS_SIG_ECDSA, CS_KEY_EC, "SHA224", true),
    ROW("\x2a\x86\x48\xce\x38\x04\x03", CS_SIG_UNKNOWN, CS_KEY_OTHER, "SHA1", true), /* DSA */
};

/* A digest AlgorithmIdentifier of SHA-2: its name, or NULL. @rfc 4055#2.1: parameters absent or NULL. */
static const char *read_digest(cs_der *d) {
    static const char *const names[] = {"SHA256", "SHA384", "SHA512"};
    cs_view null;
    cs_der a = cs_der_in(d, CS_DER_SEQUENCE);
    cs_view oid = cs_der_oid(&a);
    if (cs_der_opt(&a, CS_DER_NULL, &null) && null.n) cs_der_bad(&a, "a NULL that is not empty");
    cs_der_end(&a);
    if (oid.n != 9 || memcmp(oid.p, "\x60\x86\x48\x01\x65\x03\x04\x02", 8) != 0) return NULL;
    return oid.p[8] >= 1 && oid.p[8] <= 3 ? names[oid.p[8] - 1] : NULL;
}

/* @rfc 4055#3.1: hash, MGF1 with the same hash, salt of the hash's length at least... any, trailer 1. */
static void read_pss(cs_der *d, cs_sigalg *alg) {
    cs_der p = cs_der_in(d, CS_DER_SEQUENCE), x;
    const char *mgf = NULL;
    if (cs_der_in_opt(&p, CS_DER_CTX_CONS(0), &x)) alg->digest = read_digest(&x), cs_der_end(&x);
    if (cs_der_in_opt(&p, CS_DER_CTX_CONS(1), &x)) {
        cs_der m = cs_der_in(&x, CS_DER_SEQUENCE);
        cs_view oid = cs_der_oid(&m);
        if (cs_view_eq(oid, CS_OID_LIT(PKCS1 "\x08"))) mgf = read_digest(&m);
        cs_der_end(&m);
        cs_der_end(&x);
    }
    alg->salt = 20;
    if (cs_der_in_opt(&p, CS_DER_CTX_CONS(2), &x)) alg->salt = (int)cs_der_uint(&x, 512), cs_der_end(&x);
    if (cs_der_in_opt(&p, CS_DER_CTX_CONS(3), &x)) {
        if (cs_der_uint(&x, 255) != 1) cs_der_bad(&x, "a PSS trailer other than 1");
        cs_der_end(&x);
    }
    cs_der_end(&p);
    if (!cs_der_ok(d)) return;
    if (!alg->digest)
        cs_flaw_note(&alg->flaw, CS_R_ALGORITHM_TOO_WEAK, "signatureAlgorithm",
                     "RSASSA-PSS with another hash than SHA-2");
    else if (!mgf || strcmp(mgf, alg->digest) != 0)
        cs_flaw_note(&alg->flaw, CS_R_ALGORITHM_UNSUPPORTED, "signatureAlgorithm",
                     "RSASSA-PSS whose mask generation uses another hash");
}

/* Parameters: NULL or absent for RSA (@rfc 4055#5), absent for all others (@rfc 5758#3.2, @rfc 8410#3). */
static void read_parameters(cs_der *a, cs_sigalg *alg) {
    cs_view null;
    if (alg->scheme == CS_SIG_PSS) {
        read_pss(a, alg);
    } else if (alg->scheme == CS_SIG_PKCS1) {
        if (cs_der_opt(a, CS_DER_NULL, &null) && null.n) cs_der_bad(a, "a NULL that is not empty");
    }
    cs_der_end(a);
}

void cs_sigalg_read(cs_view algorithm, cs_sigalg *alg) {
    cs_der_fault fault = {.field = "signatureAlgorithm"};
    cs_der d = cs_der_of(algorithm, &fault);
    cs_der a = cs_der_in(&d, CS_DER_SEQUENCE);
    alg->oid = cs_der_oid(&a);
    for (size_t i = 0; i < sizeof sig_rows / sizeof sig_rows[0] && !fault.rule; i++) {
        const sig_row *r = &sig_rows[i];
        if (!cs_view_eq(alg->oid, cs_view_of(r->oid, r->oid_n))) continue;
        alg->scheme = r->scheme;
        alg->key = r->key;
        alg->digest = r->digest;
        if (r->weak)
            cs_flaw_note(&alg->flaw, CS_R_ALGORITHM_TOO_WEAK, "signatureAlgorithm", r->digest);
        else
            read_parameters(&a, alg);
        break;
    }
    if (fault.rule) {
        alg->flaw = (cs_flaw){CS_R_CERTIFICATE_MALFORMED, "signatureAlgorithm", fault.rule, {NULL, 0}};
        alg->scheme = CS_SIG_UNKNOWN;
    } else if (alg->scheme == CS_SIG_UNKNOWN && alg->flaw.reason == CS_R_NONE) {
        alg->flaw = (cs_flaw){CS_R_ALGORITHM_UNSUPPORTED, "signatureAlgorithm", "is not known here", alg->oid};
    }
}

typedef struct curve_row {
    const char *oid;
    uint8_t oid_n;
    int bits, cost; /* cost: measured with OpenSSL 3.0, which has fast code for P-256 and P-521 alone */
} curve_row;
#define CURVE(oid, bits, cost)                                                                                         \
    { oid, sizeof(oid) - 1, bits, cost }
#define BRAINPOOL "\x2b\x24\x03\x03\x02\x08\x01\x01"
static const curve_row curves[] = {
    CURVE("\x2a\x86\x48\xce\x3d\x03\x01\x07", 256, 1), /* P-256 */
    CURVE("\x2b\x81\x04\x00\x22", 384, 8),             /* P-384 */
    CURVE("\x2b\x81\x04\x00\x23", 521, 6),             /* P-521 */
    CURVE(BRAINPOOL "\x07", 256, 4),
    CURVE(BRAINPOOL "\x0b", 384, 10),
    CURVE(BRAINPOOL "\x0d", 512, 10),
};

static void read_ec(cs_der *a, cs_view point, cs_cert_more *m) {
    m->key_type = CS_KEY_EC;
    if (cs_der_peek(a) != CS_DER_OID) {
        cs_flaw_note(&m->flaw_key, CS_R_KEY_UNSUPPORTED, "subjectPublicKeyInfo",
                     "the curve is not a named one"); /* @rfc 5480#2.1.1 */
        a->left = 0;
        return;
    }
    cs_view oid = cs_der_oid(a);
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        if (!cs_view_eq(oid, cs_view_of(curves[i].oid, curves[i].oid_n))) continue;
        m->key_bits = curves[i].bits;
        m->key_cost = curves[i].cost;
    }
    if (!m->key_bits) {
        m->flaw_key = (cs_flaw){CS_R_KEY_UNSUPPORTED, "subjectPublicKeyInfo", "the curve is not accepted", oid};
        return;
    }
    size_t octets = ((size_t)m->key_bits + 7) / 8;
    bool whole = point.n == 1 + 2 * octets && point.p[0] == 4;
    bool half = point.n == 1 + octets && (point.p[0] == 2 || point.p[0] == 3);
    if (!whole && !half)
        cs_flaw_note(&m->flaw_key, CS_R_KEY_UNSUPPORTED, "subjectPublicKeyInfo", "no point of its curve");
}

/* Modulus and exponent. @rfc 3279#2.3.1; bounds: base/limits.h; exponent odd, 3 < e < 2^33. */
static void read_rsa(cs_view key, cs_cert_more *m, cs_der_fault *fault) {
    cs_der d = cs_der_of(key, fault);
    cs_der s = cs_der_in(&d, CS_DER_SEQUENCE);
    cs_der_end(&d);
    cs_view n = cs_der_integer(&s), e = cs_der_integer(&s);
    cs_der_end(&s);
    if (fault->rule) return;
    if (n.p[0] & 0x80 || e.p[0] & 0x80) {
        cs_flaw_note(&m->flaw_key, CS_R_KEY_UNSUPPORTED, "subjectPublicKeyInfo", "a negative RSA number");
        return;
    }
    size_t skip = n.p[0] == 0;
    size_t bits = (n.n - skip) * 8;
    for (uint8_t top = n.n > skip ? n.p[skip] : 0; bits && !(top & 0x80); top = (uint8_t)(top << 1 | 1)) bits--;
    m->key_bits = (int)bits;
    m->key_cost = bits > 4096 ? 3 : 1;
    uint64_t exponent = 0;
    for (size_t i = 0; i < e.n && e.n <= 9; i++) exponent = exponent << 8 | e.p[i];
    if (bits < CS_RSA_BITS_MIN)
        cs_flaw_note(&m->flaw_key, CS_R_KEY_TOO_WEAK, "subjectPublicKeyInfo", "RSA of less than 2048 bits");
    else if (bits > CS_RSA_BITS_MAX)
        cs_flaw_note(&m->flaw_key, CS_R_KEY_UNSUPPORTED, "subjectPublicKeyInfo", "RSA of more than 8192 bits");
    else if (!(n.p[n.n - 1] & 1))
        cs_flaw_note(&m->flaw_key, CS_R_KEY_TOO_WEAK, "subjectPublicKeyInfo", "an even RSA modulus");
    else if (e.n > 5 || exponent < 3 || !(exponent & 1))
        cs_flaw_note(&m->flaw_key, CS_R_KEY_TOO_WEAK, "subjectPublicKeyInfo",
                     "an RSA exponent that is even, 1 or huge");
    else if (bits % 8 != 0)
        cs_flaw_note(&m->flaw_key_strict, CS_R_KEY_UNSUPPORTED, "subjectPublicKeyInfo",
                     "RSA of a length that is not whole octets");
}

/* ML-DSA-44, -65, -87: the length of the key is fixed, and parameters are absent. @rfc 9881#4 */
static void read_ml_dsa(uint8_t which, cs_view key, cs_cert_more *m) {
    static const size_t octets[] = {1312, 1952, 2592};
    m->key_type = CS_KEY_ML_DSA;
    m->key_bits = (int)key.n * 8;
    if (key.n != octets[which - 0x11])
        cs_flaw_note(&m->flaw_key, CS_R_KEY_UNSUPPORTED, "subjectPublicKeyInfo", "an ML-DSA key of another length");
}

void cs_key_read(cs_view spki, cs_cert_more *m, cs_der_fault *fault) {
    cs_view null;
    cs_der d = cs_der_of(spki, fault);
    cs_der s = cs_der_in(&d, CS_DER_SEQUENCE);
    cs_der a = cs_der_in(&s, CS_DER_SEQUENCE);
    cs_view key = cs_der_bits(&s, NULL);
    cs_der_end(&s);
    cs_view oid = cs_der_oid(&a);
    m->key_cost = 1;
    if (fault->rule) return;
    cs_view arc = {oid.p, oid.n > 0 ? oid.n - 1 : 0};
    if (cs_view_eq(oid, CS_OID_LIT(PKCS1 "\x01"))) {
        m->key_type = CS_KEY_RSA;
        if (!cs_der_opt(&a, CS_DER_NULL, &null) || null.n)
            cs_flaw_note(&m->flaw_strict, CS_R_CERTIFICATE_MALFORMED, "subjectPublicKeyInfo", "RSA without NULL");
        read_rsa(key, m, fault);
    } else if (cs_view_eq(oid, CS_OID_LIT(PKCS1 "\x0a"))) {
        m->key_type = CS_KEY_RSA_PSS;
        read_rsa(key, m, fault);
        a.left = 0; /* OpenSSL holds signatures to the parameters */
    } else if (cs_view_eq(oid, CS_OID_LIT("\x2a\x86\x48\xce\x3d\x02\x01"))) {
        read_ec(&a, key, m);
    } else if (cs_view_eq(oid, CS_OID_LIT("\x2b\x65\x70")) && key.n == 32) {
        m->key_type = CS_KEY_ED25519, m->key_bits = 256;
    } else if (cs_view_eq(oid, CS_OID_LIT("\x2b\x65\x71")) && key.n == 57) {
        m->key_type = CS_KEY_ED448, m->key_bits = 456, m->key_cost = 3;
    } else if (cs_view_eq(arc, CS_OID_LIT(NIST_SIGS)) && oid.p[8] >= 0x11 && oid.p[8] <= 0x13) {
        read_ml_dsa(oid.p[8], key, m);
    } else {
        m->flaw_key = (cs_flaw){CS_R_KEY_UNSUPPORTED, "subjectPublicKeyInfo", "no RSA, EC or Edwards key", oid};
        a.left = 0;
    }
    cs_der_end(&a);
}
