/* base/buf.h - a growing buffer that has a ceiling, and a cursor that reads bounded bytes.
 * A cs_buf is owned by whoever initialised it; one thread at a time; freed by cs_buf_free (twice is fine). */
#ifndef CS_BASE_BUF_H
#define CS_BASE_BUF_H

#include "base/err.h"
#include "base/view.h"

typedef struct cs_buf {
    uint8_t *p;
    size_t n, cap;
    size_t max;  /* ceiling in bytes: no append passes it */
    bool failed; /* sticky: an append met the ceiling or no memory; the content is then incomplete */
    bool secret; /* wipe on growth and free */
} cs_buf;

/* No allocation until the first append. */
static inline cs_buf cs_buf_of(size_t max) {
    return (cs_buf){.max = max};
}
static inline cs_buf cs_buf_secret(size_t max) {
    return (cs_buf){.max = max, .secret = true};
}
void cs_buf_free(cs_buf *b);
void cs_buf_clear(cs_buf *b); /* keeps the memory; wipes it if secret */

/* CS_SCOPED(cs_buf) b = cs_buf_of(MAX); frees b on every way out. */
#define CS_SCOPED(type) __attribute__((cleanup(type##_free))) type

/* Appends. False (and b->failed) when the ceiling would be passed or memory ran out: check each, or all at once
 * with cs_buf_ok at the end. `p` may not point into b. */
bool cs_buf_add(cs_buf *b, const void *p, size_t n);
bool cs_buf_add_view(cs_buf *b, cs_view v);
bool cs_buf_add_str(cs_buf *b, const char *s);
bool cs_buf_add_byte(cs_buf *b, uint8_t c);
bool cs_buf_addf(cs_buf *b, const char *fmt, ...) CS_PRINTF(2, 3);
/* Big-endian integers, as in every wire format here. */
bool cs_buf_add_u16(cs_buf *b, uint16_t v);
bool cs_buf_add_u32(cs_buf *b, uint32_t v);
bool cs_buf_add_u64(cs_buf *b, uint64_t v);
/* Length (u16, u32) followed by the bytes; the reader's twins are cs_rd_vec16 and cs_rd_vec32. */
bool cs_buf_add_vec16(cs_buf *b, cs_view v);
bool cs_buf_add_vec32(cs_buf *b, cs_view v);

/* Room for n more bytes at the end, or NULL; say how many were used with cs_buf_commit. */
uint8_t *cs_buf_reserve(cs_buf *b, size_t n);
void cs_buf_commit(cs_buf *b, size_t n);
/* Drop n bytes from the front (moves the rest). */
void cs_buf_consume(cs_buf *b, size_t n);
/* A NUL after the content (not counted in n); "" when nothing is there. NULL when memory ran out. */
const char *cs_buf_cstr(cs_buf *b);

static inline cs_view cs_buf_view(const cs_buf *b) {
    return (cs_view){b->p, b->n};
}
/* CS_OK, or CS_LIMIT/limit-reached naming `what`. */
cs_status cs_buf_ok(const cs_buf *b, const char *what, cs_err *err);

/* The cursor: reads never pass the end; the first short read makes it fail for good and all further reads give
 * zeros. Check once, with cs_rd_ended (everything was read, nothing was short) or cs_rd_ok. */
typedef struct cs_rd {
    const uint8_t *p;
    size_t left;
    bool failed;
} cs_rd;

static inline cs_rd cs_rd_of(cs_view v) {
    return (cs_rd){v.p, v.n, false};
}
static inline bool cs_rd_ok(const cs_rd *r) {
    return !r->failed;
}
static inline bool cs_rd_ended(const cs_rd *r) {
    return !r->failed && r->left == 0;
}
cs_view cs_rd_bytes(cs_rd *r, size_t n); /* a view into the input */
uint8_t cs_rd_u8(cs_rd *r);
uint16_t cs_rd_u16(cs_rd *r);
uint32_t cs_rd_u32(cs_rd *r);
uint64_t cs_rd_u64(cs_rd *r);
cs_view cs_rd_vec16(cs_rd *r);
cs_view cs_rd_vec32(cs_rd *r);

#endif
