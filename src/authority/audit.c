/* What the audit log says of an event: who, by which certificate, from where, and of what. */
#include "authority/authority_priv.h"
#include "base/json.h"

enum { RECORD_MAX = 8192 };

static void add_text(cs_json *j, const char *key, const char *value) {
    if (value[0] != '\0') cs_json_str(j, key, value);
}

cs_status audit(authority *a, store *st, const char *event, const authority_who *by, const store_cert *about,
                const char *more, cs_err *err) {
    static const uint8_t none[32] = {0};
    CS_SCOPED(cs_buf) b = cs_buf_of(RECORD_MAX);
    cs_json j = cs_json_to(&b);
    cs_time now = cs_now(a->clock);
    cs_json_object(&j, NULL);
    cs_json_time(&j, "at", now);
    cs_json_str(&j, "event", event);
    cs_json_str(&j, "by", by->by);
    add_text(&j, "by_certificate", by->serial);
    add_text(&j, "from", by->from);
    add_text(&j, "via", by->via);
    if (about != NULL) {
        add_text(&j, "serial", about->serial);
        cs_json_str(&j, "kind", cs_kind_name(about->kind));
        cs_json_str(&j, "name", about->name);
    }
    if (about != NULL && !cs_view_eq(cs_view_of(about->sha256, 32), cs_view_of(none, 32)))
        cs_json_hex(&j, "sha256", cs_view_of(about->sha256, 32));
    if (more != NULL) cs_json_str(&j, "detail", more);
    cs_json_object_end(&j);
    TRY(cs_buf_ok(&b, "an audit record", err));
    const store_record r = {.at = now,
                            .event = event,
                            .by = by->by,
                            .serial = about != NULL && about->serial[0] != '\0' ? about->serial : NULL,
                            .name = about != NULL ? about->name : NULL,
                            .record = cs_buf_view(&b)};
    return store_log_add(st, &r, err);
}

cs_status authority_audit(authority *a, store *st, const char *event, const authority_who *by, const store_cert *about,
                          const char *detail, cs_err *err) {
    return audit(a, st, event, by, about, detail, err);
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
