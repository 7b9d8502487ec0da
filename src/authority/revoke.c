#include <stdio.h>
#include <unistd.h>

#include "authority/authority_priv.h"
#include "base/fault.h"
#include "base/text.h"
#include "x509/build.h"

/* The serials that `who` stands for. */
typedef struct found {
    revoke_answer *answer;
    cs_time now; /* what has ended before is left alone; INT64_MIN: nothing is */
} found;

static cs_status keep(void *cls, const store_cert *c, cs_err *err) {
    const found *f = cls;
    revoke_answer *answer = f->answer;
    if (c->not_after < f->now) return CS_OK;
    if (answer->n == sizeof answer->at / sizeof *answer->at)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "%s has more than %zu valid certificates; revoke by serial",
                       c->name, answer->n);
    (void)snprintf(answer->at[answer->n].serial, sizeof answer->at[0].serial, "%s", c->serial);
    (void)snprintf(answer->at[answer->n].name, sizeof answer->at[0].name, "%s", c->name);
    answer->at[answer->n++].kind = c->kind;
    return CS_OK;
}

/* A serial as people write it: colons, upper case, leading zeros. False when it is none. */
static bool serial_of(cs_view who, char out[STORE_SERIAL_TEXT]) {
    uint8_t bytes[CS_SERIAL_MAX];
    size_t n = 0;
    if (!cs_hex_decode(who, bytes, sizeof bytes, &n) || n == 0) return false;
    cs_view v = cs_view_of(bytes, n);
    while (v.n > 1 && v.p[0] == 0) v.p++, v.n--;
    (void)cs_hex(v, out);
    return true;
}

static cs_status find(authority *a, job *j, cs_err *err) {
    char serial[STORE_SERIAL_TEXT], name[CS_IDENTITY_NAME_MAX + 1];
    store_cert c;
    found f = {j->answer, INT64_MIN};
    j->answer->n = 0;
    if (serial_of(j->who, serial)) {
        cs_status status = store_cert_by_serial(a->store, serial, &c, err);
        if (status == CS_OK && c.status != STORE_INTENT) return keep(&f, &c, err);
        if (status != CS_OK && err->reason != CS_R_CERTIFICATE_UNKNOWN) return status;
    }
    if (j->who.n == 0 || j->who.n > CS_IDENTITY_NAME_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "a name has 1 to %d characters",
                       CS_IDENTITY_NAME_MAX);
    memcpy(name, j->who.p, j->who.n);
    name[j->who.n] = '\0';
    const store_filter filter = {
        .name = name, .state = j->type == JOB_RELEASE ? STORE_GONE : STORE_ANY, .limit = UINT16_MAX};
    f.now = cs_now(a->clock);
    TRY(store_cert_list(a->store, &filter, f.now, keep, &f, err));
    if (j->answer->n == 0)
        return cs_fail(err, CS_REFUSED, CS_R_CERTIFICATE_UNKNOWN, "%s has none that has not ended", name);
    return CS_OK;
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
    cs_status status = find(a, j, err);
    if (status == CS_OK) status = change_all(a, j, err);
    if (status != CS_OK) {
        store_rollback(a->store);
        return status;
    }
    TRY(store_commit(a->store, err));
    CS_FAULT("authority.revoke.after-commit", err);
    return CS_OK;
}

void revoke_job(authority *a, job *j) {
    j->err = authority_no_error();
    cs_err err;
    if (run(a, j, &err) != CS_OK) {
        j->err = err;
        return;
    }
    const uint64_t one = 1;
    (void)!write(a->feed_event, &one, sizeof one);
    a->crl_due = true;
}

static cs_status submit(authority *a, job_type type, cs_view who, int reason, const char *asked_by, revoke_answer *ret,
                        cs_err *err) {
    job j = {.type = type, .who = who, .reason = reason, .asked_by = asked_by, .answer = ret};
    return authority_submit(a, &j, err);
}

cs_status authority_revoke(authority *a, cs_view who, int reason, const char *asked_by, revoke_answer *ret,
                           cs_err *err) {
    return submit(a, JOB_REVOKE, who, reason, asked_by, ret, err);
}

cs_status authority_release(authority *a, cs_view who, const char *asked_by, revoke_answer *ret, cs_err *err) {
    return submit(a, JOB_RELEASE, who, 0, asked_by, ret, err);
}
