/* Extensions, written. @rfc 5280#4.2 */
#include "x509/exts_write.h"

#include <openssl/evp.h>

bool cs_keyid_of_spki(cs_view spki, uint8_t ret[CS_KEYID_LEN]) {
    cs_der_fault fault = {0};
    cs_der outer = cs_der_of(spki, &fault), in = cs_der_in(&outer, CS_DER_SEQUENCE);
    unsigned unused = 0;
    uint8_t digest[32];
    (void)cs_der_get(&in, CS_DER_SEQUENCE);
    cs_view bits = cs_der_bits(&in, &unused);
    cs_der_end(&in);
    cs_der_end(&outer);
    if (!cs_der_ok(&outer) || unused != 0) return false;
    if (EVP_Digest(bits.p, bits.n, digest, NULL, EVP_sha256(), NULL) != 1) return false;
    memcpy(ret, digest, CS_KEYID_LEN);
    return true;
}

cs_ext_mark cs_ext_open(cs_buf *b, cs_view oid, bool critical) {
    cs_ext_mark m = {.ext = cs_der_open(b, CS_DER_SEQUENCE)};
    cs_der_put_oid(b, oid);
    if (critical) cs_der_put_bool(b, true); /* DER leaves out the default */
    m.octets = cs_der_open(b, CS_DER_OCTET_STRING);
    return m;
}

void cs_ext_close(cs_buf *b, cs_ext_mark m) {
    cs_der_close(b, m.octets);
    cs_der_close(b, m.ext);
}

void cs_ext_put_basic_constraints(cs_buf *b, bool ca, int path_len) {
    cs_ext_mark m = cs_ext_open(b, CS_OID_BASIC_CONSTRAINTS, true);
    cs_der_mark seq = cs_der_open(b, CS_DER_SEQUENCE);
    if (ca) cs_der_put_bool(b, true);
    if (ca && path_len >= 0) cs_der_put_uint(b, CS_DER_INTEGER, (uint64_t)path_len);
    cs_der_close(b, seq);
    cs_ext_close(b, m);
}

void cs_ext_put_key_usage(cs_buf *b, unsigned mask) {
    cs_ext_mark m = cs_ext_open(b, CS_OID_KEY_USAGE, true);
    cs_der_put_named_bits(b, mask);
    cs_ext_close(b, m);
}

void cs_ext_put_eku(cs_buf *b, unsigned mask) {
    static const struct {
        unsigned bit;
        uint8_t last; /* 1.3.6.1.5.5.7.3.last */
    } ekus[] = {{CS_EKU_SERVER_AUTH, 1},   {CS_EKU_CLIENT_AUTH, 2},  {CS_EKU_CODE_SIGNING, 3}, {CS_EKU_EMAIL, 4},
                {CS_EKU_TIME_STAMPING, 8}, {CS_EKU_OCSP_SIGNING, 9}, {CS_EKU_CMC_RA, 28}};
    cs_ext_mark m = cs_ext_open(b, CS_OID_EKU, false);
    cs_der_mark seq = cs_der_open(b, CS_DER_SEQUENCE);
    for (size_t i = 0; i < sizeof(ekus) / sizeof(ekus[0]); i++) {
        const uint8_t oid[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, ekus[i].last};
        if (mask & ekus[i].bit) cs_der_put_oid(b, cs_view_of(oid, sizeof(oid)));
    }
    cs_der_close(b, seq);
    cs_ext_close(b, m);
}

void cs_ext_put_sans(cs_buf *b, bool critical, const cs_san *sans, size_t n) {
    cs_ext_mark m = cs_ext_open(b, CS_OID_SAN, critical);
    cs_der_mark seq = cs_der_open(b, CS_DER_SEQUENCE);
    for (size_t i = 0; i < n; i++) {
        bool constructed = sans[i].type == CS_SAN_DIRNAME || sans[i].type == CS_SAN_OTHER;
        uint8_t tag = constructed ? CS_DER_CTX_CONS(sans[i].type) : CS_DER_CTX(sans[i].type);
        cs_der_put(b, tag, sans[i].value);
    }
    cs_der_close(b, seq);
    cs_ext_close(b, m);
}

void cs_ext_put_ski(cs_buf *b, cs_view keyid) {
    cs_ext_mark m = cs_ext_open(b, CS_OID_SKI, false);
    cs_der_put(b, CS_DER_OCTET_STRING, keyid);
    cs_ext_close(b, m);
}

void cs_ext_put_aki(cs_buf *b, cs_view keyid) {
    cs_ext_mark m = cs_ext_open(b, CS_OID_AKI, false);
    cs_der_mark seq = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put(b, CS_DER_CTX(0), keyid);
    cs_der_close(b, seq);
    cs_ext_close(b, m);
}

void cs_ext_put_point(cs_buf *b, cs_view oid, cs_view url) {
    cs_ext_mark m = cs_ext_open(b, oid, false);
    cs_der_mark points = cs_der_open(b, CS_DER_SEQUENCE), point = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_mark name = cs_der_open(b, CS_DER_CTX_CONS(0)), full = cs_der_open(b, CS_DER_CTX_CONS(0));
    cs_der_put(b, CS_DER_CTX(CS_SAN_URI), url);
    cs_der_close(b, full);
    cs_der_close(b, name);
    cs_der_close(b, point);
    cs_der_close(b, points);
    cs_ext_close(b, m);
}

void cs_ext_put_crl_point(cs_buf *b, const char *url) {
    cs_ext_put_point(b, CS_OID_CRL_POINTS, cs_view_str(url));
}

static void put_access(cs_buf *b, cs_view method, const char *url) {
    if (url == NULL || url[0] == '\0') return;
    cs_der_mark one = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_oid(b, method);
    cs_der_put_str(b, CS_DER_CTX(CS_SAN_URI), url);
    cs_der_close(b, one);
}

void cs_ext_put_access(cs_buf *b, const char *ca_issuers, const char *ocsp) {
    cs_ext_mark m = cs_ext_open(b, CS_OID_AIA, false);
    cs_der_mark list = cs_der_open(b, CS_DER_SEQUENCE);
    put_access(b, CS_OID_AD_OCSP, ocsp);
    put_access(b, CS_OID_AD_CA_ISSUERS, ca_issuers);
    cs_der_close(b, list);
    cs_ext_close(b, m);
}

void cs_rdn_put(cs_buf *b, cs_view oid, uint8_t string_tag, const char *value) {
    cs_der_mark set = cs_der_open(b, CS_DER_SET), seq = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_oid(b, oid);
    cs_der_put_str(b, string_tag, value);
    cs_der_close(b, seq);
    cs_der_close(b, set);
}

void cs_tbs_open(cs_buf *b, cs_tbs *t) {
    t->outer = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_mark version = cs_der_open(b, CS_DER_CTX_CONS(0));
    cs_der_put_uint(b, CS_DER_INTEGER, 2);
    cs_der_close(b, version);
    cs_der_put_magnitude(b, t->serial);
    (void)cs_buf_add_view(b, t->algorithm);
    (void)cs_buf_add_view(b, t->issuer);
    cs_der_mark validity = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put_time(b, t->not_before);
    cs_der_put_time(b, t->not_after);
    cs_der_close(b, validity);
    (void)cs_buf_add_view(b, t->subject);
    (void)cs_buf_add_view(b, t->spki);
    t->exts = cs_der_open(b, CS_DER_CTX_CONS(3));
    t->list = cs_der_open(b, CS_DER_SEQUENCE);
}

void cs_tbs_close(cs_buf *b, const cs_tbs *t) {
    cs_der_close(b, t->list);
    cs_der_close(b, t->exts);
    cs_der_close(b, t->outer);
}
