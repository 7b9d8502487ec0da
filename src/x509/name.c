#include "x509/cert_priv.h"

#include <arpa/inet.h>

#include "base/text.h"

/* ---- structure ---- */

static cs_der rdns_of(cs_view name, cs_der_fault *fault) {
    cs_der d = cs_der_of(name, fault);
    return cs_der_in(&d, CS_DER_SEQUENCE);
}

typedef struct ava {
    cs_view oid, value;
    uint8_t tag;
} ava;

static bool next_ava(cs_der *rdn, ava *ret) {
    if (!cs_der_more(rdn)) return false;
    cs_der a = cs_der_in(rdn, CS_DER_SEQUENCE);
    ret->oid = cs_der_oid(&a);
    ret->value = cs_der_any(&a, &ret->tag, NULL);
    cs_der_end(&a);
    return cs_der_ok(rdn);
}

static const char *odd_string(const ava *a) {
    bool text = a->tag == CS_DER_UTF8_STRING || a->tag == CS_DER_PRINTABLE_STRING || a->tag == CS_DER_IA5_STRING ||
                a->tag == CS_DER_VISIBLE_STRING || a->tag == CS_DER_NUMERIC_STRING || a->tag == CS_DER_T61_STRING;
    if (!text) return NULL;
    for (size_t i = 0; i < a->value.n; i++) {
        if (a->value.p[i] < 0x20 || a->value.p[i] == 0x7f) return "a NUL or another control character";
        if (a->value.p[i] > 0x7f && a->tag != CS_DER_UTF8_STRING && a->tag != CS_DER_T61_STRING)
            return "a character that its string type does not have";
    }
    if (a->tag == CS_DER_UTF8_STRING && !cs_utf8_valid(a->value)) return "text that is not UTF-8";
    return NULL;
}

void cs_name_check(cs_view name, cs_der_fault *fault, const char **ret_odd) {
    cs_der rdns = rdns_of(name, fault);
    unsigned count = 0;
    while (cs_der_more(&rdns)) {
        cs_der rdn = cs_der_in(&rdns, CS_DER_SET);
        if (cs_der_ok(&rdn) && rdn.left == 0) cs_der_bad(&rdn, "an empty relative name");
        cs_view before = {NULL, 0};
        ava a;
        while (cs_der_more(&rdn)) {
            const uint8_t *start = rdn.p;
            if (!next_ava(&rdn, &a)) break;
            cs_view now = {start, (size_t)(rdn.p - start)};
            const char *odd = odd_string(&a);
            if (before.n && cs_view_cmp(before, now) >= 0) odd = "a set that is not in DER's order";
            if (odd && ret_odd && !*ret_odd) *ret_odd = odd;
            before = now;
            if (++count > 128) cs_der_bad(&rdn, "more than 128 attributes");
        }
    }
}

bool cs_name_empty(cs_view name) {
    return name.n <= 2;
}

bool cs_name_attr(cs_view name, cs_view oid, size_t *pos, uint8_t *ret_tag, cs_view *ret) {
    cs_der_fault fault = {0};
    cs_der rdns = rdns_of(name, &fault);
    size_t at = 0;
    while (cs_der_more(&rdns)) {
        cs_der rdn = cs_der_in(&rdns, CS_DER_SET);
        ava a;
        while (next_ava(&rdn, &a)) {
            if (!cs_view_eq(a.oid, oid) || at++ < *pos) continue;
            *pos = at;
            if (ret_tag) *ret_tag = a.tag;
            *ret = a.value;
            return true;
        }
    }
    return false;
}

/* ---- comparison: code points, folded (RFC 5280 7.1; RFC 4518 2.2-2.6 as far as real names need it) ---- */

typedef struct fold {
    cs_view v;
    uint8_t tag;
    size_t at;
    bool started, blank; /* a blank is held back until something follows it */
    uint32_t held;
} fold;

enum { FOLD_END = 0xffffffff };

static uint32_t raw_point(fold *f) {
    const uint8_t *p = f->v.p + f->at;
    size_t left = f->v.n - f->at;
    if (left == 0) return FOLD_END;
    if (f->tag == CS_DER_BMP_STRING && left >= 2) return f->at += 2, (uint32_t)p[0] << 8 | p[1];
    if (f->tag == CS_DER_UNIVERSAL_STRING && left >= 4)
        return f->at += 4, (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    if (f->tag == CS_DER_UTF8_STRING && p[0] >= 0xc2) {
        size_t more = p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : 3;
        if (left > more) {
            uint32_t c = p[0] & (0x3fU >> more);
            for (size_t i = 1; i <= more; i++) c = c << 6 | (p[i] & 0x3f);
            f->at += more + 1;
            return c;
        }
    }
    f->at++;
    return p[0];
}

/* Simple case folding of ASCII, Latin-1, Greek and Cyrillic: the scripts in which CA names have case. */
static uint32_t fold_case(uint32_t c) {
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
    if ((c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3a9 && c != 0x3a2) || (c >= 0x410 && c <= 0x42f))
        return c + 32;
    if (c >= 0x100 && c <= 0x137) return c | 1;
    if (c >= 0x400 && c <= 0x40f) return c + 80;
    return c;
}

static uint32_t next_point(fold *f) {
    if (f->held) {
        uint32_t c = f->held;
        f->held = 0;
        return c;
    }
    for (;;) {
        uint32_t c = raw_point(f);
        if (c == FOLD_END) return c;
        if (c == ' ' || (c >= 9 && c <= 13) || c == 0xa0 || c == 0x85) {
            f->blank = f->started;
            continue;
        }
        c = fold_case(c);
        f->started = true;
        if (!f->blank) return c;
        f->blank = false;
        f->held = c;
        return ' ';
    }
}

static bool is_text(uint8_t tag) {
    switch (tag) {
    case CS_DER_UTF8_STRING:
    case CS_DER_NUMERIC_STRING:
    case CS_DER_PRINTABLE_STRING:
    case CS_DER_T61_STRING:
    case CS_DER_IA5_STRING:
    case CS_DER_VISIBLE_STRING:
    case CS_DER_UNIVERSAL_STRING:
    case CS_DER_BMP_STRING: return true;
    default: return false;
    }
}

static bool ava_eq(const ava *a, const ava *b) {
    if (!cs_view_eq(a->oid, b->oid)) return false;
    if (a->tag == b->tag && cs_view_eq(a->value, b->value)) return true;
    if (!is_text(a->tag) || !is_text(b->tag)) return false;
    fold x = {.v = a->value, .tag = a->tag}, y = {.v = b->value, .tag = b->tag};
    uint32_t c, d;
    do {
        c = next_point(&x);
        d = next_point(&y);
        if (c != d) return false;
    } while (c != FOLD_END);
    return true;
}

static uint64_t mix(uint64_t h, uint64_t v) { /* FNV-1a over words: a prefilter, never proof */
    return (h ^ v) * 0x100000001b3ULL;
}

static uint64_t ava_hash(const ava *a) {
    uint64_t h = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < a->oid.n; i++) h = mix(h, a->oid.p[i]);
    if (!is_text(a->tag)) {
        for (size_t i = 0; i < a->value.n; i++) h = mix(h, a->value.p[i]);
        return mix(h, a->tag);
    }
    fold f = {.v = a->value, .tag = a->tag};
    for (uint32_t c; (c = next_point(&f)) != FOLD_END;) h = mix(h, c);
    return h;
}

uint64_t cs_name_hash(cs_view name) {
    cs_der_fault fault = {0};
    cs_der rdns = rdns_of(name, &fault);
    uint64_t h = 0xcbf29ce484222325ULL;
    while (cs_der_more(&rdns)) {
        cs_der rdn = cs_der_in(&rdns, CS_DER_SET);
        uint64_t sum = 0; /* a set: the order makes no difference */
        ava a;
        while (next_ava(&rdn, &a)) sum += ava_hash(&a);
        h = mix(h, sum);
    }
    return h;
}

/* Sets of a handful of attributes: as many in each, and each of a in b. */
static bool rdn_eq(cs_view x, cs_view y) {
    if (cs_view_eq(x, y)) return true;
    cs_der_fault fault = {0};
    cs_der a = cs_der_of(x, &fault), b = cs_der_of(y, &fault);
    ava p, q;
    int in_a = 0, in_b = 0;
    while (next_ava(&b, &q)) in_b++;
    while (next_ava(&a, &p)) {
        bool found = false;
        in_a++;
        b = cs_der_of(y, &fault);
        while (!found && next_ava(&b, &q)) found = ava_eq(&p, &q);
        if (!found) return false;
    }
    return in_a == in_b && !fault.rule;
}

bool cs_name_eq(cs_view a, cs_view b) {
    if (cs_view_eq(a, b)) return true;
    cs_der_fault fault = {0};
    cs_der x = rdns_of(a, &fault), y = rdns_of(b, &fault);
    while (cs_der_more(&x) && cs_der_more(&y)) {
        cs_view p = cs_der_get(&x, CS_DER_SET), q = cs_der_get(&y, CS_DER_SET);
        if (!rdn_eq(p, q)) return false;
    }
    return x.left == 0 && y.left == 0 && !fault.rule;
}

bool cs_name_within(cs_view name, cs_view base) {
    cs_der_fault fault = {0};
    cs_der x = rdns_of(name, &fault), y = rdns_of(base, &fault);
    while (cs_der_more(&y)) {
        if (!cs_der_more(&x)) return false;
        cs_view p = cs_der_get(&x, CS_DER_SET), q = cs_der_get(&y, CS_DER_SET);
        if (!rdn_eq(p, q)) return false;
    }
    return !fault.rule;
}

bool cs_name_eq_with_rdn(cs_view full, cs_view base, cs_view rdn) {
    cs_der_fault fault = {0};
    cs_der x = rdns_of(full, &fault), y = rdns_of(base, &fault);
    while (cs_der_more(&y)) {
        cs_view p = cs_der_get(&x, CS_DER_SET), q = cs_der_get(&y, CS_DER_SET);
        if (fault.rule || !rdn_eq(p, q)) return false;
    }
    cs_view last = cs_der_get(&x, CS_DER_SET);
    return !fault.rule && x.left == 0 && rdn_eq(last, rdn);
}

bool cs_name_next(cs_view name, cs_name_part part, size_t *pos, cs_view *ret) {
    cs_view oid = part == CS_NAME_O ? CS_OID_LIT("\x55\x04\x0a") : CS_OID_LIT("\x55\x04\x0b");
    uint8_t tag = 0;
    while (cs_name_attr(name, oid, pos, &tag, ret))
        if (tag == CS_DER_UTF8_STRING || tag == CS_DER_PRINTABLE_STRING || tag == CS_DER_IA5_STRING) return true;
    return false;
}

bool cs_name_cn(cs_view name, cs_view *ret) {
    size_t pos = 0;
    uint8_t tag = 0;
    bool found = false;
    while (cs_name_attr(name, CS_OID_LIT("\x55\x04\x03"), &pos, &tag, ret)) found = true;
    return found && (tag == CS_DER_UTF8_STRING || tag == CS_DER_PRINTABLE_STRING || tag == CS_DER_IA5_STRING);
}
