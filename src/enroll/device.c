/* The list of devices that may enroll by what their makers gave them: a serial number in a certificate, or a key. */
#include <stdio.h>

#include "enroll/enroll_priv.h"

/* A vendor that the configuration does not have is no mistake: its turn may come. */
static cs_status check_row(const enroll *e, store_device *d, cs_err *err) {
    cs_identity who;
    char profile[STORE_WORD_MAX + 1];
    TRY(cs_identity_make(CS_KIND_DEVICE, cs_view_str(d->name), &who, err));
    (void)snprintf(d->name, sizeof d->name, "%s", who.name);
    for (const char *c = d->serial; *c != '\0'; c++)
        if (*c < ' ' || *c >= 0x7f)
            return cs_fail(err, CS_REFUSED, CS_R_DEVICE_INVALID, "serial: printable ASCII is expected");
    if (d->vendor[0] != '\0' && d->serial[0] == '\0' && d->has_key)
        return cs_fail(err, CS_REFUSED, CS_R_DEVICE_INVALID,
                       "a key is no vendor's: leave vendor out, or add the serial");
    if (d->not_after != 0 && d->not_after <= cs_now(e->clock))
        return cs_fail(err, CS_REFUSED, CS_R_DEVICE_INVALID, "not_after has passed");
    if (d->profile[0] == '\0') return CS_OK;
    return submit_profile(e, CS_KIND_DEVICE, d->profile, profile, err);
}

typedef struct allowing {
    enroll_device *at;
    size_t n, done;
    const authority_who *by;
    cs_time now;
} allowing;

/* A refusal of one row has written nothing of it, and is told in the row: what else the writer's transaction holds
 * stays. */
static cs_status run_allow(authority *a, store *st, void *cls, cs_err *err) {
    allowing *w = cls;
    const store_device *last = NULL;
    store_cert about = {.kind = CS_KIND_DEVICE};
    char detail[48];
    w->done = 0;
    for (size_t i = 0; i < w->n; i++) {
        enroll_device *d = &w->at[i];
        cs_err why;
        if (d->err.status != CS_OK) continue;
        d->row.created = w->now;
        (void)snprintf(d->row.by, sizeof d->row.by, "%s", w->by->by);
        cs_status status = store_device_put(st, &d->row, &d->made, &why);
        if (status != CS_OK && status != CS_REFUSED) {
            *err = why;
            return status;
        }
        if (status == CS_OK) last = &d->row, w->done++;
        if (status != CS_OK) d->err = why;
    }
    if (last == NULL) return CS_OK;
    if (w->done == 1) (void)snprintf(about.name, sizeof about.name, "%s", last->name);
    (void)snprintf(detail, sizeof detail, "%zu devices", w->done);
    return authority_audit(a, st, "device-allowed", w->by, w->done == 1 ? &about : NULL, w->done == 1 ? NULL : detail,
                           err);
}

cs_status enroll_devices_allow(enroll *e, enroll_device at[], size_t n, const authority_who *by, cs_err *err) {
    allowing w = {.at = at, .n = n, .by = by, .now = cs_now(e->clock)};
    if (n > ENROLL_DEVICES_MAX)
        return cs_fail(err, CS_LIMIT, CS_R_LIMIT_REACHED, "at most %d devices at once", ENROLL_DEVICES_MAX);
    for (size_t i = 0; i < n; i++) {
        cs_err why = {.status = CS_OK};
        if (at[i].err.status == CS_OK && check_row(e, &at[i].row, &why) != CS_OK) at[i].err = why;
    }
    return authority_change(e->a, run_allow, &w, err);
}

typedef struct removing {
    const char *name;
    const authority_who *by;
} removing;

static cs_status run_remove(authority *a, store *st, void *cls, cs_err *err) {
    const removing *r = cls;
    store_cert about = {.kind = CS_KIND_DEVICE};
    TRY(store_device_remove(st, r->name, err));
    (void)snprintf(about.name, sizeof about.name, "%s", r->name);
    return authority_audit(a, st, "device-removed", r->by, &about, NULL, err);
}

cs_status enroll_device_remove(enroll *e, const char *name, const authority_who *by, cs_err *err) {
    removing r = {name, by};
    return authority_change(e->a, run_remove, &r, err);
}
