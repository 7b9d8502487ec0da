/* What a strict relying party asks of a leaf, and of the CAs above it, for TLS. --purpose any asks none of this. */
#include "verify/verify_priv.h"

#include <arpa/inet.h>

static unsigned eku_bit(cs_purpose p) {
    return p == CS_PURPOSE_SERVER ? CS_EKU_SERVER_AUTH : CS_EKU_CLIENT_AUTH;
}

static cs_reason eku_reason(cs_purpose p) {
    return p == CS_PURPOSE_SERVER ? CS_R_EKU_MISSING_SERVER_AUTH : CS_R_EKU_MISSING_CLIENT_AUTH;
}

/* Nesting: a CA that lists usages passes on no others. @rfc 5280#4.2.1.12 as all browsers read it */
bool cs_ca_purpose_ok(const cs_cert *ca, int depth, const cs_want *want, cs_refusal *r) {
    if (!cs_is_strict(want) || !ca->has_eku || ca->eku & (eku_bit(want->purpose) | CS_EKU_ANY)) return true;
    return cs_refuse(r, eku_reason(want->purpose), depth, "extKeyUsage: the CA's own list lacks %s",
                     want->purpose == CS_PURPOSE_SERVER ? "serverAuth" : "clientAuth");
}

static bool usage_ok(const cs_cert *leaf, const cs_want *want, cs_refusal *r) {
    bool server = want->purpose == CS_PURPOSE_SERVER;
    const char *name = server ? "serverAuth" : "clientAuth";
    if (leaf->has_eku && leaf->eku & CS_EKU_ANY) /* names no use: what the CA wanted is not to be known */
        return cs_refuse(r, eku_reason(want->purpose), 0, "extKeyUsage: anyExtendedKeyUsage does not stand for %s",
                         name);
    if (leaf->has_eku && !(leaf->eku & eku_bit(want->purpose)))
        return cs_refuse(r, eku_reason(want->purpose), 0, "extKeyUsage: lacks %s", name);
    unsigned fine = CS_KU_DIGITAL_SIGNATURE | (server ? CS_KU_KEY_ENCIPHERMENT | CS_KU_KEY_AGREEMENT : 0);
    if (leaf->has_key_usage && !(leaf->key_usage & fine)) /* @rfc 8446#4.4.2.2 */
        return cs_refuse(r, CS_R_KEY_USAGE_WRONG, 0, "keyUsage: digitalSignature is not set");
    return true;
}

/* @rfc 5280#4.2.1.6: the preferred name syntax, with RFC 9525's wildcard. */
static bool dns_sans_ok(const cs_cert *leaf, cs_refusal *r) {
    for (size_t i = 0; i < leaf->san_count; i++) {
        const cs_san *s = &leaf->sans[i];
        if (s->type != CS_SAN_DNS || cs_dns_name_ok(s->value, true, false)) continue;
        CS_SCOPED(cs_buf) b = cs_buf_of(CS_NAME_TEXT_MAX);
        cs_san_add(&b, s);
        const char *text = cs_buf_cstr(&b);
        return cs_refuse(r, CS_R_CERTIFICATE_MALFORMED, 0, "subjectAltName: not a DNS name: %.200s", text ? text : "");
    }
    return true;
}

/* ---- the common name: ours never reads it as a host, other software behind us might. For servers, therefore, what
 * reads as a host must agree with the SANs. CA/Browser Forum BR 7.1.4.3, as far as it is about confusion ---- */

typedef struct looks {
    bool v4, v6, wide, host;
} looks;

static looks look_at(cs_view cn) {
    looks k = {true, memchr(cn.p, ':', cn.n) != NULL, false, false};
    bool hex_form = cn.n > 2 && cn.p[0] == '0' && (cn.p[1] | 0x20) == 'x', dot = memchr(cn.p, '.', cn.n) != NULL;
    for (size_t i = 0; i < cn.n; i++) {
        uint8_t c = cn.p[i], l = c | 0x20;
        bool digit = c >= '0' && c <= '9', hex = digit || (l >= 'a' && l <= 'f');
        k.v4 &= digit || c == '.' || (hex_form && (hex || i == 1));
        k.v6 &= hex || c == ':' || c == '.';
        k.wide |= c >= 0x80;
    }
    k.v4 &= dot || hex_form;
    k.wide &= dot && !memchr(cn.p, ' ', cn.n);
    k.host = dot && !k.v4 && cs_dns_name_ok(cn, true, true);
    return k;
}

static bool address_is_canonical(cs_view cn, int family) {
    char text[INET6_ADDRSTRLEN], canonical[INET6_ADDRSTRLEN];
    uint8_t raw[16];
    if (cn.n >= sizeof text) return false;
    memcpy(text, cn.p, cn.n);
    text[cn.n] = '\0';
    return inet_pton(family, text, raw) == 1 && inet_ntop(family, raw, canonical, sizeof canonical) &&
           strcmp(text, canonical) == 0;
}

/* Is some DNS SAN the host, spelt the same, or below it? */
static bool sans_know(const cs_cert *leaf, cs_view host, bool *nearly, bool *any) {
    for (size_t i = 0; i < leaf->san_count; i++) {
        cs_view san = leaf->sans[i].value;
        if (leaf->sans[i].type != CS_SAN_DNS) continue;
        *any = true;
        if (cs_view_eq(san, host)) return true;
        *nearly |= cs_view_eq_nocase(san, host);
        if (san.n > host.n && san.p[san.n - host.n - 1] == '.' &&
            cs_view_eq_nocase((cs_view){san.p + san.n - host.n, host.n}, host))
            return true;
    }
    return false;
}

static bool common_name_ok(const cs_cert *leaf, cs_refusal *r) {
    cs_view cn;
    bool nearly = false, any = false;
    if (!cs_name_cn(leaf->subject, &cn) || cn.n == 0) return true;
    looks k = look_at(cn);
    if ((k.v4 && !address_is_canonical(cn, AF_INET)) || (k.v6 && !address_is_canonical(cn, AF_INET6)))
        return cs_refuse(r, CS_R_CERTIFICATE_MALFORMED, 0, "subject: commonName is an IP address oddly written");
    if (k.wide)
        return cs_refuse(r, CS_R_CERTIFICATE_MALFORMED, 0,
                         "subject: commonName is a host name that is not in A-labels");
    if (!k.host || sans_know(leaf, cn, &nearly, &any) || !any) return true;
    return cs_refuse(r, CS_R_CERTIFICATE_MALFORMED, 0, "subject: commonName %s",
                     nearly ? "is a SAN in other letter case" : "is a host name that is not among the SANs");
}

bool cs_leaf_judge(const cs_cert *leaf, const cs_want *want, cs_refusal *r) {
    const cs_cert_more *m = cs_cert_more_of(leaf);
    if (!cs_is_strict(want)) return true;
    if (leaf->is_ca) return cs_refuse(r, CS_R_IS_A_CA, 0, "basicConstraints: cA is TRUE");
    if (m->ext[CS_EXT_NAME_CONSTRAINTS].present) /* @rfc 5280#4.2.1.10: only in a CA certificate */
        return cs_refuse(r, CS_R_CERTIFICATE_MALFORMED, 0, "nameConstraints: not in a CA certificate");
    if (!usage_ok(leaf, want, r)) return false;
    if (want->purpose != CS_PURPOSE_SERVER) return true;
    if (m->ext[CS_EXT_EKU].critical)
        return cs_refuse(r, CS_R_CERTIFICATE_MALFORMED, 0, "extKeyUsage: must not be critical in a server certificate");
    if (m->ext[CS_EXT_SAN].critical && !cs_name_empty(leaf->subject))
        return cs_refuse(r, CS_R_CERTIFICATE_MALFORMED, 0, "subjectAltName: must not be critical beside a subject");
    return dns_sans_ok(leaf, r) && common_name_ok(leaf, r);
}
