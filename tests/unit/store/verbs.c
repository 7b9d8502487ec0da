/* Verbs that are not of certificates, on either database; and how the database finds what they ask for. */
#include "unit.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "database.h"
#include "store/store_priv.h"
#include "store/upkeep.h"

static store *opened(void) {
    cs_err err;
    store *st = NULL;
    assert_ok(store_open(path, &st, &err));
    return st;
}

/* ---- tokens ---- */

static store_token token(const char *id, const char *name, cs_time created) {
    store_token t = {.kind = CS_KIND_DEVICE, .created = created, .not_after = 100, .uses = 1};
    (void)snprintf(t.id, sizeof t.id, "%s", id);
    (void)snprintf(t.name, sizeof t.name, "%s", name);
    (void)snprintf(t.profile, sizeof t.profile, "kiosk");
    (void)snprintf(t.by, sizeof t.by, "uid 0");
    return t;
}

static void a_token_is_good_for_its_uses_and_an_abandoned_intent_gives_its_use_back(void **state) {
    cs_err err;
    CS_AUTO(store) st = opened();
    store_token t = token("t1", "pump", 10), got;
    store_cert first = row("0a", "pump", 100), second = row("0b", "pump", 100);
    size_t n = 0;
    (void)snprintf(first.token, sizeof first.token, "t1");
    (void)snprintf(second.token, sizeof second.token, "t1");
    assert_ok(store_begin(st, &err));
    assert_ok(store_token_add(st, &t, &err));
    assert_ok(store_intent_add(st, &first, &err));
    assert_ok(store_token_claim(st, "t1", 50, &err));
    assert_ok(store_intent_add(st, &second, &err));
    assert_fails(store_token_claim(st, "t1", 50, &err), CS_R_TOKEN_INVALID);
    assert_ok(store_intent_drop(st, "0b", &err));
    assert_ok(store_intents_abandon(st, 60, &n, &err));
    assert_ok(store_intent_add(st, &second, &err));
    assert_ok(store_token_claim(st, "t1", 60, &err));
    assert_ok(store_commit(st, &err));
    assert_ok(store_token_get(st, "t1", &got, &err));
    assert_true(got.uses == 1 && got.used == 1 && got.created == 10 && got.revoked_at == 0);
    assert_string_equal(got.profile, "kiosk");
    assert_fails(store_token_get(st, "t2", &got, &err), CS_R_TOKEN_UNKNOWN);
}

static void a_token_that_ended_or_was_revoked_is_good_for_nothing(void **state) {
    cs_err err;
    CS_AUTO(store) st = opened();
    store_token t = token("t1", "pump", 10), got;
    assert_ok(store_begin(st, &err));
    assert_ok(store_token_add(st, &t, &err));
    assert_fails(store_token_claim(st, "t1", 100, &err), CS_R_TOKEN_INVALID);
    assert_ok(store_token_revoke(st, "t1", 20, &err));
    assert_ok(store_token_revoke(st, "t1", 30, &err)); /* twice is fine, the first counts */
    assert_fails(store_token_revoke(st, "t2", 30, &err), CS_R_TOKEN_UNKNOWN);
    assert_fails(store_token_claim(st, "t1", 50, &err), CS_R_TOKEN_INVALID);
    assert_ok(store_commit(st, &err));
    assert_ok(store_token_get(st, "t1", &got, &err));
    assert_int_equal(got.revoked_at, 20);
}

typedef struct ids {
    char text[256];
} ids;

static void keep(ids *l, const char *id) {
    size_t n = strlen(l->text);
    (void)snprintf(l->text + n, sizeof l->text - n, "%s%s", n > 0 ? " " : "", id);
}

static cs_status keep_token(void *cls, const store_token *t, cs_err *err) {
    keep(cls, t->id);
    return CS_OK;
}

static void tokens_are_listed_newest_first_by_pages(void **state) {
    cs_err err;
    CS_AUTO(store) st = opened();
    static const char *const each[] = {"B", "a", "c", "d"};
    ids all = {""}, page = {""}, named = {""}, none = {""};
    assert_ok(store_begin(st, &err));
    for (size_t i = 0; i < 4; i++) { /* three at one moment: then by octets, so that "B" stands before "a" */
        store_token t = token(each[i], i == 2 ? "valve" : "pump", i == 3 ? 9 : 8);
        assert_ok(store_token_add(st, &t, &err));
    }
    assert_ok(store_commit(st, &err));
    assert_ok(store_token_list(st, NULL, NULL, 10, keep_token, &all, &err));
    assert_string_equal(all.text, "d B a c");
    assert_ok(store_token_list(st, NULL, "B", 1, keep_token, &page, &err));
    assert_string_equal(page.text, "a");
    assert_ok(store_token_list(st, "pump", "d", 10, keep_token, &named, &err));
    assert_string_equal(named.text, "B a");
    assert_ok(store_token_list(st, NULL, "zz", 10, keep_token, &none, &err));
    assert_string_equal(none.text, "");
}

/* ---- requests ---- */

static cs_status keep_request(void *cls, const store_request *r, cs_err *err) {
    keep(cls, r->id);
    return CS_OK;
}

static void a_request_is_decided_once_and_issued_after_a_yes(void **state) {
    cs_err err;
    CS_AUTO(store) st = opened();
    ids waiting = {""}, all = {""}, issued = {""};
    uint64_t n = 0;
    store_request r = {.kind = CS_KIND_USER, .csr = CS_VIEW_LIT("csr\0x"), .created = 5}, got;
    (void)snprintf(r.name, sizeof r.name, "a'); DROP TABLE requests; --@x");
    (void)snprintf(r.door, sizeof r.door, "est");
    assert_ok(store_begin(st, &err));
    for (int i = 0; i < 3; i++) {
        (void)snprintf(r.id, sizeof r.id, "r%d", i);
        assert_ok(store_request_add(st, &r, &err));
    }
    assert_ok(store_request_decide(st, "r1", STORE_REQUEST_APPROVED, "ann", "seen", 7, &err));
    assert_fails(store_request_decide(st, "r1", STORE_REQUEST_DENIED, "bob", "", 8, &err), CS_R_REQUEST_DECIDED);
    assert_fails(store_request_decide(st, "r9", STORE_REQUEST_DENIED, "bob", "", 8, &err), CS_R_REQUEST_UNKNOWN);
    assert_ok(store_request_issued(st, "r1", "0a", &err));
    assert_ok(store_request_issued(st, "r2", "0b", &err)); /* nobody said yes: it stays as it is */
    assert_ok(store_commit(st, &err));
    assert_ok(store_request_get(st, "r1", &got, &err));
    assert_true(got.status == STORE_REQUEST_ISSUED && got.decided_at == 7 && got.csr.n == r.csr.n);
    assert_string_equal(got.serial, "0a");
    assert_string_equal(got.note, "seen");
    assert_string_equal(got.name, "a'); DROP TABLE requests; --@x");
    assert_ok(store_request_count(st, &n, &err));
    assert_int_equal(n, 2);
    assert_ok(store_request_list(st, STORE_REQUEST_WAITS, NULL, 10, keep_request, &waiting, &err));
    assert_string_equal(waiting.text, "r0 r2");
    assert_ok(store_request_list(st, -1, "r0", 10, keep_request, &all, &err));
    assert_string_equal(all.text, "r1 r2");
    assert_ok(store_request_list(st, STORE_REQUEST_ISSUED, NULL, 10, keep_request, &issued, &err));
    assert_string_equal(issued.text, "r1");
}

/* ---- lineages ---- */

static cs_status keep_serial(void *cls, const char *serial, cs_err *err) {
    keep(cls, serial);
    return CS_OK;
}

static void a_certificate_is_renewed_by_one_key_and_only_while_it_is_good(void **state) {
    cs_err err;
    CS_AUTO(store) st = opened();
    ids children = {""};
    uint64_t sequence = 0;
    store_cert child = row("0b", "pump", 100), twin = row("0c", "pump", 100), orphan = row("0d", "pump", 100);
    issue(st, "0a", "pump", 100);
    (void)snprintf(child.parent, sizeof child.parent, "0a");
    (void)snprintf(twin.parent, sizeof twin.parent, "0a");
    (void)snprintf(orphan.parent, sizeof orphan.parent, "0f");
    twin.spki_sha256[0] = 9;
    assert_ok(store_begin(st, &err));
    assert_ok(store_intent_add(st, &child, &err));
    assert_ok(store_lineage_check(st, &child, &err));
    assert_ok(store_intent_add(st, &twin, &err));
    assert_fails(store_lineage_check(st, &twin, &err), CS_R_LINEAGE_FORKED);
    assert_ok(store_intent_drop(st, "0c", &err));
    assert_fails(store_lineage_check(st, &orphan, &err), CS_R_REVOKED);
    const uint8_t hash[32] = {2};
    assert_ok(store_issued_set(st, "0b", "CN=x", hash, CS_VIEW_LIT("der"), &err));
    assert_ok(store_lineage_children(st, "0a", keep_serial, &children, &err));
    assert_string_equal(children.text, "0b");
    assert_ok(store_revoke(st, "0a", 1, 20, &sequence, &err));
    assert_fails(store_lineage_check(st, &child, &err), CS_R_REVOKED);
    assert_ok(store_commit(st, &err));
}

/* ---- proposals, administrators, ticket keys ---- */

static cs_status keep_proposal(void *cls, const store_proposal *p, cs_err *err) {
    keep(cls, p->what);
    return CS_OK;
}

static void proposals_are_numbered_decided_and_listed_newest_first(void **state) {
    cs_err err;
    CS_AUTO(store) st = opened();
    ids all = {""};
    store_proposal p = {.body = CS_VIEW_LIT("{\"a\":\"\\u0000\"}"), .proposed_at = 3, .ends = 9}, got;
    assert_ok(store_begin(st, &err));
    for (int i = 1; i <= 2; i++) {
        (void)snprintf(p.what, sizeof p.what, "w%d", i);
        (void)snprintf(p.method, sizeof p.method, "POST");
        assert_ok(store_proposal_add(st, &p, &err));
        assert_int_equal(p.id, i);
    }
    assert_ok(store_proposal_set(st, 1, PROPOSAL_APPROVED, "ann", 5, &err));
    assert_ok(store_commit(st, &err));
    assert_ok(store_proposal_get(st, 1, &got, &err));
    assert_true(got.state == PROPOSAL_APPROVED && got.decided_at == 5 && got.ends == 9);
    assert_true(cs_view_eq(got.body, p.body));
    assert_fails(store_proposal_get(st, 3, &got, &err), CS_R_PROPOSAL_UNKNOWN);
    assert_ok(store_proposal_list(st, keep_proposal, &all, &err));
    assert_string_equal(all.text, "w2 w1");
}

static cs_status keep_admin(void *cls, cs_kind kind, const char *name, unsigned roles, cs_time since, const char *by,
                            cs_err *err) {
    keep(cls, name);
    return CS_OK;
}

static void administrators_are_kept_changed_and_forgotten(void **state) {
    cs_err err;
    CS_AUTO(store) st = opened();
    ids all = {""};
    unsigned roles = 99;
    assert_ok(store_begin(st, &err));
    assert_ok(store_admin_set(st, CS_KIND_USER, "b", 1, 5, "x", &err));
    assert_ok(store_admin_set(st, CS_KIND_USER, "b", 12, 6, "x", &err));
    assert_ok(store_admin_set(st, CS_KIND_USER, "B", 1, 6, "x", &err));
    assert_ok(store_admin_set(st, CS_KIND_USER, "a", 1, 6, "x", &err));
    assert_ok(store_admin_set(st, CS_KIND_USER, "a", 0, 7, "x", &err));
    assert_ok(store_commit(st, &err));
    assert_ok(store_admin_roles(st, CS_KIND_USER, "b", &roles, &err));
    assert_int_equal(roles, 12);
    assert_ok(store_admin_roles(st, CS_KIND_DEVICE, "b", &roles, &err));
    assert_int_equal(roles, 0);
    assert_ok(store_admin_list(st, keep_admin, &all, &err));
    assert_string_equal(all.text, "B b");
}

static void ticket_keys_are_given_newest_first_and_old_ones_go(void **state) {
    cs_err err;
    CS_AUTO(store) st = opened();
    CS_SCOPED(cs_buf) out = cs_buf_of(STORE_TICKET_KEY * 4);
    uint8_t key[STORE_TICKET_KEY] = {0};
    cs_time made = 0;
    uint64_t id = 0;
    assert_ok(store_begin(st, &err));
    for (int i = 1; i <= 3; i++) {
        key[0] = (uint8_t)i;
        assert_ok(store_ticket_key_add(st, cs_view_of(key, sizeof key), i * 10, i == 3 ? 15 : 0, &err));
    }
    assert_ok(store_commit(st, &err));
    assert_ok(store_ticket_newest(st, &made, &id, &err));
    assert_true(made == 30 && id == 3);
    assert_ok(store_ticket_keys(st, 0, &out, &err));
    assert_int_equal(out.n, 2 * STORE_TICKET_KEY);
    assert_true(out.p[0] == 3 && out.p[STORE_TICKET_KEY] == 2);
}

/* ---- tags, holders, the log ---- */

static cs_status keep_tag(void *cls, const char *tag, uint64_t identities, cs_err *err) {
    char text[80];
    (void)snprintf(text, sizeof text, "%s:%d", tag, (int)identities);
    keep(cls, text);
    return CS_OK;
}

static cs_status keep_cert(void *cls, const store_cert *c, cs_err *err) {
    char text[80];
    (void)snprintf(text, sizeof text, "%s(%.*s)", c->serial, (int)c->tags.n,
                   c->tags.n > 0 ? (const char *)c->tags.p : "");
    keep(cls, text);
    return CS_OK;
}

static void tags_are_of_an_identity_and_find_its_certificates(void **state) {
    cs_err err;
    CS_AUTO(store) st = opened();
    CS_SCOPED(cs_buf) all = cs_buf_of(1000);
    ids found = {""}, counted = {""}, page = {""};
    issue(st, "0a", "b", 100);
    issue(st, "0b", "a", 100);
    issue(st, "0c", "b", 100);
    issue(st, "0d", "c", 100);
    assert_ok(store_begin(st, &err));
    assert_ok(store_tag_set(st, CS_KIND_DEVICE, "b", "y", true, &err));
    assert_ok(store_tag_set(st, CS_KIND_DEVICE, "b", "X", true, &err));
    assert_ok(store_tag_set(st, CS_KIND_DEVICE, "b", "X", true, &err));
    assert_ok(store_tag_set(st, CS_KIND_DEVICE, "a", "y", true, &err));
    assert_ok(store_tag_set(st, CS_KIND_DEVICE, "c", "y", true, &err));
    assert_ok(store_tag_set(st, CS_KIND_DEVICE, "c", "y", false, &err));
    assert_ok(store_tag_set(st, CS_KIND_SERVER, "c", "z", true, &err)); /* another identity */
    assert_ok(store_commit(st, &err));
    assert_ok(store_tags_of(st, CS_KIND_DEVICE, "b", &all, &err));
    assert_string_equal(cs_buf_cstr(&all), "X y");
    assert_ok(store_tag_list(st, keep_tag, &counted, &err));
    assert_string_equal(counted.text, "X:1 y:2 z:1");
    assert_ok(store_cert_list(st, &(store_filter){.tag = "y", .limit = 9}, 50, keep_cert, &found, &err));
    assert_string_equal(found.text, "0b(y) 0a(X y) 0c(X y)");
    assert_ok(store_cert_list(st, &(store_filter){.tag = "y", .after = "0a", .limit = 9}, 50, keep_cert, &page, &err));
    assert_string_equal(page.text, "0c(X y)");
}

static cs_status keep_holder(void *cls, const store_holder *h, cs_err *err) {
    char text[80];
    (void)snprintf(text, sizeof text, "%s:%d", h->name, (int)h->certificates);
    keep(cls, text);
    return CS_OK;
}

static void who_hangs_on_a_ca_is_counted(void **state) {
    cs_err err;
    CS_AUTO(store) st = opened();
    ids held = {""};
    store_cert c;
    int64_t valid = 0;
    cs_time last = 0;
    const uint8_t issuer[32] = {7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
                                7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7},
                  other[32] = {8};
    issue(st, "0a", "a", 100);
    issue(st, "0b", "a", 90);
    issue(st, "0c", "b", 95);
    issue(st, "0d", "gone", 40);
    assert_ok(store_count_of(st, issuer, 50, &valid, &last, &err));
    assert_true(valid == 3 && last == 100);
    assert_ok(store_count_of(st, other, 50, &valid, &last, &err));
    assert_true(valid == 0 && last == 0);
    assert_ok(store_holders(st, issuer, 50, 9, keep_holder, &held, &err));
    assert_string_equal(held.text, "a:2 b:1");
    assert_ok(store_expires_next(st, 50, &c, &err));
    assert_string_equal(c.serial, "0b");
    assert_fails(store_expires_next(st, 101, &c, &err), CS_R_CERTIFICATE_UNKNOWN);
}

static void names_are_compared_with_their_case(void **state) {
    cs_err err;
    CS_AUTO(store) st = opened();
    ids lower = {""}, escaped = {""}, all = {""};
    issue(st, "0a", "Pump_1", 100);
    issue(st, "0b", "pump-1", 100);
    issue(st, "0c", "pumpx1", 100);
    assert_ok(store_cert_list(st, &(store_filter){.pattern = "pump*", .limit = 9}, 50, keep_cert, &lower, &err));
    assert_string_equal(lower.text, "0b() 0c()");
    assert_ok(store_cert_list(st, &(store_filter){.pattern = "*_1", .limit = 9}, 50, keep_cert, &escaped, &err));
    assert_string_equal(escaped.text, "0a()");
    assert_ok(store_cert_list(st, &(store_filter){.pattern = "*", .limit = 9}, 50, keep_cert, &all, &err));
    assert_string_equal(all.text, "0a() 0b() 0c()"); /* as octets */
}

static cs_status keep_record(void *cls, const store_record *r, cs_err *err) {
    char text[24];
    (void)snprintf(text, sizeof text, "%d", (int)r->sequence);
    keep(cls, text);
    return CS_OK;
}

static void the_log_is_read_in_either_order_by_what_is_asked(void **state) {
    cs_err err;
    CS_AUTO(store) st = opened();
    ids up = {""}, down = {""}, serial = {""}, by = {""};
    uint64_t size = 0;
    assert_ok(store_begin(st, &err));
    for (int i = 0; i < 6; i++)
        assert_ok(store_log_add(st,
                                &(store_record){.at = i,
                                                .event = i % 2 == 0 ? "even" : "odd",
                                                .by = i < 3 ? "ann" : "bob",
                                                .serial = i == 4 ? "0a" : NULL,
                                                .record = CS_VIEW_LIT("{}")},
                                &err));
    assert_ok(store_head_add(st, 6, 1, CS_VIEW_LIT("note"), &err));
    assert_ok(store_commit(st, &err));
    assert_ok(store_log_list(st, &(store_log_filter){.after = 1, .event = "odd", .limit = 9}, keep_record, &up, &err));
    assert_string_equal(up.text, "2 4 6");
    assert_ok(
        store_log_list(st, &(store_log_filter){.before = 5, .newest = true, .limit = 2}, keep_record, &down, &err));
    assert_string_equal(down.text, "4 3");
    assert_ok(store_log_list(st, &(store_log_filter){.serial = "0a", .limit = 9}, keep_record, &serial, &err));
    assert_string_equal(serial.text, "5");
    assert_ok(store_log_list(st, &(store_log_filter){.by = "ann", .limit = 9}, keep_record, &by, &err));
    assert_string_equal(by.text, "1 2 3");
    assert_ok(store_head_last(st, &size, NULL, &err));
    assert_int_equal(size, 6);
}

/* ---- how it is found ---- */

/* What looks at many rows by its nature, and is not asked for by clients. */
static bool may_scan(const char *sql) {
    static const char *const known[] = {"SELECT tag, COUNT(*)", "FROM admins", "GROUP BY kind, name", NULL};
    for (size_t i = 0; known[i] != NULL; i++)
        if (strstr(sql, known[i]) != NULL) return true;
    return false;
}

static void no_statement_goes_through_a_whole_table(void **state) {
    if (!is_sqlite()) { /* before anything is held: skip() jumps */
        print_message("skipped: PostgreSQL chooses by what it has counted\n");
        skip();
    }
    cs_err err;
    CS_AUTO(store) st = opened();
    ids any = {""};
    const uint8_t hash[32] = {0};
    store_cert c;
    const store_filter asked[] = {
        {.state = STORE_ANY},  {.state = STORE_VALID}, {.state = STORE_EXPIRED}, {.state = STORE_GONE},
        {.state = STORE_HELD}, {.name = "a"},          {.pattern = "a*"},        {.tag = "t"},
        {.issuer = hash},      {.profile = "p"},       {.kind = CS_KIND_DEVICE}, {.ends_before = 99}};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        store_filter f = asked[i];
        f.limit = 10;
        assert_ok(store_cert_list(st, &f, 50, keep_cert, &any, &err));
    }
    assert_ok(store_key_check(st, &(store_cert){.kind = CS_KIND_DEVICE, .name = "a"}, false, &err));
    assert_fails(store_cert_by_serial(st, "0a", &c, &err), CS_R_CERTIFICATE_UNKNOWN);
    assert_fails(store_cert_by_key(st, "k", &c, &err), CS_R_CERTIFICATE_UNKNOWN);
    assert_fails(store_expires_next(st, 1, &c, &err), CS_R_CERTIFICATE_UNKNOWN);
    assert_ok(store_lineage_children(st, "0a", keep_serial, &any, &err));
    assert_ok(store_token_list(st, NULL, NULL, 9, keep_token, &any, &err));
    assert_ok(store_token_list(st, "a", NULL, 9, keep_token, &any, &err));
    assert_ok(store_request_list(st, -1, NULL, 9, keep_request, &any, &err));
    assert_ok(store_request_list(st, 0, NULL, 9, keep_request, &any, &err));
    assert_ok(store_log_list(st, &(store_log_filter){.serial = "0a", .limit = 9}, keep_record, &any, &err));
    unsigned looked = 0;
    for (size_t i = 0; i < STORE_STATEMENTS_MAX; i++) {
        if (st->kept[i] == NULL || strncmp(st->kept[i]->sql, "SELECT", 6) != 0 || may_scan(st->kept[i]->sql)) continue;
        char sql[4096];
        sqlite3_stmt *plan = NULL;
        (void)snprintf(sql, sizeof sql, "EXPLAIN QUERY PLAN %s", st->kept[i]->sql);
        assert_int_equal(sqlite3_prepare_v2(st->impl, sql, -1, &plan, NULL), SQLITE_OK);
        while (sqlite3_step(plan) == SQLITE_ROW) {
            const char *step = (const char *)sqlite3_column_text(plan, 3);
            bool all = strncmp(step, "SCAN certificates", 17) == 0 || strcmp(step, "SCAN tokens") == 0 ||
                       strcmp(step, "SCAN log") == 0 || strcmp(step, "SCAN feed") == 0;
            bool sorts = strcmp(step, "USE TEMP B-TREE FOR ORDER BY") == 0 && strstr(sql, "name = ?2") == NULL &&
                         strstr(sql, "parent = ?1") == NULL;
            if (all || sorts) fail_msg("%s: %s", step, st->kept[i]->sql);
        }
        (void)sqlite3_finalize(plan);
        looked++;
    }
    assert_true(looked > 20);
}

/* ---- upkeep ---- */

static cs_status nothing_wrong(void *cls, const store_checked *one, cs_err *err) {
    if (one->wrong > 0 && strcmp(one->rule, "contents") != 0 && strncmp(one->rule, "issuance", 8) != 0)
        fail_msg("%s: %s", one->rule, one->first);
    return CS_OK;
}

static void a_copy_has_every_row_and_its_own_place_only_when_that_was_empty(void **state) {
    cs_err err;
    char file[80];
    store_copied made;
    store_check_sum sum;
    store *st = opened(), *to = NULL;
    (void)snprintf(file, sizeof file, "/tmp/cs-unit-copy-%d.db", (int)getpid());
    (void)unlink(file);
    issue(st, "0a", "pump", 100);
    assert_ok(store_begin(st, &err));
    assert_ok(store_tag_set(st, CS_KIND_DEVICE, "pump", "a\\b", true, &err));
    assert_ok(store_log_add(st, &(store_record){.event = "x", .by = "y", .record = CS_VIEW_LIT("{}")}, &err));
    assert_ok(store_commit(st, &err));
    store_free(st);
    assert_ok(store_open_as_is(path, &st, &err));
    assert_ok(store_open_bare(file, &to, &err));
    assert_ok(store_copy(st, to, &made, &err));
    assert_true(made.certificates == 1 && made.log_size == 1 && made.rows >= 4);
    assert_fails(store_copy(st, to, &made, &err), CS_R_STORE_NOT_EMPTY);
    store_free(to);
    assert_fails(store_open_bare(file, &to, &err), CS_R_STORE_NOT_EMPTY);
    assert_ok(store_open_as_is(file, &to, &err));
    assert_ok(store_check(to, 0, nothing_wrong, NULL, &sum, &err));
    assert_true(sum.certificates == 1 && sum.log_size == 1);
    store_free(to);
    store_free(st);
    (void)unlink(file);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, fresh)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_token_is_good_for_its_uses_and_an_abandoned_intent_gives_its_use_back),
        TEST(a_token_that_ended_or_was_revoked_is_good_for_nothing),
        TEST(tokens_are_listed_newest_first_by_pages),
        TEST(a_request_is_decided_once_and_issued_after_a_yes),
        TEST(a_certificate_is_renewed_by_one_key_and_only_while_it_is_good),
        TEST(proposals_are_numbered_decided_and_listed_newest_first),
        TEST(administrators_are_kept_changed_and_forgotten),
        TEST(ticket_keys_are_given_newest_first_and_old_ones_go),
        TEST(tags_are_of_an_identity_and_find_its_certificates),
        TEST(who_hangs_on_a_ca_is_counted),
        TEST(names_are_compared_with_their_case),
        TEST(the_log_is_read_in_either_order_by_what_is_asked),
        TEST(no_statement_goes_through_a_whole_table),
        TEST(a_copy_has_every_row_and_its_own_place_only_when_that_was_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
