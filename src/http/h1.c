/* Message heads: RFC 9112 sections 2 to 6, strictly. Two passes: find the end (one memchr a line; nothing else is done
 * until a head is whole), then read it, each octet once. */
#include "http/h1.h"

#include "http/octets.h"

#define MALFORMED(err, ...) cs_fail((err), CS_REFUSED, CS_R_HTTP_MALFORMED, __VA_ARGS__)
#define AMBIGUOUS(err, ...) cs_fail((err), CS_REFUSED, CS_R_HTTP_FRAMING_AMBIGUOUS, __VA_ARGS__)

/* What the fields said, before it is judged as a whole. */
typedef struct said {
    unsigned hosts, lengths, codings, upgrades;
    bool chunked, close, keep_alive, upgrade_named, websocket;
    cs_view host;
} said;

enum { CONNECTION_OPTIONS_MAX = 32 };

/* CS_OK: the head is in[0..*ret_end). */
static cs_status find_end(cs_view in, size_t *scanned, size_t *ret_end, cs_err *err) {
    size_t at = *scanned;
    if (at == 0 && in.n > 0 && in.p[0] != '\r' && !http_is(in.p[0], HTTP_C_TOKEN))
        return MALFORMED(err, "first octet 0x%02x begins no HTTP message", in.p[0]);
    while (at < in.n) {
        const uint8_t *lf = memchr(in.p + at, '\n', in.n - at);
        if (lf == NULL) break;
        size_t i = (size_t)(lf - in.p);
        if (i == 0 || in.p[i - 1] != '\r') return MALFORMED(err, "bare LF at octet %zu of the head", i);
        at = i + 1;
        if (i >= 3 && in.p[i - 2] == '\n') {
            if (at > CS_HTTP_HEADERS_MAX) break;
            *ret_end = at;
            return CS_OK;
        }
    }
    if (in.n > CS_HTTP_LINE_MAX && memchr(in.p, '\n', CS_HTTP_LINE_MAX) == NULL)
        return cs_fail(err, CS_LIMIT, CS_R_HTTP_URI_TOO_LONG, "first line over %d octets", CS_HTTP_LINE_MAX);
    if (in.n >= CS_HTTP_HEADERS_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_HTTP_HEADER_TOO_LARGE, "head over %d octets", CS_HTTP_HEADERS_MAX);
    *scanned = in.n;
    return CS_AGAIN;
}

static cs_status read_length(cs_view v, http_head *h, cs_err *err) {
    uint64_t n = 0;
    if (v.n == 0 || v.n > 18 || !http_all(v, HTTP_C_DIGIT))
        return AMBIGUOUS(err, "Content-Length is no plain number: \"%.*s\"", HTTP_SHOW(v));
    for (size_t i = 0; i < v.n; i++) n = n * 10 + (uint64_t)(v.p[i] - '0');
    h->length = n;
    h->has_length = true;
    return CS_OK;
}

static cs_status read_connection(cs_view list, http_head *h, said *s, cs_err *err) {
    cs_view item;
    unsigned count = 0;
    while (http_list_next(&list, &item)) {
        if (++count > CONNECTION_OPTIONS_MAX)
            return MALFORMED(err, "Connection names more than %d options", CONNECTION_OPTIONS_MAX);
        if (!http_all(item, HTTP_C_TOKEN))
            return MALFORMED(err, "Connection holds no token: \"%.*s\"", HTTP_SHOW(item));
        if (HTTP_SAME(item, "close"))
            s->close = true;
        else if (HTTP_SAME(item, "keep-alive"))
            s->keep_alive = true;
        else if (HTTP_SAME(item, "upgrade"))
            s->upgrade_named = true;
        else
            h->connection_names = true;
    }
    return CS_OK;
}

static cs_status read_expect(cs_view v, http_head *h, cs_err *err) {
    if (h->is_response || h->http10) return CS_OK; /* RFC 9110 10.1.1: ignored from 1.0 */
    if (!HTTP_SAME(v, "100-continue"))
        return cs_fail(err, CS_REFUSED, CS_R_HTTP_EXPECTATION_UNKNOWN, "Expect: %.*s", HTTP_SHOW(v));
    h->expect_continue = true;
    return CS_OK;
}

/* A field that the parser itself must understand. */
static cs_status heed(const http_field *f, http_head *h, said *s, cs_err *err) {
    switch (f->id) {
    case HTTP_F_HOST:
        s->hosts++;
        s->host = f->value;
        return CS_OK;
    case HTTP_F_CONTENT_LENGTH:
        if (s->lengths++ > 0) return AMBIGUOUS(err, "Content-Length comes twice");
        return read_length(f->value, h, err);
    case HTTP_F_TRANSFER_ENCODING:
        if (s->codings++ > 0) return AMBIGUOUS(err, "Transfer-Encoding comes twice");
        if (!HTTP_SAME(f->value, "chunked"))
            return AMBIGUOUS(err, "Transfer-Encoding is not \"chunked\": \"%.*s\"", HTTP_SHOW(f->value));
        s->chunked = true;
        return CS_OK;
    case HTTP_F_CONNECTION: return read_connection(f->value, h, s, err);
    case HTTP_F_EXPECT: return read_expect(f->value, h, err);
    case HTTP_F_UPGRADE: s->websocket = s->upgrades++ == 0 && HTTP_SAME(f->value, "websocket"); return CS_OK;
    default: return CS_OK;
    }
}

/* One field line at p; the line ends before *ret_next. The head's last CRLF CRLF stands before `end`. */
static cs_status read_field(const uint8_t *p, const uint8_t *end, http_field *f, const uint8_t **ret_next,
                            cs_err *err) {
    const uint8_t *name = p;
    while (http_is(*p, HTTP_C_TOKEN)) p++; /* stops at CR at the latest */
    f->name = (cs_view){name, (size_t)(p - name)};
    if (*p != ':') {
        if (p == name && (*p == ' ' || *p == '\t')) return MALFORMED(err, "folded line (obs-fold)");
        if (*p == ' ' || *p == '\t')
            return MALFORMED(err, "white space before the colon of \"%.*s\"", HTTP_SHOW(f->name));
        return MALFORMED(err, "octet 0x%02x in the field name \"%.*s\"", *p, HTTP_SHOW(f->name));
    }
    if (p == name) return MALFORMED(err, "empty field name");
    p++;
    while (*p == ' ' || *p == '\t') p++;
    const uint8_t *value = p;
    p = http_value_end(p, end);
    if (p[0] != '\r' || p[1] != '\n') /* p < end: the head ends with CRLF */
        return MALFORMED(err, "octet 0x%02x in the value of %.*s", *p, HTTP_SHOW(f->name));
    *ret_next = p + 2;
    while (p > value && (p[-1] == ' ' || p[-1] == '\t')) p--;
    f->value = (cs_view){value, (size_t)(p - value)};
    f->id = http_field_classify(f->name);
    return CS_OK;
}

static cs_status read_fields(const uint8_t *p, const uint8_t *end, http_head *h, said *s, cs_err *err) {
    while (*p != '\r') {
        if (h->field_count == CS_HTTP_HEADER_COUNT)
            return cs_fail(err, CS_LIMIT, CS_R_HTTP_HEADER_TOO_LARGE, "more than %d fields", CS_HTTP_HEADER_COUNT);
        http_field *f = &h->fields[h->field_count];
        TRY(read_field(p, end, f, &p, err));
        h->field_count++;
        if (f->id >= HTTP_F_CONNECTION) TRY(heed(f, h, s, err));
    }
    if (p + 2 != end) return MALFORMED(err, "bare CR in the head");
    return CS_OK;
}

/* Whether the sender's framing is one that all readers agree on, and whether it goes on afterwards. RFC 9112 6.3, 9.3.
 */
static cs_status judge(http_head *h, const said *s, cs_err *err) {
    if (s->codings > 0 && s->lengths > 0) return AMBIGUOUS(err, "Content-Length and Transfer-Encoding in one message");
    if (s->codings > 0 && h->http10) return AMBIGUOUS(err, "Transfer-Encoding in HTTP/1.0");
    h->keep_alive = !s->close && (!h->http10 || s->keep_alive);
    h->upgrade = !h->http10 && s->upgrade_named && s->websocket && s->upgrades == 1;
    if (s->chunked)
        h->framing = HTTP_BODY_CHUNKED;
    else if (h->has_length && h->length > 0)
        h->framing = HTTP_BODY_LENGTH;
    return CS_OK;
}

static cs_status read_version(const uint8_t *p, size_t n, http_head *h, cs_err *err) {
    if (n != 8 || memcmp(p, "HTTP/", 5) != 0 || !http_is(p[5], HTTP_C_DIGIT) || p[6] != '.' ||
        !http_is(p[7], HTTP_C_DIGIT))
        return MALFORMED(err, "no HTTP version: \"%.*s\"", (int)(n < 64 ? n : 64), (const char *)p);
    if (p[5] != '1' || p[7] > '1')
        return cs_fail(err, CS_REFUSED, CS_R_HTTP_VERSION_UNSUPPORTED, "%.8s", (const char *)p);
    h->http10 = p[7] == '0';
    return CS_OK;
}

static cs_status read_method(cs_view m, http_head *h, cs_err *err) {
    static const struct {
        const char *name;
        http_method id;
    } known[] = {{"GET", HTTP_GET},       {"HEAD", HTTP_HEAD},   {"POST", HTTP_POST},      {"PUT", HTTP_PUT},
                 {"DELETE", HTTP_DELETE}, {"PATCH", HTTP_PATCH}, {"OPTIONS", HTTP_OPTIONS}};
    if (m.n == 0 || m.n > 32) return MALFORMED(err, "no method");
    h->method = m;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (cs_view_eq_str(m, known[i].name)) {
            h->method_id = known[i].id;
            return CS_OK;
        }
    /* A tunnel would carry what nobody judged; an echo would show the client what only the upstream may see. */
    if (HTTP_SAME(m, "connect") || HTTP_SAME(m, "trace"))
        return cs_fail(err, CS_REFUSED, CS_R_HTTP_METHOD_NOT_ALLOWED, "%.*s is not served", HTTP_SHOW(m));
    return CS_OK;
}

static void split_query(cs_view rest, http_head *h) {
    const uint8_t *mark = rest.n > 0 ? memchr(rest.p, '?', rest.n) : NULL;
    size_t n = mark != NULL ? (size_t)(mark - rest.p) : rest.n;
    h->path = n > 0 ? (cs_view){rest.p, n} : CS_VIEW_LIT("/");
    h->has_query = mark != NULL;
    if (mark != NULL) h->query = (cs_view){mark + 1, rest.n - n - 1};
}

/* RFC 9112 3.2: origin-form, absolute-form, or "*". */
static cs_status read_target(cs_view t, http_head *h, cs_err *err) {
    h->target = t;
    if (t.n > 0 && t.p[0] == '/') {
        split_query(t, h);
        return CS_OK;
    }
    if (t.n == 1 && t.p[0] == '*') {
        if (h->method_id != HTTP_OPTIONS) return MALFORMED(err, "target * with %.*s", HTTP_SHOW(h->method));
        h->path = t;
        return CS_OK;
    }
    size_t scheme = t.n > 7 && http_same((cs_view){t.p, 7}, "http://", 7)    ? 7
                    : t.n > 8 && http_same((cs_view){t.p, 8}, "https://", 8) ? 8
                                                                             : 0;
    if (scheme == 0) return MALFORMED(err, "target \"%.*s\"", HTTP_SHOW(t));
    cs_view rest = {t.p + scheme, t.n - scheme};
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?') n++;
    if (n == 0) return MALFORMED(err, "target without host \"%.*s\"", HTTP_SHOW(t));
    h->authority = (cs_view){rest.p, n};
    split_query((cs_view){rest.p + n, rest.n - n}, h);
    return CS_OK;
}

static cs_status read_request_line(const uint8_t *p, http_head *h, const uint8_t **ret_next, cs_err *err) {
    const uint8_t *start = p, *word = p;
    while (http_is(*p, HTTP_C_TOKEN)) p++;
    if (*p != ' ') return MALFORMED(err, "octet 0x%02x in the method", *p);
    TRY(read_method((cs_view){word, (size_t)(p - word)}, h, err));
    word = ++p;
    while (http_is(*p, HTTP_C_TARGET)) p++;
    if (*p != ' ') return MALFORMED(err, "octet 0x%02x in the target", *p);
    cs_view target = {word, (size_t)(p - word)};
    word = ++p;
    while (*p > ' ' && *p < 0x7f) p++;
    if (p[0] != '\r' || p[1] != '\n') return MALFORMED(err, "octet 0x%02x after the HTTP version", *p);
    if (p - start > CS_HTTP_LINE_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_HTTP_URI_TOO_LONG, "request line over %d octets", CS_HTTP_LINE_MAX);
    TRY(read_version(word, (size_t)(p - word), h, err));
    *ret_next = p + 2;
    return read_target(target, h, err);
}

/* RFC 9112 3.2: exactly one Host in 1.1, and it says what the target says. */
static cs_status judge_host(http_head *h, const said *s, cs_err *err) {
    if (s->hosts > 1) return MALFORMED(err, "Host comes twice");
    if (s->hosts == 0 && !h->http10) return MALFORMED(err, "no Host");
    if (s->hosts == 1) {
        if (h->authority.n > 0 && !cs_view_eq_nocase(h->authority, s->host))
            return MALFORMED(err, "the target names \"%.*s\", Host \"%.*s\"", HTTP_SHOW(h->authority),
                             HTTP_SHOW(s->host));
        h->authority = s->host;
    }
    unsigned port;
    if ((s->hosts == 1 || h->authority.n > 0) && !http_authority_split(h->authority, &h->host, &port))
        return MALFORMED(err, "host \"%.*s\"", HTTP_SHOW(h->authority));
    return CS_OK;
}

static void head_clear(http_head *h) {
    memset(h, 0, offsetof(http_head, fields));
}

cs_status http_request_parse(cs_view in, size_t *scanned, http_head *ret, cs_err *err) {
    size_t skip = in.n >= 2 && in.p[0] == '\r' && in.p[1] == '\n' ? 2 : 0, end = 0;
    if (in.n > 0 && in.p[0] == '\r' && skip == 0)
        return in.n == 1 ? CS_AGAIN : MALFORMED(err, "bare CR before the request");
    cs_view text = {in.p + skip, in.n - skip};
    size_t seen = *scanned > skip ? *scanned - skip : 0;
    cs_status found = find_end(text, &seen, &end, err);
    *scanned = seen + skip;
    if (found != CS_OK) return found;

    said s = {0};
    const uint8_t *next = text.p;
    head_clear(ret);
    TRY(read_request_line(text.p, ret, &next, err));
    TRY(read_fields(next, text.p + end, ret, &s, err));
    TRY(judge(ret, &s, err));
    TRY(judge_host(ret, &s, err));
    /* A request that has a body is not upgraded: whose octets would those be? */
    if (ret->framing != HTTP_BODY_NONE || ret->method_id != HTTP_GET) ret->upgrade = false;
    if (ret->framing == HTTP_BODY_NONE) ret->expect_continue = false;
    ret->size = skip + end;
    *scanned = 0;
    return CS_OK;
}

static cs_status read_status_line(const uint8_t *p, const uint8_t *end, http_head *h, const uint8_t **ret_next,
                                  cs_err *err) {
    const uint8_t *start = p;
    while (*p > ' ' && *p < 0x7f) p++;
    if (*p != ' ') return MALFORMED(err, "octet 0x%02x in the status line", *p);
    TRY(read_version(start, (size_t)(p - start), h, err));
    p++;
    for (int i = 0; i < 3; i++, p++) {
        if (!http_is(*p, HTTP_C_DIGIT)) return MALFORMED(err, "octet 0x%02x in the status", *p);
        h->status = h->status * 10 + (unsigned)(*p - '0');
    }
    if (h->status < 100 || h->status > 599) return MALFORMED(err, "status %u", h->status);
    if (*p == ' ') {
        const uint8_t *phrase = ++p;
        p = http_value_end(p, end);
        h->phrase = (cs_view){phrase, (size_t)(p - phrase)};
    } /* many servers leave the space out together with the phrase */
    if (p[0] != '\r' || p[1] != '\n') return MALFORMED(err, "octet 0x%02x in the status line", *p);
    *ret_next = p + 2;
    return CS_OK;
}

/* RFC 9112 6.3: which responses have no body whatever they say, and which end with the connection. */
static void judge_response(http_head *h) {
    bool bodiless = h->status < 200 || h->status == 204;
    h->interim = h->status < 200 && h->status != 101;
    if (h->status != 101) h->upgrade = false;
    if (bodiless) h->has_length = false;
    if (bodiless || h->status == 304 || h->asked == HTTP_HEAD)
        h->framing = HTTP_BODY_NONE;
    else if (h->framing == HTTP_BODY_NONE && !h->has_length)
        h->framing = HTTP_BODY_UNTIL_CLOSE;
    if (h->framing == HTTP_BODY_UNTIL_CLOSE) h->keep_alive = false;
}

cs_status http_response_parse(cs_view in, size_t *scanned, http_method asked, http_head *ret, cs_err *err) {
    size_t end = 0;
    if (in.n > 0 && in.p[0] == '\r') return MALFORMED(err, "empty line before the response");
    TRY(find_end(in, scanned, &end, err));
    said s = {0};
    const uint8_t *next = in.p;
    head_clear(ret);
    ret->is_response = true;
    ret->asked = asked;
    TRY(read_status_line(in.p, in.p + end, ret, &next, err));
    TRY(read_fields(next, in.p + end, ret, &s, err));
    TRY(judge(ret, &s, err));
    judge_response(ret);
    ret->size = end;
    *scanned = 0;
    return CS_OK;
}

bool http_head_get(const http_head *h, const char *name, cs_view *ret) {
    cs_view want = cs_view_str(name);
    for (unsigned i = 0; i < h->field_count; i++)
        if (cs_view_eq_nocase(h->fields[i].name, want)) {
            *ret = h->fields[i].value;
            return true;
        }
    return false;
}
