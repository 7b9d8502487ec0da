/* What the signer runs before it signs. Each field is judged by itself, so that the journal can say which one was
 * wrong; then the whole is built anew from what was read and must come out the same, octet for octet. */
#include "x509/profile.h"

#include "keys/keys.h"
#include "x509/cert_priv.h"
#include "x509/exts_write.h"
#include "x509/lint.h"

#include <stdlib.h>

#define VIOLATED(err, ...) cs_fail((err), CS_REFUSED, CS_R_PROFILE_VIOLATED, __VA_ARGS__)

enum { URL_TEXT_MAX = 513 };

static cs_status decode(cs_view tbs, cs_view algorithm, cs_cert **ret, cs_err *err) {
    static const uint8_t no_signature[] = {CS_DER_BIT_STRING, 2, 0, 0};
    CS_SCOPED(cs_buf) b = cs_buf_of(CS_CERT_MAX);
    cs_der_put_head(&b, CS_DER_SEQUENCE, tbs.n + algorithm.n + sizeof(no_signature));
    (void)cs_buf_add_view(&b, tbs);
    (void)cs_buf_add_view(&b, algorithm);
    (void)cs_buf_add(&b, no_signature, sizeof(no_signature));
    TRY(cs_buf_ok(&b, "certificate", err));
    if (cs_cert_decode(cs_buf_view(&b), ret, err) == CS_OK) return CS_OK;
    if (err->reason == CS_R_CERTIFICATE_MALFORMED) err->reason = CS_R_PROFILE_VIOLATED;
    return err->status;
}

cs_status cs_tbs_decode(cs_view tbs, const cs_cert *issuer, cs_cert **ret, cs_err *err) {
    cs_view algorithm;
    TRY(cs_key_algorithm(issuer->spki, &algorithm, err));
    return decode(tbs, algorithm, ret, err);
}

static cs_status check_validity(const cs_cert *c, const cs_profile *profile, const cs_profile_rule *rule, cs_err *err) {
    if (c->not_after <= c->not_before) return VIOLATED(err, "validity: ends before it begins");
    if (c->not_before < rule->issuer->not_before || c->not_after > rule->issuer->not_after)
        return VIOLATED(err, "validity: outside that of the issuer");
    if (c->not_after - c->not_before > profile->lifetime_limit + profile->backdate)
        return VIOLATED(err, "validity: longer than the profile's");
    if (rule->now && (c->not_before > rule->now || c->not_before < rule->now - profile->backdate - CS_HOUR))
        return VIOLATED(err, "validity: notBefore is not about now");
    return CS_OK;
}

static cs_status check_fields(const cs_cert *c, const cs_profile *profile, const cs_cert *issuer, cs_err *err) {
    const cs_cert_more *m = cs_cert_more_of(c);
    uint8_t keyid[CS_KEYID_LEN];
    if (m->version != 3) return VIOLATED(err, "version: not 3");
    if (c->serial.n != CS_SERIAL_LEN || c->serial.p[0] == 0 || c->serial.p[0] & 0x80)
        return VIOLATED(err, "serialNumber: not %d octets of a positive number", CS_SERIAL_LEN);
    if (!cs_view_eq(c->issuer, issuer->subject)) return VIOLATED(err, "issuer: not the name of this CA");
    if (c->is_ca) return VIOLATED(err, "basicConstraints: a CA certificate");
    if (!c->has_basic_constraints) return VIOLATED(err, "basicConstraints: missing");
    if (!c->has_key_usage || c->key_usage != profile->key_usage) return VIOLATED(err, "keyUsage: not the profile's");
    if (!c->has_eku || c->eku != profile->eku) return VIOLATED(err, "extKeyUsage: not the profile's");
    if (!cs_view_eq(c->akid, issuer->skid)) return VIOLATED(err, "authorityKeyIdentifier: not this CA's");
    if (!cs_keyid_of_spki(c->spki, keyid) || !cs_view_eq(c->skid, cs_view_of(keyid, sizeof(keyid))))
        return VIOLATED(err, "subjectKeyIdentifier: not that of the key");
    if (c->san_count == 0) return VIOLATED(err, "subjectAltName: missing");
    if (c->san_count > profile->san_max) return VIOLATED(err, "subjectAltName: over %zu names", profile->san_max);
    for (size_t i = 0; i < c->san_count; i++) {
        if (!(profile->san_types & (1U << c->sans[i].type)))
            return VIOLATED(err, "subjectAltName: a name of type %d", (int)c->sans[i].type);
    }
    TRY(cs_profile_key_check(profile, c->spki, err));
    return cs_key_spki_check(c->spki, err);
}

static void copy_url(cs_view url, char out[URL_TEXT_MAX]) {
    out[0] = '\0';
    if (!url.p || url.n >= URL_TEXT_MAX || memchr(url.p, 0, url.n)) return;
    memcpy(out, url.p, url.n);
    out[url.n] = '\0';
}

/* The first URI of a distribution point. */
static void read_point(cs_view ext, char out[URL_TEXT_MAX]) {
    cs_der_fault fault = {0};
    cs_der points = cs_der_of(ext, &fault), list = cs_der_in(&points, CS_DER_SEQUENCE);
    cs_der point = cs_der_in(&list, CS_DER_SEQUENCE), name = cs_der_in(&point, CS_DER_CTX_CONS(0));
    cs_der full = cs_der_in(&name, CS_DER_CTX_CONS(0));
    copy_url(cs_der_get(&full, CS_DER_CTX(CS_SAN_URI)), out);
}

typedef struct urls {
    char crl[URL_TEXT_MAX], delta[URL_TEXT_MAX], ca[URL_TEXT_MAX], ocsp[URL_TEXT_MAX];
} urls;

/* The addresses in the form that exts_write.c gives it; anything else gives "" or fails to be built the same. */
static void read_urls(const cs_cert *c, urls *ret) {
    const cs_cert_more *m = cs_cert_more_of(c);
    cs_der_fault fault = {0};
    read_point(m->ext[CS_EXT_CRL_POINTS].value, ret->crl);
    read_point(m->ext[CS_EXT_FRESHEST_CRL].value, ret->delta);
    cs_der aia = cs_der_of(m->ext[CS_EXT_AIA].value, &fault), all = cs_der_in(&aia, CS_DER_SEQUENCE);
    ret->ca[0] = ret->ocsp[0] = '\0';
    while (cs_der_more(&all)) {
        cs_der one = cs_der_in(&all, CS_DER_SEQUENCE);
        bool is_ocsp = cs_view_eq(cs_der_oid(&one), CS_OID_AD_OCSP);
        copy_url(cs_der_get(&one, CS_DER_CTX(CS_SAN_URI)), is_ocsp ? ret->ocsp : ret->ca);
    }
}

/* The first name is the identity; the kind is what the signer was asked for, never read from the certificate. */
static cs_status read_identity(const cs_cert *c, cs_kind kind, const char *trust_domain, cs_identity *ret,
                               cs_err *err) {
    cs_identity read;
    CS_SCOPED(cs_buf) uri = cs_buf_of(CS_IDENTITY_NAME_MAX);
    cs_identity_of_cert(c, &read);
    if (read.kind != kind) return VIOLATED(err, "subjectAltName: names no %s", cs_kind_name(kind));
    if (kind == CS_KIND_DEVICE) {
        TRY(cs_device_uri(&uri, trust_domain, read.name, err));
        if (!cs_view_eq(cs_buf_view(&uri), c->sans[0].value))
            return VIOLATED(err, "subjectAltName: a device outside the trust domain %s", trust_domain);
    }
    *ret = read;
    return CS_OK;
}

static cs_status rebuild_and_compare(const cs_cert *c, const cs_profile *profile, const cs_identity *who,
                                     const cs_profile_rule *rule, cs_err *err) {
    urls u;
    CS_SCOPED(cs_buf) again = cs_buf_of(CS_CERT_MAX);
    read_urls(c, &u);
    const cs_profile_ask ask = {.profile = profile,
                                .who = who,
                                .subject = c->subject,
                                .sans = c->sans,
                                .san_count = c->san_count,
                                .spki = c->spki,
                                .issuer = rule->issuer,
                                .serial = c->serial,
                                .not_before = c->not_before,
                                .not_after = c->not_after,
                                .crl_url = u.crl,
                                .delta_url = u.delta,
                                .ca_url = u.ca,
                                .ocsp_url = u.ocsp,
                                .trust_domain = rule->trust_domain};
    if (cs_profile_build(&ask, &again, err) != CS_OK) {
        err->reason = CS_R_PROFILE_VIOLATED;
        return cs_fail_in(err, "cannot be of the profile");
    }
    if (cs_view_eq(cs_buf_view(&again), c->tbs)) return CS_OK;
    size_t at = 0;
    while (at < again.n && at < c->tbs.n && again.p[at] == c->tbs.p[at]) at++;
    return VIOLATED(err, "not in the profile's form, from octet %zu on", at);
}

cs_status cs_profile_decode(cs_view tbs, const cs_cert *issuer, cs_cert **ret, cs_err *err) {
    cs_view algorithm;
    TRY(cs_key_algorithm(issuer->spki, &algorithm, err));
    return decode(tbs, algorithm, ret, err);
}

cs_status cs_profile_check(cs_view tbs, cs_kind kind, const cs_profile_rule *rule, cs_identity *ret_identity,
                           uint8_t ret_serial[CS_SERIAL_LEN], cs_err *err) {
    const cs_profile *profile = rule->profile ? rule->profile : cs_profile_of(kind);
    CS_AUTO(cs_cert) c = NULL;
    cs_identity who;
    if (!profile) return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "kind %d", (int)kind);
    if (profile->kind != kind)
        return VIOLATED(err, "%s is a profile for kind %s", profile->name, cs_kind_name(profile->kind));
    TRY(cs_profile_decode(tbs, rule->issuer, &c, err)); /* refuses another algorithm inside: both must be the same */
    TRY(check_fields(c, profile, rule->issuer, err));
    TRY(check_validity(c, profile, rule, err));
    TRY(cs_lint_before_signing(c, err));
    TRY(read_identity(c, kind, rule->trust_domain, &who, err));
    TRY(rebuild_and_compare(c, profile, &who, rule, err));
    if (ret_identity) *ret_identity = who;
    if (ret_serial) memcpy(ret_serial, c->serial.p, CS_SERIAL_LEN);
    return CS_OK;
}
