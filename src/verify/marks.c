#include <stdlib.h>

#include "base/text.h"
#include "verify/verify_priv.h"
#include "x509/digest.h"

#define HEAD "countersign-crl-state 1\n"

typedef struct mark {
    uint8_t key[32]; /* whose, and of what scope */
    uint8_t digest[32];
    cs_time this_update;
    uint8_t number_n, number[CS_SERIAL_MAX + 1]; /* number_n == 0: it had none */
} mark;

struct cs_marks {
    mark *at;
    size_t n;
    bool raised;
};

cs_status cs_marks_new(cs_marks **ret, cs_err *err) {
    *ret = calloc(1, sizeof **ret);
    return *ret ? CS_OK : CS_NOMEM_ERR(err);
}

void cs_marks_free(cs_marks *m) {
    if (!m) return;
    free(m->at);
    free(m);
}

bool cs_marks_raised(const cs_marks *m) {
    return m->raised;
}

static mark *find(const cs_marks *m, const uint8_t key[32]) {
    for (size_t i = 0; i < m->n; i++)
        if (memcmp(m->at[i].key, key, 32) == 0) return &m->at[i];
    return NULL;
}

static mark *add(cs_marks *m) {
    if (m->n == CS_MARKS_MAX) return NULL;
    mark *grown = realloc(m->at, (m->n + 1) * sizeof *grown);
    if (!grown) return NULL;
    m->at = grown;
    m->at[m->n] = (mark){.number_n = 0};
    return &m->at[m->n++];
}

/* ---- as a file: a line each, "KEY DIGEST THIS-UPDATE NUMBER"; hexadecimal, RFC 3339, "-" for no number ---- */

bool cs_marks_write(const cs_marks *m, cs_buf *b) {
    (void)cs_buf_add_str(b, HEAD);
    for (size_t i = 0; i < m->n; i++) {
        const mark *k = &m->at[i];
        (void)cs_hex_add(b, cs_view_of(k->key, 32));
        (void)cs_buf_add_byte(b, ' ');
        (void)cs_hex_add(b, cs_view_of(k->digest, 32));
        (void)cs_buf_add_byte(b, ' ');
        (void)cs_time_add(b, k->this_update);
        (void)cs_buf_add_byte(b, ' ');
        if (k->number_n == 0) (void)cs_buf_add_byte(b, '-');
        (void)cs_hex_add(b, cs_view_of(k->number, k->number_n));
        (void)cs_buf_add_byte(b, '\n');
    }
    return !b->failed;
}

static cs_view next_word(cs_view *left, char end) {
    const uint8_t *at = left->n ? memchr(left->p, end, left->n) : NULL;
    cs_view word = cs_view_of(left->p, at ? (size_t)(at - left->p) : left->n);
    *left = cs_view_of(left->p + word.n + (at != NULL), left->n - word.n - (at != NULL));
    return word;
}

static bool parse(cs_view line, mark *ret) {
    size_t key = 0, digest = 0, number = 0;
    *ret = (mark){.number_n = 0};
    if (!cs_hex_decode(next_word(&line, ' '), ret->key, 32, &key) || key != 32) return false;
    if (!cs_hex_decode(next_word(&line, ' '), ret->digest, 32, &digest) || digest != 32) return false;
    if (!cs_time_parse(next_word(&line, ' '), &ret->this_update)) return false;
    if (cs_view_eq_str(line, "-")) return true;
    if (!cs_hex_decode(line, ret->number, sizeof ret->number, &number) || number == 0) return false;
    ret->number_n = (uint8_t)number;
    return true;
}

cs_status cs_marks_read(cs_marks *m, cs_view text, const char *what, cs_err *err) {
    if (!cs_view_starts(text, CS_VIEW_LIT(HEAD)))
        return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s: not a CRL state that was written by --crl-state",
                       what);
    (void)next_word(&text, '\n');
    for (unsigned line = 2; text.n > 0; line++) {
        mark one, *to;
        if (!parse(next_word(&text, '\n'), &one))
            return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "%s: line %u", what, line);
        if (!(to = add(m))) return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s: line %u", what, line);
        *to = one;
    }
    return CS_OK;
}

/* ---- the judgement ---- */

static bool key_of(const cs_crl *crl, const cs_cert *issuer, uint8_t out[32]) {
    CS_SCOPED(cs_buf) b = cs_buf_of(CS_CERT_MAX * 2);
    cs_err err;
    (void)cs_buf_add(&b, issuer->spki_sha256, 32);
    (void)cs_buf_add_byte(&b, crl->is_delta);
    (void)cs_buf_add_view(&b, crl->issuer);
    return !b.failed && cs_sha256_two(cs_buf_view(&b), crl->idp.whole, out, &err) == CS_OK;
}

/* <0: older than the mark; 0: the very one; >0: newer. The same number with other octets is no newer one. */
static int age(const mark *k, const cs_crl *crl, const uint8_t digest[32]) {
    if (memcmp(k->digest, digest, 32) == 0) return 0;
    int by_number = 1;
    if (k->number_n > 0)
        by_number = crl->has_number ? cs_integer_cmp(crl->number, cs_view_of(k->number, k->number_n)) : -1;
    return by_number <= 0 || crl->this_update < k->this_update ? -1 : 1;
}

bool cs_mark_ok(cs_marks *m, const cs_crl *crl, const cs_cert *issuer, size_t depth, cs_refusal *why_not) {
    uint8_t key[32], digest[32];
    char then[CS_TIME_TEXT_MAX], now[CS_TIME_TEXT_MAX];
    cs_err err;
    if (!key_of(crl, issuer, key) || cs_sha256(crl->der, digest, &err) != CS_OK || crl->number.n > CS_SERIAL_MAX + 1)
        return cs_refuse(why_not, CS_R_CRL_INVALID, (int)depth, "it cannot be compared with those seen before");
    mark *k = find(m, key);
    int is = k ? age(k, crl, digest) : 1;
    if (is == 0) return true;
    if (is < 0)
        return cs_refuse(why_not, CS_R_CRL_ROLLBACK, (int)depth,
                         "thisUpdate is %s, and one of %s was seen, or its number is used again",
                         cs_time_text(crl->this_update, now), cs_time_text(k->this_update, then));
    if (!k && !(k = add(m)))
        return cs_refuse(why_not, CS_R_LIMIT_REACHED, (int)depth, "the state of CRLs holds %d of them", CS_MARKS_MAX);
    memcpy(k->key, key, 32);
    memcpy(k->digest, digest, 32);
    k->this_update = crl->this_update;
    k->number_n = (uint8_t)crl->number.n;
    if (crl->number.n) memcpy(k->number, crl->number.p, crl->number.n);
    m->raised = true;
    return true;
}
