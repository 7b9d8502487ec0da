/* Rules about extensions. */
#include "x509/lint_priv.h"

#include "x509/points.h"

static const cs_ext *ext(const cs_cert *c, cs_ext_id id) {
    return &cs_cert_more_of(c)->ext[id];
}

const char *lint_ca_constraints(const cs_cert *c) {
    return c->is_ca && !ext(c, CS_EXT_BASIC_CONSTRAINTS)->critical ? "they are not" : NULL;
}

const char *lint_path_length(const cs_cert *c) {
    return !c->is_ca && c->path_len >= 0 ? "CA is false" : NULL;
}

const char *lint_ca_key_usage(const cs_cert *c) {
    if (!c->is_ca) return NULL;
    if (!c->has_key_usage) return "it has no keyUsage";
    return c->key_usage & CS_KU_CERT_SIGN ? NULL : "keyCertSign is not set";
}

const char *lint_leaf_signs(const cs_cert *c) {
    return !c->is_ca && c->has_key_usage && (c->key_usage & CS_KU_CERT_SIGN) ? "keyCertSign without CA" : NULL;
}

const char *lint_key_usage_missing(const cs_cert *c) {
    return !c->is_ca && !c->has_key_usage ? "it has none" : NULL;
}

const char *lint_key_usage_critical(const cs_cert *c) {
    return c->has_key_usage && !ext(c, CS_EXT_KEY_USAGE)->critical ? "it is not" : NULL;
}

const char *lint_usage_fits(const cs_cert *c) {
    const unsigned enciphers = CS_KU_KEY_ENCIPHERMENT | CS_KU_DATA_ENCIPHERMENT;
    cs_key_type type = cs_cert_more_of(c)->key_type;
    if (!c->has_key_usage || type == CS_KEY_RSA || type == CS_KEY_OTHER) return NULL;
    if (type == CS_KEY_EC) return c->key_usage & enciphers ? "an EC key enciphers nothing" : NULL;
    return c->key_usage & (enciphers | CS_KU_KEY_AGREEMENT) ? "such a key only signs" : NULL;
}

const char *lint_eku_missing(const cs_cert *c) {
    return !c->is_ca && !c->has_eku ? "it has none: usable for anything" : NULL;
}

const char *lint_eku_any(const cs_cert *c) {
    return !c->is_ca && c->has_eku && (c->eku & CS_EKU_ANY) ? "it does: usable for anything" : NULL;
}

const char *lint_ca_skid(const cs_cert *c) {
    return c->is_ca && c->skid.n == 0 ? "it has none" : NULL;
}

const char *lint_akid(const cs_cert *c) {
    return c->akid.n == 0 && !cs_view_eq(c->issuer, c->subject) ? "it has no key identifier of its issuer" : NULL;
}

/* TLS to fetch what decides whether TLS may be trusted goes round in a circle. */
const char *lint_crl_address(const cs_cert *c) {
    cs_view urls[CS_POINTS_MAX];
    size_t n = cs_cert_points(c, CS_POINT_CRL, urls);
    for (size_t i = 0; i < n; i++)
        if (cs_view_starts(urls[i], CS_VIEW_LIT("https:"))) return "it is https, which needs the CRL first";
    return NULL;
}

const char *lint_revocation(const cs_cert *c) {
    bool told = ext(c, CS_EXT_CRL_POINTS)->present || ext(c, CS_EXT_AIA)->present;
    return !c->is_ca && !told && c->not_after - c->not_before > 10 * CS_DAY ? "it names neither CRL nor OCSP" : NULL;
}

const char *lint_constraints(const cs_cert *c) {
    const cs_ext *x = ext(c, CS_EXT_NAME_CONSTRAINTS);
    if (!x->present) return NULL;
    if (!c->is_ca) return "they are in a leaf";
    return x->critical ? NULL : "they are not critical";
}

const char *lint_critical(const cs_cert *c) {
    return cs_cert_more_of(c)->flaw_critical.reason != CS_R_NONE ? "one is critical and known to few" : NULL;
}

/* ---- CRLs ---- */

const char *lint_crl_form(const cs_crl *c) {
    return c->flaw.reason != CS_R_NONE ? c->flaw.rule : NULL;
}

const char *lint_crl_strict(const cs_crl *c) {
    return c->flaw_strict.reason != CS_R_NONE ? c->flaw_strict.rule : NULL;
}

const char *lint_crl_next(const cs_crl *c) {
    if (!c->has_next_update) return "there is none";
    return c->next_update > c->this_update ? NULL : "it is not later";
}

const char *lint_crl_number(const cs_crl *c) {
    return c->has_number && c->number.n <= CS_SERIAL_MAX ? NULL : "there is none, or it is longer";
}

const char *lint_crl_akid(const cs_crl *c) {
    return c->akid.n > 0 ? NULL : "there is none";
}

const char *lint_crl_algorithm(const cs_crl *c) {
    if (c->alg.flaw.reason == CS_R_ALGORITHM_TOO_WEAK) return "MD5, SHA-1, or a hash of their kind";
    return c->alg.flaw.reason != CS_R_NONE ? c->alg.flaw.rule : NULL;
}

const char *lint_crl_critical(const cs_crl *c) {
    return c->flaw_critical.reason != CS_R_NONE ? "one is critical and not known" : NULL;
}

const char *lint_crl_long(const cs_crl *c) {
    return c->has_next_update && c->next_update - c->this_update > CS_YEAR + 2 * CS_DAY ? "it is longer" : NULL;
}
