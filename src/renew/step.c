#include "renew/step.h"

#include <stdio.h>
#include <string.h>

/* Each pass does one step; more than this without a wait is a mistake of ours. */
enum { PASSES_MAX = 16 };

typedef struct work {
    renew_state *s;
    const renew_rules *rules;
    const renew_ports *p;
    const cs_rng *rng;
    cs_time now;
    bool wait;
} work;

const char *renew_step_name(renew_step step) {
    static const char *const names[RENEW_STEP_COUNT] = {"idle", "ask", "install", "hook", "prove", "roll-back"};
    return (size_t)step < RENEW_STEP_COUNT ? names[step] : "unknown";
}

const char *renew_rung_name(renew_rung rung) {
    static const char *const names[RENEW_RUNG_COUNT] = {"renew", "renew-expired", "manufacturer-certificate", "ticket",
                                                        "waits-for-operator"};
    return (size_t)rung < RENEW_RUNG_COUNT ? names[rung] : "unknown";
}

void renew_state_init(renew_state *s) {
    *s = (renew_state){.slot = RENEW_NO_SLOT};
}

bool renew_says_no(cs_status status, const cs_err *err) {
    if (status != CS_REFUSED) return false;
    switch (err->reason) {
    case CS_R_SERVER_UNTRUSTED:
    case CS_R_SERVER_ANSWER_INVALID:
    case CS_R_SERVER_UNREACHABLE:
    case CS_R_ENROLLMENT_WAITS:
    case CS_R_TOO_MANY_GUESSES:
    case CS_R_PIN_MISMATCH:
    case CS_R_NONCE_INVALID: return false; /* not their last word, or not theirs at all */
    default: return true;
    }
}

/* ---- small ---- */

static void tell(const work *w, renew_event event, const cs_err *err) {
    if (w->p->tell != NULL) w->p->tell(w->p->cls, event, err);
}

static int other(const renew_state *s) {
    return s->slot == 0 ? 1 : 0;
}

static bool life_of(const work *w, int slot, renew_life *ret) {
    return slot != RENEW_NO_SLOT && w->p->life(w->p->cls, slot, ret);
}

/* No randomness, no jitter: that alone is no reason to miss a renewal. */
static uint32_t draw(const work *w) {
    uint32_t bits = 0;
    cs_err ignored;
    if (cs_rng_fill(w->rng, &bits, sizeof bits, &ignored) != CS_OK) return 0;
    return bits;
}

static bool good(const work *w, renew_life *ret) {
    return life_of(w, w->s->slot, ret) && w->now < ret->not_after;
}

static void note(work *w, const cs_err *err) {
    w->s->reason = err->reason;
    w->s->failed = w->now;
    (void)snprintf(w->s->detail, sizeof w->s->detail, "%s", err->detail);
}

static void pause_for(work *w, cs_time wants) {
    renew_life life;
    bool has = life_of(w, w->s->slot, &life);
    w->s->next = w->now + renew_pause(w->rules, has ? &life : NULL, w->s->failures, w->now, wants, draw(w));
    w->wait = true;
}

static void failed(work *w, renew_event event, const cs_err *err) {
    if (w->s->failures < 1000000) w->s->failures++;
    note(w, err);
    pause_for(w, 0);
    tell(w, event, err);
}

/* A step is begun only when that is on disk. */
static bool go(work *w, renew_step step) {
    cs_err err;
    renew_step before = w->s->step;
    w->s->step = step;
    w->s->next = 0;
    if (w->p->save(w->p->cls, w->s, &err) == CS_OK) return true;
    w->s->step = before;
    failed(w, RENEW_FAILED, &err);
    return false;
}

static void save_quietly(work *w) {
    cs_err err;
    if (w->p->save(w->p->cls, w->s, &err) != CS_OK) note(w, &err); /* what is not remembered is found out again */
}

/* ---- the steps ---- */

static void plan(work *w, const renew_life *life) {
    renew_state *s = w->s;
    s->window = (renew_window){0, 0};
    if (w->p->window != NULL && !w->p->window(w->p->cls, s->slot, &s->window)) s->window = (renew_window){0, 0};
    s->due = renew_due(w->rules, life, &s->window, draw(w));
}

static void idle(work *w) {
    renew_state *s = w->s;
    renew_life life;
    if (life_of(w, s->slot, &life)) {
        if (s->due == 0) plan(w, &life);
        if (w->now < s->due && w->now < life.not_after) {
            w->wait = true;
            s->next = s->due;
            return;
        }
    }
    s->failures = 0;
    s->waits = false;
    w->p->forget(w->p->cls, other(s)); /* the pair before this one: from here on, what is there is new */
    if (go(w, RENEW_ASK)) tell(w, RENEW_DUE, NULL);
}

static bool stands(const work *w, renew_rung rung) {
    renew_life life;
    bool has = life_of(w, w->s->slot, &life), is_good = has && w->now < life.not_after;
    bool fits = rung == RENEW_BY_CERT           ? is_good
                : rung == RENEW_BY_EXPIRED      ? has && !is_good
                : rung == RENEW_BY_MANUFACTURER ? !is_good
                                                : rung == RENEW_BY_TICKET;
    return fits && w->p->can(w->p->cls, rung);
}

/* A pair in the other slot was asked for before the power went: it is the answer. Even one that has ended is taken
 * over, since it alone renews: another request by the older one would look like a copied key. */
static bool came_already(const work *w) {
    renew_life theirs;
    return life_of(w, other(w->s), &theirs);
}

static void waiting(work *w, renew_rung rung, cs_time wants) {
    w->s->rung = rung;
    w->s->failures = 0; /* nothing has failed */
    w->s->waits = true;
    pause_for(w, wants);
    save_quietly(w);
    tell(w, RENEW_WAITING, NULL);
}

static void none_left(work *w, const cs_err *last) {
    renew_life life;
    bool has = good(w, &life);
    if (!has) w->s->rung = RENEW_BY_PERSON;
    failed(w, has ? RENEW_FAILED : RENEW_NEEDS_HELP, last);
    save_quietly(w);
}

/* The next rung? Whom it does not trust it cannot ask: without a certificate only a ticket can tell it whom to trust.
 */
static bool climbs(const work *w, cs_status status, const cs_err *err) {
    renew_life life;
    bool lost = err->reason == CS_R_SERVER_UNTRUSTED || err->reason == CS_R_PIN_MISMATCH;
    return renew_says_no(status, err) || (lost && !good(w, &life));
}

static void ask(work *w) {
    renew_state *s = w->s;
    cs_err err;
    if (came_already(w)) {
        (void)go(w, RENEW_INSTALL);
        return;
    }
    s->waits = false;
    (void)cs_fail(&err, CS_REFUSED, CS_R_CREDENTIAL_NEEDED, "there is no certificate, token or ticket to ask with");
    for (renew_rung rung = RENEW_BY_CERT; rung < RENEW_BY_PERSON; rung++) {
        cs_time wants = 0;
        if (!stands(w, rung)) continue;
        s->rung = rung;
        cs_status status = w->p->ask(w->p->cls, rung, other(s), &wants, &err);
        if (status == CS_AGAIN) {
            waiting(w, rung, wants);
            return;
        }
        if (status == CS_OK) {
            s->failures = 0;
            if (go(w, RENEW_INSTALL)) tell(w, RENEW_GOT, NULL);
            return;
        }
        if (!climbs(w, status, &err)) {
            failed(w, RENEW_FAILED, &err);
            save_quietly(w);
            return;
        }
        note(w, &err);
        tell(w, RENEW_REFUSED, &err);
    }
    none_left(w, &err);
}

static bool take_over(work *w) {
    renew_state *s = w->s, was = *s;
    renew_life life;
    s->slot = other(s);
    s->rung = RENEW_BY_CERT;
    s->failures = 0;
    s->renewed = w->now;
    s->renewals++;
    s->due = 0;
    if (life_of(w, s->slot, &life)) plan(w, &life);
    if (go(w, RENEW_IDLE)) return true;
    was.failures++; /* nothing is taken over that is not on disk */
    was.next = s->next;
    was.reason = s->reason;
    was.failed = s->failed;
    memcpy(was.detail, s->detail, sizeof was.detail);
    *s = was;
    return false;
}

/* Is the old pair worth going back to, and the new one to be tried again? */
static bool worth_going_back(const work *w) {
    renew_life old, new;
    return good(w, &old) && life_of(w, other(w->s), &new) &&
           w->now < new.not_before + (new.not_after - new.not_before) / 100 * w->rules->percent;
}

static void not_good(work *w, const cs_err *err) {
    renew_life life;
    if (worth_going_back(w)) {
        note(w, err);
        if (go(w, RENEW_BACK)) tell(w, RENEW_FAILED, err);
        return;
    }
    bool has_old = life_of(w, w->s->slot, &life), has_new = life_of(w, other(w->s), &life);
    if (has_new && (has_old || w->now >= life.not_after)) { /* better unproven than ended */
        if (!take_over(w)) return;
        note(w, err);
        tell(w, RENEW_UNPROVEN, err);
        return;
    }
    failed(w, RENEW_FAILED, err); /* the first of all: it stays, and is tried again */
    w->s->step = has_new ? RENEW_INSTALL : RENEW_ASK;
    save_quietly(w);
}

static void install(work *w) {
    cs_err err;
    renew_life life;
    if (!life_of(w, other(w->s), &life)) { /* it was lost: from the start */
        (void)go(w, RENEW_ASK);
        return;
    }
    if (w->p->install(w->p->cls, other(w->s), &err) != CS_OK)
        not_good(w, &err);
    else
        (void)go(w, RENEW_HOOK);
}

static void hook(work *w) {
    cs_err err;
    if (w->p->hook(w->p->cls, &err) != CS_OK)
        not_good(w, &err);
    else
        (void)go(w, RENEW_PROVE);
}

static void prove(work *w) {
    cs_err err;
    if (w->p->prove(w->p->cls, other(w->s), &err) != CS_OK) {
        not_good(w, &err);
        return;
    }
    if (!take_over(w)) return;
    w->s->reason = CS_R_NONE;
    w->s->detail[0] = '\0';
    save_quietly(w);
    tell(w, RENEW_DONE, NULL);
}

static void back(work *w) {
    cs_err err;
    renew_life old;
    if (!good(w, &old)) { /* it ended meanwhile: forward again */
        (void)go(w, RENEW_INSTALL);
        return;
    }
    if (w->p->install(w->p->cls, w->s->slot, &err) != CS_OK) {
        failed(w, RENEW_FAILED, &err);
        return; /* still going back */
    }
    /* a program that cannot be told now is told with the next try, forward again */
    if (w->p->hook(w->p->cls, &err) != CS_OK) tell(w, RENEW_FAILED, &err);
    if (!go(w, RENEW_INSTALL)) return;
    if (w->s->failures < 1000000) w->s->failures++;
    pause_for(w, 0);
    save_quietly(w);
    tell(w, RENEW_ROLLED, NULL);
}

/* A pause is never longer than a day; one that is was planned by a clock that has been set right since. */
static bool planned(const renew_state *s, cs_time now) {
    return s->next <= now + CS_DAY || (s->step == RENEW_IDLE && s->next == s->due);
}

cs_time renew_turn(renew_state *s, const renew_rules *rules, const renew_ports *ports, const cs_rng *rng, cs_time now) {
    static void (*const steps[RENEW_STEP_COUNT])(work *) = {
        [RENEW_IDLE] = idle, [RENEW_ASK] = ask,     [RENEW_INSTALL] = install,
        [RENEW_HOOK] = hook, [RENEW_PROVE] = prove, [RENEW_BACK] = back,
    };
    work w = {.s = s, .rules = rules, .p = ports, .rng = rng, .now = now};
    for (int i = 0; i < PASSES_MAX && !w.wait; i++) {
        if (s->next > now && planned(s, now)) return s->next;
        steps[s->step](&w);
    }
    if (!w.wait) s->next = now + rules->retry_least;
    return s->next > now ? s->next : now + CS_SEC;
}

/* ---- after a start ---- */

void renew_recover(renew_state *s, const renew_ports *ports) {
    renew_life life, best = {0, 0};
    renew_state_init(s);
    for (int slot = 0; slot < RENEW_SLOTS; slot++) {
        if (!ports->life(ports->cls, slot, &life)) continue;
        if (s->slot != RENEW_NO_SLOT && life.not_before <= best.not_before) continue;
        s->slot = slot;
        best = life;
    }
}

cs_status renew_repair(renew_state *s, const renew_ports *ports, cs_err *err) {
    renew_life life;
    if (s->slot != RENEW_NO_SLOT && !ports->life(ports->cls, s->slot, &life)) {
        renew_state was = *s;
        renew_recover(s, ports); /* the pair in use is damaged: perhaps the other one is whole */
        s->seen = was.seen;
        s->renewals = was.renewals;
    }
    if (s->slot == RENEW_NO_SLOT || s->step != RENEW_IDLE) return CS_OK;
    return ports->install(ports->cls, s->slot, err);
}

void renew_hurry(renew_state *s, bool even_if_good) {
    s->next = 0;
    if (!even_if_good || s->step != RENEW_IDLE) return;
    s->due = 1; /* long past */
}
