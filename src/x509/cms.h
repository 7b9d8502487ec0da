/* x509/cms.h - certificates in a degenerate CMS SignedData: .p7b and .p7c files, EST's answers. @rfc 5652#5.1  @rfc
 * 8551#3.8 Nothing is kept; any thread. What the content's signers signed is not looked at: a certificate in the bag
 * proves nothing, and their order means nothing. */
#ifndef CS_X509_CMS_H
#define CS_X509_CMS_H

#include "x509/cert.h"

enum { CS_CMS_MAX = 1024 * 1024, CS_CMS_CERTS_MAX = 64 };

/* Does the DER begin as a ContentInfo of SignedData? */
bool cs_looks_cms(cs_view der);
/* Every certificate of it, flaws noted, appended to the bag. file-malformed names octet and rule (BER that is no DER is
 * refused); file-wrong-type: holds none. */
CS_MUST_USE cs_status cs_cms_certs_read(cs_view der, const char *what, cs_certs *bag, cs_err *err);
/* Moves the only certificate that issued none of the others to the front. file-wrong-type when it is not the only one.
 */
CS_MUST_USE cs_status cs_certs_leaf_first(cs_certs *bag, const char *what, cs_err *err);

#endif
