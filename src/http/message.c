#include "http/message.h"

#include <stdio.h>

#include "base/json.h"
#include "http/octets.h"

const char *http_phrase(unsigned status) {
    static const struct {
        unsigned status;
        const char *phrase;
    } known[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].status == status) return known[i].phrase;
    return "";
}

static const char days[7][4] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"}; /* 1970-01-01 was a Thursday */
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

const char *http_date(cs_time t, char out[HTTP_DATE_MAX]) {
    cs_civil c = cs_civil_of_time(t);
    int64_t day = cs_time_seconds(t) / 86400;
    if (cs_time_seconds(t) % 86400 < 0) day--;
    unsigned year = c.year >= 0 && c.year <= 9999 ? (unsigned)c.year : 0;
    snprintf(out, HTTP_DATE_MAX, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[(day % 7 + 7) % 7], (unsigned)c.day % 100,
             months[(c.month - 1) % 12], year % 10000, (unsigned)c.hour % 100, (unsigned)c.minute % 100,
             (unsigned)c.second % 100);
    return out;
}

static bool two_digits(const uint8_t *p, int *ret) {
    if (!http_is(p[0], HTTP_C_DIGIT) || !http_is(p[1], HTTP_C_DIGIT)) return false;
    *ret = (p[0] - '0') * 10 + (p[1] - '0');
    return true;
}

bool http_date_parse(cs_view t, cs_time *ret) {
    int day, century, year, hour, minute, second, month = 0;
    const uint8_t *p = t.p;
    if (t.n != 29 || memcmp(p + 3, ", ", 2) != 0 || memcmp(p + 25, " GMT", 4) != 0) return false;
    if (p[7] != ' ' || p[11] != ' ' || p[16] != ' ' || p[19] != ':' || p[22] != ':') return false;
    while (month < 12 && memcmp(p + 8, months[month], 3) != 0) month++;
    return two_digits(p + 5, &day) && two_digits(p + 12, &century) && two_digits(p + 14, &year) &&
           two_digits(p + 17, &hour) && two_digits(p + 20, &minute) && two_digits(p + 23, &second) && month < 12 &&
           cs_time_of_civil(century * 100 + year, month + 1, day, hour, minute, second, ret);
}

static void add_date(cs_buf *b, const char *name, cs_time t) {
    char text[HTTP_DATE_MAX];
    if (t != 0) cs_buf_addf(b, "%s: %s\r\n", name, http_date(t, text));
}

bool http_reply_add(cs_buf *b, const http_reply *r) {
    bool bodiless = r->status < 200 || r->status == 204 || r->status == 304;
    cs_buf_addf(b, "HTTP/1.1 %u %s\r\n", r->status, http_phrase(r->status));
    add_date(b, "Date", r->date);
    if (r->media != NULL && !bodiless) cs_buf_addf(b, "Content-Type: %s\r\n", r->media);
    if (!bodiless) cs_buf_addf(b, "Content-Length: %zu\r\n", r->body.n);
    if (r->etag != NULL) cs_buf_addf(b, "ETag: %s\r\n", r->etag);
    add_date(b, "Last-Modified", r->modified);
    if (r->extra != NULL) cs_buf_add_str(b, r->extra);
    if (r->close) cs_buf_add_str(b, "Connection: close\r\n");
    cs_buf_add_str(b, "\r\n");
    if (!bodiless && !r->head_only) cs_buf_add_view(b, r->body);
    return !b->failed;
}

bool http_problem_json(cs_buf *b, const cs_err *err, bool with_detail) {
    const cs_reason_info *why = cs_reason_of(err->reason);
    char type[96];
    snprintf(type, sizeof type, "urn:countersign:reason:%s", why->name);
    cs_json j = cs_json_to(b);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "type", type);
    cs_json_str(&j, "title", why->says);
    cs_json_int(&j, "status", why->http);
    if (with_detail && err->detail[0] != '\0') cs_json_str(&j, "detail", err->detail);
    cs_json_str(&j, "reason", why->name);
    cs_json_str(&j, "advice", why->advice);
    cs_json_object_end(&j);
    return !b->failed;
}

bool http_problem_add(cs_buf *b, const cs_err *err, bool with_detail, const http_reply *shape) {
    CS_SCOPED(cs_buf) body = cs_buf_of(8 * 1024);
    http_reply r = *shape;
    if (!http_problem_json(&body, err, with_detail)) return false;
    r.status = (unsigned)cs_reason_of(err->reason)->http;
    r.media = "application/problem+json";
    r.body = cs_buf_view(&body);
    return http_reply_add(b, &r);
}

/* Does the list of entity tags hold this one? Compared weakly (RFC 9110 8.8.3.2). */
static bool lists_etag(cs_view list, cs_view etag) {
    cs_view item;
    while (http_list_next(&list, &item)) {
        if (cs_view_eq_str(item, "*")) return true;
        if (cs_view_starts(item, CS_VIEW_LIT("W/"))) item = (cs_view){item.p + 2, item.n - 2};
        if (cs_view_eq(item, etag)) return true;
    }
    return false;
}

bool http_not_modified(const http_head *request, const char *etag, cs_time modified) {
    cs_view v;
    cs_time since;
    if (request->method_id != HTTP_GET && request->method_id != HTTP_HEAD) return false;
    if (http_head_get(request, "If-None-Match", &v)) return etag != NULL && lists_etag(v, cs_view_str(etag));
    if (!http_head_get(request, "If-Modified-Since", &v) || modified == 0) return false;
    return http_date_parse(v, &since) && cs_time_seconds(modified) * CS_SEC <= since;
}
