/* tls/record.h - the record layer of TLS 1.3 after the handshake (RFC 8446 5), our own: what libssl's object is kept
 * for when a connection is established, in 300 octets instead of 13 KiB. Protected records in, plaintext out, and back;
 * sans-I/O. The handshake stays libssl's, and so does all of TLS 1.2.
 *
 * Owner: tls_records belongs to its connection and holds its secrets, which are wiped when it is freed; tls_ciphers
 * belongs to a thread and outlives its connections. Nothing of a record is let out before its tag was checked. What
 * libssl refuses is refused with the same alert (tests/fuzz/records.c holds the two against each other). */
#ifndef CS_TLS_RECORD_H
#define CS_TLS_RECORD_H

#include "tls/tls.h"

enum {
    TLS_RECORD_HEADER = 5,
    TLS_RECORD_PLAIN_MAX = 1 << 14,   /* RFC 8446 5.1 */
    TLS_RECORD_MAX = (1 << 14) + 256, /* protected, 5.2 */
    TLS_TAG = 16,                     /* of all three suites */
    TLS_SECRET_MAX = 48,              /* SHA-384 */
    TLS_KEY_UPDATES_MAX = 32,         /* in a row without data: each costs derivations, and maybe an answer */
    TLS_EMPTY_MAX = 32,
    TLS_WARNINGS_MAX = 4 /* in a row, as libssl has them */
};
/* Records under one key before it is updated: RFC 8446 5.5 gives 2^24.5 for AES-GCM; the others count no fewer. */
#define TLS_RECORDS_A_KEY ((uint64_t)1 << 24)

enum tls_content { TLS_ALERT = 21, TLS_HANDSHAKE = 22, TLS_DATA = 23 };

typedef struct tls_suite {
    uint16_t id;
    const char *name, *cipher, *digest;
    uint8_t key_n, hash_n;
} tls_suite;
const tls_suite *tls_suite_of(unsigned id); /* NULL: not one of TLS 1.3's three with tags of 16 octets */

/* One direction. */
typedef struct tls_half {
    uint8_t secret[TLS_SECRET_MAX], key[32], iv[12];
    bool seals;
    uint64_t seq;
} tls_half;

typedef struct tls_records {
    tls_ciphers *ciphers; /* borrowed */
    const tls_suite *suite;
    tls_half in, out;
    uint8_t message[5]; /* a handshake message that has begun: KeyUpdate, which has five octets, is all there may be */
    uint8_t message_n;
    uint8_t key_updates, empty, warnings; /* in a row */
    bool ended;                           /* the peer's close_notify came: the rest is not looked at */
    bool failed;                          /* an alert ended it, theirs or ours: nothing more goes out */
    bool closed;                          /* our close_notify went out */
    bool asked;                           /* the peer, for new keys */
} tls_records;

/* Application traffic secrets, of suite->hash_n octets, each with the number of records it has protected so far. */
typedef struct tls_records_plan {
    const tls_suite *suite;
    const uint8_t *in, *out;
    uint64_t in_seq, out_seq;
} tls_records_plan;
CS_MUST_USE cs_status tls_records_init(tls_records *r, tls_ciphers *ciphers, const tls_records_plan *plan, cs_err *err);
void tls_records_wipe(tls_records *r);
void tls_records_idle(tls_records *r); /* gives back what it borrowed */

/* Opens the whole records at the front of `in` into `plain`; *ret_used: how much of `in` is done with. CS_OK: as far as
 * there were any, or to the peer's close_notify (r->ended). tls-record-invalid: an alert stands in `out`; what came
 * before stands in `plain`. tls-alert-received. Answers to KeyUpdate go into `out`. */
CS_MUST_USE cs_status tls_records_open(tls_records *r, cs_view in, size_t *ret_used, cs_buf *plain, cs_buf *out,
                                       cs_err *err);
/* Application data, as records; keys are updated when it is time. */
CS_MUST_USE cs_status tls_records_seal(tls_records *r, cs_view data, cs_buf *out, cs_err *err);
void tls_records_close(tls_records *r, cs_buf *out);                /* close_notify, once */
void tls_records_alert(tls_records *r, uint8_t alert, cs_buf *out); /* fatal, once: the last that is said */
/* New keys for what goes out, and, when `ask`, for what comes in (RFC 8446 4.6.3). */
CS_MUST_USE cs_status tls_records_update(tls_records *r, bool ask, cs_buf *out, cs_err *err);

/* One record with that content and so many zeros after it. For the files of this room and their tests. */
CS_MUST_USE cs_status tls_record_seal(tls_records *r, enum tls_content type, cs_view content, size_t padding,
                                      cs_buf *out, cs_err *err);
/* The record at `header`, complete, with `body` octets, more than TLS_TAG: body - TLS_TAG octets into `plain`. False:
 * it is not the peer's; nothing of it is left in `plain`. */
CS_MUST_USE bool tls_record_open(tls_records *r, const uint8_t *header, size_t body, uint8_t *plain);
CS_MUST_USE cs_status tls_half_next(tls_half *h, const tls_records *r, cs_err *err);

#endif
