/* Who may enroll, and for how long after its end a certificate may be renewed: by kind. */
#include "conf/conf_priv.h"

#define RETRY (60 * CS_SEC)

static void fill_policy(conf_enroll *to, const file_enroll *from) {
    const char *approval = from->approval != NULL ? from->approval : "never";
    *to = (conf_enroll){.retry = RETRY, .supersede = from->supersede != NULL && *from->supersede};
    if (strcmp(approval, "unknown") == 0) to->approval = CONF_APPROVAL_UNKNOWN;
    if (strcmp(approval, "always") == 0) to->approval = CONF_APPROVAL_ALWAYS;
    if (from->grace != NULL) (void)cs_duration_parse(cs_view_str(from->grace), &to->grace); /* judged already */
    if (from->retry != NULL) (void)cs_duration_parse(cs_view_str(from->retry), &to->retry);
}

void conf_enroll_fill(conf *c, const file_conf *f) {
    fill_policy(&c->enroll[CS_KIND_SERVER], &f->enroll.server);
    fill_policy(&c->enroll[CS_KIND_USER], &f->enroll.user);
    fill_policy(&c->enroll[CS_KIND_DEVICE], &f->enroll.device);
}
