/* enroll/enroll.h - the one enrollment, whichever protocol's door it came by: who asks, may they, for what, now or
 * later. Owner: the authority process; one object, any thread. A door verifies what is the protocol's (signatures,
 * MACs, proof of a certificate's key), fills an enroll_ask, and turns the answer or the refusal into its protocol. It
 * decides nothing. Every refusal of a credential is audited here; what the client is told should be the reason's name
 * at most: the detail is for the operator. */
#ifndef CS_ENROLL_ENROLL_H
#define CS_ENROLL_ENROLL_H

#include "authority/authority.h"
#include "base/secret.h"
#include "store/acme.h"

typedef struct enroll enroll;

typedef struct enroll_setup {
    authority *authority; /* borrowed until enroll_free, like the rest */
    const conf *conf;
    const cs_clock *clock;
    const cs_rng *rng;
} enroll_setup;
/* Makes the key of tokens (authority/enroll.key, 0600) when there is none. */
CS_MUST_USE cs_status enroll_open(const enroll_setup *setup, enroll **ret, cs_err *err);
void enroll_free(enroll *e);
CS_AUTO_DEFINE(enroll)

/* ---- asking for a certificate ---- */
/* Who proved to a door that each name of the request is theirs (ACME). The door has seen that the request carries those
 * names and no others. */
typedef struct enroll_proven {
    cs_kind kind;
    const char *name;    /* the identity: what the account is bound to, else the first of the names */
    const char *profile; /* the account's; NULL: none */
    const char *order;   /* the order's id: it gets one certificate */
} enroll_proven;

typedef struct enroll_ask {
    const char *door;    /* "est": for the audit */
    const char *source;  /* the client's address, as text */
    const char *profile; /* named by path or message; NULL: the credential's */
    const conf_door *at; /* what the configuration says of the door; NULL: nothing */
    cs_view csr;         /* PEM or DER */
    /* What the requester shows. A certificate (whose key the door has seen proven) renews itself; a token enrolls. With
     * both, the certificate counts where renewal is asked for, else the token. With neither: the request may wait for a
     * person, where the policy lets it. A certificate that is none of ours but of a vendor of devices, and a key that
     * is on the list of devices, enroll once (enroll.vendors, enroll.listed_keys). */
    const cs_cert *certificate; /* NULL: none */
    const cs_certs *chain;      /* what came with it, in any order, for a device's maker's; NULL: nothing */
    bool renewal;               /* the protocol's own word for it: nothing but a certificate of ours will do */
    cs_view name, secret; /* a token, with the identity's name; name.n == 0: the token's own; secret.n == 0: none */
    bool binds;           /* the protocol binds requests to connections: the request's challenge says to which */
    cs_view binding;      /* of this connection, as base64; n == 0: it has none */
    struct enroll_trace *trace;  /* enroll/trace.h; NULL: enroll_submit begins one, where they are wanted */
    const enroll_proven *proven; /* or: names that were proven; NULL: none */
    const char *token;           /* or: the id of a token whose secret proved itself (enroll_token_try) */
} enroll_ask;

/* A TPM's attestation key (ask->certificate, whose word the door has judged) is of a vendor of TPMs, or is on the list
 * of devices: is it that device's? device-not-allowed, device-serial-missing, revoked, and the verdict's. */
CS_MUST_USE cs_status enroll_attested(enroll *e, const enroll_ask *ask, const char *device, cs_err *err);

/* Fills door, profile and at of a protocol's path with that label ("": without). label and ask: kept by the caller.
 * route-unknown: nobody is served there, or the label is neither configured nor a profile's name. */
CS_MUST_USE cs_status enroll_at(const enroll *e, conf_protocol_door protocol, const char *label, enroll_ask *ask,
                                cs_err *err);

typedef struct enroll_answer {
    cs_cert *leaf; /* the caller's reference; NULL: it waits */
    cs_identity who;
    char request[STORE_ID_MAX + 1]; /* when it waits or waited */
    cs_time retry;                  /* ask again after so long */
} enroll_answer;
void enroll_answer_free(enroll_answer *answer);

/* CS_OK: issued, or waiting. The same request by the same requester gets the same answer, however often it asks.
 * device-not-allowed, device-serial-missing, credential-used; credential-needed, token-invalid, too-many-guesses,
 * request-denied, renewal-too-late, lineage-forked, revoked, not-yet-valid, unknown-issuer, profile-unknown,
 * name-not-allowed, and authority_issue's. */
CS_MUST_USE cs_status enroll_submit(enroll *e, const enroll_ask *ask, enroll_answer *ret, cs_err *err);
/* Was a request with that challengePassword made for this connection, as at->binding wants it? Asked by enroll_submit,
 * unless the door hands on another request than it got. channel-binding-mismatch. */
CS_MUST_USE cs_status enroll_binding_check(const enroll_ask *ask, cs_view challenge, cs_err *err);
/* What became of a request that waits, for who polls without sending it again; spki_sha256: of its key, which the door
 * has seen proven; NULL: the door knows who asks. request-unknown, request-denied. */
CS_MUST_USE cs_status enroll_poll(enroll *e, const char *request, const uint8_t *spki_sha256, enroll_answer *ret,
                                  cs_err *err);

/* The same of the newest request for that key by that door, where the protocol has no other name for it (SCEP). */
CS_MUST_USE cs_status enroll_poll_key(enroll *e, const char *door, const uint8_t spki_sha256[32], enroll_answer *ret,
                                      cs_err *err);
/* A door has refused what never came as far as enroll_submit (a message that does not verify or open): logged, audited,
 * and counted as a wrong guess of ask->source. ask: door, source, certificate; about: whom it says it is, or "". */
void enroll_refused(enroll *e, const enroll_ask *ask, const char *about, const cs_err *why);
/* too-many-guesses: before a door does what costs much for who has only shown nonsense. */
CS_MUST_USE cs_status enroll_may_try(enroll *e, const char *source, cs_err *err);

/* When should that certificate be renewed? (RFC 9773; it is good to know for every protocol.) After two thirds of its
 * life, or sooner as an operator says, or now when it was revoked. certificate-unknown: none of ours has that serial
 * and issuer (the key id that the certificate names, in hex; NULL: not asked). */
typedef struct enroll_window {
    cs_time start, end;
    uint64_t id; /* of the operator's window; 0: its age decides */
} enroll_window;
CS_MUST_USE cs_status enroll_window_of(enroll *e, const char *serial, const char *issuer_skid, enroll_window *ret,
                                       cs_err *err);

/* An operator wants all that fit *w (its conditions; begins, 0: now; spread; why) renewed then, which fills the rest.
 * message-malformed (no condition), tag-invalid, profile-unknown, limit-reached. */
CS_MUST_USE cs_status enroll_window_add(enroll *e, store_window *w, const authority_who *by, cs_err *err);
/* renewal-window-unknown. */
CS_MUST_USE cs_status enroll_window_remove(enroll *e, uint64_t id, const authority_who *by, cs_err *err);
CS_MUST_USE cs_status enroll_window_get(enroll *e, uint64_t id, store_window *ret, cs_err *err);
enum { ENROLL_WINDOW_LOOKED_MAX = 200000 };
typedef struct enroll_window_state {
    uint64_t certificates, renewed; /* valid ones that fit; how many of them have been renewed */
    bool more;                      /* ENROLL_WINDOW_LOOKED_MAX were looked at, and there are more */
} enroll_window_state;
CS_MUST_USE cs_status enroll_window_count(enroll *e, const store_window *w, enroll_window_state *ret, cs_err *err);

/* ---- tokens ---- */
enum { ENROLL_TOKEN_TEXT = 49, ENROLL_TOKEN_USES_MAX = 1000000 }; /* characters of a token */
#define ENROLL_TOKEN_TTL CS_DAY
typedef struct enroll_token_ask {
    cs_kind kind;
    cs_view name;
    const char *profile; /* NULL: the kind's own */
    cs_time ttl;         /* 0: ENROLL_TOKEN_TTL */
    unsigned uses;       /* 0: one */
    const authority_who *by;
} enroll_token_ask;
/* *ret_text: what is handed out, once; ENROLL_TOKEN_TEXT lower-case letters, digits and '-'. name-invalid,
 * profile-unknown, limit-reached. */
CS_MUST_USE cs_status enroll_token_create(enroll *e, const enroll_token_ask *ask, store_token *ret,
                                          cs_secret **ret_text, cs_err *err);
/* token-unknown. */
CS_MUST_USE cs_status enroll_token_revoke(enroll *e, const char *id, const authority_who *by, cs_err *err);
/* For protocols that use the token as the key of a MAC (CMP, ACME's external account binding): hands the texts of the
 * newest live tokens of that name to `fits`, one after the other, until one does; its id goes to ret_id.
 * token-invalid, too-many-guesses. */
typedef bool enroll_token_fits(void *cls, cs_view text);
CS_MUST_USE cs_status enroll_token_try(enroll *e, cs_view name, const char *source, enroll_token_fits *fits, void *cls,
                                       char ret_id[STORE_ID_MAX + 1], cs_err *err);

/* ---- devices that need no token ---- */
enum { ENROLL_DEVICES_MAX = 1000 }; /* at once */
typedef struct enroll_device {
    store_device row; /* in: all but created and by */
    cs_err err;       /* out: why this one was refused; status CS_OK: it was not */
    bool made;        /* out: else it replaced one */
} enroll_device;
/* Puts them on the list, each for itself; one audit record. limit-reached over ENROLL_DEVICES_MAX. In err of each:
 * name-invalid, device-invalid, device-conflict, profile-unknown. */
CS_MUST_USE cs_status enroll_devices_allow(enroll *e, enroll_device at[], size_t n, const authority_who *by,
                                           cs_err *err);
/* Takes one from it; certificates that it has stay. device-unknown. */
CS_MUST_USE cs_status enroll_device_remove(enroll *e, const char *name, const authority_who *by, cs_err *err);

/* ---- accounts ---- */
/* An ACME account, bound to the token's identity and profile (a use of it), or, with token NULL, to none. Fills those
 * and `created` of *account; what else it is the caller has filled. account-key-in-use, token-invalid,
 * too-many-orders (there are too many accounts). */
enum { ENROLL_OPEN_ACCOUNTS_MAX = 20000 };
CS_MUST_USE cs_status enroll_account_add(enroll *e, const char *token, const authority_who *by, store_account *account,
                                         cs_err *err);

/* ---- requests that wait ---- */
/* Approves and issues; or denies. note: why, for whoever looks; NULL: none. request-unknown, request-decided. */
CS_MUST_USE cs_status enroll_approve(enroll *e, const char *request, const char *note, const authority_who *by,
                                     enroll_answer *ret, cs_err *err);
CS_MUST_USE cs_status enroll_deny(enroll *e, const char *request, const char *note, const authority_who *by,
                                  cs_err *err);

/* ---- renewing on behalf ---- */
/* An operator renews the certificate with that serial for its holder: same identity and names. csr: with the same key
 * or a new one. As by the holder, but whoever asks need not have the old key, and a fork is refused, no more. */
CS_MUST_USE cs_status enroll_renew(enroll *e, const char *serial, cs_view csr, const authority_who *by,
                                   enroll_answer *ret, cs_err *err);

/* A key was lost, or fell into other hands: the identity of the certificate with that serial, whatever became of it,
 * gets a new one for the request's key, with its names and profile, and its other certificates end for that reason:
 * before the new one is issued when the key is in other hands (CS_CRL_KEY_COMPROMISE), else after. ended: which.
 * certificate-unknown, key-not-new, authority_issue's. */
CS_MUST_USE cs_status enroll_reissue(enroll *e, const char *serial, cs_view csr, int reason, const authority_who *by,
                                     enroll_answer *ret, revoke_answer *ended, cs_err *err);

/* ---- revoking by the holder ---- */
typedef struct enroll_revocation {
    const char *door, *source;
    const cs_cert
        *certificate;       /* whose key the door has seen proven: it, or another of the same identity, is revoked */
    cs_view issuer, serial; /* of which one; issuer: Name, n == 0: not said */
    int reason;             /* CRLReason */
} enroll_revocation;
/* Whoever holds a certificate may end those of the same identity; taking a hold back is an operator's matter.
 * certificate-unknown, already-revoked, permission-denied, reason-invalid, and those of renewing. */
CS_MUST_USE cs_status enroll_revoke(enroll *e, const enroll_revocation *ask, cs_err *err);

authority *enroll_authority(const enroll *e);
/* What it was opened with. */
const conf *enroll_conf(const enroll *e);
const cs_clock *enroll_clock(const enroll *e);
const cs_rng *enroll_rng(const enroll *e);
/* A key of the tokens' key for another use; the same on every node that has the key file. */
CS_MUST_USE cs_status enroll_derive(const enroll *e, const char *use, uint8_t ret[32], cs_err *err);

#endif
