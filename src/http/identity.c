/* The lines that tell an upstream who the client is. Values come from certificates, so from whoever had them issued:
 * all that is not plain visible ASCII is escaped. */
#include "base/text.h"
#include "http/filter.h"

/* Percent-encodes controls, what is not ASCII, and '%' itself. */
static void add_plain(cs_buf *b, const char *text) {
    for (const char *c = text; *c != '\0'; c++) {
        if (*c >= 0x20 && *c < 0x7f && *c != '%')
            cs_buf_add_byte(b, (uint8_t)*c);
        else
            cs_buf_addf(b, "%%%02X", (unsigned)(uint8_t)*c);
    }
}

/* In double quotes; '"' and '\' get a backslash. Octets that are not visible ASCII become \XX of RFC 4514 (as OpenSSL's
 * RFC 2253 form has it), whose backslash is then quoted too. */
static void add_quoted(cs_buf *b, cs_view v) {
    cs_buf_add_byte(b, '"');
    for (size_t i = 0; i < v.n; i++) {
        uint8_t c = v.p[i];
        if (c == '"' || c == '\\') cs_buf_add_byte(b, '\\');
        if (c >= 0x20 && c < 0x7f)
            cs_buf_add_byte(b, c);
        else
            cs_buf_addf(b, "\\\\%02X", c);
    }
    cs_buf_add_byte(b, '"');
}

/* An XFCC value: in quotes when it holds what separates values, or anything that is not plain. */
static void add_xfcc_value(cs_buf *b, const char *key, cs_view v) {
    bool plain = true;
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] <= 0x20 || v.p[i] >= 0x7f || strchr(",;=\"\\", v.p[i]) != NULL) plain = false;
    cs_buf_addf(b, ";%s=", key);
    if (plain)
        cs_buf_add_view(b, v);
    else
        add_quoted(b, v);
}

static void add_simple(const http_identity *id, cs_buf *out) {
    cs_buf_add_str(out, "X-Countersign-Identity: ");
    add_plain(out, id->name);
    cs_buf_addf(out, "\r\nX-Countersign-Kind: %s\r\nX-Countersign-Serial: ", id->kind);
    cs_hex_add(out, id->serial);
    cs_buf_add_str(out, "\r\nX-Countersign-Fingerprint: ");
    cs_hex_add(out, id->sha256);
    cs_buf_addf(out, "\r\nX-Countersign-Verified: %s\r\n", id->verified);
}

/* A byte sequence of RFC 8941. */
static void add_binary(cs_buf *out, cs_view der) {
    cs_buf_add_byte(out, ':');
    cs_base64_add(out, der);
    cs_buf_add_byte(out, ':');
}

static void add_chain(const http_identity *id, cs_buf *out) {
    size_t octets = 0;
    for (size_t i = 0; i < id->chain_count; i++) octets += (id->chain[i].n + 2) / 3 * 4 + 4;
    if (id->chain_count == 0 || octets > HTTP_TELL_MAX) return;
    cs_buf_add_str(out, "Client-Cert-Chain: ");
    for (size_t i = 0; i < id->chain_count; i++) {
        if (i > 0) cs_buf_add_str(out, ", ");
        add_binary(out, id->chain[i]);
    }
    cs_buf_add_str(out, "\r\n");
}

/* Hash, Subject, URI, DNS, in Envoy's order. Other kinds of name have no key there. */
static void add_xfcc(const http_identity *id, cs_buf *out) {
    cs_buf_add_str(out, "X-Forwarded-Client-Cert: Hash=");
    cs_hex_add(out, id->sha256);
    cs_buf_add_str(out, ";Subject=");
    add_quoted(out, cs_view_str(id->subject));
    for (size_t i = 0; i < id->san_count; i++)
        if (id->sans[i].type == CS_SAN_URI) add_xfcc_value(out, "URI", id->sans[i].value);
    for (size_t i = 0; i < id->san_count; i++)
        if (id->sans[i].type == CS_SAN_DNS) add_xfcc_value(out, "DNS", id->sans[i].value);
    cs_buf_add_str(out, "\r\n");
}

cs_status http_identity_render(const http_identity *id, unsigned tell, cs_buf *out, cs_err *err) {
    if ((tell & HTTP_TELL_SIMPLE) != 0) add_simple(id, out);
    if ((tell & HTTP_TELL_CERT) != 0 && id->leaf.n / 3 * 4 < HTTP_TELL_MAX) {
        cs_buf_add_str(out, "Client-Cert: ");
        add_binary(out, id->leaf);
        cs_buf_add_str(out, "\r\n");
    }
    if ((tell & HTTP_TELL_CHAIN) != 0) add_chain(id, out);
    if ((tell & HTTP_TELL_XFCC) != 0) {
        size_t before = out->n;
        add_xfcc(id, out);
        if (out->n - before > HTTP_TELL_MAX) out->n = before; /* a certificate with hundreds of names */
    }
    return cs_buf_ok(out, "the identity headers", err);
}

cs_status http_identity_render_none(unsigned tell, cs_buf *out, cs_err *err) {
    if ((tell & HTTP_TELL_SIMPLE) != 0) cs_buf_add_str(out, "X-Countersign-Verified: none\r\n");
    return cs_buf_ok(out, "the identity headers", err);
}

cs_status http_forwarded_render(const char *peer, bool tls, cs_buf *out, cs_err *err) {
    cs_buf_add_str(out, "X-Forwarded-For: ");
    add_plain(out, peer);
    cs_buf_addf(out, "\r\nX-Forwarded-Proto: %s\r\nVia: 1.1 countersign\r\n", tls ? "https" : "http");
    return cs_buf_ok(out, "the identity headers", err);
}
