/* renew/step.h - one identity, kept renewed: which step comes next, and when. A machine over a table of ports, so that
 * ten years pass in a test within a second; it knows neither files, nor sockets, nor clocks.
 *
 *   IDLE -> ASK -> INSTALL -> HOOK -> PROVE -> IDLE       two slots: the new pair takes the old one's place at the end
 *                     \--------\--------\-> BACK -> INSTALL  (later again, with the same pair)
 *
 * Each step is saved before it is done and may be done twice, so that after a power cut it is simply done again.
 * Owner: the agent; one thread. */
#ifndef CS_RENEW_STEP_H
#define CS_RENEW_STEP_H

#include "base/rng.h"
#include "renew/plan.h"

typedef enum renew_step {
    RENEW_IDLE,
    RENEW_ASK,
    RENEW_INSTALL,
    RENEW_HOOK,
    RENEW_PROVE,
    RENEW_BACK,
    RENEW_STEP_COUNT
} renew_step;
const char *renew_step_name(renew_step step);

/* The recovery ladder: with what it is asked. Each rung that cannot be stood on is passed over; one that says no leads
 * to the next. On the last it waits for somebody, and begins from the top again and again. */
typedef enum renew_rung {
    RENEW_BY_CERT,         /* the certificate renews itself */
    RENEW_BY_EXPIRED,      /* likewise after its end, where the authority allows it */
    RENEW_BY_MANUFACTURER, /* the certificate that the device was made with */
    RENEW_BY_TICKET,       /* a token: the first one, or one that an operator gave since */
    RENEW_BY_PERSON,       /* nothing is left: an operator must give a ticket */
    RENEW_RUNG_COUNT
} renew_rung;
const char *renew_rung_name(renew_rung rung);

enum { RENEW_NO_SLOT = -1, RENEW_SLOTS = 2, RENEW_DETAIL_MAX = 256 };

/* All that is kept of an identity beside its two pairs. */
typedef struct renew_state {
    renew_step step;
    renew_rung rung;     /* the one it stands on, or stood on last */
    int slot;            /* whose pair is in use */
    bool waits;          /* the server has the request, and somebody there decides */
    unsigned failures;   /* in a row */
    cs_time due, next;   /* when the renewal begins; before when nothing is done. 0: at once */
    renew_window window; /* the server's wish for the pair in use */
    cs_time renewed;     /* when the pair in use was taken over; 0: never */
    uint64_t renewals;
    cs_time seen;     /* the latest time that was seen (renew/floor.h) */
    cs_reason reason; /* of the last failure; CS_R_NONE: there was none since the last renewal */
    cs_time failed;
    char detail[RENEW_DETAIL_MAX];
} renew_state;
void renew_state_init(renew_state *s);

typedef enum renew_event {
    RENEW_DUE,       /* it begins */
    RENEW_GOT,       /* a certificate came */
    RENEW_DONE,      /* it is in use, and proven */
    RENEW_WAITING,   /* the server says: later */
    RENEW_REFUSED,   /* a rung of the ladder says no */
    RENEW_FAILED,    /* it did not work; it is tried again */
    RENEW_ROLLED,    /* the old pair is back */
    RENEW_UNPROVEN,  /* the new pair is in use though it could not be proven: the old one is worth nothing any more */
    RENEW_NEEDS_HELP /* the ladder's last rung */
} renew_event;

typedef struct renew_ports {
    void *cls;
    /* The validity of that slot's pair; false: there is none that is whole, matches and verifies. */
    bool (*life)(void *cls, int slot, renew_life *ret);
    /* The server's wish for that slot's pair; false: it has none. May be NULL. */
    bool (*window)(void *cls, int slot, renew_window *ret);
    /* Is there what that rung needs? */
    bool (*can)(void *cls, renew_rung rung);
    /* Asks for a pair into that slot. CS_OK: it is there, whole, and verified. CS_AGAIN: not yet, *ret_wants.
     * CS_REFUSED: they say no; any other: it did not work (renew_says_no tells which). */
    cs_status (*ask)(void *cls, renew_rung rung, int slot, cs_time *ret_wants, cs_err *err);
    /* Removes that slot's pair, which is used no more. */
    void (*forget)(void *cls, int slot);
    /* Puts that slot's pair where it is used, all of it or nothing; again is fine. */
    cs_status (*install)(void *cls, int slot, cs_err *err);
    cs_status (*hook)(void *cls, cs_err *err);
    cs_status (*prove)(void *cls, int slot, cs_err *err);
    /* Whole or not at all; what was saved is there after a power cut. */
    cs_status (*save)(void *cls, const renew_state *s, cs_err *err);
    void (*tell)(void *cls, renew_event event, const cs_err *err); /* err: of failures, else NULL. May be NULL */
} renew_ports;

/* Is that failure an answer that will not change by itself, so that the ladder's next rung is tried? */
bool renew_says_no(cs_status status, const cs_err *err);

/* The state was lost or cannot be read: what the slots hold says where it stands. */
void renew_recover(renew_state *s, const renew_ports *ports);

/* After a start: the pair in use is put in place again, in case something was lost meanwhile. */
CS_MUST_USE cs_status renew_repair(renew_state *s, const renew_ports *ports, cs_err *err);

/* Does all that is to be done at `now`. Returns when to be called again (later than now). */
cs_time renew_turn(renew_state *s, const renew_rules *rules, const renew_ports *ports, const cs_rng *rng, cs_time now);

/* It shall begin now, whatever was planned: an operator said so, or gave a ticket. */
void renew_hurry(renew_state *s, bool even_if_good);

#endif
