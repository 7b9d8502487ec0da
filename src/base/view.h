/* base/view.h - bytes that belong to somebody else. A view owns nothing and is valid as long as what it looks at. */
#ifndef CS_BASE_VIEW_H
#define CS_BASE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct cs_view {
    const uint8_t *p; /* may be NULL when n is 0 */
    size_t n;
} cs_view;

static inline cs_view cs_view_of(const void *p, size_t n) {
    return (cs_view){(const uint8_t *)p, n};
}
static inline cs_view cs_view_str(const char *s) {
    return (cs_view){(const uint8_t *)s, strlen(s)};
}
#define CS_VIEW_LIT(lit) ((cs_view){(const uint8_t *)(lit), sizeof(lit) - 1})

static inline bool cs_view_eq(cs_view a, cs_view b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool cs_view_eq_str(cs_view a, const char *s) {
    return cs_view_eq(a, cs_view_str(s));
}

/* ASCII case only, whatever the locale. */
bool cs_view_eq_nocase(cs_view a, cs_view b);
bool cs_view_starts(cs_view a, cs_view prefix);
/* Total order: bytes, then length. */
int cs_view_cmp(cs_view a, cs_view b);
/* For secrets and digests: time depends on the lengths only. */
bool cs_view_eq_consttime(cs_view a, cs_view b);
/* Without leading and trailing space, tab, CR, LF. */
cs_view cs_view_trim(cs_view a);

#endif
