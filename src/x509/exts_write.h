/* x509/exts_write.h - the extensions that we put into certificates and CRLs, one function each; and the pieces that
 * certificate builders share. The buffer is the caller's; failures stick to it. Only x509 includes this. */
#ifndef CS_X509_EXTS_WRITE_H
#define CS_X509_EXTS_WRITE_H

#include "x509/cert.h"
#include "x509/constraint.h"
#include "x509/der_write.h"

/* Contents of the OIDs, RFC 5280 4.2 and 5.2. */
#define CS_OID_SKI CS_OID_LIT("\x55\x1d\x0e")
#define CS_OID_KEY_USAGE CS_OID_LIT("\x55\x1d\x0f")
#define CS_OID_SAN CS_OID_LIT("\x55\x1d\x11")
#define CS_OID_BASIC_CONSTRAINTS CS_OID_LIT("\x55\x1d\x13")
#define CS_OID_CRL_NUMBER CS_OID_LIT("\x55\x1d\x14")
#define CS_OID_CRL_REASON CS_OID_LIT("\x55\x1d\x15")
#define CS_OID_DELTA_INDICATOR CS_OID_LIT("\x55\x1d\x1b")
#define CS_OID_ISSUING_POINT CS_OID_LIT("\x55\x1d\x1c")
#define CS_OID_NAME_CONSTRAINTS CS_OID_LIT("\x55\x1d\x1e")
#define CS_OID_CRL_POINTS CS_OID_LIT("\x55\x1d\x1f")
#define CS_OID_FRESHEST CS_OID_LIT("\x55\x1d\x2e")
#define CS_OID_AKI CS_OID_LIT("\x55\x1d\x23")
#define CS_OID_EKU CS_OID_LIT("\x55\x1d\x25")
#define CS_OID_AIA CS_OID_LIT("\x2b\x06\x01\x05\x05\x07\x01\x01")
#define CS_OID_AD_OCSP CS_OID_LIT("\x2b\x06\x01\x05\x05\x07\x30\x01")
#define CS_OID_AD_CA_ISSUERS CS_OID_LIT("\x2b\x06\x01\x05\x05\x07\x30\x02")
#define CS_OID_CN CS_OID_LIT("\x55\x04\x03")
#define CS_OID_SERIAL_NUMBER CS_OID_LIT("\x55\x04\x05")
#define CS_OID_COUNTRY CS_OID_LIT("\x55\x04\x06")
#define CS_OID_ORGANIZATION CS_OID_LIT("\x55\x04\x0a")
#define CS_OID_UNIT CS_OID_LIT("\x55\x04\x0b")

enum { CS_KEYID_LEN = 20 };
/* The leftmost 160 bits of the SHA-256 of the key's bits: RFC 7093 2, method 1. False when spki is no SPKI. */
bool cs_keyid_of_spki(cs_view spki, uint8_t ret[CS_KEYID_LEN]);

/* Around the value: SEQUENCE { OID, critical, OCTET STRING { value }}. */
typedef struct cs_ext_mark {
    cs_der_mark ext, octets;
} cs_ext_mark;
cs_ext_mark cs_ext_open(cs_buf *b, cs_view oid, bool critical);
void cs_ext_close(cs_buf *b, cs_ext_mark m);

void cs_ext_put_basic_constraints(cs_buf *b, bool ca, int path_len); /* critical; -1: no path length */
void cs_ext_put_key_usage(cs_buf *b, unsigned mask);                 /* critical */
void cs_ext_put_eku(cs_buf *b, unsigned mask);
void cs_ext_put_sans(cs_buf *b, bool critical, const cs_san *sans, size_t n);
/* Critical; nothing when there are none. */
void cs_ext_put_name_constraints(cs_buf *b, const cs_constraint *permit, size_t permit_n, const cs_constraint *exclude,
                                 size_t exclude_n);
void cs_ext_put_ski(cs_buf *b, cs_view keyid);
void cs_ext_put_aki(cs_buf *b, cs_view keyid);
/* One distribution point of one URI: cRLDistributionPoints, or freshestCRL, which has the same syntax. */
void cs_ext_put_point(cs_buf *b, cs_view oid, cs_view url);
void cs_ext_put_crl_point(cs_buf *b, const char *url);
/* authorityInfoAccess; ocsp may be NULL or "": left out. */
void cs_ext_put_access(cs_buf *b, const char *ca_issuers, const char *ocsp);

/* One RDN of one attribute. */
void cs_rdn_put(cs_buf *b, cs_view oid, uint8_t string_tag, const char *value);

/* TBSCertificate as far as the SPKI, leaving it open for the extensions; cs_tbs_close ends both. */
typedef struct cs_tbs {
    cs_view serial, algorithm, issuer, subject, spki;
    cs_time not_before, not_after;
    cs_der_mark outer, exts, list;
} cs_tbs;
void cs_tbs_open(cs_buf *b, cs_tbs *t);
void cs_tbs_close(cs_buf *b, const cs_tbs *t);

#endif
