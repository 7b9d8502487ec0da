/* x509/profile.h - what a certificate of each kind says: built by the authority, checked again by the signer.
 * Nothing is kept between calls; any thread. The table is static. Reads no clock, draws no randomness. */
#ifndef CS_X509_PROFILE_H
#define CS_X509_PROFILE_H

#include "base/rng.h"
#include "x509/identity.h"

typedef struct cs_profile {
    const char *name;       /* "server" */
    unsigned key_usage;     /* CS_KU_*, exactly these, critical */
    unsigned eku;           /* CS_EKU_*, exactly these, not critical */
    unsigned san_types;     /* 1u << CS_SAN_*: which names it may carry */
    size_t san_max;         /* how many */
    cs_time lifetime;       /* unless something else is asked for */
    cs_time lifetime_limit; /* unless something else is configured */
} cs_profile;

/* The row of server, user or device; NULL for any other kind. */
const cs_profile *cs_profile_of(cs_kind kind);

enum { CS_SERIAL_LEN = 16 };
#define CS_BACKDATE (10 * CS_MIN) /* of notBefore, for clients whose clock is behind */

/* A serial number: 16 random octets of which the first is 01..7f, so that DER neither pads nor shortens it. */
CS_MUST_USE cs_status cs_serial_draw(const cs_rng *rng, uint8_t ret[CS_SERIAL_LEN], cs_err *err);

/* notBefore and notAfter for a certificate issued now: backdated, cut to whole seconds and to the issuer's validity.
 * lifetime 0: the profile's. profile-violated when it is over limit (0: the profile's); certificate-expired or
 * not-yet-valid when the issuer's own validity does not contain now. */
CS_MUST_USE cs_status cs_profile_validity(cs_kind kind, cs_time lifetime, cs_time limit, cs_time now,
                                          const cs_cert *issuer, cs_time *ret_not_before, cs_time *ret_not_after,
                                          cs_err *err);

typedef struct cs_profile_ask {
    const cs_identity *who;
    const cs_san *sans; /* names beside the identity's own, which is put first by itself; duplicates are dropped */
    size_t san_count;
    cs_view spki; /* of a request that was read by cs_csr_read, or of a key that was made */
    const cs_cert *issuer;
    cs_view serial; /* CS_SERIAL_LEN octets */
    cs_time not_before, not_after;
    const char *crl_url, *ca_url; /* http://; both needed */
    const char *trust_domain;     /* for devices: spiffe://TRUST-DOMAIN/device/NAME */
} cs_profile_ask;

/* TBSCertificate DER, appended to tbs. name-not-allowed: a SAN of a type that the profile does not carry;
 * name-invalid; limit-reached over san_max names; internal-error for what the caller should have seen to. */
CS_MUST_USE cs_status cs_profile_build(const cs_profile_ask *ask, cs_buf *tbs, cs_err *err);

typedef struct cs_profile_rule {
    const cs_cert *issuer;
    const char *trust_domain;
    cs_time lifetime_limit; /* 0: the profile's */
    cs_time now;            /* notBefore must lie between an hour before and now; 0: not asked */
} cs_profile_rule;

/* What the signer runs before it signs: is tbs, octet for octet, a certificate of that kind and nothing more?
 * profile-violated naming field and rule; key-too-weak, key-unsupported, key-malformed. *ret_identity and ret_serial
 * (may be NULL) are for the journal. */
CS_MUST_USE cs_status cs_profile_check(cs_view tbs, cs_kind kind, const cs_profile_rule *rule,
                                       cs_identity *ret_identity, uint8_t ret_serial[CS_SERIAL_LEN], cs_err *err);

/* The URI of a device: "spiffe://TRUST-DOMAIN/device/NAME". name-invalid when the trust domain is not one
 * (lower-case letters, digits, . _ -). */
CS_MUST_USE cs_status cs_device_uri(cs_buf *b, const char *trust_domain, const char *name, cs_err *err);
/* Is it a trust domain? name-invalid. */
CS_MUST_USE cs_status cs_trust_domain_check(const char *trust_domain, cs_err *err);

#endif
