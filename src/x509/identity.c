/* Identities: which names may be certified, and who a certificate is for. */
#include "x509/identity.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <stdio.h>

static const char *const kind_names[CS_KIND_COUNT] = {"other", "server", "user", "device"};

const char *cs_kind_name(cs_kind kind) {
    return (size_t)kind < CS_KIND_COUNT ? kind_names[kind] : kind_names[CS_KIND_OTHER];
}

bool cs_kind_parse(cs_view text, cs_kind *ret) {
    for (size_t i = CS_KIND_SERVER; i < CS_KIND_COUNT; i++) {
        if (!cs_view_eq_str(text, kind_names[i])) continue;
        *ret = (cs_kind)i;
        return true;
    }
    return false;
}

/* ---- grammar: each gives NULL or what is wrong ---- */

static bool is_alnum(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_one_of(uint8_t c, const char *set) {
    return c != 0 && strchr(set, c) != NULL;
}

static uint8_t lower(uint8_t c) {
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static const char *label_fault(cs_view label, bool *ret_digits) {
    *ret_digits = true;
    if (label.n == 0) return "has an empty label";
    if (label.n > 63) return "has a label of over 63 characters";
    for (size_t i = 0; i < label.n; i++) {
        if (!is_alnum(label.p[i]) && label.p[i] != '-') return "holds a character that DNS names do not have";
        if (label.p[i] < '0' || label.p[i] > '9') *ret_digits = false;
    }
    if (label.p[0] == '-' || label.p[label.n - 1] == '-') return "has a label that begins or ends with '-'";
    return NULL;
}

/* @rfc 1034#3.5  @rfc 6125#6.4.3 */
static const char *dns_fault(cs_view name, bool wildcard_allowed) {
    bool wildcard = wildcard_allowed && name.n > 2 && name.p[0] == '*' && name.p[1] == '.', digits = false;
    cs_view left = wildcard ? cs_view_of(name.p + 2, name.n - 2) : name;
    size_t labels = 0;
    if (name.n == 0) return "is empty";
    if (name.n > CS_IDENTITY_NAME_MAX) return "is longer than 253 characters";
    for (;;) {
        const uint8_t *dot = memchr(left.p, '.', left.n);
        size_t n = dot ? (size_t)(dot - left.p) : left.n;
        const char *fault = label_fault(cs_view_of(left.p, n), &digits);
        if (fault) return fault;
        labels++;
        if (!dot) break;
        left = cs_view_of(dot + 1, left.n - n - 1);
    }
    if (digits) return "ends in a label of digits only, as no DNS name does";
    if (wildcard && labels < 2) return "is a wildcard for a whole top-level domain";
    return NULL;
}

/* @rfc 5321#4.1.2, Dot-string only */
static const char *email_fault(cs_view name) {
    const uint8_t *at = memchr(name.p, '@', name.n);
    if (!at) return "has no '@'";
    cs_view local = {name.p, (size_t)(at - name.p)}, domain = {at + 1, name.n - (size_t)(at - name.p) - 1};
    if (name.n > CS_IDENTITY_NAME_MAX) return "is longer than 253 characters";
    if (local.n == 0) return "has nothing before the '@'";
    if (local.n > 64) return "has over 64 characters before the '@'";
    for (size_t i = 0; i < local.n; i++) {
        uint8_t c = local.p[i];
        bool dot_misplaced = c == '.' && (i == 0 || i + 1 == local.n || local.p[i - 1] == '.');
        if (dot_misplaced) return "has a misplaced '.'";
        if (c != '.' && !is_alnum(c) && !is_one_of(c, "!#$%&'*+-/=?^_`{|}~"))
            return "holds a character that is not allowed before the '@'";
    }
    return dns_fault(domain, false);
}

static const char *device_fault(cs_view name) {
    if (name.n == 0) return "is empty";
    if (name.n > 64) return "is longer than 64 characters";
    if (!is_alnum(name.p[0])) return "does not begin with a letter or digit";
    for (size_t i = 0; i < name.n; i++) {
        if (!is_alnum(name.p[i]) && !is_one_of(name.p[i], "._-"))
            return "holds something else than letters, digits, . _ -";
    }
    return NULL;
}

static const char *uri_fault(cs_view uri) {
    size_t scheme = 0;
    while (scheme < uri.n && (is_alnum(uri.p[scheme]) || (scheme > 0 && is_one_of(uri.p[scheme], "+-.")))) scheme++;
    if (scheme == 0 || scheme >= uri.n || uri.p[scheme] != ':') return "has no scheme";
    if (uri.n > CS_IDENTITY_NAME_MAX) return "is longer than 253 characters";
    for (size_t i = 0; i < uri.n; i++) {
        if (uri.p[i] <= 0x20 || uri.p[i] >= 0x7f || is_one_of(uri.p[i], "<>\"\\^`{|}"))
            return "holds a character that URIs do not have";
    }
    return NULL;
}

/* Octets of an address, 4 or 16; 0 when it is none. */
static size_t ip_parse(cs_view text, uint8_t out[16]) {
    char z[INET6_ADDRSTRLEN];
    if (text.n == 0 || text.n >= sizeof(z) || memchr(text.p, 0, text.n)) return 0;
    memcpy(z, text.p, text.n);
    z[text.n] = '\0';
    if (inet_pton(AF_INET, z, out) == 1) return 4;
    return inet_pton(AF_INET6, z, out) == 1 ? 16 : 0;
}

static cs_status invalid(const char *what, cs_view name, const char *fault, cs_err *err) {
    char text[128];
    CS_SCOPED(cs_buf) b = cs_buf_of(sizeof(text) - 1);
    (void)cs_text_escape(&b, name, sizeof(text) - 1);
    (void)snprintf(text, sizeof(text), "%.*s", (int)b.n, b.n ? (const char *)b.p : "");
    return cs_fail(err, CS_REFUSED, CS_R_NAME_INVALID, "%s \"%s\" %s", what, text, fault);
}

/* Copies with the part after `from` in lower case. */
static void copy_lower(cs_view v, size_t from, uint8_t out[CS_IDENTITY_NAME_MAX + 1]) {
    for (size_t i = 0; i < v.n; i++) out[i] = i < from ? v.p[i] : lower(v.p[i]);
    out[v.n] = '\0';
}

cs_status cs_san_make(cs_san_type type, cs_view text, uint8_t store[CS_IDENTITY_NAME_MAX + 1], cs_san *ret,
                      cs_err *err) {
    const char *fault = NULL;
    size_t n = text.n, keep = 0;
    switch (type) {
    case CS_SAN_DNS: fault = dns_fault(text, true); break;
    case CS_SAN_EMAIL:
        fault = email_fault(text);
        if (!fault) keep = (size_t)((const uint8_t *)memchr(text.p, '@', text.n) - text.p);
        break;
    case CS_SAN_URI:
        fault = uri_fault(text);
        keep = n;
        break;
    case CS_SAN_IP:
        n = ip_parse(text, store);
        if (n == 0) return invalid("IP address", text, "is none", err);
        *ret = (cs_san){type, {store, n}};
        return CS_OK;
    default: return cs_fail(err, CS_REFUSED, CS_R_NAME_NOT_ALLOWED, "names of type %d are not certified", (int)type);
    }
    if (fault)
        return invalid(type == CS_SAN_DNS   ? "DNS name"
                       : type == CS_SAN_URI ? "URI"
                                            : "e-mail address",
                       text, fault, err);
    copy_lower(text, keep, store);
    *ret = (cs_san){type, {store, n}};
    return CS_OK;
}

static bool ip_text(cs_view ip, char out[CS_IDENTITY_NAME_MAX + 1]) {
    if (ip.n != 4 && ip.n != 16) return false;
    return inet_ntop(ip.n == 4 ? AF_INET : AF_INET6, ip.p, out, INET6_ADDRSTRLEN) != NULL;
}

static cs_status make_server(cs_view name, cs_identity *ret, cs_err *err) {
    uint8_t ip[16];
    size_t n = ip_parse(name, ip);
    cs_san san;
    if (n == 0) return cs_san_make(CS_SAN_DNS, name, (uint8_t *)ret->name, &san, err);
    (void)ip_text(cs_view_of(ip, n), ret->name);
    return CS_OK;
}

cs_status cs_identity_make(cs_kind kind, cs_view name, cs_identity *ret, cs_err *err) {
    cs_identity made = {.kind = kind};
    cs_san san;
    const char *fault;
    switch (kind) {
    case CS_KIND_SERVER: TRY(make_server(name, &made, err)); break;
    case CS_KIND_USER: TRY(cs_san_make(CS_SAN_EMAIL, name, (uint8_t *)made.name, &san, err)); break;
    case CS_KIND_DEVICE:
        fault = device_fault(name);
        if (fault) return invalid("device name", name, fault, err);
        memcpy(made.name, name.p, name.n); /* at most 64, the rest is zero */
        break;
    default: return cs_fail(err, CS_REFUSED, CS_R_PROFILE_UNKNOWN, "kind %d", (int)kind);
    }
    *ret = made;
    return CS_OK;
}

/* ---- who a certificate is for ---- */

static const cs_san *first_san(const cs_cert *c, cs_san_type type, size_t *ret_count) {
    const cs_san *found = NULL;
    *ret_count = 0;
    for (size_t i = 0; i < c->san_count; i++) {
        if (c->sans[i].type != type) continue;
        if (!found) found = &c->sans[i];
        ++*ret_count;
    }
    return found;
}

/* spiffe://TRUST-DOMAIN/device/NAME -> NAME */
static bool device_of_uri(cs_view uri, cs_identity *ret) {
    static const char scheme[] = "spiffe://", path[] = "device/";
    cs_err err;
    if (!cs_view_starts(uri, CS_VIEW_LIT("spiffe://"))) return false;
    cs_view rest = {uri.p + sizeof(scheme) - 1, uri.n - (sizeof(scheme) - 1)};
    const uint8_t *slash = memchr(rest.p, '/', rest.n);
    if (!slash || slash == rest.p) return false;
    rest = cs_view_of(slash + 1, rest.n - (size_t)(slash - rest.p) - 1);
    if (!cs_view_starts(rest, cs_view_str(path))) return false;
    rest = cs_view_of(rest.p + sizeof(path) - 1, rest.n - (sizeof(path) - 1));
    return cs_identity_make(CS_KIND_DEVICE, rest, ret, &err) == CS_OK;
}

static void name_other(const cs_cert *c, const cs_san *named, cs_identity *ret) {
    char subject[CS_NAME_TEXT_MAX + 1];
    CS_SCOPED(cs_buf) b = cs_buf_of(CS_IDENTITY_NAME_MAX);
    *ret = (cs_identity){.kind = CS_KIND_OTHER};
    if (named) {
        (void)cs_text_escape(&b, named->value, CS_IDENTITY_NAME_MAX);
        if (b.n > 0 && b.n <= CS_IDENTITY_NAME_MAX) memcpy(ret->name, b.p, b.n);
        return;
    }
    size_t n = strlen(cs_name_text(c->subject, subject)); /* escaped already */
    if (n > CS_IDENTITY_NAME_MAX) n = CS_IDENTITY_NAME_MAX;
    while (n > 0 && ((uint8_t)subject[n] & 0xc0) == 0x80) n--; /* never within a UTF-8 character */
    memcpy(ret->name, subject, n);
}

void cs_identity_of_cert(const cs_cert *leaf, cs_identity *ret) {
    size_t uris, emails, dns, ips;
    cs_err err;
    const cs_san *uri = first_san(leaf, CS_SAN_URI, &uris), *email = first_san(leaf, CS_SAN_EMAIL, &emails);
    const cs_san *host = first_san(leaf, CS_SAN_DNS, &dns), *ip = first_san(leaf, CS_SAN_IP, &ips);
    bool client = leaf->has_eku && (leaf->eku & CS_EKU_CLIENT_AUTH);
    bool server = leaf->has_eku && (leaf->eku & CS_EKU_SERVER_AUTH);
    *ret = (cs_identity){0};
    if (uris == 1 && device_of_uri(uri->value, ret)) return;
    if (email && client && cs_identity_make(CS_KIND_USER, email->value, ret, &err) == CS_OK) return;
    if (server && ip && (!host || ip < host)) {
        ret->kind = CS_KIND_SERVER;
        if (ip_text(ip->value, ret->name)) return;
    }
    if (server && host && cs_identity_make(CS_KIND_SERVER, host->value, ret, &err) == CS_OK) return;
    name_other(leaf, uri ? uri : email ? email : host, ret);
}
