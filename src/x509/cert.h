/* x509/cert.h - a certificate, decoded strictly and once.
 * Owner: whoever holds a reference (cs_cert_ref / cs_cert_free). Immutable after decoding, so any thread may read it.
 * All views look into the object's own copy of the DER and live as long as it. */
#ifndef CS_X509_CERT_H
#define CS_X509_CERT_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"

typedef enum cs_san_type { /* GeneralName's context tags, RFC 5280 4.2.1.6 */
                           CS_SAN_OTHER = 0,
                           CS_SAN_EMAIL = 1,
                           CS_SAN_DNS = 2,
                           CS_SAN_X400 = 3,
                           CS_SAN_DIRNAME = 4, /* value: the DER of the Name */
                           CS_SAN_EDI = 5,
                           CS_SAN_URI = 6,
                           CS_SAN_IP = 7, /* value: 4 or 16 octets */
                           CS_SAN_RID = 8,
} cs_san_type;

typedef struct cs_san {
    cs_san_type type;
    cs_view value; /* content octets */
} cs_san;

enum { /* key usage, RFC 5280 4.2.1.3, bit 0 first */
       CS_KU_DIGITAL_SIGNATURE = 1 << 0,
       CS_KU_NON_REPUDIATION = 1 << 1,
       CS_KU_KEY_ENCIPHERMENT = 1 << 2,
       CS_KU_DATA_ENCIPHERMENT = 1 << 3,
       CS_KU_KEY_AGREEMENT = 1 << 4,
       CS_KU_CERT_SIGN = 1 << 5,
       CS_KU_CRL_SIGN = 1 << 6,
       CS_KU_ENCIPHER_ONLY = 1 << 7,
       CS_KU_DECIPHER_ONLY = 1 << 8,
};

enum { /* extended key usage, RFC 5280 4.2.1.12; others are in eku_der only */
       CS_EKU_SERVER_AUTH = 1 << 0,
       CS_EKU_CLIENT_AUTH = 1 << 1,
       CS_EKU_CODE_SIGNING = 1 << 2,
       CS_EKU_EMAIL = 1 << 3,
       CS_EKU_TIME_STAMPING = 1 << 4,
       CS_EKU_OCSP_SIGNING = 1 << 5,
       CS_EKU_ANY = 1 << 6,
       CS_EKU_CMC_RA = 1 << 7,
};

typedef struct cs_cert {
    int refs; /* atomic; use cs_cert_ref and cs_cert_free */
    cs_view der, tbs;
    cs_view serial;          /* INTEGER contents, big-endian, as encoded */
    cs_view issuer, subject; /* DER of each Name */
    cs_time not_before, not_after;
    cs_view spki;                        /* DER of SubjectPublicKeyInfo */
    uint8_t sha256[32], spki_sha256[32]; /* of der, of spki */
    cs_view skid, akid;                  /* key identifiers; n == 0: absent */
    bool has_key_usage, has_eku, has_basic_constraints, is_ca;
    unsigned key_usage, eku; /* CS_KU_*, CS_EKU_* */
    int path_len;            /* -1: none */
    cs_san *sans;
    size_t san_count;
    void *more; /* verify's own decoding: x509/cert_priv.h */
} cs_cert;

/* Decode one certificate; every octet must be used. der is copied.
 * CS_REFUSED/certificate-malformed says field and rule; CS_LIMIT over CS_CERT_MAX; CS_NOMEM. */
CS_MUST_USE cs_status cs_cert_decode(cs_view der, cs_cert **ret, cs_err *err);
cs_cert *cs_cert_ref(const cs_cert *c);
void cs_cert_free(cs_cert *c);
CS_AUTO_DEFINE(cs_cert)

/* The extension of that OID (contents): whether it is critical, and the contents of extnValue. Reads what decoding does
 * not keep; false when there is none. */
bool cs_cert_ext_find(const cs_cert *c, cs_view oid, bool *ret_critical, cs_view *ret_value);
/* Each extension in turn from *pos = 0 on; false: no more. */
bool cs_cert_ext_next(const cs_cert *c, size_t *pos, cs_view *ret_oid, bool *ret_critical, cs_view *ret_value);

/* A bag of certificates, each a reference of the bag's own. */
typedef struct cs_certs {
    cs_cert **at;
    size_t n;
} cs_certs;
cs_status cs_certs_add(cs_certs *bag, cs_cert *take, cs_err *err);
void cs_certs_free(cs_certs *bag);

/* Every certificate of a PEM text (LF, CRLF, BOM, text between blocks; "TRUSTED CERTIFICATE" is refused), of one DER,
 * or of a PKCS#7 bag of either form (x509/cms.h), appended to the bag. `what` names the source in errors: usually the
 * file's path. file-empty, file-wrong-type (says what it holds), file-malformed (says which block), and
 * cs_cert_decode's. */
CS_MUST_USE cs_status cs_certs_read(cs_view text, const char *what, cs_certs *bag, cs_err *err);

/* As cs_cert_decode, but a certificate that has the outer form (three parts, all octets used) is decoded with its
 * flaws noted instead of refused: a verdict then names them. CS_REFUSED/certificate-malformed otherwise. */
CS_MUST_USE cs_status cs_cert_decode_noting(cs_view der, cs_cert **ret, cs_err *err);
/* As cs_certs_read, by cs_cert_decode_noting. */
CS_MUST_USE cs_status cs_certs_read_noting(cs_view text, const char *what, cs_certs *bag, cs_err *err);

/* A Name (DER) as RFC 4514 text, most specific RDN first, escaped so that it is one safe line; at most
 * CS_NAME_TEXT_MAX bytes. "" for the empty name. */
bool cs_name_add(cs_buf *b, cs_view name);
/* The same, into out, NUL-terminated. */
const char *cs_name_text(cs_view name, char out[CS_NAME_TEXT_MAX + 1]);
/* The last commonName of the Name as UTF-8; false when there is none. The view looks into `name` when its string
 * type is UTF8String, PrintableString or IA5String, else false. */
bool cs_name_cn(cs_view name, cs_view *ret);
/* The next organizationName or organizationalUnitName from *pos on (0 at first), in a string type that is ASCII or
 * UTF-8; false: no more. */
typedef enum cs_name_part { CS_NAME_O, CS_NAME_OU } cs_name_part;
bool cs_name_next(cs_view name, cs_name_part part, size_t *pos, cs_view *ret);
/* A SAN as "DNS:gw.example", "IP:10.0.0.5", "URI:...", "email:...", escaped. */
bool cs_san_add(cs_buf *b, const cs_san *san);

#endif
