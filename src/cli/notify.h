/* cli/notify.h - who has to know is told of certificates that end soon: by mail (the sendmail interface, or SMTP) and
 * by webhook. Each certificate is told once for each of the configuration's terms, and not at all when its identity
 * holds a later one. What was told is kept in STATE/notices.json, for each way apart, after the way has taken it. */
#ifndef CS_CLI_NOTIFY_H
#define CS_CLI_NOTIFY_H

#include <jansson.h>

#include "conf/conf.h"

/* How the authority is asked: a session's GET, or the supervisor's own socket. */
typedef cs_status (*notify_get)(void *to, const char *path, json_t **ret, cs_err *err);

typedef struct notify_made {
    size_t due;  /* certificates that somebody had to be told of */
    json_t *all; /* those: serial, kind, name, not_after, days_left */
} notify_made;

/* dry: nobody is told, nothing is kept. One way that fails does not keep the other; its error is returned. */
CS_MUST_USE cs_status notify_run(const conf *c, notify_get get, void *to, cs_time now, bool dry, notify_made *ret,
                                 cs_err *err);

/* The two ways. notice-failed, naming which. text: a whole message, RFC 5322, lines ended by \n. */
CS_MUST_USE cs_status notify_mail(const conf_notices *n, const char *text, cs_err *err);
CS_MUST_USE cs_status notify_webhook(const conf_notices *n, const char *json, cs_err *err);

#endif
