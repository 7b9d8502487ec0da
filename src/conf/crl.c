/* How lists of revoked certificates are published: for all CAs, and for one. */
#include "conf/conf_priv.h"

static void set(cs_time *to, const char *text) {
    if (text == NULL) return;
    if (strcmp(text, "off") == 0)
        *to = 0;
    else
        (void)cs_duration_parse(cs_view_str(text), to); /* judged already */
}

static cs_status check(const conf *c, const conf_crl *p, cs_err *err) {
    const char *file = c->file != NULL ? c->file : "defaults", *of = p->ca != NULL ? p->ca : "all CAs";
    if (p->interval >= p->lifetime)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                       "%s: crl.interval must be shorter than crl.lifetime (of %s), or the CRL expires before the next "
                       "is made",
                       file, of);
    if (p->delta != 0 && (p->delta < CS_MIN || p->delta >= p->interval))
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID,
                       "%s: crl.delta: from 1m to less than crl.interval (of %s), or off", file, of);
    if (p->shards > CONF_SHARDS_MAX)
        return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: crl.shards: at most %d (of %s)", file,
                       CONF_SHARDS_MAX, of);
    return CS_OK;
}

static cs_status fill_one(conf *c, const file_crl_of *f, conf_crl *ret, cs_err *err) {
    *ret = c->crl;
    ret->ca = f->ca;
    set(&ret->lifetime, f->lifetime);
    set(&ret->interval, f->interval);
    set(&ret->delta, f->delta);
    if (f->shards != NULL) ret->shards = *f->shards;
    if (f->delta_in_certificates != NULL) ret->delta_in_certificates = *f->delta_in_certificates;
    for (unsigned i = 0; i < c->crl_of_count; i++)
        if (strcmp(c->crl_of[i].ca, f->ca) == 0)
            return cs_fail(err, CS_REFUSED, CS_R_CONFIG_INVALID, "%s: crl.cas: %s is there twice", c->file, f->ca);
    return check(c, ret, err);
}

cs_status conf_crl_fill(conf *c, const file_conf *f, cs_err *err) {
    c->crl = (conf_crl){.lifetime = 7 * CS_DAY, .interval = 12 * CS_HOUR};
    set(&c->crl.lifetime, f->crl.lifetime);
    set(&c->crl.interval, f->crl.interval);
    set(&c->crl.delta, f->crl.delta);
    if (f->crl.shards != NULL) c->crl.shards = *f->crl.shards;
    if (f->crl.delta_in_certificates != NULL) c->crl.delta_in_certificates = *f->crl.delta_in_certificates;
    TRY(check(c, &c->crl, err));
    if (f->crl.cas_count == 0) return CS_OK;
    c->crl_of = conf_alloc(c, f->crl.cas_count * sizeof *c->crl_of);
    if (c->crl_of == NULL) return CS_NOMEM_ERR(err);
    for (unsigned i = 0; i < f->crl.cas_count; i++) {
        TRY(fill_one(c, &f->crl.cas[i], &c->crl_of[i], err));
        c->crl_of_count++;
    }
    return CS_OK;
}

const conf_crl *conf_crl_of(const conf *c, const char *ca) {
    for (unsigned i = 0; i < c->crl_of_count; i++)
        if (strcmp(c->crl_of[i].ca, ca) == 0) return &c->crl_of[i];
    return &c->crl;
}
