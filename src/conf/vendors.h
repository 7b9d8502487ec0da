/* conf/vendors.h - the makers of devices that the configuration names, with their files read. */
#ifndef CS_CONF_VENDORS_H
#define CS_CONF_VENDORS_H

#include "conf/conf.h"
#include "verify/vendors.h"

/* Those whose certificates are IDevIDs, or with tpm those of attestation keys; site: only those that it lets in, NULL:
 * all. *ret NULL: there are none. digest gets what tells them from others; NULL: nothing. The files' reasons. */
CS_MUST_USE cs_status conf_vendors_load(const conf *c, bool tpm, const char *site, cs_buf *digest, cs_vendors **ret,
                                        cs_err *err);
/* NULL: there is none of that name. */
const conf_vendor *conf_vendor_named(const conf *c, const char *name);

#endif
