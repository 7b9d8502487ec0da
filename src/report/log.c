#include "report/log.h"

#include <stdio.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"

static struct {
    const char *process;
    log_format format;
    log_level least;
    const cs_clock *clock;
    int fd;
} to = {.process = "countersign", .least = LOG_INFO, .fd = STDERR_FILENO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(const char *process, log_format format, log_level least, const cs_clock *clock, int fd) {
    to.process = process;
    to.format = format;
    to.least = least;
    to.clock = clock;
    to.fd = fd;
}

bool log_format_parse(const char *text, log_format *ret) {
    *ret = strcmp(text, "json") == 0 ? LOG_AS_JSON : LOG_AS_TEXT;
    return *ret == LOG_AS_JSON || strcmp(text, "text") == 0;
}

bool log_level_parse(const char *text, log_level *ret) {
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++)
        if (strcmp(text, level_names[i]) == 0) {
            *ret = (log_level)i;
            return true;
        }
    return false;
}

bool log_wants(log_level level) {
    return level >= to.least;
}

/* What log_end still needs: ,"cut":true} and the line's end. */
enum { END_ROOM = 16 };

/* The event's line as a buffer of the house, so that the house's writers can write it. Its memory is the event's: it
 * never grows (cap is its ceiling) and is never freed. */
static cs_buf pen(log_event *e) {
    return (cs_buf){.p = (uint8_t *)e->line, .n = e->n, .cap = LOG_LINE_MAX - END_ROOM, .max = LOG_LINE_MAX - END_ROOM};
}

/* Keep what was written if all of it fitted. */
static void keep(log_event *e, const cs_buf *b) {
    if (b->failed)
        e->cut = true;
    else
        e->n = b->n;
}

/* "2026-11-23T16:00:00.123456Z": always with six digits, so that lines sort as text. The second's text is kept by each
 * thread, since it is the same for many lines. */
static void time_text(cs_time now, char out[CS_TIME_TEXT_MAX]) {
    static _Thread_local int64_t kept_second = INT64_MIN;
    static _Thread_local char kept[CS_TIME_TEXT_MAX];
    int64_t second = cs_time_seconds(now), micro = now - second * CS_SEC;
    if (second != kept_second) {
        cs_time_text(second * CS_SEC, kept);
        kept_second = second;
    }
    size_t n = strlen(kept) - 1; /* without the Z */
    memcpy(out, kept, n);
    out[n] = '.';
    for (size_t i = 6; i > 0; i--, micro /= 10) out[n + i] = (char)('0' + micro % 10);
    out[n + 7] = 'Z';
    out[n + 8] = '\0';
}

log_event log_begin(log_level level, const char *name) {
    log_event e;
    e.on = log_wants(level);
    e.json = to.format == LOG_AS_JSON;
    e.cut = false;
    e.n = 0;
    if (!e.on) return e;
    char now[CS_TIME_TEXT_MAX];
    time_text(cs_now(to.clock != NULL ? to.clock : cs_clock_system()), now);
    cs_buf b = pen(&e);
    cs_buf_add_str(&b, e.json ? "{\"time\":\"" : "");
    cs_buf_add_str(&b, now);
    cs_buf_add_str(&b, e.json ? "\",\"process\":\"" : " ");
    cs_buf_add_str(&b, to.process);
    cs_buf_add_str(&b, e.json ? "\",\"level\":\"" : " ");
    cs_buf_add_str(&b, level_names[level]);
    cs_buf_add_str(&b, e.json ? "\",\"event\":\"" : " ");
    cs_buf_add_str(&b, name);
    cs_buf_add_str(&b, e.json ? "\"" : "");
    keep(&e, &b);
    return e;
}

/* Octets of UTF-8 that a terminal or a reader of lines would take for something else than text: C1 controls, line and
 * paragraph separators, marks and overrides of direction, the byte order mark. 0 when p does not begin with one. */
static size_t trick_len(const uint8_t *p, size_t left) {
    if (left >= 2 && p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) return 2;
    if (left < 3) return 0;
    if (p[0] == 0xe2 && p[1] == 0x80 && ((p[2] >= 0x8e && p[2] <= 0x8f) || (p[2] >= 0xa8 && p[2] <= 0xae))) return 3;
    if (p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9) return 3;
    return p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf ? 3 : 0;
}

/* The three-octet ones are U+2xxx or U+FEFF, the two-octet ones U+0080 to U+009F. */
static unsigned trick_code(const uint8_t *p, size_t n) {
    if (n == 2) return ((unsigned)p[0] & 0x1f) << 6 | ((unsigned)p[1] & 0x3f);
    return ((unsigned)p[0] & 0x0f) << 12 | ((unsigned)p[1] & 0x3f) << 6 | ((unsigned)p[2] & 0x3f);
}

static bool is_plain(uint8_t c) {
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void add_json_text(cs_buf *b, cs_view v) {
    size_t i = 0;
    while (i < v.n && is_plain(v.p[i])) i++;
    bool utf8 = i == v.n || cs_utf8_valid(v);
    cs_buf_add_byte(b, '"');
    cs_buf_add(b, v.p, i); /* nearly always all of it */
    while (i < v.n) {
        uint8_t c = v.p[i];
        size_t trick = utf8 && c >= 0x80 ? trick_len(v.p + i, v.n - i) : 0;
        if (trick > 0)
            cs_buf_addf(b, "\\u%04x", trick_code(v.p + i, trick));
        else if (c >= 0x80 && !utf8)
            cs_buf_add_str(b, "\\ufffd");
        else if (c == '"' || c == '\\')
            cs_buf_add(b, (const uint8_t[]){'\\', c}, 2);
        else if (c < 0x20 || c == 0x7f)
            cs_buf_addf(b, "\\u%04x", (unsigned)c);
        else
            cs_buf_add_byte(b, c);
        i += trick > 0 ? trick : 1;
    }
    cs_buf_add_byte(b, '"');
}

static void add_plain_text(cs_buf *b, cs_view v) {
    cs_buf_add_byte(b, '"');
    for (size_t i = 0, run = 0; i <= v.n;) {
        size_t trick = i < v.n ? trick_len(v.p + i, v.n - i) : 0;
        if (i < v.n && trick == 0) {
            i++;
            continue;
        }
        cs_text_escape(b, (cs_view){v.p + run, i - run}, LOG_LINE_MAX);
        for (size_t k = 0; k < trick; k++) cs_buf_addf(b, "\\x%02x", (unsigned)v.p[i + k]);
        i += trick > 0 ? trick : 1;
        run = i;
    }
    cs_buf_add_byte(b, '"');
}

/* The first octets of v, cut between characters if it is UTF-8, and whether they are fewer than all. */
static cs_view shorten(cs_view v, bool *ret_cut) {
    *ret_cut = v.n > LOG_VALUE_MAX;
    if (!*ret_cut) return v;
    v.n = LOG_VALUE_MAX;
    for (int i = 0; i < 3 && (v.p[v.n] & 0xc0) == 0x80; i++) v.n--;
    return v;
}

/* printf's work done by hand: a request's line has a dozen fields, and is written for each request. */
static void add_key(const log_event *e, cs_buf *b, const char *key) {
    cs_buf_add(b, e->json ? ",\"" : " ", e->json ? 2 : 1);
    cs_buf_add_str(b, key);
    cs_buf_add(b, e->json ? "\":" : "=", e->json ? 2 : 1);
}

static void add_int(cs_buf *b, int64_t value) {
    char digits[20];
    size_t at = sizeof digits;
    uint64_t n = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do digits[--at] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    if (value < 0) digits[--at] = '-';
    cs_buf_add(b, digits + at, sizeof digits - at);
}

/* In the text form, a word that needs no quotes. */
static bool is_word(cs_view v) {
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] <= 0x20 || v.p[i] >= 0x7f || v.p[i] == '"' || v.p[i] == '\\' || v.p[i] == '=') return false;
    return v.n > 0;
}

void log_view(log_event *e, const char *key, cs_view value) {
    bool cut;
    if (!e->on) return;
    cs_buf b = pen(e);
    add_key(e, &b, key);
    value = shorten(value, &cut);
    if (e->json)
        add_json_text(&b, value);
    else if (is_word(value))
        cs_buf_add_view(&b, value);
    else
        add_plain_text(&b, value);
    keep(e, &b);
    if (cut) e->cut = true;
}

void log_str(log_event *e, const char *key, const char *value) {
    if (value != NULL) log_view(e, key, cs_view_str(value));
}

void log_hex(log_event *e, const char *key, cs_view bytes) {
    char text[2 * 64 + 1];
    if (bytes.n > 64) bytes.n = 64;
    log_str(e, key, cs_hex(bytes, text));
}

void log_int(log_event *e, const char *key, int64_t value) {
    if (!e->on) return;
    cs_buf b = pen(e);
    add_key(e, &b, key);
    add_int(&b, value);
    keep(e, &b);
}

void log_bool(log_event *e, const char *key, bool value) {
    if (!e->on) return;
    cs_buf b = pen(e);
    add_key(e, &b, key);
    cs_buf_add_str(&b, value ? "true" : "false");
    keep(e, &b);
}

void log_time(log_event *e, const char *key, cs_time value) {
    char text[CS_TIME_TEXT_MAX];
    log_str(e, key, cs_time_text(value, text));
}

void log_fail(log_event *e, const cs_err *err) {
    log_str(e, "reason", cs_reason_of(err->reason)->name);
    if (err->detail[0] != '\0') log_str(e, "detail", err->detail);
}

void log_end(log_event *e) {
    static const char json_cut[] = ",\"cut\":true", text_cut[] = " cut=true";
    if (!e->on) return;
    e->on = false;
    size_t n = e->n; /* at most LOG_LINE_MAX - END_ROOM */
    if (e->cut) {
        const char *mark = e->json ? json_cut : text_cut;
        memcpy(e->line + n, mark, strlen(mark));
        n += strlen(mark);
    }
    if (e->json) e->line[n++] = '}';
    e->line[n++] = '\n';
    ssize_t written = write(to.fd, e->line, n); /* a log that cannot be written has nobody to tell */
    (void)written;
}

void log_failure(log_level level, const char *name, const cs_err *err) {
    log_event e = log_begin(level, name);
    if (e.on) log_fail(&e, err);
    log_end(&e);
}

void log_note(log_level level, const char *name) {
    log_event e = log_begin(level, name);
    log_end(&e);
}
