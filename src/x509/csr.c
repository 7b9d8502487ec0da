/* Certificate requests: read and proven. @rfc 2986#4 @rfc 4211#3 */
#include "x509/csr.h"

#include "x509/cert_priv.h"
#include "x509/digest.h"

#include <stdlib.h>

#define OID_CHALLENGE CS_OID_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07")
#define OID_DECRYPT_KEY CS_OID_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x25")
#define OID_ASYMMETRIC_KEY CS_OID_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x36")
#define OID_EXTENSIONS CS_OID_LIT("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e")
#define OID_EXTENSIONS_MS CS_OID_LIT("\x2b\x06\x01\x04\x01\x82\x37\x02\x01\x0e") /* what older Windows writes */

/* Extensions and keys are decoded as those of a certificate; this one holds what was found. */
typedef struct scratch {
    cs_cert cert;
    cs_cert_more more;
    cs_der_fault fault;
    bool has_extensions, has_challenge;
} scratch;

static void scratch_free(scratch *s) {
    EVP_PKEY_free(s->more.key);
    free(s->cert.sans);
}

void cs_csr_free(cs_csr *csr) {
    if (!csr) return;
    free(csr->sans);
    free(csr->copy);
    free(csr);
}

static void count_others(cs_csr *csr, cs_view list, cs_der_fault *fault) {
    for (cs_der d = cs_der_of(list, fault); cs_der_more(&d);) {
        cs_der one = cs_der_in(&d, CS_DER_SEQUENCE);
        cs_ext_id id = cs_ext_of(cs_der_oid(&one));
        if (id != CS_EXT_SAN && id != CS_EXT_KEY_USAGE && id != CS_EXT_EKU && id != CS_EXT_BASIC_CONSTRAINTS)
            csr->other_exts++;
    }
}

/* @rfc 2985#5.4.2 */
static void read_extensions(cs_csr *csr, cs_der *value, scratch *s) {
    s->fault.field = "extensionRequest";
    if (s->has_extensions) (void)cs_der_bad(value, "occurs twice");
    s->has_extensions = true;
    cs_view list = cs_der_get(value, CS_DER_SEQUENCE);
    if (!cs_der_ok(value)) return;
    count_others(csr, list, &s->fault);
    cs_exts_read(&s->cert, list, &s->fault);
}

static void read_challenge(cs_csr *csr, cs_der *value, scratch *s) {
    uint8_t tag = 0;
    s->fault.field = "challengePassword";
    if (s->has_challenge) (void)cs_der_bad(value, "occurs twice");
    s->has_challenge = true;
    csr->challenge = cs_der_any(value, &tag, NULL);
    bool text = tag == CS_DER_UTF8_STRING || tag == CS_DER_PRINTABLE_STRING || tag == CS_DER_IA5_STRING ||
                tag == CS_DER_T61_STRING;
    if (cs_der_ok(value) && !text) (void)cs_der_bad(value, "is not text");
}

static void read_seal_to(cs_csr *csr, cs_der *value, scratch *s) {
    s->fault.field = "asymmetricDecryptKeyID";
    if (csr->seal_to.n > 0) (void)cs_der_bad(value, "occurs twice");
    csr->seal_to = cs_der_get(value, CS_DER_OCTET_STRING);
    if (cs_der_ok(value) && (csr->seal_to.n == 0 || csr->seal_to.n > 64)) (void)cs_der_bad(value, "is none");
}

static void read_attributes(cs_csr *csr, cs_der *attributes, scratch *s) {
    while (cs_der_more(attributes)) {
        s->fault.field = "attributes";
        cs_der one = cs_der_in(attributes, CS_DER_SEQUENCE);
        cs_view oid = cs_der_oid(&one);
        cs_der values = cs_der_in(&one, CS_DER_SET);
        cs_der_end(&one);
        if (!cs_der_ok(&values)) return;
        bool exts = cs_view_eq(oid, OID_EXTENSIONS) || cs_view_eq(oid, OID_EXTENSIONS_MS);
        if (exts)
            read_extensions(csr, &values, s);
        else if (cs_view_eq(oid, OID_CHALLENGE))
            read_challenge(csr, &values, s);
        else if (cs_view_eq(oid, OID_ASYMMETRIC_KEY))
            read_seal_to(csr, &values, s);
        else if (cs_view_eq(oid, OID_DECRYPT_KEY))
            csr->seals_symmetric = cs_der_any(&values, &(uint8_t){0}, NULL).n > 0;
        else
            continue; /* another attribute is no concern of ours */
        cs_der_end(&values);
    }
}

static void read_info(cs_csr *csr, cs_der *in, scratch *s) {
    cs_der attributes;
    s->fault.field = "version";
    if (cs_der_uint(in, 0) != 0) (void)cs_der_bad(in, "is not 0");
    s->fault.field = "subject";
    csr->subject = cs_der_get_whole(in, CS_DER_SEQUENCE);
    if (cs_der_ok(in)) cs_name_check(csr->subject, &s->fault, NULL);
    s->fault.field = "subjectPublicKeyInfo";
    csr->spki = cs_der_get_whole(in, CS_DER_SEQUENCE);
    s->fault.field = "attributes";
    if (cs_der_in_opt(in, CS_DER_CTX_CONS(0), &attributes)) read_attributes(csr, &attributes, s);
    cs_der_end(in);
}

/* ---- CRMF ---- */

/* The key is [6] IMPLICIT: the copy has room behind the request for it as a SEQUENCE. */
static void take_key(cs_csr *csr, cs_view implicit) {
    uint8_t *to = csr->copy + csr->der.n;
    memcpy(to, implicit.p, implicit.n);
    to[0] = CS_DER_SEQUENCE;
    csr->spki = cs_view_of(to, implicit.n);
}

/* @rfc 4211#5: all IMPLICIT but the Names. What is no wish about subject, key or extensions is the profile's to say. */
static void read_template(cs_csr *csr, cs_der *in, scratch *s) {
    static const uint8_t nobody[] = {CS_DER_SEQUENCE, 0};
    csr->subject = cs_view_of(nobody, sizeof nobody);
    while (cs_der_more(in)) {
        uint8_t tag = 0;
        cs_view whole, value = cs_der_any(in, &tag, &whole);
        cs_der name = cs_der_of(value, &s->fault);
        if (tag == CS_DER_CTX_CONS(5)) {
            s->fault.field = "subject";
            csr->subject = cs_der_get_whole(&name, CS_DER_SEQUENCE);
            cs_der_end(&name);
            if (cs_der_ok(&name)) cs_name_check(csr->subject, &s->fault, NULL);
        } else if (tag == CS_DER_CTX_CONS(6) && csr->spki.n == 0) {
            take_key(csr, whole);
        } else if (tag == CS_DER_CTX_CONS(9)) {
            s->fault.field = "extensions";
            count_others(csr, value, &s->fault);
            cs_exts_read(&s->cert, value, &s->fault);
        } else if ((tag & 0xc0) != 0x80) {
            (void)cs_der_bad(in, "is not of the form of a CertTemplate");
        }
        s->fault.field = "certTemplate";
    }
    if (cs_der_ok(in) && csr->spki.n == 0) (void)cs_der_bad(in, "has no public key");
}

/* CertReqMsg ::= { certReq { certReqId, certTemplate, controls }, popo [1] { algorithm, signature } } */
static void read_crmf(cs_csr *csr, cs_der *outer, cs_der *in, scratch *s, cs_view *ret_algorithm, cs_view *ret_sig) {
    unsigned unused = 0;
    cs_view rest;
    s->fault.field = "certReqId";
    (void)cs_der_integer(in);
    s->fault.field = "certTemplate";
    cs_der template = cs_der_in(in, CS_DER_SEQUENCE);
    read_template(csr, &template, s);
    s->fault.field = "controls";
    (void)cs_der_opt(in, CS_DER_SEQUENCE, &rest);
    cs_der_end(in);
    s->fault.field = "popo"; /* @rfc 4211#4.1: poposkInput is for templates without a key */
    cs_der popo = cs_der_in(outer, CS_DER_CTX_CONS(1));
    *ret_algorithm = cs_der_get_whole(&popo, CS_DER_SEQUENCE);
    *ret_sig = cs_der_bits(&popo, &unused);
    if (cs_der_ok(&popo) && unused != 0) (void)cs_der_bad(&popo, "is not whole octets");
    cs_der_end(&popo);
    s->fault.field = "regInfo";
    (void)cs_der_opt(outer, CS_DER_SEQUENCE, &rest);
}

static void take_found(cs_csr *csr, scratch *s) {
    const cs_cert *c = &s->cert;
    csr->sans = CS_TAKE(s->cert.sans);
    csr->san_count = c->san_count;
    csr->has_key_usage = c->has_key_usage;
    csr->key_usage = c->key_usage;
    csr->has_eku = c->has_eku;
    csr->eku = c->eku;
    csr->asks_ca = c->is_ca || (c->has_key_usage && (c->key_usage & (CS_KU_CERT_SIGN | CS_KU_CRL_SIGN)));
}

/* What was decoded without a fault of form: is it also acceptable, and does the signature prove it? */
static cs_status prove(cs_csr *csr, scratch *s, cs_view info, cs_view algorithm, cs_view signature, cs_err *err) {
    char text[CS_DETAIL_MAX];
    cs_sigalg alg = {0};
    if (s->more.flaw_any.reason != CS_R_NONE)
        return cs_fail(err, CS_REFUSED, CS_R_CSR_MALFORMED, "%s", cs_flaw_text(&s->more.flaw_any, text));
    cs_sigalg_read(algorithm, &alg);
    if (alg.flaw.reason != CS_R_NONE || alg.scheme == CS_SIG_UNKNOWN) {
        bool weak = alg.flaw.reason == CS_R_ALGORITHM_TOO_WEAK;
        return cs_fail(err, CS_REFUSED, weak ? CS_R_ALGORITHM_TOO_WEAK : CS_R_CSR_MALFORMED, "the request's %s",
                       alg.flaw.rule ? cs_flaw_text(&alg.flaw, text) : "signature algorithm is unknown");
    }
    TRY(cs_key_spki_check(csr->spki, err));
    s->cert.spki = csr->spki;
    cs_key_read(csr->spki, &s->more, &s->fault);
    if (!cs_sig_ok(&s->cert, &alg, info, signature))
        return cs_fail(err, CS_REFUSED, CS_R_CSR_POP_FAILED, "its signature does not verify under its own key");
    return CS_OK;
}

static cs_status decode_into(cs_csr *csr, scratch *s, cs_err *err) {
    unsigned unused = 0;
    cs_der all = cs_der_of(csr->der, &s->fault), outer = cs_der_in(&all, CS_DER_SEQUENCE), peek = outer;
    s->fault.field = "request";
    cs_view info = cs_der_get_whole(&outer, CS_DER_SEQUENCE);
    cs_der in = cs_der_in(&peek, CS_DER_SEQUENCE);
    cs_view algorithm, signature;
    if (cs_der_peek(&outer) >= 0 && cs_der_peek(&outer) != CS_DER_SEQUENCE) {
        read_crmf(csr, &outer, &in, s, &algorithm, &signature);
    } else {
        read_info(csr, &in, s);
        s->fault.field = "signatureAlgorithm";
        algorithm = cs_der_get_whole(&outer, CS_DER_SEQUENCE);
        s->fault.field = "signature";
        signature = cs_der_bits(&outer, &unused);
        if (cs_der_ok(&outer) && unused != 0) (void)cs_der_bad(&outer, "is not whole octets");
    }
    cs_der_end(&outer);
    cs_der_end(&all);
    take_found(csr, s);
    if (s->fault.rule)
        return cs_fail(err, CS_REFUSED, CS_R_CSR_MALFORMED, "%s: %s", s->fault.in ? s->fault.in : "request",
                       s->fault.rule);
    TRY(prove(csr, s, info, algorithm, signature, err));
    TRY(cs_sha256(csr->der, csr->sha256, err));
    return cs_sha256(csr->spki, csr->spki_sha256, err);
}

static cs_status decode(cs_view der, cs_csr **ret, cs_err *err) {
    if (der.n > CS_CSR_MAX) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "a request of over %d bytes", CS_CSR_MAX);
    CS_AUTO(cs_csr) csr = calloc(1, sizeof(*csr));
    if (!csr || !(csr->copy = malloc(2 * der.n + 1))) return CS_NOMEM_ERR(err);
    if (der.n) memcpy(csr->copy, der.p, der.n);
    csr->der = cs_view_of(csr->copy, der.n);
    CS_SCOPED(scratch) s = {.cert.path_len = -1};
    s.cert.more = &s.more;
    TRY(decode_into(csr, &s, err));
    *ret = CS_TAKE(csr);
    return CS_OK;
}

cs_status cs_csr_read(cs_view text, const char *what, cs_csr **ret, cs_err *err) {
    if (cs_view_trim(text).n == 0) return cs_fail(err, CS_REFUSED, CS_R_FILE_EMPTY, "%s", what);
    if (cs_looks_der(text)) return decode(text, ret, err) == CS_OK ? CS_OK : cs_fail_in(err, "%s", what);
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_CSR_MAX);
    cs_pem pem = cs_pem_of(text, what);
    char other[sizeof(pem.label)] = "";
    cs_status status;
    while ((status = cs_pem_next(&pem, &der, err)) == CS_OK) {
        bool is_csr =
            strcmp(pem.label, "CERTIFICATE REQUEST") == 0 || strcmp(pem.label, "NEW CERTIFICATE REQUEST") == 0;
        if (is_csr) return decode(cs_buf_view(&der), ret, err) == CS_OK ? CS_OK : cs_fail_in(err, "%s", what);
        if (!other[0]) memcpy(other, pem.label, sizeof(other));
    }
    if (status != CS_AGAIN) return status;
    if (other[0])
        return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s: holds \"%s\", not a certificate request", what,
                       other);
    return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s: holds neither PEM nor a DER request", what);
}

cs_status cs_csr_refuse_ca(const cs_csr *csr, cs_err *err) {
    if (!csr->asks_ca) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_CSR_ASKS_FOR_CA, "basicConstraints CA:TRUE, or keyCertSign or cRLSign");
}
