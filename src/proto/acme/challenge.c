/* What was found at a challenge's place: is it what it must be? @rfc 8555#8.3 @rfc 8555#8.4 @rfc 8737#3 */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "proto/acme/identifier.h"
#include "x509/der.h"
#include "x509/digest.h"

#define OID_ACME_IDENTIFIER CS_OID_LIT("\x2b\x06\x01\x05\x05\x07\x01\x1f")

bool challenge_kind_of(const char *name, const identifier *i, challenge_kind *ret) {
    if (i->type == CS_SAN_OTHER) return false;
    if (strcmp(name, ACME_DNS) == 0) {
        *ret = CHALLENGE_DNS;
        return i->type == CS_SAN_DNS;
    }
    bool http = strcmp(name, ACME_HTTP) == 0;
    if (!http && strcmp(name, ACME_ALPN) != 0) return false;
    *ret = http ? CHALLENGE_HTTP : CHALLENGE_ALPN;
    return !i->wildcard;
}

static cs_status failed(const char *what, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_CHALLENGE_FAILED, "%s", what);
}

static cs_status judge_http(const char *wanted, cs_view values, cs_err *err) {
    cs_rd r = cs_rd_of(values);
    cs_view body = cs_rd_vec16(&r);
    if (cs_rd_ended(&r) && cs_view_eq_str(cs_view_trim(body), wanted)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_CHALLENGE_FAILED, "the file's %zu octets are not the key authorization",
                   body.n);
}

static cs_status judge_dns(const uint8_t digest[CS_SHA256_LEN], cs_view values, cs_err *err) {
    CS_SCOPED(cs_buf) wanted = cs_buf_of(64);
    cs_rd r = cs_rd_of(values);
    size_t n = 0;
    (void)cs_base64url_add(&wanted, cs_view_of(digest, CS_SHA256_LEN));
    for (; cs_rd_ok(&r) && r.left > 0; n++)
        if (cs_view_eq(cs_view_trim(cs_rd_vec16(&r)), cs_buf_view(&wanted))) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_CHALLENGE_FAILED, "none of %zu TXT records is the key authorization's digest",
                   n);
}

static cs_status judge_certificate(const identifier *i, const uint8_t digest[CS_SHA256_LEN], const cs_cert *cert,
                                   cs_err *err) {
    uint8_t octets[CS_IDENTITY_NAME_MAX + 1];
    cs_san san = {0};
    bool critical = false;
    cs_view value = {NULL, 0};
    cs_der_fault fault = {.rule = NULL};
    TRY(identifier_san(i, octets, &san, err));
    if (cert->san_count != 1 || cert->sans[0].type != san.type || !cs_view_eq_nocase(cert->sans[0].value, san.value))
        return failed("the certificate is not for that one name", err);
    if (!cs_cert_ext_find(cert, OID_ACME_IDENTIFIER, &critical, &value) || !critical)
        return failed("the certificate has no critical acmeIdentifier", err);
    cs_der d = cs_der_of(value, &fault);
    cs_view inner = cs_der_get(&d, CS_DER_OCTET_STRING);
    cs_der_end(&d);
    if (fault.rule != NULL || !cs_view_eq(inner, cs_view_of(digest, CS_SHA256_LEN)))
        return failed("acmeIdentifier is not the key authorization's digest", err);
    return CS_OK;
}

static cs_status judge_alpn(const identifier *i, const uint8_t digest[CS_SHA256_LEN], cs_view values, cs_err *err) {
    CS_AUTO(cs_cert) cert = NULL;
    cs_rd r = cs_rd_of(values);
    cs_view protocol = cs_rd_vec16(&r), der = cs_rd_vec16(&r);
    cs_err why;
    if (!cs_rd_ended(&r) || !cs_view_eq_str(protocol, "acme-tls/1"))
        return failed("the server does not speak acme-tls/1 there", err);
    if (cs_cert_decode_noting(der, &cert, &why) != CS_OK) return failed("what the server shows is no certificate", err);
    return judge_certificate(i, digest, cert, err);
}

cs_status challenge_judge(challenge_kind kind, const identifier *i, const char *token, const char *thumbprint,
                          cs_view values, cs_err *err) {
    char wanted[KEY_AUTHORIZATION_MAX + 1];
    uint8_t digest[CS_SHA256_LEN];
    (void)snprintf(wanted, sizeof wanted, "%s.%s", token, thumbprint);
    TRY(cs_sha256(cs_view_str(wanted), digest, err));
    switch (kind) {
    case CHALLENGE_HTTP: return judge_http(wanted, values, err);
    case CHALLENGE_DNS: return judge_dns(digest, values, err);
    case CHALLENGE_ALPN: return judge_alpn(i, digest, values, err);
    }
    return failed("no kind of challenge", err);
}
