#include "renew/say.h"

#include <stdio.h>

#include "base/text.h"

static bool good_until(renew_keep *k, cs_time *ret_left) {
    renew_life l;
    if (!renew_keep_life(k, &l)) return false;
    *ret_left = l.not_after - renew_keep_now(k);
    return true;
}

bool renew_say_trouble(renew_keep *k) {
    cs_time left = 0;
    return !good_until(k, &left) || left <= 0 || k->state.reason != CS_R_NONE || k->floor.state == RENEW_CLOCK_BEHIND ||
           k->floor.state == RENEW_CLOCK_AHEAD;
}

void renew_say_next(renew_keep *k, cs_buf *b) {
    const renew_state *s = &k->state;
    char at[CS_TIME_TEXT_MAX];
    cs_time when = s->step == RENEW_IDLE && s->due > s->next ? s->due : s->next;
    const char *what = s->waits                     ? "asks whether it was approved"
                       : s->rung == RENEW_BY_PERSON ? "waits for an operator's ticket; asks again"
                       : s->step == RENEW_IDLE      ? "renews"
                       : s->step == RENEW_ASK       ? "asks again"
                       : s->step == RENEW_BACK      ? "rolls back"
                                                    : "puts the new certificate in place again";
    if (when <= renew_keep_now(k))
        (void)cs_buf_addf(b, "%s now", what);
    else
        (void)cs_buf_addf(b, "%s at %s", what, cs_time_text(when, at));
    if (s->step == RENEW_ASK && s->rung != RENEW_BY_CERT && s->rung != RENEW_BY_PERSON)
        (void)cs_buf_addf(b, " (%s)", renew_rung_name(s->rung));
}

static void say_clock(renew_keep *k, cs_buf *b) {
    char shows[CS_TIME_TEXT_MAX], taken[CS_TIME_TEXT_MAX];
    cs_time now = renew_keep_now(k);
    if (k->floor.state == RENEW_CLOCK_GOOD) return;
    (void)cs_buf_addf(b, "  clock     it is %s: it shows %s, taken to be %s\n            set it (NTP)\n",
                      renew_clock_name(k->floor.state), cs_time_text(cs_now(k->world->clock), shows),
                      cs_time_text(now, taken));
}

void renew_say_text(renew_keep *k, cs_buf *b) {
    const renew_state *s = &k->state;
    char until[CS_TIME_TEXT_MAX], left_text[CS_TIME_TEXT_MAX];
    cs_time left = 0;
    renew_life l;
    (void)cs_buf_addf(b, "%s\n", k->id->name);
    if (!good_until(k, &left))
        (void)cs_buf_add_str(b, "  has       no certificate\n");
    else if (renew_keep_life(k, &l))
        (void)cs_buf_addf(b, "  has       serial %s, until %s (%s %s)\n", k->store.facts[s->slot].serial,
                          cs_time_text(l.not_after, until), cs_duration_text(left < 0 ? -left : left, left_text),
                          left < 0 ? "ago" : "left");
    (void)cs_buf_add_str(b, "  next      ");
    renew_say_next(k, b);
    (void)cs_buf_add_byte(b, '\n');
    say_clock(k, b);
    if (s->reason == CS_R_NONE) return;
    (void)cs_buf_addf(b, "  last error at %s: %s: %s\n            try: %s\n", cs_time_text(s->failed, until),
                      cs_reason_of(s->reason)->name, s->detail, cs_reason_of(s->reason)->advice);
}

void renew_say_json(renew_keep *k, cs_json *j) {
    const renew_state *s = &k->state;
    CS_SCOPED(cs_buf) next = cs_buf_of(512);
    cs_time left = 0;
    renew_life l = {0, 0};
    bool has = good_until(k, &left) && renew_keep_life(k, &l);
    cs_json_object(j, NULL);
    cs_json_str(j, "name", k->id->name);
    cs_json_str(j, "serial", has ? k->store.facts[s->slot].serial : NULL);
    if (has) cs_json_time(j, "not_after", l.not_after);
    cs_json_int(j, "seconds_left", has ? left / CS_SEC : 0);
    cs_json_bool(j, "good", has && left > 0);
    cs_json_str(j, "step", renew_step_name(s->step));
    cs_json_str(j, "rung", renew_rung_name(s->rung));
    cs_json_bool(j, "waits", s->waits);
    renew_say_next(k, &next);
    cs_json_view(j, "next", cs_buf_view(&next));
    if (s->due != 0) cs_json_time(j, "due", s->due);
    if (s->next != 0) cs_json_time(j, "next_try", s->next);
    cs_json_int(j, "renewals", (int64_t)s->renewals);
    cs_json_int(j, "failures", s->failures);
    cs_json_str(j, "reason", s->reason != CS_R_NONE ? cs_reason_of(s->reason)->name : NULL);
    cs_json_str(j, "detail", s->reason != CS_R_NONE ? s->detail : NULL);
    cs_json_str(j, "try", s->reason != CS_R_NONE ? cs_reason_of(s->reason)->advice : NULL);
    cs_json_str(j, "clock", renew_clock_name(k->floor.state));
    cs_json_object_end(j);
}

/* ---- Prometheus ---- */

typedef struct series {
    const char *name, *type, *help;
    double (*value)(renew_keep *k);
} series;

static double not_after(renew_keep *k) {
    renew_life l = {0, 0};
    return renew_keep_life(k, &l) ? (double)cs_time_seconds(l.not_after) : 0;
}
static double due(renew_keep *k) {
    return (double)cs_time_seconds(k->state.due);
}
static double renewals(renew_keep *k) {
    return (double)k->state.renewals;
}
static double failures(renew_keep *k) {
    return (double)k->state.failures;
}
static double needs_operator(renew_keep *k) {
    return k->state.rung == RENEW_BY_PERSON ? 1 : 0;
}
static double clock_wrong(renew_keep *k) {
    return k->floor.state == RENEW_CLOCK_BEHIND || k->floor.state == RENEW_CLOCK_AHEAD ? 1 : 0;
}

void renew_say_metrics(renew_keep *all, size_t n, cs_buf *b) {
    static const series every[] = {
        {"not_after_timestamp_seconds", "gauge", "When the certificate in use ends; 0: there is none.", not_after},
        {"renewal_due_timestamp_seconds", "gauge", "When its renewal begins.", due},
        {"renewals_total", "counter", "Certificates taken into use.", renewals},
        {"failures", "gauge", "Failures in a row.", failures},
        {"needs_operator", "gauge", "1: nothing is left to ask with; an operator must give a ticket.", needs_operator},
        {"clock_wrong", "gauge", "1: this machine's clock shows a time that cannot be.", clock_wrong},
    };
    for (size_t i = 0; i < sizeof every / sizeof *every; i++) {
        const series *s = &every[i];
        (void)cs_buf_addf(b, "# HELP countersign_agent_%s %s\n# TYPE countersign_agent_%s %s\n", s->name, s->help,
                          s->name, s->type);
        for (size_t k = 0; k < n; k++) /* names are letters, digits, . _ - @: nothing to escape */
            (void)cs_buf_addf(b, "countersign_agent_%s{identity=\"%s\"} %.0f\n", s->name, all[k].id->name,
                              s->value(&all[k]));
    }
}
