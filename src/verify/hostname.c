/* Is the leaf for the name that was asked for? Only subject alternative names count. @rfc 9525#6 */
#include "verify/verify_priv.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/text.h"

enum { HOST_MAX = 253, LABEL_MAX = 63 };

bool cs_dns_name_ok(cs_view name, bool wild, bool loose) {
    if (wild && name.n > 2 && name.p[0] == '*' && name.p[1] == '.') name = (cs_view){name.p + 2, name.n - 2};
    if (name.n == 0 || name.n > HOST_MAX) return false;
    size_t label = 0;
    for (size_t i = 0; i <= name.n; i++) {
        if (i == name.n || name.p[i] == '.') {
            if (label == 0 || label > LABEL_MAX || name.p[i - 1] == '-' || name.p[i - label] == '-') return false;
            label = 0;
            continue;
        }
        uint8_t c = name.p[i], l = c | 0x20;
        if (!((l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || (loose && c == '_'))) return false;
        label++;
    }
    return true;
}

/* ---- U-labels to A-labels: punycode, @rfc 3492#6.3; letters are lower-cased as far as ASCII, Latin-1, Greek and
 * Cyrillic go, which is what people type ---- */

static size_t utf8_points(cs_view label, uint32_t out[LABEL_MAX]) {
    size_t n = 0;
    for (size_t i = 0; i < label.n && n < LABEL_MAX;) {
        uint8_t c = label.p[i];
        size_t more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        uint32_t v = more ? c & (0x3fU >> more) : c;
        for (size_t k = 1; k <= more; k++) v = v << 6 | (label.p[i + k] & 0x3f);
        if (v >= 'A' && v <= 'Z')
            v += 32;
        else if ((v >= 0xc0 && v <= 0xde && v != 0xd7) || (v >= 0x391 && v <= 0x3a9) || (v >= 0x410 && v <= 0x42f))
            v += 32;
        out[n++] = v;
        i += more + 1;
    }
    return n;
}

static uint32_t adapt(uint32_t delta, uint32_t points, bool first) {
    delta = first ? delta / 700 : delta / 2;
    delta += delta / points;
    uint32_t k = 0;
    for (; delta > 455; k += 36) delta /= 35;
    return k + 36 * delta / (delta + 38);
}

static bool add_punycode(cs_buf *b, const uint32_t *cp, size_t n) {
    uint32_t at = 128, delta = 0, bias = 72, done = 0, basic;
    for (size_t i = 0; i < n; i++) {
        if (cp[i] < 128) cs_buf_add_byte(b, (uint8_t)cp[i]), done++;
    }
    basic = done;
    if (basic) cs_buf_add_byte(b, '-');
    while (done < n) {
        uint32_t next = UINT32_MAX;
        for (size_t i = 0; i < n; i++) {
            if (cp[i] >= at && cp[i] < next) next = cp[i];
        }
        delta += (next - at) * (done + 1); /* 63 points of 21 bits: no overflow */
        at = next;
        for (size_t i = 0; i < n; i++) {
            if (cp[i] < at) delta++;
            if (cp[i] != at) continue;
            uint32_t q = delta;
            for (uint32_t k = 36;; k += 36) {
                uint32_t t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
                uint32_t digit = q < t ? q : t + (q - t) % (36 - t);
                cs_buf_add_byte(b, (uint8_t)(digit < 26 ? 'a' + digit : '0' + digit - 26));
                if (q < t) break;
                q = (q - t) / (36 - t);
            }
            bias = adapt(delta, done + 1, done == basic);
            delta = 0;
            done++;
        }
        delta++;
        at++;
    }
    return !b->failed;
}

/* The name as A-labels, without a dot at the end. */
static bool to_ascii(cs_view name, cs_buf *b) {
    if (name.n && name.p[name.n - 1] == '.') name.n--;
    if (!cs_utf8_valid(name)) return false;
    for (size_t start = 0; start <= name.n;) {
        size_t end = start;
        bool ascii = true;
        for (; end < name.n && name.p[end] != '.'; end++) ascii &= name.p[end] < 0x80;
        cs_view label = {name.p + start, end - start};
        uint32_t points[LABEL_MAX];
        if (start) cs_buf_add_byte(b, '.');
        if (ascii) {
            cs_buf_add_view(b, label);
        } else {
            cs_buf_add_str(b, "xn--");
            add_punycode(b, points, utf8_points(label, points));
        }
        start = end + 1;
    }
    return !b->failed;
}

/* ---- matching ---- */

/* The wildcard is the whole leftmost label, stands for exactly one label, and never for what is below a top-level
 * domain alone. @rfc 9525#6.3 */
static bool dns_matches(cs_view presented, cs_view wanted) {
    if (!cs_dns_name_ok(presented, true, true)) return false;
    if (presented.p[0] != '*') return cs_view_eq_nocase(presented, wanted);
    cs_view parent = {presented.p + 1, presented.n - 1}; /* with its dot */
    const uint8_t *dot = memchr(wanted.p, '.', wanted.n);
    if (!dot || dot == wanted.p) return false;
    if (!memchr(parent.p + 1, '.', parent.n - 1)) return false;
    size_t label = (size_t)(dot - wanted.p);
    return cs_view_eq_nocase(parent, (cs_view){dot, wanted.n - label});
}

static bool email_matches(cs_view presented, cs_view wanted) {
    const uint8_t *a = memrchr(presented.p, '@', presented.n), *b = memrchr(wanted.p, '@', wanted.n);
    if (!a || !b || a - presented.p != b - wanted.p) return false;
    size_t local = (size_t)(a - presented.p);
    return memcmp(presented.p, wanted.p, local) == 0 &&
           cs_view_eq_nocase((cs_view){a, presented.n - local}, (cs_view){b, wanted.n - local});
}

typedef struct reference {
    cs_san_type type;
    cs_view value;
    uint8_t ip[16];
    cs_buf ascii;
} reference;

/* What ends in a number is an address to whoever connects there, never a name. @rfc 9525#2 */
static bool ends_in_number(cs_view name) {
    size_t digits = 0;
    while (digits < name.n && name.p[name.n - 1 - digits] >= '0' && name.p[name.n - 1 - digits] <= '9') digits++;
    return digits > 0 && (digits == name.n || name.p[name.n - 1 - digits] == '.');
}

/* False when the text is no name of its kind: it then matches nothing. */
static bool prepare(const cs_name_want *w, reference *ref) {
    cs_view text = cs_view_str(w->value);
    *ref = (reference){.type = w->type, .value = text, .ascii = cs_buf_of(1024)};
    if (w->type == CS_SAN_IP) {
        char bare[INET6_ADDRSTRLEN];
        if (text.n > 2 && text.p[0] == '[' && text.p[text.n - 1] == ']') text = (cs_view){text.p + 1, text.n - 2};
        if (text.n >= sizeof bare) return false;
        memcpy(bare, text.p, text.n);
        bare[text.n] = '\0';
        ref->value = cs_view_of(ref->ip, 4);
        if (inet_pton(AF_INET, bare, ref->ip) == 1) return true;
        ref->value.n = 16;
        return inet_pton(AF_INET6, bare, ref->ip) == 1;
    }
    if (w->type != CS_SAN_DNS) return text.n > 0;
    if (!to_ascii(text, &ref->ascii)) return false;
    ref->value = cs_buf_view(&ref->ascii);
    return cs_dns_name_ok(ref->value, false, true) && !ends_in_number(ref->value);
}

static bool matches(const cs_san *s, const reference *ref) {
    if (s->type != ref->type || s->value.n == 0) return false;
    switch (ref->type) {
    case CS_SAN_DNS: return dns_matches(s->value, ref->value);
    case CS_SAN_EMAIL: return email_matches(s->value, ref->value);
    default: return cs_view_eq(s->value, ref->value);
    }
}

static bool refuse(const cs_cert *leaf, const cs_want *want, cs_refusal *r) {
    CS_SCOPED(cs_buf) asked = cs_buf_of(1024);
    CS_SCOPED(cs_buf) has = cs_buf_of(1024);
    for (size_t i = 0; i < want->name_count && asked.n < 120; i++) {
        if (i) cs_buf_add_str(&asked, ", ");
        cs_text_escape(&asked, cs_view_str(want->names[i].value), 100);
    }
    for (size_t i = 0; i < leaf->san_count && has.n < 200; i++) {
        if (i) cs_buf_add_str(&has, ", ");
        cs_san_add(&has, &leaf->sans[i]);
    }
    const char *a = cs_buf_cstr(&asked), *h = cs_buf_cstr(&has);
    if (leaf->san_count == 0)
        return cs_refuse(r, CS_R_NAME_MISMATCH, 0,
                         "subjectAltName: missing (the common name does not count); asked for %.180s", a ? a : "");
    return cs_refuse(r, CS_R_NAME_MISMATCH, 0, "subjectAltName: %.230s; asked for %.180s", h ? h : "", a ? a : "");
}

bool cs_names_match(const cs_cert *leaf, const cs_want *want, cs_refusal *r) {
    if (want->name_count == 0) return true;
    bool found = false;
    for (size_t n = 0; n < want->name_count && !found; n++) {
        reference ref;
        bool usable = prepare(&want->names[n], &ref);
        for (size_t i = 0; usable && i < leaf->san_count && !found; i++) found = matches(&leaf->sans[i], &ref);
        cs_buf_free(&ref.ascii);
    }
    return found || refuse(leaf, want, r);
}
