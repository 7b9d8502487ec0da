/* x509/profile.h - what a certificate of each kind says: built by the authority, checked again by the signer.
 * Nothing is kept between calls; any thread. The table is static. Reads no clock, draws no randomness. */
#ifndef CS_X509_PROFILE_H
#define CS_X509_PROFILE_H

#include "base/rng.h"
#include "x509/identity.h"

/* Where a field of a certificate comes from. */
typedef enum cs_from { CS_FROM_NOWHERE = 0, CS_FROM_IDENTITY, CS_FROM_REQUEST, CS_FROM_PROFILE } cs_from;
typedef struct cs_field {
    cs_from from;
    const char *text; /* of CS_FROM_PROFILE */
} cs_field;

/* Which names of a type may be certified. '*' stands for any run of octets, dots too; addresses are ADDRESS/BITS. */
typedef struct cs_pattern {
    cs_san_type type; /* CS_SAN_DNS, CS_SAN_IP, CS_SAN_EMAIL, CS_SAN_URI */
    const char *text; /* in lower case, as the names are */
} cs_pattern;

typedef struct cs_extra_ext {
    cs_view oid, der; /* contents of the OID, contents of extnValue */
    bool critical;
} cs_extra_ext;

enum { /* which keys; none of them: all that cs_key_spki_check lets pass */
       CS_PROFILE_KEY_P256 = 1 << 0,
       CS_PROFILE_KEY_P384 = 1 << 1,
       CS_PROFILE_KEY_P521 = 1 << 2,
       CS_PROFILE_KEY_ED25519 = 1 << 3,
       CS_PROFILE_KEY_RSA = 1 << 4,
       CS_PROFILE_KEY_ML_DSA_44 = 1 << 5,
       CS_PROFILE_KEY_ML_DSA_65 = 1 << 6,
       CS_PROFILE_KEY_ML_DSA_87 = 1 << 7,
};
enum { CS_PROFILE_LISTED_MAX = 100, CS_PROFILE_NAME_MAX = 64 };
#define CS_BACKDATE_MAX (2 * CS_DAY)

/* The one description by which the authority builds and the signer judges. */
typedef struct cs_profile {
    const char *name; /* "server", or as the configuration names it */
    cs_kind kind;
    unsigned key_types; /* CS_PROFILE_KEY_*; 0: all */
    int rsa_bits_min;   /* 0: CS_RSA_BITS_MIN */
    unsigned key_usage; /* CS_KU_*, exactly these, critical */
    unsigned eku;       /* CS_EKU_*, exactly these, not critical */
    unsigned san_types; /* 1u << CS_SAN_*: which names it may carry */
    size_t san_max;     /* how many */
    cs_time lifetime;   /* unless something else is asked for */
    cs_time lifetime_limit;
    cs_time backdate; /* of notBefore, for clients whose clock is behind */
    struct {
        cs_field country, organization, unit, common_name, serial_number;
    } subject;
    const cs_pattern *allowed; /* a type that one of them is about allows those names only */
    size_t allowed_count;
    const cs_pattern *denied;
    size_t denied_count;
    const cs_san *fixed; /* names that every certificate carries, after the identity's own */
    size_t fixed_count;
    bool
        names_from_request; /* names of the request are taken, where they are allowed; else they must have been asked */
    const cs_view *policies; /* contents of the OIDs of certificatePolicies */
    size_t policy_count;
    bool must_staple; /* TLS feature status_request, RFC 7633 */
    const cs_extra_ext *extras;
    size_t extra_count;
    const char *const *ask; /* by which doors it may be asked for: "rest", "est", ...; none: by all */
    size_t ask_count;
    bool approval;                  /* a request waits for somebody's yes */
    bool supersede_said, supersede; /* a renewal revokes what it renews; not said: as for its kind */
    bool shared_key;                /* the key may be in a certificate of another identity too */
    uint8_t digest[32];             /* of all the above (cs_profile_seal): authority and signer must have the same */
} cs_profile;

/* The built-in profile of server, user or device; NULL for any other kind. Sealed. */
const cs_profile *cs_profile_of(cs_kind kind);
/* Is it one that can be kept to? Fills the digest. profile-violated naming the field. */
CS_MUST_USE cs_status cs_profile_seal(cs_profile *p, cs_err *err);
/* May it be asked for through that door? profile-violated. */
CS_MUST_USE cs_status cs_profile_door_check(const cs_profile *p, const char *door, cs_err *err);
/* key-unsupported, key-too-weak: not a key of this profile. */
CS_MUST_USE cs_status cs_profile_key_check(const cs_profile *p, cs_view spki, cs_err *err);
/* May that name be certified by it? name-not-allowed naming type, pattern and name. */
CS_MUST_USE cs_status cs_profile_name_check(const cs_profile *p, const cs_san *san, cs_err *err);

/* May a name of the request be taken that nobody asked for beside it? name-not-allowed: whoever made the request may be
 * another than who asks. */
CS_MUST_USE cs_status cs_profile_request_name_check(const cs_profile *p, const cs_san *san, cs_err *err);

/* The profile that a certificate was issued by, from its certificateTemplateName, when it is none of the built-in ones.
 * Only as good as the issuer: ask it of certificates of the own authority. False: it names none. */
bool cs_profile_of_cert(const cs_cert *c, char out[CS_PROFILE_NAME_MAX + 1]);

enum { CS_SERIAL_LEN = 16 };
#define CS_BACKDATE (10 * CS_MIN) /* the built-in profiles' */

/* A serial number: 16 random octets of which the first is 01..7f, so that DER neither pads nor shortens it. */
CS_MUST_USE cs_status cs_serial_draw(const cs_rng *rng, uint8_t ret[CS_SERIAL_LEN], cs_err *err);

/* notBefore and notAfter for a certificate issued now: backdated, cut to whole seconds and to the issuer's validity.
 * lifetime 0: the profile's. profile-violated when it is over the profile's limit; certificate-expired or
 * not-yet-valid when the issuer's own validity does not contain now. */
CS_MUST_USE cs_status cs_profile_validity(const cs_profile *profile, cs_time lifetime, cs_time now,
                                          const cs_cert *issuer, cs_time *ret_not_before, cs_time *ret_not_after,
                                          cs_err *err);

typedef struct cs_profile_ask {
    const cs_profile *profile; /* NULL: the built-in one of who->kind */
    const cs_identity *who;
    cs_view subject;    /* DER of the request's Name, for fields that are taken from it; n == 0: none */
    const cs_san *sans; /* names beside the identity's own, which is put first by itself; duplicates are dropped */
    size_t san_count;
    cs_view spki; /* of a request that was read by cs_csr_read, or of a key that was made */
    const cs_cert *issuer;
    cs_view serial; /* CS_SERIAL_LEN octets */
    cs_time not_before, not_after;
    const char *crl_url, *ca_url; /* http://; both needed */
    const char *ocsp_url;         /* http://; NULL or "": none */
    const char *delta_url;        /* freshestCRL, http://; NULL or "": none */
    const char *trust_domain;     /* for devices: spiffe://TRUST-DOMAIN/device/NAME */
} cs_profile_ask;

/* TBSCertificate DER, appended to tbs. name-not-allowed: a SAN of a type that the profile does not carry;
 * name-invalid; limit-reached over san_max names; internal-error for what the caller should have seen to. */
CS_MUST_USE cs_status cs_profile_build(const cs_profile_ask *ask, cs_buf *tbs, cs_err *err);

typedef struct cs_profile_rule {
    const cs_cert *issuer;
    const char *trust_domain;
    const cs_profile *profile; /* NULL: the built-in one of the kind */
    cs_time now;               /* notBefore must lie between an hour before the backdate and now; 0: not asked */
} cs_profile_rule;

/* What the signer runs before it signs: is tbs, octet for octet, a certificate of that kind and nothing more?
 * profile-violated naming field and rule; key-too-weak, key-unsupported, key-malformed. *ret_identity and ret_serial
 * (may be NULL) are for the journal. */
CS_MUST_USE cs_status cs_profile_check(cs_view tbs, cs_kind kind, const cs_profile_rule *rule,
                                       cs_identity *ret_identity, uint8_t ret_serial[CS_SERIAL_LEN], cs_err *err);

/* What would be signed, read as the certificate that it would become (its signature is empty). */
CS_MUST_USE cs_status cs_profile_decode(cs_view tbs, const cs_cert *issuer, cs_cert **ret, cs_err *err);

/* The SAN that is the identity itself, into *ret; store holds its octets. */
CS_MUST_USE cs_status cs_identity_san(const cs_identity *who, const char *trust_domain,
                                      uint8_t store[CS_IDENTITY_NAME_MAX + 1], cs_san *ret, cs_err *err);

/* A TBSCertificate as the certificate that it is to become, with an empty signature. profile-violated. */
CS_MUST_USE cs_status cs_tbs_decode(cs_view tbs, const cs_cert *issuer, cs_cert **ret, cs_err *err);

/* The URI of a device: "spiffe://TRUST-DOMAIN/device/NAME". name-invalid when the trust domain is not one
 * (lower-case letters, digits, . _ -). */
CS_MUST_USE cs_status cs_device_uri(cs_buf *b, const char *trust_domain, const char *name, cs_err *err);
/* Is it a trust domain? name-invalid. */
CS_MUST_USE cs_status cs_trust_domain_check(const char *trust_domain, cs_err *err);

#endif
