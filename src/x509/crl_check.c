/* CRLs, checked by who signs them: in pieces, so that a long one is never held. @rfc 5280#5 */
#include "x509/build.h"

#include "x509/exts_write.h"

static cs_status bad(const cs_der_fault *fault, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "CRL: %s: %s", fault->in, fault->rule);
}

static cs_status violated(const char *field, const char *rule, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "CRL: %s: %s", field, rule);
}

/* The header of a SEQUENCE whose contents are not all here: in the one form that DER has for its length. */
static bool open_sequence(cs_view v, size_t *ret_head, size_t *ret_length) {
    uint8_t again[8];
    CS_SCOPED(cs_buf) b = cs_buf_of(sizeof again);
    if (v.n < 2 || v.p[0] != CS_DER_SEQUENCE) return false;
    size_t octets = v.p[1] < 0x80 ? 0 : v.p[1] & 0x7fU, n = octets == 0 ? v.p[1] : 0;
    if (octets > 4 || v.n < 2 + octets) return false;
    for (size_t i = 0; i < octets; i++) n = n << 8 | v.p[2 + i];
    cs_der_put_head(&b, CS_DER_SEQUENCE, n);
    if (!cs_view_starts(v, cs_buf_view(&b)) || b.n != 2 + octets) return false;
    *ret_head = b.n;
    *ret_length = n;
    return true;
}

cs_status cs_crl_check_front(cs_crl_check *c, const cs_cert *issuer, cs_view front, size_t *ret_used, cs_err *err) {
    cs_der_fault fault = {.field = "tbsCertList"};
    cs_view algorithm;
    size_t head = 0, whole = 0, list = 0;
    *c = (cs_crl_check){.issuer = issuer};
    TRY(cs_key_algorithm(issuer->spki, &algorithm, err));
    if (!open_sequence(front, &head, &whole)) return violated("tbsCertList", "not a SEQUENCE in DER", err);
    cs_der in = cs_der_of(cs_view_of(front.p + head, front.n - head), &fault);
    fault.field = "version";
    if (cs_der_uint(&in, 1) != 1) (void)cs_der_bad(&in, "is not v2");
    fault.field = "signature";
    if (!cs_view_eq(cs_der_get_whole(&in, CS_DER_SEQUENCE), algorithm)) (void)cs_der_bad(&in, "is not the issuer's");
    fault.field = "issuer";
    if (!cs_view_eq(cs_der_get_whole(&in, CS_DER_SEQUENCE), issuer->subject))
        (void)cs_der_bad(&in, "is not the issuer");
    fault.field = "thisUpdate";
    c->facts.this_update = cs_der_time(&in, NULL);
    fault.field = "nextUpdate";
    c->facts.next_update = cs_der_time(&in, NULL);
    if (cs_der_ok(&in) && c->facts.next_update <= c->facts.this_update)
        (void)cs_der_bad(&in, "is not after thisUpdate");
    if (fault.rule) return bad(&fault, err);
    size_t used = front.n - in.left, list_head = 0;
    cs_view rest = cs_view_of(in.p, in.left);
    if (rest.n > 0 && rest.p[0] == CS_DER_SEQUENCE) {
        if (!open_sequence(rest, &list_head, &list))
            return violated("revokedCertificates", "not a SEQUENCE in DER", err);
        if (list == 0) return violated("revokedCertificates", "is empty but present", err);
    }
    used += list_head;
    if (list > whole || used - head > whole - list)
        return violated("revokedCertificates", "longer than what holds it", err);
    c->left = list;
    c->back = whole - list - (used - head);
    *ret_used = used;
    return CS_OK;
}

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

cs_status cs_crl_check_entries(cs_crl_check *c, cs_view whole_entries, cs_err *err) {
    cs_der_fault fault = {.field = "revokedCertificates"};
    cs_der list = cs_der_of(whole_entries, &fault);
    if (whole_entries.n > c->left) return violated("revokedCertificates", "longer than was said", err);
    for (; cs_der_more(&list); c->facts.entries++) check_entry(&list, &fault);
    if (fault.rule) return bad(&fault, err);
    c->left -= whole_entries.n;
    return CS_OK;
}

/* The URIs of a DistributionPointName that is a fullName. */
static size_t read_points(cs_der *in, cs_view points[], size_t max) {
    cs_der name = cs_der_in(in, CS_DER_CTX_CONS(0)), full = cs_der_in(&name, CS_DER_CTX_CONS(0));
    size_t n = 0;
    while (cs_der_more(&full) && n < max) points[n++] = cs_der_get(&full, CS_DER_CTX(CS_SAN_URI));
    cs_der_end(&full);
    cs_der_end(&name);
    return n;
}

/* What the extensions say, read leniently: the caller builds them again. */
static void read_back(cs_der *in, cs_crl_plan *plan, cs_view points[CS_CRL_POINTS_MAX]) {
    cs_der wrap = cs_der_in(in, CS_DER_CTX_CONS(0)), exts = cs_der_in(&wrap, CS_DER_SEQUENCE);
    while (cs_der_more(&exts)) {
        cs_der one = cs_der_in(&exts, CS_DER_SEQUENCE);
        cs_view oid = cs_der_oid(&one);
        if (cs_der_peek(&one) == CS_DER_BOOLEAN) (void)cs_der_bool(&one);
        cs_der value = cs_der_in(&one, CS_DER_OCTET_STRING);
        if (cs_view_eq(oid, CS_OID_CRL_NUMBER)) plan->number = cs_der_uint(&value, UINT64_MAX);
        if (cs_view_eq(oid, CS_OID_DELTA_INDICATOR)) plan->base = cs_der_uint(&value, UINT64_MAX);
        if (cs_view_eq(oid, CS_OID_ISSUING_POINT)) {
            cs_der seq = cs_der_in(&value, CS_DER_SEQUENCE);
            plan->point_count = read_points(&seq, points, CS_CRL_POINTS_MAX);
        }
        if (cs_view_eq(oid, CS_OID_FRESHEST)) {
            cs_der list = cs_der_in(&value, CS_DER_SEQUENCE), point = cs_der_in(&list, CS_DER_SEQUENCE);
            (void)read_points(&point, &plan->freshest, 1);
        }
    }
}

cs_status cs_crl_check_back(cs_crl_check *c, cs_view back, uint64_t high_water, cs_crl_facts *ret, cs_err *err) {
    cs_der_fault fault = {.field = "crlExtensions"};
    cs_view points[CS_CRL_POINTS_MAX];
    CS_SCOPED(cs_buf) again = cs_buf_of(CS_CERT_MAX);
    cs_crl_plan plan = {.issuer = c->issuer, .points = points};
    cs_der in = cs_der_of(back, &fault);
    if (c->left > 0 || back.n != c->back) return violated("tbsCertList", "not as long as was said", err);
    read_back(&in, &plan, points);
    if (fault.rule) return bad(&fault, err);
    TRY(cs_crl_put_back(&plan, &again, err));
    if (!cs_view_eq(cs_buf_view(&again), back))
        return violated("crlExtensions", "not the key identifier, number and points in their one form", err);
    c->facts.number = plan.number;
    c->facts.base = plan.base;
    if (plan.base >= plan.number) return violated("deltaCRLIndicator", "not below the list's own number", err);
    if (plan.base > 0 && plan.freshest.n > 0) return violated("freshestCRL", "in a delta", err);
    if (plan.number <= high_water)
        return cs_fail(err, CS_REFUSED, CS_R_CRL_ROLLBACK, "CRL number %llu, signed already: %llu",
                       (unsigned long long)plan.number, (unsigned long long)high_water);
    *ret = c->facts;
    return CS_OK;
}

cs_status cs_crl_tbs_check(cs_view tbs, const cs_cert *issuer, uint64_t high_water, cs_crl_facts *ret, cs_err *err) {
    cs_crl_check c;
    size_t at = 0;
    TRY(cs_crl_check_front(&c, issuer, tbs, &at, err));
    if (c.left > tbs.n - at) return violated("revokedCertificates", "cut short", err);
    size_t entries = c.left;
    TRY(cs_crl_check_entries(&c, cs_view_of(tbs.p + at, entries), err));
    at += entries;
    return cs_crl_check_back(&c, cs_view_of(tbs.p + at, tbs.n - at), high_water, ret, err);
}
