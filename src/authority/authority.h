/* authority/authority.h - the CA's service: issues, revokes, publishes; records everything before and after.
 * Owner: the authority process. Any thread may call; changes pass through one writer thread, in batches that share one
 * sync of the disk, and a call returns when its change is durable. Holds no key: the signer does. */
#ifndef CS_AUTHORITY_AUTHORITY_H
#define CS_AUTHORITY_AUTHORITY_H

#include "base/rng.h"
#include "conf/conf.h"
#include "io/cas.h"
#include "keys/known.h"
#include "store/store.h"
#include "x509/csr.h"

typedef struct authority authority;

/* Who asked, for the audit: borrowed for the call. */
typedef struct authority_who {
    char by[CS_IDENTITY_NAME_MAX + 16]; /* "user ann@corp.example", "uid 1000", or a part of ours: "schedule" */
    char serial[STORE_SERIAL_TEXT];     /* of the certificate that proved it; "": none did */
    char from[64];                      /* address; "": this machine */
    char via[16];                       /* how it came: "control", "api", "est"; "": from within */
} authority_who;
#define AUTHORITY_SELF(what) (&(const authority_who){.by = (what)})

/* Which CAs there are; found before the process loses sight of the folder with their keys. */
typedef struct authority_cas {
    cas_list roots, certs, keys; /* root first; all the others; those that issue */
    bool retired[CAS_MAX];       /* of keys */
    char current[CAS_NAME_MAX + 1];
} authority_cas;
/* state-missing when there is none. */
CS_MUST_USE cs_status authority_cas_find(const conf *c, authority_cas *ret, cs_err *err);

/* Lists of keys that are not certified (conf.weak_keys), read before the process loses sight of them; *ret NULL: none.
 */
CS_MUST_USE cs_status authority_known_keys(const conf *c, cs_known_keys **ret, cs_err *err);

typedef struct authority_setup {
    const conf *conf; /* borrowed until authority_free */
    const authority_cas *cas;
    const cs_known_keys *known_keys; /* borrowed likewise; NULL: none */
    const char *signer_path;
    const cs_clock *clock;
    const cs_rng *rng;
} authority_setup;

/* Locks the state folder, opens the store, reads STATE/ca, settles what a killed process left, starts the writer.
 * state-missing, state-busy, and the store's reasons. */
CS_MUST_USE cs_status authority_open(const authority_setup *setup, authority **ret, cs_err *err);
void authority_free(authority *a); /* finishes what was accepted */
CS_AUTO_DEFINE(authority)

/* ---- issuing ---- */
enum { ISSUE_NAMES_MAX = CS_ISSUE_SAN_MAX };
typedef struct issue_ask {
    cs_kind kind;
    cs_view name;
    cs_view csr; /* PEM or DER */
    struct {
        cs_san_type type; /* CS_SAN_DNS, CS_SAN_IP, CS_SAN_EMAIL */
        cs_view text;
    } names[ISSUE_NAMES_MAX]; /* beside the identity's own */
    size_t name_count;
    cs_time lifetime;    /* 0: the profile's */
    const char *profile; /* NULL: the kind's own */
    const char *door;    /* through which it is asked: "cli", "rest", "est", ...; NULL: not asked */
    bool approved;       /* somebody who may has said yes */
    cs_view idempotency_key;
    cs_view issuer;     /* a CA's name; empty: the current one */
    const char *token;  /* id, by which it is asked for: claimed in the intent's transaction; NULL: none */
    const char *parent; /* serial of the certificate that it renews; NULL: none */
    const authority_who *asked_by;
} issue_ask;
/* *ret_leaf: a reference of the caller's. csr-*, name-*, key-* (key-weak-known), profile-violated,
 * idempotency-conflict, signer-unreachable, clock-suspect, store-failed, disk-full; token-invalid, revoked (the
 * parent), lineage-forked. */
CS_MUST_USE cs_status authority_issue(authority *a, const issue_ask *ask, cs_cert **ret_leaf, cs_err *err);

enum { ISSUE_MANY_MAX = 64 };
typedef struct issue_answer {
    cs_cert *leaf; /* the caller's; NULL when err is not CS_OK */
    cs_err err;
    bool recorded; /* the refusal is a record of the log already: the signer refused what was intended */
} issue_answer;
/* Several at once, each for itself: one that is refused does not keep the others. They share the syncs of the disk.
 * answers[n] are filled on CS_OK; limit-reached over ISSUE_MANY_MAX. */
CS_MUST_USE cs_status authority_issue_many(authority *a, const issue_ask asks[], size_t n, issue_answer answers[],
                                           cs_err *err);

/* ---- revoking ---- */
enum { REVOKE_MAX = 100 * 1000 }; /* certificates of one name */
typedef enum revoke_by { REVOKE_BY_NAME, REVOKE_BY_SERIAL } revoke_by;
typedef struct revoke_row {
    char serial[STORE_SERIAL_TEXT], name[CS_IDENTITY_NAME_MAX + 1];
    cs_kind kind;
    uint8_t issuer[32]; /* store_cert.issuer */
} revoke_row;
typedef struct revoke_answer {
    revoke_row *at;
    size_t n, room;
    uint64_t sequence; /* of the feed */
} revoke_answer;
void revoke_answer_free(revoke_answer *answer); /* what it holds */
/* who: a serial (hex, however it is written), or an identity's name, which stands for all its valid certificates; never
 * one taken for the other. reason: CRLReason. certificate-unknown, already-revoked. Gateways are told when it returns;
 * a CRL follows at once. It needs no signer, and goes before what does. */
CS_MUST_USE cs_status authority_revoke(authority *a, revoke_by by, cs_view who, int reason,
                                       const authority_who *asked_by, revoke_answer *ret, cs_err *err);
/* Of certificates on hold; a name stands for all of them. */
CS_MUST_USE cs_status authority_release(authority *a, revoke_by by, cs_view who, const authority_who *asked_by,
                                        revoke_answer *ret, cs_err *err);

/* The certificate of a CA, signed by one of those here; name: by which people know it. Gateways are told as of any
 * other; the list is that CA's own, unless it is a root, whose CRL a command signs. not-a-ca, unknown-issuer,
 * already-revoked. */
CS_MUST_USE cs_status authority_ca_revoke(authority *a, const cs_cert *cert, cs_view name, int reason,
                                          const authority_who *by, uint64_t *ret_sequence, cs_err *err);

/* ---- publishing ---- */
/* A CRL that was published: a file that stays readable when the next takes its place. Immutable, counted. */
typedef struct authority_blob {
    int refs;
    store_crl crl; /* number, times, entries, size, SHA-256 */
    int fd;
} authority_blob;
void authority_blob_free(authority_blob *b);
CS_AUTO_DEFINE(authority_blob)
/* A CA that issues and revokes here; lives as long as the authority. Others know it by its name or by the SHA-256 of
 * its SPKI (store_cert.issuer, cs_cert.spki_sha256). */
typedef struct authority_ca {
    const char *name; /* of its files: ca/NAME.crt */
    const cs_cert *cert;
    bool retired;                    /* it issues no more */
    const conf_crl *policy;          /* of its lists */
    char ca_url[512], ocsp_url[512]; /* what its certificates name; authority_crl_url has the list's */
} authority_ca;
/* By number from 0 on; NULL: there are no more. */
const authority_ca *authority_ca_at(const authority *a, size_t i);
/* NULL when there is none. */
const authority_ca *authority_ca_named(const authority *a, cs_view name);
const authority_ca *authority_ca_of(const authority *a, const uint8_t spki_sha256[32]);
/* The one that issues when nobody names another. */
const authority_ca *authority_ca_current(const authority *a);

/* One list: of all certificates of a CA (shard 0), or of those that were given that shard; complete or a delta. */
typedef struct authority_list {
    const authority_ca *ca;
    unsigned shard;
    bool delta;
} authority_list;
/* "issuing", "issuing.3", "issuing.delta", "issuing.3.delta": its file's name without .crl. */
enum { AUTHORITY_LIST_NAME = CAS_NAME_MAX + 20 };
const char *authority_list_name(const authority_list *l, char out[AUTHORITY_LIST_NAME]);
/* false: there is none of that name. */
bool authority_list_named(const authority *a, cs_view name, authority_list *ret);
/* By number from 0 on; false: there are no more. */
bool authority_list_at(const authority *a, size_t i, authority_list *ret);
/* Where anybody may have it. */
const char *authority_crl_url(const authority *a, const authority_list *l, char out[512]);
/* The newest that was published; a reference. state-missing before the first. */
CS_MUST_USE cs_status authority_crl(authority *a, const authority_list *l, authority_blob **ret, cs_err *err);
/* Makes and publishes all lists now; ca NULL: of each CA. */
CS_MUST_USE cs_status authority_crl_publish(authority *a, const authority_ca *ca, const authority_who *asked_by,
                                            cs_err *err);

const cs_cert *authority_issuing(const authority *a); /* the current CA's certificate */
const cs_cert *authority_root(const authority *a);
enum { AUTHORITY_CHAIN_MAX = 6 };
/* The leaf and all above it that a relying party may need, the root not among them; borrowed. How many comes back. */
size_t authority_chain(const authority *a, const cs_cert *leaf, const cs_cert *ret[AUTHORITY_CHAIN_MAX]);
/* Certificates of ca/: roots (root first) and all the others, by the names of their files; NULL when i is past the end.
 */
const cs_cert *authority_root_at(const authority *a, size_t i);
const cs_cert *authority_cert_at(const authority *a, size_t i);
const cs_cert *authority_cert_named(const authority *a, cs_view name);
/* DER; n == 0: there is none. */
cs_view authority_root_crl(const authority *a, cs_view name);

/* ---- OCSP: ocsp.c ---- */
typedef struct ocsp_reply {
    cs_buf der;     /* an OCSPResponse, also where it says no; the caller's to free */
    bool cacheable; /* by others, until next_update: no nonce, one certificate */
    cs_time this_update, next_update;
} ocsp_reply;
/* Answers one OCSPRequest, about any of our CAs. What is wrong with it is told in the answer (malformedRequest,
 * unauthorized, tryLater) and *err; CS_OK when it was answered as asked. */
cs_status authority_ocsp(authority *a, cs_view request, ocsp_reply *ret, cs_err *err);

/* ---- the registration authority: ra.c ---- */
/* Who answers in the current CA's name where a protocol signs and decrypts by itself (SCEP, CMP): an RSA key, kept in
 * authority/ra.pem, and its certificate, which is changed at half of its life. Immutable, counted. */
typedef struct authority_ra {
    int refs;
    cs_key *key;
    cs_cert *cert;
} authority_ra;
authority_ra *authority_ra_ref(authority_ra *ra);
void authority_ra_free(authority_ra *ra);
CS_AUTO_DEFINE(authority_ra)
enum { AUTHORITY_RA_MAX = 2 };
/* References of the one that answers now, first, and of the one before, as long as its certificate lasts: what was
 * encrypted to that one is still read. Makes the first when there is none. signer-unreachable and the like. */
CS_MUST_USE cs_status authority_ras(authority *a, authority_ra *ret[AUTHORITY_RA_MAX], size_t *ret_n, cs_err *err);

/* ---- looking ---- */
/* A reading connection for the time of the call; other readers wait. */
typedef cs_status authority_reading(void *cls, store *st, cs_err *err);
CS_MUST_USE cs_status authority_read(authority *a, authority_reading *reading, void *cls, cs_err *err);
/* One change of the store, made by the writer within its transaction; those that wait share one. CS_REFUSED leaves the
 * others alone, so it must be said before anything is written. Returns when it is durable. */
typedef cs_status authority_changing(authority *a, store *st, void *cls, cs_err *err);
CS_MUST_USE cs_status authority_change(authority *a, authority_changing *change, void *cls, cs_err *err);
/* One audit record of what changed nothing: a refusal, a login. about may be NULL, detail too. */
CS_MUST_USE cs_status authority_note(authority *a, const char *event, const authority_who *by, const store_cert *about,
                                     const char *detail, cs_err *err);
/* Within a change: a record of it, in the same transaction. */
CS_MUST_USE cs_status authority_audit(authority *a, store *st, const char *event, const authority_who *by,
                                      const store_cert *about, const char *detail, cs_err *err);
/* What other programs left for the log (io/trail.h) is in it when this returns. */
CS_MUST_USE cs_status authority_trail_take(authority *a, cs_err *err);
/* CS_OK when the signer is there, as of at most a second ago. */
CS_MUST_USE cs_status authority_signer_check(authority *a, cs_err *err);
cs_time authority_now(const authority *a);
cs_time authority_started(const authority *a); /* monotonic */

/* ---- the feed ---- */
/* Serves gateways on the listener until stop_fd is readable; runs in a thread of its own. */
void authority_feed_serve(authority *a, int listen_fd, int stop_fd);

#endif
