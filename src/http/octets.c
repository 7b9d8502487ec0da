#include "http/octets.h"

#define T HTTP_C_TOKEN
#define V HTTP_C_TARGET
#define H HTTP_C_HOST
#define ALPHA (T | V | H | HTTP_C_LDH)
#define DIGIT (ALPHA | HTTP_C_DIGIT | HTTP_C_HEX)
#define XALPHA (ALPHA | HTTP_C_HEX)

const uint8_t http_octets[256] = {
    ['!'] = T | V,  ['"'] = V,      ['$'] = T | V,  ['%'] = T | V,  ['&'] = T | V,     ['\''] = T | V,
    ['('] = V,      [')'] = V,      ['*'] = T | V,  ['+'] = T | V,  [','] = V,         ['.'] = T | V | H,
    ['/'] = V,      [':'] = V,      [';'] = V,      ['<'] = V,      ['='] = V,         ['>'] = V,
    ['?'] = V,      ['@'] = V,      ['['] = V,      ['\\'] = V,     [']'] = V,         ['^'] = T | V,
    ['`'] = T | V,  ['{'] = V,      ['}'] = V,      ['|'] = T | V,  ['~'] = T | V | H, ['_'] = T | V | H,
    ['-'] = ALPHA,  ['#'] = T,      ['0'] = DIGIT,  ['1'] = DIGIT,  ['2'] = DIGIT,     ['3'] = DIGIT,
    ['4'] = DIGIT,  ['5'] = DIGIT,  ['6'] = DIGIT,  ['7'] = DIGIT,  ['8'] = DIGIT,     ['9'] = DIGIT,
    ['A'] = XALPHA, ['B'] = XALPHA, ['C'] = XALPHA, ['D'] = XALPHA, ['E'] = XALPHA,    ['F'] = XALPHA,
    ['G'] = ALPHA,  ['H'] = ALPHA,  ['I'] = ALPHA,  ['J'] = ALPHA,  ['K'] = ALPHA,     ['L'] = ALPHA,
    ['M'] = ALPHA,  ['N'] = ALPHA,  ['O'] = ALPHA,  ['P'] = ALPHA,  ['Q'] = ALPHA,     ['R'] = ALPHA,
    ['S'] = ALPHA,  ['T'] = ALPHA,  ['U'] = ALPHA,  ['V'] = ALPHA,  ['W'] = ALPHA,     ['X'] = ALPHA,
    ['Y'] = ALPHA,  ['Z'] = ALPHA,  ['a'] = XALPHA, ['b'] = XALPHA, ['c'] = XALPHA,    ['d'] = XALPHA,
    ['e'] = XALPHA, ['f'] = XALPHA, ['g'] = ALPHA,  ['h'] = ALPHA,  ['i'] = ALPHA,     ['j'] = ALPHA,
    ['k'] = ALPHA,  ['l'] = ALPHA,  ['m'] = ALPHA,  ['n'] = ALPHA,  ['o'] = ALPHA,     ['p'] = ALPHA,
    ['q'] = ALPHA,  ['r'] = ALPHA,  ['s'] = ALPHA,  ['t'] = ALPHA,  ['u'] = ALPHA,     ['v'] = ALPHA,
    ['w'] = ALPHA,  ['x'] = ALPHA,  ['y'] = ALPHA,  ['z'] = ALPHA,
};

static bool is_value(uint8_t c) {
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

const uint8_t *http_value_end(const uint8_t *p, const uint8_t *end) {
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    while (end - p >= 8) {
        uint64_t x;
        memcpy(&x, p, 8);
        uint64_t del = x ^ (ones * 0x7f);
        /* an octet below 0x20 borrows into its high bit, as does one that is 0 after the exclusive or */
        uint64_t odd = ((x - ones * 0x20) & ~x & high) | ((del - ones) & ~del & high);
        if (odd != 0) {
            const uint8_t *stop = p + 8;
            while (p < stop && is_value(*p)) p++;
            if (p < stop) return p;
        } else {
            p += 8;
        }
    }
    while (p < end && is_value(*p)) p++;
    return p;
}

bool http_list_next(cs_view *list, cs_view *ret) {
    while (list->n > 0) {
        const uint8_t *comma = memchr(list->p, ',', list->n);
        size_t n = comma != NULL ? (size_t)(comma - list->p) : list->n;
        cs_view item = {list->p, n};
        size_t skip = comma != NULL ? n + 1 : n;
        list->p += skip;
        list->n -= skip;
        while (item.n > 0 && (item.p[0] == ' ' || item.p[0] == '\t')) item.p++, item.n--;
        while (item.n > 0 && (item.p[item.n - 1] == ' ' || item.p[item.n - 1] == '\t')) item.n--;
        if (item.n > 0) {
            *ret = item;
            return true;
        }
    }
    return false;
}
