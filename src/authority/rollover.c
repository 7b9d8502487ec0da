#include "authority/rollover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "authority/authority_priv.h"
#include "base/text.h"
#include "report/log.h"
#include "x509/build.h"

static const char *const stages[] = {"given-up", "made", "published", "switched", "retired"};

const char *rollover_kind_name(rollover_kind kind) {
    return kind == ROLLOVER_ROOT ? "root" : "issuing";
}

const char *rollover_stage_name(rollover_stage stage) {
    return (size_t)stage < sizeof stages / sizeof stages[0] ? stages[stage] : "unknown";
}

bool rollover_stage_parse(cs_view text, rollover_stage *ret) {
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        if (!cs_view_eq_str(text, stages[i])) continue;
        *ret = (rollover_stage)i;
        return true;
    }
    return false;
}

static cs_status note(authority *a, store *st, const char *event, const authority_who *by, const store_rollover *r,
                      const char *more, cs_err *err) {
    char text[256];
    (void)snprintf(text, sizeof text, "%llu: %s to %s: %s%s", (unsigned long long)r->id, r->old_ca, r->next_ca,
                   rollover_stage_name(r->stage), more);
    return audit(a, st, event, by, NULL, text, err);
}

/* ---- nodes ---- */

cs_status rollover_tell_node(authority *a, cs_err *err) {
    store_node_ca cas[2 * CAS_MAX];
    char host[STORE_HOST_MAX + 1] = "";
    size_t n = 0;
    (void)gethostname(host, sizeof host - 1);
    for (size_t i = 0; i < a->names.roots.n; i++) memcpy(cas[n++].sha256, a->roots[i]->sha256, 32);
    for (size_t i = 0; i < a->names.certs.n; i++) memcpy(cas[n++].sha256, a->certs[i]->sha256, 32);
    for (size_t i = 0; i < n; i++) cas[i].issues = memcmp(cas[i].sha256, a->current->cert->sha256, 32) == 0;
    TRY(store_begin(a->store, err));
    cs_status s = store_node_cas_set(a->store, host, cas, n, err);
    if (s == CS_OK) return store_commit(a->store, err);
    store_rollback(a->store);
    return s;
}

cs_status rollover_nodes(authority *a, store *st, const store_rollover *r, store_node_seen *seen, void *cls,
                         cs_err *err) {
    return store_node_list(st, a->node, r, seen, cls, err);
}

/* ---- begun ---- */

typedef struct beginning {
    store_rollover *r;
    const store_rollover_ca *cas;
    size_t n;
    const authority_who *by;
} beginning;

static cs_status run_begin(authority *a, store *st, void *cls, cs_err *err) {
    beginning *b = cls;
    store_rollover last;
    TRY(store_rollover_last(st, &last, err));
    if (store_rollover_open(&last))
        return cs_fail(err, CS_REFUSED, CS_R_ROLLOVER_OPEN, "roll-over %llu, from %s to %s",
                       (unsigned long long)last.id, last.old_ca, last.next_ca);
    b->r->started = cs_now(a->clock);
    (void)snprintf(b->r->started_by, sizeof b->r->started_by, "%s", b->by->by);
    TRY(store_rollover_add(st, b->r, b->cas, b->n, err));
    return note(a, st, "rollover-started", b->by, b->r, "", err);
}

cs_status rollover_begin(authority *a, store_rollover *r, const store_rollover_ca cas[], size_t n,
                         const authority_who *by, cs_err *err) {
    beginning b = {r, cas, n, by};
    return authority_change(a, run_begin, &b, err);
}

/* ---- a step ---- */

typedef struct stepping {
    const rollover_ask *ask;
    store_rollover r;
    int64_t blocks; /* how many identities and nodes would be locked out */
    char why[200];
} stepping;

static cs_status count_node(void *cls, const store_node_state *n, cs_err *err) {
    stepping *q = cls;
    bool ready = q->ask->to == ROLLOVER_SWITCHED ? n->published : n->switched;
    (void)err;
    if (ready) return CS_OK;
    q->blocks++;
    (void)snprintf(q->why, sizeof q->why, "the node %s has not %s yet (countersign rollover follow, there)", n->host,
                   q->ask->to == ROLLOVER_SWITCHED ? "published the next CA" : "switched");
    return CS_OK;
}

static void count_identities(stepping *q, const store_clinging_counts *c) {
    if (q->ask->to == ROLLOVER_MADE) { /* taken back: what the next CA has issued would be nobody's */
        q->blocks += c->moved;
        if (c->moved > 0)
            (void)snprintf(q->why, sizeof q->why, "%lld identities have certificates of %s alone", (long long)c->moved,
                           q->r.next_ca);
        return;
    }
    q->blocks += c->old + c->both;
    if (c->old > 0)
        (void)snprintf(q->why, sizeof q->why, "%lld identities have not renewed, %lld have but hold old ones too",
                       (long long)c->old, (long long)c->both);
    else if (c->both > 0)
        (void)snprintf(q->why, sizeof q->why,
                       "%lld identities that have renewed hold old certificates too (--supersede revokes these)",
                       (long long)c->both);
}

bool rollover_lists(authority *a, const store_rollover *r) {
    CS_AUTO(authority_blob) crl = NULL;
    cs_err ignored;
    authority_list list;
    return r->kind == ROLLOVER_ROOT || (authority_list_named(a, cs_view_str(r->next_ca), &list) &&
                                        authority_crl(a, &list, &crl, &ignored) == CS_OK);
}

/* Nobody can revoke a certificate whose CA publishes no CRL yet. */
static void count_crl(authority *a, stepping *q) {
    if (rollover_lists(a, &q->r)) return;
    q->blocks++;
    if (q->why[0] == '\0') (void)snprintf(q->why, sizeof q->why, "no CRL of %s is published yet", q->r.next_ca);
}

static cs_status look_for_blocks(authority *a, store *st, stepping *q, cs_err *err) {
    store_clinging_counts counts;
    const rollover_stage to = q->ask->to;
    bool back = to < q->r.stage;
    if (!back && to >= ROLLOVER_SWITCHED) TRY(rollover_nodes(a, st, &q->r, count_node, q, err));
    if (!back && to == ROLLOVER_SWITCHED) count_crl(a, q);
    if (to == ROLLOVER_RETIRED || (back && to == ROLLOVER_MADE && q->r.kind == ROLLOVER_ISSUING)) {
        TRY(store_clinging_count(st, &q->r, cs_now(a->clock), &counts, err));
        count_identities(q, &counts);
    }
    return CS_OK;
}

static cs_status check_stage(const stepping *q, cs_err *err) {
    const store_rollover *r = &q->r;
    int step = (int)q->ask->to - (int)r->stage;
    if (r->id == 0 || r->id != q->ask->id || r->stage == ROLLOVER_GIVEN_UP)
        return cs_fail(err, CS_REFUSED, CS_R_ROLLOVER_NONE, "roll-over %llu", (unsigned long long)q->ask->id);
    if (q->ask->to <= ROLLOVER_RETIRED && (step == 1 || step == -1)) return CS_OK;
    return cs_fail(err, CS_REFUSED, CS_R_ROLLOVER_STAGE, "%s is asked for, it is %s", rollover_stage_name(q->ask->to),
                   rollover_stage_name(r->stage));
}

static cs_status run_step(authority *a, store *st, void *cls, cs_err *err) {
    stepping *q = cls;
    char words[40], more[80] = "";
    q->blocks = 0;
    q->why[0] = '\0';
    TRY(store_rollover_last(st, &q->r, err));
    TRY(check_stage(q, err));
    TRY(look_for_blocks(a, st, q, err));
    (void)snprintf(words, sizeof words, "lock out %lld", (long long)q->blocks);
    if (q->blocks > 0 && (q->ask->force == NULL || strcmp(q->ask->force, words) != 0))
        return cs_fail(err, CS_REFUSED, CS_R_ROLLOVER_BLOCKED, "%s: %s; --force \"%s\" goes on all the same",
                       rollover_stage_name(q->ask->to), q->why, words);
    if (q->blocks > 0) (void)snprintf(more, sizeof more, ", forced: %s", words);
    cs_time now = cs_now(a->clock);
    TRY(store_rollover_stage_set(st, q->r.id, q->ask->to, now, err));
    TRY(store_rollover_last(st, &q->r, err));
    return note(a, st, "rollover-step", q->ask->by, &q->r, more, err);
}

/* ---- what is left of those who have renewed ---- */

enum { LEFTOVERS_AT_ONCE = 500 };
typedef struct leftovers {
    const rollover_ask *ask;
    cs_time now;
    char serial[LEFTOVERS_AT_ONCE][STORE_SERIAL_TEXT];
    size_t n;
} leftovers;

static cs_status keep_serial(void *cls, const char *serial, cs_err *err) {
    leftovers *l = cls;
    (void)err;
    (void)snprintf(l->serial[l->n++], STORE_SERIAL_TEXT, "%s", serial);
    return CS_OK;
}

static cs_status read_leftovers(void *cls, store *st, cs_err *err) {
    leftovers *l = cls;
    store_rollover r;
    l->n = 0;
    TRY(store_rollover_last(st, &r, err));
    if (r.id != l->ask->id || r.stage != ROLLOVER_SWITCHED) return CS_OK;
    return store_leftovers(st, &r, l->now, LEFTOVERS_AT_ONCE, keep_serial, l, err);
}

/* Each ends as superseded, an entry of its own in the log; one that somebody else has just revoked is no failure. */
static cs_status supersede(authority *a, const rollover_ask *ask, cs_err *err) {
    leftovers *l = calloc(1, sizeof *l);
    if (l == NULL) return CS_NOMEM_ERR(err);
    l->ask = ask;
    l->now = cs_now(a->clock);
    cs_status status = CS_OK;
    do {
        status = authority_read(a, read_leftovers, l, err);
        for (size_t i = 0; status == CS_OK && i < l->n; i++) {
            revoke_answer answer = {.at = NULL};
            status = authority_revoke(a, REVOKE_BY_SERIAL, cs_view_str(l->serial[i]), CS_CRL_SUPERSEDED, ask->by,
                                      &answer, err);
            if (status == CS_REFUSED && err->reason == CS_R_ALREADY_REVOKED) status = CS_OK;
            revoke_answer_free(&answer);
        }
    } while (status == CS_OK && l->n == LEFTOVERS_AT_ONCE);
    free(l);
    return status;
}

cs_status rollover_step(authority *a, const rollover_ask *ask, store_rollover *ret, cs_err *err) {
    stepping q = {.ask = ask};
    if (ask->supersede && ask->to == ROLLOVER_RETIRED) TRY(supersede(a, ask, err));
    TRY(authority_change(a, run_step, &q, err));
    *ret = q.r;
    return CS_OK;
}

/* ---- who was told ---- */

typedef struct telling {
    const cs_cert *client;
    uint64_t id;
    cs_kind kind;
    char name[CS_IDENTITY_NAME_MAX + 1];
    bool wanted;
} telling;

static cs_status look_who(void *cls, store *st, cs_err *err) {
    telling *t = cls;
    store_rollover r;
    store_cert row;
    char serial[STORE_SERIAL_TEXT];
    bool known = false;
    TRY(store_rollover_last(st, &r, err));
    if (r.stage != ROLLOVER_PUBLISHED && r.stage != ROLLOVER_SWITCHED) return CS_OK;
    cs_status s = store_cert_by_serial(st, cs_hex(t->client->serial, serial), &row, err);
    if (s == CS_REFUSED || (s == CS_OK && memcmp(row.sha256, t->client->sha256, 32) != 0)) return CS_OK;
    TRY(s);
    t->id = r.id;
    t->kind = row.kind;
    (void)snprintf(t->name, sizeof t->name, "%s", row.name);
    store_settle(st);
    TRY(store_rollover_knows(st, t->id, t->kind, t->name, &known, err));
    t->wanted = !known;
    return CS_OK;
}

static cs_status run_told(authority *a, store *st, void *cls, cs_err *err) {
    const telling *t = cls;
    bool fresh = false;
    return store_rollover_told(st, t->id, t->kind, t->name, cs_now(a->clock), &fresh, err);
}

void rollover_told(authority *a, const cs_cert *client) {
    telling t = {.client = client};
    cs_err err;
    if (client == NULL || client->serial.n > CS_SERIAL_MAX) return;
    cs_status s = authority_read(a, look_who, &t, &err);
    if (s == CS_OK && t.wanted) s = authority_change(a, run_told, &t, &err);
    if (s != CS_OK) log_failure(LOG_WARN, "rollover-not-noted", &err);
}
