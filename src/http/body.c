/* The chunk decoder is a state machine over octets; data between them is handed on in whole pieces. RFC 9112 7.1. */
#include "http/body.h"

#include "http/octets.h"

enum {
    S_SIZE = 0,   /* hex digits of the chunk size */
    S_EXT,        /* chunk extensions, dropped */
    S_SIZE_LF,    /* after the CR of that line */
    S_DATA,       /* left octets of data */
    S_DATA_CR,    /* CR after the data */
    S_DATA_LF,    /* LF after the data */
    S_TRAILER,    /* at the start of a trailer line, or of the empty line that ends it all */
    S_TRAILER_IN, /* in the name of a trailer field */
    S_TRAILER_VALUE,
    S_TRAILER_LF, /* after the CR of a trailer line */
    S_END_LF,     /* after the CR of the empty line */
};

#define MALFORMED(err, ...) cs_fail((err), CS_REFUSED, CS_R_HTTP_MALFORMED, __VA_ARGS__)

void http_body_init(http_body *b, const http_head *head, uint64_t max) {
    *b = (http_body){.framing = head->framing, .max = max};
    if (head->framing == HTTP_BODY_LENGTH) b->left = head->length;
    b->done = head->framing == HTTP_BODY_NONE;
}

static cs_status too_large(const http_body *b, cs_err *err) {
    return cs_fail(err, CS_LIMIT, CS_R_HTTP_BODY_TOO_LARGE, "body over %llu octets", (unsigned long long)b->max);
}

/* Are n more octets allowed? Never overflows: total <= max. */
static bool fits(const http_body *b, uint64_t n) {
    return b->max == 0 || n <= b->max - b->total;
}

static cs_status read_plain(http_body *b, cs_view in, size_t *ret_used, cs_view *ret_data, cs_err *err) {
    size_t n = in.n;
    if (b->framing == HTTP_BODY_LENGTH) {
        if (b->total == 0 && !fits(b, b->left)) return too_large(b, err);
        if (n > b->left) n = (size_t)b->left;
        b->left -= n;
        b->done = b->left == 0;
    } else if (!fits(b, n)) {
        return too_large(b, err);
    }
    b->total += n;
    *ret_used = n;
    *ret_data = (cs_view){in.p, n};
    return CS_OK;
}

static cs_status end_size_line(http_body *b, cs_err *err) {
    if (!fits(b, b->left)) return too_large(b, err);
    b->line = 0;
    b->digits = 0;
    b->state = b->left > 0 ? S_DATA : S_TRAILER;
    return CS_OK;
}

static cs_status size_octet(http_body *b, uint8_t c, cs_err *err) {
    if (++b->line > CS_HTTP_CHUNK_LINE_MAX)
        return MALFORMED(err, "chunk-size line over %d octets", CS_HTTP_CHUNK_LINE_MAX);
    if (b->state == S_SIZE_LF)
        return c == '\n' ? end_size_line(b, err) : MALFORMED(err, "bare CR in a chunk-size line");
    if (b->state == S_SIZE) {
        int digit = http_hex(c);
        if (digit >= 0) {
            if (b->digits == 15) return MALFORMED(err, "chunk size of more than 15 digits");
            b->digits++;
            b->left = b->left << 4 | (uint64_t)digit;
            return CS_OK;
        }
        if (b->digits == 0) return MALFORMED(err, "octet 0x%02x where a chunk size begins", c);
        if (c != ';' && c != '\r') return MALFORMED(err, "octet 0x%02x after a chunk size", c);
    }
    if (c == '\r')
        b->state = S_SIZE_LF;
    else if (c < 0x20 || c == 0x7f)
        return MALFORMED(err, "octet 0x%02x in a chunk extension", c);
    else
        b->state = S_EXT;
    return CS_OK;
}

static cs_status trailer_octet(http_body *b, uint8_t c, cs_err *err) {
    if (++b->trailers > CS_HTTP_LINE_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_HTTP_HEADER_TOO_LARGE, "trailers over %d octets", CS_HTTP_LINE_MAX);
    if (b->keep != NULL && b->state != S_END_LF && (b->state != S_TRAILER || c != '\r'))
        (void)cs_buf_add_byte(b->keep, c);
    switch (b->state) {
    case S_TRAILER:
        if (c == '\r')
            b->state = S_END_LF;
        else if (http_is(c, HTTP_C_TOKEN))
            b->state = S_TRAILER_IN;
        else
            return MALFORMED(err, "octet 0x%02x begins a trailer field", c);
        return CS_OK;
    case S_TRAILER_IN:
        if (c == ':')
            b->state = S_TRAILER_VALUE;
        else if (!http_is(c, HTTP_C_TOKEN))
            return MALFORMED(err, "octet 0x%02x in the name of a trailer field", c);
        return CS_OK;
    case S_TRAILER_VALUE:
        if (c == '\r')
            b->state = S_TRAILER_LF;
        else if ((c < 0x20 && c != '\t') || c == 0x7f)
            return MALFORMED(err, "octet 0x%02x in a trailer field", c);
        return CS_OK;
    default: /* S_TRAILER_LF, S_END_LF */
        if (c != '\n') return MALFORMED(err, "bare CR in the trailers");
        b->done = b->state == S_END_LF;
        b->state = S_TRAILER;
        return CS_OK;
    }
}

static cs_status octet(http_body *b, uint8_t c, cs_err *err) {
    switch (b->state) {
    case S_SIZE:
    case S_EXT:
    case S_SIZE_LF: return size_octet(b, c, err);
    case S_DATA_CR:
        b->state = S_DATA_LF;
        return c == '\r' ? CS_OK : MALFORMED(err, "octet 0x%02x after a chunk's data", c);
    case S_DATA_LF:
        b->state = S_SIZE;
        b->left = 0;
        return c == '\n' ? CS_OK : MALFORMED(err, "octet 0x%02x after a chunk's data", c);
    default: return trailer_octet(b, c, err);
    }
}

cs_status http_body_read(http_body *b, cs_view in, size_t *ret_used, cs_view *ret_data, cs_err *err) {
    *ret_used = 0;
    *ret_data = (cs_view){NULL, 0};
    if (b->done) return CS_OK;
    if (in.n == 0) return CS_AGAIN;
    if (b->framing != HTTP_BODY_CHUNKED) return read_plain(b, in, ret_used, ret_data, err);
    size_t i = 0;
    while (i < in.n && !b->done) {
        if (b->state == S_DATA) {
            size_t n = in.n - i < b->left ? in.n - i : (size_t)b->left;
            *ret_data = (cs_view){in.p + i, n};
            b->left -= n;
            b->total += n;
            if (b->left == 0) b->state = S_DATA_CR;
            *ret_used = i + n;
            return CS_OK;
        }
        TRY(octet(b, in.p[i++], err));
    }
    *ret_used = i;
    return CS_OK;
}

cs_status http_body_eof(http_body *b, cs_err *err) {
    if (b->framing == HTTP_BODY_UNTIL_CLOSE) b->done = true;
    if (b->done) return CS_OK;
    if (b->framing == HTTP_BODY_LENGTH)
        return MALFORMED(err, "closed %llu octets before the body's end", (unsigned long long)b->left);
    return MALFORMED(err, "closed in the middle of a chunked body");
}

size_t http_chunk_head(uint64_t n, char out[HTTP_CHUNK_HEAD_MAX]) {
    static const char digits[] = "0123456789abcdef";
    size_t len = 1;
    for (uint64_t rest = n >> 4; rest > 0; rest >>= 4) len++;
    for (size_t i = len; i > 0; i--, n >>= 4) out[i - 1] = digits[n & 15];
    out[len] = '\r';
    out[len + 1] = '\n';
    return len + 2;
}

bool http_chunk_add(cs_buf *b, cs_view data) {
    char head[HTTP_CHUNK_HEAD_MAX];
    if (data.n == 0) return !b->failed;
    cs_buf_add(b, head, http_chunk_head(data.n, head));
    cs_buf_add_view(b, data);
    return cs_buf_add_view(b, HTTP_CHUNK_TAIL);
}
