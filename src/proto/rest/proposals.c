/* The two-person rule: a guarded request waits until a second administrator approves it, and is then carried out as the
 * first one's. */
#include <stdio.h>
#include <string.h>

#include "authority/proposals.h"
#include "conf/conf.h"
#include "proto/rest/rest_priv.h"

static void put_waiting(rest_call *c, uint64_t id) {
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "state", "waiting");
    cs_json_int(&j, "proposal", (int64_t)id);
    cs_json_object_end(&j);
    c->status = MHD_HTTP_ACCEPTED;
}

bool rest_guarded(const rest_call *c, const rest_route *r) {
    return !c->approved && r->guard != 0 && proposal_needed(c->a, r->guard);
}

cs_status rest_propose(rest_call *c, cs_err *err) {
    __attribute__((cleanup(json_decref_at))) json_t *body = NULL;
    uint64_t id = 0;
    TRY(rest_body(c, &body, err)); /* of its form, at least */
    TRY(proposal_add(c->a, c->method, c->path, cs_buf_view(&c->body), &c->who, &id, err));
    put_waiting(c, id);
    return CS_OK;
}

cs_status rest_permit(rest_call *c, cs_err *err) {
    __attribute__((cleanup(json_decref_at))) json_t *body = NULL;
    const char *what = NULL;
    bool permitted = false;
    uint64_t id = 0;
    TRY(rest_body(c, &body, err));
    TRY(rest_text(body, "what", true, &what, err));
    if (what[0] == '\0' || strlen(what) >= STORE_PROPOSAL_WHAT)
        return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "what: 1 to %d characters", STORE_PROPOSAL_WHAT - 1);
    if (proposal_needed(c->a, CONF_TWO_CAS))
        TRY(proposal_permit(c->a, what, &c->who, &permitted, &id, err));
    else
        permitted = true;
    if (!permitted) {
        put_waiting(c, id);
        return CS_OK;
    }
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_str(&j, "state", "permitted");
    cs_json_object_end(&j);
    return CS_OK;
}

static cs_status put_one(void *cls, const store_proposal *p, cs_err *err) {
    static const char *const states[] = {"waiting", "approved", "denied", "used"};
    cs_json *j = cls;
    (void)err;
    cs_json_object(j, NULL);
    cs_json_int(j, "id", (int64_t)p->id);
    cs_json_str(j, "state", states[p->state & 3]);
    cs_json_str(j, "method", p->method);
    cs_json_str(j, "what", p->what);
    cs_json_view(j, "body", p->body);
    cs_json_str(j, "proposed_by", p->proposed_by);
    cs_json_time(j, "proposed_at", p->proposed_at);
    cs_json_time(j, "ends", p->ends);
    if (p->state != PROPOSAL_WAITING) cs_json_str(j, "decided_by", p->decided_by);
    if (p->state != PROPOSAL_WAITING) cs_json_time(j, "decided_at", p->decided_at);
    cs_json_object_end(j);
    return CS_OK;
}

static cs_status run_list(void *cls, store *st, cs_err *err) {
    return store_proposal_list(st, put_one, cls, err);
}

cs_status rest_proposal_list(rest_call *c, cs_err *err) {
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_array(&j, "proposals");
    TRY(authority_read(c->a, run_list, &j, err));
    cs_json_array_end(&j);
    cs_json_object_end(&j);
    return CS_OK;
}

/* The first one's request, as the first one's: the approval is a record of its own. */
static cs_status carry_out(rest_call *c, const store_proposal *p, cs_err *err) {
    const rest_route *r = rest_api_routes;
    while (r->path != NULL && (strcmp(r->path, p->what) != 0 || strcmp(r->method, p->method) != 0)) r++;
    if (r->path == NULL) return cs_fail(err, CS_REFUSED, CS_R_ROUTE_UNKNOWN, "%s %s", p->method, p->what);
    cs_buf_clear(&c->body);
    (void)cs_buf_add_view(&c->body, p->body);
    c->who = (authority_who){.via = "proposal"};
    (void)snprintf(c->who.by, sizeof c->who.by, "%s", p->proposed_by);
    c->approved = true;
    return r->handler(c, err);
}

static cs_status decide(rest_call *c, bool approve, cs_err *err) {
    __attribute__((cleanup(json_decref_at))) json_t *body = NULL;
    CS_SCOPED(cs_buf) kept = cs_buf_of(CS_API_BODY_MAX);
    store_proposal p;
    TRY(rest_body(c, &body, err));
    json_int_t id = json_integer_value(json_object_get(body, "id"));
    if (id <= 0) return cs_fail(err, CS_REFUSED, CS_R_MESSAGE_MALFORMED, "id: a proposal's number is expected");
    TRY(proposal_decide(c->a, (uint64_t)id, approve, &c->who, &p, &kept, err));
    if (approve && p.method[0] != '\0') return carry_out(c, &p, err);
    cs_json j = cs_json_to(&c->out);
    cs_json_object(&j, NULL);
    cs_json_int(&j, "id", (int64_t)p.id);
    cs_json_str(&j, "state", approve ? "approved" : "denied");
    cs_json_object_end(&j);
    return CS_OK;
}

cs_status rest_proposal_approve(rest_call *c, cs_err *err) {
    return decide(c, true, err);
}
cs_status rest_proposal_deny(rest_call *c, cs_err *err) {
    return decide(c, false, err);
}
