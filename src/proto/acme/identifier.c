#include "proto/acme/identifier.h"

#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>

#include "base/text.h"
#include "x509/der.h"

const char *identifier_type(const identifier *i) {
    return i->type == CS_SAN_OTHER ? "permanent-identifier" : i->type == CS_SAN_IP ? "ip" : "dns";
}

void identifier_of(const store_authz *z, identifier *to) {
    *to = (identifier){.type = CS_SAN_DNS, .wildcard = z->wildcard};
    if (strcmp(z->type, "ip") == 0) to->type = CS_SAN_IP;
    if (strcmp(z->type, "permanent-identifier") == 0) to->type = CS_SAN_OTHER;
    (void)snprintf(to->value, sizeof to->value, "%s", z->value);
}

bool identifier_same(const identifier *a, const identifier *b) {
    return a->type == b->type && a->wildcard == b->wildcard && strcmp(a->value, b->value) == 0;
}

void identifier_text(const identifier *i, char out[STORE_IDENTIFIER_MAX + 3]) {
    (void)snprintf(out, STORE_IDENTIFIER_MAX + 3, "%s%s", i->wildcard ? "*." : "", i->value);
}

static cs_status read_address(const char *text, identifier *ret, cs_err *err) {
    uint8_t octets[16];
    int family = inet_pton(AF_INET, text, octets) == 1 ? AF_INET : AF_INET6;
    if (inet_pton(family, text, octets) != 1)
        return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "%.100s is no address", text);
    (void)inet_ntop(family, octets, ret->value, sizeof ret->value);
    return CS_OK;
}

/* A name for which there is an address is no name: a resolver would take it for one. */
static cs_status read_name(cs_view text, identifier *ret, cs_err *err) {
    cs_identity who;
    uint8_t octets[16];
    TRY(cs_identity_make(CS_KIND_SERVER, text, &who, err));
    const char *name = who.name;
    ret->wildcard = strncmp(name, "*.", 2) == 0;
    if (ret->wildcard) name += 2;
    if (inet_pton(AF_INET, name, octets) == 1 || inet_pton(AF_INET6, name, octets) == 1)
        return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "%.100s is an address: its type is ip", name);
    (void)snprintf(ret->value, sizeof ret->value, "%s", name);
    return CS_OK;
}

/* What a device is called here. */
static cs_status read_device(cs_view text, identifier *ret, cs_err *err) {
    cs_identity who;
    TRY(cs_identity_make(CS_KIND_DEVICE, text, &who, err));
    (void)snprintf(ret->value, sizeof ret->value, "%s", who.name);
    return CS_OK;
}

cs_status identifier_read(const json_t *j, identifier *ret, cs_err *err) {
    const char *type = json_string_value(json_object_get(j, "type"));
    const json_t *v = json_object_get(j, "value");
    const char *value = json_string_value(v);
    *ret = (identifier){.type = CS_SAN_DNS};
    if (type == NULL || value == NULL || strlen(value) != json_string_length(v))
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "identifiers: type and value are expected");
    if (strcmp(type, "ip") == 0) ret->type = CS_SAN_IP;
    if (strcmp(type, "permanent-identifier") == 0) {
        ret->type = CS_SAN_OTHER;
        return read_device(cs_view_of(value, json_string_length(v)), ret, err);
    }
    if (ret->type == CS_SAN_DNS && strcmp(type, "dns") != 0)
        return cs_fail(err, CS_REFUSED, CS_R_IDENTIFIER_UNSUPPORTED, "%.64s", type);
    return ret->type == CS_SAN_IP ? read_address(value, ret, err)
                                  : read_name(cs_view_of(value, json_string_length(v)), ret, err);
}

cs_status identifiers_read(const json_t *list, identifier at[IDENTIFIERS_MAX], size_t *ret_n, cs_err *err) {
    size_t n = 0;
    if (!json_is_array(list) || json_array_size(list) == 0)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "identifiers: a list of at least one is expected");
    for (size_t i = 0; i < json_array_size(list); i++) {
        identifier one;
        bool there = false;
        TRY(identifier_read(json_array_get(list, i), &one, err));
        for (size_t k = 0; k < n; k++) there = there || identifier_same(&at[k], &one);
        if (there) continue;
        if (n == IDENTIFIERS_MAX)
            return cs_fail(err, CS_REFUSED, CS_R_LIMIT_REACHED, "more than %d identifiers", IDENTIFIERS_MAX);
        at[n++] = one;
    }
    for (size_t i = 0; n > 1 && i < n; i++)
        if (at[i].type == CS_SAN_OTHER)
            return cs_fail(err, CS_REFUSED, CS_R_IDENTIFIER_UNSUPPORTED, "permanent-identifier stands alone");
    *ret_n = n;
    return CS_OK;
}

cs_status identifier_san(const identifier *i, uint8_t octets[CS_IDENTITY_NAME_MAX + 1], cs_san *ret, cs_err *err) {
    char text[STORE_IDENTIFIER_MAX + 3];
    identifier_text(i, text);
    return cs_san_make(i->type, cs_view_str(text), octets, ret, err);
}

/* ---- the request ---- */

static bool among(const identifier at[], size_t n, const cs_san *san, size_t *ret) {
    uint8_t octets[CS_IDENTITY_NAME_MAX + 1];
    for (size_t i = 0; i < n; i++) {
        cs_san one;
        cs_err ignored;
        if (identifier_san(&at[i], octets, &one, &ignored) != CS_OK || one.type != san->type) continue;
        bool same =
            one.type == CS_SAN_DNS ? cs_view_eq_nocase(one.value, san->value) : cs_view_eq(one.value, san->value);
        if (same) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static cs_status check_cn(const identifier at[], size_t n, const cs_csr *csr, cs_err *err) {
    cs_view cn;
    char text[STORE_IDENTIFIER_MAX + 3];
    if (!cs_name_cn(csr->subject, &cn)) return CS_OK;
    for (size_t i = 0; i < n; i++) {
        identifier_text(&at[i], text);
        if (cs_view_eq_nocase(cn, cs_view_str(text))) return CS_OK;
    }
    return cs_fail(err, CS_REFUSED, CS_R_NAME_NOT_ALLOWED, "the common name is none of the order's names");
}

cs_status identifiers_fit(const identifier at[], size_t n, const cs_csr *csr, cs_err *err) {
    bool seen[IDENTIFIERS_MAX] = {false};
    size_t k = 0;
    TRY(cs_csr_refuse_ca(csr, err));
    for (size_t i = 0; i < csr->san_count; i++) {
        if (!among(at, n, &csr->sans[i], &k))
            return cs_fail(err, CS_REFUSED, CS_R_NAME_NOT_ALLOWED, "the request carries a name that the order has not");
        seen[k] = true;
    }
    for (k = 0; k < n; k++)
        if (!seen[k])
            return cs_fail(err, CS_REFUSED, CS_R_NAME_NOT_ALLOWED, "the request lacks %s of the order", at[k].value);
    return check_cn(at, n, csr, err);
}

/* permanentIdentifier, RFC 4043, of that value. */
static bool is_permanent(const cs_san *san, const char *value) {
    cs_der_fault fault = {.rule = NULL};
    cs_view text = {NULL, 0};
    if (san->type != CS_SAN_OTHER) return false;
    cs_der d = cs_der_of(san->value, &fault);
    cs_view oid = cs_der_oid(&d);
    cs_der in = cs_der_in(&d, CS_DER_CTX_CONS(0)), seq = cs_der_in(&in, CS_DER_SEQUENCE);
    (void)cs_der_opt(&seq, CS_DER_UTF8_STRING, &text);
    return fault.rule == NULL && cs_view_eq(oid, CS_OID_LIT("\x2b\x06\x01\x05\x05\x07\x08\x03")) &&
           cs_view_eq_str(text, value);
}

cs_status identifier_fits_device(const identifier *i, const cs_csr *csr, cs_err *err) {
    TRY(cs_csr_refuse_ca(csr, err));
    for (size_t k = 0; k < csr->san_count; k++)
        if (!is_permanent(&csr->sans[k], i->value))
            return cs_fail(err, CS_REFUSED, CS_R_NAME_NOT_ALLOWED, "the request carries a name that the order has not");
    return check_cn(i, 1, csr, err);
}

/* ---- ARI ---- */

cs_status cert_id_read(const char *text, char aki[2 * 64 + 1], char serial[STORE_SERIAL_TEXT], cs_err *err) {
    const char *dot = strchr(text, '.');
    CS_SCOPED(cs_buf) a = cs_buf_of(64), s = cs_buf_of(CS_SERIAL_MAX + 1);
    bool ok = dot != NULL && cs_base64url_decode(cs_view_of(text, (size_t)(dot - text)), &a) &&
              cs_base64url_decode(cs_view_str(dot + 1), &s) && a.n > 0 && s.n > 0;
    cs_view v = cs_buf_view(&s);
    if (ok && v.n > 1 && v.p[0] == 0) v.p++, v.n--;
    if (!ok || v.n > CS_SERIAL_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED,
                       "a certificate's id is base64url(AKI).base64url(serial)");
    (void)cs_hex(cs_buf_view(&a), aki);
    (void)cs_hex(v, serial);
    return CS_OK;
}
