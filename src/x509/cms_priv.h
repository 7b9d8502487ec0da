/* x509/cms_priv.h - what the two files of cms_message.h share. */
#ifndef CS_X509_CMS_PRIV_H
#define CS_X509_CMS_PRIV_H

#include "keys/keys_evp.h"
#include "x509/cms_message.h"

#include <openssl/cms.h>

/* Of that type (NID), with nothing behind it; ctx NULL: the usual algorithms. message-malformed. */
CS_MUST_USE cs_status cs_cms_decode(cs_view ber, int type, OSSL_LIB_CTX *ctx, const char *what, CMS_ContentInfo **ret,
                                    cs_err *err);
/* DER of it, appended. */
CS_MUST_USE cs_status cs_cms_encode(CMS_ContentInfo *cms, cs_buf *out, cs_err *err);
X509 *cs_cms_x509(const cs_cert *c);
/* All that a BIO of memory holds, appended. */
bool cs_cms_take(BIO *from, cs_buf *to);

#endif
