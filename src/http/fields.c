/* What each field name is to a gateway. */
#include "http/h1.h"
#include "http/octets.h"

typedef struct known {
    const char *name; /* lower case */
    uint8_t n;
    uint8_t id;    /* http_field_id */
    bool any_tail; /* names that only begin so are meant too */
    bool like; /* '_' and '.' count as '-': upstreams that make variables of names (CGI, WSGI) cannot tell them apart */
} known;

#define EXACT(text, what)                                                                                              \
    { text, sizeof(text) - 1, HTTP_F_##what, false, false }
#define LIKE(text, what)                                                                                               \
    { text, sizeof(text) - 1, HTTP_F_##what, false, true }
#define LIKE_ALL(text, what)                                                                                           \
    { text, sizeof(text) - 1, HTTP_F_##what, true, true }

static const known letter_c[] = {
    EXACT("connection", CONNECTION),
    EXACT("content-length", CONTENT_LENGTH),
    LIKE_ALL("client-cert", IDENTITY), /* RFC 9440 */
    LIKE("cf-connecting-ip", FORWARDED),
};
static const known letter_d[] = {EXACT("date", DATE)};
static const known letter_e[] = {EXACT("expect", EXPECT)};
static const known letter_f[] = {LIKE("forwarded", FORWARDED)};
static const known letter_h[] = {EXACT("host", HOST), EXACT("http2-settings", HOP)};
static const known letter_k[] = {EXACT("keep-alive", HOP)};
static const known letter_p[] = {
    EXACT("proxy-connection", HOP), EXACT("proxy-authenticate", HOP), EXACT("proxy-authorization", HOP),
    LIKE("proxy", HOP), /* httpoxy: CVE-2016-5385 */
};
static const known letter_r[] = {LIKE_ALL("remote-user", IDENTITY)};
static const known letter_s[] = {LIKE_ALL("ssl-", IDENTITY)};
static const known letter_t[] = {
    EXACT("te", HOP),
    EXACT("transfer-encoding", TRANSFER_ENCODING),
    EXACT("trailer", HOP),
    LIKE_ALL("tls-client", IDENTITY),
    LIKE("true-client-ip", FORWARDED),
};
static const known letter_u[] = {EXACT("upgrade", UPGRADE)};
static const known letter_x[] = {
    LIKE_ALL("x-countersign", IDENTITY),
    LIKE_ALL("x-forwarded-client", IDENTITY), /* Envoy's X-Forwarded-Client-Cert */
    LIKE_ALL("x-forwarded", FORWARDED),
    LIKE_ALL("x-ssl", IDENTITY),
    LIKE_ALL("x-tls", IDENTITY),
    LIKE_ALL("x-mtls", IDENTITY),
    LIKE_ALL("x-amzn-mtls", IDENTITY),
    LIKE_ALL("x-arr-clientcert", IDENTITY),
    LIKE_ALL("x-client-cert", IDENTITY),
    LIKE_ALL("x-client-verif", IDENTITY),
    LIKE_ALL("x-client-dn", IDENTITY),
    LIKE_ALL("x-client-subject", IDENTITY),
    LIKE_ALL("x-client-serial", IDENTITY),
    LIKE_ALL("x-spiffe", IDENTITY),
    LIKE_ALL("x-remote-", IDENTITY), /* the front proxy's word in Kubernetes */
    LIKE("x-client-ip", FORWARDED),
    LIKE("x-cluster-client-ip", FORWARDED),
    LIKE("x-real-ip", FORWARDED),
    LIKE("x-original-url", FORWARDED), /* another path than the one that was judged */
    LIKE("x-original-uri", FORWARDED),
    LIKE("x-rewrite-url", FORWARDED),
};

#define LETTER(at, c) [(at) - 'a'] = {letter_##c, sizeof letter_##c / sizeof letter_##c[0]}
static const struct {
    const known *list;
    size_t n;
} letters[26] = {
    LETTER('c', c), LETTER('d', d), LETTER('e', e), LETTER('f', f), LETTER('h', h), LETTER('k', k),
    LETTER('p', p), LETTER('r', r), LETTER('s', s), LETTER('t', t), LETTER('u', u), LETTER('x', x),
};

static bool matches(const known *k, cs_view name) {
    if (k->any_tail ? name.n < k->n : name.n != k->n) return false;
    for (size_t i = 0; i < k->n; i++) {
        uint8_t c = http_lower(name.p[i]);
        if (k->like && (c == '_' || c == '.')) c = '-';
        if (c != (uint8_t)k->name[i]) return false;
    }
    return true;
}

http_field_id http_field_classify(cs_view name) {
    uint8_t first = name.n > 0 ? http_lower(name.p[0]) : 0;
    if (first >= 'a' && first <= 'z') {
        for (size_t i = 0; i < letters[first - 'a'].n; i++)
            if (matches(&letters[first - 'a'].list[i], name)) return (http_field_id)letters[first - 'a'].list[i].id;
    }
    return http_all(name, HTTP_C_LDH) ? HTTP_F_PLAIN : HTTP_F_ODD;
}
