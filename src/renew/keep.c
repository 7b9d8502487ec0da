#include "renew/keep.h"

#include "base/fault.h"
#include "renew/hook.h"
#include "renew/install.h"
#include "renew/prove.h"

/* ---- the ports ---- */

static bool life(void *cls, int slot, renew_life *ret) {
    renew_keep *k = cls;
    const renew_facts *f = renew_store_facts(&k->store, slot);
    *ret = f->life;
    return f->whole;
}

static renew_asking asking(renew_keep *k) {
    const renew_world *w = k->world;
    return (renew_asking){.id = k->id,
                          .st = &k->store,
                          .current = k->state.slot,
                          .floor = &k->floor,
                          .clock = w->clock,
                          .rng = w->rng,
                          .prover = w->prover,
                          .prover_close = w->prover_close};
}

static bool can(void *cls, renew_rung rung) {
    renew_keep *k = cls;
    const renew_asking a = asking(k);
    return renew_can(&a, rung);
}

static cs_status ask(void *cls, renew_rung rung, int slot, cs_time *ret_wants, cs_err *err) {
    renew_keep *k = cls;
    const renew_asking a = asking(k);
    CS_FAULT("agent-ask", err);
    return renew_ask(&a, rung, slot, ret_wants, err);
}

static void forget(void *cls, int slot) {
    renew_keep *k = cls;
    renew_store_forget(&k->store, slot);
}

static cs_status install(void *cls, int slot, cs_err *err) {
    renew_keep *k = cls;
    bool changed = false;
    return renew_install(k->id, &k->store, slot, &changed, err);
}

static cs_status hook(void *cls, cs_err *err) {
    renew_keep *k = cls;
    CS_FAULT("agent-hook", err);
    return renew_hook(k->id, k->store.dir, k->world->clock, err);
}

static cs_status prove(void *cls, int slot, cs_err *err) {
    renew_keep *k = cls;
    cs_time now = renew_keep_now(k);
    CS_FAULT("agent-prove", err);
    return renew_prove(k->id, &k->store, slot, k->floor.state == RENEW_CLOCK_GOOD ? 0 : now, k->world->clock, err);
}

static cs_status save(void *cls, const renew_state *s, cs_err *err) {
    renew_keep *k = cls;
    renew_state copy = *s;
    copy.seen = k->floor.seen;
    CS_FAULT("agent-save", err);
    return renew_store_save(&k->store, &copy, err);
}

static void tell(void *cls, renew_event event, const cs_err *err) {
    renew_keep *k = cls;
    if (k->world->tell != NULL) k->world->tell(k->world->cls, k, event, err);
}

/* ---- opened ---- */

static uint64_t ticket_stamp(const renew_keep *k) {
    return k->id->token_file != NULL ? files_stamp(k->id->token_file) : 0;
}

static void load(renew_keep *k, bool read_only) {
    cs_err err;
    if (renew_store_load(&k->store, read_only, &k->state, &err) == CS_OK) return;
    bool lost = err.reason != CS_R_FILE_NOT_FOUND;
    renew_recover(&k->state, &k->ports);
    if (!lost && k->state.slot == RENEW_NO_SLOT) return; /* the first start of all */
    (void)cs_fail(&err, CS_FAILED, CS_R_STATE_CORRUPT, "%.200s: %s", k->store.dir,
                  lost ? "it could not be read; what the slots hold says where it stands"
                       : "it is gone; what the slots hold says where it stands");
    if (read_only) return;
    tell(k, RENEW_FAILED, &err);
    if (save(k, &k->state, &err) != CS_OK) tell(k, RENEW_FAILED, &err);
}

cs_status renew_keep_open(const renew_conf *c, const renew_identity *id, const renew_world *world, bool read_only,
                          renew_keep *k, cs_err *err) {
    cs_err why;
    *k = (renew_keep){.id = id, .world = world};
    k->rules = (renew_rules){.percent = id->renew_at, .retry_least = id->retry, .retry_most = id->retry_most};
    k->ports = (renew_ports){.cls = k,
                             .life = life,
                             .can = can,
                             .ask = ask,
                             .forget = forget,
                             .install = install,
                             .hook = hook,
                             .prove = prove,
                             .save = save,
                             .tell = tell};
    TRY(renew_store_open(c->state, id->name, read_only, &k->store, err));
    load(k, read_only);
    renew_floor_init(&k->floor, world->built, k->state.seen);
    for (int i = 0; i < RENEW_SLOTS; i++) {
        const renew_facts *f = renew_store_facts(&k->store, i);
        if (f->whole) renew_floor_cert(&k->floor, f->life.not_before, f->life.not_after);
    }
    k->ticket = ticket_stamp(k);
    (void)renew_keep_now(k);
    if (!read_only && renew_repair(&k->state, &k->ports, &why) != CS_OK) tell(k, RENEW_FAILED, &why);
    return CS_OK;
}

/* ---- turned ---- */

cs_time renew_keep_now(renew_keep *k) {
    return renew_floor_now(&k->floor, cs_now(k->world->clock), cs_mono(k->world->clock));
}

bool renew_keep_life(renew_keep *k, renew_life *ret) {
    return k->state.slot != RENEW_NO_SLOT && life(k, k->state.slot, ret);
}

void renew_keep_hurry(renew_keep *k, bool even_if_good) {
    renew_hurry(&k->state, even_if_good);
}

cs_time renew_keep_turn(renew_keep *k) {
    uint64_t stamp = ticket_stamp(k);
    if (stamp != 0 && stamp != k->ticket && k->state.failures > 0) renew_hurry(&k->state, false);
    k->ticket = stamp;
    cs_time now = renew_keep_now(k);
    cs_time wake = renew_turn(&k->state, &k->rules, &k->ports, k->world->rng, now);
    cs_time sleep = wake - renew_keep_now(k);
    return sleep < CS_SEC / 5 ? CS_SEC / 5 : sleep;
}
