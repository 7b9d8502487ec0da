/* What must be true of a store, each rule on its own. */
#include <stdio.h>

#include "base/text.h"
#include "store/store_priv.h"
#include "store/upkeep.h"
#include "x509/cert.h"
#include "x509/digest.h"

#define INTENT_OLD (10 * CS_MIN) /* issuing takes seconds */
enum { SOUND_MAX = 64 * 1024, FIRST_FEW = 3 };

/* SQL that gives a text for each row that breaks the rule. EXCEPT and joins rather than subqueries for each row: these
 * columns need no index. ?1 is the time before which an intent is old. */
typedef struct rule {
    const char *name, *says;
    unsigned since; /* version of the schema */
    bool timed;     /* it has ?1 */
    const char *sql;
} rule;
static const rule rules[] = {
    {"serial-twice", "a serial number is there twice", 1, false,
     "SELECT serial FROM certificates GROUP BY serial HAVING COUNT(*) > 1"},
    {"status", "a certificate lacks what its status says it has", 1, false,
     "SELECT serial FROM certificates WHERE status NOT IN (0, 1, 2, 3) OR (status IN (1, 2) AND (der IS NULL OR sha256 "
     "IS NULL OR subject IS NULL)) OR (status < 2 AND (revoked_at IS NOT NULL OR revocation_reason IS NOT NULL)) OR "
     "(status >= 2 AND (revoked_at IS NULL OR revocation_reason IS NULL))"},
    {"intent-left", "an intent never ended; the authority abandons it when it starts", 1, true,
     "SELECT serial FROM certificates WHERE status = 0 AND created < ?1"},
    {"feed-gap", "the feed has a gap", 1, false,
     "SELECT 'after the first ' || CAST(n AS TEXT) FROM (SELECT COUNT(*) AS n, COALESCE(MAX(sequence), 0) AS last "
     "FROM feed) AS f WHERE n <> last"},
    {"feed-missing", "gateways were never told of a revocation", 1, false,
     "SELECT serial FROM certificates WHERE status >= 2 EXCEPT SELECT serial FROM feed WHERE reason <> 8"},
    {"feed-unknown", "the feed names a certificate that is not there", 1, false,
     "SELECT serial FROM feed EXCEPT SELECT serial FROM certificates"},
    {"crl-ahead", "a CRL knows more of the feed than there is", 5, false,
     "SELECT CAST(number AS TEXT) FROM crls WHERE feed_sequence > (SELECT "
     "COALESCE(MAX(sequence), 0) FROM feed)"},
    {"issuance-unrecorded", "the audit log has no record of an issuance", STORE_VERSION_LOG, false,
     "SELECT serial FROM certificates WHERE status IN (1, 2) EXCEPT SELECT serial FROM log WHERE event = 'issued'"},
    {"revocation-unrecorded", "the audit log has no record of a revocation", STORE_VERSION_LOG, false,
     "SELECT serial FROM certificates WHERE status = 2 EXCEPT SELECT serial FROM log WHERE event = 'revoked'"},
    {"lineage", "a certificate renews one that is missing, later or somebody else's", 7, false,
     "SELECT c.serial FROM certificates c LEFT JOIN certificates p ON p.serial = c.parent WHERE c.parent IS NOT NULL "
     "AND (p.serial IS NULL OR p.sequence >= c.sequence OR p.kind <> c.kind OR p.name <> c.name)"},
    {"lineage-forked", "a certificate was renewed twice, with two keys", 7, false,
     "SELECT parent FROM certificates WHERE parent IS NOT NULL AND status <> 3 GROUP BY parent HAVING COUNT(DISTINCT "
     "spki_sha256) > 1"},
    {"token-overused", "a token was used more often than it is good for", 7, false,
     "SELECT t.id FROM tokens t JOIN certificates c ON c.token = t.id WHERE c.status <> 3 GROUP BY t.id, t.uses HAVING "
     "COUNT(*) > t.uses"},
    {"request", "a request was answered with a certificate that is not there", 7, false,
     "SELECT r.id FROM requests r LEFT JOIN certificates c ON c.serial = r.serial WHERE r.status = 3 AND c.serial IS "
     "NULL"},
};

/* ---- findings ---- */

static void found(store_checked *one, const char *text) {
    size_t n = strlen(one->first);
    if (one->wrong++ < FIRST_FEW)
        (void)snprintf(one->first + n, sizeof one->first - n, "%s%s", n > 0 ? ", " : "", text);
}

typedef struct checking {
    store *st;
    store_checked_seen *seen;
    void *cls;
    store_check_sum *sum;
} checking;

static cs_status told(const checking *c, const store_checked *one, cs_err *err) {
    c->sum->wrong += one->wrong;
    return c->seen(c->cls, one, err);
}

static cs_status check_rule(const checking *c, const rule *r, cs_time old, cs_err *err) {
    store_checked one = {.rule = r->name, .says = r->says};
    store_stmt *s = NULL;
    cs_status status = CS_OK;
    TRY(store_stmt_open(c->st, r->sql, &s, err));
    if (r->timed) store_stmt_i64(s, 1, old);
    while ((status = store_stmt_step(s, err)) == CS_OK) found(&one, store_col_cstr(s, 0));
    return status == CS_AGAIN ? told(c, &one, err) : status;
}

static cs_status check_sound(const checking *c, cs_err *err) {
    store_checked one = {.rule = "database", .says = "the database's own check found damage"};
    CS_SCOPED(cs_buf) words = cs_buf_of(SOUND_MAX);
    cs_status status = c->st->driver->sound(c->st, &words, err);
    if (status != CS_OK) return status;
    cs_view left = cs_buf_view(&words);
    while (left.n > 0) {
        const uint8_t *end = memchr(left.p, '\n', left.n);
        size_t n = end != NULL ? (size_t)(end - left.p) : left.n;
        char line[160];
        (void)snprintf(line, sizeof line, "%.*s", (int)n, (const char *)left.p);
        found(&one, line);
        n += n < left.n;
        left = cs_view_of(left.p + n, left.n - n);
    }
    return told(c, &one, err);
}

/* ---- certificates against what stands beside them ---- */

static bool is(const store_stmt *s, int i, const uint8_t want[CS_SHA256_LEN]) {
    return cs_view_eq(store_col_blob(s, i), cs_view_of(want, CS_SHA256_LEN));
}

/* Times of a certificate are whole seconds. */
static bool holds(const store_stmt *s, const cs_cert *leaf) {
    char serial[STORE_SERIAL_TEXT];
    uint8_t tbs[CS_SHA256_LEN];
    cs_err ignored;
    cs_view number = leaf->serial;
    if (number.n > CS_SERIAL_MAX || cs_sha256(leaf->tbs, tbs, &ignored) != CS_OK) return false;
    return cs_view_eq_str(store_col_text(s, 0), cs_hex(number, serial)) && is(s, 1, leaf->sha256) &&
           is(s, 2, leaf->spki_sha256) && is(s, 3, tbs) &&
           cs_time_seconds(store_col_i64(s, 4)) == cs_time_seconds(leaf->not_before) &&
           cs_time_seconds(store_col_i64(s, 5)) == cs_time_seconds(leaf->not_after);
}

static cs_status check_contents(const checking *c, cs_err *err) {
    static const char sql[] = "SELECT serial, sha256, spki_sha256, tbs_sha256, not_before, not_after, der FROM "
                              "certificates WHERE der IS NOT NULL";
    store_checked one = {.rule = "contents", .says = "a certificate is not what the columns beside it say"};
    store_stmt *s = NULL;
    cs_status status = CS_OK;
    TRY(store_number(c->st, "SELECT COUNT(*) FROM certificates", &c->sum->certificates, err));
    TRY(store_stmt_open(c->st, sql, &s, err));
    store_stmt_many(s);
    while ((status = store_stmt_step(s, err)) == CS_OK) {
        CS_AUTO(cs_cert) leaf = NULL;
        cs_err why;
        if (cs_cert_decode(store_col_blob(s, 6), &leaf, &why) != CS_OK || !holds(s, leaf))
            found(&one, store_col_cstr(s, 0));
    }
    return status == CS_AGAIN ? told(c, &one, err) : status;
}

/* ---- the log ---- */

static cs_status check_tree(const checking *c, cs_err *err) {
    store_checked one = {.rule = "log", .says = "the audit log was changed, or a record is missing"};
    cs_status status = store_log_check(c->st, &c->sum->log_size, err);
    if (status != CS_OK && err->reason != CS_R_STATE_CORRUPT) return status;
    if (status == CS_OK && c->sum->log_size > 0)
        status = store_log_root(c->st, c->sum->log_size, &c->sum->log_root, err);
    if (status != CS_OK) found(&one, err->detail);
    return told(c, &one, err);
}

/* The third line of a head is its root (merkle/head.h). Who signed it is `countersign log verify`'s question. */
static bool root_of(cs_view note, merkle_hash *ret) {
    CS_SCOPED(cs_buf) b = cs_buf_of(64);
    for (int line = 0; line < 2; line++) {
        const uint8_t *end = note.n > 0 ? memchr(note.p, '\n', note.n) : NULL;
        if (end == NULL) return false;
        size_t n = (size_t)(end - note.p) + 1;
        note = cs_view_of(note.p + n, note.n - n);
    }
    const uint8_t *end = note.n > 0 ? memchr(note.p, '\n', note.n) : NULL;
    if (end == NULL || !cs_base64_decode(cs_view_of(note.p, (size_t)(end - note.p)), false, &b)) return false;
    if (b.n != sizeof ret->at) return false;
    memcpy(ret->at, b.p, b.n);
    return true;
}

static cs_status check_heads(const checking *c, cs_err *err) {
    static const char sql[] = "SELECT size, note FROM log_heads ORDER BY size";
    store_checked one = {.rule = "log-heads", .says = "a signed head is of another log"};
    store_stmt *s = NULL;
    cs_status status = CS_OK;
    TRY(store_stmt_open(c->st, sql, &s, err));
    while ((status = store_stmt_step(s, err)) == CS_OK) {
        merkle_hash said, is_now;
        char text[32];
        uint64_t size = (uint64_t)store_col_i64(s, 0);
        bool good = size <= c->sum->log_size && root_of(store_col_text(s, 1), &said);
        if (good && store_log_root(c->st, size, &is_now, err) != CS_OK) good = false;
        if (good && memcmp(said.at, is_now.at, sizeof said.at) == 0) continue;
        (void)snprintf(text, sizeof text, "of %llu records", (unsigned long long)size);
        found(&one, text);
    }
    return status == CS_AGAIN ? told(c, &one, err) : status;
}

static cs_status check_all(const checking *c, cs_time now, cs_err *err) {
    TRY(check_sound(c, err));
    TRY(check_contents(c, err));
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].since <= c->sum->schema) TRY(check_rule(c, &rules[i], now - INTENT_OLD, err));
    if (c->sum->schema < STORE_VERSION_LOG) return CS_OK;
    TRY(check_tree(c, err));
    return check_heads(c, err);
}

cs_status store_check(store *st, cs_time now, store_checked_seen *seen, void *cls, store_check_sum *ret, cs_err *err) {
    const checking c = {.st = st, .seen = seen, .cls = cls, .sum = ret};
    *ret = (store_check_sum){.schema = 0};
    TRY(st->driver->version(st, &ret->schema, err));
    TRY(st->driver->begin_read(st, err));
    cs_status status = check_all(&c, now, err);
    store_settle(st);
    store_rollback(st);
    return status;
}
