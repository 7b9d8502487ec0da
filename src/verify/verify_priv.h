/* verify/verify_priv.h - one question under way: what the files of this room share.
 * Owner: cs_verify's frame; one thread. Certificates are borrowed from anchors, leaf and extra. */
#ifndef CS_VERIFY_VERIFY_PRIV_H
#define CS_VERIFY_VERIFY_PRIV_H

#include "verify/verify.h"
#include "x509/cert_priv.h"
#include "x509/crl.h"
#include "x509/ocsp.h"

struct cs_anchors {
    int refs;
    cs_certs certs; /* by subject_hash */
};

struct cs_crls {
    int refs;
    cs_crl **at;
    size_t n;
};

struct cs_ocsps {
    int refs;
    cs_ocsp **at;
    size_t n;
};

/* How long an answer counts: @rfc 6960#4.2.2.1 leaves one without nextUpdate to the client. */
#define CS_OCSP_AGE_WITHOUT_NEXT CS_HOUR
#define CS_OCSP_AGE_MAX (10 * CS_DAY)

/* The stated amount of work for one question. A unit is about 0.1 ms: a signature check by P-256 or RSA, or the
 * decoding of a key; other keys cost more (cs_cert_more.key_cost), so that the whole stays under 50 ms. */
enum {
    CS_WORK_UNITS = 256,
    CS_WORK_EXPLAIN = 32,       /* more of them, and as many candidates, to tell the next best path */
    CS_WORK_STEPS = 8192,       /* candidates looked at while building paths */
    CS_WORK_PATHS = 64,         /* complete paths judged */
    CS_WORK_NAMES = 512 * 1024, /* comparisons of a name with a constraint */
    CS_CRL_NESTING = 2,         /* paths of CRL signers within paths */
};

typedef struct cs_refusal {
    cs_reason reason; /* CS_R_NONE: none */
    int depth;
    char detail[CS_DETAIL_MAX];
} cs_refusal;
/* Fills *r; the first refusal stays. Returns false. */
bool cs_refuse(cs_refusal *r, cs_reason reason, int depth, const char *fmt, ...) CS_PRINTF(4, 5);
/* The same from a flaw of form. */
bool cs_refuse_flaw(cs_refusal *r, const cs_flaw *f, int depth);

typedef struct cs_path {
    const cs_cert *at[CS_PATH_MAX]; /* leaf first */
    size_t n;
    bool anchored; /* the last one is an anchor */
} cs_path;

typedef struct cs_candidate {
    const cs_cert *cert;
    bool anchor, healthy; /* healthy: valid now, a CA, no flaw */
    bool useful;          /* an anchor can be reached from it by names */
} cs_candidate;

typedef struct cs_checked { /* memo: was `tbs_of` signed by that key? */
    const void *what;       /* certificate or CRL */
    uint8_t key[16];        /* of the signer's spki_sha256: both halves of a digest are as good */
    bool ok;
} cs_checked;

typedef struct cs_run {
    const cs_anchors *anchors;
    const cs_certs *extra;
    const cs_want *want;
    cs_candidate *pool; /* by subject_hash: anchors and extra */
    size_t pool_n;
    cs_checked memo[CS_WORK_UNITS + 1];
    size_t memo_n;
    int units_left, steps_left, paths_left, names_left;
    unsigned checks; /* signature checks made */
    int nesting;     /* CRL signers' paths under way */
    const cs_cert *signers[CS_CRL_NESTING + 1];
    bool late;                      /* likewise: its leaf has ended, which was allowed */
    cs_time good_from, good_until;  /* of the path judged last */
    cs_revocation_state revocation; /* likewise */
    bool spent;
} cs_run;

/* Did the key of `signer` make this signature? Remembered; costs units. False when the budget is spent (run->spent). */
bool cs_run_signed(cs_run *run, const void *what, const cs_sigalg *alg, cs_view tbs, cs_view sig,
                   const cs_cert *signer);
bool cs_run_cert_signed(cs_run *run, const cs_cert *c, const cs_cert *signer);
bool cs_signer_is(const cs_signer *s, const uint8_t key[32]);
void cs_signer_keep(const cs_signer *s, const uint8_t key[32]);

/* Candidates of that subject: first index, count through *ret_n. (pool is sorted) */
size_t cs_pool_find(const cs_run *run, cs_view name, uint64_t hash, size_t *ret_n);

/* ---- path.c ---- */
/* Finds a path from `leaf` to an anchor (to `must`, unless NULL) that the rules accept. On false *r says why and *path
 * is the one considered. *other (may be NULL) gets the next best one and its refusal; n = 0: there was none. */
typedef struct cs_considered {
    cs_path path;
    cs_refusal why;
} cs_considered;
bool cs_path_find(cs_run *run, const cs_cert *leaf, const cs_want *want, const cs_cert *must, cs_path *path,
                  cs_refusal *r, cs_considered *other);

/* ---- rules.c: @rfc 5280#6.1 on one path whose signatures are good ---- */
bool cs_path_judge(cs_run *run, const cs_path *path, const cs_want *want, cs_refusal *r);
/* May this certificate be an issuer at all, now? The quick part, to order candidates by. */
bool cs_issuer_healthy(const cs_cert *c, const cs_want *want);
static inline bool cs_is_strict(const cs_want *want) {
    return want->purpose != CS_PURPOSE_ANY;
}

/* ---- leaf.c ---- */
/* What server and client ask beyond RFC 5280. */
bool cs_leaf_judge(const cs_cert *leaf, const cs_want *want, cs_refusal *r);
bool cs_ca_purpose_ok(const cs_cert *ca, int depth, const cs_want *want, cs_refusal *r);

/* ---- constraints.c ---- */
/* Do all names of path[depth] lie within the name constraints of path[ca]? */
bool cs_constraints_ok(cs_run *run, const cs_path *path, size_t ca, size_t depth, cs_refusal *r);

/* ---- policy.c ---- */
bool cs_policies_ok(const cs_path *path, const cs_want *want, cs_refusal *r);

/* ---- hostname.c: @rfc 9525#6 ---- */
bool cs_names_match(const cs_cert *leaf, const cs_want *want, cs_refusal *r);
/* Labels of letters, digits, hyphens (underscores too, if `loose`), 1-63 octets each, 253 in all; "*." first if `wild`.
 */
bool cs_dns_name_ok(cs_view name, bool wild, bool loose);

/* ---- revoked.c: @rfc 5280#6.3 ---- */
bool cs_path_unrevoked(cs_run *run, const cs_path *path, const cs_want *want, cs_refusal *r);

/* ---- marks.c: is that authentic CRL as new as what was seen? Raises the mark. ---- */
bool cs_mark_ok(cs_marks *m, const cs_crl *crl, const cs_cert *issuer, size_t depth, cs_refusal *why_not);

/* ---- lists.c ---- */
bool cs_pins_ok(cs_run *run, const cs_path *path, const cs_want *want, cs_refusal *r);
bool cs_lists_ok(const cs_path *path, const cs_want *want, cs_refusal *r);

/* ---- ocsp.c: @rfc 6960#3.2 ---- */
typedef enum cs_ocsp_says { CS_OCSP_SAYS_NOTHING, CS_OCSP_SAYS_GOOD, CS_OCSP_SAYS_REVOKED } cs_ocsp_says;
/* What the authorised and current responses say of path[depth]. *ret: the answer that counts; *until: when it ends;
 * *why_not: why one that was about it did not count. */
cs_ocsp_says cs_ocsp_ask(cs_run *run, const cs_path *path, size_t depth, const cs_want *want, cs_ocsp_single *ret,
                         cs_time *until, cs_refusal *why_not);

#endif
