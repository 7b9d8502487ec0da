/* CRLs, built. @rfc 5280#5 */
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

static void put_number(cs_buf *b, cs_view oid, bool critical, uint64_t number) {
    cs_ext_mark m = cs_ext_open(b, oid, critical);
    cs_der_put_uint(b, CS_DER_INTEGER, number);
    cs_ext_close(b, m);
}

/* @rfc 5280#5.2.5 */
static void put_issuing_point(cs_buf *b, const cs_view points[], size_t n) {
    cs_ext_mark m = cs_ext_open(b, CS_OID_ISSUING_POINT, true);
    cs_der_mark seq = cs_der_open(b, CS_DER_SEQUENCE), name = cs_der_open(b, CS_DER_CTX_CONS(0));
    cs_der_mark full = cs_der_open(b, CS_DER_CTX_CONS(0));
    for (size_t i = 0; i < n; i++) cs_der_put(b, CS_DER_CTX(CS_SAN_URI), points[i]);
    cs_der_close(b, full);
    cs_der_close(b, name);
    cs_der_close(b, seq);
    cs_ext_close(b, m);
}

cs_status cs_crl_put_back(const cs_crl_plan *plan, cs_buf *b, cs_err *err) {
    if (plan->issuer->skid.n == 0)
        return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "the issuer has no subject key identifier");
    cs_der_mark wrap = cs_der_open(b, CS_DER_CTX_CONS(0)), exts = cs_der_open(b, CS_DER_SEQUENCE);
    cs_ext_put_aki(b, plan->issuer->skid);
    put_number(b, CS_OID_CRL_NUMBER, false, plan->number);
    if (plan->base != 0) put_number(b, CS_OID_DELTA_INDICATOR, true, plan->base);
    if (plan->point_count > 0) put_issuing_point(b, plan->points, plan->point_count);
    if (plan->freshest.n > 0) cs_ext_put_point(b, CS_OID_FRESHEST, plan->freshest);
    cs_der_close(b, exts);
    cs_der_close(b, wrap);
    return cs_buf_ok(b, "CRL", err);
}

cs_status cs_crl_put_front(const cs_crl_plan *plan, size_t entries_octets, size_t back_octets, cs_buf *b, cs_err *err) {
    CS_SCOPED(cs_buf) in = cs_buf_of(CS_CERT_MAX);
    cs_view algorithm;
    if (plan->next_update <= plan->this_update)
        return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "a CRL that ends before it begins");
    TRY(cs_key_algorithm(plan->issuer->spki, &algorithm, err));
    cs_der_put_uint(&in, CS_DER_INTEGER, 1); /* v2 */
    (void)cs_buf_add_view(&in, algorithm);
    (void)cs_buf_add_view(&in, plan->issuer->subject);
    cs_der_put_time(&in, plan->this_update);
    cs_der_put_time(&in, plan->next_update);
    /* an empty list must be absent, 5.1.2.6 */
    if (entries_octets > 0) cs_der_put_head(&in, CS_DER_SEQUENCE, entries_octets);
    TRY(cs_buf_ok(&in, "CRL", err));
    cs_der_put_head(b, CS_DER_SEQUENCE, in.n + entries_octets + back_octets);
    (void)cs_buf_add_view(b, cs_buf_view(&in));
    return cs_buf_ok(b, "CRL", err);
}

cs_status cs_crl_put_entry(cs_buf *b, cs_view serial, cs_time revoked, int reason, cs_err *err) {
    if (serial.n == 0 || serial.n > CS_SERIAL_MAX || !cs_crl_reason_name(reason))
        return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "CRL entry with a serial of %zu octets, reason %d",
                       serial.n, reason);
    cs_der_mark entry = cs_der_open(b, CS_DER_SEQUENCE);
    cs_der_put(b, CS_DER_INTEGER, serial);
    cs_der_put_time(b, revoked);
    if (reason != CS_CRL_UNSPECIFIED) { /* SHOULD be absent instead, 5.3.1 */
        cs_der_mark exts = cs_der_open(b, CS_DER_SEQUENCE);
        cs_ext_mark m = cs_ext_open(b, CS_OID_CRL_REASON, false);
        cs_der_put_uint(b, CS_DER_ENUMERATED, (uint64_t)reason);
        cs_ext_close(b, m);
        cs_der_close(b, exts);
    }
    cs_der_close(b, entry);
    return b->failed ? cs_buf_ok(b, "CRL", err) : CS_OK;
}

/* ---- in memory ---- */

cs_status cs_crl_begin(cs_crl_builder *b, const cs_cert *issuer, uint64_t number, cs_time this_update,
                       cs_time next_update, cs_buf *tbs, cs_err *err) {
    *b = (cs_crl_builder){
        .tbs = tbs,
        .start = tbs->n,
        .plan = {.issuer = issuer, .number = number, .this_update = this_update, .next_update = next_update}};
    return cs_buf_ok(tbs, "CRL", err);
}

cs_status cs_crl_add(cs_crl_builder *b, cs_view serial, cs_time revoked, int reason, cs_err *err) {
    b->entries++;
    return cs_crl_put_entry(b->tbs, serial, revoked, reason, err);
}

cs_status cs_crl_end(cs_crl_builder *b, cs_err *err) {
    CS_SCOPED(cs_buf) front = cs_buf_of(CS_CERT_MAX);
    cs_buf *tbs = b->tbs;
    size_t entries = tbs->n - b->start;
    TRY(cs_crl_put_back(&b->plan, tbs, err));
    TRY(cs_crl_put_front(&b->plan, entries, tbs->n - b->start - entries, &front, err));
    if (cs_buf_reserve(tbs, front.n) == NULL) return tbs->failed = true, cs_buf_ok(tbs, "CRL", err);
    memmove(tbs->p + b->start + front.n, tbs->p + b->start, tbs->n - b->start);
    memcpy(tbs->p + b->start, front.p, front.n);
    cs_buf_commit(tbs, front.n);
    return CS_OK;
}
