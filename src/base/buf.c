#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/secret.h"

bool cs_view_eq_nocase(cs_view a, cs_view b) {
    if (a.n != b.n) return false;
    for (size_t i = 0; i < a.n; i++) {
        uint8_t x = a.p[i], y = b.p[i];
        if (x >= 'A' && x <= 'Z') x = (uint8_t)(x + 32);
        if (y >= 'A' && y <= 'Z') y = (uint8_t)(y + 32);
        if (x != y) return false;
    }
    return true;
}

bool cs_view_starts(cs_view a, cs_view prefix) {
    return a.n >= prefix.n && cs_view_eq(cs_view_of(a.p, prefix.n), prefix);
}

int cs_view_cmp(cs_view a, cs_view b) {
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n > 0 ? memcmp(a.p, b.p, n) : 0;
    if (c != 0) return c;
    return (a.n > b.n) - (a.n < b.n);
}

bool cs_view_eq_consttime(cs_view a, cs_view b) {
    if (a.n != b.n) return false;
    volatile uint8_t diff = 0;
    for (size_t i = 0; i < a.n; i++) diff = (uint8_t)(diff | (a.p[i] ^ b.p[i]));
    return diff == 0;
}

static bool is_space(uint8_t c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

cs_view cs_view_trim(cs_view a) {
    while (a.n > 0 && is_space(a.p[0])) a.p++, a.n--;
    while (a.n > 0 && is_space(a.p[a.n - 1])) a.n--;
    return a;
}

void cs_buf_free(cs_buf *b) {
    if (b->p != NULL && b->secret) cs_wipe(b->p, b->cap);
    free(b->p);
    b->p = NULL;
    b->n = b->cap = 0;
}

void cs_buf_clear(cs_buf *b) {
    if (b->p != NULL && b->secret) cs_wipe(b->p, b->cap);
    b->n = 0;
    b->failed = false;
}

/* Make room for `more` bytes after n. realloc would leave a copy of a secret behind, so copy by hand. */
static bool grow(cs_buf *b, size_t more) {
    if (b->failed) return false;
    if (more > b->max || b->n > b->max - more) {
        b->failed = true;
        return false;
    }
    size_t need = b->n + more;
    if (need <= b->cap) return true;
    size_t cap = b->cap > 0 ? b->cap : 64;
    while (cap < need) cap = cap > b->max / 2 ? b->max : cap * 2;
    uint8_t *p = b->secret ? malloc(cap) : realloc(b->p, cap); /* realloc may leave a copy behind */
    if (p == NULL) {
        b->failed = true;
        return false;
    }
    if (b->secret && b->p != NULL) {
        memcpy(p, b->p, b->n);
        cs_wipe(b->p, b->cap);
        free(b->p);
    }
    b->p = p;
    b->cap = cap;
    return true;
}

bool cs_buf_add(cs_buf *b, const void *p, size_t n) {
    if (n == 0) return !b->failed;
    if (!grow(b, n)) return false;
    memcpy(b->p + b->n, p, n);
    b->n += n;
    return true;
}

bool cs_buf_add_view(cs_buf *b, cs_view v) {
    return cs_buf_add(b, v.p, v.n);
}
bool cs_buf_add_str(cs_buf *b, const char *s) {
    return cs_buf_add(b, s, strlen(s));
}
bool cs_buf_add_byte(cs_buf *b, uint8_t c) {
    return cs_buf_add(b, &c, 1);
}

bool cs_buf_addf(cs_buf *b, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    bool ok = n >= 0 && (size_t)n < b->max && grow(b, (size_t)n + 1); /* + the NUL, which is not counted */
    if (ok) {
        (void)vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    } else {
        b->failed = true;
    }
    va_end(again);
    return ok;
}

bool cs_buf_add_u16(cs_buf *b, uint16_t v) {
    return cs_buf_add(b, (const uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

bool cs_buf_add_u32(cs_buf *b, uint32_t v) {
    return cs_buf_add(b, (const uint8_t[]){(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v}, 4);
}

bool cs_buf_add_u64(cs_buf *b, uint64_t v) {
    return cs_buf_add_u32(b, (uint32_t)(v >> 32)) && cs_buf_add_u32(b, (uint32_t)v);
}

bool cs_buf_add_vec16(cs_buf *b, cs_view v) {
    if (v.n > UINT16_MAX) {
        b->failed = true;
        return false;
    }
    return cs_buf_add_u16(b, (uint16_t)v.n) && cs_buf_add_view(b, v);
}

bool cs_buf_add_vec32(cs_buf *b, cs_view v) {
    if (v.n > UINT32_MAX) {
        b->failed = true;
        return false;
    }
    return cs_buf_add_u32(b, (uint32_t)v.n) && cs_buf_add_view(b, v);
}

uint8_t *cs_buf_reserve(cs_buf *b, size_t n) {
    return grow(b, n) ? b->p + b->n : NULL;
}

void cs_buf_commit(cs_buf *b, size_t n) {
    if (n <= b->cap - b->n) b->n += n;
}

void cs_buf_consume(cs_buf *b, size_t n) {
    if (n >= b->n) {
        b->n = 0;
        return;
    }
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}

const char *cs_buf_cstr(cs_buf *b) {
    if (b->n == 0) return "";
    if (b->n == b->cap) {
        size_t max = b->max;
        b->max = b->n + 1; /* the NUL may stand one above the ceiling */
        bool ok = grow(b, 1);
        b->max = max;
        if (!ok) return NULL;
    }
    b->p[b->n] = '\0';
    return (const char *)b->p;
}

cs_status cs_buf_ok(const cs_buf *b, const char *what, cs_err *err) {
    if (!b->failed) return CS_OK;
    return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s: more than %zu bytes", what, b->max);
}

cs_view cs_rd_bytes(cs_rd *r, size_t n) {
    if (r->failed || n > r->left) {
        r->failed = true;
        return (cs_view){NULL, 0};
    }
    cs_view v = {r->p, n};
    if (n > 0) r->p += n;
    r->left -= n;
    return v;
}

static uint64_t read_be(cs_rd *r, size_t n) {
    cs_view v = cs_rd_bytes(r, n);
    uint64_t x = 0;
    for (size_t i = 0; i < v.n; i++) x = x << 8 | v.p[i];
    return x;
}

uint8_t cs_rd_u8(cs_rd *r) {
    return (uint8_t)read_be(r, 1);
}
uint16_t cs_rd_u16(cs_rd *r) {
    return (uint16_t)read_be(r, 2);
}
uint32_t cs_rd_u32(cs_rd *r) {
    return (uint32_t)read_be(r, 4);
}
uint64_t cs_rd_u64(cs_rd *r) {
    return read_be(r, 8);
}
cs_view cs_rd_vec16(cs_rd *r) {
    return cs_rd_bytes(r, cs_rd_u16(r));
}
cs_view cs_rd_vec32(cs_rd *r) {
    return cs_rd_bytes(r, cs_rd_u32(r));
}
