#include "cli/session.h"

#include <stdlib.h>
#include <unistd.h>

#include "cli/ceremony.h"
#include "cli/procs.h"

enum { LOCK_STEP_MS = 200, LOCK_WAIT_MS = 30000, READY_MS = 20000, STOP_MS = 10000, TRIES = 3 };

struct session {
    char control[FILES_PATH_MAX];
    bool mine; /* own.* runs for this command alone */
    procs own;
};

static cs_status start_own(session *s, cs_err *err) {
    TRY(procs_listen(&s->own, false, err));
    TRY(procs_start(&s->own, PROC_SIGNER, err));
    TRY(procs_start(&s->own, PROC_AUTHORITY, err));
    TRY(spawn_await(&s->own.child[PROC_SIGNER], "the signer", READY_MS, err));
    TRY(spawn_await(&s->own.child[PROC_AUTHORITY], "the authority", READY_MS, err));
    (void)snprintf(s->control, sizeof s->control, "%s", s->own.path[SOCKET_CONTROL]);
    return CS_OK;
}

/* Either somebody serves the state folder, or we hold its lock; another command's private authority is waited for. */
static cs_status find_or_lock(session *s, const conf *c, const conf_overrides *said, cs_err *err) {
    TRY(files_join(c->state, "run/control.sock", s->control, err));
    for (int waited = 0;; waited += LOCK_STEP_MS) {
        if (spawn_answers(s->control)) return CS_OK;
        cs_status got = procs_init(&s->own, c, said, LOCK_STEP_MS, err);
        if (got == CS_OK) {
            s->mine = true;
            return CS_OK;
        }
        if (err->reason != CS_R_STATE_BUSY || waited >= LOCK_WAIT_MS) return got;
    }
}

cs_status session_open(const conf *c, const conf_overrides *said, session **ret, cs_err *err) {
    TRY(ceremony_check(c->state, err));
    __attribute__((cleanup(session_auto_))) session *s = calloc(1, sizeof *s);
    if (s == NULL) return CS_NOMEM_ERR(err);
    TRY(find_or_lock(s, c, said, err));
    if (s->mine) TRY(start_own(s, err));
    *ret = CS_TAKE(s);
    return CS_OK;
}

void session_free(session *s) {
    if (s == NULL) return;
    if (s->mine) procs_free(&s->own, STOP_MS);
    free(s);
}

cs_status session_call(session *s, const char *method, const char *path, const json_t *body, bool again, json_t **ret,
                       cs_err *err) {
    cs_status got = CS_OK;
    for (int i = 0; i < TRIES; i++) {
        got = session_call_at(s->control, method, path, body, ret, err);
        /* it died under us: the supervisor starts it again, and the listener keeps our place */
        if (got == CS_OK || err->reason != CS_R_AUTHORITY_UNREACHABLE || !again || s->mine) break;
        (void)usleep(300 * 1000);
    }
    return got;
}
