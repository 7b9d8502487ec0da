/* A profile's own extensions; whether it can be kept to; and its digest. */
#include "x509/cert_priv.h"
#include "x509/exts_write.h"
#include "x509/profile_priv.h"

#include <openssl/sha.h>

#define OID_POLICIES CS_OID_LIT("\x55\x1d\x20")
#define OID_TLS_FEATURE CS_OID_LIT("\x2b\x06\x01\x05\x05\x07\x01\x18")
/* certificateTemplateName, 1.3.6.1.4.1.311.20.2: what enterprise CAs use to say by which template one was issued; a
 * BMPString. Identifiers made from a UUID would be our own, but parsers in wide use refuse their 128 bits. */
#define OID_PROFILE CS_OID_LIT("\x2b\x06\x01\x04\x01\x82\x37\x14\x02")

enum { STATUS_REQUEST = 5 }; /* the TLS extension's number, @rfc 7633#4.2.3.1 */

static bool is_builtin(const cs_profile *p) {
    return strcmp(p->name, cs_kind_name(p->kind)) == 0;
}

static void put_policies(const cs_profile *p, cs_buf *tbs) {
    cs_ext_mark m = cs_ext_open(tbs, OID_POLICIES, false);
    cs_der_mark list = cs_der_open(tbs, CS_DER_SEQUENCE);
    for (size_t i = 0; i < p->policy_count; i++) {
        cs_der_mark one = cs_der_open(tbs, CS_DER_SEQUENCE);
        cs_der_put_oid(tbs, p->policies[i]);
        cs_der_close(tbs, one);
    }
    cs_der_close(tbs, list);
    cs_ext_close(tbs, m);
}

void cs_profile_put_own_exts(const cs_profile *p, cs_buf *tbs) {
    cs_ext_mark m;
    if (p->policy_count) put_policies(p, tbs);
    if (p->must_staple) {
        m = cs_ext_open(tbs, OID_TLS_FEATURE, false);
        cs_der_mark list = cs_der_open(tbs, CS_DER_SEQUENCE);
        cs_der_put_uint(tbs, CS_DER_INTEGER, STATUS_REQUEST);
        cs_der_close(tbs, list);
        cs_ext_close(tbs, m);
    }
    if (!is_builtin(p)) {
        m = cs_ext_open(tbs, OID_PROFILE, false);
        cs_der_put_head(tbs, CS_DER_BMP_STRING, 2 * strlen(p->name));
        for (const char *c = p->name; *c; c++) cs_buf_add_u16(tbs, (uint16_t)(uint8_t)*c);
        cs_ext_close(tbs, m);
    }
    for (size_t i = 0; i < p->extra_count; i++) {
        m = cs_ext_open(tbs, p->extras[i].oid, p->extras[i].critical);
        (void)cs_buf_add_view(tbs, p->extras[i].der);
        cs_ext_close(tbs, m);
    }
}

bool cs_profile_of_cert(const cs_cert *c, char out[CS_PROFILE_NAME_MAX + 1]) {
    cs_view value;
    bool critical;
    cs_der_fault fault = {0};
    if (!cs_cert_ext_find(c, OID_PROFILE, &critical, &value)) return false;
    cs_der d = cs_der_of(value, &fault);
    cs_view name = cs_der_get(&d, CS_DER_BMP_STRING);
    cs_der_end(&d);
    if (!cs_der_ok(&d) || name.n == 0 || name.n % 2 != 0 || name.n > 2 * CS_PROFILE_NAME_MAX) return false;
    for (size_t i = 0; i < name.n / 2; i++) {
        if (name.p[2 * i] != 0 || name.p[2 * i + 1] <= 0x20 || name.p[2 * i + 1] >= 0x7f) return false;
        out[i] = (char)name.p[2 * i + 1];
    }
    out[name.n / 2] = '\0';
    return true;
}

/* ---- sealed ---- */

static cs_status bad(const cs_profile *p, const char *field, const char *what, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_PROFILE_VIOLATED, "profile %s: %s: %s", p->name, field, what);
}

static cs_status check_extra(const cs_profile *p, size_t at, cs_err *err) {
    const cs_extra_ext *x = &p->extras[at];
    cs_der_fault fault = {0};
    uint8_t tag;
    cs_der d = cs_der_of(x->der, &fault);
    (void)cs_der_any(&d, &tag, NULL);
    cs_der_end(&d);
    if (!cs_der_ok(&d)) return bad(p, "extensions", "der is not one DER element", err);
    if (cs_ext_of(x->oid) != CS_EXT_UNKNOWN || cs_view_eq(x->oid, OID_TLS_FEATURE) || cs_view_eq(x->oid, OID_PROFILE))
        return bad(p, "extensions", "an extension that other keys of the profile decide", err);
    for (size_t i = 0; i < at; i++)
        if (cs_view_eq(p->extras[i].oid, x->oid)) return bad(p, "extensions", "the same extension twice", err);
    return CS_OK;
}

static cs_status check(const cs_profile *p, cs_err *err) {
    unsigned never = CS_KU_CERT_SIGN | CS_KU_CRL_SIGN;
    if (p->kind == CS_KIND_OTHER) return bad(p, "kind", "expected server, user or device", err);
    size_t n = strlen(p->name);
    if (n == 0 || n > CS_PROFILE_NAME_MAX) return bad(p, "name", "not 1 to 64 characters", err);
    for (size_t i = 0; i < n; i++)
        if (p->name[i] <= 0x20 || p->name[i] >= 0x7f) return bad(p, "name", "not visible ASCII", err);
    if (p->key_usage == 0 || (p->key_usage & never))
        return bad(p, "key_usage", "none, or one that belongs to a CA", err);
    if (p->eku == 0 || (p->eku & (CS_EKU_ANY | CS_EKU_OCSP_SIGNING)))
        return bad(p, "extended_key_usage", "none, or one that is no leaf's (any, OCSP signing)", err);
    if (p->kind == CS_KIND_SERVER && !(p->eku & CS_EKU_SERVER_AUTH))
        return bad(p, "extended_key_usage", "a server's certificate needs server-auth", err);
    if (p->kind != CS_KIND_SERVER && !(p->eku & CS_EKU_CLIENT_AUTH))
        return bad(p, "extended_key_usage", "a client's certificate needs client-auth", err);
    if (p->lifetime < CS_MIN || p->lifetime > p->lifetime_limit)
        return bad(p, "lifetime", "under a minute, or longer than longest", err);
    if (p->backdate < 0 || p->backdate > CS_BACKDATE_MAX) return bad(p, "backdate", "more than two days", err);
    if (p->san_max == 0 || p->san_max > CS_ISSUE_SAN_MAX) return bad(p, "most_names", "not 1 to 100", err);
    if (p->san_max < 1 + p->fixed_count) return bad(p, "most_names", "less than the names that are always put", err);
    for (size_t i = 0; i < p->allowed_count; i++)
        if (!cs_profile_pattern_ok(&p->allowed[i])) return bad(p, "names", "not a pattern", err);
    for (size_t i = 0; i < p->denied_count; i++)
        if (!cs_profile_pattern_ok(&p->denied[i])) return bad(p, "deny_names", "not a pattern", err);
    for (size_t i = 0; i < p->extra_count; i++) TRY(check_extra(p, i, err));
    return CS_OK;
}

static void put_text(cs_buf *b, const char *text) {
    (void)cs_buf_add_vec32(b, text ? cs_view_str(text) : cs_view_of("", 0));
}

static void put_field(cs_buf *b, const cs_field *f) {
    cs_buf_add_byte(b, (uint8_t)f->from);
    put_text(b, f->text);
}

static void put_patterns(cs_buf *b, const cs_pattern *at, size_t n) {
    cs_buf_add_u32(b, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        cs_buf_add_byte(b, (uint8_t)at[i].type);
        put_text(b, at[i].text);
    }
}

/* Every field in order, each with its length: no two profiles make the same octets. */
static void put_all(const cs_profile *p, cs_buf *b) {
    const uint64_t numbers[] = {(uint64_t)p->kind,
                                p->key_types,
                                (uint64_t)p->rsa_bits_min,
                                p->key_usage,
                                p->eku,
                                p->san_types,
                                p->san_max,
                                (uint64_t)p->lifetime,
                                (uint64_t)p->lifetime_limit,
                                (uint64_t)p->backdate,
                                p->names_from_request,
                                p->must_staple,
                                p->approval,
                                p->shared_key,
                                p->supersede_said,
                                p->supersede};
    put_text(b, p->name);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) cs_buf_add_u64(b, numbers[i]);
    put_field(b, &p->subject.country);
    put_field(b, &p->subject.organization);
    put_field(b, &p->subject.unit);
    put_field(b, &p->subject.common_name);
    put_field(b, &p->subject.serial_number);
    put_patterns(b, p->allowed, p->allowed_count);
    put_patterns(b, p->denied, p->denied_count);
    cs_buf_add_u32(b, (uint32_t)p->fixed_count);
    for (size_t i = 0; i < p->fixed_count; i++) {
        cs_buf_add_byte(b, (uint8_t)p->fixed[i].type);
        cs_buf_add_vec32(b, p->fixed[i].value);
    }
    cs_buf_add_u32(b, (uint32_t)p->policy_count);
    for (size_t i = 0; i < p->policy_count; i++) cs_buf_add_vec32(b, p->policies[i]);
    cs_buf_add_u32(b, (uint32_t)p->extra_count);
    for (size_t i = 0; i < p->extra_count; i++) {
        cs_buf_add_vec32(b, p->extras[i].oid);
        cs_buf_add_vec32(b, p->extras[i].der);
        cs_buf_add_byte(b, p->extras[i].critical);
    }
    cs_buf_add_u32(b, (uint32_t)p->ask_count);
    for (size_t i = 0; i < p->ask_count; i++) put_text(b, p->ask[i]);
}

cs_status cs_profile_seal(cs_profile *p, cs_err *err) {
    enum { DIGESTED_MAX = 1024 * 1024 };
    CS_SCOPED(cs_buf) b = cs_buf_of(DIGESTED_MAX);
    TRY(check(p, err));
    put_all(p, &b);
    TRY(cs_buf_ok(&b, "profile", err));
    SHA256(b.p, b.n, p->digest);
    return CS_OK;
}
