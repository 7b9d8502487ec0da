/* Who may enroll: policies by kind, and manufacturers whose certificates are believed. */
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

static const char *path_of(conf *c, const char *folder, const char *path) {
    return path[0] == '/' || folder == NULL ? conf_textf(c, "%s", path) : conf_textf(c, "%s/%s", folder, path);
}

static cs_status fill_vendor(conf *c, conf_vendor *to, const file_vendor *from, const char *folder, cs_err *err) {
    *to = (conf_vendor){.name = from->name, .kind = CS_KIND_DEVICE, .serial = from->serial, .identity = from->identity};
    if (from->kind != NULL) (void)cs_kind_parse(cs_view_str(from->kind), &to->kind);
    to->again = from->again != NULL && *from->again;
    to->ca = path_of(c, folder, from->ca);
    if (from->list != NULL) to->list = path_of(c, folder, from->list);
    if (to->ca == NULL || (from->list != NULL && to->list == NULL)) return CS_NOMEM_ERR(err);
    if (to->serial == NULL && to->list == NULL)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                       "%s: vendor %s: serial or list must say which devices may enroll", c->file, to->name);
    return CS_OK;
}

cs_status conf_enroll_fill(conf *c, const file_conf *f, const char *folder, cs_err *err) {
    fill_policy(&c->enroll[CS_KIND_SERVER], &f->enroll.server);
    fill_policy(&c->enroll[CS_KIND_USER], &f->enroll.user);
    fill_policy(&c->enroll[CS_KIND_DEVICE], &f->enroll.device);
    if (f->enroll.vendors_count == 0) return CS_OK;
    c->vendors = conf_alloc(c, f->enroll.vendors_count * sizeof *c->vendors);
    if (c->vendors == NULL) return CS_NOMEM_ERR(err);
    for (; c->vendor_count < f->enroll.vendors_count; c->vendor_count++)
        TRY(fill_vendor(c, &c->vendors[c->vendor_count], &f->enroll.vendors[c->vendor_count], folder, err));
    return CS_OK;
}
