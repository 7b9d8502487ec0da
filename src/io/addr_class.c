#include "io/addr_class.h"

#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>

typedef struct row {
    const char *net;
    unsigned prefix;
    addr_class is;
} row;

/* The first that fits; IANA's special-purpose registries. */
static const row v4_rows[] = {
    {"0.0.0.0", 8, ADDR_RESERVED},      {"10.0.0.0", 8, ADDR_PRIVATE},        {"100.64.0.0", 10, ADDR_PRIVATE},
    {"127.0.0.0", 8, ADDR_LOOPBACK},    {"169.254.0.0", 16, ADDR_LINK_LOCAL}, {"172.16.0.0", 12, ADDR_PRIVATE},
    {"192.0.0.0", 24, ADDR_RESERVED},   {"192.0.2.0", 24, ADDR_RESERVED},     {"192.88.99.0", 24, ADDR_RESERVED},
    {"192.168.0.0", 16, ADDR_PRIVATE},  {"198.18.0.0", 15, ADDR_RESERVED},    {"198.51.100.0", 24, ADDR_RESERVED},
    {"203.0.113.0", 24, ADDR_RESERVED}, {"224.0.0.0", 4, ADDR_MULTICAST},     {"255.255.255.255", 32, ADDR_MULTICAST},
    {"240.0.0.0", 4, ADDR_RESERVED},
};
static const row v6_rows[] = {
    {"::1", 128, ADDR_LOOPBACK},   {"::", 96, ADDR_RESERVED},     {"64:ff9b:1::", 48, ADDR_PRIVATE},
    {"100::", 64, ADDR_RESERVED},  {"2001::", 23, ADDR_RESERVED}, {"2001:db8::", 32, ADDR_RESERVED},
    {"3fff::", 20, ADDR_RESERVED}, {"fc00::", 7, ADDR_PRIVATE},   {"fe80::", 10, ADDR_LINK_LOCAL},
    {"fec0::", 10, ADDR_PRIVATE},  {"ff00::", 8, ADDR_MULTICAST},
};

static bool within(const uint8_t *a, const uint8_t *net, unsigned prefix) {
    unsigned whole = prefix / 8, rest = prefix % 8;
    if (memcmp(a, net, whole) != 0) return false;
    return rest == 0 || ((a[whole] ^ net[whole]) & (uint8_t)(0xff00U >> rest)) == 0;
}

static addr_class look_up(int family, const uint8_t *a, const row *rows, size_t n, addr_class otherwise) {
    uint8_t net[16];
    for (size_t i = 0; i < n; i++)
        if (inet_pton(family, rows[i].net, net) == 1 && within(a, net, rows[i].prefix)) return rows[i].is;
    return otherwise;
}

static addr_class class_of_v4(const uint8_t a[4]) {
    return look_up(AF_INET, a, v4_rows, sizeof v4_rows / sizeof v4_rows[0], ADDR_GLOBAL);
}

static addr_class class_of_v6(const uint8_t a[16]) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}, nat64[12] = {0, 0x64, 0xff, 0x9b};
    if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0) return class_of_v4(a + 12);
    if (a[0] == 0x20 && a[1] == 0x02) return class_of_v4(a + 2); /* 6to4 */
    addr_class is = look_up(AF_INET6, a, v6_rows, sizeof v6_rows / sizeof v6_rows[0], ADDR_GLOBAL);
    return is == ADDR_GLOBAL && (a[0] & 0xe0) != 0x20 ? ADDR_RESERVED : is; /* 2000::/3 is what is given out */
}

addr_class addr_class_of(const struct sockaddr *a) {
    if (a->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, a, sizeof in);
        return class_of_v4((const uint8_t *)&in.sin_addr);
    }
    if (a->sa_family != AF_INET6) return ADDR_RESERVED;
    struct sockaddr_in6 in;
    memcpy(&in, a, sizeof in);
    return class_of_v6((const uint8_t *)&in.sin6_addr);
}

const char *addr_class_name(addr_class c) {
    static const char *const names[] = {"global", "loopback", "private", "link-local", "multicast", "reserved"};
    return names[c];
}

static void map_v4(const uint8_t v4[4], uint8_t out[16]) {
    memset(out, 0, 10);
    memset(out + 10, 0xff, 2);
    memcpy(out + 12, v4, 4);
}

bool addr_range_parse(const char *text, addr_range *ret) {
    char host[INET6_ADDRSTRLEN];
    uint8_t v4[4];
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    if (n >= sizeof host) return false;
    memcpy(host, text, n);
    host[n] = '\0';
    unsigned most = 128, less = 0;
    if (inet_pton(AF_INET, host, v4) == 1) {
        map_v4(v4, ret->bits);
        most = 32, less = 96;
    } else if (inet_pton(AF_INET6, host, ret->bits) != 1) {
        return false;
    }
    ret->prefix = 128;
    if (!slash) return true;
    size_t digits = strspn(slash + 1, "0123456789");
    if (digits == 0 || digits > 3 || slash[1 + digits] != '\0') return false;
    unsigned long prefix = strtoul(slash + 1, NULL, 10);
    ret->prefix = (unsigned)prefix + less;
    return prefix <= most;
}

bool addr_range_has(const addr_range *r, const struct sockaddr *a) {
    uint8_t bits[16];
    if (a->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, a, sizeof in);
        map_v4((const uint8_t *)&in.sin_addr, bits);
    } else if (a->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, a, sizeof in);
        memcpy(bits, &in.sin6_addr, 16);
    } else {
        return false;
    }
    return within(bits, r->bits, r->prefix);
}
