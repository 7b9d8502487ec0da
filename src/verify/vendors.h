/* verify/vendors.h - makers of devices, whose certificates (IEEE 802.1AR's IDevIDs, attestation keys of TPMs) say what
 * a device is before it has one of ours. Owner: counted; filled before it is shared, immutable from then on. */
#ifndef CS_VERIFY_VENDORS_H
#define CS_VERIFY_VENDORS_H

#include "verify/verify.h"

typedef struct cs_vendors cs_vendors;
CS_MUST_USE cs_status cs_vendors_new(cs_vendors **ret, cs_err *err);
/* name: copied; crls may be NULL. References are added. */
CS_MUST_USE cs_status cs_vendors_add(cs_vendors *v, const char *name, const cs_certs *anchors, cs_crls *crls,
                                     cs_err *err);
cs_vendors *cs_vendors_ref(cs_vendors *v);
void cs_vendors_free(cs_vendors *v);
CS_AUTO_DEFINE(cs_vendors)
/* The subjects of all anchors, for a list of CAs that clients are told. */
CS_MUST_USE cs_status cs_vendors_anchors(const cs_vendors *v, cs_certs *bag, cs_err *err);

/* Whose is it? *ret_name is the set's own. Purpose and names are not looked at: makers write what they like; a CA's
 * certificate, or one whose key may not sign, is none of a device. An end in the year 9999 is in the future, as any is.
 * Refused with the verdict's reason: that of the vendor that it comes nearest to. *ret is the caller's to free. */
CS_MUST_USE cs_status cs_vendors_verify(const cs_vendors *v, const cs_cert *leaf, const cs_certs *extra, cs_time at,
                                        const char **ret_name, cs_verdict *ret, cs_err *err);

#endif
