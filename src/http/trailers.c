/* What may stand behind a body: metadata, and nothing that somebody would have to know before it. @rfc 9110#6.5.1 */
#include "http/body.h"
#include "http/octets.h"

/* Framing, routing and identity are no HTTP_F_PLAIN anyway. */
static const char *const never[] = {
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-range",
    "content-type",
    "cookie",
    "expires",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "location",
    "max-forwards",
    "pragma",
    "range",
    "retry-after",
    "set-cookie",
    "vary",
    "warning",
    "www-authenticate",
    "origin",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "if-unmodified-since",
    "authentication-info",
};

bool http_trailer_may(cs_view name) {
    if (http_field_classify(name) != HTTP_F_PLAIN) return false;
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (cs_view_eq_nocase(name, cs_view_str(never[i]))) return false;
    return true;
}

void http_trailers_filter(cs_buf *lines) {
    size_t kept = 0;
    cs_view rest = cs_buf_view(lines);
    CS_SCOPED(cs_buf) out = cs_buf_of(lines->max + 1024);
    while (rest.n > 0) {
        const uint8_t *end = memchr(rest.p, '\n', rest.n), *colon = memchr(rest.p, ':', rest.n);
        if (end == NULL || colon == NULL || colon > end) break;
        size_t n = (size_t)(end - rest.p) + 1;
        cs_view name = cs_view_of(rest.p, (size_t)(colon - rest.p));
        cs_view value = cs_view_of(colon + 1, (size_t)(end - colon) - 1);
        while (value.n > 0 &&
               (value.p[value.n - 1] == '\r' || value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\t'))
            value.n--;
        while (value.n > 0 && (value.p[0] == ' ' || value.p[0] == '\t')) value = cs_view_of(value.p + 1, value.n - 1);
        rest = cs_view_of(rest.p + n, rest.n - n);
        if (!http_trailer_may(name) || ++kept > CS_HTTP_HEADER_COUNT) continue;
        (void)cs_buf_add_view(&out, name);
        (void)cs_buf_add(&out, ": ", 2);
        (void)cs_buf_add_view(&out, value);
        (void)cs_buf_add(&out, "\r\n", 2);
    }
    cs_buf_clear(lines);
    if (!out.failed) (void)cs_buf_add_view(lines, cs_buf_view(&out));
}
