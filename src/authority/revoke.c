#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "authority/authority_priv.h"
#include "base/fault.h"
#include "base/text.h"
#include "x509/build.h"

void revoke_answer_free(revoke_answer *answer) {
    free(answer->at);
    *answer = (revoke_answer){0};
}

static cs_status keep(void *cls, const store_cert *c, cs_err *err) {
    revoke_answer *answer = cls;
    if (answer->n == REVOKE_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s has more than %d certificates", c->name, REVOKE_MAX);
    if (answer->n == answer->room) {
        size_t room = answer->room > 0 ? answer->room * 2 : 4;
        revoke_row *at = realloc(answer->at, room * sizeof *at);
        if (at == NULL) return CS_NOMEM_ERR(err);
        answer->at = at;
        answer->room = room;
    }
    revoke_row *row = &answer->at[answer->n++];
    (void)snprintf(row->serial, sizeof row->serial, "%s", c->serial);
    (void)snprintf(row->name, sizeof row->name, "%s", c->name);
    row->kind = c->kind;
    memcpy(row->issuer, c->issuer, sizeof row->issuer);
    return CS_OK;
}

/* A serial as people write it: colons, upper case, leading zeros or without them. False when it is none. */
static bool serial_of(cs_view who, char out[STORE_SERIAL_TEXT]) {
    uint8_t bytes[CS_SERIAL_MAX];
    size_t n = 0;
    CS_SCOPED(cs_buf) even = cs_buf_of(4 * STORE_SERIAL_TEXT);
    if (who.n % 2 == 1 && memchr(who.p, ':', who.n) == NULL) (void)cs_buf_add_byte(&even, '0');
    (void)cs_buf_add_view(&even, who);
    if (even.failed || !cs_hex_decode(cs_buf_view(&even), bytes, sizeof bytes, &n) || n == 0) return false;
    cs_view v = cs_view_of(bytes, n);
    while (v.n > 1 && v.p[0] == 0) v.p++, v.n--;
    (void)cs_hex(v, out);
    return true;
}

static cs_status find_serial(authority *a, const job *j, cs_err *err) {
    char serial[STORE_SERIAL_TEXT];
    store_cert c;
    if (!serial_of(j->who, serial))
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "that is no serial number");
    TRY(store_cert_by_serial(a->store, serial, &c, err));
    if (c.status == STORE_INTENT) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "%s", serial);
    return keep(j->answer, &c, err);
}

typedef struct newest {
    store_status status;
    bool found;
} newest;

static cs_status look(void *cls, const store_cert *c, cs_err *err) {
    (void)err;
    *(newest *)cls = (newest){c->status, true};
    return CS_OK;
}

/* Nothing of that name can be changed: why? */
static cs_status explain(authority *a, const job *j, const char *name, cs_err *err) {
    newest last = {0};
    TRY(store_cert_list(a->store, &(store_filter){.name = name, .limit = 1}, cs_now(a->clock), look, &last, err));
    if (!last.found) return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "%s", name);
    if (j->type == JOB_RELEASE)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "no certificate of %s is on hold", name);
    if (last.status == STORE_ISSUED)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "the certificates of %s have expired", name);
    return cs_fail(err, CS_REFUSED, CS_R_ALREADY_REVOKED, "%s", name);
}

static cs_status find_name(authority *a, const job *j, cs_err *err) {
    char name[CS_IDENTITY_NAME_MAX + 1];
    if (j->who.n == 0 || j->who.n > CS_IDENTITY_NAME_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "a name has 1 to %d characters",
                       CS_IDENTITY_NAME_MAX);
    memcpy(name, j->who.p, j->who.n);
    name[j->who.n] = '\0';
    store_filter filter = {.name = name, .state = STORE_HELD, .limit = REVOKE_MAX + 1};
    if (j->type == JOB_RELEASE || j->reason != CS_CRL_HOLD)
        TRY(store_cert_list(a->store, &filter, cs_now(a->clock), keep, j->answer, err));
    filter.state = STORE_VALID;
    if (j->type == JOB_REVOKE) TRY(store_cert_list(a->store, &filter, cs_now(a->clock), keep, j->answer, err));
    return j->answer->n > 0 ? CS_OK : explain(a, j, name, err);
}

/* Of several, those that can be are changed; it is refused only when none could be. */
static cs_status change_all(authority *a, job *j, cs_err *err) {
    revoke_answer *answer = j->answer;
    size_t done = 0;
    cs_err first = authority_no_error();
    for (size_t i = 0; i < answer->n; i++) {
        store_cert about = {.kind = answer->at[i].kind};
        (void)snprintf(about.serial, sizeof about.serial, "%s", answer->at[i].serial);
        (void)snprintf(about.name, sizeof about.name, "%s", answer->at[i].name);
        cs_status status =
            j->type == JOB_REVOKE
                ? store_revoke(a->store, about.serial, j->reason, cs_now(a->clock), &answer->sequence, err)
                : store_release(a->store, about.serial, cs_now(a->clock), &answer->sequence, err);
        if (status == CS_OK)
            status = audit(a, a->store, j->type == JOB_REVOKE ? "revoked" : "released", j->asked_by, &about,
                           j->type == JOB_REVOKE ? cs_crl_reason_name(j->reason) : NULL, err);
        if (status == CS_OK)
            answer->at[done++] = answer->at[i];
        else if (status == CS_REFUSED && first.status == CS_OK)
            first = *err;
        else if (status != CS_REFUSED)
            return status;
    }
    answer->n = done;
    if (done > 0) return CS_OK;
    *err = first;
    return first.status;
}

static cs_status run(authority *a, job *j, cs_err *err) {
    TRY(store_begin(a->store, err));
    j->answer->n = 0;
    cs_status status = j->by == REVOKE_BY_SERIAL ? find_serial(a, j, err) : find_name(a, j, err);
    if (status == CS_OK) status = change_all(a, j, err);
    if (status != CS_OK) {
        store_rollback(a->store);
        return status;
    }
    TRY(store_commit(a->store, err));
    CS_FAULT("authority.revoke.after-commit", err);
    return CS_OK;
}

void revoke_tell(authority *a) {
    const uint64_t one = 1;
    (void)atomic_fetch_add(&a->changes, 1);
    (void)!write(a->feed_event, &one, sizeof one);
    crl_poke(a);
}

void revoke_job(authority *a, job *j) {
    cs_err err;
    if (run(a, j, &err) == CS_OK)
        revoke_tell(a);
    else
        j->err = err;
}

cs_status authority_revoke(authority *a, revoke_by by, cs_view who, int reason, const authority_who *asked_by,
                           revoke_answer *ret, cs_err *err) {
    job j = {.type = JOB_REVOKE, .by = by, .who = who, .reason = reason, .asked_by = asked_by, .answer = ret};
    return authority_submit(a, &j, err);
}

cs_status authority_release(authority *a, revoke_by by, cs_view who, const authority_who *asked_by, revoke_answer *ret,
                            cs_err *err) {
    job j = {.type = JOB_RELEASE, .by = by, .who = who, .asked_by = asked_by, .answer = ret};
    return authority_submit(a, &j, err);
}
