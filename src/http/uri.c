/* Targets, authorities, paths: RFC 3986 as far as a gateway needs it. */
#include "http/h1.h"
#include "http/octets.h"

/* hex digits, ':' and '.', at least two ':': enough to know that nothing else hides in the brackets. */
static bool is_ipv6(cs_view v) {
    size_t colons = 0;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] == ':')
            colons++;
        else if (!http_is(v.p[i], HTTP_C_HEX) && v.p[i] != '.')
            return false;
    }
    return v.n <= 45 && colons >= 2;
}

static bool is_port(cs_view v, unsigned *ret) {
    unsigned port = 0;
    if (v.n == 0 || v.n > 5 || !http_all(v, HTTP_C_DIGIT)) return false;
    for (size_t i = 0; i < v.n; i++) port = port * 10 + (unsigned)(v.p[i] - '0');
    *ret = port;
    return port > 0 && port <= 65535;
}

bool http_authority_split(cs_view a, cs_view *ret_host, unsigned *ret_port) {
    cs_view host = a, port = {NULL, 0};
    if (a.n > 0 && a.p[0] == '[') {
        const uint8_t *close = memchr(a.p, ']', a.n);
        if (close == NULL) return false;
        host = (cs_view){a.p + 1, (size_t)(close - a.p) - 1};
        port = (cs_view){close + 1, a.n - host.n - 2};
        if (!is_ipv6(host)) return false;
    } else {
        const uint8_t *colon = a.n > 0 ? memchr(a.p, ':', a.n) : NULL;
        if (colon != NULL) {
            host.n = (size_t)(colon - a.p);
            port = (cs_view){colon, a.n - host.n};
        }
        if (host.n == 0 || host.n > 255 || !http_all(host, HTTP_C_HOST)) return false;
    }
    *ret_port = 0;
    if (port.n > 0 && (port.p[0] != ':' || !is_port((cs_view){port.p + 1, port.n - 1}, ret_port))) return false;
    *ret_host = host;
    return true;
}

/* What %XX stands for may not be something that changes what the path means. */
static bool escape_is_clean(const uint8_t *p, size_t left) {
    if (left < 3) return false;
    int hi = http_hex(p[1]), lo = http_hex(p[2]);
    if (hi < 0 || lo < 0) return false;
    int c = hi << 4 | lo;
    return c >= 0x20 && c != 0x7f && strchr("/\\.;%", c) == NULL;
}

bool http_path_is_clean(cs_view path) {
    if (path.n == 0 || path.p[0] != '/') return false;
    for (size_t i = 0; i < path.n; i++) {
        uint8_t c = path.p[i];
        if (c == ';' || c == '\\' || c <= 0x20 || c >= 0x7f) return false;
        if (c == '%' && !escape_is_clean(path.p + i, path.n - i)) return false;
        if (c != '/') continue;
        const uint8_t *segment = path.p + i + 1;
        size_t left = path.n - i - 1, n = 0;
        while (n < left && segment[n] != '/') n++;
        if (n == 0 && left > 0) return false; /* "//" */
        if (n >= 1 && n <= 2 && segment[0] == '.' && segment[n - 1] == '.') return false;
    }
    return true;
}
