/* A PKCS#12 file, looked at without opening it, and then opened. */
#include "base/secret.h"
#include "doctor/creds_priv.h"
#include "x509/der.h"
#include "x509/p12.h"

#define OID_RC2_40 "\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01\x06" /* pbeWithSHAAnd40BitRC2-CBC, RFC 7292 C */
#define OID_SHA1 "\x2b\x0e\x03\x02\x1a"

static bool holds(cs_view v, const char *oid, size_t n) {
    return v.n >= n && memmem(v.p, v.n, oid, n) != NULL;
}

/* MacData, RFC 7292 4; n == 0: there is none. */
static cs_view mac_of(cs_view der) {
    cs_der_fault fault = {0};
    cs_der d = cs_der_of(der, &fault), pfx = cs_der_in(&d, CS_DER_SEQUENCE);
    cs_view mac = {NULL, 0};
    (void)cs_der_get(&pfx, CS_DER_INTEGER);
    (void)cs_der_get(&pfx, CS_DER_SEQUENCE);
    if (!cs_der_opt(&pfx, CS_DER_SEQUENCE, &mac) || fault.rule != NULL) return (cs_view){NULL, 0};
    return mac;
}

static bool ascii(const cs_secret *s) {
    for (size_t i = 0; i < s->n; i++)
        if (s->p[i] >= 0x80) return false;
    return true;
}

/* Latin-1 as UTF-8: what another program may have taken the password for. */
static cs_secret *reencoded(const cs_secret *s) {
    cs_err err;
    cs_secret *ret = NULL;
    if (cs_secret_new(2 * s->n, &ret, &err) != CS_OK) return NULL;
    ret->n = 0;
    for (size_t i = 0; i < s->n; i++) {
        bool wide = s->p[i] >= 0x80;
        if (wide) ret->p[ret->n++] = (uint8_t)(0xc0 | s->p[i] >> 6);
        ret->p[ret->n++] = wide ? (uint8_t)(0x80 | (s->p[i] & 0x3f)) : s->p[i];
    }
    return ret;
}

static bool opens(cs_view der, const cs_secret *password) {
    cs_err err;
    CS_SCOPED(cs_certs) bag = {NULL, 0};
    return cs_p12_certs_read(der, password, "", &bag, &err) == CS_OK;
}

static void wrong_password(const creds_plan *plan, cs_view der, findings *f) {
    CS_AUTO(cs_secret) other = ascii(plan->password) ? NULL : reencoded(plan->password);
    if (other != NULL && opens(der, other))
        findings_add(f, 32, FINDING_SURE, "%s opens when its password is read as Latin-1", plan->cert);
    else
        findings_add(f, 31, FINDING_SURE, "%s: its MAC does not verify under that password", plan->cert);
}

void creds_read_p12(const creds_plan *plan, creds *ret, findings *f) {
    cs_err err;
    CS_SCOPED(cs_buf) b = cs_buf_secret(CS_PEM_FILE_MAX);
    if (!creds_load(plan->cert, "--cert", false, &b, f)) return;
    cs_view der = cs_buf_view(&b), mac = mac_of(der);
    bool old = holds(der, OID_RC2_40, sizeof OID_RC2_40 - 1);
    if (old) findings_add(f, 29, FINDING_LIKELY, "%s is encrypted with RC2-40", plan->cert);
    if (mac.n == 0) {
        findings_add(f, 33, FINDING_SURE, "%s has no MAC", plan->cert);
        return;
    }
    if (!holds(mac, OID_SHA1, sizeof OID_SHA1 - 1))
        findings_note(
            f, 30, "%s has a MAC of SHA-256 or newer: fine for OpenSSL, Firefox and Windows 10, not for macOS and iOS",
            plan->cert);
    if (plan->password == NULL) {
        findings_add(f, 22, FINDING_SURE, "%s is PKCS#12; give its password with --password-file", plan->cert);
        return;
    }
    cs_status s = cs_p12_certs_read(der, plan->password, plan->cert, &ret->chain, &err);
    if (s == CS_OK) s = cs_p12_key_read(der, plan->password, plan->cert, &ret->key, &err);
    ret->usable = s == CS_OK && ret->chain.n > 0;
    if (s == CS_OK && !ascii(plan->password))
        findings_note(f, 32, "the password of %s opens it here, and has letters beyond ASCII", plan->cert);
    if (s == CS_OK) return;
    if (err.reason == CS_R_PASSPHRASE_WRONG)
        wrong_password(plan, der, f);
    else if (!old)
        findings_add(f, 25, FINDING_SURE, "%s", err.detail);
}
