#include "conf/value.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "io/addr_class.h"

static const struct {
    const char *path;
    conf_type type;
} typed[] = {
    {"https", CONF_ADDRESS},
    {"http", CONF_ADDRESS_OFF},
    {"metrics", CONF_ADDRESS_OFF},
    {"public_url", CONF_URL},
    {"trust_domain", CONF_TRUST_DOMAIN},
    {"store", CONF_STORE},
    {"upstream", CONF_UPSTREAM},
    {"revocation_grace", CONF_DURATION},
    {"sites[].name", CONF_SITE_NAME},
    {"sites[].certificate", CONF_FILE},
    {"sites[].key", CONF_FILE},
    {"sites[].client", CONF_CLIENT},
    {"sites[].client_ca", CONF_FILE},
    {"sites[].client_crl", CONF_FILE},
    {"sites[].min_tls", CONF_TLS},
    {"sites[].upstream", CONF_UPSTREAM},
    {"sites[].listen", CONF_LISTEN},
    {"sites[].tls", CONF_ON_OFF},
    {"sites[].protocol", CONF_PROTOCOL},
    {"sites[].alpn", CONF_ALPN},
    {"sites[].certificates[].certificate", CONF_FILE},
    {"sites[].certificates[].key", CONF_FILE},
    {"sites[].ocsp", CONF_FILE},
    {"sites[].ca_names", CONF_CA_NAMES},
    {"ticket_keys", CONF_TICKET_KEYS},
    {"tls_records", CONF_TLS_RECORDS},
    {"sites[].allow[].fingerprint", CONF_HEX32},
    {"sites[].allow[].fingerprints", CONF_FILE},
    {"sites[].routes[].host", CONF_HOST},
    {"sites[].routes[].methods[]", CONF_METHOD},
    {"sites[].routes[].allow[].fingerprint", CONF_HEX32},
    {"sites[].routes[].allow[].fingerprints", CONF_FILE},
    {"upstreams[].name", CONF_NAME},
    {"upstreams[].servers[]", CONF_SERVER},
    {"upstreams[].ca", CONF_FILE},
    {"upstreams[].certificate", CONF_FILE},
    {"upstreams[].key", CONF_FILE},
    {"upstreams[].crl", CONF_FILE},
    {"upstreams[].alpn", CONF_ALPN},
    {"upstreams[].starttls", CONF_STARTTLS},
    {"upstreams[].health", CONF_ROUTE_PATH},
    {"upstreams[].interval", CONF_DURATION},
    {"follow", CONF_DURATION_OFF},
    {"limits.connect", CONF_DURATION},
    {"sites[].starttls", CONF_STARTTLS},
    {"sites[].allow[].kind", CONF_KIND},
    {"sites[].routes[].path", CONF_ROUTE_PATH},
    {"sites[].routes[].upstream", CONF_UPSTREAM},
    {"sites[].routes[].allow[].kind", CONF_KIND},
    {"profiles[].name", CONF_NAME},
    {"profiles[].kind", CONF_KIND},
    {"profiles[].lifetime", CONF_DURATION},
    {"profiles[].longest", CONF_DURATION},
    {"profiles[].backdate", CONF_DURATION},
    {"enroll.server.approval", CONF_APPROVAL},
    {"enroll.server.grace", CONF_DURATION},
    {"enroll.server.retry", CONF_DURATION},
    {"enroll.user.approval", CONF_APPROVAL},
    {"enroll.user.grace", CONF_DURATION},
    {"enroll.user.retry", CONF_DURATION},
    {"enroll.device.approval", CONF_APPROVAL},
    {"enroll.device.grace", CONF_DURATION},
    {"enroll.device.retry", CONF_DURATION},
    {"enroll.doors[].protocol", CONF_DOOR_NAME},
    {"enroll.doors[].label", CONF_NAME},
    {"enroll.doors[].approval", CONF_APPROVAL},
    {"enroll.doors[].ca_certificates", CONF_CA_CHAIN},
    {"enroll.doors[].accounts", CONF_ACCOUNTS},
    {"enroll.doors[].channel_binding", CONF_BINDING},
    {"enroll.vendors[].name", CONF_NAME},
    {"enroll.vendors[].as", CONF_VENDOR_AS},
    {"enroll.vendors[].anchors", CONF_FILE},
    {"enroll.vendors[].crl", CONF_FILE},
    {"enroll.vendors[].serial", CONF_SERIAL_AT},
    {"enroll.vendors[].identity", CONF_PATTERN},
    {"enroll.vendors[].use", CONF_USE},
    {"enroll.vendors[].doors[]", CONF_ANY_DOOR},
    {"acme.url", CONF_HTTPS_URL},
    {"acme.resolvers[]", CONF_RESOLVER},
    {"acme.fetch_from[]", CONF_NETWORK},
    {"crl.lifetime", CONF_DURATION},
    {"crl.interval", CONF_DURATION},
    {"crl.delta", CONF_DURATION_OFF},
    {"crl.cas[].ca", CONF_NAME},
    {"crl.cas[].lifetime", CONF_DURATION},
    {"crl.cas[].interval", CONF_DURATION},
    {"crl.cas[].delta", CONF_DURATION_OFF},
    {"ocsp.lifetime", CONF_DURATION},
    {"limits.handshake", CONF_DURATION},
    {"limits.header", CONF_DURATION},
    {"limits.idle", CONF_DURATION},
    {"limits.stream", CONF_DURATION},
    {"limits.upstream", CONF_DURATION},
    {"limits.drain", CONF_DURATION},
    {"two_person[]", CONF_TWO_PERSON},
    {"weak_keys[]", CONF_FILE},
    {"log.format", CONF_LOG_FORMAT},
    {"notices.before[]", CONF_DURATION},
    {"notices.mail_to[]", CONF_MAIL},
    {"notices.mail_from", CONF_MAIL},
    {"notices.sendmail", CONF_FILE},
    {"notices.smtp", CONF_SMTP},
    {"notices.smtp_password", CONF_FILE},
    {"notices.webhook", CONF_WEBHOOK},
    {"notices.webhook_token", CONF_FILE},
};

conf_type conf_type_of(const char *path) {
    for (size_t i = 0; i < sizeof typed / sizeof typed[0]; i++)
        if (strcmp(typed[i].path, path) == 0) return typed[i].type;
    return CONF_TEXT;
}

const char *const conf_two_words[] = {"admins", "cas", "profiles", NULL};

static bool two_person_ok(const char *text) {
    unsigned i = 0;
    while (conf_two_words[i] != NULL && strcmp(text, conf_two_words[i]) != 0) i++;
    return conf_two_words[i] != NULL;
}

static bool port_ok(const char *text) {
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 5 || text[n] != '\0') return false;
    long port = strtol(text, NULL, 10);
    return port >= 1 && port <= 65535;
}

/* LDH labels; `plain`: nothing else before or after. */
static bool host_name_ok(const char *text, size_t n) {
    size_t label = 0;
    if (n == 0 || n > 253) return false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '.') {
            if (label == 0 || text[i - 1] == '-') return false;
            label = 0;
            continue;
        }
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c != '-' || label == 0) && c != '_') return false;
        if (++label > 63) return false;
    }
    return label > 0 && text[n - 1] != '-';
}

static bool ip_ok(int family, const char *text, size_t n) {
    char copy[INET6_ADDRSTRLEN + 1];
    uint8_t bytes[16];
    if (n == 0 || n >= sizeof copy) return false;
    memcpy(copy, text, n);
    copy[n] = '\0';
    return inet_pton(family, copy, bytes) == 1;
}

/* "[v6]:port", "v4:port"; with names also "host:port", and without a port when it may lack. */
static bool endpoint_ok(const char *text, bool names, bool port_may_lack) {
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        if (end == NULL || !ip_ok(AF_INET6, text + 1, (size_t)(end - text - 1))) return false;
        return end[1] == ':' ? port_ok(end + 2) : port_may_lack && end[1] == '\0';
    }
    const char *colon = strchr(text, ':');
    size_t n = colon != NULL ? (size_t)(colon - text) : strlen(text);
    bool host = ip_ok(AF_INET, text, n) || (n == 9 && strncmp(text, "localhost", 9) == 0) ||
                (names && host_name_ok(text, n) && strspn(text, "0123456789.") < n);
    if (!host) return false;
    return colon != NULL ? port_ok(colon + 1) : port_may_lack;
}

/* SCHEME://HOST[:PORT], maybe with a last '/'. */
static bool origin_ok(const char *text, const char *scheme, bool port_may_lack) {
    char copy[512];
    size_t skip = strlen(scheme);
    if (strncmp(text, scheme, skip) != 0) return false;
    size_t n = strlen(text + skip);
    if (n > 0 && text[skip + n - 1] == '/') n--;
    if (n == 0 || n >= sizeof copy) return false;
    memcpy(copy, text + skip, n);
    copy[n] = '\0';
    return endpoint_ok(copy, true, port_may_lack);
}

/* "//user:password@" would be in every listing of the file, and in every error that quotes it. */
static bool store_ok(const char *text) {
    if (strcmp(text, "sqlite") == 0) return true;
    if (!cs_view_starts(cs_view_str(text), CS_VIEW_LIT("postgresql://"))) return false;
    bool colon = false;
    for (const char *p = strstr(text, "//"); p != NULL && *p != '\0' && *p != '@'; p++) colon = colon || *p == ':';
    return strstr(text, "password=") == NULL && (strchr(text, '@') == NULL || !colon);
}

static bool url_ok(const char *text) {
    return origin_ok(text, "http://", true);
}

static bool server_ok(const char *text) {
    if (strncmp(text, "unix:/", 6) == 0) return text[6] != '\0';
    return url_ok(text) || origin_ok(text, "https://", true) || origin_ok(text, "h2c://", true) ||
           origin_ok(text, "h2://", true) || origin_ok(text, "tcp://", false) || origin_ok(text, "tls://", false);
}

static bool all_of(const char *text, const char *set) {
    return text[0] != '\0' && text[strspn(text, set)] == '\0';
}

#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/* Visible ASCII, 1 to 255 octets each (RFC 7301 3.1), with commas between. */
static bool alpn_ok(const char *text) {
    size_t n = 0;
    for (const char *p = text;; p++) {
        if (*p == ',' || *p == '\0') {
            if (n == 0 || n > 255) return false;
            if (*p == '\0') return true;
            n = 0;
        } else if (*p <= 0x20 || *p > 0x7e) {
            return false;
        } else {
            n++;
        }
    }
}

static bool site_name_ok(const char *text) {
    if (strcmp(text, "*") == 0) return true;
    if (strncmp(text, "*.", 2) == 0) text += 2;
    return host_name_ok(text, strlen(text));
}

/* Visible ASCII without what would start a query, a fragment or a dot segment. */
static bool route_path_ok(const char *text) {
    if (text[0] != '/') return false;
    for (const char *p = text; *p != '\0'; p++)
        if (*p <= 0x20 || *p > 0x7e || *p == '?' || *p == '#' || *p == '%' || *p == '\\') return false;
    return strstr(text, "//") == NULL && strstr(text, "/./") == NULL && strstr(text, "/../") == NULL;
}

/* What goes into a message's head and an SMTP command as it stands: nothing there may end either. */
static bool mail_ok(const char *text) {
    const char *at = strchr(text, '@');
    size_t local = at != NULL ? (size_t)(at - text) : 0;
    return local > 0 && local <= 64 && strspn(text, ALNUM ".!#$%&'*+-/=?^_`{|}~") == local && text[0] != '-' &&
           host_name_ok(at + 1, strlen(at + 1));
}

static bool webhook_ok(const char *text) {
    char origin[512];
    const char *path = strstr(text, "://");
    size_t n = path != NULL ? (size_t)(path - text) + 3 + strcspn(path + 3, "/?#") : 0;
    if (n == 0 || n >= sizeof origin) return false;
    for (const char *p = text; *p != '\0'; p++)
        if (*p <= 0x20 || *p > 0x7e) return false;
    memcpy(origin, text, n);
    origin[n] = '\0';
    if (origin_ok(origin, "https://", true)) return true;
    return origin_ok(origin, "http://", true) &&
           (strncmp(origin, "http://127.", 11) == 0 || strncmp(origin, "http://localhost", 16) == 0 ||
            strncmp(origin, "http://[::1]", 12) == 0);
}

static bool one_of(const char *text, const char *const words[]) {
    for (size_t i = 0; words[i] != NULL; i++)
        if (strcmp(text, words[i]) == 0) return true;
    return false;
}

/* endpoint_ok lets localhost pass, which a resolver cannot be found by. */
static bool resolver_ok(const char *text) {
    return ip_ok(AF_INET6, text, strlen(text)) ||
           (strncmp(text, "localhost", 9) != 0 && endpoint_ok(text, false, true));
}

/* {serial} once, and around it what may stand in a device's name. */
static bool pattern_ok(const char *text) {
    const char *at = strstr(text, "{serial}");
    size_t before = at != NULL ? (size_t)(at - text) : 0;
    return at != NULL && strlen(text) <= 64 && strspn(text, ALNUM "._-") >= before &&
           strspn(at + 8, ALNUM "._-") == strlen(at + 8);
}

bool conf_value_ok(conf_type type, const char *text) {
    static const char *const clients[] = {"require", "optional", "off", NULL};
    static const char *const kinds[] = {"server", "user", "device", NULL};
    static const char *const tls[] = {"1.2", "1.3", NULL};
    static const char *const formats[] = {"json", "text", NULL};
    static const char *const protocols[] = {"http", "tcp", NULL};
    static const char *const starttls[] = {"postgres", NULL};
    static const char *const approvals[] = {"never", "unknown", "always", NULL};
    static const char *const doors[] = {"est", "scep", "cmp", "acme", NULL};
    static const char *const chains[] = {"ra", "chain", "all", NULL};
    static const char *const records[] = {"own", "libssl", NULL};
    static const char *const bindings[] = {"checked", "required", "ignored", NULL};
    static const char *const places[] = {"any", "subject", "common-name", "hardware-module", "permanent-identifier",
                                         NULL};
    cs_time duration;
    addr_range range;
    switch (type) {
    case CONF_TEXT: return true;
    case CONF_ADDRESS: return endpoint_ok(text, false, false);
    case CONF_LISTEN: return strncmp(text, "unix:/", 6) == 0 || endpoint_ok(text, false, false);
    case CONF_ON_OFF: return strcmp(text, "on") == 0 || strcmp(text, "off") == 0;
    case CONF_ADDRESS_OFF: return text[0] == '\0' || strcmp(text, "off") == 0 || endpoint_ok(text, false, false);
    case CONF_URL: return url_ok(text);
    case CONF_STORE: return store_ok(text);
    case CONF_UPSTREAM: return server_ok(text) || all_of(text, ALNUM "-_");
    case CONF_SERVER: return server_ok(text);
    case CONF_NAME: return all_of(text, ALNUM "-_");
    case CONF_HEX32: return strlen(text) == 64 && all_of(text, "0123456789abcdefABCDEF");
    case CONF_TICKET_KEYS:
    case CONF_CA_NAMES: return text[0] != '\0';
    case CONF_DURATION_OFF: return strcmp(text, "off") == 0 || cs_duration_parse(cs_view_str(text), &duration);
    case CONF_HOST: return strcmp(text, "*") != 0 && site_name_ok(text);
    case CONF_METHOD: return all_of(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") && strlen(text) <= 32;
    case CONF_DURATION: return cs_duration_parse(cs_view_str(text), &duration);
    case CONF_FILE: return text[0] != '\0';
    case CONF_SITE_NAME: return site_name_ok(text);
    case CONF_ROUTE_PATH: return route_path_ok(text);
    case CONF_TRUST_DOMAIN:
        return host_name_ok(text, strlen(text)) && strpbrk(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == NULL;
    case CONF_KIND: return one_of(text, kinds);
    case CONF_CLIENT: return one_of(text, clients);
    case CONF_TLS: return one_of(text, tls);
    case CONF_TLS_RECORDS: return one_of(text, records);
    case CONF_LOG_FORMAT: return one_of(text, formats);
    case CONF_PROTOCOL: return one_of(text, protocols);
    case CONF_STARTTLS: return one_of(text, starttls);
    case CONF_ALPN: return alpn_ok(text);
    case CONF_MAIL: return mail_ok(text);
    case CONF_SMTP: return origin_ok(text, "smtp://", true) || origin_ok(text, "smtps://", true);
    case CONF_WEBHOOK: return webhook_ok(text);
    case CONF_APPROVAL: return one_of(text, approvals);
    case CONF_DOOR_NAME: return one_of(text, doors);
    case CONF_CA_CHAIN: return one_of(text, chains);
    case CONF_BINDING: return one_of(text, bindings);
    case CONF_VENDOR_AS: return strcmp(text, "idevid") == 0 || strcmp(text, "tpm") == 0;
    case CONF_SERIAL_AT: return one_of(text, places);
    case CONF_PATTERN: return pattern_ok(text);
    case CONF_USE: return strcmp(text, "once") == 0 || strcmp(text, "again") == 0;
    case CONF_ANY_DOOR: return one_of(text, doors) || strcmp(text, "rest") == 0;
    case CONF_ACCOUNTS: return strcmp(text, "token") == 0 || strcmp(text, "open") == 0;
    case CONF_HTTPS_URL: return origin_ok(text, "https://", true);
    case CONF_NETWORK: return addr_range_parse(text, &range);
    case CONF_RESOLVER: return resolver_ok(text);
    case CONF_TWO_PERSON: return two_person_ok(text);
    }
    return false;
}

const char *conf_value_expected(conf_type type) {
    switch (type) {
    case CONF_TEXT: return "text";
    case CONF_ADDRESS: return "ADDRESS:PORT, such as 127.0.0.1:8443 or [::1]:8443";
    case CONF_LISTEN: return "ADDRESS:PORT, such as 127.0.0.1:1883, or unix:/PATH for a site with tls: off";
    case CONF_ON_OFF: return "on or off";
    case CONF_ADDRESS_OFF: return "ADDRESS:PORT, such as 127.0.0.1:8880 or [::1]:8880, or off";
    case CONF_STORE: return "sqlite, or postgresql://USER@HOST/DATABASE?passfile=FILE (no password in it)";
    case CONF_URL: return "http://HOST:PORT without a path, such as http://pki.corp.example";
    case CONF_UPSTREAM:
        return "http://HOST:PORT without a path (https, h2c and h2 too), tcp://HOST:PORT, tls://HOST:PORT, unix:/PATH, "
               "or a name of upstreams";
    case CONF_SERVER:
        return "http://HOST:PORT without a path (https, h2c and h2 too), tcp://HOST:PORT, tls://HOST:PORT or "
               "unix:/PATH";
    case CONF_NAME: return "letters, digits, - and _";
    case CONF_HEX32: return "the SHA-256 of a certificate, 64 hexadecimal digits";
    case CONF_TICKET_KEYS: return "authority, or the path of a readable file";
    case CONF_CA_NAMES: return "all, none, or the path of a readable file";
    case CONF_DURATION_OFF: return "a duration, such as 2s, or off";
    case CONF_HOST: return "a DNS name or *.DOMAIN";
    case CONF_METHOD: return "a method's name, such as GET";
    case CONF_DURATION: return "a duration, such as 90d, 8h, 15m or 30s";
    case CONF_FILE: return "the path of a readable file";
    case CONF_SITE_NAME: return "a DNS name, *.DOMAIN, or * for the default site";
    case CONF_ROUTE_PATH: return "a path that begins with /, without ? # % or dot segments";
    case CONF_TRUST_DOMAIN: return "a DNS name in lower case, such as corp.example";
    case CONF_KIND: return "server, user or device";
    case CONF_CLIENT: return "require, optional or off";
    case CONF_TLS: return "1.2 or 1.3";
    case CONF_TLS_RECORDS: return "own or libssl";
    case CONF_LOG_FORMAT: return "json or text";
    case CONF_PROTOCOL: return "http or tcp";
    case CONF_STARTTLS: return "postgres";
    case CONF_APPROVAL: return "never, unknown or always";
    case CONF_DOOR_NAME: return "est, scep, cmp or acme";
    case CONF_CA_CHAIN: return "ra, chain or all";
    case CONF_VENDOR_AS: return "idevid or tpm";
    case CONF_SERIAL_AT: return "any, subject, common-name, hardware-module or permanent-identifier";
    case CONF_PATTERN: return "a device's name with {serial} in it, such as acme-{serial}";
    case CONF_USE: return "once or again";
    case CONF_ANY_DOOR: return "est, scep, cmp, acme or rest";
    case CONF_ACCOUNTS: return "token or open";
    case CONF_BINDING: return "checked, required or ignored";
    case CONF_HTTPS_URL: return "https://HOST[:PORT] without a path, such as https://ca.corp.example";
    case CONF_NETWORK: return "a network or address, such as 10.0.0.0/8 or fd00::/8";
    case CONF_RESOLVER: return "ADDRESS or ADDRESS:PORT, such as 10.0.0.53 or [fd00::53]:53";
    case CONF_TWO_PERSON: return "admins, cas or profiles";
    case CONF_ALPN: return "names of protocols with commas between, such as mqtt";
    case CONF_MAIL: return "an address, such as ops@corp.example";
    case CONF_SMTP: return "smtp://HOST[:PORT] or smtps://HOST[:PORT]";
    case CONF_WEBHOOK: return "https://HOST[:PORT]/..., or http:// of this machine";
    }
    return "something else";
}
