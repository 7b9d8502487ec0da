/* Who asks: over the control socket a user of this machine; over the gateway the holder of a certificate, as the
 * gateway tells it. The gateway's word is believed because only our user may connect to its socket, and because it
 * removes from requests what only it may say; the certificate is looked up all the same, since a site may trust other
 * CAs than ours. */
#include <stdio.h>
#include <string.h>

#include "authority/rollover.h"
#include "base/text.h"
#include "proto/rest/rest_priv.h"
#include "report/log.h"
#include "x509/digest.h"

const char *rest_header(rest_call *c, const char *name) {
    const char *v = MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, name);
    return v != NULL ? v : "";
}

void rest_extra(rest_call *c, const char *name, const char *value) {
    if (c->extra_count == REST_EXTRA_MAX) return;
    c->extra[c->extra_count].name = name;
    (void)snprintf(c->extra[c->extra_count].value, sizeof c->extra[0].value, "%s", value);
    c->extra_count++;
}

/* In plain digits: what EST's clients read. */
void rest_retry_after(rest_call *c, cs_time wait) {
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)(wait > CS_SEC ? wait / CS_SEC : 1));
    rest_extra(c, MHD_HTTP_HEADER_RETRY_AFTER, text);
}

/* A byte sequence of RFC 8941. */
static cs_status read_cert(cs_view text, const char *header, cs_cert **ret, cs_err *err) {
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_PEER_CERT_MAX);
    if (text.n < 2 || text.p[0] != ':' || text.p[text.n - 1] != ':' ||
        !cs_base64_decode(cs_view_of(text.p + 1, text.n - 2), false, &der))
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "%s", header);
    return cs_cert_decode(cs_buf_view(&der), ret, err);
}

cs_status rest_client_cert(rest_call *c, cs_cert **ret, cs_err *err) {
    cs_view text = cs_view_str(rest_header(c, "Client-Cert"));
    *ret = NULL;
    return text.n > 0 ? read_cert(text, "Client-Cert", ret, err) : CS_OK;
}

cs_status rest_client_chain(rest_call *c, cs_certs *ret, cs_err *err) {
    cs_view text = cs_view_str(rest_header(c, "Client-Cert-Chain"));
    while (text.n > 0) {
        cs_cert *one = NULL;
        const uint8_t *comma = memchr(text.p, ',', text.n);
        size_t n = comma != NULL ? (size_t)(comma - text.p) : text.n;
        TRY(read_cert(cs_view_trim(cs_view_of(text.p, n)), "Client-Cert-Chain", &one, err));
        TRY(cs_certs_add(ret, one, err));
        n += comma != NULL;
        text = cs_view_of(text.p + n, text.n - n);
    }
    return CS_OK;
}

void rest_told_cas(rest_call *c) {
    CS_AUTO(cs_cert) client = NULL;
    cs_err ignored;
    if (rest_client_cert(c, &client, &ignored) == CS_OK) rollover_told(c->a, client);
}

void rest_caller_local(rest_call *c, unsigned uid) {
    c->local = true;
    c->roles = ROLE_ANY;
    (void)snprintf(c->who.by, sizeof c->who.by, "uid %u", uid);
    (void)snprintf(c->who.via, sizeof c->who.via, "control");
}

/* A certificate that the gateway let in, and that counts for nothing here: revoked this moment, or of another CA. */
static void note_stranger(rest_call *c, const cs_err *why) {
    char what[CS_DETAIL_MAX + 64];
    cs_err ignored;
    if (why->status != CS_REFUSED || !admin_refusal_counts(c->a, "login-refused", &c->who)) return;
    (void)snprintf(what, sizeof what, "%s: %s", cs_reason_of(why->reason)->name, why->detail);
    if (authority_note(c->a, "login-refused", &c->who, NULL, what, &ignored) != CS_OK)
        log_failure(LOG_ERROR, "audit-failed", &ignored);
}

cs_status rest_caller_told(rest_call *c, cs_err *err) {
    uint8_t serial[CS_SERIAL_MAX], sha256[CS_SHA256_LEN];
    char hex[STORE_SERIAL_TEXT];
    size_t n = 0, k = 0;
    (void)snprintf(c->who.via, sizeof c->who.via, "api");
    (void)snprintf(c->who.from, sizeof c->who.from, "%s", rest_header(c, "X-Forwarded-For"));
    (void)snprintf(c->who.by, sizeof c->who.by, "nobody");
    if (strcmp(rest_header(c, "X-Countersign-Verified"), "success") != 0)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_REQUIRED, "%s", c->path);
    if (!cs_hex_decode(cs_view_str(rest_header(c, "X-Countersign-Serial")), serial, sizeof serial, &n) || n == 0 ||
        !cs_hex_decode(cs_view_str(rest_header(c, "X-Countersign-Fingerprint")), sha256, sizeof sha256, &k) ||
        k != sizeof sha256)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "what the gateway tells of the caller");
    (void)snprintf(c->who.serial, sizeof c->who.serial, "%s", cs_hex(cs_view_of(serial, n), hex));
    cs_status s = admin_of_certificate(c->a, hex, sha256, &c->who, &c->roles, err);
    if (s != CS_OK) note_stranger(c, err);
    TRY(s);
    return c->roles != 0 ? admin_login(c->a, &c->who, c->roles, err) : CS_OK;
}

cs_status rest_caller_needs(rest_call *c, unsigned needs, cs_err *err) {
    char has[ROLE_TEXT_MAX], wanted[ROLE_TEXT_MAX], what[200];
    cs_err ignored;
    if (c->local || (c->roles & needs) != 0) return CS_OK;
    (void)admin_roles_text(c->roles, has);
    (void)admin_roles_text(needs, wanted);
    (void)snprintf(what, sizeof what, "%s %.100s: role-missing", c->method, c->path);
    bool counts = c->roles != 0 || admin_refusal_counts(c->a, "refused", &c->who);
    if (counts && authority_note(c->a, "refused", &c->who, NULL, what, &ignored) != CS_OK)
        log_failure(LOG_ERROR, "audit-failed", &ignored);
    return cs_fail(err, CS_REFUSED, CS_R_ROLE_MISSING, "%s has %s, needed is %s", c->who.by,
                   has[0] != '\0' ? has : "no role", needs != 0 ? wanted : "the control socket");
}
