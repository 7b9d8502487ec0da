#include "proto/acme/attest_msg.h"

#include <string.h>

#include "keys/keys.h"
#include "x509/der.h"
#include "x509/der_write.h"
#include "x509/digest.h"

static cs_status bad(const char *what, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_ATTESTATION_INVALID, "%s", what);
}

/* ---- CBOR: @rfc 8949#3, as much of it as is needed ---- */

enum { CBOR_UINT = 0, CBOR_NEGATIVE = 1, CBOR_BYTES = 2, CBOR_TEXT = 3, CBOR_ARRAY = 4, CBOR_MAP = 5 };

/* The head of the next item: its major type and argument. Floats, tags, simple values and indefinite lengths are none;
 * longer forms of a number that has a shorter one are none either. */
static bool head(cs_rd *r, unsigned *ret_major, uint64_t *ret) {
    uint8_t first = cs_rd_u8(r);
    unsigned info = first & 31U;
    *ret_major = first >> 5;
    *ret = info;
    if (info < 24) return cs_rd_ok(r) && *ret_major <= CBOR_MAP;
    *ret = info == 24 ? cs_rd_u8(r) : info == 25 ? cs_rd_u16(r) : info == 26 ? cs_rd_u32(r) : 0;
    bool shortest = (info == 24 && *ret >= 24) || (info == 25 && *ret > 0xff) || (info == 26 && *ret > 0xffff);
    return cs_rd_ok(r) && shortest && *ret_major <= CBOR_MAP;
}

static bool take(cs_rd *r, unsigned major, cs_view *ret) {
    unsigned m = 0;
    uint64_t n = 0;
    if (!head(r, &m, &n) || m != major || n > ATTEST_MAX) return false;
    *ret = cs_rd_bytes(r, (size_t)n);
    return cs_rd_ok(r);
}

static bool count(cs_rd *r, unsigned major, uint64_t max, uint64_t *ret) {
    unsigned m = 0;
    return head(r, &m, ret) && m == major && *ret <= max;
}

static bool take_chain(cs_rd *r, attest_msg *m) {
    uint64_t n = 0;
    if (!count(r, CBOR_ARRAY, ATTEST_CHAIN_MAX, &n) || n == 0) return false;
    for (m->x5c_n = 0; m->x5c_n < n; m->x5c_n++)
        if (!take(r, CBOR_BYTES, &m->x5c[m->x5c_n])) return false;
    return true;
}

static bool take_alg(cs_rd *r, int64_t *ret) {
    unsigned major = 0;
    uint64_t n = 0;
    if (!head(r, &major, &n) || major > CBOR_NEGATIVE) return false;
    *ret = major == CBOR_NEGATIVE ? -1 - (int64_t)n : (int64_t)n;
    return true;
}

static bool is_version(cs_rd *r) {
    cs_view v;
    return take(r, CBOR_TEXT, &v) && cs_view_eq_str(v, "2.0");
}

/* One member of attStmt by the name that was read; each name once. */
static bool take_member(cs_rd *r, cs_view name, attest_msg *m, unsigned *seen) {
    static const char *const names[] = {"ver", "alg", "x5c", "sig", "certInfo", "pubArea"};
    unsigned i = 0;
    while (i < 6 && !cs_view_eq_str(name, names[i])) i++;
    if (i == 6 || (*seen & 1U << i) != 0) return false;
    *seen |= 1U << i;
    switch (i) {
    case 0: return is_version(r);
    case 1: return take_alg(r, &m->alg);
    case 2: return take_chain(r, m);
    case 3: return take(r, CBOR_BYTES, &m->signature);
    case 4: return take(r, CBOR_BYTES, &m->cert_info);
    default: return take(r, CBOR_BYTES, &m->public_area);
    }
}

static cs_status read_statement(cs_rd *r, attest_msg *m, cs_err *err) {
    uint64_t n = 0;
    unsigned seen = 0;
    if (!count(r, CBOR_MAP, 6, &n) || n != 6)
        return bad("attStmt: ver, alg, x5c, sig, certInfo and pubArea are expected", err);
    for (uint64_t i = 0; i < n; i++) {
        cs_view name;
        if (!take(r, CBOR_TEXT, &name) || !take_member(r, name, m, &seen)) return bad("attStmt of format tpm", err);
    }
    return CS_OK;
}

cs_status attest_msg_read(cs_view cbor, attest_msg *ret, cs_err *err) {
    cs_rd r = cs_rd_of(cbor);
    uint64_t n = 0;
    unsigned seen = 0;
    *ret = (attest_msg){.alg = 0};
    if (cbor.n > ATTEST_MAX || !count(&r, CBOR_MAP, 3, &n)) return bad("attObj is no CBOR map", err);
    for (uint64_t i = 0; i < n; i++) {
        cs_view name, v;
        if (!take(&r, CBOR_TEXT, &name)) return bad("attObj: names are texts", err);
        unsigned bit = cs_view_eq_str(name, "fmt") ? 1 : cs_view_eq_str(name, "attStmt") ? 2 : 4;
        if ((seen & bit) != 0 || (bit == 4 && !cs_view_eq_str(name, "authData"))) return bad("attObj: its names", err);
        seen |= bit;
        if (bit == 1 && (!take(&r, CBOR_TEXT, &v) || !cs_view_eq_str(v, "tpm")))
            return bad("fmt: tpm is the one that is taken", err);
        if (bit == 2) TRY(read_statement(&r, ret, err));
        if (bit == 4 && !take(&r, CBOR_BYTES, &v)) return bad("authData", err); /* of no use here */
    }
    if ((seen & 3) != 3 || !cs_rd_ended(&r)) return bad("attObj: fmt and attStmt are expected, and nothing else", err);
    return CS_OK;
}

/* ---- the TPM's structures: TPM 2.0 Library, Part 2 ---- */

enum {
    TPM_RSA = 0x0001,
    TPM_SHA256 = 0x000b,
    TPM_NULL = 0x0010,
    TPM_RSASSA = 0x0014,
    TPM_ECDSA = 0x0018,
    TPM_ECC = 0x0023,
    TPM_P256 = 0x0003,
    TPM_P384 = 0x0004,
    TPM_P521 = 0x0005,
    TPM_ATTEST_CERTIFY = 0x8017,
};
#define TPM_GENERATED 0xff544347U
enum { FIXED_TPM = 1 << 1, FIXED_PARENT = 1 << 4, MADE_THERE = 1 << 5, RESTRICTED = 1 << 16, SIGNS = 1 << 18 };

/* TPMT_SYM_DEF_OBJECT, 11.1.7 */
static void skip_symmetric(cs_rd *r) {
    if (cs_rd_u16(r) != TPM_NULL) (void)cs_rd_bytes(r, 4);
}
/* TPMT_ASYM_SCHEME or TPMT_KDF_SCHEME, whose details are a hash, 11.2.3 */
static void skip_scheme(cs_rd *r) {
    if (cs_rd_u16(r) != TPM_NULL) (void)cs_rd_u16(r);
}

static cs_status rsa_key(cs_rd *r, cs_buf *spki, cs_err *err) {
    static const uint8_t rsa_encryption[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};
    CS_SCOPED(cs_buf) key = cs_buf_of(ATTEST_SPKI_MAX);
    skip_symmetric(r);
    skip_scheme(r);
    uint16_t bits = cs_rd_u16(r);
    uint32_t exponent = cs_rd_u32(r);
    cs_view n = cs_rd_vec16(r);
    if (exponent == 0) exponent = 65537;
    const uint8_t e[] = {(uint8_t)(exponent >> 24), (uint8_t)(exponent >> 16), (uint8_t)(exponent >> 8),
                         (uint8_t)exponent};
    size_t zeros = e[0] != 0 ? 0 : e[1] != 0 ? 1 : e[2] != 0 ? 2 : 3;
    if (!cs_rd_ended(r) || n.n == 0 || n.n * 8 != bits || n.p[0] == 0) return bad("pubArea: an RSA key", err);
    cs_der_mark numbers = cs_der_open(&key, CS_DER_SEQUENCE);
    cs_der_put_magnitude(&key, n);
    cs_der_put_magnitude(&key, cs_view_of(e + zeros, sizeof e - zeros));
    cs_der_close(&key, numbers);
    TRY(cs_buf_ok(&key, "an RSA key", err));
    cs_der_mark outer = cs_der_open(spki, CS_DER_SEQUENCE), alg = cs_der_open(spki, CS_DER_SEQUENCE);
    cs_der_put_oid(spki, cs_view_of(rsa_encryption, sizeof rsa_encryption));
    cs_der_put(spki, CS_DER_NULL, (cs_view){NULL, 0});
    cs_der_close(spki, alg);
    cs_der_put_bits(spki, cs_buf_view(&key));
    cs_der_close(spki, outer);
    return cs_buf_ok(spki, "an RSA key", err);
}

/* A TPM may leave out zeros before a coordinate. */
static bool put_coordinate(cs_buf *point, cs_view v, size_t octets) {
    if (v.n > octets) return false;
    for (size_t i = v.n; i < octets; i++) (void)cs_buf_add_byte(point, 0);
    return cs_buf_add_view(point, v);
}

static cs_status ecc_key(cs_rd *r, cs_buf *spki, cs_err *err) {
    CS_SCOPED(cs_buf) point = cs_buf_of(200);
    skip_symmetric(r);
    skip_scheme(r);
    uint16_t curve = cs_rd_u16(r);
    skip_scheme(r); /* of the KDF */
    cs_view x = cs_rd_vec16(r), y = cs_rd_vec16(r);
    size_t octets = curve == TPM_P256 ? 32 : curve == TPM_P384 ? 48 : curve == TPM_P521 ? 66 : 0;
    if (octets == 0) return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "pubArea: curve 0x%04x", curve);
    (void)cs_buf_add_byte(&point, 4);
    bool whole = cs_rd_ended(r) && put_coordinate(&point, x, octets) && put_coordinate(&point, y, octets);
    return whole && cs_key_alg_spki(cs_buf_view(&point), spki) ? CS_OK : bad("pubArea: an ECC key", err);
}

/* TPMT_PUBLIC, 12.2.4: a key that signs, that the TPM has made and that cannot leave it. */
static cs_status read_public(cs_view area, cs_buf *spki, cs_err *err) {
    const uint32_t needed = FIXED_TPM | FIXED_PARENT | MADE_THERE | SIGNS;
    cs_rd r = cs_rd_of(area);
    uint16_t type = cs_rd_u16(&r), name_alg = cs_rd_u16(&r);
    uint32_t attributes = cs_rd_u32(&r);
    (void)cs_rd_vec16(&r); /* authPolicy */
    if (!cs_rd_ok(&r)) return bad("pubArea is cut off", err);
    if (name_alg != TPM_SHA256) return bad("pubArea: nameAlg: SHA-256 is expected", err);
    if ((attributes & needed) != needed)
        return bad("pubArea: the key may leave the TPM, was not made there, or is not for signatures", err);
    if ((attributes & RESTRICTED) != 0) return bad("pubArea: a restricted key signs no requests", err);
    if (type == TPM_RSA) return rsa_key(&r, spki, err);
    if (type == TPM_ECC) return ecc_key(&r, spki, err);
    return cs_fail(err, CS_REFUSED, CS_R_KEY_UNSUPPORTED, "pubArea: type 0x%04x", type);
}

/* TPMS_ATTEST, 10.12.8, of TPM2_Certify: for this challenge, and about that key. */
static cs_status read_certify(const attest_msg *m, const uint8_t extra[32], cs_err *err) {
    uint8_t name[2 + CS_SHA256_LEN] = {TPM_SHA256 >> 8, TPM_SHA256 & 0xff};
    cs_rd r = cs_rd_of(m->cert_info);
    uint32_t magic = cs_rd_u32(&r);
    uint16_t type = cs_rd_u16(&r);
    (void)cs_rd_vec16(&r); /* qualifiedSigner */
    cs_view told = cs_rd_vec16(&r);
    (void)cs_rd_bytes(&r, 8 + 4 + 4 + 1 + 8); /* clockInfo, firmwareVersion */
    cs_view attested = cs_rd_vec16(&r);
    (void)cs_rd_vec16(&r); /* qualifiedName */
    if (magic != TPM_GENERATED) return bad("certInfo: magic: no TPM made it", err);
    if (type != TPM_ATTEST_CERTIFY) return bad("certInfo: type: TPM2_Certify's is expected", err);
    if (!cs_rd_ended(&r)) return bad("certInfo: its form", err);
    if (!cs_view_eq_consttime(told, cs_view_of(extra, CS_SHA256_LEN)))
        return bad("certInfo: extraData is not the key authorization's digest: made for another challenge", err);
    TRY(cs_sha256(m->public_area, name + 2, err));
    if (!cs_view_eq(attested, cs_view_of(name, sizeof name))) return bad("certInfo: attested is another key", err);
    return CS_OK;
}

/* ---- the signature ---- */

static void put_integer(cs_buf *b, cs_view v) {
    while (v.n > 1 && v.p[0] == 0) v.p++, v.n--;
    cs_der_put_magnitude(b, v);
}

/* What a TPM calls a signature (TPMT_SIGNATURE, 11.3.4) becomes what others call one, which some clients send as it is:
 * RSA's octets, or ECDSA's SEQUENCE. */
static cs_view plain_signature(cs_view s, cs_buf *der) {
    cs_rd r = cs_rd_of(s);
    uint16_t scheme = cs_rd_u16(&r), hash = cs_rd_u16(&r);
    cs_view a = cs_rd_vec16(&r);
    if (hash != TPM_SHA256) return s;
    if (scheme == TPM_RSASSA && cs_rd_ended(&r)) return a;
    cs_view b = cs_rd_vec16(&r);
    if (scheme != TPM_ECDSA || !cs_rd_ended(&r) || a.n == 0 || b.n == 0) return s;
    cs_der_mark seq = cs_der_open(der, CS_DER_SEQUENCE);
    put_integer(der, a);
    put_integer(der, b);
    cs_der_close(der, seq);
    return cs_buf_view(der);
}

static cs_status check_signature(const attest_msg *m, const cs_cert *ak, cs_err *err) {
    enum { COSE_ES256 = -7, COSE_RS256 = -257 };
    CS_SCOPED(cs_buf) der = cs_buf_of(256);
    char key[CS_KEY_TEXT_MAX];
    (void)cs_key_spki_text(ak->spki, key);
    bool fits = (m->alg == COSE_ES256 && strcmp(key, "ECDSA P-256") == 0) ||
                (m->alg == COSE_RS256 && strncmp(key, "RSA ", 4) == 0);
    if (!fits) return bad("alg: RS256 or ES256 is expected, as the attestation key is", err);
    return cs_key_verify(ak->spki, m->cert_info, plain_signature(m->signature, &der), err);
}

/* Only who is asked to certify attestation keys knows that they are restricted: @tcg AIK certificate */
static bool is_attestation_key(const cs_cert *ak) {
    cs_der_fault fault = {.rule = NULL};
    bool critical = false, found = false;
    cs_view value;
    if (ak->is_ca || !cs_cert_ext_find(ak, CS_OID_LIT("\x55\x1d\x25"), &critical, &value)) return false;
    cs_der d = cs_der_of(value, &fault), list = cs_der_in(&d, CS_DER_SEQUENCE);
    while (cs_der_more(&list)) found = cs_view_eq(cs_der_oid(&list), CS_OID_LIT("\x67\x81\x05\x08\x03")) || found;
    return found && fault.rule == NULL;
}

cs_status attest_msg_judge(const attest_msg *m, const cs_cert *ak, const uint8_t extra[32], cs_buf *spki, cs_err *err) {
    if (!is_attestation_key(ak))
        return bad("x5c: the certificate is not one of an attestation key (tcg-kp-AIKCertificate)", err);
    TRY(check_signature(m, ak, err));
    TRY(read_certify(m, extra, err));
    return read_public(m->public_area, spki, err);
}
