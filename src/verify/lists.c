#include <stdlib.h>

#include "base/text.h"
#include "verify/verify_priv.h"
#include "x509/digest.h"

/* ---- pins ---- */

typedef enum pin_role { PIN_ANY, PIN_LEAF, PIN_ISSUER, PIN_ANCHOR } pin_role;

typedef struct pin {
    pin_role role;
    uint8_t key[32];
    cs_time until; /* INT64_MAX: for ever */
} pin;

struct cs_pins {
    int refs;
    size_t n;
    pin *at;
};

cs_status cs_pins_new(cs_pins **ret, cs_err *err) {
    cs_pins *p = calloc(1, sizeof *p);
    if (!p) return CS_NOMEM_ERR(err);
    p->refs = 1;
    *ret = p;
    return CS_OK;
}

cs_pins *cs_pins_ref(cs_pins *p) {
    if (p) __atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
    return p;
}

void cs_pins_free(cs_pins *p) {
    if (!p || __atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    free(p->at);
    free(p);
}

static bool skip(cs_view *v, const char *prefix) {
    size_t n = strlen(prefix);
    if (!cs_view_starts(*v, cs_view_str(prefix))) return false;
    *v = cs_view_of(v->p + n, v->n - n);
    return true;
}

static bool digest_of_base64(cs_view v, uint8_t out[32]) {
    CS_SCOPED(cs_buf) b = cs_buf_of(64);
    if (!cs_base64_decode(v, false, &b) || b.n != 32) return false;
    memcpy(out, b.p, 32);
    return true;
}

static bool digest_of_hex(cs_view v, uint8_t out[32]) {
    size_t n = 0;
    return v.n == 64 && cs_hex_decode(v, out, 32, &n) && n == 32;
}

static bool parse_pin(cs_view v, pin *ret) {
    *ret = (pin){.role = PIN_ANY, .until = INT64_MAX};
    if (skip(&v, "leaf:"))
        ret->role = PIN_LEAF;
    else if (skip(&v, "issuer:"))
        ret->role = PIN_ISSUER;
    else if (skip(&v, "anchor:"))
        ret->role = PIN_ANCHOR;
    const uint8_t *semi = v.n ? memchr(v.p, ';', v.n) : NULL;
    if (semi) {
        cs_view until = cs_view_of(semi, (size_t)(v.p + v.n - semi));
        if (!skip(&until, ";until=") || !cs_time_parse(until, &ret->until)) return false;
        v.n = (size_t)(semi - v.p);
    }
    if (skip(&v, "sha256/")) return digest_of_base64(v, ret->key);
    return skip(&v, "sha256:") && digest_of_hex(v, ret->key);
}

static cs_status add_pin(cs_pins *p, cs_view text, const char *what, unsigned line, cs_err *err) {
    char at[16] = "";
    pin one;
    if (line) snprintf(at, sizeof at, ":%u", line);
    if (!parse_pin(text, &one))
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                       "%s%s: \"%.*s\", expected [leaf:|issuer:|anchor:]sha256/BASE64[;until=TIME]", what, at,
                       text.n > 120 ? 120 : (int)text.n, (const char *)text.p);
    if (p->n == CS_PINS_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s: more than %d pins", what, CS_PINS_MAX);
    pin *grown = realloc(p->at, (p->n + 1) * sizeof *grown);
    if (!grown) return CS_NOMEM_ERR(err);
    p->at = grown;
    p->at[p->n++] = one;
    return CS_OK;
}

cs_status cs_pins_add(cs_pins *p, const char *text, const char *what, cs_err *err) {
    return add_pin(p, cs_view_str(text), what, 0, err);
}

/* The next line that says something, trimmed and without its comment. */
static bool next_line(cs_view *left, unsigned *line, cs_view *ret) {
    while (left->n > 0) {
        const uint8_t *end = memchr(left->p, '\n', left->n);
        size_t n = end ? (size_t)(end - left->p) : left->n;
        cs_view v = cs_view_of(left->p, n);
        *left = cs_view_of(left->p + n + (end != NULL), left->n - n - (end != NULL));
        ++*line;
        const uint8_t *comment = v.n ? memchr(v.p, '#', v.n) : NULL;
        if (comment) v.n = (size_t)(comment - v.p);
        *ret = cs_view_trim(v);
        if (ret->n > 0) return true;
    }
    return false;
}

cs_status cs_pins_read(cs_pins *p, cs_view text, const char *what, cs_err *err) {
    unsigned line = 0;
    cs_view one;
    while (next_line(&text, &line, &one)) TRY(add_pin(p, one, what, line, err));
    return CS_OK;
}

static bool stands_at(const pin *p, size_t i, const cs_path *path) {
    bool leaf = i == 0, anchor = path->anchored && i + 1 == path->n;
    switch (p->role) {
    case PIN_LEAF: return leaf;
    case PIN_ANCHOR: return anchor;
    case PIN_ISSUER: return !leaf;
    default: return true;
    }
}

bool cs_pins_ok(cs_run *run, const cs_path *path, const cs_want *want, cs_refusal *r) {
    const cs_pins *pins = want->pins;
    size_t alive = 0;
    cs_time until = INT64_MIN;
    if (!pins || pins->n == 0) return true;
    for (size_t k = 0; k < pins->n; k++) {
        const pin *p = &pins->at[k];
        if (p->until < want->at) continue;
        alive++;
        for (size_t i = 0; i < path->n; i++)
            if (stands_at(p, i, path) && memcmp(path->at[i]->spki_sha256, p->key, 32) == 0 && p->until > until)
                until = p->until;
    }
    if (alive == 0) return cs_refuse(r, CS_R_PINS_EXPIRED, 0, "all of the %zu pins have expired", pins->n);
    if (until == INT64_MIN)
        return cs_refuse(r, CS_R_PIN_MISMATCH, 0, "none of the %zu keys of the path is pinned (%zu pins)", path->n,
                         alive);
    if (until < run->good_until) run->good_until = until;
    return true;
}

/* ---- lists: entries are of one size, sorted, told apart by their kind ---- */

typedef enum kind { BY_CERT = 1, BY_SPKI, BY_SERIAL, BY_NAME_AND_SERIAL } kind;

typedef struct entry {
    uint8_t kind, digest[32];
} entry;

struct cs_list {
    int refs;
    size_t n, cap;
    bool sorted;
    entry *at;
};

cs_status cs_list_new(cs_list **ret, cs_err *err) {
    cs_list *l = calloc(1, sizeof *l);
    if (!l) return CS_NOMEM_ERR(err);
    l->refs = 1;
    *ret = l;
    return CS_OK;
}

cs_list *cs_list_ref(cs_list *l) {
    if (l) __atomic_add_fetch(&l->refs, 1, __ATOMIC_RELAXED);
    return l;
}

void cs_list_free(cs_list *l) {
    if (!l || __atomic_sub_fetch(&l->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    free(l->at);
    free(l);
}

static cs_status add(cs_list *l, kind k, const uint8_t digest[32], cs_err *err) {
    if (l->n == CS_LIST_MAX) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "more than %d entries", CS_LIST_MAX);
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 16;
        entry *grown = realloc(l->at, cap * sizeof *grown);
        if (!grown) return CS_NOMEM_ERR(err);
        l->at = grown, l->cap = cap;
    }
    l->at[l->n].kind = (uint8_t)k;
    memcpy(l->at[l->n++].digest, digest, 32);
    return CS_OK;
}

/* As in an INTEGER: minimal, positive. */
static cs_view magnitude(cs_view serial) {
    while (serial.n > 1 && serial.p[0] == 0) serial = cs_view_of(serial.p + 1, serial.n - 1);
    return serial;
}

static bool add_line(cs_list *l, cs_view v, cs_err *err) {
    uint8_t digest[32], issuer[32], serial[CS_SERIAL_MAX + 1];
    size_t n = 0;
    if (skip(&v, "cert:")) return digest_of_hex(v, digest) && add(l, BY_CERT, digest, err) == CS_OK;
    if (skip(&v, "spki:")) return digest_of_hex(v, digest) && add(l, BY_SPKI, digest, err) == CS_OK;
    if (!skip(&v, "serial:") || v.n < 66 || v.p[64] != ':' || !digest_of_hex(cs_view_of(v.p, 64), issuer)) return false;
    if (!cs_hex_decode(cs_view_of(v.p + 65, v.n - 65), serial, sizeof serial, &n) || n == 0) return false;
    return cs_sha256_two(cs_view_of(issuer, 32), magnitude(cs_view_of(serial, n)), digest, err) == CS_OK &&
           add(l, BY_SERIAL, digest, err) == CS_OK;
}

static cs_status add_cert(cs_list *l, const cs_cert *c, bool deny, cs_err *err) {
    uint8_t digest[32];
    TRY(add(l, BY_CERT, c->sha256, err));
    if (!deny) return CS_OK;
    TRY(add(l, BY_SPKI, c->spki_sha256, err));
    TRY(cs_sha256_two(c->issuer, magnitude(c->serial), digest, err));
    return add(l, BY_NAME_AND_SERIAL, digest, err);
}

static int by_octets(const void *a, const void *b) {
    return memcmp(a, b, sizeof(entry));
}

static cs_status read_lines(cs_list *l, cs_view text, const char *what, cs_err *err) {
    unsigned line = 0;
    cs_view one;
    while (next_line(&text, &line, &one)) {
        *err = (cs_err){.status = CS_OK};
        if (add_line(l, one, err)) continue;
        if (err->status != CS_OK) return cs_fail_in(err, "%s:%u", what, line);
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                       "%s:%u: \"%.*s\", expected cert:HEX, spki:HEX or serial:ISSUER-SPKI-HEX:HEX", what, line,
                       one.n > 120 ? 120 : (int)one.n, (const char *)one.p);
    }
    return CS_OK;
}

cs_status cs_list_read(cs_list *l, cs_view text, bool deny, const char *what, cs_err *err) {
    CS_SCOPED(cs_certs) certs = {NULL, 0};
    bool pem = text.n > 0 && memmem(text.p, text.n, "-----BEGIN ", 11) != NULL;
    if (!pem && !cs_looks_der(text)) {
        TRY(read_lines(l, text, what, err));
    } else {
        TRY(cs_certs_read_noting(text, what, &certs, err));
        for (size_t i = 0; i < certs.n; i++) TRY(add_cert(l, certs.at[i], deny, err));
    }
    if (l->n) qsort(l->at, l->n, sizeof l->at[0], by_octets);
    return CS_OK;
}

static bool has(const cs_list *l, kind k, const uint8_t digest[32]) {
    entry e = {.kind = (uint8_t)k};
    memcpy(e.digest, digest, 32);
    return l->n && bsearch(&e, l->at, l->n, sizeof e, by_octets) != NULL;
}

/* A digest that could not be made counts as listed when that refuses, so that both lists fail closed. */
static bool listed(const cs_list *l, const cs_path *path, size_t i, bool when_in_doubt) {
    const cs_cert *c = path->at[i];
    uint8_t digest[32];
    cs_err err;
    if (has(l, BY_CERT, c->sha256) || has(l, BY_SPKI, c->spki_sha256)) return true;
    if (cs_sha256_two(c->issuer, magnitude(c->serial), digest, &err) != CS_OK) return when_in_doubt;
    if (has(l, BY_NAME_AND_SERIAL, digest)) return true;
    if (i + 1 >= path->n) return false;
    cs_view issuer = cs_view_of(path->at[i + 1]->spki_sha256, 32);
    if (cs_sha256_two(issuer, magnitude(c->serial), digest, &err) != CS_OK) return when_in_doubt;
    return has(l, BY_SERIAL, digest);
}

bool cs_lists_ok(const cs_path *path, const cs_want *want, cs_refusal *r) {
    for (size_t i = path->n; want->deny && i-- > 0;)
        if (listed(want->deny, path, i, true))
            return cs_refuse(r, CS_R_CERTIFICATE_DENIED, (int)i,
                             "it, its key or its serial number is on the deny list");
    if (want->allow && !listed(want->allow, path, 0, false))
        return cs_refuse(r, CS_R_CERTIFICATE_NOT_LISTED, 0, "neither it nor its key is on the allow list");
    return true;
}
