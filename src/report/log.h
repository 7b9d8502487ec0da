/* report/log.h - one event, one line on stderr, written with one write(2) of at most LOG_LINE_MAX octets, so that lines
 * of several processes on one pipe never mix. Any thread may log; an event is built in its caller's frame, nothing
 * is allocated. Only the edge logs: cores return cs_err and the program emits one event.
 * Outside text is escaped (controls, line separators, direction marks, what is not UTF-8) and cut to LOG_VALUE_MAX.
 * Secrets have no business here: there is no function that takes one.
 *
 *     log_event e = log_begin(LOG_WARN, "handshake-refused");
 *     log_fail(&e, &err);                       reason, detail
 *     log_name(&e, "subject", cert->subject_text);
 *     log_end(&e);
 */
#ifndef CS_REPORT_LOG_H
#define CS_REPORT_LOG_H

#include "base/clock.h"
#include "base/err.h"
#include "base/view.h"

typedef enum log_level { LOG_DEBUG = 0, LOG_INFO, LOG_WARN, LOG_ERROR } log_level;
typedef enum log_format { LOG_AS_TEXT = 0, LOG_AS_JSON } log_format;

enum {
    LOG_LINE_MAX = 4096, /* PIPE_BUF: what a pipe takes in one piece */
    LOG_VALUE_MAX = 600, /* octets of one value, before escaping */
};

/* Once a process, before threads. process: "gateway", ...; static text. Until then: text, info, stderr, system clock.
 */
void log_setup(const char *process, log_format format, log_level least, const cs_clock *clock, int fd);
/* "json", "text"; "debug", "info", "warn", "error". False when it is none. */
bool log_format_parse(const char *text, log_format *ret);
bool log_level_parse(const char *text, log_level *ret);
bool log_wants(log_level level);

typedef struct log_event {
    bool on, json;
    bool cut; /* a field did not fit and was left out */
    size_t n;
    char line[LOG_LINE_MAX];
} log_event;

/* name: kebab-case and static, what happened: "listening", "handshake-refused", "request". */
log_event log_begin(log_level level, const char *name);
void log_str(log_event *e, const char *key, const char *value); /* NULL: the field is left out */
void log_view(log_event *e, const char *key, cs_view value);
void log_hex(log_event *e, const char *key, cs_view bytes);
void log_int(log_event *e, const char *key, int64_t value);
void log_bool(log_event *e, const char *key, bool value);
void log_time(log_event *e, const char *key, cs_time value);
/* A failure: reason, detail. */
void log_fail(log_event *e, const cs_err *err);
void log_end(log_event *e);

/* In one call: an event with nothing but a reason and detail, or nothing at all. */
void log_failure(log_level level, const char *name, const cs_err *err);
void log_note(log_level level, const char *name);

#endif
