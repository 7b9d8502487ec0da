#include "x509/cert_priv.h"
#include "x509/cms.h"

#include "base/text.h"

cs_pem cs_pem_of(cs_view text, const char *what) {
    if (cs_view_starts(text, CS_VIEW_LIT("\xef\xbb\xbf"))) text = (cs_view){text.p + 3, text.n - 3};
    return (cs_pem){.left = text, .what = what, .line = 0};
}

bool cs_looks_der(cs_view text) {
    return text.n >= 2 && text.p[0] == CS_DER_SEQUENCE && (text.p[1] < 0x20 || text.p[1] > 0x7e);
}

/* One line without its end (LF, CRLF or CR CR LF). */
static cs_view next_line(cs_pem *p) {
    const uint8_t *nl = memchr(p->left.p, '\n', p->left.n);
    size_t n = nl ? (size_t)(nl - p->left.p) : p->left.n;
    cs_view line = {p->left.p, n};
    size_t used = nl ? n + 1 : n;
    p->left = (cs_view){p->left.p + used, p->left.n - used};
    p->line++;
    return cs_view_trim(line);
}

static bool boundary(cs_view line, const char *begin, cs_view *label) {
    cs_view head = cs_view_str(begin), dashes = CS_VIEW_LIT("-----");
    if (!cs_view_starts(line, head) || line.n < head.n + dashes.n) return false;
    if (memcmp(line.p + line.n - dashes.n, dashes.p, dashes.n) != 0) return false;
    *label = (cs_view){line.p + head.n, line.n - head.n - dashes.n};
    return true;
}

cs_status cs_pem_find(cs_pem *p, cs_view *ret, cs_err *err) {
    cs_view label, end;
    do {
        if (p->left.n == 0) return CS_AGAIN;
    } while (!boundary(next_line(p), "-----BEGIN ", &label));
    unsigned begun = p->line;
    p->block++;
    size_t n = label.n < sizeof p->label - 1 ? label.n : sizeof p->label - 1;
    memcpy(p->label, label.p, n);
    p->label[n] = '\0';
    const uint8_t *start = p->left.p;
    for (;;) {
        if (p->left.n == 0)
            return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED,
                           "%s: block %u (line %u): \"-----END %s-----\" is missing", p->what, p->block, begun,
                           p->label);
        const uint8_t *at = p->left.p;
        cs_view line = next_line(p);
        if (boundary(line, "-----BEGIN ", &end))
            return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED,
                           "%s: block %u (line %u): another block begins inside it", p->what, p->block, begun);
        if (!boundary(line, "-----END ", &end)) continue;
        if (!cs_view_eq(end, label))
            return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "%s: block %u (line %u): begins as %s, ends otherwise",
                           p->what, p->block, begun, p->label);
        *ret = (cs_view){start, (size_t)(at - start)};
        p->line_begun = begun;
        return CS_OK;
    }
}

cs_status cs_pem_bad(const cs_pem *p, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "%s: block %u (line %u): not base64", p->what, p->block,
                   p->line_begun);
}

cs_status cs_pem_next(cs_pem *p, cs_buf *der, cs_err *err) {
    cs_view body;
    cs_buf_clear(der);
    TRY(cs_pem_find(p, &body, err));
    if (body.n > 0 && memchr(body.p, ':', body.n)) return CS_OK; /* headers: an encrypted key; not ours to read */
    if (cs_base64_decode(body, false, der)) return CS_OK;
    if (der->failed && der->n + 3 > der->max) /* three octets at a time */
        return cs_fail(err, CS_LIMIT, CS_R_FILE_TOO_LARGE, "%s: block %u (line %u): more than %zu bytes", p->what,
                       p->block, p->line_begun, der->max);
    return cs_pem_bad(p, err);
}

typedef cs_status decode_fn(cs_view der, cs_cert **ret, cs_err *err);

static cs_status add_der(cs_view der, decode_fn *decode, const char *what, unsigned block, cs_certs *bag, cs_err *err) {
    cs_cert *c = NULL;
    if (bag->n >= CS_BAG_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s: more than %d certificates", what, CS_BAG_MAX);
    cs_status s = decode(der, &c, err);
    if (s != CS_OK) {
        err->reason = err->reason == CS_R_OUT_OF_MEMORY ? err->reason : CS_R_CERTIFICATE_MALFORMED;
        return block ? cs_fail_in(err, "%s: certificate %u", what, block) : cs_fail_in(err, "%s", what);
    }
    return cs_certs_add(bag, c, err);
}

/* DER: one certificate after another, nothing else. */
static cs_status read_der(cs_view text, const char *what, decode_fn *decode, cs_certs *bag, cs_err *err) {
    cs_der_fault fault = {0};
    cs_der d = cs_der_of(text, &fault);
    unsigned n = 0;
    while (cs_der_more(&d)) {
        cs_view one = cs_der_get_whole(&d, CS_DER_SEQUENCE);
        if (fault.rule)
            return cs_fail(err, CS_REFUSED, CS_R_FILE_MALFORMED, "%s: DER, at octet %zu: %s", what,
                           (size_t)((fault.at ? fault.at : text.p) - text.p), fault.rule);
        n++;
        TRY(add_der(one, decode, what, n > 1 ? n : 0, bag, err));
    }
    return CS_OK;
}

static cs_status wrong_type(const char *what, const char *label, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s: holds \"%s\", not a certificate", what, label);
}

static cs_status read_any(cs_view text, const char *what, decode_fn *decode, cs_certs *bag, cs_err *err) {
    if (cs_view_trim(text).n == 0) return cs_fail(err, CS_REFUSED, CS_R_FILE_EMPTY, "%s", what);
    if (text.n > CS_PEM_FILE_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_FILE_TOO_LARGE, "%s: %zu bytes; the limit is %d", what, text.n,
                       CS_PEM_FILE_MAX);
    if (cs_looks_cms(text)) return cs_cms_certs_read(text, what, bag, err);
    if (cs_looks_der(text)) return read_der(text, what, decode, bag, err);
    CS_SCOPED(cs_buf) der = cs_buf_of(CS_PEM_FILE_MAX);
    cs_pem pem = cs_pem_of(text, what);
    char other[sizeof pem.label] = "";
    unsigned found = 0;
    for (;;) {
        cs_status s = cs_pem_next(&pem, &der, err);
        if (s == CS_AGAIN) break;
        if (s != CS_OK) return s;
        if (strcmp(pem.label, "TRUSTED CERTIFICATE") == 0) return wrong_type(what, pem.label, err);
        if (strcmp(pem.label, "PKCS7") == 0 || strcmp(pem.label, "CMS") == 0) {
            TRY(cs_cms_certs_read(cs_buf_view(&der), what, bag, err));
            found++;
            continue;
        }
        if (strcmp(pem.label, "CERTIFICATE") != 0 && strcmp(pem.label, "X509 CERTIFICATE") != 0) {
            memcpy(other, pem.label, sizeof other);
            continue;
        }
        TRY(add_der(cs_buf_view(&der), decode, what, pem.block, bag, err));
        found++;
    }
    if (found) return CS_OK;
    if (other[0]) return wrong_type(what, other, err);
    return cs_fail(err, CS_REFUSED, CS_R_FILE_WRONG_TYPE, "%s: neither PEM nor DER", what);
}

cs_status cs_certs_read(cs_view text, const char *what, cs_certs *bag, cs_err *err) {
    return read_any(text, what, cs_cert_decode, bag, err);
}

cs_status cs_certs_read_noting(cs_view text, const char *what, cs_certs *bag, cs_err *err) {
    return read_any(text, what, cs_cert_decode_noting, bag, err);
}
