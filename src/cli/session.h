/* cli/session.h - a command's way to the authority: the one that runs, or one started for this command alone.
 * Owned by the command; one thread; session_free ends what was started. */
#ifndef CS_CLI_SESSION_H
#define CS_CLI_SESSION_H

#include <jansson.h>

#include "conf/conf.h"

typedef struct session session;

/* Uses STATE/run/control.sock when somebody answers there, else takes the state folder's lock and starts signer and
 * authority. state-missing when there is no CA yet; state-busy when another command does not end. */
CS_MUST_USE cs_status session_open(const conf *c, const conf_overrides *said, session **ret, cs_err *err);
void session_free(session *s);
static inline void session_auto_(session **s) {
    session_free(*s);
}

/* One request of the REST interface. body may be NULL and stays the caller's; *ret is the answer's object, to be
 * json_decref'ed. A refusal comes back with the authority's own reason and detail. Requests that may be sent twice
 * (`again`: GET, and those with an idempotency key) are, when the authority dies under them. */
CS_MUST_USE cs_status session_call(session *s, const char *method, const char *path, const json_t *body, bool again,
                                   json_t **ret, cs_err *err);

/* As session_call, of a socket that is known to be served (the supervisor's own). */
CS_MUST_USE cs_status session_call_at(const char *socket, const char *method, const char *path, const json_t *body,
                                      json_t **ret, cs_err *err);

/* The gateway that runs here: one line there ("top", "reload"), one JSON object back. gateway-unreachable. (top.c) */
CS_MUST_USE cs_status gateway_ask(const conf *c, const char *line, json_t **ret, cs_err *err);

/* A string member; "" when it is missing or something else. */
const char *json_text(const json_t *object, const char *key);
int64_t json_number(const json_t *object, const char *key);

#endif
