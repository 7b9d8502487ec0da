#include "io/sandbox.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/secret.h"
#include "io/sandbox_priv.h"

static void raise_open_files(unsigned long want) {
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0) return;
    r.rlim_cur = want == 0 || want > r.rlim_max ? r.rlim_max : want;
    (void)setrlimit(RLIMIT_NOFILE, &r); /* fewer descriptors only mean fewer connections */
}

cs_status sandbox_enter(const sandbox_plan *plan, cs_err *err) {
    if (plan->holds_key) {
        cs_process_guard();
    } else {
        const struct rlimit none = {0, 0}; /* a core dump would hold identities and requests */
        (void)setrlimit(RLIMIT_CORE, &none);
    }
    raise_open_files(plan->open_files);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return cs_fail_errno(err, errno, CS_R_SANDBOX_FAILED, "no new privileges");
#ifndef CS_SANITIZED
    TRY(sandbox_landlock(plan, err));
    TRY(sandbox_seccomp(plan, err));
#endif
    return CS_OK;
}

cs_status sandbox_prepare(cs_err *err) {
#ifdef CS_SANITIZED
    (void)err;
    return CS_OK;
#else
    return sandbox_no_ring(err);
#endif
}
