/* countersign/cert.h - certificates, and the credential (certificate and private key) by which we are known.
 *
 * Objects are opaque, immutable once made, and counted: any thread may use them, every holder frees its own reference.
 * Texts and octets that a function returns belong to the object and live as long as it. Files are PEM or DER as it
 * says; a private key's file must not be readable by others. Every function that fails fills *err, which is never NULL
 * (countersign/error.h). */
#ifndef COUNTERSIGN_CERT_H
#define COUNTERSIGN_CERT_H

#include <countersign/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cs_certificate cs_certificate;
typedef struct cs_credential cs_credential;

/* Whom a certificate is issued to, read from its typed names (subjectAltName), never from its common name. */
typedef enum cs_holder {
    CS_HOLDER_OTHER = 0,
    CS_HOLDER_SERVER, /* named by DNS name or IP address */
    CS_HOLDER_USER,   /* named by e-mail address */
    CS_HOLDER_DEVICE, /* named by a URI spiffe://DOMAIN/device/NAME */
} cs_holder;

/* The first certificate of a PEM or DER file. */
CS_API CS_MUST_USE cs_status cs_certificate_read(const char *path, cs_certificate **ret, cs_err *err);

/* The certificate of exactly these octets of DER, which are copied. */
CS_API CS_MUST_USE cs_status cs_certificate_decode(const void *der, size_t n, cs_certificate **ret, cs_err *err);

/* One more reference to the same certificate. */
CS_API cs_certificate *cs_certificate_ref(cs_certificate *c);

/* Gives a reference back; NULL is fine. */
CS_API void cs_certificate_free(cs_certificate *c);

/* Its octets in DER. */
CS_API const void *cs_certificate_der(const cs_certificate *c, size_t *ret_n);

/* The subject's name as one line of RFC 4514, outside text escaped; "" when it is empty. */
CS_API const char *cs_certificate_subject(const cs_certificate *c);

/* The issuer's name likewise. */
CS_API const char *cs_certificate_issuer(const cs_certificate *c);

/* The serial number in hexadecimal, as it is written in lists. */
CS_API const char *cs_certificate_serial(const cs_certificate *c);

/* SHA-256 of its DER, 64 hexadecimal digits: the fingerprint. */
CS_API const char *cs_certificate_fingerprint(const cs_certificate *c);

/* The first and the last second of its validity, inclusive, since 1970 UTC. */
CS_API int64_t cs_certificate_not_before(const cs_certificate *c);
CS_API int64_t cs_certificate_not_after(const cs_certificate *c);

/* What kind of holder it was issued to. */
CS_API cs_holder cs_certificate_holder(const cs_certificate *c);

/* The holder's name: "pump-17", "ann@corp.example", "gw.corp.example"; "" when it names nobody. */
CS_API const char *cs_certificate_name(const cs_certificate *c);

/* The names of subjectAltName in turn from at = 0 on, as "DNS:gw.example", "IP:10.0.0.5", "URI:...", "email:...";
 * NULL: no more. */
CS_API const char *cs_certificate_alt_name(const cs_certificate *c, size_t at);

/* A certificate with its intermediates (PEM) and its private key (PEM, unencrypted). The two must belong together and
 * the certificate must be valid now: key-mismatch, certificate-expired, file-permissions-too-open and the like name
 * the file. */
CS_API CS_MUST_USE cs_status cs_credential_read(const char *certificate_path, const char *key_path, cs_credential **ret,
                                                cs_err *err);

/* The same, of texts in memory, which are copied; the key's copy is wiped with the credential. */
CS_API CS_MUST_USE cs_status cs_credential_of_pem(const char *certificate, const char *key, cs_credential **ret,
                                                  cs_err *err);

/* One more reference to the same credential. */
CS_API cs_credential *cs_credential_ref(cs_credential *c);

/* Gives a reference back; with the last one the key is wiped. NULL is fine. */
CS_API void cs_credential_free(cs_credential *c);

/* Its certificate, borrowed. */
CS_API const cs_certificate *cs_credential_certificate(const cs_credential *c);

/* Writes certificate (with intermediates) and key as PEM, each in one step: made beside, synced, renamed; the key
 * first, with mode 0600 from its first octet. What was there is replaced. */
CS_API CS_MUST_USE cs_status cs_credential_write(const cs_credential *c, const char *certificate_path,
                                                 const char *key_path, cs_err *err);

#ifdef __cplusplus
}
#endif
#endif
