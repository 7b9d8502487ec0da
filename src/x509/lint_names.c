/* Rules about subject alternative names. */
#include "x509/lint_priv.h"

#include "x509/identity.h"

/* Is each name of that type one that we ourselves could certify? */
static bool all_well_formed(const cs_cert *c, cs_san_type type) {
    uint8_t store[CS_IDENTITY_NAME_MAX + 1];
    cs_san made;
    cs_err ignored;
    for (size_t i = 0; i < c->san_count; i++)
        if (c->sans[i].type == type && cs_san_make(type, c->sans[i].value, store, &made, &ignored) != CS_OK)
            return false;
    return true;
}

const char *lint_san_missing(const cs_cert *c) {
    bool tls = !c->has_eku || (c->eku & (CS_EKU_SERVER_AUTH | CS_EKU_CLIENT_AUTH));
    return !c->is_ca && tls && c->san_count == 0 ? "it has none: nobody reads the common name" : NULL;
}

const char *lint_san_critical(const cs_cert *c) {
    const cs_ext *x = &cs_cert_more_of(c)->ext[CS_EXT_SAN];
    return x->present && !x->critical && cs_name_empty(c->subject) ? "it is not" : NULL;
}

const char *lint_san_not_critical(const cs_cert *c) {
    const cs_ext *x = &cs_cert_more_of(c)->ext[CS_EXT_SAN];
    return x->present && x->critical && !cs_name_empty(c->subject) ? "it is" : NULL;
}

const char *lint_dns(const cs_cert *c) {
    return all_well_formed(c, CS_SAN_DNS) ? NULL : "one is no DNS name";
}

const char *lint_email(const cs_cert *c) {
    return all_well_formed(c, CS_SAN_EMAIL) ? NULL : "one is no e-mail address";
}

const char *lint_uri(const cs_cert *c) {
    return all_well_formed(c, CS_SAN_URI) ? NULL : "one is no URI with a scheme";
}

const char *lint_san_twice(const cs_cert *c) {
    if (c->san_count > CS_ISSUE_SAN_MAX) return NULL; /* each is compared with all */
    for (size_t i = 1; i < c->san_count; i++)
        for (size_t k = 0; k < i; k++)
            if (c->sans[i].type == c->sans[k].type && cs_view_eq_nocase(c->sans[i].value, c->sans[k].value))
                return "one is";
    return NULL;
}

const char *lint_cn_in_san(const cs_cert *c) {
    cs_view cn;
    cs_san made;
    cs_err ignored;
    uint8_t ip[CS_IDENTITY_NAME_MAX + 1];
    if (c->is_ca || !c->has_eku || !(c->eku & CS_EKU_SERVER_AUTH) || !cs_name_cn(c->subject, &cn)) return NULL;
    bool address = cs_san_make(CS_SAN_IP, cn, ip, &made, &ignored) == CS_OK;
    for (size_t i = 0; i < c->san_count; i++)
        if (cs_view_eq_nocase(c->sans[i].value, cn) || (address && cs_view_eq(c->sans[i].value, made.value)))
            return NULL;
    return "it is not";
}
