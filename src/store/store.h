/* store/store.h - what the authority remembers, in verbs of its trade; SQL stays in here.
 * Owner: a store is one connection, used by one thread at a time. One process writes (the authority holds a lock on the
 * state folder); others of its threads read through connections of their own and see what was committed.
 * Every verb that changes something runs inside store_begin ... store_commit; a commit has reached the disk when it
 * returns. store-failed and disk-full leave the transaction to store_rollback, and the store usable. */
#ifndef CS_STORE_STORE_H
#define CS_STORE_STORE_H

#include "base/clock.h"
#include "base/limits.h"
#include "merkle/merkle.h"
#include "x509/identity.h"

typedef struct store store;

/* Opens or makes (0600) the database at where, a file's path or a URL postgresql://..., and brings an older schema up
 * to date. A URL may not hold a password: passfile=FILE (libpq) names the file that does. store-schema-newer,
 * state-corrupt, store-failed, store-unreachable, disk-full, file-unwritable, config-invalid. */
CS_MUST_USE cs_status store_open(const char *where, store **ret, cs_err *err);
void store_free(store *st);
CS_AUTO_DEFINE(store)
/* Ends every row that is still open (a der that was borrowed is gone): a row left open would hold the connection to
 * the database as it was then, blind to all that is committed later. */
void store_settle(store *st);

bool store_is_url(const char *where);
/* What a sandbox must leave open for a URL: the network, if it is not a socket of this machine, and files. */
typedef struct store_reach {
    bool inet;
    size_t n;
    char files[5][1024];
} store_reach;
CS_MUST_USE cs_status store_reach_of(const char *where, store_reach *ret, cs_err *err);
/* Whether other nodes may write into it too. */
bool store_is_shared(const store *st);
/* A descriptor that is readable when another node has added to the feed: then store_watched tells, true also when the
 * connection was lost and something may have been missed. -1: nobody else writes, or (store_is_shared) it is not there:
 * ask again after a while. anew: it was not there before, and something may have been missed. */
int store_watch(store *st, bool *ret_anew);
bool store_watched(store *st);

/* Of several nodes on one database each has a number from 1 that no other has. It counts as alive as long as this
 * connection lasts: what it intends is nobody else's to abandon. */
CS_MUST_USE cs_status store_node_set(store *st, uint32_t node, cs_err *err);
/* Publishing is for one node at a time: false when it is another's turn. Ends with store_turn_end or the connection. */
CS_MUST_USE cs_status store_turn_take(store *st, bool *ret_mine, cs_err *err);
void store_turn_end(store *st);

CS_MUST_USE cs_status store_begin(store *st, cs_err *err);
CS_MUST_USE cs_status store_commit(store *st, cs_err *err); /* rolled back when it fails */
void store_rollback(store *st);

/* ---- certificates ---- */
enum { STORE_SERIAL_TEXT = 2 * CS_SERIAL_MAX + 1, STORE_KEY_MAX = 128, STORE_ID_MAX = 32, STORE_WORD_MAX = 64 };

typedef enum store_status { STORE_INTENT = 0, STORE_ISSUED = 1, STORE_REVOKED = 2, STORE_ABANDONED = 3 } store_status;

typedef struct store_cert {
    char serial[STORE_SERIAL_TEXT];
    cs_kind kind;
    char name[CS_IDENTITY_NAME_MAX + 1];
    store_status status;
    uint8_t issuer[32], spki_sha256[32], tbs_sha256[32], request_sha256[32], sha256[32];
    char idempotency_key[STORE_KEY_MAX + 1]; /* "": none */
    char token[STORE_ID_MAX + 1];            /* by which it was asked for; "": by none */
    char parent[STORE_SERIAL_TEXT];          /* whom it renews; "": it is the first of its lineage */
    unsigned shard;                          /* which list of its CA it names: 0: that of all */
    char profile[STORE_WORD_MAX + 1];        /* "": it was issued before that was kept */
    cs_time created, not_before, not_after;
    char subject[CS_NAME_TEXT_MAX + 1];
    cs_view der;  /* valid until the next verb on this store; n == 0 for an intent */
    cs_view tags; /* of its identity, blanks between; valid as der */
    cs_time revoked_at;
    int revocation_reason;
} store_cert;

/* Step 1: what will be signed. serial-reused when the serial is there already; idempotency-conflict for the key. */
CS_MUST_USE cs_status store_intent_add(store *st, const store_cert *intent, cs_err *err);
/* Step 2: what was signed. */
CS_MUST_USE cs_status store_issued_set(store *st, const char *serial, const char *subject, const uint8_t sha256[32],
                                       cs_view der, cs_err *err);
/* May the intent's key be certified? key-compromised: a certificate with it was revoked as that. key-shared, unless
 * `shared`: it is in a valid certificate, or an intent, of another identity. */
CS_MUST_USE cs_status store_key_check(store *st, const store_cert *intent, bool shared, cs_err *err);
/* The signer refused it: nothing was signed. */
CS_MUST_USE cs_status store_intent_drop(store *st, const char *serial, cs_err *err);
/* Intents of this node and of nodes that died may have been signed (nobody must be at work on one here). Each becomes
 * abandoned, counts as revoked, loses its idempotency key and enters the feed. */
CS_MUST_USE cs_status store_intents_abandon(store *st, cs_time now, size_t *ret_n, cs_err *err);
/* Which those would be, in the order of their making. */
typedef cs_status store_cert_seen(void *cls, const store_cert *c, cs_err *err);
CS_MUST_USE cs_status store_intents_forsaken(store *st, store_cert_seen *seen, void *cls, cs_err *err);

/* certificate-unknown when there is none. */
CS_MUST_USE cs_status store_cert_by_serial(store *st, const char *serial, store_cert *ret, cs_err *err);
CS_MUST_USE cs_status store_cert_by_key(store *st, const char *idempotency_key, store_cert *ret, cs_err *err);

typedef enum store_state {
    STORE_ANY,
    STORE_VALID,
    STORE_EXPIRED,
    STORE_GONE, /* revoked or abandoned */
    STORE_HELD, /* revoked, but for a time */
} store_state;
typedef struct store_filter {
    cs_kind kind;          /* CS_KIND_OTHER: any */
    const char *name;      /* exactly; NULL: any */
    const char *pattern;   /* of names, in which * stands for any text; NULL: any. Not with name. */
    const uint8_t *issuer; /* SHA-256 of the CA's SPKI; NULL: any */
    const char *profile, *tag;
    store_state state;
    cs_time ends_before; /* those that expire before, the first of them first; 0: any */
    const char *after;   /* serial: go on behind it; NULL: from the newest */
    unsigned limit;
} store_filter;
/* Newest first; with ends_before the first to end first, expired ones the last to end first, with a pattern or a tag by
 * name. Intents are left out. A page goes by an index; of several conditions the rarer ones are looked at row by row.
 */
CS_MUST_USE cs_status store_cert_list(store *st, const store_filter *f, cs_time now, store_cert_seen *seen, void *cls,
                                      cs_err *err);
typedef struct store_counts {
    int64_t issued[CS_KIND_COUNT]; /* ever, by kind */
    int64_t valid, revoked, expired;
} store_counts;
CS_MUST_USE cs_status store_count(store *st, cs_time now, store_counts *ret, cs_err *err);
/* What hangs on a CA: identities with valid certificates of it, those that end last first. */
typedef struct store_holder {
    cs_kind kind;
    char name[CS_IDENTITY_NAME_MAX + 1];
    int64_t certificates;
    cs_time not_after; /* of the last */
} store_holder;
typedef cs_status store_holder_seen(void *cls, const store_holder *h, cs_err *err);
CS_MUST_USE cs_status store_holders(store *st, const uint8_t issuer[32], cs_time now, unsigned limit,
                                    store_holder_seen *seen, void *cls, cs_err *err);
/* Valid certificates of that CA, and the end of the last (0: there are none). */
CS_MUST_USE cs_status store_count_of(store *st, const uint8_t issuer[32], cs_time now, int64_t *ret_valid,
                                     cs_time *ret_last, cs_err *err);
/* The valid certificate that ends first. certificate-unknown when there is none. */
CS_MUST_USE cs_status store_expires_next(store *st, cs_time now, store_cert *ret, cs_err *err);

/* ---- tags: words that an identity is found by, whichever certificates it has ---- */
enum { STORE_TAG_MAX = 64, STORE_TAGS_MAX = 32 };
/* Adds or takes one away; nothing happens when it is so already. Tags of an identity, sorted: the tags of its rows. */
CS_MUST_USE cs_status store_tag_set(store *st, cs_kind kind, const char *name, const char *tag, bool there,
                                    cs_err *err);
/* Those of an identity, with blanks between; appended. */
CS_MUST_USE cs_status store_tags_of(store *st, cs_kind kind, const char *name, cs_buf *out, cs_err *err);
typedef cs_status store_tag_seen(void *cls, const char *tag, uint64_t identities, cs_err *err);
CS_MUST_USE cs_status store_tag_list(store *st, store_tag_seen *seen, void *cls, cs_err *err);

/* ---- revocation ---- */
/* already-revoked, certificate-unknown. */
CS_MUST_USE cs_status store_revoke(store *st, const char *serial, int reason, cs_time at, uint64_t *ret_sequence,
                                   cs_err *err);
/* Takes a hold (reason 6) back; certificate-unknown when there is no hold on it. */
CS_MUST_USE cs_status store_release(store *st, const char *serial, cs_time at, uint64_t *ret_sequence, cs_err *err);

typedef struct store_revocation {
    uint64_t sequence; /* of the feed; 0 in CRL entries */
    cs_view issuer, serial;
    cs_time at;
    int reason;
} store_revocation;
typedef cs_status store_revocation_seen(void *cls, const store_revocation *r, cs_err *err);
/* The feed behind `sequence`, in order. */
CS_MUST_USE cs_status store_feed_after(store *st, uint64_t sequence, store_revocation_seen *seen, void *cls,
                                       cs_err *err);
CS_MUST_USE cs_status store_feed_last(store *st, uint64_t *ret, cs_err *err);
/* What belongs on a list of that CA: revoked and abandoned certificates that end after `since`; shard 0: all of them.
 */
CS_MUST_USE cs_status store_revoked(store *st, const uint8_t issuer[32], unsigned shard, cs_time since,
                                    store_revocation_seen *seen, void *cls, cs_err *err);
/* What belongs on a delta: certificates whose status has changed since that entry of the feed, as they are now (reason
 * 8: not revoked any more). */
CS_MUST_USE cs_status store_changed(store *st, const uint8_t issuer[32], unsigned shard, uint64_t after, cs_time since,
                                    store_revocation_seen *seen, void *cls, cs_err *err);
/* Which lists the feed behind `after` is about, and the last entry of each. */
typedef cs_status store_shard_seen(void *cls, const uint8_t issuer[32], unsigned shard, uint64_t sequence, cs_err *err);
CS_MUST_USE cs_status store_feed_shards(store *st, uint64_t after, store_shard_seen *seen, void *cls, cs_err *err);

typedef struct store_crl {
    uint8_t issuer[32];    /* SHA-256 of the CA's SPKI */
    unsigned shard;        /* 0: of all its certificates */
    uint64_t number, base; /* base: of a delta; 0: complete */
    cs_time this_update, next_update;
    uint64_t feed_sequence, entries, size;
    uint8_t sha256[32]; /* of its DER */
} store_crl;
/* Draws the next number, higher than those of all CAs, and records the intent of crl->issuer, shard and base. */
CS_MUST_USE cs_status store_crl_intend(store *st, uint64_t at_least, store_crl *crl, cs_err *err);
/* Of those before, the one that a delta may count from stays. */
CS_MUST_USE cs_status store_crl_publish(store *st, const store_crl *crl, cs_err *err);
/* The newest of that list that was published; state-missing when there is none. */
CS_MUST_USE cs_status store_crl_last(store *st, const uint8_t issuer[32], unsigned shard, bool delta, store_crl *ret,
                                     cs_err *err);
/* What a delta counts from: the complete list before the newest while it is good, so that who holds that one is served
 * too; else the newest. */
CS_MUST_USE cs_status store_crl_base(store *st, const uint8_t issuer[32], unsigned shard, cs_time now, store_crl *ret,
                                     cs_err *err);
/* CRLs from the time of one CA are of that one. */
CS_MUST_USE cs_status store_crl_adopt(store *st, const uint8_t issuer[32], cs_err *err);
/* The highest shard that certificates or lists of that CA were ever given. */
CS_MUST_USE cs_status store_shard_max(store *st, const uint8_t issuer[32], unsigned *ret, cs_err *err);

/* Its octets, for other nodes: in order, from part 0 on. */
CS_MUST_USE cs_status store_crl_part_add(store *st, uint64_t number, unsigned part, cs_view bytes, cs_err *err);
typedef cs_status store_bytes_seen(void *cls, cs_view bytes, cs_err *err);
CS_MUST_USE cs_status store_crl_parts(store *st, uint64_t number, store_bytes_seen *seen, void *cls, cs_err *err);

/* The address under which certificates name that list from now on; and all that there ever were, the newest first. */
CS_MUST_USE cs_status store_point_add(store *st, const uint8_t issuer[32], unsigned shard, const char *url, cs_time at,
                                      cs_err *err);
CS_MUST_USE cs_status store_points(store *st, const uint8_t issuer[32], unsigned shard, store_bytes_seen *seen,
                                   void *cls, cs_err *err);

/* ---- keys that gateways seal sessions with ---- */
enum { STORE_TICKET_KEY = 80 };
/* Adds the one that seals from now on, and drops those made before gone_before. */
CS_MUST_USE cs_status store_ticket_key_add(store *st, cs_view key, cs_time at, cs_time gone_before, cs_err *err);
/* id 0: there is none. */
CS_MUST_USE cs_status store_ticket_newest(store *st, cs_time *ret_made, uint64_t *ret_id, cs_err *err);
/* Those made since, one behind the other, the newest first; appended. */
CS_MUST_USE cs_status store_ticket_keys(store *st, cs_time since, cs_buf *out, cs_err *err);

/* ---- trails (io/trail.h): how much of each is in the log ---- */
CS_MUST_USE cs_status store_trail_at(store *st, const char *id, uint64_t *ret, cs_err *err);
CS_MUST_USE cs_status store_trail_set(store *st, const char *id, uint64_t at, cs_err *err);

/* ---- profiles: which descriptions (digest: cs_profile's, in hex) have been in force ---- */
CS_MUST_USE cs_status store_profile_known(store *st, const char *profile, const char *digest, bool *ret, cs_err *err);
CS_MUST_USE cs_status store_profile_know(store *st, const char *profile, const char *digest, cs_err *err);
/* Is any known? */
CS_MUST_USE cs_status store_profile_any(store *st, bool *ret, cs_err *err);

/* ---- administrators ---- */
/* Roles as bits; 0: none. */
CS_MUST_USE cs_status store_admin_roles(store *st, cs_kind kind, const char *name, unsigned *ret, cs_err *err);
CS_MUST_USE cs_status store_admin_set(store *st, cs_kind kind, const char *name, unsigned roles, cs_time at,
                                      const char *by, cs_err *err); /* roles 0: forgotten */
typedef cs_status store_admin_seen(void *cls, cs_kind kind, const char *name, unsigned roles, cs_time since,
                                   const char *by, cs_err *err);
CS_MUST_USE cs_status store_admin_list(store *st, store_admin_seen *seen, void *cls, cs_err *err);
/* ---- enrollment ---- */
/* A token by which one identity may be enrolled. Its secret is not here (enroll/token.h). */
typedef struct store_token {
    char id[STORE_ID_MAX + 1];
    cs_kind kind;
    char name[CS_IDENTITY_NAME_MAX + 1], profile[STORE_WORD_MAX + 1]; /* profile "": the kind's own */
    cs_time created, not_after, revoked_at;                           /* revoked_at 0: it is not */
    /* How many certificates and ACME accounts it is good for; how many there are by it, abandoned ones not counted. */
    int64_t uses, used;
    char by[CS_IDENTITY_NAME_MAX + 17];
} store_token;
typedef cs_status store_token_seen(void *cls, const store_token *t, cs_err *err);
CS_MUST_USE cs_status store_token_add(store *st, const store_token *t, cs_err *err);
/* token-unknown. */
CS_MUST_USE cs_status store_token_get(store *st, const char *id, store_token *ret, cs_err *err);
/* Newest first; name NULL: all; after: the id behind which to go on, or NULL. */
CS_MUST_USE cs_status store_token_list(store *st, const char *name, const char *after, unsigned limit,
                                       store_token_seen *seen, void *cls, cs_err *err);
/* token-unknown; revoking twice is fine. */
CS_MUST_USE cs_status store_token_revoke(store *st, const char *id, cs_time at, cs_err *err);
/* In the transaction that has added the intent, or ACME account, with that token: may it be? token-invalid when it is
 * revoked, expired or used up. A use is a certificate, so that an intent that comes to nothing gives its use back by
 * itself. */
CS_MUST_USE cs_status store_token_claim(store *st, const char *id, cs_time now, cs_err *err);

typedef enum store_request_status {
    STORE_REQUEST_WAITS = 0,
    STORE_REQUEST_APPROVED = 1,
    STORE_REQUEST_DENIED = 2,
    STORE_REQUEST_ISSUED = 3,
} store_request_status;
/* A request for a certificate that a person decides. */
typedef struct store_request {
    char id[STORE_ID_MAX + 1];
    cs_kind kind;
    char name[CS_IDENTITY_NAME_MAX + 1], profile[STORE_WORD_MAX + 1];
    store_request_status status;
    char door[STORE_WORD_MAX + 1], source[STORE_WORD_MAX + 1], credential[STORE_WORD_MAX + 1];
    char token[STORE_ID_MAX + 1], parent[STORE_SERIAL_TEXT]; /* as in store_cert */
    uint8_t spki_sha256[32];
    cs_view csr; /* DER; valid until the next verb */
    cs_time created, decided_at;
    char decided_by[CS_IDENTITY_NAME_MAX + 17], note[STORE_KEY_MAX + 1];
    char serial[STORE_SERIAL_TEXT]; /* when it is issued */
} store_request;
typedef cs_status store_request_seen(void *cls, const store_request *r, cs_err *err);
CS_MUST_USE cs_status store_request_add(store *st, const store_request *r, cs_err *err);
/* request-unknown. */
CS_MUST_USE cs_status store_request_get(store *st, const char *id, store_request *ret, cs_err *err);
/* The newest for that key by that door. request-unknown. */
CS_MUST_USE cs_status store_request_by_key(store *st, const uint8_t spki_sha256[32], const char *door,
                                           store_request *ret, cs_err *err);
/* Newest first; status -1: all. */
CS_MUST_USE cs_status store_request_list(store *st, int status, const char *after, unsigned limit,
                                         store_request_seen *seen, void *cls, cs_err *err);
/* How many wait. */
CS_MUST_USE cs_status store_request_count(store *st, uint64_t *ret, cs_err *err);
/* Approved or denied, once: request-decided. */
CS_MUST_USE cs_status store_request_decide(store *st, const char *id, store_request_status to, const char *by,
                                           const char *note, cs_time at, cs_err *err);
CS_MUST_USE cs_status store_request_issued(store *st, const char *id, const char *serial, cs_err *err);

/* In the transaction that has added the intent of a renewal: its parent must be good (revoked), and no other
 * certificate with another key may renew it (lineage-forked). */
CS_MUST_USE cs_status store_lineage_check(store *st, const store_cert *child, cs_err *err);
/* Which certificates renew that one, oldest first. */
typedef cs_status store_serial_seen(void *cls, const char *serial, cs_err *err);
CS_MUST_USE cs_status store_lineage_children(store *st, const char *serial, store_serial_seen *seen, void *cls,
                                             cs_err *err);

/* ---- windows in which certificates are to be renewed, before their time ---- */
enum { STORE_WINDOWS_MAX = 64 }; /* that hold at one time; each is looked at when somebody asks */
typedef struct store_window {
    uint64_t id;
    cs_time created, begins, spread;
    char made_by[CS_IDENTITY_NAME_MAX + 16], why[STORE_KEY_MAX + 1];
    cs_kind kind;                           /* CS_KIND_OTHER: any, as "" below and !has_issuer */
    char pattern[CS_IDENTITY_NAME_MAX + 1]; /* of names, in which * stands for any text */
    char tag[STORE_WORD_MAX + 1], profile[STORE_WORD_MAX + 1], key_type[STORE_WORD_MAX + 1];
    bool has_issuer;
    uint8_t issuer[32];
    cs_time removed; /* 0: it holds */
    char removed_by[CS_IDENTITY_NAME_MAX + 16];
} store_window;
/* Sets the id. limit-reached: STORE_WINDOWS_MAX hold. */
CS_MUST_USE cs_status store_window_add(store *st, store_window *w, cs_err *err);
/* renewal-window-unknown, also when it was removed before. */
CS_MUST_USE cs_status store_window_remove(store *st, uint64_t id, const char *by, cs_time at, cs_err *err);
CS_MUST_USE cs_status store_window_get(store *st, uint64_t id, store_window *ret, cs_err *err);
typedef cs_status store_window_seen(void *cls, const store_window *w, cs_err *err);
/* Newest first: those that hold, or (all) the newest 200. */
CS_MUST_USE cs_status store_window_list(store *st, bool all, store_window_seen *seen, void *cls, cs_err *err);

/* ---- devices that may enroll by what their makers gave them ---- */
enum { STORE_DEVICE_SERIAL_MAX = 128 };
typedef struct store_device {
    char name[CS_IDENTITY_NAME_MAX + 1];      /* the identity */
    char vendor[STORE_WORD_MAX + 1];          /* of enroll.vendors; "": any */
    char serial[STORE_DEVICE_SERIAL_MAX + 1]; /* the maker's; "": none */
    bool has_key;
    uint8_t key_sha256[32];           /* of a SubjectPublicKeyInfo */
    char profile[STORE_WORD_MAX + 1]; /* "": the vendor's, else the kind's own */
    cs_time not_after;                /* 0: without end */
    cs_time created;                  /* what was done before does not count as a use */
    char by[CS_IDENTITY_NAME_MAX + 17];
} store_device;
/* One of that name is replaced; when it was made and by whom stays. device-conflict: serial or key is another's; then
 * nothing was written. */
CS_MUST_USE cs_status store_device_put(store *st, const store_device *d, bool *ret_new, cs_err *err);
/* device-unknown, all of them. A serial of that vendor's goes before one of any. */
CS_MUST_USE cs_status store_device_get(store *st, const char *name, store_device *ret, cs_err *err);
CS_MUST_USE cs_status store_device_by_serial(store *st, const char *vendor, const char *serial, store_device *ret,
                                             cs_err *err);
CS_MUST_USE cs_status store_device_by_key(store *st, const uint8_t spki_sha256[32], store_device *ret, cs_err *err);
CS_MUST_USE cs_status store_device_remove(store *st, const char *name, cs_err *err);
/* By name; after: the name behind which to go on, or NULL. */
typedef cs_status store_device_seen(void *cls, const store_device *d, cs_err *err);
CS_MUST_USE cs_status store_device_list(store *st, const char *after, unsigned limit, store_device_seen *seen,
                                        void *cls, cs_err *err);
/* store_cert.token of what is good once and is no token begins with this, which no token's id does. */
#define STORE_ONCE "once."
/* In the transaction that has added the intent with that `token`: is it the first since the device was put on the list
 * (ever, when it is on none)? credential-used. */
CS_MUST_USE cs_status store_once_claim(store *st, const store_cert *intent, cs_err *err);
/* Was the identity's newest certificate revoked, but for being superseded or out of use? */
CS_MUST_USE cs_status store_identity_revoked(store *st, cs_kind kind, const char *name, bool *ret, cs_err *err);

/* ---- proposals: what a second administrator decides on ---- */
typedef enum store_proposal_state {
    PROPOSAL_WAITING = 0,
    PROPOSAL_APPROVED = 1,
    PROPOSAL_DENIED = 2,
    PROPOSAL_USED = 3
} store_proposal_state;
enum { STORE_PROPOSAL_WHAT = 160 };
typedef struct store_proposal {
    uint64_t id;
    char method[8]; /* "": a permit */
    char what[STORE_PROPOSAL_WHAT], proposed_by[CS_IDENTITY_NAME_MAX + 16], decided_by[CS_IDENTITY_NAME_MAX + 16];
    cs_time proposed_at, ends, decided_at;
    store_proposal_state state;
    cs_view body; /* valid until the next verb */
} store_proposal;
/* Sets the id. */
CS_MUST_USE cs_status store_proposal_add(store *st, store_proposal *p, cs_err *err);
CS_MUST_USE cs_status store_proposal_set(store *st, uint64_t id, store_proposal_state state, const char *by, cs_time at,
                                         cs_err *err);
/* proposal-unknown */
CS_MUST_USE cs_status store_proposal_get(store *st, uint64_t id, store_proposal *ret, cs_err *err);
typedef cs_status store_proposal_seen(void *cls, const store_proposal *p, cs_err *err);
/* The newest 200. */
CS_MUST_USE cs_status store_proposal_list(store *st, store_proposal_seen *seen, void *cls, cs_err *err);

/* ---- audit ---- */
typedef struct store_record {
    uint64_t sequence; /* from 1, without gaps; given by the store */
    cs_time at;
    const char *event, *by;
    const char *serial, *name; /* of the certificate that it is about; NULL: of none */
    cs_view record;            /* what is hashed: a JSON object on one line */
} store_record;
/* Appends; the Merkle hashes (merkle/merkle.h) are kept beside the records. */
CS_MUST_USE cs_status store_log_add(store *st, const store_record *r, cs_err *err);
CS_MUST_USE cs_status store_log_size(store *st, uint64_t *ret, cs_err *err);
CS_MUST_USE cs_status store_log_root(store *st, uint64_t size, merkle_hash *ret, cs_err *err);
merkle_node store_log_node; /* cls: the store */

typedef struct store_log_filter {
    uint64_t after, before; /* sequence; before 0: to the end */
    const char *event, *by, *name, *serial;
    bool newest; /* first */
    unsigned limit;
} store_log_filter;
typedef cs_status store_record_seen(void *cls, const store_record *r, cs_err *err);
CS_MUST_USE cs_status store_log_list(store *st, const store_log_filter *f, store_record_seen *seen, void *cls,
                                     cs_err *err);
/* Reads the whole log; state-corrupt naming the first record whose hashes are wrong. */
CS_MUST_USE cs_status store_log_check(store *st, uint64_t *ret_records, cs_err *err);
/* Takes over the hash chain that older versions kept, whole and checked; chain: its last hash. n 0: there was none. */
CS_MUST_USE cs_status store_log_carry(store *st, uint64_t *ret_n, uint8_t chain[32], cs_err *err);

enum { STORE_HEADS_KEPT = 4096 };
CS_MUST_USE cs_status store_head_add(store *st, uint64_t size, cs_time at, cs_view note, cs_err *err);
/* The newest; *ret_size 0: there is none. note may be NULL; else it is appended to. */
CS_MUST_USE cs_status store_head_last(store *st, uint64_t *ret_size, cs_buf *note, cs_err *err);

#endif
