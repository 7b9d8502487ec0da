/* x509/build.h - CA certificates and CRLs as DER, and what is to be signed made into what is signed.
 * Nothing is owned; the buffers are the caller's. Any thread. Reads no clock, draws no randomness. */
#ifndef CS_X509_BUILD_H
#define CS_X509_BUILD_H

#include "keys/checker.h"
#include "x509/cert.h"
#include "x509/constraint.h"

/* ---- names ---- */
typedef struct cs_dn {
    const char *country; /* two letters; NULL or "": left out, as for all */
    const char *organization;
    const char *unit;
    const char *common_name;
    const char *serial_number;
} cs_dn;
/* The Name in DER, most general RDN first. name-invalid over X.520's upper bounds (64) or when it is not UTF-8. */
CS_MUST_USE cs_status cs_dn_build(const cs_dn *dn, cs_buf *b, cs_err *err);

/* ---- CA certificates ---- */
typedef enum cs_ca_role { CS_CA_ROOT, CS_CA_ISSUING } cs_ca_role;
#define CS_CA_ROOT_LIFETIME (10 * CS_YEAR)
#define CS_CA_ISSUING_LIFETIME (5 * CS_YEAR)

typedef struct cs_ca_ask {
    cs_ca_role role;
    cs_view subject;       /* Name DER (cs_dn_build); one of its own for each key */
    cs_view spki;          /* of the new CA's key */
    const cs_cert *issuer; /* the root; NULL for CS_CA_ROOT, which is self-signed */
    cs_view serial;        /* cs_serial_draw */
    cs_time not_before, not_after;
    const char *crl_url, *ca_url; /* of the issuer; used for CS_CA_ISSUING only; both or neither */
    int path_len; /* CS_CA_ISSUING: CAs that may stand between it and a leaf; -1: any number (cross-certificates) */
    const cs_constraint *permit, *exclude; /* CS_CA_ISSUING: name constraints */
    size_t permit_n, exclude_n;
    cs_view constraints; /* NameConstraints DER in their place, as another certificate has them; n == 0: none */
} cs_ca_ask;
/* Those of a certificate; n == 0: it has none. */
cs_view cs_ca_constraints(const cs_cert *c);
/* TBSCertificate: CA:TRUE critical (issuing: with path length), keyCertSign and cRLSign critical, SKI, AKI. */
CS_MUST_USE cs_status cs_ca_build(const cs_ca_ask *ask, cs_buf *tbs, cs_err *err);

/* "CN=ACME Issuing CA 2026-3fa29c" : organization, role and year, and 6 hex digits of the key's SHA-256, so that no two
 * keys share a DN. Into out as text for cs_dn.common_name, cut to 64 bytes at most. */
enum { CS_CA_CN_MAX = 65 };
const char *cs_ca_common_name(cs_ca_role role, const char *organization, cs_view spki, cs_time now,
                              char out[CS_CA_CN_MAX]);

/* ---- self-signed ---- */
/* Stands for a key until it has a better one: SCEP's first message is signed with it (RFC 8894 2.3). No CA. */
CS_MUST_USE cs_status cs_self_signed_make(const cs_key *key, cs_view subject, cs_view serial, cs_time not_before,
                                          cs_time not_after, cs_cert **ret, cs_err *err);

/* ---- CRLs ---- */
#define CS_CRL_BACKDATE (5 * CS_MIN) /* of thisUpdate; the caller subtracts it */

enum { /* CRLReason, RFC 5280 5.3.1 */
       CS_CRL_UNSPECIFIED = 0,
       CS_CRL_KEY_COMPROMISE = 1,
       CS_CRL_CA_COMPROMISE = 2,
       CS_CRL_AFFILIATION_CHANGED = 3,
       CS_CRL_SUPERSEDED = 4,
       CS_CRL_CESSATION = 5,
       CS_CRL_HOLD = 6,
       CS_CRL_REMOVE = 8,
       CS_CRL_PRIVILEGE_WITHDRAWN = 9,
       CS_CRL_AA_COMPROMISE = 10,
};
/* The name, as in --reason ("key-compromise"), or NULL; and the other way: reason-invalid. */
const char *cs_crl_reason_name(int reason);
CS_MUST_USE cs_status cs_crl_reason_parse(cs_view name, int *ret, cs_err *err);

/* What a list says of itself. */
typedef struct cs_crl_plan {
    const cs_cert *issuer;
    uint64_t number;
    cs_time this_update, next_update;
    /* issuingDistributionPoint, critical: the list is of the certificates that name one of these; none: it is of all.
     */
    const cs_view *points;
    size_t point_count;
    cs_view freshest; /* where its delta stands; n == 0: it has none */
    uint64_t base;    /* of a delta: it says what changed since that number; 0: the list is complete */
} cs_crl_plan;

/* In pieces, for lists too long to be held: the back first, for the front counts its octets; any number of entries in
 * any order, entries_octets long. All of it is the TBSCertList. */
CS_MUST_USE cs_status cs_crl_put_back(const cs_crl_plan *plan, cs_buf *b, cs_err *err);
CS_MUST_USE cs_status cs_crl_put_front(const cs_crl_plan *plan, size_t entries_octets, size_t back_octets, cs_buf *b,
                                       cs_err *err);
/* serial: INTEGER contents as in cs_cert.serial. At most CS_CRL_ENTRY_MAX octets. */
enum { CS_CRL_ENTRY_MAX = 80, CS_CRL_POINTS_MAX = 8 };
CS_MUST_USE cs_status cs_crl_put_entry(cs_buf *b, cs_view serial, cs_time revoked, int reason, cs_err *err);

/* A short one in memory: begin, add any number of times, end. tbs is borrowed from begin to end. */
typedef struct cs_crl_builder {
    cs_buf *tbs;
    cs_crl_plan plan;
    size_t entries, start;
} cs_crl_builder;
CS_MUST_USE cs_status cs_crl_begin(cs_crl_builder *b, const cs_cert *issuer, uint64_t number, cs_time this_update,
                                   cs_time next_update, cs_buf *tbs, cs_err *err);
CS_MUST_USE cs_status cs_crl_add(cs_crl_builder *b, cs_view serial, cs_time revoked, int reason, cs_err *err);
CS_MUST_USE cs_status cs_crl_end(cs_crl_builder *b, cs_err *err);

typedef struct cs_crl_facts {
    uint64_t number, base;
    cs_time this_update, next_update;
    size_t entries;
} cs_crl_facts;
/* What the signer runs, piece by piece: a v2 CRL of that issuer, its algorithm and AKI, a number above high_water, this
 * < next update, well-formed entries, and the extensions of cs_crl_put_back in its form; no other. profile-violated
 * naming the field; crl-rollback for the number. The issuer is borrowed until the end. */
typedef struct cs_crl_check {
    const cs_cert *issuer;
    cs_crl_facts facts;
    size_t left, back; /* octets of entries and back that are to come */
} cs_crl_check;
/* front: begins with all that stands before the first entry; *ret_used: how much of it that is. */
CS_MUST_USE cs_status cs_crl_check_front(cs_crl_check *c, const cs_cert *issuer, cs_view front, size_t *ret_used,
                                         cs_err *err);
CS_MUST_USE cs_status cs_crl_check_entries(cs_crl_check *c, cs_view whole_entries, cs_err *err);
CS_MUST_USE cs_status cs_crl_check_back(cs_crl_check *c, cs_view back, uint64_t high_water, cs_crl_facts *ret,
                                        cs_err *err);
/* All of it at once. */
CS_MUST_USE cs_status cs_crl_tbs_check(cs_view tbs, const cs_cert *issuer, uint64_t high_water, cs_crl_facts *ret,
                                       cs_err *err);

/* ---- signed ---- */
/* SEQUENCE { tbs, algorithm, BIT STRING signature }, appended to b. */
CS_MUST_USE cs_status cs_signed_wrap(cs_view tbs, cs_view algorithm, cs_view signature, cs_buf *b, cs_err *err);
/* Signs tbs and wraps it. The algorithm inside tbs must be cs_key_algorithm(cs_key_spki(key)), as the builders above
 * put it when issuer is the key's certificate. */
CS_MUST_USE cs_status cs_signed_make(const cs_key *key, cs_view tbs, cs_buf *b, cs_err *err);

/* Is `der` (a Certificate or CRL) exactly tbs, signed by issuer with cs_key_algorithm of its key? What an authority
 * asks of its signer's answer. signature-invalid naming the part. */
CS_MUST_USE cs_status cs_signed_check(cs_view der, cs_view tbs, const cs_cert *issuer, cs_err *err);
/* The same, by a checker of the issuer's key. NULL: none. */
CS_MUST_USE cs_status cs_signed_check_by(cs_view der, cs_view tbs, const cs_cert *issuer, cs_checker *checker,
                                         cs_err *err);

#endif
