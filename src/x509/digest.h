/* x509/digest.h - SHA-256, HMAC with it, SHA-1, for rooms that see no OpenSSL. Nothing is kept; any thread. */
#ifndef CS_X509_DIGEST_H
#define CS_X509_DIGEST_H

#include "base/err.h"
#include "base/view.h"

enum { CS_SHA256_LEN = 32 };
CS_MUST_USE cs_status cs_sha256(cs_view bytes, uint8_t ret[CS_SHA256_LEN], cs_err *err);
/* Of a followed by b. */
CS_MUST_USE cs_status cs_sha256_two(cs_view a, cs_view b, uint8_t ret[CS_SHA256_LEN], cs_err *err);
/* Piece by piece; its maker's, one thread. Once ended it is only to be freed. */
typedef struct cs_digest cs_digest;
void cs_digest_free(cs_digest *d);
CS_AUTO_DEFINE(cs_digest)
CS_MUST_USE cs_status cs_digest_begin(cs_digest **ret, cs_err *err);
CS_MUST_USE cs_status cs_digest_add(cs_digest *d, cs_view bytes, cs_err *err);
CS_MUST_USE cs_status cs_digest_end(cs_digest *d, uint8_t ret[CS_SHA256_LEN], cs_err *err);
/* @rfc 2104 */
CS_MUST_USE cs_status cs_hmac_sha256(cs_view key, cs_view bytes, uint8_t ret[CS_SHA256_LEN], cs_err *err);

/* For protocols that name it; it protects nothing. */
enum { CS_SHA1_LEN = 20 };
CS_MUST_USE cs_status cs_sha1(cs_view bytes, uint8_t ret[CS_SHA1_LEN], cs_err *err);

#endif
