/* The table, and running it. */
#include "x509/lint.h"

#include "x509/csr.h"
#include "x509/lint_priv.h"

#include <stdio.h>

#define E CS_LINT_ERROR
#define W CS_LINT_WARNING
#define N CS_LINT_NOTICE
#define CERT(name, severity, source, says, check)                                                                      \
    { name, CS_LINT_CERT, severity, source, says, check, NULL, false }
#define CRL(name, severity, source, says, check)                                                                       \
    { name, CS_LINT_CRL, severity, source, says, NULL, check, false }

static const cs_lint_rule rules[] = {
    CERT("form", E, "RFC 5280 4.1", "valid DER, in the form of a certificate", lint_form),
    CERT("form-strict", E, "RFC 5280 4", "all that RFC 5280 demands of a CA's writing", lint_form_strict),
    CERT("version", E, "RFC 5280 4.1.2.1", "version 3 where there are extensions", lint_version),
    CERT("serial-positive", E, "RFC 5280 4.1.2.2", "a positive serial number of at most 20 octets", lint_serial),
    CERT("serial-random", W, "CABF BR 7.1", "a serial number of 64 random bits or more", lint_serial_random),
    CERT("validity-order", E, "RFC 5280 4.1.2.5", "notAfter later than notBefore", lint_validity_order),
    CERT("validity-server", W, "CABF BR 6.3.2", "a server's certificate lives 398 days at most", lint_validity_server),
    CERT("signature-algorithm", E, "RFC 9155", "a signature with SHA-2 or better", lint_algorithm),
    {"key-strong", CS_LINT_CERT, E, "own", "a key that may be certified: strong, on its curve, no known weakness",
     lint_key, NULL, true},
    CERT("ca-subject", E, "RFC 5280 4.1.2.6", "a CA has a subject that is not empty", lint_ca_subject),
    CERT("subject-lengths", E, "X.520, RFC 5280 A.1", "at most 64 characters in CN, O and OU", lint_subject_lengths),
    CERT("subject-country", E, "RFC 5280 A.1", "a country of two capital letters, as PrintableString", lint_country),
    CERT("subject-blanks", W, "own", "no blanks at the ends, no control characters in the subject", lint_blanks),
    CERT("ca-basic-constraints", E, "RFC 5280 4.2.1.9", "a CA's basicConstraints are critical", lint_ca_constraints),
    CERT("path-length", E, "RFC 5280 4.2.1.9", "a path length only where CA is true", lint_path_length),
    CERT("ca-key-usage", E, "RFC 5280 4.2.1.3", "a CA has keyUsage with keyCertSign", lint_ca_key_usage),
    CERT("leaf-signs", E, "RFC 5280 4.2.1.3", "keyCertSign only where CA is true", lint_leaf_signs),
    CERT("key-usage-missing", W, "own", "a leaf has keyUsage", lint_key_usage_missing),
    CERT("key-usage-critical", W, "RFC 5280 4.2.1.3", "keyUsage is critical", lint_key_usage_critical),
    CERT("key-usage-fits", E, "RFC 8813 3, RFC 8410 5", "no encipherment with keys that only sign", lint_usage_fits),
    CERT("eku-missing", W, "own", "a leaf has extendedKeyUsage", lint_eku_missing),
    CERT("eku-any", W, "own", "a leaf does not name anyExtendedKeyUsage", lint_eku_any),
    CERT("san-missing", E, "RFC 9525 6.3", "a leaf for TLS has subjectAltName", lint_san_missing),
    CERT("san-critical", E, "RFC 5280 4.2.1.6", "critical when the subject is empty", lint_san_critical),
    CERT("san-not-critical", W, "RFC 5280 4.2.1.6", "not critical when there is a subject", lint_san_not_critical),
    CERT("san-dns", E, "RFC 5280 4.2.1.6", "DNS names of letters, digits and hyphens; * only as first label", lint_dns),
    CERT("san-email", E, "RFC 5280 4.2.1.6", "e-mail addresses with one @ and a domain", lint_email),
    CERT("san-uri", E, "RFC 5280 4.2.1.6", "URIs that are absolute", lint_uri),
    CERT("san-twice", W, "own", "no name twice", lint_san_twice),
    CERT("cn-in-san", W, "CABF BR 7.1.4.3", "a server's common name is among its names", lint_cn_in_san),
    CERT("ca-skid", E, "RFC 5280 4.2.1.2", "a CA has subjectKeyIdentifier", lint_ca_skid),
    CERT("akid", E, "RFC 5280 4.2.1.1", "authorityKeyIdentifier, but in self-signed ones", lint_akid),
    CERT("crl-address", W, "RFC 5280 4.2.1.13", "CRLs are fetched by http", lint_crl_address),
    CERT("revocation-source", N, "own", "a leaf of over 10 days says where its revocation is told", lint_revocation),
    CERT("name-constraints", E, "RFC 5280 4.2.1.10", "name constraints only in CAs, and critical", lint_constraints),
    {"critical-unknown", CS_LINT_CERT, E, "RFC 5280 4.2", "no critical extension that nobody knows", lint_critical,
     NULL, true},
    CRL("crl-form", E, "RFC 5280 5", "valid DER, in the form of a CRL", lint_crl_form),
    CRL("crl-form-strict", E, "RFC 5280 5", "all that RFC 5280 demands of a CRL's issuer", lint_crl_strict),
    CRL("crl-next-update", E, "RFC 5280 5.1.2.5", "nextUpdate, later than thisUpdate", lint_crl_next),
    CRL("crl-number", E, "RFC 5280 5.2.3", "a CRL number of at most 20 octets", lint_crl_number),
    CRL("crl-akid", E, "RFC 5280 5.2.1", "authorityKeyIdentifier", lint_crl_akid),
    CRL("crl-algorithm", E, "RFC 9155", "a signature with SHA-2 or better", lint_crl_algorithm),
    CRL("crl-critical-unknown", E, "RFC 5280 5.2", "no critical extension that nobody knows", lint_crl_critical),
    CRL("crl-long", W, "CABF BR 4.9.7", "nextUpdate at most a year after thisUpdate", lint_crl_long),
    {"request", CS_LINT_CSR, E, "RFC 2986", "a request that proves its key, well-formed and strong", NULL, NULL, false},
    {"request-ca", CS_LINT_CSR, E, "own", "a request does not ask to become a CA", NULL, NULL, false},
};
enum { RULES = sizeof(rules) / sizeof(rules[0]) };

const cs_lint_rule *cs_lint_rule_at(size_t i) {
    return i < RULES ? &rules[i] : NULL;
}

const char *cs_lint_severity_name(cs_lint_severity s) {
    static const char *const names[] = {"notice", "warning", "error"};
    return names[s];
}

const char *cs_lint_of_name(cs_lint_of of) {
    static const char *const names[] = {"certificate", "CRL", "request"};
    return names[of];
}

static const cs_lint_rule *rule_named(const char *id) {
    size_t i = 0;
    while (strcmp(rules[i].id, id) != 0) i++; /* only with ids of the table */
    return &rules[i];
}

static void add(cs_lint_report *r, const cs_lint_rule *rule, const char *field, const char *detail) {
    if (r->n < CS_LINT_FINDINGS_MAX) r->at[r->n++] = (cs_lint_finding){rule, field, detail};
    r->errors += rule->severity == CS_LINT_ERROR;
    r->warnings += rule->severity == CS_LINT_WARNING;
}

/* Which field the flaw is about that decoding has noted. */
static const char *cert_field(const cs_cert *c, const cs_lint_rule *rule) {
    const cs_cert_more *m = cs_cert_more_of(c);
    if (rule->cert == lint_form) return m->flaw_any.field;
    return rule->cert == lint_form_strict ? m->flaw_strict.field : "";
}

static const char *crl_field(const cs_crl *c, const cs_lint_rule *rule) {
    if (rule->crl == lint_crl_form) return c->flaw.field;
    return rule->crl == lint_crl_strict ? c->flaw_strict.field : "";
}

/* Of what could not be read whole only the form is judged: other fields may be missing. */
void cs_lint_cert(const cs_cert *c, cs_lint_report *ret) {
    bool broken = cs_cert_more_of(c)->broken;
    *ret = (cs_lint_report){.of = CS_LINT_CERT};
    if (!broken) (void)cs_name_text(c->subject, ret->name);
    for (size_t i = 0; i < RULES && !(broken && i > 0); i++) {
        const char *detail = rules[i].cert ? rules[i].cert(c) : NULL;
        if (detail) add(ret, &rules[i], cert_field(c, &rules[i]), detail);
    }
}

void cs_lint_crl(const cs_crl *c, cs_lint_report *ret) {
    *ret = (cs_lint_report){.of = CS_LINT_CRL};
    (void)cs_name_text(c->issuer, ret->name);
    for (size_t i = 0; i < RULES; i++) {
        const char *detail = rules[i].crl ? rules[i].crl(c) : NULL;
        if (detail) add(ret, &rules[i], crl_field(c, &rules[i]), detail);
    }
}

cs_status cs_lint_before_signing(const cs_cert *c, cs_err *err) {
    for (size_t i = 0; i < RULES; i++) {
        const cs_lint_rule *r = &rules[i];
        const char *detail = r->cert && !r->not_before_signing && r->severity == CS_LINT_ERROR ? r->cert(c) : NULL;
        if (detail) return cs_fail(err, CS_REFUSED, CS_R_LINT_FAILED, "%s (%s): %s", r->id, r->source, detail);
    }
    return CS_OK;
}

/* ---- texts ---- */

static void unread(cs_lint_of of, const char *rule, const cs_err *why, cs_lint_report *r) {
    *r = (cs_lint_report){.of = of};
    (void)snprintf(r->unread, sizeof(r->unread), "%s: %s", cs_reason_of(why->reason)->name, why->detail);
    add(r, rule_named(rule), "", r->unread);
}

static cs_status lint_cert_der(cs_view der, cs_lint_report *r, cs_err *err) {
    CS_AUTO(cs_cert) c = NULL;
    cs_status status = cs_cert_decode_noting(der, &c, err);
    if (status == CS_NOMEM) return status;
    if (status == CS_OK)
        cs_lint_cert(c, r);
    else
        unread(CS_LINT_CERT, "form", err, r);
    return CS_OK;
}

static cs_status lint_crl_der(cs_view der, cs_lint_report *r, cs_err *err) {
    CS_AUTO(cs_crl) c = NULL;
    cs_status status = cs_crl_decode(der, &c, err);
    if (status == CS_NOMEM) return status;
    if (status == CS_OK)
        cs_lint_crl(c, r);
    else
        unread(CS_LINT_CRL, "crl-form", err, r);
    return CS_OK;
}

static cs_status lint_csr_der(cs_view der, cs_lint_report *r, cs_err *err) {
    CS_AUTO(cs_csr) csr = NULL;
    cs_status status = cs_csr_read(der, "request", &csr, err);
    if (status == CS_NOMEM) return status;
    if (status != CS_OK) {
        unread(CS_LINT_CSR, "request", err, r);
        return CS_OK;
    }
    *r = (cs_lint_report){.of = CS_LINT_CSR};
    (void)cs_name_text(csr->subject, r->name);
    if (csr->asks_ca) add(r, rule_named("request-ca"), "", "it asks for CA:TRUE, keyCertSign or cRLSign");
    return CS_OK;
}

/* What kind of object a DER is, from its second level: a certificate's TBS begins with [0] or is followed by an INTEGER
 * and an AlgorithmIdentifier; a CRL's has a time where a certificate has the validity; a request's has a subject there.
 */
static cs_lint_of kind_of(cs_view der) {
    cs_der_fault fault = {0};
    uint8_t tag = 0;
    cs_der d = cs_der_of(der, &fault), outer = cs_der_in(&d, CS_DER_SEQUENCE), t = cs_der_in(&outer, CS_DER_SEQUENCE);
    if (cs_der_peek(&t) == CS_DER_CTX_CONS(0)) return CS_LINT_CERT;
    for (int i = 0; cs_der_more(&t) && i < 4; i++) {
        (void)cs_der_any(&t, &tag, NULL);
        if (tag == CS_DER_UTC_TIME || tag == CS_DER_GENERALIZED_TIME) return CS_LINT_CRL;
        if (tag == CS_DER_CTX_CONS(0)) return CS_LINT_CSR; /* attributes */
    }
    return CS_LINT_CERT;
}

static cs_status lint_der(cs_lint_of of, cs_view der, cs_lint_seen *seen, void *cls, cs_err *err) {
    cs_lint_report r;
    switch (of) {
    case CS_LINT_CERT: TRY(lint_cert_der(der, &r, err)); break;
    case CS_LINT_CRL: TRY(lint_crl_der(der, &r, err)); break;
    case CS_LINT_CSR: TRY(lint_csr_der(der, &r, err)); break;
    }
    seen(cls, &r);
    return CS_OK;
}

static bool label_of(const char *label, cs_lint_of *ret) {
    static const struct {
        const char *label;
        cs_lint_of of;
    } known[] = {{"CERTIFICATE", CS_LINT_CERT},
                 {"X509 CERTIFICATE", CS_LINT_CERT},
                 {"X509 CRL", CS_LINT_CRL},
                 {"CERTIFICATE REQUEST", CS_LINT_CSR},
                 {"NEW CERTIFICATE REQUEST", CS_LINT_CSR}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(label, known[i].label) != 0) continue;
        *ret = known[i].of;
        return true;
    }
    return false;
}

cs_status cs_lint_text(cs_view text, const char *what, cs_lint_seen *seen, void *cls, cs_err *err) {
    if (cs_view_trim(text).n == 0) return cs_fail(err, CS_REFUSED, CS_R_FILE_EMPTY, "%s", what);
    if (cs_looks_der(text)) return lint_der(kind_of(text), text, seen, cls, err);
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_CRL_MAX);
    cs_pem pem = cs_pem_of(text, what);
    cs_status status;
    size_t n = 0;
    while ((status = cs_pem_next(&pem, &der, err)) == CS_OK) {
        cs_lint_of of;
        if (!label_of(pem.label, &of)) continue;
        TRY(lint_der(of, cs_buf_view(&der), seen, cls, err));
        n++;
    }
    if (status != CS_AGAIN) return status;
    if (n > 0) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s: holds no certificate, CRL or request", what);
}
