/* Names and CA certificates, built; and what is to be signed made into what is signed. */
#include "x509/build.h"

#include "base/text.h"
#include "x509/exts_write.h"

#include <openssl/evp.h>
#include <stdio.h>

/* ---- names ---- */

static cs_status put_attribute(cs_buf *b, cs_view oid, uint8_t tag, const char *field, const char *value, cs_err *err) {
    enum { UPPER_BOUND = 64 }; /* characters, X.520; we count octets, which is stricter */
    if (!value || !*value) return CS_OK;
    cs_view v = cs_view_str(value);
    if (v.n > UPPER_BOUND) return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "%s: over %d bytes", field, UPPER_BOUND);
    if (!cs_utf8_valid(v)) return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "%s: not UTF-8", field);
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < 0x20 || v.p[i] == 0x7f)
            return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "%s: holds a control character", field);
    }
    cs_rdn_put(b, oid, tag, value);
    return CS_OK;
}

/* X.520 wants PrintableString for serialNumber; it has no '_', which our device names may have. */
static bool is_printable(const char *s) {
    if (!s) return true;
    for (; *s; s++) {
        bool alnum = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9');
        if (!alnum && !strchr(" '()+,-./:=?", *s)) return false;
    }
    return true;
}

static bool is_country(const char *c) {
    return c[0] >= 'A' && c[0] <= 'Z' && c[1] >= 'A' && c[1] <= 'Z' && c[2] == '\0';
}

cs_status cs_dn_build(const cs_dn *dn, cs_buf *b, cs_err *err) {
    if (dn->country && *dn->country && !is_country(dn->country))
        return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "country: not two capital letters");
    cs_der_mark name = cs_der_open(b, CS_DER_SEQUENCE);
    TRY(put_attribute(b, CS_OID_COUNTRY, CS_DER_PRINTABLE_STRING, "country", dn->country, err));
    TRY(put_attribute(b, CS_OID_ORGANIZATION, CS_DER_UTF8_STRING, "organization", dn->organization, err));
    TRY(put_attribute(b, CS_OID_UNIT, CS_DER_UTF8_STRING, "organizational unit", dn->unit, err));
    TRY(put_attribute(b, CS_OID_CN, CS_DER_UTF8_STRING, "common name", dn->common_name, err));
    uint8_t tag = is_printable(dn->serial_number) ? CS_DER_PRINTABLE_STRING : CS_DER_UTF8_STRING;
    TRY(put_attribute(b, CS_OID_SERIAL_NUMBER, tag, "serial number", dn->serial_number, err));
    cs_der_close(b, name);
    return cs_buf_ok(b, "name", err);
}

const char *cs_ca_common_name(cs_ca_role role, const char *organization, cs_view spki, cs_time now,
                              char out[CS_CA_CN_MAX]) {
    uint8_t digest[32] = {0};
    char hex[7], tail[40];
    (void)EVP_Digest(spki.p, spki.n, digest, NULL, EVP_sha256(), NULL);
    int tail_n = snprintf(tail, sizeof(tail), " %s CA %04d-%s", role == CS_CA_ROOT ? "Root" : "Issuing",
                          cs_civil_of_time(now).year, cs_hex(cs_view_of(digest, 3), hex));
    const char *org = organization && *organization ? organization : "countersign";
    int keep = (int)strlen(org), room = CS_CA_CN_MAX - 1 - tail_n;
    if (keep > room) keep = room;
    while (keep > 0 && ((uint8_t)org[keep] & 0xc0) == 0x80) keep--; /* never within a UTF-8 character */
    (void)snprintf(out, CS_CA_CN_MAX, "%.*s%s", keep, org, tail);
    return out;
}

/* ---- CA certificates ---- */

cs_view cs_ca_constraints(const cs_cert *c) {
    bool critical = false;
    cs_view value = {NULL, 0};
    return cs_cert_ext_find(c, CS_OID_NAME_CONSTRAINTS, &critical, &value) ? value : (cs_view){NULL, 0};
}

static cs_status ca_ask_check(const cs_ca_ask *ask, cs_err *err) {
    bool root = ask->role == CS_CA_ROOT;
    if (root != (ask->issuer == NULL))
        return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "a root has no issuer, an issuing CA has one");
    if (!ask->crl_url != !ask->ca_url)
        return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "CRL and CA addresses come together");
    if (ask->not_after <= ask->not_before)
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "validity: ends before it begins");
    if (!root && (ask->not_before < ask->issuer->not_before || ask->not_after > ask->issuer->not_after))
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "validity: outside that of the root");
    if (!root && ask->issuer->path_len >= 0 && (ask->path_len < 0 || ask->path_len >= ask->issuer->path_len))
        return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "path length: the issuer's own is %d",
                       ask->issuer->path_len);
    return cs_key_spki_check(ask->spki, err);
}

cs_status cs_ca_build(const cs_ca_ask *ask, cs_buf *tbs, cs_err *err) {
    uint8_t keyid[CS_KEYID_LEN];
    TRY(ca_ask_check(ask, err));
    const bool root = ask->role == CS_CA_ROOT;
    cs_tbs t = {.serial = ask->serial,
                .issuer = root ? ask->subject : ask->issuer->subject,
                .subject = ask->subject,
                .spki = ask->spki,
                .not_before = ask->not_before,
                .not_after = ask->not_after};
    TRY(cs_key_algorithm(root ? ask->spki : ask->issuer->spki, &t.algorithm, err));
    if (!cs_keyid_of_spki(ask->spki, keyid)) return cs_fail(err, CS_REFUSED, CS_R_KEY_MALFORMED, "the CA's key");
    const cs_view skid = {keyid, CS_KEYID_LEN};
    cs_tbs_open(tbs, &t);
    cs_ext_put_basic_constraints(tbs, true, root ? -1 : ask->path_len);
    cs_ext_put_key_usage(tbs, CS_KU_CERT_SIGN | CS_KU_CRL_SIGN);
    if (!root && ask->constraints.n > 0) {
        cs_ext_mark m = cs_ext_open(tbs, CS_OID_NAME_CONSTRAINTS, true);
        (void)cs_buf_add_view(tbs, ask->constraints);
        cs_ext_close(tbs, m);
    } else if (!root) {
        cs_ext_put_name_constraints(tbs, ask->permit, ask->permit_n, ask->exclude, ask->exclude_n);
    }
    cs_ext_put_ski(tbs, skid);
    cs_ext_put_aki(tbs, root ? skid : ask->issuer->skid);
    if (!root && ask->crl_url) {
        cs_ext_put_crl_point(tbs, ask->crl_url);
        cs_ext_put_access(tbs, ask->ca_url, NULL);
    }
    cs_tbs_close(tbs, &t);
    return cs_buf_ok(tbs, "certificate", err);
}

/* ---- signed ---- */

cs_status cs_signed_wrap(cs_view tbs, cs_view algorithm, cs_view signature, cs_buf *b, cs_err *err) {
    /* a head of its own and no open/close: a CRL of 40 MB is not moved once more */
    CS_SCOPED(cs_buf) bits = cs_buf_of(CS_SIGNATURE_MAX);
    cs_der_put_bits(&bits, signature);
    TRY(cs_buf_ok(&bits, "signature", err));
    cs_der_put_head(b, CS_DER_SEQUENCE, tbs.n + algorithm.n + bits.n);
    (void)cs_buf_add_view(b, tbs);
    (void)cs_buf_add_view(b, algorithm);
    (void)cs_buf_add_view(b, cs_buf_view(&bits));
    return cs_buf_ok(b, "signed object", err);
}

cs_status cs_signed_make(const cs_key *key, cs_view tbs, cs_buf *b, cs_err *err) {
    CS_SCOPED(cs_buf) sig = cs_buf_of(CS_SIGNATURE_MAX);
    cs_view algorithm;
    TRY(cs_key_algorithm(cs_key_spki(key), &algorithm, err));
    TRY(cs_key_sign(key, tbs, &sig, err));
    return cs_signed_wrap(tbs, algorithm, cs_buf_view(&sig), b, err);
}
