#include "base/fault.h"

#ifdef CS_FAULTS
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/view.h"

cs_status cs_fault_at(const char *name, cs_err *err) {
    static atomic_uint passages;
    const char *spec = getenv("COUNTERSIGN_FAULT");
    size_t name_len = strlen(name);
    while (spec != NULL && *spec != '\0') {
        const char *end = strchrnul(spec, ',');
        const char *colon = memchr(spec, ':', (size_t)(end - spec));
        if (colon != NULL && (size_t)(colon - spec) == name_len && memcmp(spec, name, name_len) == 0) {
            const char *nth = memchr(colon + 1, ':', (size_t)(end - colon - 1));
            unsigned want = nth != NULL ? (unsigned)strtoul(nth + 1, NULL, 10) : 1;
            if (atomic_fetch_add(&passages, 1) + 1 < want) return CS_OK;
            if (strncmp(colon + 1, "kill", 4) == 0) (void)raise(SIGKILL);
            return cs_fail(err, CS_FAILED, CS_R_INTERNAL_ERROR, "fault point %s", name);
        }
        spec = *end == ',' ? end + 1 : end;
    }
    return CS_OK;
}
#else
typedef int cs_fault_absent; /* ISO C wants a declaration */
#endif
