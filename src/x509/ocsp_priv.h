/* ocsp_priv.h - what reading and writing OCSP share. Only inside this room. */
#ifndef CS_X509_OCSP_PRIV_H
#define CS_X509_OCSP_PRIV_H

#include <openssl/evp.h>

#include "x509/der_write.h"
#include "x509/ocsp.h"

#define CS_OID_OCSP_BASIC CS_OID_LIT("\x2b\x06\x01\x05\x05\x07\x30\x01\x01")
#define CS_OID_OCSP_NONCE CS_OID_LIT("\x2b\x06\x01\x05\x05\x07\x30\x01\x02")
#define CS_OID_OCSP_NOCHECK CS_OID_LIT("\x2b\x06\x01\x05\x05\x07\x30\x01\x05")

/* The contents of a CertID. */
void cs_ocsp_id_read(cs_der *in, cs_ocsp_id *ret);
/* The digest of that name; NULL: none that is known. */
const EVP_MD *cs_ocsp_digest(cs_view oid);
bool cs_ocsp_hash_is(const EVP_MD *md, cs_view data, cs_view want);
/* The key's own octets: the BIT STRING of subjectPublicKey without its header. */
cs_view cs_ocsp_key_octets(const cs_cert *c);
/* Extensions { nonce }, below that tag. */
void cs_ocsp_nonce_put(cs_buf *b, uint8_t tag, cs_view nonce);

#endif
