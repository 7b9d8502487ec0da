#include <string.h>

#include "base/err.h"

static const cs_reason_info reasons[CS_R_COUNT_] = {
    [CS_R_NONE] = {"none", 0, 200, "nothing is wrong", "", ""},
#define X(id, name, alert, http, says, advice, source) [CS_R_##id] = {name, alert, http, says, advice, source},
#include "base/reasons.def"
#undef X
};

const cs_reason_info *cs_reason_of(cs_reason reason) {
    if ((unsigned)reason >= CS_R_COUNT_) reason = CS_R_INTERNAL_ERROR;
    return &reasons[reason];
}

cs_reason cs_reason_by_name(const char *name) {
    for (unsigned i = 1; i < CS_R_COUNT_; i++)
        if (strcmp(reasons[i].name, name) == 0) return (cs_reason)i;
    return CS_R_NONE;
}
