#include "conf/vendors.h"

#include <string.h>

#include "io/files.h"

static cs_status load_one(const conf_vendor *from, cs_buf *digest, cs_vendors *to, cs_err *err) {
    CS_SCOPED(cs_buf) text = cs_buf_of(CS_PEM_FILE_MAX), crl = cs_buf_of(CS_CRL_MAX);
    CS_SCOPED(cs_certs) certs = {NULL, 0};
    CS_AUTO(cs_crls) crls = NULL;
    TRY(files_read(from->anchors, CS_PEM_FILE_MAX, &text, err));
    TRY(cs_certs_read(cs_buf_view(&text), from->anchors, &certs, err));
    if (from->crl != NULL) {
        TRY(files_read(from->crl, CS_CRL_MAX, &crl, err));
        TRY(cs_crls_new(&crls, err));
        TRY(cs_crls_read(crls, cs_buf_view(&crl), from->crl, err));
    }
    if (digest != NULL)
        for (size_t i = 0; i < certs.n; i++) (void)cs_buf_add(digest, certs.at[i]->sha256, 32);
    return cs_vendors_add(to, from->name, &certs, crls, err);
}

cs_status conf_vendors_load(const conf *c, bool tpm, const char *site, cs_buf *digest, cs_vendors **ret, cs_err *err) {
    CS_AUTO(cs_vendors) all = NULL;
    *ret = NULL;
    for (unsigned i = 0; i < c->vendor_count; i++) {
        const conf_vendor *v = &c->vendors[i];
        if (v->tpm != tpm || (site != NULL && !conf_texts_have(&v->sites, site))) continue;
        if (all == NULL) TRY(cs_vendors_new(&all, err));
        if (load_one(v, digest, all, err) != CS_OK) return cs_fail_in(err, "enroll.vendors: %s", v->name);
    }
    *ret = CS_TAKE(all);
    return CS_OK;
}

const conf_vendor *conf_vendor_named(const conf *c, const char *name) {
    for (unsigned i = 0; i < c->vendor_count; i++)
        if (strcmp(c->vendors[i].name, name) == 0) return &c->vendors[i];
    return NULL;
}
