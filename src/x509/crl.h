/* x509/crl.h - a certificate revocation list, decoded strictly and indexed once.             @rfc 5280#5
 * Owner: whoever holds a reference. Immutable after decoding, so any thread may read it. Views look into the object's
 * own copy of the DER. Bound: CS_CRL_MAX of DER, and 4 bytes an entry for the index (8 in an indirect CRL). */
#ifndef CS_X509_CRL_H
#define CS_X509_CRL_H

#include "x509/cert_priv.h"

enum { CS_REASONS_ALL = 0x1fe }; /* ReasonFlags bits 1..8; bit 0 is unused */

/* IssuingDistributionPoint, @rfc 5280#5.2.5 */
typedef struct cs_idp {
    bool present, only_user, only_ca, only_attribute, indirect, has_reasons;
    unsigned reasons;  /* ReasonFlags, bit 0 first */
    cs_view full_name; /* GeneralNames contents, or n == 0 */
    cs_view relative;  /* RelativeDistinguishedName contents, or n == 0 */
    cs_view whole;     /* the extension's contents: two scopes are equal when these octets are */
} cs_idp;

typedef struct cs_crl {
    int refs;
    void *owned; /* what holds the DER */
    cs_view der, tbs, issuer;
    cs_time this_update, next_update;
    bool has_next_update, has_number, is_delta;
    cs_view number, base_number; /* INTEGER contents */
    cs_view akid;
    cs_idp idp;
    cs_sigalg alg;
    cs_view sig;
    cs_signer signer;      /* to hash a large list takes long */
    cs_flaw flaw;          /* crl-invalid: nobody may use it */
    cs_flaw flaw_strict;   /* crl-invalid: breaks what RFC 5280 demands of CRL issuers */
    cs_flaw flaw_critical; /* a critical extension, of the CRL or of an entry, that is not understood */
    uint64_t issuer_hash;
    cs_view entries; /* contents of revokedCertificates */
    size_t count;
    uint32_t *index;     /* offsets of entries, by bucket of the serial's hash */
    uint32_t *first;     /* of each bucket, one more at the end */
    uint32_t *by_issuer; /* indirect: for index[i], the offset of the entry that names its certificateIssuer + 1; 0: the
                            CRL's issuer. NULL in a direct CRL */
    unsigned bucket_bits;
} cs_crl;

typedef struct cs_crl_entry {
    cs_time at;
    int reason; /* CRLReason; 0 when none is given */
} cs_crl_entry;

/* Decodes one CRL; every octet must be used. der is copied. CS_REFUSED/crl-invalid when it has not the form of one;
 * lesser flaws are noted. */
CS_MUST_USE cs_status cs_crl_decode(cs_view der, cs_crl **ret, cs_err *err);
/* The same of a buffer that becomes the CRL's own, so that a big one is held once; *take is empty afterwards. */
CS_MUST_USE cs_status cs_crl_decode_take(cs_buf *take, cs_crl **ret, cs_err *err);
cs_crl *cs_crl_ref(const cs_crl *c);
void cs_crl_free(cs_crl *c);
CS_AUTO_DEFINE(cs_crl)

/* Is the certificate of that issuer Name and serial listed? */
bool cs_crl_find(const cs_crl *c, cs_view cert_issuer, cs_view serial, cs_crl_entry *ret);
/* Each entry in turn, for building a revocation set; start with *pos = 0. serial as encoded. */
bool cs_crl_next(const cs_crl *c, size_t *pos, cs_view *ret_serial, cs_crl_entry *ret);
/* Compare non-negative INTEGER contents: <0, 0, >0. */
int cs_integer_cmp(cs_view a, cs_view b);

#endif
