/* CRLs, built as a stream; and checked by who signs them. @rfc 5280#5 */
#include "x509/build.h"

#include "x509/exts_write.h"

static const struct {
    int reason;
    const char *name;
} reasons[] = {
    {CS_CRL_UNSPECIFIED, "unspecified"},
    {CS_CRL_KEY_COMPROMISE, "key-compromise"},
    {CS_CRL_CA_COMPROMISE, "ca-compromise"},
    {CS_CRL_AFFILIATION_CHANGED, "affiliation-changed"},
    {CS_CRL_SUPERSEDED, "superseded"},
    {CS_CRL_CESSATION, "cessation-of-operation"},
    {CS_CRL_HOLD, "certificate-hold"},
    {CS_CRL_REMOVE, "remove-from-crl"},
    {CS_CRL_PRIVILEGE_WITHDRAWN, "privilege-withdrawn"},
    {CS_CRL_AA_COMPROMISE, "aa-compromise"},
};
enum { REASON_COUNT = sizeof(reasons) / sizeof(reasons[0]) };

const char *cs_crl_reason_name(int reason) {
    for (size_t i = 0; i < REASON_COUNT; i++) {
        if (reasons[i].reason == reason) return reasons[i].name;
    }
    return NULL;
}

cs_status cs_crl_reason_parse(cs_view name, int *ret, cs_err *err) {
    for (size_t i = 0; i < REASON_COUNT; i++) {
        if (!cs_view_eq_nocase(name, cs_view_str(reasons[i].name))) continue;
        *ret = reasons[i].reason;
        return CS_OK;
    }
    return cs_fail(err, CS_REFUSED, CS_R_REASON_INVALID, "\"%.*s\"", (int)(name.n > 64 ? 64 : name.n),
                   (const char *)name.p);
}

/* ---- built ---- */

cs_status cs_crl_begin(cs_crl_builder *b, const cs_cert *issuer, uint64_t number, cs_time this_update,
                       cs_time next_update, cs_buf *tbs, cs_err *err) {
    cs_view algorithm;
    if (next_update <= this_update)
        return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "a CRL that ends before it begins");
    if (issuer->skid.n == 0)
        return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "the issuer has no subject key identifier");
    TRY(cs_key_algorithm(issuer->spki, &algorithm, err));
    *b = (cs_crl_builder){.tbs = tbs, .akid = issuer->skid, .number = number};
    b->outer = cs_der_open(tbs, CS_DER_SEQUENCE);
    cs_der_put_uint(tbs, CS_DER_INTEGER, 1); /* v2 */
    (void)cs_buf_add_view(tbs, algorithm);
    (void)cs_buf_add_view(tbs, issuer->subject);
    cs_der_put_time(tbs, this_update);
    cs_der_put_time(tbs, next_update);
    return cs_buf_ok(tbs, "CRL", err);
}

cs_status cs_crl_add(cs_crl_builder *b, cs_view serial, cs_time revoked, int reason, cs_err *err) {
    cs_buf *tbs = b->tbs;
    if (serial.n == 0 || serial.n > CS_SERIAL_MAX || !cs_crl_reason_name(reason))
        return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "CRL entry with a serial of %zu octets, reason %d",
                       serial.n, reason);
    /* an empty list must be absent, 5.1.2.6: it begins with its first entry */
    if (b->entries++ == 0) b->list = cs_der_open(tbs, CS_DER_SEQUENCE);
    cs_der_mark entry = cs_der_open(tbs, CS_DER_SEQUENCE);
    cs_der_put(tbs, CS_DER_INTEGER, serial);
    cs_der_put_time(tbs, revoked);
    if (reason != CS_CRL_UNSPECIFIED) { /* SHOULD be absent instead, 5.3.1 */
        cs_der_mark exts = cs_der_open(tbs, CS_DER_SEQUENCE);
        cs_ext_mark m = cs_ext_open(tbs, CS_OID_CRL_REASON, false);
        cs_der_put_uint(tbs, CS_DER_ENUMERATED, (uint64_t)reason);
        cs_ext_close(tbs, m);
        cs_der_close(tbs, exts);
    }
    cs_der_close(tbs, entry);
    return tbs->failed ? cs_buf_ok(tbs, "CRL", err) : CS_OK;
}

cs_status cs_crl_end(cs_crl_builder *b, cs_err *err) {
    cs_buf *tbs = b->tbs;
    if (b->entries > 0) cs_der_close(tbs, b->list);
    cs_der_mark wrap = cs_der_open(tbs, CS_DER_CTX_CONS(0)), exts = cs_der_open(tbs, CS_DER_SEQUENCE);
    cs_ext_put_aki(tbs, b->akid);
    cs_ext_mark m = cs_ext_open(tbs, CS_OID_CRL_NUMBER, false);
    cs_der_put_uint(tbs, CS_DER_INTEGER, b->number);
    cs_ext_close(tbs, m);
    cs_der_close(tbs, exts);
    cs_der_close(tbs, wrap);
    cs_der_close(tbs, b->outer);
    return cs_buf_ok(tbs, "CRL", err);
}

/* ---- checked ---- */

static void check_entry(cs_der *list, cs_der_fault *fault) {
    cs_der entry = cs_der_in(list, CS_DER_SEQUENCE), exts;
    fault->field = "revokedCertificates";
    cs_view serial = cs_der_integer(&entry);
    if (cs_der_ok(&entry) && (serial.n > CS_SERIAL_MAX || (serial.p[0] & 0x80)))
        (void)cs_der_bad(&entry, "a serial number out of range");
    (void)cs_der_time(&entry, NULL);
    if (cs_der_in_opt(&entry, CS_DER_SEQUENCE, &exts)) {
        cs_der one = cs_der_in(&exts, CS_DER_SEQUENCE);
        if (!cs_view_eq(cs_der_oid(&one), CS_OID_CRL_REASON)) (void)cs_der_bad(&one, "an extension but the reason");
        cs_der octets = cs_der_in(&one, CS_DER_OCTET_STRING);
        cs_view reason = cs_der_get(&octets, CS_DER_ENUMERATED);
        if (cs_der_ok(&octets) && (reason.n != 1 || reason.p[0] == 0 || !cs_crl_reason_name(reason.p[0])))
            (void)cs_der_bad(&octets, "a reason that is none");
        cs_der_end(&octets);
        cs_der_end(&one);
        cs_der_end(&exts);
    }
    cs_der_end(&entry);
}

/* Exactly what cs_crl_end writes. */
static void check_extensions(cs_der *in, cs_der_fault *fault, const cs_cert *issuer, cs_crl_facts *facts) {
    fault->field = "crlExtensions";
    cs_der wrap = cs_der_in(in, CS_DER_CTX_CONS(0)), exts = cs_der_in(&wrap, CS_DER_SEQUENCE);
    cs_der aki = cs_der_in(&exts, CS_DER_SEQUENCE);
    fault->field = "authorityKeyIdentifier";
    if (!cs_view_eq(cs_der_oid(&aki), CS_OID_AKI)) (void)cs_der_bad(&aki, "is not where it belongs");
    cs_der aki_octets = cs_der_in(&aki, CS_DER_OCTET_STRING), aki_seq = cs_der_in(&aki_octets, CS_DER_SEQUENCE);
    cs_view keyid = cs_der_get(&aki_seq, CS_DER_CTX(0));
    if (!cs_view_eq(keyid, issuer->skid)) (void)cs_der_bad(&aki_seq, "is not the issuer's key identifier");
    cs_der_end(&aki_seq);
    cs_der_end(&aki_octets);
    cs_der_end(&aki);
    fault->field = "cRLNumber";
    cs_der number = cs_der_in(&exts, CS_DER_SEQUENCE);
    if (!cs_view_eq(cs_der_oid(&number), CS_OID_CRL_NUMBER)) (void)cs_der_bad(&number, "is not where it belongs");
    cs_der number_octets = cs_der_in(&number, CS_DER_OCTET_STRING);
    facts->number = cs_der_uint(&number_octets, UINT64_MAX);
    cs_der_end(&number_octets);
    cs_der_end(&number);
    fault->field = "crlExtensions";
    cs_der_end(&exts);
    cs_der_end(&wrap);
}

cs_status cs_crl_tbs_check(cs_view tbs, const cs_cert *issuer, uint64_t high_water, cs_crl_facts *ret, cs_err *err) {
    cs_der_fault fault = {.field = "tbsCertList"};
    cs_crl_facts facts = {0};
    cs_view algorithm;
    TRY(cs_key_algorithm(issuer->spki, &algorithm, err));
    cs_der outer = cs_der_of(tbs, &fault), in = cs_der_in(&outer, CS_DER_SEQUENCE), list;
    fault.field = "version";
    if (cs_der_uint(&in, 1) != 1) (void)cs_der_bad(&in, "is not v2");
    fault.field = "signature";
    if (!cs_view_eq(cs_der_get_whole(&in, CS_DER_SEQUENCE), algorithm)) (void)cs_der_bad(&in, "is not the issuer's");
    fault.field = "issuer";
    if (!cs_view_eq(cs_der_get_whole(&in, CS_DER_SEQUENCE), issuer->subject))
        (void)cs_der_bad(&in, "is not the issuer");
    fault.field = "thisUpdate";
    facts.this_update = cs_der_time(&in, NULL);
    fault.field = "nextUpdate";
    facts.next_update = cs_der_time(&in, NULL);
    if (cs_der_ok(&in) && facts.next_update <= facts.this_update) (void)cs_der_bad(&in, "is not after thisUpdate");
    if (cs_der_in_opt(&in, CS_DER_SEQUENCE, &list)) {
        fault.field = "revokedCertificates";
        if (!cs_der_more(&list)) (void)cs_der_bad(&list, "is empty but present");
        for (; cs_der_more(&list); facts.entries++) check_entry(&list, &fault);
    }
    check_extensions(&in, &fault, issuer, &facts);
    cs_der_end(&in);
    cs_der_end(&outer);
    if (fault.rule) return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "CRL: %s: %s", fault.in, fault.rule);
    if (facts.number <= high_water)
        return cs_fail(err, CS_REFUSED, CS_R_CRL_ROLLBACK, "CRL number %llu, signed already: %llu",
                       (unsigned long long)facts.number, (unsigned long long)high_water);
    *ret = facts;
    return CS_OK;
}
