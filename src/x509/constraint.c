#include "x509/constraint.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/text.h"
#include "x509/exts_write.h"

#define INVALID(err, text, ...)                                                                                        \
    cs_fail((err), CS_REFUSED, CS_R_NAME_INVALID, "constraint \"%.*s\": " __VA_ARGS__,                                 \
            (int)((text).n < 80 ? (text).n : 80), (const char *)(text).p)

static bool is_host(const char *s) {
    size_t n = strlen(s);
    if (n > 0 && *s == '.') s++, n--;
    return n > 0 && n <= 253 && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == n &&
           s[0] != '.' && s[n - 1] != '.' && strstr(s, "..") == NULL;
}

static bool read_prefix(const char *text, unsigned most, unsigned *ret) {
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9') return false;
    unsigned long bits = strtoul(text, &end, 10);
    *ret = (unsigned)bits;
    return *end == '\0' && bits <= most;
}

/* Address, then mask, @rfc 5280#4.2.1.10; bits behind the prefix must be zero, so that nobody is surprised. */
static bool read_network(char *text, cs_constraint *ret) {
    char *slash = strchr(text, '/');
    unsigned bits = 0;
    if (slash == NULL) return false;
    *slash = '\0';
    size_t len = strchr(text, ':') != NULL ? 16 : 4;
    if (inet_pton(len == 16 ? AF_INET6 : AF_INET, text, ret->base) != 1) return false;
    if (!read_prefix(slash + 1, (unsigned)len * 8, &bits)) return false;
    for (unsigned i = 0; i < len * 8; i++) {
        uint8_t bit = (uint8_t)(0x80U >> (i % 8));
        if (i < bits)
            ret->base[len + i / 8] |= bit;
        else if (ret->base[i / 8] & bit)
            return false;
    }
    ret->n = 2 * len;
    return true;
}

cs_status cs_constraint_parse(cs_view text, cs_constraint *ret, cs_err *err) {
    static const struct {
        const char *prefix;
        cs_san_type type;
    } kinds[] = {{"dns:", CS_SAN_DNS}, {"email:", CS_SAN_EMAIL}, {"uri:", CS_SAN_URI}, {"ip:", CS_SAN_IP}};
    *ret = (cs_constraint){.type = CS_SAN_OTHER};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t n = strlen(kinds[i].prefix);
        char value[CS_CONSTRAINT_BASE_MAX] = {0};
        if (!cs_view_starts(text, cs_view_str(kinds[i].prefix))) continue;
        if (text.n - n == 0 || text.n - n >= sizeof value) return INVALID(err, text, "empty or too long");
        memcpy(value, text.p + n, text.n - n);
        ret->type = kinds[i].type;
        if (ret->type == CS_SAN_IP)
            return read_network(value, ret) ? CS_OK : INVALID(err, text, "a network such as 10.0.0.0/8 is expected");
        if (!is_host(value)) return INVALID(err, text, "a domain such as corp.example is expected");
        ret->n = text.n - n;
        memcpy(ret->base, value, ret->n);
        return CS_OK;
    }
    return INVALID(err, text, "dns:, email:, uri: or ip: is expected");
}

static void put_subtrees(cs_buf *b, uint8_t tag, const cs_constraint *list, size_t n) {
    if (n == 0) return;
    cs_der_mark subtrees = cs_der_open(b, tag);
    for (size_t i = 0; i < n; i++) {
        cs_der_mark subtree = cs_der_open(b, CS_DER_SEQUENCE);
        cs_der_put(b, CS_DER_CTX((uint8_t)list[i].type), cs_view_of(list[i].base, list[i].n));
        cs_der_close(b, subtree);
    }
    cs_der_close(b, subtrees);
}

void cs_ext_put_name_constraints(cs_buf *b, const cs_constraint *permit, size_t permit_n, const cs_constraint *exclude,
                                 size_t exclude_n) {
    if (permit_n + exclude_n == 0) return;
    cs_ext_mark m = cs_ext_open(b, CS_OID_NAME_CONSTRAINTS, true);
    cs_der_mark seq = cs_der_open(b, CS_DER_SEQUENCE);
    put_subtrees(b, CS_DER_CTX_CONS(0), permit, permit_n);
    put_subtrees(b, CS_DER_CTX_CONS(1), exclude, exclude_n);
    cs_der_close(b, seq);
    cs_ext_close(b, m);
}
