/* verify/verify.h - is this certificate good, now, for this use, in this place?      @rfc 5280#6  @rfc 9525#6
 *
 * Owner: anchors, CRL sets and revocation sets are immutable and counted; whoever holds a reference may use them from
 * any thread. A verdict belongs to its caller (cs_verdict_free).
 * Nothing here opens a socket, follows AIA or CDP links, reads the clock, or falls back from SAN to CN. */
#ifndef CS_VERIFY_VERIFY_H
#define CS_VERIFY_VERIFY_H

#include "verify/lists.h"
#include "verify/marks.h"
#include "verify/revset.h"
#include "x509/cert.h"

/* ---- what is trusted ---- */
typedef struct cs_anchors cs_anchors;
/* Takes the bag's certificates (references are added; the bag stays the caller's). Decodes and indexes once.
 * An empty set is made; verifying against it is refused with no-trust-anchor. */
CS_MUST_USE cs_status cs_anchors_new(const cs_certs *certs, cs_anchors **ret, cs_err *err);
cs_anchors *cs_anchors_ref(cs_anchors *a);
void cs_anchors_free(cs_anchors *a);
CS_AUTO_DEFINE(cs_anchors)

/* ---- CRLs ---- */
typedef struct cs_crls cs_crls; /* a set of decoded CRLs, full and delta; signatures are checked when used, once each */
CS_MUST_USE cs_status cs_crls_new(cs_crls **ret, cs_err *err);
/* Every CRL of a PEM text or of one DER. crl-invalid with position and rule. Only before the set is shared. */
CS_MUST_USE cs_status cs_crls_read(cs_crls *set, cs_view text, const char *what, cs_err *err);
/* The same of a buffer; one of DER becomes the set's own, so that a big CRL is held once. */
CS_MUST_USE cs_status cs_crls_take(cs_crls *set, cs_buf *take, const char *what, cs_err *err);
/* Is one of `set` older than one of `before` of the same issuer, scope and kind, with nothing newer of them beside it?
 * crl-rollback names it. By what they say of themselves: for files that an operator put there, whose signatures are
 * checked when used. */
CS_MUST_USE cs_status cs_crls_no_older(const cs_crls *set, const cs_crls *before, const char *what, cs_err *err);
cs_crls *cs_crls_ref(cs_crls *s);
void cs_crls_free(cs_crls *s);
CS_AUTO_DEFINE(cs_crls)

/* ---- OCSP responses ---- */
typedef struct cs_ocsps cs_ocsps; /* a set of decoded responses; who signed them is judged when they are used */
CS_MUST_USE cs_status cs_ocsps_new(cs_ocsps **ret, cs_err *err);
/* One response of DER. ocsp-invalid with field and rule. Only before the set is shared. */
CS_MUST_USE cs_status cs_ocsps_read(cs_ocsps *set, cs_view der, const char *what, cs_err *err);
cs_ocsps *cs_ocsps_ref(cs_ocsps *s);
void cs_ocsps_free(cs_ocsps *s);
CS_AUTO_DEFINE(cs_ocsps)

/* ---- the question ---- */
typedef enum cs_purpose { CS_PURPOSE_ANY, CS_PURPOSE_SERVER, CS_PURPOSE_CLIENT } cs_purpose;

typedef struct cs_name_want {
    cs_san_type type; /* CS_SAN_DNS (A-labels or U-labels as typed), CS_SAN_IP (text), CS_SAN_EMAIL, CS_SAN_URI */
    const char *value;
} cs_name_want;

typedef enum cs_revocation {
    CS_REVOCATION_GIVEN,   /* what is given revokes what it lists; nothing need cover the chain */
    CS_REVOCATION_REQUIRE, /* every certificate but the anchor needs a current, usable CRL or OCSP response */
    CS_REVOCATION_PREFER,  /* what covers a certificate counts and must be current; what nothing covers is let pass */
    CS_REVOCATION_OFF,     /* nothing is looked at */
} cs_revocation;

/* What is known of the path: the worst of its certificates. */
typedef enum cs_revocation_state {
    CS_REVOCATION_NOT_ASKED, /* nothing was given */
    CS_REVOCATION_GOOD,
    CS_REVOCATION_GRACE,   /* covered by what is out of date, within the grace */
    CS_REVOCATION_UNKNOWN, /* a certificate that nothing covers */
} cs_revocation_state;

typedef struct cs_want {
    cs_purpose purpose;
    cs_time at;
    const cs_name_want *names; /* one match is enough; 0 names: no name is asked for */
    size_t name_count;
    int max_depth; /* intermediates between leaf and anchor, self-issued ones not counted; -1: no limit of this kind */
    cs_revocation revocation;
    cs_time grace;           /* how long after its next update a CRL or response still covers, when one is asked for */
    const cs_crls *crls;     /* NULL: none */
    const cs_ocsps *ocsps;   /* NULL: none */
    const cs_revset *revset; /* NULL: none; what it lists is revoked */
    cs_marks *marks;         /* NULL: none; CRLs older than those it knows are refused, newer ones raise it */
    const cs_pins *pins;     /* NULL: none; else a key of the path must be among them */
    const cs_list *deny;     /* NULL: none; no certificate of the path may be on it */
    const cs_list *allow;    /* NULL: none; else the leaf must be on it */
    /* Inputs of RFC 5280 6.1.1 (c), (e), (f), (g); all zero: any policy, nothing demanded. */
    const cs_view *policies; /* OID contents; 0 of them: any-policy */
    size_t policy_count;
    bool explicit_policy, inhibit_mapping, inhibit_any;
    bool late;    /* a leaf that has ended is no reason to refuse: the verdict says so, and all else must hold */
    bool explain; /* look for the next best path too, also when the first is good */
} cs_want;

/* ---- the answer ---- */
typedef struct cs_verdict {
    bool accepted;
    cs_reason reason; /* CS_R_NONE when accepted */
    int depth;        /* which certificate of the chain it concerns; 0 = leaf; -1: none */
    char detail[CS_DETAIL_MAX];
    cs_certs chain; /* the path considered: leaf first, anchor last when one was reached */
    struct {
        cs_reason reason; /* CS_R_NONE with a chain: it is good too; without: there was no other candidate */
        int depth;
        char detail[CS_DETAIL_MAX];
        cs_certs chain;
    } considered;                  /* the next best path that was tried, and why it is refused */
    cs_time good_from, good_until; /* when accepted: the seconds, inclusive, in which it would be accepted again */
    bool late;                     /* accepted though the leaf has ended: want.late */
    bool named;                    /* the question asked for a name */
    cs_revocation_state revocation;
    unsigned signature_checks; /* the work that it took */
} cs_verdict;
void cs_verdict_free(cs_verdict *v);

/* May `leaf` be used as `want` says?
 *   anchors, leaf, extra: borrowed for the call; extra = untrusted intermediates in any order (the leaf may be among
 * them) CS_OK: *ret is filled, accepted or not: the verdict is the answer, not the status. CS_NOMEM, CS_LIMIT: *ret is
 * a refusal all the same, so that a caller who only looks at accepted fails closed. */
CS_MUST_USE cs_status cs_verify(const cs_anchors *anchors, const cs_cert *leaf, const cs_certs *extra,
                                const cs_want *want, cs_verdict *ret, cs_err *err);

/* Do all names of the leaf lie within the name constraints of that CA? What a signer asks before it signs.
 * name-constraint-violated. */
CS_MUST_USE cs_status cs_constraints_check(const cs_cert *ca, const cs_cert *leaf, cs_err *err);

#endif
