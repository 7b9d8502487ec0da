/* x509/cms_message.h - messages signed and sealed as CMS (RFC 5652), as SCEP has them: one signer with signed
 * attributes, RSA key transport. BER is read too; DER is written. libcrypto does structure and mathematics, what may be
 * in it is settled here. Owner: whoever read it. Nothing is trusted by being read: who the signer is remains the
 * caller's matter.
 */
#ifndef CS_X509_CMS_MESSAGE_H
#define CS_X509_CMS_MESSAGE_H

#include "keys/keys.h"
#include "x509/cert.h"

enum {
    CS_CMS_MESSAGE_MAX = 128 * 1024, /* one of SCEP has 3 to 8 KiB; certificates may be large */
    CS_CMS_ATTRS_MAX = 32,
    CS_CMS_RECIPIENTS_MAX = 4, /* each costs an operation with the private key */
};

/* weak: read only where it is said. */
typedef enum cs_cms_digest { CS_CMS_SHA256, CS_CMS_SHA384, CS_CMS_SHA512, CS_CMS_SHA1, CS_CMS_MD5 } cs_cms_digest;
typedef enum cs_cms_cipher { CS_CMS_AES128, CS_CMS_AES192, CS_CMS_AES256, CS_CMS_3DES, CS_CMS_DES } cs_cms_cipher;
const char *cs_cms_digest_name(cs_cms_digest digest);
const char *cs_cms_cipher_name(cs_cms_cipher cipher);

/* ---- signed ---- */
typedef struct cs_cms_attr {
    cs_view oid;   /* contents of the OID */
    cs_view value; /* the one value, a whole DER element */
} cs_cms_attr;
typedef struct cs_cms_signed {
    bool has_content;
    cs_buf content;
    cs_cert *signer;
    cs_certs certs; /* all that go along, the signer's too */
    cs_cms_digest digest;
    cs_cms_attr attrs[CS_CMS_ATTRS_MAX]; /* signed; views into attr_octets */
    size_t attr_count;
    cs_buf attr_octets;
} cs_cms_signed;
void cs_cms_signed_free(cs_cms_signed *s);
/* A SignedData of one signer whose certificate is in it, with signed attributes; its signature and the content's digest
 * are verified. *ret is the caller's to free also when it is refused: what was read by then is in it, and has proven
 * nothing. weak: SHA-1 and MD5 too. message-malformed; algorithm-too-weak, algorithm-unsupported, key-too-weak,
 * key-unsupported (the signer's); signature-invalid. */
CS_MUST_USE cs_status cs_cms_signed_read(cs_view ber, bool weak, cs_cms_signed *ret, cs_err *err);
/* The attribute's value, a whole element; n == 0: there is none, or it is there twice. */
cs_view cs_cms_attr_find(const cs_cms_signed *s, cs_view oid);

typedef enum cs_cms_type { CS_CMS_DATA, CS_CMS_KEY_PACKAGE /* RFC 5958 */ } cs_cms_type;
typedef struct cs_cms_sign_ask {
    cs_cms_type type;
    const cs_view *content; /* NULL: none, which is not the same as an empty one */
    const cs_key *key;
    const cs_cert *signer;
    const cs_cert *const *more; /* certificates that go along */
    size_t more_count;
    const cs_cms_attr *attrs;
    size_t attr_count;
    cs_cms_digest digest;
} cs_cms_sign_ask;
CS_MUST_USE cs_status cs_cms_sign(const cs_cms_sign_ask *ask, cs_buf *out, cs_err *err);

/* ---- sealed ---- */
typedef struct cs_cms_sealed cs_cms_sealed;
void cs_cms_sealed_free(cs_cms_sealed *s);
CS_AUTO_DEFINE(cs_cms_sealed)
/* Makes single DES readable, which libcrypto has in a module of its own: call it before any thread and any sandbox.
 * False: the module is not there. */
bool cs_cms_weak_load(void);
/* An EnvelopedData. weak: 3DES and DES too. message-malformed, algorithm-too-weak, algorithm-unsupported. */
CS_MUST_USE cs_status cs_cms_sealed_read(cs_view ber, bool weak, cs_cms_sealed **ret, cs_err *err);
cs_cms_cipher cs_cms_sealed_cipher(const cs_cms_sealed *s);
/* Is one of the recipients that certificate's holder? */
bool cs_cms_sealed_is_to(const cs_cms_sealed *s, const cs_cert *cert);
/* Opens it; *ret is appended to. envelope-unreadable, whatever was wrong: a wrong key, a padding or a
 * content-encryption key that is none must look alike, also in time: with a wrong key the content is decrypted under a
 * random one. */
CS_MUST_USE cs_status cs_cms_sealed_open(cs_cms_sealed *s, const cs_key *key, cs_buf *ret, cs_err *err);
/* To the holder of an RSA certificate; with 3DES where DES was asked. key-unsupported: another key cannot be encrypted
 * to. */
CS_MUST_USE cs_status cs_cms_seal(cs_view content, cs_cms_cipher cipher, const cs_cert *to, cs_buf *out, cs_err *err);
/* A SignedData, without ContentInfo, to the holder of that public key, RSA or EC, who is named by key_id; with AES-256.
 * key-unsupported. */
CS_MUST_USE cs_status cs_cms_seal_to_key(cs_view content, cs_view spki, cs_view key_id, cs_buf *out, cs_err *err);

/* ---- degenerate ---- */
/* A SignedData without signer or content that carries certificates, and a CRL (n == 0: none). */
CS_MUST_USE cs_status cs_cms_certs_make(const cs_cert *const certs[], size_t n, cs_view crl, cs_buf *out, cs_err *err);

#endif
