#include "base/text.h"

static const char hex_digits[] = "0123456789abcdef";

char *cs_hex(cs_view bytes, char *out) {
    for (size_t i = 0; i < bytes.n; i++) {
        out[2 * i] = hex_digits[bytes.p[i] >> 4];
        out[2 * i + 1] = hex_digits[bytes.p[i] & 15];
    }
    out[2 * bytes.n] = '\0';
    return out;
}

bool cs_hex_add(cs_buf *b, cs_view bytes) {
    for (size_t i = 0; i < bytes.n; i++) {
        char pair[2] = {hex_digits[bytes.p[i] >> 4], hex_digits[bytes.p[i] & 15]};
        if (!cs_buf_add(b, pair, 2)) return false;
    }
    return !b->failed;
}

static int hex_value(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool cs_hex_decode(cs_view text, uint8_t *out, size_t cap, size_t *ret_n) {
    size_t n = 0;
    for (size_t i = 0; i < text.n;) {
        if (text.p[i] == ':' && i > 0) {
            i++;
            continue;
        }
        if (i + 1 >= text.n || n >= cap) return false;
        int hi = hex_value(text.p[i]), lo = hex_value(text.p[i + 1]);
        if (hi < 0 || lo < 0) return false;
        out[n++] = (uint8_t)(hi << 4 | lo);
        i += 2;
    }
    *ret_n = n;
    return true;
}

static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool cs_base64_add(cs_buf *b, cs_view v) {
    for (size_t i = 0; i < v.n; i += 3) {
        size_t left = v.n - i;
        uint32_t x = (uint32_t)v.p[i] << 16;
        if (left > 1) x |= (uint32_t)v.p[i + 1] << 8;
        if (left > 2) x |= v.p[i + 2];
        char four[4] = {b64[x >> 18], b64[x >> 12 & 63], left > 1 ? b64[x >> 6 & 63] : '=',
                        left > 2 ? b64[x & 63] : '='};
        if (!cs_buf_add(b, four, 4)) return false;
    }
    return !b->failed;
}

static int b64_value(uint8_t c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+') return 62;
    if (c == '/') return 63;
    return -1;
}

typedef struct base64 {
    uint32_t acc;
    unsigned have, pads;
} base64;

/* One character: how many octets it completes (0 or 3, into out), or -1. */
static int base64_step(base64 *d, uint8_t c, uint8_t out[3]) {
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') return 0;
    if (c == '=') {
        d->pads++;
        return 0;
    }
    int x = b64_value(c);
    if (x < 0 || d->pads > 0) return -1;
    d->acc = d->acc << 6 | (uint32_t)x;
    if (++d->have < 4) return 0;
    out[0] = (uint8_t)(d->acc >> 16), out[1] = (uint8_t)(d->acc >> 8), out[2] = (uint8_t)d->acc;
    d->acc = d->have = 0;
    return 3;
}

/* The end: how many octets are left (0 to 2), or -1 when it is not one. */
static int base64_last(const base64 *d, bool loose, uint8_t out[3]) {
    bool padded = d->have == 0 ? d->pads == 0 : d->pads == 4 - d->have;
    if (d->have == 1 || !(padded || (loose && d->pads == 0))) return -1;
    if (d->have == 0) return 0;
    bool two = d->have == 3;
    out[0] = (uint8_t)(d->acc >> (two ? 10 : 4)), out[1] = (uint8_t)(d->acc >> 2);
    return (d->acc & (two ? 3U : 15U)) != 0 ? -1 : two ? 2 : 1;
}

bool cs_base64_decode(cs_view text, bool loose, cs_buf *b) {
    base64 d = {0};
    uint8_t out[3];
    for (size_t i = 0; i < text.n; i++) {
        int n = base64_step(&d, text.p[i], out);
        if (n < 0 || (n > 0 && !cs_buf_add(b, out, (size_t)n))) return false;
    }
    int n = base64_last(&d, loose, out);
    return n >= 0 && cs_buf_add(b, out, (size_t)n) && !b->failed;
}

bool cs_base64_decode_over(cs_view text, uint8_t *to, size_t *ret_n) {
    base64 d = {0};
    uint8_t out[3];
    size_t at = 0;
    for (size_t i = 0; i < text.n; i++) {
        int n = base64_step(&d, text.p[i], out);
        if (n < 0) return false;
        for (int k = 0; k < n; k++) to[at++] = out[k];
    }
    int n = base64_last(&d, false, out);
    for (int k = 0; k < n; k++) to[at++] = out[k];
    *ret_n = at;
    return n >= 0;
}

bool cs_base64url_add(cs_buf *b, cs_view bytes) {
    size_t from = b->n;
    if (!cs_base64_add(b, bytes)) return false;
    while (b->n > from && b->p[b->n - 1] == '=') b->n--;
    for (size_t i = from; i < b->n; i++) {
        if (b->p[i] == '+') b->p[i] = '-';
        if (b->p[i] == '/') b->p[i] = '_';
    }
    return true;
}

bool cs_base64url_decode(cs_view text, cs_buf *b) {
    base64 d = {0};
    uint8_t out[3];
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!letter && c != '-' && c != '_') return false;
        int n = base64_step(&d, c == '-' ? '+' : c == '_' ? '/' : c, out);
        if (n < 0 || (n > 0 && !cs_buf_add(b, out, (size_t)n))) return false;
    }
    int n = base64_last(&d, true, out);
    return n >= 0 && cs_buf_add(b, out, (size_t)n) && !b->failed;
}

/* Length of the UTF-8 sequence at p (1-4), or 0 when there is none. */
static size_t utf8_len(const uint8_t *p, size_t n) {
    if (p[0] < 0x80) return 1;
    size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || len > n) return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if (p[0] == 0xe0 && p[1] < 0xa0) return 0;
    if (p[0] == 0xed && p[1] > 0x9f) return 0; /* surrogates */
    if (p[0] == 0xf0 && p[1] < 0x90) return 0;
    if (p[0] == 0xf4 && p[1] > 0x8f) return 0;
    return len;
}

bool cs_utf8_valid(cs_view t) {
    for (size_t i = 0; i < t.n;) {
        size_t len = utf8_len(t.p + i, t.n - i);
        if (len == 0) return false;
        i += len;
    }
    return true;
}

/* C0, DEL, C1 and the line and paragraph separators: whatever may break a line or drive a terminal. */
static bool is_control(const uint8_t *p, size_t len) {
    if (len == 1) return p[0] < 0x20 || p[0] == 0x7f;
    if (len == 2) return p[0] == 0xc2 && p[1] < 0xa0;
    if (len != 3) return false;
    if (p[0] == 0xe2 && p[1] == 0x80)
        return p[2] == 0xa8 || p[2] == 0xa9 || (p[2] >= 0xaa && p[2] <= 0xae) || p[2] == 0x8e || p[2] == 0x8f;
    return p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9; /* directional isolates */
}

bool cs_text_escape(cs_buf *b, cs_view t, size_t max) {
    size_t start = b->n;
    for (size_t i = 0; i < t.n;) {
        size_t len = utf8_len(t.p + i, t.n - i);
        if (b->n - start + 16 > max) return cs_buf_add_str(b, "...");
        if (len == 0 || is_control(t.p + i, len)) {
            if (len == 0) len = 1;
            for (size_t k = 0; k < len; k++) cs_buf_addf(b, "\\x%02x", t.p[i + k]);
        } else {
            if (t.p[i] == '"' || t.p[i] == '\\') cs_buf_add_byte(b, '\\');
            cs_buf_add(b, t.p + i, len);
        }
        i += len;
    }
    return !b->failed;
}

size_t cs_text_distance(cs_view a, cs_view b) {
    enum { WORD_MAX = 64 };
    size_t row[WORD_MAX + 1];
    if (a.n > WORD_MAX || b.n > WORD_MAX) return a.n > b.n ? a.n : b.n;
    for (size_t j = 0; j <= b.n; j++) row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t above = row[j], best = diagonal + (a.p[i - 1] != b.p[j - 1]);
            if (above + 1 < best) best = above + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[b.n];
}

bool cs_text_fits(const char *pattern, cs_view text, bool any_case) {
    const char *star = NULL;
    size_t mark = 0, i = 0;
    while (i < text.n) {
        uint8_t a = (uint8_t)*pattern, b = text.p[i];
        if (any_case && a >= 'A' && a <= 'Z') a |= 0x20;
        if (any_case && b >= 'A' && b <= 'Z') b |= 0x20;
        if (a == '*')
            star = pattern++, mark = i;
        else if (a == b && a != '\0')
            pattern++, i++;
        else if (star != NULL)
            pattern = star + 1, i = ++mark;
        else
            return false;
    }
    while (*pattern == '*') pattern++;
    return *pattern == '\0';
}
