#include "proto/json_read.h"

enum { DEPTH_MAX = 16 };

/* The parser recurses, 2048 deep, on a small stack; what is asked here is never deeper than a list in an object. */
static bool too_deep(cs_view json) {
    int depth = 0;
    bool text = false;
    for (size_t i = 0; i < json.n && depth <= DEPTH_MAX; i++) {
        uint8_t b = json.p[i];
        if (text && b == '\\')
            i++;
        else if (b == '"')
            text = !text;
        else if (!text && (b == '[' || b == '{'))
            depth++;
        else if (!text && (b == ']' || b == '}'))
            depth--;
    }
    return depth > DEPTH_MAX;
}

cs_status json_read_object(cs_view text, const char *what, json_t **ret, cs_err *err) {
    json_error_t why;
    if (too_deep(text))
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "%s: nested more than %d deep", what, DEPTH_MAX);
    json_t *j = json_loadb(text.p != NULL ? (const char *)text.p : "", text.n, JSON_REJECT_DUPLICATES, &why);
    if (j == NULL) return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "%s, line %d: %s", what, why.line, why.text);
    if (!json_is_object(j)) {
        json_decref(j);
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "%s: a JSON object is expected", what);
    }
    *ret = j;
    return CS_OK;
}
