/* What the audit log says of an event: who, by which certificate, from where, and of what. */
#include "authority/authority_priv.h"
#include "base/json.h"

enum { RECORD_MAX = 8192 };

static void add_text(cs_json *j, const char *key, const char *value) {
    if (value[0] != '\0') cs_json_str(j, key, value);
}

cs_status audit(authority *a, store *st, const char *event, const authority_who *by, const store_cert *about,
                const char *more, cs_err *err) {
    CS_SCOPED(cs_buf) b = cs_buf_of(RECORD_MAX);
    cs_json j = cs_json_to(&b);
    cs_json_object(&j, NULL);
    cs_json_time(&j, "at", cs_now(a->clock));
    cs_json_str(&j, "event", event);
    cs_json_str(&j, "by", by->by);
    add_text(&j, "by_certificate", by->serial);
    add_text(&j, "from", by->from);
    add_text(&j, "via", by->via);
    if (about != NULL) {
        cs_json_str(&j, "serial", about->serial);
        cs_json_str(&j, "kind", cs_kind_name(about->kind));
        cs_json_str(&j, "name", about->name);
    }
    if (more != NULL) cs_json_str(&j, "detail", more);
    cs_json_object_end(&j);
    TRY(cs_buf_ok(&b, "an audit record", err));
    return store_audit_add(st, cs_now(a->clock), cs_buf_view(&b), err);
}

/* ---- changes that need no signer ---- */

static cs_status run_changes(authority *a, job *jobs[], size_t n, cs_err *err) {
    TRY(store_begin(a->store, err));
    for (size_t i = 0; i < n; i++) {
        cs_status status = jobs[i]->change(a, a->store, jobs[i]->change_cls, &jobs[i]->err);
        if (status == CS_OK) jobs[i]->err = authority_no_error();
        if (status == CS_OK || status == CS_REFUSED) continue;
        *err = jobs[i]->err;
        store_rollback(a->store);
        return status;
    }
    return store_commit(a->store, err);
}

void change_batch(authority *a, job *jobs[], size_t n) {
    cs_err err;
    if (run_changes(a, jobs, n, &err) == CS_OK) return;
    for (size_t i = 0; i < n; i++)
        if (jobs[i]->err.status != CS_REFUSED) jobs[i]->err = err;
}

cs_status authority_change(authority *a, authority_changing *change, void *cls, cs_err *err) {
    job j = {.type = JOB_CHANGE, .change = change, .change_cls = cls};
    return authority_submit(a, &j, err);
}

typedef struct note {
    const char *event, *detail;
    const authority_who *by;
    const store_cert *about;
} note;

static cs_status write_note(authority *a, store *st, void *cls, cs_err *err) {
    const note *n = cls;
    return audit(a, st, n->event, n->by, n->about, n->detail, err);
}

cs_status authority_note(authority *a, const char *event, const authority_who *by, const store_cert *about,
                         const char *detail, cs_err *err) {
    note n = {event, detail, by, about};
    return authority_change(a, write_note, &n, err);
}
