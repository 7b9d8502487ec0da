#include "authority/proposals.h"

#include <stdio.h>

#include "authority/authority_priv.h"

bool proposal_needed(const authority *a, unsigned what) {
    return (a->conf->two_person & what) != 0;
}

typedef struct proposing {
    store_proposal p;
    const authority_who *by;
    bool approve;
    cs_buf *body;
} proposing;

static cs_status note(authority *a, store *st, const char *event, const proposing *q, cs_err *err) {
    char more[300];
    (void)snprintf(more, sizeof more, "%llu: %s%s%s", (unsigned long long)q->p.id, q->p.method,
                   q->p.method[0] != '\0' ? " " : "", q->p.what);
    return audit(a, st, event, q->by, NULL, more, err);
}

static cs_status add(authority *a, store *st, void *cls, cs_err *err) {
    proposing *q = cls;
    q->p.proposed_at = cs_now(a->clock);
    q->p.ends = q->p.proposed_at + PROPOSAL_LIFE;
    (void)snprintf(q->p.proposed_by, sizeof q->p.proposed_by, "%s", q->by->by);
    TRY(store_proposal_add(st, &q->p, err));
    return note(a, st, "proposed", q, err);
}

static void fill(proposing *q, const char *method, const char *what, cs_view body, const authority_who *by) {
    *q = (proposing){.by = by, .p = {.body = body}};
    (void)snprintf(q->p.method, sizeof q->p.method, "%s", method);
    (void)snprintf(q->p.what, sizeof q->p.what, "%s", what);
}

cs_status proposal_add(authority *a, const char *method, const char *what, cs_view body, const authority_who *by,
                       uint64_t *ret_id, cs_err *err) {
    proposing q;
    fill(&q, method, what, body, by);
    TRY(authority_change(a, add, &q, err));
    *ret_id = q.p.id;
    return CS_OK;
}

/* The newest permit of that name that counts. */
typedef struct finding {
    const char *what;
    cs_time now;
    store_proposal found;
} finding;

static cs_status look(void *cls, const store_proposal *p, cs_err *err) {
    finding *f = cls;
    (void)err;
    bool counts = p->state == PROPOSAL_WAITING || p->state == PROPOSAL_APPROVED;
    if (f->found.id == 0 && counts && p->method[0] == '\0' && p->ends > f->now && strcmp(p->what, f->what) == 0)
        f->found = *p;
    return CS_OK;
}

static cs_status permit(authority *a, store *st, void *cls, cs_err *err) {
    proposing *q = cls;
    finding f = {.what = q->p.what, .now = cs_now(a->clock)};
    TRY(store_proposal_list(st, look, &f, err));
    if (f.found.id == 0) return add(a, st, q, err);
    q->p.id = f.found.id;
    q->p.state = f.found.state;
    if (f.found.state != PROPOSAL_APPROVED) return CS_OK;
    TRY(store_proposal_set(st, f.found.id, PROPOSAL_USED, f.found.decided_by, f.found.decided_at, err));
    return note(a, st, "permit-used", q, err);
}

cs_status proposal_permit(authority *a, const char *what, const authority_who *by, bool *ret_permitted,
                          uint64_t *ret_id, cs_err *err) {
    proposing q;
    fill(&q, "", what, CS_VIEW_LIT(""), by);
    TRY(authority_change(a, permit, &q, err));
    *ret_permitted = q.p.state == PROPOSAL_APPROVED;
    *ret_id = q.p.id;
    return CS_OK;
}

cs_status proposal_permit_within(authority *a, store *st, const char *what, const authority_who *by,
                                 bool *ret_permitted, uint64_t *ret_id, cs_err *err) {
    proposing q;
    fill(&q, "", what, CS_VIEW_LIT(""), by);
    TRY(permit(a, st, &q, err));
    *ret_permitted = q.p.state == PROPOSAL_APPROVED;
    *ret_id = q.p.id;
    return CS_OK;
}

static cs_status decide(authority *a, store *st, void *cls, cs_err *err) {
    proposing *q = cls;
    cs_time now = cs_now(a->clock);
    TRY(store_proposal_get(st, q->p.id, &q->p, err));
    if (q->p.state != PROPOSAL_WAITING || q->p.ends < now)
        return cs_fail(err, CS_REFUSED, CS_R_PROPOSAL_DECIDED, "proposal %llu %s", (unsigned long long)q->p.id,
                       q->p.state != PROPOSAL_WAITING ? "was decided already" : "has ended");
    /* Whoever proposed it may withdraw it. A user of the machine is not a person that others know. */
    if (q->approve && (q->by->serial[0] == '\0' || strcmp(q->by->by, q->p.proposed_by) == 0))
        return cs_fail(err, CS_REFUSED, CS_R_APPROVAL_BY_ANOTHER, "%s may not approve what %s proposed", q->by->by,
                       q->p.proposed_by);
    (void)cs_buf_add_view(q->body, q->p.body);
    TRY(cs_buf_ok(q->body, "the proposal", err));
    q->p.state = q->approve ? PROPOSAL_APPROVED : PROPOSAL_DENIED;
    TRY(store_proposal_set(st, q->p.id, q->p.state, q->by->by, now, err));
    return note(a, st, q->approve ? "proposal-approved" : "proposal-denied", q, err);
}

cs_status proposal_decide(authority *a, uint64_t id, bool approve, const authority_who *by, store_proposal *ret,
                          cs_buf *body, cs_err *err) {
    proposing q = {.p = {.id = id}, .by = by, .approve = approve, .body = body};
    TRY(authority_change(a, decide, &q, err));
    *ret = q.p;
    ret->body = cs_buf_view(body);
    return CS_OK;
}
