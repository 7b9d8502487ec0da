/* A store of any size, and what each verb costs on it.
 *   bench-store fill STORE N     certificates of a fleet that is some years old, with its audit log
 *   bench-store copy FROM TO     as `countersign store migrate` does
 *   bench-store measure STORE    microseconds of each verb: median, 99th of 100, the longest
 * STORE: a file or postgresql:// URL. Only the verbs of store/ are used. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "store/upkeep.h"

enum { BATCH = 1000, DER = 820, RUNS = 200, PAGE = 101, ISSUERS = 3 };
#define NOW (CS_YEAR * 56) /* of 1970 */
#define STEP (20 * CS_SEC) /* between two issuances */

static cs_err err;
static void must(cs_status status) {
    if (status == CS_OK) return;
    (void)fprintf(stderr, "bench-store: %s: %s\n", cs_reason_of(err.reason)->name, err.detail);
    exit(1);
}

/* What belongs to number i, spread as if at random. */
static uint64_t mix(uint64_t i) {
    i = (i ^ (i >> 31)) * 0x7fb5d329728ea185u;
    i = (i ^ (i >> 27)) * 0x81dadef4bc2dd44du;
    return i ^ (i >> 33);
}

static void serial_of(uint64_t i, char out[STORE_SERIAL_TEXT]) {
    (void)snprintf(out, STORE_SERIAL_TEXT, "4%015llx%016llx", (unsigned long long)(mix(i) >> 4),
                   (unsigned long long)mix(i + 0x1234567));
}

static cs_kind kind_of(uint64_t i) {
    return i % 1000 == 7 ? CS_KIND_SERVER : i % 11 == 3 ? CS_KIND_USER : CS_KIND_DEVICE;
}

static void name_of(uint64_t i, char out[64]) {
    unsigned long long n = i / 4; /* four certificates an identity */
    switch (kind_of(i)) {
    case CS_KIND_SERVER: (void)snprintf(out, 64, "gw-%06llu.corp.example", n); break;
    case CS_KIND_USER: (void)snprintf(out, 64, "u%06llu@corp.example", n); break;
    default: (void)snprintf(out, 64, "pump-%06llu", n); break;
    }
}

/* One CA has nearly all, one some, one a hundred. */
static unsigned issuer_of(uint64_t i) {
    return i % 10000 == 77 ? 2 : i % 20 == 5 ? 1 : 0;
}

static void row_of(uint64_t i, uint64_t n, store_cert *c) {
    memset(c, 0, sizeof *c);
    serial_of(i, c->serial);
    c->kind = kind_of(i);
    name_of(i, c->name);
    c->issuer[0] = (uint8_t)issuer_of(i);
    uint64_t key = mix(i * 3 + 1);
    memcpy(c->spki_sha256, &key, sizeof key);
    memcpy(c->tbs_sha256, &key, sizeof key);
    (void)snprintf(c->profile, sizeof c->profile, "%s", i % 20000 == 13 ? "kiosk" : cs_kind_name(c->kind));
    if (i % 3 == 0) (void)snprintf(c->idempotency_key, sizeof c->idempotency_key, "fleet-%llu", (unsigned long long)i);
    c->created = NOW - (cs_time)(n - i) * STEP;
    c->not_before = c->created - CS_MIN;
    c->not_after = c->created + (cs_time)(n / 8 * 7) * STEP; /* an eighth has expired */
    if (i >= 1 && i % 4 != 0) serial_of(i - 1, c->parent);
}

static void add(store *st, uint64_t i, uint64_t n, uint8_t der[DER]) {
    store_cert c;
    char record[256];
    uint64_t sequence = 0, salt = mix(i + 99);
    row_of(i, n, &c);
    if (kind_of(i) != kind_of(i == 0 ? 0 : i - 1)) c.parent[0] = '\0';
    must(store_intent_add(st, &c, &err));
    memcpy(der + 64, &salt, sizeof salt);
    memcpy(c.sha256, &salt, sizeof salt);
    must(store_issued_set(st, c.serial, "CN=somebody,O=Corp", c.sha256, cs_view_of(der, DER), &err));
    (void)snprintf(record, sizeof record, "{\"event\":\"issued\",\"by\":\"uid 0\",\"serial\":\"%s\",\"name\":\"%s\"}",
                   c.serial, c.name);
    const store_record r = {.at = c.created,
                            .event = "issued",
                            .by = "uid 0",
                            .serial = c.serial,
                            .name = c.name,
                            .record = cs_view_str(record)};
    must(store_log_add(st, &r, &err));
    if (i % 12 == 1)
        must(store_revoke(st, c.serial, i % 2400 == 1 ? 6 : i % 240 == 13 ? 1 : 4, c.created, &sequence, &err));
    if (i % 100 == 0) must(store_tag_set(st, c.kind, c.name, "site=berlin", true, &err));
    if (i % 50000 == 8) must(store_tag_set(st, c.kind, c.name, "recall", true, &err));
    if (i % 100 != 50) return;
    store_token t = {.kind = c.kind, .created = c.created, .not_after = c.not_after, .uses = 3, .by = "uid 0"};
    (void)snprintf(t.id, sizeof t.id, "t%llu", (unsigned long long)i);
    (void)snprintf(t.name, sizeof t.name, "%s", c.name);
    must(store_token_add(st, &t, &err));
    store_request q = {
        .kind = c.kind, .door = "est", .source = "192.0.2.1", .csr = cs_view_of(der, DER), .created = c.created};
    (void)snprintf(q.id, sizeof q.id, "r%llu", (unsigned long long)i);
    (void)snprintf(q.name, sizeof q.name, "%s", c.name);
    must(store_request_add(st, &q, &err));
    if (i % 1000 != 50) must(store_request_decide(st, q.id, STORE_REQUEST_DENIED, "x", "", c.created, &err));
}

static double seconds(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fill(const char *where, uint64_t n) {
    uint8_t der[DER];
    store *st = NULL;
    double from = seconds();
    for (size_t i = 0; i < DER; i++) der[i] = (uint8_t)mix(i);
    must(store_open(where, &st, &err));
    for (uint64_t i = 0; i < n; i++) {
        if (i % BATCH == 0) must(store_begin(st, &err));
        add(st, i, n, der);
        if (i % BATCH == BATCH - 1 || i + 1 == n) must(store_commit(st, &err));
    }
    (void)printf("fill: %llu certificates in %.1f s\n", (unsigned long long)n, seconds() - from);
    store_free(st);
}

static void copy(const char *from_at, const char *to_at) {
    store *from = NULL, *to = NULL;
    store_copied made;
    double begun = seconds();
    must(store_open_as_is(from_at, &from, &err));
    must(store_open_bare(to_at, &to, &err));
    must(store_copy(from, to, &made, &err));
    (void)printf("copy: %llu rows, read back, in %.1f s\n", (unsigned long long)made.rows, seconds() - begun);
    store_free(from);
    store_free(to);
}

/* ---- measuring ---- */

typedef struct bench {
    store *st;
    uint64_t n, at; /* certificates; the number that this run is about */
    char serial[STORE_SERIAL_TEXT], name[64];
    unsigned rows;
} bench;

static cs_status see(void *cls, const store_cert *c, cs_err *e) {
    (void)c, (void)e;
    ((bench *)cls)->rows++;
    return CS_OK;
}

static void list(bench *b, store_filter f, bool deep) {
    f.limit = PAGE;
    if (deep) f.after = b->serial;
    must(store_cert_list(b->st, &f, NOW, see, b, &err));
}
static const uint8_t small_ca[32] = {1}, tiny_ca[32] = {2};

static void by_serial(bench *b) {
    store_cert c;
    must(store_cert_by_serial(b->st, b->serial, &c, &err));
}
static void by_key(bench *b) {
    store_cert c;
    char key[STORE_KEY_MAX];
    (void)snprintf(key, sizeof key, "fleet-%llu", (unsigned long long)(b->at / 3 * 3));
    must(store_cert_by_key(b->st, key, &c, &err));
}
static void by_name(bench *b) {
    list(b, (store_filter){.name = b->name}, false);
}
static void key_check(bench *b) {
    store_cert c;
    row_of(b->at, b->n, &c);
    if (store_key_check(b->st, &c, false, &err) == CS_FAILED) must(CS_FAILED);
}
static cs_status one_serial(void *cls, const char *serial, cs_err *e) {
    (void)cls, (void)serial, (void)e;
    return CS_OK;
}
static void lineage(bench *b) {
    must(store_lineage_children(b->st, b->serial, one_serial, NULL, &err));
}
static void token(bench *b) {
    store_token t;
    char id[32];
    (void)snprintf(id, sizeof id, "t%llu", (unsigned long long)(b->at / 100 * 100 + 50));
    must(store_token_get(b->st, id, &t, &err));
}
static void next_ending(bench *b) {
    store_cert c;
    must(store_expires_next(b->st, NOW, &c, &err));
}
static void proof(bench *b) {
    merkle_proof path = {.n = 0};
    uint64_t size = 0;
    must(store_log_size(b->st, &size, &err));
    must(merkle_inclusion(store_log_node, b->st, b->at, size, &path, &err));
}
static cs_status one_record(void *cls, const store_record *r, cs_err *e) {
    (void)cls, (void)r, (void)e;
    return CS_OK;
}
static void log_of(bench *b) {
    must(store_log_list(b->st, &(store_log_filter){.serial = b->serial, .limit = PAGE}, one_record, NULL, &err));
}
static void newest(bench *b) {
    list(b, (store_filter){.state = STORE_ANY}, false);
}
static void deep(bench *b) {
    list(b, (store_filter){.state = STORE_ANY}, true);
}
static void valid(bench *b) {
    list(b, (store_filter){.state = STORE_VALID}, false);
}
static void servers(bench *b) {
    list(b, (store_filter){.kind = CS_KIND_SERVER}, true);
}
static void revoked(bench *b) {
    list(b, (store_filter){.state = STORE_GONE}, true);
}
static void held(bench *b) {
    list(b, (store_filter){.state = STORE_HELD}, true);
}
static void expired(bench *b) {
    list(b, (store_filter){.state = STORE_EXPIRED}, false);
}
static void ending(bench *b) {
    list(b, (store_filter){.state = STORE_VALID, .ends_before = NOW + 30 * CS_DAY}, false);
}
static void ending_deep(bench *b) {
    list(b, (store_filter){.state = STORE_VALID, .ends_before = NOW + 10 * CS_YEAR}, true);
}
static void prefix(bench *b) {
    char pattern[16] = "pump-";
    (void)snprintf(pattern, sizeof pattern, "pump-%03llu*", (unsigned long long)(mix(b->at) % 240));
    list(b, (store_filter){.pattern = pattern}, false);
}
static void infix(bench *b) {
    list(b, (store_filter){.pattern = "*-0042*"}, false);
}
static void small_issuer(bench *b) {
    list(b, (store_filter){.issuer = small_ca}, true);
}
static void tiny_issuer(bench *b) {
    list(b, (store_filter){.issuer = tiny_ca, .state = STORE_VALID}, false);
}
static void profile(bench *b) {
    list(b, (store_filter){.profile = "kiosk"}, false);
}
static void tag(bench *b) {
    list(b, (store_filter){.tag = "site=berlin"}, true);
}
static void rare_tag(bench *b) {
    list(b, (store_filter){.tag = "recall", .state = STORE_VALID}, false);
}
static cs_status one_token(void *cls, const store_token *t, cs_err *e) {
    (void)cls, (void)t, (void)e;
    return CS_OK;
}
static void tokens(bench *b) {
    char after[32];
    (void)snprintf(after, sizeof after, "t%llu", (unsigned long long)(b->at / 100 * 100 + 50));
    must(store_token_list(b->st, NULL, after, PAGE, one_token, NULL, &err));
}
static cs_status one_request(void *cls, const store_request *r, cs_err *e) {
    (void)cls, (void)r, (void)e;
    return CS_OK;
}
static void requests(bench *b) {
    char after[32];
    (void)snprintf(after, sizeof after, "r%llu", (unsigned long long)(b->at / 100 * 100 + 50));
    must(store_request_list(b->st, STORE_REQUEST_WAITS, after, PAGE, one_request, NULL, &err));
}
static void log_page(bench *b) {
    must(store_log_list(b->st, &(store_log_filter){.before = b->at + 2, .newest = true, .limit = PAGE}, one_record,
                        NULL, &err));
}
static void counts(bench *b) {
    store_counts c;
    must(store_count(b->st, NOW, &c, &err));
}
static cs_status one_holder(void *cls, const store_holder *h, cs_err *e) {
    (void)cls, (void)h, (void)e;
    return CS_OK;
}
static void holders(bench *b) {
    must(store_holders(b->st, small_ca, NOW, PAGE, one_holder, NULL, &err));
}
static void count_of(bench *b) {
    int64_t valid_n = 0;
    cs_time last = 0;
    must(store_count_of(b->st, small_ca, NOW, &valid_n, &last, &err));
}

static const struct {
    const char *name;
    void (*run)(bench *b);
    unsigned runs;
} verbs[] = {
    {"certificate by serial", by_serial, RUNS},
    {"certificate by idempotency key", by_key, RUNS},
    {"certificates of a name", by_name, RUNS},
    {"was the key compromised?", key_check, RUNS},
    {"who renews it", lineage, RUNS},
    {"token", token, RUNS},
    {"which ends next", next_ending, RUNS},
    {"proof from the audit log", proof, RUNS},
    {"audit records of a serial", log_of, RUNS},
    {"page: newest", newest, RUNS},
    {"page: all, anywhere", deep, RUNS},
    {"page: valid, newest", valid, RUNS},
    {"page: kind server, anywhere", servers, RUNS},
    {"page: revoked, anywhere", revoked, RUNS},
    {"page: held, anywhere", held, RUNS},
    {"page: expired", expired, RUNS},
    {"page: end within 30 days", ending, RUNS},
    {"page: by end, anywhere", ending_deep, RUNS},
    {"page: name pump-NNN*", prefix, RUNS},
    {"page: a CA of 50,000, anywhere", small_issuer, RUNS},
    {"page: a CA of 100, valid", tiny_issuer, RUNS},
    {"page: a rare profile", profile, RUNS},
    {"page: tag of 10,000, anywhere", tag, RUNS},
    {"page: a rare tag, valid", rare_tag, RUNS},
    {"page: tokens, anywhere", tokens, RUNS},
    {"page: requests that wait, anywhere", requests, RUNS},
    {"page: audit log, anywhere", log_page, RUNS},
    {"name *-0042* (looks at all names)", infix, 5},
    {"counts of status", counts, 5},
    {"valid ones of a CA of 50,000", count_of, 5},
    {"who hangs on a CA of 50,000", holders, 5},
};

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *where) {
    bench b = {.n = 0};
    store_counts c;
    must(store_open(where, &b.st, &err));
    must(store_count(b.st, NOW, &c, &err));
    for (size_t i = 0; i < CS_KIND_COUNT; i++) b.n += (uint64_t)c.issued[i];
    (void)printf("%llu certificates: %lld valid, %lld revoked, %lld expired\n%-36s %10s %10s %10s\n",
                 (unsigned long long)b.n, (long long)c.valid, (long long)c.revoked, (long long)c.expired,
                 "microseconds", "median", "99 of 100", "longest");
    for (size_t v = 0; v < sizeof verbs / sizeof *verbs; v++) {
        double t[RUNS];
        for (unsigned i = 0; i < verbs[v].runs; i++) {
            b.at = mix(v * 1000 + i) % (b.n > 200 ? b.n - 200 : 1);
            serial_of(b.at, b.serial);
            name_of(b.at, b.name);
            double from = seconds();
            verbs[v].run(&b);
            t[i] = (seconds() - from) * 1e6;
            store_settle(b.st);
        }
        qsort(t, verbs[v].runs, sizeof *t, compare);
        (void)printf("%-36s %10.0f %10.0f %10.0f\n", verbs[v].name, t[verbs[v].runs / 2], t[verbs[v].runs * 99 / 100],
                     t[verbs[v].runs - 1]);
    }
    store_free(b.st);
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "fill") == 0)
        fill(argv[2], strtoull(argv[3], NULL, 10));
    else if (argc == 4 && strcmp(argv[1], "copy") == 0)
        copy(argv[2], argv[3]);
    else if (argc == 3 && strcmp(argv[1], "measure") == 0)
        measure(argv[2]);
    else
        return (void)fputs("usage: bench-store fill STORE N | copy FROM TO | measure STORE\n", stderr), 2;
    return 0;
}
