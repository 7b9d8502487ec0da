/* state.json: renew_state as text. Read as outside bytes are: it may be anything after a power cut. */
#include "base/json.h"
#include "proto/json_read.h"
#include "renew/store.h"

#include <stdio.h>

enum { VERSION = 1 };
/* No earlier than 1970, no later than 9999: what arithmetic on times bears. */
#define TIME_MOST ((json_int_t)253402300799 * 1000000)

void renew_state_write(const renew_state *s, cs_buf *b) {
    cs_json j = cs_json_to(b);
    cs_json_object(&j, NULL);
    cs_json_int(&j, "version", VERSION);
    cs_json_str(&j, "step", renew_step_name(s->step));
    cs_json_str(&j, "rung", renew_rung_name(s->rung));
    cs_json_int(&j, "slot", s->slot);
    cs_json_bool(&j, "waits", s->waits);
    cs_json_int(&j, "failures", s->failures);
    cs_json_int(&j, "due", s->due);
    cs_json_int(&j, "next", s->next);
    cs_json_int(&j, "window_start", s->window.start);
    cs_json_int(&j, "window_end", s->window.end);
    cs_json_int(&j, "renewed", s->renewed);
    cs_json_int(&j, "renewals", (int64_t)s->renewals);
    cs_json_int(&j, "seen", s->seen);
    cs_json_str(&j, "reason", s->reason != CS_R_NONE ? cs_reason_of(s->reason)->name : NULL);
    cs_json_int(&j, "failed", s->failed);
    cs_json_str(&j, "detail", s->detail);
    cs_json_object_end(&j);
    (void)cs_buf_add_byte(b, '\n');
}

static cs_status corrupt(const char *key, cs_err *err) {
    return cs_fail(err, CS_REFUSED, CS_R_STATE_CORRUPT, "its \"%s\" is missing or none", key);
}

static cs_status number(const json_t *j, const char *key, json_int_t least, json_int_t most, json_int_t *ret,
                        cs_err *err) {
    const json_t *v = json_object_get(j, key);
    if (!json_is_integer(v) || json_integer_value(v) < least || json_integer_value(v) > most) return corrupt(key, err);
    *ret = json_integer_value(v);
    return CS_OK;
}

static cs_status time_in(const json_t *j, const char *key, cs_time *ret, cs_err *err) {
    json_int_t n = 0;
    TRY(number(j, key, 0, TIME_MOST, &n, err));
    *ret = n;
    return CS_OK;
}

static cs_status name_in(const json_t *j, const char *key, const char *(*name_of)(unsigned), unsigned count,
                         unsigned *ret, cs_err *err) {
    const char *text = json_string_value(json_object_get(j, key));
    for (unsigned i = 0; text != NULL && i < count; i++)
        if (strcmp(text, name_of(i)) == 0) {
            *ret = i;
            return CS_OK;
        }
    return corrupt(key, err);
}

static const char *step_name(unsigned i) {
    return renew_step_name((renew_step)i);
}
static const char *rung_name(unsigned i) {
    return renew_rung_name((renew_rung)i);
}

static cs_status read_rest(const json_t *j, renew_state *s, cs_err *err) {
    json_int_t n = 0;
    TRY(number(j, "slot", RENEW_NO_SLOT, RENEW_SLOTS - 1, &n, err));
    s->slot = (int)n;
    TRY(number(j, "failures", 0, 1000000, &n, err));
    s->failures = (unsigned)n;
    TRY(number(j, "renewals", 0, TIME_MOST, &n, err));
    s->renewals = (uint64_t)n;
    TRY(time_in(j, "due", &s->due, err));
    TRY(time_in(j, "next", &s->next, err));
    TRY(time_in(j, "window_start", &s->window.start, err));
    TRY(time_in(j, "window_end", &s->window.end, err));
    TRY(time_in(j, "renewed", &s->renewed, err));
    TRY(time_in(j, "seen", &s->seen, err));
    return time_in(j, "failed", &s->failed, err);
}

cs_status renew_state_read(cs_view text, renew_state *ret, cs_err *err) {
    SCOPED_JSON j = NULL;
    renew_state s;
    json_int_t version = 0;
    unsigned step = 0, rung = 0;
    renew_state_init(&s);
    if (json_read_object(text, "state.json", &j, err) != CS_OK) {
        err->reason = CS_R_STATE_CORRUPT;
        return CS_REFUSED;
    }
    TRY(number(j, "version", VERSION, VERSION, &version, err));
    TRY(name_in(j, "step", step_name, RENEW_STEP_COUNT, &step, err));
    TRY(name_in(j, "rung", rung_name, RENEW_RUNG_COUNT, &rung, err));
    TRY(read_rest(j, &s, err));
    s.step = (renew_step)step;
    s.rung = (renew_rung)rung;
    s.waits = json_is_true(json_object_get(j, "waits"));
    const char *reason = json_string_value(json_object_get(j, "reason"));
    const char *detail = json_string_value(json_object_get(j, "detail"));
    if (reason != NULL) s.reason = cs_reason_by_name(reason);
    if (detail != NULL) (void)snprintf(s.detail, sizeof s.detail, "%s", detail);
    *ret = s;
    return CS_OK;
}
