/* Names as text for people: RFC 4514, one safe line. */
#include "x509/cert_priv.h"

#include <arpa/inet.h>

#include "base/text.h"

static const struct {
    const char *oid;
    uint8_t oid_n;
    const char *text;
} attrs[] = {
    {"\x55\x04\x03", 3, "CN"},
    {"\x55\x04\x07", 3, "L"},
    {"\x55\x04\x08", 3, "ST"},
    {"\x55\x04\x0a", 3, "O"},
    {"\x55\x04\x0b", 3, "OU"},
    {"\x55\x04\x06", 3, "C"},
    {"\x55\x04\x09", 3, "STREET"},
    {"\x55\x04\x05", 3, "serialNumber"},
    {"\x55\x04\x04", 3, "SN"},
    {"\x55\x04\x2a", 3, "GN"},
    {"\x55\x04\x0c", 3, "title"},
    {"\x55\x04\x61", 3, "organizationIdentifier"},
    {"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", 10, "DC"},
    {"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01", 10, "UID"},
    {"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", 9, "emailAddress"},
};

static void add_type(cs_buf *b, cs_view oid) {
    char text[CS_OID_TEXT_MAX];
    for (size_t i = 0; i < sizeof attrs / sizeof attrs[0]; i++) {
        if (cs_view_eq(oid, cs_view_of(attrs[i].oid, attrs[i].oid_n))) {
            cs_buf_add_str(b, attrs[i].text);
            return;
        }
    }
    cs_buf_add_str(b, cs_oid_text(oid, text));
}

static void add_utf8(cs_buf *b, uint32_t c) {
    if (c < 0x80) {
        cs_buf_add_byte(b, (uint8_t)c);
    } else if (c < 0x800) {
        cs_buf_add_byte(b, (uint8_t)(0xc0 | c >> 6));
        cs_buf_add_byte(b, (uint8_t)(0x80 | (c & 0x3f)));
    } else {
        cs_buf_add_byte(b, (uint8_t)(0xe0 | (c >> 12 & 0xf)));
        cs_buf_add_byte(b, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
        cs_buf_add_byte(b, (uint8_t)(0x80 | (c & 0x3f)));
    }
}

/* The text as UTF-8; false when the type is not one of text. */
static bool to_utf8(uint8_t tag, cs_view v, cs_buf *b) {
    if (tag == CS_DER_UTF8_STRING || tag == CS_DER_PRINTABLE_STRING || tag == CS_DER_IA5_STRING ||
        tag == CS_DER_VISIBLE_STRING || tag == CS_DER_NUMERIC_STRING)
        return cs_buf_add_view(b, v);
    if (tag == CS_DER_T61_STRING) { /* Latin-1 in practice */
        for (size_t i = 0; i < v.n; i++) add_utf8(b, v.p[i]);
        return true;
    }
    if (tag == CS_DER_BMP_STRING && v.n % 2 == 0) {
        for (size_t i = 0; i < v.n; i += 2) add_utf8(b, (uint32_t)v.p[i] << 8 | v.p[i + 1]);
        return true;
    }
    return false;
}

/* @rfc 4514#2.4, then made safe for a line of log. */
static void add_value(cs_buf *b, uint8_t tag, cs_view v) {
    CS_SCOPED(cs_buf) utf8 = cs_buf_of(4 * CS_NAME_TEXT_MAX);
    CS_SCOPED(cs_buf) safe = cs_buf_of(16 * CS_NAME_TEXT_MAX);
    cs_view cut = {v.p, v.n < CS_NAME_TEXT_MAX ? v.n : CS_NAME_TEXT_MAX};
    if (!to_utf8(tag, cut, &utf8)) {
        cs_buf_add_byte(b, '#');
        cs_hex_add(b, (cs_view){cut.p, cut.n < 64 ? cut.n : 64});
        return;
    }
    cs_text_escape(&safe, cs_buf_view(&utf8), CS_NAME_TEXT_MAX);
    for (size_t i = 0; i < safe.n; i++) {
        uint8_t c = safe.p[i];
        bool edge = (i == 0 && (c == ' ' || c == '#')) || (i + 1 == safe.n && c == ' ');
        if (edge || c == ',' || c == '+' || c == ';' || c == '<' || c == '>') cs_buf_add_byte(b, '\\');
        cs_buf_add_byte(b, c);
    }
}

bool cs_name_add(cs_buf *b, cs_view name) {
    cs_der_fault fault = {0};
    cs_der d = cs_der_of(name, &fault);
    cs_der rdns = cs_der_in(&d, CS_DER_SEQUENCE);
    cs_view at[128];
    size_t n = 0;
    while (cs_der_more(&rdns) && n < 128) at[n++] = cs_der_get(&rdns, CS_DER_SET);
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_NAME_TEXT_MAX);
    for (size_t i = n; i-- > 0;) {
        cs_der rdn = cs_der_of(at[i], &fault);
        bool first = true;
        while (cs_der_more(&rdn)) {
            uint8_t tag = 0;
            cs_der a = cs_der_in(&rdn, CS_DER_SEQUENCE);
            cs_view oid = cs_der_oid(&a), value = cs_der_any(&a, &tag, NULL);
            if (fault.rule) break;
            if (text.n) cs_buf_add_byte(&text, first ? ',' : '+');
            add_type(&text, oid);
            cs_buf_add_byte(&text, '=');
            add_value(&text, tag, value);
            first = false;
        }
    }
    cs_view fits = cs_buf_view(&text); /* cut by its ceiling: never in the middle of a character */
    while (text.failed && fits.n && (fits.p[fits.n - 1] & 0xc0) == 0x80) fits.n--;
    if (text.failed && fits.n && fits.p[fits.n - 1] >= 0xc0) fits.n--;
    return cs_buf_add_view(b, fits);
}

const char *cs_name_text(cs_view name, char out[CS_NAME_TEXT_MAX + 1]) {
    CS_SCOPED(cs_buf) b = cs_buf_of(CS_NAME_TEXT_MAX);
    cs_name_add(&b, name);
    if (b.n) memcpy(out, b.p, b.n);
    out[b.n] = '\0';
    return out;
}

bool cs_san_add(cs_buf *b, const cs_san *san) {
    static const char *const labels[] = {
        "other:", "email:", "DNS:", "X400:", "dirName:", "EDI:", "URI:", "IP:", "RID:"};
    char ip[INET6_ADDRSTRLEN], oid[CS_OID_TEXT_MAX];
    if ((unsigned)san->type > CS_SAN_RID) return false;
    cs_buf_add_str(b, labels[san->type]);
    switch (san->type) {
    case CS_SAN_EMAIL:
    case CS_SAN_DNS:
    case CS_SAN_URI: return cs_text_escape(b, san->value, CS_NAME_TEXT_MAX);
    case CS_SAN_DIRNAME: return cs_name_add(b, san->value);
    case CS_SAN_IP:
        if (san->value.n != 4 && san->value.n != 16) return cs_hex_add(b, san->value);
        return cs_buf_add_str(b, inet_ntop(san->value.n == 4 ? AF_INET : AF_INET6, san->value.p, ip, sizeof ip));
    case CS_SAN_RID: return cs_buf_add_str(b, cs_oid_text(san->value, oid));
    default: return cs_hex_add(b, (cs_view){san->value.p, san->value.n < 64 ? san->value.n : 64});
    }
}
