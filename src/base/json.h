/* base/json.h - writes JSON (RFC 8259) into a buffer, without a tree. Reading JSON is jansson's work, on higher floors.
 * The writer puts the commas; the caller nests rightly. Text that is not UTF-8 is written with \ufffd in its place. */
#ifndef CS_BASE_JSON_H
#define CS_BASE_JSON_H

#include "base/buf.h"

typedef struct cs_json {
    cs_buf *b; /* borrowed */
    bool comma;
} cs_json;

static inline cs_json cs_json_to(cs_buf *b) {
    return (cs_json){b, false};
}
/* key NULL inside arrays and at the top. */
void cs_json_object(cs_json *j, const char *key);
void cs_json_object_end(cs_json *j);
void cs_json_array(cs_json *j, const char *key);
void cs_json_array_end(cs_json *j);
void cs_json_str(cs_json *j, const char *key, const char *value); /* NULL writes null */
void cs_json_view(cs_json *j, const char *key, cs_view value);
void cs_json_hex(cs_json *j, const char *key, cs_view bytes);
void cs_json_int(cs_json *j, const char *key, int64_t value);
void cs_json_bool(cs_json *j, const char *key, bool value);
void cs_json_time(cs_json *j, const char *key, int64_t time_us); /* a cs_time, as RFC 3339 */
void cs_json_null(cs_json *j, const char *key);
/* Already JSON. */
void cs_json_raw(cs_json *j, const char *key, cs_view json);

#endif
