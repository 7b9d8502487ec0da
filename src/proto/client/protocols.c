/* Which protocols there are; apart from what they share, so that who speaks one of them links no other. */
#include <string.h>

#include "proto/client/client.h"

const client_protocol *const client_protocols[] = {
    &client_est, &client_scep, &client_cmp, &client_acme, NULL,
};

/* Whole segments of the path, so that "/scep" is not "/scepter". */
static bool url_fits(const client_protocol *p, const char *url) {
    const char *path = strstr(url, "://");
    path = path != NULL ? strchr(path + 3, '/') : NULL;
    for (size_t i = 0; path != NULL && p->paths[i] != NULL; i++)
        for (const char *at = strstr(path, p->paths[i]); at != NULL; at = strstr(at + 1, p->paths[i]))
            if (strchr("/?", at[strlen(p->paths[i])]) != NULL) return true; /* or the end */
    return false;
}

cs_status client_protocol_find(const char *name, const char *url, const client_protocol **ret, cs_err *err) {
    CS_SCOPED(cs_buf) names = cs_buf_of(256);
    for (size_t i = 0; client_protocols[i] != NULL; i++) {
        const client_protocol *p = client_protocols[i];
        (void)cs_buf_addf(&names, "%s%s", i > 0 ? ", " : "", p->name);
        if (name != NULL ? strcmp(name, p->name) != 0 : !url_fits(p, url)) continue;
        *ret = p;
        return CS_OK;
    }
    const char *all = cs_buf_cstr(&names);
    return cs_fail(err, CS_REFUSED, CS_R_USAGE,
                   name != NULL ? "--protocol \"%.64s\", expected one of %s"
                                : "%.200s says no protocol; say --protocol, one of %s",
                   name != NULL ? name : url, all != NULL ? all : "");
}
