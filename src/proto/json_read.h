/* proto/json_read.h - JSON from outside as a jansson tree, bounded. Nothing is kept; any thread. */
#ifndef CS_PROTO_JSON_READ_H
#define CS_PROTO_JSON_READ_H

#include <jansson.h>

#include "base/buf.h"

static inline void json_decref_at(json_t **j) {
    json_decref(*j);
}
#define SCOPED_JSON __attribute__((cleanup(json_decref_at))) json_t *

/* An object, not nested deeper than anything that is asked here; `what` names it in errors. *ret is the caller's
 * (json_decref). message-malformed. */
CS_MUST_USE cs_status json_read_object(cs_view text, const char *what, json_t **ret, cs_err *err);

#endif
