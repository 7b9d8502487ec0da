/* Devices for ten years, in virtual time: what the agent's planner, clock and steps do when everything around them
 * fails. Each device has a disk that survives, a memory that does not, a clock that may be wrong, a network that may be
 * dead, and an authority that holds to its rules. Whatever happens, it ends with a valid certificate in use, or stands
 * on the ladder's last rung, where a person is asked for. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "renew/floor.h"
#include "renew/step.h"

#define START ((cs_time)1800000000 * CS_SEC) /* 2027 */
#define BUILT (START - 100 * CS_DAY)
#ifdef CS_SANITIZED
enum { DEVICES = 1000 };
#else
enum { DEVICES = 10000 };
#endif

/* ---- chance, the same each time ---- */
typedef struct chance {
    cs_rng rng;
    uint64_t x;
} chance;
static uint64_t roll(chance *c) {
    c->x ^= c->x << 13;
    c->x ^= c->x >> 7;
    c->x ^= c->x << 17;
    return c->x;
}
static bool one_in(chance *c, uint64_t n) {
    return roll(c) % n == 0;
}
static cs_status fill(const cs_rng *rng, void *p, size_t n, cs_err *err) {
    chance *c = (chance *)(uintptr_t)rng;
    for (size_t i = 0; i < n; i++) ((uint8_t *)p)[i] = (uint8_t)(roll(c) >> 20);
    return CS_OK;
}

/* ---- the world of one device ---- */
typedef struct pair {
    bool key, cert;
    renew_life life;
    unsigned root; /* generation that issued it */
    uint64_t key_id;
} pair;

typedef struct world {
    /* what may happen */
    bool no_rtc, manufacturer, operator_helps, rolls_over, lose_state, crashes, jumps, disk_fills, hook_flaky,
        many; /* one of thousands: its longest pause is a day */
    cs_time lifetime, grace, dead_from, dead_until, dead2_from, dead2_until, manufacturer_ends;
    /* what is so now */
    cs_time t, boot, offset, ntp_at, disk_full_until;
    chance c;
    pair disk[2];
    pair used; /* what the programs on the device load */
    bool saved, ticket;
    renew_state on_disk;
    renew_state s;
    renew_floor floor;
    unsigned trusts, issued, asks, reboots, forks, tickets;
    uint64_t head; /* the key whose certificate the authority issued last to it */
    bool dead;     /* the power went: nothing that is done now counts */
    cs_time person_since, expired_for;
} world;

static bool network(const world *w) {
    return !(w->t >= w->dead_from && w->t < w->dead_until) && !(w->t >= w->dead2_from && w->t < w->dead2_until);
}
static unsigned root_at(const world *w) { /* a new root each three years, told a year ahead */
    return w->rolls_over ? (unsigned)((w->t - START) / (3 * CS_YEAR)) : 0;
}
static bool full(const world *w) {
    return w->t < w->disk_full_until;
}
static cs_time wall(const world *w) {
    bool right = !w->no_rtc || (w->ntp_at != 0 && w->t >= w->ntp_at);
    return right ? w->t + w->offset : w->t - w->boot;
}
static cs_time device_now(world *w) {
    return renew_floor_now(&w->floor, wall(w), w->t - w->boot);
}
/* The power may go at any call. */
static bool power(world *w) {
    if (w->crashes && !w->dead && one_in(&w->c, 400)) w->dead = true;
    return !w->dead;
}
static cs_status no(cs_err *err, cs_status status, cs_reason reason) {
    return cs_fail(err, status, reason, "scenario");
}

/* ---- the ports ---- */
static bool life(void *cls, int slot, renew_life *ret) {
    world *w = cls;
    *ret = w->disk[slot].life;
    return w->disk[slot].cert;
}
static bool can(void *cls, renew_rung rung) {
    const world *w = cls;
    return rung == RENEW_BY_MANUFACTURER ? w->manufacturer : rung == RENEW_BY_TICKET ? w->ticket : true;
}

static cs_status authority(world *w, renew_rung rung, const pair *old, cs_err *err) {
    if (rung == RENEW_BY_TICKET) {
        w->ticket = false;
        return CS_OK;
    }
    if (rung == RENEW_BY_MANUFACTURER)
        return w->t < w->manufacturer_ends ? CS_OK : no(err, CS_REFUSED, CS_R_CERTIFICATE_EXPIRED);
    if (old->key_id != w->head) {
        w->forks++;
        return no(err, CS_REFUSED, CS_R_LINEAGE_FORKED);
    }
    if (w->t > old->life.not_after + w->grace) return no(err, CS_REFUSED, CS_R_RENEWAL_TOO_LATE);
    return CS_OK;
}

static cs_status ask(void *cls, renew_rung rung, int slot, cs_time *ret_wants, cs_err *err) {
    world *w = cls;
    pair *to = &w->disk[slot];
    const pair *old = &w->disk[slot == 0 ? 1 : 0];
    if (!power(w)) return no(err, CS_FAILED, CS_R_INTERNAL_ERROR);
    if (full(w)) return no(err, CS_FAILED, CS_R_DISK_FULL);
    if (to->cert || !to->key) *to = (pair){.key = true, .key_id = roll(&w->c)};
    if (!power(w) || !network(w)) return no(err, CS_FAILED, CS_R_SERVER_UNREACHABLE);
    w->asks++;
    cs_time now = device_now(w);
    if (now < w->t - 30 * CS_DAY || now > w->t + 60 * CS_DAY || w->trusts < root_at(w)) {
        /* a ticket comes with the fingerprint of the root, and a look at the clock */
        if (rung != RENEW_BY_TICKET) return no(err, CS_REFUSED, CS_R_SERVER_UNTRUSTED);
        w->offset = 0;
        w->ntp_at = w->t;
    }
    unsigned next = w->rolls_over && (w->t + CS_YEAR - START) / (3 * CS_YEAR) > root_at(w) ? 1 : 0;
    w->trusts = root_at(w) + next;
    renew_floor_signed(&w->floor, w->t, true, w->t - w->boot); /* a fresh answer, signed */
    if (to->key_id != w->head) {                               /* else the answer was lost, and comes again */
        cs_status status = authority(w, rung, old, err);
        if (status != CS_OK) return status;
        w->issued++;
    }
    w->head = to->key_id;
    if (!power(w)) return no(err, CS_FAILED, CS_R_SERVER_UNREACHABLE); /* the answer is lost */
    to->life = (renew_life){w->t - 10 * CS_MIN, w->t + w->lifetime};
    to->root = root_at(w);
    to->cert = true;
    renew_floor_cert(&w->floor, to->life.not_before, to->life.not_after);
    return CS_OK;
}
static void forget(void *cls, int slot) {
    world *w = cls;
    if (power(w)) w->disk[slot] = (pair){.key = false};
}
static cs_status install(void *cls, int slot, cs_err *err) {
    world *w = cls;
    if (!power(w) || full(w)) return no(err, CS_FAILED, CS_R_DISK_FULL);
    w->used = w->disk[slot];
    return CS_OK;
}
static cs_status hook(void *cls, cs_err *err) {
    world *w = cls;
    if (!power(w) || (w->hook_flaky && one_in(&w->c, 3))) return no(err, CS_FAILED, CS_R_PROCESS_FAILED);
    return CS_OK;
}
static cs_status prove(void *cls, int slot, cs_err *err) {
    world *w = cls;
    if (!power(w) || (w->hook_flaky && one_in(&w->c, 5))) return no(err, CS_FAILED, CS_R_PROCESS_FAILED);
    assert_int_equal(w->used.key_id, w->disk[slot].key_id);
    return CS_OK;
}
static cs_status save(void *cls, const renew_state *s, cs_err *err) {
    world *w = cls;
    if (!power(w)) return no(err, CS_FAILED, CS_R_DISK_FULL);
    if (full(w)) return no(err, CS_FAILED, CS_R_DISK_FULL);
    w->on_disk = *s;
    w->on_disk.seen = w->floor.seen;
    w->saved = true;
    return CS_OK;
}
static const renew_ports ports_of = {.life = life,
                                     .can = can,
                                     .ask = ask,
                                     .forget = forget,
                                     .install = install,
                                     .hook = hook,
                                     .prove = prove,
                                     .save = save};

/* ---- life ---- */
static void boot(world *w, const renew_ports *ports) {
    cs_err err;
    w->dead = false;
    w->boot = w->t;
    w->reboots++;
    w->ntp_at = network(w) ? w->t + 2 * CS_MIN : 0;
    if (w->lose_state && one_in(&w->c, 4)) w->saved = false;
    if (w->saved)
        w->s = w->on_disk;
    else
        renew_recover(&w->s, ports);
    renew_floor_init(&w->floor, BUILT, w->saved ? w->s.seen : 0);
    for (int i = 0; i < 2; i++)
        if (w->disk[i].cert) renew_floor_cert(&w->floor, w->disk[i].life.not_before, w->disk[i].life.not_after);
    if (renew_repair(&w->s, ports, &err) != CS_OK) w->s.next = 0;
}

static void happen(world *w, cs_time until) {
    if (w->jumps && one_in(&w->c, 60))
        w->offset = (cs_time)(roll(&w->c) % 3650 - 1825) * CS_DAY;
    else if (w->jumps && one_in(&w->c, 8))
        w->offset = 0;
    if (w->disk_fills && one_in(&w->c, 40)) w->disk_full_until = w->t + (cs_time)(roll(&w->c) % 60) * CS_DAY;
    if (w->s.rung == RENEW_BY_PERSON && w->person_since == 0) w->person_since = w->t;
    if (w->s.rung != RENEW_BY_PERSON) w->person_since = 0;
    if (w->operator_helps && w->person_since != 0 && w->t > w->person_since + 20 * CS_DAY && !w->ticket) {
        w->ticket = true;
        w->tickets++;
        renew_hurry(&w->s, false);
    }
    if (w->used.cert && w->used.life.not_after < until)
        w->expired_for += until - (w->used.life.not_after > w->t ? w->used.life.not_after : w->t);
}

static void live(world *w, cs_time until) {
    renew_ports ports = ports_of;
    ports.cls = w;
    renew_rules rules = RENEW_RULES_DEFAULT;
    if (w->many) rules.retry_most = CS_DAY;
    boot(w, &ports);
    while (w->t < until) {
        cs_time now = device_now(w), wake = renew_turn(&w->s, &rules, &ports, &w->c.rng, now);
        assert_true(wake > now);
        cs_time sleep = wake - now;
        if (sleep > CS_DAY) sleep = CS_DAY; /* the agent looks at its clock and files now and then */
        happen(w, w->t + sleep);
        w->t += sleep;
        bool blackout = w->crashes && one_in(&w->c, 200);
        if (w->dead || blackout) boot(w, &ports);
    }
    w->t = until;
}

static bool valid(const world *w) {
    return w->used.cert && w->used.life.not_before <= w->t && w->t <= w->used.life.not_after;
}
static void check(const world *w, unsigned n) {
    bool person = w->s.rung == RENEW_BY_PERSON && w->s.reason != CS_R_NONE;
    if (!valid(w) && !person)
        fail_msg("device %u: no certificate, step %s, rung %s, %s, clock %s", n, renew_step_name(w->s.step),
                 renew_rung_name(w->s.rung), cs_reason_of(w->s.reason)->name, renew_clock_name(w->floor.state));
    if (w->forks > 0 && !w->lose_state) fail_msg("device %u: renewed twice with different keys", n);
}

static world new_world(unsigned n) {
    world w = {.t = START, .c = {.rng = {.fill = fill}, .x = 0x9e3779b97f4a7c15u * (n + 1)}, .ticket = true};
    for (int i = 0; i < 8; i++) (void)roll(&w.c);
    w.lifetime = 365 * CS_DAY;
    w.grace = 30 * CS_DAY;
    w.manufacturer_ends = START + 100 * CS_YEAR;
    renew_state_init(&w.s);
    return w;
}

/* ---- scenarios ---- */

static void test_ten_quiet_years(void **state) {
    world w = new_world(1);
    live(&w, START + 10 * CS_YEAR);
    check(&w, 1);
    assert_int_equal(w.expired_for, 0);
    assert_in_range(w.issued, 14, 17); /* one each two thirds of a year */
    assert_int_equal(w.asks, w.issued);
    assert_int_equal(w.s.renewals, w.issued);
}

static void test_hours_of_life(void **state) {
    world w = new_world(2);
    w.lifetime = 8 * CS_HOUR;
    live(&w, START + CS_YEAR);
    check(&w, 2);
    assert_int_equal(w.expired_for, 0);
    assert_in_range(w.issued, 365 * 24 / 8, 365 * 24 / 8 * 2);
}

static void test_months_without_network_within_grace(void **state) {
    world w = new_world(3);
    w.grace = 200 * CS_DAY;
    w.dead_from = START + 200 * CS_DAY;
    w.dead_until = START + 500 * CS_DAY;
    live(&w, START + 500 * CS_DAY - CS_HOUR);
    assert_int_equal(w.s.rung, RENEW_BY_EXPIRED);
    assert_int_equal(w.s.reason, CS_R_SERVER_UNREACHABLE);
    live(&w, START + 500 * CS_DAY + 2 * CS_HOUR);
    assert_true(valid(&w));
}

static void test_too_late_then_the_manufacturer(void **state) {
    world w = new_world(4);
    w.manufacturer = true;
    w.dead_from = START + 200 * CS_DAY;
    w.dead_until = START + 500 * CS_DAY;
    live(&w, START + 500 * CS_DAY + 2 * CS_HOUR);
    assert_true(valid(&w));
    assert_int_equal(w.s.rung, RENEW_BY_CERT);
}

static void test_too_late_then_a_person(void **state) {
    world w = new_world(5);
    w.dead_from = START + 200 * CS_DAY;
    w.dead_until = START + 500 * CS_DAY;
    live(&w, START + 510 * CS_DAY);
    assert_int_equal(w.s.rung, RENEW_BY_PERSON);
    assert_int_equal(w.s.reason, CS_R_RENEWAL_TOO_LATE);
    unsigned asks = w.asks;
    live(&w, START + 511 * CS_DAY);
    assert_in_range(w.asks - asks, 12, 60); /* it goes on, but does not hammer */
    w.ticket = true;
    live(&w, START + 511 * CS_DAY + 2 * CS_HOUR);
    assert_true(valid(&w));
}

static void test_no_rtc_and_no_network_at_boot(void **state) {
    world w = new_world(6);
    w.no_rtc = true;
    live(&w, START + 10 * CS_DAY);
    assert_true(valid(&w));
    w.dead_from = w.t;
    w.dead_until = w.t + 3 * CS_DAY;
    live(&w, w.t + CS_DAY); /* boots: 1970 */
    assert_int_equal(w.floor.state, RENEW_CLOCK_BEHIND);
    assert_true(valid(&w));
    assert_int_equal(w.s.step, RENEW_IDLE); /* that it is 1970 is no reason to renew, nor to think it not valid yet */
    live(&w, START + 2 * CS_YEAR);
    assert_true(valid(&w));
}

static void test_clock_ahead_is_no_expiry(void **state) {
    world w = new_world(7);
    live(&w, START + 10 * CS_DAY);
    unsigned issued = w.issued;
    w.offset = 5 * CS_YEAR;
    live(&w, w.t + CS_DAY);
    assert_int_equal(w.issued, issued + 0);
    w.offset = 0;
    live(&w, w.t + 2 * CS_DAY);
    assert_true(valid(&w));
    assert_int_equal(w.s.rung == RENEW_BY_PERSON ? 1 : 0, 0);
}

static void test_expired_manufacturer_and_no_help(void **state) {
    world w = new_world(8);
    w.manufacturer = true;
    w.ticket = false;
    w.manufacturer_ends = START + CS_YEAR;
    w.dead_from = START + 200 * CS_DAY;
    w.dead_until = START + 3 * CS_YEAR;
    live(&w, START + 4 * CS_YEAR);
    assert_int_equal(w.s.rung, RENEW_BY_PERSON);
    assert_int_equal(w.s.reason, CS_R_CERTIFICATE_EXPIRED);
}

static void test_root_gone_while_it_slept(void **state) {
    world w = new_world(9);
    w.rolls_over = true;
    w.dead_from = START + CS_YEAR;
    w.dead_until = START + 7 * CS_YEAR;
    live(&w, START + 8 * CS_YEAR);
    assert_int_equal(w.s.rung, RENEW_BY_PERSON);
    assert_int_equal(w.s.reason, CS_R_SERVER_UNTRUSTED);
    w.ticket = true; /* with the new root's fingerprint */
    live(&w, START + 8 * CS_YEAR + CS_DAY);
    assert_true(valid(&w));
}

/* Everything at once, for thousands: whatever combination the number says. */
static void test_ten_thousand_devices(void **state) {
    unsigned waiting = 0, tickets = 0, reboots = 0;
    for (unsigned n = 0; n < DEVICES; n++) {
        world w = new_world(100 + n);
        w.many = true;
        w.no_rtc = one_in(&w.c, 3);
        w.manufacturer = one_in(&w.c, 2);
        w.operator_helps = one_in(&w.c, 2);
        w.rolls_over = one_in(&w.c, 2);
        w.crashes = one_in(&w.c, 2);
        w.lose_state = one_in(&w.c, 4);
        w.jumps = one_in(&w.c, 5);
        w.disk_fills = one_in(&w.c, 4);
        w.hook_flaky = one_in(&w.c, 5);
        if (one_in(&w.c, 3)) w.manufacturer_ends = START + 4 * CS_YEAR;
        w.lifetime = one_in(&w.c, 3) ? 365 * CS_DAY : 90 * CS_DAY;
        w.dead_from = START + (cs_time)(roll(&w.c) % 2000) * CS_DAY;
        w.dead_until = w.dead_from + (cs_time)(roll(&w.c) % 500) * CS_DAY;
        w.dead2_from = START + (cs_time)(roll(&w.c) % 3000) * CS_DAY;
        w.dead2_until = w.dead2_from + (cs_time)(roll(&w.c) % 200) * CS_DAY;
        live(&w, START + 10 * CS_YEAR - 30 * CS_DAY);
        /* the last month is quiet: what can be mended, mends itself */
        w.jumps = w.disk_fills = w.hook_flaky = w.crashes = false;
        w.offset = 0;
        w.disk_full_until = 0;
        live(&w, START + 10 * CS_YEAR);
        check(&w, n);
        if (!valid(&w)) waiting++;
        tickets += w.tickets;
        reboots += w.reboots;
    }
    print_message("%d devices: %u wait for a person, %u tickets, %u reboots\n", DEVICES, waiting, tickets, reboots);
    assert_true(waiting > 0 && waiting < DEVICES / 2 && tickets > 0 && reboots > DEVICES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_quiet_years),
        cmocka_unit_test(test_hours_of_life),
        cmocka_unit_test(test_months_without_network_within_grace),
        cmocka_unit_test(test_too_late_then_the_manufacturer),
        cmocka_unit_test(test_too_late_then_a_person),
        cmocka_unit_test(test_no_rtc_and_no_network_at_boot),
        cmocka_unit_test(test_clock_ahead_is_no_expiry),
        cmocka_unit_test(test_expired_manufacturer_and_no_help),
        cmocka_unit_test(test_root_gone_while_it_slept),
        cmocka_unit_test(test_ten_thousand_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
