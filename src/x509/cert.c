#include "x509/cert_priv.h"

#include <stdlib.h>

#include "base/text.h"
#include "x509/digest.h"

/* One allocation: the public part, verify's part, the DER. */
typedef struct whole {
    cs_cert pub;
    cs_cert_more more;
    uint8_t der[];
} whole;

const char *cs_flaw_text(const cs_flaw *f, char out[CS_DETAIL_MAX]) {
    char oid[CS_OID_TEXT_MAX];
    cs_buf b = cs_buf_of(CS_DETAIL_MAX - 1);
    cs_buf_addf(&b, "%s: %s", f->field, f->rule);
    if (f->what.n) cs_buf_addf(&b, " (%s)", cs_oid_text(f->what, oid));
    const char *text = cs_buf_cstr(&b);
    size_t n = text ? strlen(text) : 0;
    memcpy(out, text ? text : "", n + 1);
    cs_buf_free(&b);
    return out;
}

static void flaw_from_fault(cs_cert_more *m, const cs_der_fault *fault) {
    if (!fault->rule) return;
    m->broken = true;
    cs_flaw_note(&m->flaw_any, CS_R_CERTIFICATE_MALFORMED, fault->in ? fault->in : "certificate", fault->rule);
}

/* The three parts, all octets used. Anything that lacks this form is no certificate at all. */
static bool outer_form(cs_view der, cs_view *tbs, cs_view *tbs_in, cs_view *alg, cs_view *sig, cs_der_fault *fault) {
    cs_der d = cs_der_of(der, fault);
    fault->field = "certificate";
    cs_der c = cs_der_in(&d, CS_DER_SEQUENCE);
    cs_der_end(&d);
    cs_der peek = c;
    *tbs = cs_der_get_whole(&c, CS_DER_SEQUENCE);
    *tbs_in = cs_der_get(&peek, CS_DER_SEQUENCE);
    *alg = cs_der_get_whole(&c, CS_DER_SEQUENCE);
    *sig = cs_der_get(&c, CS_DER_BIT_STRING);
    cs_der_end(&c);
    return fault->rule == NULL;
}

/* @rfc 5280#4.1.2.1 @rfc 5280#4.1.2.2 */
static void read_version_serial(cs_cert *c, cs_der *t, cs_der_fault *fault) {
    cs_cert_more *m = cs_cert_more_of(c);
    fault->field = "version";
    cs_der v;
    m->version = 1;
    if (cs_der_in_opt(t, CS_DER_CTX_CONS(0), &v)) {
        m->version = (int)cs_der_uint(&v, 2) + 1;
        cs_der_end(&v);
        if (m->version == 1)
            cs_flaw_note(&m->flaw_strict, CS_R_CERTIFICATE_MALFORMED, "version", "the default is written out");
    }
    if (m->version != 3) cs_flaw_note(&m->flaw_strict, CS_R_CERTIFICATE_MALFORMED, "version", "is not 3");
    fault->field = "serialNumber";
    c->serial = cs_der_integer(t);
    if (c->serial.n == 0) return;
    if (c->serial.p[0] & 0x80)
        cs_flaw_note(&m->flaw_serial, CS_R_CERTIFICATE_MALFORMED, "serialNumber", "is negative");
    else if (c->serial.n == 1 && c->serial.p[0] == 0)
        cs_flaw_note(&m->flaw_serial, CS_R_CERTIFICATE_MALFORMED, "serialNumber", "is zero");
    if (c->serial.n > CS_SERIAL_MAX)
        cs_flaw_note(&m->flaw_serial, CS_R_CERTIFICATE_MALFORMED, "serialNumber", "has more than 20 octets");
}

/* @rfc 5280#4.1.2.5: through 2049 as UTCTime, from 2050 as GeneralizedTime. */
static cs_time read_time(cs_der *v, cs_cert_more *m, const char *field, cs_der_fault *fault) {
    uint8_t tag = 0;
    fault->field = field;
    cs_time t = cs_der_time(v, &tag);
    if (tag == CS_DER_GENERALIZED_TIME) {
        int year = cs_civil_of_time(t).year;
        if (year >= 1950 && year < 2050)
            cs_flaw_note(&m->flaw_strict, CS_R_CERTIFICATE_MALFORMED, field, "is GeneralizedTime before the year 2050");
    }
    return t;
}

static void read_names_validity(cs_cert *c, cs_der *t, cs_der_fault *fault) {
    cs_cert_more *m = cs_cert_more_of(c);
    const char *odd = NULL;
    fault->field = "issuer";
    c->issuer = cs_der_get_whole(t, CS_DER_SEQUENCE);
    cs_name_check(c->issuer, fault, &odd);
    if (odd) cs_flaw_note(&m->flaw_strict, CS_R_CERTIFICATE_MALFORMED, "issuer", odd);
    if (!fault->rule && cs_name_empty(c->issuer))
        cs_flaw_note(&m->flaw_any, CS_R_CERTIFICATE_MALFORMED, "issuer", "is empty");
    fault->field = "validity";
    cs_der v = cs_der_in(t, CS_DER_SEQUENCE);
    c->not_before = read_time(&v, m, "notBefore", fault);
    c->not_after = read_time(&v, m, "notAfter", fault);
    cs_der_end(&v);
    fault->field = "subject";
    odd = NULL;
    c->subject = cs_der_get_whole(t, CS_DER_SEQUENCE);
    cs_name_check(c->subject, fault, &odd);
    if (odd) cs_flaw_note(&m->flaw_strict, CS_R_CERTIFICATE_MALFORMED, "subject", odd);
}

/* issuerUniqueID [1], subjectUniqueID [2]: of version 2 and 3; must not be made, may be read. @rfc 5280#4.1.2.8 */
static void read_unique_ids(cs_cert_more *m, cs_der *t, cs_der_fault *fault) {
    cs_view id;
    unsigned unused;
    for (unsigned i = 1; i <= 2; i++) {
        fault->field = "uniqueIdentifier";
        if (!cs_der_opt(t, CS_DER_CTX(i), &id)) continue;
        cs_der_bits_of(t, id, &unused);
        if (m->version == 1) cs_der_bad(t, "is of version 2 and 3 only");
    }
}

static void read_tbs(cs_cert *c, cs_view tbs_in, cs_view outer_alg, cs_der_fault *fault) {
    cs_cert_more *m = cs_cert_more_of(c);
    cs_der t = cs_der_of(tbs_in, fault);
    read_version_serial(c, &t, fault);
    fault->field = "signature";
    cs_view inner_alg = cs_der_get_whole(&t, CS_DER_SEQUENCE);
    if (!fault->rule) cs_sigalg_read(inner_alg, &m->alg);
    if (!fault->rule && !cs_view_eq(inner_alg, outer_alg)) /* @rfc 5280#4.1.1.2 */
        cs_flaw_note(&m->flaw_any, CS_R_CERTIFICATE_MALFORMED, "signatureAlgorithm",
                     "differs from the algorithm inside the signed part");
    read_names_validity(c, &t, fault);
    fault->field = "subjectPublicKeyInfo";
    c->spki = cs_der_get_whole(&t, CS_DER_SEQUENCE);
    if (!fault->rule) cs_key_read(c->spki, m, fault);
    read_unique_ids(m, &t, fault);
    fault->field = "extensions";
    cs_der x;
    if (cs_der_in_opt(&t, CS_DER_CTX_CONS(3), &x)) {
        cs_view list = cs_der_get(&x, CS_DER_SEQUENCE);
        cs_der_end(&x);
        if (m->version != 3)
            cs_der_bad(&t, "are of version 3 only");
        else
            cs_exts_read(c, list, fault);
    }
    fault->field = "tbsCertificate";
    cs_der_end(&t);
}

/* Rules that need more than one field. @rfc 5280#4.1.2.6 @rfc 5280#4.2.1.3 @rfc 5280#4.2.1.6 @rfc 5280#4.2.1.9 */
static void check_across(cs_cert *c) {
    cs_cert_more *m = cs_cert_more_of(c);
    cs_flaw *strict = &m->flaw_strict;
    m->self_issued = m->issuer_hash == m->subject_hash && cs_name_eq(c->issuer, c->subject);
    if (c->not_before > c->not_after)
        cs_flaw_note(strict, CS_R_CERTIFICATE_MALFORMED, "validity", "ends before it begins");
    if (cs_name_empty(c->subject)) {
        if (c->is_ca)
            cs_flaw_note(strict, CS_R_CERTIFICATE_MALFORMED, "subject", "is empty in a CA certificate");
        else if (!m->ext[CS_EXT_SAN].present)
            cs_flaw_note(strict, CS_R_CERTIFICATE_MALFORMED, "subject", "is empty and there is no subjectAltName");
        else if (!m->ext[CS_EXT_SAN].critical)
            cs_flaw_note(strict, CS_R_CERTIFICATE_MALFORMED, "subjectAltName",
                         "must be critical when the subject is empty");
    }
    if (c->has_key_usage && c->key_usage & CS_KU_CERT_SIGN && !c->is_ca)
        cs_flaw_note(strict, CS_R_CERTIFICATE_MALFORMED, "keyUsage", "keyCertSign without basicConstraints cA");
    if (c->path_len >= 0 && c->has_key_usage && !(c->key_usage & CS_KU_CERT_SIGN))
        cs_flaw_note(strict, CS_R_CERTIFICATE_MALFORMED, "basicConstraints",
                     "pathLenConstraint without keyCertSign in keyUsage");
}

cs_status cs_cert_decode_noting(cs_view der, cs_cert **ret, cs_err *err) {
    whole *w = malloc(sizeof *w + der.n);
    if (!w) return CS_NOMEM_ERR(err);
    memset(w, 0, sizeof *w);
    if (der.n) memcpy(w->der, der.p, der.n);
    cs_cert *c = &w->pub;
    cs_cert_more *m = &w->more;
    c->refs = 1;
    c->more = m;
    c->der = (cs_view){w->der, der.n};
    c->path_len = -1;
    m->require_explicit = m->inhibit_map = m->inhibit_any = -1;
    cs_der_fault fault = {0};
    cs_view tbs_in, alg, sig;
    if (!outer_form(c->der, &c->tbs, &tbs_in, &alg, &sig, &fault)) {
        free(w);
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_MALFORMED, "no certificate: %s", fault.rule);
    }
    cs_der t = cs_der_of(tbs_in, &fault);
    if (der.n > CS_CERT_MAX)
        cs_der_bad(&t, "is larger than 64 KiB");
    else
        read_tbs(c, tbs_in, alg, &fault);
    cs_der s = cs_der_of((cs_view){NULL, 0}, &fault);
    fault.field = "signatureValue";
    m->sig = cs_der_bits_of(&s, sig, NULL);
    flaw_from_fault(m, &fault);
    cs_status status = cs_sha256(c->der, c->sha256, err);
    if (status == CS_OK) status = cs_sha256(c->spki, c->spki_sha256, err);
    if (status != CS_OK) {
        free(c->sans);
        free(w);
        return status;
    }
    m->issuer_hash = cs_name_hash(c->issuer);
    m->subject_hash = cs_name_hash(c->subject);
    if (!m->broken) check_across(c);
    *ret = c;
    return CS_OK;
}

cs_status cs_cert_decode(cs_view der, cs_cert **ret, cs_err *err) {
    CS_AUTO(cs_cert) c = NULL;
    if (der.n > CS_CERT_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_CERTIFICATE_MALFORMED, "a certificate of %zu bytes; the limit is %d", der.n,
                       CS_CERT_MAX);
    TRY(cs_cert_decode_noting(der, &c, err));
    const cs_cert_more *m = cs_cert_more_of(c);
    const cs_flaw *f = m->flaw_any.reason != CS_R_NONE      ? &m->flaw_any
                       : m->flaw_strict.reason != CS_R_NONE ? &m->flaw_strict
                                                            : &m->flaw_serial;
    if (f->reason != CS_R_NONE) {
        char text[CS_DETAIL_MAX];
        return cs_fail(err, CS_REFUSED, f->reason, "%s", cs_flaw_text(f, text));
    }
    *ret = CS_TAKE(c);
    return CS_OK;
}

cs_cert *cs_cert_ref(const cs_cert *c) {
    cs_cert *held = (cs_cert *)(uintptr_t)c; /* counting is the one change that an immutable certificate sees */
    if (held) __atomic_add_fetch(&held->refs, 1, __ATOMIC_RELAXED);
    return held;
}

void cs_cert_free(cs_cert *c) {
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    EVP_PKEY_free(cs_cert_more_of(c)->key);
    free(c->sans);
    free(c); /* the first member of struct whole */
}

cs_status cs_certs_add(cs_certs *bag, cs_cert *take, cs_err *err) {
    size_t n = bag->n;
    if ((n & (n - 1)) == 0) { /* full at every power of two */
        cs_cert **grown = realloc(bag->at, (n ? 2 * n : 1) * sizeof *grown);
        if (!grown) {
            cs_cert_free(take);
            return CS_NOMEM_ERR(err);
        }
        bag->at = grown;
    }
    bag->at[bag->n++] = take;
    return CS_OK;
}

void cs_certs_free(cs_certs *bag) {
    for (size_t i = 0; i < bag->n; i++) cs_cert_free(bag->at[i]);
    free(bag->at);
    *bag = (cs_certs){NULL, 0};
}
