/* Object identifiers from text. X.690 8.19 */
#include "x509/der.h"

static bool next_arc(cs_view text, size_t *at, uint64_t *ret) {
    uint64_t v = 0;
    size_t begin = *at;
    for (; *at < text.n && text.p[*at] >= '0' && text.p[*at] <= '9'; ++*at) {
        unsigned digit = (unsigned)(text.p[*at] - '0');
        if (v > (UINT64_MAX - digit) / 10) return false;
        v = v * 10 + digit;
    }
    *ret = v;
    bool padded = *at - begin > 1 && text.p[begin] == '0';
    return *at > begin && !padded;
}

static void put_arc(cs_buf *b, uint64_t v) {
    uint8_t octets[10];
    size_t n = 0;
    do {
        octets[n++] = (uint8_t)(v & 0x7f);
        v >>= 7;
    } while (v > 0);
    while (n-- > 0) (void)cs_buf_add_byte(b, (uint8_t)(octets[n] | (n > 0 ? 0x80 : 0)));
}

bool cs_oid_parse(cs_view text, cs_buf *b) {
    size_t at = 0, begin = b->n;
    uint64_t top = 0, arc = 0;
    if (!next_arc(text, &at, &top) || top > 2) return false;
    for (size_t i = 0; at < text.n; i++) {
        if (text.p[at++] != '.' || !next_arc(text, &at, &arc)) return false;
        if (i == 0 && ((top < 2 && arc > 39) || arc > UINT64_MAX - 80)) return false;
        put_arc(b, i == 0 ? top * 40 + arc : arc);
    }
    return b->n > begin && b->n - begin <= CS_DER_OID_MAX && !b->failed;
}
