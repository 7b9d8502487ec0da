#include "base/json.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/text.h"

static bool is_plain(uint8_t c) {
    return c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
}

static void put_escaped(cs_buf *b, uint8_t c) {
    if (c >= 0x80)
        cs_buf_add_str(b, "\\ufffd"); /* only where the text is not UTF-8 */
    else if (c == '"' || c == '\\')
        cs_buf_add(b, (const uint8_t[]){'\\', c}, 2);
    else
        cs_buf_addf(b, "\\u%04x", c);
}

static void put_text(cs_buf *b, cs_view v) {
    bool utf8 = cs_utf8_valid(v);
    size_t run = 0; /* start of what can be copied as it is */
    cs_buf_add_byte(b, '"');
    for (size_t i = 0; i < v.n; i++) {
        if (is_plain(v.p[i]) && (utf8 || v.p[i] < 0x80)) continue;
        cs_buf_add(b, v.p + run, i - run);
        run = i + 1;
        put_escaped(b, v.p[i]);
    }
    cs_buf_add(b, v.p + run, v.n - run);
    cs_buf_add_byte(b, '"');
}

static void begin(cs_json *j, const char *key) {
    if (j->comma) cs_buf_add_byte(j->b, ',');
    if (key != NULL) {
        put_text(j->b, cs_view_str(key));
        cs_buf_add_byte(j->b, ':');
    }
    j->comma = true;
}

static void open(cs_json *j, const char *key, uint8_t bracket) {
    begin(j, key);
    cs_buf_add_byte(j->b, bracket);
    j->comma = false;
}

static void close(cs_json *j, uint8_t bracket) {
    cs_buf_add_byte(j->b, bracket);
    j->comma = true;
}

void cs_json_object(cs_json *j, const char *key) {
    open(j, key, '{');
}
void cs_json_object_end(cs_json *j) {
    close(j, '}');
}
void cs_json_array(cs_json *j, const char *key) {
    open(j, key, '[');
}
void cs_json_array_end(cs_json *j) {
    close(j, ']');
}

void cs_json_str(cs_json *j, const char *key, const char *value) {
    if (value == NULL)
        cs_json_null(j, key);
    else
        cs_json_view(j, key, cs_view_str(value));
}

void cs_json_view(cs_json *j, const char *key, cs_view value) {
    begin(j, key);
    put_text(j->b, value);
}

void cs_json_hex(cs_json *j, const char *key, cs_view bytes) {
    begin(j, key);
    cs_buf_add_byte(j->b, '"');
    cs_hex_add(j->b, bytes);
    cs_buf_add_byte(j->b, '"');
}

void cs_json_int(cs_json *j, const char *key, int64_t value) {
    begin(j, key);
    cs_buf_addf(j->b, "%lld", (long long)value);
}

void cs_json_bool(cs_json *j, const char *key, bool value) {
    begin(j, key);
    cs_buf_add_str(j->b, value ? "true" : "false");
}

void cs_json_time(cs_json *j, const char *key, int64_t time_us) {
    char text[CS_TIME_TEXT_MAX];
    cs_json_str(j, key, cs_time_text(time_us, text));
}

void cs_json_null(cs_json *j, const char *key) {
    begin(j, key);
    cs_buf_add_str(j->b, "null");
}

void cs_json_raw(cs_json *j, const char *key, cs_view json) {
    begin(j, key);
    cs_buf_add_view(j->b, json);
}
