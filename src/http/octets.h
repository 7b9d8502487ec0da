/* http/octets.h - octet classes and small scanners that the parser's files share. Static data; any thread. */
#ifndef CS_HTTP_OCTETS_H
#define CS_HTTP_OCTETS_H

#include "base/view.h"

enum {
    HTTP_C_TOKEN = 1,  /* tchar, RFC 9110 5.6.2 */
    HTTP_C_TARGET = 2, /* visible ASCII without '#': what a request target may hold */
    HTTP_C_HOST = 4,   /* letters, digits, '-', '.', '_', '~' */
    HTTP_C_LDH = 8,    /* letters, digits, '-' */
    HTTP_C_DIGIT = 16,
    HTTP_C_HEX = 32,
};
extern const uint8_t http_octets[256];

static inline bool http_is(uint8_t c, unsigned classes) {
    return (http_octets[c] & classes) != 0;
}

/* Are all octets of the class? True for none. */
static inline bool http_all(cs_view v, unsigned classes) {
    for (size_t i = 0; i < v.n; i++)
        if (!http_is(v.p[i], classes)) return false;
    return true;
}

static inline uint8_t http_lower(uint8_t c) {
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* `lower` is a lower-case literal. */
static inline bool http_same(cs_view v, const char *lower, size_t n) {
    if (v.n != n) return false;
    for (size_t i = 0; i < n; i++)
        if (http_lower(v.p[i]) != (uint8_t)lower[i]) return false;
    return true;
}
#define HTTP_SAME(v, lit) http_same((v), (lit), sizeof(lit) - 1)

/* 0-15, or -1. */
static inline int http_hex(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c = http_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The first octet in [p, end) that a field value may not hold (controls but HTAB, and DEL), or end. Eight at a time:
 * this is where a parser spends its time. */
const uint8_t *http_value_end(const uint8_t *p, const uint8_t *end);

/* The next element of a comma-separated list, trimmed, into *ret; false at its end. Empty elements are skipped. */
bool http_list_next(cs_view *list, cs_view *ret);

/* How much of a name from outside goes into a detail: "%.*s", HTTP_SHOW(view). */
#define HTTP_SHOW(v) (int)((v).n < 64 ? (v).n : 64), (const char *)(v).p

#endif
