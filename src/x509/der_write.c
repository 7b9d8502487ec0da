/* DER, written front to back. */
#include "x509/der_write.h"

#include <stdio.h>

enum { SHORT_FORM = 0x80, LENGTH_MAX = 5 };

/* The length octets for n into out; how many. */
static size_t put_length(uint8_t out[LENGTH_MAX], size_t n) {
    if (n < SHORT_FORM) return out[0] = (uint8_t)n, 1;
    size_t octets = n > 0xffffff ? 4 : n > 0xffff ? 3 : n > 0xff ? 2 : 1;
    out[0] = (uint8_t)(SHORT_FORM | octets);
    for (size_t i = 0; i < octets; i++) out[1 + i] = (uint8_t)(n >> (8 * (octets - 1 - i)));
    return 1 + octets;
}

/* The mark is where the one octet for a short length stands. */
cs_der_mark cs_der_open(cs_buf *b, uint8_t tag) {
    const uint8_t head[2] = {tag, 0};
    (void)cs_buf_add(b, head, sizeof(head));
    return b->n - 1;
}

void cs_der_close(cs_buf *b, cs_der_mark mark) {
    uint8_t length[LENGTH_MAX];
    if (b->failed) return;
    size_t contents = b->n - mark - 1, octets = put_length(length, contents);
    if (contents > 0xffffffffU) {
        b->failed = true;
        return;
    }
    if (octets > 1) {
        if (!cs_buf_reserve(b, octets - 1)) {
            b->failed = true;
            return;
        }
        memmove(b->p + mark + octets, b->p + mark + 1, contents);
        cs_buf_commit(b, octets - 1);
    }
    memcpy(b->p + mark, length, octets);
}

cs_der_mark cs_der_open_bits(cs_buf *b) {
    cs_der_mark m = cs_der_open(b, CS_DER_BIT_STRING);
    (void)cs_buf_add_byte(b, 0);
    return m;
}

void cs_der_put_head(cs_buf *b, uint8_t tag, size_t n) {
    uint8_t head[1 + LENGTH_MAX] = {tag};
    (void)cs_buf_add(b, head, 1 + put_length(head + 1, n));
}

void cs_der_put(cs_buf *b, uint8_t tag, cs_view contents) {
    cs_der_put_head(b, tag, contents.n);
    (void)cs_buf_add_view(b, contents);
}

void cs_der_put_str(cs_buf *b, uint8_t tag, const char *text) {
    cs_der_put(b, tag, cs_view_str(text));
}

void cs_der_put_oid(cs_buf *b, cs_view contents) {
    cs_der_put(b, CS_DER_OID, contents);
}

void cs_der_put_bool(cs_buf *b, bool v) {
    const uint8_t octet = v ? 0xff : 0x00;
    cs_der_put(b, CS_DER_BOOLEAN, cs_view_of(&octet, 1));
}

static void put_magnitude(cs_buf *b, uint8_t tag, cs_view v) {
    while (v.n > 1 && v.p[0] == 0) v.p++, v.n--;
    uint8_t head[1 + LENGTH_MAX + 1] = {tag};
    bool pad = v.n == 0 || v.p[0] & 0x80; /* zero, or else it would be negative */
    size_t n = 1 + put_length(head + 1, v.n + pad);
    if (pad) head[n++] = 0;
    (void)cs_buf_add(b, head, n);
    (void)cs_buf_add_view(b, v);
}

void cs_der_put_magnitude(cs_buf *b, cs_view big_endian) {
    put_magnitude(b, CS_DER_INTEGER, big_endian);
}

void cs_der_put_uint(cs_buf *b, uint8_t tag, uint64_t v) {
    uint8_t octets[8];
    for (size_t i = 0; i < 8; i++) octets[i] = (uint8_t)(v >> (56 - 8 * i));
    put_magnitude(b, tag, cs_view_of(octets, sizeof(octets)));
}

void cs_der_put_bits(cs_buf *b, cs_view octets) {
    uint8_t head[1 + LENGTH_MAX + 1] = {CS_DER_BIT_STRING};
    size_t n = 1 + put_length(head + 1, octets.n + 1);
    head[n++] = 0;
    (void)cs_buf_add(b, head, n);
    (void)cs_buf_add_view(b, octets);
}

void cs_der_put_named_bits(cs_buf *b, unsigned mask) {
    uint8_t out[3] = {0};
    size_t n = 1;
    unsigned last = 0;
    for (unsigned bit = 0; bit < 16; bit++) {
        if (!(mask & (1U << bit))) continue;
        out[1 + bit / 8] |= (uint8_t)(0x80U >> (bit % 8));
        n = 2 + bit / 8;
        last = bit;
    }
    if (n > 1) out[0] = (uint8_t)(7 - last % 8);
    cs_der_put(b, CS_DER_BIT_STRING, cs_view_of(out, n));
}

void cs_der_put_time(cs_buf *b, cs_time t) {
    cs_civil c = cs_civil_of_time(cs_time_seconds(t) * CS_SEC);
    char text[15];
    bool two_digits = c.year >= 1950 && c.year <= 2049;
    if (c.year < 0 || c.year > 9999) {
        b->failed = true;
        return;
    }
    /* by hand: a list of a million entries has as many */
    const int pairs[] = {c.year / 100, c.year % 100, c.month, c.day, c.hour, c.minute, c.second};
    for (size_t i = 0; i < 7; i++) {
        text[2 * i] = (char)('0' + pairs[i] / 10);
        text[2 * i + 1] = (char)('0' + pairs[i] % 10);
    }
    text[14] = 'Z';
    size_t skip = two_digits ? 2 : 0;
    cs_der_put(b, two_digits ? CS_DER_UTC_TIME : CS_DER_GENERALIZED_TIME,
               cs_view_of((const uint8_t *)text + skip, 15 - skip));
}
