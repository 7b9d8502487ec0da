/* What programs say, looked up in patterns.def. */
#include "doctor/findings.h"

typedef struct pattern {
    const char *program, *text, *ids;
} pattern;

static const pattern patterns[] = {
#define P(program, text, ids) {program, text, ids},
#include "doctor/patterns.def"
#undef P
};
enum { PATTERNS = sizeof patterns / sizeof patterns[0], CAUSES_OF_ONE = 8 };

static uint8_t lower(uint8_t c) {
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* Where `word` ends in `in`, or 0: it is not there. */
static size_t find(cs_view in, const char *word, size_t n) {
    for (size_t at = 0; n > 0 && at + n <= in.n; at++) {
        size_t k = 0;
        while (k < n && lower(in.p[at + k]) == lower((uint8_t)word[k])) k++;
        if (k == n) return at + n;
    }
    return 0;
}

/* Does the line hold the pattern's pieces one after the other? */
static bool holds(cs_view line, const char *text) {
    while (*text != '\0') {
        size_t n = strcspn(text, "*");
        size_t end = n == 0 ? 0 : find(line, text, n);
        if (n > 0 && end == 0) return false;
        line = (cs_view){line.p + end, line.n - end};
        text += n + (text[n] == '*');
    }
    return true;
}

static void add_cause(explained *e, const finding_info *info) {
    for (size_t i = 0; i < e->n; i++)
        if (e->at[i] == info) return;
    if (info != NULL && e->n < EXPLAIN_MAX) e->at[e->n++] = info;
}

static void add_causes(explained *e, const char *ids) {
    for (const char *p = ids; *p != '\0';) {
        size_t n = strcspn(p, " ");
        add_cause(e, finding_by_id(cs_view_of(p, n)));
        p += n + (p[n] == ' ');
    }
}

/* A connection that was lost says less than any cause that stands beside it. */
static size_t weight(const pattern *p) {
    size_t n = strlen(p->text);
    return strncmp(p->ids, "F65", 3) == 0 || strncmp(p->ids, "F82", 3) == 0 ? (n + 2) / 3 : n;
}

/* The longest pattern of the line: the more of the text is recognised, the better it is known. */
static const pattern *best_of(cs_view line, size_t *ret_length) {
    const pattern *best = NULL;
    *ret_length = 0;
    for (size_t i = 0; i < PATTERNS; i++) {
        size_t n = weight(&patterns[i]);
        if (n > *ret_length && holds(line, patterns[i].text)) best = &patterns[i], *ret_length = n;
    }
    return best;
}

enum { LINES_KEPT = 4 };

void explain_text(cs_view text, explained *ret) {
    const pattern *kept[LINES_KEPT] = {NULL};
    size_t lengths[LINES_KEPT] = {0};
    *ret = (explained){.n = 0};
    while (text.n > 0) {
        const uint8_t *end = memchr(text.p, '\n', text.n);
        size_t n = end != NULL ? (size_t)(end - text.p) : text.n, length = 0;
        const pattern *p = best_of(cs_view_of(text.p, n < 4096 ? n : 4096), &length);
        size_t used = n + (end != NULL);
        text = (cs_view){text.p + used, text.n - used};
        bool known = p == NULL;
        for (size_t i = 0; i < LINES_KEPT; i++) known = known || kept[i] == p;
        for (size_t i = 0; !known && i < LINES_KEPT; i++) {
            if (length <= lengths[i]) continue;
            for (size_t k = LINES_KEPT - 1; k > i; k--) kept[k] = kept[k - 1], lengths[k] = lengths[k - 1];
            kept[i] = p, lengths[i] = length;
            break;
        }
    }
    if (kept[0] != NULL) ret->program = kept[0]->program, ret->pattern = kept[0]->text;
    for (size_t i = 0; i < LINES_KEPT && kept[i] != NULL; i++) add_causes(ret, kept[i]->ids);
}
